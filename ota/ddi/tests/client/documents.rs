//! Small documents: what is sent, conditional polling, status codes.

use roamcore_ddi::client::{Advice, Assigned, Channel, Client, ClientError};
use roamcore_ddi::messages::{
    ActionId, ActivateAutoConfirm, AttributeMode, ConfigData, ConfirmationFeedback, Decision,
    Execution, Feedback, Finished, InstalledBase,
};
use serde_json::json;

use crate::server::{Request, Server, json, reply};
use crate::{TOKEN, client};

const ROOT: &str = "/DEFAULT/controller/v1/van-7";

fn poll_with(link: &str) -> serde_json::Value {
    json!({
        "config": {"polling": {"sleep": "00:00:30"}},
        // The host of a link is never followed: proxies make servers write wrong ones.
        "_links": {link: {"href": format!("http://internal.invalid:1{ROOT}/{link}/5?c=-77")}},
    })
}

#[tokio::test]
async fn a_deployment_from_poll_to_feedback() {
    let server = Server::start(|request: &Request| match request.target.as_str() {
        ROOT => json(poll_with("deploymentBase")),
        _ if request.method == "GET" => json(json!({
            "id": "5", "deployment": {"download": "forced", "update": "forced", "chunks": []},
        })),
        _ => reply("200 OK", &[], b""),
    });
    let client = client(&server);
    let polled = client.poll().await.unwrap();
    assert!(!polled.unchanged);
    let link = polled.poll.deployment().unwrap().unwrap();
    let deployment = client.deployment(&link, 10).await.unwrap();
    let done = Feedback::new(Execution::Closed, Finished::Success);
    client
        .report(Channel::Deployment, &deployment.id, &done)
        .await
        .unwrap();

    let requests = server.requests();
    let targets: Vec<_> = requests
        .iter()
        .map(|r| format!("{} {}", r.method, r.target))
        .collect();
    assert_eq!(
        targets,
        [
            format!("GET {ROOT}"),
            format!("GET {ROOT}/deploymentBase/5?c=-77&actionHistory=10"),
            format!("POST {ROOT}/deploymentBase/5/feedback"),
        ]
    );
    for request in &requests {
        assert_eq!(
            request.header("authorization"),
            Some(format!("TargetToken {TOKEN}").as_str())
        );
        assert_eq!(
            request.header("accept"),
            Some("application/hal+json, application/json")
        );
        assert_eq!(request.header("user-agent"), Some("roamcore-test/1"));
    }
    assert_eq!(requests[2].header("content-type"), Some("application/json"));
    let sent: Feedback = serde_json::from_slice(&requests[2].body).unwrap();
    assert_eq!(sent, done);
}

#[tokio::test]
async fn every_other_call_has_its_method_path_and_body() {
    let server = Server::start(|request: &Request| {
        match (request.method.as_str(), request.target.as_str()) {
            ("GET", target) if target == ROOT => json(poll_with("cancelAction")),
            ("GET", target) if target.contains("cancelAction") => {
                json(json!({"id": "5", "cancelAction": {"stopId": "5"}}))
            }
            ("GET", target) if target.contains("confirmationBase") => {
                json(json!({"autoConfirm": {"active": true}}))
            }
            ("GET", target) if target.contains("installedBase") => {
                json(json!({"id": "4", "deployment": {"download": "forced", "update": "forced"}}))
            }
            ("GET", _) => json(json!([{"filename": "f", "size": 3}])),
            ("PUT", target) if target.contains("installedBase") => reply("201 Created", &[], b""),
            _ => reply("200 OK", &[], b""),
        }
    });
    let client = client(&server);
    let id = ActionId::from(5);
    let poll = client.poll().await.unwrap().poll;
    let cancel = client
        .cancellation(&poll.cancellation().unwrap().unwrap())
        .await
        .unwrap();
    assert_eq!(cancel.cancel_action.stop_id, id);
    let accepted = Feedback::new(Execution::Closed, Finished::Success);
    client
        .report(Channel::Cancellation, &id, &accepted)
        .await
        .unwrap();
    assert!(client.auto_confirm().await.unwrap().auto_confirm.active);
    client
        .activate_auto_confirm(&ActivateAutoConfirm::default())
        .await
        .unwrap();
    client.deactivate_auto_confirm().await.unwrap();
    let word = ConfirmationFeedback {
        confirmation: Decision::Confirmed,
        code: None,
        details: vec![],
    };
    client.confirm(&id, &word).await.unwrap();
    let data = ConfigData {
        mode: AttributeMode::Merge,
        data: [("k".to_owned(), "v".to_owned())].into(),
    };
    client.put_attributes(&data).await.unwrap();
    let installed = InstalledBase {
        name: "n".into(),
        version: "1".into(),
    };
    assert_eq!(
        client.put_installed(&installed).await.unwrap(),
        Assigned::Newly
    );
    assert_eq!(
        client.installed(&id, 0).await.unwrap().id,
        ActionId::from(4)
    );
    assert_eq!(client.artifacts(7).await.unwrap()[0].size, 3);

    let seen: Vec<_> = server
        .requests()
        .iter()
        .map(|r| {
            format!(
                "{} {} {}",
                r.method,
                r.target.strip_prefix(ROOT).unwrap(),
                String::from_utf8_lossy(&r.body)
            )
        })
        .collect();
    let closed = r#"{"status":{"execution":"closed","result":{"finished":"success"}}}"#;
    assert_eq!(
        seen,
        [
            "GET  ",
            "GET /cancelAction/5 ",
            &format!("POST /cancelAction/5/feedback {closed}"),
            "GET /confirmationBase ",
            "POST /confirmationBase/activateAutoConfirm {}",
            "POST /confirmationBase/deactivateAutoConfirm ",
            r#"POST /confirmationBase/5/feedback {"confirmation":"confirmed"}"#,
            r#"PUT /configData {"mode":"merge","data":{"k":"v"}}"#,
            r#"PUT /installedBase {"name":"n","version":"1"}"#,
            "GET /installedBase/5 ",
            "GET /softwaremodules/7/artifacts ",
        ]
    );
}

#[tokio::test]
async fn polls_are_conditional() {
    let mut answers = vec![
        reply(
            "200 OK",
            &[("ETag", "\"one\"")],
            poll_with("deploymentBase").to_string().as_bytes(),
        ),
        reply("304 Not Modified", &[("ETag", "\"one\"")], b""),
        // A proxy's page must not be remembered as the answer.
        reply("200 OK", &[("ETag", "\"page\"")], b"<html>"),
        reply("200 OK", &[("ETag", "\"two\"")], b"{}"),
        reply("304 Not Modified", &[], b""),
    ]
    .into_iter();
    let server = Server::start(move |_| answers.next().unwrap());
    let client = client(&server);
    let first = client.poll().await.unwrap();
    let second = client.poll().await.unwrap();
    assert!(!first.unchanged && second.unchanged);
    assert_eq!(first.poll, second.poll);
    assert!(matches!(
        client.poll().await,
        Err(ClientError::Document { .. })
    ));
    assert!(
        client
            .poll()
            .await
            .unwrap()
            .poll
            .deployment()
            .unwrap()
            .is_none()
    );
    assert!(client.poll().await.unwrap().unchanged);
    let conditions: Vec<_> = server
        .requests()
        .iter()
        .map(|r| r.header("if-none-match").map(str::to_owned))
        .collect();
    let tag = |text: &str| Some(format!("\"{text}\""));
    assert_eq!(conditions, [None, tag("one"), tag("one"), None, tag("two")]);
}

#[tokio::test]
async fn a_304_that_nobody_asked_for_is_an_error() {
    let server = Server::start(|_| reply("304 Not Modified", &[], b""));
    let error = client(&server).poll().await.unwrap_err();
    assert!(matches!(error, ClientError::Document { .. }), "{error}");
    assert_eq!(error.advice(), Advice::Backoff);
}

async fn refused(
    status: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
) -> ClientError {
    let server = Server::start(move |_| reply(status, headers, body.as_bytes()));
    client(&server).poll().await.unwrap_err()
}

#[tokio::test]
async fn status_codes_have_rules() {
    let quota = r#"{"errorCode":"hawkbit.server.error.quota.tooManyEntries","message":"too many"}"#;
    let cases = [
        ("400 Bad Request", "", Advice::Never, "answered 400"),
        (
            "401 Unauthorized",
            "",
            Advice::Credentials,
            "the token or certificate is not accepted",
        ),
        (
            "403 Forbidden",
            "",
            Advice::Credentials,
            "refused to this device",
        ),
        (
            "404 Not Found",
            "{}",
            Advice::Resync,
            "the next poll will tell",
        ),
        ("409 Conflict", "", Advice::Conflict, "at the same time"),
        ("410 Gone", "", Advice::Gone, "the action is closed"),
        (
            "412 Precondition Failed",
            "",
            Advice::Resync,
            "answered 412",
        ),
        ("423 Locked", "", Advice::Backoff, "locked"),
        (
            "429 Too Many Requests",
            "",
            Advice::Backoff,
            "too many requests from this address",
        ),
        (
            "429 Too Many Requests",
            quota,
            Advice::Never,
            "a quota of the server is used up; it says \"too many\"",
        ),
        (
            "500 Oops",
            "<html>",
            Advice::Backoff,
            "the server is in trouble",
        ),
        (
            "503 Busy",
            "\u{1b}[31m",
            Advice::Backoff,
            "the server is in trouble",
        ),
    ];
    for (status, body, advice, text) in cases {
        let error = refused(status, &[], body).await;
        assert_eq!(error.advice(), advice, "{status} {body}");
        let message = error.to_string();
        assert!(
            message.contains(text) && message.contains(ROOT),
            "{message}"
        );
    }
}

#[tokio::test]
async fn the_server_may_ask_for_a_pause() {
    let error = refused("503 Busy", &[("Retry-After", "120")], "").await;
    assert_eq!(error.retry_after().unwrap().as_secs(), 120);
    for value in [
        &[("Retry-After", "-1")],
        &[("Retry-After", "Fri, 31 Dec 1999 23:59:59 GMT")],
    ] {
        assert_eq!(refused("503 Busy", value, "").await.retry_after(), None);
    }
}

#[tokio::test]
async fn the_api_does_not_redirect() {
    let elsewhere = Server::start(|_| json(json!({})));
    let target = format!("{}/login?session=s3cr3t", elsewhere.url());
    let server = Server::start(move |_| reply("302 Found", &[("Location", &target)], b""));
    let error = client(&server).poll().await.unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("/login, which is refused") && !message.contains("session"),
        "{message}"
    );
    assert_eq!(elsewhere.requests().len(), 0);
    assert_eq!(error.advice(), Advice::Backoff);
}

#[tokio::test]
async fn an_unreachable_server_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = Client::new(&crate::settings(&url)).unwrap();
    let error = client.poll().await.unwrap_err();
    assert_eq!(error.to_string(), format!("{url}{ROOT} cannot be reached"));
    assert_eq!(error.advice(), Advice::Backoff);
    assert!(
        crate::chain(&error).contains("refused"),
        "{}",
        crate::chain(&error)
    );
}

//! Tokens and certificates go to the configured server and nowhere else.

use roamcore_ddi::client::{Auth, Client, ClientError, Identity, Token};
use serde_json::json;

use crate::downloads::artifact;
use crate::server::{Request, Server, file, json, reply};
use crate::{TOKEN, Waits, chain, settings};

const BYTES: &[u8] = b"0123456789";

async fn fetch(client: &Client, url: String) -> Result<Vec<u8>, ClientError> {
    let mut source = client.source(&artifact(url, BYTES.len()), BYTES.len() as u64)?;
    let mut got = Vec::new();
    let mut sink = |bytes: &[u8]| {
        got.extend_from_slice(bytes);
        Ok(())
    };
    client
        .fetch(&mut source, 0..10, &Waits::default(), &mut sink)
        .await?;
    Ok(got)
}

fn files() -> Server {
    Server::start(|request| file(request, BYTES, "\"t\""))
}

fn authorizations(server: &Server) -> Vec<Option<String>> {
    server
        .requests()
        .iter()
        .map(|r| r.header("authorization").map(str::to_owned))
        .collect()
}

fn ours() -> Option<String> {
    Some(format!("TargetToken {TOKEN}"))
}

#[tokio::test]
async fn the_gateway_token_has_its_own_scheme() {
    let server = Server::start(|_| json(json!({})));
    let mut with = settings(&server.url());
    with.auth = Auth::GatewayToken(Token::new(" gw \n").unwrap());
    Client::new(&with).unwrap().poll().await.unwrap();
    assert_eq!(
        authorizations(&server),
        [Some("GatewayToken gw".to_owned())]
    );
}

#[tokio::test]
async fn the_own_host_gets_the_token_and_another_does_not() {
    let (own, other) = (files(), files());
    let client = Client::new(&settings(&own.url())).unwrap();
    assert_eq!(
        fetch(&client, format!("{}/f", own.url())).await.unwrap(),
        BYTES
    );
    assert_eq!(fetch(&client, "/relative/f".into()).await.unwrap(), BYTES);
    assert_eq!(
        fetch(&client, format!("{}/f?sig=1", other.url()))
            .await
            .unwrap(),
        BYTES
    );
    assert_eq!(authorizations(&own), [ours(), ours()]);
    assert_eq!(authorizations(&other), [None]);
    assert_eq!(other.requests()[0].target, "/f?sig=1");
}

#[tokio::test]
async fn the_same_host_under_another_name_or_port_is_another() {
    let server = files();
    let client = Client::new(&settings(&server.url())).unwrap();
    let port = server.address.port();
    assert_eq!(
        fetch(&client, format!("http://localhost:{port}/f"))
            .await
            .unwrap(),
        BYTES
    );
    assert_eq!(authorizations(&server), [None]);
}

#[tokio::test]
async fn redirects_are_followed_without_credentials() {
    let cdn = files();
    let to = format!("{}/f?sig=2", cdn.url());
    let own = Server::start(move |_| reply("302 Found", &[("Location", &to)], b""));
    let client = Client::new(&settings(&own.url())).unwrap();
    assert_eq!(
        fetch(&client, format!("{}/f", own.url())).await.unwrap(),
        BYTES
    );
    assert_eq!(authorizations(&own), [ours()]);
    assert_eq!(authorizations(&cdn), [None]);
    assert_eq!(cdn.requests()[0].header("range"), None);
}

#[tokio::test]
async fn who_sends_us_back_does_not_get_our_credentials_used() {
    let own = Server::start(|request: &Request| match request.target.as_str() {
        "/trap" => json(json!({})),
        _ => panic!("{request:?}"),
    });
    let trap = format!("{}/trap", own.url());
    let cdn = Server::start(move |_| reply("307 Temporary Redirect", &[("Location", &trap)], b""));
    let client = Client::new(&settings(&own.url())).unwrap();
    let result = fetch(&client, format!("{}/f", cdn.url())).await;
    assert!(result.is_err());
    assert_eq!(authorizations(&own), [None]);
}

#[tokio::test]
async fn redirects_end() {
    let server = Server::start(|request: &Request| {
        let next = format!("{}x", request.target);
        reply("301 Moved Permanently", &[("Location", &next)], b"")
    });
    let client = Client::new(&settings(&server.url())).unwrap();
    let error = fetch(&client, "/f".into()).await.unwrap_err();
    assert!(
        error.to_string().contains("one redirect too many"),
        "{error}"
    );
    assert_eq!(server.requests().len() % 6, 0);
}

#[tokio::test]
async fn bad_redirects_are_refused() {
    for (to, why) in [
        ("file:///etc/passwd", "only https and http are known"),
        ("http://u:pw@h/", "it holds a user name or password"),
        ("http://[", "it names no address"),
    ] {
        let server = Server::start(move |_| reply("302 Found", &[("Location", to)], b""));
        let client = Client::new(&settings(&server.url())).unwrap();
        let message = fetch(&client, "/f".into()).await.unwrap_err().to_string();
        assert!(
            message.contains(why) && !message.contains("pw"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn a_401_from_another_host_says_why() {
    let other = Server::start(|_| reply("401 Unauthorized", &[], b""));
    let client = Client::new(&settings("http://127.0.0.1:1")).unwrap();
    let error = fetch(&client, format!("{}/f", other.url()))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("no credentials were sent"),
        "{error}"
    );
}

#[tokio::test]
async fn no_error_and_no_debug_shows_a_secret() {
    let pem = Identity::new(crate::data("device.pem"));
    for auth in [
        Auth::TargetToken(Token::new(TOKEN).unwrap()),
        Auth::Certificate(pem),
    ] {
        let server = Server::start(|request: &Request| match request.target.as_str() {
            "/f?sig=s3cr3t-sig" => reply("403 Forbidden", &[], b""),
            "/cut?sig=s3cr3t-sig" => vec![crate::server::Act::Close],
            _ => reply("401 Unauthorized", &[], b"{\"message\": \"no\"}"),
        });
        let mut with = settings(&server.url());
        with.auth = auth;
        let client = Client::new(&with).unwrap();
        let mut texts = format!("{with:?} {client:?}");
        for result in [
            client.poll().await.map(drop),
            fetch(&client, "/f?sig=s3cr3t-sig".into()).await.map(drop),
            fetch(&client, "/cut?sig=s3cr3t-sig".into()).await.map(drop),
            fetch(&client, "ftp://u:s3cr3t-pw@h/f?sig=s3cr3t-sig".into())
                .await
                .map(drop),
        ] {
            let error = result.unwrap_err();
            texts += &format!("{} {error:?}", chain(&error));
        }
        assert!(!texts.contains("s3cr3t"), "{texts}");
        assert!(
            !texts.contains("PRIVATE") && !texts.contains("MIG"),
            "{texts}"
        );
    }
}

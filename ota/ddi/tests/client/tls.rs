//! Only the pinned CA is believed, and the certificate of the device is shown to its server only.

use roamcore_ddi::client::{Auth, Client, ClientError, Identity, SetupError};
use serde_json::json;

use crate::downloads::artifact;
use crate::server::{Server, file, json};
use crate::{Waits, chain, data, settings};

fn with(server: &Server, ca: &str) -> roamcore_ddi::client::Settings {
    let mut settings = settings(&server.url());
    settings.roots.server = data(ca);
    settings.plaintext = false;
    settings.limits.answer = std::time::Duration::from_secs(5);
    settings.limits.document = std::time::Duration::from_secs(5);
    settings
}

fn server(name: &str) -> Server {
    Server::tls(name, false, |_| json(json!({})))
}

async fn poll(settings: &roamcore_ddi::client::Settings) -> Result<(), ClientError> {
    Client::new(settings).unwrap().poll().await.map(drop)
}

#[tokio::test]
async fn the_pinned_ca_is_believed_and_no_other() {
    poll(&with(&server("server"), "ca.pem")).await.unwrap();
    let cases = [
        (
            "server",
            "other-ca.pem",
            "its certificate is not from the configured CA",
        ),
        ("elsewhere", "ca.pem", "its certificate is for another name"),
        ("expired", "ca.pem", "is the clock set?"),
    ];
    for (name, ca, hint) in cases {
        let server = server(name);
        let error = poll(&with(&server, ca)).await.unwrap_err();
        assert!(
            error.to_string().contains(hint),
            "{name}: {}",
            chain(&error)
        );
        assert_eq!(server.requests().len(), 0, "{name}: the token was sent");
    }
}

#[tokio::test]
async fn plaintext_needs_to_be_allowed() {
    let server = Server::start(|_| json(json!({})));
    let error = Client::new(&with(&server, "ca.pem")).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("everybody on the way can read the token"),
        "{error}"
    );
}

#[tokio::test]
async fn the_device_shows_its_certificate_to_its_server_only() {
    let own = Server::tls("server", true, |_| json(json!({})));
    let mut settings = with(&own, "ca.pem");
    settings.auth = Auth::Certificate(Identity::new(data("device.pem")));
    let client = Client::new(&settings).unwrap();
    client.poll().await.unwrap();
    assert_eq!(own.requests()[0].header("authorization"), None);

    // Another server of the same CA that wants a certificate gets none, and breaks off.
    let other = Server::tls("server", true, |request| file(request, b"x", "\"t\""));
    let mut source = client
        .source(&artifact(format!("{}/f", other.url()), 1), 1)
        .unwrap();
    let mut sink = |_: &[u8]| Ok(());
    let error = client
        .attempt(&mut source, 0..1, &mut sink)
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::Network { .. }), "{error}");
    assert_eq!(other.requests().len(), 0);
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_is_understood() {
    let server = Server::tls("server", true, |_| json(json!({})));
    let error = poll(&with(&server, "ca.pem")).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("does it want another client certificate?"),
        "{}",
        chain(&error)
    );
}

#[tokio::test]
async fn other_hosts_may_have_a_ca_of_their_own() {
    let own = server("server");
    let cdn = Server::tls("server", false, |request| file(request, b"x", "\"t\""));
    for (others, works) in [
        (None, true),
        (Some("other-ca.pem"), false),
        (Some("ca.pem"), true),
    ] {
        let mut settings = with(&own, "ca.pem");
        settings.roots.others = others.map(data);
        let client = Client::new(&settings).unwrap();
        let mut source = client
            .source(&artifact(format!("{}/f", cdn.url()), 1), 1)
            .unwrap();
        let mut sink = |_: &[u8]| Ok(());
        let result = client
            .fetch(&mut source, 0..1, &Waits::default(), &mut sink)
            .await;
        assert_eq!(result.is_ok(), works, "{others:?}");
    }
}

#[tokio::test]
async fn tls_is_not_left_by_a_redirect() {
    let plain = Server::start(|request| file(request, b"x", "\"t\""));
    let to = format!("{}/f", plain.url());
    let own = Server::tls("server", false, move |_| {
        crate::server::reply("302 Found", &[("Location", &to)], b"")
    });
    let client = Client::new(&with(&own, "ca.pem")).unwrap();
    let mut source = client.source(&artifact("/f".into(), 1), 1).unwrap();
    let mut sink = |_: &[u8]| Ok(());
    let error = client
        .attempt(&mut source, 0..1, &mut sink)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("it would leave TLS"), "{error}");
    assert_eq!(plain.requests().len(), 0);
}

#[test]
fn unusable_certificates_are_refused_at_the_start() {
    let mut bad = settings("https://h");
    for (pem, why) in [
        (&b""[..], "no certificate in PEM was found in it"),
        (
            b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n",
            "damaged PEM",
        ),
    ] {
        bad.roots.server = pem.to_vec();
        let error = Client::new(&bad).unwrap_err().to_string();
        assert!(
            error.contains("the server's CA") && error.contains(why),
            "{error}"
        );
    }
    bad.roots.server = data("ca.pem");
    for name in ["ca.pem", "README.md"] {
        bad.auth = Auth::Certificate(Identity::new(data(name)));
        assert!(
            matches!(Client::new(&bad), Err(SetupError::Certificates { .. })),
            "{name}"
        );
    }
}

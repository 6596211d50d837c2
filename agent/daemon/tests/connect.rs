//! What the settings say of who the device is and whom it believes, as the server sees it.

#![allow(clippy::unwrap_used, reason = "test helpers, too, may panic")]

#[allow(dead_code, reason = "the DDI client's tests use the rest")]
#[path = "../../../ota/ddi/tests/client/server.rs"]
mod server;

use std::fs;
use std::path::{Path, PathBuf};

use roamcore_daemon::chain::chain;
use roamcore_daemon::config::Config;
use roamcore_daemon::connect::{Ready, connect};
use roamcore_daemon::image::Image;
use roamcore_daemon::places::Places;
use serde_json::json;
use server::Server;
use tempfile::TempDir;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../ota/ddi/tests/data")
        .join(name)
}

fn data(name: &str) -> Vec<u8> {
    fs::read(path(name)).unwrap()
}

/// A device with settings, credentials and a list of public CAs in which the server's is not.
struct Device(TempDir);

impl Device {
    fn new(settings: &str) -> Self {
        let device = Self(tempfile::tempdir().unwrap());
        let places = device.places();
        for dir in [
            places.etc.join("roamcore"),
            places.etc.join("ssl/certs"),
            device.credentials(),
        ] {
            fs::create_dir_all(dir).unwrap();
        }
        fs::write(places.config(), format!("schema = 1\n[server]\n{settings}")).unwrap();
        fs::write(places.system_roots(), data("other-ca.pem")).unwrap();
        fs::write(
            device.credentials().join("roamcore.who"),
            data("device.pem"),
        )
        .unwrap();
        fs::write(device.credentials().join("roamcore.token"), "s3cr3t\n").unwrap();
        device
    }

    fn places(&self) -> Places {
        Places::below(self.0.path())
    }

    fn credentials(&self) -> PathBuf {
        self.0.path().join("credentials")
    }

    fn connect(&self) -> Result<Ready, String> {
        let server = Config::load(&self.places().config())
            .unwrap()
            .server
            .unwrap();
        let image = Image {
            product: "bare".into(),
            board: "vp2430".into(),
            version: "1.0.0".into(),
            development: true,
            made: None,
        };
        let ready = connect(&server, &image, &self.places(), Some(&self.credentials()));
        ready.map_err(|error| chain(&error))
    }

    async fn poll(&self) -> Result<(), String> {
        let ready = self.connect().unwrap();
        ready
            .client
            .poll()
            .await
            .map(drop)
            .map_err(|error| chain(&error))
    }
}

fn settings(server: &Server, ca: &str, auth: &str) -> String {
    format!(
        "url = \"{}\"\ncontroller-id = \"van-7\"\n{ca}auth.{auth}\n",
        server.url()
    )
}

fn pinned() -> String {
    format!("ca = \"{}\"\n", path("ca.pem").display())
}

#[tokio::test]
async fn each_kind_of_token_over_tls() {
    for (auth, shown) in [
        ("target-token.credential", "TargetToken s3cr3t"),
        ("gateway-token.credential", "GatewayToken s3cr3t"),
    ] {
        let server = Server::tls("server", false, |_| server::json(json!({})));
        let auth = format!("{auth} = \"roamcore.token\"");
        let device = Device::new(&settings(&server, &pinned(), &auth));
        device.poll().await.unwrap();
        assert_eq!(server.requests()[0].header("authorization"), Some(shown));
    }
}

#[tokio::test]
async fn a_certificate_instead_of_a_token() {
    let server = Server::tls("server", true, |_| server::json(json!({})));
    let auth = "certificate.credential = \"roamcore.who\"";
    Device::new(&settings(&server, &pinned(), auth))
        .poll()
        .await
        .unwrap();
    assert_eq!(server.requests()[0].header("authorization"), None);
    // The server takes nobody without one.
    let auth = "target-token.credential = \"roamcore.token\"";
    let refused = Device::new(&settings(&server, &pinned(), auth))
        .poll()
        .await
        .unwrap_err();
    assert!(refused.contains("another client certificate"), "{refused}");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn without_a_pinned_ca_the_public_ones_are_believed() {
    let server = Server::tls("server", false, |_| server::json(json!({})));
    let auth = "target-token.credential = \"roamcore.token\"";
    let device = Device::new(&settings(&server, "", auth));
    let refused = device.poll().await.unwrap_err();
    assert!(refused.contains("not from the configured CA"), "{refused}");
    assert_eq!(server.requests().len(), 0, "the token was sent");
    fs::write(device.places().system_roots(), data("ca.pem")).unwrap();
    device.poll().await.unwrap();
}

#[tokio::test]
async fn what_the_settings_name_and_is_not_there() {
    let server = Server::tls("server", false, |_| server::json(json!({})));
    for (ca, auth, why) in [
        (
            pinned(),
            "gateway-token.credential = \"roamcore.none\"",
            "put a file of that name into /etc/credstore",
        ),
        (
            pinned(),
            "certificate.credential = \"roamcore.token\"",
            "certificate",
        ),
        (
            "ca = \"/nowhere/ca.pem\"\n".to_owned(),
            "gateway-token.credential = \"roamcore.token\"",
            "/nowhere/ca.pem",
        ),
    ] {
        let refused = Device::new(&settings(&server, &ca, auth))
            .connect()
            .map(|_| ())
            .unwrap_err();
        assert!(refused.contains(why), "{auth}: {refused}");
        assert!(!refused.contains("s3cr3t"), "{refused}");
    }
}

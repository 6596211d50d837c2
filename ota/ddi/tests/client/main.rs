//! The client against servers that misbehave, one rule per test.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed test is a panic"
)]

mod credentials;
mod documents;
mod downloads;
mod hostile;
mod server;
mod stalls;
mod tls;

use std::future::Future;
use std::sync::Mutex;
use std::time::Duration;

use roamcore_ddi::client::retry::Clock;
use roamcore_ddi::client::{Auth, Client, Limits, Roots, Settings, Token};

const TOKEN: &str = "s3cr3t-t0k3n";

fn data(name: &str) -> Vec<u8> {
    std::fs::read(
        std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/data")
            .join(name),
    )
    .unwrap()
}

/// Limits that let a test of a time-out end soon.
fn quick() -> Limits {
    Limits {
        connect: Duration::from_millis(500),
        answer: Duration::from_millis(500),
        document: Duration::from_millis(800),
        idle: Duration::from_millis(300),
        window: Duration::from_millis(600),
        slowest: 100,
        skip: 1000,
        attempts: 4,
    }
}

fn settings(server: &str) -> Settings {
    Settings {
        server: server.to_owned(),
        tenant: "DEFAULT".to_owned(),
        controller: "van-7".to_owned(),
        auth: Auth::TargetToken(Token::new(TOKEN).unwrap()),
        roots: Roots {
            server: data("ca.pem"),
            others: None,
        },
        plaintext: true,
        limits: quick(),
        agent: "roamcore-test/1".to_owned(),
    }
}

fn client(server: &server::Server) -> Client {
    Client::new(&settings(&server.url())).unwrap()
}

/// Notes the waits instead of waiting.
#[derive(Default)]
struct Waits(Mutex<Vec<Duration>>);

impl Waits {
    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl Clock for Waits {
    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send {
        self.0.lock().unwrap().push(time);
        std::future::ready(())
    }

    fn random(&self) -> u64 {
        u64::MAX / 2
    }
}

/// The whole chain of causes, as a log would have it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

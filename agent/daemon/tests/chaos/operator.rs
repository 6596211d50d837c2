//! The operator: the fleet server's management API.

use std::collections::BTreeMap;

use reqwest::Method;
use roamcore_fleet::Kind;
use roamcore_fleet::wire::{
    ActionInfo, ChangeAction, Deploy, Deployed, NewModule, NewRelease, NewTarget, ReleaseInfo,
    TargetInfo, TokenShown, WindowSpec,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;

pub struct Operator {
    http: reqwest::Client,
    runtime: Handle,
    url: String,
    token: String,
}

/// A release as an order names it.
pub struct Order {
    pub release: i64,
    pub kind: Kind,
    pub window: Option<WindowSpec>,
    pub confirm: bool,
}

impl Operator {
    pub fn new(runtime: Handle, url: String, token: String) -> Self {
        // A server that was killed leaves connections behind that look usable.
        let http = reqwest::Client::builder()
            .tls_certs_only([])
            .no_proxy()
            .pool_max_idle_per_host(0)
            .build()
            .unwrap();
        Self {
            http,
            runtime,
            url,
            token,
        }
    }

    fn raw(&self, method: Method, path: &str, body: Vec<u8>) -> (u16, Vec<u8>) {
        let request = self
            .http
            .request(method, format!("{}/api/v1/{path}", self.url))
            .bearer_auth(&self.token)
            .header("content-type", "application/json")
            .body(body);
        self.runtime.block_on(async {
            let answer = request.send().await.unwrap();
            let status = answer.status().as_u16();
            (status, answer.bytes().await.unwrap().to_vec())
        })
    }

    fn send<T: DeserializeOwned>(&self, method: Method, path: &str, body: &impl Serialize) -> T {
        let (status, answer) = self.raw(method, path, serde_json::to_vec(body).unwrap());
        let text = String::from_utf8_lossy(&answer);
        assert!((200..300).contains(&status), "{path}: {status} {text}");
        serde_json::from_slice(&answer).unwrap()
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        self.send(Method::GET, path, &())
    }

    pub fn add_target(&self, id: &str) -> String {
        let wanted = NewTarget {
            id: id.into(),
            ..NewTarget::default()
        };
        let shown: TokenShown = self.send(Method::POST, "targets", &wanted);
        shown.token
    }

    pub fn add_release(&self, version: &str, files: &[(&str, Vec<u8>)]) -> i64 {
        let module = NewModule {
            part: "os".into(),
            name: "bare".into(),
            version: version.into(),
            metadata: BTreeMap::new(),
        };
        let wanted = NewRelease {
            name: "bare".into(),
            version: version.into(),
            modules: vec![module],
            note: BTreeMap::new(),
        };
        let made: ReleaseInfo = self.send(Method::POST, "releases", &wanted);
        let module = made.modules[0].id;
        for (name, bytes) in files {
            let path = format!("releases/{}/modules/{module}/artifacts/{name}", made.id);
            assert_eq!(self.raw(Method::PUT, &path, bytes.clone()).0, 201, "{path}");
        }
        made.id
    }

    /// The action, or none when the target has the release assigned already.
    pub fn deploy(&self, target: &str, order: Order) -> Option<i64> {
        let wanted = Deploy {
            release: order.release,
            targets: vec![target.into()],
            kind: order.kind,
            weight: None,
            window: order.window,
            confirm: order.confirm,
            offline: false,
        };
        let deployed: Deployed = self.send(Method::POST, "deployments", &wanted);
        deployed.assigned.get(target).copied()
    }

    /// Whether it was still possible.
    pub fn cancel(&self, action: &str, force: bool) -> bool {
        let path = format!("actions/{action}?force={force}");
        let (status, answer) = self.raw(Method::DELETE, &path, Vec::new());
        let text = String::from_utf8_lossy(&answer);
        assert!([200, 405, 410].contains(&status), "{path}: {status} {text}");
        status == 200
    }

    /// Whether it was still possible.
    pub fn force(&self, action: &str) -> bool {
        let change = serde_json::to_vec(&ChangeAction { kind: Kind::Forced }).unwrap();
        let (status, answer) = self.raw(Method::PUT, &format!("actions/{action}"), change);
        let text = String::from_utf8_lossy(&answer);
        assert!([200, 410].contains(&status), "{action}: {status} {text}");
        status == 200
    }

    pub fn action(&self, action: &str) -> ActionInfo {
        self.get(&format!("actions/{action}"))
    }

    pub fn target(&self, id: &str) -> TargetInfo {
        self.get(&format!("targets/{id}"))
    }
}

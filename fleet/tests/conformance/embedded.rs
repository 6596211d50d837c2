//! The embedded server, in this process; its operator uses the management API like any other.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use roamcore_fleet::wire::{
    ActionInfo, ChangeAction, Confirm, Deploy, Deployed as WireDeployed, NewModule, NewRelease,
    NewTarget, ReleaseInfo, SetToken, TargetInfo, WindowSpec,
};
use roamcore_fleet::{Kind, Options, Patience, Quotas, RateLimit, Server, Settings};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;

use crate::server::{
    Action, Deployed, Entry, ModuleSpec, Order, Pending, Release, ServerUnderTest, Setting, Target,
    Which,
};

const GATEWAY: &str = "gateway-token-for-tests";
const AUTHORITY: &str = "fleet-test-authority";
const ENTRIES: usize = 100;

/// The server under test.
pub struct Embedded {
    http: reqwest::Client,
    token: String,
    devices: String,
    operators: String,
    options: Options,
    running: Mutex<Option<Server>>,
    _dir: tempfile::TempDir,
}

impl Embedded {
    /// Starts one in a directory that vanishes.
    pub async fn start() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let mut options = Options {
            trusted_proxies: vec![[127, 0, 0, 1].into()],
            rate_limit: Some(RateLimit {
                reads: 20,
                writes: 20,
                private_too: false,
            }),
            quotas: Quotas {
                entries: ENTRIES,
                ..Quotas::default()
            },
            patience: Patience {
                request: Duration::from_secs(3),
                ..Patience::default()
            },
            ..Options::new(dir.path().join("state"))
        };
        let server = Server::start(options.clone()).await?;
        let (devices, operators) = (server.device_url(), server.manage_url());
        let address = |url: &str| url.trim_start_matches("http://").parse();
        (options.listen, options.manage) = (address(&devices)?, address(&operators)?);
        let token = std::fs::read_to_string(server.token_file())?
            .trim()
            .to_owned();
        let embedded = Embedded {
            http: reqwest::Client::builder()
                .tls_certs_only([])
                .no_proxy()
                .build()?,
            token,
            devices,
            operators,
            options,
            running: Mutex::new(Some(server)),
            _dir: dir,
        };
        let gateway = SetToken {
            token: Some(GATEWAY.into()),
        };
        let _: serde_json::Value = embedded
            .send(Method::PUT, "settings/gateway-token", &gateway)
            .await?;
        let settings = Settings {
            poll_interval: "00:00:05".into(),
            poll_minimum: "00:00:01".into(),
            confirmation_flow: false,
            authorities: vec![AUTHORITY.into()],
            ..Settings::default()
        };
        let _: Settings = embedded.send(Method::PUT, "settings", &settings).await?;
        Ok(embedded)
    }

    async fn raw(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<(u16, Vec<u8>)> {
        let mut request = self
            .http
            .request(method, format!("{}/api/v1/{path}", self.operators))
            .bearer_auth(&self.token);
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body);
        }
        let answer = request.send().await?;
        Ok((answer.status().as_u16(), answer.bytes().await?.to_vec()))
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T> {
        let (status, answer) = self
            .raw(method, path, Some(serde_json::to_vec(body)?))
            .await?;
        ensure!(
            (200..300).contains(&status),
            "{path}: {status} {}",
            String::from_utf8_lossy(&answer)
        );
        Ok(serde_json::from_slice(&answer)?)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let (status, answer) = self.raw(Method::GET, path, None).await?;
        ensure!(
            status == 200,
            "{path}: {status} {}",
            String::from_utf8_lossy(&answer)
        );
        Ok(serde_json::from_slice(&answer)?)
    }

    async fn upload(&self, release: i64, module: i64, name: &str, bytes: Vec<u8>) -> Result<u16> {
        let path = format!("releases/{release}/modules/{module}/artifacts/{name}");
        Ok(self.raw(Method::PUT, &path, Some(bytes)).await?.0)
    }
}

fn pair(release: Option<roamcore_fleet::wire::ReleaseRef>) -> Option<(String, String)> {
    release.map(|release| (release.name, release.version))
}

impl ServerUnderTest for Embedded {
    fn which(&self) -> Which {
        Which::Embedded
    }

    fn url(&self) -> String {
        self.devices.clone()
    }

    fn gateway_token(&self) -> &str {
        GATEWAY
    }

    fn authority(&self) -> &str {
        AUTHORITY
    }

    fn entry_quota(&self) -> usize {
        ENTRIES
    }

    fn add_target<'a>(&'a self, id: &'a str, token: &'a str) -> Pending<'a, ()> {
        Box::pin(async move {
            let wanted = NewTarget {
                id: id.into(),
                name: None,
                token: Some(token.into()),
            };
            self.send::<serde_json::Value>(Method::POST, "targets", &wanted)
                .await
                .map(drop)
        })
    }

    fn add_release<'a>(&'a self, name: &'a str, modules: &'a [ModuleSpec]) -> Pending<'a, Release> {
        Box::pin(async move {
            let spec = |(n, module): (usize, &ModuleSpec)| NewModule {
                part: module.part.into(),
                name: format!("{name}-{n}"),
                version: "1".into(),
                metadata: module.metadata.clone(),
            };
            let wanted = NewRelease {
                name: name.into(),
                version: "1".into(),
                modules: modules.iter().enumerate().map(spec).collect(),
                note: Default::default(),
            };
            let made: ReleaseInfo = self.send(Method::POST, "releases", &wanted).await?;
            for (module, spec) in made.modules.iter().zip(modules) {
                for (file, bytes) in &spec.files {
                    let status = self.upload(made.id, module.id, file, bytes.clone()).await?;
                    ensure!(status == 201, "upload of {file}: {status}");
                }
            }
            Ok(Release {
                id: made.id.try_into()?,
                name: made.name,
                version: made.version,
                modules: made
                    .modules
                    .iter()
                    .map(|module| module.id.unsigned_abs())
                    .collect(),
            })
        })
    }

    fn add_file<'a>(
        &'a self,
        release: &'a Release,
        name: &'a str,
        bytes: &'a [u8],
    ) -> Pending<'a, u16> {
        Box::pin(async move {
            let module = *release.modules.first().context("no module")?;
            self.upload(
                release.id.try_into()?,
                module.try_into()?,
                name,
                bytes.to_vec(),
            )
            .await
        })
    }

    fn deploy<'a>(
        &'a self,
        release: &'a Release,
        target: &'a str,
        order: &'a Order,
    ) -> Pending<'a, Deployed> {
        Box::pin(async move {
            let window = order
                .window
                .clone()
                .map(|(schedule, duration, timezone)| WindowSpec {
                    schedule,
                    duration,
                    timezone,
                });
            let wanted = Deploy {
                release: release.id.try_into()?,
                targets: vec![target.into()],
                kind: order.kind,
                weight: order.weight,
                window,
                confirm: order.confirm,
                offline: false,
            };
            let (status, answer) = self
                .raw(
                    Method::POST,
                    "deployments",
                    Some(serde_json::to_vec(&wanted)?),
                )
                .await?;
            if status != 200 {
                return Ok(Deployed::Refused(status));
            }
            let answer: WireDeployed = serde_json::from_slice(&answer)?;
            Ok(answer
                .assigned
                .get(target)
                .map_or(Deployed::Already, |id| Deployed::Action(id.unsigned_abs())))
        })
    }

    fn cancel<'a>(&'a self, _: &'a str, action: u64, force: bool) -> Pending<'a, u16> {
        Box::pin(async move {
            Ok(self
                .raw(
                    Method::DELETE,
                    &format!("actions/{action}?force={force}"),
                    None,
                )
                .await?
                .0)
        })
    }

    fn force<'a>(&'a self, _: &'a str, action: u64) -> Pending<'a, ()> {
        Box::pin(async move {
            let change = ChangeAction { kind: Kind::Forced };
            self.send::<ActionInfo>(Method::PUT, &format!("actions/{action}"), &change)
                .await
                .map(drop)
        })
    }

    fn confirm<'a>(&'a self, _: &'a str, action: u64, word: &'a str) -> Pending<'a, u16> {
        Box::pin(async move {
            let confirmation = serde_json::from_value(word.into())?;
            let body = serde_json::to_vec(&Confirm {
                confirmation,
                code: None,
                details: Vec::new(),
            })?;
            Ok(self
                .raw(
                    Method::POST,
                    &format!("actions/{action}/confirmation"),
                    Some(body),
                )
                .await?
                .0)
        })
    }

    fn action<'a>(&'a self, _: &'a str, action: u64) -> Pending<'a, Action> {
        Box::pin(async move {
            let found: ActionInfo = self.get(&format!("actions/{action}")).await?;
            let entries = found.history.unwrap_or_default().into_iter();
            Ok(Action {
                status: found.status,
                active: found.active,
                code: found.last_code.map(i64::from),
                entries: entries
                    .map(|entry| Entry {
                        status: entry.status,
                        code: entry.code.map(i64::from),
                        messages: entry.messages,
                    })
                    .collect(),
            })
        })
    }

    fn target<'a>(&'a self, id: &'a str) -> Pending<'a, Target> {
        Box::pin(async move {
            let found: TargetInfo = self.get(&format!("targets/{id}")).await?;
            Ok(Target {
                state: found.state,
                installed: pair(found.installed),
                assigned: pair(found.assigned),
                attributes: found.attributes.unwrap_or_default(),
            })
        })
    }

    fn set<'a>(&'a self, setting: &'a Setting) -> Pending<'a, ()> {
        Box::pin(async move {
            let mut settings: serde_json::Value = self.get("settings").await?;
            match setting {
                Setting::ConfirmationFlow(on) => settings["confirmation_flow"] = (*on).into(),
                Setting::Autoclose(on) => settings["autoclose"] = (*on).into(),
                Setting::PollInterval(text) => settings["poll_interval"] = (*text).into(),
            }
            self.send::<Settings>(Method::PUT, "settings", &settings)
                .await
                .map(drop)
        })
    }

    fn restart(&self) -> Pending<'_, ()> {
        Box::pin(async move {
            let mut running = self.running.lock().await;
            if let Some(server) = running.take() {
                server.stop().await;
            }
            *running = Some(Server::start(self.options.clone()).await?);
            Ok(())
        })
    }
}

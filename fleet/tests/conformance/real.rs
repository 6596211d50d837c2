//! Real hawkBit behind the same trait.

use anyhow::{Context, Result, bail};
use roamcore_fleet::Kind;
use serde_json::{Value, json};
use tokio::sync::RwLock;

use crate::hawkbit::{Absent, GATEWAY_TOKEN, Hawkbit, Module};
use crate::server::{
    Action, Deployed, Entry, ModuleSpec, Order, Pending, Release, ServerUnderTest, Setting, Target,
    Which,
};

const AUTHORITY: &str = "fleet-test-authority";
/// A thousand, hawkBit's default, would take it a minute.
const ENTRIES: usize = 100;

/// hawkBit under test.
pub struct Real {
    url: String,
    hawkbit: RwLock<Hawkbit>,
}

impl Real {
    /// Starts it, or says why not.
    pub async fn start() -> Result<std::result::Result<Self, Absent>> {
        let quota = format!("--hawkbit.server.security.dos.maxStatusEntriesPerAction={ENTRIES}");
        // Counted are only requests that claim, by X-Forwarded-For, to come from a public address.
        let reads = "--hawkbit.server.security.dos.filter.maxRead=20";
        let hawkbit = match Hawkbit::start(&[&quota, reads]).await? {
            Ok(hawkbit) => hawkbit,
            Err(absent) => return Ok(Err(absent)),
        };
        hawkbit
            .configure("authentication.header.enabled", &json!(true))
            .await?;
        hawkbit
            .configure("authentication.header.authority", &json!(AUTHORITY))
            .await?;
        Ok(Ok(Real {
            url: hawkbit.url().to_owned(),
            hawkbit: RwLock::new(hawkbit),
        }))
    }
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Forced => "forced",
        Kind::Soft => "soft",
        Kind::TimeForced { .. } => "timeforced",
        Kind::DownloadOnly => "downloadonly",
    }
}

fn set_name(set: &Value) -> Option<(String, String)> {
    Some((
        set["name"].as_str()?.to_owned(),
        set["version"].as_str()?.to_owned(),
    ))
}

fn parse<T: std::str::FromStr>(value: &Value) -> Result<T> {
    let text = value
        .as_str()
        .with_context(|| format!("{value} is no text"))?;
    match text.parse() {
        Ok(parsed) => Ok(parsed),
        Err(_) => bail!("{text:?} is a state that the reference does not know"),
    }
}

impl ServerUnderTest for Real {
    fn which(&self) -> Which {
        Which::Hawkbit
    }

    fn url(&self) -> String {
        self.url.clone()
    }

    fn gateway_token(&self) -> &str {
        GATEWAY_TOKEN
    }

    fn authority(&self) -> &str {
        AUTHORITY
    }

    fn entry_quota(&self) -> usize {
        ENTRIES
    }

    fn add_target<'a>(&'a self, id: &'a str, token: &'a str) -> Pending<'a, ()> {
        Box::pin(async move { self.hawkbit.read().await.add_target(id, token).await })
    }

    fn add_release<'a>(&'a self, name: &'a str, modules: &'a [ModuleSpec]) -> Pending<'a, Release> {
        Box::pin(async move {
            let names: Vec<String> = (0..modules.len()).map(|n| format!("{name}-{n}")).collect();
            let specs: Vec<Module<'_>> = modules
                .iter()
                .zip(&names)
                .map(|(module, name)| Module {
                    part: module.part,
                    name,
                    version: "1",
                    files: &module.files,
                    metadata: &module.metadata,
                })
                .collect();
            let set = self.hawkbit.read().await.add_set(name, "1", &specs).await?;
            Ok(Release {
                id: set.id,
                name: name.into(),
                version: "1".into(),
                modules: set.modules,
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
            Ok(self
                .hawkbit
                .read()
                .await
                .upload(module, name, bytes)
                .await?
                .0
                .as_u16())
        })
    }

    fn deploy<'a>(
        &'a self,
        release: &'a Release,
        target: &'a str,
        order: &'a Order,
    ) -> Pending<'a, Deployed> {
        Box::pin(async move {
            let mut options =
                json!({"type": word(order.kind), "confirmationRequired": order.confirm});
            if let Kind::TimeForced { force_at } = order.kind {
                options["forcetime"] = force_at.into();
            }
            if let Some(weight) = order.weight {
                options["weight"] = weight.into();
            }
            if let Some((schedule, duration, timezone)) = &order.window {
                options["maintenanceWindow"] =
                    json!({"schedule": schedule, "duration": duration, "timezone": timezone});
            }
            let (status, action) = self
                .hawkbit
                .read()
                .await
                .assign(release.id, target, &options)
                .await?;
            Ok(match (status.is_success(), action) {
                (true, Some(action)) => Deployed::Action(action),
                (true, None) => Deployed::Already,
                (false, _) => Deployed::Refused(status.as_u16()),
            })
        })
    }

    fn cancel<'a>(&'a self, target: &'a str, action: u64, force: bool) -> Pending<'a, u16> {
        Box::pin(async move {
            Ok(self
                .hawkbit
                .read()
                .await
                .cancel(target, action, force)
                .await?
                .as_u16())
        })
    }

    fn force<'a>(&'a self, target: &'a str, action: u64) -> Pending<'a, ()> {
        Box::pin(async move { self.hawkbit.read().await.force(target, action).await })
    }

    fn confirm<'a>(&'a self, target: &'a str, action: u64, word: &'a str) -> Pending<'a, u16> {
        Box::pin(async move {
            Ok(self
                .hawkbit
                .read()
                .await
                .confirm(target, action, word)
                .await?
                .as_u16())
        })
    }

    fn action<'a>(&'a self, target: &'a str, action: u64) -> Pending<'a, Action> {
        Box::pin(async move {
            let hawkbit = self.hawkbit.read().await;
            let found = hawkbit.action(target, action).await?;
            let mut entries = Vec::new();
            for entry in hawkbit.entries(target, action).await? {
                let messages = entry["messages"].as_array().into_iter().flatten();
                entries.push(Entry {
                    status: parse(&entry["type"])?,
                    code: entry["code"].as_i64(),
                    messages: messages
                        .filter_map(|m| m.as_str())
                        .map(str::to_owned)
                        .collect(),
                });
            }
            Ok(Action {
                status: parse(&found["status"])?,
                active: found["active"].as_bool().context("active")?,
                code: found["lastStatusCode"].as_i64(),
                entries,
            })
        })
    }

    fn target<'a>(&'a self, id: &'a str) -> Pending<'a, Target> {
        Box::pin(async move {
            let hawkbit = self.hawkbit.read().await;
            let found = hawkbit.of_target(id, "").await?;
            let attributes = hawkbit.of_target(id, "/attributes").await?;
            let attributes = attributes.as_object().into_iter().flatten();
            Ok(Target {
                state: parse(&found["updateStatus"])?,
                installed: set_name(&hawkbit.of_target(id, "/installedDS").await?),
                assigned: set_name(&hawkbit.of_target(id, "/assignedDS").await?),
                attributes: attributes
                    .map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_owned()))
                    .collect(),
            })
        })
    }

    fn set<'a>(&'a self, setting: &'a Setting) -> Pending<'a, ()> {
        let (key, value) = match setting {
            Setting::ConfirmationFlow(on) => ("user.confirmation.flow.enabled", json!(on)),
            Setting::Autoclose(on) => ("repository.actions.autoclose.enabled", json!(on)),
            Setting::PollInterval(text) => ("pollingTime", json!(text)),
        };
        Box::pin(async move { self.hawkbit.read().await.configure(key, &value).await })
    }

    fn restart(&self) -> Pending<'_, ()> {
        Box::pin(async move { self.hawkbit.write().await.restart().await })
    }
}

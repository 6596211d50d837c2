//! `settings`.

use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};

use super::Common;
use super::client::Failure;
use super::output::{plain, print};
use crate::settings::Settings;
use crate::wire::{SetToken, TokenShown};

/// Settings of the whole fleet
#[derive(Subcommand)]
pub(crate) enum SettingsVerb {
    /// Show all
    #[command(after_help = "Example:\n  roamcore-fleet settings show")]
    Show,
    /// Change one
    #[command(after_help = "Example:\n  roamcore-fleet settings set poll_interval 00:10:00")]
    Set {
        /// As `settings show` names it
        key: String,
        /// Text, number, true or false; a JSON list where there are several
        value: String,
    },
    /// Make a gateway token, with which devices register themselves, and show it, this once
    #[command(after_help = "Example:\n  roamcore-fleet settings gateway-token")]
    GatewayToken {
        /// Remove it instead
        #[arg(long)]
        remove: bool,
    },
}

/// Does it.
pub(super) async fn run(common: &Common, verb: SettingsVerb) -> Result<(), Failure> {
    let client = common.client()?;
    match verb {
        SettingsVerb::Show => {
            let found: Value = client.get("settings").await?;
            print(common, &found, || describe(&found));
        }
        SettingsVerb::Set { key, value } => {
            let mut found: Value = client.get("settings").await?;
            let known = found.get(&key).ok_or_else(|| {
                Failure::Usage(format!(
                    "there is no setting {key:?}; see `roamcore-fleet settings show`"
                ))
            })?;
            let value = match known {
                Value::String(_) => Value::String(value),
                _ => serde_json::from_str(&value)
                    .map_err(|e| Failure::Usage(format!("{value:?} is no value of {key}: {e}")))?,
            };
            found[&key] = value;
            let kept: Settings = client.send(Method::PUT, "settings", &found).await?;
            let kept = json!(kept);
            print(common, &kept, || describe(&kept));
        }
        SettingsVerb::GatewayToken { remove: false } => {
            let path = "settings/gateway-token";
            let shown: TokenShown = client
                .send(Method::PUT, path, &SetToken { token: None })
                .await?;
            print(common, &shown, || {
                format!("the gateway token is now\n{}", plain(&shown.token))
            });
        }
        SettingsVerb::GatewayToken { remove: true } => {
            client.delete::<()>("settings/gateway-token").await?;
            print(common, &json!({"gateway": false}), || {
                "the gateway token is removed".to_owned()
            });
        }
    }
    Ok(())
}

fn describe(settings: &Value) -> String {
    let members = settings.as_object().into_iter().flatten();
    members
        .map(|(key, value)| {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            format!("{key:<20}{}\n", plain(&text))
        })
        .collect()
}

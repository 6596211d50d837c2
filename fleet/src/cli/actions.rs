//! `actions`.

use clap::Subcommand;
use reqwest::Method;
use roamcore_ddi::messages::Decision;

use super::Common;
use super::client::{Client, Failure};
use super::output::{maybe, plain, print, table, time};
use super::target::escaped;
use crate::model::action::Kind;
use crate::wire::{ActionInfo, Actions as Page, ChangeAction, Confirm};

/// What was deployed, and how it goes
#[derive(Subcommand)]
pub(crate) enum Actions {
    /// List the newest first
    #[command(after_help = "Example:\n  roamcore-fleet actions list --target van-7 --open")]
    List {
        /// Of one device
        #[arg(long, value_name = "ID")]
        target: Option<String>,
        /// Only those that are not over
        #[arg(long)]
        open: bool,
        /// How many
        #[arg(long, value_name = "NUMBER", default_value_t = 100)]
        limit: usize,
    },
    /// Show one with its history
    #[command(after_help = "Example:\n  roamcore-fleet actions show 12")]
    Show {
        /// Its number
        action: i64,
    },
    /// Ask the device to give it up; it is over when the device agrees
    #[command(after_help = "Example:\n  roamcore-fleet actions cancel 12")]
    Cancel {
        /// Its number
        action: i64,
    },
    /// End it without waiting for the device, after `cancel`
    #[command(after_help = "Example:\n  roamcore-fleet actions force-quit 12")]
    ForceQuit {
        /// Its number
        action: i64,
    },
    /// Speak for the device's user
    #[command(
        after_help = "Example:\n  roamcore-fleet actions confirm 12 --text 'agreed on the telephone'"
    )]
    Confirm {
        /// Its number
        action: i64,
        /// Not now: it stays open and is offered again
        #[arg(long)]
        deny: bool,
        /// For the history
        #[arg(long)]
        text: Option<String>,
    },
    /// Make it forced
    #[command(after_help = "Example:\n  roamcore-fleet actions force 12")]
    Force {
        /// Its number
        action: i64,
    },
}

/// Does it.
pub(super) async fn run(common: &Common, verb: Actions) -> Result<(), Failure> {
    let client = common.client()?;
    let found = match verb {
        Actions::List {
            target,
            open,
            limit,
        } => return list(common, &client, target, open, limit).await,
        Actions::Show { action } => client.get(&format!("actions/{action}")).await?,
        Actions::Cancel { action } => one(client.delete(&format!("actions/{action}")).await?)?,
        Actions::ForceQuit { action } => one(client
            .delete(&format!("actions/{action}?force=true"))
            .await?)?,
        Actions::Confirm { action, deny, text } => {
            let confirmation = if deny {
                Decision::Denied
            } else {
                Decision::Confirmed
            };
            let word = Confirm {
                confirmation,
                code: None,
                details: text.into_iter().collect(),
            };
            client
                .send(
                    Method::POST,
                    &format!("actions/{action}/confirmation"),
                    &word,
                )
                .await?
        }
        Actions::Force { action } => {
            client
                .send(
                    Method::PUT,
                    &format!("actions/{action}"),
                    &ChangeAction { kind: Kind::Forced },
                )
                .await?
        }
    };
    print(common, &found, || describe(&found));
    Ok(())
}

fn one(found: Option<ActionInfo>) -> Result<ActionInfo, Failure> {
    found.ok_or_else(|| Failure::Answer {
        url: "the server".into(),
        why: "it has no content".into(),
    })
}

async fn list(
    common: &Common,
    client: &Client,
    target: Option<String>,
    open: bool,
    limit: usize,
) -> Result<(), Failure> {
    let mut path = format!("actions?limit={limit}");
    if let Some(target) = target {
        path += &format!("&target={}", escaped(&target));
    }
    if open {
        path += "&active=true";
    }
    let page: Page = client.get(&path).await?;
    let rows: Vec<Vec<String>> = page
        .actions
        .iter()
        .map(|action| {
            vec![
                action.id.to_string(),
                action.target.clone(),
                format!("{} {}", action.release.name, action.release.version),
                action.kind.as_str().to_owned(),
                action.status.to_string(),
                if action.active { "open" } else { "over" }.to_owned(),
                time(Some(action.created)),
            ]
        })
        .collect();
    let head = ["ID", "TARGET", "RELEASE", "TYPE", "STATUS", "", "MADE"];
    print(common, &page, || table(&head, &rows));
    Ok(())
}

fn describe(action: &ActionInfo) -> String {
    let over = if action.active { "open" } else { "over" };
    let mut text = format!(
        "action {} of {}: {} {}, {}, {}, {over}, code {}\n",
        action.id,
        plain(&action.target),
        plain(&action.release.name),
        plain(&action.release.version),
        action.kind.as_str(),
        action.status,
        maybe(action.last_code),
    );
    if let Some(window) = &action.window {
        text += &plain(&format!(
            "window {} for {} at {}",
            window.schedule, window.duration, window.timezone
        ));
        text.push('\n');
    }
    for entry in action.history.iter().flatten() {
        let messages: Vec<String> = entry
            .messages
            .iter()
            .map(|message| plain(message))
            .collect();
        text += &format!(
            "  {}  {:<23}{}\n",
            time(Some(entry.at)),
            entry.status,
            messages.join(" | ")
        );
    }
    text
}

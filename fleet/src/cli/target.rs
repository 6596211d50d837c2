//! `target`.

use clap::Subcommand;
use reqwest::Method;
use serde_json::json;

use super::Common;
use super::client::Failure;
use super::output::{maybe, plain, print, table, time};
use crate::wire::{NewTarget, ReleaseRef, SetToken, TargetInfo, Targets, TokenShown};

/// Devices
#[derive(Subcommand)]
pub(crate) enum Target {
    /// Add one and show its token, this once
    #[command(after_help = "Example:\n  roamcore-fleet target add van-7 --name 'The red van'")]
    Add {
        /// The device's name
        id: String,
        /// For people
        #[arg(long)]
        name: Option<String>,
    },
    /// List all
    #[command(after_help = "Example:\n  roamcore-fleet target list --json")]
    List,
    /// Show one with its attributes
    #[command(after_help = "Example:\n  roamcore-fleet target show van-7")]
    Show {
        /// The device's name
        id: String,
    },
    /// Replace its token and show the new one, this once
    #[command(after_help = "Example:\n  roamcore-fleet target token van-7")]
    Token {
        /// The device's name
        id: String,
    },
    /// Forget one, with its actions
    #[command(after_help = "Example:\n  roamcore-fleet target delete van-7")]
    Delete {
        /// The device's name
        id: String,
    },
}

/// Does it.
pub(super) async fn run(common: &Common, verb: Target) -> Result<(), Failure> {
    let client = common.client()?;
    match verb {
        Target::Add { id, name } => {
            let wanted = NewTarget {
                id,
                name,
                token: None,
            };
            let shown: TokenShown = client.send(Method::POST, "targets", &wanted).await?;
            print(common, &shown, || {
                format!(
                    "added {}; its token is\n{}",
                    plain(&shown.id),
                    plain(&shown.token)
                )
            });
        }
        Target::List => {
            let mut all = Vec::new();
            loop {
                let after = all
                    .last()
                    .map(|last: &TargetInfo| last.id.clone())
                    .unwrap_or_default();
                let page: Targets = client
                    .get(&format!("targets?limit=1000&after={}", escaped(&after)))
                    .await?;
                let full = page.targets.len() == 1000;
                all.extend(page.targets);
                if !full {
                    break;
                }
            }
            let rows: Vec<Vec<String>> = all.iter().map(row).collect();
            let head = ["ID", "STATE", "INSTALLED", "ASSIGNED", "LAST POLL"];
            print(common, &Targets { targets: all }, || table(&head, &rows));
        }
        Target::Show { id } => {
            let found: TargetInfo = client.get(&format!("targets/{}", escaped(&id))).await?;
            print(common, &found, || describe(&found));
        }
        Target::Token { id } => {
            let path = format!("targets/{}/token", escaped(&id));
            let shown: TokenShown = client
                .send(Method::POST, &path, &SetToken { token: None })
                .await?;
            print(common, &shown, || {
                format!(
                    "the token of {} is now\n{}",
                    plain(&shown.id),
                    plain(&shown.token)
                )
            });
        }
        Target::Delete { id } => {
            client
                .delete::<()>(&format!("targets/{}", escaped(&id)))
                .await?;
            print(common, &json!({"deleted": id}), || {
                format!("deleted {}", plain(&id))
            });
        }
    }
    Ok(())
}

/// For a path or a query.
pub(super) fn escaped(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b if b.is_ascii_alphanumeric() || b"-._~".contains(&b) => char::from(b).to_string(),
            b => format!("%{b:02X}"),
        })
        .collect()
}

fn release(found: &Option<ReleaseRef>) -> String {
    maybe(
        found
            .as_ref()
            .map(|release| format!("{} {}", release.name, release.version)),
    )
}

fn row(target: &TargetInfo) -> Vec<String> {
    vec![
        target.id.clone(),
        target.state.to_string(),
        release(&target.installed),
        release(&target.assigned),
        time(target.last_poll),
    ]
}

fn describe(target: &TargetInfo) -> String {
    let open = target
        .open_actions
        .iter()
        .flatten()
        .map(i64::to_string)
        .collect::<Vec<_>>();
    let mut rows = vec![
        ("id", target.id.clone()),
        ("name", target.name.clone()),
        ("state", target.state.to_string()),
        ("installed", release(&target.installed)),
        ("since", time(target.installed_at)),
        ("assigned", release(&target.assigned)),
        (
            "open actions",
            if open.is_empty() {
                "-".into()
            } else {
                open.join(", ")
            },
        ),
        ("last poll", time(target.last_poll)),
        ("called from", maybe(target.address.clone())),
        (
            "own token",
            if target.has_token { "yes" } else { "no" }.into(),
        ),
        (
            "auto-confirm",
            if target.auto_confirm { "yes" } else { "no" }.into(),
        ),
    ];
    for (key, value) in target.attributes.iter().flatten() {
        rows.push(("attribute", format!("{key} = {value}")));
    }
    rows.iter()
        .map(|(key, value)| format!("{key:<14}{}\n", plain(value)))
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn paths_are_escaped() {
        assert_eq!(super::escaped("a/b c%ü"), "a%2Fb%20c%25%C3%BC");
    }
}

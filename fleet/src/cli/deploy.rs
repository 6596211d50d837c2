//! `deploy`.

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use reqwest::Method;

use super::Common;
use super::client::Failure;
use super::output::{plain, print};
use crate::model::action::Kind;
use crate::wire::{self, Deployed, WindowSpec};

/// Deploy a release to targets
#[derive(Args)]
#[command(after_help = "Examples:
  roamcore-fleet deploy 3 --target van-7 --target van-8
  roamcore-fleet deploy 3 --target van-7 --type timeforced --force-at 2026-12-24T18:00:00Z --confirm
  roamcore-fleet deploy 3 --target van-7 --window '0 30 2 ? * *' --window-duration 01:30:00 --window-timezone +01:00

A window's schedule is `second minute hour day-of-month month day-of-week [year]`, with `?` for one of the two day
fields. Older actions of a target are cancelled first, which takes until the device agrees.")]
pub(crate) struct Deploy {
    /// Number of the release
    release: i64,
    /// A device; may be given several times
    #[arg(long = "target", value_name = "ID", required = true)]
    targets: Vec<String>,
    /// How much hurry there is
    #[arg(long = "type", value_enum, default_value_t = Hurry::Forced)]
    hurry: Hurry,
    /// With --type timeforced: from when on it is forced
    #[arg(long, value_name = "TIME", required_if_eq("hurry", "timeforced"))]
    force_at: Option<Timestamp>,
    /// The heaviest of a device's actions comes first: 0 to 1000
    #[arg(long, value_name = "NUMBER")]
    weight: Option<u16>,
    /// Install only then; downloading may happen before
    #[arg(long, value_name = "SCHEDULE", requires = "window_duration")]
    window: Option<String>,
    /// How long each window lasts
    #[arg(long, value_name = "HH:MM:SS", requires = "window")]
    window_duration: Option<String>,
    /// Where the window's clock is
    #[arg(
        long,
        value_name = "OFFSET",
        default_value = "+00:00",
        allow_hyphen_values = true
    )]
    window_timezone: String,
    /// The device's user has to agree first
    #[arg(long)]
    confirm: bool,
    /// Record it as installed already, without telling the device
    #[arg(long, conflicts_with_all = ["confirm", "window", "weight"])]
    offline: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Hurry {
    /// At once
    Forced,
    /// When it suits
    Soft,
    /// When it suits, and from --force-at on at once
    Timeforced,
    /// Only download
    Downloadonly,
}

/// Does it. Targets that do not exist are a failure, after the others were served.
pub(super) async fn run(common: &Common, deploy: Deploy) -> Result<(), Failure> {
    let kind = match (deploy.hurry, deploy.force_at) {
        (Hurry::Forced, _) => Kind::Forced,
        (Hurry::Soft, _) => Kind::Soft,
        (Hurry::Downloadonly, _) => Kind::DownloadOnly,
        (Hurry::Timeforced, Some(at)) => Kind::TimeForced {
            force_at: at.as_millisecond(),
        },
        (Hurry::Timeforced, None) => {
            return Err(Failure::Usage("--type timeforced needs --force-at".into()));
        }
    };
    let window = deploy
        .window
        .zip(deploy.window_duration)
        .map(|(schedule, duration)| WindowSpec {
            schedule,
            duration,
            timezone: deploy.window_timezone,
        });
    let wanted = wire::Deploy {
        release: deploy.release,
        targets: deploy.targets,
        kind,
        weight: deploy.weight,
        window,
        confirm: deploy.confirm,
        offline: deploy.offline,
    };
    let deployed: Deployed = common
        .client()?
        .send(Method::POST, "deployments", &wanted)
        .await?;
    print(common, &deployed, || describe(&deployed));
    if deployed.unknown.is_empty() {
        return Ok(());
    }
    let message = format!("there is no target {}", plain(&deployed.unknown.join(", ")));
    Err(Failure::Refused {
        status: 404,
        message,
    })
}

fn describe(deployed: &Deployed) -> String {
    let assigned = deployed
        .assigned
        .iter()
        .map(|(target, action)| format!("{}: action {action}\n", plain(target)));
    let already = deployed
        .already
        .iter()
        .map(|target| format!("{}: has it assigned already\n", plain(target)));
    assigned.chain(already).collect()
}

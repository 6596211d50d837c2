//! From the deployment to the verdict.

use std::time::Duration;

use anyhow::{Result, ensure};
use roamcore_fleet::{Status, TargetState};

use crate::cases::same;
use crate::cases::windows::opening_in;
use crate::proxy::{Act, Proxy};
use crate::runner::{Case, Ctx, bytes, case};
use crate::server::Order;
use crate::updater::{Mode, Outcome, Trouble, Updater};

const LONG: Duration = Duration::from_secs(40);
const BROKEN: &str = "installation failed: slot is on fire";

/// 10.
pub fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for mode in Mode::BOTH {
        let name = mode.name();
        let no_installer =
            move |ctx| fails(ctx, mode, Trouble::NoInstaller, "there is no installer");
        all.push(case(
            format!("rauc-install no installer, {name}"),
            no_installer,
        ));
        all.push(case(format!("rauc-install success, {name}"), move |ctx| {
            success(ctx, mode)
        }));
        let failure = move |ctx| fails(ctx, mode, Trouble::Install, BROKEN);
        all.push(case(format!("rauc-install failure, {name}"), failure));
        all.push(case(
            format!("rauc-install maintenance window, {name}"),
            move |ctx| window(ctx, mode),
        ));
        all.push(case(
            format!("rauc-mtls through a proxy, {name}"),
            move |ctx| mtls(ctx, mode),
        ));
    }
    all
}

async fn success(ctx: Ctx, mode: Mode) -> Result<()> {
    let device = ctx.device().await?;
    let release = ctx
        .release(&[("update.json", b"{}"), ("root.000", &bytes(100_000))])
        .await?;
    let action = ctx.deploy(&release, &device, Order::default()).await?;
    same!(
        ctx.server.target(&device.id).await?.state,
        TargetState::Pending
    );
    same!(
        ctx.updater(&device, mode, Trouble::None)?.step().await?,
        Outcome::Closed
    );
    let found = ctx.action(&device, action).await?;
    same!((found.status, found.active), (Status::Finished, false));
    let target = ctx.server.target(&device.id).await?;
    same!(target.state, TargetState::InSync);
    same!(target.installed, Some((release.name, release.version)));
    Ok(())
}

async fn fails(ctx: Ctx, mode: Mode, trouble: Trouble, reason: &str) -> Result<()> {
    let device = ctx.device().await?;
    let action = ctx.deployed(&device).await?;
    same!(
        ctx.updater(&device, mode, trouble)?.step().await?,
        Outcome::Closed
    );
    let found = ctx.action(&device, action).await?;
    same!((found.status, found.active), (Status::Error, false));
    same!(found.entries[0].messages, [reason.to_owned()]);
    same!(
        ctx.server.target(&device.id).await?.state,
        TargetState::Error
    );
    Ok(())
}

async fn window(ctx: Ctx, mode: Mode) -> Result<()> {
    let device = ctx.device().await?;
    let window = Some(opening_in(8, "00:05:00")?);
    let action = ctx
        .deployed_as(
            &device,
            Order {
                window,
                ..Order::default()
            },
        )
        .await?;
    let mut updater = ctx.updater(&device, mode, Trouble::None)?;
    same!(updater.step().await?, Outcome::Downloaded);
    let before = ctx.action(&device, action).await?;
    ensure!(before.active, "{before:?}");
    same!(updater.until_over(LONG).await?, Outcome::Closed);
    same!(ctx.action(&device, action).await?.status, Status::Finished);
    Ok(())
}

/// The proxy stands for one that checked a certificate: it alone says who calls.
async fn mtls(ctx: Ctx, mode: Mode) -> Result<()> {
    let device = ctx.device().await?;
    let action = ctx.deployed(&device).await?;
    let vouch = vec![
        ("X-Controller-Id".to_owned(), device.id.clone()),
        ("X-Authority".to_owned(), ctx.server.authority().to_owned()),
    ];
    let proxy = Proxy::start(&device.server, move |_, _| Act::Add(vouch.clone())).await?;
    let mut updater = Updater::new(
        &proxy.url(),
        &device.id,
        "no-token-of-any-use-here",
        mode,
        Trouble::None,
    )?;
    same!(updater.step().await?, Outcome::Closed);
    same!(ctx.action(&device, action).await?.status, Status::Finished);
    Ok(())
}

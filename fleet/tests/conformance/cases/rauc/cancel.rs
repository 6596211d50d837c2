//! Cancelling before, during and after the download.

use std::time::Duration;

use anyhow::{Result, ensure};
use roamcore_fleet::Status;

use crate::cases::same;
use crate::proxy::{Act, Proxy};
use crate::runner::{Case, Ctx, bytes, case};
use crate::server::Order;
use crate::updater::{Mode, Outcome, Trouble, Updater};

/// 5.
pub fn cases() -> Vec<Case> {
    let mut all = vec![case("rauc-cancel during download", cancel_during_download)];
    for mode in Mode::BOTH {
        let name = mode.name();
        all.push(case(
            format!("rauc-cancel before poll, {name}"),
            move |ctx| cancel_before_poll(ctx, mode),
        ));
        all.push(case(
            format!("rauc-cancel during install, {name}"),
            move |ctx| cancel_during_install(ctx, mode),
        ));
    }
    all
}

async fn cancel_before_poll(ctx: Ctx, mode: Mode) -> Result<()> {
    let device = ctx.device().await?;
    let action = ctx.deployed(&device).await?;
    ctx.server.cancel(&device.id, action, false).await?;
    same!(
        ctx.updater(&device, mode, Trouble::None)?.step().await?,
        Outcome::Canceled
    );
    let found = ctx.action(&device, action).await?;
    same!((found.status, found.active), (Status::Canceled, false));
    ensure!(
        found.entries[0]
            .messages
            .iter()
            .any(|m| m == "action was not processed"),
        "{:?}",
        found.entries[0]
    );
    Ok(())
}

async fn cancel_during_download(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let release = ctx.release(&[("a.bin", &bytes(200_000))]).await?;
    let action = ctx.deploy(&release, &device, Order::default()).await?;
    let slow = Proxy::start(&device.server, |seen, _| {
        if seen.is_download() {
            Act::Rate(70_000)
        } else {
            Act::Pass
        }
    })
    .await?;
    let mut updater = Updater::new(
        &slow.url(),
        &device.id,
        &device.token,
        Mode::Ranges,
        Trouble::None,
    )?;
    updater.pause = Duration::from_millis(300);
    let running = tokio::task::spawn_local(async move { updater.step().await });
    tokio::time::sleep(Duration::from_millis(800)).await;
    same!(ctx.server.cancel(&device.id, action, false).await? / 100, 2);
    same!(running.await??, Outcome::Canceled);
    let found = ctx.action(&device, action).await?;
    same!((found.status, found.active), (Status::Canceled, false));
    ensure!(
        found.entries[0]
            .messages
            .iter()
            .any(|m| m == "download was stopped"),
        "{:?}",
        found.entries[0]
    );
    Ok(())
}

async fn cancel_during_install(ctx: Ctx, mode: Mode) -> Result<()> {
    let device = ctx.device().await?;
    let action = ctx.deployed(&device).await?;
    let mut updater = ctx.updater(&device, mode, Trouble::None)?;
    let ((started, starts), (go, wait)) = (
        tokio::sync::oneshot::channel(),
        tokio::sync::oneshot::channel(),
    );
    (updater.before_install, updater.may_install) = (Some(started), Some(wait));
    let running = tokio::task::spawn_local(async move { updater.step().await });
    starts.await?;
    same!(ctx.server.cancel(&device.id, action, false).await? / 100, 2);
    ensure!(go.send(()).is_ok());
    same!(running.await??, Outcome::Closed);
    let found = ctx.action(&device, action).await?;
    same!((found.status, found.active), (Status::Finished, false));
    Ok(())
}

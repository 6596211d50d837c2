//! What survives when the server is stopped and started again.

use std::time::Duration;

use anyhow::{Result, ensure};
use roamcore_fleet::{Status, TargetState};
use serde_json::json;

use super::same;
use crate::proxy::{Act, Proxy};
use crate::runner::{Case, Ctx, bytes, case};
use crate::server::Order;
use crate::updater::{Mode, Outcome, Trouble, Updater};

/// All: one stop for all of them, because hawkBit takes its time.
pub fn cases() -> Vec<Case> {
    vec![
        case(
            "restart in the middle of a download; nothing that was acknowledged is lost",
            restart,
        )
        .alone(),
    ]
}

async fn restart(ctx: Ctx) -> Result<()> {
    let acknowledged = ctx.device().await?;
    let open = ctx.deployed(&acknowledged).await?;
    same!(
        acknowledged
            .report(open, "proceeding", "none", &["before the restart"])
            .await?,
        200
    );
    same!(
        acknowledged
            .put("/configData", &json!({"data": {"before": "restart"}}))
            .await?
            .status,
        200
    );
    let closed = ctx.device().await?;
    let finished = ctx.deployed(&closed).await?;
    same!(
        closed
            .report(finished, "closed", "success", &["done"])
            .await?,
        200
    );
    let cancelled = ctx.device().await?;
    let wish = ctx.deployed(&cancelled).await?;
    ctx.server.cancel(&cancelled.id, wish, false).await?;

    let device = ctx.device().await?;
    let release = ctx.release(&[("a.bin", &bytes(400_000))]).await?;
    let action = ctx.deploy(&release, &device, Order::default()).await?;
    let slow = Proxy::start(&device.server, |seen, _| {
        if seen.is_download() {
            Act::Rate(100_000)
        } else {
            Act::Pass
        }
    })
    .await?;
    let mut updater = Updater::new(
        &slow.url(),
        &device.id,
        &device.token,
        Mode::Whole,
        Trouble::None,
    )?;
    let download = tokio::task::spawn_local(async move { updater.step().await });
    tokio::time::sleep(Duration::from_millis(1500)).await;
    ctx.server.restart().await?;
    // Whether the first attempt outlived the restart or not: the next one ends it.
    let outcome = match download.await? {
        Ok(outcome) => outcome,
        Err(_) => {
            ctx.updater(&device, Mode::Ranges, Trouble::None)?
                .until_over(Duration::from_secs(20))
                .await?
        }
    };
    ensure!(
        [Outcome::Closed, Outcome::Idle].contains(&outcome),
        "{outcome:?}"
    );
    ensure!(!ctx.action(&device, action).await?.active);

    let found = ctx.action(&acknowledged, open).await?;
    same!((found.status, found.active), (Status::Running, true));
    same!(found.entries[0].messages, ["before the restart"]);
    let target = ctx.server.target(&acknowledged.id).await?;
    same!(
        (
            target.state,
            target.attributes.get("before").map(String::as_str)
        ),
        (TargetState::Pending, Some("restart"))
    );
    same!(acknowledged.task_name().await?, "deploymentBase");
    same!(
        ctx.action(&closed, finished).await?.status,
        Status::Finished
    );
    same!(
        closed.report(finished, "closed", "success", &[]).await?,
        410
    );
    same!(
        ctx.server.target(&closed.id).await?.state,
        TargetState::InSync
    );
    same!(cancelled.task_name().await?, "cancelAction");
    // Numbers go on.
    ensure!(ctx.deployed(&ctx.device().await?).await? > action);
    Ok(())
}

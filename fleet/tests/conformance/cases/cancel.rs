//! Cancelling: what devices see of it, and what their answers do.

use anyhow::{Result, ensure};
use roamcore_fleet::{Status, TargetState};
use serde_json::json;

use super::same;
use crate::device::Device;
use crate::runner::{Case, Ctx, case};
use crate::server::{Order, Setting};

type Row = (&'static str, &'static str, Status, Status, bool);

/// Execution, verdict, kind of the entry, state of the action and whether it is open.
const TABLE: [Row; 8] = [
    (
        "closed",
        "success",
        Status::Canceled,
        Status::Canceled,
        false,
    ),
    ("closed", "none", Status::Canceled, Status::Canceled, false),
    ("closed", "failure", Status::Error, Status::Running, true),
    (
        "rejected",
        "none",
        Status::CancelRejected,
        Status::Running,
        true,
    ),
    (
        "canceled",
        "success",
        Status::Warning,
        Status::Canceling,
        true,
    ),
    (
        "proceeding",
        "none",
        Status::Running,
        Status::Canceling,
        true,
    ),
    (
        "scheduled",
        "none",
        Status::Running,
        Status::Canceling,
        true,
    ),
    ("download", "none", Status::Running, Status::Canceling, true),
];

/// All.
pub fn cases() -> Vec<Case> {
    let mut all: Vec<Case> = TABLE
        .into_iter()
        .map(|row| {
            case(format!("cancel {}/{}", row.0, row.1), move |ctx| {
                table(ctx, row)
            })
        })
        .collect();
    all.extend([
        case("cancel what the device reads", reads),
        case("cancel 404 and 405 when nobody asked for it", nobody_asked),
        case(
            "cancel an accepted cancellation may be accepted again",
            accepted_again,
        ),
        case("cancel closes downloads and deployment", closes_downloads),
        case("cancel finishing wins", |ctx| {
            finishing(ctx, "success", Status::Finished)
        }),
        case("cancel failing wins", |ctx| {
            finishing(ctx, "failure", Status::Error)
        }),
        case("cancel 405 for operators at the wrong time", operators),
        case("cancel by force, then 410", by_force),
        case("cancel a newer deployment supersedes", superseded),
        case("cancel goes back to what was installed", goes_back),
        case(
            "cancel is silent where deployments close older ones",
            autoclose,
        )
        .alone(),
    ]);
    all
}

async fn canceling(ctx: &Ctx) -> Result<(Device, u64)> {
    let device = ctx.device().await?;
    let action = ctx.deployed(&device).await?;
    same!(ctx.server.cancel(&device.id, action, false).await? / 100, 2);
    same!(ctx.action(&device, action).await?.status, Status::Canceling);
    Ok((device, action))
}

async fn table(ctx: Ctx, (execution, finished, entry, status, active): Row) -> Result<()> {
    let (device, action) = canceling(&ctx).await?;
    same!(
        device.report_cancel(action, execution, finished).await?,
        200
    );
    let found = ctx.action(&device, action).await?;
    same!(found.entries[0].status, entry);
    same!((found.status, found.active), (status, active));
    let task = match (status, active) {
        (_, false) => "",
        (Status::Canceling, _) => "cancelAction",
        _ => "deploymentBase",
    };
    same!(device.task_name().await?, task);
    Ok(())
}

async fn reads(ctx: Ctx) -> Result<()> {
    let (device, action) = canceling(&ctx).await?;
    let id = action.to_string();
    let told = device
        .get(&format!("/cancelAction/{action}"))
        .await?
        .json()?;
    same!(told, json!({"id": id, "cancelAction": {"stopId": id}}));
    let found = ctx.action(&device, action).await?;
    same!(
        (found.entries[0].status, found.status),
        (Status::Retrieved, Status::Canceling)
    );
    // Noted once.
    device.get(&format!("/cancelAction/{action}")).await?;
    same!(
        ctx.action(&device, action).await?.entries.len(),
        found.entries.len()
    );
    Ok(())
}

async fn nobody_asked(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let action = ctx.deployed(&device).await?;
    same!(
        device.get(&format!("/cancelAction/{action}")).await?.status,
        404
    );
    let body = crate::device::feedback("closed", "success", &[]);
    let answer = device
        .post(&format!("/cancelAction/{action}/feedback"), &body)
        .await?;
    same!(answer.status, 405);
    same!(
        answer.error_code(),
        "hawkbit.server.error.action.notCancelable"
    );
    same!(device.report(action, "closed", "success", &[]).await?, 200);
    same!(
        device.report_cancel(action, "closed", "success").await?,
        405
    );
    Ok(())
}

/// The acknowledgement of the first may have been lost.
async fn accepted_again(ctx: Ctx) -> Result<()> {
    let (device, action) = canceling(&ctx).await?;
    same!(
        device.report_cancel(action, "closed", "success").await?,
        200
    );
    same!(
        device.report_cancel(action, "closed", "success").await?,
        200
    );
    same!(ctx.action(&device, action).await?.status, Status::Canceled);
    same!(device.report(action, "closed", "success", &[]).await?, 410);
    same!(
        device
            .get(&format!("/deploymentBase/{action}"))
            .await?
            .status,
        404
    );
    same!(
        device
            .get(&format!("/installedBase/{action}"))
            .await?
            .status,
        404
    );
    Ok(())
}

async fn closes_downloads(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let release = ctx.release(&[("a.bin", b"0123456789")]).await?;
    let action = ctx.deploy(&release, &device, Order::default()).await?;
    let list = format!("/softwaremodules/{}/artifacts", release.modules[0]);
    let file = format!("{list}/a.bin");
    same!(device.get(&file).await?.status, 200);
    ctx.server.cancel(&device.id, action, false).await?;
    same!(
        device
            .get(&format!("/deploymentBase/{action}"))
            .await?
            .status,
        404
    );
    for (path, headers) in [
        (&list, None),
        (&file, None),
        (&file, Some(("range", "bytes=5-"))),
    ] {
        let headers: Vec<_> = headers.into_iter().collect();
        same!(
            device.get_with(path, &headers).await?.status,
            404,
            "{path} {headers:?}"
        );
    }
    // Still heard.
    same!(device.report(action, "proceeding", "none", &[]).await?, 200);
    same!(ctx.action(&device, action).await?.status, Status::Canceling);
    same!(device.report_cancel(action, "rejected", "none").await?, 200);
    same!(
        device
            .get_with(&file, &[("range", "bytes=5-")])
            .await?
            .status,
        206
    );
    Ok(())
}

async fn finishing(ctx: Ctx, finished: &str, status: Status) -> Result<()> {
    let (device, action) = canceling(&ctx).await?;
    same!(device.report(action, "closed", finished, &[]).await?, 200);
    let found = ctx.action(&device, action).await?;
    same!((found.status, found.active), (status, false));
    Ok(())
}

async fn operators(ctx: Ctx) -> Result<()> {
    let (device, action) = canceling(&ctx).await?;
    same!(ctx.server.cancel(&device.id, action, false).await?, 405);
    same!(
        device.report_cancel(action, "closed", "success").await?,
        200
    );
    same!(ctx.server.cancel(&device.id, action, false).await?, 405);
    same!(ctx.server.cancel(&device.id, action, true).await?, 405);
    Ok(())
}

async fn by_force(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let action = ctx.deployed(&device).await?;
    same!(ctx.server.cancel(&device.id, action, true).await?, 405);
    ctx.server.cancel(&device.id, action, false).await?;
    same!(ctx.server.cancel(&device.id, action, true).await? / 100, 2);
    let found = ctx.action(&device, action).await?;
    same!((found.status, found.active), (Status::Canceled, false));
    same!(device.report(action, "closed", "success", &[]).await?, 410);
    same!(device.task_name().await?, "");
    Ok(())
}

async fn superseded(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let first = ctx.deployed(&device).await?;
    let second = ctx.deployed(&device).await?;
    let found = ctx.action(&device, first).await?;
    same!(found.status, Status::Canceling);
    same!(
        found.entries[0].messages,
        ["Update Server: cancel obsolete action due to new update"]
    );
    same!(device.task_name().await?, "cancelAction");
    same!(device.report_cancel(first, "closed", "success").await?, 200);
    same!(device.task_name().await?, "deploymentBase");
    same!(
        ctx.server.target(&device.id).await?.state,
        TargetState::Pending
    );
    same!(device.report(second, "closed", "success", &[]).await?, 200);
    same!(
        ctx.server.target(&device.id).await?.state,
        TargetState::InSync
    );
    Ok(())
}

async fn goes_back(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let first = ctx.deployed(&device).await?;
    same!(device.report(first, "closed", "success", &[]).await?, 200);
    let second = ctx.deployed(&device).await?;
    ctx.server.cancel(&device.id, second, false).await?;
    same!(
        device.report_cancel(second, "closed", "success").await?,
        200
    );
    let target = ctx.server.target(&device.id).await?;
    same!(target.state, TargetState::InSync);
    ensure!(target.installed.is_some());
    same!(target.assigned, target.installed);
    Ok(())
}

async fn autoclose(ctx: Ctx) -> Result<()> {
    ctx.server.set(&Setting::Autoclose(true)).await?;
    let result = closes(&ctx).await;
    ctx.server.set(&Setting::Autoclose(false)).await?;
    result
}

async fn closes(ctx: &Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let first = ctx.deployed(&device).await?;
    ctx.deployed(&device).await?;
    let found = ctx.action(&device, first).await?;
    same!((found.status, found.active), (Status::Canceled, false));
    same!(device.task_name().await?, "deploymentBase");
    same!(device.report(first, "closed", "success", &[]).await?, 410);
    same!(
        device
            .get(&format!("/deploymentBase/{first}"))
            .await?
            .status,
        404
    );
    Ok(())
}

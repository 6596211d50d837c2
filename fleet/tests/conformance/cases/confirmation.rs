//! Confirmation by the device's user, by an operator, and automatically. All of it needs a setting of the whole server.

use anyhow::{Result, ensure};
use roamcore_fleet::Status;
use serde_json::json;

use super::same;
use crate::device::Device;
use crate::runner::{Case, Ctx, case};
use crate::server::{Order, Setting};

const WAITS: Order = Order {
    kind: roamcore_fleet::Kind::Forced,
    weight: None,
    confirm: true,
    window: None,
};

/// All.
pub fn cases() -> Vec<Case> {
    vec![
        case(
            "confirmation is not asked for unless it is switched on",
            switched_off,
        ),
        flow("confirmation what the device reads", reads),
        flow(
            "confirmation nothing else can be asked meanwhile",
            nothing_else,
        ),
        flow("confirmation confirmed", confirmed),
        flow("confirmation denied stays and is offered again", denied),
        flow("confirmation 404 twice, 410 when closed", twice),
        flow("confirmation 400 for what cannot be read", unreadable),
        flow("confirmation by an operator", by_operator),
        flow("confirmation not required", not_required),
        flow("confirmation cancelled while waiting", cancelled),
        flow(
            "confirmation automatic, for what waits and what comes",
            automatic,
        ),
        case("confirmation automatic: on, 409, off", on_and_off),
        case(
            "confirmation automatic: 415 without a document",
            without_document,
        ),
    ]
}

/// A case for which deployments may ask for a confirmation.
fn flow<F, Fut>(name: &'static str, run: F) -> Case
where
    F: Fn(Ctx) -> Fut + Copy + 'static,
    Fut: Future<Output = Result<()>> + 'static,
{
    case(name, move |ctx: Ctx| async move {
        ctx.server.set(&Setting::ConfirmationFlow(true)).await?;
        let result = run(ctx.clone()).await;
        ctx.server.set(&Setting::ConfirmationFlow(false)).await?;
        result
    })
    .alone()
}

async fn waiting(ctx: &Ctx) -> Result<(Device, u64)> {
    let device = ctx.device().await?;
    let action = ctx.deployed_as(&device, WAITS).await?;
    Ok((device, action))
}

async fn say(device: &Device, action: u64, word: &str) -> Result<u16> {
    let body = json!({"confirmation": word, "code": 7, "details": ["said so"]});
    Ok(device
        .post(&format!("/confirmationBase/{action}/feedback"), &body)
        .await?
        .status)
}

async fn switched_off(ctx: Ctx) -> Result<()> {
    let (device, action) = waiting(&ctx).await?;
    same!(ctx.action(&device, action).await?.status, Status::Running);
    same!(device.task_name().await?, "deploymentBase");
    same!(
        device
            .get(&format!("/confirmationBase/{action}"))
            .await?
            .status,
        404
    );
    same!(say(&device, action, "confirmed").await?, 404);
    Ok(())
}

async fn reads(ctx: Ctx) -> Result<()> {
    let (device, action) = waiting(&ctx).await?;
    let found = ctx.action(&device, action).await?;
    same!(
        (found.status, found.entries[0].status),
        (Status::WaitForConfirmation, Status::WaitForConfirmation)
    );
    same!(
        found.entries[0].messages,
        [
            "Assignment initiated by user 'admin'",
            "Waiting for the confirmation by the device before processing with the deployment"
        ]
    );
    let (name, href) = device.task().await?.unwrap_or_default();
    ensure!(
        name == "confirmationBase" && href.contains(&format!("/confirmationBase/{action}?c=")),
        "{name} {href}"
    );
    let overview = device.get("/confirmationBase").await?.json()?;
    same!(overview["autoConfirm"]["active"], json!(false));
    same!(overview["_links"]["confirmationBase"]["href"], json!(href));
    let told = device
        .send(device.request_url(reqwest::Method::GET, &href))
        .await?
        .json()?;
    same!(told["id"], json!(action.to_string()));
    same!(
        (
            &told["confirmation"]["download"],
            &told["confirmation"]["update"]
        ),
        (&json!("forced"), &json!("forced"))
    );
    same!(
        told["confirmation"]["chunks"][0]["artifacts"][0]["filename"],
        json!("a.bin")
    );
    same!(told["actionHistory"], serde_json::Value::Null);
    let told = device
        .get(&format!("/confirmationBase/{action}?actionHistory=-1"))
        .await?
        .json()?;
    same!(
        told["actionHistory"]["status"],
        json!("WAIT_FOR_CONFIRMATION")
    );
    Ok(())
}

async fn nothing_else(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let release = ctx.release(&[("a.bin", b"x")]).await?;
    let action = ctx.deploy(&release, &device, WAITS).await?;
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
    same!(device.report(action, "closed", "success", &[]).await?, 404);
    same!(
        device.report_cancel(action, "closed", "success").await?,
        405
    );
    // Bytes are open already: a device may look at what it is to ask about.
    same!(
        device
            .get(&format!(
                "/softwaremodules/{}/artifacts/a.bin",
                release.modules[0]
            ))
            .await?
            .status,
        200
    );
    Ok(())
}

async fn confirmed(ctx: Ctx) -> Result<()> {
    let (device, action) = waiting(&ctx).await?;
    same!(say(&device, action, "confirmed").await?, 200);
    let found = ctx.action(&device, action).await?;
    same!((found.status, found.code), (Status::Running, Some(7)));
    same!(
        found.entries[0].messages,
        [
            "said so",
            "Update Server: Target confirmed action. Therefore, it will be set to the running state to proceed with the deployment.",
            "Confirmation status code: 7"
        ]
    );
    same!(device.task_name().await?, "deploymentBase");
    same!(device.report(action, "closed", "success", &[]).await?, 200);
    same!(ctx.action(&device, action).await?.status, Status::Finished);
    Ok(())
}

async fn denied(ctx: Ctx) -> Result<()> {
    let (device, action) = waiting(&ctx).await?;
    same!(say(&device, action, "denied").await?, 200);
    let found = ctx.action(&device, action).await?;
    same!(
        (found.status, found.active),
        (Status::WaitForConfirmation, true)
    );
    ensure!(
        found.entries[0]
            .messages
            .iter()
            .any(|m| m.ends_with("Action will stay in confirmation pending state."))
    );
    same!(device.task_name().await?, "confirmationBase");
    same!(say(&device, action, "denied").await?, 200);
    same!(say(&device, action, "confirmed").await?, 200);
    same!(device.task_name().await?, "deploymentBase");
    Ok(())
}

async fn twice(ctx: Ctx) -> Result<()> {
    let (device, action) = waiting(&ctx).await?;
    same!(say(&device, action, "confirmed").await?, 200);
    same!(say(&device, action, "confirmed").await?, 404);
    same!(say(&device, action, "denied").await?, 404);
    same!(device.report(action, "closed", "success", &[]).await?, 200);
    same!(say(&device, action, "confirmed").await?, 410);
    same!(say(&device, 99_999_999, "confirmed").await?, 404);
    Ok(())
}

async fn unreadable(ctx: Ctx) -> Result<()> {
    let (device, action) = waiting(&ctx).await?;
    let path = format!("/confirmationBase/{action}/feedback");
    for body in [
        json!({"confirmation": "maybe"}),
        json!({"code": 1}),
        json!([]),
        json!({"confirmation": null}),
    ] {
        same!(device.post(&path, &body).await?.status, 400, "{body}");
    }
    same!(
        ctx.action(&device, action).await?.status,
        Status::WaitForConfirmation
    );
    Ok(())
}

async fn by_operator(ctx: Ctx) -> Result<()> {
    let (device, action) = waiting(&ctx).await?;
    same!(
        ctx.server.confirm(&device.id, action, "denied").await? / 100,
        2
    );
    same!(device.task_name().await?, "confirmationBase");
    same!(
        ctx.server.confirm(&device.id, action, "confirmed").await? / 100,
        2
    );
    same!(device.task_name().await?, "deploymentBase");
    same!(
        ctx.server.confirm(&device.id, action, "confirmed").await?,
        404
    );
    Ok(())
}

async fn not_required(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let action = ctx.deployed(&device).await?;
    let found = ctx.action(&device, action).await?;
    same!(
        (found.status, found.entries[0].status),
        (Status::Running, Status::WaitForConfirmation)
    );
    same!(
        found.entries[0].messages[1],
        "Assignment confirmed by initiator [admin]."
    );
    same!(device.task_name().await?, "deploymentBase");
    Ok(())
}

async fn cancelled(ctx: Ctx) -> Result<()> {
    let (device, action) = waiting(&ctx).await?;
    same!(ctx.server.cancel(&device.id, action, false).await? / 100, 2);
    same!(device.task_name().await?, "cancelAction");
    same!(
        device
            .get(&format!("/confirmationBase/{action}"))
            .await?
            .status,
        404
    );
    same!(say(&device, action, "confirmed").await?, 404);
    same!(
        device.report_cancel(action, "closed", "success").await?,
        200
    );
    same!(ctx.action(&device, action).await?.status, Status::Canceled);
    Ok(())
}

async fn automatic(ctx: Ctx) -> Result<()> {
    let (device, action) = waiting(&ctx).await?;
    let body = json!({"initiator": "the driver", "remark": "always"});
    same!(
        device
            .post("/confirmationBase/activateAutoConfirm", &body)
            .await?
            .status,
        200
    );
    let found = ctx.action(&device, action).await?;
    same!(
        (found.status, found.entries[0].status),
        (Status::Running, Status::Running)
    );
    ensure!(
        found.entries[0].messages[0]
            .starts_with("Assignment automatically confirmed by initiator 'the driver'.")
    );
    same!(device.report(action, "closed", "success", &[]).await?, 200);
    let next = ctx.deployed_as(&device, WAITS).await?;
    same!(ctx.action(&device, next).await?.status, Status::Running);
    same!(device.report(next, "closed", "success", &[]).await?, 200);
    same!(
        device
            .post("/confirmationBase/deactivateAutoConfirm", &json!({}))
            .await?
            .status,
        200
    );
    let last = ctx.deployed_as(&device, WAITS).await?;
    same!(
        ctx.action(&device, last).await?.status,
        Status::WaitForConfirmation
    );
    Ok(())
}

async fn on_and_off(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let state = || async { anyhow::Ok(device.get("/confirmationBase").await?.json()?) };
    let links = |found: &serde_json::Value| {
        (
            found["_links"]["activateAutoConfirm"].is_object(),
            found["_links"]["deactivateAutoConfirm"].is_object(),
        )
    };
    let off = state().await?;
    same!(
        (&off["autoConfirm"]["active"], links(&off)),
        (&json!(false), (true, false))
    );
    let body = json!({"initiator": "the driver", "remark": "always"});
    same!(
        device
            .post("/confirmationBase/activateAutoConfirm", &body)
            .await?
            .status,
        200
    );
    let on = state().await?;
    same!(
        (&on["autoConfirm"]["active"], links(&on)),
        (&json!(true), (false, true))
    );
    same!(
        (
            &on["autoConfirm"]["initiator"],
            &on["autoConfirm"]["remark"]
        ),
        (&json!("the driver"), &json!("always"))
    );
    ensure!(
        on["autoConfirm"]["activatedAt"]
            .as_i64()
            .is_some_and(|at| at > 1_600_000_000_000)
    );
    let again = device
        .post("/confirmationBase/activateAutoConfirm", &body)
        .await?;
    same!(
        (again.status, again.error_code().as_str()),
        (409, "hawkbit.server.error.repo.autoConfAlreadyActive")
    );
    for _ in 0..2 {
        let request = device.request(
            reqwest::Method::POST,
            "/confirmationBase/deactivateAutoConfirm",
        );
        same!(device.send(request).await?.status, 200);
    }
    same!(state().await?["autoConfirm"]["active"], json!(false));
    Ok(())
}

/// The documentation says that the document may be left out. An empty one may.
async fn without_document(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let request = device.request(
        reqwest::Method::POST,
        "/confirmationBase/activateAutoConfirm",
    );
    same!(device.send(request).await?.status, 415);
    same!(
        device
            .post("/confirmationBase/activateAutoConfirm", &json!({}))
            .await?
            .status,
        200
    );
    Ok(())
}

//! Feedback about deployments: hawkBit's table, its refusals, its quotas.

use anyhow::{Result, ensure};
use reqwest::Method;
use roamcore_fleet::{Kind, Status, TargetState};
use serde_json::{Value, json};

use super::same;
use crate::device::feedback;
use crate::runner::{Case, Ctx, case};
use crate::server::Order;

type Row = (&'static str, &'static str, Status, Option<Status>);

/// Execution, verdict, kind of the entry; and the state of an action that it ends.
const TABLE: [Row; 11] = [
    (
        "closed",
        "success",
        Status::Finished,
        Some(Status::Finished),
    ),
    ("closed", "none", Status::Finished, Some(Status::Finished)),
    ("closed", "failure", Status::Error, Some(Status::Error)),
    ("proceeding", "none", Status::Running, None),
    ("proceeding", "success", Status::Running, None),
    ("scheduled", "none", Status::Running, None),
    ("resumed", "none", Status::Running, None),
    ("download", "none", Status::Download, None),
    ("downloaded", "none", Status::Downloaded, None),
    ("rejected", "failure", Status::Warning, None),
    ("canceled", "success", Status::Canceled, None),
];

/// All.
pub fn cases() -> Vec<Case> {
    let mut all: Vec<Case> = TABLE
        .into_iter()
        .map(|row| {
            case(format!("feedback {}/{}", row.0, row.1), move |ctx| {
                table(ctx, row)
            })
        })
        .collect();
    all.extend([
        case("feedback 400 for what cannot be read", unreadable),
        case("feedback 415 for what is not JSON", not_json),
        case("feedback unknown members are ignored", unknown_members),
        case("feedback 404 for another target's action", foreign),
        case("feedback 410 for a closed action", gone),
        case("feedback the device's number is kept", code),
        case("feedback a clock in the past", old_clock),
        case("feedback download-only ends when downloaded", download_only),
        case(
            "feedback download-only may close at once",
            download_only_closed,
        ),
        case(
            "feedback after failure the same release can be assigned",
            again,
        ),
    ]);
    all
}

async fn table(ctx: Ctx, (execution, finished, entry, end): Row) -> Result<()> {
    let device = ctx.device().await?;
    let action = ctx.deployed(&device).await?;
    same!(
        device
            .report(action, execution, finished, &["said so"])
            .await?,
        200
    );
    let found = ctx.action(&device, action).await?;
    same!(found.entries[0].status, entry);
    same!(found.entries[0].messages, ["said so"]);
    same!(found.active, end.is_none());
    same!(found.status, end.unwrap_or(Status::Running));
    let state = match end {
        None => TargetState::Pending,
        Some(Status::Error) => TargetState::Error,
        Some(_) => TargetState::InSync,
    };
    let target = ctx.server.target(&device.id).await?;
    same!(target.state, state);
    same!(target.installed.is_some(), state == TargetState::InSync);
    same!(target.assigned.is_some(), state != TargetState::Error);
    Ok(())
}

async fn unreadable(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let action = ctx.deployed(&device).await?;
    let path = format!("/deploymentBase/{action}/feedback");
    let bodies = [
        "",
        "{\"x",
        "[]",
        "null",
        "{}",
        "{\"status\":null}",
        "{\"status\":{\"execution\":\"proceeding\"}}",
        "{\"status\":{\"execution\":\"proceeding\",\"result\":{}}}",
        "{\"status\":{\"result\":{\"finished\":\"none\"}}}",
        "{\"status\":{\"execution\":\"dancing\",\"result\":{\"finished\":\"none\"}}}",
        "{\"status\":{\"execution\":\"CLOSED\",\"result\":{\"finished\":\"none\"}}}",
        "{\"status\":{\"execution\":\"closed\",\"result\":{\"finished\":\"maybe\"}}}",
        "{\"status\":{\"execution\":\"closed\",\"result\":{\"finished\":\"none\"},\"details\":\"text\"}}",
        "{\"status\":{\"execution\":\"closed\",\"result\":{\"finished\":\"none\"},\"code\":99999999999}}",
    ];
    for body in bodies {
        let request = device
            .request(Method::POST, &path)
            .header("content-type", "application/json")
            .body(body);
        let answer = device.send(request).await?;
        same!(answer.status, 400, "{body}");
        same!(
            answer.error_code(),
            "hawkbit.server.error.rest.body.notReadable",
            "{body}"
        );
    }
    same!(ctx.action(&device, action).await?.entries.len(), 1);
    Ok(())
}

async fn not_json(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let action = ctx.deployed(&device).await?;
    let path = format!("/deploymentBase/{action}/feedback");
    let body = feedback("proceeding", "none", &[]).to_string();
    for (kind, expected) in [
        ("text/plain", 415),
        ("application/hal+json", 415),
        ("application/json;charset=UTF-8", 200),
    ] {
        let request = device
            .request(Method::POST, &path)
            .header("content-type", kind)
            .body(body.clone());
        same!(device.send(request).await?.status, expected, "{kind}");
    }
    same!(
        device
            .send(device.request(Method::POST, &path).body(body))
            .await?
            .status,
        415
    );
    Ok(())
}

async fn unknown_members(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let action = ctx.deployed(&device).await?;
    let mut body = feedback("proceeding", "none", &[]);
    body["id"] = json!("1");
    body["time"] = json!("20140511T121314");
    body["status"]["result"]["progress"] = json!({"cnt": 2, "of": 5, "more": []});
    same!(
        device
            .post(&format!("/deploymentBase/{action}/feedback"), &body)
            .await?
            .status,
        200
    );
    Ok(())
}

async fn foreign(ctx: Ctx) -> Result<()> {
    let (device, other) = (ctx.device().await?, ctx.device().await?);
    let action = ctx.deployed(&device).await?;
    same!(other.report(action, "closed", "success", &[]).await?, 404);
    same!(other.report_cancel(action, "closed", "success").await?, 404);
    same!(
        other
            .get(&format!("/deploymentBase/{action}"))
            .await?
            .status,
        404
    );
    same!(
        device.report(99_999_999, "closed", "success", &[]).await?,
        404
    );
    ensure!(ctx.action(&device, action).await?.active);
    Ok(())
}

async fn gone(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let action = ctx.deployed(&device).await?;
    same!(device.report(action, "closed", "success", &[]).await?, 200);
    for (execution, finished) in [
        ("closed", "success"),
        ("closed", "failure"),
        ("proceeding", "none"),
    ] {
        let answer = device
            .post(
                &format!("/deploymentBase/{action}/feedback"),
                &feedback(execution, finished, &[]),
            )
            .await?;
        same!(
            (answer.status, answer.body.len()),
            (410, 0),
            "{execution}/{finished}"
        );
    }
    same!(ctx.action(&device, action).await?.status, Status::Finished);
    Ok(())
}

async fn code(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let action = ctx.deployed(&device).await?;
    let path = format!("/deploymentBase/{action}/feedback");
    let mut body = feedback("proceeding", "none", &["text"]);
    body["status"]["code"] = json!(-42);
    same!(device.post(&path, &body).await?.status, 200);
    let found = ctx.action(&device, action).await?;
    same!((found.code, found.entries[0].code), (Some(-42), Some(-42)));
    same!(
        found.entries[0].messages,
        ["text", "Device reported status code: -42"]
    );
    same!(device.report(action, "proceeding", "none", &[]).await?, 200);
    let found = ctx.action(&device, action).await?;
    same!(found.code, None);
    same!(
        found.entries[0].messages,
        ["Update Server: Target reported PROCEEDING."]
    );
    Ok(())
}

/// hawkBit compares the device's time with that of the last installation and, when it is older, closes the action without
/// recording what is installed. A device whose clock is not set must leave the time out.
async fn old_clock(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let first = ctx.deployed(&device).await?;
    same!(device.report(first, "closed", "success", &[]).await?, 200);
    let installed = ctx.server.target(&device.id).await?.installed;
    let second = ctx.deployed(&device).await?;
    let mut body: Value = feedback("closed", "success", &[]);
    body["timestamp"] = json!(1_000_000_000_000_i64);
    same!(
        device
            .post(&format!("/deploymentBase/{second}/feedback"), &body)
            .await?
            .status,
        200
    );
    same!(ctx.action(&device, second).await?.status, Status::Finished);
    let target = ctx.server.target(&device.id).await?;
    same!(target.installed == installed, ctx.differs(false, true));
    same!(
        target.state,
        ctx.differs(TargetState::InSync, TargetState::Pending)
    );
    Ok(())
}

async fn download_only(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let action = ctx
        .deployed_as(
            &device,
            Order {
                kind: Kind::DownloadOnly,
                ..Order::default()
            },
        )
        .await?;
    let told = device.deployment(action).await?;
    same!(
        (&told["download"], &told["update"]),
        (&json!("forced"), &json!("skip"))
    );
    same!(device.report(action, "downloaded", "none", &[]).await?, 200);
    let found = ctx.action(&device, action).await?;
    same!((found.status, found.active), (Status::Downloaded, false));
    same!(
        ctx.server.target(&device.id).await?.state,
        TargetState::InSync
    );
    same!(device.task_name().await?, "");
    // Not even once, whatever the documentation says.
    same!(device.report(action, "closed", "success", &[]).await?, 410);
    Ok(())
}

async fn download_only_closed(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let action = ctx
        .deployed_as(
            &device,
            Order {
                kind: Kind::DownloadOnly,
                ..Order::default()
            },
        )
        .await?;
    same!(device.report(action, "closed", "success", &[]).await?, 200);
    same!(ctx.action(&device, action).await?.status, Status::Finished);
    let target = ctx.server.target(&device.id).await?;
    same!(target.state, TargetState::InSync);
    same!(target.assigned, target.installed);
    Ok(())
}

async fn again(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let release = ctx.release(&[("a.bin", b"x")]).await?;
    let first = ctx.deploy(&release, &device, Order::default()).await?;
    same!(
        ctx.server
            .deploy(&release, &device.id, &Order::default())
            .await?,
        crate::server::Deployed::Already
    );
    same!(
        device.report(first, "closed", "failure", &["boom"]).await?,
        200
    );
    let second = ctx.deploy(&release, &device, Order::default()).await?;
    ensure!(second > first);
    same!(device.report(second, "closed", "success", &[]).await?, 200);
    same!(
        ctx.server
            .deploy(&release, &device.id, &Order::default())
            .await?,
        crate::server::Deployed::Already
    );
    Ok(())
}

//! How much a device may say.

use anyhow::{Result, ensure};
use roamcore_fleet::Status;

use super::same;
use crate::device::feedback;
use crate::runner::{Case, Ctx, case};
use crate::server::Order;

/// All.
pub fn cases() -> Vec<Case> {
    vec![
        case("quota long messages are split", long_messages),
        case("quota 429 for 51 messages", message_quota),
        case(
            "quota 429 at the quota of entries, closing is exempt",
            entry_quota,
        ),
        case("quota 400 for text that looks like markup", markup),
    ]
}

async fn long_messages(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let action = ctx.deployed(&device).await?;
    same!(
        device
            .report(action, "proceeding", "none", &[&"y".repeat(1300)])
            .await?,
        200
    );
    let lengths: Vec<usize> = ctx.action(&device, action).await?.entries[0]
        .messages
        .iter()
        .map(String::len)
        .collect();
    same!(lengths, [512, 512, 276]);
    Ok(())
}

async fn message_quota(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let action = ctx.deployed(&device).await?;
    same!(
        device
            .report(action, "proceeding", "none", &["x"; 50])
            .await?,
        200
    );
    let body = feedback("proceeding", "none", &["x"; 51]);
    let answer = device
        .post(&format!("/deploymentBase/{action}/feedback"), &body)
        .await?;
    same!(answer.status, 429);
    same!(
        answer.error_code(),
        "hawkbit.server.error.quota.tooManyEntries"
    );
    // Also of the one that would end the action: a device must keep to it.
    same!(
        device
            .report(action, "closed", "failure", &["x"; 51])
            .await?,
        429
    );
    ensure!(ctx.action(&device, action).await?.active);
    Ok(())
}

async fn entry_quota(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let release = ctx.release(&[("a.bin", b"0123456789abcdef")]).await?;
    let action = ctx.deploy(&release, &device, Order::default()).await?;
    let path = format!("/deploymentBase/{action}/feedback");
    for n in 1..ctx.server.entry_quota() {
        same!(
            device.report(action, "proceeding", "none", &["x"]).await?,
            200,
            "entry {n}"
        );
    }
    let answer = device
        .post(&path, &feedback("proceeding", "none", &[]))
        .await?;
    same!(answer.status, 429);
    same!(
        answer.error_code(),
        "hawkbit.server.error.quota.tooManyEntries"
    );
    // A whole download is an entry; a range is none.
    let file = format!("/softwaremodules/{}/artifacts/a.bin", release.modules[0]);
    same!(device.get(&file).await?.status, 429);
    same!(
        device
            .get_with(&file, &[("range", "bytes=0-3")])
            .await?
            .status,
        206
    );
    same!(
        device
            .report(action, "closed", "success", &["done"])
            .await?,
        200
    );
    same!(ctx.action(&device, action).await?.status, Status::Finished);
    Ok(())
}

async fn markup(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let action = ctx.deployed(&device).await?;
    for text in ["a <info> b", "<b>x</b>", "<!--", "kernel: <ffff>"] {
        let answer = device
            .post(
                &format!("/deploymentBase/{action}/feedback"),
                &feedback("proceeding", "none", &[text]),
            )
            .await?;
        same!(answer.status, 400, "{text}");
        same!(
            answer.error_code(),
            "hawkbit.server.error.repo.constraintViolation",
            "{text}"
        );
    }
    for text in [
        "a<b",
        "<0>[ 1.0] x",
        "a => b & c",
        "tab\tnew\nline",
        "äöü €",
    ] {
        same!(
            device.report(action, "proceeding", "none", &[text]).await?,
            200,
            "{text}"
        );
        same!(
            ctx.action(&device, action).await?.entries[0].messages,
            [text],
            "{text}"
        );
    }
    Ok(())
}

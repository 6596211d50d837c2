//! `configData`: what devices say of themselves.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::same;
use crate::device::Device;
use crate::runner::{Case, Ctx, case};

/// All.
pub fn cases() -> Vec<Case> {
    vec![
        case("attributes merge, replace, remove", modes),
        case("attributes without a value are removed", without_value),
        case(
            "attributes removing does not answer the request for them",
            removing,
        ),
        case(
            "attributes are asked for again after an update",
            asked_again,
        ),
        case("attributes 128 characters and no more", long),
        case("attributes which characters", characters),
        case("attributes 429 for more than 100", quota),
        case("attributes 400 for what cannot be read", unreadable),
        case(
            "attributes 404 for a device that was never registered",
            unknown,
        ),
    ]
}

async fn put(device: &Device, mode: &str, data: Value) -> Result<u16> {
    Ok(device
        .put("/configData", &json!({"mode": mode, "data": data}))
        .await?
        .status)
}

async fn kept(ctx: &Ctx, device: &Device) -> Result<Value> {
    Ok(json!(ctx.server.target(&device.id).await?.attributes))
}

async fn modes(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    same!(
        device
            .put("/configData", &json!({"data": {"a": "1", "b": "2"}}))
            .await?
            .status,
        200
    );
    same!(kept(&ctx, &device).await?, json!({"a": "1", "b": "2"}));
    same!(
        put(&device, "merge", json!({"b": "3", "c": "4"})).await?,
        200
    );
    same!(
        kept(&ctx, &device).await?,
        json!({"a": "1", "b": "3", "c": "4"})
    );
    same!(
        put(&device, "remove", json!({"a": "whatever", "z": ""})).await?,
        200
    );
    same!(kept(&ctx, &device).await?, json!({"b": "3", "c": "4"}));
    same!(put(&device, "replace", json!({"d": "5"})).await?, 200);
    same!(kept(&ctx, &device).await?, json!({"d": "5"}));
    Ok(())
}

async fn without_value(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    same!(
        put(&device, "merge", json!({"a": "1", "b": ""})).await?,
        200
    );
    same!(
        put(&device, "merge", json!({"a": null, "c": null})).await?,
        200
    );
    same!(kept(&ctx, &device).await?, json!({"b": ""}));
    Ok(())
}

async fn asked(device: &Device) -> Result<bool> {
    Ok(device.links().await?["configData"].is_object())
}

async fn removing(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    ensure!(asked(&device).await?);
    same!(put(&device, "remove", json!({"a": "1"})).await?, 200);
    ensure!(asked(&device).await?);
    same!(put(&device, "merge", json!({"a": "1"})).await?, 200);
    ensure!(!asked(&device).await?);
    Ok(())
}

async fn asked_again(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    same!(put(&device, "merge", json!({"a": "1"})).await?, 200);
    let action = ctx.deployed(&device).await?;
    ensure!(!asked(&device).await?);
    same!(device.report(action, "closed", "success", &[]).await?, 200);
    ensure!(asked(&device).await?);
    same!(put(&device, "replace", json!({"a": "2"})).await?, 200);
    ensure!(!asked(&device).await?);
    // Not after a failure.
    let action = ctx.deployed(&device).await?;
    same!(device.report(action, "closed", "failure", &[]).await?, 200);
    ensure!(!asked(&device).await?);
    Ok(())
}

async fn long(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let (fits, too_long) = ("x".repeat(128), "x".repeat(129));
    same!(put(&device, "merge", json!({&fits: &fits})).await?, 200);
    same!(put(&device, "merge", json!({&too_long: "v"})).await?, 400);
    let answer = device
        .put("/configData", &json!({"data": {"k": too_long}}))
        .await?;
    same!(
        (answer.status, answer.error_code().as_str()),
        (400, "hawkbit.server.error.repo.invalidTargetAttributes")
    );
    Ok(())
}

async fn characters(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    for c in ['~', '`', 'ä', 'ß', '€'] {
        same!(
            put(&device, "merge", json!({"k": format!("a{c}")})).await?,
            400,
            "{c}"
        );
        same!(
            put(&device, "merge", json!({format!("k{c}"): "a"})).await?,
            400,
            "{c}"
        );
    }
    let good = "azAZ09_-!@#$%^&*()+=[]{}|;:'\",.<>/\\? \t\n";
    same!(put(&device, "merge", json!({good: good})).await?, 200);
    same!(kept(&ctx, &device).await?, json!({good: good}));
    Ok(())
}

async fn quota(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let many = |count: usize| {
        (0..count)
            .map(|n| (format!("k{n}"), "v".to_owned()))
            .collect::<BTreeMap<_, _>>()
    };
    let answer = device
        .put(
            "/configData",
            &json!({"mode": "replace", "data": many(101)}),
        )
        .await?;
    same!(
        (answer.status, answer.error_code().as_str()),
        (429, "hawkbit.server.error.quota.tooManyEntries")
    );
    same!(put(&device, "replace", json!(many(100))).await?, 200);
    same!(put(&device, "merge", json!({"one": "more"})).await?, 429);
    same!(put(&device, "merge", json!({"k0": "other"})).await?, 200);
    same!(ctx.server.target(&device.id).await?.attributes.len(), 100);
    Ok(())
}

async fn unreadable(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    for body in [
        json!({"mode": "frob", "data": {"a": "1"}}),
        json!({"mode": "merge"}),
        json!({"data": {}}),
        json!([]),
        json!({"data": null}),
        json!({"data": [1]}),
    ] {
        same!(
            device.put("/configData", &body).await?.status,
            400,
            "{body}"
        );
    }
    same!(kept(&ctx, &device).await?, json!({}));
    Ok(())
}

async fn unknown(ctx: Ctx) -> Result<()> {
    let device = Device::new(&ctx.server.url(), &ctx.stranger(), "")?;
    let device = device.authorized(Some(&format!(
        "GatewayToken {}",
        ctx.server.gateway_token()
    )));
    same!(put(&device, "merge", json!({"a": "1"})).await?, 404);
    Ok(())
}

//! The root document: who may ask, what is answered, when to ask again.

use anyhow::{Result, ensure};
use reqwest::Method;
use roamcore_fleet::TargetState;

use super::same;
use crate::device::Device;
use crate::runner::{Case, Ctx, case};
use crate::server::{Order, Setting};

/// All.
pub fn cases() -> Vec<Case> {
    vec![
        case("poll 401 for strangers, without a body", strangers),
        case("poll registers a device with the gateway token", registers),
        case(
            "poll 400 for a self-registered id of 129 characters",
            long_ids,
        ),
        case("poll 404, 400 and 405 for what is not there", not_there),
        case("poll 406 for what cannot be answered", not_acceptable),
        case("poll 304 for a known entity tag", unchanged),
        case("poll a new deployment changes the entity tag", changed),
        case("poll links come back to where the device called", links),
        case("poll the heaviest action comes first", heaviest),
        case("poll of equal weights the oldest comes first", oldest),
        case("poll weight 1001 is refused", too_heavy),
        case(
            "poll sleep is HH:mm:ss below a day, ISO from a day on",
            sleep,
        )
        .alone(),
        case("poll a tenant's name does not depend on case", tenant),
    ]
}

async fn strangers(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let right = format!("TargetToken {}", device.token);
    let wrong = [
        "TargetToken wrong-token-of-mine",
        "GatewayToken wrong-token-of-mine",
        "Basic eDp5",
        "Bearer x",
        &right.replace("TargetToken", "targettoken"),
        &right.replace(' ', "  "),
    ];
    for authorization in wrong {
        let answer = device.authorized(Some(authorization)).get("").await?;
        same!(
            (answer.status, answer.body.len()),
            (401, 0),
            "{authorization}"
        );
    }
    // A token is one device's.
    let other = ctx.device().await?;
    same!(
        device
            .authorized(Some(&format!("TargetToken {}", other.token)))
            .get("")
            .await?
            .status,
        401
    );
    same!(
        Device::new(&device.server, &ctx.stranger(), &device.token)?
            .get("")
            .await?
            .status,
        401
    );
    Ok(())
}

fn gateway(ctx: &Ctx, id: &str) -> Result<Device> {
    let device = Device::new(&ctx.server.url(), id, "")?;
    Ok(device.authorized(Some(&format!(
        "GatewayToken {}",
        ctx.server.gateway_token()
    ))))
}

async fn registers(ctx: Ctx) -> Result<()> {
    let device = gateway(&ctx, &ctx.stranger())?;
    same!(device.get("/deploymentBase/1").await?.status, 404);
    same!(device.get("").await?.status, 200);
    same!(
        ctx.server.target(&device.id).await?.state,
        TargetState::Registered
    );
    let other = gateway(&ctx, &ctx.stranger())?;
    same!(other.get("/confirmationBase").await?.status, 200);
    same!(
        ctx.server.target(&other.id).await?.state,
        TargetState::Registered
    );
    Ok(())
}

async fn long_ids(ctx: Ctx) -> Result<()> {
    let stem = ctx.stranger();
    let long = |length: usize| format!("{stem}{}", "x".repeat(length - stem.len()));
    same!(gateway(&ctx, &long(128))?.get("").await?.status, 200);
    same!(gateway(&ctx, &long(129))?.get("").await?.status, 400);
    // An operator may add one, with a shorter name.
    ctx.server
        .add_target(&long(256), "token-of-a-long-name")
        .await?;
    same!(
        Device::new(&ctx.server.url(), &long(256), "token-of-a-long-name")?
            .get("")
            .await?
            .status,
        200
    );
    Ok(())
}

async fn not_there(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let cases = [
        (Method::GET, "/deploymentBase/99999999", 404),
        (Method::GET, "/cancelAction/99999999", 404),
        (Method::GET, "/installedBase/99999999", 404),
        (Method::GET, "/confirmationBase/99999999", 404),
        (Method::GET, "/softwaremodules/99999999/artifacts", 404),
        (Method::GET, "/deploymentBase/abc", 400),
        (Method::GET, "/softwaremodules/abc/artifacts", 400),
        (Method::GET, "/", 404),
        (Method::GET, "/nonsense", 404),
        (Method::GET, "/deploymentBase/", 404),
        (Method::POST, "", 405),
        (Method::PUT, "", 405),
        (Method::DELETE, "", 405),
        (Method::GET, "/configData", 405),
        (Method::POST, "/deploymentBase/1", 405),
        (Method::GET, "/deploymentBase/1/feedback", 405),
    ];
    for (method, path, expected) in cases {
        let answer = device.send(device.request(method.clone(), path)).await?;
        same!(answer.status, expected, "{method} {path}");
    }
    let unknown = device.get("/deploymentBase/99999999").await?;
    same!(
        unknown.error_code(),
        "hawkbit.server.error.repo.entityNotFound"
    );
    Ok(())
}

async fn not_acceptable(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let cases = [
        ("*/*", 200, "application/hal+json"),
        ("application/hal+json", 200, "application/hal+json"),
        ("application/json", 200, "application/json"),
        ("text/plain", 406, ""),
        ("application/xml", 406, ""),
    ];
    for (accept, status, content) in cases {
        let answer = device.get_with("", &[("accept", accept)]).await?;
        same!(answer.status, status, "{accept}");
        ensure!(
            answer.header("content-type").starts_with(content),
            "{accept}: {}",
            answer.header("content-type")
        );
    }
    // CBOR is hawkBit's alone.
    same!(
        device
            .get_with("", &[("accept", "application/cbor")])
            .await?
            .status,
        ctx.differs(406, 200)
    );
    Ok(())
}

async fn unchanged(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let tag = device.get("").await?.header("etag").to_owned();
    ensure!(tag.starts_with('"'), "{tag}");
    let cases = [
        (tag.clone(), 304),
        (format!("W/{tag}"), 304),
        (format!("\"x\", {tag}"), 304),
        ("\"x\"".into(), 200),
        ("*".into(), 200),
    ];
    for (header, expected) in cases {
        let answer = device.get_with("", &[("if-none-match", &header)]).await?;
        same!(answer.status, expected, "{header}");
        same!(answer.body.is_empty(), expected == 304, "{header}");
        same!(answer.header("etag"), tag, "{header}");
    }
    Ok(())
}

async fn changed(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let tag = device.get("").await?.header("etag").to_owned();
    ctx.deployed(&device).await?;
    let answer = device.get_with("", &[("if-none-match", &tag)]).await?;
    same!(answer.status, 200);
    ensure!(answer.header("etag") != tag);
    Ok(())
}

async fn links(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let action = ctx.deployed(&device).await?;
    let by_name = device.through(&device.server.replace("127.0.0.1", "localhost"));
    for device in [&device, &by_name] {
        let links = device.links().await?;
        let base = format!("{}/DEFAULT/controller/v1/{}", device.server, device.id);
        same!(links["configData"]["href"], format!("{base}/configData"));
        let deployment = links["deploymentBase"]["href"].as_str().unwrap_or_default();
        ensure!(
            deployment.starts_with(&format!("{base}/deploymentBase/{action}?c=")),
            "{deployment}"
        );
        same!(
            device
                .send(device.request_url(Method::GET, deployment))
                .await?
                .status,
            200
        );
    }
    Ok(())
}

async fn two(ctx: &Ctx, first: Option<u16>, second: Option<u16>) -> Result<(Device, u64, u64)> {
    let device = ctx.device().await?;
    let order = |weight| Order {
        weight,
        ..Order::default()
    };
    let first = ctx.deployed_as(&device, order(first)).await?;
    let second = ctx.deployed_as(&device, order(second)).await?;
    Ok((device, first, second))
}

async fn heaviest(ctx: Ctx) -> Result<()> {
    // The first is being cancelled for the second, and yet comes after it.
    let (device, first, second) = two(&ctx, Some(10), Some(900)).await?;
    let (name, href) = device.task().await?.unwrap_or_default();
    ensure!(
        name == "deploymentBase" && href.contains(&format!("/{second}?")),
        "{name} {href}"
    );
    same!(device.report(second, "closed", "success", &[]).await?, 200);
    let (name, href) = device.task().await?.unwrap_or_default();
    ensure!(
        name == "cancelAction" && href.ends_with(&format!("/{first}")),
        "{name} {href}"
    );
    Ok(())
}

async fn oldest(ctx: Ctx) -> Result<()> {
    let (device, first, second) = two(&ctx, None, None).await?;
    let (name, href) = device.task().await?.unwrap_or_default();
    ensure!(
        name == "cancelAction" && href.ends_with(&format!("/{first}")),
        "{name} {href}"
    );
    same!(device.report_cancel(first, "closed", "success").await?, 200);
    let (name, href) = device.task().await?.unwrap_or_default();
    ensure!(
        name == "deploymentBase" && href.contains(&format!("/{second}?")),
        "{name} {href}"
    );
    Ok(())
}

async fn too_heavy(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let release = ctx.release(&[("a.bin", b"x")]).await?;
    let order = Order {
        weight: Some(1001),
        ..Order::default()
    };
    same!(
        ctx.server.deploy(&release, &device.id, &order).await?,
        crate::server::Deployed::Refused(400)
    );
    Ok(())
}

async fn sleep(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    for (interval, expected) in [("00:05:00", "00:05:00"), ("23:59:59", "23:59:59")] {
        ctx.server.set(&Setting::PollInterval(interval)).await?;
        same!(
            device.get("").await?.json()?["config"]["polling"]["sleep"],
            expected
        );
    }
    // hawkBit's default configuration allows no longer ones; where they are allowed it writes them so.
    if ctx.differs(true, false) {
        ctx.server.set(&Setting::PollInterval("PT48H")).await?;
        same!(
            device.get("").await?.json()?["config"]["polling"]["sleep"],
            "PT48H"
        );
    }
    ctx.server.set(&Setting::PollInterval("00:00:05")).await
}

async fn tenant(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let url = |tenant: &str| format!("{}/{tenant}/controller/v1/{}", device.server, device.id);
    for (tenant, expected) in [("default", 200), ("Default", 200), ("OTHER", 401)] {
        let answer = device
            .send(device.request_url(Method::GET, &url(tenant)))
            .await?;
        same!(answer.status, expected, "{tenant}");
    }
    Ok(())
}

//! Maintenance windows, with the real clock: they open seconds after the case began.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use jiff::tz::Offset;
use roamcore_fleet::{Kind, Status};
use serde_json::{Value, json};

use super::same;
use crate::device::Device;
use crate::runner::{Case, Ctx, case};
use crate::server::{Deployed, Order, Window};

/// All.
pub fn cases() -> Vec<Case> {
    vec![
        case("window closed, open, lapsed", |ctx| {
            life(ctx, Kind::Forced, ["forced", "forced"])
        }),
        case("window closed, open, lapsed: soft", |ctx| {
            life(ctx, Kind::Soft, ["attempt", "attempt"])
        }),
        case("window of another time zone", other_zone),
        case(
            "window a lapsed one is cancelled by reading the deployment too",
            lapsed_by_reading,
        ),
        case("window a device that installs in it finishes", finishes),
        case("window polls come faster before it opens", faster),
        case("window schedules that are taken", |ctx| {
            schedules(ctx, true)
        }),
        case("window schedules that are refused", |ctx| {
            schedules(ctx, false)
        }),
    ]
}

fn now() -> Result<i64> {
    Ok(i64::try_from(
        SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
    )?)
}

fn once(at: i64, duration: &str, zone: Offset, zone_text: &str) -> Result<Window> {
    let at = zone.to_datetime(Timestamp::from_second(at)?);
    let schedule = format!(
        "{} {} {} {} {} ? {}",
        at.second(),
        at.minute(),
        at.hour(),
        at.day(),
        at.month(),
        at.year()
    );
    Ok((schedule, duration.to_owned(), zone_text.to_owned()))
}

/// One window, opening in so many seconds.
pub fn opening_in(seconds: i64, duration: &str) -> Result<Window> {
    once(now()? + seconds, duration, Offset::UTC, "+00:00")
}

async fn told(device: &Device, action: u64) -> Result<[Value; 3]> {
    let mut found = device.deployment(action).await?;
    Ok(["download", "update", "maintenanceWindow"].map(|key| found[key].take()))
}

async fn until(device: &Device, wanted: &str, patience: u64) -> Result<String> {
    for _ in 0..patience * 4 {
        if let Some((name, href)) = device.task().await?
            && (name == wanted || href == wanted)
        {
            return Ok(href);
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    anyhow::bail!("{wanted} did not come within {patience} s")
}

async fn life(ctx: Ctx, kind: Kind, [download, update]: [&str; 2]) -> Result<()> {
    let device = ctx.device().await?;
    let window = Some(opening_in(6, "00:00:06")?);
    let action = ctx
        .deployed_as(
            &device,
            Order {
                kind,
                window,
                ..Order::default()
            },
        )
        .await?;
    same!(
        told(&device, action).await?,
        [json!(download), json!("skip"), json!("unavailable")]
    );
    let closed = device.links().await?["deploymentBase"]["href"].clone();
    // The link changes when the window opens, so that the device reads again.
    let mut open = closed.clone();
    for _ in 0..60 {
        open = device.links().await?["deploymentBase"]["href"].clone();
        if open != closed {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    ensure!(
        open.is_string() && open != closed,
        "the window did not open: {open}"
    );
    same!(
        told(&device, action).await?,
        [json!(download), json!(update), json!("available")]
    );
    until(&device, "cancelAction", 15)
        .await
        .context("the lapsed window")?;
    let found = ctx.action(&device, action).await?;
    same!((found.status, found.active), (Status::Canceling, true));
    same!(
        device.report_cancel(action, "closed", "success").await?,
        200
    );
    same!(ctx.action(&device, action).await?.status, Status::Canceled);
    Ok(())
}

async fn other_zone(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    // Open since a moment ago, by a clock five and a half hours ahead.
    let zone = Offset::from_seconds(19_800)?;
    let window = Some(once(now()? - 5, "01:00:00", zone, "+05:30")?);
    let action = ctx
        .deployed_as(
            &device,
            Order {
                window,
                ..Order::default()
            },
        )
        .await?;
    same!(
        told(&device, action).await?,
        [json!("forced"), json!("forced"), json!("available")]
    );
    Ok(())
}

async fn lapsed_by_reading(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let window = Some(opening_in(-1, "00:00:03")?);
    let action = ctx
        .deployed_as(
            &device,
            Order {
                window,
                ..Order::default()
            },
        )
        .await?;
    same!(
        device
            .get(&format!("/deploymentBase/{action}"))
            .await?
            .status,
        200
    );
    tokio::time::sleep(Duration::from_millis(3500)).await;
    same!(
        device
            .get(&format!("/deploymentBase/{action}"))
            .await?
            .status,
        404
    );
    same!(ctx.action(&device, action).await?.status, Status::Canceling);
    Ok(())
}

async fn finishes(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let window = Some(opening_in(-1, "00:10:00")?);
    let action = ctx
        .deployed_as(
            &device,
            Order {
                window,
                ..Order::default()
            },
        )
        .await?;
    same!(device.report(action, "closed", "success", &[]).await?, 200);
    same!(ctx.action(&device, action).await?.status, Status::Finished);
    same!(device.task_name().await?, "");
    Ok(())
}

async fn faster(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let sleep = || async {
        anyhow::Ok(device.get("").await?.json()?["config"]["polling"]["sleep"].clone())
    };
    same!(sleep().await?, json!("00:00:05"));
    let window = Some(opening_in(10, "00:10:00")?);
    ctx.deployed_as(
        &device,
        Order {
            window,
            ..Order::default()
        },
    )
    .await?;
    // A third of what is left, in whole seconds.
    let found = sleep().await?;
    ensure!(
        ["00:00:02", "00:00:03"].contains(&found.as_str().unwrap_or_default()),
        "{found}"
    );
    Ok(())
}

async fn schedules(ctx: Ctx, taken: bool) -> Result<()> {
    const GOOD: &[(&str, &str, &str)] = &[
        ("0 30 2 ? * *", "00:10:00", "+00:00"),
        ("0 0 0 ? * MON-FRI", "00:10:00", "-05:00"),
        ("0 0/5 14,18 ? * *", "00:10:00", "+05:30"),
        ("0 0 2 L * ?", "00:10:00", "+05:30"),
        ("0 0 22-2 ? * *", "00:10", "Z"),
    ];
    const BAD: &[(&str, &str, &str)] = &[
        ("0 0 0 1 1 ? 2020", "00:10:00", "+00:00"),
        ("garbage", "00:10:00", "+00:00"),
        ("0 0 2 * *", "00:10:00", "+00:00"),
        ("0 0 0 * * *", "00:10:00", "+00:00"),
        ("0 0 2 1 * 1", "00:10:00", "+00:00"),
        ("0 0 24 ? * *", "00:10:00", "+00:00"),
        ("0 0 2 ? * 8", "00:10:00", "+00:00"),
        ("0 0 0 * * ?", "25:10:00", "+00:00"),
        ("0 0 0 * * ?", "00:10:00", "Mars"),
    ];
    let device = ctx.device().await?;
    for (schedule, duration, zone) in if taken { GOOD } else { BAD } {
        let release = ctx.release(&[("a.bin", b"x")]).await?;
        let window = Some((
            (*schedule).to_owned(),
            (*duration).to_owned(),
            (*zone).to_owned(),
        ));
        let result = ctx
            .server
            .deploy(
                &release,
                &device.id,
                &Order {
                    window,
                    ..Order::default()
                },
            )
            .await?;
        match taken {
            true => ensure!(
                matches!(result, Deployed::Action(_)),
                "{schedule}: {result:?}"
            ),
            false => same!(
                result,
                Deployed::Refused(400),
                "{schedule} {duration} {zone}"
            ),
        }
    }
    Ok(())
}

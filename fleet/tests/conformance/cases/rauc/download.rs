//! Downloads that fail, break off, are slow, or come from elsewhere.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use roamcore_ddi::client::ClientError;
use roamcore_fleet::{Kind, Status};

use crate::cases::same;
use crate::proxy::{Act, Proxy, made_up};
use crate::runner::{Case, Ctx, bytes, case};
use crate::server::Order;
use crate::updater::{Mode, Outcome, Trouble, Updater, settings, target_token};

/// 10.
pub fn cases() -> Vec<Case> {
    vec![
        case("rauc-download place does not exist", |ctx| {
            no_place(ctx, Trouble::NoPlace)
        }),
        case("rauc-download place not allowed", |ctx| {
            no_place(ctx, Trouble::NotAllowed)
        }),
        case("rauc-download too slow", too_slow),
        case(
            "rauc-download partials without resume",
            partials_without_resume,
        ),
        case("rauc-download partials with resume", partials_with_resume),
        case("rauc-download slow with resume", slow_with_resume),
        case("rauc-download only", download_only),
        case("rauc-download elsewhere with credentials", |ctx| {
            elsewhere(ctx, true)
        }),
        case("rauc-download elsewhere without credentials", |ctx| {
            elsewhere(ctx, false)
        }),
        case("rauc-download slow link", slow_link),
    ]
}

async fn no_place(ctx: Ctx, trouble: Trouble) -> Result<()> {
    let device = ctx.device().await?;
    let action = ctx.deployed(&device).await?;
    let error = ctx
        .updater(&device, Mode::Whole, trouble)?
        .step()
        .await
        .err()
        .context("no error")?;
    let reason = match trouble {
        Trouble::NoPlace => "entity not found",
        _ => "permission denied",
    };
    ensure!(format!("{error:#}").contains(reason), "{error:#}");
    let found = ctx.action(&device, action).await?;
    same!((found.status, found.active), (Status::Error, false));
    ensure!(
        found.entries[0].messages.concat().contains(reason),
        "{:?}",
        found.entries[0]
    );
    Ok(())
}

/// A device behind a proxy that treats downloads so, with a large release deployed to it.
async fn behind(
    ctx: &Ctx,
    size: usize,
    act: impl Fn(usize) -> Act + Send + Sync + 'static,
) -> Result<(crate::device::Device, u64, Proxy)> {
    let device = ctx.device().await?;
    let release = ctx.release(&[("a.bin", &bytes(size))]).await?;
    let action = ctx.deploy(&release, &device, Order::default()).await?;
    let downloads = std::sync::atomic::AtomicUsize::new(0);
    let proxy = Proxy::start(&device.server, move |seen, _| match seen.is_download() {
        true => act(downloads.fetch_add(1, std::sync::atomic::Ordering::Relaxed)),
        false => Act::Pass,
    })
    .await?;
    Ok((device, action, proxy))
}

async fn too_slow(ctx: Ctx) -> Result<()> {
    let (device, action, proxy) = behind(&ctx, 50_000, |_| Act::Rate(50)).await?;
    let mut wanted = settings(&proxy.url(), &device.id, target_token(&device.token)?);
    wanted.limits.attempts = 1;
    let error = Updater::with(&wanted, Mode::Whole, Trouble::None)?
        .step()
        .await
        .err()
        .context("no error")?;
    ensure!(
        matches!(error.downcast_ref(), Some(ClientError::Slow { .. })),
        "{error:#}"
    );
    same!(ctx.action(&device, action).await?.status, Status::Error);
    Ok(())
}

async fn partials_without_resume(ctx: Ctx) -> Result<()> {
    let (device, action, proxy) = behind(&ctx, 50_000, |_| Act::Cut(10_000)).await?;
    let mut wanted = settings(&proxy.url(), &device.id, target_token(&device.token)?);
    wanted.limits.attempts = 1;
    let updater = Updater::with(&wanted, Mode::Whole, Trouble::None)?;
    let poll = updater.client.poll().await?.poll;
    let link = poll.deployment()?.context("no deployment")?;
    let found = updater.client.deployment(&link, 0).await?;
    let artifact = &found.deployment.chunks[0].artifacts[0];
    let mut source = updater.client.source(artifact, artifact.size)?;
    let mut count = 0;
    let mut sink = |piece: &[u8]| {
        count += piece.len();
        Ok(())
    };
    let result = updater
        .client
        .attempt(&mut source, 0..artifact.size, &mut sink)
        .await;
    ensure!(
        result.is_err() && count == 10_000,
        "{result:?} after {count} bytes"
    );
    ensure!(ctx.action(&device, action).await?.active);
    Ok(())
}

async fn partials_with_resume(ctx: Ctx) -> Result<()> {
    let (device, action, proxy) = behind(&ctx, 50_000, |_| Act::Cut(20_000)).await?;
    let mut updater = Updater::new(
        &proxy.url(),
        &device.id,
        &device.token,
        Mode::Whole,
        Trouble::None,
    )?;
    same!(updater.step().await?, Outcome::Closed);
    same!(ctx.action(&device, action).await?.status, Status::Finished);
    let ranges: Vec<String> = proxy
        .seen()
        .iter()
        .filter(|s| s.is_download())
        .filter_map(|s| s.header("range").map(str::to_owned))
        .collect();
    same!(ranges, ["bytes=20000-49999", "bytes=40000-49999"]);
    Ok(())
}

async fn slow_with_resume(ctx: Ctx) -> Result<()> {
    let (device, action, proxy) = behind(&ctx, 50_000, |n| {
        if n < 2 { Act::Stall(15_000) } else { Act::Pass }
    })
    .await?;
    let mut updater = Updater::new(
        &proxy.url(),
        &device.id,
        &device.token,
        Mode::Whole,
        Trouble::None,
    )?;
    same!(updater.step().await?, Outcome::Closed);
    same!(ctx.action(&device, action).await?.status, Status::Finished);
    same!(
        proxy
            .seen()
            .iter()
            .filter(|seen| seen.is_download())
            .count(),
        3
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
    same!(
        ctx.updater(&device, Mode::Whole, Trouble::None)?
            .step()
            .await?,
        Outcome::Downloaded
    );
    let found = ctx.action(&device, action).await?;
    same!((found.status, found.active), (Status::Downloaded, false));
    ensure!(
        found.entries[0]
            .messages
            .iter()
            .any(|m| m == "hashes are right"),
        "{:?}",
        found.entries[0]
    );
    Ok(())
}

/// A store of files elsewhere refuses every request with `Authorization`, as Amazon's does. The links are the server's,
/// and a proxy redirects them; our client sends no credential there, a careless one does.
async fn elsewhere(ctx: Ctx, careless: bool) -> Result<()> {
    let (device, action) = {
        let device = ctx.device().await?;
        let action = ctx.deployed(&device).await?;
        (device, action)
    };
    let store = Proxy::start(&device.server, |seen, _| {
        match seen.header("authorization") {
            Some(_) => made_up(
                "401 Unauthorized",
                &[],
                b"only one way of authentication is allowed",
            ),
            None => made_up(
                "200 OK",
                &[("Content-Type", "application/octet-stream")],
                b"0123456789abcdef",
            ),
        }
    })
    .await?;
    // Another host than the server's, by its name.
    let target = store.url().replace("127.0.0.1", "localhost");
    let proxy = Proxy::start(&device.server, move |seen, _| match seen.is_download() {
        true => made_up(
            "302 Found",
            &[("Location", &format!("{target}/a.bin"))],
            b"",
        ),
        false => Act::Pass,
    })
    .await?;
    if careless {
        let answer = device
            .send(device.request_url(reqwest::Method::GET, &format!("{}/a.bin", store.url())))
            .await?;
        same!(answer.status, 401);
        return Ok(());
    }
    let mut updater = Updater::new(
        &proxy.url(),
        &device.id,
        &device.token,
        Mode::Whole,
        Trouble::None,
    )?;
    same!(updater.step().await?, Outcome::Closed);
    same!(ctx.action(&device, action).await?.status, Status::Finished);
    same!(store.seen().len(), 1);
    Ok(())
}

async fn slow_link(ctx: Ctx) -> Result<()> {
    let (device, action, proxy) = behind(&ctx, 200_000, |_| Act::Rate(100_000)).await?;
    let start = Instant::now();
    let mut updater = Updater::new(
        &proxy.url(),
        &device.id,
        &device.token,
        Mode::Whole,
        Trouble::None,
    )?;
    same!(updater.step().await?, Outcome::Closed);
    ensure!(
        start.elapsed() >= Duration::from_millis(1600),
        "{:?}",
        start.elapsed()
    );
    same!(
        proxy
            .seen()
            .iter()
            .filter(|seen| seen.is_download())
            .count(),
        1
    );
    same!(ctx.action(&device, action).await?.status, Status::Finished);
    Ok(())
}

//! Redirects, and proxies that change what is downloaded.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use roamcore_ddi::client::ClientError;
use roamcore_fleet::Status;

use super::{deployed, through};
use crate::cases::same;
use crate::proxy::{Act, Proxy, Seen, made_up};
use crate::runner::{Case, Ctx, bytes, case};
use crate::updater::{Mode, Outcome, Trouble, Updater, settings, target_token};

/// All.
pub fn cases() -> Vec<Case> {
    vec![
        case(
            "hostile redirect to the same host is followed",
            redirect_same,
        ),
        case(
            "hostile redirect to another host gets no credential",
            redirect_other,
        ),
        case("hostile redirects without end", redirect_loop),
        case(
            "hostile a poll is never redirected elsewhere",
            redirect_poll,
        ),
        case("hostile announced length too long", |ctx| {
            wrong_length(ctx, 100)
        }),
        case("hostile announced length too short", |ctx| {
            wrong_length(ctx, -100)
        }),
        case("hostile ranges are taken away", no_ranges),
        case("hostile a range that was not asked for", wrong_range),
        case(
            "hostile another file in the middle of a download",
            changed_file,
        ),
        case("hostile packed bytes nobody asked for", packed),
        case("hostile connection cut at every kilobyte", cut_everywhere),
    ]
}

fn only_downloads(
    act: impl Fn(&Seen, usize) -> Act + Send + Sync + 'static,
) -> impl Fn(&Seen, usize) -> Act + Send + Sync + 'static {
    let count = AtomicUsize::new(0);
    move |seen, _| {
        if seen.is_download() {
            act(seen, count.fetch_add(1, Ordering::Relaxed))
        } else {
            Act::Pass
        }
    }
}

async fn redirect_same(ctx: Ctx) -> Result<()> {
    let (device, action) = deployed(&ctx, 5000).await?;
    let proxy = Proxy::start(
        &device.server,
        only_downloads(|seen, _| match seen.path().contains("again") {
            false => made_up(
                "307 Temporary Redirect",
                &[("Location", &format!("{}?again", seen.path()))],
                b"",
            ),
            true => Act::Pass,
        }),
    )
    .await?;
    same!(through(&proxy, &device)?.step().await?, Outcome::Closed);
    same!(ctx.action(&device, action).await?.status, Status::Finished);
    Ok(())
}

async fn redirect_other(ctx: Ctx) -> Result<()> {
    let (device, action) = deployed(&ctx, 5000).await?;
    let content = bytes(5000);
    let store = Proxy::start(&device.server, move |_, _| made_up("200 OK", &[], &content)).await?;
    let location = store.url();
    let proxy = Proxy::start(
        &device.server,
        only_downloads(move |_, _| {
            made_up(
                "302 Found",
                &[("Location", &format!("{location}/file"))],
                b"",
            )
        }),
    )
    .await?;
    same!(through(&proxy, &device)?.step().await?, Outcome::Closed);
    same!(ctx.action(&device, action).await?.status, Status::Finished);
    let seen = store.seen();
    same!(seen.len(), 1);
    for name in ["authorization", "cookie", "referer", "x-controller-id"] {
        same!(seen[0].header(name), None, "{name}");
    }
    ensure!(
        !seen[0].head.contains(&device.token),
        "the token went elsewhere: {}",
        seen[0].head
    );
    Ok(())
}

async fn redirect_loop(ctx: Ctx) -> Result<()> {
    let (device, _) = deployed(&ctx, 5000).await?;
    let proxy = Proxy::start(
        &device.server,
        only_downloads(|seen, _| made_up("302 Found", &[("Location", seen.path())], b"")),
    )
    .await?;
    let mut wanted = settings(&proxy.url(), &device.id, target_token(&device.token)?);
    wanted.limits.attempts = 1;
    let error = Updater::with(&wanted, Mode::Whole, Trouble::None)?
        .step()
        .await
        .err()
        .context("no error")?;
    ensure!(
        matches!(error.downcast_ref(), Some(ClientError::Redirect { .. })),
        "{error:#}"
    );
    ensure!(
        proxy
            .seen()
            .iter()
            .filter(|seen| seen.is_download())
            .count()
            < 30
    );
    Ok(())
}

async fn redirect_poll(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let elsewhere = Proxy::start(&device.server, |_, _| Act::Pass).await?;
    let location = elsewhere.url();
    let proxy = Proxy::start(&device.server, move |seen, _| {
        made_up(
            "302 Found",
            &[("Location", &format!("{location}{}", seen.path()))],
            b"",
        )
    })
    .await?;
    let result = through(&proxy, &device)?.client.poll().await;
    ensure!(result.is_err(), "{result:?}");
    ensure!(
        elsewhere
            .seen()
            .iter()
            .all(|seen| seen.header("authorization").is_none()),
        "the token went elsewhere"
    );
    Ok(())
}

async fn wrong_length(ctx: Ctx, by: i64) -> Result<()> {
    let (device, action) = deployed(&ctx, 5000).await?;
    let proxy = Proxy::start(
        &device.server,
        only_downloads(move |_, n| {
            if n == 0 {
                Act::WrongLength(by)
            } else {
                Act::Pass
            }
        }),
    )
    .await?;
    // Told a size that is not the signed one, the client does not believe the file is the one; it says so and gives up.
    let error = through(&proxy, &device)?
        .step()
        .await
        .err()
        .context("no error")?;
    ensure!(
        matches!(error.downcast_ref(), Some(ClientError::NotTheFile { .. })),
        "{error:#}"
    );
    same!(ctx.action(&device, action).await?.status, Status::Error);
    Ok(())
}

async fn no_ranges(ctx: Ctx) -> Result<()> {
    let (device, action) = deployed(&ctx, 100_000).await?;
    let proxy = Proxy::start(&device.server, only_downloads(|_, _| Act::NoRanges)).await?;
    let mut updater = Updater::new(
        &proxy.url(),
        &device.id,
        &device.token,
        Mode::Ranges,
        Trouble::None,
    )?;
    same!(updater.step().await?, Outcome::Closed);
    same!(ctx.action(&device, action).await?.status, Status::Finished);
    Ok(())
}

async fn wrong_range(ctx: Ctx) -> Result<()> {
    let (device, _) = deployed(&ctx, 5000).await?;
    let proxy = Proxy::start(
        &device.server,
        only_downloads(|_, _| {
            made_up(
                "206 Partial Content",
                &[("Content-Range", "bytes 7-16/5000")],
                b"0123456789",
            )
        }),
    )
    .await?;
    let mut updater = Updater::new(
        &proxy.url(),
        &device.id,
        &device.token,
        Mode::Ranges,
        Trouble::None,
    )?;
    let error = updater.step().await.err().context("no error")?;
    ensure!(error.downcast_ref::<ClientError>().is_some(), "{error:#}");
    Ok(())
}

async fn changed_file(ctx: Ctx) -> Result<()> {
    let (device, _) = deployed(&ctx, 5000).await?;
    let proxy = Proxy::start(
        &device.server,
        only_downloads(|_, n| match n {
            0 => Act::Pass,
            _ => made_up(
                "206 Partial Content",
                &[
                    ("Content-Range", "bytes 0-1249/5000"),
                    ("ETag", "\"another\""),
                ],
                &[0; 1250],
            ),
        }),
    )
    .await?;
    let mut updater = Updater::new(
        &proxy.url(),
        &device.id,
        &device.token,
        Mode::Ranges,
        Trouble::None,
    )?;
    let error = updater.step().await.err().context("no error")?;
    ensure!(
        matches!(error.downcast_ref(), Some(ClientError::Changed { .. })),
        "{error:#}"
    );
    Ok(())
}

async fn packed(ctx: Ctx) -> Result<()> {
    let (device, _) = deployed(&ctx, 5000).await?;
    let proxy = Proxy::start(
        &device.server,
        only_downloads(|_, _| made_up("200 OK", &[("Content-Encoding", "gzip")], &[0; 5000])),
    )
    .await?;
    let error = through(&proxy, &device)?
        .step()
        .await
        .err()
        .context("no error")?;
    ensure!(
        matches!(error.downcast_ref(), Some(ClientError::NotTheFile { .. })),
        "{error:#}"
    );
    Ok(())
}

async fn cut_everywhere(ctx: Ctx) -> Result<()> {
    let (device, action) = deployed(&ctx, 20_000).await?;
    let proxy = Proxy::start(&device.server, only_downloads(|_, _| Act::Cut(1024))).await?;
    same!(through(&proxy, &device)?.step().await?, Outcome::Closed);
    same!(ctx.action(&device, action).await?.status, Status::Finished);
    same!(
        proxy
            .seen()
            .iter()
            .filter(|seen| seen.is_download())
            .count(),
        20
    );
    Ok(())
}

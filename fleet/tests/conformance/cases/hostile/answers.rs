//! Answers that are none, that are errors, or that get lost.

use anyhow::{Context, Result, ensure};
use roamcore_ddi::client::{Advice, Channel, ClientError};
use roamcore_ddi::messages::{Execution, Feedback, Finished};
use roamcore_fleet::Status;

use super::{deployed, through};
use crate::cases::same;
use crate::proxy::{Act, Proxy, made_up};
use crate::runner::{Case, Ctx, case};

/// All.
pub fn cases() -> Vec<Case> {
    vec![
        case("hostile garbage instead of a poll", garbage),
        case("hostile a poll without end", endless_poll),
        case("hostile errors of servers and their advice", advice),
        case("hostile lost answer: feedback is sent again", lost_answer),
    ]
}

async fn garbage(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let bodies: [&[u8]; 6] = [
        b"<html>please log in</html>",
        b"",
        b"{\"config\":",
        b"[]",
        b"\xff\xfe\x00",
        b"{\"_links\":{\"deploymentBase\":{\"href\":\"/x/../../etc\"}}}",
    ];
    for body in bodies {
        let proxy = Proxy::start(&device.server, move |_, _| {
            made_up("200 OK", &[("Content-Type", "application/json")], body)
        })
        .await?;
        let client = through(&proxy, &device)?.client;
        let error = match client.poll().await {
            Err(error) => error,
            // Well-formed, and yet its link leads nowhere.
            Ok(polled) => polled
                .poll
                .deployment()
                .err()
                .context("garbage was believed")?
                .into(),
        };
        same!(
            error.advice(),
            Advice::Backoff,
            "{}",
            String::from_utf8_lossy(body)
        );
    }
    Ok(())
}

async fn endless_poll(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let huge = [b"{\"x\":\"".as_slice(), &vec![b'a'; 3 << 20], b"\"}"].concat();
    let proxy = Proxy::start(&device.server, move |_, _| made_up("200 OK", &[], &huge)).await?;
    let error = through(&proxy, &device)?
        .client
        .poll()
        .await
        .err()
        .context("it was read")?;
    ensure!(matches!(error, ClientError::Document { .. }), "{error}");
    Ok(())
}

async fn advice(ctx: Ctx) -> Result<()> {
    let (device, action) = deployed(&ctx, 10).await?;
    let cases = [
        ("500 Internal Server Error", "", Advice::Backoff),
        ("502 Bad Gateway", "<html>", Advice::Backoff),
        ("503 Service Unavailable", "", Advice::Backoff),
        ("401 Unauthorized", "", Advice::Credentials),
        ("409 Conflict", "", Advice::Conflict),
        ("410 Gone", "", Advice::Gone),
        ("429 Too Many Requests", "", Advice::Backoff),
        (
            "429 Too Many Requests",
            "{\"errorCode\":\"hawkbit.server.error.quota.tooManyEntries\"}",
            Advice::Never,
        ),
        ("400 Bad Request", "", Advice::Never),
        ("404 Not Found", "", Advice::Resync),
    ];
    for (status, body, expected) in cases {
        let proxy = Proxy::start(&device.server, move |_, _| {
            made_up(status, &[], body.as_bytes())
        })
        .await?;
        let client = through(&proxy, &device)?.client;
        let told = Feedback::new(Execution::Proceeding, Finished::None);
        let error = client
            .report(Channel::Deployment, &action.into(), &told)
            .await
            .err()
            .context(status)?;
        same!(error.advice(), expected, "{status} {body}");
    }
    Ok(())
}

/// The server took the verdict and the answer was lost: the second time it is 410, which means that it is known.
async fn lost_answer(ctx: Ctx) -> Result<()> {
    let (device, action) = deployed(&ctx, 10).await?;
    let proxy = Proxy::start(&device.server, |_, n| {
        if n == 0 { Act::LoseAnswer } else { Act::Pass }
    })
    .await?;
    let proxied = device.through(&proxy.url());
    ensure!(
        proxied
            .report(action, "closed", "success", &[])
            .await
            .is_err()
    );
    same!(ctx.action(&device, action).await?.status, Status::Finished);
    same!(proxied.report(action, "closed", "success", &[]).await?, 410);
    same!(ctx.action(&device, action).await?.status, Status::Finished);
    Ok(())
}

//! Clients that dawdle, flood, or send what is no request.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use reqwest::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::deployed;
use crate::cases::same;
use crate::device::feedback;
use crate::runner::{Case, Ctx, bytes, case};
use crate::server::Order;

/// All.
pub fn cases() -> Vec<Case> {
    vec![
        case("hostile dawdling clients do not keep others out", dawdlers),
        case("hostile half a request is given up", half_request),
        case("hostile a client that stops reading", stops_reading),
        case("hostile requests that are none", not_http),
        case(
            "hostile 429 for too many requests of one address",
            rate_limit,
        ),
        case("hostile a document of a megabyte and more", large_document),
        case("hostile ids that would climb", climbing),
    ]
}

async fn connect(ctx: &Ctx) -> Result<TcpStream> {
    Ok(TcpStream::connect(ctx.server.url().trim_start_matches("http://")).await?)
}

async fn dawdlers(ctx: Ctx) -> Result<()> {
    let (device, action) = deployed(&ctx, 10).await?;
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut stream = connect(&ctx).await?;
        stream
            .write_all(b"GET /DEFAULT/controller/v1/van HTTP/1.1\r\nHost: x\r\nX-Slow: ")
            .await?;
        slow.push(stream);
    }
    for round in 0..4 {
        for stream in &mut slow {
            // The server may have given it up already.
            drop(stream.write_all(b"a").await);
        }
        let start = Instant::now();
        same!(
            device
                .report(action, "proceeding", "none", &["still served"])
                .await?,
            200,
            "round {round}"
        );
        ensure!(
            start.elapsed() < Duration::from_secs(10),
            "{:?}",
            start.elapsed()
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}

/// A byte now and then does not keep a connection for ever. hawkBit's patience is for silence alone, so that there only
/// the silent one is given up.
async fn half_request(ctx: Ctx) -> Result<()> {
    let mut stream = connect(&ctx).await?;
    stream
        .write_all(b"POST /DEFAULT/controller/v1/van/configData HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        .await?;
    let trickles = ctx.differs(true, false);
    let deadline = Instant::now() + ctx.differs(Duration::from_secs(10), Duration::from_secs(90));
    let mut sink = [0; 256];
    loop {
        let read = tokio::time::timeout(Duration::from_millis(200), stream.read(&mut sink)).await;
        match read {
            Ok(Ok(0) | Err(_)) => return Ok(()),
            // An error document, perhaps; then the end.
            Ok(Ok(_)) => {}
            Err(_) if trickles => drop(stream.write_all(b"a").await),
            Err(_) => {}
        }
        ensure!(Instant::now() < deadline, "it was not given up");
    }
}

async fn stops_reading(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let release = ctx.release(&[("a.bin", &bytes(8 << 20))]).await?;
    let action = ctx.deploy(&release, &device, Order::default()).await?;
    let mut streams = Vec::new();
    for _ in 0..20 {
        let mut stream = connect(&ctx).await?;
        let request = format!(
            "GET /DEFAULT/controller/v1/{}/softwaremodules/{}/artifacts/a.bin HTTP/1.1\r\nHost: x\r\nRange: bytes=0-\r\nAuthorization: TargetToken {}\r\n\r\n",
            device.id, release.modules[0], device.token
        );
        stream.write_all(request.as_bytes()).await?;
        streams.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let start = Instant::now();
    same!(device.report(action, "proceeding", "none", &[]).await?, 200);
    ensure!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
    Ok(())
}

async fn not_http(ctx: Ctx) -> Result<()> {
    let requests: [&[u8]; 5] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GARBAGE\r\n\r\n",
        b"GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /DEFAULT/controller/v1/x/configData HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    ];
    for request in requests {
        let mut stream = connect(&ctx).await?;
        stream.write_all(request).await?;
        let mut answer = Vec::new();
        let read =
            tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await;
        ensure!(read.is_ok(), "{request:?} was not answered");
        let text = String::from_utf8_lossy(&answer);
        ensure!(
            text.is_empty() || text.contains(" 400 ") || text.contains(" 505 "),
            "{request:?}: {text}"
        );
    }
    let device = ctx.device().await?;
    same!(device.get("").await?.status, 200);
    Ok(())
}

/// Both servers count public addresses alone, so the case claims one, as a proxy would.
async fn rate_limit(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?.authorized(None);
    let address = format!("8.8.8.{}", crate::runner::unique() % 250);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..150 {
        let (device, address) = (device.clone(), address.clone());
        calls.spawn(async move { device.get_with("", &[("x-forwarded-for", &address)]).await });
    }
    let mut limited = 0;
    while let Some(answer) = calls.join_next().await {
        let answer = answer??;
        ensure!([401, 429].contains(&answer.status), "{}", answer.status);
        if answer.status == 429 {
            limited += 1;
            // No body and no Retry-After: unlike a quota.
            same!((answer.body.len(), answer.header("retry-after")), (0, ""));
        }
    }
    ensure!(limited > 0, "150 requests at once were all served");
    tokio::time::sleep(Duration::from_millis(2200)).await;
    same!(
        device
            .get_with("", &[("x-forwarded-for", &address)])
            .await?
            .status,
        401
    );
    Ok(())
}

/// Ours refuses to hold it; hawkBit reads it and meets its quota.
async fn large_document(ctx: Ctx) -> Result<()> {
    let (device, action) = deployed(&ctx, 10).await?;
    let text = "x".repeat(2 << 20);
    let body = feedback("proceeding", "none", &[&text]).to_string();
    let request = device.request(Method::POST, &format!("/deploymentBase/{action}/feedback"));
    let request = request
        .header("content-type", "application/json")
        .body(body);
    // A server that does not read all of it may close before everything was sent.
    match device.send(request).await {
        Ok(answer) => same!(answer.status, ctx.differs(413, 429)),
        Err(error) => ensure!(ctx.differs(true, false), "{error:#}"),
    }
    same!(ctx.action(&device, action).await?.entries.len(), 1);
    Ok(())
}

async fn climbing(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let gateway = device.authorized(Some(&format!(
        "GatewayToken {}",
        ctx.server.gateway_token()
    )));
    for id in ["a%20b", "a%2Fb", "a;b", "a%5Cb", "%2e%2e", "a%00b", "a%0Ab"] {
        let url = format!("{}/DEFAULT/controller/v1/{id}", device.server);
        let answer = gateway.send(gateway.request_url(Method::GET, &url)).await?;
        ensure!(
            [400, 404].contains(&answer.status),
            "{id}: {}",
            answer.status
        );
    }
    let (device, _) = deployed(&ctx, 10).await?;
    for name in [
        "..%2f..%2f..%2fetc%2fpasswd",
        "%2e%2e",
        "a.bin%00",
        "a.bin%2f..%2fa.bin",
    ] {
        let status = device
            .get(&format!("/softwaremodules/1/artifacts/{name}"))
            .await?
            .status;
        ensure!([400, 404].contains(&status), "{name}: {status}");
    }
    Ok(())
}

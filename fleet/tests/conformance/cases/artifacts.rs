//! Bytes: whole, in ranges, with preconditions; and who may have them.

use anyhow::{Result, ensure};
use reqwest::Method;
use roamcore_fleet::Status;

use super::same;
use crate::device::Device;
use crate::runner::{Case, Ctx, bytes, case};
use crate::server::{Order, Release};

const SIZE: usize = 4096;

/// All.
pub fn cases() -> Vec<Case> {
    vec![
        case("artifact whole, with its headers", whole),
        case("artifact 400 for an empty file", empty),
        case("artifact HEAD", head),
        case("artifact MD5SUM", md5),
        case("artifact list", list),
        case("artifact single ranges", single_ranges),
        case("artifact 416 for ranges that cannot be", impossible_ranges),
        case("artifact several ranges in one answer", several_ranges),
        case("artifact If-Range", if_range),
        case("artifact 412 for If-Match", if_match),
        case("artifact conditions for caches are ignored", caches),
        case(
            "artifact only for a target with an open action",
            only_assigned,
        ),
        case("artifact whole downloads are noted, ranges are not", noted),
        case("artifact resumed to the byte", resumed),
    ]
}

async fn with_file(ctx: &Ctx) -> Result<(Device, u64, Release, String)> {
    let device = ctx.device().await?;
    let release = ctx.release(&[("a.bin", &bytes(SIZE))]).await?;
    let action = ctx.deploy(&release, &device, Order::default()).await?;
    let path = format!("/softwaremodules/{}/artifacts/a.bin", release.modules[0]);
    Ok((device, action, release, path))
}

async fn whole(ctx: Ctx) -> Result<()> {
    let (device, _, _, path) = with_file(&ctx).await?;
    let answer = device.get(&path).await?;
    same!(answer.status, 200);
    ensure!(answer.body == bytes(SIZE));
    same!(answer.header("content-length"), "4096");
    same!(answer.header("content-type"), "application/octet-stream");
    same!(answer.header("accept-ranges"), "bytes");
    same!(
        answer.header("content-disposition"),
        "attachment;filename=a.bin"
    );
    let sha1 = device.get(&path.replace("/a.bin", "")).await?.json()?[0]["hashes"]["sha1"].clone();
    same!(
        answer.header("etag"),
        format!("\"{}\"", sha1.as_str().unwrap_or_default())
    );
    let modified = answer.header("last-modified");
    ensure!(
        modified.ends_with(" GMT") && modified.len() == 29,
        "{modified}"
    );
    Ok(())
}

/// hawkBit takes none, so a release has none.
async fn empty(ctx: Ctx) -> Result<()> {
    let release = ctx.release(&[("a.bin", b"x")]).await?;
    same!(ctx.server.add_file(&release, "empty", b"").await?, 400);
    same!(ctx.server.add_file(&release, "one", b"1").await?, 201);
    Ok(())
}

async fn head(ctx: Ctx) -> Result<()> {
    let (device, _, _, path) = with_file(&ctx).await?;
    let answer = device.send(device.request(Method::HEAD, &path)).await?;
    same!(
        (
            answer.status,
            answer.header("content-length"),
            answer.body.len()
        ),
        (200, "4096", 0)
    );
    Ok(())
}

async fn md5(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let release = ctx.release(&[("a.bin", b"hello")]).await?;
    ctx.deploy(&release, &device, Order::default()).await?;
    let answer = device
        .get(&format!(
            "/softwaremodules/{}/artifacts/a.bin.MD5SUM",
            release.modules[0]
        ))
        .await?;
    same!(
        (answer.status, answer.text().as_str()),
        (200, "5d41402abc4b2a76b9719d911017c592  a.bin")
    );
    same!(
        answer.header("content-disposition"),
        "attachment;filename=a.bin.MD5SUM"
    );
    Ok(())
}

async fn list(ctx: Ctx) -> Result<()> {
    let (device, action, _, path) = with_file(&ctx).await?;
    let list = path.replace("/a.bin", "");
    let listed = device.get(&list).await?.json()?;
    same!(
        listed,
        device.deployment(action).await?["chunks"][0]["artifacts"]
    );
    same!(device.get(&format!("{list}/nope")).await?.status, 404);
    same!(
        device.get(&format!("{list}/nope.MD5SUM")).await?.status,
        404
    );
    // The list outlives the action, bytes do not.
    same!(device.report(action, "closed", "success", &[]).await?, 200);
    same!(device.get(&list).await?.status, 200);
    Ok(())
}

async fn single_ranges(ctx: Ctx) -> Result<()> {
    let (device, _, _, path) = with_file(&ctx).await?;
    let content = bytes(SIZE);
    let cases = [
        ("bytes=0-99", 0, 99),
        ("bytes=100-", 100, 4095),
        ("bytes=-10", 4086, 4095),
        ("bytes=4090-5000", 4090, 4095),
        ("bytes=4095-", 4095, 4095),
        ("bytes=0-4095", 0, 4095),
        ("bytes=-4096", 0, 4095),
    ];
    for (range, first, last) in cases {
        let answer = device.get_with(&path, &[("range", range)]).await?;
        same!(answer.status, 206, "{range}");
        same!(
            answer.header("content-range"),
            format!("bytes {first}-{last}/4096"),
            "{range}"
        );
        same!(
            answer.header("content-length"),
            (last - first + 1).to_string(),
            "{range}"
        );
        ensure!(answer.body == content[first..=last], "{range}");
    }
    Ok(())
}

async fn impossible_ranges(ctx: Ctx) -> Result<()> {
    let (device, _, _, path) = with_file(&ctx).await?;
    let ranges = [
        "bytes=4096-",
        "bytes=5000-6000",
        "bytes=10-5",
        "bytes=abc",
        "bytes=-",
        "bytes=-0",
        "items=0-1",
        "bytes= 0-5",
        "bytes=0-9, 20-29",
        "bytes=0-10,5-20",
        "bytes=--5",
        "bytes=0-99999999999999999999",
    ];
    for range in ranges {
        let answer = device.get_with(&path, &[("range", range)]).await?;
        same!((answer.status, answer.body.len()), (416, 0), "{range}");
        same!(answer.header("content-range"), "bytes */4096", "{range}");
    }
    Ok(())
}

async fn several_ranges(ctx: Ctx) -> Result<()> {
    let (device, _, _, path) = with_file(&ctx).await?;
    let content = bytes(SIZE);
    let answer = device
        .get_with(&path, &[("range", "bytes=20-29,0-4,4000-")])
        .await?;
    same!(answer.status, 206);
    let kind = answer.header("content-type").to_owned();
    let boundary = kind
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap_or_default();
    ensure!(!boundary.is_empty(), "{kind}");
    let mut expected = Vec::new();
    // In order, whatever the request's was.
    for (n, (first, last)) in [(0, 4), (20, 29), (4000, 4095)].into_iter().enumerate() {
        let before = if n == 0 { "" } else { "\r\n" };
        expected.extend_from_slice(
            format!("{before}--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes {first}-{last}/4096\r\n\r\n").as_bytes(),
        );
        expected.extend_from_slice(&content[first..=last]);
    }
    expected.extend_from_slice(format!("\r\n--{boundary}--").as_bytes());
    ensure!(answer.body == expected, "{}", answer.text());
    Ok(())
}

async fn if_range(ctx: Ctx) -> Result<()> {
    let (device, _, _, path) = with_file(&ctx).await?;
    let tag = device.get(&path).await?.header("etag").to_owned();
    let cases = [
        (tag.as_str(), 206),
        ("\"another\"", 200),
        (tag.trim_matches('"'), 200),
        (&format!("W/{tag}"), 200),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 200),
        ("Wed, 21 Oct 2099 07:28:00 GMT", 206),
    ];
    for (header, expected) in cases {
        let answer = device
            .get_with(&path, &[("range", "bytes=10-19"), ("if-range", header)])
            .await?;
        same!(
            (answer.status, answer.body.len()),
            (expected, if expected == 206 { 10 } else { SIZE }),
            "{header}"
        );
    }
    Ok(())
}

/// Compared with the bare sum: the entity tag, which is quoted, never matches.
async fn if_match(ctx: Ctx) -> Result<()> {
    let (device, action, _, path) = with_file(&ctx).await?;
    let tag = device.get(&path).await?.header("etag").to_owned();
    let bare = tag.trim_matches('"');
    let listed = format!("x, {bare}");
    for (header, passes) in [
        ("*", true),
        (bare, true),
        (listed.as_str(), true),
        (tag.as_str(), false),
        ("nope", false),
    ] {
        same!(
            device
                .get_with(&path, &[("if-match", header)])
                .await?
                .status,
            if passes { 200 } else { 412 },
            "{header}"
        );
        let range = [("if-match", header), ("range", "bytes=0-1")];
        same!(
            device.get_with(&path, &range).await?.status,
            if passes { 206 } else { 412 },
            "{header}"
        );
    }
    // Looked at before anything else.
    same!(device.report(action, "closed", "success", &[]).await?, 200);
    same!(
        device
            .get_with(&path, &[("if-match", "nope")])
            .await?
            .status,
        412
    );
    same!(
        device.get_with(&path, &[("if-match", bare)]).await?.status,
        404
    );
    Ok(())
}

async fn caches(ctx: Ctx) -> Result<()> {
    let (device, _, _, path) = with_file(&ctx).await?;
    let first = device.get(&path).await?;
    same!(
        device
            .get_with(&path, &[("if-none-match", first.header("etag"))])
            .await?
            .status,
        200
    );
    same!(
        device
            .get_with(
                &path,
                &[("if-modified-since", first.header("last-modified"))]
            )
            .await?
            .status,
        200
    );
    Ok(())
}

async fn only_assigned(ctx: Ctx) -> Result<()> {
    let (device, action, _, path) = with_file(&ctx).await?;
    let list = path.replace("/a.bin", "");
    let other = ctx.device().await?;
    ctx.deployed(&other).await?;
    for path in [&path, &list, &format!("{path}.MD5SUM")] {
        let answer = other.get(path).await?;
        same!(answer.status, 404, "{path}");
        same!(
            answer.error_code(),
            "hawkbit.server.error.repo.entityNotFound",
            "{path}"
        );
        same!(
            other.authorized(None).get(path).await?.status,
            401,
            "{path}"
        );
    }
    same!(
        other
            .get_with(&path, &[("range", "bytes=0-1")])
            .await?
            .status,
        404
    );
    same!(device.report(action, "closed", "success", &[]).await?, 200);
    for headers in [vec![], vec![("range", "bytes=0-1")]] {
        same!(
            device.get_with(&path, &headers).await?.status,
            404,
            "{headers:?}"
        );
    }
    same!(device.get(&format!("{path}.MD5SUM")).await?.status, 404);
    Ok(())
}

async fn noted(ctx: Ctx) -> Result<()> {
    let (device, action, _, path) = with_file(&ctx).await?;
    let before = ctx.action(&device, action).await?.entries.len();
    for _ in 0..3 {
        same!(
            device
                .get_with(&path, &[("range", "bytes=0-9")])
                .await?
                .status,
            206
        );
    }
    same!(ctx.action(&device, action).await?.entries.len(), before);
    same!(device.get(&path).await?.status, 200);
    let found = ctx.action(&device, action).await?;
    same!(found.entries.len(), before + 1);
    same!(
        (found.entries[0].status, found.status),
        (Status::Download, Status::Running)
    );
    same!(
        found.entries[0].messages,
        [format!(
            "Update Server: Target downloads /DEFAULT/controller/v1/{}{path}",
            device.id
        )]
    );
    Ok(())
}

async fn resumed(ctx: Ctx) -> Result<()> {
    let (device, _, _, path) = with_file(&ctx).await?;
    let mut found = Vec::new();
    while found.len() < SIZE {
        let range = format!("bytes={}-{}", found.len(), found.len() + 999);
        let answer = device.get_with(&path, &[("range", &range)]).await?;
        same!(answer.status, 206, "{range}");
        found.extend(answer.body);
    }
    ensure!(found == bytes(SIZE));
    same!(
        device
            .get_with(&path, &[("range", "bytes=4096-")])
            .await?
            .status,
        416
    );
    Ok(())
}

//! Deployments as devices read them, and what is installed.

use anyhow::{Result, ensure};
use roamcore_fleet::{Kind, Status, TargetState};
use serde_json::{Value, json};

use super::same;
use crate::runner::{Case, Ctx, bytes, case, module};
use crate::server::Order;

/// All.
pub fn cases() -> Vec<Case> {
    vec![
        case("deployment all of it", whole),
        case("deployment several artifacts", several_artifacts),
        case(
            "deployment several modules and their types",
            several_modules,
        ),
        case("deployment reading it is noted once", retrieved),
        case("deployment the device's own history", history),
        case("deployment soft, then forced by an operator", soft),
        case("deployment forced from a time on", time_forced),
        case(
            "deployment of a finished action can still be read",
            finished,
        ),
        case("deployment 423 for changes of a deployed release", locked),
        case("installed is linked and can be read", installed),
        case("installed elsewhere is recorded", elsewhere),
        case(
            "installed elsewhere is ignored while something is pending",
            elsewhere_pending,
        ),
        case(
            "installed elsewhere after a download-only action",
            elsewhere_downloaded,
        ),
        case("installed elsewhere 404 and 400", elsewhere_unknown),
    ]
}

async fn whole(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let release = ctx.release(&[("a.bin", b"hello")]).await?;
    let action = ctx.deploy(&release, &device, Order::default()).await?;
    let found = device
        .get(&format!("/deploymentBase/{action}"))
        .await?
        .json()?;
    let href = format!(
        "{}/DEFAULT/controller/v1/{}/softwaremodules/{}/artifacts/a.bin",
        device.server, device.id, release.modules[0]
    );
    let expected = json!({
        "id": action.to_string(),
        "deployment": {
            "download": "forced",
            "update": "forced",
            "chunks": [{
                "part": "os",
                "version": "1",
                "name": format!("{}-0", release.name),
                "artifacts": [{
                    "filename": "a.bin",
                    "hashes": {
                        "sha1": "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d",
                        "md5": "5d41402abc4b2a76b9719d911017c592",
                        "sha256": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
                    },
                    "size": 5,
                    "_links": {"download-http": {"href": href}, "md5sum-http": {"href": format!("{href}.MD5SUM")}},
                }],
            }],
        },
    });
    same!(found, expected);
    Ok(())
}

async fn several_artifacts(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let files: [(&str, &[u8]); 4] = [
        ("update.json", b"{}"),
        ("roles.json", b"[]"),
        ("root.000", &bytes(3000)),
        ("root.001", &bytes(2000)),
    ];
    let release = ctx.release(&files).await?;
    let action = ctx.deploy(&release, &device, Order::default()).await?;
    let told = device.deployment(action).await?;
    let listed = told["chunks"][0]["artifacts"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    same!(listed.len(), 4);
    for (name, content) in files {
        let one = listed
            .iter()
            .find(|a| a["filename"] == name)
            .cloned()
            .unwrap_or_default();
        same!(one["size"], json!(content.len()), "{name}");
        let href = one["_links"]["download-http"]["href"]
            .as_str()
            .unwrap_or_default();
        let answer = device
            .send(device.request_url(reqwest::Method::GET, href))
            .await?;
        ensure!(answer.status == 200 && answer.body == content, "{name}");
    }
    Ok(())
}

async fn several_modules(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let mut os = module("os", &[("a.bin", b"x")]);
    os.metadata.insert("colour".into(), "blue".into());
    let release = ctx
        .modules(&[os, module("application", &[("b.bin", b"y")])])
        .await?;
    let action = ctx.deploy(&release, &device, Order::default()).await?;
    let told = device.deployment(action).await?;
    let chunks = told["chunks"].as_array().cloned().unwrap_or_default();
    let mut parts: Vec<&Value> = chunks.iter().map(|chunk| &chunk["part"]).collect();
    parts.sort_by_key(|part| part.to_string());
    same!(parts, [&json!("bApp"), &json!("os")]);
    let os = chunks
        .iter()
        .find(|chunk| chunk["part"] == "os")
        .cloned()
        .unwrap_or_default();
    same!(os["metadata"], json!([{"key": "colour", "value": "blue"}]));
    Ok(())
}

async fn retrieved(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let action = ctx.deployed(&device).await?;
    same!(ctx.action(&device, action).await?.status, Status::Running);
    for _ in 0..3 {
        same!(
            device
                .get(&format!("/deploymentBase/{action}"))
                .await?
                .status,
            200
        );
    }
    let found = ctx.action(&device, action).await?;
    same!(found.status, Status::Retrieved);
    let kinds: Vec<Status> = found.entries.iter().map(|entry| entry.status).collect();
    same!(kinds, [Status::Retrieved, Status::Running]);
    same!(
        found.entries[0].messages,
        ["Update Server: Target retrieved update action and should start now the download."]
    );
    Ok(())
}

async fn history(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let action = ctx.deployed(&device).await?;
    let ask = |query: &'static str| {
        let (device, path) = (device.clone(), format!("/deploymentBase/{action}{query}"));
        async move { anyhow::Ok(device.get(&path).await?.json()?["actionHistory"].clone()) }
    };
    same!(ask("").await?, Value::Null);
    same!(ask("?actionHistory=0").await?, Value::Null);
    for text in ["one", "two", "three"] {
        same!(
            device.report(action, "proceeding", "none", &[text]).await?,
            200
        );
        // Entries of one millisecond have no order in hawkBit.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    same!(
        ask("?actionHistory=2").await?["messages"],
        json!(["three", "two"])
    );
    for query in ["?actionHistory=-1", "?actionHistory=50"] {
        let all = ask(query).await?;
        // The server's own messages are left out, the operator's is not.
        same!(
            all["messages"],
            json!([
                "three",
                "two",
                "one",
                "Assignment initiated by user 'admin'"
            ]),
            "{query}"
        );
        same!(all["status"], json!("RETRIEVED"), "{query}");
    }
    Ok(())
}

async fn soft(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let action = ctx
        .deployed_as(
            &device,
            Order {
                kind: Kind::Soft,
                ..Order::default()
            },
        )
        .await?;
    let told = device.deployment(action).await?;
    same!(
        (&told["download"], &told["update"]),
        (&json!("attempt"), &json!("attempt"))
    );
    let before = device.links().await?["deploymentBase"].clone();
    ctx.server.force(&device.id, action).await?;
    let after = device.links().await?["deploymentBase"].clone();
    ensure!(
        before != after,
        "{before} and {after}: the device would not read it again"
    );
    let told = device.deployment(action).await?;
    same!(
        (&told["download"], &told["update"]),
        (&json!("forced"), &json!("forced"))
    );
    Ok(())
}

async fn time_forced(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)?
        .as_millis();
    let force_at = i64::try_from(now)? + 4000;
    let action = ctx
        .deployed_as(
            &device,
            Order {
                kind: Kind::TimeForced { force_at },
                ..Order::default()
            },
        )
        .await?;
    let told = device.deployment(action).await?;
    same!(
        (&told["download"], &told["update"]),
        (&json!("attempt"), &json!("attempt"))
    );
    let before = device.links().await?["deploymentBase"].clone();
    tokio::time::sleep(std::time::Duration::from_millis(4200)).await;
    ensure!(
        before != device.links().await?["deploymentBase"],
        "the device would not read it again"
    );
    let told = device.deployment(action).await?;
    same!(
        (&told["download"], &told["update"]),
        (&json!("forced"), &json!("forced"))
    );
    Ok(())
}

/// hawkBit marks the action as retrieved then, and forgets that it finished: a device must not ask.
async fn finished(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let action = ctx.deployed(&device).await?;
    same!(device.report(action, "closed", "success", &[]).await?, 200);
    ensure!(device.links().await?["installedBase"].is_object());
    same!(
        device
            .get(&format!("/deploymentBase/{action}"))
            .await?
            .status,
        200
    );
    let found = ctx.action(&device, action).await?;
    same!(
        (found.status, found.active),
        (ctx.differs(Status::Finished, Status::Retrieved), false)
    );
    same!(
        device.links().await?["installedBase"].is_object(),
        ctx.differs(true, false)
    );
    Ok(())
}

async fn locked(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let release = ctx.release(&[("a.bin", b"x")]).await?;
    same!(ctx.server.add_file(&release, "b.bin", b"b").await?, 201);
    ctx.deploy(&release, &device, Order::default()).await?;
    same!(
        ctx.server.add_file(&release, "late.bin", b"late").await?,
        423
    );
    Ok(())
}

async fn installed(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let action = ctx.deployed(&device).await?;
    same!(
        device
            .get(&format!("/installedBase/{action}"))
            .await?
            .status,
        404
    );
    ensure!(device.links().await?["installedBase"].is_null());
    same!(
        device
            .report(action, "closed", "success", &["done"])
            .await?,
        200
    );
    let links = device.links().await?;
    let href = links["installedBase"]["href"].as_str().unwrap_or_default();
    ensure!(
        href.ends_with(&format!("/installedBase/{action}")),
        "{links}"
    );
    let found = device
        .get(&format!("/installedBase/{action}?actionHistory=1"))
        .await?
        .json()?;
    same!(found["id"], json!(action.to_string()));
    same!(
        found["actionHistory"],
        json!({"status": "FINISHED", "messages": ["done"]})
    );
    // Until something newer is installed.
    let next = ctx.deployed(&device).await?;
    ensure!(device.links().await?["installedBase"] == links["installedBase"]);
    same!(device.report(next, "closed", "failure", &[]).await?, 200);
    ensure!(device.links().await?["installedBase"] == links["installedBase"]);
    Ok(())
}

async fn elsewhere(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    device.get("").await?;
    let release = ctx.release(&[("a.bin", b"x")]).await?;
    let body = json!({"name": release.name, "version": release.version});
    same!(device.put("/installedBase", &body).await?.status, 201);
    let target = ctx.server.target(&device.id).await?;
    same!(target.state, TargetState::InSync);
    same!(
        target.installed,
        Some((release.name.clone(), release.version.clone()))
    );
    let links = device.links().await?;
    ensure!(
        links["installedBase"].is_object() && links["deploymentBase"].is_null(),
        "{links}"
    );
    same!(device.put("/installedBase", &body).await?.status, 200);
    same!(
        ctx.server
            .deploy(&release, &device.id, &Order::default())
            .await?,
        crate::server::Deployed::Already
    );
    Ok(())
}

/// 200 says "already known", and it is not: a device has to see by the poll whether something is pending.
async fn elsewhere_pending(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    ctx.deployed(&device).await?;
    let other = ctx.release(&[("a.bin", b"x")]).await?;
    let body = json!({"name": other.name, "version": other.version});
    same!(device.put("/installedBase", &body).await?.status, 200);
    let target = ctx.server.target(&device.id).await?;
    same!(
        (target.state, target.installed),
        (TargetState::Pending, None)
    );
    Ok(())
}

/// Its action ended when everything was there. That it was installed later hawkBit cannot be told.
async fn elsewhere_downloaded(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let release = ctx.release(&[("a.bin", b"x")]).await?;
    let order = Order {
        kind: Kind::DownloadOnly,
        ..Order::default()
    };
    let action = ctx.deploy(&release, &device, order).await?;
    same!(device.report(action, "downloaded", "none", &[]).await?, 200);
    let body = json!({"name": release.name, "version": release.version});
    same!(device.put("/installedBase", &body).await?.status, 200);
    let target = ctx.server.target(&device.id).await?;
    same!(target.state, TargetState::InSync);
    same!(
        target.installed,
        ctx.differs(Some((release.name.clone(), release.version.clone())), None)
    );
    Ok(())
}

async fn elsewhere_unknown(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    device.get("").await?;
    same!(
        device
            .put("/installedBase", &json!({"name": "nobody", "version": "1"}))
            .await?
            .status,
        404
    );
    same!(
        device
            .put("/installedBase", &json!({"name": "nobody"}))
            .await?
            .status,
        400
    );
    Ok(())
}

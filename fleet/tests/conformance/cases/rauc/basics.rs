//! Credentials and configuration.

use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use roamcore_ddi::client::{Auth, Client, Token};
use roamcore_ddi::messages::{AttributeMode, ConfigData};
use roamcore_fleet::{Status, TargetState};

use crate::cases::same;
use crate::runner::{Case, Ctx, case, module};
use crate::server::Order;
use crate::updater::{Mode, Outcome, Trouble, settings, status_of, target_token};

/// 17.
pub fn cases() -> Vec<Case> {
    let mut all = vec![
        case("rauc-basics version", |_| async { version() }),
        case("rauc-basics invalid argument", |_| async {
            invalid_argument()
        }),
        case("rauc-basics no configuration", |_| async {
            no_token_file()
        }),
        case("rauc-basics configuration does not exist", |_| async {
            token_file_does_not_exist()
        }),
        case("rauc-basics no credential", no_credential),
        case("rauc-basics two tokens", two_tokens),
        case("rauc-basics token and certificate", token_and_certificate),
        case("rauc-basics wrong gateway token", wrong_gateway_token),
        case("rauc-basics wrong target token", wrong_target_token),
        case("rauc-basics no usable server address", |_| async {
            bad_address()
        }),
        case("rauc-basics identify", identify),
        case(
            "rauc-basics many modules are refused by the device",
            |ctx| not_ours(ctx, true),
        ),
        case(
            "rauc-basics foreign artifacts are refused by the device",
            |ctx| not_ours(ctx, false),
        ),
    ];
    for (padding, name) in [("", "plain"), (" \n", "trailing space")] {
        all.push(case(
            format!("rauc-basics right gateway token, {name}"),
            move |ctx| right_gateway_token(ctx, padding),
        ));
        all.push(case(
            format!("rauc-basics right target token, {name}"),
            move |ctx| right_target_token(ctx, padding),
        ));
    }
    all
}

fn program(arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roamcore-fleet"));
    command
        .args(arguments)
        .env_remove("ROAMCORE_FLEET_TOKEN_FILE")
        .env_remove("ROAMCORE_FLEET_URL");
    Ok(command.output()?)
}

fn version() -> Result<()> {
    let output = program(&["--version"])?;
    same!(output.status.code(), Some(0));
    ensure!(String::from_utf8(output.stdout)?.starts_with("roamcore-fleet "));
    same!(String::from_utf8(output.stderr)?, "");
    Ok(())
}

fn invalid_argument() -> Result<()> {
    let output = program(&["--does-not-exist"])?;
    same!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr)?;
    ensure!(said.contains("--does-not-exist"), "{said}");
    Ok(())
}

fn no_token_file() -> Result<()> {
    let output = program(&["target", "list"])?;
    same!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr)?;
    ensure!(
        said.contains("cannot read the operator's token from /var/lib/roamcore-fleet/admin.token"),
        "{said}"
    );
    Ok(())
}

fn token_file_does_not_exist() -> Result<()> {
    let output = program(&["--token-file", "/does/not/exist", "target", "list"])?;
    same!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr)?;
    ensure!(
        said.contains("/does/not/exist") && said.contains("No such file"),
        "{said}"
    );
    Ok(())
}

async fn no_credential(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let answer = device.authorized(None).get("").await?;
    same!((answer.status, answer.text().as_str()), (401, ""));
    Ok(())
}

/// The client cannot be told two; a server that is told two takes the first.
async fn two_tokens(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?.authorized(None);
    let gateway = format!("GatewayToken {}", ctx.server.gateway_token());
    for (tokens, expected) in [
        (["TargetToken wrong-token-of-mine", &gateway], 401),
        ([&gateway, "TargetToken wrong-token-of-mine"], 200),
    ] {
        let request = tokens
            .iter()
            .fold(device.request(reqwest::Method::GET, ""), |r, token| {
                r.header("authorization", *token)
            });
        same!(device.send(request).await?.status, expected, "{tokens:?}");
    }
    Ok(())
}

/// One that is right is enough.
async fn token_and_certificate(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let certificate = [
        ("x-controller-id", device.id.as_str()),
        ("x-authority", ctx.server.authority()),
    ];
    let wrong_token = device.authorized(Some("TargetToken wrong-token-of-mine"));
    same!(wrong_token.get_with("", &certificate).await?.status, 200);
    let other = [
        ("x-controller-id", device.id.as_str()),
        ("x-authority", "somebody"),
    ];
    same!(device.get_with("", &other).await?.status, 200);
    same!(wrong_token.get_with("", &other).await?.status, 401);
    Ok(())
}

async fn expect_401(ctx: &Ctx, id: &str, auth: Auth) -> Result<()> {
    let client = Client::new(&settings(&ctx.server.url(), id, auth))?;
    let error = client
        .poll()
        .await
        .err()
        .context("a wrong token was accepted")?;
    same!(error.advice(), roamcore_ddi::client::Advice::Credentials);
    same!(status_of(&error.into())?, 401);
    Ok(())
}

async fn wrong_gateway_token(ctx: Ctx) -> Result<()> {
    expect_401(
        &ctx,
        &ctx.stranger(),
        Auth::GatewayToken(Token::new("not-the-gateway-token")?),
    )
    .await
}

async fn wrong_target_token(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    expect_401(&ctx, &device.id, target_token("not-the-token-of-this-one")?).await
}

async fn right_gateway_token(ctx: Ctx, padding: &str) -> Result<()> {
    let id = ctx.stranger();
    let token = Token::new(&format!("{}{padding}", ctx.server.gateway_token()))?;
    let client = Client::new(&settings(&ctx.server.url(), &id, Auth::GatewayToken(token)))?;
    client.poll().await?;
    same!(ctx.server.target(&id).await?.state, TargetState::Registered);
    Ok(())
}

async fn right_target_token(ctx: Ctx, padding: &str) -> Result<()> {
    let device = ctx.device().await?;
    same!(
        ctx.server.target(&device.id).await?.state,
        TargetState::Unknown
    );
    let client = Client::new(&settings(
        &device.server,
        &device.id,
        target_token(&format!("{}{padding}", device.token))?,
    ))?;
    client.poll().await?;
    same!(
        ctx.server.target(&device.id).await?.state,
        TargetState::Registered
    );
    Ok(())
}

fn bad_address() -> Result<()> {
    for address in [
        "",
        "fleet.example",
        "ftp://fleet.example",
        "http://user:password@fleet.example",
    ] {
        let made = Client::new(&settings(
            address,
            "van",
            target_token("some-token-of-a-van")?,
        ));
        ensure!(made.is_err(), "{address:?} was accepted");
    }
    Ok(())
}

async fn identify(ctx: Ctx) -> Result<()> {
    let device = ctx.device().await?;
    let client = Client::new(&settings(
        &device.server,
        &device.id,
        target_token(&device.token)?,
    ))?;
    ensure!(client.poll().await?.poll.wants_attributes());
    let data = [("product", "roamcore"), ("mac", "ff:ff:ff:ff:ff:ff")];
    let data = data
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    client
        .put_attributes(&ConfigData {
            mode: AttributeMode::Merge,
            data,
        })
        .await?;
    let kept = ctx.server.target(&device.id).await?.attributes;
    same!(kept.get("product").map(String::as_str), Some("roamcore"));
    same!(
        kept.get("mac").map(String::as_str),
        Some("ff:ff:ff:ff:ff:ff")
    );
    ensure!(!client.poll().await?.poll.wants_attributes());
    Ok(())
}

async fn not_ours(ctx: Ctx, modules: bool) -> Result<()> {
    let device = ctx.device().await?;
    let (release, reason) = if modules {
        let modules = [
            module("os", &[("update.json", b"{}")]),
            module("application", &[("app.bin", b"x")]),
        ];
        (
            ctx.modules(&modules).await?,
            "the deployment has 2 software modules, one is supported",
        )
    } else {
        (
            ctx.release(&[("a.swu", b"x"), ("b.swu", b"y")]).await?,
            "the deployment has no update.json",
        )
    };
    let action = ctx.deploy(&release, &device, Order::default()).await?;
    same!(
        ctx.updater(&device, Mode::Whole, Trouble::NotOurs)?
            .step()
            .await?,
        Outcome::Closed
    );
    let found = ctx.action(&device, action).await?;
    same!((found.status, found.active), (Status::Error, false));
    same!(found.entries[0].messages, [reason.to_owned()]);
    Ok(())
}

//! `serve`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::client::Failure;
use super::{Common, DEFAULT_DIR, output};
use crate::{Options, RateLimit, Server};

/// Run the server
#[derive(Args)]
#[command(after_help = "Example:
  roamcore-fleet serve --dir /var/lib/roamcore-fleet --listen 0.0.0.0:8080 --trusted-proxy 127.0.0.1

Devices call http://ADDRESS/TENANT/controller/v1/ID. TLS, and with it client certificates, is a reverse proxy's
business: it sets X-Forwarded-For, X-Forwarded-Proto, X-Controller-Id (the certificate's common name) and X-Authority
(who issued it), and these are believed of --trusted-proxy alone. The first start makes DIR/admin.token, the key to the
management API.")]
pub(crate) struct Serve {
    /// Where the state is
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DIR)]
    dir: PathBuf,
    /// For devices; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// For operators; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8081")]
    manage: SocketAddr,
    /// First part of devices' URLs
    #[arg(long, value_name = "NAME", default_value = "DEFAULT")]
    tenant: String,
    /// Address of a reverse proxy whose headers are believed
    #[arg(long, value_name = "IP")]
    trusted_proxy: Vec<IpAddr>,
    /// Requests of one public address in a second, reading and writing: "200,50", or "off"
    #[arg(long, value_name = "READS,WRITES", default_value = "200,50", value_parser = rate_limit)]
    rate_limit: RateChoice,
    /// Apply --rate-limit to private addresses too
    #[arg(long)]
    rate_limit_private: bool,
    /// Connections at the same time
    #[arg(long, value_name = "NUMBER", default_value_t = 1024)]
    connections: usize,
}

#[derive(Clone, Copy)]
enum RateChoice {
    Off,
    On { reads: u32, writes: u32 },
}

fn rate_limit(text: &str) -> Result<RateChoice, String> {
    if text == "off" {
        return Ok(RateChoice::Off);
    }
    let numbers = text
        .split_once(',')
        .and_then(|(reads, writes)| Some((reads.parse().ok()?, writes.parse().ok()?)));
    match numbers {
        Some((reads, writes)) if reads > 0 && writes > 0 => Ok(RateChoice::On { reads, writes }),
        _ => Err("write two numbers such as 200,50, or off".into()),
    }
}

fn plain_tenant(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}

/// Runs until SIGINT or SIGTERM.
pub(super) async fn run(common: &Common, serve: Serve) -> Result<(), Failure> {
    if !plain_tenant(&serve.tenant) {
        return Err(Failure::Usage(format!(
            "tenant {:?} is refused: use 1 to 64 of A-Z, a-z, 0-9, - and _",
            serve.tenant
        )));
    }
    let rate_limit = match serve.rate_limit {
        RateChoice::Off => None,
        RateChoice::On { reads, writes } => Some(RateLimit {
            reads,
            writes,
            private_too: serve.rate_limit_private,
        }),
    };
    let options = Options {
        listen: serve.listen,
        manage: serve.manage,
        tenant: serve.tenant,
        trusted_proxies: serve
            .trusted_proxy
            .iter()
            .map(IpAddr::to_canonical)
            .collect(),
        rate_limit,
        connections: serve.connections.max(1),
        ..Options::new(serve.dir)
    };
    let cannot = |source| Failure::File {
        what: "wait for",
        path: "signals".into(),
        source,
    };
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    let server = Server::start(options).await?;
    let (devices, manage) = (server.device_url(), server.manage_url());
    let token = server.token_file().display().to_string();
    let started = json!({"devices": devices, "manage": manage, "token_file": token});
    output::print(common, &started, || {
        format!("devices call    {devices}\noperators call  {manage}\ntheir token is  {token}")
    });
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    crate::log::notice("stopping");
    server.stop().await;
    Ok(())
}

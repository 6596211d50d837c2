//! The command line: `serve`, and the verbs of operators, which talk to a running server.
//!
//! Owns: arguments, output for people or as JSON, exit codes. Never does: touch the server's state behind its back.
//! Invariant: every failure exits non-zero; results go to stdout, everything else to stderr.

mod actions;
mod client;
mod deploy;
mod output;
mod release;
mod serve;
mod settings;
mod source;
mod target;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use client::{Client, Failure};

/// Where the state is unless told otherwise.
const DEFAULT_DIR: &str = "/var/lib/roamcore-fleet";
/// Where operators call unless told otherwise; as `serve` listens.
const DEFAULT_URL: &str = "http://127.0.0.1:8081";

/// The embedded fleet server: it speaks hawkBit's DDI with devices.
#[derive(Parser)]
#[command(
    name = "roamcore-fleet",
    version,
    about,
    after_help = "Example, from nothing to an update:
  roamcore-fleet serve --dir ./fleet --listen 0.0.0.0:8080 &
  export ROAMCORE_FLEET_TOKEN_FILE=./fleet/admin.token
  roamcore-fleet target add van-7
  roamcore-fleet release add out/bare-vp2430/latest.update
  roamcore-fleet deploy 1 --target van-7
  roamcore-fleet actions list --open

Exit codes: 0 done, 1 failed here, 2 wrong arguments, 3 refused by the server, 4 server not reached,
  5 not authorised, 10 and above: the release was refused (see docs/release.md)."
)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// What all verbs share.
#[derive(Args, Clone)]
pub(crate) struct Common {
    /// Results as JSON on one line
    #[arg(long, global = true)]
    json: bool,
    /// Management API [default: $ROAMCORE_FLEET_URL or http://127.0.0.1:8081]
    #[arg(long, global = true, value_name = "URL")]
    url: Option<String>,
    /// File with the operator's token [default: $ROAMCORE_FLEET_TOKEN_FILE or /var/lib/roamcore-fleet/admin.token]
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Certificate authority of an https URL, in PEM, instead of the system's
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server
    Serve(serve::Serve),
    /// Devices
    #[command(subcommand)]
    Target(target::Target),
    /// Releases
    #[command(subcommand)]
    Release(release::Release),
    /// Deploy a release to targets
    Deploy(deploy::Deploy),
    /// What was deployed, and how it goes
    #[command(subcommand)]
    Actions(actions::Actions),
    /// Settings of the whole fleet
    #[command(subcommand)]
    Settings(settings::SettingsVerb),
}

impl Common {
    fn client(&self) -> Result<Client, Failure> {
        let url = self
            .url
            .clone()
            .or_else(|| std::env::var("ROAMCORE_FLEET_URL").ok());
        let file = self
            .token_file
            .clone()
            .or_else(|| std::env::var_os("ROAMCORE_FLEET_TOKEN_FILE").map(PathBuf::from));
        let file = file.unwrap_or_else(|| PathBuf::from(DEFAULT_DIR).join(crate::ADMIN_TOKEN));
        Client::new(
            url.as_deref().unwrap_or(DEFAULT_URL),
            &file,
            self.ca.as_deref(),
        )
    }
}

/// Parses the arguments and does what they say.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("roamcore-fleet: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(dispatch(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("roamcore-fleet: {}", failure.chain());
            ExitCode::from(failure.exit_code())
        }
    }
}

async fn dispatch(cli: Cli) -> Result<(), Failure> {
    let common = &cli.common;
    match cli.command {
        Command::Serve(serve) => serve::run(common, serve).await,
        Command::Target(verb) => target::run(common, verb).await,
        Command::Release(verb) => release::run(common, verb).await,
        Command::Deploy(deploy) => deploy::run(common, deploy).await,
        Command::Actions(verb) => actions::run(common, verb).await,
        Command::Settings(verb) => settings::run(common, verb).await,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn arguments_agree_with_themselves() {
        super::Cli::command().debug_assert();
    }
}

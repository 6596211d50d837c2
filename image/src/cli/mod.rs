//! The command line.
//!
//! Owns: arguments, exit codes, and printing an error with its causes once. Never does: the work.
//! Exit codes: 0 done, 1 failed, 2 wrong usage, 3 signatures wanted, 10 and up what `verify` found
//! (docs/release.md has the table).

mod build;
mod check;
mod inspect;
mod keys;
mod lock;
mod pve;
mod release;
mod roles;
mod twice;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use roamcore_image::events::Events;
use roamcore_ota::{
    DocumentError, FailureClass, KeyError, Refusal, RolesError, SignError, SignatureFileError,
    TrustError, VerifyError,
};

/// Builds signed A/B disk images from a lock file.
#[derive(Debug, Parser)]
#[command(name = "roamcore-image", version, about)]
#[command(
    after_help = "Example: roamcore-image build bare && roamcore-image verify out/bare-vp2430/latest"
)]
struct Cli {
    /// Print progress and results as JSON, one object per line.
    #[arg(long, global = true)]
    json: bool,
    /// The checkout with appliances/, hardware/ and overlays/.
    #[arg(long, global = true, default_value = ".", value_name = "DIR")]
    checkout: PathBuf,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Resolve an appliance's packages into its lock file.
    Lock(lock::Args),
    /// Build an image from its lock file and sign it.
    Build(build::Args),
    /// Sign a request from another machine, or add a signature to a release.
    Sign(build::SignArgs),
    /// Go on with an unsigned build after its request was signed.
    Attach(build::AttachArgs),
    /// Make, compare and verify updates: what devices fetch of a build.
    Release(release::Args),
    /// Verify a release: signatures, every file, every partition.
    Verify(verify::Args),
    /// Show what a release is.
    Inspect(inspect::Args),
    /// Check appliances, boards and overlays without building.
    Check(check::Args),
    /// Show what an appliance is to Proxmox: its files, its database, who can reach whom.
    Pve(pve::Args),
    /// Make and show signing keys.
    Keys(keys::Args),
}

/// What every verb gets.
struct Context {
    json: bool,
    checkout: PathBuf,
    events: Events,
}

/// A failure that has an exit code of its own.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct Coded {
    code: u8,
    message: String,
}

/// Runs the program.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let context = Context {
        json: cli.json,
        checkout: cli.checkout,
        events: Events::new(cli.json),
    };
    let result: Result<ExitCode> = match cli.verb {
        Verb::Lock(args) => lock::run(&context, args),
        Verb::Build(args) => build::run(&context, args),
        Verb::Sign(args) => build::sign(&context, args),
        Verb::Attach(args) => build::attach(&context, args),
        Verb::Release(args) => release::run(&context, args),
        Verb::Verify(args) => verify::run(&context, args),
        Verb::Inspect(args) => inspect::run(&context, args),
        Verb::Check(args) => check::run(&context, args),
        Verb::Pve(args) => pve::run(&context, args),
        Verb::Keys(args) => keys::run(&context, args),
    };
    match result {
        Ok(code) => {
            context.events.drop_log();
            code
        }
        Err(error) => fail(&context, &error),
    }
}

/// The exit code of the outermost error that has one.
fn code(error: &anyhow::Error) -> u8 {
    if let Some(coded) = error.downcast_ref::<Coded>() {
        return coded.code;
    }
    let known = error.chain().find_map(|cause| {
        let verify = cause
            .downcast_ref::<VerifyError>()
            .map(VerifyError::exit_code);
        let sign = || cause.downcast_ref::<SignError>().map(SignError::exit_code);
        let key = || cause.downcast_ref::<KeyError>().map(KeyError::exit_code);
        let trust = || {
            cause
                .downcast_ref::<TrustError>()
                .map(|_| FailureClass::BadTrustStore.exit_code())
        };
        let document = || {
            cause
                .downcast_ref::<DocumentError>()
                .map(DocumentError::exit_code)
        };
        let roles = || {
            cause
                .downcast_ref::<RolesError>()
                .map(RolesError::exit_code)
        };
        let delta = || roamcore_image::release::class(cause).map(FailureClass::exit_code);
        let refusal = || cause.downcast_ref::<Refusal>().map(Refusal::exit_code);
        let file = || {
            cause
                .downcast_ref::<SignatureFileError>()
                .map(SignatureFileError::exit_code)
        };
        verify
            .or_else(sign)
            .or_else(key)
            .or_else(trust)
            .or_else(document)
            .or_else(roles)
            .or_else(refusal)
            .or_else(delta)
            .or_else(file)
    });
    known.unwrap_or(1)
}

fn fail(context: &Context, error: &anyhow::Error) -> ExitCode {
    let code = code(error);
    // Problems in documents come with their own heading.
    let text = error.to_string();
    let mut words = format!("error: {}\n", text.strip_prefix("error: ").unwrap_or(&text));
    for cause in error.chain().skip(1) {
        words += &format!("  caused by: {cause}\n");
    }
    let log = context.events.close_log(&words);
    if context.json {
        let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
        let mut line =
            serde_json::json!({"v": 1, "event": "failed", "exit_code": code, "causes": causes});
        if let Some(log) = log {
            line["log"] = log.display().to_string().into();
        }
        eprintln!("{line}");
    } else {
        eprint!("{words}");
        if let Some(log) = log {
            eprintln!("the log of this build is {}", log.display());
        }
    }
    ExitCode::from(code)
}

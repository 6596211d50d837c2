//! `roamcore-fuzz`: runs targets for a bounded time, keeps what was found, replays an input.
//!
//! Owns the arguments of libFuzzer and the reading of what it prints. Never does: call a crash anything but a failure.

mod campaign;
mod keep;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use roamcore_fuzz::{TARGETS, Target, target};

/// Fuzzes every parser of outside bytes.
#[derive(Parser)]
#[command(after_help = "Example: roamcore-fuzz run --driver target/fuzz/fuzz-one index 60")]
struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Names every target and where its bytes come from.
    List,
    /// Fuzzes one target, or all of them, and fails if anything was found.
    Run {
        #[command(flatten)]
        places: Places,
        /// A target, or `all`.
        #[arg(default_value = "all")]
        target: String,
        /// Seconds for each target.
        #[arg(default_value_t = 5)]
        seconds: u32,
        /// Makes the choices of a run again, as far as time allows; otherwise taken from the clock.
        #[arg(long)]
        seed: Option<u32>,
    },
    /// Adds a spread of what was found to the committed corpus, within its bound.
    Keep {
        #[command(flatten)]
        places: Places,
    },
    /// Feeds one input to one target.
    Replay {
        /// The target.
        target: String,
        /// The input.
        input: PathBuf,
    },
}

/// Where things are.
#[derive(clap::Args)]
struct Places {
    /// The program that was built with coverage counters.
    #[arg(long)]
    driver: PathBuf,
    /// The committed inputs.
    #[arg(long, default_value = "ota/fuzz/corpus")]
    corpus: PathBuf,
    /// Where found inputs and crashes go.
    #[arg(long, default_value = "target/fuzz/found")]
    found: PathBuf,
}

fn main() -> Result<ExitCode> {
    match Arguments::parse().action {
        Action::List => {
            for target in TARGETS {
                println!("{:18} {}", target.name, target.from);
            }
        }
        Action::Run {
            places,
            target,
            seconds,
            seed,
        } => {
            let targets = chosen(&target)?;
            let seed = seed.unwrap_or_else(from_clock).max(1);
            return campaign::run(&places, &targets, seconds, seed);
        }
        Action::Keep { places } => keep::run(&places)?,
        Action::Replay {
            target: name,
            input,
        } => {
            let bytes =
                std::fs::read(&input).with_context(|| format!("reading {}", input.display()))?;
            let [target] = chosen(&name)?[..] else {
                bail!("choose one target");
            };
            let accepted = (target.run)(&bytes);
            println!("{}", if accepted { "accepted" } else { "refused" });
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn chosen(name: &str) -> Result<Vec<&'static Target>> {
    match (name, target(name)) {
        ("all", _) => Ok(TARGETS.iter().collect()),
        (_, Some(target)) => Ok(vec![target]),
        _ => bail!("{name:?} is no target; `roamcore-fuzz list` names them"),
    }
}

fn from_clock() -> u32 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(1, |now| now.subsec_nanos() ^ now.as_secs() as u32)
}

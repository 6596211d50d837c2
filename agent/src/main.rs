//! The program: arguments in, library call, exit code out.
//!
//! Owns: the command line and the exit codes. Never does: work of its own.
//! Exit codes: 0 done, 1 failed, 2 wrong arguments, 3 disk too small, 4 not a development image.

mod cli;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use roamcore_agent::commit::{self, Outcome};
use roamcore_agent::fall_over::Begun;
use roamcore_agent::power::{self, DiskTooSmall};
use roamcore_agent::prepare::{self, PrepareError};
use roamcore_agent::roots::Roots;
use roamcore_agent::settings::{self, SettingsError};
use roamcore_agent::{attempts, disk, fall_over, log, verify};

use cli::{Command, Power};

const FAILED: u8 = 1;
const USAGE: u8 = 2;
const TOO_SMALL: u8 = 3;
const NOT_DEVELOPMENT: u8 = 4;

fn main() -> ExitCode {
    let call = match cli::parse(std::env::args_os()) {
        Ok(call) => call,
        Err(error) => {
            log::error(format!("{error}; see roamcore-agent --help"));
            return ExitCode::from(USAGE);
        }
    };
    match run(&call.roots, &call.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error(format!("{error:#}"));
            ExitCode::from(exit_code(&error))
        }
    }
}

fn run(roots: &Roots, command: &Command) -> Result<()> {
    match command {
        Command::Print(text) => print(text),
        Command::PrepareRoot { sysroot, power } => prepare_root(roots, sysroot, *power),
        Command::VerifySlot { json } => {
            let device = roots.dev.join("mapper/root");
            let report = verify::run(&device)
                .with_context(|| format!("slot behind {} failed", device.display()))?;
            print(&if *json {
                report.to_json().to_string()
            } else {
                report.to_text()
            })
        }
        Command::Commit => match commit::run(roots).context("the trial was not committed")? {
            Outcome::NotInTrial => print("not in a trial"),
            Outcome::Committed { slot, entry } => print(&format!("committed {slot}: {entry}")),
        },
        Command::TrialFailed { reason } => trial_failed(roots, reason),
        Command::BeginBoot => {
            let begun = fall_over::begin(roots).context("this boot was not counted")?;
            if let Begun::Failed(_) = begun {
                log::error(&begun);
            }
            print(&begun.to_string())
        }
        Command::FallOver => {
            let outcome = fall_over::run(roots).context("the failed boot was not counted")?;
            log::error(&outcome);
            print(&outcome.to_string())
        }
        Command::Healthy => {
            let slot = disk::running(roots)?.slot;
            let cleared = fall_over::healthy(roots, slot).context("the count was not ended")?;
            print(if cleared {
                "count of failed boots ended"
            } else {
                "no failed boots counted"
            })
        }
        Command::Settings => {
            let count = settings::run(roots).context("settings were not taken")?;
            print(&format!("{count} settings taken"))
        }
    }
}

/// As `ExecStopPost=` it also runs after a success, which systemd tells by SERVICE_RESULT (systemd.exec(5)), and when an
/// orderly reboot stops a service in the middle of its work: that interrupts the trial, and is nothing against it.
fn trial_failed(roots: &Roots, reason: &str) -> Result<()> {
    let variable = |name| std::env::var(name).unwrap_or_default();
    let result = variable("SERVICE_RESULT");
    let why = match result.as_str() {
        "success" => return print("no failure"),
        "signal" if variable("EXIT_STATUS") == "TERM" => return print("stopped, not failed"),
        "" => reason.to_owned(),
        result => format!("{reason}: {result}"),
    };
    let noted = attempts::failed_boot(roots, &why).context("the failure was not noted")?;
    print(if noted { "noted" } else { "not in a trial" })
}

fn prepare_root(roots: &Roots, sysroot: &Path, power: Power) -> Result<()> {
    let error = match prepare::run(roots, sysroot) {
        Ok(()) => return Ok(()),
        Err(PrepareError::TooSmall(refusal)) => {
            power::announce(roots, &refusal);
            match power {
                Power::Keep => anyhow::Error::from(refusal),
                Power::Off => anyhow::Error::from(refusal)
                    .context(format!("power-off failed: {}", power::off())),
            }
        }
        Err(error) => anyhow::Error::from(error),
    };
    Err(error.context("the root was not prepared"))
}

/// Results go to stdout; a closed pipe is a failure like any other.
fn print(text: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{text}").context("cannot write the result to stdout")
}

fn exit_code(error: &anyhow::Error) -> u8 {
    if error.downcast_ref::<DiskTooSmall>().is_some() {
        return TOO_SMALL;
    }
    match error.downcast_ref::<SettingsError>() {
        Some(SettingsError::NotDevelopment { .. }) => NOT_DEVELOPMENT,
        _ => FAILED,
    }
}

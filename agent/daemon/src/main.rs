//! The program: arguments in, library call, exit code out.
//!
//! Owns: the exit codes. Never does: work of its own.
//! Exit codes: 0 done, 1 failed or not healthy, 2 wrong arguments, 3 the service does not answer, 4 refused.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use roamcore_agent::log;
use roamcore_daemon::call::{CallError, call};
use roamcore_daemon::cli::{self, Call, Command, Form};
use roamcore_daemon::health::{self, Machine, Report};
use roamcore_daemon::protocol::{Answer, Request};
use roamcore_daemon::{daemon, machine, show};

const FAILED: u8 = 1;
const USAGE: u8 = 2;
const NO_ANSWER: u8 = 3;
const REFUSED: u8 = 4;

fn main() -> ExitCode {
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let call = match cli::parse(std::env::args_os(), &here) {
        Ok(call) => call,
        Err(error) => {
            log::error(format!("{error}; see roamcore --help"));
            return ExitCode::from(USAGE);
        }
    };
    match run(&call) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            log::error(format!("{error:#}"));
            let unanswered = matches!(
                error.downcast_ref(),
                Some(
                    CallError::NotRunning { .. }
                        | CallError::Unreachable { .. }
                        | CallError::Broken(_)
                )
            );
            ExitCode::from(if unanswered { NO_ANSWER } else { FAILED })
        }
    }
}

fn run(call: &Call) -> Result<u8> {
    match &call.command {
        Command::Print(text) => print(text).map(|()| 0),
        Command::Ask(request) => ask(call, request, show::answer),
        Command::Slots => ask(call, &Request::Status, |answer| match answer {
            Answer::Status(overview) => show::slots(&overview.engine),
            other => show::answer(other),
        }),
        Command::Health { gate } => {
            let report = match gate {
                true => health::gate(&call.places, &Machine),
                false => health::once(&call.places, &Machine),
            };
            show_report(&report, call.form)
        }
        Command::Daemon => {
            let device = machine::open(&call.places)?;
            daemon::run(&call.places, device).map(|()| 0)
        }
    }
}

fn ask(arguments: &Call, request: &Request, text: impl Fn(&Answer) -> String) -> Result<u8> {
    let answer = call(&arguments.places.socket(), request)?;
    let shown = match arguments.form {
        Form::Text => text(&answer),
        Form::Json => String::from_utf8(answer.to_line()?).context("the answer is not UTF-8")?,
    };
    print(shown.trim_end())?;
    Ok(match answer {
        Answer::Refused { .. } => REFUSED,
        Answer::Failed { .. } => FAILED,
        _ => 0,
    })
}

fn show_report(report: &Report, form: Form) -> Result<u8> {
    print(&match form {
        Form::Text => report.to_text(),
        Form::Json => serde_json::to_string(report).context("the report cannot be written")?,
    })?;
    Ok(if report.healthy { 0 } else { FAILED })
}

/// Results go to stdout; a closed pipe is a failure like any other.
fn print(text: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{text}").context("cannot write the result to stdout")
}

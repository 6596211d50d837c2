//! Command line: `roamcore-crash judge|state|log`. Parses arguments and calls the library.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Parser, Subcommand};
use roamcore_crash::judge::{Expect, Judge};
use roamcore_crash::log::{Entry, Log};
use roamcore_crash::materialize;
use roamcore_crash::run::Run;
use roamcore_crash::state::Recording;

/// Judges what power cuts leave of a disk whose writes QEMU noted.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Example: roamcore-crash judge --base base.raw --log writes.log --expect expect.json --states 20000"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Judge states between and at all flushes. Exit code 1 when one of them is bad.
    Judge {
        #[command(flatten)]
        input: Input,
        /// Also write the report as JSON.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// Tell what becomes of one state, and make a disk of it. Give the same --states and --seed as the report had.
    State {
        #[command(flatten)]
        input: Input,
        /// WINDOW/STATE, as a report names it.
        state: String,
        /// A copy of the base disk; it becomes the state.
        #[arg(long, value_name = "RAW")]
        write_to: Option<PathBuf>,
    },
    /// Print a log's entries.
    Log {
        /// The log.
        log: PathBuf,
    },
}

#[derive(Debug, Args)]
struct Input {
    /// The disk before the log began, raw.
    #[arg(long, value_name = "RAW")]
    base: PathBuf,
    /// The log that `blklogwrites` wrote.
    #[arg(long)]
    log: PathBuf,
    /// What the disk may hold: JSON with `fixed` files and `releases`.
    #[arg(long, value_name = "JSON")]
    expect: PathBuf,
    /// About this many states.
    #[arg(long, value_name = "N", default_value_t = 12_000)]
    states: usize,
    /// Chooses them.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

impl Input {
    fn open(&self) -> anyhow::Result<(Recording<File, File>, Judge)> {
        let (base, size) = open(&self.base)?;
        let log = read_log(&self.log)?;
        let text = std::fs::read(&self.expect)
            .with_context(|| format!("read {}", self.expect.display()))?;
        let expect: Expect = serde_json::from_slice(&text)
            .with_context(|| format!("{} is not an expectation", self.expect.display()))?;
        Ok((Recording { base, size, log }, Judge::new(expect)))
    }
}

fn open(path: &Path) -> anyhow::Result<(File, u64)> {
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    let size = file.metadata().context("look at it")?.len();
    Ok((file, size))
}

fn read_log(path: &Path) -> anyhow::Result<Log<File>> {
    let (file, size) = open(path)?;
    let log = Log::parse(file, size).with_context(|| path.display().to_string())?;
    ensure!(
        log.flushes() > 0,
        "{} has no flush; a disk with cache=unsafe passes none on",
        path.display()
    );
    Ok(log)
}

fn main() -> ExitCode {
    run(&Cli::parse()).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(2)
    })
}

/// Exit codes: 0 nothing is bad, 1 something is, 2 it could not be judged.
fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    match &cli.command {
        Command::Judge { input, json } => judge(input, json.as_deref()),
        Command::State {
            input,
            state,
            write_to,
        } => one(input, state, write_to.as_deref()),
        Command::Log { log } => print(&read_log(log)?),
    }
}

fn judge(input: &Input, json: Option<&Path>) -> anyhow::Result<ExitCode> {
    let (recording, judge) = input.open()?;
    let run = Run::new(&recording, &judge, input.states, input.seed).context("plan the states")?;
    let report = run.judge();
    let mut out = std::io::stdout().lock();
    write!(out, "{report}")?;
    for finding in report.findings.iter().chain(&report.fragile_findings) {
        writeln!(out, "{finding}")?;
    }
    if let Some(path) = json {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(path, text + "\n").with_context(|| format!("write {}", path.display()))?;
    }
    Ok(match report.bad_states() {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

fn one(input: &Input, state: &str, write_to: Option<&Path>) -> anyhow::Result<ExitCode> {
    let (recording, judge) = input.open()?;
    let run = Run::new(&recording, &judge, input.states, input.seed).context("plan the states")?;
    let numbers = state
        .split_once('/')
        .and_then(|(window, number)| Some((window.parse().ok()?, number.parse::<usize>().ok()?)));
    let Some((window, number)) = numbers else {
        bail!("{state:?} is not WINDOW/STATE, two numbers");
    };
    let shape = run.shapes(window).get(number).copied();
    let shape = shape.with_context(|| {
        format!("there is no state {state}; give the --states and --seed of the report")
    })?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{state}: {shape}")?;
    let verdict = run.with_state(window, shape, |state| -> anyhow::Result<_> {
        if let Some(path) = write_to {
            let file = File::options().write(true).open(path);
            let file = file.with_context(|| format!("open {}", path.display()))?;
            let bytes = materialize::write(state, &file).context("write the state")?;
            eprintln!("{bytes} bytes changed in {}", path.display());
        }
        Ok(run.verdict(state, &[]))
    });
    match verdict.context("no such window")?? {
        Ok(story) => {
            for boot in &story.boots {
                let release = judge.expect().releases.get(boot.release);
                let name = release.map_or("?", |release| release.name.as_str());
                writeln!(out, "boots {} by {}", name, boot.entry)?;
            }
            for fragile in &story.fragile {
                writeln!(out, "fragile: {fragile}")?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(bad) => {
            writeln!(out, "BAD: {bad}")?;
            Ok(ExitCode::FAILURE)
        }
    }
}

fn print(log: &Log<File>) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    for (index, entry) in log.entries().iter().enumerate() {
        match entry {
            Entry::Write {
                offset, len, fua, ..
            } => {
                let fua = if *fua { ", durable" } else { "" };
                writeln!(out, "{index:7} write   {offset:14} {len:10}{fua}")?;
            }
            Entry::Discard { offset, len } => {
                writeln!(out, "{index:7} discard {offset:14} {len:10}")?;
            }
            Entry::Flush => writeln!(out, "{index:7} flush")?,
            Entry::Mark(text) => writeln!(out, "{index:7} mark {text:?}")?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

//! `roamcore-bench`: measures the builder against the tools of Debian.
//!
//! Owns: the order of the measurements and the exit code. Never does: state a figure that was not
//! measured in this very run, or fail because a figure disappoints.
//! Invariant: every ratio compares two runs of one process on one machine, taken in turns.
//!
//! ```text
//! machine --> build (cold, warm, changed) --> verity tree --> mkosi --> delta --> install --> aims --> [JSON]
//!             '------- one temporary checkout and cache: Workshop -------'
//! ```

mod build;
mod built;
mod delta;
mod install;
mod machine;
mod mkosi;
mod peer;
mod proxy;
mod report;
mod stats;
mod tree;
mod verity;
mod workshop;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand, ValueEnum};
use roamcore_image::cache::write_atomically;

use machine::Machine;
use report::Report;
use workshop::Workshop;

/// Measures the builder against the tools of Debian.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Example: ./dev bench --only verity --json bench.json"
)]
struct Args {
    /// Measure only this; may be given several times.
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// Fewer runs and a smaller random file: for trying the command, not for quoting.
    #[arg(long)]
    quick: bool,
    /// Also write everything to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The checkout whose `bare` appliance is built.
    #[arg(long, default_value = ".", value_name = "DIR")]
    checkout: PathBuf,
    /// Debian archive; otherwise the one this machine's apt uses.
    #[arg(long, value_name = "URI")]
    mirror: Option<String>,
    /// Debian security archive; otherwise the one this machine's apt uses.
    #[arg(long, value_name = "URI")]
    security_mirror: Option<String>,
    #[command(subcommand)]
    inner: Option<Inner>,
}

/// A measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Cold and warm builds of `bare`, by step.
    Build,
    /// The hash tree against `veritysetup format`.
    Verity,
    /// The whole build against mkosi.
    Mkosi,
    /// Bytes to download for an update, against RAUC, casync, zstd and xdelta3.
    Delta,
    /// Time and memory of a full install, against RAUC and a raw write.
    Install,
}

/// What the benchmark starts itself for.
#[derive(Debug, Subcommand)]
enum Inner {
    /// Build one hash tree: a process of its own, as veritysetup is.
    #[command(hide = true)]
    VerityTree {
        data: PathBuf,
        tree: PathBuf,
        threads: usize,
    },
    /// Install a packed root into a disk of its own: memory is counted by process.
    #[command(hide = true)]
    InstallRoot { directory: PathBuf },
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match &args.inner {
        Some(Inner::VerityTree {
            data,
            tree,
            threads,
        }) => tree::build(data, tree, *threads),
        Some(Inner::InstallRoot { directory }) => install::ours::install(directory),
        None => run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let wanted = |part| args.only.is_empty() || args.only.contains(&part);
    let machine = Machine::read()?;
    println!("{machine}");
    if args.quick {
        println!("--quick: too few runs to quote.");
    }
    let mirrors = workshop::MirrorFlags {
        debian: args.mirror.clone(),
        security: args.security_mirror.clone(),
    };
    let mut workshop = Workshop::new(&args.checkout, mirrors)?;
    let mut report = Report::new(machine, args.quick);
    if wanted(Part::Build) {
        let figures = build::measure(&mut workshop, args.quick).context("measuring builds")?;
        println!("{figures}");
        report.build = Some(figures);
    }
    if wanted(Part::Verity) {
        let figures = verity::measure(&mut workshop, args.quick).context("measuring hash trees")?;
        println!("{figures}");
        report.verity = Some(figures);
    }
    if wanted(Part::Mkosi) {
        let figures = mkosi::measure(&mut workshop, args.quick).context("measuring mkosi")?;
        println!("{figures}");
        report.mkosi = Some(figures);
    }
    if wanted(Part::Delta) {
        let figures = delta::measure(&mut workshop, args.quick).context("measuring downloads")?;
        println!("{figures}");
        report.delta = Some(figures);
    }
    if wanted(Part::Install) {
        let figures = install::measure(&mut workshop, args.quick).context("measuring installs")?;
        println!("{figures}");
        report.install = Some(figures);
    }
    report.finish()?;
    println!("{report}");
    if let Some(path) = &args.json {
        let path =
            std::path::absolute(path).with_context(|| format!("resolving {}", path.display()))?;
        write_atomically(&path, &serde_json::to_vec_pretty(&report)?)?;
    }
    Ok(())
}

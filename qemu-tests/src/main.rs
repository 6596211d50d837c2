//! Command line of the harness: `qemu-tests test [NAME...]`, `list`, `run`. Parses arguments and calls the library.

mod interactive;

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Instant, UNIX_EPOCH};

use anyhow::Context;
use clap::{Args, Parser};
use roamcore_qemu_tests::accel::Accel;
use roamcore_qemu_tests::context::{CrashStates, Ctx, Work};
use roamcore_qemu_tests::disk::base;
use roamcore_qemu_tests::image::Image;
use roamcore_qemu_tests::registry::{self, Group};
use roamcore_qemu_tests::{lanes, runner, scenarios};

/// Boots an image in QEMU as a VP2430 would, and tests it.
#[derive(Debug, Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Example: qemu-tests --image out/bare-vp2430/latest boot nics"
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    test: TestArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Boot the image with its serial console on the terminal; ctrl-a x leaves.
    Run(interactive::RunArgs),
}

#[derive(Debug, Args)]
struct TestArgs {
    /// Tests or groups (ci, all); without any: ci.
    names: Vec<String>,
    /// List the tests and what each proves.
    #[arg(long)]
    list: bool,
    /// Release directory with disk.img.zst and release.json. Further ones are for tests that need another appliance.
    #[arg(long = "image", value_name = "DIR")]
    images: Vec<PathBuf>,
    /// Where logs and evidence go, a directory for each test.
    #[arg(long, value_name = "DIR", default_value = "out/qemu-tests")]
    out: PathBuf,
    /// Unpacked images and this run's disks [default: the user's cache directory].
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Also write the results as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Tests that run at once [default: 2 with two processors or more].
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Keep this run's disks.
    #[arg(long)]
    keep: bool,
    /// States of the disk that the test `crash` boots.
    #[arg(long, value_name = "N", default_value_t = 2)]
    count: usize,
    /// What chooses them [default: the clock].
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.command {
        Some(Command::Run(args)) => interactive::run(args).map(|()| ExitCode::SUCCESS),
        None => test(&cli.test),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(2)
    })
}

/// Exit codes: 0 all passed or skipped, 1 a test failed, 2 the harness itself failed.
fn test(args: &TestArgs) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout();
    if args.list {
        for test in scenarios::ALL {
            let group = if test.group == Group::Ci { "ci" } else { "all" };
            writeln!(out, "{:10} {group:4} {}", test.name, test.proves)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let tests = registry::select(scenarios::ALL, &args.names).map_err(anyhow::Error::msg)?;
    let images = args.images.iter().map(|directory| {
        Image::open(directory).with_context(|| format!("open the image {}", directory.display()))
    });
    let images = images.collect::<anyhow::Result<Vec<_>>>()?;
    let cache = args.cache.clone().unwrap_or_else(base::cache_directory);
    // Absolute: QEMU writes logs there, whatever its own directory.
    let (logs, cache) = (std::path::absolute(&args.out)?, std::path::absolute(cache)?);
    let clock = || UNIX_EPOCH.elapsed().map_or(1, |since| since.as_secs());
    let crash = CrashStates {
        count: args.count,
        seed: args.seed.unwrap_or_else(clock),
    };
    let work = if args.keep { Work::Kept } else { Work::Passing };
    let make = || {
        let mut ctx = Ctx::new(Vec::clone(&images), &logs, &cache, work)?;
        ctx.crash = crash;
        Ok(ctx)
    };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let at_once = args.jobs.map(NonZeroUsize::get);
    let at_once = at_once.unwrap_or_else(|| lanes::fitting(processors));
    let begun = Instant::now();
    let reports = lanes::run(&make, at_once, &tests, &mut out)?;
    if let Some(path) = &args.json {
        runner::save_json(&reports, path)?;
    }
    // Without names it is `ci` too (`registry::select`).
    let ci = args.names.is_empty() || args.names == ["ci"];
    let seconds = begun.elapsed().as_secs();
    let table = runner::table(&reports, seconds, Accel::detect(), ci);
    write!(out, "\n{table}")?;
    Ok(if runner::failed(&reports) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

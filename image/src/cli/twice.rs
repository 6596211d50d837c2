//! `build --twice`: proof that surroundings do not reach the image.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use roamcore_image::build::{self, Outcome, Tools};
use roamcore_image::cache::Cache;
use roamcore_image::clock::Shift;
use roamcore_image::command::Command;
use roamcore_image::keys::KeySet;
use roamcore_image::lock::Set;
use roamcore_image::signer::Signer;
use roamcore_image::{compare, pool::Pool};
use roamcore_ota::Channel;
use roamcore_spec::names::Name;

use super::build::{Ready, What, plan};
use super::{Coded, Context};

/// Exit code when the two builds differ.
const DIFFERENT: u8 = 4;
/// Files listed when the builds differ; the rest is counted.
const MOST_FILES: usize = 40;

/// One surrounding: what may differ between two hosts.
struct Surrounding {
    name: &'static str,
    umask: u32,
    locale: &'static str,
    zone: &'static str,
    /// Processors, at most as many as there are.
    processors: usize,
    clock: u64,
}

const SURROUNDINGS: [Surrounding; 2] = [
    Surrounding {
        name: "first",
        umask: 0o022,
        locale: "C",
        zone: "UTC",
        processors: 1,
        clock: 0,
    },
    Surrounding {
        name: "second/with a longer path",
        umask: 0o077,
        locale: "tr_TR.UTF-8",
        zone: "Pacific/Chatham",
        processors: 2,
        // Four hundred days and some: another year, month, day, weekday, hour and minute.
        clock: 35_000_000,
    },
];

/// Builds twice with empty caches and compares everything.
pub fn run(
    context: &Context,
    appliance: &Name,
    what: &What,
    channel: Channel,
    ready: &Ready,
    keys: KeySet,
) -> Result<ExitCode> {
    // The two builds run offline, so that both see the same packages.
    let pool = Pool::open(ready.cache.root().join("pool"))?;
    for set in [Set::Tools, Set::Image] {
        pool.ensure(
            &ready.lock,
            set,
            ready.mirrors.as_ref(),
            what.pool.as_deref(),
            &context.events,
        )?;
    }
    // Of the ordinary cache, to load the builder itself by.
    let (tools, _) = build::unpack_tools(&ready.cache, &pool, &ready.lock)?;
    let scratch = ready.cache.scratch("twice")?;
    let mut releases = Vec::new();
    let mut caches = Vec::new();
    for surrounding in &SURROUNDINGS {
        let dir = scratch.path().join(surrounding.name);
        fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        let cache = Cache::open(&dir.join("cache"))?;
        share_packages(&ready.cache, &cache)?;
        let out = dir.join("out");
        context.events.note(&format!(
            "building under umask {:03o}, locale {}, zone {}, {} processor(s), clock {} s ahead",
            surrounding.umask,
            surrounding.locale,
            surrounding.zone,
            surrounding.processors,
            surrounding.clock
        ));
        // A process of its own, because all that belongs to processes.
        let release = child(
            context,
            appliance,
            what,
            channel,
            &keys,
            surrounding,
            &tools,
            cache.root(),
            &out,
        )?;
        releases.push(release);
        caches.push(cache.root().to_owned());
    }
    let differences = compare::releases(&releases[0], &releases[1])?;
    if differences.is_empty() {
        let outcome = finish(context, appliance, what, channel, ready, keys)?;
        if context.json {
            println!(
                "{}",
                serde_json::json!({"v": 1, "outcome": "identical", "directory": outcome})
            );
        } else {
            println!(
                "two builds are identical, byte for byte; {}",
                outcome.display()
            );
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut message = format!("the two builds differ:\n  {}", differences.join("\n  "));
    let files = compare::roots(&caches[0], &caches[1])?;
    if files.is_empty() {
        message += "\n  the files of both roots are the same";
    }
    for file in files.iter().take(MOST_FILES) {
        message += &format!("\n  {file}");
    }
    if let Some(more) = files.len().checked_sub(MOST_FILES).filter(|more| *more > 0) {
        message += &format!("\n  and {more} more");
    }
    // One pair is enough to look at, and the work area would be tidied by the next build.
    let kept = ready.cache.root().join("differing");
    if kept.exists() {
        fs::remove_dir_all(&kept)
            .with_context(|| format!("removing the earlier {}", kept.display()))?;
    }
    fs::rename(scratch.keep(), &kept)
        .with_context(|| format!("keeping both builds in {}", kept.display()))?;
    message += &format!("\nboth are kept in {}", kept.display());
    Err(Coded {
        code: DIFFERENT,
        message,
    }
    .into())
}

/// Packages are verified by hash whenever they are used; only what is made from them is made again.
fn share_packages(from: &Cache, to: &Cache) -> Result<()> {
    let target = to.root().join("pool");
    fs::remove_dir(&target).with_context(|| format!("replacing {}", target.display()))?;
    std::os::unix::fs::symlink(from.root().join("pool"), &target).context("sharing the packages")
}

#[allow(clippy::too_many_arguments)] // One call, one process.
fn child(
    context: &Context,
    appliance: &Name,
    what: &What,
    channel: Channel,
    keys: &KeySet,
    surrounding: &Surrounding,
    tools: &Tools,
    cache: &Path,
    out: &Path,
) -> Result<std::path::PathBuf> {
    let umask = format!("umask {:03o}; exec \"$@\"", surrounding.umask);
    let clock = Shift::seconds(surrounding.clock);
    let program = std::env::current_exe().context("finding this program")?;
    let mut command = Command::new("sh")
        .args(["-c", &umask, "sh", "taskset", "--cpu-list"])
        .arg(processors(surrounding.processors)?);
    if clock.is_some() {
        // On a machine with a newer C library than that of the tools this program cannot be loaded.
        let loads = clock.load(tools.root(), &program).arg("--version").run();
        match loads {
            Ok(_) => {
                let words = clock.words(tools.root(), &program);
                command = command.args(words.iter().take(words.len() - 1));
                for (name, value) in clock.settings() {
                    command = command.env(name, value);
                }
            }
            Err(error) => context.events.note(&format!(
                "the clock is ahead for the locked tools and the packages only, not for this program: {error}"
            )),
        }
    }
    let mut command = command
        .arg(&program)
        .args(["--json", "--checkout"])
        .arg(&context.checkout)
        .args([
            "build",
            appliance.as_str(),
            "--offline",
            "--version",
            &what.version,
        ])
        .args([
            "--sequence",
            &what.sequence.to_string(),
            "--threads",
            &surrounding.processors.to_string(),
            "--clock-ahead",
            &surrounding.clock.to_string(),
        ])
        .arg("--agent")
        .arg(&what.agent)
        .arg("--out")
        .arg(out)
        .arg("--keys")
        .arg(keys.dir())
        .env("ROAMCORE_CACHE", cache)
        .env("LC_ALL", surrounding.locale)
        .env("TZ", surrounding.zone);
    if channel == Channel::Release {
        command = command.arg("--release");
    }
    let output = command
        .run()
        .with_context(|| format!("the build in surrounding `{}`", surrounding.name))?;
    let line: serde_json::Value =
        serde_json::from_slice(&output.stdout).context("reading the build's result")?;
    let dir = line["directory"]
        .as_str()
        .context("the build did not say where its result is")?;
    Ok(dir.into())
}

/// The first `count` of the processors that this process may use, as taskset wants them.
fn processors(count: usize) -> Result<String> {
    let allowed = rustix::thread::sched_getaffinity(None).context("asking for the processors")?;
    let numbers: Vec<String> = (0..rustix::thread::CpuSet::MAX_CPU)
        .filter(|cpu| allowed.is_set(*cpu))
        .take(count)
        .map(|cpu| cpu.to_string())
        .collect();
    Ok(numbers.join(","))
}

/// The ordinary build, into the ordinary place.
fn finish(
    context: &Context,
    appliance: &Name,
    what: &What,
    channel: Channel,
    ready: &Ready,
    keys: KeySet,
) -> Result<std::path::PathBuf> {
    Pool::open(ready.cache.root().join("pool"))?;
    let plan = plan(context, appliance, what, channel, ready, &what.out);
    match build::run(&plan, &Signer::Keys(keys), &ready.cache, &context.events)? {
        Outcome::Signed(dir) => Ok(dir),
        Outcome::Wanted(dir) => anyhow::bail!(
            "keys were given, yet signatures are wanted in {}",
            dir.display()
        ),
    }
}

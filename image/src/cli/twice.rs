//! `build --twice`: proof that surroundings do not reach the image.
//!
//! Owns: the two surroundings and what is done with both results. Never does: put a release in place that is not one of
//! the two that were compared.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use roamcore_image::build::{self, Tools};
use roamcore_image::cache::Cache;
use roamcore_image::clock::Shift;
use roamcore_image::command::Command;
use roamcore_image::crates::BESIDE_AGENT;
use roamcore_image::keys::KeySet;
use roamcore_image::lock::Set;
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
    for note in missing_variations() {
        context.events.note(&note);
    }
    let scratch = ready.cache.scratch("twice")?;
    let mut releases = Vec::new();
    let mut caches = Vec::new();
    for surrounding in &SURROUNDINGS {
        let dir = scratch.path().join(surrounding.name);
        fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        let cache = Cache::open(&dir.join("cache"))?;
        share(&ready.cache, &cache)?;
        let copies = Copies::make(context, what, &dir)?;
        let out = dir.join("out");
        context.events.note(&format!(
            "building in {} under umask {:03o}, locale {}, zone {}, {} processor(s), clock {} s ahead",
            dir.display(),
            surrounding.umask,
            surrounding.locale,
            surrounding.zone,
            surrounding.processors,
            surrounding.clock
        ));
        // A process of its own, because all that belongs to processes.
        let release = child(
            context,
            &copies,
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
        let plan = plan(context, appliance, what, channel, ready, &what.out);
        let outcome = build::adopt(&plan, &releases[0])?;
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

/// What of the surroundings this machine does not let vary, so that the proof is smaller than it looks.
fn missing_variations() -> Vec<String> {
    let mut notes = Vec::new();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let most = SURROUNDINGS.iter().map(|s| s.processors).max().unwrap_or(1);
    if processors < most {
        notes.push(format!(
            "not varied: this machine lets a build use {processors} processor(s), {most} were wanted; only the number \
             of threads differs"
        ));
    }
    // Names are compared as setlocale(3) does: `tr_TR.UTF-8` and `tr_TR.utf8` are one locale.
    let plain = |name: &str| name.to_ascii_lowercase().replace('-', "");
    let generated = match Command::new("locale").arg("-a").run() {
        Ok(told) => String::from_utf8_lossy(&told.stdout).into_owned(),
        Err(_) => String::new(),
    };
    for surrounding in &SURROUNDINGS {
        let wanted = plain(surrounding.locale);
        // C is built in.
        if wanted != "c" && !generated.lines().any(|name| plain(name) == wanted) {
            notes.push(format!(
                "not varied: the locale {} is not generated on this machine, so programs take C; generate it with \
                 localedef or the package locales-all",
                surrounding.locale
            ));
        }
    }
    notes
}

/// What a build reads, copied below a path of its own: neither the checkout's path nor the agent's may matter, and new
/// copies have other times and another order in their directories.
struct Copies {
    checkout: PathBuf,
    agent: PathBuf,
}

impl Copies {
    fn make(context: &Context, what: &What, dir: &Path) -> Result<Copies> {
        let copies = Copies {
            checkout: dir.join("checkout"),
            agent: dir.join("programs/agent"),
        };
        for parent in [&copies.checkout, &dir.join("programs")] {
            fs::create_dir(parent).with_context(|| format!("creating {}", parent.display()))?;
        }
        for name in ["appliances", "hardware", "overlays"] {
            Command::new("cp")
                .args(["--recursive", "--no-dereference", "--preserve=mode,links"])
                .arg(context.checkout.join(name))
                .arg(&copies.checkout)
                .run()
                .with_context(|| format!("copying {name} of the checkout"))?;
        }
        let beside = BESIDE_AGENT
            .map(|name| [&what.agent, &copies.agent].map(|agent| agent.with_file_name(name)));
        let agent = [what.agent.clone(), copies.agent.clone()];
        for [from, to] in beside.into_iter().chain([agent]) {
            fs::copy(&from, &to).with_context(|| {
                format!("copying {}; build it with `./dev agent`", from.display())
            })?;
        }
        Ok(copies)
    }
}

/// Packages are verified by hash whenever they are used; only what is made from them is made again. Logs must outlive
/// the scratch directory.
fn share(from: &Cache, to: &Cache) -> Result<()> {
    for (name, source) in [
        ("pool", from.root().join("pool")),
        ("logs", from.logs().to_owned()),
    ] {
        let target = to.root().join(name);
        fs::remove_dir(&target).with_context(|| format!("replacing {}", target.display()))?;
        std::os::unix::fs::symlink(source, &target)
            .with_context(|| format!("sharing {}", target.display()))?;
    }
    Ok(())
}

#[allow(clippy::too_many_arguments)] // One call, one process.
fn child(
    context: &Context,
    copies: &Copies,
    appliance: &Name,
    what: &What,
    channel: Channel,
    keys: &KeySet,
    surrounding: &Surrounding,
    tools: &Tools,
    cache: &Path,
    out: &Path,
) -> Result<PathBuf> {
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
        .arg(&copies.checkout)
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
        .arg(&copies.agent)
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

//! Proves that a power cut at any moment of an update leaves a machine that boots something valid.
//!
//! A machine updates itself while QEMU notes every write and flush of its disk, the firmware's and the boot loader's own ones
//! among them. Every flush, and thousands of states between two flushes in which writes got through partly, in another order
//! or torn, are then judged by `roamcore-crash`, which knows what firmware, systemd-boot and kernel do. Some of the states,
//! chosen by a printed seed, are made into disks and booted: the machine must do what was said.
//!
//! ```text
//! provisioned -> recorded machine: install B, arm, [cut], trial, commit; back to A: [cut] 3 times, again, commit; power-off
//!      |                 | log
//!      '---- base -------+--> states --judge--> story of each      N of them --boot--> the same story?
//! ```

mod record;

use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use roamcore_crash::judge::{Judge, Story};
use roamcore_crash::log::Log;
use roamcore_crash::materialize;
use roamcore_crash::plan::Shape;
use roamcore_crash::rng::Rng;
use roamcore_crash::run::{Report, Run};
use roamcore_crash::state::Recording;

use crate::args;
use crate::context::Ctx;
use crate::machine::spec::MachineSpec;
use crate::registry::{Group, Need, Test};
use crate::scenarios::bench::{service_up, view};
use crate::tool;
use record::Captured;

/// The row.
pub const TEST: Test = Test {
    name: "crash",
    proves: "every state that a power cut in an update can leave boots something valid; `--count N` of them really do",
    group: Group::Ci,
    needs: &[
        Need::Image,
        Need::Builder,
        Need::Tool("mkfs.vfat"),
        Need::Tool("mcopy"),
    ],
    run,
};

/// States that are planned; some turn out to be the same disk.
const STATES: usize = 15_000;
/// States that must have been judged, each another disk than the others of its window.
const FEWEST_STATES: usize = 10_000;
/// Different ESPs among them: what firmware and boot loader find after a cut.
const FEWEST_ESPS: usize = 1_000;
/// Where systemd-boot says that it counted this boot.
const COUNTED: &str =
    "/sys/firmware/efi/efivars/LoaderBootCountPath-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

type Disk = Recording<File, File>;

/// A state that will be booted, and what shall come of it.
struct Chosen {
    window: usize,
    shape: Shape,
    story: Story,
    words: String,
}

/// The row of first boots.
pub const FIRST: Test = Test {
    name: "crash-first",
    proves: "every state that a power cut in the first boot can leave boots the slot that was delivered",
    group: Group::All,
    needs: &[Need::Image],
    run: first,
};

fn run(ctx: &Ctx) -> anyhow::Result<Vec<String>> {
    let captured = record::updates(ctx)?;
    let recording = open(&captured)?;
    let judge = Judge::new(captured.expect.clone());
    let run = Run::new(&recording, &judge, STATES, ctx.crash.seed).context("plan the states")?;
    let report = judged(ctx, &captured, &run)?;
    ensure!(
        report.fallbacks.len() == 3 && report.good_trial > 0,
        "the recording does not hold a commit in B and one in A: {report}"
    );
    ensure!(
        report.distinct >= FEWEST_STATES,
        "too few states to prove anything: {report}"
    );
    ensure!(
        report.different[1] >= FEWEST_ESPS,
        "too few different ESPs to prove anything: {report}"
    );
    let mut proofs: Vec<String> = report.to_string().lines().map(str::to_owned).collect();
    for chosen in choose(&run, ctx.crash.count, ctx.crash.seed) {
        proofs.push(boot(ctx, &captured, &run, &judge, &chosen)?);
    }
    Ok(proofs)
}

fn first(ctx: &Ctx) -> anyhow::Result<Vec<String>> {
    let captured = record::first_boot(ctx)?;
    let recording = open(&captured)?;
    let judge = Judge::new(captured.expect.clone());
    let run = Run::new(&recording, &judge, STATES, ctx.crash.seed).context("plan the states")?;
    let report = judged(ctx, &captured, &run)?;
    Ok(report.to_string().lines().map(str::to_owned).collect())
}

/// Judges all states; the report and what it needs to be made again go to the logs.
fn judged(ctx: &Ctx, captured: &Captured, run: &Run<'_, File, File>) -> anyhow::Result<Report> {
    let report = run.judge();
    let keep = |name: &str, text: String| {
        let path = ctx.logs_directory().join(name);
        std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))
    };
    keep("states.json", serde_json::to_string_pretty(&report)?)?;
    keep(
        "expect.json",
        serde_json::to_string_pretty(&captured.expect)?,
    )?;
    if report.bad_states() == 0 {
        return Ok(report);
    }
    let words: Vec<String> = report
        .findings
        .iter()
        .take(20)
        .map(ToString::to_string)
        .collect();
    bail!(
        "{report}{}\nreplay (kept with --keep): roamcore-crash state --base {} --log {} --expect {} --states {STATES} --seed {} W/N",
        words.join("\n"),
        captured.base.display(),
        captured.log.display(),
        ctx.logs_directory().join("expect.json").display(),
        report.seed
    )
}

fn open(captured: &Captured) -> anyhow::Result<Disk> {
    let read = |path: &Path| -> anyhow::Result<(File, u64)> {
        let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
        let size = file.metadata()?.len();
        Ok((file, size))
    };
    let (base, size) = read(&captured.base)?;
    let (log, length) = read(&captured.log)?;
    let log = Log::parse(log, length).context("the recorded log")?;
    ensure!(
        log.flushes() > 0,
        "the recording has no flushes; was its disk cache `unsafe`?"
    );
    Ok(Recording { base, size, log })
}

/// Draws states, half of them from those that would start a trial.
fn choose(run: &Run<'_, File, File>, count: usize, seed: u64) -> Vec<Chosen> {
    let mut rng = Rng::fork(seed, &[3]);
    let mut all: Vec<(usize, Shape)> = run
        .windows()
        .iter()
        .filter(|window| !window.open.is_empty())
        .flat_map(|window| {
            let shapes = run.shapes(window.number).iter();
            shapes.map(|shape| (window.number, *shape))
        })
        .collect();
    let mut chosen: Vec<Chosen> = Vec::new();
    let mut trials = 0;
    while chosen.len() < count && !all.is_empty() {
        let (window, shape) = all.swap_remove(rng.below(all.len() as u64) as usize);
        let judged = run.with_state(window, shape, |state| run.verdict(state, &[]));
        let Some(Ok(story)) = judged else {
            continue;
        };
        let left = count - chosen.len();
        let wanted = (count / 2).saturating_sub(trials);
        // Trials are rare among the states: the last places are theirs, while there are candidates at all.
        if !story.on_trial() && left <= wanted && all.len() > 64 {
            continue;
        }
        trials += usize::from(story.on_trial());
        chosen.push(Chosen {
            window,
            shape,
            story,
            words: format!("window {window}, {shape}"),
        });
    }
    chosen
}

/// Boots a state and compares.
fn boot(
    ctx: &Ctx,
    captured: &Captured,
    run: &Run<'_, File, File>,
    judge: &Judge,
    chosen: &Chosen,
) -> anyhow::Result<String> {
    let machine = ctx.bare_machine()?.with_vars(&captured.vars)?;
    let raw = machine.directory().join("state.raw");
    let copy = args![
        "--sparse=always",
        "--reflink=auto",
        captured.base.display(),
        raw.display()
    ];
    tool::run("cp", &copy)?;
    let file = File::options()
        .write(true)
        .open(&raw)
        .context("open the copy of the disk")?;
    run.with_state(chosen.window, chosen.shape, |state| {
        materialize::write(state, &file)
    })
    .context("no such window")?
    .context("write the state to a disk")?;
    drop(file);
    let size = std::fs::metadata(&raw)?.len();
    let machine = machine.with_disk(&raw, size)?;

    let next = &chosen.story.boots[0];
    let release = &judge.expect().releases[next.release];
    let slot = match chosen.story.boots.len() {
        1 => captured.slot_at(chosen.story.fallback.root_at)?,
        _ => captured.other_slot(chosen.story.fallback.root_at)?,
    };
    let told = format!(
        "{} on {slot}{}",
        release.name,
        if next.tries.is_some() {
            ", counted"
        } else {
            ""
        }
    );
    let mut guest = ctx.boot(&MachineSpec::default(), machine, "state")?;
    let counted = guest.run(&format!("test -e {COUNTED}"))?.status == 0;
    let seen = view(&mut guest)?;
    let did = format!(
        "{} on {}{}",
        seen.version,
        seen.slot,
        if counted { ", counted" } else { "" }
    );
    ensure!(
        did == told,
        "{}: it was to boot {told}; it booted {did}; entries {:?}",
        chosen.words,
        seen.entries
    );
    // It is not enough that something boots: the service goes on from what the cut left.
    service_up(&mut guest).with_context(|| format!("{}: the update service", chosen.words))?;
    let status = guest.ok("roamcore status --json")?;
    let status: serde_json::Value =
        serde_json::from_str(&status).with_context(|| status.clone())?;
    let running = &status["answer"]["engine"]["slots"][0];
    ensure!(
        running["slot"] == seen.slot.as_str() && (counted || running["entry"] == "committed"),
        "{}: the update service says {status}",
        chosen.words
    );
    guest.discard();
    std::fs::remove_file(&raw).with_context(|| format!("remove {}", raw.display()))?;
    Ok(format!(
        "{} (seed {}): boots {did}, as said",
        chosen.words, ctx.crash.seed
    ))
}

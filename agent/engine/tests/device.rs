//! The real device on a file-backed disk with real, signed and packed updates: from an offer to a committed slot and back.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a program of tests"
)]

mod kit;
#[path = "kit/runner.rs"]
mod runner;

use std::fs;
use std::path::{Path, PathBuf};

use kit::payload::Directory;
use kit::{Bench, Directories, MIB, Made, counted};
use roamcore_agent::slot::Slot;
use roamcore_engine::{
    Device, DeviceError, Effect, Event, Facts, Judgement, Memory, Phase, PlanFacts, Stage, Trouble,
    Watch, WorkEvent,
};
use runner::Runner;

const ROOT: usize = 8 * MIB;

struct Set {
    dir: tempfile::TempDir,
    made: Vec<Made>,
}

impl Set {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let made: Vec<Made> = (1..=3).map(|number| Made::new(number, ROOT)).collect();
        for one in &made {
            one.publish(
                &dir.path().join(format!("update-{}", one.number)),
                dir.path(),
                "vp2430",
            );
        }
        Self { dir, made }
    }

    fn bench(&self) -> Bench {
        Bench::factory(&self.dir.path().join("bench"), &self.made[0], ROOT + MIB)
    }

    fn place(&self, number: u64) -> PathBuf {
        self.dir.path().join(format!("update-{number}"))
    }

    fn sources(&self) -> Directories {
        Directories {
            counter: Some(self.dir.path().join("counter")),
            pieces: None,
        }
    }

    fn runner(&self, bench: &Bench, number: usize) -> (Runner, Vec<Effect>) {
        Runner::start(
            bench,
            &self.made[number - 1],
            self.dir.path(),
            self.sources(),
        )
    }

    fn boot(&self, bench: &mut Bench) {
        drop(fs::remove_file(bench.dir.join("reboot")));
        let known: Vec<&Made> = self.made.iter().collect();
        bench.start(&known);
    }

    /// From idle to committed; `from` runs.
    fn update(&self, bench: &mut Bench, from: usize, to: u64) -> Facts {
        let (mut runner, effects) = self.runner(bench, from);
        runner.run(effects, bench);
        let before = bench.untouchable();
        let effects = runner.install(&self.place(to));
        runner.run(effects, bench);
        assert!(
            matches!(runner.phase(), Phase::Armed { .. }),
            "{:?}",
            runner.phase()
        );
        assert_eq!(bench.untouchable(), before);
        drop(runner);
        self.boot(bench);
        assert!(bench.trial.is_some());
        let to = usize::try_from(to).unwrap();
        let (runner, _) = self.runner(bench, to);
        assert!(
            matches!(runner.phase(), Phase::Trial { .. }),
            "{:?}",
            runner.phase()
        );
        drop(runner);
        bench.commit();
        let (mut runner, effects) = self.runner(bench, to);
        runner.run(effects, bench);
        assert_eq!(*runner.phase(), Phase::Idle);
        runner.engine.state().session.facts.clone()
    }
}

fn plan(runner: &Runner) -> PlanFacts {
    let mut plans = runner.events.iter().filter_map(|event| match event {
        WorkEvent::Planned(plan) => Some(*plan),
        _ => None,
    });
    plans.next_back().expect("a plan")
}

fn last_error(runner: &Runner) -> String {
    let ended = runner.events.iter().rev().find_map(|event| match event {
        WorkEvent::Ended { result, .. } => Some(result.clone()),
        _ => None,
    });
    ended.expect("an end").expect_err("refused").to_string()
}

#[test]
fn there_and_back_again() {
    let set = Set::new();
    let mut bench = set.bench();
    let facts = set.update(&mut bench, 1, 2);
    assert_eq!(facts.running.slot, Slot::B);
    assert_eq!(facts.running.release, Some(set.made[1].release()));
    assert_eq!(
        facts.idle.release,
        Some(set.made[0].release()),
        "the factory's slot is known by name"
    );
    let first = counted(&set.dir.path().join("counter"));
    // A quarter of root and UKI changed; each has an index.
    let quarter = (ROOT / 4 + set.made[1].uki.len() / 4) as u64;
    // Chunks at the edges of what changed come with it.
    assert!((quarter..quarter + quarter / 4).contains(&first), "{first}");
    let facts = set.update(&mut bench, 2, 3);
    assert_eq!((facts.running.slot, bench.running), (Slot::A, Slot::A));
    assert!(!bench.dir.join("var/documents").join("x").exists());
    assert_eq!(
        fs::read_dir(bench.dir.join("var/documents"))
            .unwrap()
            .count(),
        0
    );
    // And by hand to the slot that was left.
    let (mut runner, _) = set.runner(&bench, 3);
    let effects = runner.handle(Event::RollBack);
    runner.run(effects, &bench);
    assert!(
        matches!(runner.phase(), Phase::Armed { .. }),
        "{:?}",
        runner.phase()
    );
    drop(runner);
    set.boot(&mut bench);
    assert!(bench.trial.is_some());
    bench.commit();
    let (mut runner, effects) = set.runner(&bench, 2);
    runner.run(effects, &bench);
    let facts = &runner.engine.state().session.facts;
    assert_eq!(facts.running.release, Some(set.made[1].release()));
    assert_eq!(*runner.phase(), Phase::Idle);
}

#[test]
fn a_lost_network_costs_nothing_twice() {
    let set = Set::new();
    let bench = set.bench();
    let (mut runner, _) = set.runner(&bench, 1);
    let mut effects = runner.install(&set.place(2));
    let mut rounds = 0;
    while !matches!(runner.phase(), Phase::Armed { .. }) {
        runner.sources.pieces = Some(150);
        runner.run(effects, &bench);
        // The delay after a failure is over.
        let later = roamcore_engine::Now {
            boot_ms: 60_000 + 600_000,
            unix: None,
        };
        effects = runner.engine.handle(Event::Tick, later).unwrap();
        rounds += 1;
        assert!(rounds < 40, "{:?}", runner.engine.status(later));
    }
    assert!(rounds > 1, "{rounds}");
    let fetched = counted(&set.dir.path().join("counter"));
    let needed = {
        let other = tempfile::tempdir().unwrap();
        let bench = Bench::factory(other.path(), &set.made[0], ROOT + MIB);
        let mut sources = set.sources();
        sources.counter = Some(other.path().join("counter"));
        let (mut runner, _) = Runner::start(&bench, &set.made[0], set.dir.path(), sources);
        let effects = runner.install(&set.place(2));
        runner.run(effects, &bench);
        assert!(plan(&runner).download_bytes <= plan(&runner).full_bytes);
        counted(&other.path().join("counter"))
    };
    println!("{needed} bytes needed, {fetched} fetched in {rounds} rounds");
    // A frame that did not come whole comes again; max(4 MiB, 1 %) for each interruption.
    assert!(
        fetched <= needed + (rounds - 1) * 4 * (MIB as u64),
        "{fetched} of {needed}"
    );
}

/// Accepts what costs at most so much.
#[derive(Default)]
struct Purse {
    most: u64,
    ahead: Option<PlanFacts>,
    planned: Option<PlanFacts>,
}

impl Purse {
    fn pay(&self, plan: PlanFacts) -> Result<(), DeviceError> {
        match plan.download_bytes > self.most {
            true => Err(DeviceError::new(Trouble::Final, "too dear")),
            false => Ok(()),
        }
    }
}

impl Watch for Purse {
    fn ahead(&mut self, least: PlanFacts) -> Result<(), DeviceError> {
        self.ahead = Some(least);
        self.pay(least)
    }

    fn planned(&mut self, plan: PlanFacts) -> Result<(), DeviceError> {
        self.planned = Some(plan);
        self.pay(plan)
    }

    fn progress(&mut self, _: Stage, done: u64, total: u64) -> Result<(), DeviceError> {
        assert!(done <= total, "{done} of {total}");
        Ok(())
    }
}

/// Nothing but documents is fetched before the indexes' cost was accepted, no frame before the plan's was; and the plan
/// says to the byte what root and UKI cost, wherever it is made anew.
#[test]
fn what_is_paid_is_what_was_asked_for() {
    let set = Set::new();
    let bench = set.bench();
    let counter = set.dir.path().join("paid");
    let mut device = bench.device(set.made[0].identity(set.dir.path())).unwrap();
    let place = set.place(2);
    let payload = |pieces| Directory {
        dir: place.clone(),
        counter: Some(
            fs::File::options()
                .append(true)
                .create(true)
                .open(&counter)
                .unwrap(),
        ),
        pieces,
    };
    let judged = device
        .judge(&mut payload(None), &Memory::default())
        .unwrap();
    let Judgement::Wanted(target) = judged else {
        panic!("{judged:?}");
    };
    let size = |name: &str| fs::metadata(place.join(name)).unwrap().len();
    let indexes = size("root.index") + size("uki.index");

    let mut purse = Purse {
        most: indexes - 1,
        ..Purse::default()
    };
    let error = device.plan(&target, &mut payload(None), &mut purse);
    assert_eq!(error.unwrap_err().to_string(), "too dear");
    assert_eq!(purse.ahead.unwrap().download_bytes, indexes);
    assert_eq!((purse.planned, counted(&counter)), (None, 0));

    purse.most = indexes;
    let error = device.plan(&target, &mut payload(None), &mut purse);
    assert_eq!(error.unwrap_err().to_string(), "too dear");
    assert_eq!(counted(&counter), indexes, "no frame");
    let asked = purse.planned.unwrap();
    // The indexes are paid for, whatever becomes of the rest.
    let whole = asked.full_bytes;
    assert!(asked.download_bytes < whole / 2, "{asked:?}");
    let payload_bytes = (ROOT + set.made[1].uki.len() - 8192) as u64;
    assert!(whole > payload_bytes + indexes, "{asked:?}");
    purse.most = u64::MAX;
    device
        .plan(&target, &mut payload(None), &mut purse)
        .unwrap();
    let asked = purse.planned.unwrap();
    device.invalidate().unwrap();
    device
        .write(&target, &mut payload(None), &mut purse)
        .unwrap();
    assert_eq!(purse.ahead.unwrap().download_bytes, 0);
    device.read_back(&target, &mut purse).unwrap();
    device.publish(&target).unwrap();
    // The network goes away in the middle of the UKI, and what came is not fetched again.
    let before = counted(&counter);
    let error = device.write_uki(&target, &mut payload(Some(6)), &mut purse);
    assert_eq!(error.unwrap_err().trouble, Trouble::Offline);
    let part = counted(&counter) - before;
    assert!(part > 64 * 1024, "{part}");
    device
        .write_uki(&target, &mut payload(None), &mut purse)
        .unwrap();
    let uki = counted(&counter) - before;
    let planned = indexes + asked.download_bytes;
    let paid = counted(&counter);
    println!("{planned} bytes asked for, {paid} paid; UKI {uki}, of it {part} before the cut");
    // The group whose last frame did not come.
    assert!(
        (planned..=planned + part).contains(&paid),
        "{paid} of {planned}"
    );
    let esp = bench.dir.join("esp/EFI/roamcore/b");
    assert_eq!(fs::read(esp.join("roamcore.efi")).unwrap(), set.made[1].uki);
    assert_eq!(fs::read_dir(&esp).unwrap().count(), 1);
    // Again: nothing is missing.
    device
        .write_uki(&target, &mut payload(None), &mut purse)
        .unwrap();
    assert_eq!(counted(&counter), paid);
    // No payload was ever on the state partition.
    let kept = bench
        .dir
        .join("var/documents")
        .join(target.manifest.to_string());
    let mut names: Vec<_> = fs::read_dir(kept)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let documents = [
        "roles.json",
        "root.index",
        "uki.index",
        "update.json",
        "update.json.sig",
    ];
    let wanted: Vec<_> = names
        .iter()
        .filter(|name| !documents.contains(&name.as_str()))
        .collect();
    assert!(wanted.is_empty(), "{wanted:?}");
}

#[test]
fn damaged_parts_of_a_uki_never_reach_its_name() {
    let set = Set::new();
    let bench = set.bench();
    let place = set.place(2);
    let path = place.join("uki.000");
    let mut part = fs::read(&path).unwrap();
    for byte in part.iter_mut().skip(1000).step_by(5000) {
        *byte ^= 0x40;
    }
    fs::write(&path, part).unwrap();
    let before = bench.untouchable();
    let (mut runner, _) = set.runner(&bench, 1);
    let effects = runner.install(&place);
    runner.run(effects, &bench);
    assert!(
        matches!(runner.phase(), Phase::Writing { .. }),
        "{:?}",
        runner.phase()
    );
    let error = last_error(&runner);
    assert!(error.contains("frame"), "{error}");
    assert!(!bench.dir.join("esp").join(Slot::B.uki_path()).exists());
    assert_eq!(bench.untouchable(), before);
}

#[test]
fn what_runs_and_what_is_refused() {
    let set = Set::new();
    let bench = set.bench();
    let disk = |bench: &Bench| fs::read(bench.dir.join("disk.img")).unwrap();
    let before = disk(&bench);
    let (mut runner, _) = set.runner(&bench, 1);
    // What runs already.
    let effects = runner.install(&set.place(1));
    runner.run(effects, &bench);
    assert_eq!(*runner.phase(), Phase::Idle);
    // Another board.
    let wrong = set.dir.path().join("wrong");
    set.made[1].publish(&wrong, set.dir.path(), "other");
    let effects = runner.install(&wrong);
    runner.run(effects, &bench);
    assert!(
        last_error(&runner).contains("other"),
        "{}",
        last_error(&runner)
    );
    // A byte of the manifest.
    let bad = set.dir.path().join("bad");
    set.made[1].publish(&bad, set.dir.path(), "vp2430");
    let mut manifest = fs::read(bad.join("update.json")).unwrap();
    manifest[200] ^= 1;
    fs::write(bad.join("update.json"), manifest).unwrap();
    let effects = runner.install(&bad);
    runner.run(effects, &bench);
    assert!(
        last_error(&runner).contains("refused"),
        "{}",
        last_error(&runner)
    );
    // Nothing there.
    let effects = runner.install(Path::new("/does/not/exist"));
    runner.run(effects, &bench);
    assert!(
        last_error(&runner).contains("refused"),
        "{}",
        last_error(&runner)
    );
    assert_eq!(disk(&bench), before, "refused before a byte was written");
    assert_eq!(*runner.phase(), Phase::Idle);
}

#[test]
fn a_downgrade_is_refused_after_a_commit_and_before() {
    let set = Set::new();
    let mut bench = set.bench();
    set.update(&mut bench, 1, 3);
    let (mut runner, _) = set.runner(&bench, 3);
    let effects = runner.install(&set.place(2));
    runner.run(effects, &bench);
    let error = last_error(&runner);
    assert!(error.contains("sequence"), "{error}");
    // A device that never updated does not go below its own release either.
    let other = tempfile::tempdir().unwrap();
    let fresh = Bench::factory(other.path(), &set.made[1], ROOT + MIB);
    let (mut runner, _) = set.runner(&fresh, 2);
    let effects = runner.install(&set.place(1));
    runner.run(effects, &fresh);
    let error = last_error(&runner);
    assert!(error.contains("sequence"), "{error}");
}

#[test]
fn damaged_payload_never_becomes_a_bootable_slot() {
    let set = Set::new();
    let bench = set.bench();
    let place = set.place(2);
    let path = place.join("root.000");
    let mut part = fs::read(&path).unwrap();
    for byte in part.iter_mut().skip(1000).step_by(5000) {
        *byte ^= 0x40;
    }
    fs::write(&path, part).unwrap();
    let before = bench.untouchable();
    let (mut runner, _) = set.runner(&bench, 1);
    let mut effects = runner.install(&place);
    let mut boot_ms = 60_000;
    for _ in 0..20 {
        runner.run(effects, &bench);
        boot_ms += 600_000;
        let now = roamcore_engine::Now {
            boot_ms,
            unix: None,
        };
        effects = runner.engine.handle(Event::Tick, now).unwrap();
    }
    assert_eq!(*runner.phase(), Phase::Idle, "given up");
    assert_eq!(bench.untouchable(), before);
    let facts = &runner.engine.state().session.facts;
    assert_eq!(
        (facts.idle.root_hash, facts.idle.entry),
        (None, roamcore_engine::Entry::Absent)
    );
}

#[test]
fn a_committed_slot_that_no_longer_comes_up_is_given_up_and_written_anew() {
    let set = Set::new();
    let mut bench = set.bench();
    set.update(&mut bench, 1, 2);
    // B failed; the boot loader was told to take A once.
    bench.boot += 1;
    bench.running = Slot::A;
    let before = bench.untouchable();
    bench.failures = bench.failures.with(Slot::B, 2);
    let (runner, _) = set.runner(&bench, 1);
    let idle = |runner: &Runner| runner.engine.state().session.facts.idle.clone();
    assert_eq!(
        idle(&runner).entry,
        roamcore_engine::Entry::Committed,
        "twice is chance"
    );
    drop(runner);
    bench.failures = bench.failures.with(Slot::B, 3);
    let (runner, _) = set.runner(&bench, 1);
    let facts = &runner.engine.state().session.facts;
    assert_eq!(facts.idle.entry, roamcore_engine::Entry::Absent);
    assert!(facts.idle.root_hash.is_some(), "it may have been the power");
    let sign = facts.failure_sign.clone().unwrap();
    assert_eq!(sign, "root-b was committed, but no longer came up");
    assert_eq!(*runner.phase(), Phase::Idle);
    assert_eq!(bench.untouchable(), before);
    drop(runner);
    // So the next boot takes A again, and the same release can be installed again.
    set.boot(&mut bench);
    assert_eq!((bench.running, bench.trial.clone()), (Slot::A, None));
    let facts = set.update(&mut bench, 1, 2);
    assert_eq!(facts.running.slot, Slot::B);
}

#[test]
fn what_a_failed_trial_made_of_the_state_is_undone() {
    let set = Set::new();
    let mut bench = set.bench();
    let data = bench.dir.join("data");
    let copy = bench.dir.join("data.copy");
    let text = || fs::read_to_string(&data).unwrap();
    fs::write(&data, "old").unwrap();
    let armed = |bench: &Bench| {
        let (mut runner, effects) = set.runner(bench, 1);
        runner.run(effects, bench);
        let effects = runner.install(&set.place(2));
        runner.run(effects, bench);
        assert!(
            matches!(runner.phase(), Phase::Armed { .. }),
            "{:?}",
            runner.phase()
        );
    };
    armed(&bench);
    assert!(copy.exists());
    for _ in 0..3 {
        set.boot(&mut bench);
        assert_eq!(bench.running, Slot::B);
        fs::write(&data, "new").unwrap();
    }
    set.boot(&mut bench);
    assert_eq!(bench.running, Slot::A);
    let (mut runner, effects) = set.runner(&bench, 1);
    runner.run(effects, &bench);
    assert_eq!(*runner.phase(), Phase::Idle);
    assert_eq!((text().as_str(), copy.exists()), ("old", false));
    drop(runner);
    // A trial that never ran leaves what this release wrote meanwhile.
    armed(&bench);
    fs::write(&data, "later").unwrap();
    let entries = bench.dir.join("esp/loader/entries");
    fs::remove_file(entries.join("roamcore-b+3.conf")).unwrap();
    set.boot(&mut bench);
    let (mut runner, effects) = set.runner(&bench, 1);
    runner.run(effects, &bench);
    assert_eq!(*runner.phase(), Phase::Idle);
    assert_eq!((text().as_str(), copy.exists()), ("later", false));
}

/// The clock may have been turned back since, the record knows a later time; and the documents may be lost.
#[test]
fn what_expired_is_not_armed() {
    let set = Set::new();
    let bench = set.bench();
    let (mut runner, effects) = set.runner(&bench, 1);
    runner.run(effects, &bench);
    let effects = runner.install(&set.place(2));
    runner.run(effects, &bench);
    let target = runner.phase().target().unwrap().clone();
    let at = |text: &str| Some(text.parse::<roamcore_ota::Timestamp>().unwrap());
    let (before, after) = (at("2097-12-31T00:00:00Z"), at("2098-01-02T00:00:00Z"));
    let documents = bench.dir.join("var/documents");
    for lost in [false, true] {
        if lost {
            fs::remove_dir_all(documents.join(target.manifest.to_string())).unwrap();
        }
        let untouched = bench.untouchable();
        let error = runner.device.arm(&target, after).unwrap_err();
        assert_eq!(error.trouble, Trouble::Final, "{lost} {}", error.reason);
        assert!(error.reason.contains("expired"), "{lost} {}", error.reason);
        assert_eq!(bench.untouchable(), untouched);
        runner.device.arm(&target, before).unwrap();
        runner.device.arm(&target, None).unwrap();
    }
}

/// What a watchdog or a kernel's dump says is about the boot before: a try, but not what ended before the first one.
#[test]
fn a_crash_is_blamed_on_a_try_only() {
    let set = Set::new();
    let mut bench = set.bench();
    let sign = |bench: &Bench| {
        let (runner, _) = set.runner(bench, 1);
        runner.engine.state().session.facts.failure_sign.clone()
    };
    bench.left.pstore = vec!["<0>Kernel panic - not syncing".into(), "<4>end".into()];
    assert_eq!(sign(&bench), None, "nothing was ever tried");
    let (mut runner, effects) = set.runner(&bench, 1);
    runner.run(effects, &bench);
    let effects = runner.install(&set.place(2));
    runner.run(effects, &bench);
    drop(runner);
    assert_eq!(sign(&bench), None, "it is armed");
    set.boot(&mut bench);
    assert_eq!(
        (bench.running, sign(&bench)),
        (Slot::B, None),
        "the old slot's"
    );
    set.boot(&mut bench);
    let want = "the kernel left a dump: <0>Kernel panic - not syncing";
    assert_eq!(sign(&bench).as_deref(), Some(want));
    bench.left.detectors = vec!["watchdog0 reset the machine".into()];
    let want = "watchdog0 reset the machine";
    assert_eq!(sign(&bench).as_deref(), Some(want));
    set.boot(&mut bench);
    set.boot(&mut bench);
    assert_eq!(bench.running, Slot::A, "the tries are used up");
    let (mut runner, effects) = set.runner(&bench, 1);
    runner.run(effects, &bench);
    assert_eq!(*runner.phase(), Phase::Idle);
    let finished = format!("{:?}", runner.engine.state().record);
    assert!(!finished.contains("used up"), "{finished}");
}

/// What a trial's newer program left beside the record, in formats of its own: the older one begins anew with it.
#[test]
fn newer_files_of_a_failed_trial_stop_nothing() {
    let set = Set::new();
    let mut bench = set.bench();
    let path = |name: &str| bench.dir.join("var").join(name);
    let (releases, roles) = (path("releases.json"), path("roles.json"));
    fs::write(&releases, "{\"format\":2,\"names\":{}}").unwrap();
    fs::write(&roles, "{\"format\":99,\"chain\":[]}").unwrap();
    let facts = set.update(&mut bench, 1, 2);
    assert_eq!(facts.running.slot, Slot::B);
    assert_eq!(facts.running.release.unwrap().sequence, 2);
    let text = fs::read_to_string(releases).unwrap();
    assert!(text.starts_with("{\"format\":1,"), "{text}");
}

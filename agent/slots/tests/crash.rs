//! Power cuts in an installation: every change is noted, and every state that a cut could leave is booted.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::collections::BTreeMap;

use common::cuts::{Dice, cut};
use common::judge::{self, State, Verdict};
use common::sim::{Op, Sim};
use common::{Release, disk, esp, install, new, old, write};
use roamcore_slots::{EntryState, IdleSlot, Situation, Slot, SlotError};

/// Random states for each cut in the middle of many writes; `ROAMCORE_CUT_SAMPLES` asks for more.
const SAMPLES: u64 = 60;
/// `ROAMCORE_CUT_SEED` gives another one.
const SEED: u64 = 0x5eed_2026;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

fn fresh(running: Slot) -> State {
    (disk(running, &old()), esp(running, &old()))
}

/// Does something on a machine in `start`, cuts the power everywhere, judges every state.
fn every_cut(
    name: &str,
    running: Slot,
    start: &State,
    known: &[&Release],
    work: impl Fn(&IdleSlot<'_>),
) -> (State, BTreeMap<String, usize>) {
    let sim = Sim::new(start.clone(), running);
    work(&sim.slots().idle().unwrap());
    let log = sim.log();
    let seed = setting("ROAMCORE_CUT_SEED", SEED);
    let samples = setting("ROAMCORE_CUT_SAMPLES", SAMPLES);
    let mut dice = Dice(seed);
    let mut seen = BTreeMap::new();
    let mut recovered = 0;
    for end in 0..=log.len() {
        for state in cut(start, &log[..end]).states(&mut dice, samples) {
            let verdict = judge::boot(&state, running, known);
            if let Verdict::Bad(why) = &verdict {
                panic!(
                    "{name}, cut after {end} of {} changes ({:?}): {why}",
                    log.len(),
                    log[..end].last()
                );
            }
            // Whatever the trial does, the slot that was committed is there when its tries are used up.
            let mut fallback = state.clone();
            let idle = format!("loader/entries/{}", &running.other().entry_file()[..10]);
            fallback.1.retain(|path, _| !path.starts_with(&idle));
            let back = judge::boot(&fallback, running, known);
            assert_eq!(back, Verdict::Committed, "{name}, cut after {end} changes");
            *seen.entry(format!("{verdict:?}")).or_insert(0) += 1;
            // Some of them go on living: the agent comes up on the committed slot and installs again.
            if dice.roll(40) == 0 {
                recovered += 1;
                recover(&format!("{name}, {end}"), state, running, known);
            }
        }
    }
    println!(
        "{name}: {} changes, states {seen:?}, {recovered} installed again, seed {seed}",
        log.len()
    );
    (sim.state(), seen)
}

fn recover(name: &str, state: State, running: Slot, known: &[&Release]) {
    let sim = Sim::new(state, running);
    let slots = sim.slots();
    let idle = slots.idle().unwrap();
    idle.repair().unwrap();
    let after = judge::boot(&sim.state(), running, known);
    assert!(
        !matches!(after, Verdict::Bad(_)),
        "{name}, repaired: {after:?}"
    );
    assert_eq!(
        idle.repair().unwrap(),
        [],
        "{name}: a second repair finds something"
    );
    drop(slots.facts().unwrap().situation());
    let next = Release::new("1.3.0", 20, 19);
    install(&idle, &next).unwrap();
    let known = [known, &[&next]].concat();
    let after = judge::boot(&sim.state(), running, &known);
    assert_eq!(after, Verdict::Trial { left: 3 }, "{name}, installed again");
}

#[test]
fn installing_over_an_empty_slot() {
    for running in [Slot::A, Slot::B] {
        let start = fresh(running);
        let (end, seen) = every_cut(
            "first install",
            running,
            &start,
            &[&old(), &new()],
            |idle| {
                install(idle, &new()).unwrap();
            },
        );
        assert_eq!(
            judge::boot(&end, running, &[&old(), &new()]),
            Verdict::Trial { left: 3 }
        );
        assert!(
            seen.len() >= 2 && seen.values().sum::<usize>() > 500,
            "{seen:?}"
        );
    }
}

/// The state a committed update leaves: the older release in the idle slot, with its committed entry.
fn after_a_commit() -> (State, Slot) {
    let sim = Sim::new(fresh(Slot::A), Slot::A);
    install(&sim.slots().idle().unwrap(), &new()).unwrap();
    let (disk, mut esp) = sim.state();
    let entry = esp.remove("loader/entries/roamcore-b+3.conf").unwrap();
    esp.insert("loader/entries/roamcore-b.conf".into(), entry);
    ((disk, esp), Slot::B)
}

#[test]
fn installing_over_the_slot_to_fall_back_to() {
    let (start, running) = after_a_commit();
    let third = Release::new("1.2.0", 12, 17);
    let known = [&old(), &new(), &third];
    let (end, _) = every_cut("second install", running, &start, &known, |idle| {
        install(idle, &third).unwrap();
    });
    assert_eq!(
        judge::boot(&end, running, &known),
        Verdict::Trial { left: 3 }
    );
}

#[test]
fn going_back_to_the_other_slot_disarming_and_arming_again() {
    let (start, running) = after_a_commit();
    let known = [&old(), &new()];
    let (retired, _) = every_cut("retire", running, &start, &known, |idle| {
        idle.retire().unwrap()
    });
    assert_eq!(judge::boot(&retired, running, &known), Verdict::Committed);
    let sim = Sim::new(retired, running);
    let situation = sim.slots().facts().unwrap().situation();
    assert_eq!(situation, Situation::Sealed, "it can be put on trial");
    // Older content, with a version that sorts before what runs.
    let (armed, _) = every_cut("go back", running, &start, &known, |idle| {
        idle.arm(&old().request()).unwrap()
    });
    assert_eq!(
        judge::boot(&armed, running, &known),
        Verdict::Trial { left: 3 }
    );
    let (disarmed, _) = every_cut("disarm", running, &armed, &known, |idle| {
        idle.disarm().unwrap()
    });
    assert_eq!(judge::boot(&disarmed, running, &known), Verdict::Committed);
    // Used up by power cuts.
    let (disk, mut esp) = armed;
    let entry = esp.remove("loader/entries/roamcore-a+3.conf").unwrap();
    esp.insert("loader/entries/roamcore-a+0-3.conf".into(), entry);
    let used_up = (disk, esp);
    assert_eq!(judge::boot(&used_up, running, &known), Verdict::Committed);
    let (again, _) = every_cut("rearm", running, &used_up, &known, |idle| {
        idle.rearm().unwrap()
    });
    assert_eq!(
        judge::boot(&again, running, &known),
        Verdict::Trial { left: 3 }
    );
}

/// A process that is killed at any change goes on where it was: all steps are called again, and the result is the same.
#[test]
fn killed_at_every_change() {
    let start = fresh(Slot::A);
    let whole = Sim::new(start.clone(), Slot::A);
    install(&whole.slots().idle().unwrap(), &new()).unwrap();
    let changes = whole.log().len();
    for fuse in 0..changes {
        let sim = Sim::new(start.clone(), Slot::A);
        sim.world.lock().unwrap().fuse = Some(fuse);
        let slots = sim.slots();
        let idle = slots.idle().unwrap();
        let ended =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| install(&idle, &new())));
        assert!(
            !matches!(ended, Ok(Ok(()))),
            "{fuse} of {changes} changes were enough"
        );
        let verdict = judge::boot(&sim.state(), Slot::A, &[&old(), &new()]);
        assert!(
            !matches!(verdict, Verdict::Bad(_)),
            "killed at {fuse}: {verdict:?}"
        );
        sim.world.lock().unwrap().fuse = None;
        install(&idle, &new()).unwrap();
        assert_eq!(sim.state(), whole.state(), "killed at {fuse}");
    }
}

/// What no step may ever do, over everything above: the notes hold every write there was.
#[test]
fn only_the_idle_slot_is_written() {
    for running in [Slot::A, Slot::B] {
        let start = fresh(running);
        let sim = Sim::new(start.clone(), running);
        let slots = sim.slots();
        let idle = slots.idle().unwrap();
        install(&idle, &new()).unwrap();
        idle.rearm().unwrap();
        idle.disarm().unwrap();
        idle.repair().unwrap();
        idle.arm(&new().request()).unwrap();
        idle.invalidate().unwrap();
        let other = running.other();
        let (disk, _) = &start;
        let size = disk.len() as u64;
        for op in sim.log() {
            match op {
                Op::Write {
                    node,
                    offset,
                    bytes,
                } => {
                    let end = offset + bytes.len() as u64;
                    let table = node == "disk"
                        && ((offset >= 512 && end <= 34 * 512) || offset >= size - 33 * 512);
                    let own = node == other.data_label() || node == other.hash_label();
                    assert!(table || own, "{node} at {offset}");
                }
                Op::Create { path, .. } | Op::WriteFile { path, .. } | Op::Remove { path } => {
                    own_path(other, &path);
                }
                Op::Rename { from, to } => {
                    own_path(other, &from);
                    own_path(other, &to);
                }
                Op::Flush { .. } | Op::SyncFile { .. } | Op::SyncEsp => {}
            }
        }
        // And by comparison: every byte of the running slot, of other partitions and of other files is as it was.
        let (after, files) = sim.state();
        let gpt = common::table([
            (
                roamcore_disk::gpt::Guid::from_bytes([1; 16]),
                roamcore_disk::gpt::Guid::from_bytes([2; 16]),
            ),
            (
                roamcore_disk::gpt::Guid::from_bytes([3; 16]),
                roamcore_disk::gpt::Guid::from_bytes([4; 16]),
            ),
        ]);
        for part in gpt
            .partitions
            .iter()
            .filter(|p| p.name != other.data_label() && p.name != other.hash_label())
        {
            let range = part.offset() as usize..(part.offset() + part.size()) as usize;
            assert!(after[range.clone()] == disk[range], "{}", part.name);
        }
        assert!(after[..512] == disk[..512], "the MBR");
        for (path, bytes) in &start.1 {
            assert_eq!(files.get(path), Some(bytes), "{path}");
        }
    }
}

fn own_path(slot: Slot, path: &str) {
    let letter = if slot == Slot::A { 'a' } else { 'b' };
    let own = [
        format!("EFI/roamcore/{letter}/"),
        format!("loader/entries/roamcore-{letter}"),
    ];
    assert!(own.iter().any(|prefix| path.starts_with(prefix)), "{path}");
}

/// Both copies of the table torn at once cannot come from our writes, and is said, not guessed around.
#[test]
fn two_torn_tables_are_refused() {
    let (mut disk, esp) = fresh(Slot::A);
    disk[512 + 20] ^= 1;
    let last = disk.len() - 512;
    disk[last + 20] ^= 1;
    let slots = Sim::new((disk, esp), Slot::A);
    let error = slots.slots().facts().err().map(|error| error.to_string());
    assert!(error.is_some_and(|text| text.contains("neither partition table is usable")));
}

#[test]
fn what_a_cut_means_for_the_engine() {
    let start = fresh(Slot::A);
    let sim = Sim::new(start, Slot::A);
    let slots = sim.slots();
    let situation = || slots.facts().unwrap().situation();
    assert_eq!(situation(), Situation::Empty);
    let idle = slots.idle().unwrap();
    idle.invalidate().unwrap();
    assert_eq!(situation(), Situation::Unfinished);
    write(&idle, &new()).unwrap();
    assert_eq!(situation(), Situation::Sealed);
    idle.arm(&new().request()).unwrap();
    assert_eq!(situation(), Situation::Armed);
    let facts = slots.facts().unwrap();
    assert_eq!(facts.next, Some(Slot::B));
    let EntryState::Counted { entry, .. } = facts.idle.entry else {
        panic!()
    };
    let note = entry.note.unwrap();
    assert_eq!(
        (note.release.as_str(), note.sequence, note.root),
        ("1.1.0", 9, new().spec.root_hash)
    );
    let rename = |from: &str, to: &str| {
        let mut world = sim.world.lock().unwrap();
        let entry = world.esp.remove(&format!("loader/entries/{from}")).unwrap();
        world.esp.insert(format!("loader/entries/{to}"), entry);
    };
    rename("roamcore-b+3.conf", "roamcore-b+1-2.conf");
    assert!(matches!(
        situation(),
        Situation::Tried {
            left: 1,
            done: 2,
            ..
        }
    ));
    assert!(matches!(slots.idle().map(|_| ()), Ok(())));
    rename("roamcore-b+1-2.conf", "roamcore-b.conf");
    assert_eq!(situation(), Situation::FellOver);
    rename("roamcore-a.conf", "roamcore-a+1.conf");
    let error = slots.idle().map(|_| ()).unwrap_err();
    assert!(matches!(error, SlotError::NotCommitted { .. }), "{error}");
}

//! The judge on logs of known quality: good orders must be found good, and each flaw must be found.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::os::unix::fs::FileExt;

use roamcore_crash::judge::Judge;
use roamcore_crash::model::{Cycle, Flaw, Kit, Outcome, Placement, disk, expect};
use roamcore_crash::plan::Shape;
use roamcore_crash::run::{Report, Run};
use roamcore_disk::region::ReadAt;

const SEED: u64 = 42;

fn kits(count: u64) -> Vec<Kit> {
    (1..=count)
        .map(|sequence| Kit::make(sequence).unwrap())
        .collect()
}

fn one_update(flaw: Option<Flaw>, outcome: Outcome, states: usize) -> Report {
    let mut kits = kits(2);
    if flaw == Some(Flaw::SameRootTwice) {
        let first = kits[0].clone();
        kits[1] = Kit {
            uki: kits[1].uki.clone(),
            sequence: 2,
            ..first
        };
    }
    let mut cycle = Cycle::new(disk(&kits[0]).unwrap(), Placement::Gaps).unwrap();
    cycle.update(&kits[1], flaw, outcome).unwrap();
    let recording = cycle.finish().unwrap();
    let judge = Judge::new(expect(&kits));
    Run::new(&recording, &judge, states, SEED).unwrap().judge()
}

fn show(report: &Report) -> String {
    let findings: Vec<String> = report
        .findings
        .iter()
        .chain(&report.fragile_findings)
        .map(ToString::to_string)
        .collect();
    format!("{report}{}", findings.join("\n"))
}

#[test]
fn one_update_in_good_order_is_good_in_every_state() {
    for outcome in [Outcome::Commit, Outcome::Fails, Outcome::Armed] {
        let report = one_update(None, outcome, 3000);
        println!("{outcome:?}: {}", show(&report));
        assert_eq!(report.bad_states(), 0, "{outcome:?}: {}", show(&report));
        assert!(report.good_trial > 0 && report.good_committed > 0);
    }
}

#[test]
fn every_flaw_is_found() {
    let cases = [
        (Flaw::UuidsBeforeData, "promise not kept"),
        (Flaw::DataNotFlushed, "promise not kept"),
        (Flaw::NoTree, "slot not whole"),
        (Flaw::TablesTogether, "no partition table"),
        (Flaw::EntryBeforeUki, "UKI not loadable"),
        (Flaw::UkiNotFlushed, "UKI not loadable"),
        (Flaw::UkiOverRunning, "UKI not loadable"),
        (Flaw::DataOverRunning, "slot not whole"),
        (Flaw::RunningEntryRemoved, "no committed entry"),
        (Flaw::RunningEntryRewritten, "no committed entry"),
        (Flaw::NextNameTaken, "trial without end"),
        (Flaw::LoaderRewritten, "boot loader changed"),
        (Flaw::SettingsRewritten, "boot loader changed"),
        (Flaw::OldEntryRemovedFirst, "no committed entry"),
        (Flaw::SameRootTwice, "partition not found"),
    ];
    for (flaw, class) in cases {
        let report = one_update(Some(flaw), Outcome::Commit, 1500);
        println!("{flaw:?}: {:?}", report.bad);
        assert!(
            report.bad.contains_key(class),
            "{flaw:?}: {}",
            show(&report)
        );
    }
}

fn many_updates(placement: Placement) -> Report {
    let kits = kits(9);
    let mut cycle = Cycle::new(disk(&kits[0]).unwrap(), placement).unwrap();
    for (kit, outcome) in kits[1..]
        .iter()
        .zip([Outcome::Commit, Outcome::Fails].into_iter().cycle())
    {
        cycle.update(kit, None, outcome).unwrap();
    }
    let recording = cycle.finish().unwrap();
    let judge = Judge::new(expect(&kits));
    Run::new(&recording, &judge, 12_000, SEED).unwrap().judge()
}

#[test]
fn renames_across_sectors_leave_trials_without_end_after_some_updates() {
    let report = many_updates(Placement::Gaps);
    println!("{}", show(&report));
    let classes: Vec<&str> = report.bad.keys().map(String::as_str).collect();
    assert_eq!(classes, ["trial without end"], "{}", show(&report));
}

#[test]
fn names_of_a_trial_in_one_sector_are_good_for_ever() {
    let report = many_updates(Placement::OneSector);
    println!("{}", show(&report));
    assert_eq!(report.bad_states(), 0, "{}", show(&report));
    assert!(report.states >= 10_000);
}

#[test]
fn a_commit_that_syncs_the_directory_first_loses_the_entry_for_a_while() {
    let report = one_update(Some(Flaw::DirectorySyncedFirst), Outcome::Commit, 3000);
    assert_eq!(report.bad_states(), 0, "{}", show(&report));
    let lost = report.fragile.get("entry without content");
    assert!(lost.is_some(), "{}", show(&report));
    let good = one_update(None, Outcome::Commit, 3000);
    assert_eq!(good.fragile.get("entry without content"), None);
}

#[test]
fn the_report_depends_on_the_seed_and_not_on_threads() {
    let kits = kits(2);
    let mut cycle = Cycle::new(disk(&kits[0]).unwrap(), Placement::Gaps).unwrap();
    cycle
        .update(&kits[1], Some(Flaw::TablesTogether), Outcome::Commit)
        .unwrap();
    let recording = cycle.finish().unwrap();
    let judge = Judge::new(expect(&kits));
    let report = |seed, threads| {
        let run = Run::new(&recording, &judge, 2000, seed).unwrap();
        let mut report = run.judge_with(threads);
        (report.milliseconds, report.different) = (0, [0; 3]);
        report
    };
    assert_eq!(report(1, 1), report(1, 3));
    assert_ne!(report(1, 1).findings, report(2, 1).findings);
    assert!(report(1, 1).bad_states() > 0);
}

#[test]
fn a_state_can_be_made_a_disk() {
    let kits = kits(2);
    let base = disk(&kits[0]).unwrap();
    let mut cycle = Cycle::new(base.clone(), Placement::Gaps).unwrap();
    cycle.update(&kits[1], None, Outcome::Commit).unwrap();
    let (discarded, bytes) = (base.size() - (2 << 20), 64 << 10);
    cycle.machine().0.discard(discarded, bytes);
    let last = cycle.machine().0.disk().clone();
    let recording = cycle.finish().unwrap();
    let judge = Judge::new(expect(&kits));
    let run = Run::new(&recording, &judge, 100, SEED).unwrap();
    let file = tempfile::tempfile().unwrap();
    file.set_len(base.size()).unwrap();
    file.write_all_at(&[7; 64 << 10], discarded).unwrap();
    let end = run.windows().len() - 1;
    let written = run.with_state(end, Shape::Whole, |state| {
        roamcore_crash::materialize::write(state, &file).unwrap()
    });
    assert!(written.unwrap() > 1 << 19);
    let mut zeros = [1; 64 << 10];
    ReadAt::read_exact_at(&file, &mut zeros, discarded).unwrap();
    assert!(zeros.iter().all(|byte| *byte == 0));
    // What was written over a disk of zeros is the final content wherever something changed.
    let (mut want, mut found) = ([0; 512], [0; 512]);
    for window in run.windows() {
        for (start, _) in window.open.iter().flat_map(|open| &open.changed) {
            last.read_exact_at(&mut want, *start).unwrap();
            ReadAt::read_exact_at(&file, &mut found, *start).unwrap();
            assert_eq!(want, found, "byte {start}");
        }
    }
}

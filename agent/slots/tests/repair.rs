//! What cuts, firmware and boot loader may leave on the ESP, and what becomes of it.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::judge::{self, Verdict};
use common::sim::{Op, Sim};
use common::{disk, esp, install, new, old};
use roamcore_slots::{Repair, Situation, Slot, TableState};

/// Slot A runs, the new release is armed in B.
fn armed() -> Sim {
    let sim = Sim::new((disk(Slot::A, &old()), esp(Slot::A, &old())), Slot::A);
    install(&sim.slots().idle().unwrap(), &new()).unwrap();
    Sim::new(sim.state(), Slot::A)
}

fn entry(name: &str) -> String {
    format!("loader/entries/{name}")
}

fn change(sim: &Sim, change: impl FnOnce(&mut std::collections::BTreeMap<String, Vec<u8>>)) {
    change(&mut sim.world.lock().unwrap().esp);
}

fn copy(sim: &Sim, from: &str, to: &str) {
    change(sim, |esp| {
        let bytes = esp[&entry(from)].clone();
        esp.insert(entry(to), bytes);
    });
}

fn names(sim: &Sim) -> Vec<String> {
    let (_, esp) = sim.state();
    let names = esp
        .keys()
        .filter_map(|path| path.strip_prefix("loader/entries/"));
    names.map(str::to_owned).collect()
}

#[test]
fn nothing_to_do() {
    let sim = armed();
    assert_eq!(sim.slots().idle().unwrap().repair().unwrap(), []);
    assert_eq!(sim.log(), [], "not even a mount for writing");
}

#[test]
fn table() {
    type Damage = fn(&Sim);
    let stale = |path: &str| vec![Repair::StaleFile { path: path.into() }];
    let kept = |name: &str| vec![Repair::Duplicates { kept: name.into() }];
    let dead = |why: &str| vec![Repair::DeadEntry { why: why.into() }];
    let cases: [(&str, Damage, Vec<Repair>, &[&str]); 13] = [
        (
            "an entry that was renamed in halves",
            |sim| copy(sim, "roamcore-b+3.conf", "roamcore-b.tmp"),
            kept("roamcore-b+3.conf"),
            &["roamcore-a.conf", "roamcore-b+3.conf"],
        ),
        (
            "an entry that was not renamed",
            |sim| {
                copy(sim, "roamcore-b+3.conf", "roamcore-b.tmp");
                change(sim, |esp| drop(esp.remove(&entry("roamcore-b+3.conf"))));
            },
            stale("loader/entries/roamcore-b.tmp"),
            &["roamcore-a.conf"],
        ),
        (
            "gaps are filled while there is a trial",
            |sim| change(sim, |esp| drop(esp.insert(entry("gap-000000001"), vec![]))),
            vec![],
            &["gap-000000001", "roamcore-a.conf", "roamcore-b+3.conf"],
        ),
        (
            "gaps are filled without a trial",
            |sim| {
                change(sim, |esp| {
                    esp.remove(&entry("roamcore-b+3.conf"));
                    esp.insert(entry("gap-000000001"), vec![]);
                    esp.insert(entry("GAP00002"), vec![]);
                });
            },
            vec![Repair::Fillers { files: 2 }],
            &["roamcore-a.conf"],
        ),
        (
            "a UKI that was begun, or has two names",
            |sim| {
                change(sim, |esp| {
                    drop(esp.insert("EFI/roamcore/b/roamcore.tmp".into(), vec![1]))
                })
            },
            vec![],
            &["roamcore-a.conf", "roamcore-b+3.conf"],
        ),
        (
            "a count in halves",
            |sim| copy(sim, "roamcore-b+3.conf", "roamcore-b+2-1.conf"),
            kept("roamcore-b+3.conf"),
            &["roamcore-a.conf", "roamcore-b+3.conf"],
        ),
        (
            "a commit in halves",
            |sim| copy(sim, "roamcore-b+3.conf", "roamcore-b.conf"),
            kept("roamcore-b+3.conf"),
            &["roamcore-a.conf", "roamcore-b+3.conf"],
        ),
        (
            "a used-up count in halves",
            |sim| {
                copy(sim, "roamcore-b+3.conf", "roamcore-b+1-2.conf");
                copy(sim, "roamcore-b+3.conf", "roamcore-b+0-3.conf");
                change(sim, |esp| drop(esp.remove(&entry("roamcore-b+3.conf"))));
            },
            kept("roamcore-b+1-2.conf"),
            &["roamcore-a.conf", "roamcore-b+1-2.conf"],
        ),
        (
            "an empty entry",
            |sim| {
                change(sim, |esp| {
                    drop(esp.insert(entry("roamcore-b+3.conf"), vec![]))
                })
            },
            dead("it starts no UKI of the slot"),
            &["roamcore-a.conf"],
        ),
        (
            "no UKI",
            |sim| change(sim, |esp| drop(esp.remove("EFI/roamcore/b/roamcore.efi"))),
            dead("it starts no UKI of the slot"),
            &["roamcore-a.conf"],
        ),
        (
            "another UKI",
            |sim| {
                change(sim, |esp| {
                    drop(esp.insert("EFI/roamcore/b/roamcore.efi".into(), vec![1]))
                })
            },
            dead("the UKI is another one"),
            &["roamcore-a.conf"],
        ),
        (
            "somebody else's files",
            |sim| {
                change(sim, |esp| {
                    esp.insert(entry("ROAMCO~1.CON"), vec![]);
                    esp.insert(entry("linux.conf"), b"efi /EFI/linux.efi\n".to_vec());
                })
            },
            vec![],
            &[
                "ROAMCO~1.CON",
                "linux.conf",
                "roamcore-a.conf",
                "roamcore-b+3.conf",
            ],
        ),
        (
            "the entry is lost",
            |sim| change(sim, |esp| drop(esp.remove(&entry("roamcore-b+3.conf")))),
            vec![],
            &["roamcore-a.conf"],
        ),
    ];
    for (name, damage, want, left) in cases {
        let sim = armed();
        damage(&sim);
        let slots = sim.slots();
        let before = slots.facts().unwrap();
        let idle = slots.idle().unwrap();
        assert_eq!(idle.repair().unwrap(), want, "{name}");
        assert_eq!(names(&sim), left, "{name}");
        assert_eq!(idle.repair().unwrap(), [], "{name}, again");
        let verdict = judge::boot(&sim.state(), Slot::A, &[&old(), &new()]);
        assert!(!matches!(verdict, Verdict::Bad(_)), "{name}: {verdict:?}");
        // The slot itself is whole: it can be armed again without being written.
        if name == "the entry is lost" {
            assert_eq!(before.situation(), Situation::Sealed);
            idle.arm(&new().request()).unwrap();
            assert_eq!(slots.facts().unwrap().situation(), Situation::Armed);
        }
    }
}

/// Names that share their clusters must not be kept: what is left gets a file of its own.
#[test]
fn the_name_that_is_kept_is_a_new_file() {
    let sim = armed();
    copy(&sim, "roamcore-b+3.conf", "roamcore-b+2-1.conf");
    sim.slots().idle().unwrap().repair().unwrap();
    let log = sim.log();
    let at = |op: Op| log.iter().position(|other| *other == op);
    let path = |name: &str| entry(name);
    let removed = [path("roamcore-b+3.conf"), path("roamcore-b+2-1.conf")]
        .map(|path| at(Op::Remove { path }).unwrap());
    let renamed = at(Op::Rename {
        from: path("roamcore-b.tmp"),
        to: path("roamcore-b+3.conf"),
    });
    assert!(removed.iter().all(|at| *at < renamed.unwrap()), "{log:?}");
}

#[test]
fn an_entry_that_leads_to_an_unfinished_slot_is_removed() {
    let sim = armed();
    let (_, esp) = sim.state();
    sim.slots().idle().unwrap().invalidate().unwrap();
    change(&sim, |now| *now = esp);
    let done = sim.slots().idle().unwrap().repair().unwrap();
    assert_eq!(
        done,
        [Repair::DeadEntry {
            why: "the slot holds an unfinished root".into()
        }]
    );
    assert_eq!(
        sim.slots().facts().unwrap().situation(),
        Situation::Unfinished
    );
}

#[test]
fn either_copy_of_the_table() {
    let whole = armed();
    let size = whole.state().0.len();
    for at in [512 + 20, 1024 + 300, size - 512 + 20, size - 33 * 512 + 300] {
        let sim = armed();
        sim.world.lock().unwrap().disk[at] ^= 0x10;
        let slots = sim.slots();
        assert!(
            matches!(slots.facts().unwrap().table, TableState::Repairable { .. }),
            "{at}"
        );
        let done = slots.idle().unwrap().repair().unwrap();
        assert!(
            matches!(done.as_slice(), [Repair::Table { fault }] if fault.contains("CRC-32")),
            "{done:?}"
        );
        assert_eq!(slots.facts().unwrap().table, TableState::Whole);
        assert!(sim.state() == whole.state(), "{at}");
    }
}

/// The kernel looks for the backup in the last sector; elsewhere it is no backup.
#[test]
fn a_backup_that_is_not_at_the_end_is_refused() {
    let sim = armed();
    sim.world.lock().unwrap().disk.extend(vec![0; 4096]);
    let slots = sim.slots();
    let error = slots.idle().unwrap().invalidate().unwrap_err().to_string();
    assert!(error.contains("not in the disk's last sector"), "{error}");
}

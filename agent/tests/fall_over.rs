//! Failed boots of committed slots, over a directory of EFI variables.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::fs;

use common::Machine;
use roamcore_agent::boots;
use roamcore_agent::efivar::{self, BootFailures};
use roamcore_agent::fall_over::{self, Begun, LIMIT, Outcome};
use roamcore_agent::slot::Slot;
use roamcore_agent::trial::Trial;

const A: &str = "roamcore-a.conf";
const B: &str = "roamcore-b.conf";

/// A machine booted from `selected`, with these entries on its ESP.
fn booted(machine: &Machine, selected: &str, entries: &[&str]) {
    machine.efi(None);
    machine.variable(efivar::ENTRY_SELECTED, 6, &format!("{selected}\0"));
    let list: String = entries.iter().map(|entry| format!("{entry}\0")).collect();
    machine.variable(efivar::ENTRIES, 6, &list);
}

fn one_shot(machine: &Machine) -> Option<String> {
    let bytes = fs::read(machine.variables().join(efivar::ENTRY_ONE_SHOT)).ok()?;
    assert_eq!(bytes[..4], [7, 0, 0, 0], "it must survive the reboot");
    efivar::text(&bytes)
}

fn counts(machine: &Machine) -> (u8, u8) {
    let counts = fall_over::failures(&machine.roots).unwrap();
    (counts.of(Slot::A), counts.of(Slot::B))
}

#[test]
fn three_failures_boot_the_other_slot_once() {
    let machine = Machine::new();
    booted(&machine, A, &[A, B]);
    for failures in 1..LIMIT {
        let want = Outcome::Counted {
            slot: Slot::A,
            failures,
        };
        assert_eq!(fall_over::run(&machine.roots).unwrap(), want);
        assert_eq!(one_shot(&machine), None);
    }
    let want = Outcome::FallsOver {
        from: Slot::A,
        entry: B.into(),
    };
    assert_eq!(fall_over::run(&machine.roots).unwrap(), want);
    assert_eq!(one_shot(&machine).as_deref(), Some(B));

    // The boot loader has used the order; B is healthy, which says nothing about A.
    fs::remove_file(machine.variables().join(efivar::ENTRY_ONE_SHOT)).unwrap();
    assert!(!fall_over::healthy(&machine.roots, Slot::B).unwrap());
    assert_eq!(counts(&machine), (LIMIT, 0));
    // One more failure of A is enough, and is not even written down.
    let before = fs::metadata(machine.variables().join(efivar::BOOT_FAILURES)).unwrap();
    assert_eq!(fall_over::run(&machine.roots).unwrap(), want);
    let after = fs::metadata(machine.variables().join(efivar::BOOT_FAILURES)).unwrap();
    assert_eq!(before.modified().unwrap(), after.modified().unwrap());
    // A comes up after all.
    assert!(fall_over::healthy(&machine.roots, Slot::A).unwrap());
    assert!(!machine.variables().join(efivar::BOOT_FAILURES).exists());
    assert!(!fall_over::healthy(&machine.roots, Slot::A).unwrap());
}

/// Both slots rotten: the machine goes on trying, but the firmware's memory is left in peace.
#[test]
fn two_bad_slots_stop_writing() {
    let machine = Machine::new();
    let mut writes = 0;
    let mut selected = A;
    for boot in 0..40 {
        booted(&machine, selected, &[A, B]);
        let before = counts(&machine);
        fall_over::run(&machine.roots).unwrap();
        writes += u32::from(counts(&machine) != before);
        selected = match one_shot(&machine) {
            Some(_) => {
                writes += 1;
                fs::remove_file(machine.variables().join(efivar::ENTRY_ONE_SHOT)).unwrap();
                B
            }
            None => A,
        };
        assert!(boot < 20 || selected == A, "boot {boot}");
    }
    assert_eq!(counts(&machine), (LIMIT, LIMIT));
    assert!(writes <= 3 * u32::from(LIMIT), "{writes} writes");
}

#[test]
fn what_there_is_to_fall_over_to() {
    let cases: [(&[&str], Option<&str>); 5] = [
        (&[A], None),
        (&[A, "roamcore-c.conf", "linux.conf"], None),
        (&[A, "roamcore-b+0-3.conf"], Some("roamcore-b+0-3.conf")),
        (&["roamcore-b+1-2.conf", A, B], Some(B)),
        (&[], None),
    ];
    for (entries, want) in cases {
        let machine = Machine::new();
        booted(&machine, A, entries);
        let full = BootFailures::default().with(Slot::A, LIMIT - 1);
        fs::write(
            machine.variables().join(efivar::BOOT_FAILURES),
            full.encode(),
        )
        .unwrap();
        let outcome = fall_over::run(&machine.roots).unwrap();
        match want {
            Some(entry) => {
                let want = Outcome::FallsOver {
                    from: Slot::A,
                    entry: entry.into(),
                };
                assert_eq!(outcome, want, "{entries:?}");
            }
            None => assert_eq!(outcome, Outcome::NoOther { slot: Slot::A }, "{entries:?}"),
        }
        assert_eq!(one_shot(&machine).as_deref(), want, "{entries:?}");
    }
}

#[test]
fn a_trial_is_counted_by_the_boot_loader_and_noted_for_the_engine() {
    let machine = Machine::new();
    booted(&machine, "roamcore-b+3.conf", &[A, "roamcore-b+2-1.conf"]);
    machine.efi(Some((6, "\\loader\\entries\\roamcore-b+2-1.conf")));
    let trial = Trial::detect(&machine.roots, Slot::B).unwrap().unwrap();
    fs::create_dir_all(machine.roots.facts().join("state/roamcore")).unwrap();
    trial.store(&machine.roots).unwrap();
    assert_eq!(fall_over::run(&machine.roots).unwrap(), Outcome::Trial);
    assert_eq!((counts(&machine), one_shot(&machine)), ((0, 0), None));
    let record = roamcore_agent::attempts::load(&machine.roots.facts().join("state"))
        .unwrap()
        .unwrap();
    assert_eq!(
        record.failure.unwrap().why,
        "the boot ended in emergency.target"
    );
}

/// sd-boot cannot count down when the next name exists already; the boot is a trial all the same.
#[test]
fn a_counted_entry_that_was_not_counted_is_a_trial() {
    let machine = Machine::new();
    booted(
        &machine,
        "roamcore-b+3.conf",
        &[A, "roamcore-b+3.conf", "roamcore-b+2-1.conf"],
    );
    let trial = Trial::detect(&machine.roots, Slot::B).unwrap().unwrap();
    assert_eq!((trial.tries_left, trial.tries_done), (3, 0));
    assert_eq!(trial.entry().unwrap().committed, B);
    // Of another slot, or committed: no trial.
    assert_eq!(Trial::detect(&machine.roots, Slot::A).unwrap(), None);
    booted(&machine, B, &[A, B]);
    assert_eq!(Trial::detect(&machine.roots, Slot::B).unwrap(), None);
}

#[test]
fn foreign_boots_and_damaged_counts() {
    let machine = Machine::new();
    assert!(
        fall_over::run(&machine.roots)
            .unwrap_err()
            .to_string()
            .contains("no EFI firmware")
    );
    assert!(!fall_over::healthy(&machine.roots, Slot::A).unwrap());
    for selected in ["linux.conf", "", "auto-windows", "../roamcore-a.conf"] {
        booted(&machine, selected, &[A, B]);
        assert_eq!(
            fall_over::run(&machine.roots).unwrap(),
            Outcome::NotOurs,
            "{selected}"
        );
    }
    booted(&machine, A, &[A, B]);
    fs::write(
        machine.variables().join(efivar::BOOT_FAILURES),
        [7, 0, 0, 0, 9, 9, 9],
    )
    .unwrap();
    let want = Outcome::Counted {
        slot: Slot::A,
        failures: 1,
    };
    assert_eq!(fall_over::run(&machine.roots).unwrap(), want);
}

/// The state partition as it is in a running system, and as `begin-boot` sees it.
fn state(machine: &Machine) -> std::path::PathBuf {
    let state = machine.roots.facts().join("state");
    fs::create_dir_all(state.join("roamcore")).unwrap();
    state
}

/// What nobody sees the end of: a panic, a watchdog, an initrd that hangs.
#[test]
fn boots_that_do_not_come_up_are_counted_at_their_beginning() {
    let machine = Machine::new();
    let state = state(&machine);
    booted(&machine, A, &[A, B]);
    for boots in 1..boots::MOST {
        let want = Begun::Counted {
            slot: Slot::A,
            boots,
        };
        let begun = fall_over::count(&machine.roots, &state, Slot::A).unwrap();
        assert_eq!((begun, one_shot(&machine)), (want, None));
        assert!(!machine.variables().join(efivar::BOOT_FAILURES).exists());
    }
    let want = Begun::Failed(Outcome::FallsOver {
        from: Slot::A,
        entry: B.into(),
    });
    let begun = fall_over::count(&machine.roots, &state, Slot::A).unwrap();
    assert_eq!(begun, want);
    assert_eq!(one_shot(&machine).as_deref(), Some(B));
    // What the engine acts on when B runs.
    assert_eq!(counts(&machine), (LIMIT, 0));

    // This very boot comes up after all: the order is withdrawn, and everything begins anew.
    assert!(fall_over::healthy(&machine.roots, Slot::A).unwrap());
    assert_eq!((counts(&machine), one_shot(&machine)), ((0, 0), None));
    assert_eq!(boots::load(&state).of(Slot::A), 0);
    let begun = fall_over::count(&machine.roots, &state, Slot::A).unwrap();
    let want = Begun::Counted {
        slot: Slot::A,
        boots: 1,
    };
    assert_eq!(begun, want);
    // The other slot comes up: that says nothing about this one.
    assert!(!fall_over::healthy(&machine.roots, Slot::B).unwrap());
    assert_eq!(boots::load(&state).of(Slot::A), 1);
}

/// An order that somebody else gave is not ours to take back.
#[test]
fn only_the_own_order_is_withdrawn() {
    for (ordered, left) in [
        (B, None),
        (A, Some(A)),
        ("auto-windows", Some("auto-windows")),
    ] {
        let machine = Machine::new();
        booted(&machine, A, &[A, B]);
        let full = BootFailures::default().with(Slot::A, LIMIT);
        let variables = machine.variables();
        fs::write(variables.join(efivar::BOOT_FAILURES), full.encode()).unwrap();
        machine.variable(efivar::ENTRY_ONE_SHOT, 7, &format!("{ordered}\0"));
        assert!(fall_over::healthy(&machine.roots, Slot::A).unwrap());
        assert_eq!(one_shot(&machine).as_deref(), left);
    }
}

/// Cranking: any number of cuts, if now and then a boot comes up.
#[test]
fn short_boots_use_up_nothing() {
    let machine = Machine::new();
    let state = state(&machine);
    booted(&machine, A, &[A, B]);
    for _ in 0..50 {
        for _ in 1..boots::MOST {
            let begun = fall_over::count(&machine.roots, &state, Slot::A).unwrap();
            assert!(matches!(begun, Begun::Counted { .. }), "{begun}");
        }
        assert!(!fall_over::healthy(&machine.roots, Slot::A).unwrap());
    }
    assert!(!machine.variables().join(efivar::BOOT_FAILURES).exists());
}

/// Two slots that panic: no ping-pong without end, and the firmware's memory is left in peace.
#[test]
fn two_slots_that_panic_stop_writing() {
    let machine = Machine::new();
    let state = state(&machine);
    let (mut writes, mut of_b) = (0, 0);
    let mut selected = Slot::A;
    for boot in 0..100 {
        booted(&machine, selected.entry_file(), &[A, B]);
        let before = counts(&machine);
        fall_over::count(&machine.roots, &state, selected).unwrap();
        writes += u32::from(counts(&machine) != before);
        of_b += u32::from(selected == Slot::B);
        let order = machine.variables().join(efivar::ENTRY_ONE_SHOT);
        selected = match one_shot(&machine) {
            Some(entry) => {
                writes += 1;
                fs::remove_file(order).unwrap();
                if entry == B { Slot::B } else { Slot::A }
            }
            None => Slot::A,
        };
        assert!(boot < 30 || selected == Slot::A, "boot {boot}");
    }
    assert_eq!(counts(&machine), (LIMIT, LIMIT));
    assert_eq!(of_b, u32::from(boots::MOST));
    assert!(writes <= u32::from(boots::MOST) + 4, "{writes} writes");
}

#[test]
fn which_boots_are_counted() {
    const HASH: &str = "00112233445566778899AABBCCDDEEFFffeeddccbbaa99887766554433221100";
    let machine = Machine::new();
    let begin = || fall_over::begin(&machine.roots).map_err(|error| error.to_string());
    assert!(begin().unwrap_err().contains("no EFI firmware"));
    // The boot loader counts trials, and nobody what is not ours.
    for selected in ["roamcore-b+3.conf", "linux.conf"] {
        booted(&machine, selected, &[A, B]);
        assert_eq!(begin(), Ok(Begun::NotCounted), "{selected}");
    }
    booted(&machine, B, &[A, B]);
    fs::write(machine.roots.proc.join("cmdline"), "ro quiet\n").unwrap();
    assert!(begin().unwrap_err().contains("names no root hash"));
    let line = format!("ro roothash={HASH} quiet\n");
    fs::write(machine.roots.proc.join("cmdline"), line).unwrap();
    assert!(begin().unwrap_err().contains("by-partuuid"));
    let links = machine.roots.dev.join("disk/by-partuuid");
    fs::create_dir_all(&links).unwrap();
    let link = links.join("00112233-4455-6677-8899-aabbccddeeff");
    std::os::unix::fs::symlink("../../nvme0n1p4", link).unwrap();
    assert_eq!(begin(), Ok(Begun::NoState), "the first boot");
    machine.partition("nvme0n1", 6, Some("state"));
    assert!(begin().unwrap_err().contains("mount the state partition"));
    // A cut before anything was put onto it.
    let empty = machine.dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let begun = fall_over::count(&machine.roots, &empty, Slot::B).unwrap();
    let want = Begun::Counted {
        slot: Slot::B,
        boots: 1,
    };
    assert_eq!(begun, want);
    // Not the beginning any more.
    fs::write(machine.roots.facts().join("slot.json"), "{}").unwrap();
    assert_eq!(begin(), Ok(Begun::NotCounted));
}

//! `prepare-root` on a machine made of files: all steps that need no mount.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::fs;

use common::{GB, Machine};
use roamcore_agent::disk::{self, DiskError};
use roamcore_agent::layout::Layout;
use roamcore_agent::prepare::{self, PrepareError};
use roamcore_agent::slot::Slot;
use roamcore_agent::trial::Trial;

fn layout(machine: &Machine) -> Layout {
    Layout::from_json(
        &fs::read_to_string(machine.roots.usr.join("lib/roamcore/layout.json")).unwrap(),
    )
    .unwrap()
}

#[test]
fn the_running_slot_and_its_disk_are_found() {
    let machine = Machine::new();
    let running = disk::running(&machine.roots).unwrap();
    assert_eq!(
        (running.slot, running.disk.name.as_str(), running.disk.bytes),
        (Slot::B, "nvme0n1", 64 * GB)
    );
    let esp = running
        .disk
        .labelled(&machine.roots, "esp")
        .unwrap()
        .unwrap();
    assert_eq!(esp.name, "nvme0n1p1");
    assert!(
        running
            .disk
            .labelled(&machine.roots, "video")
            .unwrap()
            .is_none()
    );
}

#[test]
fn a_doubtful_root_is_refused() {
    type Change = fn(&Machine);
    let cases: [(Change, &str); 6] = [
        (
            |m| fs::write(m.roots.sys.join("class/block/dm-0/dm/name"), "swap\n").unwrap(),
            "found []",
        ),
        (
            |m| m.root("dm-1", &["nvme0n1p2", "nvme0n1p3"]),
            "found [\"dm-0\", \"dm-1\"]",
        ),
        (
            |m| fs::remove_file(m.roots.sys.join("class/block/dm-0/slaves/nvme0n1p5")).unwrap(),
            "is made of [(",
        ),
        (
            |m| {
                fs::write(
                    m.devices().join("nvme0n1/nvme0n1p5/uevent"),
                    "PARTNAME=verity-a\n",
                )
                .unwrap()
            },
            "is made of [(",
        ),
        (
            |m| fs::write(m.devices().join("nvme0n1/size"), "many\n").unwrap(),
            "says \"many\"",
        ),
        (
            |m| fs::write(m.devices().join("nvme0n1/size"), u64::MAX.to_string()).unwrap(),
            "not a number of sectors",
        ),
    ];
    for (change, want) in cases {
        let machine = Machine::new();
        change(&machine);
        let error = disk::running(&machine.roots).unwrap_err().to_string();
        assert!(error.contains(want), "{error:?} lacks {want:?}");
    }
}

#[test]
fn a_hash_partition_on_a_copy_of_the_disk_is_refused() {
    let machine = Machine::new();
    machine.disk("nvme1n1", 64 * GB);
    machine.partition("nvme1n1", 5, Some("verity-b"));
    let slaves = machine.roots.sys.join("class/block/dm-0/slaves");
    fs::remove_file(slaves.join("nvme0n1p5")).unwrap();
    fs::create_dir(slaves.join("nvme1n1p5")).unwrap();
    assert!(matches!(
        disk::running(&machine.roots),
        Err(DiskError::TwoDisks { .. })
    ));
}

#[test]
fn a_label_that_is_there_twice_is_refused() {
    let machine = Machine::new();
    machine.partition("nvme0n1", 8, Some("esp"));
    let disk = disk::running(&machine.roots).unwrap().disk;
    let error = disk
        .labelled(&machine.roots, "esp")
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "disk nvme0n1 has two partitions labelled \"esp\": nvme0n1p1 and nvme0n1p8"
    );
}

#[test]
fn small_disks_are_refused_at_the_byte() {
    let machine = Machine::new();
    let disk = disk::running(&machine.roots).unwrap().disk;
    machine.layout(64 * GB);
    assert!(prepare::check_size(&layout(&machine), &disk).is_ok());
    machine.layout(64 * GB + 1);
    let refusal = prepare::check_size(&layout(&machine), &disk).unwrap_err();
    assert_eq!((refusal.bytes, refusal.needed), (64 * GB, 64 * GB + 1));
}

#[test]
fn trials_are_recorded_and_only_trials() {
    let machine = Machine::new();
    let running = disk::running(&machine.roots).unwrap();
    for variable in [None, Some((7, "\\loader\\entries\\planted+1.conf"))] {
        machine.efi(variable);
        assert_eq!(
            prepare::record_facts(&machine.roots, &running).unwrap(),
            None
        );
        assert_eq!(Trial::load(&machine.roots).unwrap(), None);
    }
    machine.efi(Some((6, "\\loader\\entries\\roamcore-7+2-1.conf")));
    let trial = prepare::record_facts(&machine.roots, &running)
        .unwrap()
        .unwrap();
    assert_eq!(
        (trial.tries_left, trial.tries_done, trial.slot),
        (2, 1, Slot::B)
    );
    assert_eq!(Trial::load(&machine.roots).unwrap(), Some(trial));
    let facts = fs::read_to_string(machine.roots.facts().join("slot.json")).unwrap();
    assert_eq!(facts, "{\"disk\":\"nvme0n1\",\"slot\":\"root-b\"}\n");
}

#[test]
fn a_malformed_variable_or_record_is_an_error() {
    let machine = Machine::new();
    let running = disk::running(&machine.roots).unwrap();
    for path in [
        "\\loader\\entries\\roamcore-7.conf",
        "\\loader\\entries\\..\\a+1.conf",
        "",
    ] {
        machine.efi(Some((6, path)));
        assert!(
            prepare::record_facts(&machine.roots, &running).is_err(),
            "{path:?}"
        );
    }
    fs::write(machine.roots.facts().join("trial.json"), "{\"entry_path\":").unwrap();
    assert!(
        Trial::load(&machine.roots)
            .unwrap_err()
            .to_string()
            .contains("is not a trial record")
    );
}

#[test]
fn an_existing_state_is_never_repartitioned() {
    let machine = Machine::new();
    machine.partition("nvme0n1", 8, Some("state"));
    let disk = disk::running(&machine.roots).unwrap().disk;
    for in_trial in [false, true] {
        let repart = |_: &std::path::Path| -> Result<(), PrepareError> { panic!("repart was run") };
        let state =
            prepare::state_partition(&machine.roots, &disk, &layout(&machine), in_trial, repart)
                .unwrap();
        assert_eq!(state.name, "nvme0n1p8");
    }
}

#[test]
fn a_trial_without_state_is_an_error() {
    let machine = Machine::new();
    let disk = disk::running(&machine.roots).unwrap().disk;
    let repart = |_: &std::path::Path| -> Result<(), PrepareError> { panic!("repart was run") };
    let result = prepare::state_partition(&machine.roots, &disk, &layout(&machine), true, repart);
    assert!(matches!(result, Err(PrepareError::NoStateInTrial(_))));
}

/// Partitions added to a table in use have no PARTNAME in sysfs; udev reads their labels a bit later.
#[test]
fn the_first_boot_makes_the_state_and_waits_for_udev() {
    let machine = Machine::new();
    let disk = disk::running(&machine.roots).unwrap().disk;
    let data = machine.roots.run.join("udev/data");
    let worker = std::cell::Cell::new(None);
    let repart = |node: &std::path::Path| {
        assert_eq!(node, machine.roots.dev.join("nvme0n1"));
        machine.partition("nvme0n1", 8, None);
        let data = data.clone();
        worker.set(Some(std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(300));
            fs::create_dir_all(&data).unwrap();
            fs::write(
                data.join("b259:8"),
                "S:disk/by-partlabel/state\nE:ID_PART_ENTRY_NAME=state\n",
            )
            .unwrap();
        })));
        Ok(())
    };
    let state =
        prepare::state_partition(&machine.roots, &disk, &layout(&machine), false, repart).unwrap();
    assert_eq!(state.name, "nvme0n1p8");
    worker.take().unwrap().join().unwrap();
}

#[test]
fn directories_of_the_state() {
    let dir = tempfile::tempdir().unwrap();
    let layers = prepare::make_directories(dir.path(), Slot::A).unwrap();
    assert_eq!(layers.upper, dir.path().join("etc/root-a/upper"));
    prepare::make_directories(dir.path(), Slot::A).unwrap();
    let hostile = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/", hostile.path().join("var")).unwrap();
    assert!(prepare::make_directories(hostile.path(), Slot::A).is_err());
}

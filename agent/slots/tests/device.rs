//! The machine's own disk, as far as that goes without one: a sysfs of files, and nodes that are no block devices.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use common::old;
use roamcore_slots::{Device, Media, Part, Roots, Slot, SlotError, Slots};

struct Machine {
    _dir: tempfile::TempDir,
    roots: Roots,
    disk: PathBuf,
}

/// Runs from slot A; every partition has a file as its node.
fn machine() -> Machine {
    let dir = tempfile::tempdir().unwrap();
    let roots = Roots::below(dir.path());
    let (block, disk) = (roots.sys.join("class/block"), roots.sys.join("devices/vda"));
    for path in [
        &block,
        &disk,
        &roots.dev,
        &roots.proc.join("self"),
        &roots.run,
    ] {
        fs::create_dir_all(path).unwrap();
    }
    fs::write(roots.proc.join("self/mountinfo"), "").unwrap();
    let bytes = common::disk(Slot::A, &old());
    fs::write(disk.join("size"), format!("{}\n", bytes.len() / 512)).unwrap();
    fs::write(roots.dev.join("vda"), bytes).unwrap();
    let gpt = common::table([
        old().spec.root_hash.partuuids(),
        (common::hash(1).partuuids().0, common::hash(2).partuuids().0),
    ]);
    for (number, part) in (1..).zip(&gpt.partitions) {
        let name = format!("vda{number}");
        let directory = disk.join(&name);
        fs::create_dir_all(&directory).unwrap();
        for (file, text) in [
            ("partition", number.to_string()),
            ("dev", format!("254:{number}")),
            ("start", part.first_lba.to_string()),
            ("size", (part.size() / 512).to_string()),
            ("uevent", format!("PARTNAME={}", part.name)),
        ] {
            fs::write(directory.join(file), format!("{text}\n")).unwrap();
        }
        symlink(&directory, block.join(&name)).unwrap();
        fs::write(roots.dev.join(&name), "").unwrap();
    }
    let root = block.join("dm-0");
    fs::create_dir_all(root.join("dm")).unwrap();
    fs::create_dir_all(root.join("slaves/vda2")).unwrap();
    fs::create_dir_all(root.join("slaves/vda3")).unwrap();
    fs::write(root.join("dm/name"), "root\n").unwrap();
    Machine {
        _dir: dir,
        roots,
        disk,
    }
}

#[test]
fn the_running_slot_is_found_and_the_table_is_read() {
    let machine = machine();
    let device = Device::open(&machine.roots).unwrap();
    assert_eq!(device.running(), Slot::A);
    let table = device.table(roamcore_agent::mounts::Access::Write).unwrap();
    // The fence around it holds on the machine as well.
    let error = table
        .write_all_at(&[0; 512], 40 * 512)
        .unwrap_err()
        .to_string();
    assert!(error.contains("outside of the partition tables"), "{error}");
    let error = table.write_all_at(&[0; 512], 0).unwrap_err().to_string();
    assert!(error.contains("outside of the partition tables"), "{error}");
    table.write_all_at(&[0; 512], 512).unwrap();
    // Whoever writes the table has the disk to himself.
    let node = fs::File::open(machine.roots.dev.join("vda")).unwrap();
    let lock = || rustix::fs::flock(&node, rustix::fs::FlockOperation::NonBlockingLockExclusive);
    assert!(lock().is_err());
    drop(table);
    lock().unwrap();
}

#[test]
fn what_is_no_partition_is_not_opened() {
    let text = |result: Result<(), SlotError>| {
        let error = result.unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string);
        format!("{error}: {}", source.unwrap_or_default())
    };
    let machine = machine();
    let device = Device::open(&machine.roots).unwrap();
    let seen = text(device.write_idle(Part::Data).map(drop));
    assert!(seen.contains("vda4: it is no block device"), "{seen}");
    let seen = text(device.read(Slot::A, Part::Tree).map(drop));
    assert!(seen.contains("vda3: it is no block device"), "{seen}");
    fs::write(machine.disk.join("vda5/uevent"), "PARTNAME=other\n").unwrap();
    let seen = text(device.write_idle(Part::Tree).map(drop));
    assert!(seen.contains("partition \"verity-b\" is missing"), "{seen}");
    fs::remove_file(machine.roots.dev.join("vda4")).unwrap();
    let seen = text(device.write_idle(Part::Data).map(drop));
    assert!(seen.starts_with("cannot open"), "{seen}");
    assert!(!machine.roots.dev.join("vda4").exists(), "a node was made");
}

#[test]
fn without_a_machine_there_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Slots::open(&Roots::below(dir.path())).is_err());
    let machine = machine();
    // The ESP cannot be mounted from a file of no bytes.
    let error = Slots::open(&machine.roots)
        .unwrap()
        .facts()
        .map(drop)
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("cannot mount the ESP on"), "{error}");
}

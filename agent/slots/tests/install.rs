//! The steps on a plain file and a directory: the code that runs on the machine, with its system calls.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::fs;
use std::path::Path;

use common::judge::{self, State, Verdict};
use common::{Release, files, install, new, old, put_uki, write};
use roamcore_ota::Digest;
use roamcore_slots::{
    Content, ImageFiles, RootSpec, Situation, Slot, SlotError, Slots, TableState, UkiSpec,
};

fn slots(media: &ImageFiles) -> Slots {
    Slots::on(Box::new(media.clone()))
}

fn state(media: &ImageFiles) -> State {
    let mut esp = std::collections::BTreeMap::new();
    let mut stack = vec![media.esp.clone()];
    while let Some(directory) = stack.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                stack.push(path);
            } else {
                let name = path.strip_prefix(&media.esp).unwrap().to_str().unwrap();
                esp.insert(name.to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    (fs::read(&media.disk).unwrap(), esp)
}

fn commit(media: &ImageFiles, slot: Slot) {
    let entries = media.esp.join("loader/entries");
    let counted = format!("{}+3.conf", &slot.entry_file()[..10]);
    fs::rename(entries.join(counted), entries.join(slot.entry_file())).unwrap();
}

/// There and back: A installs into B, B into A, each boots what it should.
#[test]
fn two_updates() {
    let (_dir, mut media) = files(Slot::A, &old());
    let mut releases = vec![old()];
    for (number, sequence) in [(1, 9), (2, 3), (3, 11)] {
        let next = Release::new(
            ["1.1.0", "1.2.0", "1.3.0"][number - 1],
            sequence,
            20 + number,
        );
        let idle_slot = media.running.other();
        let slots = slots(&media);
        let idle = slots.idle().unwrap();
        install(&idle, &next).unwrap();
        releases.push(next);
        let known: Vec<&Release> = releases.iter().collect();
        assert_eq!(
            judge::boot(&state(&media), media.running, &known),
            Verdict::Trial { left: 3 }
        );
        let facts = slots.facts().unwrap();
        assert_eq!(facts.table, TableState::Whole);
        assert_eq!(
            (facts.next, facts.situation()),
            (Some(idle_slot), Situation::Armed)
        );
        commit(&media, idle_slot);
        media.running = idle_slot;
        assert_eq!(
            judge::boot(&state(&media), idle_slot, &known),
            Verdict::Committed
        );
        assert_eq!(
            self::slots(&media).facts().unwrap().situation(),
            Situation::Quiet
        );
    }
}

#[test]
fn every_step_twice_is_once() {
    let (_dir, media) = files(Slot::B, &old());
    let slots = slots(&media);
    let idle = slots.idle().unwrap();
    let release = new();
    write(&idle, &release).unwrap();
    idle.arm(&release.request()).unwrap();
    let once = state(&media);
    idle.arm(&release.request()).unwrap();
    put_uki(&idle, &release.uki, &release.uki_spec()).unwrap();
    let proof = idle.read_back(&release.spec).unwrap();
    idle.publish_partuuids(&proof).unwrap();
    idle.write_verity(&release.spec).unwrap();
    assert_eq!(idle.repair().unwrap(), []);
    assert!(state(&media) == once);
    idle.disarm().unwrap();
    idle.disarm().unwrap();
    idle.arm(&release.request()).unwrap();
    assert!(state(&media) == once);
    idle.invalidate().unwrap();
    let empty = state(&media);
    idle.invalidate().unwrap();
    assert!(state(&media) == empty);
    assert_eq!(slots.facts().unwrap().idle.content, Content::Invalid);
}

#[test]
fn steps_out_of_order_are_refused() {
    let (_dir, media) = files(Slot::A, &old());
    let slots = slots(&media);
    let idle = slots.idle().unwrap();
    let release = new();
    let text = |result: Result<(), SlotError>| result.unwrap_err().to_string();
    let want = "root-b holds nothing that its PARTUUIDs belong to, not root hash";
    assert!(text(idle.arm(&release.request())).starts_with(want));
    assert!(text(idle.target(4096).map(drop)).contains("only after invalidate()"));
    assert!(text(idle.rearm()).contains("has no counted boot entry"));
    write(&idle, &release).unwrap();
    assert!(text(idle.target(4096).map(drop)).contains("root-b still has root hash"));
    let other = Release::new("9.9.9", 77, 4);
    assert!(text(idle.arm(&other.request())).contains("not root hash"));
    let mut request = release.request();
    request.uki_sha256 = Digest::of(b"another");
    assert!(text(idle.arm(&request)).contains("EFI/roamcore/b/roamcore.efi"));
    idle.arm(&release.request()).unwrap();
    assert!(
        text(idle.target(4096).map(drop)).contains("still has the boot entry roamcore-b+3.conf")
    );
    let uki = text(put_uki(&idle, &other.uki, &other.uki_spec()));
    assert!(uki.contains("still has the boot entry"), "{uki}");
}

#[test]
fn the_release_that_runs_is_never_published_twice() {
    let (_dir, media) = files(Slot::A, &old());
    let slots = slots(&media);
    let error = install(&slots.idle().unwrap(), &old())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("is the one of partition \"root-a\""),
        "{error}"
    );
    assert!(error.contains("the release that runs already"), "{error}");
    // Nothing leads to what was written.
    assert_eq!(
        judge::boot(&state(&media), Slot::A, &[&old()]),
        Verdict::Committed
    );
    assert_eq!(slots.facts().unwrap().situation(), Situation::Unfinished);
}

/// Whatever differs from what was signed is found, and nothing is published.
#[test]
fn what_was_not_signed_is_found() {
    let good = new();
    let spec = |change: fn(&mut RootSpec)| {
        let mut spec = good.spec.clone();
        change(&mut spec);
        spec
    };
    // What building the tree says, and what reading back a good slot says.
    let cases: [(RootSpec, &str, &str); 7] = [
        (spec(|s| s.sha256 = Digest::of(b"x")), "SHA-256", "SHA-256"),
        (
            spec(|s| s.root_hash = common::hash(3)),
            "the release says 0303",
            "the root hash is 0303",
        ),
        (
            spec(|s| s.salt[0] ^= 1),
            "holds a root with hash",
            "another salt",
        ),
        (
            spec(|s| s.size -= 4096),
            "holds 90112 bytes",
            "another size",
        ),
        (
            spec(|s| s.size += 1),
            "a positive multiple of 4096",
            "a positive multiple of 4096",
        ),
        (
            spec(|s| s.size = 4096 * 4096),
            "needs 16777216 bytes",
            "needs 16777216 bytes",
        ),
        // The superblock is not under the root hash, so it is compared by itself.
        (
            spec(|s| s.uuid = roamcore_disk::gpt::Guid::from_bytes([1; 16])),
            "",
            "another UUID",
        ),
    ];
    for (spec, building, reading) in cases {
        let (_dir, media) = files(Slot::A, &old());
        let slots = slots(&media);
        let idle = slots.idle().unwrap();
        idle.invalidate().unwrap();
        let target = idle.target(good.spec.size).unwrap();
        target.write_all_at(&good.root, 0).unwrap();
        target.finish().unwrap();
        match idle.write_verity(&spec) {
            Ok(_) => assert_eq!(building, ""),
            Err(error) => {
                let text = error.to_string();
                assert!(!building.is_empty() && text.contains(building), "{text}");
            }
        }
        assert_eq!(slots.facts().unwrap().situation(), Situation::Unfinished);
        let proof = idle.write_verity(&good.spec).unwrap();
        let text = idle.read_back(&spec).unwrap_err().to_string();
        assert!(text.contains(reading), "{text}");
        idle.publish_partuuids(&proof).unwrap();
    }
}

/// A step that writes refuses a slot that something leads to: a mistake above must not break an armed slot.
#[test]
fn a_sealed_slot_is_not_written_to() {
    let (_dir, media) = files(Slot::A, &old());
    let slots = slots(&media);
    let idle = slots.idle().unwrap();
    install(&idle, &new()).unwrap();
    let before = state(&media);
    let mut other = new().spec;
    other.root_hash = common::hash(3);
    let error = idle.write_verity(&other).unwrap_err().to_string();
    assert!(error.contains("still has the boot entry"), "{error}");
    idle.disarm().unwrap();
    let error = idle.write_verity(&other).unwrap_err().to_string();
    assert!(error.contains("root-b still has root hash"), "{error}");
    let proof = idle.write_verity(&new().spec).unwrap();
    idle.publish_partuuids(&proof).unwrap();
    idle.arm(&new().request()).unwrap();
    assert!(state(&media) == before);
}

/// One flipped bit anywhere in the root or the tree.
#[test]
fn every_damaged_byte_is_found() {
    let (_dir, media) = files(Slot::A, &old());
    let slots = slots(&media);
    let idle = slots.idle().unwrap();
    let release = new();
    write(&idle, &release).unwrap();
    let bytes = fs::read(&media.disk).unwrap();
    let gpt = common::table([release.spec.root_hash.partuuids(); 2]);
    let start = |label: &str| gpt.partition(label).unwrap().offset() as usize;
    let root = start("root-b")..start("root-b") + release.root.len();
    let tree = start("verity-b")..start("verity-b") + release.tree.len();
    let places = [
        root.start,
        root.start + 4096,
        root.end - 1,
        tree.start + 100,
        tree.start + 4096,
        tree.end - 1,
    ];
    for at in places {
        let mut damaged = bytes.clone();
        damaged[at] ^= 4;
        fs::write(&media.disk, &damaged).unwrap();
        assert!(idle.read_back(&release.spec).is_err(), "byte {at}");
    }
    // Behind the root there is nothing that counts.
    let mut harmless = bytes.clone();
    harmless[root.end] ^= 4;
    fs::write(&media.disk, &harmless).unwrap();
    idle.read_back(&release.spec).unwrap();
}

#[test]
fn ukis_that_are_refused() {
    let (_dir, media) = files(Slot::A, &old());
    let slots = slots(&media);
    let idle = slots.idle().unwrap();
    let release = new();
    write(&idle, &release).unwrap();
    fs::remove_file(media.esp.join("EFI/roamcore/b/roamcore.efi")).unwrap();
    let good = release.uki_spec();
    let other = old();
    let cases: [(&[u8], UkiSpec, &str); 4] = [
        (&release.uki[1..], good.clone(), "the release says"),
        (&other.uki, good.clone(), "the release says"),
        (
            &other.uki,
            UkiSpec {
                root_hash: release.spec.root_hash,
                ..other.uki_spec()
            },
            "belongs to another root",
        ),
        (
            &[],
            UkiSpec {
                size: u64::MAX / 2,
                ..good.clone()
            },
            "bytes left, the UKI needs",
        ),
    ];
    let names = || {
        let listing = fs::read_dir(media.esp.join("EFI/roamcore/b")).unwrap();
        let names = listing.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect::<Vec<_>>()
    };
    for (bytes, spec, want) in cases {
        let text = put_uki(&idle, bytes, &spec).unwrap_err().to_string();
        assert!(text.contains(want), "{text}");
        assert_eq!(names(), ["roamcore.tmp"]);
    }
    put_uki(&idle, &release.uki, &good).unwrap();
    assert_eq!(names(), ["roamcore.efi"]);
}

#[test]
fn a_root_hash_that_lies_across_two_reads_is_found() {
    let (_dir, media) = files(Slot::A, &old());
    let slots = slots(&media);
    let idle = slots.idle().unwrap();
    let release = new();
    write(&idle, &release).unwrap();
    let hash = format!("roothash={}", release.spec.root_hash);
    let uki = [vec![b' '; 128 * 1024 - 30].as_slice(), hash.as_bytes()].concat();
    let spec = UkiSpec {
        size: uki.len() as u64,
        sha256: Digest::of(&uki),
        root_hash: release.spec.root_hash,
    };
    put_uki(&idle, &uki, &spec).unwrap();
}

#[test]
fn a_uki_that_was_begun_is_gone_on_with() {
    let (_dir, media) = files(Slot::A, &old());
    let slots = slots(&media);
    let idle = slots.idle().unwrap();
    let release = new();
    write(&idle, &release).unwrap();
    let directory = media.esp.join("EFI/roamcore/b");
    fs::remove_file(directory.join("roamcore.efi")).unwrap();
    let spec = release.uki_spec();
    let half = release.uki.len() / 2;
    let target = idle.uki_target(&spec).unwrap().unwrap();
    target.file().write_all_at(&release.uki[..half], 0).unwrap();
    drop(target);
    assert_eq!(idle.repair().unwrap(), [], "nobody removes it");
    let ukis = idle.ukis().unwrap();
    assert_eq!(ukis.begun.as_ref().unwrap().size(), spec.size);
    assert_eq!(ukis.sources.len(), 1, "that of the running slot");
    drop(ukis);
    let target = idle.uki_target(&spec).unwrap().unwrap();
    let mut seen = vec![0; half];
    target.file().read_exact_at(&mut seen, 0).unwrap();
    assert!(seen == release.uki[..half]);
    target
        .file()
        .write_all_at(&release.uki[half..], half as u64)
        .unwrap();
    target.finish().unwrap();
    assert!(idle.uki_target(&spec).unwrap().is_none(), "in place");
    let ukis = idle.ukis().unwrap();
    assert_eq!((ukis.sources.len(), ukis.begun.is_none()), (2, true));
    drop(ukis);

    // A beginning of another size keeps its content, as a source.
    let longer = [release.uki.as_slice(), b"longer"].concat();
    let other = UkiSpec {
        size: longer.len() as u64,
        sha256: Digest::of(&longer),
        ..spec.clone()
    };
    fs::write(directory.join("roamcore.tmp"), &longer[..half]).unwrap();
    let target = idle.uki_target(&other).unwrap().unwrap();
    target.file().read_exact_at(&mut seen, 0).unwrap();
    assert!(seen == release.uki[..half]);
    drop(target);
    // What was not given its size, and two names that may be of one file, are not believed.
    fs::write(directory.join("roamcore.new"), "x").unwrap();
    let target = idle.uki_target(&other).unwrap().unwrap();
    target.file().read_exact_at(&mut seen, 0).unwrap();
    assert!(seen.iter().all(|byte| *byte == 0));
    drop(target);
    fs::copy(
        directory.join("roamcore.efi"),
        directory.join("roamcore.tmp"),
    )
    .unwrap();
    assert!(idle.uki_target(&spec).unwrap().is_none());
    put_uki(&idle, &longer, &other).unwrap();
    assert_eq!(fs::read(directory.join("roamcore.efi")).unwrap(), longer);
}

#[test]
fn stopped_by_the_caller() {
    let (_dir, media) = files(Slot::A, &old());
    let slots = slots(&media);
    let idle = slots.idle().unwrap();
    write(&idle, &new()).unwrap();
    let stop = |_| std::ops::ControlFlow::Break(());
    let error = idle.write_verity_watched(&new().spec, &stop).unwrap_err();
    assert!(matches!(error, SlotError::Stopped), "{error}");
    let error = idle.read_back_watched(&new().spec, &stop).unwrap_err();
    assert!(matches!(error, SlotError::Stopped), "{error}");
    let seen = std::sync::Mutex::new(0);
    let watch = |done| {
        *seen.lock().unwrap() = done;
        std::ops::ControlFlow::Continue(())
    };
    idle.read_back_watched(&new().spec, &watch).unwrap();
    assert_eq!(*seen.lock().unwrap(), new().spec.size);
}

#[test]
fn the_roots_to_take_chunks_from() {
    let (_dir, media) = files(Slot::A, &old());
    let slots = slots(&media);
    let running = slots.running_root().unwrap();
    assert_eq!(running.size(), old().spec.size);
    let mut seen = vec![0; old().root.len()];
    running.read_exact_at(&mut seen, 0).unwrap();
    assert!(seen == old().root);
    let idle = slots.idle_root().unwrap();
    // No tree: the whole partition may hold something useful.
    assert_eq!(idle.size(), 512 * 512);
    assert!(Path::new(&media.disk).exists());
}

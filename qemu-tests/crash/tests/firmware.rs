//! The firmware's view of a disk: the same as the strict readers' on sound ones, and what it is on damaged ones.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use proptest::prelude::*;
use roamcore_crash::firmware::fat::{Fat, FatFault, Pick};
use roamcore_crash::firmware::gpt::{Table, TableFault};
use roamcore_crash::judge::{Bad, Judge};
use roamcore_crash::model::{Cycle, Kit, Machine, Outcome, Placement, Sparse, disk, expect};
use roamcore_disk::fat::FatReader;
use roamcore_disk::gpt::Gpt;
use roamcore_disk::region::{ReadAt as _, Region};

fn kits() -> Vec<Kit> {
    (1..=5)
        .map(|sequence| Kit::make(sequence).unwrap())
        .collect()
}

fn esp(disk: &mut Sparse) -> (u64, u64) {
    let size = disk.size();
    let table = Gpt::read_from(&mut disk.cursor(), size).unwrap().gpt;
    let esp = table.partition("esp").unwrap();
    (esp.offset(), esp.offset() + esp.size())
}

/// Every file that the firmware shows: path and content.
fn files(fat: &Fat<'_>, path: &str, cluster: u32, found: &mut Vec<(String, Vec<u8>)>) {
    for file in fat.list(path, cluster).unwrap() {
        let path = format!("{path}/{}", file.name);
        if file.is_dir && !file.name.starts_with('.') {
            files(fat, &path, file.cluster, found);
        } else if !file.is_dir {
            found.push((path.clone(), fat.read(&path, &file, 1 << 20).unwrap()));
        }
    }
}

#[test]
fn models_leave_volumes_that_the_strict_reader_takes_and_both_see_the_same() {
    for placement in [Placement::Gaps, Placement::OneSector] {
        let kits = kits();
        let mut cycle = Cycle::new(disk(&kits[0]).unwrap(), placement).unwrap();
        for (kit, outcome) in kits[1..].iter().zip([
            Outcome::Commit,
            Outcome::Fails,
            Outcome::Commit,
            Outcome::Armed,
        ]) {
            cycle.update(kit, None, outcome).unwrap();
        }
        let mut disk = cycle.machine().0.disk().clone();
        let (start, end) = esp(&mut disk);
        let mut cursor = disk.cursor();
        let mut strict =
            FatReader::open(Region::new(&mut cursor, start, end - start).unwrap()).unwrap();
        let paths: Vec<String> = strict
            .entries()
            .iter()
            .filter(|entry| !entry.is_dir)
            .map(|entry| entry.path.clone())
            .collect();
        let mut want: Vec<(String, Vec<u8>)> = paths
            .into_iter()
            .map(|path| (path.clone(), strict.read_file(&path, 1 << 20).unwrap()))
            .collect();
        let machine = Machine::new(disk);
        let fat = Fat::open(&machine, (start, end), Pick::First).unwrap();
        let mut found = Vec::new();
        files(&fat, "", fat.root(), &mut found);
        found.sort();
        want.sort();
        assert_eq!(found, want);
        assert!(!fat.ambiguous() && found.len() >= 6);
    }
}

#[test]
fn tables_are_taken_as_firmware_takes_them() {
    let kit = Kit::make(1).unwrap();
    let good = disk(&kit).unwrap();
    let last = good.size() - 512;
    let read = |spoil: &[(u64, &[u8])]| {
        let mut disk = good.clone();
        for (offset, bytes) in spoil {
            disk.write_at(*offset, bytes).unwrap();
        }
        Table::read(&Machine::new(disk))
    };
    let whole = read(&[]).unwrap();
    assert_eq!((whole.partitions.len(), whole.primary_fault), (6, None));
    let torn = read(&[(1024, b"xx")]).unwrap();
    assert_eq!(torn.primary_fault, Some("the entries' checksum is wrong"));
    assert_eq!(torn.partitions, whole.partitions);
    assert_eq!(read(&[(last, b"xx")]).unwrap(), whole);
    assert_eq!(
        read(&[(512, b"xx"), (last + 60, b"xx")]).unwrap_err(),
        TableFault::BothBad {
            primary: "there is no header",
            backup: "the header's checksum is wrong"
        }
    );
    assert_eq!(read(&[(450, b"x")]).unwrap_err(), TableFault::NoMbr);
}

#[test]
fn chains_that_are_damaged() {
    let kit = Kit::make(1).unwrap();
    let mut image = disk(&kit).unwrap();
    let range = esp(&mut image);
    let machine = Machine::new(image.clone());
    let fat = Fat::open(&machine, range, Pick::First).unwrap();
    let path = "/EFI/roamcore/a/roamcore.efi";
    let uki = fat.open_path(path).unwrap();
    let entries = fat.open_path("/loader/entries").unwrap();
    assert_eq!(fat.ranges(path, &uki).unwrap().len(), 1);
    let spoiled = |cluster: u32, value: u32| {
        let mut image = image.clone();
        for place in fat.fat_places(cluster) {
            image.write_at(place, &value.to_le_bytes()).unwrap();
        }
        Machine::new(image)
    };

    let machine = spoiled(uki.cluster + 1, 0);
    let cut = Fat::open(&machine, range, Pick::First).unwrap();
    let error = cut.ranges(path, &uki).unwrap_err().to_string();
    assert_eq!(error, format!("{path}: its cluster chain ends too early"));

    let machine = spoiled(entries.cluster, 0);
    let freed = Fat::open(&machine, range, Pick::First).unwrap();
    assert_eq!(freed.list("/loader/entries", entries.cluster).unwrap(), []);
    let machine = spoiled(entries.cluster, 0x0FFF_FFF7);
    let bad = Fat::open(&machine, range, Pick::First).unwrap();
    assert_eq!(bad.list("/loader/entries", entries.cluster).unwrap(), []);

    let machine = spoiled(entries.cluster, entries.cluster);
    let endless = Fat::open(&machine, range, Pick::First).unwrap();
    let error = endless
        .list("/loader/entries", entries.cluster)
        .unwrap_err();
    assert!(matches!(error, FatFault::Endless { .. }));
    let judge = Judge::new(expect(&[kit]));
    assert_eq!(judge.judge(&machine).unwrap_err().class(), "ESP unreadable");
}

#[test]
fn a_name_that_is_there_twice_is_tried_both_ways() {
    let kit = Kit::make(1).unwrap();
    let mut image = disk(&kit).unwrap();
    let range = esp(&mut image);
    // A judge is for one disk, so each gets its own.
    let judge = || Judge::new(expect(std::slice::from_ref(&kit)));
    let machine = Machine::new(image.clone());
    assert_eq!(judge().judge(&machine).unwrap().boots.len(), 1);
    let fat = Fat::open(&machine, range, Pick::First).unwrap();
    let directory = fat.open_path("/EFI/roamcore/a").unwrap();
    let place = fat.place(directory.cluster).unwrap();
    let mut slots = [0; 64];
    machine.read_exact_at(&mut slots, place + 64).unwrap();
    // A second roamcore.efi behind the first, with another first cluster.
    slots[32 + 26] ^= 1;
    image.write_at(place + 128, &slots).unwrap();
    let error = judge().judge(&Machine::new(image)).unwrap_err();
    assert!(matches!(error, Bad::Program { .. }), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn damage_anywhere_is_judged_without_panic(
        hits in proptest::collection::vec((0u64..4, any::<u64>(), any::<u8>()), 1..40),
    ) {
        let kit = Kit::make(1).unwrap();
        let mut image = disk(&kit).unwrap();
        let (start, _) = esp(&mut image);
        let size = image.size();
        for (place, at, value) in hits {
            // Table, FAT, the directories and files, anywhere.
            let (from, len) = match place {
                0 => (0, 34 * 512),
                1 => (start, 64 * 512),
                2 => (start + (32 + 2 * 600) * 512, 64 * 4096),
                _ => (0, size),
            };
            image.write_at(from + at % len, &[value]).unwrap();
        }
        let judge = Judge::new(expect(&[kit]));
        let machine = Machine::new(image);
        let once = judge.judge(&machine).map(|story| story.boots.len());
        prop_assert_eq!(once, judge.judge(&machine).map(|story| story.boots.len()));
    }
}

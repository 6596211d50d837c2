//! Tables against sgdisk and sfdisk, against themselves, and damaged.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::io::Cursor;

use common::{ok, sparse, tool};
use proptest::prelude::*;
use roamcore_disk::gpt::{Gpt, GptError, Guid, Partition, Planned, Source, layout};

const ESP: &str = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";

fn sample() -> Gpt {
    let plan = |name: &str, type_guid: &str, size: u64, id| Planned {
        name: name.into(),
        type_guid: type_guid.parse().unwrap(),
        part_guid: Guid::from_bytes([id; 16]),
        attributes: 1 << 60,
        size,
    };
    let linux = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709";
    layout(
        Guid::from_bytes([0xd1; 16]),
        &[
            plan("esp", ESP, 64 << 20, 1),
            plan("root-a", linux, 5 << 20, 2),
            plan("größe", linux, 4096, 3),
        ],
    )
    .unwrap()
}

fn image(gpt: &Gpt) -> Vec<u8> {
    let mut disk = Cursor::new(vec![0; gpt.disk_bytes() as usize]);
    gpt.write_to(&mut disk).unwrap();
    disk.into_inner()
}

fn read(disk: &[u8]) -> Result<roamcore_disk::gpt::GptRead, GptError> {
    Gpt::read_from(&mut Cursor::new(disk), disk.len() as u64)
}

#[test]
fn sgdisk_and_sfdisk_find_no_fault() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.img");
    let gpt = sample();
    gpt.write_to(&mut sparse(&path, gpt.disk_bytes())).unwrap();
    if let Some(sgdisk) = tool("sgdisk") {
        let text = String::from_utf8(ok(&sgdisk, ["-v".as_ref(), path.as_os_str()])).unwrap();
        assert!(text.contains("No problems found"), "{text}");
        let text = String::from_utf8(ok(&sgdisk, ["-i3".as_ref(), path.as_os_str()])).unwrap();
        assert!(
            text.contains("Partition unique GUID: 03030303-0303-0303-0303-030303030303"),
            "{text}"
        );
        assert!(
            text.contains("Partition name: 'größe'") && text.contains("1000000000000000"),
            "{text}"
        );
    }
    if let Some(sfdisk) = tool("sfdisk") {
        let text = String::from_utf8(ok(&sfdisk, ["--verify".as_ref(), path.as_os_str()])).unwrap();
        assert!(text.contains("No errors detected"), "{text}");
        let text = String::from_utf8(ok(&sfdisk, ["--json".as_ref(), path.as_os_str()])).unwrap();
        assert!(
            text.contains(&ESP.to_uppercase()) && text.contains("\"firstlba\": 34"),
            "{text}"
        );
    }
}

#[test]
fn what_sfdisk_wrote_is_read() {
    let Some(sfdisk) = tool("sfdisk") else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.img");
    drop(sparse(&path, 8 << 20));
    let script = dir.path().join("script");
    std::fs::write(
        &script,
        "label: gpt\nsize=1MiB, name=one\nsize=2MiB, name=two\n",
    )
    .unwrap();
    let status = std::process::Command::new(sfdisk)
        .args([path.as_os_str()])
        .stdin(std::fs::File::open(script).unwrap())
        .output()
        .unwrap();
    assert!(status.status.success());
    let found = read(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(
        (found.source, found.protective_mbr),
        (Source::Primary, true)
    );
    assert!(found.backup_fault.is_none(), "{:?}", found.backup_fault);
    assert_eq!(found.gpt.partition("two").unwrap().size(), 2 << 20);
}

#[test]
fn a_damaged_primary_is_said_and_the_backup_used() {
    let gpt = sample();
    let whole = image(&gpt);
    // Signature, a GUID in the header, an entry's name, the last byte of the entries.
    for (at, part) in [
        (512, "Signature"),
        (512 + 60, "header"),
        (1024 + 56, "entries"),
        (34 * 512 - 1, "entries"),
    ] {
        let mut disk = whole.clone();
        disk[at] ^= 1;
        let found = read(&disk).unwrap();
        assert_eq!((found.source, &found.gpt), (Source::Backup, &gpt));
        let fault = found.primary_fault.unwrap().to_string();
        assert!(
            fault.starts_with("primary GPT") && fault.contains(part),
            "{fault}"
        );
    }
}

#[test]
fn a_damaged_backup_is_said_and_both_damaged_is_an_error() {
    let gpt = sample();
    let mut disk = image(&gpt);
    let last = disk.len() - 512;
    disk[last + 60] ^= 1;
    let found = read(&disk).unwrap();
    assert_eq!((found.source, &found.gpt), (Source::Primary, &gpt));
    assert!(
        found
            .backup_fault
            .unwrap()
            .to_string()
            .starts_with("backup GPT header: CRC-32")
    );
    disk[1024] ^= 1;
    let error = read(&disk).unwrap_err();
    assert!(matches!(error, GptError::BothBad { .. }), "{error}");
    disk[512..last + 512].fill(0);
    assert!(matches!(read(&disk), Err(GptError::BothBad { .. })));
    assert!(matches!(
        read(&disk[..512 * 67]),
        Err(GptError::DiskTooSmall { .. })
    ));
}

#[test]
fn an_image_on_a_larger_disk_and_a_stale_backup() {
    let gpt = sample();
    let mut disk = image(&gpt);
    let size = disk.len();
    disk.resize(size + (1 << 20), 0);
    let found = read(&disk).unwrap();
    assert_eq!(
        (found.gpt.disk_sectors, found.device_sectors),
        (gpt.disk_sectors, disk.len() as u64 / 512)
    );
    assert!(found.backup_fault.is_none());

    let mut other = gpt.clone();
    other.partitions[1].name = "root-b".into();
    disk.truncate(size);
    disk[..34 * 512].copy_from_slice(&other.encode().unwrap().head);
    let found = read(&disk).unwrap();
    assert_eq!(found.gpt, other);
    assert!(matches!(found.backup_fault, Some(GptError::BackupDiffers)));
}

/// A table with valid checksums whose content breaks a rule, in both copies.
#[test]
fn hostile_tables_with_good_checksums_are_refused() {
    type Spoil = fn(&mut [u8], &mut [u8]);
    let cases: [(Spoil, &str); 7] = [
        (
            |h, _| h[80..84].copy_from_slice(&u32::MAX.to_le_bytes()),
            "NumberOfPartitionEntries is 0xffffffff",
        ),
        (
            |h, _| h[84..88].copy_from_slice(&0_u32.to_le_bytes()),
            "SizeOfPartitionEntry is 0x0",
        ),
        (
            |h, _| h[72..80].copy_from_slice(&u64::MAX.to_le_bytes()),
            "PartitionEntryLBA is 0xffffffffffffffff",
        ),
        (
            |h, _| h[48..56].copy_from_slice(&u64::MAX.to_le_bytes()),
            "LastUsableLBA is 0xffffffffffffffff",
        ),
        (
            |_, e| e[40..48].copy_from_slice(&u64::MAX.to_le_bytes()),
            "are not inside the usable range",
        ),
        (
            |_, e| e.copy_within(16..32, 144),
            "is used by \"esp\" and by \"root-a\"",
        ),
        (
            |_, e| e[56..58].copy_from_slice(&0xD800_u16.to_le_bytes()),
            "entry 1: the name is not valid UTF-16",
        ),
    ];
    for (spoil, text) in cases {
        let mut disk = image(&sample());
        let size = disk.len();
        for (header, entries) in [(512, 1024), (size - 512, size - 33 * 512)] {
            let mut e = disk[entries..entries + 16384].to_vec();
            let mut h = disk[header..header + 92].to_vec();
            spoil(&mut h, &mut e);
            h[88..92].copy_from_slice(&crc32(&e).to_le_bytes());
            h[16..20].fill(0);
            let sum = crc32(&h);
            h[16..20].copy_from_slice(&sum.to_le_bytes());
            disk[entries..entries + 16384].copy_from_slice(&e);
            disk[header..header + 92].copy_from_slice(&h);
        }
        let error = read(&disk).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |c: u32| {
        if c & 1 == 1 {
            c >> 1 ^ 0xEDB8_8320
        } else {
            c >> 1
        }
    };
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| step(c))
    })
}

fn tables() -> impl Strategy<Value = Gpt> {
    let part = (
        "[a-zäß😀]{1,18}",
        any::<[u8; 16]>(),
        1_u64..99,
        0_u64..50,
        any::<u64>(),
    );
    prop::collection::vec(part, 0..20).prop_map(|parts| {
        let mut next = 34;
        let mut partitions = Vec::new();
        for (number, (name, type_guid, sectors, gap, attributes)) in parts.into_iter().enumerate() {
            let first_lba = next + gap;
            next = first_lba + sectors;
            let mut part_guid = [7; 16];
            part_guid[0] = number as u8;
            partitions.push(Partition {
                name: format!("{}{number}", name.chars().take(16).collect::<String>()),
                type_guid: Guid::from_bytes(type_guid.map(|b| b | 1)),
                part_guid: Guid::from_bytes(part_guid),
                attributes,
                first_lba,
                last_lba: next - 1,
            });
        }
        Gpt {
            disk_guid: Guid::from_bytes([9; 16]),
            disk_sectors: next.max(35) + 33,
            partitions,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn round_trip(gpt in tables()) {
        let disk = image(&gpt);
        prop_assert_eq!(&disk, &image(&gpt));
        let found = read(&disk).unwrap();
        prop_assert_eq!(found.gpt, gpt);
        prop_assert!(found.backup_fault.is_none());
    }

    /// Any one byte may be wrong: the table is never read as another one.
    #[test]
    fn one_wrong_byte_never_changes_the_table(at in 0_usize..67 * 512, bit in 0_u8..8) {
        let gpt = sample();
        let mut disk = image(&gpt);
        let at = if at < 34 * 512 { at } else { disk.len() - 67 * 512 + at };
        disk[at] ^= 1 << bit;
        prop_assert_eq!(read(&disk).unwrap().gpt, gpt);
    }
}

//! Partition tables. What is accepted lies within the disk and is written so that it is read as the same again.
//!
//! ```text
//!  what to put right (1) | primary header (92) | backup header (92) | entries of both
//! ```

use std::io::Cursor;

use roamcore_disk::gpt::{Gpt, Guid, Partition, SECTOR};

use super::take;
use crate::Target;

const SECTORS: u64 = 128;
const HEADER: usize = 92;
const ARRAY: usize = 16 << 10;
/// The checksum of the entries, in both headers.
const ENTRIES_SUM: u8 = 1;
/// The checksums of the headers.
const HEADER_SUMS: u8 = 2;
/// Wipe the primary, so that the backup is used.
const NO_PRIMARY: u8 = 4;

pub(super) const TARGET: Target = Target {
    name: "gpt",
    from: "the disk",
    longest: 1 + 2 * HEADER + 8 * 128,
    run,
    seeds: || {
        let partition = |name: &str, number: u8, first, last| Partition {
            name: name.into(),
            type_guid: Guid::from_bytes([1; 16]),
            part_guid: Guid::from_bytes([number; 16]),
            attributes: 1 << 60,
            first_lba: first,
            last_lba: last,
        };
        let table = Gpt {
            disk_guid: Guid::from_bytes([9; 16]),
            disk_sectors: SECTORS,
            partitions: vec![partition("esp", 2, 40, 47), partition("root-a", 3, 48, 80)],
        };
        let bytes = table.encode().unwrap();
        let primary = &bytes.head[512..512 + HEADER];
        let backup = &bytes.tail[ARRAY..ARRAY + HEADER];
        let entries = &bytes.head[1024..1024 + 2 * 128];
        [
            0,
            ENTRIES_SUM | HEADER_SUMS,
            ENTRIES_SUM | HEADER_SUMS | NO_PRIMARY,
        ]
        .iter()
        .map(|how| [&[*how], primary, backup, entries].concat())
        .collect()
    },
};

fn run(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    let how = take(&mut rest, 1).first().copied().unwrap_or(0);
    let mut headers = [[0; HEADER]; 2];
    for header in &mut headers {
        let given = take(&mut rest, HEADER);
        header[..given.len()].copy_from_slice(given);
    }
    let mut entries = rest.to_vec();
    entries.resize(ARRAY, 0);
    for header in &mut headers {
        if how & ENTRIES_SUM != 0 {
            header[88..].copy_from_slice(&crc32(&entries).to_le_bytes());
        }
        if how & HEADER_SUMS != 0 {
            header[16..20].fill(0);
            let sum = crc32(header);
            header[16..20].copy_from_slice(&sum.to_le_bytes());
        }
    }
    let mut disk = vec![0; (SECTORS * SECTOR) as usize];
    let end = disk.len();
    if how & NO_PRIMARY == 0 {
        disk[512..512 + HEADER].copy_from_slice(&headers[0]);
    }
    disk[1024..1024 + ARRAY].copy_from_slice(&entries);
    disk[end - 512..end - 512 + HEADER].copy_from_slice(&headers[1]);
    disk[end - 512 - ARRAY..end - 512].copy_from_slice(&entries);
    let Ok(found) = Gpt::read_from(&mut Cursor::new(&disk), disk.len() as u64) else {
        return false;
    };
    for partition in &found.gpt.partitions {
        assert!(partition.size() > 0);
        assert!(partition.offset() + partition.size() <= end as u64);
    }
    let mut again = Cursor::new(vec![0; found.gpt.disk_bytes() as usize]);
    found.gpt.write_to(&mut again).unwrap();
    let size = found.gpt.disk_bytes();
    let read = Gpt::read_from(&mut again, size).unwrap();
    assert_eq!(read.gpt, found.gpt);
    true
}

/// As UEFI 2.10 section 5.3.2; not fast, and independent of what is tested.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc: u32, _| {
            (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

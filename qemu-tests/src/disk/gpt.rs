//! Reads a GUID partition table from a disk, only as far as tests need: names and ranges, with both checksums verified.
//!
//! Never writes one. Layout after UEFI 2.10, section 5.3.2 (header) and 5.3.3 (entries).

use super::{Overlay, SECTOR};
use crate::error::{Error, Result};

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Number, from 1.
    pub number: u32,
    /// Label.
    pub name: String,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// Type GUID, lower case.
    pub kind: String,
    /// Own GUID (PARTUUID), lower case.
    pub uuid: String,
}

/// The used entries of the primary table.
pub fn partitions(disk: &Overlay) -> Result<Vec<Partition>> {
    let header = disk.read_bytes(SECTOR, SECTOR)?;
    let (entries_lba, count, size) = check_header(&header)?;
    let entries = disk.read_bytes(entries_lba * SECTOR, u64::from(count) * u64::from(size))?;
    let (wanted, found) = (le32(&header, 88), crc32(&entries));
    if wanted != found {
        return Err(bad(format!(
            "entries' CRC is {found:08x}, the header says {wanted:08x}"
        )));
    }
    let used = entries
        .chunks_exact(size as usize)
        .zip(1..)
        .filter(|(e, _)| e[..16].iter().any(|&b| b != 0));
    Ok(used
        .map(|(entry, number)| partition(entry, number))
        .collect())
}

/// The partition labelled `name`.
pub fn named(disk: &Overlay, name: &str) -> Result<Partition> {
    let all = partitions(disk)?;
    let names: Vec<&str> = all.iter().map(|p| p.name.as_str()).collect();
    let reason = format!("no partition `{name}` among {names:?}");
    all.iter()
        .find(|p| p.name == name)
        .cloned()
        .ok_or_else(|| bad(reason))
}

fn check_header(header: &[u8]) -> Result<(u64, u32, u32)> {
    if &header[..8] != b"EFI PART" {
        return Err(bad(format!(
            "no header in sector 1, it starts with {:02x?}",
            &header[..8]
        )));
    }
    let (length, count, size) = (
        le32(header, 12) as usize,
        le32(header, 80),
        le32(header, 84),
    );
    if !(92..=SECTOR as usize).contains(&length) || count > 1024 || !(128..=4096).contains(&size) {
        return Err(bad(format!(
            "header of {length} bytes with {count} entries of {size}"
        )));
    }
    let mut zeroed = header[..length].to_vec();
    zeroed[16..20].fill(0);
    let (wanted, found) = (le32(header, 16), crc32(&zeroed));
    match wanted == found {
        true => Ok((le64(header, 72), count, size)),
        false => Err(bad(format!(
            "header's CRC is {found:08x}, it says {wanted:08x}"
        ))),
    }
}

fn partition(entry: &[u8], number: u32) -> Partition {
    let units: Vec<u16> = entry[56..128]
        .chunks_exact(2)
        .map(|c| u16::from_le_bytes([c[0], c[1]]))
        .collect();
    let name = String::from_utf16_lossy(&units)
        .trim_end_matches('\0')
        .to_owned();
    let (first, last) = (le64(entry, 32), le64(entry, 40));
    Partition {
        number,
        name,
        offset: first * SECTOR,
        length: (last.saturating_sub(first) + 1) * SECTOR,
        kind: guid(&entry[..16]),
        uuid: guid(&entry[16..32]),
    }
}

/// Text form of a GUID: the first three fields are little-endian on disk (UEFI 2.10, appendix A).
fn guid(raw: &[u8]) -> String {
    let order = [
        3, 2, 1, 0, 16, 5, 4, 16, 7, 6, 16, 8, 9, 16, 10, 11, 12, 13, 14, 15,
    ];
    order
        .map(|i| {
            raw.get(i)
                .map_or_else(|| "-".into(), |byte| format!("{byte:02x}"))
        })
        .concat()
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4]
        .iter()
        .rev()
        .fold(0, |sum, &byte| sum << 8 | u32::from(byte))
}

fn le64(bytes: &[u8], at: usize) -> u64 {
    u64::from(le32(bytes, at)) | u64::from(le32(bytes, at + 4)) << 32
}

/// CRC-32 as UEFI uses it (reflected, polynomial 0xedb88320). Tables are small and few: bit by bit is fast enough.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            if crc & 1 == 1 {
                crc >> 1 ^ 0xedb8_8320
            } else {
                crc >> 1
            }
        })
    })
}

fn bad(reason: String) -> Error {
    Error::Format {
        what: "partition table".into(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args;
    use crate::tool;

    #[test]
    fn agrees_with_sgdisk_and_sees_a_flipped_bit() {
        let dir = tempfile::tempdir().unwrap();
        let raw = dir.path().join("base.raw");
        std::fs::File::create(&raw)
            .unwrap()
            .set_len(64 << 20)
            .unwrap();
        let uuid = "12345678-9abc-def0-1234-56789abcdef0";
        tool::run(
            "sgdisk",
            &args![
                "-n",
                "1:2048:+1M",
                "-c",
                "1:esp",
                "-t",
                "1:ef00",
                "-u",
                format!("1:{uuid}"),
                "-n",
                "3:8192:+2M",
                "-c",
                "3:verity-a",
                raw.display()
            ],
        )
        .unwrap();
        let mut disk = Overlay::on_raw(&raw, &dir.path().join("o"), 1 << 30).unwrap();
        let found = partitions(&disk).unwrap();
        assert_eq!(found.iter().map(|p| p.number).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(
            (found[0].uuid.as_str(), found[0].kind.as_str()),
            (uuid, "c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
        );
        let verity = named(&disk, "verity-a").unwrap();
        assert_eq!((verity.offset, verity.length), (8192 * 512, 2 << 20));
        disk.flip_bit(1024 + 40).unwrap();
        assert!(
            partitions(&disk)
                .unwrap_err()
                .to_string()
                .contains("entries' CRC")
        );
    }
}

//! Reads a table from bytes nobody vouches for.
//!
//! Owns the trust order: signature, header CRC, field bounds, entry CRC, entry rules. A field is used only after the
//! check before it. Never repairs: it says which copy it used and what was wrong with the other.

use std::io::{Read, Seek, SeekFrom};
use std::ops::RangeInclusive;

use super::crc::crc32;
use super::{
    ARRAY_SECTORS, ENTRIES, ENTRY, Gpt, GptError, Guid, MIN_SECTORS, NAME_UNITS, Partition, SECTOR,
    Source,
};

/// A table read from a disk, and how it was found.
#[derive(Debug)]
#[non_exhaustive]
pub struct GptRead {
    /// The table.
    pub gpt: Gpt,
    /// The copy it came from.
    pub source: Source,
    /// What is wrong with the primary; always set when `source` is the backup.
    pub primary_fault: Option<GptError>,
    /// What is wrong with the backup, including [`GptError::BackupDiffers`].
    pub backup_fault: Option<GptError>,
    /// Whether sector 0 holds a protective MBR. Without one a kernel not told `gpt` ignores the table.
    pub protective_mbr: bool,
    /// Sectors the disk really has; more than `gpt.disk_sectors` after an image was written to a larger disk.
    pub device_sectors: u64,
}

impl Gpt {
    /// Reads the table of a disk of `disk_bytes`, falling back to the backup when the primary is not usable.
    ///
    /// # Errors
    /// I/O failure, or [`GptError::BothBad`] with the fault of each copy.
    pub fn read_from<R: Read + Seek>(reader: &mut R, disk_bytes: u64) -> Result<GptRead, GptError> {
        let device_sectors = disk_bytes / SECTOR;
        if device_sectors < MIN_SECTORS {
            return Err(GptError::DiskTooSmall {
                sectors: device_sectors,
                minimum: MIN_SECTORS,
            });
        }
        let mbr = read_at(reader, Source::Primary, 0, 1)?;
        let protective_mbr =
            mbr[510..] == [0x55, 0xAA] && (0..4).any(|i| mbr[450 + 16 * i] == 0xEE);

        let primary = read_copy(reader, Source::Primary, 1, device_sectors);
        // The primary knows where its backup is, also when the disk is larger than the image was.
        let backup_lba = primary
            .as_ref()
            .map_or(device_sectors - 1, |gpt| gpt.disk_sectors - 1);
        let backup = read_copy(reader, Source::Backup, backup_lba, device_sectors);
        let (gpt, source, primary_fault, backup_fault) = match (primary, backup) {
            (Ok(gpt), Ok(other)) => {
                let fault = (gpt != other).then_some(GptError::BackupDiffers);
                (gpt, Source::Primary, None, fault)
            }
            (Ok(gpt), Err(fault)) => (gpt, Source::Primary, None, Some(fault)),
            (Err(fault), Ok(gpt)) => (gpt, Source::Backup, Some(fault), None),
            (Err(primary), Err(backup)) => {
                return Err(GptError::BothBad {
                    primary: primary.into(),
                    backup: backup.into(),
                });
            }
        };
        Ok(GptRead {
            gpt,
            source,
            primary_fault,
            backup_fault,
            protective_mbr,
            device_sectors,
        })
    }
}

fn read_at<R: Read + Seek>(
    reader: &mut R,
    copy: Source,
    lba: u64,
    sectors: u64,
) -> Result<Vec<u8>, GptError> {
    let offset = lba * SECTOR;
    let mut bytes = vec![0; (sectors * SECTOR) as usize];
    reader
        .seek(SeekFrom::Start(offset))
        .and_then(|_| reader.read_exact(&mut bytes))
        .map_err(|source| GptError::Io {
            action: "reading",
            copy,
            offset,
            source,
        })?;
    Ok(bytes)
}

/// One header and its entries, fully checked. `lba` is below `device_sectors`.
fn read_copy<R: Read + Seek>(
    r: &mut R,
    copy: Source,
    lba: u64,
    device_sectors: u64,
) -> Result<Gpt, GptError> {
    let header = read_at(r, copy, lba, 1)?;
    let u32_at = |at: usize| {
        u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
    let expect = |field, found: u64, allowed: RangeInclusive<u64>| {
        if allowed.contains(&found) {
            return Ok(found);
        }
        let expected = if allowed.is_empty() {
            "a larger disk".to_owned()
        } else if allowed.start() == allowed.end() {
            format!("{:#x}", allowed.start())
        } else {
            format!("{:#x} to {:#x}", allowed.start(), allowed.end())
        };
        Err(GptError::Header {
            copy,
            field,
            found,
            expected,
        })
    };
    let same = |value: u64| value..=value;

    expect(
        "Signature",
        u64_at(0),
        same(u64::from_le_bytes(*b"EFI PART")),
    )?;
    expect("Revision", u32_at(8).into(), same(0x0001_0000))?;
    let size = expect("HeaderSize", u32_at(12).into(), 92..=SECTOR)?;
    let mut unsummed = header[..size as usize].to_vec();
    unsummed[16..20].fill(0);
    let crc = |part, computed, stored| {
        if computed == stored {
            Ok(())
        } else {
            Err(GptError::Crc {
                copy,
                part,
                computed,
                stored,
            })
        }
    };
    crc("header", crc32(&unsummed), u32_at(16))?;

    expect("MyLBA", u64_at(24), same(lba))?;
    let end = match copy {
        Source::Primary => expect(
            "AlternateLBA",
            u64_at(32),
            MIN_SECTORS - 1..=device_sectors - 1,
        )?,
        Source::Backup => {
            expect("AlternateLBA", u64_at(32), same(1))?;
            expect("MyLBA", lba, MIN_SECTORS - 1..=device_sectors - 1)?
        }
    };
    expect(
        "NumberOfPartitionEntries",
        u32_at(80).into(),
        same(ENTRIES as u64),
    )?;
    expect(
        "SizeOfPartitionEntry",
        u32_at(84).into(),
        same(ENTRY as u64),
    )?;
    let first = expect(
        "FirstUsableLBA",
        u64_at(40),
        2 + ARRAY_SECTORS..=end - ARRAY_SECTORS - 1,
    )?;
    let last = expect("LastUsableLBA", u64_at(48), first..=end - ARRAY_SECTORS - 1)?;
    let room = match copy {
        Source::Primary => 2..=first - ARRAY_SECTORS,
        Source::Backup => last + 1..=end - ARRAY_SECTORS,
    };
    let entries_lba = expect("PartitionEntryLBA", u64_at(72), room)?;
    let entries = read_at(r, copy, entries_lba, ARRAY_SECTORS)?;
    crc("entries", crc32(&entries), u32_at(88))?;

    let disk_guid = Guid::from_disk(guid_bytes(&header[56..]));
    let mut partitions = Vec::new();
    for (index, raw) in entries.chunks_exact(ENTRY).enumerate() {
        partitions.extend(entry(raw, index + 1)?);
    }
    let gpt = Gpt {
        disk_guid,
        disk_sectors: end + 1,
        partitions,
    };
    // Our own writer would refuse a nil disk GUID; accepting one here would break the round trip.
    if gpt.disk_guid.is_nil() {
        return Err(GptError::NilDiskGuid);
    }
    gpt.check_in(first..=last)?;
    Ok(gpt)
}

/// UEFI 2.10, table 5.6; a nil type marks an unused entry.
fn entry(raw: &[u8], number: usize) -> Result<Option<Partition>, GptError> {
    let type_guid = Guid::from_disk(guid_bytes(raw));
    if type_guid.is_nil() {
        return Ok(None);
    }
    let field = |at: usize| {
        raw[at..at + 8]
            .iter()
            .rev()
            .fold(0_u64, |value, byte| value << 8 | u64::from(*byte))
    };
    let units: Vec<u16> = raw[56..56 + 2 * NAME_UNITS]
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .take_while(|unit| *unit != 0)
        .collect();
    let name = String::from_utf16(&units).map_err(|_| GptError::NameEncoding { entry: number })?;
    Ok(Some(Partition {
        name,
        type_guid,
        part_guid: Guid::from_disk(guid_bytes(&raw[16..])),
        attributes: field(48),
        first_lba: field(32),
        last_lba: field(40),
    }))
}

/// The first 16 bytes; callers pass slices of fixed, sufficient length.
fn guid_bytes(raw: &[u8]) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&raw[..16]);
    bytes
}

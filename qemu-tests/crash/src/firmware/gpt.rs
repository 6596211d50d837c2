//! The partition table that firmware and kernel use.
//!
//! Facts, from EDK II `MdeModulePkg/Universal/Disk/PartitionDxe/Gpt.c` and Linux `block/partitions/efi.c`:
//! - Without a protective MBR the firmware sees no GPT. The kernel is told `gpt` and does not ask for one.
//! - A copy is valid when signature, size and checksum of its header, its own sector number and the checksum of its entries
//!   are right. A valid primary is used, whatever the backup says; the two are never compared.
//! - With an invalid primary the copy in the very last sector of the disk is used. The firmware then repairs the other one.
//! - The firmware leaves out partitions that overlap another one or lie outside the disk.

use roamcore_disk::gpt::Guid;

use super::crc::crc32;
use crate::state::Disk;

/// Bytes of a sector.
const SECTOR: u64 = 512;
/// Most bytes of entries that are read; tables of ours have 16 KiB.
const MOST_ENTRIES: u64 = 1 << 20;

/// A partition that is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Label.
    pub name: String,
    /// Type.
    pub kind: Guid,
    /// PARTUUID.
    pub uuid: Guid,
    /// First byte.
    pub start: u64,
    /// The byte after the last one.
    pub end: u64,
}

/// The table in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Partitions in the order of their entries.
    pub partitions: Vec<Partition>,
    /// What is wrong with the primary copy; then this is the backup.
    pub primary_fault: Option<&'static str>,
}

/// Why there is no table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableFault {
    /// No protective MBR.
    #[error("sector 0 has no protective MBR, so the firmware sees no GPT")]
    NoMbr,
    /// Both copies are invalid.
    #[error("no valid GPT: primary: {primary}; backup: {backup}")]
    BothBad {
        /// What is wrong with the primary.
        primary: &'static str,
        /// What is wrong with the backup.
        backup: &'static str,
    },
}

impl Table {
    /// Reads the table in use.
    ///
    /// # Errors
    /// There is none.
    pub fn read(disk: &dyn Disk) -> Result<Self, TableFault> {
        let mut mbr = [0; SECTOR as usize];
        let read = disk.read_exact_at(&mut mbr, 0);
        // A record of type 0xEE that starts at sector 1.
        let protective = |i: usize| {
            let record = &mbr[446 + 16 * i..462 + 16 * i];
            record[4] == 0xEE && record[8..12] == [1, 0, 0, 0]
        };
        if read.is_err() || !(0..4).any(protective) {
            return Err(TableFault::NoMbr);
        }
        let (partitions, primary_fault) = match copy(disk, 1) {
            Ok(partitions) => (partitions, None),
            Err(primary) => {
                let last = (disk.size() / SECTOR).saturating_sub(1);
                let backup = copy(disk, last);
                let partitions =
                    backup.map_err(|backup| TableFault::BothBad { primary, backup })?;
                (partitions, Some(primary))
            }
        };
        Ok(Self {
            partitions: usable(partitions, disk.size()),
            primary_fault,
        })
    }

    /// Partitions with this PARTUUID.
    pub fn with_uuid(&self, uuid: Guid) -> impl Iterator<Item = &Partition> {
        self.partitions.iter().filter(move |p| p.uuid == uuid)
    }

    /// Partitions of this type.
    pub fn of_kind(&self, kind: Guid) -> impl Iterator<Item = &Partition> {
        self.partitions.iter().filter(move |p| p.kind == kind)
    }
}

/// Byte ranges that decide what [`Table::read`] says, for a disk of `size` bytes.
#[must_use]
pub const fn ranges(size: u64) -> [(u64, u64); 2] {
    [(0, 34 * SECTOR), (size.saturating_sub(33 * SECTOR), size)]
}

fn copy(disk: &dyn Disk, lba: u64) -> Result<Vec<Partition>, &'static str> {
    let mut header = [0; SECTOR as usize];
    disk.read_exact_at(&mut header, lba.saturating_mul(SECTOR))
        .map_err(|_| "the header is not on the disk")?;
    let u32_at = |at: usize| {
        u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
    if header[..8] != *b"EFI PART" {
        return Err("there is no header");
    }
    let length = u32_at(12) as usize;
    if !(92..=SECTOR as usize).contains(&length) {
        return Err("the header has an impossible length");
    }
    let mut unsummed = header[..length].to_vec();
    unsummed[16..20].fill(0);
    if crc32(&unsummed) != u32_at(16) {
        return Err("the header's checksum is wrong");
    }
    if u64_at(24) != lba {
        return Err("the header says that it belongs elsewhere");
    }
    let (count, size) = (u64::from(u32_at(80)), u64::from(u32_at(84)));
    // Linux accepts entries of 128 bytes only.
    if size != 128 || count == 0 || count * size > MOST_ENTRIES {
        return Err("the header asks for entries of another form");
    }
    let mut entries = vec![0; (count * size) as usize];
    disk.read_exact_at(&mut entries, u64_at(72).saturating_mul(SECTOR))
        .map_err(|_| "the entries are not on the disk")?;
    if crc32(&entries) != u32_at(88) {
        return Err("the entries' checksum is wrong");
    }
    Ok(entries.chunks_exact(128).filter_map(partition).collect())
}

fn partition(raw: &[u8]) -> Option<Partition> {
    let guid = |at: usize| {
        raw[at..at + 16]
            .first_chunk()
            .map(|bytes| Guid::from_disk(*bytes))
    };
    let number = |at: usize| {
        raw[at..at + 8]
            .iter()
            .rev()
            .fold(0_u64, |value, byte| value << 8 | u64::from(*byte))
    };
    let kind = guid(0).filter(|kind| !kind.is_nil())?;
    let units: Vec<u16> = raw[56..]
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .take_while(|unit| *unit != 0)
        .collect();
    let (first, last) = (number(32), number(40));
    Some(Partition {
        name: String::from_utf16_lossy(&units),
        kind,
        uuid: guid(16)?,
        start: first.saturating_mul(SECTOR),
        end: last.saturating_add(1).saturating_mul(SECTOR),
    })
}

/// Without those that the firmware leaves out.
fn usable(partitions: Vec<Partition>, size: u64) -> Vec<Partition> {
    let good = |index: usize, part: &Partition| {
        let overlaps = |(other, with): (usize, &Partition)| {
            other != index && part.start < with.end && with.start < part.end
        };
        part.start < part.end && part.end <= size && !partitions.iter().enumerate().any(overlaps)
    };
    let kept = partitions.iter().enumerate().filter(|(i, p)| good(*i, p));
    kept.map(|(_, part)| part.clone()).collect()
}

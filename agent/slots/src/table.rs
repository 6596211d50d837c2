//! The GUIDs of the idle slot in the partition table.
//!
//! Owns: the one change of the table an update makes. Never does: move, add, remove or rename a partition, or write the
//! copy that is in use before the other one is whole and on the disk. Invariant: at every moment one copy is whole, and
//! it says either what it said before or what it shall say.
//!
//! ```text
//!   in use     primary, if it is whole; else the backup         (firmware and kernel agree on this)
//!   written    the copy not in use | flush, read back | the copy in use | flush, read back
//!   cut in     ^ old: it is not in use                         ^ new: the torn copy is passed over for the other
//! ```
//! Both copies are derived from the raw bytes of the one in use, sector by sector: only the two GUIDs, the checksums and
//! the places a header names differ, and only sectors that change are written. Whatever other tools put into the table
//! (attributes, gaps between entries, reserved bytes) stays.
//!
//! The kernel goes on with the GUIDs it read at boot, and that is left so: telling it would mean to remove and add a
//! partition (BLKPG) that might be in use, and nothing in the running system looks for the idle slot by GUID. udev notices
//! that the disk was written and corrects its links in /dev/disk/by-partuuid.

use std::io::{self, Read, Seek, SeekFrom};

use roamcore_agent::slot::Slot;
use roamcore_disk::gpt::{Gpt, GptError, GptRead, Guid, SECTOR, Source};

use crate::error::{SlotError, at};
use crate::media::{Block, Part};

/// Bytes of one entry, and of all of them (UEFI 2.10, section 5.3).
const ENTRY: usize = 128;
const ENTRIES: usize = 128 * ENTRY;
const SECTOR_BYTES: usize = SECTOR as usize;

/// Reads a block from its start, from the device.
pub(crate) struct Reading<'a> {
    pub(crate) block: &'a dyn Block,
    pub(crate) at: u64,
}

impl Read for Reading<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.block.size().saturating_sub(self.at);
        let want = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        self.block.read_past_cache(&mut buf[..want], self.at)?;
        self.at += want as u64;
        Ok(want)
    }
}

impl Seek for Reading<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.block.size().checked_add_signed(by),
        };
        self.at = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

/// Marks of a slot that holds nothing: text, so that they are recognised in any tool's listing, and for each partition
/// another, because no two partitions may share one. A root hash whose half spells this is refused.
pub(crate) fn empty_marks(slot: Slot) -> (Guid, Guid) {
    let letter = match slot {
        Slot::A => b'a',
        Slot::B => b'b',
    };
    let mark = |part: u8| {
        let mut bytes = *b"RoamCore empty..";
        bytes[14..].copy_from_slice(&[letter, part]);
        Guid::from_bytes(bytes)
    };
    (mark(b'd'), mark(b't'))
}

/// The table in use.
pub(crate) fn read(disk: &dyn Block) -> Result<GptRead, SlotError> {
    let mut reader = Reading { block: disk, at: 0 };
    Ok(Gpt::read_from(&mut reader, disk.size())?)
}

/// GUIDs of a slot's partitions.
pub(crate) fn partuuids(
    gpt: &Gpt,
    disk: &dyn Block,
    slot: Slot,
) -> Result<(Guid, Guid), SlotError> {
    let guid = |part: Part| {
        let label = part.label(slot);
        gpt.partition(label)
            .map(|found| found.part_guid)
            .ok_or_else(|| SlotError::Missing {
                disk: disk.path().to_owned(),
                what: format!("partition {label:?}"),
            })
    };
    Ok((guid(Part::Data)?, guid(Part::Tree)?))
}

/// Gives the idle slot's partitions these GUIDs, in both copies.
pub(crate) fn set(
    disk: &dyn Block,
    idle: Slot,
    (data, tree): (Guid, Guid),
) -> Result<(), SlotError> {
    let before = read(disk)?;
    let mut wanted = before.gpt.clone();
    partuuids(&wanted, disk, idle)?;
    for (part, guid) in [(Part::Data, data), (Part::Tree, tree)] {
        for partition in &mut wanted.partitions {
            if partition.name == part.label(idle) {
                partition.part_guid = guid;
            } else if partition.part_guid == guid {
                return Err(SlotError::GuidTaken {
                    guid,
                    holder: partition.name.clone(),
                });
            }
        }
    }
    wanted.check()?;
    // A torn primary is made good from the last sector of the disk, not from where the primary says the backup is.
    let last = disk.size() / SECTOR - 1;
    if wanted.disk_sectors - 1 != last {
        return Err(SlotError::BackupNotAtEnd {
            found: wanted.disk_sectors - 1,
            last,
        });
    }
    let in_use = Copy::read(disk, &before, before.source)?;
    let other = match before.source {
        Source::Primary => Source::Backup,
        Source::Backup => Source::Primary,
    };
    for copy in [other, before.source] {
        in_use.changed(&before, copy, &wanted)?.write(disk)?;
    }
    let after = read(disk)?;
    let good = after.gpt == wanted && after.primary_fault.is_none() && after.backup_fault.is_none();
    if good {
        Ok(())
    } else {
        Err(SlotError::TableLost { copy: "whole" })
    }
}

/// One copy's raw bytes and where they belong.
struct Copy {
    source: Source,
    header_lba: u64,
    entries_lba: u64,
    header: Vec<u8>,
    entries: Vec<u8>,
}

impl Copy {
    /// A copy that was found whole.
    fn read(disk: &dyn Block, table: &GptRead, source: Source) -> Result<Self, SlotError> {
        let header_lba = header_lba(&table.gpt, source);
        let mut header = vec![0; SECTOR_BYTES];
        let failed = || at("read the partition table of", disk.path());
        disk.read_past_cache(&mut header, header_lba * SECTOR)
            .map_err(failed())?;
        let entries_lba = u64_at(&header, 72);
        let mut entries = vec![0; ENTRIES];
        disk.read_past_cache(&mut entries, entries_lba.saturating_mul(SECTOR))
            .map_err(failed())?;
        Ok(Self {
            source,
            header_lba,
            entries_lba,
            header,
            entries,
        })
    }

    /// The same table as `source`, with the GUIDs of `wanted`.
    fn changed(&self, table: &GptRead, source: Source, wanted: &Gpt) -> Result<Self, SlotError> {
        let last = table.gpt.disk_sectors - 1;
        // Where the specification puts the entries; a copy of our own keeps its place.
        let entries_lba = match source {
            source if source == self.source => self.entries_lba,
            Source::Primary => 2,
            Source::Backup => last - (ENTRIES / SECTOR_BYTES) as u64,
        };
        let mut entries = self.entries.clone();
        let mut used = entries
            .chunks_exact_mut(ENTRY)
            .filter(|entry| entry[..16] != [0; 16]);
        for partition in &wanted.partitions {
            // The reader lists the used entries in order; another order would be another table.
            let entry = used.next().filter(|entry| {
                u64_at(entry, 32) == partition.first_lba && u64_at(entry, 40) == partition.last_lba
            });
            let Some(entry) = entry else {
                return Err(SlotError::TableLost { copy: "raw" });
            };
            entry[16..32].copy_from_slice(&partition.part_guid.to_disk());
        }
        let mut header = self.header.clone();
        let other_lba = match source {
            Source::Primary => last,
            Source::Backup => 1,
        };
        let header_lba = header_lba(&table.gpt, source);
        for (offset, value) in [(24, header_lba), (32, other_lba), (72, entries_lba)] {
            header[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
        }
        header[88..92].copy_from_slice(&crc32fast::hash(&entries).to_le_bytes());
        header[16..20].fill(0);
        let summed = (u64_at(&header, 12) & 0xffff_ffff).min(SECTOR) as usize;
        let sum = crc32fast::hash(&header[..summed]);
        header[16..20].copy_from_slice(&sum.to_le_bytes());
        Ok(Self {
            source,
            header_lba,
            entries_lba,
            header,
            entries,
        })
    }

    /// Writes the sectors that differ, makes them durable and reads them back.
    fn write(&self, disk: &dyn Block) -> Result<(), SlotError> {
        let pieces = [
            (self.entries_lba * SECTOR, &self.entries),
            (self.header_lba * SECTOR, &self.header),
        ];
        let read = |offset: u64, len: usize| {
            let mut seen = vec![0; len];
            disk.read_past_cache(&mut seen, offset)
                .map_err(at("read the partition table of", disk.path()))?;
            Ok::<_, SlotError>(seen)
        };
        let mut written = false;
        for (offset, bytes) in pieces {
            let seen = read(offset, bytes.len())?;
            let sectors = bytes.chunks(SECTOR_BYTES).zip(seen.chunks(SECTOR_BYTES));
            for (number, (want, have)) in (0..).zip(sectors) {
                if want != have {
                    written = true;
                    disk.write_all_at(want, offset + number * SECTOR)
                        .map_err(at("write the partition table of", disk.path()))?;
                }
            }
        }
        // Also when nothing differs: what is there may not have been flushed before a program was killed.
        disk.sync()
            .map_err(at("flush the partition table of", disk.path()))?;
        for (offset, bytes) in pieces {
            if written && read(offset, bytes.len())? != *bytes {
                return Err(SlotError::TableLost {
                    copy: match self.source {
                        Source::Primary => "primary",
                        Source::Backup => "backup",
                    },
                });
            }
        }
        Ok(())
    }
}

fn header_lba(gpt: &Gpt, source: Source) -> u64 {
    match source {
        Source::Primary => 1,
        Source::Backup => gpt.disk_sectors - 1,
    }
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8]
        .iter()
        .rev()
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Whether the two copies agree; what is wrong otherwise.
pub(crate) fn fault(table: &GptRead) -> Option<&GptError> {
    table.primary_fault.as_ref().or(table.backup_fault.as_ref())
}

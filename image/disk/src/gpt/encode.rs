//! A table as bytes.
//!
//! Owns the write order: backup first, primary second, so that a cut between the two always leaves one whole copy.

use std::io::{Seek, SeekFrom, Write};

use super::crc::crc32;
use super::{ARRAY_SECTORS, ENTRIES, ENTRY, Gpt, GptError, Guid, SECTOR, Source, TABLE_SECTORS};

/// The two pieces of a table, for callers that sync between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedGpt {
    /// Sectors 0..34: protective MBR, primary header, entries.
    pub head: Vec<u8>,
    /// The last 33 sectors: entries, backup header.
    pub tail: Vec<u8>,
    /// Byte offset of `tail`.
    pub tail_offset: u64,
}

impl Gpt {
    /// The table's bytes; the same table always gives the same bytes.
    ///
    /// # Errors
    /// Whatever [`Gpt::check`] refuses.
    pub fn encode(&self) -> Result<EncodedGpt, GptError> {
        self.check()?;
        let mut entries = Vec::with_capacity(ENTRIES * ENTRY);
        for part in &self.partitions {
            let end = entries.len() + ENTRY;
            entries.extend(part.type_guid.to_disk());
            entries.extend(part.part_guid.to_disk());
            for field in [part.first_lba, part.last_lba, part.attributes] {
                entries.extend(field.to_le_bytes());
            }
            entries.extend(part.name.encode_utf16().flat_map(u16::to_le_bytes));
            entries.resize(end, 0);
        }
        entries.resize(ENTRIES * ENTRY, 0);

        let last = self.disk_sectors - 1;
        let mut head = protective_mbr(self.disk_sectors);
        head.extend(self.header(&entries, 1, last, 2));
        head.extend(&entries);
        let backup = self.header(&entries, last, 1, last - ARRAY_SECTORS);
        let mut tail = entries;
        tail.extend(backup);
        Ok(EncodedGpt {
            head,
            tail,
            tail_offset: (self.disk_sectors - TABLE_SECTORS) * SECTOR,
        })
    }

    /// Writes protective MBR, primary and backup; `writer` offset 0 is sector 0 of the disk.
    ///
    /// The boot code area of the MBR is written as zeros. Callers that rewrite the table of a live disk use
    /// [`Gpt::encode`] and sync after the tail.
    ///
    /// # Errors
    /// Whatever [`Gpt::check`] refuses, or the writer's failure.
    pub fn write_to<W: Write + Seek>(&self, writer: &mut W) -> Result<(), GptError> {
        let EncodedGpt {
            head,
            tail,
            tail_offset,
        } = self.encode()?;
        for (copy, offset, bytes) in [
            (Source::Backup, tail_offset, tail),
            (Source::Primary, 0, head),
        ] {
            writer
                .seek(SeekFrom::Start(offset))
                .and_then(|_| writer.write_all(&bytes))
                .and_then(|()| writer.flush())
                .map_err(|source| GptError::Io {
                    action: "writing",
                    copy,
                    offset,
                    source,
                })?;
        }
        Ok(())
    }

    /// One header sector (UEFI 2.10, table 5.5).
    fn header(&self, entries: &[u8], my_lba: u64, other_lba: u64, entries_lba: u64) -> Vec<u8> {
        let mut h = Vec::with_capacity(SECTOR as usize);
        h.extend(b"EFI PART");
        h.extend(0x0001_0000_u32.to_le_bytes());
        h.extend(92_u32.to_le_bytes());
        h.extend([0; 8]);
        for lba in [
            my_lba,
            other_lba,
            TABLE_SECTORS + 1,
            self.disk_sectors - TABLE_SECTORS - 1,
        ] {
            h.extend(lba.to_le_bytes());
        }
        h.extend(Guid::to_disk(self.disk_guid));
        h.extend(entries_lba.to_le_bytes());
        h.extend((ENTRIES as u32).to_le_bytes());
        h.extend((ENTRY as u32).to_le_bytes());
        h.extend(crc32(entries).to_le_bytes());
        let crc = crc32(&h);
        h[16..20].copy_from_slice(&crc.to_le_bytes());
        h.resize(SECTOR as usize, 0);
        h
    }
}

/// UEFI 2.10, section 5.2.3: one partition of type 0xEE over the whole disk.
fn protective_mbr(disk_sectors: u64) -> Vec<u8> {
    let mut mbr = vec![0; SECTOR as usize];
    let size = u32::try_from(disk_sectors - 1).unwrap_or(u32::MAX);
    // Start CHS 0/0/2 and end CHS ff/ff/ff are the values the specification prescribes.
    mbr[446..454].copy_from_slice(&[0, 0, 2, 0, 0xEE, 0xFF, 0xFF, 0xFF]);
    mbr[454..458].copy_from_slice(&1_u32.to_le_bytes());
    mbr[458..462].copy_from_slice(&size.to_le_bytes());
    mbr[510..].copy_from_slice(&[0x55, 0xAA]);
    mbr
}

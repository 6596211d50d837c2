//! Places partitions one after the other and says how small the disk may be.
//!
//! Owns alignment. Never reorders, never fills gaps. Invariant: every partition starts on a 1 MiB boundary and the
//! resulting table passes [`Gpt::check`].

use super::{Gpt, GptError, Guid, Partition, SECTOR, TABLE_SECTORS};

/// 1 MiB: covers every erase block and RAID stripe in common use, and is what sfdisk, repart and installers expect;
/// a smaller value makes repart insert padding of its own.
const ALIGN_SECTORS: u64 = (1 << 20) / SECTOR;

/// The image ends on a 4 KiB boundary so that block maps and 4 KiB readers see whole blocks only.
const END_ALIGN_SECTORS: u64 = 4096 / SECTOR;

/// A partition that has a size but no place yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Partition name.
    pub name: String,
    /// What it is.
    pub type_guid: Guid,
    /// Which one it is.
    pub part_guid: Guid,
    /// GPT attribute bits.
    pub attributes: u64,
    /// Size in bytes, a multiple of 512.
    pub size: u64,
}

/// Places `parts` in the order given; `disk_sectors` of the result is the smallest disk (trimmed image) that holds them.
///
/// # Errors
/// A size of zero or not in whole sectors, an overflow, or anything [`Gpt::check`] refuses.
pub fn layout(disk_guid: Guid, parts: &[Planned]) -> Result<Gpt, GptError> {
    let mut next = TABLE_SECTORS + 1;
    let mut partitions = Vec::with_capacity(parts.len());
    for part in parts {
        let size = || GptError::Size {
            name: part.name.clone(),
            bytes: part.size,
        };
        if part.size == 0 || !part.size.is_multiple_of(SECTOR) {
            return Err(size());
        }
        let first_lba = next
            .checked_next_multiple_of(ALIGN_SECTORS)
            .ok_or_else(size)?;
        next = first_lba
            .checked_add(part.size / SECTOR)
            .filter(|end| *end < u64::MAX / SECTOR / 2)
            .ok_or_else(size)?;
        partitions.push(Partition {
            name: part.name.clone(),
            type_guid: part.type_guid,
            part_guid: part.part_guid,
            attributes: part.attributes,
            first_lba,
            last_lba: next - 1,
        });
    }
    let disk_sectors = (next + TABLE_SECTORS).next_multiple_of(END_ALIGN_SECTORS);
    let gpt = Gpt {
        disk_guid,
        disk_sectors,
        partitions,
    };
    gpt.check()?;
    Ok(gpt)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(name: &str, size: u64, id: u8) -> Planned {
        Planned {
            name: name.into(),
            type_guid: Guid::from_bytes([9; 16]),
            part_guid: Guid::from_bytes([id; 16]),
            attributes: 0,
            size,
        }
    }

    #[test]
    fn aligned_in_order_and_trimmed() {
        let gpt = layout(
            Guid::from_bytes([1; 16]),
            &[planned("esp", 3 << 20, 2), planned("tail", 512, 3)],
        )
        .unwrap();
        assert_eq!(
            (gpt.partitions[0].first_lba, gpt.partitions[0].last_lba),
            (2048, 8191)
        );
        assert_eq!(
            (gpt.partitions[1].first_lba, gpt.partitions[1].last_lba),
            (8192, 8192)
        );
        assert_eq!(
            gpt.disk_sectors, 8232,
            "8193 + 33 rounded up to eight sectors"
        );
    }

    #[test]
    fn sizes_that_are_refused() {
        for bytes in [0, 511, u64::MAX, u64::MAX - 511] {
            let error = layout(Guid::from_bytes([1; 16]), &[planned("x", bytes, 2)]).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "partition \"x\": a size of {bytes} bytes is refused; give a positive multiple of 512 that fits the disk"
                )
            );
        }
    }
}

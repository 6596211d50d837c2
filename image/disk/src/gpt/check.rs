//! The rules every table keeps, applied before writing and after reading.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::{ENTRIES, Gpt, GptError, MIN_SECTORS, NAME_UNITS, Partition, TABLE_SECTORS};

impl Gpt {
    /// Checks every rule a table of ours keeps.
    ///
    /// # Errors
    /// The first rule broken.
    pub fn check(&self) -> Result<(), GptError> {
        // 2^63 bytes is what file offsets can address; a larger disk would overflow a seek later.
        if self.disk_sectors < MIN_SECTORS || self.disk_sectors > u64::MAX >> 10 {
            return Err(GptError::DiskTooSmall {
                sectors: self.disk_sectors,
                minimum: MIN_SECTORS,
            });
        }
        if self.disk_guid.is_nil() {
            return Err(GptError::NilDiskGuid);
        }
        self.check_in(TABLE_SECTORS + 1..=self.disk_sectors - TABLE_SECTORS - 1)
    }

    /// The same for a table whose header names its own usable range.
    pub(super) fn check_in(&self, usable: RangeInclusive<u64>) -> Result<(), GptError> {
        if self.partitions.len() > ENTRIES {
            return Err(GptError::TooMany {
                count: self.partitions.len(),
            });
        }
        let mut guids = BTreeMap::new();
        let mut names = BTreeMap::new();
        for part in &self.partitions {
            check_alone(part, &usable)?;
            if let Some(other) = guids.insert(part.part_guid, part) {
                return Err(GptError::DuplicateGuid {
                    guid: part.part_guid,
                    a: other.name.clone(),
                    b: part.name.clone(),
                });
            }
            // An empty name is the absence of one, so any number of partitions may have it.
            if !part.name.is_empty() && names.insert(part.name.as_str(), ()).is_some() {
                return Err(GptError::DuplicateName {
                    name: part.name.clone(),
                });
            }
        }
        let mut sorted: Vec<&Partition> = self.partitions.iter().collect();
        sorted.sort_by_key(|p| p.first_lba);
        for pair in sorted.windows(2) {
            if pair[1].first_lba <= pair[0].last_lba {
                return Err(GptError::Overlap {
                    a: pair[0].name.clone(),
                    b: pair[1].name.clone(),
                    start: pair[1].first_lba,
                    end: pair[0].last_lba,
                });
            }
        }
        Ok(())
    }
}

fn check_alone(part: &Partition, usable: &RangeInclusive<u64>) -> Result<(), GptError> {
    for (what, guid) in [("type", part.type_guid), ("partition", part.part_guid)] {
        if guid.is_nil() {
            return Err(GptError::NilGuid {
                name: part.name.clone(),
                what,
            });
        }
    }
    let units = part.name.encode_utf16().count();
    if units > NAME_UNITS || part.name.contains('\0') {
        return Err(GptError::Name {
            name: part.name.clone(),
            units,
        });
    }
    if part.first_lba > part.last_lba
        || !usable.contains(&part.first_lba)
        || !usable.contains(&part.last_lba)
    {
        return Err(GptError::OutOfRange {
            name: part.name.clone(),
            first: part.first_lba,
            last: part.last_lba,
            usable_first: *usable.start(),
            usable_last: *usable.end(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Guid;
    use super::*;

    fn table() -> Gpt {
        let part = |name: &str, id: u8, first_lba, last_lba| Partition {
            name: name.into(),
            type_guid: Guid::from_bytes([1; 16]),
            part_guid: Guid::from_bytes([id; 16]),
            attributes: 0,
            first_lba,
            last_lba,
        };
        Gpt {
            disk_guid: Guid::from_bytes([3; 16]),
            disk_sectors: 200,
            partitions: vec![part("a", 4, 34, 40), part("b", 5, 41, 166)],
        }
    }

    #[test]
    fn each_broken_rule_is_named() {
        type Break = fn(&mut Gpt);
        let cases: [(Break, &str); 11] = [
            (
                |g| g.disk_sectors = 67,
                "a disk of 67 sectors cannot hold a GPT; at least 68 sectors of 512 bytes are needed",
            ),
            (|g| g.disk_guid = Guid::NIL, "the disk GUID is all zero"),
            (
                |g| g.partitions[0].type_guid = Guid::NIL,
                "partition \"a\": type GUID is all zero",
            ),
            (
                |g| g.partitions[1].part_guid = Guid::NIL,
                "partition \"b\": partition GUID is all zero",
            ),
            (
                |g| g.partitions[0].name = "é".repeat(37),
                "partition name \"ééééééééééééééééééééééééééééééééééééé\" is refused: 37 UTF-16 units (36 at most), NUL characters are not allowed",
            ),
            (
                |g| g.partitions[0].name = "b".into(),
                "partition name \"b\" is used twice",
            ),
            (
                |g| g.partitions[0].part_guid = Guid::from_bytes([5; 16]),
                "partition GUID 05050505-0505-0505-0505-050505050505 is used by \"a\" and by \"b\"",
            ),
            (
                |g| g.partitions[0].last_lba = 41,
                "partitions \"a\" and \"b\" overlap: \"b\" starts at sector 41, \"a\" ends at 41",
            ),
            (
                |g| g.partitions[0].first_lba = 33,
                "partition \"a\": sectors 33..=40 are not inside the usable range 34..=166",
            ),
            (
                |g| g.partitions[1].last_lba = 167,
                "partition \"b\": sectors 41..=167 are not inside the usable range 34..=166",
            ),
            (
                |g| g.partitions[0].last_lba = 33,
                "partition \"a\": sectors 34..=33 are not inside the usable range 34..=166",
            ),
        ];
        table().check().unwrap();
        for (spoil, text) in cases {
            let mut gpt = table();
            spoil(&mut gpt);
            assert_eq!(gpt.check().unwrap_err().to_string(), text);
        }
    }
}

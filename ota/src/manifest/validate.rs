//! What the types of a manifest cannot say: that its parts fit together.
//!
//! Owns the proof that the regions cover the raw image, each byte exactly once:
//!
//! ```text
//!  0                                                   raw_size
//!  |gpt-primary| esp | root-a | verity-a | ... |gpt-backup|
//!              ^ every region starts where the one before it ended
//! ```
//!
//! Never looks at an image. Counts are bounded, so a hostile manifest cannot make the checks slow.

use std::collections::BTreeSet;

use super::{ArtefactKind, PartitionRecord, Release};
use crate::document::{Document, DocumentError, FORMAT};

/// Sectors of a GPT. Every region is whole sectors, or it would share one with its neighbour.
const SECTOR: u64 = 512;
/// A GPT has 128 entries; as many gaps and some tables fit too.
const MAX_PARTITIONS: usize = 512;
/// Entries of a GPT as everybody writes it (UEFI 2.10 section 5.3.1: at least 16 KiB of 128-byte entries).
const MAX_PARTITION_NUMBER: u32 = 128;
/// Far above the handful of files a release has, even with its payload in parts.
const MAX_ARTEFACTS: usize = 1024;

fn invalid<T>(message: String) -> Result<T, DocumentError> {
    Err(DocumentError::Invalid {
        document: Document::Release,
        reason: message,
    })
}

impl Release {
    /// Checks everything that [`Release::parse`] and [`Release::encode`] promise about content.
    pub(super) fn validate(&self) -> Result<(), DocumentError> {
        if self.format != FORMAT {
            return Err(DocumentError::UnsupportedFormat {
                document: Document::Release,
                found: self.format.into(),
            });
        }
        if let Some(expires) = self.expires.filter(|expires| *expires <= self.created) {
            return invalid(format!(
                "it expires at {expires}, not after its creation at {}",
                self.created
            ));
        }
        self.validate_artefacts()?;
        self.validate_partitions()
    }

    fn validate_artefacts(&self) -> Result<(), DocumentError> {
        if self.artefacts.len() > MAX_ARTEFACTS {
            return invalid(format!(
                "{} artefacts, at most {MAX_ARTEFACTS} are accepted",
                self.artefacts.len()
            ));
        }
        let mut seen = BTreeSet::new();
        for artefact in &self.artefacts {
            // FAT folds case: two names that differ only there would be one file on a USB stick.
            if !seen.insert(artefact.name.as_str().to_ascii_lowercase()) {
                return invalid(format!(
                    "artefact {} is listed twice (case is ignored)",
                    artefact.name
                ));
            }
        }
        let name = &self.disk.artefact;
        match self.artefact(name.as_str()).map(|a| &a.kind) {
            Some(ArtefactKind::Disk) => Ok(()),
            Some(kind) => invalid(format!(
                "the disk image {name} is listed as {:?}, not as \"disk\"",
                kind.as_str()
            )),
            None => invalid(format!("the disk image {name} is not among the artefacts")),
        }
    }

    fn validate_partitions(&self) -> Result<(), DocumentError> {
        if self.partitions.len() > MAX_PARTITIONS {
            return invalid(format!(
                "{} regions, at most {MAX_PARTITIONS} are accepted",
                self.partitions.len()
            ));
        }
        let (mut names, mut numbers) = (BTreeSet::new(), BTreeSet::new());
        let mut end = 0;
        for region in &self.partitions {
            let name = &region.name;
            if !names.insert(name) {
                return invalid(format!("region {name} is listed twice"));
            }
            if let Some(number) = region.number {
                if !(1..=MAX_PARTITION_NUMBER).contains(&number) {
                    return invalid(format!(
                        "region {name} has partition number {number}, not 1 to 128"
                    ));
                }
                if !numbers.insert(number) {
                    return invalid(format!(
                        "region {name} has partition number {number}, which another one has too"
                    ));
                }
            }
            end = end_of(region, end)?;
        }
        if end != self.disk.raw_size {
            return invalid(format!(
                "the regions end at {end}, the raw image at {}",
                self.disk.raw_size
            ));
        }
        if self.partitions.is_empty() {
            return invalid("no regions: the raw image is not described".to_owned());
        }
        Ok(())
    }
}

/// Where a region ends, given that the one before it ended at `start`.
fn end_of(region: &PartitionRecord, start: u64) -> Result<u64, DocumentError> {
    let PartitionRecord {
        name, offset, size, ..
    } = region;
    if *offset > start {
        return invalid(format!(
            "bytes {start} to {offset} before region {name} are not described: name the gap"
        ));
    }
    if *offset < start {
        return invalid(format!(
            "region {name} starts at {offset}, before the one listed ahead of it ends at {start}"
        ));
    }
    if *size == 0 || size % SECTOR != 0 {
        return invalid(format!(
            "region {name} has {size} bytes, not a positive multiple of {SECTOR}"
        ));
    }
    match offset.checked_add(*size) {
        Some(end) => Ok(end),
        None => invalid(format!(
            "region {name} at {offset} with {size} bytes ends beyond any disk"
        )),
    }
}

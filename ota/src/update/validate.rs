//! What the types of an update manifest cannot say: limits, and that its members fit together.
//!
//! Never looks at a file. The limits hold for whatever is signed: they are what a device has to be ready for, and
//! nobody's mistake or malice with a good key goes beyond them.

use std::collections::BTreeSet;

use super::{Update, UpdateFile};
use crate::document::{Document, DocumentError, FORMAT};

/// Most payload parts of one image. With parts of 512 MiB far more than a slot holds.
pub const MAX_PARTS: usize = 1024;
/// Largest part. Servers have their own, lower limits; with this, offsets within all parts stay far below 2^63.
pub const MAX_PART_BYTES: u64 = 8 << 30;
/// Largest UKI. Two of them and the boot loader must fit on an ESP of 1 GiB with room to spare.
pub const MAX_UKI_BYTES: u64 = 256 << 20;
/// Largest chunk index. The device holds it in memory while it installs.
pub const MAX_INDEX_BYTES: u64 = 32 << 20;
/// The one block size of our hash trees.
pub const VERITY_BLOCK: u32 = 4096;

fn invalid<T>(reason: String) -> Result<T, DocumentError> {
    Err(DocumentError::Invalid {
        document: Document::Update,
        reason,
    })
}

impl Update {
    /// Checks everything that [`Update::parse`] and [`Update::encode`] promise about content.
    pub(super) fn validate(&self) -> Result<(), DocumentError> {
        if self.format != FORMAT {
            return Err(DocumentError::UnsupportedFormat {
                document: Document::Update,
                found: self.format.into(),
            });
        }
        if let Some(expires) = self.expires.filter(|expires| *expires <= self.created) {
            return invalid(format!(
                "it expires at {expires}, not after its creation at {}",
                self.created
            ));
        }
        if !self.reboot {
            return invalid(
                "reboot is false, but a root is only ever changed by restarting into it".to_owned(),
            );
        }
        self.validate_root()?;
        self.validate_files()
    }

    fn validate_root(&self) -> Result<(), DocumentError> {
        let verity = &self.root.verity;
        for (name, size) in [
            ("data_block_size", verity.data_block_size),
            ("hash_block_size", verity.hash_block_size),
        ] {
            if size != VERITY_BLOCK {
                return invalid(format!(
                    "{name} is {size}, this program makes hash trees with {VERITY_BLOCK} only"
                ));
            }
        }
        let size = self.root.size;
        if size == 0 || !size.is_multiple_of(VERITY_BLOCK.into()) {
            return invalid(format!(
                "the root has {size} bytes, not a positive multiple of {VERITY_BLOCK}"
            ));
        }
        Ok(())
    }

    fn validate_files(&self) -> Result<(), DocumentError> {
        if !(1..=MAX_UKI_BYTES).contains(&self.uki.size) {
            return invalid(format!(
                "the UKI has {} bytes, not 1 to {MAX_UKI_BYTES}",
                self.uki.size
            ));
        }
        for (index, parts) in [
            (&self.index, &self.parts),
            (&self.uki.index, &self.uki.parts),
        ] {
            if parts.len() > MAX_PARTS {
                return invalid(format!(
                    "{} parts, at most {MAX_PARTS} are accepted",
                    parts.len()
                ));
            }
            check_size("index", index, MAX_INDEX_BYTES)?;
            for part in parts {
                check_size("part", part, MAX_PART_BYTES)?;
            }
        }
        let mut seen = BTreeSet::new();
        for file in self.files() {
            // FAT folds case: two names that differ only there would be one file on a USB stick.
            if !seen.insert(file.name.as_str().to_ascii_lowercase()) {
                return invalid(format!(
                    "file {} is listed twice (case is ignored)",
                    file.name
                ));
            }
        }
        Ok(())
    }
}

fn check_size(what: &str, file: &UpdateFile, limit: u64) -> Result<(), DocumentError> {
    if (1..=limit).contains(&file.size) {
        return Ok(());
    }
    invalid(format!(
        "{what} {} has {} bytes, not 1 to {limit}",
        file.name, file.size
    ))
}

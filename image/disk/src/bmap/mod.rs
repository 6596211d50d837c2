//! Block maps: which blocks of an image have content, in the format bmaptool reads (version 2.0).
//!
//! Owns the scan and the XML. Never writes an image. Invariant: the map depends on the file's content alone. Where a
//! file system reports holes differs from host to host, so holes are only a hint that spares reading: a block is left
//! out if and only if it is all zero and no `keep` range covers it.
//!
//! A flasher skips blocks that are not in the map, so on a used disk they keep old content. Whatever must read as zero
//! (FATs, dm-verity data and trees, partition tables) has to be named in `keep`; only a disk that was discarded first
//! can do with the plain [`BlockMap::scan`].

mod scan;
mod xml;

/// bmaptool's block size, and ours everywhere.
const BLOCK: u64 = 4096;

/// Blocks with content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappedRange {
    /// First block.
    pub first: u64,
    /// Last block, inclusive.
    pub last: u64,
    /// SHA-256 of the range's bytes; the file's last block may be short.
    pub sha256: [u8; 32],
}

/// The map of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockMap {
    /// Bytes of the file.
    pub image_size: u64,
    /// Ascending, never touching.
    pub ranges: Vec<MappedRange>,
}

impl BlockMap {
    /// Blocks of the whole file.
    #[must_use]
    pub const fn blocks(&self) -> u64 {
        self.image_size.div_ceil(BLOCK)
    }

    /// Blocks in the ranges.
    #[must_use]
    pub fn mapped_blocks(&self) -> u64 {
        self.ranges.iter().map(|r| r.last - r.first + 1).sum()
    }
}

/// A map that could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BmapError {
    /// The file failed.
    #[error("{action} the image at byte {offset} failed")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        offset: u64,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A keep range is outside the file.
    #[error("keep range {start}..{end} is not inside the image of {size} bytes")]
    Keep {
        /// First byte.
        start: u64,
        /// Byte after the last.
        end: u64,
        /// Bytes of the image.
        size: u64,
    },
}

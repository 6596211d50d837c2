//! What can go wrong with a tree: the tool broke, or the check failed.

use super::RootHash;

/// A tree that could not be built, read, or that does not fit its data.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerityError {
    /// The file failed: nothing is known about the data.
    #[error("{action} {what} at byte {offset} failed")]
    Io {
        /// Reading or writing.
        action: &'static str,
        /// Data or tree.
        what: &'static str,
        /// Where.
        offset: u64,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Empty, not in whole blocks, or larger than file offsets allow.
    #[error(
        "{bytes} bytes cannot be protected: the length must be a positive multiple of 4096 below 2^63; pad the data with zeros"
    )]
    DataLen {
        /// Length given.
        bytes: u64,
    },
    /// The superblock holds at most 256 bytes of salt.
    #[error("a salt of {bytes} bytes is too long; 256 is the most")]
    Salt {
        /// Length given.
        bytes: usize,
    },
    /// A superblock field this code does not handle.
    #[error("verity superblock: {field} is {found}, expected {expected}")]
    Superblock {
        /// Field name.
        field: &'static str,
        /// Value seen.
        found: String,
        /// What is handled.
        expected: &'static str,
    },
    /// The top of the tree does not give the root hash.
    #[error(
        "the tree's top hashes to {found}, the root hash is {expected}: this tree belongs to other data, or was changed"
    )]
    Root {
        /// Root hash asked for.
        expected: RootHash,
        /// Root hash of this tree and salt.
        found: RootHash,
    },
    /// A hash block is wrong; blocks below it were not looked at.
    #[error(
        "hash block {block} of level {level} (tree byte {offset}) does not match the level above"
    )]
    TreeBlock {
        /// 0 is the level next to the data.
        level: usize,
        /// Number within the level.
        block: u64,
        /// Byte offset in the tree.
        offset: u64,
    },
    /// The first wrong data block.
    #[error("data block {block} (byte {offset}) does not match its hash")]
    DataBlock {
        /// Block number.
        block: u64,
        /// Byte offset in the data.
        offset: u64,
    },
    /// A worker thread died; only a bug can cause it.
    #[error("a hashing thread stopped without a result; this is a bug")]
    Worker,
}

impl VerityError {
    /// The wrong block's number, when one was found.
    #[must_use]
    pub const fn block(&self) -> Option<u64> {
        match self {
            Self::TreeBlock { block, .. } | Self::DataBlock { block, .. } => Some(*block),
            _ => None,
        }
    }
}

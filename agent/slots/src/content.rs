//! What a slot's partitions hold, as far as two blocks tell.
//!
//! Owns: the comparison of the GUIDs with the top of the hash tree. Never does: read a whole slot: that is `read_back`.
//! Invariant: `Sealed` means that a boot by this root hash finds this slot, and that the top of its tree is of that hash.

use serde::Serialize;
use sha2::{Digest, Sha256};

use roamcore_agent::slot::Slot;
use roamcore_disk::gpt::Guid;
use roamcore_disk::verity::{BLOCK, RootHash, Superblock};

use crate::error::{SlotError, at};
use crate::media::Block;
use crate::table;

/// A slot's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Content {
    /// Marked as empty: nothing was written yet, or not all of it.
    Invalid,
    /// GUIDs and tree belong together.
    Sealed {
        /// Their root hash.
        root_hash: RootHash,
        /// Bytes of the root that the tree covers.
        bytes: u64,
    },
    /// GUIDs of something else: a slot as the factory left it, or damage.
    Foreign,
}

impl std::fmt::Display for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Invalid => f.write_str("an unfinished root"),
            Self::Sealed { root_hash, .. } => write!(f, "root hash {root_hash}"),
            Self::Foreign => f.write_str("nothing that its PARTUUIDs belong to"),
        }
    }
}

impl Content {
    /// Looks at a slot with these PARTUUIDs.
    pub(crate) fn of(
        slot: Slot,
        partuuids: (Guid, Guid),
        data: &dyn Block,
        tree: &dyn Block,
    ) -> Result<Self, SlotError> {
        if partuuids == table::empty_marks(slot) {
            return Ok(Self::Invalid);
        }
        let Some(superblock) = superblock(tree)? else {
            return Ok(Self::Foreign);
        };
        let block = BLOCK as u64;
        let mut top = vec![0; BLOCK];
        // One data block has no tree: its own digest is the root hash.
        let (from, offset) = match superblock.data_blocks {
            1 => (data, 0),
            _ => (tree, block),
        };
        from.read_past_cache(&mut top, offset)
            .map_err(at("read", from.path()))?;
        let hasher = Sha256::new().chain_update(&superblock.salt);
        let root_hash = RootHash::from_bytes(hasher.chain_update(&top).finalize().into());
        if root_hash.partuuids() != partuuids {
            return Ok(Self::Foreign);
        }
        Ok(Self::Sealed {
            root_hash,
            bytes: superblock.data_blocks * block,
        })
    }

    /// The root hash that a boot would find here.
    #[must_use]
    pub fn root_hash(self) -> Option<RootHash> {
        match self {
            Self::Sealed { root_hash, .. } => Some(root_hash),
            _ => None,
        }
    }
}

/// The superblock, if there is one of ours.
pub(crate) fn superblock(tree: &dyn Block) -> Result<Option<Superblock>, SlotError> {
    let mut raw = vec![0; BLOCK];
    tree.read_past_cache(&mut raw, 0)
        .map_err(at("read", tree.path()))?;
    Ok(Superblock::parse(&raw).ok())
}

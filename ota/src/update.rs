//! `update.json`: an image in the form in which devices fetch and install it.
//!
//! Owns the document's shape and its one byte form. Never says whether an update may be believed or installed: that is
//! [`crate::judge`]'s. Members this program does not know are kept, as in `release.json`.
//!
//! ```text
//!  update.json --+-- root    what a slot must hold in the end: size, SHA-256, root hash (the device makes the tree)
//!                +-- index   which chunks the root consists of, and in which frames of which part they are
//!                +-- parts   the frames
//!                '-- uki     one file for either slot: size, SHA-256, and an index and parts of its own
//! ```

mod validate;

use serde::{Deserialize, Serialize};

use crate::channel::Channel;
use crate::digest::Digest;
use crate::document::{self, Document, DocumentError, Extra};
use crate::hex::{Salt, Uuid};
use crate::names::{FileName, Ident};
use crate::timestamp::Timestamp;
use crate::verify::Listed;
use crate::version::Version;
pub use validate::{MAX_INDEX_BYTES, MAX_PART_BYTES, MAX_PARTS, MAX_UKI_BYTES, VERITY_BLOCK};

/// A file of the update.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateFile {
    /// Name beside the manifest.
    pub name: FileName,
    /// Exact size in bytes.
    pub size: u64,
    /// SHA-256 of the whole file.
    pub sha256: Digest,
    /// Members of a newer writer.
    #[serde(flatten)]
    pub extra: Extra,
}

/// What the device needs to make the dm-verity tree of the root, which is not shipped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerityParams {
    /// Put before every block.
    pub salt: Salt,
    /// UUID of the tree's superblock.
    pub uuid: Uuid,
    /// [`VERITY_BLOCK`].
    pub data_block_size: u32,
    /// [`VERITY_BLOCK`].
    pub hash_block_size: u32,
    /// Members of a newer writer.
    #[serde(flatten)]
    pub extra: Extra,
}

/// The root file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootImage {
    /// Size in bytes: whole blocks.
    pub size: u64,
    /// SHA-256 of these bytes.
    pub sha256: Digest,
    /// Root hash of the dm-verity tree over them.
    pub root_hash: Digest,
    /// How the tree is made.
    pub verity: VerityParams,
    /// Members of a newer writer.
    #[serde(flatten)]
    pub extra: Extra,
}

/// The unified kernel image, signed for Secure Boot, the same for either slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UkiImage {
    /// Exact size in bytes.
    pub size: u64,
    /// SHA-256 of these bytes.
    pub sha256: Digest,
    /// The chunk index of these bytes and the zeros that make them whole blocks.
    pub index: UpdateFile,
    /// Its payload, in the order in which its index counts it.
    pub parts: Vec<UpdateFile>,
    /// Members of a newer writer.
    #[serde(flatten)]
    pub extra: Extra,
}

/// The update manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// [`crate::FORMAT`].
    pub format: u32,
    /// Features without which a reader must refuse.
    pub requires: Vec<Ident>,
    /// The appliance.
    pub product: Ident,
    /// The board it is built for.
    pub board: Ident,
    /// For people. May be older than what runs: an emergency goes back to old content under a new sequence.
    pub version: Version,
    /// Decides which of two is newer, and is the version of the boot entry.
    pub sequence: u64,
    /// Grows only when older releases must never be installed again.
    pub security_epoch: u32,
    /// Oldest agent that can install it.
    pub minimum_agent: Version,
    /// Development or release.
    pub channel: Channel,
    /// When the image was made.
    pub created: Timestamp,
    /// From this time on the update is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// SHA-256 of the image's `release.json`.
    pub release_sha256: Digest,
    /// The root file system.
    pub root: RootImage,
    /// The kernel image.
    pub uki: UkiImage,
    /// The chunk index of the root.
    pub index: UpdateFile,
    /// The root's payload, in the order in which the index counts it.
    pub parts: Vec<UpdateFile>,
    /// Whether the device restarts into it. Always true in this format.
    pub reboot: bool,
    /// Members of a newer writer.
    #[serde(flatten)]
    pub extra: Extra,
}

impl Update {
    /// Reads and validates an update manifest. Says nothing about who signed it.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        let update: Update = document::parse(Document::Update, bytes)?;
        update.validate()?;
        Ok(update)
    }

    /// The exact bytes of `update.json`: what is signed and what is published.
    pub fn encode(&self) -> Result<Vec<u8>, DocumentError> {
        document::encode(Document::Update, self, Self::parse)
    }

    /// Every file the manifest names: both indexes, then the parts of the UKI and of the root.
    pub fn files(&self) -> impl Iterator<Item = &UpdateFile> {
        let indexes = [&self.index, &self.uki.index];
        indexes
            .into_iter()
            .chain(&self.uki.parts)
            .chain(&self.parts)
    }

    /// Bytes of all files the manifest names: never more than these are fetched.
    pub fn total_bytes(&self) -> u64 {
        self.files().map(|file| file.size).sum()
    }
}

impl UkiImage {
    /// Bytes of the image that its index is of: the UKI and zeros up to a whole block.
    pub fn padded_size(&self) -> u64 {
        self.size.next_multiple_of(VERITY_BLOCK.into())
    }
}

impl UpdateFile {
    pub(crate) fn listed(&self) -> Listed<'_> {
        Listed {
            name: &self.name,
            size: self.size,
            sha256: self.sha256,
        }
    }
}

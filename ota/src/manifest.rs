//! `release.json`: what a built image is, and the size and SHA-256 of every part of it.
//!
//! Owns the document's shape and its one byte form. Never says whether a release may be believed: that takes
//! signatures (see [`crate::verify_release`]).
//!
//! Members this program does not know are kept and written back, because the signature covers them. What a reader must
//! not ignore is announced instead: by another `format`, or by a name in `requires`.
//!
//! Invariant: [`Release::encode`] and [`Release::parse`] accept the same documents and are each other's inverse.

mod validate;

use serde::{Deserialize, Serialize};

use crate::channel::Channel;
use crate::digest::Digest;
use crate::document::{self, Document, DocumentError, Extra};
use crate::names::{FileName, Ident};
use crate::timestamp::Timestamp;
use crate::version::Version;

/// What an artefact is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Ident", into = "String")]
pub enum ArtefactKind {
    /// The compressed disk image.
    Disk,
    /// Which blocks of the disk image hold data.
    BlockMap,
    /// The list of packages.
    Sbom,
    /// How the build went.
    BuildReport,
    /// A unified kernel image, as it stands on the ESP.
    Uki,
    /// A kind of a newer writer.
    Other(Ident),
}

/// One file of the release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artefact {
    /// Name beside the manifest.
    pub name: FileName,
    /// Exact size in bytes.
    pub size: u64,
    /// SHA-256 of the whole file.
    pub sha256: Digest,
    /// What it is for.
    pub kind: ArtefactKind,
    /// Members of a newer writer.
    #[serde(flatten)]
    pub extra: Extra,
}

/// One region of the raw disk image: a partition, a partition table, or a gap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionRecord {
    /// Name, unique in the image.
    pub name: Ident,
    /// Number in the partition table; absent for what is not a partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u32>,
    /// First byte.
    pub offset: u64,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of the region.
    pub sha256: Digest,
    /// Members of a newer writer.
    #[serde(flatten)]
    pub extra: Extra,
}

/// The disk image behind the partitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskRecord {
    /// Size of the raw image in bytes.
    pub raw_size: u64,
    /// The artefact that holds it, compressed.
    pub artefact: FileName,
    /// Members of a newer writer.
    #[serde(flatten)]
    pub extra: Extra,
}

/// The manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// [`crate::FORMAT`].
    pub format: u32,
    /// Features without which a reader must refuse.
    pub requires: Vec<Ident>,
    /// The appliance.
    pub product: Ident,
    /// The board it is built for.
    pub board: Ident,
    /// For people.
    pub version: Version,
    /// Grows with every release of a product for a board.
    pub sequence: u64,
    /// Grows only when older releases must never be installed again.
    pub security_epoch: u32,
    /// Development or release.
    pub channel: Channel,
    /// `SOURCE_DATE_EPOCH` of the build.
    pub created: Timestamp,
    /// From this time on the release is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// SHA-256 of the package lock the image was built from.
    pub lock_sha256: Digest,
    /// Root hash of the root's dm-verity tree.
    pub root_hash: Digest,
    /// Files of the release.
    pub artefacts: Vec<Artefact>,
    /// Regions of the raw disk image, in order, without gap or overlap.
    pub partitions: Vec<PartitionRecord>,
    /// The disk image.
    pub disk: DiskRecord,
    /// Members of a newer writer.
    #[serde(flatten)]
    pub extra: Extra,
}

impl ArtefactKind {
    const KNOWN: [ArtefactKind; 5] = [
        ArtefactKind::Disk,
        ArtefactKind::BlockMap,
        ArtefactKind::Sbom,
        ArtefactKind::BuildReport,
        ArtefactKind::Uki,
    ];

    /// The name in the document.
    pub fn as_str(&self) -> &str {
        match self {
            ArtefactKind::Disk => "disk",
            ArtefactKind::BlockMap => "block-map",
            ArtefactKind::Sbom => "sbom",
            ArtefactKind::BuildReport => "build-report",
            ArtefactKind::Uki => "uki",
            ArtefactKind::Other(name) => name.as_str(),
        }
    }
}

impl From<Ident> for ArtefactKind {
    fn from(name: Ident) -> Self {
        let known = Self::KNOWN
            .into_iter()
            .find(|kind| kind.as_str() == name.as_str());
        known.unwrap_or(ArtefactKind::Other(name))
    }
}

impl From<ArtefactKind> for String {
    fn from(kind: ArtefactKind) -> String {
        kind.as_str().to_owned()
    }
}

impl Release {
    /// Reads and validates a manifest.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        let release: Release = document::parse(Document::Release, bytes)?;
        release.validate()?;
        Ok(release)
    }

    /// The exact bytes of `release.json`: what is signed and what is stored.
    pub fn encode(&self) -> Result<Vec<u8>, DocumentError> {
        document::encode(Document::Release, self, Self::parse)
    }

    /// The artefact of this name.
    pub fn artefact(&self, name: &str) -> Option<&Artefact> {
        self.artefacts.iter().find(|a| a.name.as_str() == name)
    }
}

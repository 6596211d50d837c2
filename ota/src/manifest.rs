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

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::canonical::{self, CanonicalError};
use crate::digest::Digest;
use crate::failure::FailureClass;
use crate::names::{FileName, Ident};
use crate::timestamp::Timestamp;
use crate::version::Version;

/// The only format this program reads and writes.
pub const FORMAT: u32 = 1;
/// Largest manifest. A real one is a few KiB; an index of chunks will be an artefact of its own, not part of this.
pub const MAX_MANIFEST_BYTES: usize = 4 << 20;
/// Features of `requires` this program knows. None yet.
const KNOWN_FEATURES: &[&str] = &[];

/// Members of a newer writer, kept as they are.
pub type Extra = BTreeMap<String, Value>;

/// Whether an image is for developers or for everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// May contain stand-ins and test doors; only development keys sign it.
    Development,
    /// For users' machines; only release keys count.
    Release,
}

impl std::fmt::Display for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Channel::Development => "development",
            Channel::Release => "release",
        })
    }
}

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
    /// [`FORMAT`].
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

/// A manifest was refused.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Larger than [`MAX_MANIFEST_BYTES`].
    #[error("the manifest is larger than {limit} bytes: it is not a release.json of this program")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// Not JSON, a member missing, or a value of the wrong kind.
    #[error("the manifest cannot be read: it is damaged, or not a release.json")]
    Json(#[source] serde_json::Error),
    /// Not in canonical form.
    #[error("the manifest is not in canonical form")]
    NotCanonical(#[source] CanonicalError),
    /// Contradicts itself.
    #[error("the manifest contradicts itself: {0}")]
    Invalid(String),
    /// A format of another program version.
    #[error(
        "the manifest has format {found}, this program reads format {FORMAT}: update this program first"
    )]
    UnsupportedFormat {
        /// The format found.
        found: u64,
    },
    /// A feature this program does not know.
    #[error(
        "the manifest requires feature {feature:?}, which this program does not know: update this program first"
    )]
    UnsupportedFeature {
        /// The first unknown feature.
        feature: String,
    },
}

impl ManifestError {
    /// The class, which decides the exit code.
    pub fn class(&self) -> FailureClass {
        match self {
            ManifestError::TooLarge { .. }
            | ManifestError::Json(_)
            | ManifestError::NotCanonical(_)
            | ManifestError::Invalid(_) => FailureClass::MalformedManifest,
            ManifestError::UnsupportedFormat { .. } | ManifestError::UnsupportedFeature { .. } => {
                FailureClass::UnsupportedFormat
            }
        }
    }

    /// Process exit code.
    pub fn exit_code(&self) -> u8 {
        self.class().exit_code()
    }
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

/// What every format of this document has in common, read before anything else is believed.
#[derive(Deserialize)]
struct Header {
    format: u64,
    #[serde(default)]
    requires: Vec<String>,
}

impl Release {
    /// Reads and validates a manifest.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > MAX_MANIFEST_BYTES {
            return Err(ManifestError::TooLarge {
                limit: MAX_MANIFEST_BYTES,
            });
        }
        let header: Header = serde_json::from_slice(bytes).map_err(ManifestError::Json)?;
        if header.format != u64::from(FORMAT) {
            return Err(ManifestError::UnsupportedFormat {
                found: header.format,
            });
        }
        if let Some(feature) = header
            .requires
            .iter()
            .find(|f| !KNOWN_FEATURES.contains(&f.as_str()))
        {
            return Err(ManifestError::UnsupportedFeature {
                feature: crate::names::excerpt(feature),
            });
        }
        let release: Release = serde_json::from_slice(bytes).map_err(ManifestError::Json)?;
        canonical::check(bytes, &release).map_err(ManifestError::NotCanonical)?;
        release.validate()?;
        Ok(release)
    }

    /// The exact bytes of `release.json`: what is signed and what is stored.
    pub fn encode(&self) -> Result<Vec<u8>, ManifestError> {
        let bytes = canonical::to_bytes(self).map_err(ManifestError::NotCanonical)?;
        // An extra member or a kind named like one of ours would be read back as ours: this finds it.
        if Self::parse(&bytes)? == *self {
            return Ok(bytes);
        }
        Err(ManifestError::Invalid(
            "an extra member or kind has the name of a known one".to_owned(),
        ))
    }

    /// The artefact of this name.
    pub fn artefact(&self, name: &str) -> Option<&Artefact> {
        self.artefacts.iter().find(|a| a.name.as_str() == name)
    }
}

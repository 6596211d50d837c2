//! What every signed document of this crate has in common: a limit, a format number, required features, one byte form.
//!
//! Owns the order in which outside bytes become a document (size, format, features, content, canonical form) and the
//! errors of that road. Never judges signatures, and never what a document's members mean together: the documents' own
//! modules do.
//!
//! Invariant: [`parse`] and [`encode`] accept the same documents and are each other's inverse.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::{Deserialize, DeserializeOwned};
use serde_json::Value;

use crate::canonical::{self, CanonicalError};
use crate::failure::FailureClass;

/// The only format of these documents that this program reads and writes.
pub const FORMAT: u32 = 1;
/// Features of `requires` this program knows. None yet.
const KNOWN_FEATURES: &[&str] = &[];

/// Members of a newer writer, kept as they are, because the signature covers them.
pub type Extra = BTreeMap<String, Value>;

/// The documents of this crate. As text it is the file's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Document {
    /// `release.json`: a built image.
    Release,
    /// `update.json`: an image as devices fetch it.
    Update,
    /// `roles.json`: who may sign what.
    Roles,
}

impl Document {
    /// Name of its file.
    pub fn file_name(self) -> &'static str {
        match self {
            Document::Release => "release.json",
            Document::Update => "update.json",
            Document::Roles => "roles.json",
        }
    }

    /// Largest file in bytes. Bounds what a hostile source can make a reader hold.
    pub fn max_bytes(self) -> usize {
        match self {
            // A real one is a few KiB; chunks are in an index of their own.
            Document::Release => 4 << 20,
            // 1024 parts, the most there may be, take 200 KiB.
            Document::Update => 1 << 20,
            // A role document takes about 1.5 KiB: one a month for fifty years.
            Document::Roles => 1 << 20,
        }
    }

    /// Stands before a document's bytes in what is signed, so that a signature never fits a document of another sort.
    pub fn signature_domain(self) -> &'static [u8] {
        match self {
            Document::Release => b"roamcore-release-v1\0",
            Document::Update => b"roamcore-update-v1\0",
            Document::Roles => b"roamcore-roles-v1\0",
        }
    }

    /// What Ed25519 signs: the domain, then the bytes.
    pub(crate) fn signed_message(self, bytes: &[u8]) -> Vec<u8> {
        [self.signature_domain(), bytes].concat()
    }

    fn kind(self) -> &'static str {
        match self {
            Document::Release => "a release.json",
            Document::Update => "an update.json",
            Document::Roles => "a roles.json",
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Document::Release => "the manifest",
            Document::Update => "the update manifest",
            Document::Roles => "the role chain",
        }
    }
}

impl std::fmt::Display for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.file_name())
    }
}

/// A document was refused before anybody asked who signed it.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Larger than [`Document::max_bytes`].
    #[error("{} is larger than {} bytes: it is not {} of this program",
        .document.noun(), .document.max_bytes(), .document.kind())]
    TooLarge {
        /// The document.
        document: Document,
    },
    /// Not JSON, a member missing, or a value of the wrong kind.
    #[error("{} cannot be read: it is damaged, or not {}", .document.noun(), .document.kind())]
    Json {
        /// The document.
        document: Document,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// Not in canonical form.
    #[error("{} is not in canonical form", .document.noun())]
    NotCanonical {
        /// The document.
        document: Document,
        /// Where it differs.
        source: CanonicalError,
    },
    /// Contradicts itself.
    #[error("{} contradicts itself: {reason}", .document.noun())]
    Invalid {
        /// The document.
        document: Document,
        /// What does not fit together.
        reason: String,
    },
    /// A format of another program version.
    #[error("{} has format {found}, this program reads format {FORMAT}: update this program first", .document.noun())]
    UnsupportedFormat {
        /// The document.
        document: Document,
        /// The format found.
        found: u64,
    },
    /// A feature this program does not know.
    #[error(
        "{} requires feature {feature:?}, which this program does not know: update this program first",
        .document.noun()
    )]
    UnsupportedFeature {
        /// The document.
        document: Document,
        /// The first unknown feature.
        feature: String,
    },
}

impl DocumentError {
    /// The class, which decides the exit code.
    pub fn class(&self) -> FailureClass {
        match self {
            DocumentError::UnsupportedFormat { .. } | DocumentError::UnsupportedFeature { .. } => {
                FailureClass::UnsupportedFormat
            }
            DocumentError::TooLarge { document }
            | DocumentError::Json { document, .. }
            | DocumentError::NotCanonical { document, .. }
            | DocumentError::Invalid { document, .. } => match document {
                Document::Release | Document::Update => FailureClass::MalformedManifest,
                Document::Roles => FailureClass::MalformedRoles,
            },
        }
    }

    /// Process exit code.
    pub fn exit_code(&self) -> u8 {
        self.class().exit_code()
    }
}

/// What every format of a document has in common, read before anything else is believed.
#[derive(serde::Deserialize)]
struct Header {
    format: u64,
    #[serde(default)]
    requires: Vec<String>,
}

/// Refuses a file over its document's limit.
pub(crate) fn check_size(document: Document, bytes: &[u8]) -> Result<(), DocumentError> {
    if bytes.len() > document.max_bytes() {
        return Err(DocumentError::TooLarge { document });
    }
    Ok(())
}

fn check_header(document: Document, header: &Header) -> Result<(), DocumentError> {
    if header.format != u64::from(FORMAT) {
        return Err(DocumentError::UnsupportedFormat {
            document,
            found: header.format,
        });
    }
    let unknown = |f: &&String| !KNOWN_FEATURES.contains(&f.as_str());
    match header.requires.iter().find(unknown) {
        Some(feature) => Err(DocumentError::UnsupportedFeature {
            document,
            feature: crate::names::excerpt(feature),
        }),
        None => Ok(()),
    }
}

/// From bytes to a document in canonical form. What its members mean together is still to be checked.
pub(crate) fn parse<T: Serialize + DeserializeOwned>(
    document: Document,
    bytes: &[u8],
) -> Result<T, DocumentError> {
    check_size(document, bytes)?;
    let json = |source| DocumentError::Json { document, source };
    let header: Header = serde_json::from_slice(bytes).map_err(json)?;
    check_header(document, &header)?;
    let read: T = serde_json::from_slice(bytes).map_err(json)?;
    canonical::check(bytes, &read)
        .map_err(|source| DocumentError::NotCanonical { document, source })?;
    Ok(read)
}

/// Checks format and features of a document that is a member of another one, before its other members are looked at.
pub(crate) fn check_member(document: Document, value: &Value) -> Result<(), DocumentError> {
    let header = Header::deserialize(value);
    let header = header.map_err(|source| DocumentError::Json { document, source })?;
    check_header(document, &header)
}

/// The canonical bytes of a document; `parse` is the whole way back, with validation.
pub(crate) fn encode<T: Serialize + PartialEq>(
    document: Document,
    value: &T,
    parse: impl FnOnce(&[u8]) -> Result<T, DocumentError>,
) -> Result<Vec<u8>, DocumentError> {
    let bytes = canonical::to_bytes(value)
        .map_err(|source| DocumentError::NotCanonical { document, source })?;
    // An extra member or a kind named like one of ours would be read back as ours: this finds it.
    if parse(&bytes)? == *value {
        return Ok(bytes);
    }
    Err(DocumentError::Invalid {
        document,
        reason: "an extra member or kind has the name of a known one".to_owned(),
    })
}

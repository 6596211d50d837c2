//! Signatures: over `release.json` and `update.json` in a file beside them, over role documents in their chain.
//!
//! Owns the list of signatures, the form of the signature file, and which key may sign which channel. Never decides
//! whether signatures suffice: that is [`crate::TrustStore`]'s.
//!
//! Signatures are not signed themselves, so they have no room for play: canonical JSON, no unknown members, entries
//! sorted by key id, one per key, Base64 with exact padding. Hence a changed bit either breaks the form or changes a key
//! id or a signature; none goes unnoticed.

mod error;

use serde::{Deserialize, Serialize};

use crate::base64::Base64Bytes;
use crate::canonical;
use crate::channel::Channel;
use crate::document::{Document, FORMAT};
use crate::keys::{KeyId, PrivateKey, Role};
use crate::manifest::Release;
use crate::update::Update;
pub use error::{SignError, SignatureFileError};

/// Largest signature file; [`MAX_SIGNATURES`] entries take about 10 KiB.
pub const MAX_SIGNATURE_BYTES: usize = 64 << 10;
/// Most signatures of a document. Bounds the work a hostile file can cause.
pub const MAX_SIGNATURES: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    key_id: KeyId,
    signature: Base64Bytes<64>,
}

/// The signatures of one document, sorted by key id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Signatures(Vec<Entry>);

impl Signatures {
    /// Refuses a list that is too long or not in order.
    pub(crate) fn check(&self) -> Result<(), SignatureFileError> {
        if self.0.len() > MAX_SIGNATURES {
            return Err(SignatureFileError::TooMany {
                found: self.0.len(),
            });
        }
        let wrong = self.0.windows(2).find(|p| p[0].key_id >= p[1].key_id);
        match wrong {
            Some(pair) => Err(SignatureFileError::Order {
                key: pair[1].key_id,
            }),
            None => Ok(()),
        }
    }

    /// Signs and adds the signature; others stay. Doing it again changes nothing.
    pub(crate) fn add(
        &mut self,
        document: Document,
        bytes: &[u8],
        key: &PrivateKey,
    ) -> Result<(), SignError> {
        let id = key.public().id();
        let entry = Entry {
            key_id: id,
            signature: Base64Bytes(key.sign(&document.signed_message(bytes))),
        };
        match self.0.binary_search_by_key(&id, |e| e.key_id) {
            Ok(at) if self.0[at] == entry => Ok(()),
            Ok(_) => Err(SignError::OtherDocument { key: id }),
            Err(_) if self.0.len() >= MAX_SIGNATURES => Err(SignError::Full),
            Err(at) => {
                self.0.insert(at, entry);
                Ok(())
            }
        }
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (KeyId, &[u8; 64])> {
        self.0
            .iter()
            .map(|entry| (entry.key_id, &entry.signature.0))
    }
}

/// `release.json.sig` or `update.json.sig`: the signatures of one manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignatureFile {
    format: u32,
    signatures: Signatures,
}

impl Default for SignatureFile {
    /// A file without signatures.
    fn default() -> Self {
        SignatureFile {
            format: FORMAT,
            signatures: Signatures::default(),
        }
    }
}

#[derive(Deserialize)]
struct Header {
    format: u64,
}

impl SignatureFile {
    /// Reads a signature file. Says nothing yet about whether its signatures are good.
    pub fn parse(bytes: &[u8]) -> Result<Self, SignatureFileError> {
        if bytes.len() > MAX_SIGNATURE_BYTES {
            return Err(SignatureFileError::TooLarge);
        }
        let header: Header = serde_json::from_slice(bytes).map_err(SignatureFileError::Json)?;
        if header.format != u64::from(FORMAT) {
            return Err(SignatureFileError::UnsupportedFormat {
                found: header.format,
            });
        }
        let file: SignatureFile =
            serde_json::from_slice(bytes).map_err(SignatureFileError::Json)?;
        canonical::check(bytes, &file).map_err(SignatureFileError::NotCanonical)?;
        file.signatures.check()?;
        Ok(file)
    }

    /// The exact bytes of the file.
    pub fn encode(&self) -> Result<Vec<u8>, SignatureFileError> {
        canonical::to_bytes(self).map_err(SignatureFileError::NotCanonical)
    }

    /// Signs the bytes of a `release.json` and adds the signature; others stay. Doing it again changes nothing.
    pub fn add(&mut self, manifest: &[u8], key: &PrivateKey) -> Result<(), SignError> {
        may_sign(Release::parse(manifest)?.channel, key)?;
        self.signatures.add(Document::Release, manifest, key)
    }

    /// The same for the bytes of an `update.json`.
    pub fn add_update(&mut self, manifest: &[u8], key: &PrivateKey) -> Result<(), SignError> {
        may_sign(Update::parse(manifest)?.channel, key)?;
        self.signatures.add(Document::Update, manifest, key)
    }

    /// Who claims to have signed.
    pub fn key_ids(&self) -> impl Iterator<Item = KeyId> + '_ {
        self.signatures.0.iter().map(|entry| entry.key_id)
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (KeyId, &[u8; 64])> {
        self.signatures.entries()
    }
}

fn may_sign(channel: Channel, key: &PrivateKey) -> Result<(), SignError> {
    let id = key.public().id();
    match (channel, key.public().role()) {
        (Channel::Development, Role::Development) | (Channel::Release, Role::Release) => Ok(()),
        (Channel::Development, Role::Release) => {
            Err(SignError::ReleaseKeyOnDevelopment { key: id })
        }
        (Channel::Release, Role::Development) => {
            Err(SignError::DevelopmentKeyOnRelease { key: id })
        }
        (_, Role::Root) => Err(SignError::RootKeyOnManifest { key: id }),
    }
}

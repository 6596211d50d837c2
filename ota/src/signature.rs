//! `release.json.sig`: signatures over the exact bytes of `release.json`.
//!
//! Owns what is signed (a prefix that no other document of ours shares, then the file's bytes), the signature file's
//! form, and which key may sign which channel. Never decides whether signatures suffice: that is [`crate::TrustStore`]'s.
//!
//! This file is not signed itself, so it has no room for play: canonical JSON, no unknown members, entries sorted by key
//! id, one per key, Base64 with exact padding. Hence a changed bit either breaks the form or changes a key id or a
//! signature; none goes unnoticed.

use base64ct::{Base64, Encoding};
use serde::{Deserialize, Serialize};

use crate::canonical::{self, CanonicalError};
use crate::failure::FailureClass;
use crate::keys::{KeyId, PrivateKey, Role};
use crate::manifest::{Channel, FORMAT, ManifestError, Release};

/// Stands before the manifest in what is signed, so that a signature never fits a document of another sort.
pub const SIGNATURE_DOMAIN: &[u8] = b"roamcore-release-v1\0";
/// Largest signature file; [`MAX_SIGNATURES`] entries take about 10 KiB.
pub const MAX_SIGNATURE_BYTES: usize = 64 << 10;
/// Most signatures in a file. Bounds the work a hostile file can cause.
pub const MAX_SIGNATURES: usize = 64;

/// Ed25519 signature bytes, Base64 in the document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct SignatureBytes([u8; 64]);

impl TryFrom<String> for SignatureBytes {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let mut bytes = [0; 64];
        match Base64::decode(&text, &mut bytes) {
            Ok(decoded) if decoded.len() == 64 => Ok(SignatureBytes(bytes)),
            _ => Err("a signature is 64 bytes in padded Base64"),
        }
    }
}

impl From<SignatureBytes> for String {
    fn from(signature: SignatureBytes) -> String {
        Base64::encode_string(&signature.0)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    key_id: KeyId,
    signature: SignatureBytes,
}

/// The signatures of one manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignatureFile {
    format: u32,
    signatures: Vec<Entry>,
}

/// A signature file was refused.
#[derive(Debug, thiserror::Error)]
pub enum SignatureFileError {
    /// Larger than [`MAX_SIGNATURE_BYTES`].
    #[error(
        "the signature file is larger than {MAX_SIGNATURE_BYTES} bytes: it is not a release.json.sig"
    )]
    TooLarge,
    /// More than [`MAX_SIGNATURES`].
    #[error("the signature file has {found} signatures, at most {MAX_SIGNATURES} are accepted")]
    TooMany {
        /// How many.
        found: usize,
    },
    /// Not JSON, a member missing or unknown, or a value of the wrong kind.
    #[error("the signature file cannot be read: it is damaged, or not a release.json.sig")]
    Json(#[source] serde_json::Error),
    /// Not in canonical form.
    #[error("the signature file is not in canonical form")]
    NotCanonical(#[source] CanonicalError),
    /// A key signs twice, or entries are not sorted.
    #[error(
        "the signature by key {key} does not follow the one before it in key id order, each key once"
    )]
    Order {
        /// The entry that is out of place.
        key: KeyId,
    },
    /// A format of another program version.
    #[error(
        "the signature file has format {found}, this program reads format {FORMAT}: update this program first"
    )]
    UnsupportedFormat {
        /// The format found.
        found: u64,
    },
}

impl SignatureFileError {
    /// The class, which decides the exit code.
    pub fn class(&self) -> FailureClass {
        match self {
            SignatureFileError::UnsupportedFormat { .. } => FailureClass::UnsupportedFormat,
            _ => FailureClass::MalformedSignature,
        }
    }

    /// Process exit code.
    pub fn exit_code(&self) -> u8 {
        self.class().exit_code()
    }
}

/// A release was not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// What should be signed is not a manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A release key would vouch for an image that has stand-ins and test doors.
    #[error(
        "key {key} is a release key and this image's channel is development: sign it with a development key"
    )]
    ReleaseKeyOnDevelopment {
        /// The key.
        key: KeyId,
    },
    /// The signature would never count.
    #[error(
        "key {key} is a development key and this image's channel is release: sign it with a release key"
    )]
    DevelopmentKeyOnRelease {
        /// The key.
        key: KeyId,
    },
    /// The signature file belongs to other manifest bytes.
    #[error(
        "key {key} has signed another manifest in this signature file: start a new signature file"
    )]
    OtherManifest {
        /// The key.
        key: KeyId,
    },
    /// No room for another signature.
    #[error(
        "the signature file has {MAX_SIGNATURES} signatures already, the most that are accepted"
    )]
    Full,
}

impl SignError {
    /// The class, which decides the exit code.
    pub fn class(&self) -> FailureClass {
        match self {
            SignError::Manifest(error) => error.class(),
            _ => FailureClass::SigningRefused,
        }
    }

    /// Process exit code.
    pub fn exit_code(&self) -> u8 {
        self.class().exit_code()
    }
}

impl Channel {
    /// The role whose signatures count for this channel.
    pub fn role(self) -> Role {
        match self {
            Channel::Development => Role::Development,
            Channel::Release => Role::Release,
        }
    }
}

impl Default for SignatureFile {
    /// A file without signatures.
    fn default() -> Self {
        SignatureFile {
            format: FORMAT,
            signatures: Vec::new(),
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
        if file.signatures.len() > MAX_SIGNATURES {
            return Err(SignatureFileError::TooMany {
                found: file.signatures.len(),
            });
        }
        match file
            .signatures
            .windows(2)
            .find(|pair| pair[0].key_id >= pair[1].key_id)
        {
            Some(pair) => Err(SignatureFileError::Order {
                key: pair[1].key_id,
            }),
            None => Ok(file),
        }
    }

    /// The exact bytes of `release.json.sig`.
    pub fn encode(&self) -> Result<Vec<u8>, SignatureFileError> {
        canonical::to_bytes(self).map_err(SignatureFileError::NotCanonical)
    }

    /// Signs the manifest and adds the signature; others stay. Doing it again changes nothing.
    pub fn add(&mut self, manifest: &[u8], key: &PrivateKey) -> Result<(), SignError> {
        let channel = Release::parse(manifest)?.channel;
        let id = key.public().id();
        match (channel, key.public().role()) {
            (Channel::Development, Role::Development) | (Channel::Release, Role::Release) => {}
            (Channel::Development, Role::Release) => {
                return Err(SignError::ReleaseKeyOnDevelopment { key: id });
            }
            (Channel::Release, Role::Development) => {
                return Err(SignError::DevelopmentKeyOnRelease { key: id });
            }
        }
        let entry = Entry {
            key_id: id,
            signature: SignatureBytes(key.sign(&signed_message(manifest))),
        };
        match self.signatures.binary_search_by_key(&id, |e| e.key_id) {
            Ok(at) if self.signatures[at] == entry => Ok(()),
            Ok(_) => Err(SignError::OtherManifest { key: id }),
            Err(_) if self.signatures.len() >= MAX_SIGNATURES => Err(SignError::Full),
            Err(at) => {
                self.signatures.insert(at, entry);
                Ok(())
            }
        }
    }

    /// Who claims to have signed.
    pub fn key_ids(&self) -> impl Iterator<Item = KeyId> + '_ {
        self.signatures.iter().map(|entry| entry.key_id)
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (KeyId, &[u8; 64])> {
        self.signatures
            .iter()
            .map(|entry| (entry.key_id, &entry.signature.0))
    }
}

/// What Ed25519 signs: [`SIGNATURE_DOMAIN`], then the manifest's bytes.
pub(crate) fn signed_message(manifest: &[u8]) -> Vec<u8> {
    [SIGNATURE_DOMAIN, manifest].concat()
}

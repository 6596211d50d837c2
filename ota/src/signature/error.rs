//! Why a signature file was refused, and why a key did not sign.
//!
//! Owns the messages. Never says that a signature is bad: that is found out with a trust store, in `verify`.

use crate::canonical::CanonicalError;
use crate::document::{DocumentError, FORMAT};
use crate::failure::FailureClass;
use crate::keys::KeyId;
use crate::signature::{MAX_SIGNATURE_BYTES, MAX_SIGNATURES};

/// A signature file was refused.
#[derive(Debug, thiserror::Error)]
pub enum SignatureFileError {
    /// Larger than [`MAX_SIGNATURE_BYTES`].
    #[error(
        "the signature file is larger than {MAX_SIGNATURE_BYTES} bytes: it is not a signature file of this program"
    )]
    TooLarge,
    /// More than [`MAX_SIGNATURES`].
    #[error("the signature file has {found} signatures, at most {MAX_SIGNATURES} are accepted")]
    TooMany {
        /// How many.
        found: usize,
    },
    /// Not JSON, a member missing or unknown, or a value of the wrong kind.
    #[error("the signature file cannot be read: it is damaged, or not a signature file")]
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

/// A document was not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// What should be signed is not the document it should be.
    #[error(transparent)]
    Document(#[from] DocumentError),
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
    /// A root key vouches for keys only; its signature here would never count.
    #[error(
        "key {key} is a root key, which signs role documents only: sign with a key of the image's channel"
    )]
    RootKeyOnManifest {
        /// The key.
        key: KeyId,
    },
    /// Only root keys speak about keys.
    #[error(
        "key {key} is a {role} key, and role documents are signed by root keys: use a root key"
    )]
    NotARootKey {
        /// The key.
        key: KeyId,
        /// What it is for.
        role: crate::keys::Role,
    },
    /// The signature would never count.
    #[error(
        "key {key} is a root key neither of this role document nor of the one before it: sign with one that is"
    )]
    StrangeRootKey {
        /// The key.
        key: KeyId,
    },
    /// The signatures belong to other bytes.
    #[error(
        "key {key} has signed another manifest in this signature file: start a new signature file"
    )]
    OtherDocument {
        /// The key.
        key: KeyId,
    },
    /// No room for another signature.
    #[error("there are {MAX_SIGNATURES} signatures already, the most that are accepted")]
    Full,
}

impl SignError {
    /// The class, which decides the exit code.
    pub fn class(&self) -> FailureClass {
        match self {
            SignError::Document(error) => error.class(),
            _ => FailureClass::SigningRefused,
        }
    }

    /// Process exit code.
    pub fn exit_code(&self) -> u8 {
        self.class().exit_code()
    }
}

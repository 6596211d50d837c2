//! Why a release, an artefact or a disk was refused.
//!
//! Owns the messages of verification. One variant, one failure class; text names what was seen and what to do, and
//! leaves the cause to `source`.

use std::io;

use crate::channel::Channel;
use crate::digest::Digest;
use crate::document::{Document, DocumentError};
use crate::failure::FailureClass;
use crate::keys::{KeyId, Role};
use crate::names::{FileName, Ident};
use crate::signature::SignatureFileError;
use crate::timestamp::Timestamp;

/// Key ids, printed as a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyIds(pub Vec<KeyId>);

impl std::fmt::Display for KeyIds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, id) in self.0.iter().enumerate() {
            write!(f, "{}{id}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// A check failed, or ([`VerifyError::ReadFailed`]) could not be made.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A trusted key's signature does not fit.
    #[error(
        "the signature by key {key} does not match {document}: it or its signature was changed, or they belong to \
         different releases; fetch both again"
    )]
    BadSignature {
        /// What it should be a signature of.
        document: Document,
        /// The key.
        key: KeyId,
    },
    /// Nobody we know signed.
    #[error("{document} is signed by unknown keys only ({signed}); trusted are: {trusted}")]
    UnknownKey {
        /// What they signed.
        document: Document,
        /// Who claims to have signed.
        signed: KeyIds,
        /// Who would be believed.
        trusted: KeyIds,
    },
    /// Known keys, but none that may sign this channel.
    #[error(
        "this is a {channel} image, and none of its signers ({signed}) is a trusted {channel} key"
    )]
    WrongKeyRole {
        /// The channel the manifest states.
        channel: Channel,
        /// Trusted keys that signed.
        signed: KeyIds,
    },
    /// Too few signatures that count.
    #[error(
        "{counted} of {threshold} needed signatures by trusted {role} keys: have the others sign too"
    )]
    BelowThreshold {
        /// Signatures that count.
        counted: usize,
        /// Signatures needed.
        threshold: usize,
        /// The role that counts.
        role: Role,
    },
    /// Without the revoked keys there are too few.
    #[error(
        "{counted} signatures of {document} count, which is too few, because these keys were revoked: {revoked}; take \
         a release that is signed by other keys"
    )]
    RevokedKey {
        /// What they signed.
        document: Document,
        /// Revoked keys that signed.
        revoked: KeyIds,
        /// Signatures that count.
        counted: usize,
    },
    /// No signature at all.
    #[error("{document} is not signed: {document}.sig is missing or holds no signature")]
    MissingSignature {
        /// What should be signed.
        document: Document,
    },
    /// The signature file is not one.
    #[error(transparent)]
    Signature(#[from] SignatureFileError),
    /// The document is not one.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// Too old.
    #[error(
        "the release expired at {expires}, it is now {now}: take a newer release, or set the clock if it is wrong"
    )]
    Expired {
        /// Its expiry.
        expires: Timestamp,
        /// The time given.
        now: Timestamp,
    },
    /// A file is not there.
    #[error("artefact {name} is missing: fetch it again")]
    ArtefactMissing {
        /// The artefact.
        name: FileName,
    },
    /// A file that the manifest does not know.
    #[error(
        "artefact {name:?} is not listed in {document}, so nothing is known about it: do not use it"
    )]
    ArtefactNotListed {
        /// What does not list it.
        document: Document,
        /// The start of the name asked for.
        name: String,
    },
    /// A file is too short.
    #[error("artefact {name} ends after {found} of {expected} bytes: fetch it again")]
    ArtefactTruncated {
        /// The artefact.
        name: FileName,
        /// Signed size.
        expected: u64,
        /// Bytes there were.
        found: u64,
    },
    /// A file is too long.
    #[error("artefact {name} goes on after its {expected} bytes: fetch it again")]
    ArtefactTooLong {
        /// The artefact.
        name: FileName,
        /// Signed size.
        expected: u64,
    },
    /// A file has other content.
    #[error("artefact {name} has SHA-256 {found}, signed is {expected}: fetch it again")]
    ArtefactMismatch {
        /// The artefact.
        name: FileName,
        /// Signed digest.
        expected: Digest,
        /// Digest of what was read.
        found: Digest,
    },
    /// The disk image is too short.
    #[error(
        "the disk image ends after {found} of {expected} bytes, in region {region}: write or fetch it again"
    )]
    DiskTruncated {
        /// The region it ends in.
        region: Ident,
        /// Signed size.
        expected: u64,
        /// Bytes there were.
        found: u64,
    },
    /// The disk image is too long.
    #[error("the disk image goes on after its {expected} bytes: write or fetch it again")]
    DiskTooLong {
        /// Signed size.
        expected: u64,
    },
    /// A region of the disk image has other content.
    #[error(
        "region {region} (offset {offset}) of the disk image has SHA-256 {found}, signed is {expected}"
    )]
    PartitionMismatch {
        /// The first region that differs.
        region: Ident,
        /// Where it starts.
        offset: u64,
        /// Signed digest.
        expected: Digest,
        /// Digest of what was read.
        found: Digest,
    },
    /// Reading failed: the check was not made.
    #[error("reading {what} failed at byte {offset}")]
    ReadFailed {
        /// The artefact, or the disk image.
        what: String,
        /// Bytes read before.
        offset: u64,
        /// What the system said.
        source: io::Error,
    },
}

impl VerifyError {
    /// The class, which decides the exit code.
    pub fn class(&self) -> FailureClass {
        match self {
            VerifyError::BadSignature { .. } => FailureClass::BadSignature,
            VerifyError::UnknownKey { .. } => FailureClass::UnknownKey,
            VerifyError::WrongKeyRole { .. } => FailureClass::WrongKeyRole,
            VerifyError::BelowThreshold { .. } => FailureClass::BelowThreshold,
            VerifyError::RevokedKey { .. } => FailureClass::RevokedKey,
            VerifyError::MissingSignature { .. } => FailureClass::MissingSignature,
            VerifyError::Signature(error) => error.class(),
            VerifyError::Document(error) => error.class(),
            VerifyError::Expired { .. } => FailureClass::Expired,
            VerifyError::ArtefactMissing { .. } => FailureClass::ArtefactMissing,
            VerifyError::ArtefactNotListed { .. } => FailureClass::ArtefactNotListed,
            VerifyError::ArtefactTruncated { .. } => FailureClass::ArtefactTruncated,
            VerifyError::ArtefactTooLong { .. } => FailureClass::ArtefactTooLong,
            VerifyError::ArtefactMismatch { .. } => FailureClass::ArtefactMismatch,
            VerifyError::DiskTruncated { .. } => FailureClass::DiskTruncated,
            VerifyError::DiskTooLong { .. } => FailureClass::DiskTooLong,
            VerifyError::PartitionMismatch { .. } => FailureClass::PartitionMismatch,
            VerifyError::ReadFailed { .. } => FailureClass::ReadFailed,
        }
    }

    /// Process exit code.
    pub fn exit_code(&self) -> u8 {
        self.class().exit_code()
    }
}

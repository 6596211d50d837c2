//! Why a role document or a chain of them was refused.
//!
//! Owns the messages. One variant, one failure class.

use crate::document::DocumentError;
use crate::failure::FailureClass;
use crate::keys::{KeyError, KeyId};
use crate::roles::MAX_ROLE_DOCUMENTS;
use crate::signature::{SignError, SignatureFileError};
use crate::timestamp::Timestamp;
use crate::trust::TrustError;

/// A role chain was refused.
#[derive(Debug, thiserror::Error)]
pub enum RolesError {
    /// Not a role chain.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// A list of signatures is not in the documented form.
    #[error("the signatures of a role document are not in the documented form")]
    Signatures(#[from] SignatureFileError),
    /// A public key cannot be used.
    #[error("role document {version} has an unusable key")]
    Key {
        /// The document.
        version: u64,
        /// What is wrong with it.
        source: KeyError,
    },
    /// The keys contradict themselves.
    #[error("role document {version} contradicts itself")]
    Trust {
        /// The document.
        version: u64,
        /// What is wrong with them.
        source: TrustError,
    },
    /// No documents.
    #[error("the role chain has no documents: it needs at least one")]
    Empty,
    /// Too many documents.
    #[error("the role chain has {found} documents, at most {MAX_ROLE_DOCUMENTS} are accepted")]
    TooMany {
        /// How many.
        found: usize,
    },
    /// A number is left out.
    #[error(
        "the role chain goes from document {after} to {found}: every one in between is needed, fetch the whole chain"
    )]
    Gap {
        /// The last number before the gap.
        after: u64,
        /// The number after it.
        found: u64,
    },
    /// Older than what is trusted already.
    #[error(
        "the role chain ends with document {found}, this device trusts document {trusted} already: fetch the newest chain"
    )]
    RolledBack {
        /// The newest document of the chain.
        found: u64,
        /// The one trusted.
        trusted: u64,
    },
    /// Another document under a number that is trusted already.
    #[error(
        "document {version} of the role chain is not the one this device trusts under that number: the chain is \
         another publisher's, or forged"
    )]
    Conflict {
        /// The document.
        version: u64,
    },
    /// A revoked key is not revoked any more.
    #[error(
        "role document {version} no longer revokes key {key}: a revocation is for ever, list the key again"
    )]
    Forgiven {
        /// The document.
        version: u64,
        /// The key.
        key: KeyId,
    },
    /// A trusted root key's signature does not fit.
    #[error(
        "the signature by root key {key} does not match role document {version}: one of them was changed, fetch the \
         chain again"
    )]
    BadSignature {
        /// The document.
        version: u64,
        /// The key.
        key: KeyId,
    },
    /// Those trusted so far did not agree.
    #[error(
        "role document {version} has {counted} of {threshold} needed signatures by root keys of document {before}: \
         whoever made it was not allowed to"
    )]
    NotVouched {
        /// The document.
        version: u64,
        /// The one before it.
        before: u64,
        /// Signatures that count.
        counted: usize,
        /// Signatures needed.
        threshold: usize,
    },
    /// Its own root keys did not agree.
    #[error(
        "role document {version} has {counted} of {threshold} needed signatures by its own root keys: have the others \
         sign too"
    )]
    BelowThreshold {
        /// The document.
        version: u64,
        /// Signatures that count.
        counted: usize,
        /// Signatures needed.
        threshold: usize,
    },
    /// Too old.
    #[error(
        "role document {version} expired at {expires}, it is now {now}: take an update with a newer role chain, or set \
         the clock if it is wrong"
    )]
    Expired {
        /// The newest document.
        version: u64,
        /// Its expiry.
        expires: Timestamp,
        /// The time by which it has.
        now: Timestamp,
    },
    /// A key did not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
}

impl RolesError {
    /// The class, which decides the exit code.
    pub fn class(&self) -> FailureClass {
        match self {
            RolesError::Document(error) => error.class(),
            RolesError::Signatures(_)
            | RolesError::Key { .. }
            | RolesError::Trust { .. }
            | RolesError::Empty
            | RolesError::TooMany { .. } => FailureClass::MalformedRoles,
            RolesError::Gap { .. } => FailureClass::RolesGap,
            RolesError::RolledBack { .. } => FailureClass::RolesRolledBack,
            RolesError::Conflict { .. } | RolesError::Forgiven { .. } => {
                FailureClass::RolesConflict
            }
            RolesError::BadSignature { .. } => FailureClass::BadSignature,
            RolesError::NotVouched { .. } => FailureClass::RolesNotVouched,
            RolesError::BelowThreshold { .. } => FailureClass::RolesBelowThreshold,
            RolesError::Expired { .. } => FailureClass::RolesExpired,
            RolesError::Sign(error) => error.class(),
        }
    }

    /// Process exit code.
    pub fn exit_code(&self) -> u8 {
        self.class().exit_code()
    }
}

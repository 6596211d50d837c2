//! The chain of role documents: `roles.json`.
//!
//! Owns its form, its limits, and making and signing it. Never believes it: see [`super::TrustedRoles`].
//!
//! A role document is signed in its canonical form as a file of its own would have it, so `jq -S .documents[1].signed`
//! is what the signatures of the second one are over. The list of signatures is not signed and therefore strict.
//!
//! Invariant: versions count up by 1, no list of revoked keys lacks a key of the one before.

use serde::{Deserialize, Serialize};

use super::{RoleDocument, RoleTerms, RolesError};
use crate::canonical;
use crate::document::{self, Document, DocumentError, FORMAT};
use crate::keys::{KeyId, PrivateKey, Role};
use crate::signature::{SignError, Signatures};
use crate::timestamp::Timestamp;

/// Most documents in a chain. Bounds the work of following it; TUF's clients stop at the same number.
pub const MAX_ROLE_DOCUMENTS: usize = 1024;

/// A role document with its signatures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedRoles {
    signed: RoleDocument,
    pub(super) signatures: Signatures,
}

impl SignedRoles {
    /// The document.
    pub fn document(&self) -> &RoleDocument {
        &self.signed
    }

    /// Who claims to have signed it.
    pub fn key_ids(&self) -> impl Iterator<Item = KeyId> + '_ {
        self.signatures.entries().map(|(id, _)| id)
    }

    /// The bytes that are signed.
    pub fn signed_bytes(&self) -> Result<Vec<u8>, RolesError> {
        let bytes = canonical::to_bytes(&self.signed);
        bytes.map_err(|source| {
            RolesError::Document(DocumentError::NotCanonical {
                document: Document::Roles,
                source,
            })
        })
    }
}

/// Role documents, oldest first, at least one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleChain {
    format: u32,
    documents: Vec<SignedRoles>,
}

/// As much of a chain as tells which program can read its documents.
#[derive(Deserialize)]
struct Outline {
    documents: Vec<OutlineEntry>,
}

#[derive(Deserialize)]
struct OutlineEntry {
    signed: serde_json::Value,
}

impl RoleChain {
    /// A chain of one document, not signed yet.
    pub fn start(terms: RoleTerms) -> Result<Self, RolesError> {
        Self::from_documents(vec![unsigned(RoleDocument::new(1, terms))])
    }

    /// Adds the next document, not signed yet.
    pub fn push(&mut self, terms: RoleTerms) -> Result<(), RolesError> {
        let mut documents = self.documents.clone();
        let version = self.newest()?.document().version;
        documents.push(unsigned(RoleDocument::new(version + 1, terms)));
        *self = Self::from_documents(documents)?;
        Ok(())
    }

    /// What the next document would say if nothing changed but its dates.
    pub fn next_terms(
        &self,
        created: Timestamp,
        expires: Timestamp,
    ) -> Result<RoleTerms, RolesError> {
        self.newest()?.document().terms(created, expires)
    }

    /// Signs the newest document and adds the signature; others stay. Doing it again changes nothing, and the order in
    /// which keys sign does not matter.
    pub fn sign(&mut self, key: &PrivateKey) -> Result<(), RolesError> {
        let (id, role) = (key.public().id(), key.public().role());
        if role != Role::Root {
            return Err(SignError::NotARootKey { key: id, role }.into());
        }
        let knows = |entry: &SignedRoles| entry.signed.roles.root.keys.contains(&id);
        // The newest and the one before it: these are whose root keys are asked for.
        if !self.documents.iter().rev().take(2).any(knows) {
            return Err(SignError::StrangeRootKey { key: id }.into());
        }
        let bytes = self.newest()?.signed_bytes()?;
        let newest = self.documents.last_mut().ok_or(RolesError::Empty)?;
        Ok(newest.signatures.add(Document::Roles, &bytes, key)?)
    }

    /// The newest document.
    pub fn newest(&self) -> Result<&SignedRoles, RolesError> {
        self.documents.last().ok_or(RolesError::Empty)
    }

    /// Every document, oldest first.
    pub fn documents(&self) -> &[SignedRoles] {
        &self.documents
    }

    /// Reads a chain. Says nothing yet about whether its signatures are good.
    pub fn parse(bytes: &[u8]) -> Result<Self, RolesError> {
        document::check_size(Document::Roles, bytes)?;
        // A newer document may have another shape; say that it is newer rather than that it is damaged.
        if let Ok(outline) = serde_json::from_slice::<Outline>(bytes) {
            for entry in &outline.documents {
                document::check_member(Document::Roles, &entry.signed)?;
            }
        }
        let chain: RoleChain = document::parse(Document::Roles, bytes)?;
        chain.validate()?;
        Ok(chain)
    }

    /// The exact bytes of `roles.json`.
    pub fn encode(&self) -> Result<Vec<u8>, RolesError> {
        let bytes = canonical::to_bytes(self).map_err(|source| DocumentError::NotCanonical {
            document: Document::Roles,
            source,
        })?;
        if Self::parse(&bytes)? == *self {
            return Ok(bytes);
        }
        Err(RolesError::Document(DocumentError::Invalid {
            document: Document::Roles,
            reason: "an extra member has the name of a known one".to_owned(),
        }))
    }

    pub(super) fn from_documents(documents: Vec<SignedRoles>) -> Result<Self, RolesError> {
        let chain = RoleChain {
            format: FORMAT,
            documents,
        };
        chain.validate()?;
        Ok(chain)
    }

    fn validate(&self) -> Result<(), RolesError> {
        if self.format != FORMAT {
            return Err(RolesError::Document(DocumentError::UnsupportedFormat {
                document: Document::Roles,
                found: self.format.into(),
            }));
        }
        if self.documents.is_empty() {
            return Err(RolesError::Empty);
        }
        if self.documents.len() > MAX_ROLE_DOCUMENTS {
            return Err(RolesError::TooMany {
                found: self.documents.len(),
            });
        }
        for entry in &self.documents {
            entry.signed.validate()?;
            entry.signatures.check()?;
        }
        for pair in self.documents.windows(2) {
            let (old, new) = (&pair[0].signed, &pair[1].signed);
            if old.version.checked_add(1) != Some(new.version) {
                return Err(RolesError::Gap {
                    after: old.version,
                    found: new.version,
                });
            }
            old.check_revoked(new)?;
        }
        Ok(())
    }
}

fn unsigned(signed: RoleDocument) -> SignedRoles {
    SignedRoles {
        signed,
        signatures: Signatures::default(),
    }
}

//! What the types of a role document cannot say.
//!
//! Owns the proof that each key has one role, that its name is its hash, and that every threshold can be reached by keys
//! that are not revoked. Lists are sets in canonical form, so an entry given twice or out of order is refused before.

use std::collections::BTreeSet;

use super::{RoleDocument, RolesError};
use crate::document::{Document, DocumentError, FORMAT};
use crate::keys::{KeyId, PublicKey, Role};
use crate::trust::TrustStore;

/// Most revoked keys. They are never taken off the list; this many stolen keys mean that something else is wrong.
pub const MAX_REVOKED: usize = 1024;

fn invalid<T>(version: u64, reason: impl std::fmt::Display) -> Result<T, RolesError> {
    Err(RolesError::Document(DocumentError::Invalid {
        document: Document::Roles,
        reason: format!("in document {version} {reason}"),
    }))
}

impl RoleDocument {
    /// Every key with its role.
    pub(super) fn public_keys(&self) -> Result<Vec<PublicKey>, RolesError> {
        let mut keys = Vec::new();
        for role in [Role::Root, Role::Release, Role::Development] {
            for id in self.role(role).iter().flat_map(|role| &role.keys) {
                let Some(bytes) = self.keys.get(id) else {
                    return invalid(self.version, format_args!("key {id} is not among the keys"));
                };
                let key =
                    PublicKey::from_bytes(&bytes.0, role).map_err(|source| RolesError::Key {
                        version: self.version,
                        source,
                    })?;
                if key.id() != *id {
                    return invalid(
                        self.version,
                        format_args!("the key named {id} has the id {}", key.id()),
                    );
                }
                keys.push(key);
            }
        }
        Ok(keys)
    }

    /// Who is believed under this document.
    pub(super) fn trust_store(&self) -> Result<TrustStore, RolesError> {
        let thresholds = [Role::Root, Role::Release, Role::Development]
            .into_iter()
            .filter_map(|role| Some((role, self.role(role)?.threshold)));
        let store = TrustStore::with_roles(
            self.public_keys()?,
            thresholds,
            self.revoked.iter().copied(),
        );
        store.map_err(|source| RolesError::Trust {
            version: self.version,
            source,
        })
    }

    /// A revocation is for ever: the next document must list every key that this one does.
    pub(super) fn check_revoked(&self, next: &RoleDocument) -> Result<(), RolesError> {
        match self.revoked.difference(&next.revoked).next() {
            Some(key) => Err(RolesError::Forgiven {
                version: next.version,
                key: *key,
            }),
            None => Ok(()),
        }
    }

    /// Checks everything but signatures.
    pub(super) fn validate(&self) -> Result<(), RolesError> {
        let version = self.version;
        if self.format != FORMAT {
            return Err(RolesError::Document(DocumentError::UnsupportedFormat {
                document: Document::Roles,
                found: self.format.into(),
            }));
        }
        if version == 0 {
            return invalid(version, "the version is 0: they count from 1");
        }
        if self.expires <= self.created {
            return invalid(
                version,
                format_args!(
                    "the expiry {} is not after the creation {}",
                    self.expires, self.created
                ),
            );
        }
        for role in [Role::Root, Role::Release, Role::Development] {
            if self.role(role).is_some_and(|role| role.keys.is_empty()) {
                return invalid(
                    version,
                    format_args!("role {role} has no keys: leave it out"),
                );
            }
        }
        let used: BTreeSet<KeyId> = self.trust_store()?.key_ids().collect();
        if let Some(id) = self.keys.keys().find(|id| !used.contains(id)) {
            return invalid(version, format_args!("key {id} has no role"));
        }
        if self.revoked.len() > MAX_REVOKED {
            return invalid(
                version,
                format_args!(
                    "{} keys are revoked, at most {MAX_REVOKED} are accepted",
                    self.revoked.len()
                ),
            );
        }
        if let Some(id) = self.revoked.intersection(&used).next() {
            return invalid(version, format_args!("key {id} is revoked and has a role"));
        }
        let (sequence, epoch) = (self.sequence, self.security_epoch);
        if sequence.minimum > sequence.maximum {
            return invalid(
                version,
                format_args!("the sequence window {sequence} is empty"),
            );
        }
        if epoch.minimum > epoch.maximum {
            return invalid(
                version,
                format_args!("the security epoch window {epoch} is empty"),
            );
        }
        Ok(())
    }
}

//! `roles.json`: who may sign what, as a chain of signed role documents.
//!
//! Owns the role document's shape and rules. The chain is `chain`'s, believing it is `trusted`'s.
//!
//! After The Update Framework's root role (specification 1.0.33, sections 4.3 and 5.3), carried inside every update so
//! that it works from a USB stick. What TUF keeps in timestamp and snapshot is in `update.json` itself, which names
//! every file by hash; what bounds it is here: expiry and the windows of sequence and security epoch.
//!
//! ```text
//!  document 1 --signed by--> its own root keys                   (the device's image carries it)
//!  document 2 --signed by--> root keys of 1, and its own         (rotation: new keys in, old keys out)
//!  document 3 --signed by--> root keys of 2, and its own         (revocation: ids that never count again)
//! ```

mod chain;
mod error;
mod trusted;
mod validate;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::base64::Base64Bytes;
use crate::document::Extra;
use crate::keys::{KeyId, PublicKey, Role};
use crate::names::Ident;
use crate::timestamp::Timestamp;
pub use chain::{MAX_ROLE_DOCUMENTS, RoleChain, SignedRoles};
pub use error::RolesError;
pub use trusted::TrustedRoles;
pub use validate::MAX_REVOKED;

/// The keys of one role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleKeys {
    /// Which keys.
    pub keys: BTreeSet<KeyId>,
    /// How many of them must sign.
    pub threshold: usize,
    /// Members of a newer writer.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Who holds which role. A role that is absent is nobody's: what it would sign is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roles {
    /// Signs role documents.
    pub root: RoleKeys,
    /// Signs release images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<RoleKeys>,
    /// Signs development images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub development: Option<RoleKeys>,
    /// Members of a newer writer.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A range of numbers, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window<T> {
    /// Smallest number inside.
    pub minimum: T,
    /// Largest number inside.
    pub maximum: T,
}

impl<T: PartialOrd> Window<T> {
    /// Whether it is inside.
    pub fn contains(&self, number: T) -> bool {
        self.minimum <= number && number <= self.maximum
    }
}

impl<T: std::fmt::Display> std::fmt::Display for Window<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} to {}", self.minimum, self.maximum)
    }
}

/// One role document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleDocument {
    /// [`crate::FORMAT`].
    pub format: u32,
    /// Features without which a reader must refuse.
    pub requires: Vec<Ident>,
    /// Counts from 1, by 1.
    pub version: u64,
    /// When it was made.
    pub created: Timestamp,
    /// From this time on it is not believed, and no update with it.
    pub expires: Timestamp,
    /// Public keys by id.
    keys: BTreeMap<KeyId, Base64Bytes<32>>,
    /// Who holds which role; every key of `keys` exactly one.
    pub roles: Roles,
    /// Keys that must never count again; grows only.
    pub revoked: BTreeSet<KeyId>,
    /// Security epochs that may be installed.
    pub security_epoch: Window<u32>,
    /// Sequences that may be installed. The maximum bounds how far ahead a stolen key can push a device.
    pub sequence: Window<u64>,
    /// Members of a newer writer.
    #[serde(flatten)]
    pub extra: Extra,
}

/// What a new role document says; the rest follows.
#[derive(Debug, Clone)]
pub struct RoleTerms {
    /// When it is made.
    pub created: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// The keys, each with its role.
    pub keys: Vec<PublicKey>,
    /// How many keys of each role must sign; 1 where it is absent.
    pub thresholds: BTreeMap<Role, usize>,
    /// Keys that must never count again.
    pub revoked: BTreeSet<KeyId>,
    /// Security epochs that may be installed.
    pub security_epoch: Window<u32>,
    /// Sequences that may be installed.
    pub sequence: Window<u64>,
}

impl RoleDocument {
    /// The document with this number. Whether it holds together is checked when it joins a chain.
    pub fn new(version: u64, terms: RoleTerms) -> Self {
        let role = |role: Role| {
            let of_role = terms.keys.iter().filter(|key| key.role() == role);
            let keys: BTreeSet<KeyId> = of_role.map(PublicKey::id).collect();
            RoleKeys {
                keys,
                threshold: terms.thresholds.get(&role).copied().unwrap_or(1),
                extra: Extra::new(),
            }
        };
        let some = |role: RoleKeys| Some(role).filter(|role| !role.keys.is_empty());
        RoleDocument {
            format: crate::FORMAT,
            requires: Vec::new(),
            version,
            created: terms.created,
            expires: terms.expires,
            keys: terms
                .keys
                .iter()
                .map(|key| (key.id(), Base64Bytes(key.to_bytes())))
                .collect(),
            roles: Roles {
                root: role(Role::Root),
                release: some(role(Role::Release)),
                development: some(role(Role::Development)),
                extra: Extra::new(),
            },
            revoked: terms.revoked,
            security_epoch: terms.security_epoch,
            sequence: terms.sequence,
            extra: Extra::new(),
        }
    }

    /// What the next document would say if nothing changed but its dates: the start of a rotation.
    pub fn terms(&self, created: Timestamp, expires: Timestamp) -> Result<RoleTerms, RolesError> {
        let roles = [Role::Root, Role::Release, Role::Development];
        let thresholds = roles
            .into_iter()
            .filter_map(|role| Some((role, self.role(role)?.threshold)))
            .collect();
        Ok(RoleTerms {
            created,
            expires,
            keys: self.public_keys()?,
            thresholds,
            revoked: self.revoked.clone(),
            security_epoch: self.security_epoch,
            sequence: self.sequence,
        })
    }

    /// The keys of a role, unless it is nobody's.
    pub fn role(&self, role: Role) -> Option<&RoleKeys> {
        match role {
            Role::Root => Some(&self.roles.root),
            Role::Release => self.roles.release.as_ref(),
            Role::Development => self.roles.development.as_ref(),
        }
    }
}

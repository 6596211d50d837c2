//! Which keys are believed, and how many of them it takes.
//!
//! Owns the set of trusted public keys and its thresholds. Never reads where the keys come from: a role document or a
//! command line names them. A machine that must refuse development images simply trusts no development key.
//!
//! Invariant: every role that has a key in the store has enough of them to reach the threshold.

use std::collections::{BTreeMap, BTreeSet};

use crate::failure::FailureClass;
use crate::keys::{KeyId, PublicKey, Role};

/// Most keys in a store.
pub const MAX_TRUSTED_KEYS: usize = 64;

/// A set of trusted keys was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// No keys.
    #[error(
        "the trust store has no keys, so nothing could ever be believed: give at least one public key"
    )]
    Empty,
    /// More than [`MAX_TRUSTED_KEYS`].
    #[error("the trust store has {found} keys, at most {MAX_TRUSTED_KEYS} are accepted")]
    TooMany {
        /// How many.
        found: usize,
    },
    /// Zero signatures would be enough.
    #[error("a threshold of 0 would believe unsigned releases: use 1 or more")]
    ZeroThreshold,
    /// More signatures asked for than there are keys.
    #[error(
        "threshold {threshold} cannot be reached with {keys} {role} keys: add keys or lower it"
    )]
    Unreachable {
        /// Signatures asked for.
        threshold: usize,
        /// Keys of the role.
        keys: usize,
        /// The role.
        role: Role,
    },
    /// One key id twice, which would let one key count twice or hold two roles.
    #[error("key {key} is in the trust store twice: name each public key once, in one role")]
    Duplicate {
        /// The id.
        key: KeyId,
    },
}

impl TrustError {
    /// The class, which decides the exit code.
    pub fn class(&self) -> FailureClass {
        FailureClass::BadTrustStore
    }

    /// Process exit code.
    pub fn exit_code(&self) -> u8 {
        self.class().exit_code()
    }
}

/// Keys that are believed, and how many valid signatures by keys of the fitting role a document needs.
#[derive(Debug, Clone)]
pub struct TrustStore {
    keys: BTreeMap<KeyId, PublicKey>,
    thresholds: BTreeMap<Role, usize>,
    revoked: BTreeSet<KeyId>,
}

impl TrustStore {
    /// Checks and makes a trust store with one threshold for every role.
    pub fn new(
        keys: impl IntoIterator<Item = PublicKey>,
        threshold: usize,
    ) -> Result<Self, TrustError> {
        let all = [Role::Development, Role::Release, Role::Root];
        Self::with_roles(keys, all.map(|role| (role, threshold)), [])
    }

    /// The same with a threshold for each role, and keys of which it is known that they must not count any more.
    pub(crate) fn with_roles(
        keys: impl IntoIterator<Item = PublicKey>,
        thresholds: impl IntoIterator<Item = (Role, usize)>,
        revoked: impl IntoIterator<Item = KeyId>,
    ) -> Result<Self, TrustError> {
        let mut store = TrustStore {
            keys: BTreeMap::new(),
            thresholds: thresholds.into_iter().collect(),
            revoked: revoked.into_iter().collect(),
        };
        for key in keys {
            let id = key.id();
            if store.keys.insert(id, key).is_some() {
                return Err(TrustError::Duplicate { key: id });
            }
        }
        match store.keys.len() {
            0 => return Err(TrustError::Empty),
            found if found > MAX_TRUSTED_KEYS => return Err(TrustError::TooMany { found }),
            _ => {}
        }
        for (&role, &threshold) in &store.thresholds {
            if threshold == 0 {
                return Err(TrustError::ZeroThreshold);
            }
            let keys = store.keys.values().filter(|key| key.role() == role).count();
            if (1..threshold).contains(&keys) {
                return Err(TrustError::Unreachable {
                    threshold,
                    keys,
                    role,
                });
            }
        }
        Ok(store)
    }

    /// The trusted key of this id.
    pub fn get(&self, id: KeyId) -> Option<&PublicKey> {
        self.keys.get(&id)
    }

    /// Whether this key was trusted once and must not be any more.
    pub fn is_revoked(&self, id: KeyId) -> bool {
        self.revoked.contains(&id)
    }

    /// Ids of all trusted keys, in order.
    pub fn key_ids(&self) -> impl Iterator<Item = KeyId> + '_ {
        self.keys.keys().copied()
    }

    /// Ids of the trusted keys of a role, in order.
    pub fn key_ids_of(&self, role: Role) -> impl Iterator<Item = KeyId> + '_ {
        let fits = move |key: &&PublicKey| key.role() == role;
        self.keys.values().filter(fits).map(PublicKey::id)
    }

    /// How many signatures by keys of this role a document needs. `None`: nobody can sign in this role.
    pub fn threshold(&self, role: Role) -> Option<usize> {
        self.thresholds.get(&role).copied()
    }
}

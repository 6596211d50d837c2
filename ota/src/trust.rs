//! Which keys are believed, and how many of them it takes.
//!
//! Owns the set of trusted public keys and its threshold. Never reads where the keys come from: an image carries them, a
//! command line names them. A machine that must refuse development images simply trusts no development key.
//!
//! Invariant: every role that has a key in the store has enough of them to reach the threshold.

use std::collections::BTreeMap;

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

/// Keys that are believed, and how many valid signatures by keys of the fitting role a release needs.
#[derive(Debug, Clone)]
pub struct TrustStore {
    keys: BTreeMap<KeyId, PublicKey>,
    threshold: usize,
}

impl TrustStore {
    /// Checks and makes a trust store.
    pub fn new(
        keys: impl IntoIterator<Item = PublicKey>,
        threshold: usize,
    ) -> Result<Self, TrustError> {
        let mut store = TrustStore {
            keys: BTreeMap::new(),
            threshold,
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
        if threshold == 0 {
            return Err(TrustError::ZeroThreshold);
        }
        for role in [Role::Development, Role::Release] {
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

    /// Ids of all trusted keys, in order.
    pub fn key_ids(&self) -> impl Iterator<Item = KeyId> + '_ {
        self.keys.keys().copied()
    }

    /// How many signatures a release needs.
    pub fn threshold(&self) -> usize {
        self.threshold
    }
}

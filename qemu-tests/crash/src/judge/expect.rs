//! What a disk may hold: the boot loader's files, and the releases that were ever given to it.

use roamcore_disk::verity::RootHash;
use serde::{Deserialize, Serialize};

/// SHA-256, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sha256(RootHash);

impl Sha256 {
    /// From its bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        // A root hash is a SHA-256 too, and its text form is the one wanted here.
        Self(RootHash::from_bytes(bytes))
    }
}

impl std::fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl std::fmt::Display for Sha256 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A file that no update touches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fixed {
    /// Path on the ESP.
    pub path: String,
    /// Its content.
    pub sha256: Sha256,
}

/// A release that a slot may hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Name for people.
    pub name: String,
    /// Its UKI.
    pub uki_sha256: Sha256,
    /// The root hash on that UKI's command line.
    pub root_hash: RootHash,
}

/// Everything that is known to be good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// The boot loader and its settings.
    pub fixed: Vec<Fixed>,
    /// All releases.
    pub releases: Vec<Release>,
}

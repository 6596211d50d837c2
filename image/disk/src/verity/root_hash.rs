//! The root hash, and the PARTUUIDs that let a boot find its partitions by it.
//!
//! Byte order: the Discoverable Partitions Specification takes the first and the last 128 bits of the root hash as
//! UUIDs; systemd prints those bytes in plain order (`sd_id128`), so the text of the GUID repeats the hex of the hash.
//! The mixed-endian swap happens only when the GUID is written into a GPT.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::gpt::Guid;

/// SHA-256 over salt and the top of the tree.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RootHash([u8; 32]);

/// Text that is not a root hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a root hash; write 64 hexadecimal digits")]
pub struct RootHashError {
    text: String,
}

impl RootHash {
    /// From its bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// PARTUUID of the data (root) partition and of the hash (verity) partition.
    #[must_use]
    pub fn partuuids(&self) -> (Guid, Guid) {
        let (mut root, mut verity) = ([0; 16], [0; 16]);
        root.copy_from_slice(&self.0[..16]);
        verity.copy_from_slice(&self.0[16..]);
        (Guid::from_bytes(root), Guid::from_bytes(verity))
    }
}

impl fmt::Display for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RootHash {
    type Err = RootHashError;

    fn from_str(text: &str) -> Result<Self, RootHashError> {
        let bad = || RootHashError {
            text: text.to_owned(),
        };
        if text.len() != 64 || !text.bytes().all(|c| c.is_ascii_hexdigit()) {
            return Err(bad());
        }
        let mut bytes = [0; 32];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| bad())?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for RootHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RootHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partuuids_repeat_the_hex_of_the_hash() {
        let text = "541215e312e3b53f2a2a615de501c8659a3b368ff1ca1e799b938c5468d66db2";
        let hash: RootHash = text.parse().unwrap();
        let (root, verity) = hash.partuuids();
        assert_eq!(hash.to_string(), text);
        assert_eq!(root.to_string(), "541215e3-12e3-b53f-2a2a-615de501c865");
        assert_eq!(verity.to_string(), "9a3b368f-f1ca-1e79-9b93-8c5468d66db2");
        assert_eq!(root.to_disk()[..4], [0xe3, 0x15, 0x12, 0x54]);
    }

    #[test]
    fn bad_text_is_refused() {
        for text in ["", "zz", &"+1".repeat(32), &"é".repeat(32)] {
            assert!(text.parse::<RootHash>().is_err(), "{text}");
        }
    }
}

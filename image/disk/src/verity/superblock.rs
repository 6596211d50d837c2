//! The 512-byte superblock, written into a block of its own.
//!
//! Never trusted: the root hash does not cover it. A changed salt or size shows as a root mismatch.

use super::{BLOCK, VerityError};
use crate::gpt::Guid;

/// Longest salt the format holds.
const MAX_SALT: usize = 256;

/// What a superblock of ours says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// UUID of the tree.
    pub uuid: Guid,
    /// Data blocks covered.
    pub data_blocks: u64,
    /// Salt put before every block.
    pub salt: Vec<u8>,
}

impl Superblock {
    /// One whole block: the superblock, then zeros.
    pub(super) fn encode(&self) -> Result<Vec<u8>, VerityError> {
        if self.salt.len() > MAX_SALT {
            return Err(VerityError::Salt {
                bytes: self.salt.len(),
            });
        }
        let mut out = Vec::with_capacity(BLOCK);
        out.extend(b"verity\0\0");
        out.extend(1_u32.to_le_bytes()); // version of the superblock
        out.extend(1_u32.to_le_bytes()); // hash type 1: salt first, digests packed
        out.extend(self.uuid.as_bytes());
        out.extend(b"sha256");
        out.resize(64, 0);
        out.extend((BLOCK as u32).to_le_bytes());
        out.extend((BLOCK as u32).to_le_bytes());
        out.extend(self.data_blocks.to_le_bytes());
        out.extend((self.salt.len() as u16).to_le_bytes());
        out.resize(88, 0);
        out.extend(&self.salt);
        out.resize(BLOCK, 0);
        Ok(out)
    }

    /// Parses a superblock; `raw` is its first 512 bytes or more.
    ///
    /// # Errors
    /// Any field that is not what [`super::build`] writes.
    pub fn parse(raw: &[u8]) -> Result<Self, VerityError> {
        let Some(raw) = raw.first_chunk::<512>() else {
            return Err(field("length", raw.len(), "at least 512 bytes"));
        };
        let le = |at: usize, len: usize| {
            raw[at..at + len]
                .iter()
                .rev()
                .fold(0_u64, |v, b| v << 8 | u64::from(*b))
        };
        if raw[..8] != *b"verity\0\0" {
            return Err(field(
                "signature",
                raw[..8].escape_ascii(),
                "verity\\x00\\x00",
            ));
        }
        for (name, at, len, expected, text) in [
            ("version", 8, 4, 1, "1"),
            ("hash type", 12, 4, 1, "1"),
            ("data block size", 64, 4, BLOCK as u64, "4096"),
            ("hash block size", 68, 4, BLOCK as u64, "4096"),
        ] {
            if le(at, len) != expected {
                return Err(field(name, le(at, len), text));
            }
        }
        if raw[32..64] != *b"sha256\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0" {
            return Err(field("algorithm", raw[32..64].escape_ascii(), "sha256"));
        }
        let data_blocks = le(72, 8);
        if data_blocks == 0 || data_blocks > i64::MAX as u64 / BLOCK as u64 {
            return Err(field("data blocks", data_blocks, "1 to 2^51 - 1"));
        }
        let salt_len = le(80, 2) as usize;
        let Some(salt) = raw[88..88 + MAX_SALT].get(..salt_len) else {
            return Err(field("salt size", salt_len, "at most 256"));
        };
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&raw[16..32]);
        Ok(Self {
            uuid: Guid::from_bytes(uuid),
            data_blocks,
            salt: salt.to_vec(),
        })
    }
}

fn field(field: &'static str, found: impl ToString, expected: &'static str) -> VerityError {
    VerityError::Superblock {
        field,
        found: found.to_string(),
        expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Superblock {
        Superblock {
            uuid: Guid::from_bytes([7; 16]),
            data_blocks: 129,
            salt: vec![1, 2, 3],
        }
    }

    #[test]
    fn round_trip() {
        assert_eq!(
            Superblock::parse(&sample().encode().unwrap()).unwrap(),
            sample()
        );
    }

    #[test]
    fn hostile_fields_are_named() {
        let cases: [(usize, u8, &str); 6] = [
            (
                0,
                b'x',
                "verity superblock: signature is xerity\\x00\\x00, expected verity\\x00\\x00",
            ),
            (12, 0, "verity superblock: hash type is 0, expected 1"),
            (34, b'1', "verity superblock: algorithm is"),
            (
                66,
                1,
                "verity superblock: data block size is 69632, expected 4096",
            ),
            (
                79,
                0x80,
                "verity superblock: data blocks is 9223372036854775937, expected 1 to 2^51 - 1",
            ),
            (
                81,
                2,
                "verity superblock: salt size is 515, expected at most 256",
            ),
        ];
        for (at, value, text) in cases {
            let mut raw = sample().encode().unwrap();
            raw[at] = value;
            let error = Superblock::parse(&raw).unwrap_err().to_string();
            assert!(error.starts_with(text), "{error}");
        }
        assert!(Superblock::parse(&[0; 511]).is_err());
    }
}

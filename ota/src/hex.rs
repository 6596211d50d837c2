//! Hexadecimal texts of the documents: lower case, two digits a byte, one spelling for one value.
//!
//! Owns reading and writing them, and the two values that have no type elsewhere: salts and UUIDs of hash trees.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::names::excerpt;

/// A text was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {value:?} is refused: {rule}")]
pub struct HexError {
    what: &'static str,
    value: String,
    rule: &'static str,
}

/// The salt of a dm-verity tree.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Salt(Vec<u8>);

/// The UUID of a dm-verity tree, in the byte order of its text (RFC 9562 section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Uuid([u8; 16]);

impl Salt {
    /// Longest salt, as dm-verity's superblock holds it.
    pub const MAX_LEN: usize = 256;

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<Vec<u8>> for Salt {
    type Error = HexError;

    fn try_from(bytes: Vec<u8>) -> Result<Self, HexError> {
        if bytes.len() <= Self::MAX_LEN {
            return Ok(Salt(bytes));
        }
        Err(HexError {
            what: "salt of",
            value: format!("{} bytes", bytes.len()),
            rule: "the format of dm-verity holds at most 256 bytes",
        })
    }
}

impl FromStr for Salt {
    type Err = HexError;

    fn from_str(text: &str) -> Result<Self, HexError> {
        let bytes = if text.len() <= 2 * Self::MAX_LEN {
            parse(text)
        } else {
            None
        };
        bytes.map(Salt).ok_or_else(|| HexError {
            what: "salt",
            value: excerpt(text),
            rule: "write 0 to 256 bytes as pairs of 0-9 and a-f",
        })
    }
}

impl std::fmt::Display for Salt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write(&self.0, f)
    }
}

impl Uuid {
    /// The 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl From<[u8; 16]> for Uuid {
    fn from(bytes: [u8; 16]) -> Self {
        Uuid(bytes)
    }
}

/// Digits of the five groups of a UUID's text.
const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];

impl FromStr for Uuid {
    type Err = HexError;

    fn from_str(text: &str) -> Result<Self, HexError> {
        let refuse = || HexError {
            what: "UUID",
            value: excerpt(text),
            rule: "write 8-4-4-4-12 of 0-9 and a-f",
        };
        if !text.split('-').map(str::len).eq(GROUPS) {
            return Err(refuse());
        }
        parse_exact(&text.replace('-', ""))
            .map(Uuid)
            .ok_or_else(refuse)
    }
}

impl std::fmt::Display for Uuid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut rest = &self.0[..];
        for (i, digits) in GROUPS.into_iter().enumerate() {
            let (group, after) = rest.split_at(digits / 2);
            rest = after;
            f.write_str(if i == 0 { "" } else { "-" })?;
            write(group, f)?;
        }
        Ok(())
    }
}

macro_rules! text_form {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = HexError;

            fn try_from(text: String) -> Result<Self, HexError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.to_string()
            }
        }
    };
}
text_form!(Salt);
text_form!(Uuid);

pub(crate) fn write(bytes: &[u8], f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Bytes of any number; callers bound the text first.
fn parse(text: &str) -> Option<Vec<u8>> {
    let nibble = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if !text.len().is_multiple_of(2) {
        return None;
    }
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| Some((nibble(pair[0])? << 4) | nibble(pair[1])?))
        .collect()
}

pub(crate) fn parse_exact<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N {
        return None;
    }
    parse(text)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn salts_and_uuids_have_one_spelling() {
        let text = "541215e3-12e3-b53f-2a2a-615de501c865";
        let uuid: Uuid = text.parse().unwrap();
        assert_eq!(uuid.as_bytes()[..4], [0x54, 0x12, 0x15, 0xe3]);
        assert_eq!(uuid.to_string(), text);
        for bad in [
            "",
            &text.to_uppercase(),
            &text.replace('-', ""),
            &text[1..],
            "541215e31-2e3-b53f-2a2a-615de501c865",
            "541215e3-12e3-b53f-2a2a-615de501c86g",
        ] {
            assert!(bad.parse::<Uuid>().is_err(), "{bad:?}");
        }
        let longest = "0f".repeat(256);
        for good in ["", "00", longest.as_str()] {
            assert_eq!(good.parse::<Salt>().unwrap().to_string(), good);
        }
        for bad in ["0", "0G", "AB", &"00".repeat(257), "é"] {
            assert!(bad.parse::<Salt>().is_err(), "{bad:?}");
        }
        assert!(Salt::try_from(vec![0; 257]).is_err());
    }
}

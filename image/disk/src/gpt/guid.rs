//! A GUID and its two byte orders.
//!
//! Owns parsing, printing and the conversion between the order of the text form (RFC 9562, what
//! `systemd` calls an id128) and the mixed-endian order GPT stores. Never generates one: GUIDs are inputs.
//!
//! ```text
//! text   12345678-9abc-def0-1122-334455667788
//! bytes  12 34 56 78 9a bc de f0 11 22 33 44 55 66 77 88   text order, kept here
//! disk   78 56 34 12 bc 9a f0 de 11 22 33 44 55 66 77 88   first three fields little-endian (UEFI 2.10, appendix A)
//! ```

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A GUID, held in text order; ordered and hashed by those bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Guid([u8; 16]);

/// Text that is not a GUID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a GUID; write 32 hexadecimal digits as 8-4-4-4-12, for example {}",
    Guid::NIL
)]
pub struct GuidError {
    text: String,
}

impl Guid {
    /// All zero: the type of an unused partition entry.
    pub const NIL: Self = Self([0; 16]);

    /// From bytes in text order.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes in text order.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// From the mixed-endian bytes of a GPT.
    #[must_use]
    pub const fn from_disk(bytes: [u8; 16]) -> Self {
        Self(swap(bytes))
    }

    /// The mixed-endian bytes of a GPT.
    #[must_use]
    pub const fn to_disk(self) -> [u8; 16] {
        swap(self.0)
    }

    /// Whether every byte is zero.
    #[must_use]
    pub fn is_nil(&self) -> bool {
        *self == Self::NIL
    }
}

/// Swapping is its own inverse, so one function serves both directions.
const fn swap(b: [u8; 16]) -> [u8; 16] {
    [
        b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13],
        b[14], b[15],
    ]
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Guid {
    type Err = GuidError;

    fn from_str(text: &str) -> Result<Self, GuidError> {
        let bad = || GuidError {
            text: text.to_owned(),
        };
        let raw = text.as_bytes();
        if raw.len() != 36 {
            return Err(bad());
        }
        let mut digits = Vec::with_capacity(32);
        for (i, c) in raw.iter().enumerate() {
            if matches!(i, 8 | 13 | 18 | 23) {
                if *c != b'-' {
                    return Err(bad());
                }
            } else {
                let digit = char::from(*c).to_digit(16).ok_or_else(bad)?;
                digits.push(u8::try_from(digit).map_err(|_| bad())?);
            }
        }
        let mut bytes = [0; 16];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair[0] << 4 | pair[1];
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Guid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Guid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_disk_order_match_the_uefi_esp_example() {
        // UEFI 2.10, table 5.7: the ESP type, as every GPT stores it.
        let esp: Guid = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B".parse().unwrap();
        assert_eq!(esp.to_string(), "c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
        assert_eq!(
            esp.to_disk()[..8],
            [0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11]
        );
        assert_eq!(Guid::from_disk(esp.to_disk()), esp);
    }

    #[test]
    fn bad_text_is_refused_with_the_text() {
        for text in [
            "",
            "c12a7328f81f11d2ba4b00a0c93ec93b",
            "c12a7328-f81f-11d2-ba4b-00a0c93ec93",
            "c12a7328-f81f-11d2-ba4b_00a0c93ec93b",
            "g12a7328-f81f-11d2-ba4b-00a0c93ec93b",
        ] {
            assert_eq!(
                text.parse::<Guid>().unwrap_err().to_string(),
                format!(
                    "{text:?} is not a GUID; write 32 hexadecimal digits as 8-4-4-4-12, for example 00000000-0000-0000-0000-000000000000"
                )
            );
        }
    }

    #[test]
    fn serde_is_a_string() {
        let guid = Guid::from_bytes([0x11; 16]);
        let json = serde_json::to_string(&guid).unwrap();
        assert_eq!(json, "\"11111111-1111-1111-1111-111111111111\"");
        assert_eq!(serde_json::from_str::<Guid>(&json).unwrap(), guid);
        assert!(serde_json::from_str::<Guid>("\"zz\"").is_err());
    }
}

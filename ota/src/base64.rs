//! Byte strings of fixed length that the documents write in Base64.
//!
//! Owns the one accepted spelling (RFC 4648 section 4, padded, unused bits zero), so that equal bytes have equal texts.

use base64ct::{Base64, Encoding};
use serde::{Deserialize, Serialize};

/// `N` bytes, Base64 in the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Base64Bytes<const N: usize>(pub(crate) [u8; N]);

impl<const N: usize> TryFrom<String> for Base64Bytes<N> {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut bytes = [0; N];
        match Base64::decode(&text, &mut bytes) {
            Ok(decoded) if decoded.len() == N => Ok(Base64Bytes(bytes)),
            _ => Err(format!("this must be {N} bytes in padded Base64")),
        }
    }
}

impl<const N: usize> From<Base64Bytes<N>> for String {
    fn from(bytes: Base64Bytes<N>) -> String {
        Base64::encode_string(&bytes.0)
    }
}

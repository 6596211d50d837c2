//! What the tests of both formats need: fixed keys, edits by hand, and the blocks of a book.
#![allow(dead_code, reason = "not every test program uses every helper")]

use std::error::Error;

use base64ct::{Base64, Encoding};
use roamcore_ota::{PrivateKey, Role, Timestamp};

pub fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A key whose secret is `seed` 32 times.
pub fn key(seed: u8, role: Role) -> PrivateKey {
    // RFC 8410 section 7: the fixed DER before the 32 secret bytes of a version 1 key.
    let mut der = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
    der.extend([seed; 32]);
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        Base64::encode_string(&der)
    );
    PrivateKey::from_pkcs8_pem(&pem, role).unwrap()
}

/// An error with its causes, as a program prints it.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// The document with the first `from` replaced: an edit by hand.
pub fn edited(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = std::str::from_utf8(bytes).unwrap();
    assert!(text.contains(from), "{from:?} is not in the document");
    text.replacen(from, to, 1).into_bytes()
}

pub fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[bit / 8] ^= 1 << (bit % 8);
    bytes
}

/// The fenced block of a book whose info string ends in this label.
pub fn block<'b>(book: &'b str, label: &str) -> &'b str {
    let fence = format!(" {label}\n");
    let (_, after) = book
        .split_once(&fence)
        .unwrap_or_else(|| panic!("no block {label}"));
    &after[..after.find("```").unwrap()]
}

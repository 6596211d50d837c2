//! Free text in lines: percent signs for what could be mistaken.

use super::TextError;

/// As Proxmox writes descriptions and comments: control characters, `%`, `:` and everything beyond ASCII as bytes of UTF-8.
pub fn encode_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' | b':' | 0..=0x1f | 0x7f.. => out.push_str(&format!("%{byte:02X}")),
            _ => out.push(byte.into()),
        }
    }
    out
}

/// The text again.
///
/// # Errors
/// A percent sign without two digits, which Proxmox would leave as it is; bytes that are not UTF-8.
pub fn decode_text(text: &str) -> Result<String, TextError> {
    let failed = |why| TextError::Encoding {
        text: text.into(),
        why,
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digit = |at: usize| rest.get(at).and_then(|b| char::from(*b).to_digit(16));
        let (Some(high), Some(low)) = (digit(0), digit(1)) else {
            return Err(failed("a percent sign without two hexadecimal digits"));
        };
        bytes.push((high * 16 + low) as u8);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).map_err(|_| failed("it does not decode to UTF-8"))
}

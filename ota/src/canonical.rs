//! Canonical JSON: one document, one sequence of bytes.
//!
//! Owns the form in which manifest and signature file are written, and the check that what was read has that form.
//! It is UTF-8; members sorted by the bytes of their names; two spaces per level, `": "` and a newline as `jq -S .` and
//! Python's `json.dumps(sort_keys=True, indent=2, ensure_ascii=False)` write them; one newline at the end; integers
//! only, within +-(2^53 - 1), because other JSON readers lose digits beyond (RFC 7493 section 2.2).
//!
//! Requiring the form on reading closes what signed JSON is known for: duplicate members that two parsers read
//! differently, and changes to the bytes that leave the content alone.

use serde::Serialize;
use serde_json::Value;

const MAX_INTEGER: u64 = (1 << 53) - 1;

/// A document is not, or cannot be put, in canonical form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalError {
    /// A fraction, an exponent, or an integer that other readers would round.
    #[error("number {number} is not an integer within +-9007199254740991: write it as a string")]
    Number {
        /// The number as this program prints it.
        number: String,
    },
    /// The bytes differ from the canonical ones.
    #[error(
        "byte {offset} differs from the canonical form (sorted members, each once, two spaces, one final newline): \
         the file was edited or re-formatted, take the original"
    )]
    Form {
        /// First byte that differs.
        offset: usize,
    },
    /// The value has no JSON form.
    #[error("the document cannot be written as JSON: {reason}")]
    Unwritable {
        /// What the serialiser said.
        reason: String,
    },
}

/// Writes a document in canonical form.
pub(crate) fn to_bytes(document: &impl Serialize) -> Result<Vec<u8>, CanonicalError> {
    let unwritable = |e: serde_json::Error| CanonicalError::Unwritable {
        reason: e.to_string(),
    };
    let mut value = serde_json::to_value(document).map_err(unwritable)?;
    check_numbers(&value)?;
    value.sort_all_objects();
    let mut bytes = serde_json::to_vec_pretty(&value).map_err(unwritable)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Proves that `bytes` are what [`to_bytes`] makes of the document that was read from them.
pub(crate) fn check(bytes: &[u8], document: &impl Serialize) -> Result<(), CanonicalError> {
    let canonical = to_bytes(document)?;
    if canonical == bytes {
        return Ok(());
    }
    let same = canonical
        .iter()
        .zip(bytes)
        .take_while(|(a, b)| a == b)
        .count();
    Err(CanonicalError::Form { offset: same })
}

fn check_numbers(value: &Value) -> Result<(), CanonicalError> {
    match value {
        Value::Number(number) => {
            let magnitude = number
                .as_i64()
                .map(i64::unsigned_abs)
                .or_else(|| number.as_u64());
            match magnitude {
                Some(magnitude) if magnitude <= MAX_INTEGER => Ok(()),
                _ => Err(CanonicalError::Number {
                    number: number.to_string(),
                }),
            }
        }
        Value::Array(items) => items.iter().try_for_each(check_numbers),
        Value::Object(members) => members.values().try_for_each(check_numbers),
        Value::Null | Value::Bool(_) | Value::String(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_form_is_that_of_jq_and_python() {
        let text = to_bytes(&json!({"b": [], "a": {"z": 1, "y": [1, "ü\n"]}, "B": {}})).unwrap();
        let expected = "{\n  \"B\": {},\n  \"a\": {\n    \"y\": [\n      1,\n      \"ü\\n\"\n    ],\n    \"z\": 1\n  },\n  \
                        \"b\": []\n}\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn other_forms_are_refused_with_the_offset() {
        let cases: [(&str, &str); 8] = [
            ("{\"a\":1}\n", "byte 1 differs"),
            ("{\n  \"a\": 1\n}", "byte 12 differs"),
            ("{\n  \"a\": 1\n}\n\n", "byte 13 differs"),
            ("{\n  \"a\": 0,\n  \"a\": 1\n}\n", "byte 9 differs"),
            ("{\n  \"b\": 0,\n  \"a\": 1\n}\n", "byte 5 differs"),
            ("{\n  \"\\u0061\": 1\n}\n", "byte 5 differs"),
            ("{\n  \"a\": 1.5\n}\n", "number 1.5 is not an integer"),
            (
                "{\n  \"a\": 9007199254740992\n}\n",
                "number 9007199254740992 is not an integer",
            ),
        ];
        for (text, message) in cases {
            let value: Value = serde_json::from_str(text).unwrap();
            let error = check(text.as_bytes(), &value).unwrap_err().to_string();
            assert!(error.starts_with(message), "{text:?}: {error}");
        }
    }
}

//! `PUT .../configData`: what the device says about itself.
//!
//! Owns: the document and hawkBit's rules for it. Never does: drop an attribute silently.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::null_is_default;

/// hawkBit answers 429 to more.
pub const MOST_ATTRIBUTES: usize = 100;
/// Characters of a key, and of a value.
pub const LONGEST_ATTRIBUTE: usize = 128;
/// Signs allowed beside letters and digits: no `~`, no backtick, nothing beyond ASCII.
const SIGNS: &str = "_-!@#$%^&*()+=[]{}|;:'\",.<>/\\? \t\n\r\u{b}\u{c}";

/// How attributes meet those that the server has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttributeMode {
    /// Added to them, replacing equal names.
    #[default]
    Merge,
    /// Instead of them.
    Replace,
    /// Names to remove; does not answer the server's request for attributes.
    Remove,
}

/// The device's attributes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigData {
    /// What to do with them.
    #[serde(default, deserialize_with = "null_is_default")]
    pub mode: AttributeMode,
    /// The attributes.
    pub data: BTreeMap<String, String>,
}

/// An attribute that hawkBit would refuse, and with it the whole document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttributeError {
    /// Too many.
    #[error("{0} attributes, the most is {MOST_ATTRIBUTES}; leave some out")]
    TooMany(usize),
    /// Too long, empty, or with a character that is not allowed.
    #[error(
        "attribute {key:?} = {value:?}: a name has 1 to {LONGEST_ATTRIBUTE} and a value 0 to {LONGEST_ATTRIBUTE} characters of \
         A-Z, a-z, 0-9, space and _-!@#$%^&*()+=[]{{}}|;:'\",.<>/\\?"
    )]
    Text {
        /// Start of the name.
        key: String,
        /// Start of the value.
        value: String,
    },
}

/// True for a character that hawkBit takes in names and values.
pub fn is_attribute_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || SIGNS.contains(c)
}

impl ConfigData {
    /// Applies the server's rules.
    pub fn check(&self) -> Result<(), AttributeError> {
        if self.data.len() > MOST_ATTRIBUTES {
            return Err(AttributeError::TooMany(self.data.len()));
        }
        let plain = |text: &str| {
            text.chars().count() <= LONGEST_ATTRIBUTE && text.chars().all(is_attribute_char)
        };
        match self
            .data
            .iter()
            .find(|(key, value)| key.is_empty() || !plain(key) || !plain(value))
        {
            None => Ok(()),
            Some((key, value)) => Err(AttributeError::Text {
                key: key.chars().take(LONGEST_ATTRIBUTE).collect(),
                value: value.chars().take(LONGEST_ATTRIBUTE).collect(),
            }),
        }
    }
}

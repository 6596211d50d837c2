//! Proxmox's text formats: guest configurations, property strings, section files.
//!
//! Owns grammar ([`GuestConfig`], [`SectionFile`], [`encode_text`]) and, apart from it, what keys and values mean
//! ([`schema`]): Proxmox reads leniently and drops what it does not know at its next write, so a text that parses there may
//! still be wrong. Never fills in a default. Invariant: what is written here parses here, and parsing and writing it again
//! gives the same bytes; Proxmox's own parsers in their strict mode read it and would write the same.
//!
//! ```text
//!  guest configuration                         section file
//!    #description, encoded, line by line         type: id
//!    key: value        sorted by bytes           <TAB>key value
//!    lxc.key: value    containers, as given      <TAB>flag
//!                                                (one blank line, after every section: the next is swallowed without)
//!    [PENDING], [special:...], [snapshot]
//! ```

mod encode;
mod guest;
mod props;
pub mod schema;
mod section;

pub use encode::{decode_text, encode_text};
pub use guest::{Block, GuestConfig, Kind};
pub use props::Props;
pub use section::{Header, Section, SectionFile};

/// A text or a value that is not as the format wants it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// A line that cannot be read.
    #[error("line {line}: {text:?}: {why}")]
    Line {
        /// Number of the line, from 1.
        line: usize,
        /// The line.
        text: String,
        /// What is wrong and what would be right.
        why: String,
    },
    /// A key that no line can begin with.
    #[error("key {key:?}: {why}")]
    Key {
        /// The key.
        key: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A value that no line can end with.
    #[error("{key}: value {value:?}: {why}")]
    Value {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What is wrong.
        why: &'static str,
    },
    /// Percent signs that encode nothing.
    #[error("encoded text {text:?}: {why}")]
    Encoding {
        /// The text.
        text: String,
        /// What is wrong.
        why: &'static str,
    },
}

/// A value as the end of a line: Proxmox cuts white space at both ends, and a line break would begin another key.
fn check_value(key: &str, value: &str) -> Result<(), TextError> {
    let why = if value.is_empty() {
        "is empty; leave the key out instead"
    } else if value.trim() != value {
        "begins or ends with white space, which would be cut off"
    } else if !value.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        "has something else than printable ASCII"
    } else {
        return Ok(());
    };
    Err(TextError::Value {
        key: key.into(),
        value: value.into(),
        why,
    })
}

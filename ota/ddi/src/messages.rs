//! Every document of DDI v1, for reading and for writing.
//!
//! Owns: names and shapes as hawkBit 1.x has them. Never does: I/O, repair a value. Members that are
//! not known are ignored when reading, as hawkBit itself does, so that newer servers stay readable;
//! a known member with an unknown value is an error, since guessing it would be acting on a guess.
//! Invariant: what is written can be read back as the same value.
//!
//! ```text
//!   Poll --link--> DeploymentBase --chunks--> Artifact --link--> bytes
//!        --link--> CancelAction        <-- Feedback -- device
//!        --link--> ConfirmationBase    <-- ConfirmationFeedback
//!        --link--> ConfigData (device's attributes), InstalledBase
//! ```

mod action;
mod attributes;
mod cancel;
mod confirmation;
mod deployment;
mod error;
mod feedback;
mod installed;
mod poll;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

pub use action::{ActionId, ActionIdError, ActionRef, LinkError};
pub use attributes::{
    AttributeError, AttributeMode, ConfigData, LONGEST_ATTRIBUTE, MOST_ATTRIBUTES,
    is_attribute_char,
};
pub use cancel::{CancelAction, StopAction};
pub use confirmation::{
    ActivateAutoConfirm, AutoConfirm, ConfirmationBase, ConfirmationFeedback, ConfirmationInfo,
    ConfirmationLinks, Decision,
};
pub use deployment::{
    ActionHistory, Artifact, Chunk, Deployment, DeploymentBase, Handling, Hashes, Metadata, Window,
};
pub use error::{QUOTA_ENTRIES, ServerError};
pub use feedback::{
    Execution, Feedback, Finished, LONGEST_DETAIL, MOST_DETAILS, Outcome, Progress, Status,
};
pub use installed::InstalledBase;
pub use poll::{
    CancelLink, ConfirmationLink, DeploymentLink, Poll, PollConfig, PollLinks, Polling,
};

/// Largest JSON document that is read. A deployment of a thousand artifacts has less than half of it.
pub const MAX_DOCUMENT: usize = 1 << 20;

/// A link of HAL: `{"href": "..."}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Where it points, as the server wrote it.
    pub href: String,
}

impl Link {
    /// A link to `href`.
    pub fn to(href: impl Into<String>) -> Self {
        Self { href: href.into() }
    }
}

/// A document that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// Too many bytes, whatever they are.
    #[error(
        "refused {what} of {size} bytes, the most is {MAX_DOCUMENT}; ask the server's operator what it sends"
    )]
    TooLarge {
        /// Which document.
        what: &'static str,
        /// Its size, or the part seen so far.
        size: usize,
    },
    /// Not even the right kind of JSON.
    #[error(
        "refused {what}: it does not begin with {sign:?} (a proxy's login page is a common cause)"
    )]
    Kind {
        /// Which document.
        what: &'static str,
        /// How it begins in DDI v1.
        sign: char,
    },
    /// Not JSON, or JSON of another shape.
    #[error("refused {what}: it is not the JSON document of DDI v1")]
    Shape {
        /// Which document.
        what: &'static str,
        /// Where and what.
        #[source]
        source: serde_json::Error,
    },
}

/// Reads one document; `what` names it in errors.
pub fn read<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, MessageError> {
    // Otherwise serde would take `[]` for an object whose members are all missing.
    begins_with(b'{', what, bytes)?;
    serde_json::from_slice(bytes).map_err(|source| MessageError::Shape { what, source })
}

/// Reads a list of documents.
pub fn read_list<T: DeserializeOwned>(
    what: &'static str,
    bytes: &[u8],
) -> Result<Vec<T>, MessageError> {
    begins_with(b'[', what, bytes)?;
    serde_json::from_slice(bytes).map_err(|source| MessageError::Shape { what, source })
}

fn begins_with(sign: u8, what: &'static str, bytes: &[u8]) -> Result<(), MessageError> {
    if bytes.len() > MAX_DOCUMENT {
        return Err(MessageError::TooLarge {
            what,
            size: bytes.len(),
        });
    }
    match bytes.trim_ascii_start().first() {
        Some(first) if *first == sign => Ok(()),
        _ => Err(MessageError::Kind {
            what,
            sign: char::from(sign),
        }),
    }
}

/// Servers in Java write `null` where others leave a member out.
fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests;

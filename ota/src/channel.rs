//! For whom an image is.
//!
//! Owns the two channels and which role of keys speaks for each. Never judges a signature.

use serde::{Deserialize, Serialize};

use crate::keys::Role;

/// Whether an image is for developers or for everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// May contain stand-ins and test doors; only development keys sign it.
    Development,
    /// For users' machines; only release keys count.
    Release,
}

impl Channel {
    /// The role whose signatures count for this channel.
    pub fn role(self) -> Role {
        match self {
            Channel::Development => Role::Development,
            Channel::Release => Role::Release,
        }
    }
}

impl std::fmt::Display for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Channel::Development => "development",
            Channel::Release => "release",
        })
    }
}

//! What is to be done, and for whom.
//!
//! Owns: the plain types. Never does: decide. Invariant: two attempts at one release have different numbers.

use roamcore_ota::Digest;
use serde::{Deserialize, Serialize};

use crate::offer::{ActionId, Mode};

/// Number of a job on this device, so that two attempts at one release are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub u64);

/// Who asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// An action of the server.
    Server {
        /// Which.
        action: ActionId,
        /// Of its content.
        fingerprint: Digest,
    },
    /// A file at the device.
    Local {
        /// Where it is.
        place: String,
    },
    /// Somebody at the device wants the other slot back.
    Previous,
    /// Not known: the record was lost and the disk shows a trial.
    Recovered,
}

impl Source {
    /// The server's action, when it is one.
    pub fn action(&self) -> Option<&ActionId> {
        match self {
            Self::Server { action, .. } => Some(action),
            Self::Local { .. } | Self::Previous | Self::Recovered => None,
        }
    }
}

/// A person's consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Consent {
    /// Nobody was asked, or nobody answered.
    Open,
    /// Given, for writing and for the reboot.
    Given,
}

/// What is to be done, and for whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Which.
    pub id: JobId,
    /// Who asked.
    pub source: Source,
    /// For people, before the manifest is known.
    pub title: String,
    /// When.
    pub mode: Mode,
    /// Asked for by the policy or by the server.
    pub consent: Consent,
    /// Failed attempts in this phase that count (no network does not).
    pub failures: u32,
    /// The server was told that everything is downloaded.
    pub told_downloaded: bool,
    /// The last percentage it was told; durable, so that a process that restarts often stays within hawkBit's 1000 status
    /// entries per action.
    pub told_percent: Option<u8>,
}

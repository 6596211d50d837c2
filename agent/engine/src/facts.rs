//! What the disk and the boot loader say, as the engine needs it.
//!
//! Owns: the plain types. Never does: I/O, decide. Invariant: facts are read, never remembered: after any power cut the
//! engine believes them and not its own notes.

use roamcore_agent::slot::Slot;
use roamcore_ota::{Digest, Floors, Ident, Timestamp, Version};
use serde::{Deserialize, Serialize};

/// One boot of the kernel (`/proc/sys/kernel/random/boot_id`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootId(pub String);

/// What a release is called and where it stands in the order of releases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Appliance; also the name of its distribution sets on a server.
    pub product: Ident,
    /// For people, and the version of its distribution sets.
    pub version: Version,
    /// Order of releases.
    pub sequence: u64,
    /// Never goes down.
    pub security_epoch: u32,
}

impl std::fmt::Display for Release {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} {} (sequence {}, epoch {})",
            self.product, self.version, self.sequence, self.security_epoch
        )
    }
}

/// A judged update: what will be in the idle slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// SHA-256 of its `update.json`, by which the device finds the judged documents again.
    pub manifest: Digest,
    /// Name and order.
    pub release: Release,
    /// The one identity of the slot's content: no two slots ever have the same.
    pub root_hash: Digest,
    /// Judged again before arming, when the clock is set.
    pub expires: Option<Timestamp>,
    /// Size of the root image, for people and for percentages.
    pub root_bytes: u64,
    /// The floors once it is committed.
    pub floors: Floors,
    /// A time that has passed when this was accepted.
    pub created: Option<Timestamp>,
}

/// State of a slot's boot entry on the ESP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entry {
    /// None, or a temporary one that no boot loader reads.
    Absent,
    /// On trial.
    Counted {
        /// Tries the boot loader still has.
        left: u32,
        /// Tries it used.
        done: u32,
    },
    /// Permanent.
    Committed,
}

/// One slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotFacts {
    /// Which.
    pub slot: Slot,
    /// Root hash by its PARTUUIDs; none while it is invalid.
    pub root_hash: Option<Digest>,
    /// What it holds, as far as it can be told.
    pub release: Option<Release>,
    /// Its boot entry.
    pub entry: Entry,
    /// Whether its UKI is in place.
    pub uki: bool,
}

/// Everything about this boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Which boot.
    pub boot: BootId,
    /// The slot that runs.
    pub running: SlotFacts,
    /// The other one.
    pub idle: SlotFacts,
    /// This boot is a trial that is not committed yet.
    pub on_trial: bool,
    /// Positive evidence that an earlier trial boot failed of itself and was not merely interrupted: what it is.
    pub failure_sign: Option<String>,
    /// Trial boots since arming that came as far as the state partition.
    pub came_up: u32,
}

/// What remains of a failed trial boot, best first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Last lines of its journal.
    pub journal: Vec<String>,
    /// Last lines of its pstore dump.
    pub pstore: Vec<String>,
    /// What noticed the failure: watchdog status, boot counter, verity.
    pub detectors: Vec<String>,
}

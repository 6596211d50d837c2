//! `guests.json`: what the builder says about pool, templates and guests.
//!
//! Owns: the document, its version and its rules. Never does: I/O. Invariant: a [`Plan`] has passed every rule, so that the
//! planner never meets a name, number or size that LVM or Proxmox would refuse.
//!
//! The document lies in the verified image; it is read strictly all the same, since it decides what is written where.

mod check;

use roamcore_ota::Digest;
use serde::{Deserialize, Serialize};

pub use check::{MOST_DISKS, MOST_GUESTS, MOST_TEMPLATES};

/// A hundred times what an appliance with a dozen guests needs.
pub const MOST_BYTES: usize = 1 << 20;
/// The schema this program reads.
pub const SCHEMA: u32 = 1;

/// What is to be on the device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Where the volumes are.
    pub pool: Pool,
    /// What guests are cloned from.
    pub templates: Vec<Template>,
    /// The guests.
    pub guests: Vec<Guest>,
}

/// The thin pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// GPT label of the partition.
    pub partition: String,
    /// The volume group on it.
    pub group: String,
    /// The thin pool in the group.
    pub name: String,
}

/// One version of a template: one disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// Its name; guests refer to it.
    pub id: String,
    /// Its version, as its maker calls it.
    pub version: String,
    /// Its number in Proxmox, from 9000. Another version has another number.
    pub number: u32,
    /// What its guests are.
    pub kind: Kind,
    /// Its file, below the root of the seed.
    pub file: String,
    /// Bytes once unpacked.
    pub size: u64,
    /// Bytes of its volume, when that has to be larger than the content: the file system that an archive is unpacked into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<u64>,
    /// SHA-256 of the unpacked bytes.
    pub sha256: Digest,
    /// How the file is packed.
    pub compression: Compression,
    /// What the unpacked bytes are.
    pub format: Format,
}

impl Template {
    /// Bytes that its volume has to have.
    #[must_use]
    pub fn volume_bytes(&self) -> u64 {
        self.volume.unwrap_or(self.size)
    }
}

/// What a guest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A virtual machine.
    Vm,
    /// A container.
    Ct,
}

/// How a template's file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    None,
    /// Zstandard.
    Zstd,
}

/// What a template's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// The volume, byte by byte.
    Raw,
    /// A tar archive of a container's root directory, with the owners that it shall have on the volume: those of the
    /// container's range, if it has no privileges.
    Tar,
}

/// A guest's volumes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guest {
    /// Its number in Proxmox, 100 to 8999.
    pub vmid: u32,
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Guests with a lower one start before it, and get their volumes before it.
    pub order: u32,
    /// Its disks.
    pub disks: Vec<Disk>,
    /// Its snapshots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots: Option<Snapshots>,
}

/// One disk of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// N of `vm-ID-disk-N`.
    pub number: u32,
    /// Bytes.
    pub size: u64,
    /// Id of the template it is a clone of; without it, it is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// What only this unit knows is written on it before the guest sees it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub personal: bool,
}

/// When snapshots are made, in UTC, and which are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshots {
    /// Days of the week, Monday is 1; none means every day.
    #[serde(default)]
    pub days: Vec<u8>,
    /// Minute of the day.
    pub minute: u16,
    /// Which are kept.
    pub keep: Keep,
}

/// How many are kept: the newest, and the newest of each of so many days, weeks and months.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keep {
    /// The newest.
    pub last: u32,
    /// Of as many days.
    pub daily: u32,
    /// Of as many weeks.
    pub weekly: u32,
    /// Of as many months.
    pub monthly: u32,
}

/// Why a document is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Larger than any plan.
    #[error("guests.json has {size} bytes, more than {MOST_BYTES}")]
    TooLarge {
        /// Its size.
        size: usize,
    },
    /// Not the document's grammar.
    #[error("guests.json cannot be read: {0}")]
    Grammar(String),
    /// Another schema.
    #[error("guests.json has schema {seen}, this program reads {SCHEMA}")]
    Schema {
        /// The one seen.
        seen: u32,
    },
    /// A rule is broken.
    #[error("guests.json: {at}: {seen}: {rule}")]
    Rule {
        /// Which member.
        at: String,
        /// The value seen.
        seen: String,
        /// What would be accepted.
        rule: &'static str,
    },
}

impl Plan {
    /// Reads and checks a document.
    ///
    /// # Errors
    /// It is too large, of another schema, not of the grammar, or breaks a rule.
    pub fn parse(bytes: &[u8]) -> Result<Self, PlanError> {
        #[derive(Deserialize)]
        struct Head {
            schema: u32,
        }
        if bytes.len() > MOST_BYTES {
            return Err(PlanError::TooLarge { size: bytes.len() });
        }
        let grammar = |error: serde_json::Error| PlanError::Grammar(error.to_string());
        let head: Head = serde_json::from_slice(bytes).map_err(grammar)?;
        if head.schema != SCHEMA {
            return Err(PlanError::Schema { seen: head.schema });
        }
        let plan: Self = serde_json::from_slice(bytes).map_err(grammar)?;
        check::check(&plan)?;
        Ok(plan)
    }

    /// The document of a plan, for the builder; checked as a reader would.
    ///
    /// # Errors
    /// It breaks a rule.
    pub fn encode(&self) -> Result<Vec<u8>, PlanError> {
        check::check(self)?;
        let mut bytes =
            serde_json::to_vec_pretty(self).map_err(|e| PlanError::Grammar(e.to_string()))?;
        bytes.push(b'\n');
        match bytes.len() {
            size if size > MOST_BYTES => Err(PlanError::TooLarge { size }),
            _ => Ok(bytes),
        }
    }

    /// The template of an id.
    #[must_use]
    pub fn template(&self, id: &str) -> Option<&Template> {
        self.templates.iter().find(|template| template.id == id)
    }

    /// The guest of a number.
    #[must_use]
    pub fn guest(&self, vmid: u32) -> Option<&Guest> {
        self.guests.iter().find(|guest| guest.vmid == vmid)
    }

    /// Guests in the order of their start.
    #[must_use]
    pub fn in_order(&self) -> Vec<&Guest> {
        let mut guests: Vec<_> = self.guests.iter().collect();
        guests.sort_by_key(|guest| (guest.order, guest.vmid));
        guests
    }
}

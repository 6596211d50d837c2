//! What no volume can say of itself.
//!
//! Owns: the record's format. Never does: I/O; [`crate::Machine`] keeps it, as one small file that is the old or the new
//! one after a power cut. Invariant: a damaged record is an error, never an empty one.
//!
//! It remembers which pool and which disks were made, so that one that is gone is told and never quietly replaced by an
//! empty one; and the jobs that a person asked for, until the last of their steps is done.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::names::DiskId;

/// Some hundred disks.
pub const MOST_BYTES: usize = 1 << 20;
const FORMAT: u32 = 1;

/// The record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// UUID of the volume group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Disks that were made, as guest and disk number.
    #[serde(default)]
    disks: BTreeSet<(u32, u32)>,
    /// What is to be done, one job for a guest.
    #[serde(default)]
    pub jobs: Vec<Job>,
    /// Number of the last job.
    #[serde(default)]
    pub last_job: u64,
}

/// New disks for a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// Its number, which the new disks carry as a tag.
    pub number: u64,
    /// The guest.
    pub vmid: u32,
    /// Its disks that are replaced.
    pub disks: BTreeSet<u32>,
    /// What they are made from.
    pub from: From,
}

/// What a guest's new disks are made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum From {
    /// Its template, as on the first boot.
    Template,
    /// Its snapshot of this time.
    Snapshot(u64),
}

/// Why there is no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Not what was written.
    #[error(
        "the record of the guests' volumes is damaged ({0}); remove it to go on from what is on the disk: a reset or \
         rollback that was under way is then forgotten, and every disk that exists counts as made"
    )]
    Damaged(String),
    /// Of a newer program.
    #[error("the record of the guests' volumes has format {seen}, this program reads {FORMAT}")]
    Newer {
        /// The one seen.
        seen: u32,
    },
}

#[derive(Serialize)]
struct Out<'a> {
    format: u32,
    record: &'a Record,
}

#[derive(Deserialize)]
struct Head {
    format: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct In {
    #[serde(rename = "format")]
    _format: u32,
    record: Record,
}

impl Record {
    /// Reads a file's content.
    ///
    /// # Errors
    /// It is damaged, or of a newer program.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        let damaged = |error: serde_json::Error| RecordError::Damaged(error.to_string());
        if bytes.len() > MOST_BYTES {
            return Err(RecordError::Damaged(format!("{} bytes", bytes.len())));
        }
        let head: Head = serde_json::from_slice(bytes).map_err(damaged)?;
        if head.format != FORMAT {
            return Err(RecordError::Newer { seen: head.format });
        }
        let found: In = serde_json::from_slice(bytes).map_err(damaged)?;
        let guests: BTreeSet<u32> = found.record.jobs.iter().map(|job| job.vmid).collect();
        if guests.len() != found.record.jobs.len() {
            return Err(RecordError::Damaged("two jobs of one guest".into()));
        }
        Ok(found.record)
    }

    /// A file's content.
    ///
    /// # Errors
    /// None that can occur: there is no map and no failing member in it.
    pub fn encode(&self) -> Result<Vec<u8>, RecordError> {
        let out = Out {
            format: FORMAT,
            record: self,
        };
        serde_json::to_vec(&out).map_err(|e| RecordError::Damaged(e.to_string()))
    }

    /// True when the disk was made once.
    #[must_use]
    pub fn made(&self, id: DiskId) -> bool {
        self.disks.contains(&(id.vmid, id.disk))
    }

    /// True when any disk was made.
    #[must_use]
    pub fn any_made(&self) -> bool {
        !self.disks.is_empty()
    }

    /// Notes that a disk is made.
    pub fn note(&mut self, id: DiskId) {
        self.disks.insert((id.vmid, id.disk));
    }

    /// The job of a guest.
    #[must_use]
    pub fn job(&self, vmid: u32) -> Option<&Job> {
        self.jobs.iter().find(|job| job.vmid == vmid)
    }
}

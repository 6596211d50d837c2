//! New disks for one guest: from its template, or from a snapshot.
//!
//! Owns: taking a person's wish into the record. Never does: touch a volume (the planner's steps do). Invariants: a wish is
//! durable before its first step; from the first exchanged disk on there is no way but forward; no other guest is in any
//! step of it.

use std::collections::BTreeSet;

use crate::machine::Machine;
use crate::names::{DiskId, Volume};
use crate::next::job_of;
use crate::plan::Plan;
use crate::record::{From, Job, Record};
use crate::report::Lvm;
use crate::run::{self, Event, Outcome, RunError};
use crate::snapshot;

/// Why a wish was refused; nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Not in the plan.
    #[error("there is no guest {vmid}")]
    NoGuest {
        /// Its number.
        vmid: u32,
    },
    /// It runs.
    #[error("guest {name:?} has disk {id} open; stop it first")]
    InUse {
        /// The disk.
        id: DiskId,
        /// The guest.
        name: String,
    },
    /// Another one is under way.
    #[error("another reset or rollback of guest {name:?} is not done yet")]
    Busy {
        /// The guest.
        name: String,
    },
    /// There is no such snapshot, or only a part of it.
    #[error("guest {name:?} has no whole snapshot of {at}")]
    NoSnapshot {
        /// The guest.
        name: String,
        /// Its time.
        at: u64,
    },
}

/// Either of both.
#[derive(Debug, thiserror::Error)]
pub enum ResetError {
    /// Refused.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Begun, not ended; a run goes on with it.
    #[error(transparent)]
    Run(#[from] RunError),
}

/// The record with the wish in it. To wish the same again while it is under way changes nothing.
///
/// # Errors
/// The guest is unknown, runs, has another job, or no such snapshot.
pub fn request(
    plan: &Plan,
    lvm: &Lvm,
    record: &Record,
    vmid: u32,
    from: From,
) -> Result<Record, RequestError> {
    let guest = plan.guest(vmid).ok_or(RequestError::NoGuest { vmid })?;
    let name = || guest.name.clone();
    if let Some(job) = record.job(vmid) {
        if job.from == from {
            return Ok(record.clone());
        }
        return Err(RequestError::Busy { name: name() });
    }
    let mut disks: BTreeSet<u32> = guest.disks.iter().map(|disk| disk.number).collect();
    for disk in &disks {
        let id = DiskId { vmid, disk: *disk };
        if lvm.get(Volume::Disk(id)).is_some_and(|found| found.open) {
            return Err(RequestError::InUse { id, name: name() });
        }
    }
    if let From::Snapshot(at) = from {
        let all = snapshot::of_guest(lvm, vmid);
        let found = all.iter().find(|one| one.at == at && one.whole);
        let found = found.ok_or_else(|| RequestError::NoSnapshot { name: name(), at })?;
        // A disk that the guest got since is as it is.
        disks.retain(|disk| found.disks.contains(disk));
        if disks.is_empty() {
            return Err(RequestError::NoSnapshot { name: name(), at });
        }
    }
    // A record that was lost begins to count anew; the tags of earlier jobs are still on the disks.
    let tags = lvm.volumes.values().flat_map(|volume| &volume.tags);
    let seen = tags.filter_map(|tag| job_of(tag)).max().unwrap_or(0);
    let number = record.last_job.max(seen).saturating_add(1);
    let mut record = record.clone();
    record.last_job = number;
    record.jobs.push(Job {
        number,
        vmid,
        disks,
        from,
    });
    Ok(record)
}

/// Gives a stopped guest new disks: factory reset with [`From::Template`], rollback with [`From::Snapshot`].
///
/// # Errors
/// Refused, or begun and not ended.
pub fn reset(
    plan: &Plan,
    machine: &mut dyn Machine,
    vmid: u32,
    from: From,
    events: &mut dyn FnMut(Event),
) -> Result<Outcome, ResetError> {
    let record = run::record(machine)?;
    let lvm = run::survey(plan, machine)?;
    let wished = request(plan, &lvm, &record, vmid, from)?;
    if wished != record {
        run::save(machine, &wished)?;
    }
    Ok(run::run(plan, machine, events)?)
}

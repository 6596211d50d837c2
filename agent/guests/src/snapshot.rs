//! Snapshots of a guest's disks.
//!
//! Owns: taking, listing, dropping. Never does: decide when (see [`crate::retention`]). Invariant: a snapshot with fewer
//! volumes than it was begun with is no snapshot: nobody can roll back to it, and it is dropped.
//!
//! The disks of a guest are taken one after the other: each as after a power cut, not all of one moment. A guest that has
//! to have them of one moment is frozen by the caller meanwhile.

use std::collections::BTreeMap;

use crate::command;
use crate::machine::Machine;
use crate::names::{DiskId, Volume};
use crate::next::{Step, sha_of};
use crate::plan::Plan;
use crate::report::{LogicalKind, Lvm};
use crate::reset::RequestError;
use crate::run::{self, RunError};

const OF: &str = "roamcore.of.";

/// A snapshot of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// When it was taken, in seconds since 1970.
    pub at: u64,
    /// The disks in it.
    pub disks: Vec<u32>,
    /// It has all that it was begun with.
    pub whole: bool,
}

/// The snapshots of a guest, oldest first.
#[must_use]
pub fn of_guest(lvm: &Lvm, vmid: u32) -> Vec<Snapshot> {
    let mut found: BTreeMap<u64, (Vec<u32>, bool)> = BTreeMap::new();
    let mut wanted: BTreeMap<u64, usize> = BTreeMap::new();
    for (name, volume) in &lvm.volumes {
        let Some(Volume::Snapshot(id, at)) = Volume::parse(name) else {
            continue;
        };
        if id.vmid != vmid {
            continue;
        }
        let entry = found.entry(at).or_insert((Vec::new(), true));
        entry.0.push(id.disk);
        let of = volume.tags.iter().find_map(|tag| tag.strip_prefix(OF));
        match of.and_then(|of| of.parse().ok()) {
            Some(of) => entry.1 &= *wanted.entry(at).or_insert(of) == of,
            None => entry.1 = false,
        }
    }
    let snapshots = found.into_iter().map(|(at, (mut disks, good))| {
        disks.sort_unstable();
        let whole = good && wanted.get(&at) == Some(&disks.len());
        Snapshot { at, disks, whole }
    });
    snapshots.collect()
}

/// Takes a snapshot of every disk that the guest has, named after the time.
///
/// # Errors
/// The guest is unknown or has no disk; LVM fails. What was begun is no snapshot.
pub fn take(
    plan: &Plan,
    machine: &mut dyn Machine,
    vmid: u32,
    at: u64,
) -> Result<(), crate::reset::ResetError> {
    let lvm = run::survey(plan, machine)?;
    let guest = plan.guest(vmid).ok_or(RequestError::NoGuest { vmid })?;
    let ids = guest.disks.iter().map(|disk| DiskId {
        vmid,
        disk: disk.number,
    });
    let there: Vec<_> = ids
        .filter_map(|id| Some((id, lvm.get(Volume::Disk(id))?)))
        .filter(|(_, found)| found.kind == LogicalKind::Thin)
        .collect();
    if there.is_empty() {
        let name = guest.name.clone();
        return Err(RequestError::NoSnapshot { name, at }.into());
    }
    let device = machine.device();
    for (id, found) in &there {
        if lvm.get(Volume::Snapshot(*id, at)).is_some() {
            continue;
        }
        let mut tags = vec![format!("{OF}{}", there.len())];
        tags.extend(sha_of(&found.tags).map(|sha| format!("roamcore.sha256.{sha}")));
        let (from, to) = (Volume::Disk(*id), Volume::Snapshot(*id, at));
        let arguments = command::snapshot(&plan.pool, from, to, &tags, &device);
        machine.lvm(&arguments).map_err(RunError::from)?;
    }
    Ok(())
}

/// Drops a snapshot, and what is left of one. Dropping it again does nothing.
///
/// # Errors
/// LVM fails.
pub fn drop(plan: &Plan, machine: &mut dyn Machine, vmid: u32, at: u64) -> Result<(), RunError> {
    let lvm = run::survey(plan, machine)?;
    let device = machine.device();
    for name in lvm.volumes.keys() {
        let volume = match Volume::parse(name) {
            Some(volume @ Volume::Snapshot(id, of)) if id.vmid == vmid && of == at => volume,
            _ => continue,
        };
        if let Some(arguments) = command::of(&Step::Remove { volume }, &plan.pool, &device) {
            machine.lvm(&arguments)?;
        }
    }
    Ok(())
}

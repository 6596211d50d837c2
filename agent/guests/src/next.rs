//! What is to be done next.
//!
//! Owns: every decision. Never does: I/O. Invariants: on a finished machine there is no step; every step may be done
//! again after a power cut at any point of it; no step but a job's touches a disk that a guest has.
//!
//! ```text
//!   template   rc-base-N --fill--> verified --read-only, skipped--> base-N-disk-0
//!   disk       rc-new-G-D --grow, personal--> ready --> vm-G-D                        not ready: begun again
//!   job        all rc-new ready, then for each: vm -> rc-old, rc-new -> vm; at last rc-old removed, job forgotten
//! ```

mod bases;
mod disks;

use std::collections::BTreeSet;

use crate::names::{DiskId, Volume};
use crate::plan::Plan;
use crate::record::Record;
use crate::report::{Group, LogicalKind, Lvm};

/// All that is known.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// What is to be.
    pub plan: &'a Plan,
    /// What is.
    pub lvm: &'a Lvm,
    /// What was.
    pub record: &'a Record,
    /// What did not work in this run.
    pub bad: &'a Bad,
}

/// What did not work in this run, and is tried again in the next one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bad {
    /// Templates, by number, that could not be imported.
    pub templates: BTreeSet<u32>,
    /// Disks that did not get what only this unit knows.
    pub disks: BTreeSet<DiskId>,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Make the partition a physical volume, and the group on it.
    CreateGroup,
    /// Make the thin pool.
    CreatePool {
        /// Bytes for data.
        data: u64,
        /// Bytes for metadata, taken twice: once to spare, for repairs.
        metadata: u64,
    },
    /// Remove what a cut left of making the pool.
    RemoveScrap {
        /// Its name.
        name: String,
    },
    /// Remember this group as ours.
    RememberPool {
        /// Its UUID.
        uuid: String,
    },
    /// Make an empty thin volume.
    Create {
        /// Which.
        volume: Volume,
        /// Bytes.
        size: u64,
        /// Its tags.
        tags: Vec<String>,
    },
    /// Make a thin clone.
    Clone {
        /// Of which.
        from: Volume,
        /// Which.
        volume: Volume,
        /// Its tags.
        tags: Vec<String>,
    },
    /// Unpack the template into its volume, read that back and hash it.
    Fill {
        /// The template's number.
        number: u32,
    },
    /// Make a volume larger.
    Grow {
        /// Which.
        volume: Volume,
        /// Bytes.
        size: u64,
    },
    /// Write what only this unit knows.
    Personalize {
        /// The disk that this will be.
        id: DiskId,
    },
    /// Add a tag.
    Tag {
        /// To which.
        volume: Volume,
        /// The tag.
        tag: String,
    },
    /// Take its device away.
    Deactivate {
        /// Of which.
        volume: Volume,
    },
    /// Let nobody write to it.
    ReadOnly {
        /// To which.
        volume: Volume,
    },
    /// Leave it out when all are activated.
    Skip {
        /// Which.
        volume: Volume,
    },
    /// Give it another name.
    Rename {
        /// The old one.
        from: Volume,
        /// The new one.
        to: Volume,
    },
    /// Remove it.
    Remove {
        /// Which.
        volume: Volume,
    },
    /// Remember that a disk was made.
    RememberDisk {
        /// Which.
        id: DiskId,
    },
    /// Forget a job that is done.
    EndJob {
        /// The guest.
        vmid: u32,
    },
}

/// Something that is not done, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages name the fields")]
pub enum Refusal {
    #[error(
        "the partition {device:?} belongs to the volume group {found:?}, not to {wanted:?}; it is not touched"
    )]
    ForeignGroup {
        device: String,
        found: String,
        wanted: String,
    },
    #[error(
        "the guests' pool of before ({uuid}) is gone from the partition; it is not made anew by itself, since that would \
         hide the loss of every guest: repair it, or do a factory reset"
    )]
    PoolLost { uuid: String },
    #[error("the guests' volume group is {found}, remembered is {wanted}; was a disk exchanged?")]
    OtherPool { found: String, wanted: String },
    #[error("{name:?} in the guests' volume group is no thin pool")]
    NoPool { name: String },
    #[error(
        "the guests' volume group has {free} bytes free, a pool for templates of {wanted} bytes does not fit"
    )]
    Small { free: u64, wanted: u64 },
    #[error(
        "base-{number}-disk-0 is there, but was not made from this template: {why}; another version needs another number"
    )]
    ForeignBase { number: u32, why: &'static str },
    #[error("template {id:?} {version} could not be imported")]
    BadTemplate { id: String, version: String },
    #[error("disk {id} of guest {name:?} waits for template {template:?}")]
    Waits {
        id: DiskId,
        name: String,
        template: String,
    },
    #[error(
        "disk {id} of guest {name:?} was made and is gone; it is not made anew by itself: reset the guest"
    )]
    DiskGone { id: DiskId, name: String },
    #[error("disk {id} of guest {name:?} did not get what only this unit knows")]
    NotPersonal { id: DiskId, name: String },
    #[error("guest {name:?} has disk {id} open; it has to be stopped first")]
    InUse { id: DiskId, name: String },
    #[error("the snapshot of {at} of disk {id} is gone; the guest's disks are as they were")]
    SnapshotGone { id: DiskId, at: u64 },
}

/// Steps, and what cannot be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Todo {
    /// In this order.
    pub steps: Vec<Step>,
    /// What is left undone; the rest goes on.
    pub refusals: Vec<Refusal>,
}

/// Begins every tag of ours.
const TAG: &str = "roamcore.";
/// Read back and hashed.
pub(crate) const VERIFIED: &str = "roamcore.verified";
/// Whole: may become a guest's disk.
pub(crate) const READY: &str = "roamcore.ready";

/// The tag with the digest of a template's content.
pub(crate) fn sha_tag(template: &crate::plan::Template) -> String {
    format!("{TAG}sha256.{}", template.sha256)
}

pub(crate) fn job_tag(number: u64) -> String {
    format!("{TAG}job.{number}")
}

/// The number of a job's tag.
pub(crate) fn job_of(tag: &str) -> Option<u64> {
    tag.strip_prefix("roamcore.job.")?.parse().ok()
}

/// The digest in a tag.
pub(crate) fn sha_of(tags: &BTreeSet<String>) -> Option<&str> {
    tags.iter()
        .find_map(|tag| tag.strip_prefix("roamcore.sha256."))
}

/// What is to be done.
///
/// # Errors
/// Nothing can be done at all.
pub fn next(situation: &Situation<'_>, device: &str) -> Result<Todo, Refusal> {
    let Situation {
        plan, lvm, record, ..
    } = *situation;
    let mut todo = Todo::default();
    let Some(group) = &lvm.group else {
        if let Some(found) = lvm.physical.as_ref().filter(|found| !found.is_empty()) {
            return Err(Refusal::ForeignGroup {
                device: device.to_owned(),
                found: found.clone(),
                wanted: plan.pool.group.clone(),
            });
        }
        if let Some(uuid) = &record.pool {
            return Err(Refusal::PoolLost { uuid: uuid.clone() });
        }
        todo.steps.push(Step::CreateGroup);
        return Ok(todo);
    };
    match &record.pool {
        None => todo.steps.push(Step::RememberPool {
            uuid: group.uuid.clone(),
        }),
        Some(wanted) if *wanted != group.uuid => {
            return Err(Refusal::OtherPool {
                found: group.uuid.clone(),
                wanted: wanted.clone(),
            });
        }
        Some(_) => {}
    }
    match lvm.volumes.get(&plan.pool.name) {
        Some(found) if found.kind == LogicalKind::Pool => {}
        Some(_) => {
            let name = plan.pool.name.clone();
            return Err(Refusal::NoPool { name });
        }
        None if record.any_made() => {
            let uuid = group.uuid.clone();
            return Err(Refusal::PoolLost { uuid });
        }
        None => {
            // lvcreate makes a pool of several volumes, which have other names until it is one.
            let scrap = lvm.volumes.keys().filter(|name| name.starts_with("lvol"));
            let scrap = scrap.map(|name| Step::RemoveScrap { name: name.clone() });
            let before = todo.steps.len();
            todo.steps.extend(scrap);
            if todo.steps.len() == before {
                todo.steps.push(pool(plan, group)?);
            }
            return Ok(todo);
        }
    }
    let mut bases = bases::Bases::default();
    for guest in plan.in_order() {
        disks::guest(situation, group, guest, &mut bases, &mut todo);
    }
    for template in &plan.templates {
        bases.need(situation, group, template, &mut todo);
    }
    leftovers(situation, &mut todo);
    for job in &record.jobs {
        if plan.guest(job.vmid).is_none() {
            todo.steps.push(Step::EndJob { vmid: job.vmid });
        }
    }
    Ok(todo)
}

/// Sizes of the pool. dm-thin needs 64 bytes of metadata for a chunk of 64 KiB, and more for every snapshot that differs:
/// a hundredth and a bit is ten times that. The spare copy is of the same size. The rest, a 64th, is for extending metadata.
fn pool(plan: &Plan, group: &Group) -> Result<Step, Refusal> {
    let down = |bytes: u64| bytes - bytes % group.extent;
    let metadata = up((group.free / 96).clamp(32 << 20, 8 << 30), group);
    let wanted = plan
        .templates
        .iter()
        .fold(0_u64, |sum, t| sum.saturating_add(t.volume_bytes()));
    let small = Refusal::Small {
        free: group.free,
        wanted,
    };
    let Some(rest) = group.free.checked_sub(metadata.saturating_mul(2)) else {
        return Err(small);
    };
    let data = down(rest - rest / 64);
    if data == 0 || data < wanted {
        return Err(small);
    }
    Ok(Step::CreatePool { data, metadata })
}

/// LVM rounds sizes up.
fn up(bytes: u64, group: &Group) -> u64 {
    bytes
        .checked_next_multiple_of(group.extent)
        .unwrap_or(bytes)
}

/// What has a name of ours and no duty: an older plan's, or of a guest that is in the plan no more. A guest's disks,
/// base volumes and snapshots are never among them.
fn leftovers(situation: &Situation<'_>, todo: &mut Todo) {
    for name in situation.lvm.volumes.keys() {
        let leftover = match Volume::parse(name) {
            Some(Volume::BaseNew { number }) => {
                !situation.plan.templates.iter().any(|t| t.number == number)
            }
            Some(Volume::New(id)) => !planned(situation.plan, id),
            // The only copy of its data, if the disk is not there.
            Some(Volume::Old(id)) => {
                !planned(situation.plan, id) && situation.lvm.get(Volume::Disk(id)).is_some()
            }
            _ => false,
        };
        if leftover && let Some(volume) = Volume::parse(name) {
            todo.steps.push(Step::Remove { volume });
        }
    }
}

fn planned(plan: &Plan, id: DiskId) -> bool {
    plan.guest(id.vmid)
        .is_some_and(|guest| guest.disks.iter().any(|disk| disk.number == id.disk))
}

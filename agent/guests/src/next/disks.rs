//! Steps that make a guest's disks, the first time and for a job.

use super::bases::Bases;
use super::{READY, Refusal, Situation, Step, Todo, job_tag, sha_of, sha_tag, up};
use crate::names::{DiskId, Volume};
use crate::plan::{Disk, Guest};
use crate::record::{From, Job};
use crate::report::{Group, Logical};

/// One guest.
pub(super) fn guest(
    situation: &Situation<'_>,
    group: &Group,
    guest: &Guest,
    bases: &mut Bases,
    todo: &mut Todo,
) {
    let job = situation.record.job(guest.vmid);
    for disk in &guest.disks {
        if !job.is_some_and(|job| job.disks.contains(&disk.number)) {
            first(&one(situation, group, guest, disk), bases, todo);
        }
    }
    if let Some(job) = job {
        let ends = replace(situation, group, guest, job, bases, todo);
        if ends {
            todo.steps.push(Step::EndJob { vmid: guest.vmid });
        }
    }
}

/// A disk and what is there of it.
struct One<'a> {
    situation: &'a Situation<'a>,
    group: &'a Group,
    guest: &'a Guest,
    disk: &'a Disk,
    id: DiskId,
    now: Option<&'a Logical>,
    new: Option<&'a Logical>,
    old: Option<&'a Logical>,
}

fn one<'a>(
    situation: &'a Situation<'a>,
    group: &'a Group,
    guest: &'a Guest,
    disk: &'a Disk,
) -> One<'a> {
    let id = DiskId {
        vmid: guest.vmid,
        disk: disk.number,
    };
    One {
        situation,
        group,
        guest,
        disk,
        id,
        now: situation.lvm.get(Volume::Disk(id)),
        new: situation.lvm.get(Volume::New(id)),
        old: situation.lvm.get(Volume::Old(id)),
    }
}

/// A disk without a job: it is made once, and then it is the guest's.
fn first(one: &One<'_>, bases: &mut Bases, todo: &mut Todo) {
    let id = one.id;
    let made = one.situation.record.made(id);
    if one.now.is_some() || one.old.is_some() || made {
        if one.new.is_some() {
            let volume = Volume::New(id);
            todo.steps.push(Step::Remove { volume });
        }
        match (one.now, one.old) {
            (Some(_), Some(_)) => todo.steps.push(Step::Remove {
                volume: Volume::Old(id),
            }),
            // Of a job whose record was lost: the guest gets its data back.
            (None, Some(_)) => todo.steps.push(Step::Rename {
                from: Volume::Old(id),
                to: Volume::Disk(id),
            }),
            (None, None) => {
                let name = one.guest.name.clone();
                todo.refusals.push(Refusal::DiskGone { id, name });
                return;
            }
            (Some(_), None) => {}
        }
    } else if make(one, None, bases, todo) {
        todo.steps.push(Step::Rename {
            from: Volume::New(id),
            to: Volume::Disk(id),
        });
    } else {
        return;
    }
    if !made {
        todo.steps.push(Step::RememberDisk { id });
    }
}

/// Makes the new volume unless it is ready; false when it cannot be made.
fn make(one: &One<'_>, job: Option<&Job>, bases: &mut Bases, todo: &mut Todo) -> bool {
    let Some(recipe) = recipe(one, job, bases, todo) else {
        return false;
    };
    let volume = Volume::New(one.id);
    if one.situation.bad.disks.contains(&one.id) {
        if one.new.is_some() {
            todo.steps.push(Step::Remove { volume });
        }
        todo.refusals.push(Refusal::NotPersonal {
            id: one.id,
            name: one.guest.name.clone(),
        });
        return false;
    }
    if let Some(found) = one.new {
        let same = recipe.tags.iter().all(|tag| found.tags.contains(tag));
        if same && found.tags.contains(READY) && sha_of(&found.tags) == recipe.sha.as_deref() {
            return true;
        }
        // It costs nothing to clone again, and what a cut left of it is not worth a look.
        todo.steps.push(Step::Remove { volume });
    }
    let tags = recipe.tags;
    match recipe.from {
        Some((from, bytes)) => {
            todo.steps.push(Step::Clone { from, volume, tags });
            if recipe.size > bytes {
                let size = recipe.size;
                todo.steps.push(Step::Grow { volume, size });
            }
        }
        None => todo.steps.push(Step::Create {
            volume,
            size: recipe.size,
            tags,
        }),
    }
    if recipe.personal {
        todo.steps.push(Step::Personalize { id: one.id });
    }
    let tag = READY.to_owned();
    todo.steps.push(Step::Tag { volume, tag });
    true
}

/// How a new volume is made.
struct Recipe {
    /// What it is a clone of, and that one's size.
    from: Option<(Volume, u64)>,
    size: u64,
    sha: Option<String>,
    tags: Vec<String>,
    personal: bool,
}

fn recipe(one: &One<'_>, job: Option<&Job>, bases: &mut Bases, todo: &mut Todo) -> Option<Recipe> {
    let size = up(one.disk.size, one.group);
    let mut tags: Vec<String> = job.map(|job| job_tag(job.number)).into_iter().collect();
    if let Some(From::Snapshot(at)) = job.map(|job| job.from) {
        let volume = Volume::Snapshot(one.id, at);
        let Some(found) = one.situation.lvm.get(volume) else {
            todo.refusals.push(Refusal::SnapshotGone { id: one.id, at });
            return None;
        };
        let sha = sha_of(&found.tags).map(str::to_owned);
        tags.extend(sha.iter().map(|sha| format!("roamcore.sha256.{sha}")));
        return Some(Recipe {
            from: Some((volume, found.size)),
            size: found.size,
            sha,
            tags,
            personal: false,
        });
    }
    let template = match &one.disk.template {
        None => None,
        Some(name) => {
            let template = one.situation.plan.template(name);
            let ready = template.filter(|t| bases.need(one.situation, one.group, t, todo));
            if ready.is_none() {
                todo.refusals.push(Refusal::Waits {
                    id: one.id,
                    name: one.guest.name.clone(),
                    template: name.clone(),
                });
                return None;
            }
            ready
        }
    };
    tags.extend(template.map(sha_tag));
    Some(Recipe {
        from: template.map(|t| {
            let number = t.number;
            (Volume::Base { number }, up(t.volume_bytes(), one.group))
        }),
        size,
        sha: template.map(|t| t.sha256.to_string()),
        tags,
        personal: one.disk.personal,
    })
}

/// The steps of a job; true when it ends with them.
fn replace(
    situation: &Situation<'_>,
    group: &Group,
    guest: &Guest,
    job: &Job,
    bases: &mut Bases,
    todo: &mut Todo,
) -> bool {
    let tag = job_tag(job.number);
    let disks: Vec<One<'_>> = guest
        .disks
        .iter()
        .filter(|disk| job.disks.contains(&disk.number))
        .map(|disk| one(situation, group, guest, disk))
        .collect();
    if let Some(open) = disks.iter().find(|d| d.now.is_some_and(|now| now.open)) {
        let name = guest.name.clone();
        todo.refusals.push(Refusal::InUse { id: open.id, name });
        return false;
    }
    let done = |one: &One<'_>| one.now.is_some_and(|now| now.tags.contains(&tag));
    let begun = disks.iter().any(|one| done(one) || one.now.is_none());
    // All of them first: from the first exchange on there must be no way but forward.
    let (before, mut whole) = (todo.steps.len(), true);
    for one in disks.iter().filter(|one| !done(one)) {
        whole &= make(one, Some(job), bases, todo);
    }
    if !whole {
        // A snapshot that is gone will not come back: unless an exchange has begun, the job is over.
        let hopeless = matches!(job.from, From::Snapshot(_)) && !begun;
        if hopeless {
            todo.steps.truncate(before);
            let leftovers = disks.iter().filter(|one| one.new.is_some());
            todo.steps.extend(leftovers.map(|one| Step::Remove {
                volume: Volume::New(one.id),
            }));
        }
        return hopeless;
    }
    for one in &disks {
        let (new, now, old) = (
            Volume::New(one.id),
            Volume::Disk(one.id),
            Volume::Old(one.id),
        );
        if done(one) {
            if one.new.is_some() {
                todo.steps.push(Step::Remove { volume: new });
            }
            continue;
        }
        if one.now.is_some() {
            if one.old.is_some() {
                todo.steps.push(Step::Remove { volume: old });
            }
            todo.steps.push(Step::Rename { from: now, to: old });
        }
        todo.steps.push(Step::Rename { from: new, to: now });
    }
    for one in &disks {
        if one.old.is_some() || (one.now.is_some() && !done(one)) {
            let volume = Volume::Old(one.id);
            todo.steps.push(Step::Remove { volume });
        }
        if !situation.record.made(one.id) {
            todo.steps.push(Step::RememberDisk { id: one.id });
        }
    }
    true
}

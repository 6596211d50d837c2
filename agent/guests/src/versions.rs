//! Template versions: what guests run on, and what a reset would give them.
//!
//! Owns: the comparison. Never does: change anything. Invariant: a new version is only ever offered; a guest gets it by a
//! reset that a person asks for, and no other way.

use std::collections::BTreeSet;

use crate::names::{DiskId, Volume};
use crate::next::sha_of;
use crate::plan::Plan;
use crate::report::Lvm;

/// A template version that a guest does not run on yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The disk.
    pub id: DiskId,
    /// The guest.
    pub guest: String,
    /// The template.
    pub template: String,
    /// Its version in the running image.
    pub version: String,
}

/// What resets would bring. Only versions that are imported are offered.
#[must_use]
pub fn offers(plan: &Plan, lvm: &Lvm) -> Vec<Offer> {
    let mut offers = Vec::new();
    for guest in plan.in_order() {
        for disk in &guest.disks {
            let Some(template) = disk.template.as_deref().and_then(|id| plan.template(id)) else {
                continue;
            };
            let id = DiskId {
                vmid: guest.vmid,
                disk: disk.number,
            };
            let number = template.number;
            let imported = lvm.get(Volume::Base { number }).is_some();
            let (Some(found), true) = (lvm.get(Volume::Disk(id)), imported) else {
                continue;
            };
            let now = sha_of(&found.tags);
            if now == Some(template.sha256.to_string().as_str()) {
                continue;
            }
            offers.push(Offer {
                id,
                guest: guest.name.clone(),
                template: template.id.clone(),
                version: template.version.clone(),
            });
        }
    }
    offers
}

/// Base volumes that neither the plan nor a disk or snapshot refers to. They may be removed once an update is committed;
/// before that, the way back may want them.
#[must_use]
pub fn unused(plan: &Plan, lvm: &Lvm) -> Vec<Volume> {
    let used: BTreeSet<&str> = lvm
        .volumes
        .iter()
        .filter(|(name, _)| !matches!(Volume::parse(name), Some(Volume::Base { .. })))
        .filter_map(|(_, volume)| sha_of(&volume.tags))
        .collect();
    let unused = |volume: Volume, number: u32| {
        let found = lvm.get(volume)?;
        let ours = found.tags.contains(crate::next::VERIFIED);
        let planned = plan.templates.iter().any(|t| t.number == number);
        let sha = sha_of(&found.tags)?;
        (ours && !planned && !used.contains(sha)).then_some(volume)
    };
    lvm.volumes
        .keys()
        .filter_map(|name| match Volume::parse(name) {
            Some(volume @ Volume::Base { number }) => unused(volume, number),
            _ => None,
        })
        .collect()
}

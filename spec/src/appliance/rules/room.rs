//! Room for the guests: memory, and the guests' partition on the smallest disk.

use crate::appliance::{Appliance, Guest, Kind};
use crate::fault::Fault;
use crate::findings::Findings;
use crate::layout::Role;
use crate::size::Size;

/// Part of the guests' partition that LVM keeps: metadata of the pool, its spare copy, and the rest of a 4 MiB extent.
/// Metadata takes 64 bytes for each 64 KiB chunk, so 1/64 is generous even with a snapshot of everything.
const LVM_PART: u64 = 64;

/// What a virtual machine has besides its disks: an LVM extent for firmware variables, and 48 MiB for its settings.
const BESIDES: Size = Size::from_mib(52);

pub(super) fn check(appliance: &Appliance, findings: &mut Findings<'_>) {
    if appliance.guest.is_empty() {
        return;
    }
    let needed = [
        ("host", appliance.host.is_some()),
        ("memory", appliance.memory.is_some()),
        ("partitions.guests", appliance.partitions.guests.is_some()),
        ("partitions.seed", appliance.partitions.seed.is_some()),
    ];
    for (key, _) in needed.iter().filter(|(_, given)| !given) {
        let hint = format!("an appliance with guests needs a section [{key}]");
        findings.add_with_hint("guest", Fault::MissingKey((*key).to_owned()), hint);
    }
    memory(appliance, findings);
    disks(appliance, findings);
}

fn named(guests: &[Guest], size: impl Fn(&Guest) -> Size) -> String {
    let each: Vec<String> = guests
        .iter()
        .map(|guest| format!("{} {}", guest.name, size(guest)))
        .collect();
    each.join(", ")
}

fn memory(appliance: &Appliance, findings: &mut Findings<'_>) {
    let Some(memory) = &appliance.memory else {
        return;
    };
    super::at_least(findings, "memory.smallest", memory.smallest, Size::MIB);
    super::at_least(findings, "memory.host", memory.host, Size::MIB);
    let guests: Size = appliance.guest.iter().map(|guest| guest.memory).sum();
    if memory.host + guests > memory.smallest {
        let fault = Fault::Exceeds {
            what: "host and guests",
            needed: format!("{} of memory", memory.host + guests),
            limit: "`memory.smallest`".to_owned(),
            available: memory.smallest,
        };
        let all = named(&appliance.guest, |guest| guest.memory);
        findings.add_with_hint(
            "memory.smallest",
            fault,
            format!("raise it, or shrink: host {}, {all}", memory.host),
        );
    }
}

fn disks(appliance: &Appliance, findings: &mut Findings<'_>) {
    let Ok(disk) = appliance.on_disk(appliance.disk.smallest) else {
        return; // told already
    };
    let Some(pool) = disk
        .partitions
        .iter()
        .find(|placed| placed.planned.role == Role::Guests)
    else {
        return;
    };
    let of = |guest: &Guest| -> Size {
        let machine = appliance
            .template_of(guest)
            .is_some_and(|t| t.kind == Kind::Vm);
        let besides = if machine { BESIDES } else { Size::ZERO };
        guest.disk.iter().map(|disk| disk.size).sum::<Size>() + besides
    };
    let used = appliance
        .template
        .iter()
        .filter(|t| appliance.guest.iter().any(|g| g.template == t.name));
    let templates: Size = used.map(|template| template.size).sum();
    let guests: Size = appliance.guest.iter().map(of).sum();
    let available =
        Size::from_mib(pool.size.whole_mib() - pool.size.whole_mib().div_ceil(LVM_PART));
    if guests + templates > available {
        let fault = Fault::Exceeds {
            what: "the guests' disks and templates",
            needed: (guests + templates).to_string(),
            limit: format!(
                "what the guests partition holds on a disk of {}",
                appliance.disk.smallest
            ),
            available,
        };
        let all = named(&appliance.guest, of);
        let hint = format!("raise `min`, or shrink: templates {templates}, {all}");
        findings.add_with_hint("partitions.guests.min", fault, hint);
    }
}

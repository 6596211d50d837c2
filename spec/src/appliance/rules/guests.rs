//! What a guest is given, apart from its cards and devices.

use crate::appliance::{Appliance, Guest, Kind, Probe};
use crate::fault::Fault;
use crate::findings::Findings;
use crate::size::Size;

/// Numbers of guests: Proxmox keeps those below 100 to itself, and ours from 9000 on are templates'.
const IDS: std::ops::RangeInclusive<u32> = 100..=8999;

/// The least that Proxmox accepts.
const MEMORY_MIN: Size = Size::from_mib(16);

pub(super) fn check(appliance: &Appliance, findings: &mut Findings<'_>) {
    let each = || appliance.guest.iter().enumerate();
    findings.unique(
        "guest id",
        each().map(|(i, guest)| {
            (
                format!("guest[{i}].id"),
                guest.id,
                format!("guest `{}`", guest.name),
            )
        }),
    );
    findings.unique(
        "guest",
        each().map(|(i, guest)| {
            (
                format!("guest[{i}].name"),
                guest.name.clone(),
                format!("guest {}", guest.id),
            )
        }),
    );
    let there = || {
        appliance
            .template
            .iter()
            .map(|template| template.name.as_str())
    };
    for (index, guest) in each() {
        let path = |key: &str| format!("guest[{index}].{key}");
        if !IDS.contains(&guest.id) {
            let allowed = format!("{} to {}", IDS.start(), IDS.end());
            findings.out_of_range(&path("id"), &guest.id, &allowed);
        }
        if guest.cores == 0 {
            findings.out_of_range(&path("cores"), &0, "1 or more");
        }
        super::at_least(findings, &path("memory"), guest.memory, MEMORY_MIN);
        if guest.start.stop_seconds == 0 {
            findings.out_of_range(&path("start.stop_seconds"), &0, "1 or more");
        }
        match appliance.template_of(guest) {
            None => findings.missing(
                &path("template"),
                "template",
                guest.template.as_str(),
                there(),
            ),
            Some(template) => by_kind(guest, template.kind, &path, findings),
        }
        if let Some(swap) = guest.swap {
            super::at_least(findings, &path("swap"), swap, Size::MIB);
        }
        disks(appliance, guest, &path, findings);
        mounts(appliance, guest, &path, findings);
        health(appliance, guest, &path, findings);
        if let Some(snapshots) = &guest.snapshots {
            super::backups::keep(&snapshots.keep, &path("snapshots.keep"), findings);
        }
        if appliance
            .host
            .as_ref()
            .is_some_and(|_| guest.name == appliance.hostname)
        {
            findings.conflict(
                &path("name"),
                "name",
                &guest.name,
                "a guest's",
                "it is the host's (`hostname`)",
            );
        }
    }
}

/// Keys that one kind of guest has and the other has not.
fn by_kind(guest: &Guest, kind: Kind, path: &dyn Fn(&str) -> String, findings: &mut Findings<'_>) {
    let container = [
        ("swap", guest.swap.is_some()),
        ("devices", !guest.devices.is_empty()),
        ("file", !guest.file.is_empty()),
    ];
    let machine = [
        ("agent", guest.agent),
        ("watchdog", guest.watchdog),
        ("passthrough", !guest.passthrough.is_empty()),
        ("usb", !guest.usb.is_empty()),
        ("pci", !guest.pci.is_empty()),
        ("router", guest.router.is_some()),
        ("home_assistant", guest.home_assistant.is_some()),
        ("cloud_init", guest.cloud_init.is_some()),
    ];
    let (refused, what): (&[(&str, bool)], _) = match kind {
        Kind::Vm => (&container, Kind::Vm.words()),
        Kind::Ct => (&machine, Kind::Ct.words()),
    };
    for (key, _) in refused.iter().filter(|(_, given)| *given) {
        findings.unfit(&path(key), key, what);
    }
    for (i, disk) in guest.disk.iter().enumerate() {
        let (first, mount) = (i == 0, path(&format!("disk[{i}].mount")));
        match (kind, &disk.mount) {
            (Kind::Vm, Some(_)) => findings.unfit(&mount, "mount", "a disk of a virtual machine"),
            (Kind::Ct, Some(_)) if first => findings.unfit(
                &mount,
                "mount",
                "the first disk: it is the container's root",
            ),
            (Kind::Ct, None) if !first => {
                findings.add(&mount, Fault::MissingKey("mount".to_owned()))
            }
            _ => {}
        }
    }
    for (i, mount) in guest.mount.iter().enumerate() {
        for (key, given) in [
            ("path", mount.path.is_some()),
            ("read_only", mount.read_only),
        ] {
            if kind == Kind::Vm && given {
                findings.unfit(
                    &path(&format!("mount[{i}].{key}")),
                    key,
                    "a virtual machine",
                );
            }
        }
    }
}

fn disks(
    appliance: &Appliance,
    guest: &Guest,
    path: &dyn Fn(&str) -> String,
    findings: &mut Findings<'_>,
) {
    if guest.disk.is_empty() {
        findings.add(&path("disk"), Fault::Empty(path("disk")));
    }
    for (i, disk) in guest.disk.iter().enumerate() {
        super::at_least(
            findings,
            &path(&format!("disk[{i}].size")),
            disk.size,
            Size::MIB,
        );
    }
    let Some((disk, template)) = guest.disk.first().zip(appliance.template_of(guest)) else {
        return;
    };
    if disk.size < template.size {
        let allowed = format!(
            "at least {}, the size of template `{}`",
            template.size, template.name
        );
        findings.out_of_range(&path("disk[0].size"), &disk.size, &allowed);
    }
}

fn mounts(
    appliance: &Appliance,
    guest: &Guest,
    path: &dyn Fn(&str) -> String,
    findings: &mut Findings<'_>,
) {
    let mut places: Vec<(String, String, String)> = Vec::new();
    for (i, disk) in guest.disk.iter().enumerate() {
        if let Some(mount) = &disk.mount {
            places.push((
                path(&format!("disk[{i}].mount")),
                mount.to_string(),
                format!("disk {}", i + 1),
            ));
        }
    }
    for (i, mount) in guest.mount.iter().enumerate() {
        let key = path(&format!("mount[{i}].partition"));
        let Some(partition) = appliance.data_partition(mount.partition) else {
            let fault = Fault::Missing {
                what: "partition",
                name: mount.partition.name().to_owned(),
            };
            let hint = format!(
                "add [partitions.{}], or leave the mount out",
                mount.partition.name()
            );
            findings.add_with_hint(&key, fault, hint);
            continue;
        };
        let place = mount.path.as_ref().unwrap_or(&partition.mount);
        places.push((
            key,
            place.to_string(),
            format!("partition `{}`", mount.partition.name()),
        ));
    }
    findings.unique("mount point", places);
}

fn health(
    appliance: &Appliance,
    guest: &Guest,
    path: &dyn Fn(&str) -> String,
    findings: &mut Findings<'_>,
) {
    let Some(health) = &guest.health else { return };
    if health.within_seconds == 0 {
        findings.out_of_range(&path("health.within_seconds"), &0, "1 or more");
    }
    let by_port = matches!(health.probe, Probe::Tcp | Probe::Http);
    match health.port {
        None if by_port => {
            findings.add(&path("health.probe"), Fault::MissingKey("port".to_owned()))
        }
        Some(_) if !by_port => findings.unfit(&path("health.port"), "port", "this probe"),
        Some(0) => findings.out_of_range(&path("health.port"), &0, "1 to 65535"),
        _ => {}
    }
    if let Some(text) = &health.path {
        if health.probe != Probe::Http {
            findings.unfit(&path("health.path"), "path", "this probe");
        } else if !text.starts_with('/') || !text.chars().all(|c| c.is_ascii_graphic()) {
            findings.out_of_range(
                &path("health.path"),
                text,
                "a path that starts with `/`, without spaces",
            );
        }
    }
    if health.probe == Probe::Agent && !guest.agent {
        findings.conflict(
            &path("health.probe"),
            "guest",
            &guest.name,
            "asked through its agent",
            "`agent` is not true",
        );
    }
    let asked = by_port || health.probe == Probe::Ping;
    let named = guest.nic.iter().any(|nic| nic.address.is_some());
    if asked && !named && appliance.addresses_of(guest).is_empty() {
        findings.conflict(
            &path("health.probe"),
            "guest",
            &guest.name,
            "asked over the network",
            "none of its cards has a fixed `address`",
        );
    }
}

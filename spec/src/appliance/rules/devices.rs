//! Devices that a guest owns: one device has one owner.

use crate::appliance::Appliance;
use crate::board::NicRole;
use crate::findings::Findings;

pub(super) fn check(appliance: &Appliance, findings: &mut Findings<'_>) {
    // (kind of device, path, value, owner)
    let mut owned: Vec<(&'static str, String, String, String)> = Vec::new();
    for (i, guest) in appliance.guest.iter().enumerate() {
        let owner = format!("guest `{}`", guest.name);
        for (j, role) in guest.passthrough.iter().enumerate() {
            let path = format!("guest[{i}].passthrough[{j}]");
            if *role == NicRole::Lan {
                findings.conflict(
                    &path,
                    "NIC role",
                    &"lan",
                    "passed through",
                    "the host would lose its own network",
                );
            }
            owned.push(("passthrough", path, role.name().to_owned(), owner.clone()));
        }
        for (j, usb) in guest.usb.iter().enumerate() {
            owned.push((
                "USB device",
                format!("guest[{i}].usb[{j}]"),
                usb.to_string(),
                owner.clone(),
            ));
        }
        for (j, pci) in guest.pci.iter().enumerate() {
            let path = format!("guest[{i}].pci[{j}].root_port");
            owned.push(("root port", path, pci.root_port.to_string(), owner.clone()));
        }
        for (j, device) in guest.devices.iter().enumerate() {
            if !device.as_str().starts_with("/dev/") {
                findings.out_of_range(
                    &format!("guest[{i}].devices[{j}]"),
                    device,
                    "a path below /dev",
                );
            }
        }
        let devices = guest.devices.iter().enumerate();
        findings.unique(
            "device",
            devices.map(|(j, device)| {
                (
                    format!("guest[{i}].devices[{j}]"),
                    device.clone(),
                    format!("entry {}", j + 1),
                )
            }),
        );
    }
    for what in ["passthrough", "USB device", "root port"] {
        let of_kind = owned.iter().filter(|(kind, ..)| *kind == what);
        findings.unique(
            what,
            of_kind.map(|(_, path, value, owner)| (path.clone(), value.clone(), owner.clone())),
        );
    }
}

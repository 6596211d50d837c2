//! Devices that are passed through, by the root port they sit behind.
//!
//! Bus numbers behind root ports are the firmware's choice. What is written into the configuration is the nominal one:
//! ports in the order of their addresses, one bus each. The unit looks behind the root port and corrects the line before
//! Proxmox starts; [`UnitDevice`] says which line.

use std::collections::BTreeSet;

use roamcore_spec::appliance::Guest;
use roamcore_spec::{Appliance, Board, PciAddress};

/// A line that the unit corrects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitDevice {
    /// The guest's id.
    pub guest: u32,
    /// The key: `hostpci0`.
    pub key: String,
    /// Where the device sits.
    pub root_port: PciAddress,
    /// True when the guest starts without it. The line is then absent until the unit has found one.
    pub optional: bool,
}

/// The devices of a guest in the order of their keys: what it needs first, so that an absent one moves no other.
pub(super) fn of_guest(guest: &Guest, board: &Board) -> Vec<UnitDevice> {
    let nics = guest.passthrough.iter().flat_map(|role| {
        let of_role = board
            .nic
            .iter()
            .filter(|nic| nic.role == *role && nic.passthrough);
        of_role.map(|nic| (nic.root_port, false))
    });
    let others = guest
        .pci
        .iter()
        .map(|device| (device.root_port, device.optional));
    let mut all: Vec<(PciAddress, bool)> = nics.chain(others).collect();
    all.sort_by_key(|(_, optional)| *optional);
    let numbered = all.into_iter().enumerate();
    numbered
        .map(|(number, (root_port, optional))| UnitDevice {
            guest: guest.id,
            key: format!("hostpci{number}"),
            root_port,
            optional,
        })
        .collect()
}

/// Those of all guests.
pub(super) fn of_units(appliance: &Appliance, board: &Board) -> Vec<UnitDevice> {
    appliance
        .guest
        .iter()
        .flat_map(|guest| of_guest(guest, board))
        .collect()
}

/// Where a device behind a root port most likely is.
pub(super) fn nominal(appliance: &Appliance, board: &Board, root_port: PciAddress) -> String {
    let nics = board.nic.iter().map(|nic| nic.root_port);
    let others = appliance.guest.iter().flat_map(|guest| &guest.pci);
    let ports: BTreeSet<PciAddress> = nics
        .chain(others.map(|device| device.root_port))
        .chain([board.storage.root_port])
        .collect();
    let bus = 1 + ports.iter().take_while(|port| **port < root_port).count();
    format!("{:04x}:{bus:02x}:00.0", root_port.domain())
}

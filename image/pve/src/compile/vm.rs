//! Virtual machines: `qemu-server/ID.conf`.

use roamcore_spec::appliance::{Firmware, Guest, Os, Template};

use super::volumes::{Content, volumes};
use super::{CompileError, Draft, Input, devices};
use crate::text::schema::{
    VM_AGENT, VM_BOOT, VM_EFIDISK, VM_HOSTPCI, VM_NET, VM_SCSI, VM_USB, VM_VIRTIOFS, VM_WATCHDOG,
};
use crate::text::{GuestConfig, Kind, Props};

pub(super) fn config(
    input: &Input<'_>,
    guest: &Guest,
    template: &Template,
    step: u32,
) -> Result<GuestConfig, CompileError> {
    let mut draft = Draft::new(guest, Kind::Vm, step)?;
    draft.set("name", &guest.name)?;
    draft.set("ostype", os_type(template.os))?;
    draft.set("machine", "q35")?;
    // One node: nothing is ever migrated, so guests get the whole processor.
    draft.set("cpu", "host")?;
    draft.set("scsihw", "virtio-scsi-single")?;
    draft.set("serial0", "socket")?;
    draft.set("tablet", 0)?;
    draft.set("rng0", "/dev/urandom")?;
    if template.firmware() == Firmware::Uefi {
        draft.set("bios", "ovmf")?;
    }
    if guest.agent {
        let parts = Props::new()
            .with("enabled", 1)
            .with("fstrim_cloned_disks", 1);
        draft.parts("agent", &VM_AGENT, &parts)?;
    }
    if guest.watchdog {
        let parts = Props::new()
            .with("model", "i6300esb")
            .with("action", "reset");
        draft.parts("watchdog", &VM_WATCHDOG, &parts)?;
    }
    disks(guest, template, &mut draft)?;
    let order = Props::new().with("order", "scsi0");
    draft.parts("boot", &VM_BOOT, &order)?;
    for (card, nic) in guest.nic.iter().enumerate() {
        let segment = input.segment(guest.name.as_str(), &nic.segment)?;
        let mut trunks = Vec::new();
        for name in &nic.trunk {
            trunks.extend(input.segment(guest.name.as_str(), name)?.vlan);
        }
        trunks.sort_unstable();
        let trunks: Vec<String> = trunks.iter().map(ToString::to_string).collect();
        let parts = Props::new()
            .with("model", "virtio")
            .with("macaddr", input.appliance.mac_of(guest, card))
            .with("bridge", &segment.bridge)
            .with_any("tag", segment.vlan)
            .with_any("trunks", (!trunks.is_empty()).then(|| trunks.join(";")))
            .with_any("firewall", nic.firewall.then_some(1));
        draft.parts(&format!("net{card}"), &VM_NET, &parts)?;
    }
    passthrough(input, guest, &mut draft)?;
    for (i, mount) in guest.mount.iter().enumerate() {
        let parts = Props::new().with("dirid", mount.partition.name());
        draft.parts(&format!("virtiofs{i}"), &VM_VIRTIOFS, &parts)?;
    }
    Ok(draft.config)
}

const fn os_type(os: Os) -> &'static str {
    match os {
        // FreeBSD has no type of its own.
        Os::Opnsense | Os::Other => "other",
        Os::Debian | Os::Alpine | Os::HomeAssistant | Os::Openwrt | Os::Linux => "l26",
    }
}

fn disks(guest: &Guest, template: &Template, draft: &mut Draft) -> Result<(), CompileError> {
    for (i, volume) in volumes(guest, template).iter().enumerate() {
        let parts = Props::new()
            .with("file", volume.id())
            .with("size", volume.size_text());
        match volume.content {
            Content::Firmware => {
                // Keys of Microsoft would refuse what OPNsense and Home Assistant OS boot.
                let parts = parts.with("efitype", "4m").with("pre-enrolled-keys", 0);
                draft.parts(&volume.key, &VM_EFIDISK, &parts)?;
            }
            Content::Settings => {
                // Made anew from the appliance; the guest has no say in it.
                let parts = parts.with("backup", 0).with("ro", 1);
                draft.parts(&volume.key, &VM_SCSI, &parts)?;
            }
            Content::Template | Content::Empty => {
                let backup = guest.disk.get(i).is_none_or(|disk| disk.backup);
                let parts = parts
                    .with("discard", "on")
                    .with("iothread", 1)
                    .with("ssd", 1)
                    .with_any("backup", (!backup).then_some(0));
                draft.parts(&volume.key, &VM_SCSI, &parts)?;
            }
        }
    }
    Ok(())
}

fn passthrough(input: &Input<'_>, guest: &Guest, draft: &mut Draft) -> Result<(), CompileError> {
    let devices = devices::of_guest(guest, input.board);
    for device in devices.iter().filter(|device| !device.optional) {
        let address = devices::nominal(input.appliance, input.board, device.root_port);
        let parts = Props::new().with("host", address).with("pcie", 1);
        draft.parts(&device.key, &VM_HOSTPCI, &parts)?;
    }
    if !devices.is_empty() {
        // A device writes to any page of the guest, so all of its memory stays where it is.
        draft.set("balloon", 0)?;
    }
    for (i, usb) in guest.usb.iter().enumerate() {
        let parts = Props::new().with("host", usb);
        draft.parts(&format!("usb{i}"), &VM_USB, &parts)?;
    }
    Ok(())
}

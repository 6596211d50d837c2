//! Containers: `lxc/ID.conf`. All are unprivileged.

use roamcore_spec::appliance::{Guest, Os, Template};

use super::volumes::volumes;
use super::{CompileError, Draft, Input};
use crate::text::schema::{CT_DEV, CT_FEATURES, CT_MP, CT_NET, CT_ROOTFS};
use crate::text::{GuestConfig, Kind, Props};

pub(super) fn config(
    input: &Input<'_>,
    guest: &Guest,
    template: &Template,
    step: u32,
) -> Result<GuestConfig, CompileError> {
    let mut draft = Draft::new(guest, Kind::Ct, step)?;
    draft.set("hostname", &guest.name)?;
    draft.set("arch", "amd64")?;
    draft.set("ostype", os_type(template.os))?;
    draft.set("unprivileged", 1)?;
    draft.set("swap", guest.swap.map_or(0, roamcore_spec::Size::whole_mib))?;
    draft.set("timezone", "host")?;
    draft.set("searchdomain", input.host.domain())?;
    // systemd in an unprivileged container mounts its own /proc and /sys for services.
    draft.parts("features", &CT_FEATURES, &Props::new().with("nesting", 1))?;
    for (i, volume) in volumes(guest, template).iter().enumerate() {
        let disk = guest.disk.get(i);
        let parts = Props::new()
            .with("volume", volume.id())
            .with("size", volume.size_text());
        match disk.and_then(|disk| disk.mount.as_ref()) {
            None => draft.parts(&volume.key, &CT_ROOTFS, &parts)?,
            Some(mount) => {
                let backup = disk.is_some_and(|disk| disk.backup);
                // Without the word a further disk is left out of backups.
                let parts = parts.with("mp", mount).with("backup", u8::from(backup));
                draft.parts(&volume.key, &CT_MP, &parts)?;
            }
        }
    }
    mounts(input, guest, &mut draft)?;
    cards(input, guest, &mut draft)?;
    for (i, device) in guest.devices.iter().enumerate() {
        draft.parts(
            &format!("dev{i}"),
            &CT_DEV,
            &Props::new().with("path", device),
        )?;
    }
    Ok(draft.config)
}

const fn os_type(os: Os) -> &'static str {
    match os {
        Os::Debian => "debian",
        Os::Alpine => "alpine",
        _ => "unmanaged",
    }
}

/// Data partitions follow the further disks.
fn mounts(input: &Input<'_>, guest: &Guest, draft: &mut Draft) -> Result<(), CompileError> {
    let first = guest.disk.len().saturating_sub(1);
    for (i, mount) in guest.mount.iter().enumerate() {
        let missing = || CompileError::Missing {
            of: guest.name.to_string(),
            what: "partition",
            name: mount.partition.name().to_owned(),
        };
        let partition = input
            .appliance
            .data_partition(mount.partition)
            .ok_or_else(missing)?;
        let inside = mount.path.as_ref().unwrap_or(&partition.mount);
        let parts = Props::new()
            .with("volume", &partition.mount)
            .with("mp", inside)
            .with_any("ro", mount.read_only.then_some(1));
        draft.parts(&format!("mp{}", first + i), &CT_MP, &parts)?;
    }
    Ok(())
}

fn cards(input: &Input<'_>, guest: &Guest, draft: &mut Draft) -> Result<(), CompileError> {
    let mut gateway = None;
    for (card, nic) in guest.nic.iter().enumerate() {
        let segment = input.segment(guest.name.as_str(), &nic.segment)?;
        let (ip, gw) = match nic.address {
            _ if nic.dhcp => ("dhcp".to_owned(), None),
            Some(address) => {
                // One way out: the first card whose segment has a router.
                let gw = segment.gateway.filter(|_| gateway.is_none());
                (format!("{address}/{}", segment.subnet.prefix()), gw)
            }
            None => ("manual".to_owned(), None),
        };
        gateway = gateway.or(gw);
        let parts = Props::new()
            .with("name", format!("eth{card}"))
            .with("type", "veth")
            .with("hwaddr", input.appliance.mac_of(guest, card))
            .with("bridge", &segment.bridge)
            .with("ip", ip)
            .with_any("gw", gw)
            .with_any("tag", segment.vlan)
            .with_any("firewall", nic.firewall.then_some(1));
        draft.parts(&format!("net{card}"), &CT_NET, &parts)?;
    }
    if let Some(gateway) = gateway {
        draft.set("nameserver", gateway)?;
    }
    Ok(())
}

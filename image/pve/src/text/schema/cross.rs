//! What one key needs of another. Proxmox finds most of this out when the guest starts, and then it does not.

use std::collections::BTreeSet;

use super::super::Props;
use super::super::guest::Block;
use super::{CT_NET, Format, Invalid, VM_BOOT, VM_HOSTPCI, VM_NET, VM_SCSI, VM_VGA, rules};

/// The numbered keys of a name, read.
fn each(
    block: &Block,
    name: &str,
    format: &Format,
) -> Result<Vec<(String, String, Props)>, Invalid> {
    let numbered = |key: &str| {
        let digits = key.strip_prefix(name)?;
        digits.parse::<u16>().ok()
    };
    let found = block.keys().filter(|(key, _)| numbered(key).is_some());
    found
        .map(|(key, value)| Ok((key.into(), value.into(), Props::parse(format, value)?)))
        .collect()
}

pub(super) fn vm(block: &Block) -> Result<(), Invalid> {
    let bad = |key: &str, why: &str| {
        let value = block.get(key).unwrap_or_default();
        Err(Invalid::new(key, value, why))
    };
    let number = |key| block.get(key).and_then(rules::integer);
    if matches!((number("balloon"), number("memory")), (Some(balloon), Some(memory)) if balloon > memory)
    {
        return bad("balloon", "it is more than the memory");
    }
    let is_uefi = block.get("bios") == Some("ovmf");
    if is_uefi != block.get("efidisk0").is_some() {
        let why = "bios ovmf and efidisk0 need each other; without the disk, settings are lost at every start";
        return bad(if is_uefi { "bios" } else { "efidisk0" }, why);
    }
    for (key, _, props) in each(block, "hostpci", &VM_HOSTPCI)? {
        let is_q35 = block
            .get("machine")
            .is_some_and(|machine| machine.contains("q35"));
        if props.get("pcie").and_then(rules::boolean) == Some(true) && !is_q35 {
            return bad(&key, "pcie=1 needs machine q35");
        }
        // All of the guest's memory is pinned, so none can be taken back.
        if number("balloon") != Some(0) {
            return bad(&key, "passthrough needs balloon: 0");
        }
    }
    let single = block.get("scsihw") == Some("virtio-scsi-single");
    for (key, _, props) in each(block, "scsi", &VM_SCSI)? {
        if props.get("iothread").and_then(rules::boolean) == Some(true) && !single {
            return bad(&key, "iothread=1 needs scsihw virtio-scsi-single");
        }
    }
    if let Some(boot) = block.get("boot") {
        let order = Props::parse(&VM_BOOT, boot)?;
        let mut seen = BTreeSet::new();
        for device in order.get("order").unwrap_or_default().split(';') {
            if block.get(device).is_none() {
                return bad("boot", &format!("the guest has no {device}"));
            }
            if !seen.insert(device) {
                return bad("boot", &format!("{device} is there twice"));
            }
        }
    }
    if let Some(vga) = block.get("vga") {
        let props = Props::parse(&VM_VGA, vga)?;
        let kind = props.get("type").unwrap_or_default();
        if kind.starts_with("serial") && block.get(kind).is_none() {
            return bad("vga", &format!("the guest has no {kind}"));
        }
    }
    macs(each(block, "net", &VM_NET)?, "macaddr")
}

pub(super) fn ct(block: &Block) -> Result<(), Invalid> {
    for key in ["rootfs", "ostype"] {
        if block.get(key).is_none() {
            return Err(Invalid::new(key, "", "a container needs this key"));
        }
    }
    let nets = each(block, "net", &CT_NET)?;
    let mut names = BTreeSet::new();
    for (key, value, props) in &nets {
        if !names.insert(props.get("name").unwrap_or_default()) {
            let why = "two interfaces of one name";
            return Err(Invalid::new(key, value, why));
        }
    }
    macs(nets, "hwaddr")
}

fn macs(nets: Vec<(String, String, Props)>, property: &str) -> Result<(), Invalid> {
    let mut seen = BTreeSet::new();
    for (key, value, props) in nets {
        let mac = props.get(property).map(str::to_ascii_uppercase);
        if mac.is_some_and(|mac| !seen.insert(mac)) {
            return Err(Invalid::new(
                &key,
                &value,
                "two interfaces of one MAC address",
            ));
        }
    }
    Ok(())
}

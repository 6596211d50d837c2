//! The volumes of a guest: what the unit makes in the thin pool before the guest's first start.
//!
//! Invariant: a volume keeps its number for good. Data disks come first, in the order of the appliance; firmware
//! variables and the settings disk follow, so a disk may only ever be added after the guest was made anew.

use roamcore_spec::Size;
use roamcore_spec::appliance::{Firmware, Guest, Kind, Os, Template};

use super::store::GUEST_STORAGE;

/// What is in a volume at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A clone of the template, grown to the volume's size.
    Template,
    /// Nothing.
    Empty,
    /// Firmware variables, as OVMF ships them.
    Firmware,
    /// The settings that the guest reads.
    Settings,
}

/// A volume of a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// The key of the guest's configuration that names it.
    pub key: String,
    /// Its name in the pool.
    pub name: String,
    /// Its size.
    pub size: Size,
    /// What is in it at first.
    pub content: Content,
}

impl Volume {
    /// As guest configurations name it.
    pub fn id(&self) -> String {
        format!("{GUEST_STORAGE}:{}", self.name)
    }

    /// Its size in Proxmox's spelling: the largest unit that is exact.
    pub(super) fn size_text(&self) -> String {
        let mib = self.size.whole_mib();
        match mib.is_multiple_of(1024) && mib > 0 {
            true => format!("{}G", mib / 1024),
            false => format!("{mib}M"),
        }
    }
}

/// The least that LVM gives: one extent.
const EXTENT: Size = Size::from_mib(4);

/// A partition table and a FAT32, which begins at 33 MiB; nearly all of it is a hole.
const SETTINGS: Size = Size::from_mib(48);

/// The volumes of a guest, in the order of their numbers.
pub fn volumes(guest: &Guest, template: &Template) -> Vec<Volume> {
    let machine = template.kind == Kind::Vm;
    let mut all: Vec<(String, Size, Content)> = Vec::new();
    for (i, disk) in guest.disk.iter().enumerate() {
        let key = match (machine, i) {
            (true, _) => format!("scsi{i}"),
            (false, 0) => "rootfs".to_owned(),
            (false, _) => format!("mp{}", i - 1),
        };
        let content = if i == 0 {
            Content::Template
        } else {
            Content::Empty
        };
        all.push((key, disk.size, content));
    }
    if machine && template.firmware() == Firmware::Uefi {
        all.push(("efidisk0".to_owned(), EXTENT, Content::Firmware));
    }
    if machine && has_settings(guest, template) {
        all.push((
            format!("scsi{}", guest.disk.len()),
            SETTINGS,
            Content::Settings,
        ));
    }
    let numbered = all.into_iter().enumerate();
    numbered
        .map(|(number, (key, size, content))| Volume {
            key,
            name: format!("vm-{}-disk-{number}", guest.id),
            size,
            content,
        })
        .collect()
}

/// True for machines that read their settings from a disk; OpenWrt finds them in its root.
fn has_settings(guest: &Guest, template: &Template) -> bool {
    let given =
        guest.router.is_some() || guest.home_assistant.is_some() || guest.cloud_init.is_some();
    given && template.os != Os::Openwrt
}

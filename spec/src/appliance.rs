//! `appliances/<name>.toml`: what a product is: its board, its overlays, how its disk is divided, and its guests.
//!
//! Everything about guests may be left out, and then there are none. Sizes of partitions are minimums that hold on the smallest disk sold with it; a larger disk is shared by weight.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::layout::Role;
use crate::names::{Hostname, ImagePath, Name};
use crate::net::{Address, MacAddress};
use crate::size::Size;

mod flow;
mod guest;
mod network;
mod rules;
mod schedule;
mod settings;
mod template;

pub use flow::{End, Flow, GATEWAY, HOST, INTERNET, RESERVED};
pub use guest::{DataPartition, Disk, Guest, GuestNic, Health, Mount, PciDevice, Probe, Start};
pub use network::{Bridge, Dhcp, External, Host, Segment};
pub use schedule::{Backup, BackupMode, Keep, Snapshots};
pub use settings::{CloudInit, GuestFile, HomeAssistant, Router, Wan, Wireguard};
pub use template::{Compression, DebianTemplate, Firmware, Format, Kind, Os, Template};

/// A product.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Appliance {
    /// Schema number of this document: 1.
    #[schemars(range(min = 1, max = 1))]
    pub schema: u32,
    /// Name of the appliance: the file name without `.toml`.
    pub name: Name,
    /// What people call it.
    pub title: String,
    /// Product id in releases: a device takes releases of its own product only.
    pub product: Name,
    /// The board it is built for: a directory in `hardware/`.
    pub board: Name,
    /// Overlays in the order in which they are applied: directories in `overlays/`.
    pub overlays: Vec<Name>,
    /// Host name, and Proxmox node name; the same on every unit.
    pub hostname: Hostname,
    /// The disk it needs.
    pub disk: DiskRule,
    /// The fixed partitions of the image.
    pub slots: Slots,
    /// The partitions that hold the owner's data.
    pub partitions: Partitions,
    /// The memory it needs; for appliances with guests.
    pub memory: Option<MemoryRule>,
    /// The host's own address and who may manage it; for appliances with guests.
    pub host: Option<Host>,
    /// Bridges of the host.
    #[serde(default)]
    pub bridge: Vec<Bridge>,
    /// Networks on these bridges.
    #[serde(default)]
    pub segment: Vec<Segment>,
    /// Machines that are not guests, named for flows.
    #[serde(default)]
    pub external: Vec<External>,
    /// What guests are made from.
    #[serde(default)]
    pub template: Vec<Template>,
    /// Virtual machines and containers.
    #[serde(default)]
    pub guest: Vec<Guest>,
    /// Who may reach whom; everything else is closed.
    #[serde(default)]
    pub flow: Vec<Flow>,
    /// Backup jobs.
    #[serde(default)]
    pub backup: Vec<Backup>,
    /// Update policy.
    pub update: Update,
}

/// The memory an appliance needs.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MemoryRule {
    /// The smallest memory sold with it; host and guests must fit in it.
    pub smallest: Size,
    /// What is left for the host: kernel, Proxmox, and what each guest costs besides its own.
    pub host: Size,
}

/// The disk an appliance needs.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiskRule {
    /// The smallest disk sold with it, as printed on the box: `"128GB"`. Everything must fit on it.
    pub smallest: Size,
}

/// The partitions whose size the image fixes for ever.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Slots {
    /// Size of each of the two root partitions, in whole MiB: the largest root this device can ever be sent.
    pub root: Size,
    /// Size of the EFI system partition, in whole MiB: it holds the boot images of both slots.
    pub esp: Size,
}

/// The partitions made on first boot.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Partitions {
    /// Read-only store of guest templates, the source of a factory reset; written at the factory.
    pub seed: Option<Fixed>,
    /// `/var`, the changed part of `/etc`, the agent's own state.
    pub state: Share,
    /// LVM-thin pool for guests.
    pub guests: Option<Share>,
    /// Camera recordings.
    pub video: Option<MountedShare>,
    /// Backups and support bundles.
    pub backup: Option<MountedShare>,
}

/// A partition of one size.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fixed {
    /// Its size, in whole MiB.
    pub size: Size,
}

/// A partition that grows with the disk.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// Smallest size, in whole MiB; reserved on the smallest disk.
    pub min: Size,
    /// Largest size, in whole MiB; without it there is no limit.
    pub max: Option<Size>,
    /// Share of the space that is left, against the other partitions: 1 to 1000000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub weight: u32,
}

/// A partition that grows with the disk and has a mount point of its own.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MountedShare {
    /// Smallest size, in whole MiB; reserved on the smallest disk.
    pub min: Size,
    /// Largest size, in whole MiB; without it there is no limit.
    pub max: Option<Size>,
    /// Share of the space that is left, against the other partitions: 1 to 1000000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub weight: u32,
    /// Where it is mounted, for example `/mnt/video`.
    pub mount: ImagePath,
}

impl MountedShare {
    /// The sizes alone.
    pub fn share(&self) -> Share {
        Share {
            min: self.min,
            max: self.max,
            weight: self.weight,
        }
    }
}

/// Update policy.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Update {
    /// Security epoch, from 1: a device refuses releases of a lower epoch, whatever their version.
    #[schemars(range(min = 1))]
    pub security_epoch: u32,
}

impl Appliance {
    /// The template of a guest.
    pub fn template_of(&self, guest: &Guest) -> Option<&Template> {
        let named = |template: &&Template| template.name == guest.template;
        self.template.iter().find(named)
    }

    /// The segment of this name.
    pub fn segment_named(&self, name: &Name) -> Option<&Segment> {
        self.segment.iter().find(|segment| segment.name == *name)
    }

    /// The fixed address of a guest's card: its own, or the gateway's where the guest is the router.
    pub fn address_of(&self, guest: &Guest, card: usize) -> Option<Address> {
        let nic = guest.nic.get(card)?;
        let segment = self.segment_named(&nic.segment)?;
        match guest.serves(&segment.name) {
            true => segment.gateway,
            false => nic.address,
        }
    }

    /// All fixed addresses of a guest: of its cards, and as the router of segments that reach it tagged.
    pub fn addresses_of(&self, guest: &Guest) -> Vec<Address> {
        let cards = (0..guest.nic.len()).filter_map(|card| self.address_of(guest, card));
        let trunks = guest.nic.iter().flat_map(|nic| &nic.trunk);
        let served = trunks.filter(|name| guest.serves(name));
        let tagged = served.filter_map(|name| self.segment_named(name)?.gateway);
        let mut all: Vec<Address> = cards.chain(tagged).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The data partition, when the appliance has it.
    pub fn data_partition(&self, partition: DataPartition) -> Option<&MountedShare> {
        match partition {
            DataPartition::Video => self.partitions.video.as_ref(),
            DataPartition::Backup => self.partitions.backup.as_ref(),
        }
    }

    /// The Ethernet address of a guest's card: its own, or the derived one.
    pub fn mac_of(&self, guest: &Guest, card: usize) -> MacAddress {
        let given = guest.nic.get(card).and_then(|nic| nic.mac);
        given.unwrap_or_else(|| MacAddress::derived(self.name.as_str(), guest.id, card))
    }

    /// The partitions that grow, in disk order, with their mount points.
    pub(crate) fn shares(&self) -> Vec<(Role, Share, Option<ImagePath>)> {
        let partitions = &self.partitions;
        let mounted = |role, partition: &Option<MountedShare>| {
            partition
                .as_ref()
                .map(|partition| (role, partition.share(), Some(partition.mount.clone())))
        };
        let state = Some((Role::State, partitions.state.clone(), None));
        let guests = partitions
            .guests
            .clone()
            .map(|share| (Role::Guests, share, None));
        let all = [
            state,
            guests,
            mounted(Role::Video, &partitions.video),
            mounted(Role::Backup, &partitions.backup),
        ];
        all.into_iter().flatten().collect()
    }
}

//! `appliances/<name>.toml`: what a product is: its board, its overlays and how its disk is divided.
//!
//! Sizes of partitions are minimums that hold on the smallest disk sold with it; a larger disk is shared by weight.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::layout::Role;
use crate::names::{Hostname, ImagePath, Name};
use crate::size::Size;

mod rules;

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
    /// Update policy.
    pub update: Update,
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

//! The partition table of an appliance, in disk order, and how a given disk is shared.
//!
//! ```text
//!  1 esp │ 2 root-a │ 3 verity-a │ 4 root-b │ 5 verity-b │ [seed] │ identity │ state │ [guests] │ [video] │ [backup]
//!  └─────────────────── in the image ─────────────────────────────┘└────────── made on first boot ─────────────────┘
//! ```
//!
//! Invariant: every partition starts and ends on a whole MiB, and one MiB is left free for each copy of the GPT.

use serde::Serialize;

use crate::appliance::{Appliance, Share};
use crate::names::ImagePath;
use crate::size::Size;

/// Protective MBR, GPT header and entries end well below this; partitions start here.
const GPT_HEAD: Size = Size::MIB;

/// The backup GPT takes the last 33 sectors; a whole MiB keeps the last partition aligned.
const GPT_TAIL: Size = Size::MIB;

/// Device key and claim label data are a few KiB; LUKS2 wants 16 MiB for its header and ext4 a journal of 4 MiB.
const IDENTITY: Size = Size::from_mib(64);

/// Block size of the verity data and hash devices (veritysetup's default, and the page size).
const VERITY_BLOCK: u64 = 4096;

/// SHA-256 digests in one hash block.
const VERITY_FANOUT: u64 = VERITY_BLOCK / 32;

/// One of the two copies of the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Slot {
    /// The first.
    A,
    /// The second.
    B,
}

impl Slot {
    /// The other one.
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// What a partition is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(tag = "role", content = "slot", rename_all = "lowercase")]
pub enum Role {
    /// EFI system partition (FAT32).
    Esp,
    /// Root file system of a slot (EROFS).
    Root(Slot),
    /// dm-verity hash tree of a slot's root.
    Verity(Slot),
    /// Guest templates, read-only.
    Seed,
    /// Device key and label data; a factory reset never touches it.
    Identity,
    /// `/var` and the changed part of `/etc` (ext4).
    State,
    /// LVM-thin pool.
    Guests,
    /// Camera recordings (ext4).
    Video,
    /// Backups (ext4).
    Backup,
}

impl Role {
    /// The GPT label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Esp => "esp",
            Self::Root(Slot::A) => "root-a",
            Self::Verity(Slot::A) => "verity-a",
            Self::Root(Slot::B) => "root-b",
            Self::Verity(Slot::B) => "verity-b",
            Self::Seed => "seed",
            Self::Identity => "identity",
            Self::State => "state",
            Self::Guests => "guests",
            Self::Video => "video",
            Self::Backup => "backup",
        }
    }
}

/// When a partition comes into being.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Part of the factory image.
    Image,
    /// Made on first boot, in the space that is left.
    FirstBoot,
}

/// One partition as planned, before a disk is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// Number in the partition table, from 1.
    pub number: u32,
    /// What it is for.
    #[serde(flatten)]
    pub role: Role,
    /// GPT label.
    pub label: &'static str,
    /// When it is made.
    pub origin: Origin,
    /// Smallest size, whole MiB.
    pub min: Size,
    /// Largest size; equal to `min` for partitions of one size, `None` without limit.
    pub max: Option<Size>,
    /// Share of the space that is left; 0 for partitions of one size.
    pub weight: u32,
    /// Where it is mounted, when the appliance says so.
    pub mount: Option<ImagePath>,
}

/// One partition on a disk of known size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Placed {
    /// The plan.
    #[serde(flatten)]
    pub planned: Planned,
    /// Distance from the start of the disk, whole MiB.
    pub start: Size,
    /// Its size, whole MiB.
    pub size: Size,
}

/// The partitions of an appliance on one disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// Size of the disk.
    pub size: Size,
    /// The partitions in disk order.
    pub partitions: Vec<Placed>,
}

/// A disk that cannot hold an appliance.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the disk has {found}, but {appliance} needs at least {} GB ({needed})", needed.gigabytes_rounded_up())]
pub struct TooSmall {
    /// Which appliance.
    pub appliance: String,
    /// Smallest disk that holds everything at its minimum.
    pub needed: Size,
    /// The disk that was offered.
    pub found: Size,
}

/// Space for the verity superblock and the hash tree (SHA-256, 4 KiB blocks) over a partition, rounded up to a MiB.
pub fn verity_size(root: Size) -> Size {
    let mut level = root.bytes().div_ceil(VERITY_BLOCK);
    let mut blocks = 1;
    while level > 1 {
        level = level.div_ceil(VERITY_FANOUT);
        blocks += level;
    }
    Size::from_bytes(blocks * VERITY_BLOCK).round_up_to_mib()
}

impl Appliance {
    /// The partitions in disk order.
    pub fn layout(&self) -> Vec<Planned> {
        let (root, verity) = (self.slots.root, verity_size(self.slots.root));
        let mut fixed = vec![
            (Role::Esp, Origin::Image, self.slots.esp),
            (Role::Root(Slot::A), Origin::Image, root),
            (Role::Verity(Slot::A), Origin::Image, verity),
            (Role::Root(Slot::B), Origin::Image, root),
            (Role::Verity(Slot::B), Origin::Image, verity),
        ];
        fixed.extend(
            self.partitions
                .seed
                .as_ref()
                .map(|seed| (Role::Seed, Origin::Image, seed.size)),
        );
        fixed.push((Role::Identity, Origin::FirstBoot, IDENTITY));
        let plan = |role: Role, origin, share: Share, mount| {
            let Share { min, max, weight } = share;
            Planned {
                number: 0,
                role,
                label: role.label(),
                origin,
                min,
                max,
                weight,
                mount,
            }
        };
        let fixed = fixed.into_iter().map(|(role, origin, size)| {
            plan(
                role,
                origin,
                Share {
                    min: size,
                    max: Some(size),
                    weight: 0,
                },
                None,
            )
        });
        let growing = self
            .shares()
            .into_iter()
            .map(|(role, share, mount)| plan(role, Origin::FirstBoot, share, mount));
        let numbered = fixed.chain(growing).zip(1..);
        numbered
            .map(|(planned, number)| Planned { number, ..planned })
            .collect()
    }

    /// The smallest disk that holds every partition at its minimum, both copies of the GPT included.
    pub fn minimum_disk(&self) -> Size {
        GPT_HEAD + self.layout().iter().map(|planned| planned.min).sum() + GPT_TAIL
    }

    /// The partitions on a disk of this size. Shares follow systemd-repart's rule: by weight, within each minimum and
    /// maximum. systemd-repart places at 4 KiB steps and leaves the backup table no more room than it takes, so what
    /// grows may differ from this by less than 2 MiB; the boot tests hold it to that.
    pub fn on_disk(&self, size: Size) -> Result<Disk, TooSmall> {
        let needed = self.minimum_disk();
        if size < needed {
            return Err(TooSmall {
                appliance: self.name.to_string(),
                needed,
                found: size,
            });
        }
        let layout = self.layout();
        let usable = size.whole_mib() - GPT_HEAD.whole_mib() - GPT_TAIL.whole_mib();
        let mut start = GPT_HEAD;
        let sizes = distribute(&layout, usable);
        let place = |(planned, mib): (Planned, u64)| {
            let placed = Placed {
                planned,
                start,
                size: Size::from_mib(mib),
            };
            start = start + placed.size;
            placed
        };
        Ok(Disk {
            size,
            partitions: layout.into_iter().zip(sizes).map(place).collect(),
        })
    }
}

/// Sizes in MiB. First whoever would get less than its minimum is given that, then whoever would get more than its
/// maximum; the rest is shared by weight, rounded down.
fn distribute(layout: &[Planned], usable: u64) -> Vec<u64> {
    let bounds: Vec<(u64, u64)> = layout
        .iter()
        .map(|p| (p.min.whole_mib(), p.max.map_or(u64::MAX, Size::whole_mib)))
        .collect();
    let mut settled: Vec<Option<u64>> = layout
        .iter()
        .zip(&bounds)
        .map(|(p, (min, _))| (p.weight == 0).then_some(*min))
        .collect();
    loop {
        let left = usable.saturating_sub(settled.iter().flatten().sum());
        let weights: u64 = layout
            .iter()
            .zip(&settled)
            .filter(|(_, s)| s.is_none())
            .map(|(p, _)| u64::from(p.weight))
            .sum();
        let share = |index: usize| left * u64::from(layout[index].weight) / weights.max(1);
        let open: Vec<usize> = (0..layout.len())
            .filter(|index| settled[*index].is_none())
            .collect();
        let below: Vec<usize> = open
            .iter()
            .copied()
            .filter(|i| share(*i) < bounds[*i].0)
            .collect();
        let above: Vec<usize> = open
            .iter()
            .copied()
            .filter(|i| share(*i) > bounds[*i].1)
            .collect();
        if !below.is_empty() {
            below.iter().for_each(|i| settled[*i] = Some(bounds[*i].0));
        } else if !above.is_empty() {
            above.iter().for_each(|i| settled[*i] = Some(bounds[*i].1));
        } else {
            return settled
                .iter()
                .enumerate()
                .map(|(i, size)| size.unwrap_or_else(|| share(i)))
                .collect();
        }
    }
}

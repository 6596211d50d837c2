//! What volumes are called.
//!
//! Owns: Proxmox's names for what guests use, and ours for what they must not see yet or any more. Never does: I/O.
//! Invariant: a name is read as a volume exactly if it is what that volume would be called.
//!
//! ```text
//!   base-9000-disk-0          Proxmox: of a template, read-only             rc-base-9000         being imported
//!   vm-100-disk-0             Proxmox: a guest's disk                       rc-new-100-0         being made for it
//!                                                                           rc-old-100-0         replaced by a new one
//!                                                                           rc-snap-100-0-1735689600   snapshot, of when
//! ```
//!
//! Proxmox lists volumes that begin with `vm-` or `base-` and removes those of a guest that is destroyed; it passes over
//! every other name, so what is unfinished is never offered to anybody.

use std::fmt;

/// A volume by its duty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Volume {
    /// A template, read back and hashed.
    Base {
        /// The template's number.
        number: u32,
    },
    /// A template that is being imported.
    BaseNew {
        /// The template's number.
        number: u32,
    },
    /// A guest's disk.
    Disk(DiskId),
    /// What will be a guest's disk.
    New(DiskId),
    /// What was a guest's disk.
    Old(DiskId),
    /// A snapshot of a guest's disk.
    Snapshot(DiskId, u64),
}

/// A disk of a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DiskId {
    /// The guest.
    pub vmid: u32,
    /// Which of its disks.
    pub disk: u32,
}

impl fmt::Display for DiskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.vmid, self.disk)
    }
}

impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base { number } => write!(f, "base-{number}-disk-0"),
            Self::BaseNew { number } => write!(f, "rc-base-{number}"),
            Self::Disk(id) => write!(f, "vm-{}-disk-{}", id.vmid, id.disk),
            Self::New(id) => write!(f, "rc-new-{id}"),
            Self::Old(id) => write!(f, "rc-old-{id}"),
            Self::Snapshot(id, at) => write!(f, "rc-snap-{id}-{at}"),
        }
    }
}

impl DiskId {
    fn parse(text: &str) -> Option<Self> {
        let (vmid, disk) = text.split_once('-')?;
        Some(Self {
            vmid: vmid.parse().ok()?,
            disk: disk.parse().ok()?,
        })
    }
}

impl Volume {
    /// Reads a name; none when it is no volume of ours.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let found = Self::lenient(name)?;
        // Leading zeros and signs: another name for the same volume would be two volumes.
        (found.to_string() == name).then_some(found)
    }

    fn lenient(name: &str) -> Option<Self> {
        if let Some(rest) = name.strip_prefix("base-") {
            let number = rest.strip_suffix("-disk-0")?.parse().ok()?;
            return Some(Self::Base { number });
        }
        if let Some(rest) = name.strip_prefix("vm-") {
            return Some(Self::Disk(DiskId::parse(&rest.replacen("-disk-", "-", 1))?));
        }
        let (word, rest) = name.strip_prefix("rc-")?.split_once('-')?;
        Some(match word {
            "base" => Self::BaseNew {
                number: rest.parse().ok()?,
            },
            "new" => Self::New(DiskId::parse(rest)?),
            "old" => Self::Old(DiskId::parse(rest)?),
            "snap" => {
                let (id, at) = rest.rsplit_once('-')?;
                Self::Snapshot(DiskId::parse(id)?, at.parse().ok()?)
            }
            _ => return None,
        })
    }
}

/// Names that only volumes of guests and templates may have.
#[must_use]
pub fn is_ours(name: &str) -> bool {
    ["base-", "vm-", "rc-", "snap"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_duty_comes_back() {
        let id = DiskId { vmid: 100, disk: 1 };
        for (volume, name) in [
            (Volume::Base { number: 9000 }, "base-9000-disk-0"),
            (Volume::BaseNew { number: 9000 }, "rc-base-9000"),
            (Volume::Disk(id), "vm-100-disk-1"),
            (Volume::New(id), "rc-new-100-1"),
            (Volume::Old(id), "rc-old-100-1"),
            (Volume::Snapshot(id, 17), "rc-snap-100-1-17"),
        ] {
            assert_eq!(volume.to_string(), name);
            assert_eq!(Volume::parse(name), Some(volume));
        }
        for name in [
            "",
            "vm-100-disk-01",
            "vm-+100-disk-0",
            "vm-100-1",
            "vm-100-cloudinit",
            "base-9000-disk-1",
            "rc-new-100",
            "rc-snap-100-0",
            "rc-other-1-1",
            "guests",
        ] {
            assert_eq!(Volume::parse(name), None, "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "(rc-|vm-|base-)?(new-|snap-)?[0-9a-z-]{0,20}") {
            if let Some(volume) = Volume::parse(&text) {
                prop_assert_eq!(volume.to_string(), text);
            }
        }
    }
}

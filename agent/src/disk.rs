//! The running slot and its disk, from sysfs.
//!
//! Owns: reading block-device facts. Never does: open a block device, write anything.
//! Invariant: exactly one device-mapper `root` on two partitions of one slot of one disk; anything
//! else is an error and never a guess.
//!
//! ```text
//!   dm-N (dm/name = root) --slaves--> <disk>pI  PARTNAME root-x
//!                                 \-> <disk>pJ  PARTNAME verity-x
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use crate::files::{self, At, IoAt};
use crate::roots::Roots;
use crate::slot::Slot;

/// sysfs attributes fit in a page.
const PAGE: u64 = 4096;
/// A udev record has a few kilobytes.
const UDEV_RECORD: u64 = 64 * 1024;
/// sysfs counts in these, whatever the disk's block size is.
const SECTOR: u64 = 512;
/// The name systemd-veritysetup-generator gives the root.
const ROOT: &str = "root";

/// A whole disk.
#[derive(Debug, Clone)]
pub struct Disk {
    /// Kernel name, such as `nvme0n1`.
    pub name: String,
    /// Size.
    pub bytes: u64,
    directory: PathBuf,
}

/// A partition with a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Kernel name, such as `nvme0n1p2`.
    pub name: String,
    /// GPT label.
    pub label: String,
}

/// Where the running system comes from.
#[derive(Debug, Clone)]
pub struct Running {
    /// Its slot.
    pub slot: Slot,
    /// Its disk.
    pub disk: Disk,
}

/// Why the facts were refused.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// sysfs could not be read.
    #[error(transparent)]
    Io(#[from] IoAt),
    /// None or several verity roots.
    #[error(
        "expected exactly one device-mapper device named \"root\", found {0:?}; was it booted by roothash=?"
    )]
    Roots(Vec<String>),
    /// The root is not made of one slot.
    #[error(
        "device-mapper root is made of {0:?} (partition, label), not of root-a and verity-a or root-b and verity-b"
    )]
    Slaves(Vec<(String, String)>),
    /// The two partitions lie on two disks.
    #[error(
        "data partition is on disk {data}, hash partition on disk {hash}; remove the copy of this disk"
    )]
    TwoDisks {
        /// Disk of the data.
        data: String,
        /// Disk of the hash tree.
        hash: String,
    },
    /// Not a partition.
    #[error("block device {0} is no partition of a disk")]
    NoPartition(String),
    /// A number that is none.
    #[error("{path} says {seen:?}, not a number of sectors")]
    Number {
        /// Where.
        path: PathBuf,
        /// What.
        seen: String,
    },
    /// One label twice on a disk.
    #[error("disk {disk} has two partitions labelled {label:?}: {first} and {second}")]
    LabelTwice {
        /// The disk.
        disk: String,
        /// The label.
        label: String,
        /// One partition.
        first: String,
        /// The other one.
        second: String,
    },
}

/// Finds the running slot and its disk.
pub fn running(roots: &Roots) -> Result<Running, DiskError> {
    let mut found = Vec::new();
    for name in names(&roots.sys.join("class/block"))? {
        if name.starts_with("dm-") {
            let path = roots.sys.join("class/block").join(&name).join("dm/name");
            if files::read_text(&path, PAGE)?.trim_end() == ROOT {
                found.push(name);
            }
        }
    }
    let [root] = found.as_slice() else {
        return Err(DiskError::Roots(found));
    };
    let mut slaves = Vec::new();
    for name in names(&roots.sys.join("class/block").join(root).join("slaves"))? {
        let label = label(roots, &name)?.unwrap_or_default();
        slaves.push((name, label));
    }
    let pair = match slaves.as_slice() {
        [one, two] => Slot::of_data_label(&one.1)
            .map(|slot| (slot, one, two))
            .or_else(|| Slot::of_data_label(&two.1).map(|slot| (slot, two, one))),
        _ => None,
    };
    let Some((slot, data, hash)) = pair.filter(|(slot, _, hash)| hash.1 == slot.hash_label())
    else {
        return Err(DiskError::Slaves(slaves));
    };
    let (disk, other) = (
        Disk::of_partition(roots, &data.0)?,
        Disk::of_partition(roots, &hash.0)?,
    );
    if disk.name != other.name {
        return Err(DiskError::TwoDisks {
            data: disk.name,
            hash: other.name,
        });
    }
    Ok(Running { slot, disk })
}

impl Disk {
    /// The disk a partition is on.
    pub fn of_partition(roots: &Roots, partition: &str) -> Result<Self, DiskError> {
        let link = roots.sys.join("class/block").join(partition);
        let directory = fs::canonicalize(&link).at("resolve", &link)?;
        let parent = directory
            .parent()
            .filter(|_| directory.join("partition").exists());
        let Some((parent, name)) = parent.and_then(|p| Some((p, p.file_name()?.to_str()?))) else {
            return Err(DiskError::NoPartition(partition.to_owned()));
        };
        let path = parent.join("size");
        let text = files::read_text(&path, PAGE)?;
        let sectors: Option<u64> = text.trim_end().parse().ok();
        let bytes =
            sectors
                .and_then(|n| n.checked_mul(SECTOR))
                .ok_or_else(|| DiskError::Number {
                    path,
                    seen: text.trim_end().to_owned(),
                })?;
        Ok(Self {
            name: name.to_owned(),
            bytes,
            directory: parent.to_owned(),
        })
    }

    /// All labelled partitions.
    pub fn partitions(&self, roots: &Roots) -> Result<Vec<Partition>, DiskError> {
        let mut partitions: Vec<Partition> = Vec::new();
        for name in names(&self.directory)? {
            if !self.directory.join(&name).join("partition").exists() {
                continue;
            }
            let Some(label) = label(roots, &name)? else {
                continue;
            };
            if let Some(first) = partitions.iter().find(|other| other.label == label) {
                let (disk, first) = (self.name.clone(), first.name.clone());
                return Err(DiskError::LabelTwice {
                    disk,
                    label,
                    first,
                    second: name,
                });
            }
            partitions.push(Partition { name, label });
        }
        Ok(partitions)
    }

    /// The partition with this label.
    pub fn labelled(&self, roots: &Roots, label: &str) -> Result<Option<Partition>, DiskError> {
        Ok(self
            .partitions(roots)?
            .into_iter()
            .find(|partition| partition.label == label))
    }

    /// Those of `expected` that have no partition or no device node yet.
    pub fn missing(&self, roots: &Roots, expected: &[String]) -> Result<Vec<String>, DiskError> {
        let present = self.partitions(roots)?;
        let ready = |label: &String| {
            present
                .iter()
                .any(|p| p.label == *label && node(roots, &p.name).exists())
        };
        Ok(expected
            .iter()
            .filter(|label| !ready(label))
            .cloned()
            .collect())
    }
}

/// Device node of a block device; sysfs writes `!` for `/`.
pub fn node(roots: &Roots, name: &str) -> PathBuf {
    roots.dev.join(name.replace('!', "/"))
}

/// Label of a partition as the kernel knows it. The kernel does not read the label of a partition
/// that was added while the table was in use (BLKPG, as systemd-repart does on first boot); udev does.
fn label(roots: &Roots, name: &str) -> Result<Option<String>, DiskError> {
    let directory = roots.sys.join("class/block").join(name);
    let uevent = files::read(&directory.join("uevent"), PAGE)?;
    if let Some(label) = value(&String::from_utf8_lossy(&uevent), "PARTNAME=") {
        return Ok(Some(label));
    }
    let number = files::read_text(&directory.join("dev"), PAGE)?;
    let record = roots
        .run
        .join("udev/data")
        .join(format!("b{}", number.trim_end()));
    let record = files::read_if_any(&record, UDEV_RECORD)?.unwrap_or_default();
    Ok(value(
        &String::from_utf8_lossy(&record),
        "E:ID_PART_ENTRY_NAME=",
    ))
}

/// Value of the first line with this prefix.
fn value(text: &str, prefix: &str) -> Option<String> {
    text.lines()
        .find_map(|line| line.strip_prefix(prefix))
        .map(str::to_owned)
}

fn names(directory: &Path) -> Result<Vec<String>, IoAt> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).at("list", directory)? {
        // Kernel names are ASCII; anything else is none of ours.
        names.extend(entry.at("list", directory)?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::value;
    use proptest::prelude::*;

    #[test]
    fn values() {
        assert_eq!(
            value("DEVTYPE=partition\nPARTNAME=root-a\n", "PARTNAME="),
            Some("root-a".into())
        );
        assert_eq!(value("XPARTNAME=root-a\n", "PARTNAME="), None);
        assert_eq!(value("", "PARTNAME="), None);
    }

    proptest! {
        #[test]
        fn never_panics(text in "(?s).*") {
            drop(value(&text, "PARTNAME="));
        }
    }
}

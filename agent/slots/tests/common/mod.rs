//! A small disk with two slots, releases to put on it, and a machine in memory that notes every change.

#![allow(dead_code, reason = "every test program uses its own part")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

pub mod cuts;
pub mod judge;
pub mod sim;

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;

use roamcore_agent::files::At;
use roamcore_disk::gpt::{Gpt, Guid, Partition, SECTOR};
use roamcore_disk::verity::{self, RootHash};
use roamcore_ota::Digest;
use roamcore_slots::{ArmRequest, IdleSlot, RootSpec, Slot, SlotError, UkiSpec};

/// Sectors of a data and of a tree partition.
const DATA: u64 = 512;
const TREE: u64 = 64;
/// A sector number that O_DIRECT can begin at, behind the table.
const FIRST: u64 = 40;

pub const BOOT_LOADER: (&str, &[u8]) = ("EFI/BOOT/BOOTX64.EFI", b"systemd-boot");
pub const SETTINGS: (&str, &[u8]) = ("loader/loader.conf", b"timeout 0\n");

/// A signed release, as far as slots go.
#[derive(Clone)]
pub struct Release {
    pub version: &'static str,
    pub sequence: u64,
    pub root: Vec<u8>,
    pub spec: RootSpec,
    pub tree: Vec<u8>,
    pub uki: Vec<u8>,
}

impl Release {
    pub fn new(version: &'static str, sequence: u64, blocks: usize) -> Self {
        let root: Vec<u8> = (0..blocks * 4096)
            .map(|i| (i / 5) as u8 ^ (i / 4096) as u8 ^ sequence as u8)
            .collect();
        let (salt, uuid) = (
            vec![sequence as u8; 32],
            Guid::from_bytes([sequence as u8; 16]),
        );
        let mut tree = Cursor::new(Vec::new());
        let size = root.len() as u64;
        let root_hash = verity::build(root.as_slice(), size, &salt, uuid, &mut tree, 1).unwrap();
        let uki = format!("MZ {version} kernel quiet roothash={root_hash} initrd").into_bytes();
        let uki = [uki, vec![sequence as u8; 9000]].concat();
        Self {
            version,
            sequence,
            spec: RootSpec {
                size,
                sha256: Digest::of(&root),
                root_hash,
                salt,
                uuid,
            },
            root,
            tree: tree.into_inner(),
            uki,
        }
    }

    pub fn uki_spec(&self) -> UkiSpec {
        UkiSpec {
            size: self.uki.len() as u64,
            sha256: Digest::of(&self.uki),
            root_hash: self.spec.root_hash,
        }
    }

    pub fn request(&self) -> ArmRequest {
        ArmRequest {
            release: self.version.parse().unwrap(),
            sequence: self.sequence,
            root_hash: self.spec.root_hash,
            uki_sha256: Digest::of(&self.uki),
        }
    }
}

/// The release that runs, and the one that comes.
pub fn old() -> Release {
    Release::new("1.0.0", 5, 21)
}

pub fn new() -> Release {
    Release::new("1.1.0", 9, 23)
}

/// Everything from the old content of the idle slot to a trial.
pub fn install(idle: &IdleSlot<'_>, release: &Release) -> Result<(), SlotError> {
    write(idle, release)?;
    idle.arm(&release.request())
}

/// The same without arming.
pub fn write(idle: &IdleSlot<'_>, release: &Release) -> Result<(), SlotError> {
    idle.invalidate()?;
    let target = idle.target(release.spec.size)?;
    for (number, part) in (0..).zip(release.root.chunks(10_000)) {
        let written = target.write_all_at(part, number * 10_000);
        written.at("write", Path::new("the idle slot"))?;
    }
    target.finish()?;
    drop(target);
    let verified = idle.write_verity(&release.spec)?;
    assert_eq!(idle.read_back(&release.spec)?, verified);
    idle.publish_partuuids(&verified)?;
    put_uki(idle, &release.uki, &release.uki_spec())
}

/// Puts a UKI in place.
pub fn put_uki(idle: &IdleSlot<'_>, bytes: &[u8], spec: &UkiSpec) -> Result<(), SlotError> {
    let Some(target) = idle.uki_target(spec)? else {
        return Ok(());
    };
    for (number, part) in (0..).zip(bytes.chunks(4096)) {
        let written = target.file().write_all_at(part, number * 4096);
        written.at("write", Path::new("the UKI"))?;
    }
    target.finish()
}

/// A table as the first boot leaves it: with partitions behind the slots, and a gap between entries is made by tools.
pub fn table(slots: [(Guid, Guid); 2]) -> Gpt {
    let [(root_a, tree_a), (root_b, tree_b)] = slots;
    let other = |byte: u8| Guid::from_bytes([byte; 16]);
    let mut next = FIRST;
    let mut part = |name: &str, guid: Guid, sectors: u64| {
        let first_lba = next;
        next += sectors;
        Partition {
            name: name.into(),
            type_guid: Guid::from_bytes([7; 16]),
            part_guid: guid,
            attributes: 1 << 60,
            first_lba,
            last_lba: next - 1,
        }
    };
    let partitions = vec![
        part("esp", other(0xe0), 8),
        part("root-a", root_a, DATA),
        part("verity-a", tree_a, TREE),
        part("root-b", root_b, DATA),
        part("verity-b", tree_b, TREE),
        part("identity", other(0xe1), 8),
        part("state", other(0xe2), 8),
    ];
    Gpt {
        disk_guid: other(0xd0),
        // No multiple of eight: the backup table is then not aligned to 4096 bytes.
        disk_sectors: next + 33 + 3,
        partitions,
    }
}

/// A disk with `old` in the running slot and nothing in the other.
pub fn disk(running: Slot, old: &Release) -> Vec<u8> {
    let factory = (Guid::from_bytes([0xf0; 16]), Guid::from_bytes([0xf1; 16]));
    let own = old.spec.root_hash.partuuids();
    let gpt = table(match running {
        Slot::A => [own, factory],
        Slot::B => [factory, own],
    });
    let mut bytes = vec![0; gpt.disk_bytes() as usize];
    gpt.write_to(&mut Cursor::new(&mut bytes)).unwrap();
    put(&mut bytes, &gpt, running.data_label(), &old.root);
    put(&mut bytes, &gpt, running.hash_label(), &old.tree);
    bytes
}

pub fn put(bytes: &mut [u8], gpt: &Gpt, label: &str, content: &[u8]) {
    let start = (gpt.partition(label).unwrap().first_lba * SECTOR) as usize;
    bytes[start..start + content.len()].copy_from_slice(content);
}

/// The ESP of such a disk, as the factory leaves it.
pub fn esp(running: Slot, old: &Release) -> BTreeMap<String, Vec<u8>> {
    let entry = format!(
        "title RoamCore OS\nsort-key roamcore\nversion {}\nefi /{}\n",
        old.sequence,
        running.uki_path()
    );
    let files = [
        (BOOT_LOADER.0.to_owned(), BOOT_LOADER.1.to_vec()),
        (SETTINGS.0.to_owned(), SETTINGS.1.to_vec()),
        (running.uki_path().to_owned(), old.uki.clone()),
        (
            format!("loader/entries/{}", running.entry_file()),
            entry.into_bytes(),
        ),
    ];
    files.into_iter().collect()
}

/// A disk and an ESP in a directory, for the code that works on files.
pub fn files(running: Slot, old: &Release) -> (tempfile::TempDir, roamcore_slots::ImageFiles) {
    let dir = tempfile::tempdir().unwrap();
    let (image, root) = (dir.path().join("disk.img"), dir.path().join("esp"));
    std::fs::write(&image, disk(running, old)).unwrap();
    for (path, bytes) in esp(running, old) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let media = roamcore_slots::ImageFiles::new(&image, &root, running);
    (dir, media)
}

pub fn hash(byte: u8) -> RootHash {
    RootHash::from_bytes([byte; 32])
}

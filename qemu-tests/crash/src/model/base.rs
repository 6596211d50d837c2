//! A small disk laid out like ours, with release 1 in slot A, and more releases to install.
//!
//! Small roots and UKIs, but clusters of 4 KiB as on the real ESP, and names as our builder gives them.

use roamcore_disk::fat::{FatImage, FatParams, FileSource};
use roamcore_disk::gpt::{EncodedGpt, Gpt, Guid, Planned, layout};
use roamcore_disk::region::Region;
use roamcore_disk::verity::{self, BLOCK, RootHash};
use sha2::{Digest as _, Sha256 as Hash};

use super::{ModelError, Sparse};
use crate::firmware::crc::crc32;
use crate::judge::{Expect, Fixed, Release, Sha256};
use crate::rng::Rng;

/// Bytes of an ESP whose clusters are of 4 KiB.
const ESP: u64 = 300 << 20;
/// Bytes of a slot's root, and of its hash tree.
const ROOT: u64 = 1 << 20;
const TREE: u64 = 1 << 20;
/// A UKI of several clusters that do not end with one.
const UKI: usize = 41_000;
/// Time of all files on the ESP.
const TIME: i64 = 1_700_000_000;
/// Boot loader and settings: path and content.
const LOADER: [(&str, &[u8]); 2] = [
    ("EFI/BOOT/BOOTX64.EFI", b"a boot loader"),
    ("loader/loader.conf", b"timeout 0\neditor no\n"),
];

/// A slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// root-a, verity-a.
    A,
    /// root-b, verity-b.
    B,
}

impl Slot {
    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// Its letter, as in names.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::A => 'a',
            Self::B => 'b',
        }
    }
}

/// A release, whole.
#[derive(Debug, Clone)]
pub struct Kit {
    /// Its sequence, which is its entry's version.
    pub sequence: u64,
    /// Its root.
    pub root: Vec<u8>,
    /// Superblock and hash tree of the root.
    pub tree: Vec<u8>,
    /// The root hash.
    pub root_hash: RootHash,
    /// Its UKI.
    pub uki: Vec<u8>,
}

impl Kit {
    /// Makes release `sequence`; always the same one.
    pub fn make(sequence: u64) -> Result<Self, ModelError> {
        let mut rng = Rng::fork(sequence, &[7]);
        let mut noise = |len: usize| -> Vec<u8> {
            std::iter::repeat_with(|| rng.next() as u8)
                .take(len)
                .collect()
        };
        let root = noise(ROOT as usize / 2 + 7 * BLOCK);
        let mut tree = std::io::Cursor::new(Vec::new());
        let (length, uuid) = (root.len() as u64, Guid::from_bytes([9; 16]));
        let root_hash = verity::build(root.as_slice(), length, b"salt", uuid, &mut tree, 1)
            .map_err(ModelError::of)?;
        Ok(Self {
            sequence,
            root,
            tree: tree.into_inner(),
            root_hash,
            uki: noise(UKI),
        })
    }

    /// As the judge knows it.
    #[must_use]
    pub fn release(&self) -> Release {
        Release {
            name: format!("release {}", self.sequence),
            uki_sha256: digest(&self.uki),
            root_hash: self.root_hash,
        }
    }

    /// Its entry in a slot.
    #[must_use]
    pub fn entry(&self, slot: Slot) -> String {
        format!(
            "title RoamCore OS\nsort-key roamcore\nversion {}\nefi /EFI/roamcore/{}/roamcore.efi\n",
            self.sequence,
            slot.letter()
        )
    }
}

fn digest(bytes: &[u8]) -> Sha256 {
    Sha256::from_bytes(Hash::digest(bytes).into())
}

/// What is known to be good: the boot loader of [`disk`], and these releases.
#[must_use]
pub fn expect(kits: &[Kit]) -> Expect {
    let fixed = LOADER.map(|(path, content)| Fixed {
        path: format!("/{path}"),
        sha256: digest(content),
    });
    Expect {
        fixed: fixed.into(),
        releases: kits.iter().map(Kit::release).collect(),
    }
}

/// A disk with `kit` in slot A and an empty slot B.
pub fn disk(kit: &Kit) -> Result<Sparse, ModelError> {
    let (root, tree) = kit.root_hash.partuuids();
    let part =
        |name: &str, kind: &str, part_guid: Guid, size: u64| -> Result<Planned, ModelError> {
            Ok(Planned {
                name: name.into(),
                type_guid: kind.parse().map_err(ModelError::of)?,
                part_guid,
                attributes: 0,
                size,
            })
        };
    let esp = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";
    let data = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709";
    let own = |byte: u8| Guid::from_bytes([byte; 16]);
    let parts = [
        part("esp", esp, own(1), ESP)?,
        part("root-a", data, root, ROOT)?,
        part("verity-a", data, tree, TREE)?,
        part("root-b", data, own(4), ROOT)?,
        part("verity-b", data, own(5), TREE)?,
        part("state", data, own(6), 1 << 20)?,
    ];
    let table = layout(own(0xDD), &parts).map_err(ModelError::of)?;
    let mut disk = Sparse::new(table.disk_bytes());
    table.write_to(&mut disk.cursor()).map_err(ModelError::of)?;
    for (name, bytes) in [("root-a", &kit.root), ("verity-a", &kit.tree)] {
        disk.write_at(place(&table, name)?.0, bytes)
            .map_err(ModelError::of)?;
    }
    let entry = kit.entry(Slot::A);
    let params = FatParams {
        size: ESP,
        volume_id: 7,
        label: "ESP".into(),
        time: TIME,
    };
    let mut image = FatImage::new(&params).map_err(ModelError::of)?;
    let mut files: Vec<(&str, &[u8])> = LOADER.to_vec();
    files.push(("EFI/roamcore/a/roamcore.efi", &kit.uki));
    files.push(("loader/entries/roamcore-a.conf", entry.as_bytes()));
    for (path, content) in files {
        image
            .add_file(path, FileSource::bytes(content))
            .map_err(ModelError::of)?;
    }
    image.add_dir("EFI/roamcore/b").map_err(ModelError::of)?;
    let (start, end) = place(&table, "esp")?;
    let mut cursor = disk.cursor();
    let mut region = Region::new(&mut cursor, start, end - start).map_err(ModelError::of)?;
    image.write_to(&mut region).map_err(ModelError::of)?;
    Ok(disk)
}

/// Where a partition lies.
pub(super) fn place(table: &Gpt, name: &str) -> Result<(u64, u64), ModelError> {
    let part = table.partition(name);
    let part = part.ok_or_else(|| ModelError(format!("no partition {name}")))?;
    Ok((part.offset(), part.offset() + part.size()))
}

/// A table as a careless tool writes it: PARTUUIDs may be there twice, which our own writer refuses.
pub(super) fn unchecked(table: &Gpt) -> Result<EncodedGpt, ModelError> {
    let mut distinct = table.clone();
    for (number, part) in (1_u8..).zip(&mut distinct.partitions) {
        part.part_guid = Guid::from_bytes([number; 16]);
    }
    let mut encoded = distinct.encode().map_err(ModelError::of)?;
    let last = encoded.tail.len() - 512;
    // Header and entries of each copy, as byte offsets in its part.
    for (bytes, header, entries) in [(&mut encoded.head, 512, 1024), (&mut encoded.tail, last, 0)] {
        for (number, part) in table.partitions.iter().enumerate() {
            let at = entries + 128 * number + 16;
            bytes[at..at + 16].copy_from_slice(&part.part_guid.to_disk());
        }
        let sum = crc32(&bytes[entries..entries + 128 * 128]);
        bytes[header + 88..header + 92].copy_from_slice(&sum.to_le_bytes());
        bytes[header + 16..header + 20].fill(0);
        let sum = crc32(&bytes[header..header + 92]);
        bytes[header + 16..header + 20].copy_from_slice(&sum.to_le_bytes());
    }
    Ok(encoded)
}

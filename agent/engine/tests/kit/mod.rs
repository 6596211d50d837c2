//! A small disk with two slots, real updates to put on it, and the way a machine boots from it.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]
#![allow(dead_code, reason = "every test program uses its own part")]

pub mod payload;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use roamcore_agent::efivar::BootFailures;
use roamcore_agent::entry::{DIRECTORY, EntryName};
use roamcore_agent::slot::Slot;
use roamcore_agent::trial::Trial;
use roamcore_delta::{PackOptions, Packed, Padded, PartInfo, PartSink, pack};
use roamcore_disk::gpt::{Gpt, Guid, Partition, SECTOR};
use roamcore_disk::verity::{self, RootHash};
use roamcore_engine::device::{Identity, SlotDevice, Surroundings};
use roamcore_engine::{BootId, Destination, DeviceError, Evidence, Release};
use roamcore_ota::{
    Channel, Digest, PrivateKey, Role, RoleChain, RoleTerms, RootImage, SignatureFile, Timestamp,
    UkiImage, Update, UpdateFile, VerityParams, Window,
};
use roamcore_slots::{ImageFiles, Slots};

pub use payload::{Directories, counted};

pub const MIB: usize = 1 << 20;
/// Bytes of a UKI of the kit: not whole blocks.
const UKI: usize = 600 * 1024 + 777;

pub fn key(role: Role, dir: &Path) -> PrivateKey {
    let path = dir.join(format!("{role:?}.key"));
    if let Ok(text) = fs::read_to_string(&path) {
        return PrivateKey::parse(&text).unwrap();
    }
    let key = PrivateKey::generate(role).unwrap();
    fs::write(path, key.to_pem().unwrap().as_str()).unwrap();
    key
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub fn roles(dir: &Path) -> Vec<u8> {
    let (root, development) = (key(Role::Root, dir), key(Role::Development, dir));
    let mut chain = RoleChain::start(RoleTerms {
        created: time("2025-01-01T00:00:00Z"),
        expires: time("2099-01-01T00:00:00Z"),
        keys: vec![root.public().clone(), development.public().clone()],
        thresholds: BTreeMap::new(),
        revoked: BTreeSet::new(),
        security_epoch: Window {
            minimum: 1,
            maximum: 9,
        },
        sequence: Window {
            minimum: 1,
            maximum: 999,
        },
    })
    .unwrap();
    chain.sign(&root).unwrap();
    chain.encode().unwrap()
}

/// Bytes that do not compress, the same in every run: release `number` differs from the one before in a quarter of its
/// 64 KiB stretches.
pub fn root(number: u64, size: usize) -> Vec<u8> {
    const STRETCH: usize = 64 * 1024;
    let mut bytes = vec![0; size];
    for (at, stretch) in bytes.chunks_mut(STRETCH).enumerate() {
        let changed = (0..=number)
            .rev()
            .find(|n| (at as u64 + n).is_multiple_of(4));
        let mut state = (at as u64) << 20 | changed.unwrap_or(0);
        for word in stretch.chunks_mut(8) {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let value = (state ^ state >> 29).to_le_bytes();
            word.copy_from_slice(&value[..word.len()]);
        }
    }
    bytes
}

/// A release: what a builder makes, and what is published.
pub struct Made {
    pub number: u64,
    pub root: Vec<u8>,
    pub tree: Vec<u8>,
    pub hash: RootHash,
    pub uki: Vec<u8>,
}

impl Made {
    pub fn new(number: u64, size: usize) -> Self {
        let root = self::root(number, size);
        let byte = u8::try_from(number).unwrap();
        let mut tree = Cursor::new(Vec::new());
        let uuid = Guid::from_bytes([byte; 16]);
        let hash = verity::build(
            root.as_slice(),
            size as u64,
            &[byte; 32],
            uuid,
            &mut tree,
            1,
        )
        .unwrap();
        // A head that every release changes, then what it shares with the one before as a root does.
        let mut uki = format!("MZ kernel quiet roothash={hash} initrd").into_bytes();
        uki.resize(4096, byte);
        uki.extend(self::root(number, UKI - 4096));
        Self {
            number,
            root,
            tree: tree.into_inner(),
            hash,
            uki,
        }
    }

    pub fn release(&self) -> Release {
        Release {
            product: "bare".parse().unwrap(),
            version: format!("1.{}", self.number).parse().unwrap(),
            sequence: self.number,
            security_epoch: 1,
        }
    }

    pub fn identity(&self, keys: &Path) -> Identity {
        Identity {
            release: self.release(),
            board: "vp2430".parse().unwrap(),
            channel: Channel::Development,
            agent: "0.1.0".parse().unwrap(),
            roles: roles(keys),
            made: None,
        }
    }

    /// Writes the update into a directory, as a server or a stick holds it.
    pub fn publish(&self, dir: &Path, keys: &Path, board: &str) {
        fs::create_dir_all(dir).unwrap();
        let options = PackOptions {
            level: 3,
            ..PackOptions::default()
        };
        let mut sink = Files {
            dir: dir.to_owned(),
            image: "root",
            open: None,
        };
        let packed = pack(&self.root, &options, &mut sink).unwrap();
        let mut sink = Files {
            image: "uki",
            ..sink
        };
        let uki = pack(&Padded::new(&self.uki), &options, &mut sink).unwrap();
        let parts = |image: &str, packed: &Packed| {
            let parts = packed.parts.iter().enumerate();
            let file = |(at, part): (usize, &PartInfo)| UpdateFile {
                name: part_name(image, at).parse().unwrap(),
                size: part.size,
                sha256: part.sha256,
                extra: BTreeMap::new(),
            };
            parts.map(file).collect::<Vec<_>>()
        };
        let file = |name: &str, bytes: &[u8]| {
            fs::write(dir.join(name), bytes).unwrap();
            UpdateFile {
                name: name.parse().unwrap(),
                size: bytes.len() as u64,
                sha256: Digest::of(bytes),
                extra: BTreeMap::new(),
            }
        };
        let byte = u8::try_from(self.number).unwrap();
        let update = Update {
            format: 1,
            requires: Vec::new(),
            product: "bare".parse().unwrap(),
            board: board.parse().unwrap(),
            version: format!("1.{}", self.number).parse().unwrap(),
            sequence: self.number,
            security_epoch: 1,
            minimum_agent: "0.1.0".parse().unwrap(),
            channel: Channel::Development,
            created: time("2025-06-01T00:00:00Z"),
            expires: Some(time("2098-01-01T00:00:00Z")),
            release_sha256: Digest::of(b"release"),
            root: RootImage {
                size: self.root.len() as u64,
                sha256: Digest::of(&self.root),
                root_hash: Digest::from(*self.hash.as_bytes()),
                verity: VerityParams {
                    salt: vec![byte; 32].try_into().unwrap(),
                    uuid: [byte; 16].into(),
                    data_block_size: 4096,
                    hash_block_size: 4096,
                    extra: BTreeMap::new(),
                },
                extra: BTreeMap::new(),
            },
            uki: UkiImage {
                size: self.uki.len() as u64,
                sha256: Digest::of(&self.uki),
                index: file("uki.index", &uki.index),
                parts: parts("uki", &uki),
                extra: BTreeMap::new(),
            },
            index: file("root.index", &packed.index),
            parts: parts("root", &packed),
            reboot: true,
            extra: BTreeMap::new(),
        };
        let manifest = update.encode().unwrap();
        let mut signatures = SignatureFile::default();
        signatures
            .add_update(&manifest, &key(Role::Development, keys))
            .unwrap();
        fs::write(dir.join("update.json"), &manifest).unwrap();
        fs::write(dir.join("update.json.sig"), signatures.encode().unwrap()).unwrap();
        fs::write(dir.join("roles.json"), roles(keys)).unwrap();
    }
}

fn part_name(image: &str, at: usize) -> String {
    format!("{image}.{at:03}")
}

struct Files {
    dir: PathBuf,
    image: &'static str,
    open: Option<fs::File>,
}

impl PartSink for Files {
    fn begin(&mut self, part: usize) -> std::io::Result<()> {
        self.open = Some(fs::File::create(
            self.dir.join(part_name(self.image, part)),
        )?);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.open.as_mut().expect("begun").write_all(bytes)
    }
}

/// The disk, its ESP and what a machine keeps between two boots.
pub struct Bench {
    pub dir: PathBuf,
    pub running: Slot,
    pub boot: u64,
    pub trial: Option<Trial>,
    pub failures: BootFailures,
    /// What the boot before this one left.
    pub left: Evidence,
}

const BOOT_LOADER: (&str, &[u8]) = ("EFI/BOOT/BOOTX64.EFI", b"systemd-boot");

fn table(own: (Guid, Guid), slot_bytes: usize) -> Gpt {
    let other = |byte: u8| Guid::from_bytes([byte; 16]);
    let data = (slot_bytes as u64).div_ceil(SECTOR);
    let tree = data / 64 + 64;
    let mut next = 2048;
    let mut part = |name: &str, guid: Guid, sectors: u64| {
        let first_lba = next;
        next += sectors.next_multiple_of(8);
        Partition {
            name: name.into(),
            type_guid: other(7),
            part_guid: guid,
            attributes: 0,
            first_lba,
            last_lba: next - 1,
        }
    };
    let partitions = vec![
        part("esp", other(0xe0), 8),
        part("root-a", own.0, data),
        part("verity-a", own.1, tree),
        part("root-b", other(0xf0), data),
        part("verity-b", other(0xf1), tree),
    ];
    Gpt {
        disk_guid: other(0xd0),
        disk_sectors: next + 40,
        partitions,
    }
}

impl Bench {
    /// A disk as the factory leaves it.
    pub fn factory(dir: &Path, made: &Made, slot_bytes: usize) -> Self {
        fs::create_dir_all(dir.join("var")).unwrap();
        let gpt = table(made.hash.partuuids(), slot_bytes);
        let mut bytes = vec![0; usize::try_from(gpt.disk_bytes()).unwrap()];
        gpt.write_to(&mut Cursor::new(&mut bytes)).unwrap();
        for (label, content) in [("root-a", &made.root), ("verity-a", &made.tree)] {
            let start = usize::try_from(gpt.partition(label).unwrap().offset()).unwrap();
            bytes[start..start + content.len()].copy_from_slice(content);
        }
        fs::write(dir.join("disk.img"), bytes).unwrap();
        let entry = format!(
            "title RoamCore OS\nsort-key roamcore\nversion {}\nefi /{}\n",
            made.number,
            Slot::A.uki_path()
        );
        let entry_path = format!("{DIRECTORY}/{}", Slot::A.entry_file());
        for (path, content) in [
            (BOOT_LOADER.0, BOOT_LOADER.1),
            (Slot::A.uki_path(), made.uki.as_slice()),
            (&entry_path, entry.as_bytes()),
        ] {
            let path = dir.join("esp").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        Self {
            dir: dir.to_owned(),
            running: Slot::A,
            boot: 1,
            trial: None,
            failures: BootFailures::default(),
            left: Evidence::default(),
        }
    }

    pub fn media(&self) -> ImageFiles {
        let mut media = ImageFiles::new(
            &self.dir.join("disk.img"),
            &self.dir.join("esp"),
            self.running,
        );
        media.circumstances.trial = self.trial.clone();
        media.circumstances.failures = self.failures;
        media
    }

    pub fn device(&self, identity: Identity) -> Result<SlotDevice, DeviceError> {
        SlotDevice::open(
            Slots::on(Box::new(self.media())),
            identity,
            &self.dir.join("var"),
            Box::new(Stub {
                boot: self.boot,
                reboot: self.dir.join("reboot"),
                data: self.dir.join("data"),
                copy: self.dir.join("data.copy"),
                left: self.left.clone(),
            }),
        )
    }

    pub fn partition(&self, label: &str) -> Vec<u8> {
        let bytes = fs::read(self.dir.join("disk.img")).unwrap();
        let size = bytes.len() as u64;
        let gpt = Gpt::read_from(&mut Cursor::new(&bytes), size).unwrap().gpt;
        let part = gpt.partition(label).unwrap();
        let start = usize::try_from(part.offset()).unwrap();
        bytes[start..start + usize::try_from(part.size()).unwrap()].to_vec()
    }

    /// What an update must never change: the running slot, its files and the boot loader.
    pub fn untouchable(&self) -> Digest {
        let mut all = Vec::new();
        for label in [self.running.data_label(), self.running.hash_label()] {
            all.extend_from_slice(Digest::of(&self.partition(label)).as_bytes());
        }
        for path in [
            BOOT_LOADER.0.to_owned(),
            self.running.uki_path().to_owned(),
            format!("{DIRECTORY}/{}", self.running.entry_file()),
        ] {
            let content = fs::read(self.dir.join("esp").join(&path));
            let content = content.unwrap_or_else(|error| panic!("{path} is lost: {error}"));
            all.extend_from_slice(Digest::of(&content).as_bytes());
        }
        Digest::of(&all)
    }

    /// Firmware, boot loader, kernel: the entry with the highest version that has tries left, counted down.
    pub fn start(&mut self, known: &[&Made]) {
        self.boot += 1;
        self.trial = None;
        let directory = self.dir.join("esp").join(DIRECTORY);
        let mut found: Vec<(u64, EntryName)> = fs::read_dir(&directory)
            .unwrap()
            .filter_map(|entry| {
                let entry = entry.unwrap();
                let name = EntryName::parse(entry.file_name().to_str()?).ok()?;
                let text = fs::read_to_string(entry.path()).unwrap();
                let version = text.lines().find_map(|line| line.strip_prefix("version "));
                Some((version?.parse().ok()?, name))
            })
            .filter(|(_, name)| {
                !matches!(name, EntryName::Counted { counter, .. } if counter.left == 0)
            })
            .collect();
        found.sort_by_key(|(version, _)| *version);
        let (_, name) = found.pop().expect("an entry to boot");
        self.running = name.slot().expect("a slot's entry");
        if let EntryName::Counted {
            file,
            committed,
            counter,
        } = &name
        {
            let stem = committed.strip_suffix(".conf").unwrap();
            let (left, done) = (counter.left - 1, counter.done + 1);
            let counted = format!("{stem}+{left}-{done}.conf");
            fs::rename(directory.join(file), directory.join(&counted)).unwrap();
            self.trial = Some(Trial {
                entry_path: format!("\\loader\\entries\\{counted}"),
                tries_left: left,
                tries_done: done,
                slot: self.running,
            });
        }
        // Verity, from the root hash in the UKI down.
        let uki = fs::read(self.dir.join("esp").join(self.running.uki_path())).unwrap();
        let made = known.iter().find(|made| made.uki == uki);
        let made = made.expect("a UKI the firmware accepts");
        let data = self.partition(self.running.data_label());
        assert_eq!(data[..made.root.len()], made.root, "the root is not whole");
    }

    /// The commit service of a healthy trial.
    pub fn commit(&mut self) {
        let trial = self.trial.take().expect("a trial");
        let directory = self.dir.join("esp").join(DIRECTORY);
        roamcore_agent::commit::commit_entry(&directory, &trial.entry().unwrap()).unwrap();
    }
}

struct Stub {
    boot: u64,
    reboot: PathBuf,
    /// What a newer release may change, and its copy.
    data: PathBuf,
    copy: PathBuf,
    left: Evidence,
}

impl Surroundings for Stub {
    fn boot(&self) -> Result<BootId, DeviceError> {
        Ok(BootId(format!("boot {}", self.boot)))
    }

    fn clock(&self) -> Option<Timestamp> {
        Some(time("2025-11-21T00:00:00Z"))
    }

    fn reboot(&mut self, _: Destination, _: Option<&str>) -> Result<(), DeviceError> {
        fs::write(&self.reboot, "").unwrap();
        Ok(())
    }

    fn evidence(&self, _: Option<&str>) -> Evidence {
        self.left.clone()
    }

    fn snapshot(&mut self) -> Result<(), DeviceError> {
        drop(fs::copy(&self.data, &self.copy));
        Ok(())
    }

    fn restore(&mut self) -> Result<(), DeviceError> {
        drop(fs::copy(&self.copy, &self.data));
        Ok(())
    }

    fn forget(&mut self) -> Result<(), DeviceError> {
        drop(fs::remove_file(&self.copy));
        Ok(())
    }
}

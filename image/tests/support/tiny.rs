//! A complete, signed, tiny A/B build: what `release` needs of a build directory, without packages.
//!
//! Every part is made by the code that makes or parses it in a real one.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use roamcore_disk::fat::{FatImage, FatParams, FileSource};
use roamcore_disk::gpt::Guid;
use roamcore_disk::verity;
use roamcore_image::keys::KeySet;
use roamcore_ota::{
    Artefact, ArtefactKind, Channel, Digest, DiskRecord, Extra, PartitionRecord, Release, Role,
    SignatureFile,
};
use roamcore_pe::tiny::Tiny;
use roamcore_pe::uki::{self, UkiParts};
use tempfile::TempDir;

/// Bytes of a tiny root: a few groups of the packing, so that there are several parts.
pub const ROOT: usize = 8 << 20;
/// FAT32 needs this many clusters.
const ESP: u64 = 40 << 20;

/// What to build.
#[derive(Clone)]
pub struct TinyBuild {
    /// Version.
    pub version: &'static str,
    /// Sequence.
    pub sequence: u64,
    /// Channel.
    pub channel: Channel,
    /// The root file system.
    pub root: Vec<u8>,
    /// What the UKI says of the root; `None` the truth.
    pub says: Option<&'static str>,
}

/// Bytes that do not compress and are the same every time (SplitMix64).
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let words = std::iter::repeat_with(|| next().to_le_bytes());
    words.flatten().take(len).collect()
}

/// Key sets are slow to make (RSA): one of each role for all tests of a program.
pub fn keys(role: Role) -> KeySet {
    static SETS: OnceLock<(TempDir, KeySet, KeySet)> = OnceLock::new();
    let (_, development, release) = SETS.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let make = |name: &str, role| KeySet::create(&dir.path().join(name), role).unwrap();
        let (development, release) = (
            make("development", Role::Development),
            make("release", Role::Release),
        );
        (dir, development, release)
    });
    match role {
        Role::Development => development.clone(),
        Role::Release => release.clone(),
        Role::Root => panic!("no such key set"),
    }
}

impl Default for TinyBuild {
    fn default() -> TinyBuild {
        TinyBuild {
            version: "1.0.0",
            sequence: 1,
            channel: Channel::Development,
            root: noise(1, ROOT),
            says: None,
        }
    }
}

impl TinyBuild {
    /// Writes the build directory.
    pub fn write(&self, dir: &Path) -> PathBuf {
        let dir = dir.join(self.version);
        fs::create_dir_all(&dir).unwrap();
        let mut tree = Cursor::new(Vec::new());
        let uuid = Guid::from_bytes([7; 16]);
        let len = self.root.len() as u64;
        let hash = verity::build(&self.root[..], len, b"salt", uuid, &mut tree, 1).unwrap();
        let esp = esp(&self.uki(&hash.to_string()));
        let regions: [(&str, Option<u32>, Vec<u8>); 5] = [
            ("gpt-primary", None, vec![0; 1 << 20]),
            ("esp", Some(1), esp),
            ("root-a", Some(2), self.root.clone()),
            ("verity-a", Some(3), tree.into_inner()),
            ("gpt-backup", None, vec![1; 4096]),
        ];
        let mut raw = Vec::new();
        let mut partitions = Vec::new();
        for (name, number, bytes) in regions {
            partitions.push(PartitionRecord {
                name: name.parse().unwrap(),
                number,
                offset: raw.len() as u64,
                size: bytes.len() as u64,
                sha256: Digest::of(&bytes),
                extra: Extra::new(),
            });
            raw.extend(bytes);
        }
        let image = zstd::encode_all(raw.as_slice(), 1).unwrap();
        fs::write(dir.join("disk.img.zst"), &image).unwrap();
        let release = Release {
            format: 1,
            requires: Vec::new(),
            product: "tiny".parse().unwrap(),
            board: "vp2430".parse().unwrap(),
            version: self.version.parse().unwrap(),
            sequence: self.sequence,
            security_epoch: 1,
            channel: self.channel,
            created: "2025-11-21T07:41:00Z".parse().unwrap(),
            expires: None,
            lock_sha256: Digest::of(b"lock"),
            root_hash: Digest::from(*hash.as_bytes()),
            artefacts: vec![Artefact {
                name: "disk.img.zst".parse().unwrap(),
                size: image.len() as u64,
                sha256: Digest::of(&image),
                kind: ArtefactKind::Disk,
                extra: Extra::new(),
            }],
            partitions,
            disk: DiskRecord {
                raw_size: raw.len() as u64,
                artefact: "disk.img.zst".parse().unwrap(),
                extra: Extra::new(),
            },
            extra: Extra::new(),
        };
        let manifest = release.encode().unwrap();
        let mut signatures = SignatureFile::default();
        let key = keys(self.channel.role()).release_key().unwrap();
        signatures.add(&manifest, &key).unwrap();
        fs::write(dir.join("release.json"), manifest).unwrap();
        fs::write(dir.join("release.json.sig"), signatures.encode().unwrap()).unwrap();
        dir
    }

    fn uki(&self, root_hash: &str) -> Vec<u8> {
        let cmdline = format!("ro roothash={}", self.says.unwrap_or(root_hash));
        let kernel = Tiny {
            sections: vec![(".text", b"kernel".to_vec())],
            ..Tiny::default()
        };
        let parts = UkiParts {
            osrel: b"ID=tiny\n",
            cmdline: cmdline.as_bytes(),
            uname: b"6.12.0",
            ucode: None,
            // The same in every build, and the larger part.
            initrd: &noise(9, 1 << 20),
            linux: &kernel.build(),
        };
        uki::assemble(&Tiny::default().build(), &parts).unwrap()
    }
}

fn esp(uki: &[u8]) -> Vec<u8> {
    let params = FatParams {
        size: ESP,
        volume_id: 1,
        label: "TINY".to_owned(),
        time: 1_763_710_860,
    };
    let mut image = FatImage::new(&params).unwrap();
    image
        .add_file("EFI/roamcore/a/roamcore.efi", FileSource::bytes(uki))
        .unwrap();
    let mut out = Cursor::new(vec![0; ESP as usize]);
    image.write_to(&mut out).unwrap();
    out.into_inner()
}

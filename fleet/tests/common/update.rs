//! A small update with real signatures, as a publisher would leave it in a directory.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use roamcore_delta::roam::{NewMember, write};
use roamcore_ota::{
    Channel, Digest, Extra, PrivateKey, Role, RoleChain, RoleTerms, RootImage, SignatureFile,
    Timestamp, UkiImage, Update, UpdateFile, VerityParams, Window,
};

/// What was published, and two role documents to begin with: the right one, and a stranger's.
pub struct Published {
    pub dir: tempfile::TempDir,
    pub roles: PathBuf,
    pub other_roles: PathBuf,
}

static FILES: [(&str, [u8; 4096]); 4] = [
    ("root.index", [2; 4096]),
    ("uki.index", [1; 4096]),
    ("uki.000", [4; 4096]),
    ("root.000", [3; 4096]),
];

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn chain(root: &PrivateKey, release: &PrivateKey) -> Vec<u8> {
    let mut chain = RoleChain::start(RoleTerms {
        created: time("2026-01-01T00:00:00Z"),
        expires: time("2099-01-01T00:00:00Z"),
        keys: vec![root.public().clone(), release.public().clone()],
        thresholds: BTreeMap::new(),
        revoked: BTreeSet::new(),
        security_epoch: Window {
            minimum: 0,
            maximum: 9,
        },
        sequence: Window {
            minimum: 0,
            maximum: 9999,
        },
    })
    .unwrap();
    chain.sign(root).unwrap();
    chain.encode().unwrap()
}

fn file((name, bytes): (&str, [u8; 4096])) -> UpdateFile {
    UpdateFile {
        name: name.parse().unwrap(),
        size: 4096,
        sha256: Digest::of(&bytes),
        extra: Extra::new(),
    }
}

/// Publishes one.
pub fn publish() -> Published {
    let dir = tempfile::tempdir().unwrap();
    let [root, release, stranger] =
        [Role::Root, Role::Release, Role::Root].map(|role| PrivateKey::generate(role).unwrap());
    let [index, uki_index, uki_part, part] = FILES.map(file);
    let update = Update {
        format: 1,
        requires: Vec::new(),
        product: "bare".parse().unwrap(),
        board: "vp2430".parse().unwrap(),
        version: "1.2.3".parse().unwrap(),
        sequence: 7,
        security_epoch: 1,
        minimum_agent: "0.1.0".parse().unwrap(),
        channel: Channel::Release,
        created: time("2026-02-01T00:00:00Z"),
        expires: None,
        release_sha256: Digest::of(b"release"),
        root: RootImage {
            size: 8192,
            sha256: Digest::of(b"root"),
            root_hash: Digest::of(b"root hash"),
            verity: VerityParams {
                salt: "5a17".parse().unwrap(),
                uuid: "6c1f3a42-6d0e-4f0b-9d5c-7e6b3c1a0f00".parse().unwrap(),
                data_block_size: 4096,
                hash_block_size: 4096,
                extra: Extra::new(),
            },
            extra: Extra::new(),
        },
        uki: UkiImage {
            size: 4096,
            sha256: Digest::of(b"uki"),
            index: uki_index,
            parts: vec![uki_part],
            extra: Extra::new(),
        },
        index,
        parts: vec![part],
        reboot: true,
        extra: Extra::new(),
    };
    let manifest = update.encode().unwrap();
    let mut signatures = SignatureFile::default();
    signatures.add_update(&manifest, &release).unwrap();
    let put = |name: &str, bytes: &[u8]| fs::write(dir.path().join(name), bytes).unwrap();
    put("update.json", &manifest);
    put("update.json.sig", &signatures.encode().unwrap());
    put("roles.json", &chain(&root, &release));
    FILES.iter().for_each(|(name, bytes)| put(name, bytes));
    // Not part of the release: a directory may hold more.
    put("notes.txt", b"for people");
    let anchors = tempfile::tempdir_in(dir.path()).unwrap().keep();
    let anchor = |name: &str, bytes: &[u8]| {
        let path = anchors.join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let roles = anchor("roles.json", &chain(&root, &release));
    let other_roles = anchor("other.json", &chain(&stranger, &release));
    Published {
        dir,
        roles,
        other_roles,
    }
}

/// The same release in one file.
pub fn pack(dir: &Path, to: &Path) {
    let names = [
        "update.json",
        "update.json.sig",
        "roles.json",
        "root.index",
        "uki.index",
        "uki.000",
        "root.000",
    ];
    let mut files: Vec<File> = names
        .iter()
        .map(|name| File::open(dir.join(name)).unwrap())
        .collect();
    let members = names.iter().zip(&mut files).map(|(name, file)| NewMember {
        name,
        size: file.metadata().unwrap().len(),
        content: file,
    });
    write(&mut File::create(to).unwrap(), members.collect()).unwrap();
}

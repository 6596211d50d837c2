//! A tiny but complete release, the one docs/release.md shows. Built from the same types that read it.

use std::collections::BTreeMap;
use std::io;

use roamcore_ota::{
    Artefact, ArtefactKind, Channel, Digest, DiskRecord, FileName, PartitionRecord, PrivateKey,
    Release, SignatureFile, TrustStore, VerifiedRelease, VerifyError, verify_release,
};

pub use crate::common::{chain, edited, flipped, key, time};

pub const NOW: &str = "2025-12-01T00:00:00Z";
pub const DISK_NAME: &str = "disk.img.zst";

/// Name, number, size. Region n is filled with the n-th letter of the alphabet.
const REGIONS: [(&str, Option<u32>, u64); 9] = [
    ("gpt-primary", None, 17_408),
    ("esp", Some(1), 2048),
    ("root-a", Some(2), 2048),
    ("verity-a", Some(3), 512),
    ("root-b", Some(4), 2048),
    ("verity-b", Some(5), 512),
    ("seed", Some(6), 1024),
    ("identity", Some(7), 512),
    ("gpt-backup", None, 16_896),
];

const ARTEFACTS: [(&str, ArtefactKind, &[u8]); 3] = [
    (DISK_NAME, ArtefactKind::Disk, b"example disk\n"),
    ("sbom.cdx.json", ArtefactKind::Sbom, b"example sbom\n"),
    (
        "build-report.json",
        ArtefactKind::BuildReport,
        b"example report\n",
    ),
];

pub fn disk() -> Vec<u8> {
    REGIONS
        .iter()
        .zip(b'a'..)
        .flat_map(|((.., size), fill)| vec![fill; usize::try_from(*size).unwrap()])
        .collect()
}

pub fn artefact(name: &str) -> io::Result<&'static [u8]> {
    let found = ARTEFACTS.iter().find(|(known, ..)| *known == name);
    found
        .map(|(.., bytes)| *bytes)
        .ok_or_else(|| io::ErrorKind::NotFound.into())
}

pub fn release(channel: Channel) -> Release {
    let disk = disk();
    let mut end = 0;
    let partitions = REGIONS.iter().map(|(name, number, size)| {
        let offset = end;
        end += size;
        let bytes = &disk[usize::try_from(offset).unwrap()..usize::try_from(end).unwrap()];
        PartitionRecord {
            name: name.parse().unwrap(),
            number: *number,
            offset,
            size: *size,
            sha256: Digest::of(bytes),
            extra: BTreeMap::new(),
        }
    });
    Release {
        format: 1,
        requires: Vec::new(),
        product: "roamcore".parse().unwrap(),
        board: "vp2430".parse().unwrap(),
        version: "1.4.0-dev.1".parse().unwrap(),
        sequence: 1_763_710_860,
        security_epoch: 1,
        channel,
        created: time("2025-11-21T07:41:00Z"),
        expires: Some(time("2026-05-20T07:41:00Z")),
        lock_sha256: Digest::of(b"example lock\n"),
        root_hash: Digest::of(b"example root hash\n"),
        artefacts: ARTEFACTS
            .iter()
            .map(|(name, kind, bytes)| listed(name, kind.clone(), bytes))
            .collect(),
        partitions: partitions.collect(),
        disk: DiskRecord {
            raw_size: disk.len() as u64,
            artefact: DISK_NAME.parse().unwrap(),
            extra: BTreeMap::new(),
        },
        extra: BTreeMap::new(),
    }
}

pub fn listed(name: &str, kind: ArtefactKind, bytes: &[u8]) -> Artefact {
    let name: FileName = name.parse().unwrap();
    Artefact {
        name,
        size: bytes.len() as u64,
        sha256: Digest::of(bytes),
        kind,
        extra: BTreeMap::new(),
    }
}

pub fn manifest(channel: Channel) -> Vec<u8> {
    release(channel).encode().unwrap()
}

pub fn sign(manifest: &[u8], keys: &[&PrivateKey]) -> Vec<u8> {
    let mut file = SignatureFile::default();
    for key in keys {
        file.add(manifest, key).unwrap();
    }
    file.encode().unwrap()
}

pub fn trust(keys: &[&PrivateKey], threshold: usize) -> TrustStore {
    TrustStore::new(keys.iter().map(|key| key.public().clone()), threshold).unwrap()
}

/// The release of this channel, signed by the key and verified.
pub fn verified(channel: Channel) -> VerifiedRelease {
    let key = key(1, channel.role());
    let manifest = manifest(channel);
    verify_release(
        &manifest,
        &sign(&manifest, &[&key]),
        &trust(&[&key], 1),
        Some(time(NOW)),
    )
    .unwrap()
}

pub fn refused(manifest: &[u8], signatures: &[u8], trust: &TrustStore) -> VerifyError {
    verify_release(manifest, signatures, trust, Some(time(NOW))).unwrap_err()
}

//! A tiny but complete update, the one docs/release-format.md shows. Built from the same types that read it.

use std::collections::{BTreeMap, BTreeSet};

use base64ct::{Base64, Encoding};
use ed25519_dalek::{Signer, SigningKey};
use roamcore_ota::{
    Channel, Clock, Device, Digest, Document, Extra, Floors, Judgement, KeyId, PublicKey, Refusal,
    Role, RoleChain, RoleTerms, RootImage, Running, SignatureFile, TrustedRoles, UkiImage, Update,
    UpdateDocuments, UpdateFile, Verdict, VerifiedUpdate, VerityParams, Window, judge,
};
use serde_json::{Value, json};

pub use crate::common::{chain as chained, edited, flipped, key, time};

pub const NOW: &str = "2025-12-01T00:00:00Z";
pub const SEQUENCE: u64 = 130;

/// The seeds of the keys: three for each role but development.
pub const ROOT: [u8; 3] = [11, 12, 13];
pub const RELEASE: [u8; 3] = [21, 22, 23];
pub const DEVELOPMENT: u8 = 1;

/// The files that the manifest lists. The root's parts have the same size, so that only their hashes tell them apart.
pub const FILES: [(&str, &[u8]); 5] = [
    ("root.index", b"example index\n"),
    ("uki.index", b"example uki index\n"),
    ("uki.000", b"example uki part\n"),
    ("root.000", b"example part 0\n"),
    ("root.001", b"example part 1\n"),
];

pub fn id(seed: u8) -> KeyId {
    key(seed, Role::Root).public().id()
}

/// A signature file by these keys over any bytes: also over what this crate would never sign.
pub fn forged(document: Document, bytes: &[u8], seeds: &[u8]) -> Vec<u8> {
    let message = [document.signature_domain(), bytes].concat();
    let mut entries: Vec<Value> = seeds
        .iter()
        .map(|seed| {
            let signature = SigningKey::from_bytes(&[*seed; 32]).sign(&message);
            json!({"key_id": id(*seed), "signature": Base64::encode_string(&signature.to_bytes())})
        })
        .collect();
    entries.sort_by_key(|entry| entry["key_id"].to_string());
    canonical(&json!({"format": 1, "signatures": entries}))
}

/// Canonical JSON of what has no type that would allow it.
pub fn canonical(value: &Value) -> Vec<u8> {
    let mut value = value.clone();
    value.sort_all_objects();
    let mut bytes = serde_json::to_vec_pretty(&value).unwrap();
    bytes.push(b'\n');
    bytes
}

pub fn public(seeds: &[u8], role: Role) -> Vec<PublicKey> {
    seeds
        .iter()
        .map(|s| key(*s, role).public().clone())
        .collect()
}

pub fn terms() -> RoleTerms {
    let keys = [
        public(&ROOT, Role::Root),
        public(&RELEASE, Role::Release),
        public(&[DEVELOPMENT], Role::Development),
    ];
    RoleTerms {
        created: time("2025-06-01T00:00:00Z"),
        expires: time("2026-06-01T00:00:00Z"),
        keys: keys.concat(),
        thresholds: BTreeMap::from([(Role::Root, 2), (Role::Release, 2)]),
        revoked: BTreeSet::new(),
        security_epoch: Window {
            minimum: 1,
            maximum: 3,
        },
        sequence: Window {
            minimum: 100,
            maximum: 999,
        },
    }
}

/// The terms with the keys of one role replaced.
pub fn rekeyed(mut terms: RoleTerms, role: Role, seeds: &[u8]) -> RoleTerms {
    terms.keys.retain(|key| key.role() != role);
    terms.keys.extend(public(seeds, role));
    terms
}

pub fn sign_roles(chain: &mut RoleChain, seeds: &[u8]) {
    for seed in seeds {
        chain.sign(&key(*seed, Role::Root)).unwrap();
    }
}

/// Document 1, signed by two root keys.
pub fn chain() -> RoleChain {
    let mut chain = RoleChain::start(terms()).unwrap();
    sign_roles(&mut chain, &ROOT[..2]);
    chain
}

/// The chain with one document more.
pub fn then(mut chain: RoleChain, terms: RoleTerms, signers: &[u8]) -> RoleChain {
    chain.push(terms).unwrap();
    sign_roles(&mut chain, signers);
    chain
}

pub fn trusted(chain: &RoleChain) -> TrustedRoles {
    TrustedRoles::anchor(&chain.encode().unwrap()).unwrap()
}

pub fn file(name: &str, bytes: &[u8]) -> UpdateFile {
    UpdateFile {
        name: name.parse().unwrap(),
        size: bytes.len() as u64,
        sha256: Digest::of(bytes),
        extra: Extra::new(),
    }
}

pub fn update() -> Update {
    let mut files = FILES.into_iter().map(|(name, bytes)| file(name, bytes));
    let mut next = || files.next().unwrap();
    let (index, uki_index, uki_part) = (next(), next(), next());
    let uki = b"example uki\n";
    let root: Vec<u8> = [[b'a'; 4096], [b'b'; 4096]].concat();
    Update {
        format: 1,
        requires: Vec::new(),
        product: "roamcore".parse().unwrap(),
        board: "vp2430".parse().unwrap(),
        version: "1.5.0".parse().unwrap(),
        sequence: SEQUENCE,
        security_epoch: 2,
        minimum_agent: "0.1.0".parse().unwrap(),
        channel: Channel::Release,
        created: time("2025-11-21T07:41:00Z"),
        expires: Some(time("2026-05-20T07:41:00Z")),
        release_sha256: Digest::of(b"example release\n"),
        root: RootImage {
            size: root.len() as u64,
            sha256: Digest::of(&root),
            root_hash: Digest::of(b"example root hash\n"),
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
            size: uki.len() as u64,
            sha256: Digest::of(uki),
            index: uki_index,
            parts: vec![uki_part],
            extra: Extra::new(),
        },
        index,
        parts: files.collect(),
        reboot: true,
        extra: Extra::new(),
    }
}

pub fn sign(manifest: &[u8], seeds: &[u8], role: Role) -> Vec<u8> {
    let mut file = SignatureFile::default();
    for seed in seeds {
        file.add_update(manifest, &key(*seed, role)).unwrap();
    }
    file.encode().unwrap()
}

pub fn device(roles: &TrustedRoles) -> Device {
    let mut floors = Floors {
        security_epoch: 1,
        sequence: BTreeMap::new(),
    };
    floors.sequence.insert(
        Channel::Release,
        roamcore_ota::SequenceFloor {
            sequence: 120,
            key_set: roles.key_set(Channel::Release),
        },
    );
    Device {
        product: "roamcore".parse().unwrap(),
        board: "vp2430".parse().unwrap(),
        agent: "0.2.0".parse().unwrap(),
        running: Running {
            sequence: 120,
            root_hash: Digest::of(b"running root hash\n"),
            uki_sha256: Some(Digest::of(b"running uki\n")),
        },
        floors,
        slot_bytes: 65536,
        clock: Clock {
            now: Some(time(NOW)),
            passed: Some(time("2025-10-01T00:00:00Z")),
        },
    }
}

/// An update signed by the keys of its channel, judged under these roles.
pub fn judged(
    update: &Update,
    roles: &RoleChain,
    trusted: &TrustedRoles,
    device: &Device,
) -> Judgement {
    let manifest = update.encode().unwrap();
    let signatures = match update.channel {
        Channel::Release => sign(&manifest, &RELEASE[..2], Role::Release),
        Channel::Development => sign(&manifest, &[DEVELOPMENT], Role::Development),
    };
    let documents = UpdateDocuments {
        manifest: &manifest,
        signatures: &signatures,
        roles: &roles.encode().unwrap(),
    };
    judge(&documents, trusted, device)
}

/// The same where nothing is special but update and device.
pub fn verdict(update: &Update, device: &Device) -> Result<Verdict, Refusal> {
    judged(update, &chain(), &trusted(&chain()), device).verdict
}

#[track_caller]
pub fn installs(verdict: Result<Verdict, Refusal>) -> VerifiedUpdate {
    match verdict {
        Ok(Verdict::Install(update)) => update,
        other => panic!("{other:?}"),
    }
}

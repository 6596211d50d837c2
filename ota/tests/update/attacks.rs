//! Every attack is a directory under `tests/attacks`: what the device is and trusts, what it is offered, and the exact
//! refusal. The bytes are committed, so that other implementations can be held against them.
//!
//! `UPDATE=1 cargo test -p roamcore-ota --test update` writes them anew; which class refuses each is in `cases`, not in
//! the files, so a rule that stopped working cannot be written into them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use roamcore_ota::{
    Clock, Device, Document, FailureClass, Floors, Judgement, MAX_SIGNATURE_BYTES, Refusal,
    Running, TrustedRoles, UpdateDocuments, Verdict, judge, read_document,
};
use serde::{Deserialize, Serialize};

use crate::cases::{Case, cases};
use crate::fixture::{canonical, chained};

/// `case.json`: the device and the outcome.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    about: String,
    device: ToldDevice,
    refused: Option<ToldRefusal>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ToldDevice {
    product: String,
    board: String,
    agent: String,
    running_sequence: u64,
    running_root_hash: String,
    running_uki_sha256: Option<String>,
    floors: Floors,
    slot_bytes: u64,
    now: Option<String>,
    passed: Option<String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ToldRefusal {
    class: String,
    exit_code: u8,
    message: String,
}

impl ToldDevice {
    fn of(device: &Device) -> Self {
        ToldDevice {
            product: device.product.to_string(),
            board: device.board.to_string(),
            agent: device.agent.to_string(),
            running_sequence: device.running.sequence,
            running_root_hash: device.running.root_hash.to_string(),
            running_uki_sha256: device.running.uki_sha256.map(|d| d.to_string()),
            floors: device.floors.clone(),
            slot_bytes: device.slot_bytes,
            now: device.clock.now.map(|t| t.to_string()),
            passed: device.clock.passed.map(|t| t.to_string()),
        }
    }

    fn device(self) -> Device {
        Device {
            product: self.product.parse().unwrap(),
            board: self.board.parse().unwrap(),
            agent: self.agent.parse().unwrap(),
            running: Running {
                sequence: self.running_sequence,
                root_hash: self.running_root_hash.parse().unwrap(),
                uki_sha256: self.running_uki_sha256.map(|d| d.parse().unwrap()),
            },
            floors: self.floors,
            slot_bytes: self.slot_bytes,
            clock: Clock {
                now: self.now.map(|t| t.parse().unwrap()),
                passed: self.passed.map(|t| t.parse().unwrap()),
            },
        }
    }
}

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/attacks")
}

/// A file of a directory, read as a device reads it: no further than the limit. Absent is empty.
fn bounded(dir: &Path, name: &str, limit: usize) -> Vec<u8> {
    match File::open(dir.join(name)) {
        Ok(file) => read_document(file, limit).unwrap(),
        Err(e) if e.kind() == ErrorKind::NotFound => Vec::new(),
        Err(e) => panic!("{name}: {e}"),
    }
}

/// Judges a directory as a device would, to the last file.
fn judge_directory(dir: &Path) -> Result<(), Refusal> {
    let told: Told = serde_json::from_slice(&fs::read(dir.join("case.json")).unwrap()).unwrap();
    let trusted = TrustedRoles::anchor(&fs::read(dir.join("trusted.json")).unwrap()).unwrap();
    let documents = UpdateDocuments {
        manifest: &bounded(dir, "update.json", Document::Update.max_bytes()),
        signatures: &bounded(dir, "update.json.sig", MAX_SIGNATURE_BYTES),
        roles: &bounded(dir, "roles.json", Document::Roles.max_bytes()),
    };
    let Judgement { verdict, .. } = judge(&documents, &trusted, &told.device.device());
    match verdict? {
        Verdict::AlreadyRunning(_) => panic!("{}: nothing to do", dir.display()),
        Verdict::Install(update) => {
            update.check_all_files(|name| File::open(dir.join(name.as_str())))?;
            Ok(())
        }
    }
}

fn files(name: &str, case: &Case) -> BTreeMap<String, Vec<u8>> {
    let told = Told {
        about: case.about.to_owned(),
        device: ToldDevice::of(&case.device),
        // Filled in after judging.
        refused: None,
    };
    let mut files = case.files.clone();
    files.insert("trusted.json".to_owned(), case.trusted.encode().unwrap());
    files.insert("case.json".to_owned(), told_bytes(&told));
    assert!(files.len() > 4, "{name}");
    files
}

fn told_bytes(told: &Told) -> Vec<u8> {
    canonical(&serde_json::to_value(told).unwrap())
}

fn write_anew(name: &str, case: &Case) {
    let dir = top().join(name);
    if dir.exists() {
        fs::remove_dir_all(&dir).unwrap();
    }
    fs::create_dir_all(&dir).unwrap();
    for (file, bytes) in files(name, case) {
        fs::write(dir.join(file), bytes).unwrap();
    }
    let refused = judge_directory(&dir).err().map(|error| ToldRefusal {
        class: error.class().name().to_owned(),
        exit_code: error.exit_code(),
        message: chained(&error),
    });
    let told = Told {
        about: case.about.to_owned(),
        device: ToldDevice::of(&case.device),
        refused,
    };
    fs::write(dir.join("case.json"), told_bytes(&told)).unwrap();
}

#[test]
fn every_attack_is_refused_by_its_own_name() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut wrong = Vec::new();
    for (name, case) in cases() {
        if update {
            write_anew(name, &case);
        }
        let dir = top().join(name);
        let told: Told = serde_json::from_slice(&fs::read(dir.join("case.json")).unwrap()).unwrap();
        let error = judge_directory(&dir).err();
        let class = error.as_ref().map(Refusal::class);
        let seen = error.map(|error| ToldRefusal {
            class: error.class().name().to_owned(),
            exit_code: error.exit_code(),
            message: chained(&error),
        });
        if class != case.class || seen != told.refused {
            wrong.push((name, case.class, seen, told.refused));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_directories_are_what_the_cases_make() {
    let known: BTreeSet<String> = cases().iter().map(|(n, _)| (*n).to_owned()).collect();
    let there = fs::read_dir(top()).unwrap();
    let there: BTreeSet<String> = there
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(there, known);
    for (name, case) in cases() {
        let dir = top().join(name);
        let mut expected = files(name, &case);
        for entry in fs::read_dir(&dir).unwrap() {
            let file = entry.unwrap().file_name().into_string().unwrap();
            let bytes = expected.remove(&file);
            let bytes = bytes.unwrap_or_else(|| panic!("{name}/{file} should not be there"));
            let same = file == "case.json" || fs::read(dir.join(&file)).unwrap() == bytes;
            assert!(same, "{name}/{file} is not what its case makes; UPDATE=1");
        }
        assert!(expected.is_empty(), "{name} lacks {:?}", expected.keys());
        let told: Told = serde_json::from_slice(&fs::read(dir.join("case.json")).unwrap()).unwrap();
        assert_eq!(told.about, case.about);
        assert_eq!(told.device, ToldDevice::of(&case.device), "{name}");
    }
}

#[test]
fn every_class_of_updates_has_an_attack() {
    use FailureClass::*;
    let reached: BTreeSet<FailureClass> = cases().iter().filter_map(|(_, c)| c.class).collect();
    let elsewhere = [
        // Of disks, of keys, and of reading; tests/release reaches them, and the builder's tests a missing manifest.
        MissingManifest,
        ArtefactNotListed,
        DiskTruncated,
        DiskTooLong,
        PartitionMismatch,
        ReadFailed,
        BadKey,
        BadTrustStore,
        SigningRefused,
        // Of what is in the files, which other crates judge.
        MalformedIndex,
        FrameMismatch,
        RootMismatch,
        MalformedBundle,
    ];
    let all = FailureClass::ALL.iter().copied();
    assert_eq!(
        reached,
        all.filter(|class| !elsewhere.contains(class)).collect()
    );
}

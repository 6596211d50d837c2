//! The appliances of this repository become exactly the trees in `tests/golden`; `UPDATE=1 cargo test -p roamcore-pve
//! --test compile` writes them anew: read the difference as a reviewer would, it is what changes on devices.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod firewall;
mod random;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use roamcore_pve::compile::{Compiled, Content, compile, volumes};
use roamcore_pve::db;
use roamcore_pve::reach::{reach, to_text};
use roamcore_pve::text::schema::{JOBS, STORAGE};
use roamcore_pve::text::{Header, SectionFile};
use roamcore_spec::{Appliance, Board, Document, cross_check, load};

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub(crate) fn appliance(name: &str) -> Document<Appliance> {
    let path = load::appliance_path(&root(), &name.parse().unwrap());
    load::document(&path).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn board() -> Document<Board> {
    load::board(&root(), &"vp2430".parse().unwrap()).unwrap_or_else(|error| panic!("{error}"))
}

/// An appliance from its text, checked with the board as the builder does.
pub(crate) fn accepted(text: &str) -> Document<Appliance> {
    let appliance =
        Document::parse("appliance.toml", text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let wrong: Vec<String> = cross_check(&appliance, &board(), &[])
        .iter()
        .filter(|problem| problem.fault().code() != "missing")
        .map(ToString::to_string)
        .collect();
    assert!(wrong.is_empty(), "{}\n{text}", wrong.join("\n"));
    appliance
}

pub(crate) fn compiled(appliance: &Appliance) -> Compiled {
    compile(appliance, &board()).unwrap_or_else(|error| {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            text += &format!(": {error}");
            cause = error.source();
        }
        panic!("{text}")
    })
}

/// Every rule for what is compiled, apart from its content.
pub(crate) fn holds(compiled: &Compiled) {
    // The database takes it, the daemon's model takes the database, and both find the same guests.
    let bytes = db::encode(&compiled.pve, &compiled.node, 0).unwrap();
    let rows = db::decode(&bytes).unwrap();
    db::judge_strictly(&rows, &compiled.node).unwrap();
    for (path, bytes) in compiled.files() {
        let text = std::str::from_utf8(bytes).unwrap();
        assert!(text.ends_with('\n') && !text.contains('\r'), "{path}");
        assert!(!text.contains("secret"), "{path}");
    }
    let text = |path: &str| std::str::from_utf8(&compiled.pve[path]).unwrap();
    let storage = SectionFile::parse(Header::TypeAndId, STORAGE, text("storage.cfg")).unwrap();
    assert_eq!(storage.to_text(), text("storage.cfg"));
    if compiled.pve.contains_key("jobs.cfg") {
        let jobs = SectionFile::parse(Header::TypeAndId, JOBS, text("jobs.cfg")).unwrap();
        assert_eq!(jobs.to_text(), text("jobs.cfg"));
    }
}

/// All files below a directory.
fn files_below(dir: &Path, base: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, base, found);
        } else {
            let name = path
                .strip_prefix(base)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            found.insert(name, fs::read(&path).unwrap());
        }
    }
}

fn golden(name: &str) {
    let appliance = appliance(name);
    let compiled = compiled(&appliance);
    holds(&compiled);
    let mut wanted: BTreeMap<String, Vec<u8>> = compiled
        .files()
        .into_iter()
        .map(|(path, bytes)| (path, bytes.to_vec()))
        .collect();
    let pairs = reach(&appliance, &compiled).unwrap_or_else(|error| panic!("{error:?}"));
    wanted.insert("reach.txt".to_owned(), to_text(&pairs).into_bytes());
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("UPDATE").is_some() {
        let _ = fs::remove_dir_all(&dir);
        for (path, bytes) in &wanted {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }
    let mut found = BTreeMap::new();
    files_below(&dir, &dir, &mut found);
    let names = |tree: &BTreeMap<String, Vec<u8>>| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), names(&wanted));
    for (path, bytes) in &wanted {
        let found = String::from_utf8_lossy(&found[path]);
        assert_eq!(found, String::from_utf8_lossy(bytes), "{name}: {path}");
    }
}

#[test]
fn roamcore_is_as_reviewed() {
    golden("roamcore");
}

#[test]
fn portal_is_as_reviewed() {
    golden("portal");
}

#[test]
fn without_a_host_there_is_nothing_to_compile() {
    let error = compile(&appliance("bare"), &board()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "appliance `bare` has no section [host], so there is nothing for Proxmox in it"
    );
}

#[test]
fn volumes_are_what_configurations_name() {
    for name in ["roamcore", "portal"] {
        let appliance = appliance(name);
        let compiled = compiled(&appliance);
        for guest in &appliance.guest {
            let template = appliance.template_of(guest).unwrap();
            let volumes = volumes(guest, template);
            let of_template = volumes
                .iter()
                .filter(|volume| volume.content == Content::Template);
            assert_eq!(of_template.count(), 1);
            let config = format!("/{}.conf", guest.id);
            let (_, text) = compiled
                .pve
                .iter()
                .find(|(path, _)| path.ends_with(&config))
                .unwrap();
            let text = String::from_utf8_lossy(text);
            for volume in volumes {
                let line = format!("\n{}: {}", volume.key, volume.id());
                assert!(text.contains(&line), "{line} in\n{text}");
            }
        }
    }
}

#[test]
fn what_the_unit_must_find_is_told() {
    let devices = compiled(&appliance("roamcore")).devices;
    let told: Vec<String> = devices
        .iter()
        .map(|device| {
            format!(
                "{} {} {} {}",
                device.guest, device.key, device.root_port, device.optional
            )
        })
        .collect();
    assert_eq!(told, ["100 hostpci0 0000:00:1c.1 false"]);
}

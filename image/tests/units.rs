//! Proves that each of our services can do little more than its duty, by systemd's own measure.

#![allow(clippy::unwrap_used, reason = "test helpers, too, may panic")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use support::{run, say, skip, source, tool};

const UNITS: &str = "usr/lib/systemd/system";
/// Highest exposure in tenths, `systemd-analyze security`'s scale of 0 to 10. Root with a bounding
/// set, a system call filter and a read-only view of the system is at 1 to 2; one directive that is
/// forgotten costs 1 or 2 tenths.
const MOST: u32 = 20;
/// Services whose duty needs more, and why.
const MORE: [(&str, u32, &str); 4] = [
    (
        "roamcore-prepare-root.service",
        55,
        "mounts for everybody and makes file systems; nothing else runs beside it in the initrd",
    ),
    (
        "roamcore.service",
        45,
        "writes slots, ESP and boot variables, mounts, reboots, and speaks with the update server",
    ),
    (
        "roamcore-health.service",
        45,
        "runs the checks that an appliance brings",
    ),
    (
        "roamcore-console.service",
        100,
        "a root shell, in development images alone",
    ),
];

/// Our services by name.
fn services() -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    for overlay in fs::read_dir(source().join("overlays")).unwrap() {
        let dir = overlay.unwrap().path().join("files").join(UNITS);
        let Ok(entries) = fs::read_dir(dir) else {
            continue;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if name.ends_with(".service") {
                found.insert(name, path);
            }
        }
    }
    found
}

/// The figure that systemd-analyze gives a unit, in tenths; `None` when it cannot measure files.
fn exposure(root: &Path, unit: &str) -> Option<u32> {
    let mut analyze = tool("systemd-analyze")?;
    let ran = run(analyze
        .args(["security", "--no-pager", "--offline=yes"])
        .arg(format!("--root={}", root.display()))
        .arg(unit)
        .env("LC_ALL", "C.UTF-8")
        .env("SYSTEMD_COLORS", "0"));
    let start = format!("Overall exposure level for {unit}: ");
    let figure = ran.out.split_once(&start).map(|(_, rest)| rest);
    let Some(figure) = figure.and_then(|rest| rest.split_whitespace().next()) else {
        skip(&format!(
            "this systemd-analyze cannot measure unit files: {}{}",
            ran.out, ran.err
        ));
        return None;
    };
    Some(figure.replace('.', "").parse().unwrap())
}

#[test]
fn no_service_can_do_more_than_its_duty_asks() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join(UNITS);
    fs::create_dir_all(&dir).unwrap();
    let services = services();
    for (name, path) in &services {
        fs::copy(path, dir.join(name)).unwrap();
    }
    for (name, _, _) in MORE {
        assert!(
            services.contains_key(name),
            "{name} is gone; remove its exception"
        );
    }
    let mut over = Vec::new();
    for name in services.keys() {
        let Some(found) = exposure(root.path(), name) else {
            return;
        };
        let more = MORE.iter().find(|(unit, _, _)| unit == name);
        let (most, why) = more.map_or((MOST, ""), |(_, most, why)| (*most, *why));
        say(&format!(
            "exposure of {name}: {}.{} of at most {}.{} {why}",
            found / 10,
            found % 10,
            most / 10,
            most % 10
        ));
        if found > most {
            over.push(name);
        }
    }
    assert!(
        over.is_empty(),
        "too much exposure: {over:?}; `systemd-analyze security --offline=yes UNIT` tells which directives are missing"
    );
}

#[test]
fn a_service_without_any_protection_is_found() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join(UNITS);
    fs::create_dir_all(&dir).unwrap();
    fs::write(
        dir.join("open.service"),
        "[Service]\nExecStart=/usr/bin/true\n",
    )
    .unwrap();
    if let Some(found) = exposure(root.path(), "open.service") {
        assert!(found > 90, "{found}");
    }
}

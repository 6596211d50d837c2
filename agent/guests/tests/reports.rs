//! LVM's reports: those of the real programs, and hostile ones.
//!
//! `lvm2/` was printed by lvm2 2.03.16 with the command lines of this crate, without the kernel's device-mapper: whether a
//! volume is active it calls unknown (`X`), and thin volumes were put into its metadata by vgcfgrestore. The line with
//! devices is of the format that lvs(8) documents.

#![allow(clippy::unwrap_used, reason = "helpers of tests, too, may panic")]

use std::collections::BTreeSet;

use proptest::prelude::*;
use roamcore_guests::report::{LogicalKind, Lvm, ReportError};
use roamcore_guests::{Volume, command};

const DEVICE: &str = "/dev/loop0";

fn file(name: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lvm2");
    std::fs::read(path.join(name)).unwrap()
}

fn none(pvs: &[u8], vgs: &[u8], lvs: &[u8]) -> Result<Lvm, ReportError> {
    Lvm::parse(DEVICE, "guests", pvs, vgs, lvs)
}

#[test]
fn what_lvm2_prints_is_read() {
    let lvm = none(&file("pvs.json"), &file("vgs.json"), &file("lvs.json")).unwrap();
    assert_eq!(lvm.physical.as_deref(), Some("guests"));
    let group = lvm.group.as_ref().unwrap();
    assert_eq!((group.extent, group.free), (4 << 20, 285_212_672));
    assert_eq!(group.uuid.len(), 38);
    let names: Vec<&str> = lvm.volumes.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "base-9000-disk-0",
            "guests",
            "rc-base-9001",
            "vm-100-disk-0"
        ]
    );
    assert_eq!(lvm.volumes["guests"].kind, LogicalKind::Pool);
    let base = lvm.get(Volume::Base { number: 9000 }).unwrap();
    assert!(base.read_only && base.skipped && base.kind == LogicalKind::Thin);
    assert!(base.tags.contains("roamcore.verified"));
    assert_eq!(base.pool, "guests");
    let disk = &lvm.volumes["vm-100-disk-0"];
    assert_eq!(disk.origin, "base-9000-disk-0");
    assert_eq!(disk.tags, BTreeSet::from(["roamcore.ready".to_owned()]));
}

#[test]
fn nothing_and_a_prepared_partition_are_told_apart() {
    let (vgs, lvs) = (file("vgs-none.json"), file("lvs-none.json"));
    assert_eq!(
        none(&file("pvs-none.json"), &vgs, &lvs).unwrap(),
        Lvm::default()
    );
    let lvm = Lvm::parse(
        "/dev/loop1",
        "guests",
        &file("pvs-prepared.json"),
        &vgs,
        &lvs,
    )
    .unwrap();
    assert_eq!(lvm.physical.as_deref(), Some(""));
    assert_eq!(lvm.group, None);
}

fn rows(kind: &str, rows: &str) -> Vec<u8> {
    format!("{{\"report\":[{{\"{kind}\":[{rows}]}}],\"log\":[]}}").into_bytes()
}

fn volume(attr: &str, size: &str) -> Result<Lvm, ReportError> {
    let row = format!(
        r#"{{"lv_name":"vm-1-disk-0","vg_name":"guests","lv_attr":"{attr}","lv_size":"{size}","pool_lv":"p","origin":"","lv_tags":"","later":"1"}}"#
    );
    none(&rows("pv", ""), &rows("vg", ""), &rows("lv", &row))
}

#[test]
fn attributes_mean_what_lvs_documents() {
    for (attr, read_only, active, open, skipped) in [
        ("Vwi-aotz--", false, true, true, false),
        ("Vri---tz-k", true, false, false, true),
        ("VRi-a-tz-k", false, true, false, true),
        ("Vwi-s-tz--", false, false, false, false),
    ] {
        let lvm = volume(attr, "4194304").unwrap();
        let found = &lvm.volumes["vm-1-disk-0"];
        let seen = (found.read_only, found.active, found.open, found.skipped);
        assert_eq!(seen, (read_only, active, open, skipped), "{attr}");
    }
}

#[test]
fn what_is_not_understood_is_an_error() {
    for (attr, size, why) in [
        ("Vwi", "1", "lv_attr"),
        ("V?i-aotz--", "1", "lv_attr"),
        ("", "1", "lv_attr"),
        ("Vwi-aotz--", "", "lv_size"),
        ("Vwi-aotz--", "1.00g", "lv_size"),
        ("Vwi-aotz--", "+1", "lv_size"),
        ("Vwi-aotz--", "99999999999999999999", "lv_size"),
    ] {
        let error = volume(attr, size).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    let vg = r#"{"vg_name":"guests","vg_uuid":"u","vg_extent_size":"4194304","vg_free":"0"}"#;
    let twice = rows("vg", &format!("{vg},{vg}"));
    let error = none(&rows("pv", ""), &twice, &rows("lv", "")).unwrap_err();
    assert_eq!(error, ReportError::Twice("guests".into()));
    let odd = rows("vg", &vg.replace("4194304", "0"));
    assert!(none(&rows("pv", ""), &odd, &rows("lv", "")).is_err());
    for bad in [
        "",
        "{}",
        "[]",
        "{\"report\":[{}]}",
        "{\"report\":[{\"pv\":[{}]}]}",
    ] {
        assert!(none(bad.as_bytes(), &rows("vg", ""), &rows("lv", "")).is_err());
    }
}

#[test]
fn every_command_sees_one_device() {
    for line in command::survey(DEVICE) {
        assert_eq!(line[1..3], ["--devices", DEVICE]);
    }
}

proptest! {
    #[test]
    fn never_panics(attr in "[Vtwr?aok-]{0,11}", size in "[0-9bg.]{0,22}", bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        drop(volume(&attr, &size));
        drop(none(&bytes, &bytes, &bytes));
    }
}

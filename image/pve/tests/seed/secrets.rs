//! Secrets, volumes, and texts that want to be more than texts.

use std::collections::BTreeMap;
use std::io::Cursor;

use proptest::prelude::*;
use roamcore_disk::fat::FatReader;
use roamcore_disk::region::Region;
use roamcore_pve::seed::{
    Haos, OpenWrt, OpnSense, Secret, SecretError, Volume, fat, fat_bytes, fill, names, partitioned,
};

use crate::given::{PUBLIC, haos, openwrt, opnsense, text};

#[test]
fn secrets_are_filled_on_the_device() {
    let config = text(&opnsense().seed().unwrap(), "conf/config.xml");
    let asked: Vec<String> = names(&config).unwrap().into_iter().collect();
    assert_eq!(
        asked,
        ["router-password", "router-phone", "router-wireguard"]
    );
    let mut values: BTreeMap<String, String> = asked
        .iter()
        .map(|name| (name.clone(), PUBLIC.to_owned()))
        .collect();
    values.insert(
        "router-password".into(),
        "$2y$10$YRVoF4Sgsk/IsrXOvOQjGieB.9Xq".into(),
    );
    let filled = fill(&config, &values).unwrap();
    assert!(!filled.contains("@@"));
    assert!(filled.contains("<password>$2y$10$YRVoF4Sgsk/IsrXOvOQjGieB.9Xq</password>"));

    let mut less = values.clone();
    less.remove("router-phone");
    let error = fill(&config, &less).unwrap_err();
    assert_eq!(
        error.to_string(),
        "secret \"router-phone\" is asked for, but not given"
    );
    let mut more = values.clone();
    more.insert("other".into(), "x".into());
    assert_eq!(
        fill(&config, &more),
        Err(SecretError::NotAsked {
            name: "other".into()
        })
    );
    for bad in [
        "", "a'b", "a\"b", "a<b", "a&b", "a\nb", "a\\b", "a;b", "`a`", "a@@b", " a", "a|b", "é",
    ] {
        let mut values = values.clone();
        values.insert("router-phone".into(), bad.into());
        let error = fill(&config, &values).unwrap_err();
        assert_eq!(
            error,
            SecretError::Value {
                name: "router-phone".into()
            },
            "{bad}"
        );
        assert!(bad.len() < 3 || !error.to_string().contains(bad));
    }
    for bad in [
        "@@",
        "@@secret:",
        "@@secret:a",
        "@@secret:@@",
        "@@secret:A@@",
        "@@secrets:a@@",
        "a @@b@@",
    ] {
        assert!(names(bad).is_err(), "{bad}");
    }
    assert!(Secret::new(&"a".repeat(65)).is_err());
}

#[test]
fn volumes_hold_the_files() {
    let seed = haos().seed().unwrap();
    let volume = Volume {
        label: Haos::LABEL,
        id: 7,
        time: 1_793_491_200,
    };
    let mut out = Cursor::new(Vec::new());
    assert_eq!(fat(volume, &seed, &mut out).unwrap(), fat_bytes());
    let mut bytes = out.into_inner();
    bytes.resize(fat_bytes() as usize, 0);
    let mut reader = FatReader::open(Cursor::new(bytes)).unwrap();
    assert_eq!(reader.label(), Some("CONFIG"));
    for (path, want) in &seed {
        assert_eq!(
            &reader.read_file(&format!("/{path}"), 9999).unwrap(),
            want,
            "{path}"
        );
    }

    let seed = opnsense().seed().unwrap();
    let volume = Volume {
        label: OpnSense::LABEL,
        ..volume
    };
    let make = || {
        let mut out = Cursor::new(Vec::new());
        let grow = |out: &mut Cursor<Vec<u8>>, size: u64| {
            out.get_mut().resize(size as usize, 0);
            Ok(())
        };
        let size = partitioned(volume, &seed, &mut out, grow).unwrap();
        assert_eq!(size, out.get_ref().len() as u64);
        out
    };
    let mut disk = make();
    assert!(
        disk.get_ref() == make().get_ref(),
        "two disks of one seed differ"
    );
    let region = Region::new(&mut disk, 1 << 20, fat_bytes()).unwrap();
    let mut reader = FatReader::open(region).unwrap();
    assert_eq!(
        reader.read_file("/conf/config.xml", 99_999).unwrap(),
        seed["conf/config.xml"]
    );
}

proptest! {
    #[test]
    fn no_text_becomes_an_element(name in "[A-Za-z][A-Za-z0-9_]{0,10}", evil in any::<String>()) {
        let mut one = opnsense();
        one.lan.name = name;
        one.domain = evil.clone();
        if let Ok(seed) = one.seed() {
            let config = text(&seed, "conf/config.xml");
            let domain = format!("<domain>{evil}</domain>");
            prop_assert!(config.contains(&domain));
        }
        let mut one = openwrt();
        one.zone = evil;
        if let Ok(seed) = one.seed() {
            let script = text(&seed, OpenWrt::PATH);
            prop_assert_eq!(script.matches("\nEND\n").count(), 2);
        }
    }

    #[test]
    fn filling_never_panics(text in "(@@|@|secret:|[a-z<&\"]|[0-9-]){0,30}", value in any::<String>()) {
        if let Ok(asked) = names(&text) {
            let values = asked.into_iter().map(|name| (name, value.clone())).collect();
            if let Ok(filled) = fill(&text, &values) {
                prop_assert!(!filled.contains("@@secret:"));
            }
        }
    }
}

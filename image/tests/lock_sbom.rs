//! The bill of materials: the rules of CycloneDX 1.6 that concern what we write.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "test helpers, too, may panic"
)]

use std::collections::BTreeSet;

use roamcore_image::crates::Crate;
use roamcore_image::lock::{Lock, Package, Release, Sha256, Snapshot};
use roamcore_image::sbom::{Contents, Program, Subject, cyclonedx};
use serde_json::Value;

fn lock() -> Lock {
    let package = |name: &str, origin: &str| Package {
        name: name.into(),
        version: "1:2.0+b1".into(),
        arch: "amd64".into(),
        size: 10,
        sha256: Sha256::of(name.as_bytes()),
        path: format!("pool/{name}.deb"),
        origin: origin.into(),
        suite: "trixie".into(),
        component: "main".into(),
    };
    Lock {
        inputs: Sha256::of(b""),
        epoch: 1_789_199_741,
        snapshot: Snapshot {
            resolved: "2026-11-21T08:00:00Z".into(),
            apt: "2.6.2".into(),
            releases: vec![Release {
                origin: "debian".into(),
                suite: "trixie".into(),
                date: "2026-09-12T07:55:41Z".into(),
                version: None,
                key: None,
            }],
        },
        image: vec![
            package("bash", "debian"),
            package("libstdc++6", "debian-security"),
            package("pve", "vendor"),
        ],
        tools: vec![
            package("bash", "debian"),
            package("erofs-utils", "debian"),
            package("systemd-boot-efi", "debian-security"),
        ],
    }
}

const SUBJECT: Subject<'_> = Subject {
    product: "roamcore-bare",
    version: "0.1.0",
};
const COPYRIGHT: &str = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nCopyright: x\nLicense: GPL-3+\n text\n\nFiles: m\nLicense: Expat\n";

fn contents<'a>(lock: &'a Lock, programs: &'a [Program<'a>]) -> Contents<'a> {
    Contents {
        lock,
        esp: &["systemd-boot-efi"],
        programs,
    }
}

const AGENT: Program<'_> = Program {
    name: "roamcore-agent",
    version: "0.1.0",
    path: "usr/lib/roamcore/roamcore-agent",
    bytes: b"agent",
    crates: &[],
};

fn bom(lock: &Lock) -> String {
    cyclonedx(contents(lock, &[AGENT]), SUBJECT, |p| {
        match p.name.as_str() {
            "bash" | "systemd-boot-efi" => Some(COPYRIGHT.to_owned()),
            "pve" => Some("Free for all.".to_owned()),
            _ => None,
        }
    })
    .unwrap()
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

#[test]
fn structure() {
    let text = bom(&lock());
    let bom: Value = serde_json::from_str(&text).unwrap();
    let expected = [
        "bomFormat",
        "specVersion",
        "serialNumber",
        "version",
        "metadata",
        "components",
    ];
    assert_eq!(keys(&bom), BTreeSet::from(expected));
    assert_eq!(
        (&bom["bomFormat"], &bom["specVersion"], &bom["version"]),
        (&"CycloneDX".into(), &"1.6".into(), &1.into())
    );

    // ^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$
    let serial = bom["serialNumber"]
        .as_str()
        .unwrap()
        .strip_prefix("urn:uuid:")
        .unwrap();
    let parts: Vec<usize> = serial.split('-').map(str::len).collect();
    assert_eq!(parts, [8, 4, 4, 4, 12]);
    assert!(
        serial
            .chars()
            .all(|c| c == '-' || c.is_ascii_digit() || ('a'..='f').contains(&c))
    );

    let metadata = &bom["metadata"];
    assert_eq!(metadata["timestamp"], "2026-09-12T07:55:41Z");
    assert_eq!(metadata["component"]["type"], "operating-system");
    assert_eq!(metadata["component"]["name"], "roamcore-bare");
    assert_eq!(metadata["component"]["version"], "0.1.0");
    assert_eq!(metadata["tools"]["components"][0]["type"], "application");

    let components = bom["components"].as_array().unwrap();
    assert_eq!(components.len(), 5);
    let mut references = BTreeSet::from([metadata["component"]["bom-ref"].as_str().unwrap()]);
    let known = BTreeSet::from([
        "type",
        "bom-ref",
        "name",
        "version",
        "hashes",
        "licenses",
        "purl",
        "properties",
    ]);
    for component in components {
        assert!(keys(component).is_subset(&known));
        assert!(
            references.insert(component["bom-ref"].as_str().unwrap()),
            "bom-ref is not unique"
        );
        let hash = &component["hashes"][0];
        assert_eq!(hash["alg"], "SHA-256");
        assert!(hash["content"].as_str().unwrap().parse::<Sha256>().is_ok());
    }
    for component in &components[..4] {
        assert_eq!(component["type"], "library");
        assert_eq!(component["properties"][0]["name"], "roamcore:origin");
    }
    let place = |index: usize, at: usize| &components[index]["properties"][at];
    assert_eq!(place(0, 1)["name"], "roamcore:place");
    assert_eq!(place(0, 1)["value"], "root");

    // What is on the ESP comes from the tools; other tools are not in the image.
    assert_eq!(components[3]["name"], "systemd-boot-efi");
    assert_eq!(place(3, 1)["value"], "esp");
    assert_eq!(components[3]["licenses"].as_array().unwrap().len(), 2);

    let agent = &components[4];
    assert_eq!(
        (&agent["type"], &agent["name"]),
        (&"application".into(), &"roamcore-agent".into())
    );
    assert_eq!(
        agent["hashes"][0]["content"],
        Sha256::of(b"agent").to_string()
    );
    assert_eq!(place(4, 0)["value"], "usr/lib/roamcore/roamcore-agent");
    assert!(agent.get("purl").is_none(), "it is in no registry");
    assert_eq!(
        components[1]["purl"],
        "pkg:deb/debian/libstdc%2B%2B6@1:2.0%2Bb1?arch=amd64&distro=trixie"
    );
    assert_eq!(components[1]["properties"][0]["value"], "debian-security");
    assert_eq!(
        components[2]["purl"],
        "pkg:deb/vendor/pve@1:2.0%2Bb1?arch=amd64&distro=trixie"
    );
    let licences: Vec<&Value> = components[0]["licenses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| &l["license"])
        .collect();
    assert_eq!(licences.len(), 2);
    assert_eq!(
        (&licences[0]["name"], &licences[1]["name"]),
        (&"Expat".into(), &"GPL-3+".into())
    );
    for unknown in [&components[1], &components[2]] {
        assert!(
            unknown.get("licenses").is_none(),
            "an unknown licence stays absent"
        );
    }
}

#[test]
fn a_crate_in_two_programs_is_one_component() {
    let one = |name: &str, licence: Option<&str>| Crate {
        name: name.into(),
        version: "1.0.0+x".into(),
        licence: licence.map(str::to_owned),
        sha256: Sha256::of(name.as_bytes()),
    };
    let shared = [one("a", Some("MIT OR Apache-2.0")), one("b", None)];
    let alone = [one("b", None), one("c", Some("MIT/Apache-2.0"))];
    let programs = [
        Program {
            crates: &shared,
            ..AGENT
        },
        Program {
            name: "roamcore",
            path: "usr/lib/roamcore/roamcore",
            crates: &alone,
            ..AGENT
        },
    ];
    let lock = lock();
    let bom = |programs| cyclonedx(contents(&lock, programs), SUBJECT, |_| None).unwrap();
    let read: Value = serde_json::from_str(&bom(&programs)).unwrap();
    let crates: Vec<&Value> = read["components"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|c| {
            c["purl"]
                .as_str()
                .is_some_and(|p| p.starts_with("pkg:cargo/"))
        })
        .collect();
    let purls: Vec<&Value> = crates.iter().map(|c| &c["purl"]).collect();
    assert_eq!(
        purls,
        [
            "pkg:cargo/a@1.0.0%2Bx",
            "pkg:cargo/b@1.0.0%2Bx",
            "pkg:cargo/c@1.0.0%2Bx"
        ]
    );
    assert_eq!(crates[0]["licenses"][0]["expression"], "MIT OR Apache-2.0");
    assert!(crates[1].get("licenses").is_none());
    assert_eq!(
        crates[2]["licenses"][0]["license"]["name"],
        "MIT/Apache-2.0"
    );
    assert_eq!(crates[1]["properties"].as_array().unwrap().len(), 2);
    assert_eq!(
        crates[2]["properties"][0]["value"],
        "usr/lib/roamcore/roamcore"
    );
    assert_eq!(
        crates[0]["hashes"][0]["content"],
        Sha256::of(b"a").to_string()
    );
    let without = [
        programs[0],
        Program {
            crates: &[],
            ..programs[1]
        },
    ];
    let serial = |text: &str| serde_json::from_str::<Value>(text).unwrap()["serialNumber"].clone();
    assert_ne!(serial(&bom(&programs)), serial(&bom(&without)));
}

#[test]
fn same_inputs_same_bytes() {
    let lock = lock();
    assert_eq!(bom(&lock), bom(&lock));
    let serial = |text: &str| serde_json::from_str::<Value>(text).unwrap()["serialNumber"].clone();
    let mut other = lock.clone();
    other.image.pop();
    assert_ne!(serial(&bom(&lock)), serial(&bom(&other)));
    let renamed = Subject {
        version: "0.2.0",
        ..SUBJECT
    };
    let text = cyclonedx(contents(&lock, &[AGENT]), renamed, |_| None).unwrap();
    assert_ne!(serial(&bom(&lock)), serial(&text));
    let other = Program {
        bytes: b"another agent",
        ..AGENT
    };
    let text = cyclonedx(contents(&lock, &[other]), SUBJECT, |_| None).unwrap();
    assert_ne!(serial(&bom(&lock)), serial(&text));
}

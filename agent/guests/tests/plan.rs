//! `guests.json`: good documents come back, bad ones are refused for the right reason, nothing panics.

#![allow(clippy::unwrap_used, reason = "helpers of tests, too, may panic")]

use proptest::prelude::*;
use roamcore_guests::plan::{MOST_BYTES, Plan, PlanError};
use serde_json::{Value, json};

fn document() -> Value {
    json!({
        "schema": 1,
        "pool": {"partition": "guests", "group": "guests", "name": "pool"},
        "templates": [
            {"id": "router", "version": "24.10", "number": 9000, "kind": "vm", "file": "templates/router.img.zst",
             "size": 1048576, "sha256": "5454545454545454545454545454545454545454545454545454545454545454",
             "compression": "zstd", "format": "raw"},
            {"id": "app", "version": "1", "number": 9001, "kind": "ct", "file": "app.tar",
             "size": 10240, "volume": 1048576,
             "sha256": "6464646464646464646464646464646464646464646464646464646464646464",
             "compression": "none", "format": "tar"}
        ],
        "guests": [
            {"vmid": 100, "kind": "vm", "name": "edge", "order": 1,
             "disks": [{"number": 0, "size": 2097152, "template": "router"}, {"number": 1, "size": 1048576}],
             "snapshots": {"days": [1, 7], "minute": 210, "keep": {"last": 2, "daily": 7}}},
            {"vmid": 101, "kind": "ct", "name": "app", "order": 2,
             "disks": [{"number": 0, "size": 1048576, "template": "app", "personal": true}]}
        ]
    })
}

fn parse(document: &Value) -> Result<Plan, PlanError> {
    Plan::parse(&serde_json::to_vec(document).unwrap())
}

#[test]
fn a_good_document_comes_back() {
    let plan = parse(&document()).unwrap();
    assert_eq!(Plan::parse(&plan.encode().unwrap()).unwrap(), plan);
    assert_eq!(plan.in_order()[0].name, "edge");
}

#[test]
fn each_rule_refuses_with_the_place() {
    let cases = [
        ("/schema", json!(2), "schema 2"),
        ("/pool/name", json!("vm-100-disk-0"), "pool.name"),
        ("/pool/group", json!("../x"), "pool.group"),
        ("/pool/partition", json!(""), "pool.partition"),
        ("/templates/0/number", json!(8999), "templates[0]: 8999"),
        ("/templates/1/number", json!(9000), "no other template has"),
        ("/templates/1/id", json!("router"), "no other template has"),
        ("/templates/0/id", json!("Router"), "templates[0]"),
        ("/templates/0/version", json!("a b"), "visible"),
        ("/templates/0/file", json!("../etc/shadow"), "templates[0]"),
        ("/templates/0/file", json!("/etc/shadow"), "templates[0]"),
        ("/templates/0/file", json!("a//b"), "templates[0]"),
        ("/templates/0/size", json!(0), "whole sectors"),
        ("/templates/0/size", json!(1000), "whole sectors"),
        ("/templates/0/size", json!(u64::MAX), "whole sectors"),
        ("/templates/1/volume", json!(512), "holds the content"),
        (
            "/templates/0/format",
            json!("tar"),
            "an archive is for containers",
        ),
        ("/templates/0/compression", json!("gz"), "cannot be read"),
        ("/templates/0/sha256", json!("54"), "cannot be read"),
        ("/guests/0/vmid", json!(99), "100 to 8999"),
        ("/guests/0/vmid", json!(9000), "100 to 8999"),
        ("/guests/1/vmid", json!(100), "no other guest has"),
        ("/guests/1/name", json!("edge"), "no other guest has"),
        ("/guests/0/name", json!("a_b"), "guests[0]"),
        ("/guests/0/kind", json!("ct"), "of the guest's kind"),
        ("/guests/0/disks", json!([]), "1 to 32 disks"),
        (
            "/guests/0/disks/0/template",
            json!("none"),
            "the id of a template",
        ),
        ("/guests/0/disks/0/size", json!(1000), "whole MiB"),
        ("/guests/0/disks/1/number", json!(0), "no other disk"),
        ("/guests/0/disks/1/number", json!(256), "below 256"),
        (
            "/guests/0/snapshots/minute",
            json!(1440),
            "minute of the day",
        ),
        ("/guests/0/snapshots/days", json!([0]), "days of the week"),
        ("/guests/0/snapshots/keep", json!({}), "at least one number"),
        (
            "/guests/0/snapshots/keep/last",
            json!(101),
            "none above 100",
        ),
        ("/guests/0/snapshots/keep/hourly", json!(1), "unknown field"),
        ("/guests/0/extra", json!(1), "unknown field"),
        ("/templates/0/url", json!(1), "unknown field"),
        ("/more", json!(1), "unknown field"),
    ];
    for (place, value, why) in cases {
        let mut bad = document();
        let (parent, key) = place.rsplit_once('/').unwrap();
        match bad.pointer_mut(parent).unwrap() {
            Value::Array(list) => list[key.parse::<usize>().unwrap()] = value,
            Value::Object(map) => drop(map.insert(key.into(), value)),
            other => panic!("{other}"),
        }
        let error = parse(&bad).unwrap_err().to_string();
        assert!(error.contains(why), "{place}: {error}");
    }
}

#[test]
fn a_disk_smaller_than_its_template_and_too_much_are_refused() {
    let mut bad = document();
    bad["templates"][0]["size"] = json!(4 << 20);
    let error = parse(&bad).unwrap_err().to_string();
    assert!(
        error.contains("at least the size of its template"),
        "{error}"
    );
    let long = vec![b' '; MOST_BYTES + 1];
    assert!(matches!(
        Plan::parse(&long),
        Err(PlanError::TooLarge { .. })
    ));
    let mut many = document();
    many["guests"] = json!(vec![many["guests"][0].clone(); 257]);
    assert!(
        parse(&many)
            .unwrap_err()
            .to_string()
            .contains("at most 256")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn never_panics(at in 0..1000_usize, byte: u8, cut in 0..1000_usize) {
        let mut bytes = serde_json::to_vec(&document()).unwrap();
        let length = bytes.len();
        bytes[at % length] = byte;
        drop(Plan::parse(&bytes));
        if let Ok(plan) = Plan::parse(&bytes) {
            prop_assert_eq!(Plan::parse(&plan.encode().unwrap()).unwrap(), plan);
        }
        prop_assert!(Plan::parse(&bytes[..cut % length]).is_err());
    }

    #[test]
    fn hostile_texts(name in ".{0,80}", file in "[./a-z]{0,20}", number: u64) {
        let mut bad = document();
        bad["templates"][0]["file"] = json!(file);
        if let Ok(plan) = parse(&bad) {
            let path = std::path::Path::new(&plan.templates[0].file);
            prop_assert!(path.components().all(|part| matches!(part, std::path::Component::Normal(_))));
        }
        bad["guests"][0]["name"] = json!(name);
        drop(parse(&bad));
        bad["guests"][0]["disks"][0]["size"] = json!(number);
        drop(parse(&bad));
    }
}

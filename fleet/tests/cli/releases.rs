//! Releases: what is verified before it is sent, and what stays.

use std::fs;

use serde_json::json;

use crate::program::Fleet;
use crate::update::{Published, publish};

#[test]
fn releases_are_verified_before_they_are_sent() {
    let fleet = Fleet::start();
    let Published {
        dir,
        roles,
        other_roles,
    } = publish();
    let path = dir.path().to_str().unwrap();
    let add = |trust: &std::path::Path| {
        fleet.run(&[
            "--json",
            "release",
            "add",
            path,
            "--trust",
            trust.to_str().unwrap(),
        ])
    };

    let refused = add(&other_roles);
    // roles-conflict: document 1 is another one.
    assert_eq!(refused.code, 34, "{}", refused.stderr);
    assert!(
        refused
            .stderr
            .starts_with("roamcore-fleet: the release is refused: "),
        "{}",
        refused.stderr
    );
    assert_eq!(fleet.text(&["release", "list"]).lines().count(), 1);

    let part = dir.path().join("root.000");
    let good = fs::read(&part).unwrap();
    let mut bad = good.clone();
    bad[0] ^= 1;
    fs::write(&part, &bad).unwrap();
    let refused = add(&roles);
    assert_eq!(refused.code, 3);
    assert!(
        refused
            .stderr
            .contains("it changed on its way, send it again"),
        "{}",
        refused.stderr
    );
    fs::write(&part, &bad[1..]).unwrap();
    let refused = add(&roles);
    assert_eq!(refused.code, 2);
    assert!(
        refused
            .stderr
            .contains("root.000 has 4095 bytes, its manifest says 4096: take the original"),
        "{}",
        refused.stderr
    );
    // Nothing of a refused release stays, so its name is free.
    assert_eq!(fleet.text(&["release", "list"]).lines().count(), 1);

    fs::write(&part, &good).unwrap();
    let added = add(&roles);
    assert_eq!(added.code, 0, "{}", added.stderr);
    let added: serde_json::Value = serde_json::from_str(&added.stdout).unwrap();
    assert_eq!(
        (
            &added["name"],
            &added["version"],
            &added["note"]["verified"]
        ),
        (&json!("bare"), &json!("1.2.3"), &json!("yes"))
    );
    let names: Vec<&str> = added["modules"][0]["artifacts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| a["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "update.json",
            "update.json.sig",
            "roles.json",
            "root.index",
            "uki.index",
            "uki.000",
            "root.000"
        ]
    );
    let id = added["id"].to_string();
    fleet.json(&["release", "delete", &id]);

    // The same in one file.
    let single = fleet.dir().join("bare-1.2.3.roam");
    crate::update::pack(dir.path(), &single);
    let added = fleet.json(&[
        "release",
        "add",
        single.to_str().unwrap(),
        "--trust",
        roles.to_str().unwrap(),
    ]);
    assert_eq!(
        added["modules"][0]["artifacts"].as_array().unwrap().len(),
        7
    );
    fs::write(&single, "garbage").unwrap();
    assert_eq!(
        fleet
            .run(&["release", "add", single.to_str().unwrap()])
            .code,
        1
    );
}

#[test]
fn releases_in_use_stay() {
    let fleet = Fleet::start();
    fleet.json(&["target", "add", "van-7"]);
    let release = fleet.plain_release("1.0");
    fleet.json(&["deploy", &release, "--target", "van-7", "--offline"]);
    assert_eq!(fleet.json(&["target", "show", "van-7"])["state"], "in_sync");
    let result = fleet.run(&["release", "delete", &release]);
    assert_eq!(result.code, 3);
    assert!(
        result.stderr.contains(&format!(
            "release {release} is assigned to or installed on target \"van-7\""
        )),
        "{}",
        result.stderr
    );
    fleet.json(&["target", "delete", "van-7"]);
    fleet.json(&["release", "delete", &release]);
    // The bytes went with it.
    let left = walk(&fleet.state().join("artifacts"));
    assert_eq!(left, Vec::<std::path::PathBuf>::new());
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(walk(&path))
        } else {
            found.push(path)
        }
    }
    found
}

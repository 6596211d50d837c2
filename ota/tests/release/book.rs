//! docs/release.md is true: its example is what this crate writes and accepts, its tables are this crate's.

use roamcore_ota::{
    Channel, Digest, Document, FailureClass, MAX_KEY_FILE_BYTES, MAX_SIGNATURE_BYTES,
    MAX_SIGNATURES, MAX_TRUSTED_KEYS, PrivateKey, PublicKey, Role, TrustStore, verify_release,
};

use crate::common::block;
use crate::fixture::{NOW, artefact, disk, key, manifest, sign, time};

const BOOK: &str = include_str!("../../../docs/release.md");

fn example() -> [(&'static str, String); 4] {
    let key = key(1, Role::Development);
    let manifest = manifest(Channel::Development);
    let signatures = sign(&manifest, &[&key]);
    [
        ("example.key", key.to_pem().unwrap().to_string()),
        ("example.pub", key.public().to_pem().unwrap()),
        ("release.json", String::from_utf8(manifest).unwrap()),
        ("release.json.sig", String::from_utf8(signatures).unwrap()),
    ]
}

#[test]
fn the_example_is_what_this_crate_writes() {
    for (label, text) in example() {
        assert_eq!(
            block(BOOK, label),
            text,
            "block {label}; `cargo test print_the_example -- --ignored --nocapture`"
        );
    }
    let digest = Digest::of(block(BOOK, "release.json").as_bytes());
    assert!(
        BOOK.contains(&format!("`{digest}`")),
        "the book should state {digest}"
    );
}

#[test]
fn the_example_is_accepted_by_its_own_blocks() {
    let signed_by = PrivateKey::parse(block(BOOK, "example.key")).unwrap();
    let public = PublicKey::parse(block(BOOK, "example.pub")).unwrap();
    assert_eq!(signed_by.public(), &public);
    let trust = TrustStore::new([public], 1).unwrap();
    let (manifest, signatures) = (
        block(BOOK, "release.json").as_bytes(),
        block(BOOK, "release.json.sig").as_bytes(),
    );
    let verified = verify_release(manifest, signatures, &trust, Some(time(NOW))).unwrap();
    verified
        .check_all_artefacts(|name| artefact(name.as_str()))
        .unwrap();
    verified.check_partitions(disk().as_slice()).unwrap();
}

#[test]
#[ignore = "prints the example for docs/release.md after a change of the format"]
fn print_the_example() {
    for (label, text) in example() {
        println!("=== {label}\n{text}");
    }
}

#[test]
fn the_table_of_exit_codes_is_the_code() {
    let rows: Vec<&str> = BOOK
        .lines()
        .filter(|l| l.starts_with("| ") && l.as_bytes()[2].is_ascii_digit())
        .collect();
    let classes = FailureClass::ALL.iter();
    let expected: Vec<String> = classes
        .map(|c| format!("| {} | `{}` | {} |", c.exit_code(), c.name(), c.meaning()))
        .collect();
    assert_eq!(rows, expected);
}

#[test]
fn the_limits_are_the_code() {
    let limits = [
        ("`release.json`, bytes", Document::Release.max_bytes()),
        ("a signature file, bytes", MAX_SIGNATURE_BYTES),
        ("signatures of a document", MAX_SIGNATURES),
        ("key file, bytes", MAX_KEY_FILE_BYTES),
        ("keys in a trust store", MAX_TRUSTED_KEYS),
    ];
    for (what, limit) in limits {
        assert!(
            BOOK.contains(&format!("| {what} | {limit} |")),
            "limit of {what} is {limit}"
        );
    }
}

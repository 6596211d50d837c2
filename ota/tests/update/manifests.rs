//! What an update manifest may say: every contradiction and every size beyond a limit is refused.

use roamcore_ota::{FailureClass, MAX_INDEX_BYTES, MAX_PART_BYTES, MAX_UKI_BYTES, Update};
use serde_json::json;

use crate::fixture::*;

type Edit = fn(&mut Update);

#[test]
fn contradictions() {
    let cases: [(&str, Edit, &str); 20] = [
        (
            "expires when made",
            |u| u.expires = Some(u.created),
            "it expires at 2025-11-21T07:41:00Z, not after its creation at 2025-11-21T07:41:00Z",
        ),
        (
            "no restart",
            |u| u.reboot = false,
            "reboot is false, but a root is only ever changed by restarting into it",
        ),
        (
            "data blocks of another size",
            |u| u.root.verity.data_block_size = 512,
            "data_block_size is 512, this program makes hash trees with 4096 only",
        ),
        (
            "hash blocks of another size",
            |u| u.root.verity.hash_block_size = 8192,
            "hash_block_size is 8192, this program makes hash trees with 4096 only",
        ),
        (
            "empty root",
            |u| u.root.size = 0,
            "the root has 0 bytes, not a positive multiple of 4096",
        ),
        (
            "half a block",
            |u| u.root.size = 4096 + 512,
            "the root has 4608 bytes, not a positive multiple of 4096",
        ),
        (
            "too many parts",
            |u| {
                u.parts = (0..1025)
                    .map(|i| file(&format!("root.{i:04}"), b"x"))
                    .collect();
            },
            "1025 parts, at most 1024 are accepted",
        ),
        (
            "part too large",
            |u| u.parts[1].size = MAX_PART_BYTES + 1,
            "part root.001 has 8589934593 bytes, not 1 to 8589934592",
        ),
        (
            "empty part",
            |u| u.parts[1].size = 0,
            "part root.001 has 0 bytes, not 1 to 8589934592",
        ),
        (
            "UKI too large",
            |u| u.uki.size = MAX_UKI_BYTES + 1,
            "the UKI has 268435457 bytes, not 1 to 268435456",
        ),
        (
            "no UKI",
            |u| u.uki.size = 0,
            "the UKI has 0 bytes, not 1 to 268435456",
        ),
        (
            "index too large",
            |u| u.index.size = MAX_INDEX_BYTES + 1,
            "index root.index has 33554433 bytes, not 1 to 33554432",
        ),
        (
            "no index",
            |u| u.index.size = 0,
            "index root.index has 0 bytes, not 1 to 33554432",
        ),
        (
            "a part twice",
            |u| u.parts[1] = u.parts[0].clone(),
            "file root.000 is listed twice (case is ignored)",
        ),
        (
            "a part in the index's place",
            |u| u.parts[1].name = "Root.Index".parse().unwrap(),
            "file Root.Index is listed twice (case is ignored)",
        ),
        (
            "too many parts of the UKI",
            |u| {
                u.uki.parts = (0..1025)
                    .map(|i| file(&format!("uki.{i:04}"), b"x"))
                    .collect();
            },
            "1025 parts, at most 1024 are accepted",
        ),
        (
            "UKI part too large",
            |u| u.uki.parts[0].size = MAX_PART_BYTES + 1,
            "part uki.000 has 8589934593 bytes, not 1 to 8589934592",
        ),
        (
            "no index of the UKI",
            |u| u.uki.index.size = 0,
            "index uki.index has 0 bytes, not 1 to 33554432",
        ),
        (
            "one part for both images",
            |u| u.uki.parts[0] = u.parts[1].clone(),
            "file root.001 is listed twice (case is ignored)",
        ),
        (
            "one index for both images",
            |u| u.uki.index.name = u.index.name.clone(),
            "file root.index is listed twice (case is ignored)",
        ),
    ];
    for (name, edit, text) in cases {
        let mut update = update();
        edit(&mut update);
        let error = update.encode().unwrap_err();
        assert_eq!(
            chained(&error),
            format!("the update manifest contradicts itself: {text}"),
            "{name}"
        );
        assert_eq!(error.class(), FailureClass::MalformedManifest);
    }
}

#[test]
fn the_limits_themselves_are_inside() {
    let mut full = update();
    full.parts = (0..1024)
        .map(|i| file(&format!("root.{i:04}"), b"x"))
        .collect();
    full.parts[0].size = MAX_PART_BYTES;
    full.uki.size = MAX_UKI_BYTES;
    full.index.size = MAX_INDEX_BYTES;
    full.uki.index.size = MAX_INDEX_BYTES;
    full.uki.parts = (0..1024)
        .map(|i| file(&format!("uki.{i:04}"), b"x"))
        .collect();
    let bytes = full.encode().unwrap();
    assert_eq!(Update::parse(&bytes).unwrap(), full);
    // So a manifest with every part there may be is far from the limit of its own size.
    assert!(bytes.len() < 512 << 10, "{}", bytes.len());
}

#[test]
fn bad_documents() {
    let good = update().encode().unwrap();
    let unreadable = "the update manifest cannot be read: it is damaged, or not an update.json: ";
    let cases = [
        (
            "newer format",
            edited(&good, "\"format\": 1", "\"format\": 2"),
            "the update manifest has format 2, this program reads format 1: update this program first".to_owned(),
        ),
        (
            "unknown feature",
            edited(&good, "\"requires\": []", "\"requires\": [\n    \"patches\"\n  ]"),
            "the update manifest requires feature \"patches\", which this program does not know: update this program \
             first"
                .to_owned(),
        ),
        (
            "a document's name",
            edited(&good, "root.index", "roles.json"),
            format!(
                "{unreadable}artefact name \"roles.json\" is refused: the name belongs to a signed document or its \
                 signatures at line 8 column 24"
            ),
        ),
        (
            "a path",
            edited(&good, "root.index", "../../x"),
            format!(
                "{unreadable}artefact name \"../../x\" is refused: use 1 to 127 of A-Z, a-z, 0-9, '.', '_', '+' and \
                 '-', starting with a letter or digit at line 8 column 21"
            ),
        ),
        (
            "a salt in upper case",
            edited(&good, "5a17", "5A17"),
            format!(
                "{unreadable}salt \"5A17\" is refused: write 0 to 256 bytes as pairs of 0-9 and a-f at line 36 column 20"
            ),
        ),
        (
            "null for absent",
            edited(&good, "\"2026-05-20T07:41:00Z\"", "null"),
            "the update manifest is not in canonical form: byte 87 differs from the canonical form (sorted members, \
             each once, two spaces, one final newline): the file was edited or re-formatted, take the original"
                .to_owned(),
        ),
    ];
    let mut wrong = Vec::new();
    for (name, bytes, text) in cases {
        let seen = chained(&Update::parse(&bytes).unwrap_err());
        if seen != text {
            wrong.push((name, seen));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn members_of_a_newer_writer_survive() {
    let mut newer = update();
    newer.extra.insert("patches".to_owned(), json!(["x", 1]));
    newer.root.extra.insert("kind".to_owned(), json!("erofs"));
    newer.root.verity.extra.insert("a".to_owned(), json!({}));
    newer.parts[0].extra.insert("b".to_owned(), json!(true));
    let bytes = newer.encode().unwrap();
    assert_eq!(Update::parse(&bytes).unwrap(), newer);
    let mut posing = update();
    posing.extra.insert("board".to_owned(), json!("other"));
    assert_eq!(
        posing.encode().unwrap_err().to_string(),
        "the update manifest contradicts itself: an extra member or kind has the name of a known one"
    );
}

//! The published schemas judge documents as our own parser does, by another program: Python's `jsonschema`. What the
//! repository holds is valid; one wrong document of each kind is not. Rules beyond JSON schema are not its duty.

#![allow(clippy::expect_used, reason = "helpers of tests")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Map, Value, json};

#[path = "../../image/tests/support/skip.rs"]
mod skip;

/// Answers with an object: name of each refused document, its complaints.
const VALIDATE: &str = "
import json, jsonschema, sys
asked = json.load(sys.stdin)
jsonschema.Draft7Validator.check_schema(asked['schema'])
judge = jsonschema.Draft7Validator(asked['schema'])
found = {name: '; '.join(e.message for e in judge.iter_errors(text)) for name, text in asked['documents'].items()}
json.dump({name: said for name, said in found.items() if said}, sys.stdout)
";

/// Kind, the file below `tests/bad` that the schema must refuse, and what it must complain of.
const BAD: [(&str, &str, &str); 3] = [
    (
        "appliance",
        "appliance-unknown-key.toml",
        "'host-name' was unexpected",
    ),
    ("board", "board-nic-role.toml", "lam"),
    (
        "overlay",
        "overlay-unknown-section.toml",
        "'package' was unexpected",
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Documents of a kind that the repository holds.
fn documents(kind: &str) -> Vec<PathBuf> {
    let list = |directory: &str| {
        let entries = fs::read_dir(root().join(directory)).expect("a directory");
        entries.map(|entry| entry.expect("an entry").path())
    };
    let mut found: Vec<PathBuf> = match kind {
        "appliance" => list("appliances").collect(),
        "board" => list("hardware").map(|d| d.join("board.toml")).collect(),
        _ => list("overlays").map(|d| d.join("overlay.toml")).collect(),
    };
    found.retain(|path| path.extension().is_some_and(|e| e == "toml"));
    found
}

fn parsed(path: &Path) -> Value {
    let text = fs::read_to_string(path).expect("a document");
    toml::from_str(&text).expect("TOML")
}

/// What the schema refuses, by name.
fn refused(kind: &str, documents: &Map<String, Value>) -> Map<String, Value> {
    let schema = root().join(format!("docs/schema/{kind}.schema.json"));
    let schema: Value =
        serde_json::from_str(&fs::read_to_string(schema).expect("a schema")).expect("JSON");
    let mut python = Command::new("python3")
        .args(["-W", "ignore", "-c", VALIDATE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3");
    let asked = json!({ "schema": schema, "documents": documents });
    let mut input = python.stdin.take().expect("a pipe");
    input
        .write_all(asked.to_string().as_bytes())
        .expect("written");
    drop(input);
    let output = python.wait_with_output().expect("its answer");
    assert!(output.status.success(), "the validator failed");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn schemas_accept_ours_and_refuse_wrong_ones() {
    let there = Command::new("python3")
        .args(["-c", "import jsonschema"])
        .stderr(Stdio::null())
        .status();
    if !there.is_ok_and(|status| status.success()) {
        return skip::skip("python3 with jsonschema is not installed (python3-jsonschema)");
    }
    for (kind, bad, complaint) in BAD {
        let mut asked: Map<String, Value> = documents(kind)
            .iter()
            .map(|path| (path.display().to_string(), parsed(path)))
            .collect();
        assert!(!asked.is_empty(), "no {kind}");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad");
        asked.insert(bad.into(), parsed(&path.join(bad)));
        let refused = refused(kind, &asked);
        assert_eq!(refused.keys().collect::<Vec<_>>(), [bad], "{refused:?}");
        let text = refused[bad].as_str().unwrap_or_default();
        assert!(text.contains(complaint), "{bad}: {text}");
    }
}

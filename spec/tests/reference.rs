//! `docs/specs.md` and `docs/schema/` say what the types say. `UPDATE=1 cargo test -p roamcore-spec --test reference`
//! writes the schemas and the tables of fields anew.

#![allow(clippy::expect_used, reason = "helpers of tests")]

use std::fs;
use std::path::{Path, PathBuf};

use roamcore_spec::{Appliance, Board, Document, Overlay, Problems, cross_check, schema};
use serde_json::Value;

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

/// Writes the file when updating, else says whether it is as wanted.
fn settle(path: &Path, wanted: &str) {
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, wanted).expect("writable");
    }
    let found = fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == wanted,
        "{} is stale: UPDATE=1 cargo test -p roamcore-spec --test reference",
        path.display()
    );
}

#[test]
fn schemas_are_fresh() {
    for (name, text) in schema::all() {
        settle(&docs().join("schema").join(name), &text);
    }
}

/// Sections of an appliance that `docs/appliance.md` explains; the rest is in `docs/specs.md`.
const GUESTS: [&str; 9] = [
    "memory", "host", "bridge", "segment", "external", "template", "guest", "flow", "backup",
];

fn is_of_guests(row: &str) -> bool {
    let key = row.split('`').nth(1).expect("a key");
    GUESTS.contains(&key.split(['.', '[']).next().unwrap_or_default())
}

/// Writes a table between its marks.
fn put_table(text: &mut String, mark: &str, rows: &[String]) {
    let table = format!(
        "| Key | Value | Needed | Meaning |\n|---|---|---|---|\n{}\n",
        rows.join("\n")
    );
    let opening = format!("<!-- fields: {mark} -->\n");
    let start = text.find(&opening).expect("the opening mark") + opening.len();
    let end = start
        + text[start..]
            .find("<!-- end -->")
            .expect("the closing mark");
    text.replace_range(start..end, &table);
}

#[test]
fn tables_of_fields_are_fresh() {
    let read = |name: &str| {
        let path = docs().join(name);
        let text = fs::read_to_string(&path).expect("a page");
        (path, text)
    };
    let (path, mut text) = read("specs.md");
    let (guests_path, mut guests_text) = read("appliance.md");
    for (file, json) in schema::all() {
        let document = file.trim_end_matches(".schema.json");
        let root: Value = serde_json::from_str(&json).expect("JSON");
        let mut rows = Vec::new();
        fields(&root, &root, "", &mut rows);
        if document == "appliance" {
            let (guests, others): (Vec<String>, Vec<String>) =
                rows.into_iter().partition(|row| is_of_guests(row));
            put_table(&mut guests_text, "guests", &guests);
            rows = others;
        }
        put_table(&mut text, document, &rows);
    }
    settle(&path, &text);
    settle(&guests_path, &guests_text);
}

/// The TOML examples of a page.
fn examples(page: &str) -> Vec<String> {
    let text = fs::read_to_string(docs().join(page)).expect("a page");
    text.split("```toml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn examples_parse() {
    let mut examples = examples("specs.md");
    assert_eq!(examples.len(), 3);
    // The examples on guests continue the appliance of the other page.
    for more in self::examples("appliance.md") {
        examples[0] += "\n";
        examples[0] += &more;
    }
    let accepted =
        |result: Result<(), Problems>| result.unwrap_or_else(|problems| panic!("{problems}"));
    let appliance = Document::<Appliance>::parse("docs/appliance.md", &examples[0])
        .unwrap_or_else(|problems| panic!("{problems}"));
    accepted(Document::<Board>::parse("docs/specs.md", &examples[1]).map(drop));
    accepted(Document::<Overlay>::parse("docs/specs.md", &examples[2]).map(drop));
    let board = docs().join("../hardware/vp2430/board.toml");
    let board = Document::<Board>::parse("board", &fs::read_to_string(board).expect("the board"))
        .unwrap_or_else(|problems| panic!("{problems}"));
    let missing = |problem: &roamcore_spec::Problem| problem.fault().code() == "missing";
    let wrong = cross_check(&appliance, &board, &[]);
    assert!(wrong.iter().all(missing), "{wrong:?}");
    for (example, (file, json)) in examples.iter().zip(schema::all()) {
        let root: Value = serde_json::from_str(&json).expect("JSON");
        let mut rows = Vec::new();
        fields(&root, &root, "", &mut rows);
        for key in rows
            .iter()
            .filter_map(|row| row.split('`').nth(1)?.rsplit('.').next())
        {
            let key = key.trim_end_matches("[]");
            let optional = key == "notes";
            assert!(
                optional || example.contains(key),
                "the example for {file} does not show `{key}`"
            );
        }
    }
}

/// One row per key: values first, then sections, as they would stand in a file.
fn fields(root: &Value, object: &Value, prefix: &str, rows: &mut Vec<String>) {
    let no_properties = serde_json::Map::new();
    let properties = object["properties"].as_object().unwrap_or(&no_properties);
    let required: Vec<&str> = object["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let mut sections = Vec::new();
    for (name, property) in properties {
        let (kind, target) = kind(root, property);
        let needed = if required.contains(&name.as_str()) {
            "yes"
        } else {
            ""
        };
        let meaning = property["description"]
            .as_str()
            .unwrap_or_default()
            .replace('\n', " ");
        assert!(!meaning.is_empty(), "{prefix}{name} has no description");
        let repeated = if kind == "sections" { "[]" } else { "" };
        let row = format!("| `{prefix}{name}{repeated}` | {kind} | {needed} | {meaning} |");
        match target {
            Some(section) => sections.push((row, section, format!("{prefix}{name}{repeated}."))),
            None => rows.push(row),
        }
    }
    for (row, section, prefix) in sections {
        rows.push(row);
        fields(root, section, &prefix, rows);
    }
}

/// What a property holds, and its definition when that is a section.
fn kind<'a>(root: &'a Value, property: &'a Value) -> (String, Option<&'a Value>) {
    let alternatives = property["anyOf"]
        .as_array()
        .or(property["allOf"].as_array());
    if let Some(first) = alternatives.and_then(|all| all.first()) {
        return kind(root, first);
    }
    if let Some(name) = property["$ref"]
        .as_str()
        .and_then(|path| path.rsplit('/').next())
    {
        let target = &root["definitions"][name];
        let variants = target["enum"].as_array().or(target["oneOf"].as_array());
        if target["type"] == "object" {
            return ("section".to_owned(), Some(target));
        }
        if let Some(variants) = variants {
            let words: Vec<&str> = variants
                .iter()
                .filter_map(|v| v.as_str().or(v["const"].as_str()))
                .collect();
            return (
                words
                    .iter()
                    .map(|word| format!("\"{word}\""))
                    .collect::<Vec<_>>()
                    .join(" or "),
                None,
            );
        }
        return (spaced(name), None);
    }
    let name = property["type"]
        .as_str()
        .or_else(|| property["type"][0].as_str())
        .unwrap_or_default();
    match name {
        "array" => match kind(root, &property["items"]) {
            (_, Some(section)) => ("sections".to_owned(), Some(section)),
            (item, None) => (format!("list of {item}"), None),
        },
        "integer" => ("whole number".to_owned(), None),
        "boolean" => ("true or false".to_owned(), None),
        "string" => ("text".to_owned(), None),
        other => panic!("no word for {other}: {property}"),
    }
}

/// `PackageName` as words.
fn spaced(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

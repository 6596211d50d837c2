//! docs/release-format.md is true: its example is what this crate writes and accepts, its tables are this crate's.
//!
//! `UPDATE=1` writes the example and the table of attacks anew.

use std::fs;
use std::path::Path;

use roamcore_ota::{
    Document, MAX_INDEX_BYTES, MAX_PART_BYTES, MAX_PARTS, MAX_REVOKED, MAX_ROLE_DOCUMENTS,
    MAX_SIGNATURE_BYTES, MAX_TRUSTED_KEYS, MAX_UKI_BYTES, Role, Salt,
};

use crate::cases::cases;
use crate::common::block;
use crate::fixture::{RELEASE, chain, sign, update};

const HEAD: &str = "| directory | attack | refused because | code |\n|---|---|---|---|\n";

fn path() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/release-format.md")
}

fn example() -> [(&'static str, Vec<u8>); 3] {
    let manifest = update().encode().unwrap();
    [
        ("roles.json", chain().encode().unwrap()),
        (
            "update.json.sig",
            sign(&manifest, &RELEASE[..2], Role::Release),
        ),
        ("update.json", manifest),
    ]
}

fn table() -> String {
    let attacks = cases().into_iter().filter_map(|(name, case)| {
        let class = case.class?;
        let (about, why, code) = (case.about, class.meaning(), class.exit_code());
        Some(format!(
            "| `{name}` | {about} | `{}`: {why} | {code} |\n",
            class.name()
        ))
    });
    attacks.collect()
}

/// The page with example and table as they should be.
fn page(book: &str) -> String {
    let mut page = book.to_owned();
    for (label, bytes) in example() {
        let fence = format!(" {label}\n");
        let text = String::from_utf8(bytes).unwrap();
        let old = format!("{fence}{}```", block(&page, label));
        page = page.replace(&old, &format!("{fence}{text}```"));
    }
    let (before, after) = page.split_once(HEAD).unwrap();
    // The table goes on as long as lines begin with a bar.
    let rows = after
        .split_inclusive('\n')
        .take_while(|line| line.starts_with('|'));
    let rest = &after[rows.map(str::len).sum()..];
    format!("{before}{HEAD}{}{rest}", table())
}

#[test]
fn example_and_table_of_attacks_are_the_code() {
    let book = fs::read_to_string(path()).unwrap();
    let page = page(&book);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path(), &page).unwrap();
    } else {
        assert!(
            book == page,
            "docs/release-format.md: UPDATE=1 writes it anew"
        );
    }
}

#[test]
fn the_limits_are_the_code() {
    let book = fs::read_to_string(path()).unwrap();
    let limits = [
        format!(
            "| `update.json` | the update manifest | {} |",
            Document::Update.max_bytes()
        ),
        format!("| `update.json.sig` | signatures over it | {MAX_SIGNATURE_BYTES} |"),
        format!(
            "| `roles.json` | the chain of role documents | {} |",
            Document::Roles.max_bytes()
        ),
        format!("integer, 1 to {MAX_UKI_BYTES} |"),
        format!("the chunk index of the root | {MAX_INDEX_BYTES} |"),
        format!("the chunk index of the kernel image | {MAX_INDEX_BYTES} |"),
        format!("payload parts of the root | {MAX_PART_BYTES} each, {MAX_PARTS} parts |"),
        format!("payload parts of the kernel image | {MAX_PART_BYTES} each, {MAX_PARTS} parts |"),
        format!("a list of 1 to {MAX_ROLE_DOCUMENTS} objects"),
        format!("At most {MAX_TRUSTED_KEYS}, each under the id"),
        format!("list of key ids, at most {MAX_REVOKED} |"),
        format!("0 to {} bytes as pairs", Salt::MAX_LEN),
        format!(
            "the {} bytes\n`roamcore-update-v1\\0`",
            Document::Update.signature_domain().len()
        ),
        format!(
            "the {} bytes `roamcore-roles-v1\\0`",
            Document::Roles.signature_domain().len()
        ),
    ];
    for limit in limits {
        assert!(book.contains(&limit), "{limit}");
    }
}

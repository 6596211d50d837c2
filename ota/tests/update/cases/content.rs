//! Attacks with the wrong bytes: files of different releases, of wrong length, or missing.

use roamcore_ota::{
    Document, FailureClass, MAX_PART_BYTES, MAX_SIGNATURE_BYTES, Role, RoleChain, Update,
};
use serde_json::{Value, json};

use super::{Row, edit};
use crate::fixture::*;

fn as_json(update: &Update) -> Value {
    serde_json::from_slice(&update.encode().unwrap()).unwrap()
}

/// Files of different releases, of wrong length, or missing.
pub fn content() -> Vec<Row> {
    use FailureClass::*;
    vec![
        (
            "mix-and-match-signature",
            BadSignature,
            "the manifest of one release with the signatures of another",
            |c| {
                let other = edit(|u| u.sequence = 131).encode().unwrap();
                c.set(
                    "update.json.sig",
                    sign(&other, &RELEASE[..2], Role::Release),
                );
            },
        ),
        (
            "mix-and-match-release-signature",
            BadSignature,
            "signatures that are good for the same bytes as a release.json",
            |c| {
                let manifest = c.files["update.json"].clone();
                c.set(
                    "update.json.sig",
                    forged(Document::Release, &manifest, &RELEASE[..2]),
                );
            },
        ),
        (
            "mix-and-match-uki",
            ArtefactMismatch,
            "a part of another release's kernel image, of the same size",
            |c| {
                c.set("uki.000", b"another uki part\n".to_vec());
            },
        ),
        (
            "mix-and-match-index",
            ArtefactMismatch,
            "the chunk index of another release, of the same size",
            |c| {
                c.set("root.index", b"another index\n".to_vec());
            },
        ),
        (
            "mix-and-match-uki-index",
            ArtefactMismatch,
            "the kernel image's chunk index of another release, of the same size",
            |c| {
                c.set("uki.index", b"another uki index\n".to_vec());
            },
        ),
        (
            "mix-and-match-roles",
            RolesConflict,
            "the role chain of another publisher",
            |c| {
                let mut terms = terms();
                terms.sequence.maximum = 1_000_000;
                let mut other = RoleChain::start(terms).unwrap();
                sign_roles(&mut other, &ROOT[..2]);
                c.offer_roles(&other);
            },
        ),
        (
            "mix-and-match-rotated",
            UnknownKey,
            "an old release with a newer role chain, which knows other release keys",
            |c| {
                let terms = rekeyed(terms(), Role::Release, &[24, 25, 26]);
                c.offer_roles(&then(chain(), terms, &ROOT[..2]));
            },
        ),
        (
            "part-swapped",
            ArtefactMismatch,
            "two parts under each other's names",
            |c| {
                c.set("root.000", FILES[4].1.to_vec());
                c.set("root.001", FILES[3].1.to_vec());
            },
        ),
        (
            "part-missing",
            ArtefactMissing,
            "a part that is not there",
            |c| c.remove("root.001"),
        ),
        (
            "endless-manifest",
            MalformedManifest,
            "a manifest that goes on beyond every limit",
            |c| {
                c.files
                    .get_mut("update.json")
                    .unwrap()
                    .resize(Document::Update.max_bytes() + 1, b' ');
            },
        ),
        (
            "endless-signatures",
            MalformedSignature,
            "a signature file that goes on beyond every limit",
            |c| {
                c.files
                    .get_mut("update.json.sig")
                    .unwrap()
                    .resize(MAX_SIGNATURE_BYTES + 1, b' ');
            },
        ),
        (
            "endless-roles",
            MalformedRoles,
            "a role chain that goes on beyond every limit",
            |c| {
                c.files
                    .get_mut("roles.json")
                    .unwrap()
                    .resize(Document::Roles.max_bytes() + 1, b' ');
            },
        ),
        (
            "endless-part",
            ArtefactTooLong,
            "a part that goes on after its signed size",
            |c| {
                c.files
                    .get_mut("root.001")
                    .unwrap()
                    .extend(b"and on and on\n");
            },
        ),
        (
            "endless-index",
            ArtefactTooLong,
            "a chunk index that goes on after its signed size",
            |c| {
                c.files
                    .get_mut("root.index")
                    .unwrap()
                    .extend(b"and on and on\n");
            },
        ),
        (
            "announced-too-large",
            MalformedManifest,
            "a part that is signed with a size no device can be ready for",
            |c| {
                let mut value = as_json(&update());
                value["parts"][0]["size"] = json!(MAX_PART_BYTES + 1);
                c.offer_forged(canonical(&value), &RELEASE[..2]);
            },
        ),
        (
            "announced-too-many",
            MalformedManifest,
            "more parts than a device is ready for",
            |c| {
                let mut value = as_json(&update());
                let part = value["parts"][0].clone();
                let parts = (0..1025).map(|i| {
                    let mut part = part.clone();
                    part["name"] = json!(format!("root.{i:04}"));
                    part
                });
                value["parts"] = parts.collect();
                c.offer_forged(canonical(&value), &RELEASE[..2]);
            },
        ),
        (
            "newer-format",
            UnsupportedFormat,
            "a manifest of a format that this program does not know",
            |c| {
                let mut value = as_json(&update());
                value["format"] = json!(2);
                c.offer_forged(canonical(&value), &RELEASE[..2]);
            },
        ),
        (
            "truncated-manifest",
            BadSignature,
            "half of update.json",
            |c| c.cut("update.json"),
        ),
        (
            "truncated-signatures",
            MalformedSignature,
            "half of update.json.sig",
            |c| c.cut("update.json.sig"),
        ),
        (
            "truncated-roles",
            MalformedRoles,
            "half of roles.json",
            |c| c.cut("roles.json"),
        ),
        (
            "truncated-uki",
            ArtefactTruncated,
            "half of a part of the kernel image",
            |c| c.cut("uki.000"),
        ),
        (
            "truncated-index",
            ArtefactTruncated,
            "half of the chunk index",
            |c| c.cut("root.index"),
        ),
        ("truncated-part", ArtefactTruncated, "half of a part", |c| {
            c.cut("root.000")
        }),
    ]
}

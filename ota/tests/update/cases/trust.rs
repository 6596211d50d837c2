//! Attacks with the wrong keys: those that may not sign, too few of them, and chains that lead somewhere else.

use roamcore_ota::{Document, FailureClass, Role, RoleChain};
use serde_json::{Value, json};

use super::Row;
use crate::fixture::*;

/// Document 2: release key 21 is revoked, 24 takes its place.
fn revoking() -> RoleChain {
    let mut terms = rekeyed(terms(), Role::Release, &[22, 23, 24]);
    terms.revoked.insert(id(21));
    then(chain(), terms, &ROOT[..2])
}

/// Document 2 by keys that nobody vouched for.
fn usurping(signers: &[u8]) -> RoleChain {
    then(
        chain(),
        rekeyed(terms(), Role::Root, &[31, 32, 33]),
        signers,
    )
}

/// Keys that may not sign, or too few of them.
pub fn keys() -> Vec<Row> {
    use FailureClass::*;
    vec![
        ("unsigned", MissingSignature, "no signature file", |c| {
            c.remove("update.json.sig")
        }),
        (
            "unknown-key",
            UnknownKey,
            "signed by keys that nobody vouched for",
            |c| {
                let manifest = c.files["update.json"].clone();
                c.offer_forged(manifest, &[91, 92]);
            },
        ),
        (
            "key-below-threshold",
            BelowThreshold,
            "one release key was stolen, two must sign",
            |c| {
                let manifest = c.files["update.json"].clone();
                c.offer_forged(manifest, &RELEASE[..1]);
            },
        ),
        (
            "key-counted-twice",
            MalformedSignature,
            "one stolen release key signs twice",
            |c| {
                let manifest = c.files["update.json"].clone();
                c.offer_forged(manifest, &[21, 21]);
            },
        ),
        (
            "development-key",
            WrongKeyRole,
            "a development key signs a release",
            |c| {
                let manifest = c.files["update.json"].clone();
                c.offer_forged(manifest, &[DEVELOPMENT]);
            },
        ),
        (
            "root-key",
            WrongKeyRole,
            "root keys, which vouch for keys only, sign a release",
            |c| {
                let manifest = c.files["update.json"].clone();
                c.offer_forged(manifest, &ROOT[..2]);
            },
        ),
        (
            "revoked-key",
            RevokedKey,
            "a stolen key signs, and the role chain has revoked it since",
            |c| {
                c.offer_roles(&revoking());
            },
        ),
        (
            "revoked-key-device-knows",
            RevokedKey,
            "the same, with a device that knows of it and a chain that does too",
            |c| {
                c.trusted = revoking();
                c.offer_roles(&revoking());
            },
        ),
    ]
}

/// Chains that lead somewhere else.
pub fn roles() -> Vec<Row> {
    use FailureClass::*;
    vec![
        (
            "roles-gap",
            RolesGap,
            "a role chain that leaves a document out",
            |c| {
                c.offer_roles(&then(revoking(), revoking_terms(), &ROOT[..2]));
                c.change_roles(|v| drop(v["documents"].as_array_mut().unwrap().remove(1)));
            },
        ),
        (
            "roles-gap-to-device",
            RolesGap,
            "a role chain that begins after the document this device should know next",
            |c| {
                c.offer_roles(&then(revoking(), revoking_terms(), &ROOT[..2]));
                c.change_roles(|v| drop(v["documents"].as_array_mut().unwrap().drain(..2)));
            },
        ),
        (
            "roles-by-new-keys-only",
            RolesNotVouched,
            "a role document signed by the keys it brings itself",
            |c| {
                c.offer_roles(&usurping(&[31, 32]));
            },
        ),
        (
            "roles-below-old-threshold",
            RolesNotVouched,
            "one root key was stolen, two must vouch",
            |c| {
                c.offer_roles(&usurping(&[11, 31, 32]));
            },
        ),
        (
            "roles-by-release-keys",
            RolesNotVouched,
            "release keys, which sign images only, sign a role document",
            |c| {
                c.offer_roles(&revoking());
                c.change_roles(|v| {
                    let entry = &mut v["documents"][1];
                    let bytes = canonical(&entry["signed"]);
                    let by = forged(Document::Roles, &bytes, &[22, 23]);
                    let by: Value = serde_json::from_slice(&by).unwrap();
                    entry["signatures"] = by["signatures"].clone();
                });
            },
        ),
        (
            "roles-by-old-keys-only",
            RolesBelowThreshold,
            "a role document whose own keys nobody has shown to hold",
            |c| {
                c.offer_roles(&usurping(&ROOT[..2]));
            },
        ),
        (
            "roles-rolled-back",
            RolesRolledBack,
            "the role chain from before a revocation",
            |c| {
                c.trusted = revoking();
            },
        ),
        (
            "roles-forgiven",
            RolesConflict,
            "a role document that forgets a revocation",
            |c| {
                c.trusted = revoking();
                let mut tail = then(revoking(), revoking_terms(), &ROOT[..2])
                    .encode()
                    .unwrap();
                tail = edited_signed(&tail, 2);
                c.set("roles.json", tail);
            },
        ),
        (
            "roles-changed",
            BadSignature,
            "a role document edited after it was signed",
            |c| {
                c.offer_roles(&revoking());
                c.change_roles(|v| {
                    v["documents"][1]["signed"]["sequence"]["maximum"] = json!(1_000_000)
                });
            },
        ),
        (
            "roles-unsigned",
            RolesNotVouched,
            "a role document without signatures",
            |c| {
                c.offer_roles(&revoking());
                c.change_roles(|v| v["documents"][1]["signatures"] = json!([]));
            },
        ),
        (
            "roles-empty",
            MalformedRoles,
            "a role chain without documents",
            |c| {
                c.change_roles(|v| v["documents"] = json!([]));
            },
        ),
    ]
}

fn revoking_terms() -> roamcore_ota::RoleTerms {
    let newest = revoking();
    let newest = newest.newest().unwrap().document().clone();
    newest.terms(newest.created, newest.expires).unwrap()
}

/// The chain with document `at` taking back all revocations, signed again by two root keys.
fn edited_signed(chain: &[u8], at: usize) -> Vec<u8> {
    let mut value: Value = serde_json::from_slice(chain).unwrap();
    let entry = &mut value["documents"][at];
    entry["signed"]["revoked"] = json!([]);
    let signatures = forged(Document::Roles, &canonical(&entry["signed"]), &ROOT[..2]);
    let signatures: Value = serde_json::from_slice(&signatures).unwrap();
    entry["signatures"] = signatures["signatures"].clone();
    canonical(&value)
}

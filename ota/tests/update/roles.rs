//! Role documents: making and signing them, following them, and every chain that is refused.

use std::collections::{BTreeMap, BTreeSet};

use roamcore_ota::{
    Clock, Document, FailureClass, PublicKey, Role, RoleChain, RoleTerms, RolesError, TrustedRoles,
};
use serde_json::{Value, json};

use crate::fixture::*;

/// Rotates one root key: 13 goes, 14 comes.
fn rotated() -> RoleChain {
    then(
        chain(),
        rekeyed(terms(), Role::Root, &[11, 12, 14]),
        &[11, 12],
    )
}

#[test]
fn the_order_of_signing_does_not_matter() {
    let signed = |seeds: &[u8]| {
        let mut chain = RoleChain::start(terms()).unwrap();
        sign_roles(&mut chain, seeds);
        chain.encode().unwrap()
    };
    assert_eq!(signed(&[11, 12, 13]), signed(&[13, 11, 12, 11]));
    let chain = RoleChain::parse(&signed(&[12, 11])).unwrap();
    let ids: Vec<_> = chain.newest().unwrap().key_ids().collect();
    assert_eq!(BTreeSet::from_iter(ids), BTreeSet::from([id(11), id(12)]));
}

#[test]
fn what_jq_prints_is_what_is_signed() {
    let chain = rotated();
    let value: Value = serde_json::from_slice(&chain.encode().unwrap()).unwrap();
    for (i, entry) in chain.documents().iter().enumerate() {
        let printed = canonical(&value["documents"][i]["signed"]);
        assert_eq!(entry.signed_bytes().unwrap(), printed);
    }
}

#[test]
fn keys_that_may_not_sign_roles() {
    let mut chain = RoleChain::start(terms()).unwrap();
    let before = chain.clone();
    let cases = [
        (
            key(21, Role::Release),
            "key d7e1e084be213b01 is a release key, and role documents are signed by root keys: use a root key",
        ),
        (
            key(90, Role::Root),
            "key 790901b82a89fe50 is a root key neither of this role document nor of the one before it: sign with one \
             that is",
        ),
    ];
    for (key, text) in cases {
        let error = chain.sign(&key).unwrap_err();
        assert_eq!(error.to_string(), text);
        assert_eq!(error.class(), FailureClass::SigningRefused);
    }
    assert_eq!(chain, before);
    // A key that goes signs the document that sends it away.
    let mut rotated = rotated();
    rotated.sign(&key(13, Role::Root)).unwrap();
}

#[test]
fn a_device_follows_rotations_it_slept_through() {
    let three = then(
        rotated(),
        rekeyed(terms(), Role::Root, &[14, 15, 16]),
        &[11, 12, 14, 15],
    );
    let old = trusted(&chain());
    let new = old.advance(&three.encode().unwrap()).unwrap();
    assert_eq!(new.version(), 3);
    assert_eq!(*new.document(), *three.newest().unwrap().document());
    assert!(new.trust().get(id(16)).is_some());
    assert!(new.trust().get(id(11)).is_none());
    // The very chain again, or one that begins with the next document.
    assert_eq!(new.advance(&three.encode().unwrap()).unwrap().version(), 3);
    let tail = tail(&three, 1);
    assert_eq!(old.advance(&tail).unwrap().version(), 3);
}

/// The chain without its first documents.
fn tail(chain: &RoleChain, skip: usize) -> Vec<u8> {
    let mut value: Value = serde_json::from_slice(&chain.encode().unwrap()).unwrap();
    value["documents"].as_array_mut().unwrap().drain(..skip);
    canonical(&value)
}

#[test]
fn what_is_kept_on_state_is_believed_again_from_the_image() {
    let (one, two) = (chain().encode().unwrap(), rotated().encode().unwrap());
    let image = TrustedRoles::anchor(&one).unwrap();
    let kept = image
        .advance(&tail(&rotated(), 1))
        .unwrap()
        .encode()
        .unwrap();
    // What was left out of the update's chain is there: an image with document 1 must be able to follow.
    assert_eq!(kept, two);
    assert_eq!(TrustedRoles::resume(&one, &kept).unwrap().version(), 2);

    // A newer image over older state, and back again.
    assert_eq!(TrustedRoles::resume(&two, &one).unwrap().version(), 2);
    let newer_image = tail(&rotated(), 1);
    let resumed = TrustedRoles::resume(&newer_image, &kept).unwrap();
    assert_eq!(resumed.encode().unwrap(), kept);
    let three = then(rotated(), terms(), &[11, 12]);
    let on = resumed.advance(&tail(&three, 2)).unwrap().encode().unwrap();
    assert_eq!(TrustedRoles::resume(&one, &on).unwrap().version(), 3);

    // State that somebody wrote who was not allowed to.
    let mut forged = chain();
    forged
        .push(rekeyed(terms(), Role::Root, &[31, 32, 33]))
        .unwrap();
    sign_roles(&mut forged, &[31, 32]);
    let error = TrustedRoles::resume(&one, &forged.encode().unwrap()).unwrap_err();
    assert_eq!(error.class(), FailureClass::RolesNotVouched);
}

#[test]
fn only_the_newest_document_expires() {
    let mut late = terms();
    late.created = time("2026-01-01T00:00:00Z");
    late.expires = time("2027-06-01T00:00:00Z");
    let chain2 = then(chain(), late, &ROOT[..2]);
    let roles = trusted(&chain())
        .advance(&chain2.encode().unwrap())
        .unwrap();
    let at = |text: &str| Clock::new(Some(time(text)));
    roles.check_expiry(&at("2027-01-01T00:00:00Z")).unwrap();
    let error = trusted(&chain()).check_expiry(&at("2027-01-01T00:00:00Z"));
    assert_eq!(error.unwrap_err().class(), FailureClass::RolesExpired);
}

type Edit = fn(&mut RoleTerms);

#[test]
fn contradictions() {
    let cases: [(&str, Edit, &str); 11] = [
        (
            "expires when made",
            |t| t.expires = t.created,
            "the role chain contradicts itself: in document 1 the expiry 2025-06-01T00:00:00Z is not after the creation \
             2025-06-01T00:00:00Z",
        ),
        (
            "no root keys",
            |t| t.keys.retain(|k| k.role() != Role::Root),
            "the role chain contradicts itself: in document 1 role root has no keys: leave it out",
        ),
        (
            "a key with two roles",
            |t| t.keys.push(key(11, Role::Release).public().clone()),
            "role document 1 contradicts itself: key fdf72a088f18f739 is in the trust store twice: name each public key \
             once, in one role",
        ),
        (
            "threshold that cannot be reached",
            |t| t.thresholds = BTreeMap::from([(Role::Release, 4)]),
            "role document 1 contradicts itself: threshold 4 cannot be reached with 3 release keys: add keys or lower it",
        ),
        (
            "threshold of nothing",
            |t| t.thresholds = BTreeMap::from([(Role::Root, 0)]),
            "role document 1 contradicts itself: a threshold of 0 would believe unsigned releases: use 1 or more",
        ),
        (
            "revoked and in use",
            |t| t.revoked.extend([id(21)]),
            "the role chain contradicts itself: in document 1 key d7e1e084be213b01 is revoked and has a role",
        ),
        (
            "empty window of sequences",
            |t| t.sequence.minimum = 1000,
            "the role chain contradicts itself: in document 1 the sequence window 1000 to 999 is empty",
        ),
        (
            "empty window of epochs",
            |t| t.security_epoch.maximum = 0,
            "the role chain contradicts itself: in document 1 the security epoch window 1 to 0 is empty",
        ),
        (
            "sequences that other readers lose",
            |t| t.sequence.maximum = 1 << 53,
            "the role chain is not in canonical form: number 9007199254740992 is not an integer within \
             +-9007199254740991: write it as a string",
        ),
        (
            "more keys than a trust store holds",
            |t| {
                t.keys
                    .extend((100..160).map(|s| PublicKey::clone(key(s, Role::Release).public())))
            },
            "role document 1 contradicts itself: the trust store has 67 keys, at most 64 are accepted",
        ),
        (
            "a year that is no time for keys to go on",
            |t| t.created = time("2026-06-01T00:00:01Z"),
            "the role chain contradicts itself: in document 1 the expiry 2026-06-01T00:00:00Z is not after the creation \
             2026-06-01T00:00:01Z",
        ),
    ];
    let mut wrong = Vec::new();
    for (name, edit, text) in cases {
        let mut terms = terms();
        edit(&mut terms);
        let error = RoleChain::start(terms)
            .and_then(|c| c.encode())
            .unwrap_err();
        assert_eq!(error.class(), FailureClass::MalformedRoles, "{name}");
        if chained(&error) != text {
            wrong.push((name, chained(&error)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The chain as JSON, changed by hand, in canonical form again.
fn changed(edit: impl FnOnce(&mut Value)) -> Result<RoleChain, RolesError> {
    let mut value: Value = serde_json::from_slice(&rotated().encode().unwrap()).unwrap();
    edit(&mut value);
    RoleChain::parse(&canonical(&value))
}

#[test]
fn bad_documents() {
    type Hand = fn(&mut Value);
    let cases: [(&str, Hand, &str); 12] = [
        (
            "no documents",
            |v| v["documents"] = json!([]),
            "the role chain has no documents: it needs at least one",
        ),
        (
            "another member beside the signatures",
            |v| v["documents"][0]["note"] = json!(1),
            "the role chain cannot be read: it is damaged, or not a roles.json: unknown field `note`, expected `signed` \
             or `signatures` at line 4 column 12",
        ),
        (
            "newer chain",
            |v| v["format"] = json!(2),
            "the role chain has format 2, this program reads format 1: update this program first",
        ),
        (
            "newer document of another shape",
            |v| v["documents"][1]["signed"] = json!({"format": 3}),
            "the role chain has format 3, this program reads format 1: update this program first",
        ),
        (
            "unknown feature",
            |v| v["documents"][1]["signed"]["requires"] = json!(["quorum"]),
            "the role chain requires feature \"quorum\", which this program does not know: update this program first",
        ),
        (
            "version 0",
            |v| v["documents"][0]["signed"]["version"] = json!(0),
            "the role chain contradicts itself: in document 0 the version is 0: they count from 1",
        ),
        (
            "gap",
            |v| v["documents"][1]["signed"]["version"] = json!(3),
            "the role chain goes from document 1 to 3: every one in between is needed, fetch the whole chain",
        ),
        (
            "the same again",
            |v| v["documents"][1]["signed"]["version"] = json!(1),
            "the role chain goes from document 1 to 1: every one in between is needed, fetch the whole chain",
        ),
        (
            "a key under another's name",
            |v| {
                let keys = &mut v["documents"][0]["signed"]["keys"];
                keys["fdf72a088f18f739"] = keys["d7e1e084be213b01"].clone();
            },
            "the role chain contradicts itself: in document 1 the key named fdf72a088f18f739 has the id d7e1e084be213b01",
        ),
        (
            "a key without a role",
            |v| {
                let seed90 = Value::from(base64(&key(90, Role::Root).public().to_bytes()));
                v["documents"][0]["signed"]["keys"]["790901b82a89fe50"] = seed90;
            },
            "the role chain contradicts itself: in document 1 key 790901b82a89fe50 has no role",
        ),
        (
            "a role without a key",
            |v| {
                drop(
                    v["documents"][0]["signed"]["keys"]
                        .as_object_mut()
                        .unwrap()
                        .remove("d7e1e084be213b01"),
                )
            },
            "the role chain contradicts itself: in document 1 key d7e1e084be213b01 is not among the keys",
        ),
        (
            "a key by which anybody can sign",
            |v| {
                let keys = v["documents"][0]["signed"]["keys"].as_object_mut().unwrap();
                let mut one = [0; 32];
                one[0] = 1;
                keys.insert("fdf72a088f18f739".to_owned(), Value::from(base64(&one)));
            },
            "role document 1 has an unusable key: the public key 01d0fabd251fcbbe has small order, so that anybody could \
             sign for it: make a new key",
        ),
    ];
    let mut wrong = Vec::new();
    for (name, edit, text) in cases {
        let seen = chained(&changed(edit).unwrap_err());
        if seen != text {
            wrong.push((name, seen));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn base64(bytes: &[u8]) -> String {
    use base64ct::Encoding;
    base64ct::Base64::encode_string(bytes)
}

#[test]
fn members_of_a_newer_writer_survive_and_are_signed() {
    let mut value: Value = serde_json::from_slice(&chain().encode().unwrap()).unwrap();
    value["documents"][0]["signed"]["colour"] = json!({"of": ["van", 1]});
    let bytes = canonical(&value);
    let read = RoleChain::parse(&bytes).unwrap();
    assert_eq!(read.encode().unwrap(), bytes);
    let error = TrustedRoles::anchor(&bytes).unwrap_err();
    assert_eq!(error.class(), FailureClass::BadSignature);
}

/// The smallest document there can be: one key, one role.
fn smallest() -> Value {
    let mut terms = rekeyed(rekeyed(terms(), Role::Release, &[]), Role::Development, &[]);
    terms = rekeyed(terms, Role::Root, &[11]);
    terms.thresholds.clear();
    let one = RoleChain::start(terms).unwrap();
    serde_json::from_slice(&one.encode().unwrap()).unwrap()
}

#[test]
fn what_is_kept_on_state_stays_within_the_limits() {
    let smallest = smallest();
    let signed = |versions: std::ops::RangeInclusive<u64>| {
        let documents: Vec<Value> = versions
            .map(|version| {
                let mut entry = smallest["documents"][0].clone();
                entry["signed"]["version"] = json!(version);
                let by = forged(Document::Roles, &canonical(&entry["signed"]), &[11]);
                let by: Value = serde_json::from_slice(&by).unwrap();
                entry["signatures"] = by["signatures"].clone();
                entry
            })
            .collect();
        canonical(&json!({"format": 1, "documents": documents}))
    };
    // A device that has followed more documents than a chain may have, or has room for.
    let first = TrustedRoles::anchor(&signed(1..=700)).unwrap();
    let second = first.advance(&signed(700..=1400)).unwrap();
    let kept = second.encode().unwrap();
    assert!(kept.len() <= Document::Roles.max_bytes());
    let kept = RoleChain::parse(&kept).unwrap();
    assert_eq!(kept.newest().unwrap().document().version, 1400);
    assert!(kept.documents().len() > 600, "{}", kept.documents().len());
    let image = signed(900..=900);
    let resumed = TrustedRoles::resume(&image, &second.encode().unwrap()).unwrap();
    assert_eq!(resumed.version(), 1400);
}

#[test]
fn a_chain_has_room_for_a_bounded_number() {
    let value = smallest();
    let many = |count: u64| {
        let documents: Vec<Value> = (1..=count)
            .map(|version| {
                let mut entry = value["documents"][0].clone();
                entry["signed"]["version"] = json!(version);
                entry
            })
            .collect();
        RoleChain::parse(&canonical(&json!({"format": 1, "documents": documents})))
    };
    let error = many(1025).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the role chain has 1025 documents, at most 1024 are accepted"
    );
    assert_eq!(error.class(), FailureClass::MalformedRoles);
    assert_eq!(many(1024).unwrap().documents().len(), 1024);
}

//! Keys, key files, trust stores, and which key may sign what.

use roamcore_ota::{
    Channel, KeyError, MAX_SIGNATURES, PrivateKey, PublicKey, Role, SignError, SignatureFile,
    TrustStore, verify_release,
};

use crate::fixture::{chain, edited, key, manifest, release, sign, trust};

#[test]
fn a_second_signature_keeps_the_first_in_either_order() {
    let (a, b) = (key(1, Role::Release), key(2, Role::Release));
    let manifest = manifest(Channel::Release);
    let first = sign(&manifest, &[&a]);
    let mut file = SignatureFile::parse(&first).unwrap();
    file.add(&manifest, &b).unwrap();
    file.add(&manifest, &b).unwrap();
    let both = file.encode().unwrap();
    assert_eq!(both, sign(&manifest, &[&b, &a]));
    assert_eq!(file.key_ids().count(), 2);
    let verified = verify_release(&manifest, &both, &trust(&[&a, &b], 2), None).unwrap();
    assert_eq!(verified.signers().len(), 2);
}

#[test]
fn keys_that_may_not_sign() {
    let (dev, rel) = (key(1, Role::Development), key(3, Role::Release));
    let (dm, rm) = (manifest(Channel::Development), manifest(Channel::Release));
    let mut file = SignatureFile::default();

    let error = file.add(&dm, &rel).unwrap_err();
    assert!(matches!(error, SignError::ReleaseKeyOnDevelopment { .. }));
    assert_eq!(
        error.to_string(),
        "key b62e867fa2f33afe is a release key and this image's channel is development: sign it with a development key"
    );
    let error = file.add(&rm, &dev).unwrap_err();
    assert!(matches!(error, SignError::DevelopmentKeyOnRelease { .. }));
    assert_eq!(
        error.to_string(),
        "key 34750f98bd59fcfc is a development key and this image's channel is release: sign it with a release key"
    );
    let error = file.add(&rm, &key(4, Role::Root)).unwrap_err();
    assert!(matches!(error, SignError::RootKeyOnManifest { .. }));
    assert_eq!(
        error.to_string(),
        "key c5b940ed3f65c391 is a root key, which signs role documents only: sign with a key of the image's channel"
    );
    assert_eq!(file, SignatureFile::default());
    assert!(matches!(file.add(b"{}", &dev), Err(SignError::Document(_))));

    file.add(&dm, &dev).unwrap();
    let error = file.add(&edited(&dm, "1.4.0", "1.4.1"), &dev).unwrap_err();
    assert_eq!(
        error.to_string(),
        "key 34750f98bd59fcfc has signed another manifest in this signature file: start a new signature file"
    );
}

#[test]
fn a_signature_file_has_room_for_a_bounded_number() {
    let manifest = manifest(Channel::Release);
    let mut file = SignatureFile::default();
    for seed in 0..u8::try_from(MAX_SIGNATURES).unwrap() {
        file.add(&manifest, &key(seed, Role::Release)).unwrap();
    }
    assert_eq!(SignatureFile::parse(&file.encode().unwrap()).unwrap(), file);
    assert!(matches!(
        file.add(&manifest, &key(200, Role::Release)),
        Err(SignError::Full)
    ));
}

#[test]
fn key_files_survive_and_fit_each_other() {
    for role in [Role::Development, Role::Release] {
        let made = PrivateKey::generate(role).unwrap();
        let read = PrivateKey::parse(&made.to_pem().unwrap()).unwrap();
        let public = PublicKey::parse(&made.public().to_pem().unwrap()).unwrap();
        assert_eq!(read.public(), &public);
        assert_eq!(public.role(), role);
        let channel = if role == Role::Release {
            Channel::Release
        } else {
            Channel::Development
        };
        let manifest = release(channel).encode().unwrap();
        let store = TrustStore::new([public], 1).unwrap();
        verify_release(&manifest, &sign(&manifest, &[&read]), &store, None).unwrap();
    }
}

#[test]
fn a_private_key_is_never_printed() {
    let key = key(7, Role::Release);
    assert_eq!(
        format!("{key:?}"),
        format!(
            "PrivateKey({}, release, secret redacted)",
            key.public().id()
        )
    );
    // A private key file damaged in every line: no message repeats a part of its secret line.
    let text = key.to_pem().unwrap().to_string();
    let secret = text.lines().nth(4).unwrap();
    for at in 0..text.lines().count() {
        let damaged: Vec<&str> = text
            .lines()
            .enumerate()
            .filter(|(i, _)| *i != at)
            .map(|(_, line)| line)
            .collect();
        let message = chain(&PrivateKey::parse(&damaged.join("\n")).unwrap_err());
        assert!(
            !message.contains(secret) && !message.contains(&secret[..12]),
            "{message}"
        );
    }
}

#[test]
fn bad_key_files() {
    let made = key(1, Role::Development);
    let (private, public) = (
        made.to_pem().unwrap().to_string(),
        made.public().to_pem().unwrap(),
    );
    let edit =
        |from: &str, to: &str| String::from_utf8(edited(public.as_bytes(), from, to)).unwrap();
    // The neutral element, under which everybody can sign anything.
    let body = public.lines().nth(4).unwrap();
    let weak = edit(
        body,
        "MCowBQYDK2VwAyEAAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    );
    let cases = [
        ("private for public", private.clone(), "this is a private key file, a public one is needed here".to_owned()),
        (
            "no header", public.lines().skip(3).collect::<Vec<_>>().join("\n"),
            "line 1 of the key file is not \"roamcore-public-key: 1\": take a file made by this program".to_owned(),
        ),
        (
            "newer", edit(": 1", ": 2"),
            "the key file has format 2, this program reads format 1: update this program first".to_owned(),
        ),
        (
            "unknown role", edit("role: development", "role: owner"),
            "line 2 of the key file is not \"role: development|release|root\": take a file made by this program".to_owned(),
        ),
        (
            "bad key id", edit("key-id: 3", "key-id: X"),
            "line 3 of the key file is not \"key-id: 16 hex digits\": take a file made by this program".to_owned(),
        ),
        (
            "header of another key", edit("key-id: 3", "key-id: 4"),
            "the key file's header names key 44750f98bd59fcfc, but it holds key 34750f98bd59fcfc: header and key were \
             mixed up"
                .to_owned(),
        ),
        ("weak key", weak, "the public key 01d0fabd251fcbbe has small order, so that anybody could sign for it: make a new key".into()),
                ("huge", "x".repeat(9000), "the key file is larger than 8192 bytes: it is not a key file of this program".into()),
    ];
    for (name, text, message) in cases {
        assert_eq!(
            chain(&PublicKey::parse(&text).unwrap_err()),
            message,
            "{name}"
        );
    }
    // The rest of this message is the PEM reader's.
    let cut = PublicKey::parse(&public[..120]).unwrap_err();
    assert!(matches!(cut, KeyError::Pem(_)));
    assert!(matches!(
        PrivateKey::parse(&public),
        Err(KeyError::WrongKind { .. })
    ));
}

#[test]
fn bad_trust_stores() {
    let (dev, rel) = (
        key(1, Role::Development).public().clone(),
        key(3, Role::Release).public().clone(),
    );
    let same = key(1, Role::Release).public().clone();
    let many: Vec<PublicKey> = (0..65)
        .map(|seed| key(seed, Role::Release).public().clone())
        .collect();
    let cases = [
        (
            vec![],
            1,
            "the trust store has no keys, so nothing could ever be believed: give at least one public key",
        ),
        (
            vec![dev.clone()],
            0,
            "a threshold of 0 would believe unsigned releases: use 1 or more",
        ),
        (
            vec![dev.clone(), rel.clone()],
            2,
            "threshold 2 cannot be reached with 1 development keys: add keys or lower it",
        ),
        (
            vec![dev.clone(), same],
            1,
            "key 34750f98bd59fcfc is in the trust store twice: name each public key once, in one role",
        ),
        (
            many,
            1,
            "the trust store has 65 keys, at most 64 are accepted",
        ),
    ];
    for (keys, threshold, text) in cases {
        assert_eq!(
            TrustStore::new(keys, threshold).unwrap_err().to_string(),
            text
        );
    }
    let store = TrustStore::new([dev, rel], 1).unwrap();
    assert_eq!(
        (store.threshold(Role::Release), store.key_ids().count()),
        (Some(1), 2)
    );
}

//! One case per attack or accident: the exact error class and the exact text.

use std::collections::BTreeSet;
use std::io::{self, Read};

use roamcore_ota::{
    Channel, Document, ExpiryCheck, FailureClass, MAX_SIGNATURE_BYTES, PrivateKey, PublicKey, Role,
    SignatureFile, TrustStore, VerifyError, read_document, verify_release,
};

use crate::fixture::{
    DISK_NAME, NOW, artefact, chain, disk, edited, key, manifest, refused, release, sign, time,
    trust, verified,
};

/// A reader that never ends, to prove that checks do.
fn endless() -> impl Read {
    io::repeat(b'a')
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("bad sector"))
    }
}

/// A reader that is interrupted before every byte it gives.
struct Stutter<'a>(&'a [u8], bool);

impl Read for Stutter<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.1 = !self.1;
        if self.1 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let count = buffer.len().min(1000);
        self.0.read(&mut buffer[..count])
    }
}

type Case = (&'static str, FailureClass, VerifyError, &'static str);

fn signature_cases() -> Vec<Case> {
    use FailureClass::*;
    let (dev, dev2, rel) = (
        key(1, Role::Development),
        key(2, Role::Development),
        key(3, Role::Release),
    );
    let (dm, rm) = (manifest(Channel::Development), manifest(Channel::Release));
    let (ds, rs) = (sign(&dm, &[&dev]), sign(&rm, &[&rel]));
    let both = trust(&[&dev, &rel], 1);
    let two = trust(&[&dev, &dev2], 2);
    // The development key's id over the release manifest: the file cannot be made by `add`, so it is forged.
    let crossed = |from: &PrivateKey, to: &PrivateKey, signatures: &[u8]| {
        edited(
            signatures,
            &from.public().id().to_string(),
            &to.public().id().to_string(),
        )
    };
    let as_release = {
        let file = key(1, Role::Release);
        sign(&rm, &[&file])
    };
    let as_development = sign(&dm, &[&key(3, Role::Development)]);
    vec![
        (
            "manifest changed",
            BadSignature,
            refused(&edited(&dm, "vp2430", "vp2431"), &ds, &both),
            "the signature by key 34750f98bd59fcfc does not match release.json: it or its signature was changed, or \
             they belong to different releases; fetch both again",
        ),
        (
            "signature of another release",
            BadSignature,
            refused(&edited(&dm, "1.4.0", "1.4.1"), &ds, &both),
            "the signature by key 34750f98bd59fcfc does not match release.json: it or its signature was changed, or \
             they belong to different releases; fetch both again",
        ),
        (
            "another key's signature under a trusted id",
            BadSignature,
            refused(&dm, &crossed(&dev2, &dev, &sign(&dm, &[&dev2])), &both),
            "the signature by key 34750f98bd59fcfc does not match release.json: it or its signature was changed, or \
             they belong to different releases; fetch both again",
        ),
        (
            "signed by a stranger",
            UnknownKey,
            refused(&dm, &sign(&dm, &[&dev2]), &both),
            "release.json is signed by unknown keys only (6a3803d5f059902a); trusted are: 34750f98bd59fcfc, \
             b62e867fa2f33afe",
        ),
        (
            "release image, development key",
            WrongKeyRole,
            refused(&rm, &as_release, &both),
            "this is a release image, and none of its signers (34750f98bd59fcfc) is a trusted release key",
        ),
        (
            "development image, release key",
            WrongKeyRole,
            refused(&dm, &as_development, &both),
            "this is a development image, and none of its signers (b62e867fa2f33afe) is a trusted development key",
        ),
        (
            "one signature of two",
            BelowThreshold,
            refused(&dm, &ds, &two),
            "1 of 2 needed signatures by trusted development keys: have the others sign too",
        ),
        (
            "no signature file",
            MissingSignature,
            refused(&rm, b"", &both),
            "release.json is not signed: release.json.sig is missing or holds no signature",
        ),
        (
            "empty list of signatures",
            MissingSignature,
            refused(&rm, &SignatureFile::default().encode().unwrap(), &both),
            "release.json is not signed: release.json.sig is missing or holds no signature",
        ),
        (
            "signature file is not JSON",
            MalformedSignature,
            refused(&rm, b"\x89PNG", &both),
            "the signature file cannot be read: it is damaged, or not a signature file: expected value at line 1 \
             column 1",
        ),
        (
            "signature file with another member",
            MalformedSignature,
            refused(
                &rm,
                &edited(&rs, "{\n  \"format\"", "{\n  \"a\": 1,\n  \"format\""),
                &both,
            ),
            "the signature file cannot be read: it is damaged, or not a signature file: unknown field `a`, expected \
             `format` or `signatures` at line 2 column 5",
        ),
        (
            "signature file re-formatted",
            MalformedSignature,
            refused(&rm, &edited(&rs, "\": [", "\":["), &both),
            "the signature file is not in canonical form: byte 32 differs from the canonical form (sorted members, \
             each once, two spaces, one final newline): the file was edited or re-formatted, take the original",
        ),
        (
            "one key counted twice",
            MalformedSignature,
            refused(&dm, &doubled(&ds), &two),
            "the signature by key 34750f98bd59fcfc does not follow the one before it in key id order, each key once",
        ),
        (
            "endless signature file",
            MalformedSignature,
            refused(
                &rm,
                &read_document(endless(), MAX_SIGNATURE_BYTES).unwrap(),
                &both,
            ),
            "the signature file is larger than 65536 bytes: it is not a signature file of this program",
        ),
        (
            "signature file of another format",
            UnsupportedFormat,
            refused(&rm, &edited(&rs, ": 1", ": 2"), &both),
            "the signature file has format 2, this program reads format 1: update this program first",
        ),
        (
            "endless manifest",
            MalformedManifest,
            refused(
                &read_document(endless(), Document::Release.max_bytes()).unwrap(),
                &rs,
                &both,
            ),
            "the manifest is larger than 4194304 bytes: it is not a release.json of this program",
        ),
        (
            "expired this second",
            Expired,
            verify_release(&dm, &ds, &both, Some(time("2026-05-20T07:41:00Z"))).unwrap_err(),
            "the release expired at 2026-05-20T07:41:00Z, it is now 2026-05-20T07:41:00Z: take a newer release, or set \
             the clock if it is wrong",
        ),
    ]
}

fn doubled(signatures: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(signatures).unwrap();
    let (start, end) = (text.find("    {").unwrap(), text.find("\n  ]").unwrap());
    let entry = &text[start..end];
    edited(signatures, entry, &format!("{entry},\n{entry}"))
}

fn content_cases() -> Vec<Case> {
    use FailureClass::*;
    let verified = verified(Channel::Release);
    let whole = artefact(DISK_NAME).unwrap();
    let all = |edit: fn(&str) -> io::Result<&'static [u8]>| {
        verified
            .check_all_artefacts(|name| edit(name.as_str()))
            .unwrap_err()
    };
    let on_disk = |edit: &dyn Fn(&mut Vec<u8>)| {
        let mut disk = disk();
        edit(&mut disk);
        verified.check_partitions(disk.as_slice()).unwrap_err()
    };
    let sbom_missing = all(|name| {
        if name == "sbom.cdx.json" {
            artefact("")
        } else {
            artefact(name)
        }
    });
    vec![
        (
            "artefact missing",
            ArtefactMissing,
            sbom_missing,
            "artefact sbom.cdx.json is missing: fetch it again",
        ),
        (
            "artefact that is not listed",
            ArtefactNotListed,
            verified
                .check_artefact("../../etc/passwd", whole)
                .unwrap_err(),
            "artefact \"../../etc/passwd\" is not listed in release.json, so nothing is known about it: do not use it",
        ),
        (
            "artefact truncated",
            ArtefactTruncated,
            verified.check_artefact(DISK_NAME, &whole[1..]).unwrap_err(),
            "artefact disk.img.zst ends after 12 of 13 bytes: fetch it again",
        ),
        (
            "artefact empty",
            ArtefactTruncated,
            verified.check_artefact(DISK_NAME, io::empty()).unwrap_err(),
            "artefact disk.img.zst ends after 0 of 13 bytes: fetch it again",
        ),
        (
            "artefact with a tail",
            ArtefactTooLong,
            verified
                .check_artefact(DISK_NAME, whole.chain(&b"!"[..]))
                .unwrap_err(),
            "artefact disk.img.zst goes on after its 13 bytes: fetch it again",
        ),
        (
            "endless artefact",
            ArtefactTooLong,
            verified.check_artefact(DISK_NAME, endless()).unwrap_err(),
            "artefact disk.img.zst goes on after its 13 bytes: fetch it again",
        ),
        (
            "artefacts swapped",
            ArtefactMismatch,
            all(|name| {
                artefact(if name == DISK_NAME {
                    "sbom.cdx.json"
                } else {
                    DISK_NAME
                })
            }),
            "artefact disk.img.zst has SHA-256 b9bcae4bc32953d72a482f56639f31647596815f7c90af354d34164d0095fd9b, \
             signed is d668e6fb5e21cbda652c615a5c67e14ab058e96a4a284bfc45f93afb9db91670: fetch it again",
        ),
        (
            "artefact unreadable",
            ReadFailed,
            verified.check_artefact(DISK_NAME, Broken).unwrap_err(),
            "reading artefact disk.img.zst failed at byte 0: bad sector",
        ),
        (
            "artefact that may not be opened",
            ReadFailed,
            all(|_| Err(io::Error::other("permission denied"))),
            "reading artefact disk.img.zst failed at byte 0: permission denied",
        ),
        (
            "disk cut in root-b",
            DiskTruncated,
            on_disk(&|disk| disk.truncate(22_016)),
            "the disk image ends after 22016 of 43008 bytes, in region root-b: write or fetch it again",
        ),
        (
            "disk cut by one byte",
            DiskTruncated,
            on_disk(&|disk| disk.truncate(43_007)),
            "the disk image ends after 43007 of 43008 bytes, in region gpt-backup: write or fetch it again",
        ),
        (
            "disk with a tail",
            DiskTooLong,
            on_disk(&|disk| disk.push(0)),
            "the disk image goes on after its 43008 bytes: write or fetch it again",
        ),
        (
            "one byte of root-a changed",
            PartitionMismatch,
            on_disk(&|disk| disk[20_000] = 0),
            "region root-a (offset 19456) of the disk image has SHA-256 \
             77f2684252d72aad4eceb775c37e17665d6dbf267be5874bfa1f8b2ae51c1eac, signed is \
             71899db2707c5d7dc62d01bcf923431418374e9fb42a3fcb6d83e5cc017c2173",
        ),
        (
            "the first of several changes is named",
            PartitionMismatch,
            on_disk(&|disk| {
                disk[17_408] = 0;
                disk[43_007] = 0;
            }),
            "region esp (offset 17408) of the disk image has SHA-256 \
             422f40a0d4fea9dedfcc9b546798a93b6ac4ff5c07c64a902d568910ed444ff2, signed is \
             80c58fc1932767b113819b033e1874d8de05e8809534590db9d01510abc8ed6b",
        ),
        (
            "disk unreadable in the middle",
            ReadFailed,
            verified
                .check_partitions(disk()[..20_000].chain(Broken))
                .unwrap_err(),
            "reading the disk image failed at byte 20000: bad sector",
        ),
    ]
}

#[test]
fn every_attack_is_refused_by_its_own_name() {
    let mut wrong = Vec::new();
    for (name, class, error, text) in signature_cases().into_iter().chain(content_cases()) {
        let seen = (error.class(), error.exit_code(), chain(&error));
        if seen != (class, class.exit_code(), text.to_owned()) {
            wrong.push((name, seen));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_failure_class_can_be_reached() {
    let cases = signature_cases().into_iter().chain(content_cases());
    let mut reached: BTreeSet<FailureClass> = cases.map(|case| case.2.class()).collect();
    let (dev, dm) = (key(1, Role::Development), manifest(Channel::Development));
    reached.insert(PublicKey::parse("").unwrap_err().class());
    reached.insert(
        TrustStore::new([dev.public().clone()], 0)
            .unwrap_err()
            .class(),
    );
    reached.insert(
        SignatureFile::default()
            .add(&dm, &key(1, Role::Release))
            .unwrap_err()
            .class(),
    );
    // The classes after these are about updates; their own tests reach them.
    let of_releases = |class: &FailureClass| *class <= FailureClass::SigningRefused;
    let all = FailureClass::ALL.iter().copied().filter(of_releases);
    assert_eq!(reached, all.collect());
}

#[test]
fn a_good_release_passes_however_it_is_read() {
    for channel in [Channel::Development, Channel::Release] {
        let verified = verified(channel);
        assert_eq!(verified.release(), &release(channel));
        assert_eq!(verified.signers(), [key(1, channel.role()).public().id()]);
        assert_eq!(
            verified.expiry(),
            ExpiryCheck::ValidUntil(time("2026-05-20T07:41:00Z"))
        );
        verified
            .check_all_artefacts(|name| artefact(name.as_str()))
            .unwrap();
        verified.check_partitions(disk().as_slice()).unwrap();
        verified.check_partitions(Stutter(&disk(), false)).unwrap();
    }
}

#[test]
fn without_a_clock_expiry_is_left_open_and_says_so() {
    let (dev, dm) = (key(1, Role::Development), manifest(Channel::Development));
    let verified = verify_release(&dm, &sign(&dm, &[&dev]), &trust(&[&dev], 1), None).unwrap();
    assert_eq!(
        verified.expiry(),
        ExpiryCheck::ClockNotSet(time("2026-05-20T07:41:00Z"))
    );

    let mut release = release(Channel::Development);
    release.expires = None;
    let dm = release.encode().unwrap();
    let verified = verify_release(
        &dm,
        &sign(&dm, &[&dev]),
        &trust(&[&dev], 1),
        Some(time(NOW)),
    )
    .unwrap();
    assert_eq!(verified.expiry(), ExpiryCheck::NeverExpires);
}

#[test]
fn a_signature_by_an_unknown_key_does_not_spoil_one_by_a_known_key() {
    let (dev, dev2, dm) = (
        key(1, Role::Development),
        key(2, Role::Development),
        manifest(Channel::Development),
    );
    let verified =
        verify_release(&dm, &sign(&dm, &[&dev2, &dev]), &trust(&[&dev], 1), None).unwrap();
    assert_eq!(verified.signers(), [dev.public().id()]);
}

//! One flipped bit anywhere makes verification fail, naming the right thing.
//!
//! The signature file has no exemption for white space: its form is canonical, so a flip breaks the JSON, the form, a
//! key id (then the key is unknown) or a signature. Manifest and signature file are small enough to try every bit.

use proptest::prelude::*;
use roamcore_ota::{Channel, FailureClass, MAX_SIGNATURE_BYTES, Role, SignatureFile, VerifyError};

use crate::fixture::{
    artefact, disk, flipped, key, manifest, refused, release, sign, trust, verified,
};

#[test]
fn every_bit_of_the_manifest_is_signed() {
    let (key, manifest) = (key(1, Role::Release), manifest(Channel::Release));
    let (signatures, trust) = (sign(&manifest, &[&key]), trust(&[&key], 1));
    for bit in 0..manifest.len() * 8 {
        let error = refused(&flipped(&manifest, bit), &signatures, &trust);
        assert_eq!(
            error.class(),
            FailureClass::BadSignature,
            "bit {bit}: {error}"
        );
    }
}

#[test]
fn every_bit_of_the_signature_file_counts() {
    let (one, two) = (key(1, Role::Release), key(2, Role::Release));
    let manifest = manifest(Channel::Release);
    for (keys, threshold) in [(vec![&one], 1), (vec![&one, &two], 2)] {
        let (signatures, trust) = (sign(&manifest, &keys), trust(&keys, threshold));
        for bit in 0..signatures.len() * 8 {
            let error = refused(&manifest, &flipped(&signatures, bit), &trust);
            let named = matches!(
                error.class(),
                FailureClass::BadSignature
                    | FailureClass::UnknownKey
                    | FailureClass::BelowThreshold
                    | FailureClass::MalformedSignature
                    | FailureClass::UnsupportedFormat
            );
            assert!(named, "bit {bit}: {error}");
        }
    }
}

#[test]
fn a_manifest_whose_flip_was_signed_is_still_read_strictly() {
    // What a broken writer with a good key could make: whatever parses must be written back to the same bytes.
    let manifest = manifest(Channel::Release);
    for bit in 0..manifest.len() * 8 {
        let flipped = flipped(&manifest, bit);
        if let Ok(read) = roamcore_ota::Release::parse(&flipped) {
            assert_eq!(read.encode().unwrap(), flipped, "bit {bit}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_flip_in_an_artefact_names_it(which in 0usize..3, at in any::<prop::sample::Index>()) {
        let name = &release(Channel::Release).artefacts[which].name;
        let bytes = artefact(name.as_str()).unwrap();
        let flipped = flipped(bytes, at.index(bytes.len() * 8));
        match verified(Channel::Release).check_artefact(name.as_str(), flipped.as_slice()) {
            Err(VerifyError::ArtefactMismatch { name: named, .. }) => prop_assert_eq!(&named, name),
            other => prop_assert!(false, "{other:?}"),
        }
    }

    #[test]
    fn a_flip_in_the_disk_names_its_region(at in any::<prop::sample::Index>()) {
        let disk = disk();
        let bit = at.index(disk.len() * 8);
        let release = release(Channel::Release);
        let byte = (bit / 8) as u64;
        let expected = release.partitions.iter().find(|p| byte < p.offset + p.size).unwrap();
        match verified(Channel::Release).check_partitions(flipped(&disk, bit).as_slice()) {
            Err(VerifyError::PartitionMismatch { region, .. }) => prop_assert_eq!(&region, &expected.name),
            other => prop_assert!(false, "{other:?}"),
        }
    }

    #[test]
    fn a_cut_anywhere_names_the_region_it_falls_in(at in any::<prop::sample::Index>()) {
        let disk = disk();
        let cut = at.index(disk.len());
        let release = release(Channel::Release);
        let expected = release.partitions.iter().find(|p| (cut as u64) < p.offset + p.size).unwrap();
        match verified(Channel::Release).check_partitions(&disk[..cut]) {
            Err(VerifyError::DiskTruncated { region, found, .. }) => {
                prop_assert_eq!(&region, &expected.name);
                prop_assert_eq!(found, cut as u64);
            }
            other => prop_assert!(false, "{other:?}"),
        }
    }

    #[test]
    fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        prop_assert!(roamcore_ota::Release::parse(&bytes).is_err());
        prop_assert!(SignatureFile::parse(&bytes).is_err());
        prop_assert!(roamcore_ota::PublicKey::parse(&String::from_utf8_lossy(&bytes)).is_err());
    }
}

#[test]
fn deep_nesting_is_an_error_and_not_an_overflow() {
    let deep = "[".repeat(MAX_SIGNATURE_BYTES);
    assert!(SignatureFile::parse(deep.as_bytes()).is_err());
    let deep = format!("{{\"format\": 1, \"x\": {}", "[".repeat(1 << 20));
    assert!(roamcore_ota::Release::parse(deep.as_bytes()).is_err());
}

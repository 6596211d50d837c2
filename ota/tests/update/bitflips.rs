//! One flipped bit anywhere makes the judgement fail, and hostile bytes never panic.

use proptest::prelude::*;
use roamcore_ota::{FailureClass, RoleChain, TrustedRoles, Update, UpdateDocuments, judge};

use crate::fixture::*;

struct Documents {
    manifest: Vec<u8>,
    signatures: Vec<u8>,
    roles: Vec<u8>,
}

fn documents() -> Documents {
    let manifest = update().encode().unwrap();
    let rotated = rekeyed(terms(), roamcore_ota::Role::Root, &[11, 12, 14]);
    Documents {
        signatures: sign(&manifest, &RELEASE[..2], roamcore_ota::Role::Release),
        manifest,
        roles: then(chain(), rotated, &ROOT[..2]).encode().unwrap(),
    }
}

/// The class of the refusal; none may be accepted.
fn class(documents: &Documents, trusted: &TrustedRoles) -> FailureClass {
    let input = UpdateDocuments {
        manifest: &documents.manifest,
        signatures: &documents.signatures,
        roles: &documents.roles,
    };
    let verdict = judge(&input, trusted, &device(trusted)).verdict;
    verdict.unwrap_err().class()
}

#[test]
fn the_documents_are_good_as_they_are() {
    let (documents, trusted) = (documents(), trusted(&chain()));
    let input = UpdateDocuments {
        manifest: &documents.manifest,
        signatures: &documents.signatures,
        roles: &documents.roles,
    };
    installs(judge(&input, &trusted, &device(&trusted)).verdict);
}

#[test]
fn every_bit_of_the_signature_file_counts() {
    let (good, trusted) = (documents(), trusted(&chain()));
    for bit in 0..good.signatures.len() * 8 {
        let bad = Documents {
            signatures: flipped(&good.signatures, bit),
            ..documents_of(&good)
        };
        let class = class(&bad, &trusted);
        let named = matches!(
            class,
            FailureClass::BadSignature
                | FailureClass::BelowThreshold
                | FailureClass::MalformedSignature
                | FailureClass::UnsupportedFormat
        );
        assert!(named, "bit {bit}: {}", class.name());
    }
}

fn documents_of(good: &Documents) -> Documents {
    Documents {
        manifest: good.manifest.clone(),
        signatures: good.signatures.clone(),
        roles: good.roles.clone(),
    }
}

/// What a flipped bit of a role chain may be called.
fn of_roles(class: FailureClass) -> bool {
    matches!(
        class,
        FailureClass::MalformedRoles
            | FailureClass::UnsupportedFormat
            | FailureClass::BadSignature
            | FailureClass::RolesGap
            | FailureClass::RolesRolledBack
            | FailureClass::RolesConflict
            | FailureClass::RolesNotVouched
            | FailureClass::RolesBelowThreshold
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn every_bit_of_the_manifest_is_signed(at in any::<prop::sample::Index>()) {
        let (good, trusted) = (documents(), trusted(&chain()));
        let bit = at.index(good.manifest.len() * 8);
        let bad = Documents { manifest: flipped(&good.manifest, bit), ..good };
        prop_assert_eq!(class(&bad, &trusted), FailureClass::BadSignature);
    }

    #[test]
    fn every_bit_of_the_role_chain_counts(at in any::<prop::sample::Index>(), know_newest in any::<bool>()) {
        let good = documents();
        let trusted = trusted(&chain());
        // Also on a device that knows every document of the chain: a damaged one is not taken, and not passed on.
        let trusted = if know_newest { trusted.advance(&good.roles).unwrap() } else { trusted };
        let bit = at.index(good.roles.len() * 8);
        let bad = Documents { roles: flipped(&good.roles, bit), ..good };
        let class = class(&bad, &trusted);
        prop_assert!(of_roles(class), "bit {}: {}", bit, class.name());
    }

    #[test]
    fn a_cut_anywhere_is_refused(at in any::<prop::sample::Index>(), which in 0..3) {
        let (mut bad, trusted) = (documents(), trusted(&chain()));
        let cut = |bytes: &mut Vec<u8>| bytes.truncate(at.index(bytes.len()));
        match which {
            0 => cut(&mut bad.manifest),
            1 => cut(&mut bad.signatures),
            _ => cut(&mut bad.roles),
        }
        let class = class(&bad, &trusted);
        let expected = match which {
            0 => class == FailureClass::BadSignature,
            1 => matches!(class, FailureClass::MalformedSignature | FailureClass::MissingSignature),
            _ => class == FailureClass::MalformedRoles,
        };
        prop_assert!(expected, "{} {}", which, class.name());
    }

    #[test]
    fn a_flip_that_was_signed_is_still_read_strictly(at in any::<prop::sample::Index>()) {
        // What a broken writer with a good key could make: whatever parses must be written back to the same bytes.
        let good = documents();
        let flip = flipped(&good.manifest, at.index(good.manifest.len() * 8));
        if let Ok(read) = Update::parse(&flip) {
            prop_assert_eq!(read.encode().unwrap(), flip);
        }
        let flip = flipped(&good.roles, at.index(good.roles.len() * 8));
        if let Ok(read) = RoleChain::parse(&flip) {
            prop_assert_eq!(read.encode().unwrap(), flip);
        }
    }

    #[test]
    fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        prop_assert!(Update::parse(&bytes).is_err());
        prop_assert!(RoleChain::parse(&bytes).is_err());
    }
}

#[test]
fn deep_nesting_is_an_error_and_not_an_overflow() {
    let deep = format!("{{\"format\": 1, \"x\": {}", "[".repeat(1 << 19));
    assert!(Update::parse(deep.as_bytes()).is_err());
    assert!(RoleChain::parse(deep.as_bytes()).is_err());
}

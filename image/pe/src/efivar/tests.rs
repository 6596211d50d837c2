use proptest::prelude::*;

use super::*;
use crate::certs::tests::keys;

fn owner() -> Guid {
    "5a1c2f0e-8d4b-4c1e-9a77-0123456789ab".parse().unwrap()
}

#[test]
fn guids_round_trip_in_the_mixed_endian_order() {
    let guid = owner();
    assert_eq!(
        guid.0[..8],
        [0x0e, 0x2f, 0x1c, 0x5a, 0x4b, 0x8d, 0x1e, 0x4c]
    );
    assert_eq!(guid.to_string(), "5a1c2f0e-8d4b-4c1e-9a77-0123456789ab");
    for bad in [
        "",
        "5a1c2f0e8d4b4c1e9a770123456789ab",
        "5a1c2f0e-8d4b-4c1e-9a77-0123456789ag",
        "+a1c2f0e-8d4b-4c1e-9a77-0123456789ab",
    ] {
        assert!(bad.parse::<Guid>().is_err(), "{bad}");
    }
}

#[test]
fn times_are_utc_with_zeroed_unused_fields() {
    let time = EfiTime::from_unix(1_767_323_045).unwrap().to_bytes();
    assert_eq!(time, [0xea, 0x07, 1, 2, 3, 4, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert!(EfiTime::from_unix(u64::MAX).is_err());
}

#[test]
fn signature_lists_round_trip() {
    let certs: Vec<_> = keys().iter().map(|k| k.certificate().clone()).collect();
    let esl = signature_list(owner(), &certs).unwrap();
    let entries = parse_esl(&esl).unwrap();
    assert_eq!(
        entries
            .iter()
            .map(|e| e.certificate.clone())
            .collect::<Vec<_>>(),
        certs
    );
    assert!(entries.iter().all(|e| e.owner == owner()));
    let cut = parse_esl(&esl[..esl.len() - 1]).unwrap_err().to_string();
    assert!(cut.contains("signature list needs"), "{cut}");
}

#[test]
fn updates_are_deterministic_and_bound_to_variable_signer_and_content() {
    let [db, kek] = keys();
    let esl = signature_list(owner(), std::slice::from_ref(db.certificate())).unwrap();
    let time = EfiTime::from_unix(1_767_323_045).unwrap();
    let auth = sign_variable(SecureBootVariable::Db, &esl, time, kek).unwrap();
    assert_eq!(
        auth,
        sign_variable(SecureBootVariable::Db, &esl, time, kek).unwrap()
    );
    let trusted = [kek.certificate().clone()];
    assert_eq!(
        verify_auth(SecureBootVariable::Db, &auth, &trusted).unwrap(),
        esl
    );
    assert!(verify_auth(SecureBootVariable::Kek, &auth, &trusted).is_err());
    assert!(verify_auth(SecureBootVariable::Db, &auth, &[db.certificate().clone()]).is_err());
    let mut late = auth.clone();
    late[0] ^= 1;
    assert!(verify_auth(SecureBootVariable::Db, &late, &trusted).is_err());
    // EDK2 (AuthService.c) compares the SHA-256 OID value at byte 13 of the SignedData.
    let der = parse_auth(&auth).unwrap().signature;
    assert_eq!(
        der[13..22],
        [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01]
    );
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), cut in any::<prop::sample::Index>()) {
        let _ = parse_esl(&bytes);
        let _ = parse_auth(&bytes);
        let [db, kek] = keys();
        let esl = signature_list(owner(), std::slice::from_ref(db.certificate())).unwrap();
        let time = EfiTime::from_unix(0).unwrap();
        let mut auth = sign_variable(SecureBootVariable::Db, &esl, time, kek).unwrap();
        let at = cut.index(auth.len());
        prop_assert!(parse_esl(&esl[..at.min(esl.len() - 1)]).is_err() || at == 0);
        auth.truncate(at);
        prop_assert!(verify_auth(SecureBootVariable::Db, &auth, &[kek.certificate().clone()]).is_err());
    }
}

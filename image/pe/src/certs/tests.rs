use std::sync::OnceLock;

use super::*;

/// 2026-01-01 to 2056-01-01: one UTCTime and one GeneralizedTime.
pub(crate) const VALIDITY: Validity = Validity {
    not_before: 1_767_225_600,
    not_after: 2_713_910_400,
};

/// Generating keys is the slow part, so tests share two.
pub(crate) fn keys() -> &'static [SigningKey; 2] {
    static KEYS: OnceLock<[SigningKey; 2]> = OnceLock::new();
    KEYS.get_or_init(|| {
        ["Test db", "Test KEK"].map(|name| SigningKey::generate(name, VALIDITY).unwrap())
    })
}

#[test]
fn pem_files_round_trip_and_are_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let (key, cert) = (dir.path().join("db.key"), dir.path().join("db.crt"));
    let [made, _] = keys();
    made.write_new(&key, &cert).unwrap();
    let read = SigningKey::read(&key, &cert).unwrap();
    assert_eq!(read.certificate(), made.certificate());
    assert_eq!(*read.key_pem().unwrap(), *made.key_pem().unwrap());
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&key).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let again = made.write_new(&key, &cert).unwrap_err().to_string();
    assert!(
        again.starts_with("cannot create ") && again.ends_with("db.key"),
        "{again}"
    );
}

#[test]
fn the_certificate_is_a_function_of_key_name_and_validity() {
    let [key, _] = keys();
    let make = |name, validity| generate::self_signed(key.private(), name, validity).unwrap();
    assert_eq!(&make("Test db", VALIDITY), key.certificate());
    assert_eq!(key.certificate().subject(), "CN=Test db");
    let later = Validity {
        not_after: VALIDITY.not_after + 1,
        ..VALIDITY
    };
    for other in [make("Test dc", VALIDITY), make("Test db", later)] {
        let serial = |c: &Certificate| c.parsed().tbs_certificate.serial_number.clone();
        assert_ne!(serial(&other), serial(key.certificate()));
    }
    let der = Certificate::from_der(key.certificate().as_der()).unwrap();
    assert_eq!(der, Certificate::from_pem(&der.to_pem().unwrap()).unwrap());
}

#[test]
fn bad_names_validity_and_pairs_are_refused() {
    let [a, b] = keys();
    let fail = |name, validity| {
        generate::self_signed(a.private(), name, validity)
            .unwrap_err()
            .to_string()
    };
    assert!(fail("a,O=b", VALIDITY).contains("\"a,O=b\" must be 1 to 64"));
    assert!(fail("", VALIDITY).contains("must be 1 to 64"));
    assert!(
        fail(
            "a",
            Validity {
                not_before: 9,
                not_after: 8
            }
        )
        .contains("ends at 8 before it begins at 9")
    );
    let mixed = SigningKey::from_pem(&a.key_pem().unwrap(), &b.certificate().to_pem().unwrap())
        .unwrap_err();
    assert_eq!(
        mixed.to_string(),
        "certificate \"CN=Test KEK\" is for another key; pair it with the key it was made from"
    );
}

#[test]
fn debug_output_never_shows_the_private_key() {
    let [key, _] = keys();
    let shown = format!("{key:?} {key:#?}");
    assert!(shown.contains("CN=Test db") && shown.len() < 600, "{shown}");
}

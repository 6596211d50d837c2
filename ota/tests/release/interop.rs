//! Agreement with another implementation: key and signature in `tests/data` were made by OpenSSL 3.0 with
//!
//! ```text
//! openssl genpkey -algorithm ed25519 -out openssl-ed25519.pem
//! openssl pkey -in openssl-ed25519.pem -pubout -out openssl-ed25519.pub.pem
//! (printf 'roamcore-release-v1\0'; cat release.json) > message     # release.json of docs/release.md
//! openssl pkeyutl -sign -inkey openssl-ed25519.pem -rawin -in message | base64 -w0 > openssl-ed25519.sig
//! ```

use roamcore_ota::{Channel, PrivateKey, Role};

use crate::fixture::{manifest, sign};

const PRIVATE: &str = include_str!("../data/openssl-ed25519.pem");
const PUBLIC: &str = include_str!("../data/openssl-ed25519.pub.pem");
const SIGNATURE: &str = include_str!("../data/openssl-ed25519.sig");

#[test]
fn openssl_keys_are_adopted_and_written_as_openssl_writes_them() {
    let key = PrivateKey::from_pkcs8_pem(PRIVATE, Role::Development).unwrap();
    assert!(key.to_pem().unwrap().ends_with(PRIVATE));
    assert!(key.public().to_pem().unwrap().ends_with(PUBLIC));
}

#[test]
fn openssl_makes_the_same_signature() {
    let key = PrivateKey::from_pkcs8_pem(PRIVATE, Role::Development).unwrap();
    let file = String::from_utf8(sign(&manifest(Channel::Development), &[&key])).unwrap();
    assert!(
        file.contains(&format!("\"signature\": \"{SIGNATURE}\"")),
        "{file}"
    );
}

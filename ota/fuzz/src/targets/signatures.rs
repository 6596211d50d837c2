//! Signature files, and a manifest of the example that they claim to sign.

use std::sync::OnceLock;

use roamcore_ota::{PublicKey, SignatureFile, TrustStore, verify_release};

use super::block;
use crate::Target;

const BOOK: &str = include_str!("../../../../docs/release.md");

pub(super) const TARGET: Target = Target {
    name: "signatures",
    from: "release.json.sig and update.json.sig, from a server or a stick",
    longest: 2048,
    run: |bytes| {
        let accepted = match SignatureFile::parse(bytes) {
            Ok(file) => {
                assert_eq!(file.encode().unwrap(), bytes);
                true
            }
            Err(_) => false,
        };
        let example = example();
        // One key, one deterministic signature: who gets another file accepted has forged one, or added to it.
        if verify_release(&example.manifest, bytes, &example.trust, None).is_ok() {
            assert!(String::from_utf8_lossy(bytes).contains(&example.line));
        }
        accepted
    },
    seeds: || {
        vec![
            block(BOOK, "release.json.sig"),
            include_bytes!("../../../tests/attacks/good/update.json.sig").to_vec(),
        ]
    },
};

struct Example {
    manifest: Vec<u8>,
    trust: TrustStore,
    /// The line of the signature.
    line: String,
}

fn example() -> &'static Example {
    static EXAMPLE: OnceLock<Example> = OnceLock::new();
    EXAMPLE.get_or_init(|| {
        let key = String::from_utf8(block(BOOK, "example.pub")).unwrap();
        let good = String::from_utf8(block(BOOK, "release.json.sig")).unwrap();
        let line = good.lines().find(|line| line.contains("\"signature\""));
        Example {
            manifest: block(BOOK, "release.json"),
            trust: TrustStore::new([PublicKey::parse(&key).unwrap()], 1).unwrap(),
            line: line.unwrap().trim().to_owned(),
        }
    })
}

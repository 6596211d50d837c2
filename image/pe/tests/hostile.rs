//! Proves that no parser panics on random, cut or mangled bytes, and that what parses stays inside its file.
// clippy.toml lets #[test] functions unwrap, but not the helpers beside them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;
use roamcore_pe::authenticode::{Pkcs7Der, digest, signatures, strip, verify};
use roamcore_pe::certs::Certificate;
use roamcore_pe::pe::Pe;
use roamcore_pe::tiny::Tiny;
use roamcore_pe::uki::{UkiParts, assemble, read};

fn try_everything(bytes: &[u8]) {
    if let Ok(pe) = Pe::parse(bytes) {
        for section in pe.sections() {
            pe.raw(section).unwrap();
        }
        let _ = roamcore_pe::pe::checksum(&pe);
    }
    let parts = UkiParts {
        osrel: b"a",
        cmdline: b"b",
        uname: b"c",
        ucode: None,
        initrd: b"d",
        linux: bytes,
    };
    let _ = (
        digest(bytes),
        signatures(bytes),
        strip(bytes),
        verify(bytes, &[]),
        read(bytes),
    );
    let _ = assemble(
        bytes,
        &UkiParts {
            linux: &Tiny::default().build(),
            ..parts
        },
    );
    let _ = assemble(&Tiny::default().build(), &parts);
    let _ = (Pkcs7Der::from_der(bytes), Certificate::from_der(bytes));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..2048)) {
        try_everything(&bytes);
    }

    #[test]
    fn a_cut_image(at in any::<prop::sample::Index>()) {
        let image = Tiny::default().build();
        try_everything(&image[..at.index(image.len())]);
    }

    /// Four bytes of the headers at a time: offsets and sizes near the extremes.
    #[test]
    fn mangled_headers(changes in prop::collection::vec(
        (0usize..0x1c0, prop_oneof![any::<u32>(), 0u32..0x2000, Just(u32::MAX), Just(u32::MAX - 7)]), 1..6))
    {
        let mut image = Tiny::default().build();
        for (at, value) in changes {
            image[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        try_everything(&image);
    }
}

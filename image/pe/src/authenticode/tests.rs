use proptest::prelude::*;

use super::*;
use crate::certs::tests::keys;
use crate::pe::Pe;
use crate::pkcs7::Pkcs7Error;
use crate::tiny::Tiny;

fn signed(image: &[u8]) -> Vec<u8> {
    attach(
        image,
        &[sign_digest(digest(image).unwrap(), &keys()[0]).unwrap()],
    )
    .unwrap()
}

#[test]
fn signing_twice_gives_the_same_bytes_and_strip_undoes_attach() {
    let image = strip(&Tiny::default().build()).unwrap();
    let once = signed(&image);
    assert_eq!(once, signed(&image));
    assert_eq!(strip(&once).unwrap(), image);
    assert_eq!(
        attach(&strip(&once).unwrap(), &signatures(&once).unwrap()).unwrap(),
        once
    );
    assert_eq!(digest(&once).unwrap(), digest(&image).unwrap());
}

#[test]
fn odd_length_images_are_hashed_with_their_padding() {
    let image = [&Tiny::default().build()[..], &[7; 5]].concat();
    let out = signed(&image);
    let trusted = [keys()[0].certificate().clone()];
    assert_eq!(
        Pe::parse(&out).unwrap().certificate_table().unwrap().start % 8,
        0
    );
    verify(&out, &trusted).unwrap();
}

#[test]
fn each_refusal_has_its_own_error() {
    let [key, other] = keys();
    let image = Tiny::default().build();
    let ours = [key.certificate().clone()];
    let good = signed(&image);
    assert_eq!(verify(&good, &ours).unwrap(), key.certificate());

    let unsigned = verify(&image, &ours).unwrap_err();
    assert!(
        matches!(unsigned, SignatureError::NotSigned { .. }),
        "{unsigned}"
    );

    let mut altered = good.clone();
    altered[0x700] ^= 1;
    let altered = verify(&altered, &ours).unwrap_err();
    assert!(
        matches!(altered, SignatureError::DigestMismatch { .. }),
        "{altered}"
    );

    let unknown = verify(&good, &[other.certificate().clone()]).unwrap_err();
    assert!(
        matches!(
            unknown,
            SignatureError::Signer(Pkcs7Error::UnknownCertificate { .. })
        ),
        "{unknown}"
    );
    assert!(
        unknown.to_string().contains("issuer \"CN=Test db\""),
        "{unknown}"
    );

    // The last byte of the DER is the last byte of the RSA signature.
    let signature = &signatures(&good).unwrap()[0];
    let mut der = signature.as_bytes().to_vec();
    *der.last_mut().unwrap() ^= 1;
    let forged = attach(&image, &[Pkcs7Der::from_der(&der).unwrap()]).unwrap();
    let forged = verify(&forged, &ours).unwrap_err();
    assert!(
        matches!(
            forged,
            SignatureError::Signer(Pkcs7Error::BadSignature { .. })
        ),
        "{forged}"
    );

    let twice = attach(&good, std::slice::from_ref(signature)).unwrap_err();
    assert!(twice.to_string().contains("strip it first"), "{twice}");
}

#[test]
fn one_good_signature_among_foreign_ones_is_enough() {
    let [key, other] = keys();
    let image = Tiny::default().build();
    let digest = digest(&image).unwrap();
    let both = [
        sign_digest(digest, other).unwrap(),
        sign_digest(digest, key).unwrap(),
    ];
    let image = attach(&image, &both).unwrap();
    assert_eq!(signatures(&image).unwrap(), both);
    assert_eq!(
        verify(&image, &[key.certificate().clone()]).unwrap(),
        key.certificate()
    );
}

/// A signature moved from another image must not count, even though its own RSA signature is good.
#[test]
fn a_signature_of_another_image_is_a_digest_mismatch() {
    let [key, _] = keys();
    let image = Tiny::default().build();
    let moved = attach(&image, &[sign_digest([9; 32], key).unwrap()]).unwrap();
    let error = verify(&moved, &[key.certificate().clone()]).unwrap_err();
    assert!(
        matches!(error, SignatureError::DigestMismatch { .. }),
        "{error}"
    );
}

#[test]
fn images_that_hash_differently_elsewhere_are_refused() {
    let mut image = Tiny::default().build();
    let at = Pe::parse(&image).unwrap().section_table_end() - 20;
    image[at..at + 4].copy_from_slice(&0x600u32.to_le_bytes());
    let error = digest(&image).unwrap_err().to_string();
    assert!(error.contains("gaps and overlaps"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_flipped_byte_breaks_the_signature(at in any::<prop::sample::Index>(), flip in 1u8..) {
        let good = signed(&Tiny::default().build());
        let pe = Pe::parse(&good).unwrap();
        let at = at.index(pe.certificate_table().unwrap().start);
        let free = (pe.checksum_field()..pe.checksum_field() + 4).contains(&at);
        let mut bad = good.clone();
        bad[at] ^= flip;
        prop_assert_eq!(verify(&bad, &[keys()[0].certificate().clone()]).is_ok(), free, "byte {}", at);
    }

    /// Inside the table some bytes are free by design (the embedded certificate is ignored): it must just not panic,
    /// and never yield anything but the true signer.
    #[test]
    fn a_mangled_certificate_table_never_panics(at in any::<prop::sample::Index>(), flip in 1u8..) {
        let mut bad = signed(&Tiny::default().build());
        let table = Pe::parse(&bad).unwrap().certificate_table().unwrap();
        bad[table.start + at.index(table.len())] ^= flip;
        if let Ok(cert) = verify(&bad, &[keys()[0].certificate().clone()]) {
            prop_assert_eq!(cert, keys()[0].certificate());
        }
    }
}

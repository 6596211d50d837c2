//! Proves our Authenticode against sbsigntool and osslsigncode, in both directions, on real EFI binaries.
// clippy.toml lets #[test] functions unwrap, but not the helpers beside them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::path::Path;

use common::{Keys, binaries, parts, tool};
use roamcore_pe::Pkcs7Error;
use roamcore_pe::authenticode::{
    SignatureError, attach, digest, sign_digest, signatures, strip, verify,
};
use roamcore_pe::pe::Pe;
use roamcore_pe::uki;

/// systemd-boot and a UKI, from every set of binaries.
fn images() -> Vec<(String, Vec<u8>)> {
    let mut out = Vec::new();
    for set in binaries() {
        let from = set.from.display();
        out.push((format!("{from} systemd-boot"), set.boot.clone()));
        let uki = uki::assemble(&set.stub, &parts(&set.boot, &[0x5a; 70_001])).unwrap();
        out.push((format!("{from} UKI"), uki));
    }
    out
}

#[test]
fn sbverify_accepts_ours_and_refuses_altered_bytes_and_foreign_certificates() {
    let keys = Keys::new();
    for (name, image) in images() {
        let signed = attach(
            &image,
            &[sign_digest(digest(&image).unwrap(), &keys.ours).unwrap()],
        )
        .unwrap();
        assert_eq!(
            verify(&signed, &[keys.ours.certificate().clone()]).unwrap(),
            keys.ours.certificate()
        );
        let file = keys.write("signed.efi", &signed);
        let sbverify =
            |cert: &str| tool("sbverify", &[Path::new("--cert"), &keys.path(cert), &file]);
        let Some(verdict) = sbverify("ours.crt") else {
            return;
        };
        let text = verdict.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(text.contains("Signature verification OK"), "{name}: {text}");
        // It warns of data after the last section; only systemd 252's own symbol table is that.
        let tail = signed.len() - signatures_size(&signed) > sections_end(&signed);
        assert_eq!(text.contains("warning"), tail, "{name}: {text}");
        sbverify("other.crt").unwrap().expect_err(&name);

        let middle = Pe::parse(&signed)
            .unwrap()
            .sections()
            .last()
            .unwrap()
            .raw()
            .start
            + 5;
        for at in [0x4a, 0x90, middle] {
            let mut altered = signed.clone();
            altered[at] ^= 0x10;
            keys.write("signed.efi", &altered);
            sbverify("ours.crt").unwrap().expect_err(&name);
            verify(&altered, &[keys.ours.certificate().clone()]).unwrap_err();
        }
    }
}

#[test]
fn osslsigncode_accepts_ours() {
    let keys = Keys::new();
    for (name, image) in images() {
        let signed = attach(
            &image,
            &[sign_digest(digest(&image).unwrap(), &keys.ours).unwrap()],
        )
        .unwrap();
        let file = keys.write("signed.efi", &signed);
        let cert = keys.path("ours.crt");
        let args = ["verify", "-ignore-timestamp", "-CAfile"].map(Path::new);
        let args = [&args[..], &[&cert, Path::new("-in"), &file]].concat();
        let Some(verdict) = tool("osslsigncode", &args) else {
            return;
        };
        let text = verdict.unwrap_or_else(|e| panic!("{name}: {e}"));
        let hex: String = digest(&image)
            .unwrap()
            .iter()
            .map(|b| format!("{b:02X}"))
            .collect();
        assert_eq!(
            text.matches(&hex).count(),
            2,
            "current and calculated digest of {name}: {text}"
        );
    }
}

#[test]
fn sbsign_signatures_are_accepted_and_speak_of_the_same_digest() {
    let keys = Keys::new();
    let trusted = [keys.ours.certificate().clone()];
    for (name, image) in images() {
        let (file, out) = (keys.write("image.efi", &image), keys.path("sbsigned.efi"));
        let (key, cert) = (keys.path("ours.key"), keys.path("ours.crt"));
        let args = [
            Path::new("--key"),
            &key,
            Path::new("--cert"),
            &cert,
            Path::new("--output"),
            &out,
            &file,
        ];
        let Some(done) = tool("sbsign", &args) else {
            return;
        };
        done.unwrap();
        let theirs = std::fs::read(&out).unwrap();
        assert_eq!(digest(&theirs).unwrap(), digest(&image).unwrap(), "{name}");
        verify(&theirs, &trusted).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        let foreign = verify(&theirs, &[keys.other.certificate().clone()]).unwrap_err();
        assert!(
            matches!(
                foreign,
                SignatureError::Signer(Pkcs7Error::UnknownCertificate { .. })
            ),
            "{foreign}"
        );

        // Same file apart from the table and the checksum; attaching their signature ourselves is exact.
        let again = attach(&strip(&theirs).unwrap(), &signatures(&theirs).unwrap()).unwrap();
        assert!(
            again == theirs,
            "{name}: first difference at {:?}",
            first_difference(&again, &theirs)
        );
        let ours = attach(
            &strip(&theirs).unwrap(),
            &[sign_digest(digest(&theirs).unwrap(), &keys.ours).unwrap()],
        );
        verify(&ours.unwrap(), &trusted).unwrap();
    }
}

#[test]
fn real_images_sign_to_the_same_bytes_twice() {
    let keys = Keys::new();
    for (name, image) in images() {
        let sign = || {
            attach(
                &image,
                &[sign_digest(digest(&image).unwrap(), &keys.ours).unwrap()],
            )
            .unwrap()
        };
        let signed = sign();
        assert!(signed == sign(), "{name}");
        let again = attach(&strip(&signed).unwrap(), &signatures(&signed).unwrap()).unwrap();
        assert!(again == signed, "{name}");
    }
}

fn first_difference(a: &[u8], b: &[u8]) -> Option<usize> {
    a.iter().zip(b).position(|(a, b)| a != b)
}

fn signatures_size(image: &[u8]) -> usize {
    Pe::parse(image)
        .unwrap()
        .certificate_table()
        .map_or(0, |t| t.len())
}

fn sections_end(image: &[u8]) -> usize {
    Pe::parse(image)
        .unwrap()
        .sections()
        .iter()
        .map(|s| s.raw().end)
        .max()
        .unwrap()
}

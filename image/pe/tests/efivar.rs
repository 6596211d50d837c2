//! Proves .esl and .auth files against efitools and OpenSSL.
// clippy.toml lets #[test] functions unwrap, but not the helpers beside them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::path::Path;
use std::process::Command;

use common::{Keys, tool};
use roamcore_pe::efivar::{
    AuthFile, EfiTime, Guid, SecureBootVariable, parse_auth, parse_esl, sign_variable,
    signature_list, verify_auth,
};

const OWNER: &str = "5a1c2f0e-8d4b-4c1e-9a77-0123456789ab";

fn esl(keys: &Keys) -> Vec<u8> {
    let owner: Guid = OWNER.parse().unwrap();
    signature_list(owner, std::slice::from_ref(keys.ours.certificate())).unwrap()
}

#[test]
fn cert_to_efi_sig_list_makes_the_same_list() {
    let keys = Keys::new();
    let out = keys.path("theirs.esl");
    let args = [
        Path::new("-g"),
        Path::new(OWNER),
        &keys.path("ours.crt"),
        &out,
    ];
    let Some(done) = tool("cert-to-efi-sig-list", &args) else {
        return;
    };
    done.unwrap();
    assert_eq!(std::fs::read(out).unwrap(), esl(&keys));
}

#[test]
fn sig_list_to_certs_reads_our_list() {
    let keys = Keys::new();
    let both = [
        keys.ours.certificate().clone(),
        keys.other.certificate().clone(),
    ];
    let list = signature_list(OWNER.parse().unwrap(), &both).unwrap();
    let (file, base) = (keys.write("ours.esl", &list), keys.path("out"));
    let Some(done) = tool("sig-list-to-certs", &[&file, &base]) else {
        return;
    };
    let text = done.unwrap();
    for (i, cert) in both.iter().enumerate() {
        let der = std::fs::read(keys.path(&format!("out-{i}.der")))
            .unwrap_or_else(|e| panic!("{e}: {text}"));
        assert_eq!(der, cert.as_der());
    }
}

/// sign-efi-sig-list writes the same structure; its signature is over the same bytes, so ours is equal to it.
#[test]
fn sign_efi_sig_list_makes_the_same_update() {
    let keys = Keys::new();
    let list = esl(&keys);
    let (file, out) = (keys.write("ours.esl", &list), keys.path("theirs.auth"));
    for variable in [
        SecureBootVariable::Pk,
        SecureBootVariable::Kek,
        SecureBootVariable::Db,
    ] {
        let (key, cert) = (keys.path("ours.key"), keys.path("ours.crt"));
        let args = ["-t", "2026-01-02 03:04:05", "-k"].map(Path::new);
        let args = [
            &args[..],
            &[
                &key,
                "-c".as_ref(),
                &cert,
                variable.name().as_ref(),
                &file,
                &out,
            ],
        ]
        .concat();
        let Some(done) = tool("sign-efi-sig-list", &args) else {
            return;
        };
        done.unwrap();
        let theirs = std::fs::read(&out).unwrap();
        let trusted = [keys.ours.certificate().clone()];
        assert_eq!(verify_auth(variable, &theirs, &trusted).unwrap(), list);

        // RSA PKCS#1 v1.5 is deterministic, so with their timestamp (they take -t in local time) the files are equal.
        let time = EfiTime::from_unix(1_767_323_045).unwrap();
        let stamp = parse_auth(&theirs).unwrap().time;
        if stamp != time.to_bytes() {
            common::skip(&format!(
                "byte comparison: TZ is not UTC, sign-efi-sig-list wrote {stamp:?}"
            ));
            continue;
        }
        assert!(
            sign_variable(variable, &list, time, &keys.ours).unwrap() == theirs,
            "{}",
            variable.name()
        );
    }
}

#[test]
fn openssl_verifies_our_detached_signature() {
    let keys = Keys::new();
    let list = esl(&keys);
    let auth = sign_variable(
        SecureBootVariable::Db,
        &list,
        EfiTime::from_unix(1_767_323_045).unwrap(),
        &keys.ours,
    );
    let auth = auth.unwrap();
    let AuthFile {
        time,
        signature: der,
        content,
    } = parse_auth(&auth).unwrap();
    assert_eq!(parse_esl(content).unwrap().len(), 1);

    // OpenSSL wants a ContentInfo around the bare SignedData: SEQUENCE { signedData, [0] EXPLICIT SignedData }.
    let length = |n: usize| [0x82, (n >> 8) as u8, n as u8];
    let oid = [
        0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02,
    ];
    let inner = [&[0xa0][..], &length(der.len()), der].concat();
    let wrapped = [&[0x30][..], &length(oid.len() + inner.len()), &oid, &inner].concat();
    let mut message: Vec<u8> = "db".encode_utf16().flat_map(u16::to_le_bytes).collect();
    message.extend(SecureBootVariable::Db.vendor().0);
    message.extend(0x27u32.to_le_bytes());
    message.extend(time);
    message.extend(content);

    let (sig, data) = (
        keys.write("sig.der", &wrapped),
        keys.write("message", &message),
    );
    let verify = |cert: &str| {
        Command::new("openssl")
            .args([
                "smime",
                "-verify",
                "-binary",
                "-inform",
                "DER",
                "-noverify",
                "-nointern",
                "-in",
            ])
            .arg(&sig)
            .arg("-content")
            .arg(&data)
            .arg("-certfile")
            .arg(keys.path(cert))
            .args(["-out", "/dev/null"])
            .status()
    };
    match verify("ours.crt") {
        Err(e) => common::skip(&format!("openssl: {e}")),
        Ok(status) => {
            assert!(status.success());
            assert!(!verify("other.crt").unwrap().success());
        }
    }
}

//! Making a self-signed certificate for a key. Owns the profile; a function of its arguments.

use std::str::FromStr;
use std::time::Duration;

use der::asn1::{BitString, GeneralizedTime, OctetString, UtcTime};
use der::{DateTime, Decode, Encode};
use rsa::pkcs1v15;
use rsa::rand_core::OsRng;
use rsa::signature::{RandomizedSigner, SignatureEncoding};
use rsa::{RsaPrivateKey, RsaPublicKey};
use sha2::{Digest, Sha256};
use spki::{EncodePublicKey, SubjectPublicKeyInfoOwned};
use x509_cert::ext::pkix::{BasicConstraints, SubjectKeyIdentifier};
use x509_cert::ext::{AsExtension, Extension};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::Time;
use x509_cert::{TbsCertificate, Version};

use super::{CertError, Certificate};
use crate::pkcs7::with_null;

const SHA256_WITH_RSA: der::asn1::ObjectIdentifier =
    der::asn1::ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
/// RFC 5280 section 4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050 on.
const YEAR_2050: u64 = 2_524_608_000;

/// Certificate validity in seconds since 1970. Firmware ignores it; tools do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// First valid second.
    pub not_before: u64,
    /// Last valid second.
    pub not_after: u64,
}

fn time(seconds: u64) -> Result<Time, CertError> {
    let date = DateTime::from_unix_duration(Duration::from_secs(seconds))?;
    Ok(if seconds < YEAR_2050 {
        Time::UtcTime(UtcTime::from_date_time(date)?)
    } else {
        Time::GeneralTime(GeneralizedTime::from_date_time(date))
    })
}

/// Self-signed, `CA:TRUE` and no key usage: what `openssl req -x509` makes and every firmware has seen.
pub(super) fn self_signed(
    key: &RsaPrivateKey,
    name: &str,
    validity: Validity,
) -> Result<Certificate, CertError> {
    let Validity {
        not_before,
        not_after,
    } = validity;
    if not_after < not_before {
        return Err(CertError::Validity {
            not_before,
            not_after,
        });
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || " ._-".contains(c);
    if name.is_empty() || name.len() > 64 || name.trim() != name || !name.chars().all(plain) {
        return Err(CertError::Name {
            name: name.to_owned(),
        });
    }
    let subject = Name::from_str(&format!("CN={name}"))?;
    let public = RsaPublicKey::from(key).to_public_key_der();
    let public = public.map_err(|source| CertError::PublicKey {
        subject: name.to_owned(),
        source,
    })?;
    let spki = SubjectPublicKeyInfoOwned::from_der(public.as_bytes())?;

    // A serial must differ whenever the certificate does; a hash of everything that varies does that without a RNG.
    let mut hash = Sha256::new();
    hash.update(public.as_bytes());
    hash.update(name);
    hash.update(not_before.to_le_bytes());
    hash.update(not_after.to_le_bytes());
    let mut serial: Vec<u8> = hash.finalize().iter().take(16).copied().collect();
    if let Some(first) = serial.first_mut() {
        *first = *first & 0x3f | 0x40; // positive and never zero: RFC 5280 section 4.1.2.2
    }

    // RFC 7093 section 2 method 1: leftmost 160 bits of SHA-256 of the key.
    let key_id = Sha256::digest(spki.subject_public_key.raw_bytes())
        .iter()
        .take(20)
        .copied()
        .collect::<Vec<_>>();
    let key_id = SubjectKeyIdentifier(OctetString::new(key_id)?);
    let constraints = BasicConstraints {
        ca: true,
        path_len_constraint: None,
    };
    let mut extensions: Vec<Extension> = vec![key_id.to_extension(&subject, &[])?];
    extensions.push(constraints.to_extension(&subject, &extensions)?);

    let tbs_certificate = TbsCertificate {
        version: Version::V3,
        serial_number: SerialNumber::new(&serial)?,
        signature: with_null(SHA256_WITH_RSA),
        issuer: subject.clone(),
        validity: x509_cert::time::Validity {
            not_before: time(not_before)?,
            not_after: time(not_after)?,
        },
        subject,
        subject_public_key_info: spki,
        issuer_unique_id: None,
        subject_unique_id: None,
        extensions: Some(extensions),
    };
    let signer = pkcs1v15::SigningKey::<Sha256>::new(key.clone());
    let signature = signer.try_sign_with_rng(&mut OsRng, &tbs_certificate.to_der()?)?;
    let certificate = x509_cert::Certificate {
        tbs_certificate,
        signature_algorithm: with_null(SHA256_WITH_RSA),
        signature: BitString::from_bytes(&signature.to_vec())?,
    };
    Certificate::from_der(&certificate.to_der()?)
}

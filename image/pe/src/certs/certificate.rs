//! An X.509 certificate with an RSA key, kept together with the exact DER it came from.

use std::fmt;

use der::pem::LineEnding;
use der::{Decode, DecodePem, Encode, EncodePem};
use rsa::RsaPublicKey;
use rsa::traits::PublicKeyParts;
use sha2::{Digest, Sha256};
use spki::EncodePublicKey;

use super::CertError;

/// A parsed certificate; equal when the DER is equal.
#[derive(Clone)]
pub struct Certificate {
    der: Vec<u8>,
    parsed: x509_cert::Certificate,
    key: RsaPublicKey,
}

impl Certificate {
    /// Parses DER.
    pub fn from_der(der: &[u8]) -> Result<Self, CertError> {
        Self::checked(x509_cert::Certificate::from_der(der)?, der.to_vec())
    }

    /// Parses one PEM certificate.
    pub fn from_pem(pem: &str) -> Result<Self, CertError> {
        let parsed = x509_cert::Certificate::from_pem(pem)?;
        let der = parsed.to_der()?;
        Self::checked(parsed, der)
    }

    fn checked(parsed: x509_cert::Certificate, der: Vec<u8>) -> Result<Self, CertError> {
        let subject = || parsed.tbs_certificate.subject.to_string();
        let spki = parsed.tbs_certificate.subject_public_key_info.to_der()?;
        let key = rsa::pkcs8::DecodePublicKey::from_public_key_der(&spki).map_err(|source| {
            CertError::PublicKey {
                subject: subject(),
                source,
            }
        })?;
        let bits = RsaPublicKey::size(&key) * 8;
        if !(2048..=4096).contains(&bits) {
            return Err(CertError::KeySize { bits });
        }
        Ok(Self { der, parsed, key })
    }

    /// DER bytes.
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// PEM text.
    pub fn to_pem(&self) -> Result<String, CertError> {
        Ok(self.parsed.to_pem(LineEnding::LF)?)
    }

    /// Subject as RFC 4514 text.
    pub fn subject(&self) -> String {
        self.parsed.tbs_certificate.subject.to_string()
    }

    /// SHA-256 of the DER, hex.
    pub fn fingerprint(&self) -> String {
        crate::pkcs7::hex(&Sha256::digest(&self.der))
    }

    pub(crate) fn parsed(&self) -> &x509_cert::Certificate {
        &self.parsed
    }

    pub(crate) fn public_key(&self) -> &RsaPublicKey {
        &self.key
    }

    /// SubjectPublicKeyInfo DER, in the one form `rsa` writes.
    pub fn public_key_der(&self) -> Result<Vec<u8>, CertError> {
        let encoded = self.key.to_public_key_der();
        Ok(encoded
            .map_err(|source| CertError::PublicKey {
                subject: self.subject(),
                source,
            })?
            .into_vec())
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Certificate({}, sha256 {})",
            self.subject(),
            self.fingerprint()
        )
    }
}

//! A private key together with its certificate.

use std::fmt;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rsa::pkcs8::{DecodePrivateKey, EncodePrivateKey, LineEnding};
use rsa::rand_core::OsRng;
use rsa::traits::PublicKeyParts;
use rsa::{RsaPrivateKey, RsaPublicKey};

use super::{CertError, Certificate, Validity, generate};

/// UEFI firmware is only required to take RSA-2048 (UEFI 2.10 section 32.4); larger keys fail on some boards.
const KEY_BITS: usize = 2048;

/// An RSA key that may sign, and the certificate others check it with. The key is zeroed when dropped.
#[derive(Clone)]
pub struct SigningKey {
    key: RsaPrivateKey,
    certificate: Certificate,
}

impl SigningKey {
    /// Makes a fresh RSA-2048 key from OS randomness with a self-signed certificate for `CN=name`.
    pub fn generate(name: &str, validity: Validity) -> Result<Self, CertError> {
        let key = RsaPrivateKey::new(&mut OsRng, KEY_BITS)?;
        let certificate = generate::self_signed(&key, name, validity)?;
        Self::pair(key, certificate)
    }

    /// Takes PEM texts: an unencrypted PKCS#8 key and its certificate.
    pub fn from_pem(key: &str, certificate: &str) -> Result<Self, CertError> {
        Self::pair(
            RsaPrivateKey::from_pkcs8_pem(key)?,
            Certificate::from_pem(certificate)?,
        )
    }

    fn pair(key: RsaPrivateKey, certificate: Certificate) -> Result<Self, CertError> {
        let public = RsaPublicKey::from(&key);
        if (public.n(), public.e()) != (certificate.public_key().n(), certificate.public_key().e())
        {
            return Err(CertError::Mismatch {
                subject: certificate.subject(),
            });
        }
        Ok(Self { key, certificate })
    }

    /// The private key as PKCS#8 PEM, in memory that is zeroed when dropped.
    pub fn key_pem(&self) -> Result<rsa::pkcs8::der::zeroize::Zeroizing<String>, CertError> {
        Ok(self.key.to_pkcs8_pem(LineEnding::LF)?)
    }

    /// The certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Reads a key and its certificate from PEM files.
    pub fn read(key: &Path, certificate: &Path) -> Result<Self, CertError> {
        Self::from_pem(&read(key)?, &read(certificate)?)
    }

    /// Writes both as new PEM files, the key readable by the owner only. Existing files are never overwritten.
    pub fn write_new(&self, key: &Path, certificate: &Path) -> Result<(), CertError> {
        create(key, 0o600, self.key_pem()?.as_bytes())?;
        create(certificate, 0o644, self.certificate.to_pem()?.as_bytes())
    }

    pub(crate) fn private(&self) -> &RsaPrivateKey {
        &self.key
    }
}

/// Shows the certificate only.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

fn read(path: &Path) -> Result<String, CertError> {
    fs::read_to_string(path).map_err(|source| CertError::Io {
        operation: "read",
        path: path.to_owned(),
        source,
    })
}

fn create(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), CertError> {
    let write = || -> std::io::Result<()> {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|source| CertError::Io {
        operation: "create",
        path: path.to_owned(),
        source,
    })
}

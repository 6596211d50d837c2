//! Secure Boot keys: RSA-2048 with self-signed X.509 certificates.
//!
//! Owns key generation, PEM and DER forms, and the pairing of a key with its certificate. Never encrypts keys (the
//! place they lie in does that), never reads the clock (the caller gives the validity), never prints a private key.
//!
//! Invariant: a [`SigningKey`] exists only if its certificate is for its key.
//!
//! Only [`SigningKey::generate`] is random, and only in the key: the certificate, serial included, is a function of
//! key, name and validity.

mod certificate;
mod error;
mod generate;
mod key;

pub use certificate::Certificate;
pub use error::CertError;
pub use generate::Validity;
pub use key::SigningKey;

#[cfg(test)]
pub(crate) mod tests;

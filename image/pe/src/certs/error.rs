//! Why a key or certificate was refused.

use std::path::PathBuf;

/// A key or certificate was refused or could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertError {
    /// Not a certificate.
    #[error("cannot read or write the certificate")]
    Asn1(#[from] der::Error),
    /// The certificate's key is not RSA, or not one we can use.
    #[error("certificate {subject:?} has no usable RSA public key")]
    PublicKey {
        /// Subject.
        subject: String,
        /// Reason.
        source: spki::Error,
    },
    /// RSA key of a size firmware does not reliably take.
    #[error("RSA key has {bits} bits, expected 2048 to 4096")]
    KeySize {
        /// Bits found.
        bits: usize,
    },
    /// Not a PKCS#8 private key.
    #[error("not an unencrypted PKCS#8 RSA private key (PEM label PRIVATE KEY)")]
    PrivateKey(#[from] rsa::pkcs8::Error),
    /// Key generation failed.
    #[error("cannot generate or use the RSA key")]
    Rsa(#[from] rsa::Error),
    /// Self-signing failed.
    #[error("cannot sign the certificate")]
    Sign(#[from] rsa::signature::Error),
    /// Key and certificate are strangers.
    #[error("certificate {subject:?} is for another key; pair it with the key it was made from")]
    Mismatch {
        /// Subject.
        subject: String,
    },
    /// A name that would need escaping in a distinguished name.
    #[error("certificate name {name:?} must be 1 to 64 of letters, digits, space, '.', '_', '-'")]
    Name {
        /// Name given.
        name: String,
    },
    /// The validity ends before it begins.
    #[error("validity ends at {not_after} before it begins at {not_before} (seconds since 1970)")]
    Validity {
        /// Start.
        not_before: u64,
        /// End.
        not_after: u64,
    },
    /// A file could not be read or written.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// "read" or "create".
        operation: &'static str,
        /// File.
        path: PathBuf,
        /// Reason.
        source: std::io::Error,
    },
}

//! Authenticode signatures on PE images, without a signing time.
//!
//! Owns the PE image hash, the SpcIndirectData SignedData around it, and the certificate table that carries it.
//! Never sees an image when signing: [`sign_digest`] takes the 32 bytes only, so keys can live on another machine.
//! Never trusts a certificate that came with an image.
//!
//! Invariant: signing is a function (same digest, same key: same bytes), `strip(attach(x, s)) == x` for an unsigned
//! image padded to 8 bytes with a correct checksum, and every byte of a signed file is hashed except the checksum,
//! the certificate table's directory entry and the table itself.
//!
//! Spec: Microsoft "Windows Authenticode Portable Executable Signature Format" (2008), UEFI 2.10 section 32.5.
//! Hash and DER are written here rather than taken from the `authenticode` crate: that crate cannot sign, and a
//! second parser of the same bytes would be a second opinion about what is signed.

mod attach;
mod digest;
mod error;
mod spc;
mod verify;

pub use attach::{attach, signatures, strip};
pub use digest::digest;
pub use error::SignatureError;
pub use spc::{Pkcs7Der, sign_digest};
pub use verify::verify;

#[cfg(test)]
mod tests;

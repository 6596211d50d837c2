//! Why an image could not be signed or its signature was refused.

use crate::pe::PeError;
use crate::pkcs7::Pkcs7Error;

/// A signature was not made or not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// Not a PE image we can read.
    #[error("not a usable PE image")]
    Pe(#[from] PeError),
    /// The image has no signature at all.
    #[error("image of {size} bytes is not signed")]
    NotSigned {
        /// File length.
        size: usize,
    },
    /// The image already has signatures.
    #[error(
        "image is already signed (certificate table at {offset}, {size} bytes): strip it first"
    )]
    AlreadySigned {
        /// Table offset.
        offset: usize,
        /// Table size.
        size: usize,
    },
    /// The signature is for other bytes.
    #[error(
        "image hash is {computed} but the signature is for {signed}: the image was altered after signing"
    )]
    DigestMismatch {
        /// In the signature, hex.
        signed: String,
        /// Of the image, hex.
        computed: String,
    },
    /// It is well formed, but not by somebody who is trusted.
    #[error(transparent)]
    Signer(Pkcs7Error),
    /// The SignedData is not acceptable.
    #[error("signature {index} is malformed")]
    Malformed {
        /// Position in the certificate table.
        index: usize,
        /// Reason.
        source: Pkcs7Error,
    },
    /// Signing failed.
    #[error("cannot sign the image digest")]
    Sign(#[source] Pkcs7Error),
    /// The certificate table's entries do not fit.
    #[error("certificate table entry at {offset}: {field} is {found:#x}, expected {expected}")]
    Table {
        /// File offset of the entry.
        offset: usize,
        /// Field.
        field: &'static str,
        /// Value.
        found: u32,
        /// Rule.
        expected: &'static str,
    },
    /// Hash implementations would disagree about this image.
    #[error(
        "section {name:?} starts at {offset}, expected {expected}: gaps and overlaps hash differently elsewhere"
    )]
    Layout {
        /// Section name.
        name: String,
        /// Where it starts.
        offset: usize,
        /// Where the previous range ended.
        expected: usize,
    },
    /// Nothing to attach.
    #[error("no signatures given to attach")]
    NothingToAttach,
    /// The result would not be a PE image.
    #[error("signed image would have {size} bytes, PE images are limited to 4 GiB")]
    TooLarge {
        /// Bytes.
        size: usize,
    },
}

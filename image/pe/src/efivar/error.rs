//! Why a signature list or signed variable was refused.

use crate::certs::CertError;
use crate::pkcs7::Pkcs7Error;

/// A signature list or `.auth` file was refused or could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EfiVarError {
    /// Not a GUID.
    #[error("{text:?} is not a GUID, expected 8-4-4-4-12 hex digits")]
    Guid {
        /// Text given.
        text: String,
    },
    /// A time EFI_TIME cannot express.
    #[error("{seconds} seconds since 1970 is no EFI time (1970 to 9999)")]
    Time {
        /// Value given.
        seconds: u64,
    },
    /// Structure cut short.
    #[error("{what} needs {need} bytes at offset {offset}, there are {have}")]
    Truncated {
        /// Structure.
        what: &'static str,
        /// Where.
        offset: usize,
        /// Bytes needed.
        need: usize,
        /// Bytes there are in all.
        have: usize,
    },
    /// A field has a value we do not accept.
    #[error("{field} at offset {offset} is {found}, expected {expected}")]
    Field {
        /// Field.
        field: &'static str,
        /// Where.
        offset: usize,
        /// Value.
        found: String,
        /// Rule.
        expected: &'static str,
    },
    /// A certificate in a list cannot be read.
    #[error("signature list entry {index} is no usable certificate")]
    Certificate {
        /// Position.
        index: usize,
        /// Reason.
        source: CertError,
    },
    /// Signing failed.
    #[error("cannot sign the update of {variable}")]
    Sign {
        /// Variable name.
        variable: &'static str,
        /// Reason.
        source: Pkcs7Error,
    },
    /// The signature on a variable update is not acceptable.
    #[error("the update of {variable} is not signed as it must be")]
    Signature {
        /// Variable name.
        variable: &'static str,
        /// Reason.
        source: Pkcs7Error,
    },
    /// Larger than the 32-bit length fields.
    #[error("{what} of {size} bytes does not fit a 32-bit length")]
    TooLarge {
        /// Structure.
        what: &'static str,
        /// Bytes.
        size: usize,
    },
}

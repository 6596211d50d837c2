//! The release of a built image: what it says, who signed it, and whether these bytes are it.
//!
//! Owns the format of `release.json` and `release.json.sig`, the key files, and the rules by which a release is
//! believed. `docs/release.md` states the same for other implementations.
//!
//! Never opens a file, a device or a socket: callers bring bytes and [`std::io::Read`]. Never writes. Never takes the
//! time: callers bring it, or say that the clock is not set.
//!
//! Invariant: artefact and disk bytes can only be compared with a manifest whose signatures were verified.
//!
//! ```text
//!  release.json ---+                                        check_artefact(name, stream)
//!  release.json.sig+--> verify_release --> VerifiedRelease -+
//!  TrustStore -----+    1 signatures                        check_partitions(raw disk stream)
//!  time, if known -+    2 format
//!                       3 content
//!                       4 key roles, threshold
//!                       5 expiry
//! ```

mod canonical;
mod digest;
mod failure;
mod keys;
mod manifest;
mod names;
mod signature;
mod timestamp;
mod trust;
mod verify;
mod version;

pub use canonical::CanonicalError;
pub use digest::{Digest, DigestError};
pub use failure::FailureClass;
pub use keys::{KeyError, KeyId, MAX_KEY_FILE_BYTES, PrivateKey, PublicKey, Role};
pub use manifest::{
    Artefact, ArtefactKind, Channel, DiskRecord, Extra, FORMAT, MAX_MANIFEST_BYTES, ManifestError,
    PartitionRecord, Release,
};
pub use names::{FileName, Ident, NameError};
pub use signature::{
    MAX_SIGNATURE_BYTES, MAX_SIGNATURES, SIGNATURE_DOMAIN, SignError, SignatureFile,
    SignatureFileError,
};
pub use timestamp::{Timestamp, TimestampError};
pub use trust::{MAX_TRUSTED_KEYS, TrustError, TrustStore};
pub use verify::{
    ExpiryCheck, KeyIds, VerifiedRelease, VerifyError, read_document, verify_release,
};
pub use version::{Version, VersionError};

/// File name of the manifest beside the artefacts it names.
pub const MANIFEST_NAME: &str = "release.json";
/// File name of the signatures over the manifest.
pub const SIGNATURE_NAME: &str = "release.json.sig";

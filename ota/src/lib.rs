//! The release of a built image and the update made from it: what they say, who signed them, whether these bytes are
//! it, and whether a device may install it.
//!
//! Owns the formats of `release.json`, `update.json`, their signature files and `roles.json`, the key files, and the
//! rules by which they are believed. `docs/release.md` and `docs/release-format.md` state the same for other
//! implementations.
//!
//! Never opens a file, a device or a socket: callers bring bytes and [`std::io::Read`]. Never writes. Never takes the
//! time: callers bring it, or say that the clock is not set.
//!
//! Invariant: bytes can only be compared with a document whose signatures were verified.
//!
//! ```text
//!  release.json ---+                                        check_artefact(name, stream)
//!  release.json.sig+--> verify_release --> VerifiedRelease -+
//!  TrustStore -----+                                        check_partitions(raw disk stream)
//!  time, if known -+
//!
//!  update.json ----+                 Verdict::AlreadyRunning
//!  update.json.sig +--> judge -----> Verdict::Install(VerifiedUpdate) --> check_file(name, stream)
//!  roles.json -----+            '--> newer TrustedRoles
//!  TrustedRoles ---+
//!  Device ---------+
//! ```

mod base64;
mod canonical;
mod channel;
mod clock;
mod digest;
mod document;
mod failure;
mod hex;
mod judge;
mod keys;
mod manifest;
mod names;
mod roles;
mod signature;
mod timestamp;
mod trust;
mod update;
mod verify;
mod version;

pub use canonical::CanonicalError;
pub use channel::Channel;
pub use clock::{Clock, ExpiryCheck};
pub use digest::{Digest, DigestError};
pub use document::{Document, DocumentError, Extra, FORMAT};
pub use failure::FailureClass;
pub use hex::{HexError, Salt, Uuid};
pub use judge::{
    AuthenticUpdate, Device, Floors, Judgement, Refusal, Running, SequenceFloor, UpdateDocuments,
    Verdict, VerifiedUpdate, authenticate, judge,
};
pub use keys::{KeyError, KeyId, MAX_KEY_FILE_BYTES, PrivateKey, PublicKey, Role};
pub use manifest::{Artefact, ArtefactKind, DiskRecord, PartitionRecord, Release};
pub use names::{FileName, Ident, NameError};
pub use roles::{
    MAX_REVOKED, MAX_ROLE_DOCUMENTS, RoleChain, RoleDocument, RoleKeys, RoleTerms, Roles,
    RolesError, SignedRoles, TrustedRoles, Window,
};
pub use signature::{
    MAX_SIGNATURE_BYTES, MAX_SIGNATURES, SignError, SignatureFile, SignatureFileError,
};
pub use timestamp::{Timestamp, TimestampError};
pub use trust::{MAX_TRUSTED_KEYS, TrustError, TrustStore};
pub use update::{
    MAX_INDEX_BYTES, MAX_PART_BYTES, MAX_PARTS, MAX_UKI_BYTES, RootImage, UkiImage, Update,
    UpdateFile, VERITY_BLOCK, VerityParams,
};
pub use verify::{KeyIds, VerifiedRelease, VerifyError, read_document, verify_release};
pub use version::{Version, VersionError};

/// Name of the signature file beside the document.
pub fn signature_name(document: Document) -> String {
    format!("{document}.sig")
}

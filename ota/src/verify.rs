//! Whether a release may be believed.
//!
//! Owns the order of the checks: signatures over the raw bytes first, so that nothing unauthenticated is ever parsed as
//! a manifest; then the manifest; then whether the signers' roles fit its channel; then expiry. Never reads a clock and
//! never falls back: the first failed check is the result.
//!
//! Invariant: a [`VerifiedRelease`] exists only after all of them passed, and only it compares bytes with digests.

mod error;
mod signers;
mod stream;

use std::io::{self, Read};

use crate::clock::{Clock, ExpiryCheck};
use crate::document::Document;
use crate::keys::KeyId;
use crate::manifest::Release;
use crate::timestamp::Timestamp;
use crate::trust::TrustStore;
pub use error::{KeyIds, VerifyError};
pub(crate) use signers::Signers;
pub(crate) use stream::{Listed, check_all_listed, check_listed};

/// A manifest whose signatures, content and expiry were checked.
#[derive(Debug)]
pub struct VerifiedRelease {
    release: Release,
    signers: Vec<KeyId>,
    expiry: ExpiryCheck,
}

impl VerifiedRelease {
    /// The manifest.
    pub fn release(&self) -> &Release {
        &self.release
    }

    /// The keys whose signatures counted, in order of id.
    pub fn signers(&self) -> &[KeyId] {
        &self.signers
    }

    /// What is known about expiry.
    pub fn expiry(&self) -> ExpiryCheck {
        self.expiry
    }
}

/// Verifies a manifest. An empty `signatures` means that there is no signature file; `now` is `None` where the clock is
/// not to be trusted, which leaves expiry open (see [`VerifiedRelease::expiry`]).
pub fn verify_release(
    manifest: &[u8],
    signatures: &[u8],
    trust: &TrustStore,
    now: Option<Timestamp>,
) -> Result<VerifiedRelease, VerifyError> {
    let signers = Signers::of(Document::Release, manifest, signatures, trust)?;
    let release = Release::parse(manifest)?;
    let signers = signers.counted(release.channel, trust)?;
    let expiry = Clock::new(now).judge(release.expires)?;
    Ok(VerifiedRelease {
        release,
        signers,
        expiry,
    })
}

/// Reads a document of at most `limit` bytes, from a source that may never end.
///
/// Of a longer one, `limit + 1` bytes are returned: the parser then refuses it by its own limit and error.
pub fn read_document(reader: impl Read, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

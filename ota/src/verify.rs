//! Whether a release may be believed.
//!
//! Owns the order of the checks: signatures over the raw bytes first, so that nothing unauthenticated is ever parsed as
//! a manifest; then the manifest; then whether the signers' roles fit its channel; then expiry. Never reads a clock and
//! never falls back: the first failed check is the result.
//!
//! Invariant: a [`VerifiedRelease`] exists only after all of them passed, and only it compares bytes with digests.

mod error;
mod stream;

use std::io::{self, Read};

use crate::keys::{KeyId, PublicKey};
use crate::manifest::{MAX_MANIFEST_BYTES, ManifestError, Release};
use crate::signature::{SignatureFile, signed_message};
use crate::timestamp::Timestamp;
use crate::trust::TrustStore;
pub use error::{KeyIds, VerifyError};

/// What is known about a verified release's expiry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpiryCheck {
    /// It names no expiry.
    NeverExpires,
    /// The time was known and lies before this expiry.
    ValidUntil(Timestamp),
    /// It names this expiry, but the time was not known: judge it again once the clock is set.
    ClockNotSet(Timestamp),
}

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
    if manifest.len() > MAX_MANIFEST_BYTES {
        return Err(ManifestError::TooLarge {
            limit: MAX_MANIFEST_BYTES,
        }
        .into());
    }
    let trusted = trusted_signers(manifest, signatures, trust)?;
    let release = Release::parse(manifest)?;
    let signers = counted_signers(&release, &trusted, trust)?;
    let expiry = check_expiry(&release, now)?;
    Ok(VerifiedRelease {
        release,
        signers,
        expiry,
    })
}

/// The trusted keys that signed these bytes: at least one.
///
/// Signatures by unknown keys are passed over, or a new key could never be introduced beside an old one. A bad signature
/// under a *trusted* key id has no honest explanation and refuses the release, whatever else is in the file.
fn trusted_signers<'t>(
    manifest: &[u8],
    signatures: &[u8],
    trust: &'t TrustStore,
) -> Result<Vec<&'t PublicKey>, VerifyError> {
    if signatures.is_empty() {
        return Err(VerifyError::MissingSignature);
    }
    let file = SignatureFile::parse(signatures)?;
    let message = signed_message(manifest);
    let mut signers = Vec::new();
    for (id, signature) in file.entries() {
        let Some(key) = trust.get(id) else { continue };
        if !key.verifies(&message, signature) {
            return Err(VerifyError::BadSignature { key: id });
        }
        signers.push(key);
    }
    if !signers.is_empty() {
        return Ok(signers);
    }
    match file.key_ids().next() {
        None => Err(VerifyError::MissingSignature),
        Some(_) => Err(VerifyError::UnknownKey {
            signed: KeyIds(file.key_ids().collect()),
            trusted: KeyIds(trust.key_ids().collect()),
        }),
    }
}

/// The signers whose role fits the channel: at least as many as the threshold asks for.
fn counted_signers(
    release: &Release,
    trusted: &[&PublicKey],
    trust: &TrustStore,
) -> Result<Vec<KeyId>, VerifyError> {
    let role = release.channel.role();
    let counted: Vec<KeyId> = trusted
        .iter()
        .filter(|key| key.role() == role)
        .map(|key| key.id())
        .collect();
    if counted.is_empty() {
        let signed = KeyIds(trusted.iter().map(|key| key.id()).collect());
        return Err(VerifyError::WrongKeyRole {
            channel: release.channel,
            signed,
        });
    }
    if counted.len() < trust.threshold() {
        return Err(VerifyError::BelowThreshold {
            counted: counted.len(),
            threshold: trust.threshold(),
            role,
        });
    }
    Ok(counted)
}

fn check_expiry(release: &Release, now: Option<Timestamp>) -> Result<ExpiryCheck, VerifyError> {
    match (release.expires, now) {
        (None, _) => Ok(ExpiryCheck::NeverExpires),
        (Some(expires), None) => Ok(ExpiryCheck::ClockNotSet(expires)),
        (Some(expires), Some(now)) if now < expires => Ok(ExpiryCheck::ValidUntil(expires)),
        (Some(expires), Some(now)) => Err(VerifyError::Expired { expires, now }),
    }
}

/// Reads a document of at most `limit` bytes, from a source that may never end.
///
/// Of a longer one, `limit + 1` bytes are returned: the parser then refuses it by its own limit and error.
pub fn read_document(reader: impl Read, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

//! Who signed a document, and whether that is enough.
//!
//! Owns the order: every signature by a trusted key is checked over the raw bytes before the document is parsed; whose
//! signatures count is asked afterwards, because the document says for which channel it is.
//!
//! Invariant: a [`Signers`] exists only when at least one trusted key signed and no trusted key's signature is bad.

use crate::channel::Channel;
use crate::document::{Document, check_size};
use crate::keys::{KeyId, PublicKey};
use crate::signature::SignatureFile;
use crate::trust::TrustStore;
use crate::verify::{KeyIds, VerifyError};

/// The trusted keys that signed a document.
pub(crate) struct Signers<'t> {
    document: Document,
    trusted: Vec<&'t PublicKey>,
    revoked: Vec<KeyId>,
}

impl<'t> Signers<'t> {
    /// Checks the signatures over these bytes.
    ///
    /// Signatures by unknown keys are passed over, or a new key could never be introduced beside an old one. A bad
    /// signature under a *trusted* key id has no honest explanation and refuses the document, whatever else is in the
    /// file.
    pub(crate) fn of(
        document: Document,
        bytes: &[u8],
        signatures: &[u8],
        trust: &'t TrustStore,
    ) -> Result<Self, VerifyError> {
        check_size(document, bytes)?;
        if signatures.is_empty() {
            return Err(VerifyError::MissingSignature { document });
        }
        let file = SignatureFile::parse(signatures)?;
        let message = document.signed_message(bytes);
        let (mut trusted, mut revoked) = (Vec::new(), Vec::new());
        for (id, signature) in file.entries() {
            if trust.is_revoked(id) {
                revoked.push(id);
            }
            let Some(key) = trust.get(id) else { continue };
            if !key.verifies(&message, signature) {
                return Err(VerifyError::BadSignature { document, key: id });
            }
            trusted.push(key);
        }
        if !trusted.is_empty() {
            return Ok(Signers {
                document,
                trusted,
                revoked,
            });
        }
        // Before anything is parsed: a revoked key's signature makes nothing authentic.
        if !revoked.is_empty() {
            return Err(VerifyError::RevokedKey {
                document,
                revoked: KeyIds(revoked),
                counted: 0,
            });
        }
        match file.key_ids().next() {
            None => Err(VerifyError::MissingSignature { document }),
            Some(_) => Err(VerifyError::UnknownKey {
                document,
                signed: KeyIds(file.key_ids().collect()),
                trusted: KeyIds(trust.key_ids().collect()),
            }),
        }
    }

    /// Those whose role fits the channel: at least as many as the threshold asks for.
    pub(crate) fn counted(
        self,
        channel: Channel,
        trust: &TrustStore,
    ) -> Result<Vec<KeyId>, VerifyError> {
        let role = channel.role();
        let fits = |key: &&&PublicKey| key.role() == role;
        let counted: Vec<KeyId> = self.trusted.iter().filter(fits).map(|k| k.id()).collect();
        let threshold = trust.threshold(role).unwrap_or(usize::MAX);
        if !counted.is_empty() && counted.len() >= threshold {
            return Ok(counted);
        }
        if !self.revoked.is_empty() {
            return Err(VerifyError::RevokedKey {
                document: self.document,
                revoked: KeyIds(self.revoked),
                counted: counted.len(),
            });
        }
        if counted.is_empty() {
            let signed = KeyIds(self.trusted.iter().map(|key| key.id()).collect());
            return Err(VerifyError::WrongKeyRole { channel, signed });
        }
        Err(VerifyError::BelowThreshold {
            counted: counted.len(),
            threshold,
            role,
        })
    }
}

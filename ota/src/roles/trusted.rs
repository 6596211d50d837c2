//! From the role document a device trusts to the newest one it can be led to.
//!
//! Owns the rules of every step: number one higher, signed by enough root keys of the old document and by enough of the
//! new one. A step's own expiry does not matter, only the newest document's: a device may sleep through several.
//!
//! ```text
//!  image:  [1]                     covered by the root hash, so believed
//!  state:  [1][2][3]               believed again at every start by following it from the image's
//!  update:    [2][3][4]            3 must be the very 3 that is trusted; 4 must be vouched for by 3
//!  now trusted: 4                  kept on state: [1][2][3][4]
//! ```
//!
//! Invariant: a [`TrustedRoles`] began with an image's documents and took only steps that were vouched for. It keeps
//! its own copies of what it trusted before, never an update's: signatures there were not looked at again, and garbage
//! among them would make the kept chain useless for an older image.

use super::{RoleChain, RoleDocument, RolesError, SignedRoles};
use crate::channel::Channel;
use crate::clock::{Clock, ExpiryCheck};
use crate::digest::Digest;
use crate::document::Document;
use crate::keys::Role;
use crate::roles::MAX_ROLE_DOCUMENTS;
use crate::trust::TrustStore;

/// Role documents that are believed, the newest of which is in force.
#[derive(Debug, Clone)]
pub struct TrustedRoles {
    chain: RoleChain,
    document: RoleDocument,
    trust: TrustStore,
}

impl TrustedRoles {
    /// Begins with the `roles.json` of an image. The caller vouches for these bytes: on a device the root hash covers
    /// them. The chain in itself must be sound all the same.
    pub fn anchor(image: &[u8]) -> Result<Self, RolesError> {
        let chain = RoleChain::parse(image)?;
        check_links(&chain)?;
        Self::of(chain)
    }

    /// Begins with the `roles.json` of an image, and goes on to what was kept on state, which nobody vouches for: it is
    /// followed from the image's like any other chain. Where the image's is newer, the image's it is.
    pub fn resume(image: &[u8], state: &[u8]) -> Result<Self, RolesError> {
        let anchor = Self::anchor(image)?;
        let kept = RoleChain::parse(state)?;
        match anchor.follow(&kept) {
            Err(RolesError::RolledBack { .. }) => Ok(anchor),
            Err(error) => Err(error),
            // The kept chain may begin earlier, for the sake of an older image in the other slot.
            Ok(_) => Self::of(kept),
        }
    }

    /// Follows a chain of an update from the document in force. What comes out is to be kept on state when its version
    /// is higher, even if the update itself is then refused: it may revoke the very keys that signed it.
    pub fn advance(&self, roles: &[u8]) -> Result<Self, RolesError> {
        let chain = RoleChain::parse(roles)?;
        let new = self.follow(&chain)?;
        let mut documents = self.chain.documents().to_vec();
        documents.extend_from_slice(new);
        let surplus = documents.len().saturating_sub(MAX_ROLE_DOCUMENTS);
        documents.drain(..surplus);
        Self::of(RoleChain::from_documents(documents)?)
    }

    /// The documents of a chain that come after the one in force, each of them vouched for.
    fn follow<'c>(&self, chain: &'c RoleChain) -> Result<&'c [SignedRoles], RolesError> {
        let trusted = self.document.version;
        let first = chain.documents().first().ok_or(RolesError::Empty)?;
        let (first, last) = (first.document().version, chain.newest()?.document().version);
        if last < trusted {
            return Err(RolesError::RolledBack {
                found: last,
                trusted,
            });
        }
        if trusted.checked_add(1).is_none_or(|next| first > next) {
            return Err(RolesError::Gap {
                after: trusted,
                found: first,
            });
        }
        let known = |entry: &&SignedRoles| entry.document().version <= trusted;
        let skip = chain.documents().iter().take_while(known).count();
        let (old, new) = chain.documents().split_at(skip);
        if let Some(same) = old.last().filter(|same| *same.document() != self.document) {
            return Err(RolesError::Conflict {
                version: same.document().version,
            });
        }
        if let (true, Some(next)) = (old.is_empty(), new.first()) {
            check_step(self.chain.newest()?, next)?;
        }
        // What is trusted already, too: a chain with a damaged signature anywhere is not one to pass on.
        check_links(chain)?;
        Ok(new)
    }

    fn of(chain: RoleChain) -> Result<Self, RolesError> {
        let document = chain.newest()?.document().clone();
        let trust = document.trust_store()?;
        Ok(TrustedRoles {
            chain,
            document,
            trust,
        })
    }

    /// The document in force.
    pub fn document(&self) -> &RoleDocument {
        &self.document
    }

    /// Its number.
    pub fn version(&self) -> u64 {
        self.document.version
    }

    /// Whose signatures count.
    pub fn trust(&self) -> &TrustStore {
        &self.trust
    }

    /// What to keep on state, for [`TrustedRoles::resume`]. The oldest documents are left out when there is no room.
    pub fn encode(&self) -> Result<Vec<u8>, RolesError> {
        let mut documents = self.chain.documents();
        loop {
            let bytes = RoleChain::from_documents(documents.to_vec())?.encode();
            match bytes {
                Err(RolesError::Document(crate::DocumentError::TooLarge { .. }))
                    if documents.len() > 8 =>
                {
                    documents = &documents[documents.len().div_ceil(8)..];
                }
                other => return other,
            }
        }
    }

    /// A name for the set of keys that may sign a channel. A device forgets its floor of the sequence when this
    /// changes: that is how one recovers from a stolen key that pushed the sequence up.
    pub fn key_set(&self, channel: Channel) -> Digest {
        let ids = self.trust.key_ids_of(channel.role());
        let lines: String = ids.map(|id| format!("{id}\n")).collect();
        Digest::of(lines.as_bytes())
    }

    /// Judges the expiry of the document in force.
    pub fn check_expiry(&self, clock: &Clock) -> Result<ExpiryCheck, RolesError> {
        let expires = self.document.expires;
        match clock.past(expires) {
            Some(now) => Err(RolesError::Expired {
                version: self.document.version,
                expires,
                now,
            }),
            None => Ok(clock.check(Some(expires))),
        }
    }
}

/// How many root keys of `whose` signed `entry`. A bad signature by one of them refuses it.
fn root_signatures(
    entry: &SignedRoles,
    bytes: &[u8],
    whose: &TrustStore,
) -> Result<usize, RolesError> {
    let mut counted = 0;
    for (id, signature) in entry.signatures.entries() {
        let Some(key) = whose.get(id).filter(|key| key.role() == Role::Root) else {
            continue;
        };
        if !key.verifies(bytes, signature) {
            return Err(RolesError::BadSignature {
                version: entry.document().version,
                key: id,
            });
        }
        counted += 1;
    }
    Ok(counted)
}

/// The document is signed by enough of its own root keys.
fn check_own(entry: &SignedRoles) -> Result<(), RolesError> {
    let message = Document::Roles.signed_message(&entry.signed_bytes()?);
    let document = entry.document();
    let counted = root_signatures(entry, &message, &document.trust_store()?)?;
    let threshold = document.roles.root.threshold;
    if counted < threshold {
        return Err(RolesError::BelowThreshold {
            version: document.version,
            counted,
            threshold,
        });
    }
    Ok(())
}

/// Every document follows from the one before it.
fn check_links(chain: &RoleChain) -> Result<(), RolesError> {
    chain.documents().iter().take(1).try_for_each(check_own)?;
    let mut pairs = chain.documents().windows(2);
    pairs.try_for_each(|pair| check_step(&pair[0], &pair[1]))
}

/// The next document is signed by enough root keys of the one before it and of its own.
fn check_step(before: &SignedRoles, next: &SignedRoles) -> Result<(), RolesError> {
    before.document().check_revoked(next.document())?;
    let message = Document::Roles.signed_message(&next.signed_bytes()?);
    let old = before.document();
    let counted = root_signatures(next, &message, &old.trust_store()?)?;
    let threshold = old.roles.root.threshold;
    if counted < threshold {
        return Err(RolesError::NotVouched {
            version: next.document().version,
            before: old.version,
            counted,
            threshold,
        });
    }
    check_own(next)
}

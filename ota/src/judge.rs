//! Whether an update may be installed on this device.
//!
//! Owns the order of the rules, from the bytes that came in to a proof that the engine acts on. Never reads a clock, a
//! disk or a network, never falls back: the first rule that fails is the result.
//!
//! ```text
//!  roles.json --+ 1 chain from the document in force   --> TrustedRoles (kept, whatever comes of the update)
//!               | 2 newest document not expired
//!  update.json -+ 3 signatures over the raw bytes
//!  update.json. | 4 form and content
//!          sig  | 5 key roles, threshold, revocation   --> AuthenticUpdate: it is what its publisher says
//!  device ------+ 6 product, board
//!               | 7 is it what runs?                   --> Verdict::AlreadyRunning
//!               | 8 expiry, windows of the role document
//!               | 9 floors of epoch and sequence
//!               '10 agent, size of the slot            --> Verdict::Install(VerifiedUpdate)
//! ```
//!
//! Invariant: a [`VerifiedUpdate`] exists only after all rules held for one device.

mod floors;
mod refusal;

use std::io::{self, Read};

use crate::clock::{Clock, ExpiryCheck};
use crate::digest::Digest;
use crate::document::Document;
use crate::keys::KeyId;
use crate::names::{FileName, Ident, excerpt};
use crate::roles::TrustedRoles;
use crate::timestamp::Timestamp;
use crate::update::{Update, UpdateFile};
use crate::verify::{Signers, VerifyError, check_all_listed, check_listed};
use crate::version::Version;
pub use floors::{Floors, SequenceFloor};
pub use refusal::Refusal;

/// The documents of an update, as they came in.
#[derive(Debug, Clone, Copy)]
pub struct UpdateDocuments<'a> {
    /// `update.json`
    pub manifest: &'a [u8],
    /// `update.json.sig`; empty when there is none.
    pub signatures: &'a [u8],
    /// `roles.json`
    pub roles: &'a [u8],
}

/// What runs on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running {
    /// Its sequence.
    pub sequence: u64,
    /// Root hash of its root.
    pub root_hash: Digest,
    /// SHA-256 of its UKI, if it was looked at.
    pub uki_sha256: Option<Digest>,
}

/// The device that judges.
#[derive(Debug, Clone)]
pub struct Device {
    /// The appliance it is.
    pub product: Ident,
    /// The board it is.
    pub board: Ident,
    /// The agent that will install.
    pub agent: Version,
    /// What runs.
    pub running: Running,
    /// The highest numbers it committed.
    pub floors: Floors,
    /// Bytes of a root slot: the smaller one, should they differ.
    pub slot_bytes: u64,
    /// What it knows of the time.
    pub clock: Clock,
}

/// What an authentic update is for this device.
#[derive(Debug)]
pub enum Verdict {
    /// Its content is what runs: nothing to do, and nothing wrong.
    AlreadyRunning(AuthenticUpdate),
    /// It may be installed.
    Install(VerifiedUpdate),
}

/// The result of judging an update.
#[derive(Debug)]
pub struct Judgement {
    /// The role documents that are now trusted; to be kept on state if they are newer. `None`: the chain was refused.
    pub roles: Option<TrustedRoles>,
    /// What the update is for this device, or why it is refused.
    pub verdict: Result<Verdict, Refusal>,
}

/// Judges an update for a device that trusts `roles` so far.
pub fn judge(documents: &UpdateDocuments<'_>, roles: &TrustedRoles, device: &Device) -> Judgement {
    let roles = match roles.advance(documents.roles) {
        Ok(roles) => roles,
        Err(refused) => {
            return Judgement {
                roles: None,
                verdict: Err(refused.into()),
            };
        }
    };
    let authentic = authenticate(documents, &roles, &device.clock);
    Judgement {
        roles: Some(roles),
        verdict: authentic.and_then(|update| update.admit(device)),
    }
}

/// Judges signatures and content alone, under role documents that are trusted already.
pub fn authenticate(
    documents: &UpdateDocuments<'_>,
    roles: &TrustedRoles,
    clock: &Clock,
) -> Result<AuthenticUpdate, Refusal> {
    roles.check_expiry(clock)?;
    let (manifest, signatures) = (documents.manifest, documents.signatures);
    let signers = Signers::of(Document::Update, manifest, signatures, roles.trust())?;
    let update = Update::parse(manifest).map_err(VerifyError::Document)?;
    let signers = signers.counted(update.channel, roles.trust())?;
    Ok(AuthenticUpdate {
        digest: Digest::of(manifest),
        update,
        signers,
        roles: roles.clone(),
    })
}

/// An update that is what its publisher says. Whether it is wanted is another question.
#[derive(Debug, Clone)]
pub struct AuthenticUpdate {
    update: Update,
    digest: Digest,
    signers: Vec<KeyId>,
    roles: TrustedRoles,
}

impl AuthenticUpdate {
    /// The manifest.
    pub fn update(&self) -> &Update {
        &self.update
    }

    /// SHA-256 of `update.json`: the name of exactly this update.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The keys whose signatures counted, in order of id.
    pub fn signers(&self) -> &[KeyId] {
        &self.signers
    }

    /// The role documents it was judged by.
    pub fn roles(&self) -> &TrustedRoles {
        &self.roles
    }

    /// A time that has certainly passed, once this update is accepted: for [`Clock::passed`] of later judgements.
    pub fn created(&self) -> Timestamp {
        self.update.created.max(self.roles.document().created)
    }

    /// Judges what time and role documents bound: expiry of both, and the windows. To be asked again when the clock was
    /// set, and before the update is armed. Gives what is known about the expiry that comes first.
    pub fn check_validity(&self, clock: &Clock) -> Result<ExpiryCheck, Refusal> {
        let roles = self.roles.check_expiry(clock)?;
        let own = clock.judge(self.update.expires)?;
        let (update, document) = (&self.update, self.roles.document());
        if !document.sequence.contains(update.sequence) {
            return Err(Refusal::SequenceOutsideWindow {
                found: update.sequence,
                window: document.sequence,
            });
        }
        if !document.security_epoch.contains(update.security_epoch) {
            return Err(Refusal::EpochOutsideWindow {
                found: update.security_epoch,
                window: document.security_epoch,
            });
        }
        // Its creation time becomes a time that has certainly passed. Root keys bound how far that can go too.
        if update.created >= document.expires {
            return Err(Refusal::TimeOutsideWindow {
                created: update.created,
                expires: document.expires,
            });
        }
        let first = self.update.expires.is_some_and(|e| e <= document.expires);
        Ok(if first { own } else { roles })
    }

    /// Judges the update for a device.
    pub fn admit(self, device: &Device) -> Result<Verdict, Refusal> {
        let update = &self.update;
        if update.product != device.product {
            return Err(Refusal::WrongProduct {
                found: update.product.clone(),
                device: device.product.clone(),
            });
        }
        if update.board != device.board {
            return Err(Refusal::WrongBoard {
                found: update.board.clone(),
                device: device.board.clone(),
            });
        }
        let running = &device.running;
        let same_root = update.root.root_hash == running.root_hash;
        let same_uki = running
            .uki_sha256
            .is_none_or(|uki| uki == update.uki.sha256);
        // The sequence may differ: old content that was published again for those who left it.
        if same_root && same_uki {
            return Ok(Verdict::AlreadyRunning(self));
        }
        if same_root {
            return Err(Refusal::SameRoot {
                root_hash: running.root_hash,
            });
        }
        if update.sequence == running.sequence {
            return Err(Refusal::SameSequence {
                sequence: running.sequence,
            });
        }
        let expiry = self.check_validity(&device.clock)?;
        device.floors.check(&self)?;
        if update.minimum_agent > device.agent {
            return Err(Refusal::AgentTooOld {
                minimum: update.minimum_agent.clone(),
                agent: device.agent.clone(),
            });
        }
        if update.root.size > device.slot_bytes {
            return Err(Refusal::DoesNotFit {
                root: update.root.size,
                slot: device.slot_bytes,
            });
        }
        let floors = device.floors.raised(&self);
        Ok(Verdict::Install(VerifiedUpdate {
            authentic: self,
            expiry,
            floors,
        }))
    }

    /// Compares one file (index or part) with its signed size and SHA-256. Never reads more than one byte beyond.
    pub fn check_file(&self, name: &str, reader: impl Read) -> Result<(), VerifyError> {
        let file = self.update.files().find(|f| f.name.as_str() == name);
        let file = file.ok_or_else(|| VerifyError::ArtefactNotListed {
            document: Document::Update,
            name: excerpt(name),
        })?;
        check_listed(file.listed(), reader)
    }

    /// Compares every file. `open` gives the stream of a name; its [`io::ErrorKind::NotFound`] means that it is missing.
    pub fn check_all_files<R: Read>(
        &self,
        open: impl FnMut(&FileName) -> io::Result<R>,
    ) -> Result<(), VerifyError> {
        check_all_listed(self.update.files().map(UpdateFile::listed), open)
    }
}

/// An update that may be installed on the device it was judged for.
#[derive(Debug, Clone)]
pub struct VerifiedUpdate {
    authentic: AuthenticUpdate,
    expiry: ExpiryCheck,
    floors: Floors,
}

impl VerifiedUpdate {
    /// What is known about the expiry of update and role document, whichever comes first.
    pub fn expiry(&self) -> ExpiryCheck {
        self.expiry
    }

    /// The device's floors once this update is committed.
    pub fn floors_when_committed(&self) -> &Floors {
        &self.floors
    }
}

impl std::ops::Deref for VerifiedUpdate {
    type Target = AuthenticUpdate;

    fn deref(&self) -> &AuthenticUpdate {
        &self.authentic
    }
}

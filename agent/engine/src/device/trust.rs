//! Judging an offered update for this device.
//!
//! Owns: the anchor and the kept chain of role documents, and the question put to [`roamcore_ota::judge`]. Never does: decide
//! by itself. Invariant: the newest role documents are kept as soon as they are believed, even when the update that
//! brought them is refused: they may revoke the very keys that signed it.

use std::path::{Path, PathBuf};

use roamcore_agent::files;
use roamcore_agent::log;
use roamcore_ota::{
    AuthenticUpdate, Clock, Device as Judge, Document, Floors, Ident, Refusal, RolesError, Running,
    SequenceFloor, Timestamp, TrustedRoles, UpdateDocuments, Verdict, Version, authenticate, judge,
};

use super::chain;
use super::documents::Judged;
use super::{DeviceError, Judgement, Trouble};
use crate::facts::{Release, Target};
use crate::record::Memory;

/// What the image says about itself and whom it trusts.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The running release.
    pub release: Release,
    /// The board it was built for.
    pub board: Ident,
    /// Whose signatures count for it.
    pub channel: roamcore_ota::Channel,
    /// The program that judges.
    pub agent: Version,
    /// `roles.json` of the image: covered by the root hash, so believed.
    pub roles: Vec<u8>,
    /// When the image was made: a time that has certainly passed.
    pub made: Option<Timestamp>,
}

/// The judge's own state.
#[derive(Debug)]
pub(super) struct Trust {
    identity: Identity,
    kept: PathBuf,
}

/// What else the judge has to know.
pub(super) struct Circumstances {
    pub(super) running: Running,
    pub(super) slot_bytes: u64,
    pub(super) now: Option<Timestamp>,
}

fn refused(refusal: &Refusal) -> DeviceError {
    DeviceError {
        trouble: Trouble::Final,
        code: i32::from(refusal.class().exit_code()),
        reason: format!("refused: {}", chain(refusal)),
    }
}

fn roles_error(error: &RolesError) -> DeviceError {
    DeviceError {
        trouble: Trouble::Final,
        code: i32::from(error.class().exit_code()),
        reason: format!("the image's role documents are unusable: {}", chain(error)),
    }
}

impl Trust {
    pub(super) fn new(identity: Identity, directory: &Path) -> Self {
        Self {
            identity,
            kept: directory.join(Document::Roles.file_name()),
        }
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The newest role documents that are believed. A kept chain that cannot be followed is left aside: every update
    /// brings its own, and a device that can never be updated again would be worse.
    fn roles(&self) -> Result<TrustedRoles, DeviceError> {
        let image = &self.identity.roles;
        let anchor = || TrustedRoles::anchor(image).map_err(|error| roles_error(&error));
        match files::read_if_any(&self.kept, Document::Roles.max_bytes() as u64) {
            Ok(None) => anchor(),
            Ok(Some(kept)) => TrustedRoles::resume(image, &kept).or_else(|error| {
                log::error(format!("{}: {}", self.kept.display(), chain(&error)));
                anchor()
            }),
            Err(error) => {
                log::error(chain(&error));
                anchor()
            }
        }
    }

    fn clock(&self, passed: Option<Timestamp>, now: Option<Timestamp>) -> Clock {
        Clock {
            now,
            passed: passed.max(self.identity.made),
        }
    }

    /// A device without a floor, new or without its record, does not go below what runs either.
    fn floors(&self, memory: &Memory, roles: &TrustedRoles) -> Floors {
        let mut floors = memory.floors.clone();
        let release = &self.identity.release;
        floors.security_epoch = floors.security_epoch.max(release.security_epoch);
        let channel = self.identity.channel;
        floors.sequence.entry(channel).or_insert(SequenceFloor {
            sequence: release.sequence,
            key_set: roles.key_set(channel),
        });
        floors
    }

    pub(super) fn judge(
        &self,
        judged: &Judged,
        memory: &Memory,
        circumstances: &Circumstances,
    ) -> Result<Judgement, DeviceError> {
        let roles = self.roles()?;
        let floors = self.floors(memory, &roles);
        let documents = UpdateDocuments {
            manifest: &judged.manifest,
            signatures: &judged.signatures,
            roles: &judged.roles,
        };
        let device = Judge {
            product: self.identity.release.product.clone(),
            board: self.identity.board.clone(),
            agent: self.identity.agent.clone(),
            running: circumstances.running,
            floors: floors.clone(),
            slot_bytes: circumstances.slot_bytes,
            clock: self.clock(memory.passed, circumstances.now),
        };
        let judgement = judge(&documents, &roles, &device);
        if let Some(newer) = judgement
            .roles
            .as_ref()
            .filter(|newer| newer.version() > roles.version())
        {
            self.keep(newer)?;
        }
        match judgement.verdict.map_err(|refusal| refused(&refusal))? {
            Verdict::AlreadyRunning(update) => {
                let floors = floors.raised(&update);
                Ok(Judgement::Running(target(&update, floors)))
            }
            Verdict::Install(update) => {
                let floors = update.floors_when_committed().clone();
                Ok(Judgement::Wanted(target(&update, floors)))
            }
        }
    }

    fn keep(&self, roles: &TrustedRoles) -> Result<(), DeviceError> {
        let bytes = roles.encode().map_err(|error| roles_error(&error))?;
        files::write_atomic(&self.kept, &bytes, 0o600)
            .map_err(|error| DeviceError::new(Trouble::Passing, chain(&error)))
    }

    /// Judged again right before arming, with all documents.
    pub(super) fn still_valid(
        &self,
        judged: &Judged,
        passed: Option<Timestamp>,
        now: Option<Timestamp>,
    ) -> Result<(), DeviceError> {
        let roles = self.roles()?;
        let documents = UpdateDocuments {
            manifest: &judged.manifest,
            signatures: &judged.signatures,
            roles: &judged.roles,
        };
        let clock = self.clock(passed, now);
        let update =
            authenticate(&documents, &roles, &clock).map_err(|refusal| refused(&refusal))?;
        update
            .check_validity(&clock)
            .map_err(|refusal| refused(&refusal))?;
        Ok(())
    }

    /// The same, without the documents: only the expiry of the update itself was noted.
    pub(super) fn not_expired(
        &self,
        target: &Target,
        passed: Option<Timestamp>,
        now: Option<Timestamp>,
    ) -> Result<(), DeviceError> {
        self.clock(passed, now)
            .judge(target.expires)
            .map_err(|error| refused(&error.into()))?;
        Ok(())
    }
}

fn target(update: &AuthenticUpdate, floors: Floors) -> Target {
    let manifest = update.update();
    Target {
        manifest: update.digest(),
        release: Release {
            product: manifest.product.clone(),
            version: manifest.version.clone(),
            sequence: manifest.sequence,
            security_epoch: manifest.security_epoch,
        },
        root_hash: manifest.root.root_hash,
        expires: manifest.expires,
        root_bytes: manifest.root.size,
        floors,
        created: Some(update.created()),
    }
}

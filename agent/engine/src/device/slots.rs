//! The engine's device over the real slots.
//!
//! Owns: the order of calls into [`roamcore_slots`] and the translation of its facts. Never does: write a disk itself,
//! or touch the running slot: there is no call for it. Invariant: PARTUUIDs are published only with the proof that
//! this very process got from reading the slot back.

use std::path::Path;

use roamcore_agent::attempts::Attempts;
use roamcore_agent::{fall_over, log};
use roamcore_ota::{Digest, Running, Timestamp, Update};
use roamcore_slots::{
    ArmRequest, Content, EntryState, Guid, IdleSlot, RootHash, RootSpec, SlotError, Slots, Verified,
};

use super::documents::Documents;
use super::fill::Planned;
use super::known::Known;
use super::pass::{passing, slot_error, watched};
use super::trust::{Circumstances, Identity, Trust};
use super::{Destination, Device, DeviceError, Judgement, Payload, Trouble, Watch};
use crate::facts::{BootId, Entry, Evidence, Facts, SlotFacts, Target};
use crate::record::Memory;

/// What only the machine around the slots can do.
pub trait Surroundings: Send {
    /// This boot.
    fn boot(&self) -> Result<BootId, DeviceError>;
    /// The time, if the clock was set.
    fn clock(&self) -> Option<Timestamp>;
    /// Asks for a reboot; [`Destination::Committed`] names the entry to take once.
    fn reboot(&mut self, destination: Destination, entry: Option<&str>) -> Result<(), DeviceError>;
    /// What the journal of this boot, pstore and the watchdog have left.
    fn evidence(&self, boot: Option<&str>) -> Evidence;
    /// Copies state that a trial may change, right before arming.
    fn snapshot(&mut self) -> Result<(), DeviceError>;
    /// Puts the copies back, after a trial that failed.
    fn restore(&mut self) -> Result<(), DeviceError>;
    /// Removes the copies; there need not be any.
    fn forget(&mut self) -> Result<(), DeviceError>;
}

/// The device.
pub struct SlotDevice {
    pub(super) slots: Slots,
    trust: Trust,
    pub(super) documents: Documents,
    known: Known,
    surroundings: Box<dyn Surroundings>,
    /// Of the slot as this process read it back.
    proof: Option<Verified>,
    /// How the root will come about; made right before it is carried out.
    pub(super) planned: Option<Planned>,
    /// Every chunk was right and the whole was not: the next plan believes nothing that is on the device.
    pub(super) distrust: bool,
    /// The same of the UKI.
    pub(super) distrust_uki: bool,
    /// The other slot no longer came up and was given up; why, for a trial that did not know of its commit yet.
    rotten: Option<String>,
}

fn digest(hash: RootHash) -> Digest {
    Digest::from(*hash.as_bytes())
}

pub(super) fn root_hash(digest: &Digest) -> RootHash {
    RootHash::from_bytes(*digest.as_bytes())
}

impl SlotDevice {
    /// `directory` is the device's own, on the state partition. Puts right what a cut left on the disk.
    pub fn open(
        slots: Slots,
        identity: Identity,
        directory: &Path,
        surroundings: Box<dyn Surroundings>,
    ) -> Result<Self, DeviceError> {
        let known = Known::load(directory).map_err(|error| passing(&error))?;
        let mut device = Self {
            slots,
            trust: Trust::new(identity, directory),
            documents: Documents::new(directory.join("documents")),
            known,
            surroundings,
            proof: None,
            planned: None,
            distrust: false,
            distrust_uki: false,
            rotten: None,
        };
        device.learn_running()?;
        match device.slots.idle() {
            Ok(idle) => {
                for repair in idle.repair().map_err(|error| slot_error(&error))? {
                    log::warning(format!("after a cut: {repair:?}"));
                }
                device.give_up_rotten()?;
            }
            // Then the other slot is the way back and stays as it is.
            Err(SlotError::OnTrial { .. } | SlotError::NotCommitted { .. }) => {}
            Err(error) => return Err(slot_error(&error)),
        }
        Ok(device)
    }

    /// A committed slot that used up its boots comes first in the boot loader's order all the same, and would be tried
    /// before this one at every boot. Without an entry it is what the next update writes anew; until then it stays as
    /// it is, because it may have been the power: `roamcore rollback` puts it on a trial of its own.
    fn give_up_rotten(&mut self) -> Result<(), DeviceError> {
        let facts = self.slots.facts().map_err(|error| slot_error(&error))?;
        let slot = facts.idle.slot;
        let failures = facts.circumstances.failures.of(slot);
        let committed = matches!(facts.idle.entry, EntryState::Committed { .. });
        if !committed || failures < fall_over::LIMIT {
            return Ok(());
        }
        let why = format!("{slot} was committed, but no longer came up");
        log::error(format!("{why}; it is given up, {} stays", slot.other()));
        self.rotten = Some(why);
        self.idle()?.retire().map_err(|error| slot_error(&error))
    }

    /// What shows that the boot before this one ended by itself, if that was a try: a kernel's dump, a watchdog's
    /// status.
    fn crashed(&self, found: &roamcore_slots::Facts) -> Option<String> {
        let after_a_try = match (&found.circumstances.trial, &found.idle.entry) {
            // What ended before the first try was the old slot.
            (Some(trial), _) => trial.tries_done > 1,
            (None, EntryState::Counted { done, .. }) => *done > 0,
            (None, EntryState::None | EntryState::Committed { .. }) => false,
        };
        if !after_a_try {
            return None;
        }
        let evidence = self.surroundings.evidence(None);
        let dump = |lines: Vec<String>| {
            let panic = lines.iter().find(|line| line.contains("panic"));
            let line = panic.or(lines.last())?;
            Some(format!("the kernel left a dump: {line}"))
        };
        let watchdog = evidence.detectors.into_iter().next();
        watchdog.or_else(|| dump(evidence.pstore))
    }

    fn learn_running(&mut self) -> Result<(), DeviceError> {
        let facts = self.slots.facts().map_err(|error| slot_error(&error))?;
        if let Some(hash) = facts.running.content.root_hash() {
            let release = self.trust.identity().release.clone();
            self.known
                .learn(digest(hash), &release)
                .map_err(|error| passing(&error))?;
        }
        Ok(())
    }

    fn slot(&self, found: &roamcore_slots::SlotFacts) -> SlotFacts {
        let hash = found.content.root_hash().map(digest);
        SlotFacts {
            slot: found.slot,
            root_hash: hash,
            release: hash.and_then(|hash| self.known.get(&hash).cloned()),
            entry: match &found.entry {
                EntryState::None => Entry::Absent,
                EntryState::Counted { left, done, .. } => Entry::Counted {
                    left: *left,
                    done: *done,
                },
                EntryState::Committed { .. } => Entry::Committed,
            },
            uki: found.uki_bytes.is_some(),
        }
    }

    pub(super) fn idle(&self) -> Result<IdleSlot<'_>, DeviceError> {
        self.slots.idle().map_err(|error| slot_error(&error))
    }

    fn spec(update: &Update) -> RootSpec {
        RootSpec {
            size: update.root.size,
            sha256: update.root.sha256,
            root_hash: root_hash(&update.root.root_hash),
            salt: update.root.verity.salt.as_bytes().to_vec(),
            uuid: Guid::from_bytes(*update.root.verity.uuid.as_bytes()),
        }
    }

    /// Before it is armed: the clock may have been set since it was accepted, and time has passed. When the documents
    /// that were kept are lost, the expiry that was noted from them still counts.
    fn judge_again(&self, target: &Target, passed: Option<Timestamp>) -> Result<(), DeviceError> {
        if target.created.is_none() {
            // The release that ran before: no documents came with the wish to have it back.
            return Ok(());
        }
        let now = self.surroundings.clock();
        match self.documents.judged(&target.manifest) {
            Ok(judged) => self.trust.still_valid(&judged, passed, now),
            Err(error) => {
                log::error(format!(
                    "{}; judged by what was noted when they were accepted",
                    error.reason
                ));
                self.trust.not_expired(target, passed, now)
            }
        }
    }

    /// The UKI that a slot's entry notes, or that was just installed.
    fn uki_digest(&self, target: &Target) -> Result<Digest, DeviceError> {
        if let Ok(update) = self.documents.update(&target.manifest) {
            return Ok(update.uki.sha256);
        }
        self.slots
            .uki_digest(self.slots.running().other())
            .map_err(|error| slot_error(&error))?
            .ok_or_else(|| DeviceError::new(Trouble::Final, "the other slot has no UKI"))
    }
}

impl Device for SlotDevice {
    fn facts(&mut self) -> Result<Facts, DeviceError> {
        let found = self.slots.facts().map_err(|error| slot_error(&error))?;
        let on_trial = found.circumstances.trial.is_some();
        let tried = if on_trial {
            found.running.slot
        } else {
            found.idle.slot
        };
        let attempts = found.circumstances.attempts.as_ref();
        let attempts = attempts.filter(|attempts| attempts.slot == tried);
        Ok(Facts {
            boot: self.surroundings.boot()?,
            running: self.slot(&found.running),
            idle: self.slot(&found.idle),
            on_trial,
            failure_sign: attempts
                .and_then(|attempts| attempts.failure.as_ref())
                .map(|failure| format!("{} (try {})", failure.why, failure.tries_done))
                .or_else(|| self.rotten.clone())
                .or_else(|| self.crashed(&found)),
            came_up: attempts.map_or(0, |attempts| {
                u32::try_from(attempts.boots.len()).unwrap_or(u32::MAX)
            }),
        })
    }

    fn judge(
        &mut self,
        payload: &mut dyn Payload,
        memory: &Memory,
    ) -> Result<Judgement, DeviceError> {
        let judged = Documents::fetch(payload)?;
        let facts = self.slots.facts().map_err(|error| slot_error(&error))?;
        let Some(running) = facts.running.content.root_hash() else {
            let reason = format!(
                "{} runs, but its partitions do not show by which root hash; nothing can be judged against it",
                facts.running.slot
            );
            return Err(DeviceError::new(Trouble::Final, reason));
        };
        let circumstances = Circumstances {
            running: Running {
                sequence: self.trust.identity().release.sequence,
                root_hash: digest(running),
                uki_sha256: self
                    .slots
                    .uki_digest(facts.running.slot)
                    .map_err(|error| slot_error(&error))?,
            },
            slot_bytes: self
                .slots
                .slot_bytes()
                .map_err(|error| slot_error(&error))?,
            now: self.surroundings.clock(),
        };
        let judgement = self.trust.judge(&judged, memory, &circumstances)?;
        if let Judgement::Wanted(target) = &judgement {
            self.documents.keep(&judged)?;
            self.known
                .learn(target.root_hash, &target.release)
                .map_err(|error| passing(&error))?;
        }
        Ok(judgement)
    }

    fn invalidate(&mut self) -> Result<(), DeviceError> {
        self.proof = None;
        self.idle()?
            .invalidate()
            .map_err(|error| slot_error(&error))
    }

    fn plan(
        &mut self,
        target: &Target,
        payload: &mut dyn Payload,
        watch: &mut dyn Watch,
    ) -> Result<(), DeviceError> {
        self.plan_root(target, payload, watch)
    }

    fn write(
        &mut self,
        target: &Target,
        payload: &mut dyn Payload,
        watch: &mut dyn Watch,
    ) -> Result<(), DeviceError> {
        self.fill(target, payload, watch)
    }

    /// Makes the hash tree of what the disk gives back, and proves both; see [`IdleSlot::write_verity`].
    fn read_back(&mut self, target: &Target, watch: &mut dyn Watch) -> Result<(), DeviceError> {
        let update = self.documents.update(&target.manifest)?;
        let spec = Self::spec(&update);
        let idle = self.idle()?;
        let proof = watched(watch, spec.size, |observer| {
            idle.write_verity_watched(&spec, observer)
        })?;
        match proof {
            Ok(proof) => {
                self.proof = Some(proof);
                self.distrust = false;
                Ok(())
            }
            Err(error) => {
                self.distrust |= matches!(
                    error,
                    SlotError::RootDigest { .. } | SlotError::RootHash { .. }
                );
                Err(slot_error(&error))
            }
        }
    }

    fn publish(&mut self, target: &Target) -> Result<(), DeviceError> {
        let expected = root_hash(&target.root_hash);
        match &self.proof {
            Some(proof) if proof.root_hash() == expected => self
                .idle()?
                .publish_partuuids(proof)
                .map_err(|error| slot_error(&error)),
            _ => Err(DeviceError::new(
                Trouble::Passing,
                "the slot was not read back by this process",
            )),
        }
    }

    fn write_uki(
        &mut self,
        target: &Target,
        payload: &mut dyn Payload,
        watch: &mut dyn Watch,
    ) -> Result<(), DeviceError> {
        self.fill_uki(target, payload, watch)
    }

    fn arm(&mut self, target: &Target, passed: Option<Timestamp>) -> Result<(), DeviceError> {
        self.judge_again(target, passed)?;
        let facts = self.slots.facts().map_err(|error| slot_error(&error))?;
        let tried = matches!(facts.idle.entry, EntryState::Counted { done, .. } if done > 0);
        let idle = self.idle()?;
        if tried {
            return idle.rearm().map_err(|error| slot_error(&error));
        }
        let uki_sha256 = self.uki_digest(target)?;
        self.surroundings.snapshot()?;
        let idle = self.idle()?;
        if let Some(carried) = idle.carry_etc().map_err(|error| slot_error(&error))? {
            log::notice(format!(
                "/etc: {} names carried over, {} left behind, {} conflicts",
                carried.kept,
                carried.dropped,
                carried.conflicts.len()
            ));
        }
        idle.arm(&ArmRequest {
            release: target.release.version.clone(),
            sequence: target.release.sequence,
            root_hash: root_hash(&target.root_hash),
            uki_sha256,
        })
        .map_err(|error| slot_error(&error))
    }

    fn disarm(&mut self) -> Result<(), DeviceError> {
        self.idle()?.disarm().map_err(|error| slot_error(&error))
    }

    fn reboot(&mut self, destination: Destination) -> Result<(), DeviceError> {
        let entry = match destination {
            Destination::Trial => None,
            Destination::Committed => {
                let facts = self.slots.facts().map_err(|error| slot_error(&error))?;
                match facts.idle.entry {
                    EntryState::Committed { file, .. } => Some(file),
                    EntryState::None | EntryState::Counted { .. } => None,
                }
            }
        };
        self.surroundings.reboot(destination, entry.as_deref())
    }

    fn evidence(&mut self, _: &Target) -> Result<Evidence, DeviceError> {
        let facts = self.slots.facts().map_err(|error| slot_error(&error))?;
        let attempts = facts.circumstances.attempts.as_ref();
        let attempts = attempts.filter(|attempts| attempts.slot == facts.idle.slot);
        let came_up = attempts.map_or(0, |attempts| attempts.boots.len());
        let boot = attempts.and_then(Attempts::telling_boot);
        let mut evidence = self.surroundings.evidence(boot.map(|b| b.boot_id.as_str()));
        if let Some(failure) = attempts.and_then(|attempts| attempts.failure.as_ref()) {
            let noted = format!("noted by try {}: {}", failure.tries_done, failure.why);
            evidence.detectors.insert(0, noted);
        }
        if let EntryState::Counted { left, done, .. } = facts.idle.entry {
            evidence.detectors.push(format!(
                "boot loader: {done} tries used, {left} left; {came_up} of them came as far as the state partition"
            ));
        }
        Ok(evidence)
    }

    fn restore(&mut self, _: &Target) -> Result<(), DeviceError> {
        let facts = self.slots.facts().map_err(|error| slot_error(&error))?;
        let attempts = facts.circumstances.attempts.as_ref();
        let booted = attempts
            .is_some_and(|attempts| attempts.slot == facts.idle.slot && !attempts.boots.is_empty());
        let tried = matches!(facts.idle.entry, EntryState::Counted { done, .. } if done > 0);
        if booted || tried {
            self.surroundings.restore()?;
        }
        self.surroundings.forget()
    }

    fn settle(&mut self, _: &Target) -> Result<(), DeviceError> {
        self.proof = None;
        self.surroundings.forget()?;
        self.documents
            .forget_all_but(None)
            .map_err(|error| passing(&error))
    }

    /// A committed slot that was left by an update is as it was: nothing writes a slot without taking its entry and its
    /// PARTUUIDs away first. Its trial reads every block through verity before it can be committed again.
    fn previous(&mut self, _: &mut dyn Watch) -> Result<Target, DeviceError> {
        let facts = self.slots.facts().map_err(|error| slot_error(&error))?;
        let slot = facts.idle.slot;
        let Content::Sealed { root_hash, bytes } = facts.idle.content else {
            let reason = format!(
                "{slot} holds {}, which cannot be booted",
                facts.idle.content
            );
            return Err(DeviceError::new(Trouble::Final, reason));
        };
        let hash = digest(root_hash);
        let Some(release) = self.known.get(&hash).cloned() else {
            let reason = format!("{slot} holds root hash {hash}, whose release is not known here");
            return Err(DeviceError::new(Trouble::Final, reason));
        };
        Ok(Target {
            // No update has this digest, so that no documents are mistaken for its own.
            manifest: Digest::from([0; 32]),
            release,
            root_hash: hash,
            expires: None,
            root_bytes: bytes,
            floors: roamcore_ota::Floors::default(),
            created: None,
        })
    }
}

//! What a start of the process finds, and what that means for an armed slot.
//!
//! Owns: the difference between an interrupted and a failed trial. Never does: I/O. Invariant: a verdict is only
//! passed on a trial by another boot than the one that armed it, and only from what the disk shows.
//!
//! ```text
//!   Arming/Armed/Trial, and now runs ...
//!     the target, committed          -> Committed
//!     the target, counted            -> Trial
//!     the old slot, same boot        -> go on to the reboot
//!     the old slot, another boot:
//!        verdict noted or evidence   -> RolledBack
//!        entry gone                  -> RolledBack (entry lost)
//!        tries left                  -> Arming again, else RolledBack (interrupted too often)
//!        no tries left, one came up  -> Arming again, else RolledBack (tries used up)
//!        no tries left, none came up -> RolledBack (tries used up)
//! ```
//! Evidence is a note of the gate, the deadline or the initrd, a kernel's dump, a watchdog that says that it bit.
//! Without any, a try that came as far as the state partition was interrupted: kernel, initrd and root are good, or it
//! would not have come there, so one such try also excuses others that were cut sooner. If none came so far, it is the
//! release: three cuts within the first seconds of three boots would be needed, and the server may offer it again. A
//! panic or a hang without a trace looks like an interruption; therefore "again" has its limit, [`MOST_REARMS`], the
//! same that the slots keep in the entry itself.

use roamcore_ota::{Digest, Floors};
use roamcore_slots::{MOST_REARMS, TRIES};

use crate::facts::{BootId, Entry, Facts, Target};
use crate::record::{End, Job, Phase, Source, Verdict, Why};

use super::Turn;

impl Turn<'_> {
    /// Called once, before any event.
    pub(super) fn started(&mut self) {
        let facts = self.session.facts.clone();
        match self.record.phase.clone() {
            phase @ (Phase::Idle
            | Phase::Offered { .. }
            | Phase::AwaitingConfirmation { .. }
            | Phase::Writing { .. }
            | Phase::Verified { .. }
            | Phase::Cancelling { .. }) => self.started_unarmed(phase, &facts),
            Phase::Arming {
                job,
                target,
                rearms,
            } => self.started_arming(job, target, rearms, &facts),
            Phase::Armed {
                job,
                target,
                rearms,
                boot,
            } => {
                if runs(&facts, &target) {
                    self.trial_or_committed(job, target, rearms, None, &facts);
                } else if boot == facts.boot && facts.idle.entry != Entry::Absent {
                    // Restarted between arming and the reboot.
                } else {
                    self.verdict(job, target, rearms, false, &facts);
                }
            }
            Phase::Trial {
                job,
                target,
                rearms,
                failed,
                ..
            } => {
                if runs(&facts, &target) {
                    self.trial_or_committed(job, target, rearms, failed, &facts);
                } else if let Some(why) = failed {
                    self.enter(Phase::RolledBack { job, target, why });
                } else {
                    self.verdict(job, target, rearms, true, &facts);
                }
            }
            Phase::RolledBack { job, target, why } => {
                // The power failed before its entry was removed, and the boot loader tried it once more.
                if runs(&facts, &target) && facts.on_trial {
                    self.enter(Phase::Trial {
                        job,
                        target,
                        rearms: u32::MAX,
                        boot: facts.boot.clone(),
                        failed: Some(why),
                    });
                }
            }
            Phase::Committed { .. } => {}
        }
    }

    /// Nothing was armed as far as the record knows.
    fn started_unarmed(&mut self, phase: Phase, facts: &Facts) {
        if facts.on_trial {
            // The record is older than the disk, or new: follow the disk, and above all do not touch the other slot.
            if let Some(target) = target_of(facts) {
                self.note("this boot is a trial that the record does not know");
                let job = self.local_job(Source::Recovered, target.release.to_string());
                self.enter(Phase::Trial {
                    job,
                    target,
                    rearms: 0,
                    boot: facts.boot.clone(),
                    failed: None,
                });
            }
            return;
        }
        match phase {
            // A counted entry that no phase speaks of would start a trial at the next boot.
            Phase::Idle if matches!(facts.idle.entry, Entry::Counted { .. }) => {
                self.note("removing an armed slot that the record does not know");
                let job = self.local_job(Source::Recovered, "unknown".to_owned());
                let end = End::Silent;
                self.enter(Phase::Cancelling { job, end });
            }
            Phase::Verified { job, target } if !holds(facts, &target) => {
                self.write_again(job, target);
            }
            _ => {}
        }
    }

    /// The entry may or may not have been written, and may even have been booted.
    fn started_arming(&mut self, job: Job, target: Target, rearms: u32, facts: &Facts) {
        if runs(facts, &target) {
            self.trial_or_committed(job, target, rearms, None, facts);
            return;
        }
        match facts.idle.entry {
            Entry::Counted { done: 0, left } if left > 0 && holds(facts, &target) => {
                self.enter(Phase::Armed {
                    job,
                    target,
                    rearms,
                    boot: facts.boot.clone(),
                });
            }
            // Whether it may be armed is judged anew: the window may have closed.
            Entry::Absent if rearms == 0 => {
                if holds(facts, &target) {
                    self.enter(Phase::Verified { job, target });
                } else {
                    self.write_again(job, target);
                }
            }
            Entry::Absent if holds(facts, &target) => {}
            _ => self.verdict(job, target, rearms, false, facts),
        }
    }

    fn write_again(&mut self, job: Job, target: Target) {
        self.note("the idle slot is not what was verified");
        if job.source == Source::Previous {
            self.enter(Phase::Idle);
            let reason = "the other slot no longer holds what was to be booted".to_owned();
            self.conclude(&job, Verdict::Failed, 0, vec![reason]);
            return;
        }
        self.enter(Phase::Writing {
            job,
            target,
            plan: None,
        });
    }

    fn trial_or_committed(
        &mut self,
        job: Job,
        target: Target,
        rearms: u32,
        failed: Option<Why>,
        facts: &Facts,
    ) {
        if facts.running.entry == Entry::Committed {
            self.commit(job, target);
            return;
        }
        let failed = failed.or(facts.failure_sign.clone().map(Why::Evidence));
        self.enter(Phase::Trial {
            job,
            target,
            rearms,
            boot: facts.boot.clone(),
            failed,
        });
    }

    /// The old slot runs, in another boot than the one that armed.
    fn verdict(
        &mut self,
        job: Job,
        target: Target,
        rearms: u32,
        seen_running: bool,
        facts: &Facts,
    ) {
        let why = match (&facts.failure_sign, facts.idle.entry) {
            (Some(sign), _) => Why::Evidence(sign.clone()),
            (None, Entry::Absent) => Why::EntryLost,
            (None, Entry::Committed) => Why::FellOver,
            (None, _) if !holds(facts, &target) => Why::ContentLost,
            (None, Entry::Counted { left, done }) => {
                let interrupted = left > 0 || seen_running || facts.came_up > 0;
                if interrupted && rearms < MOST_REARMS {
                    return self.arm_again(job, target, rearms);
                }
                if left > 0 {
                    Why::InterruptedTooOften { rearms }
                } else {
                    // Each arming before was used up, too, or is counted as if it were.
                    let before = rearms.saturating_mul(TRIES);
                    let done = done.saturating_add(before);
                    Why::TriesUsedUp { done }
                }
            }
        };
        self.enter(Phase::RolledBack { job, target, why });
    }

    fn arm_again(&mut self, job: Job, target: Target, rearms: u32) {
        self.note("the trial was interrupted without a sign of failure, arming it again");
        self.enter(Phase::Arming {
            job,
            target,
            rearms: rearms + 1,
        });
    }

    /// The truth the server hears, once the slot is permanent.
    pub(super) fn commit(&mut self, job: Job, target: Target) {
        // Another slot that was there before proves nothing about floors.
        if matches!(job.source, Source::Server { .. } | Source::Local { .. }) {
            self.record.memory.floors = target.floors.clone();
        }
        let details = vec![format!(
            "committed {} in {}",
            target.release, self.session.facts.running.slot
        )];
        self.enter(Phase::Committed {
            job: job.clone(),
            target,
        });
        self.conclude(&job, Verdict::Succeeded, 0, details);
    }

    /// The disk was read again.
    pub(super) fn facts(&mut self, facts: Facts) {
        self.session.facts = facts;
        let facts = self.session.facts.clone();
        if let Phase::Trial { job, target, .. } = self.record.phase.clone()
            && runs(&facts, &target)
            && facts.running.entry == Entry::Committed
        {
            self.commit(job, target);
        }
    }

    /// An uncommitted trial has its time.
    pub(super) fn consider_trial(&mut self) {
        let late = self.now.boot_ms >= self.policy.trial_deadline_ms;
        let here: BootId = self.session.facts.boot.clone();
        if let Phase::Trial { failed, boot, .. } = &mut self.record.phase
            && failed.is_none()
            && late
            && *boot == here
        {
            *failed = Some(Why::Deadline);
            self.note("the trial was not committed in time");
        }
    }
}

/// The running slot is the target.
pub(super) fn runs(facts: &Facts, target: &Target) -> bool {
    facts.running.root_hash == Some(target.root_hash)
}

/// The idle slot is the target, complete.
pub(super) fn holds(facts: &Facts, target: &Target) -> bool {
    facts.idle.root_hash == Some(target.root_hash) && facts.idle.uki
}

/// The running slot as a target, when enough is known of it.
fn target_of(facts: &Facts) -> Option<Target> {
    Some(Target {
        manifest: Digest::from([0; 32]),
        release: facts.running.release.clone()?,
        root_hash: facts.running.root_hash?,
        expires: None,
        root_bytes: 0,
        floors: Floors::default(),
        created: None,
    })
}

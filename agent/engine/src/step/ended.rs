//! What work says while it runs and when it ends.
//!
//! Owns: the step from each result to the next phase, patience with failures, the counting of bytes. Never does: I/O.
//! Invariant: a result of work that is not wanted any more changes nothing.

use crate::budget::WhenShort;
use crate::device::{DeviceError, Judgement, Trouble};
use crate::facts::{Evidence, Target};
use crate::offer::Handling;
use crate::outbox::Message;
use crate::record::{Answer, Asker, End, Job, Phase, Source, Verdict, Why};
use crate::state::{Effect, Retry};
use crate::work::{Done, WorkEvent};

use super::Turn;

/// Longest wait for a network.
const LONGEST_WAIT_MS: u64 = 5 * 60 * 1000;
/// Bytes that may be forgotten by a cut, in exchange for not writing the record with every progress event.
const UNSAVED_BYTES: u64 = 1024 * 1024;
/// A reboot that was asked for and does not come is asked for again.
const REBOOT_AGAIN_MS: u64 = 2 * 60 * 1000;
/// Exit code of "expired" is 16; refused by the owner's limits has none.
const NO_CODE: i32 = 0;

impl Turn<'_> {
    pub(super) fn work(&mut self, event: WorkEvent) {
        let Some(running) = &mut self.session.running else {
            return;
        };
        let fetched = match &event {
            WorkEvent::Planned(_) => running.counted,
            WorkEvent::Progress(progress) => progress.fetched,
            WorkEvent::Ended { fetched, .. } => *fetched,
        };
        self.session.unsaved_bytes += fetched.saturating_sub(running.counted);
        running.counted = running.counted.max(fetched);
        let running = running.clone();
        match event {
            WorkEvent::Planned(facts) => {
                if let Phase::Writing { plan, .. } = &mut self.record.phase
                    && plan.is_none()
                {
                    *plan = Some(facts);
                    self.note(format!(
                        "plan: {} of {} bytes to fetch in {} requests, {} to write",
                        facts.download_bytes, facts.full_bytes, facts.requests, facts.write_bytes
                    ));
                }
            }
            WorkEvent::Progress(progress) => {
                self.session.progress = progress;
                self.report_progress();
            }
            WorkEvent::Ended { result, facts, .. } => {
                self.session.running = None;
                if let Some(facts) = facts {
                    self.session.facts = *facts;
                }
                // What a budget ended is durable at once, or a restart would fetch it twice.
                self.save_usage();
                let wanted = self.record.phase.job().map(|job| job.id) == Some(running.work.job());
                match result {
                    Ok(done) if wanted => self.done(done),
                    Err(error) if wanted => self.failed(&error, running.stopping),
                    _ => {}
                }
            }
        }
    }

    /// Moves counted bytes to the record when there are enough.
    pub(super) fn account(&mut self) {
        if self.session.unsaved_bytes >= UNSAVED_BYTES {
            self.save_usage();
        }
    }

    fn save_usage(&mut self) {
        if self.session.unsaved_bytes > 0 {
            self.record.usage = self.usage_now();
            self.session.unsaved_bytes = 0;
        }
    }

    fn done(&mut self, done: Done) {
        match (self.record.phase.clone(), done) {
            (Phase::Offered { job }, Done::Judged(judgement)) => self.judged(job, *judgement),
            (Phase::Writing { job, target, .. }, Done::Written) => self.written(job, target),
            (
                Phase::Arming {
                    job,
                    target,
                    rearms,
                },
                Done::Armed,
            ) => self.enter(Phase::Armed {
                job,
                target,
                rearms,
                boot: self.session.facts.boot.clone(),
            }),
            (Phase::Armed { .. } | Phase::Trial { .. }, Done::RebootAsked) => {
                self.session.retry = Some(Retry {
                    attempts: 0,
                    not_before_ms: self.now.boot_ms + REBOOT_AGAIN_MS,
                });
            }
            (Phase::Trial { job, target, .. }, Done::FoundCommitted) => self.commit(job, target),
            (Phase::RolledBack { job, target, why }, Done::RolledBack(evidence)) => {
                self.rolled_back(&job, &target, &why, evidence);
            }
            (Phase::Cancelling { job, end }, Done::Cleared) => self.cleared(&job, end, None),
            (Phase::Committed { .. }, Done::Settled) => self.enter(Phase::Idle),
            // A result of another kind than the phase asks for belongs to a phase that is over.
            _ => {}
        }
    }

    fn judged(&mut self, job: Job, judgement: Judgement) {
        let (Judgement::Running(target) | Judgement::Wanted(target)) = &judgement;
        self.record.memory.passed = self.record.memory.passed.max(target.created);
        match judgement {
            Judgement::Running(target) => {
                self.record.memory.floors = target.floors;
                self.enter(Phase::Idle);
                let details = vec![format!("{} is running already", target.release)];
                self.conclude(&job, Verdict::Succeeded, NO_CODE, details);
            }
            Judgement::Wanted(target) if job.source == Source::Previous => {
                let (epoch, floor) = (
                    target.release.security_epoch,
                    self.record.memory.floors.security_epoch,
                );
                if epoch < floor {
                    self.enter(Phase::Idle);
                    let reason = format!(
                        "refused: the other slot has security epoch {epoch}, at least {floor} is required"
                    );
                    self.conclude(&job, Verdict::Failed, NO_CODE, vec![reason]);
                } else {
                    self.enter(Phase::Verified { job, target });
                }
            }
            Judgement::Wanted(target) => {
                self.note(format!("judged: {} is wanted", target.release));
                if self.asks_before_writing(&job) {
                    self.enter(Phase::AwaitingConfirmation {
                        job,
                        asker: Asker::Policy,
                        answer: Answer::Open,
                        target: Some(target),
                    });
                } else {
                    self.enter(Phase::Writing {
                        job,
                        target,
                        plan: None,
                    });
                }
            }
        }
    }

    fn written(&mut self, mut job: Job, target: Target) {
        if let Some(action) = job.source.action().cloned() {
            let details = vec![format!(
                "{} is in {} and read back",
                target.release, self.session.facts.idle.slot
            )];
            if job.mode.update == Handling::Skip {
                job.told_downloaded = true;
                self.record
                    .outbox
                    .push(Message::Downloaded { action, details });
            }
        }
        self.enter(Phase::Verified { job, target });
    }

    fn rolled_back(&mut self, job: &Job, target: &Target, why: &Why, evidence: Evidence) {
        let mut details = vec![format!(
            "rolled back from {} to {}: {why}",
            target.release, self.session.facts.running.slot
        )];
        details.extend(evidence.detectors);
        // The journal says most; pstore is for boots that had none.
        if evidence.journal.is_empty() {
            details.extend(evidence.pstore);
        } else {
            details.extend(evidence.journal);
        }
        self.enter(Phase::Idle);
        self.conclude(job, Verdict::Failed, NO_CODE, details);
    }

    fn cleared(&mut self, job: &Job, end: End, trouble: Option<&DeviceError>) {
        self.enter(Phase::Idle);
        if let Some(error) = trouble {
            self.note(format!("the idle slot could not be cleared: {error}"));
        }
        match end {
            End::CancelAccepted => {
                if let Some(action) = job.source.action().cloned() {
                    self.accept_cancel(&action, job);
                }
            }
            End::Failed { code, reason } => {
                self.conclude(job, Verdict::Failed, code, vec![reason]);
            }
            End::Silent => {}
        }
    }

    fn failed(&mut self, error: &DeviceError, asked_to_stop: bool) {
        match error.trouble {
            Trouble::Stopped if asked_to_stop => {}
            Trouble::Offline => {
                self.note(format!("no network: {error}"));
                self.wait(error);
            }
            Trouble::OutOfBudget if self.policy.budget.when_short == WhenShort::Wait => {
                self.note(format!("waiting for the next data budget: {error}"));
                self.wait(error);
            }
            Trouble::Passing | Trouble::Stopped => self.passing(error),
            Trouble::Final | Trouble::OutOfBudget => self.give_up(error),
        }
    }

    fn wait(&mut self, error: &DeviceError) {
        let retry = Retry::after(self.session.retry, self.now, LONGEST_WAIT_MS);
        self.session.retry = Some(retry);
        self.session.problem = Some(error.to_string());
    }

    /// Counted durably, so that a process that dies of it does not try for ever.
    fn passing(&mut self, error: &DeviceError) {
        self.note(format!("failed, trying again: {error}"));
        self.wait(error);
        self.effects.push(Effect::Poll);
        let most = self.policy.most_failures;
        // Out of an armed slot or a trial only a reboot leads, however often it takes.
        let patient = matches!(
            self.record.phase,
            Phase::Armed { .. } | Phase::Trial { .. } | Phase::Idle
        );
        let Some(job) = self.record.phase.job_mut() else {
            return;
        };
        job.failures = job.failures.saturating_add(1);
        if job.failures >= most && !patient {
            let reason = format!("given up after {most} attempts: {error}");
            self.give_up(&DeviceError {
                reason,
                ..error.clone()
            });
        }
    }

    fn give_up(&mut self, error: &DeviceError) {
        match self.record.phase.clone() {
            // Without a plan the idle slot was not touched: the way back stays.
            Phase::Offered { job }
            | Phase::Writing {
                job, plan: None, ..
            } => {
                self.enter(Phase::Idle);
                self.conclude(&job, Verdict::Failed, error.code, vec![error.to_string()]);
            }
            Phase::Writing { job, .. } => {
                let end = End::Failed {
                    code: error.code,
                    reason: error.to_string(),
                };
                self.enter(Phase::Cancelling { job, end });
            }
            Phase::Arming { job, target, .. } => self.enter(Phase::RolledBack {
                job,
                target,
                why: Why::NotArmed(error.to_string()),
            }),
            Phase::RolledBack { job, target, why } => {
                let evidence = Evidence {
                    detectors: vec![format!("the slot's entry could not be removed: {error}")],
                    ..Evidence::default()
                };
                self.rolled_back(&job, &target, &why, evidence);
            }
            Phase::Cancelling { job, end } => self.cleared(&job, end, Some(error)),
            Phase::Committed { .. } => {
                self.note(format!("could not tidy after the commit: {error}"));
                self.enter(Phase::Idle);
            }
            Phase::Armed { .. } | Phase::Trial { .. } => {
                self.note(format!("the reboot failed, asking again: {error}"));
                self.wait(error);
            }
            Phase::Idle | Phase::AwaitingConfirmation { .. } | Phase::Verified { .. } => {}
        }
    }
}

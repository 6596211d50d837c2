//! Which work a state wants, and whether it may be armed.
//!
//! Owns: the function from state to work, the order to begin and to stop. Never does: I/O. Invariants: the idle slot is not
//! touched in a trial, where it is the way back; at most one piece of work runs.

use crate::budget::WhenShort;
use crate::device::Destination;
use crate::offer::{Handling, Window};
use crate::policy::{Ask, Limits};
use crate::record::{Asker, Consent, End, Job, Phase, Source};
use crate::state::{Effect, Running};
use crate::work::{Grant, Work};

use super::Turn;

/// A grant below this is not worth a connection.
const SMALLEST_GRANT: u64 = 64 * 1024;

/// Whether a verified slot may be armed now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Now.
    None,
    /// The server says download-only, or its window is closed.
    Server,
    /// A poll is needed to know that the window is still open.
    Stale,
    /// A person or the owner's hours.
    Consent,
    /// Ignition, battery or guests.
    Conditions,
}

impl Turn<'_> {
    pub(super) fn consider_arming(&mut self) {
        match self.record.phase.clone() {
            Phase::AwaitingConfirmation {
                job,
                asker: Asker::Policy,
                target: Some(target),
                ..
            } if !self.asks_before_writing(&job) => self.enter(Phase::Writing {
                job,
                target,
                plan: None,
            }),
            Phase::Verified { job, target } => {
                if let (Some(expires), Some(now)) = (target.expires, self.now.unix)
                    && now >= expires.as_unix()
                {
                    let reason = format!("refused: {} expired at {expires}", target.release);
                    let end = End::Failed { code: 16, reason };
                    self.enter(Phase::Cancelling { job, end });
                } else if self.hold(&job) == Hold::None {
                    self.enter(Phase::Arming {
                        job,
                        target,
                        rearms: 0,
                    });
                }
            }
            _ => {}
        }
    }

    pub(super) fn asks_before_writing(&self, job: &Job) -> bool {
        job.mode.update != Handling::Forced
            && job.consent == Consent::Open
            && self.policy.soft.ask == Ask::BeforeWriting
            && !job.mode.is_download_only()
    }

    pub(super) fn hold(&self, job: &Job) -> Hold {
        let consent = job.consent == Consent::Given;
        let wanted_here = consent && job.mode.is_download_only();
        if job.mode.update == Handling::Skip && !wanted_here {
            return Hold::Server;
        }
        if job.mode.window != Window::None {
            if job.mode.window == Window::Unavailable {
                return Hold::Server;
            }
            let fresh = self.session.seen.as_ref().is_some_and(|seen| {
                self.now.boot_ms.saturating_sub(seen.at_ms) <= self.policy.window_fresh_ms
            });
            if !fresh || self.session.reachable.as_ref() != job.source.action() {
                return Hold::Stale;
            }
        }
        if !self.session.conditions.may_reboot {
            return Hold::Conditions;
        }
        let soft = self.policy.soft;
        let in_hours = match (soft.hours, self.now.unix) {
            (Some(hours), Some(unix)) => hours.contains(unix),
            // Without a clock nobody knows the hour, so it is not the hour.
            (Some(_), None) => false,
            (None, _) => soft.ask == Ask::Never,
        };
        let free = job.mode.update == Handling::Forced
            || consent
            || job.mode.window == Window::Available
            || in_hours;
        if free { Hold::None } else { Hold::Consent }
    }

    fn waiting(&self) -> bool {
        self.session
            .retry
            .is_some_and(|retry| self.now.boot_ms < retry.not_before_ms)
    }

    /// The files of a server's job can be fetched once this process has seen its deployment.
    pub(super) fn may_fetch(&self, job: &Job) -> bool {
        let reachable = match &job.source {
            Source::Server { action, .. } => self.session.reachable.as_ref() == Some(action),
            Source::Local { .. } | Source::Previous | Source::Recovered => true,
        };
        reachable && job.mode.download != Handling::Skip
    }

    fn desired(&self) -> Option<Work> {
        // The idle slot is the way back out of a trial; nothing new begins before the trial is over.
        let settled = !self.session.facts.on_trial;
        match &self.record.phase {
            Phase::Idle | Phase::AwaitingConfirmation { .. } | Phase::Verified { .. } => None,
            Phase::Offered { job } if job.source == Source::Previous => {
                settled.then_some(Work::Previous { job: job.id })
            }
            Phase::Offered { job } => (settled && self.may_fetch(job)).then(|| Work::Judge {
                job: job.id,
                source: job.source.clone(),
                memory: Box::new(self.record.memory.clone()),
            }),
            Phase::Writing { job, target, .. } => {
                (settled && self.may_fetch(job)).then(|| Work::Write {
                    job: job.id,
                    source: job.source.clone(),
                    target: target.clone(),
                })
            }
            Phase::Arming {
                job,
                target,
                rearms,
            } => settled.then(|| Work::Arm {
                job: job.id,
                target: target.clone(),
                rearms: *rearms,
                passed: self.record.memory.passed,
            }),
            Phase::Armed { job, .. } => {
                self.session.conditions.may_reboot.then_some(Work::Reboot {
                    job: job.id,
                    destination: Destination::Trial,
                })
            }
            Phase::Trial { job, failed, .. } => failed.is_some().then_some(Work::Reboot {
                job: job.id,
                destination: Destination::Committed,
            }),
            Phase::Committed { job, target } => Some(Work::Settle {
                job: job.id,
                target: target.clone(),
            }),
            Phase::RolledBack { job, target, .. } => Some(Work::RollBack {
                job: job.id,
                target: target.clone(),
            }),
            Phase::Cancelling { job, .. } => Some(Work::Clear { job: job.id }),
        }
    }

    /// What the next work may fetch; none when it has to wait.
    pub(super) fn grant(&self) -> Option<Grant> {
        let planned = matches!(self.record.phase, Phase::Writing { plan: Some(_), .. });
        // A stick costs nothing.
        let paid = self
            .record
            .phase
            .job()
            .is_some_and(|job| job.source.action().is_some());
        if !paid {
            return Some(Grant::default());
        }
        let budget = &self.policy.budget;
        let left = self.usage_now().left(budget);
        let refuses = budget.when_short == WhenShort::Refuse;
        if !refuses && left.is_some_and(|left| left < SMALLEST_GRANT) {
            return None;
        }
        Some(Grant {
            // Who refuses what does not fit lets go on what did fit when it was planned.
            bytes: if refuses { None } else { left },
            rate: self.policy.bytes_per_second,
            limits: if planned {
                Limits::NONE
            } else {
                self.policy.limits
            },
            refuse_above: left.filter(|_| refuses && !planned),
        })
    }

    pub(super) fn usage_now(&self) -> crate::budget::Usage {
        self.record
            .usage
            .at(self.now.unix)
            .plus(self.session.unsaved_bytes)
    }

    /// Brings the running work in line with the wanted one.
    pub(super) fn drive(&mut self) {
        let desired = self.desired();
        let waiting = self.waiting();
        match (&mut self.session.running, desired) {
            (None, Some(work)) if !waiting => {
                let fetches = work.payload().is_some();
                let grant = if fetches { self.grant() } else { None };
                if fetches && grant.is_none() {
                    return;
                }
                let grant = grant.unwrap_or_default();
                self.session.running = Some(Running {
                    work: work.clone(),
                    stopping: false,
                    counted: 0,
                });
                let work = Box::new(work);
                self.effects.push(Effect::Begin { work, grant });
            }
            (Some(running), desired)
                if desired.as_ref() != Some(&running.work) && !running.stopping =>
            {
                running.stopping = true;
                self.effects.push(Effect::StopWork);
            }
            _ => {}
        }
    }
}

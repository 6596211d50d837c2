//! What a server's view means in each phase.
//!
//! Owns: hawkBit's rules of deployments, confirmations and cancels. Never does: I/O.
//!
//! ```text
//!                      before it is armed            armed, trial                 finished
//!   same deployment    follow its mode               -                            answer again, never install again
//!   other deployment   drop the old one, take it     later                        take it
//!   confirmation       ask (again)                   -                            answer again
//!   cancel             stop, invalidate, accept      reject                       answer again
//!   nothing            drop it silently              go on, the answer is owed    -
//! ```

use crate::offer::{ActionId, Deployment, Mode, View};
use crate::outbox::{Message, Outbox};
use crate::policy::Questions;
use crate::record::{Answer, Asker, Consent, End, Finished, Job, JobId, Phase, Source, Verdict};
use crate::state::Seen;

use super::Turn;

/// Exit code "unsupported-format" of the table in docs/release.md: a deployment that is not a release of ours.
const FOREIGN: i32 = 18;

impl Turn<'_> {
    pub(super) fn server(&mut self, view: View) {
        self.session.reachable = match &view {
            View::Deployment(deployment) => Some(deployment.action.clone()),
            // Files of an action that is being cancelled or not confirmed are not served.
            View::Nothing | View::Confirmation(_) | View::Cancel(_) => None,
        };
        self.session.seen = Some(Seen {
            view,
            at_ms: self.now.boot_ms,
        });
    }

    /// Follows the view as far as the phase allows; called until nothing changes.
    pub(super) fn consider_view(&mut self) {
        let Some(seen) = self.session.seen.clone() else {
            return;
        };
        match seen.view {
            View::Nothing => self.nothing_there(),
            View::Deployment(deployment) => {
                if !self.record.outbox.speaks_of(&deployment.action) {
                    self.deployment_there(&deployment);
                }
            }
            View::Confirmation(deployment) => {
                if !self.record.outbox.speaks_of(&deployment.action) {
                    self.confirmation_there(&deployment);
                }
            }
            View::Cancel(action) => {
                if !self.record.outbox.speaks_of(&action) {
                    self.cancel_there(&action);
                }
            }
        }
    }

    fn nothing_there(&mut self) {
        let Some(job) = self.record.phase.job() else {
            return;
        };
        let Some(action) = job.source.action().cloned() else {
            return;
        };
        // The server closes a download-only action itself; what it brought stays until somebody wants it.
        let kept = job.told_downloaded && job.mode.is_download_only();
        // Our own answer may be what made it disappear.
        let answered = self.record.outbox.speaks_of(&action);
        if self.record.phase.can_be_cancelled() && !kept && !answered {
            self.note(format!("action {action} disappeared from the server"));
            self.enter(Phase::Idle);
        }
    }

    fn deployment_there(&mut self, deployment: &Deployment) {
        let fingerprint = deployment.fingerprint();
        let same = |job: &Job| matches!(&job.source, Source::Server { action, fingerprint: known } if *action == deployment.action && *known == fingerprint);
        if self.record.phase.job().is_some_and(same) {
            self.follow_mode(deployment.mode);
        } else if self.may_take() && !self.answer_again(deployment) {
            self.take(deployment);
        }
    }

    /// Soft became forced, a window opened, or the server stopped asking.
    fn follow_mode(&mut self, mode: Mode) {
        let waited = match &mut self.record.phase {
            Phase::AwaitingConfirmation {
                job,
                asker: Asker::Server,
                answer,
                ..
            } => {
                if *answer == Answer::Confirmed {
                    job.consent = Consent::Given;
                }
                Some(job.clone())
            }
            _ => None,
        };
        if let Some(job) = waited {
            self.enter(Phase::Offered { job });
        }
        if let Some(job) = self.record.phase.job_mut()
            && job.mode != mode
        {
            job.mode = mode;
        }
    }

    fn confirmation_there(&mut self, deployment: &Deployment) {
        let fingerprint = deployment.fingerprint();
        let action = &deployment.action;
        let ours = self
            .record
            .phase
            .job()
            .is_some_and(|job| job.source.action() == Some(action));
        if ours {
            if let Phase::AwaitingConfirmation {
                job,
                asker: Asker::Server,
                answer,
                ..
            } = &self.record.phase
            {
                // The answer was taken, yet the server asks: it forgot. A denial is not repeated, it would be for ever.
                if *answer == Answer::Confirmed {
                    let (action, title) = (action.clone(), job.title.clone());
                    self.send_confirmation(action, true, format!("confirmed: {title}"));
                }
                return;
            }
            // Asked again in the middle of it: consent was withdrawn on the server.
            if self.record.phase.can_be_cancelled()
                && let Some(mut job) = self.record.phase.job().cloned()
            {
                job.consent = Consent::Open;
                self.ask(job);
            }
            return;
        }
        if !self.may_take() || self.answer_again(deployment) {
            return;
        }
        let job = self.job_for(deployment, fingerprint);
        match deployment.update_module() {
            Ok(_) => self.ask(job),
            // The device cannot close such an action; it says no once and lets the operator cancel.
            Err(why) => {
                self.enter(Phase::AwaitingConfirmation {
                    job,
                    asker: Asker::Server,
                    answer: Answer::Denied,
                    target: None,
                });
                self.send_confirmation(action.clone(), false, why.to_string());
            }
        }
    }

    fn ask(&mut self, job: Job) {
        let accept = self.policy.questions == Questions::Accept;
        let Some(action) = job.source.action().cloned() else {
            return;
        };
        let title = job.title.clone();
        self.enter(Phase::AwaitingConfirmation {
            job,
            asker: Asker::Server,
            answer: if accept {
                Answer::Confirmed
            } else {
                Answer::Open
            },
            target: None,
        });
        if accept {
            self.send_confirmation(action, true, format!("accepted by policy: {title}"));
        }
    }

    pub(super) fn send_confirmation(&mut self, action: ActionId, confirmed: bool, detail: String) {
        self.record.outbox.push(Message::Confirmation {
            action,
            confirmed,
            details: vec![detail],
        });
    }

    fn cancel_there(&mut self, action: &ActionId) {
        let ours = self
            .record
            .phase
            .job()
            .filter(|job| job.source.action() == Some(action))
            .cloned();
        if let Some(job) = ours {
            match &self.record.phase {
                Phase::AwaitingConfirmation { .. }
                | Phase::Offered { .. }
                | Phase::Writing { plan: None, .. } => {
                    self.enter(Phase::Idle);
                    self.accept_cancel(action, &job);
                }
                phase if phase.can_be_cancelled() => self.enter(Phase::Cancelling {
                    job,
                    end: End::CancelAccepted,
                }),
                Phase::Arming { .. } | Phase::Armed { .. } | Phase::Trial { .. } => {
                    let phase = self.record.phase.name();
                    self.record.outbox.push(Message::Cancel {
                        action: action.clone(),
                        accepted: false,
                        details: vec![format!(
                            "too late to cancel: the update is {phase}; its result will be reported"
                        )],
                    });
                }
                // Its final answer or the acceptance is about to follow.
                _ => {}
            }
            return;
        }
        match self.remembered(action) {
            // The final answer was taken or found nobody, and still the server waits: end it in the way that always works.
            Some(done) if done.verdict == Verdict::Cancelled || done.repeated() => {
                self.record.outbox.push(Message::Cancel {
                    action: action.clone(),
                    accepted: true,
                    details: vec![format!("nothing of it is going on: {}", done.summary)],
                });
            }
            Some(done) => self.say_again(done),
            None => {
                self.record.outbox.push(Message::Cancel {
                    action: action.clone(),
                    accepted: true,
                    details: vec!["cancelled before anything was done".to_owned()],
                });
                self.remember(Finished::new(
                    action.clone(),
                    None,
                    Verdict::Cancelled,
                    "cancelled before anything was done".to_owned(),
                ));
            }
        }
    }

    pub(super) fn accept_cancel(&mut self, action: &ActionId, job: &Job) {
        self.record.outbox.push(Message::Cancel {
            action: action.clone(),
            accepted: true,
            details: vec![format!("cancelled: {}", job.title)],
        });
        if let Source::Server {
            action,
            fingerprint,
        } = &job.source
        {
            self.remember(Finished::new(
                action.clone(),
                Some(*fingerprint),
                Verdict::Cancelled,
                "cancelled by the server".to_owned(),
            ));
        }
    }

    /// A finished action is answered as before and not done again. One with other content under the same number is a new
    /// one: the server lost its memory. Neither is one whose cancel the server took back.
    fn answer_again(&mut self, deployment: &Deployment) -> bool {
        let Some(done) = self.remembered(&deployment.action) else {
            return false;
        };
        let same = done.fingerprint == Some(deployment.fingerprint());
        if !same || done.verdict == Verdict::Cancelled {
            return false;
        }
        self.say_again(done);
        true
    }

    fn say_again(&mut self, mut done: Finished) {
        self.note(format!(
            "action {} is shown again; repeating that it {:?}",
            done.action, done.verdict
        ));
        self.record.outbox.push(Message::Final {
            action: done.action.clone(),
            success: done.verdict == Verdict::Succeeded,
            runs: None,
            code: 0,
            details: vec![done.summary.clone()],
        });
        done.repeats = done.repeats.saturating_add(1);
        self.remember(done);
    }

    /// Whether a server's new action may take the place of what is going on.
    fn may_take(&self) -> bool {
        let free = match &self.record.phase {
            Phase::Idle => true,
            phase => {
                phase.can_be_cancelled()
                    && phase.job().is_some_and(|job| job.source.action().is_some())
            }
        };
        free && self.record.outbox.len() < Outbox::FULL
    }

    fn take(&mut self, deployment: &Deployment) {
        if let Some(action) = self.record.phase.job().and_then(|job| job.source.action()) {
            let action = action.clone();
            self.note(format!(
                "action {action} gives way to action {}",
                deployment.action
            ));
        }
        let job = self.job_for(deployment, deployment.fingerprint());
        match deployment.update_module() {
            Ok(_) => self.enter(Phase::Offered { job }),
            Err(why) => {
                self.enter(Phase::Idle);
                self.conclude(
                    &job,
                    Verdict::Failed,
                    FOREIGN,
                    vec![format!("refused: {why}")],
                );
            }
        }
    }

    fn job_for(&mut self, deployment: &Deployment, fingerprint: roamcore_ota::Digest) -> Job {
        Job {
            id: self.next_job(),
            source: Source::Server {
                action: deployment.action.clone(),
                fingerprint,
            },
            title: deployment.title(),
            mode: deployment.mode,
            consent: Consent::Open,
            failures: 0,
            told_downloaded: false,
            told_percent: None,
        }
    }

    /// A job of somebody at the device.
    pub(super) fn local_job(&mut self, source: Source, title: String) -> Job {
        let id: JobId = self.next_job();
        Job {
            id,
            source,
            title,
            mode: Mode::LOCAL,
            consent: Consent::Given,
            failures: 0,
            told_downloaded: false,
            told_percent: None,
        }
    }
}

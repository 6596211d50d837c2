//! What people at the device ask for.
//!
//! Owns: the answers to `roamcore install|confirm|cancel|rollback`. Never does: I/O. Invariant: every command gets exactly one
//! reply, and a refusal says what is going on and what to do.

use crate::facts::Entry;
use crate::offer::LocalOffer;
use crate::record::{Answer, Asker, Consent, End, Phase, Source, Verdict, Why};
use crate::state::{Conditions, Effect, Gate, Reply};

use super::Turn;

impl Turn<'_> {
    pub(super) fn conditions(&mut self, conditions: Conditions) {
        if conditions.online && !self.session.conditions.online {
            // Waiting was for the network; it is there.
            self.session.retry = None;
            self.session.sending.delays.clear();
            self.effects.push(Effect::Poll);
        }
        self.session.conditions = conditions;
    }

    fn refuse(&mut self, text: impl Into<String>) {
        self.reply(Reply::Refused(text.into()));
    }

    /// A server's job that was not armed gives way to a person; the server offers it again afterwards.
    fn may_interrupt(&mut self) -> bool {
        let phase = &self.record.phase;
        let servers = phase.job().is_some_and(|job| job.source.action().is_some());
        if *phase == Phase::Idle || phase.can_be_cancelled() && servers {
            return true;
        }
        let name = phase.name();
        self.refuse(format!(
            "another update is {name}; wait for its end or run `roamcore cancel`"
        ));
        false
    }

    pub(super) fn install(&mut self, offer: LocalOffer) {
        if !self.may_interrupt() {
            return;
        }
        let source = Source::Local { place: offer.place };
        let job = self.local_job(source, offer.title);
        self.enter(Phase::Offered { job });
        self.reply(Reply::Accepted);
    }

    pub(super) fn roll_back(&mut self) {
        if let Phase::Trial { failed, .. } = &mut self.record.phase {
            failed.get_or_insert(Why::Wanted);
            self.reply(Reply::Accepted);
            return;
        }
        if !self.may_interrupt() {
            return;
        }
        let idle = &self.session.facts.idle;
        if idle.root_hash.is_none() || idle.entry == Entry::Absent && !idle.uki {
            let slot = idle.slot;
            self.refuse(format!(
                "{slot} holds nothing that could be booted; bring a release with `roamcore install FILE` or a deployment"
            ));
            return;
        }
        let title = idle
            .release
            .as_ref()
            .map_or("the other slot".to_owned(), ToString::to_string);
        let job = self.local_job(Source::Previous, title);
        self.enter(Phase::Offered { job });
        self.reply(Reply::Accepted);
    }

    pub(super) fn confirm(&mut self) {
        let mut question = None;
        let reply = match &mut self.record.phase {
            Phase::AwaitingConfirmation {
                job,
                asker: Asker::Server,
                answer,
                ..
            } => {
                if *answer != Answer::Confirmed {
                    *answer = Answer::Confirmed;
                    question = job.source.action().cloned();
                }
                job.consent = Consent::Given;
                Reply::Accepted
            }
            Phase::AwaitingConfirmation { job, .. }
            | Phase::Offered { job }
            | Phase::Writing { job, .. }
            | Phase::Verified { job, .. } => {
                job.consent = Consent::Given;
                Reply::Accepted
            }
            phase => Reply::Refused(format!(
                "nothing waits for a confirmation, the engine is {}; see `roamcore status`",
                phase.name()
            )),
        };
        if let Some(action) = question {
            self.send_confirmation(action, true, "confirmed at the device".to_owned());
        }
        self.reply(reply);
    }

    pub(super) fn deny(&mut self) {
        const DENIED: &str = "denied at the device";
        match self.record.phase.clone() {
            Phase::AwaitingConfirmation {
                asker: Asker::Server,
                job,
                target,
                ..
            } => {
                if let Some(action) = job.source.action().cloned() {
                    self.send_confirmation(action, false, DENIED.to_owned());
                }
                self.record.phase = Phase::AwaitingConfirmation {
                    job,
                    asker: Asker::Server,
                    answer: Answer::Denied,
                    target,
                };
                self.reply(Reply::Accepted);
            }
            Phase::AwaitingConfirmation { job, .. } => {
                self.enter(Phase::Idle);
                self.conclude(&job, Verdict::Failed, 0, vec![DENIED.to_owned()]);
                self.reply(Reply::Accepted);
            }
            Phase::Verified { job, .. } if job.consent == Consent::Open => {
                let end = End::Failed {
                    code: 0,
                    reason: DENIED.to_owned(),
                };
                self.enter(Phase::Cancelling { job, end });
                self.reply(Reply::Accepted);
            }
            phase => self.refuse(format!(
                "nothing waits for a confirmation, the engine is {}; see `roamcore status`",
                phase.name()
            )),
        }
    }

    pub(super) fn cancel_here(&mut self) {
        const CANCELLED: &str = "cancelled at the device";
        match self.record.phase.clone() {
            Phase::AwaitingConfirmation {
                asker: Asker::Server,
                ..
            } => self.deny(),
            Phase::Offered { job }
            | Phase::AwaitingConfirmation { job, .. }
            | Phase::Writing {
                job, plan: None, ..
            } => {
                self.enter(Phase::Idle);
                self.conclude(&job, Verdict::Failed, 0, vec![CANCELLED.to_owned()]);
                self.reply(Reply::Accepted);
            }
            Phase::Writing { job, .. } | Phase::Verified { job, .. } => {
                let end = End::Failed {
                    code: 0,
                    reason: CANCELLED.to_owned(),
                };
                self.enter(Phase::Cancelling { job, end });
                self.reply(Reply::Accepted);
            }
            Phase::Cancelling { .. } => self.reply(Reply::Accepted),
            Phase::Idle => self.refuse("nothing to cancel: no update goes on; see `roamcore status`"),
            phase => self.refuse(format!(
                "too late to cancel, the update is {}; `roamcore rollback` leads back during the trial",
                phase.name()
            )),
        }
    }

    pub(super) fn gate(&mut self, verdict: Gate) {
        let Phase::Trial { failed, .. } = &mut self.record.phase else {
            return;
        };
        match verdict {
            Gate::Passed => self.note("the health gate passed"),
            Gate::Failed(reason) => {
                failed.get_or_insert(Why::Gate(reason.clone()));
                self.note(format!("the health gate failed: {reason}"));
            }
        }
    }
}

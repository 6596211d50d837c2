//! What follows what: the pure transition function.
//!
//! Owns: the order "event, then what follows from the state alone, then which work that wants". Never does: I/O, read a
//! clock, keep anything outside of [`State`]. Invariant: the work to do is a function of the state, so a restarted process
//! takes up exactly what a killed one left.
//!
//! ```text
//!   event -> [server|person|boot|ended|feedback] -> settle (to a fixed point) -> desire -> Begin / StopWork
//! ```

mod boot;
mod desire;
mod ended;
mod feedback;
mod person;
mod server;
mod waiting;

use crate::facts::Facts;
use crate::offer::ActionId;
use crate::outbox::Message;
use crate::policy::Policy;
use crate::record::{Finished, Job, JobId, Phase, Record, Source, Verdict};
use crate::state::{Conditions, Effect, Event, Now, Reply, Session, State};

pub use feedback::next_message;
pub(crate) use feedback::percent;
pub(crate) use waiting::waiting_for;

/// A settled state is reached after a few rounds; more is a circle of rules.
const MOST_ROUNDS: usize = 16;

/// The state of a process that starts with this record on this disk.
pub fn start(
    record: Record,
    facts: Facts,
    conditions: Conditions,
    policy: &Policy,
    now: Now,
) -> (State, Vec<Effect>) {
    let mut turn = Turn {
        record,
        session: Session::new(facts, conditions),
        policy,
        now,
        effects: Vec::new(),
    };
    turn.started();
    turn.finish_turn()
}

/// One event.
pub fn step(state: &State, event: Event, policy: &Policy, now: Now) -> (State, Vec<Effect>) {
    let mut turn = Turn {
        record: state.record.clone(),
        session: state.session.clone(),
        policy,
        now,
        effects: Vec::new(),
    };
    match event {
        Event::Tick => {}
        Event::Conditions(conditions) => turn.conditions(conditions),
        Event::Server(view) => turn.server(view),
        Event::Install(offer) => turn.install(offer),
        Event::Confirm => turn.confirm(),
        Event::Deny => turn.deny(),
        Event::Cancel => turn.cancel_here(),
        Event::RollBack => turn.roll_back(),
        Event::AutoConfirm { active } => {
            turn.record.outbox.push(Message::AutoConfirm { active });
            turn.reply(Reply::Accepted);
        }
        Event::Work(event) => turn.work(event),
        Event::Gate(verdict) => turn.gate(verdict),
        Event::Facts(facts) => turn.facts(*facts),
        Event::Delivered { id, result } => turn.delivered(id, result),
    }
    turn.finish_turn()
}

/// One event being worked on.
struct Turn<'a> {
    record: Record,
    session: Session,
    policy: &'a Policy,
    now: Now,
    effects: Vec<Effect>,
}

impl Turn<'_> {
    fn finish_turn(mut self) -> (State, Vec<Effect>) {
        self.account();
        for _ in 0..MOST_ROUNDS {
            let before = self.record.phase.clone();
            self.consider_view();
            self.consider_arming();
            self.consider_trial();
            self.consider_correction();
            if before == self.record.phase {
                break;
            }
        }
        self.drive();
        let state = State {
            record: self.record,
            session: self.session,
        };
        (state, self.effects)
    }

    fn note(&mut self, text: impl Into<String>) {
        self.effects.push(Effect::Note(text.into()));
    }

    fn reply(&mut self, reply: Reply) {
        self.effects.push(Effect::Reply(reply));
    }

    /// The only way from one phase to another.
    fn enter(&mut self, mut phase: Phase) {
        if let Some(job) = phase.job_mut() {
            job.failures = 0;
        }
        if phase.name() != self.record.phase.name() {
            let what = phase.job().map_or(String::new(), describe);
            self.note(format!(
                "{} -> {}{what}",
                self.record.phase.name(),
                phase.name()
            ));
        }
        self.session.retry = None;
        self.session.problem = None;
        self.session.progress = crate::device::Progress::default();
        self.record.phase = phase;
    }

    fn next_job(&mut self) -> JobId {
        let id = JobId(self.record.next_job);
        self.record.next_job += 1;
        id
    }

    /// The end of a job: what the server hears, and what is remembered so that it is never done again. Not for cancels.
    fn conclude(&mut self, job: &Job, verdict: Verdict, code: i32, details: Vec<String>) {
        let summary = details.first().cloned().unwrap_or_default();
        self.note(format!("{verdict:?}: {summary}"));
        if let Source::Server {
            action,
            fingerprint,
        } = &job.source
        {
            let success = verdict == Verdict::Succeeded;
            let running = self.session.facts.running.release.clone();
            self.record.outbox.push(Message::Final {
                action: action.clone(),
                success,
                runs: running.filter(|_| success),
                code,
                details,
            });
            self.remember(Finished::new(
                action.clone(),
                Some(*fingerprint),
                verdict,
                summary,
            ));
        }
    }

    fn remember(&mut self, finished: Finished) {
        let list = &mut self.record.finished;
        list.retain(|old| old.action != finished.action);
        list.push(finished);
        let surplus = list.len().saturating_sub(Record::MOST_FINISHED);
        list.drain(..surplus);
    }

    fn remembered(&self, action: &ActionId) -> Option<Finished> {
        self.record
            .finished
            .iter()
            .find(|finished| finished.action == *action)
            .cloned()
    }
}

/// For whom, as the log says it.
fn describe(job: &Job) -> String {
    match &job.source {
        Source::Server { action, .. } => format!(" (action {action}: {})", job.title),
        Source::Local { place } => format!(" ({place})"),
        Source::Previous => " (the other slot, wanted at the device)".to_owned(),
        Source::Recovered => " (found on the disk)".to_owned(),
    }
}

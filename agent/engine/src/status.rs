//! What `roamcore status` shows.
//!
//! Owns: the versioned form of it. Never does: decide. Invariant: it says what the engine waits for, in a sentence that a
//! person can act on.

use roamcore_agent::slot::Slot;
use serde::{Deserialize, Serialize};

use crate::budget::Usage;
use crate::device::PlanFacts;
use crate::facts::{Entry, Release, SlotFacts};
use crate::offer::ActionId;
use crate::policy::Policy;
use crate::record::{Finished, Phase, Source};
use crate::state::{Conditions, Now, State};
use crate::step;

/// Raised when a member changes its meaning or goes away; new members are no reason.
pub const FORMAT: u32 = 1;

/// Everything at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Version of this form.
    pub format: u32,
    /// Name of the phase.
    pub phase: String,
    /// What is being installed, for people.
    pub title: Option<String>,
    /// Whose it is.
    pub from: Option<String>,
    /// The server's action.
    pub action: Option<ActionId>,
    /// The judged release.
    pub release: Option<Release>,
    /// What it waits for, if it waits.
    pub waiting_for: Option<String>,
    /// Why the last attempt failed, while another one is ahead.
    pub problem: Option<String>,
    /// Progress of running work.
    pub progress: Option<ProgressStatus>,
    /// The first plan.
    pub plan: Option<PlanFacts>,
    /// The running slot and the other one.
    pub slots: [SlotStatus; 2],
    /// This boot is a trial.
    pub on_trial: bool,
    /// The surroundings.
    pub conditions: Conditions,
    /// Messages the server has not taken yet.
    pub unsent: usize,
    /// What the server believes runs here.
    pub told: Option<Release>,
    /// Fetched bytes.
    pub usage: Usage,
    /// Bytes left in the budget; absent without one.
    pub budget_left: Option<u64>,
    /// Finished actions, newest first.
    pub finished: Vec<Finished>,
}

/// Progress of running work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressStatus {
    /// Of the whole update.
    pub percent: u8,
    /// Where it is.
    #[serde(flatten)]
    pub stage: crate::device::Progress,
}

/// One slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotStatus {
    /// Which.
    pub slot: Slot,
    /// It runs.
    pub running: bool,
    /// What it holds.
    pub release: Option<Release>,
    /// Its root hash.
    pub root_hash: Option<String>,
    /// Its boot entry.
    pub entry: Entry,
}

impl SlotStatus {
    /// From facts.
    pub fn of(facts: &SlotFacts, running: bool) -> Self {
        Self {
            slot: facts.slot,
            running,
            release: facts.release.clone(),
            root_hash: facts.root_hash.map(|hash| hash.to_string()),
            entry: facts.entry,
        }
    }
}

impl Status {
    pub(crate) fn of(state: &State, policy: &Policy, now: Now) -> Self {
        let (record, session) = (&state.record, &state.session);
        let job = record.phase.job();
        let usage = record.usage.at(now.unix).plus(session.unsaved_bytes);
        let plan = match &record.phase {
            Phase::Writing { plan, .. } => *plan,
            _ => None,
        };
        Self {
            format: FORMAT,
            phase: record.phase.name().to_owned(),
            title: job.map(|job| job.title.clone()),
            from: job.map(|job| match &job.source {
                Source::Server { .. } => "server".to_owned(),
                Source::Local { place } => place.clone(),
                Source::Previous => "the other slot".to_owned(),
                Source::Recovered => "found on the disk".to_owned(),
            }),
            action: job.and_then(|job| job.source.action()).cloned(),
            release: record.phase.target().map(|target| target.release.clone()),
            waiting_for: step::waiting_for(state, policy, now),
            problem: session.problem.clone(),
            progress: session.running.is_some().then(|| ProgressStatus {
                percent: step::percent(&session.progress),
                stage: session.progress,
            }),
            plan,
            slots: [
                SlotStatus::of(&session.facts.running, true),
                SlotStatus::of(&session.facts.idle, false),
            ],
            on_trial: session.facts.on_trial,
            conditions: session.conditions,
            unsent: record.outbox.len(),
            told: record.told.clone(),
            usage,
            budget_left: usage.left(&policy.budget),
            finished: record.finished.iter().rev().cloned().collect(),
        }
    }
}

//! The durable record: what must be known after any power cut.
//!
//! Owns: phases with their data, finished actions, what the judge must remember. Never does: I/O, transitions. Invariant: written before
//! every side effect that it announces; where it and the disk disagree, the disk is right.
//!
//! ```text
//!  Idle -> Offered -> (AwaitingConfirmation) -> Writing -> Verified -> Arming -> Armed -> [reboot] -> Trial -> Committed -> Idle
//!            |                |                   |           |          |         |                   |
//!            |                '--- cancel --------+-----------'          '---------+--> RolledBack <---'
//!            '--- refused                         v                                         |
//!                     '-> Idle                Cancelling -> Idle                            '-> Idle
//! ```

use roamcore_ota::{Digest, Floors, Timestamp};
use serde::{Deserialize, Serialize};

use crate::budget::Usage;
use crate::device::PlanFacts;
use crate::facts::{BootId, Facts, Release, Target};
use crate::offer::ActionId;
use crate::outbox::Outbox;

pub use crate::job::{Consent, Job, JobId, Source};

/// Who wants to be told that somebody agrees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Asker {
    /// The server, by confirmationBase; it waits for an answer.
    Server,
    /// This device's own policy.
    Policy,
}

/// An answer to the server's question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// None yet.
    Open,
    /// Yes.
    Confirmed,
    /// No; the server keeps asking, we do not repeat ourselves.
    Denied,
}

/// Why a trial ended without a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// The health gate said no, with its reason.
    Gate(String),
    /// It was not committed in time.
    Deadline,
    /// Positive evidence of an earlier boot: what it is.
    Evidence(String),
    /// The boot loader used up all tries.
    TriesUsedUp {
        /// How many.
        done: u32,
    },
    /// The entry is not on the ESP any more.
    EntryLost,
    /// Armed again as often as is allowed.
    InterruptedTooOften {
        /// How often.
        rearms: u32,
    },
    /// It was committed, but the other slot runs.
    FellOver,
    /// The slot's content is not what was armed.
    ContentLost,
    /// Somebody at the device wanted the old slot back.
    Wanted,
    /// Arming itself failed, nothing was booted.
    NotArmed(String),
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Gate(reason) => write!(f, "the health gate failed: {reason}"),
            Self::Deadline => f.write_str("the trial was not committed within its time"),
            Self::Evidence(what) => write!(f, "the trial boot failed: {what}"),
            Self::TriesUsedUp { done } => write!(
                f,
                "the boot loader used up {done} tries without a healthy boot (panic, initrd, verity, watchdog or power)"
            ),
            Self::EntryLost => f.write_str("the trial's boot entry is gone from the ESP"),
            Self::InterruptedTooOften { rearms } => write!(
                f,
                "the trial was interrupted and armed again {rearms} times, which is the limit"
            ),
            Self::FellOver => f.write_str("the slot was committed, but the other slot was booted"),
            Self::ContentLost => f.write_str("the armed slot does not hold the release any more"),
            Self::Wanted => f.write_str("somebody at the device asked for the old slot"),
            Self::NotArmed(reason) => write!(f, "the slot could not be armed: {reason}"),
        }
    }
}

/// What the engine is doing. Each variant holds exactly what it needs after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum Phase {
    /// Nothing.
    Idle,
    /// Accepted, its documents are to be fetched and judged.
    Offered {
        /// For whom.
        job: Job,
    },
    /// Waiting for a person.
    AwaitingConfirmation {
        /// For whom.
        job: Job,
        /// Who asks.
        asker: Asker,
        /// What was answered.
        answer: Answer,
        /// Known when the policy asks, because it asks after judging.
        target: Option<Target>,
    },
    /// The idle slot is being rewritten.
    Writing {
        /// For whom.
        job: Job,
        /// With what.
        target: Target,
        /// The first plan, against which limits were judged. Without one a job that ends leaves the idle
        /// slot alone: no entry leads to what an earlier attempt may have written.
        plan: Option<PlanFacts>,
    },
    /// The idle slot holds the release, read back; no boot entry yet. Last phase that can be cancelled.
    Verified {
        /// For whom.
        job: Job,
        /// What it holds.
        target: Target,
    },
    /// The decision to arm; the entry may or may not be there.
    Arming {
        /// For whom.
        job: Job,
        /// What it holds.
        target: Target,
        /// Armed again so often.
        rearms: u32,
    },
    /// The counted entry is there; the next boot is the trial.
    Armed {
        /// For whom.
        job: Job,
        /// What it holds.
        target: Target,
        /// Armed again so often.
        rearms: u32,
        /// The boot in which it was armed: no verdict before another one.
        boot: BootId,
    },
    /// The trial slot runs.
    Trial {
        /// For whom.
        job: Job,
        /// What runs.
        target: Target,
        /// Armed again so often.
        rearms: u32,
        /// The boot that was seen running it.
        boot: BootId,
        /// Set when the verdict is no: only a reboot is left to do.
        failed: Option<Why>,
    },
    /// The trial slot was committed; leftovers are tidied.
    Committed {
        /// For whom.
        job: Job,
        /// What runs.
        target: Target,
    },
    /// The old slot runs again; evidence is collected and the entry removed.
    RolledBack {
        /// For whom.
        job: Job,
        /// What failed.
        target: Target,
        /// Why.
        why: Why,
    },
    /// Given up before it was armed; the idle slot is made invalid.
    Cancelling {
        /// For whom.
        job: Job,
        /// What the server is told afterwards.
        end: End,
    },
}

/// How a job ends that never was armed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// The server cancelled: answered on its cancel action.
    CancelAccepted,
    /// Failed, or refused after writing began.
    Failed {
        /// Class number.
        code: i32,
        /// For the server and the log.
        reason: String,
    },
    /// Nobody has to be told: it disappeared, was replaced, or is unknown.
    Silent,
}

impl Phase {
    /// The job, in every phase but [`Phase::Idle`].
    pub fn job(&self) -> Option<&Job> {
        match self {
            Self::Idle => None,
            Self::Offered { job }
            | Self::AwaitingConfirmation { job, .. }
            | Self::Writing { job, .. }
            | Self::Verified { job, .. }
            | Self::Arming { job, .. }
            | Self::Armed { job, .. }
            | Self::Trial { job, .. }
            | Self::Committed { job, .. }
            | Self::RolledBack { job, .. }
            | Self::Cancelling { job, .. } => Some(job),
        }
    }

    /// As [`Self::job`].
    pub fn job_mut(&mut self) -> Option<&mut Job> {
        match self {
            Self::Idle => None,
            Self::Offered { job }
            | Self::AwaitingConfirmation { job, .. }
            | Self::Writing { job, .. }
            | Self::Verified { job, .. }
            | Self::Arming { job, .. }
            | Self::Armed { job, .. }
            | Self::Trial { job, .. }
            | Self::Committed { job, .. }
            | Self::RolledBack { job, .. }
            | Self::Cancelling { job, .. } => Some(job),
        }
    }

    /// The judged update, as soon as there is one.
    pub fn target(&self) -> Option<&Target> {
        match self {
            Self::Idle | Self::Offered { .. } | Self::Cancelling { .. } => None,
            Self::AwaitingConfirmation { target, .. } => target.as_ref(),
            Self::Writing { target, .. }
            | Self::Verified { target, .. }
            | Self::Arming { target, .. }
            | Self::Armed { target, .. }
            | Self::Trial { target, .. }
            | Self::Committed { target, .. }
            | Self::RolledBack { target, .. } => Some(target),
        }
    }

    /// Its name, as in documents and in `roamcore status`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Offered { .. } => "offered",
            Self::AwaitingConfirmation { .. } => "awaiting-confirmation",
            Self::Writing { .. } => "writing",
            Self::Verified { .. } => "verified",
            Self::Arming { .. } => "arming",
            Self::Armed { .. } => "armed",
            Self::Trial { .. } => "trial",
            Self::Committed { .. } => "committed",
            Self::RolledBack { .. } => "rolled-back",
            Self::Cancelling { .. } => "cancelling",
        }
    }

    /// Phases in which a cancel is still accepted.
    pub fn can_be_cancelled(&self) -> bool {
        matches!(
            self,
            Self::Offered { .. }
                | Self::AwaitingConfirmation { .. }
                | Self::Writing { .. }
                | Self::Verified { .. }
        )
    }
}

/// How an action ended, as the server was or will be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Committed.
    Succeeded,
    /// Refused, failed or rolled back.
    Failed,
    /// Cancelled.
    Cancelled,
}

/// A finished action, kept so that it is never installed twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// Which.
    pub action: ActionId,
    /// Of its content; absent for one that was cancelled before it was seen.
    pub fingerprint: Option<Digest>,
    /// How.
    pub verdict: Verdict,
    /// The one line that is repeated when the server asks again.
    pub summary: String,
    /// How often it was repeated.
    pub repeats: u32,
}

impl Finished {
    /// Just finished.
    pub fn new(
        action: ActionId,
        fingerprint: Option<Digest>,
        verdict: Verdict,
        summary: String,
    ) -> Self {
        Self {
            action,
            fingerprint,
            verdict,
            summary,
            repeats: 0,
        }
    }

    /// Repeating it has not helped.
    pub fn repeated(&self) -> bool {
        self.repeats >= 2
    }
}

/// What the judge must remember between two updates.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The highest numbers committed: raised by a commit only.
    pub floors: Floors,
    /// A time that has certainly passed: raised when an update is accepted.
    pub passed: Option<Timestamp>,
}

/// Everything durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What is going on.
    pub phase: Phase,
    /// Number of the next job.
    pub next_job: u64,
    /// What the server has not acknowledged yet.
    pub outbox: Outbox,
    /// The last finished actions, oldest first.
    pub finished: Vec<Finished>,
    /// What the server believes runs here, as far as we know.
    pub told: Option<Release>,
    /// For the judge.
    pub memory: Memory,
    /// Bytes fetched in this day and month.
    pub usage: Usage,
}

impl Record {
    /// Finished actions that are remembered. A server offers an old one again only while its final answer is under way, so
    /// a few would do; the rest is for people.
    pub const MOST_FINISHED: usize = 32;

    /// Of a device that never updated.
    pub fn new() -> Self {
        Self {
            phase: Phase::Idle,
            next_job: 1,
            outbox: Outbox::default(),
            finished: Vec::new(),
            told: None,
            memory: Memory::default(),
            usage: Usage::default(),
        }
    }

    /// Of a device without a record: a new one, or one that lost it. What runs is a floor; the floor of the sequence holds
    /// under certain keys only and is the judge's to find.
    pub fn rebuilt(facts: &Facts) -> Self {
        let committed = facts.running.release.as_ref().filter(|_| !facts.on_trial);
        let floors = Floors {
            security_epoch: committed.map_or(0, |release| release.security_epoch),
            ..Floors::default()
        };
        Self {
            memory: Memory {
                floors,
                passed: None,
            },
            ..Self::new()
        }
    }
}

impl Default for Record {
    fn default() -> Self {
        Self::new()
    }
}

//! Long work, and the events that come back.
//!
//! Owns: the types between the pure engine and whoever executes. Never does: I/O. Invariant: at most one piece of work runs;
//! a result names the work it belongs to, so that a late one is recognised and dropped.

use roamcore_ota::Timestamp;

use crate::device::{Destination, DeviceError, Judgement, PlanFacts, Progress};
use crate::facts::{Evidence, Facts, Target};
use crate::policy::Limits;
use crate::record::{JobId, Memory, Source};

/// One piece of work on the device. Equal work is the same work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Fetch and judge the documents.
    Judge {
        /// For which job.
        job: JobId,
        /// From where.
        source: Source,
        /// What the judge must remember.
        memory: Box<Memory>,
    },
    /// Look whether the other slot may be booted again.
    Previous {
        /// For which job.
        job: JobId,
    },
    /// Invalidate, write, read back, publish, UKI.
    Write {
        /// For which job.
        job: JobId,
        /// From where.
        source: Source,
        /// What.
        target: Target,
    },
    /// Make the idle slot bootable for trials.
    Arm {
        /// For which job.
        job: JobId,
        /// What.
        target: Target,
        /// How often before.
        rearms: u32,
        /// A time that has certainly passed.
        passed: Option<Timestamp>,
    },
    /// Reboot.
    Reboot {
        /// For which job.
        job: JobId,
        /// Where to.
        destination: Destination,
    },
    /// Collect what the failed trial left and remove its entry.
    RollBack {
        /// For which job.
        job: JobId,
        /// What failed.
        target: Target,
    },
    /// Remove the entry, invalidate the idle slot.
    Clear {
        /// For which job.
        job: JobId,
    },
    /// Tidy after a commit.
    Settle {
        /// For which job.
        job: JobId,
        /// What runs.
        target: Target,
    },
}

impl Work {
    /// For which job.
    pub fn job(&self) -> JobId {
        match self {
            Self::Judge { job, .. }
            | Self::Previous { job }
            | Self::Write { job, .. }
            | Self::Arm { job, .. }
            | Self::Reboot { job, .. }
            | Self::RollBack { job, .. }
            | Self::Clear { job }
            | Self::Settle { job, .. } => *job,
        }
    }

    /// Where its payload comes from, when it needs one.
    pub fn payload(&self) -> Option<&Source> {
        match self {
            Self::Judge { source, .. } | Self::Write { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Limits that go with a piece of work. They do not make it other work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Grant {
    /// Bytes that may be fetched now; none for no limit.
    pub bytes: Option<u64>,
    /// Bytes per second; none for no limit.
    pub rate: Option<u64>,
    /// What a plan may ask for; no limits once a plan was accepted, because a resumed download must not be refused for what
    /// it has fetched already.
    pub limits: Limits,
    /// A plan above this is refused instead of waiting for a later budget; none where the policy is to wait.
    pub refuse_above: Option<u64>,
}

/// How a piece of work ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// [`Work::Judge`] and [`Work::Previous`].
    Judged(Box<Judgement>),
    /// [`Work::Write`].
    Written,
    /// [`Work::Arm`].
    Armed,
    /// [`Work::Reboot`]: asked for.
    RebootAsked,
    /// [`Work::Reboot`] out of a failed trial found the slot committed after all; the facts show it.
    FoundCommitted,
    /// [`Work::RollBack`].
    RolledBack(Evidence),
    /// [`Work::Clear`].
    Cleared,
    /// [`Work::Settle`].
    Settled,
}

/// What running work says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkEvent {
    /// Its plan, judged against the grant's limits and found acceptable; no frame is fetched yet.
    Planned(PlanFacts),
    /// How far it is.
    Progress(Progress),
    /// Its end, the last event of it. `fetched` counts every byte that was paid for.
    Ended {
        /// How.
        result: Result<Done, DeviceError>,
        /// Bytes fetched in all.
        fetched: u64,
        /// The disk afterwards, if it could be read.
        facts: Option<Box<Facts>>,
    },
}

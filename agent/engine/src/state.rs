//! The engine's whole state, the events that change it, and the effects that follow.
//!
//! Owns: the types. Never does: I/O. Invariant: everything that must survive is in [`Record`]; losing [`Session`] at any
//! moment costs time, never truth.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::device::Progress;
use crate::facts::Facts;
use crate::offer::{ActionId, LocalOffer, View};
use crate::outbox::{Delivery, Message, MessageId};
use crate::record::Record;
use crate::work::{Grant, Work, WorkEvent};

/// The time of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Milliseconds since boot, suspended time included (CLOCK_BOOTTIME).
    pub boot_ms: u64,
    /// Seconds since 1970, only if the clock was set.
    pub unix: Option<i64>,
}

/// What the surroundings allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Conditions {
    /// Battery, ignition and guests allow a reboot now.
    pub may_reboot: bool,
    /// The server can be reached, as far as is known.
    pub online: bool,
}

/// State of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Durable.
    pub record: Record,
    /// Of this process.
    pub session: Session,
}

/// What the health gate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    /// Healthy; the commit service does the rest.
    Passed,
    /// Not healthy: why.
    Failed(String),
}

/// Something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Time passes. At least every ten seconds.
    Tick,
    /// The surroundings changed.
    Conditions(Conditions),
    /// A complete poll.
    Server(View),
    /// Somebody wants a file installed.
    Install(LocalOffer),
    /// Somebody agrees.
    Confirm,
    /// Somebody does not.
    Deny,
    /// Somebody at the device cancels.
    Cancel,
    /// Somebody wants the other slot back.
    RollBack,
    /// Somebody switches the server's own confirming on or off.
    AutoConfirm {
        /// Which.
        active: bool,
    },
    /// The running work speaks.
    Work(WorkEvent),
    /// The health gate speaks.
    Gate(Gate),
    /// The disk was read again: in a trial after the gate passed, and after a commit.
    Facts(Box<Facts>),
    /// A message was sent, or was not.
    Delivered {
        /// Which.
        id: MessageId,
        /// How that went.
        result: Delivery,
    },
}

/// Something is to be done. Given out only after the state that asks for it is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Begin this work; none is running.
    Begin {
        /// What.
        work: Box<Work>,
        /// Within which limits.
        grant: Grant,
    },
    /// Tell the running work to stop. It still reports its end.
    StopWork,
    /// Poll the server soon, what it showed last is out of date.
    Poll,
    /// For whoever sent the event.
    Reply(Reply),
    /// For the log.
    Note(String),
}

/// Answer to a person's command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// It will be done.
    Accepted,
    /// It will not: why, and what to do.
    Refused(String),
}

/// A delay after failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Failures in a row.
    pub attempts: u32,
    /// Not before this time since boot.
    pub not_before_ms: u64,
}

impl Retry {
    /// Doubles from one second to `most`.
    pub fn after(previous: Option<Self>, now: Now, most_ms: u64) -> Self {
        let attempts = previous.map_or(0, |retry| retry.attempts);
        let delay = 1000_u64.saturating_mul(1 << attempts.min(20)).min(most_ms);
        Self {
            attempts: attempts.saturating_add(1),
            not_before_ms: now.boot_ms.saturating_add(delay),
        }
    }
}

/// What a poll showed, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What.
    pub view: View,
    /// Since boot.
    pub at_ms: u64,
}

/// Work that was begun and has not reported its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// What.
    pub work: Work,
    /// It was told to stop.
    pub stopping: bool,
    /// Bytes it fetched that are counted already.
    pub counted: u64,
}

/// Sending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sending {
    /// The one message that is under way.
    pub in_flight: Option<MessageId>,
    /// Delays.
    pub delays: BTreeMap<MessageId, Retry>,
    /// The newest progress report.
    pub report: Option<(u64, Message)>,
    /// Reports made.
    pub reports: u64,
    /// When the last one was made.
    pub last_ms: Option<u64>,
    /// An action that takes no more reports.
    pub muted: Option<ActionId>,
}

/// What a process knows and may forget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The disk, as last read.
    pub facts: Facts,
    /// The surroundings.
    pub conditions: Conditions,
    /// What the server showed, unless we have told it something since.
    pub seen: Option<Seen>,
    /// The action whose files can be fetched: its deployment was shown to this process.
    pub reachable: Option<ActionId>,
    /// The running work.
    pub running: Option<Running>,
    /// Delay of the next work.
    pub retry: Option<Retry>,
    /// Why the last work failed, for people.
    pub problem: Option<String>,
    /// How far the running work is.
    pub progress: Progress,
    /// Fetched bytes that are not in the record yet.
    pub unsaved_bytes: u64,
    /// Messages.
    pub sending: Sending,
}

impl Session {
    /// Of a process that just started.
    pub fn new(facts: Facts, conditions: Conditions) -> Self {
        Self {
            facts,
            conditions,
            seen: None,
            reachable: None,
            running: None,
            retry: None,
            problem: None,
            progress: Progress::default(),
            unsaved_bytes: 0,
            sending: Sending::default(),
        }
    }
}

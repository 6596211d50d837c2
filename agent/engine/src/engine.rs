//! The thin driver: durable first, effects second.
//!
//! Owns: the one place where a state is adopted. Never does: execute effects, decide. Invariant: an effect leaves this module
//! only after the record that asks for it is on the disk; when that fails, the old state stays and nothing is done.

use crate::facts::Facts;
use crate::outbox::{Message, MessageId};
use crate::policy::Policy;
use crate::record::{Phase, Record};
use crate::state::{Conditions, Effect, Event, Now, State};
use crate::status::Status;
use crate::step;
use crate::store::{Loaded, Store, StoreError};

/// The running engine of one device.
#[derive(Debug)]
pub struct Engine<S> {
    store: S,
    state: State,
    policy: Policy,
}

/// Whether the record may be thrown away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damaged {
    /// A damaged record is an error.
    Refuse,
    /// Both copies are damaged; begin anew with what the disk says.
    RebuildFromDisk,
}

impl<S: Store> Engine<S> {
    /// Takes up what the last process left. `facts` must be read in this boot. A damaged record is
    /// [`StoreError::Corrupt`]; the caller logs it and calls again with [`Damaged::RebuildFromDisk`].
    pub fn start(
        mut store: S,
        damaged: Damaged,
        facts: Facts,
        conditions: Conditions,
        policy: Policy,
        now: Now,
    ) -> Result<(Self, Vec<Effect>), StoreError> {
        let (known, record) = match store.load() {
            Ok(Loaded::Record(record)) => (true, *record),
            Ok(Loaded::Fresh) => (false, Record::rebuilt(&facts)),
            Err(StoreError::Corrupt { .. } | StoreError::Newer { .. })
                if damaged == Damaged::RebuildFromDisk =>
            {
                (false, Record::rebuilt(&facts))
            }
            Err(error) => return Err(error),
        };
        let before = record.clone();
        let (state, effects) = step::start(record, facts, conditions, &policy, now);
        if !known || state.record != before {
            store.save(&state.record)?;
        }
        let engine = Self {
            store,
            state,
            policy,
        };
        Ok((engine, effects))
    }

    /// One event; the effects may be executed, in order. On an error nothing happened; the process should end and start
    /// again rather than go on with a disk that does not take its record.
    pub fn handle(&mut self, event: Event, now: Now) -> Result<Vec<Effect>, StoreError> {
        let (state, effects) = step::step(&self.state, event, &self.policy, now);
        if state.record != self.state.record {
            self.store.save(&state.record)?;
            let arms = |state: &State| matches!(state.record.phase, Phase::Arming { .. });
            if arms(&state) && !arms(&self.state) {
                self.store.keep()?;
            }
        }
        self.state = state;
        Ok(effects)
    }

    /// The next message for the server, until [`Event::Delivered`] says what became of it. Ask after every event.
    pub fn outgoing(&mut self, now: Now) -> Option<(MessageId, Message)> {
        step::next_message(&mut self.state, now)
    }

    /// Other rules from now on.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// The rules.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// For `roamcore status`.
    pub fn status(&self, now: Now) -> Status {
        Status::of(&self.state, &self.policy, now)
    }

    /// Everything, to look at.
    pub fn state(&self) -> &State {
        &self.state
    }
}

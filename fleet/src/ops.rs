//! What devices and operators can do, each as one transaction on the database.
//!
//! Owns: hawkBit's rules of actions, as observed of 1.0.4 and noted in fleet/README.md. Never does: HTTP, or commit:
//! callers run these inside `Store::write`. Invariant: an action that is not active never becomes active again.

pub mod cancel;
pub mod confirm;
pub mod deploy;
pub mod device;
pub mod feedback;

use rusqlite::Connection;

use crate::error::Error;
use crate::model::action::Action;
use crate::model::report::Entry;
use crate::store::actions;
use crate::store::targets::{self, Target};

/// How much one device may store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas {
    /// Entries in the history of an action; the one that ends it is always taken.
    pub entries: usize,
    /// Messages of an entry.
    pub messages: usize,
    /// Attributes of a target.
    pub attributes: usize,
}

impl Default for Quotas {
    /// hawkBit's.
    fn default() -> Self {
        Quotas {
            entries: 1000,
            messages: 50,
            attributes: 100,
        }
    }
}

impl Quotas {
    fn check_entries(&self, db: &Connection, action: i64) -> Result<(), Error> {
        let found = actions::count_entries(db, action)? + 1;
        self.check("entries of this action", found, self.entries)
    }

    fn check_messages(&self, entry: &Entry) -> Result<(), Error> {
        self.check(
            "messages of this entry",
            entry.messages.len(),
            self.messages,
        )
    }

    fn check(&self, what: &'static str, found: usize, limit: usize) -> Result<(), Error> {
        if found <= limit {
            Ok(())
        } else {
            Err(Error::Quota { what, found, limit })
        }
    }
}

/// A target's action: another target's is none of this one's business.
fn action_of(db: &Connection, controller_id: &str, action: i64) -> Result<(Target, Action), Error> {
    let target = targets::get(db, controller_id)?;
    let found = actions::get(db, action)?;
    if found.target == target.id {
        return Ok((target, found));
    }
    Err(Error::ForeignAction {
        action,
        target: controller_id.to_owned(),
    })
}

fn wrong_phase(action: &Action) -> Error {
    Error::WrongPhase {
        action: action.id,
        status: action.status,
    }
}

//! Cancelling: by an operator, by a lapsed window, by a newer deployment; and what devices say to it.
//!
//! ```text
//!   open --cancel--> Canceling --device: closed--> Canceled, over
//!                        |  \--operator: force----> Canceled, over
//!                        \----device: rejected, closed/failure--> Running
//! ```
//!
//! Owns: these steps. A device that finishes instead of cancelling wins: its feedback about the deployment counts.

use roamcore_ddi::messages::Feedback;
use rusqlite::Connection;

use super::feedback::refuse_markup;
use super::{Quotas, action_of, wrong_phase};
use crate::error::Error;
use crate::model::Millis;
use crate::model::action::Action;
use crate::model::report::{CancelEffect, Entry, about_cancellation};
use crate::model::status::{Status, TargetState};
use crate::store::actions;
use crate::store::targets::{self, Target};

/// An operator wants it gone.
pub fn request(db: &Connection, action: i64, now: Millis) -> Result<Action, Error> {
    let mut action = actions::get(db, action)?;
    ask(db, &mut action, "manual cancelation requested", now)?;
    Ok(action)
}

/// Asks the device to give it up.
pub(super) fn ask(
    db: &Connection,
    action: &mut Action,
    why: &str,
    now: Millis,
) -> Result<(), Error> {
    let refuse = |why| {
        Err(Error::NotCancelable {
            action: action.id,
            status: action.status,
            why,
        })
    };
    if action.is_canceling_or_canceled() {
        return refuse("it is being cancelled already");
    }
    if !action.active {
        return refuse("it is over");
    }
    action.status = Status::Canceling;
    actions::note(
        db,
        action.id,
        &Entry::of_server(Status::Canceling, now, why),
    )?;
    actions::update(db, action)
}

/// An operator ends it without waiting for the device.
pub fn force_quit(db: &Connection, action: i64, now: Millis) -> Result<Action, Error> {
    let mut action = actions::get(db, action)?;
    if !action.active || !action.is_canceling_or_canceled() {
        return Err(Error::NotForceQuitable {
            action: action.id,
            status: action.status,
        });
    }
    let mut target = targets::by_row(db, action.target)?;
    actions::note(
        db,
        action.id,
        &Entry::of_server(Status::Canceled, now, "A force quit has been performed."),
    )?;
    accept(db, &mut target, &mut action)?;
    Ok(action)
}

/// The device's `GET .../cancelAction/{id}`.
pub fn read(
    db: &Connection,
    controller_id: &str,
    action: i64,
    now: Millis,
) -> Result<Action, Error> {
    let (_, mut action) = action_of(db, controller_id, action)?;
    if !action.is_canceling_or_canceled() {
        return Err(wrong_phase(&action));
    }
    super::feedback::note_retrieved(db, &mut action, now)?;
    Ok(action)
}

/// The device's `POST .../cancelAction/{id}/feedback`.
pub fn feedback(
    db: &Connection,
    quotas: &Quotas,
    controller_id: &str,
    action: i64,
    feedback: &Feedback,
    now: Millis,
) -> Result<(), Error> {
    let (mut target, mut action) = action_of(db, controller_id, action)?;
    if !action.is_canceling_or_canceled() {
        return Err(Error::NotCancelable {
            action: action.id,
            status: action.status,
            why: "nobody asked for it",
        });
    }
    refuse_markup(&feedback.status.details)?;
    let (entry, effect) = about_cancellation(feedback, now);
    if !action.active {
        // A repeated answer, after the first was acknowledged and the acknowledgement lost.
        return match effect {
            CancelEffect::Accepted => Ok(()),
            _ => Err(Error::Closed(action.id)),
        };
    }
    if effect == CancelEffect::Noted {
        quotas.check_entries(db, action.id)?;
        quotas.check_messages(&entry)?;
    }
    actions::note(db, action.id, &entry)?;
    match effect {
        CancelEffect::Accepted => accept(db, &mut target, &mut action),
        CancelEffect::Refused => {
            action.status = Status::Running;
            actions::update(db, &action)
        }
        CancelEffect::Noted => Ok(()),
    }
}

fn accept(db: &Connection, target: &mut Target, action: &mut Action) -> Result<(), Error> {
    action.active = false;
    action.status = Status::Canceled;
    actions::update(db, action)?;
    let next = actions::active(db, target.id)?
        .into_iter()
        .min_by_key(|open| open.id);
    match next {
        Some(next) => target.assigned = Some(next.release),
        None => {
            target.assigned = target.installed;
            target.state = TargetState::InSync;
        }
    }
    targets::update(db, target)
}

/// Cancels what waits for a window that will not come.
pub fn lapsed(db: &Connection, action: &mut Action, now: Millis) -> Result<(), Error> {
    if action.active && !action.is_canceling_or_canceled() && action.has_lapsed(now) {
        ask(db, action, "the maintenance window has lapsed", now)?;
    }
    Ok(())
}

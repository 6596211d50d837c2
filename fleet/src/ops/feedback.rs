//! Feedback of devices about deployments.
//!
//! Owns: what follows for action and target. Two rules differ from hawkBit on purpose. The time that a device
//! reports stands in the entry and nowhere else: hawkBit compares it with the time of the last installation, and a
//! device whose clock was never set is then recorded as not updated. And nothing is kept of a feedback that is refused.

use roamcore_ddi::messages::Feedback;
use rusqlite::Connection;

use super::{Quotas, action_of, wrong_phase};
use crate::error::Error;
use crate::model::Millis;
use crate::model::action::{Action, Kind};
use crate::model::report::{Effect, Entry, about_deployment};
use crate::model::status::{Status, TargetState};
use crate::model::text::looks_like_markup;
use crate::store::actions;
use crate::store::targets::{self, Target};

/// `POST .../deploymentBase/{id}/feedback`.
pub fn deployment(
    db: &Connection,
    quotas: &Quotas,
    controller_id: &str,
    action: i64,
    feedback: &Feedback,
    now: Millis,
) -> Result<(), Error> {
    let (mut target, mut action) = action_of(db, controller_id, action)?;
    if action.is_waiting() {
        return Err(wrong_phase(&action));
    }
    if !action.active {
        return Err(Error::Closed(action.id));
    }
    refuse_markup(&feedback.status.details)?;
    let (entry, effect) = about_deployment(feedback, now);
    if entry.counts() {
        quotas.check_entries(db, action.id)?;
    }
    quotas.check_messages(&entry)?;
    action.last_code = entry.code;
    actions::note(db, action.id, &entry)?;
    apply(&mut target, &mut action, effect, now);
    actions::update(db, &action)?;
    targets::update(db, &target)
}

fn apply(target: &mut Target, action: &mut Action, effect: Effect, now: Millis) {
    match effect {
        Effect::Finished => {
            close(action, Status::Finished);
            target.installed = Some(action.release);
            target.installed_at = Some(now);
            if action.kind == Kind::DownloadOnly {
                target.assigned = Some(action.release);
            }
            // Another release may be assigned already.
            if target.assigned == target.installed {
                target.state = TargetState::InSync;
            }
            target.wants_attributes = true;
        }
        Effect::Failed => {
            close(action, Status::Error);
            target.state = TargetState::Error;
            // So that the same release can be assigned again.
            target.assigned = None;
        }
        Effect::Downloaded if action.kind == Kind::DownloadOnly => {
            close(action, Status::Downloaded);
            target.state = TargetState::InSync;
            target.wants_attributes = true;
        }
        Effect::Downloaded | Effect::Noted => {}
    }
}

fn close(action: &mut Action, status: Status) {
    action.active = false;
    action.status = status;
}

pub(super) fn refuse_markup(details: &[String]) -> Result<(), Error> {
    match details.iter().find(|text| looks_like_markup(text)) {
        Some(text) => Err(Error::Markup(text.chars().take(80).collect())),
        None => Ok(()),
    }
}

/// The device downloads a whole artifact. Ranges are not noted: there may be thousands.
pub fn note_download(
    db: &Connection,
    quotas: &Quotas,
    action: &Action,
    path: &str,
    now: Millis,
) -> Result<(), Error> {
    quotas.check_entries(db, action.id)?;
    let entry = Entry::of_server(Status::Download, now, &format!("Target downloads {path}"));
    actions::note(db, action.id, &entry)
}

/// The device read a deployment or a wish to cancel one. Noted once until something else happens.
pub fn note_retrieved(db: &Connection, action: &mut Action, now: Millis) -> Result<(), Error> {
    // hawkBit notes it for finished actions too, and thereby forgets that they finished.
    if !action.active || actions::last_entry(db, action.id)? == Some(Status::Retrieved) {
        return Ok(());
    }
    let text = match action.status {
        Status::Canceling => {
            "Target retrieved cancel action and should start now the cancellation."
        }
        _ => "Target retrieved update action and should start now the download.",
    };
    actions::note(
        db,
        action.id,
        &Entry::of_server(Status::Retrieved, now, text),
    )?;
    if action.status != Status::Canceling {
        action.status = Status::Retrieved;
        actions::update(db, action)?;
    }
    Ok(())
}

//! Confirmation: by the device's user, by an operator, or automatically.
//!
//! Owns: the way from `wait_for_confirmation` to `running`. A denied action stays where it is and is offered again; only
//! an operator can cancel it.

use roamcore_ddi::messages::{ConfirmationFeedback, Decision};
use rusqlite::Connection;

use super::feedback::refuse_markup;
use super::{Quotas, action_of, wrong_phase};
use crate::error::Error;
use crate::model::Millis;
use crate::model::action::Action;
use crate::model::report::{Entry, SERVER_PREFIX};
use crate::model::status::Status;
use crate::model::text::pieces;
use crate::store::actions;
use crate::store::targets::{self, AutoConfirmation};

/// The device's `GET .../confirmationBase/{id}`.
pub fn read(
    db: &Connection,
    controller_id: &str,
    action: i64,
    now: Millis,
) -> Result<Action, Error> {
    let (_, mut action) = action_of(db, controller_id, action)?;
    super::cancel::lapsed(db, &mut action, now)?;
    if action.is_waiting() {
        Ok(action)
    } else {
        Err(wrong_phase(&action))
    }
}

/// The user's word, from the device or through an operator.
pub fn decide(
    db: &Connection,
    quotas: &Quotas,
    controller_id: &str,
    action: i64,
    decision: &ConfirmationFeedback,
    now: Millis,
) -> Result<Action, Error> {
    let (_, mut action) = action_of(db, controller_id, action)?;
    if !action.active {
        return Err(Error::Closed(action.id));
    }
    if !action.is_waiting() {
        return Err(wrong_phase(&action));
    }
    refuse_markup(&decision.details)?;
    let (status, text) = match decision.confirmation {
        Decision::Confirmed => (
            Status::Running,
            "Target confirmed action. Therefore, it will be set to the running state to proceed with the deployment.",
        ),
        Decision::Denied => (
            Status::WaitForConfirmation,
            "Target rejected action. Action will stay in confirmation pending state.",
        ),
    };
    let code = decision
        .code
        .map(|code| format!("Confirmation status code: {code}"));
    let texts = decision
        .details
        .iter()
        .cloned()
        .chain([format!("{SERVER_PREFIX}{text}")])
        .chain(code);
    let messages = texts.flat_map(|text| pieces(&text)).collect();
    let entry = Entry {
        status,
        code: decision.code,
        at: now,
        messages,
    };
    quotas.check_entries(db, action.id)?;
    quotas.check_messages(&entry)?;
    actions::note(db, action.id, &entry)?;
    action.status = status;
    action.last_code = decision.code;
    actions::update(db, &action)?;
    Ok(action)
}

/// From now on, and for what waits now, the device's user need not be asked.
pub fn activate_auto(
    db: &Connection,
    controller_id: &str,
    initiator: Option<String>,
    remark: Option<String>,
    now: Millis,
) -> Result<(), Error> {
    let mut target = targets::get(db, controller_id)?;
    if target.auto_confirm.is_some() {
        return Err(Error::AutoConfirmActive(controller_id.to_owned()));
    }
    refuse_markup(&[
        initiator.clone().unwrap_or_default(),
        remark.clone().unwrap_or_default(),
    ])?;
    let auto = AutoConfirmation {
        initiator,
        remark,
        at: now,
    };
    for mut action in actions::active(db, target.id)? {
        if action.is_waiting() {
            let messages = pieces(&automatic(&auto));
            actions::note(
                db,
                action.id,
                &Entry {
                    status: Status::Running,
                    code: None,
                    at: now,
                    messages,
                },
            )?;
            action.status = Status::Running;
            actions::update(db, &action)?;
        }
    }
    target.auto_confirm = Some(auto);
    targets::update(db, &target)
}

/// Ask again. Nothing happens if it was off.
pub fn deactivate_auto(db: &Connection, controller_id: &str) -> Result<(), Error> {
    let mut target = targets::get(db, controller_id)?;
    target.auto_confirm = None;
    targets::update(db, &target)
}

/// What the history says of an automatic confirmation.
pub(super) fn automatic(auto: &AutoConfirmation) -> String {
    let initiator = auto.initiator.as_deref().unwrap_or("device");
    let remark = auto.remark.as_deref().unwrap_or_default();
    format!("Assignment automatically confirmed by initiator '{initiator}'. \n\nRemark: {remark}")
}

//! Deploying: one release to targets, one action each.
//!
//! Owns: what becomes of older actions, and what is no deployment: a target that has the release assigned already. A
//! release is locked when it is deployed for the first time.

use rusqlite::Connection;

use super::confirm::automatic;
use super::{Error, cancel};
use crate::model::Millis;
use crate::model::action::{Action, HIGHEST_WEIGHT, Kind};
use crate::model::report::{Entry, SERVER_PREFIX};
use crate::model::status::{Status, TargetState};
use crate::model::window::Window;
use crate::settings::Settings;
use crate::store::targets::{self, Target};
use crate::store::{actions, releases};

/// What is to be deployed, and how.
#[derive(Debug, Clone)]
pub struct Order {
    /// The release.
    pub release: i64,
    /// How much hurry there is.
    pub kind: Kind,
    /// The heaviest of a target's actions comes first.
    pub weight: u16,
    /// When it may be installed.
    pub window: Option<Window>,
    /// The device's user has to agree.
    pub confirm: bool,
    /// Who wants it.
    pub initiator: String,
}

/// What became of one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assigned {
    /// This action.
    Action(i64),
    /// It has the release assigned already.
    Already,
}

/// Deploys to one target.
pub fn online(
    db: &Connection,
    controller_id: &str,
    order: &Order,
    now: Millis,
) -> Result<Assigned, Error> {
    if order.weight > HIGHEST_WEIGHT {
        return Err(Error::Invalid(format!(
            "weight {} is refused: use 0 to {HIGHEST_WEIGHT}",
            order.weight
        )));
    }
    let mut target = targets::get(db, controller_id)?;
    prepare(db, order.release)?;
    if target.assigned == Some(order.release) {
        return Ok(Assigned::Already);
    }
    let settings = Settings::load(db)?;
    retire(db, &target, settings.autoclose, now)?;
    let waits = settings.confirmation_flow && order.confirm && target.auto_confirm.is_none();
    let status = if waits {
        Status::WaitForConfirmation
    } else {
        Status::Running
    };
    let mut action = new_action(&target, order, status, now);
    actions::insert(db, &mut action)?;
    let mut messages = vec![format!(
        "Assignment initiated by user '{}'",
        order.initiator
    )];
    if settings.confirmation_flow {
        messages.push(how_confirmed(&target, order, waits));
    }
    let status = if settings.confirmation_flow {
        Status::WaitForConfirmation
    } else {
        Status::Running
    };
    actions::note(
        db,
        action.id,
        &Entry {
            status,
            code: None,
            at: now,
            messages,
        },
    )?;
    target.assigned = Some(order.release);
    target.state = TargetState::Pending;
    targets::update(db, &target)?;
    Ok(Assigned::Action(action.id))
}

/// Records what a device installed without being told to. A target with something pending is left as it is.
pub fn offline(
    db: &Connection,
    controller_id: &str,
    release: i64,
    initiator: &str,
    now: Millis,
) -> Result<Assigned, Error> {
    let mut target = targets::get(db, controller_id)?;
    prepare(db, release)?;
    if target.state == TargetState::Pending {
        return Ok(Assigned::Already);
    }
    if target.assigned == Some(release) {
        // A download-only action ended when everything was there; that it was installed later nobody else can say.
        if target.installed != Some(release) {
            target.installed = Some(release);
            target.installed_at = Some(now);
            target.state = TargetState::InSync;
            targets::update(db, &target)?;
        }
        return Ok(Assigned::Already);
    }
    let order = Order {
        release,
        kind: Kind::Forced,
        weight: HIGHEST_WEIGHT,
        window: None,
        confirm: false,
        initiator: initiator.to_owned(),
    };
    let mut action = new_action(&target, &order, Status::Finished, now);
    action.active = false;
    actions::insert(db, &mut action)?;
    let messages = vec![
        format!("Assignment initiated by user '{initiator}'"),
        format!("{SERVER_PREFIX}Action reported as offline deployment"),
    ];
    actions::note(
        db,
        action.id,
        &Entry {
            status: Status::Finished,
            code: None,
            at: now,
            messages,
        },
    )?;
    target.assigned = Some(release);
    target.installed = Some(release);
    target.installed_at = Some(now);
    target.state = TargetState::InSync;
    targets::update(db, &target)?;
    Ok(Assigned::Action(action.id))
}

fn prepare(db: &Connection, release: i64) -> Result<(), Error> {
    let found = releases::get(db, release)?;
    if releases::modules(db, release)?.is_empty() {
        return Err(Error::Invalid(format!(
            "release {release} has no software module: add one first"
        )));
    }
    if found.locked {
        Ok(())
    } else {
        releases::lock(db, release)
    }
}

/// Older actions are cancelled, or closed at once where the operator wants that.
fn retire(db: &Connection, target: &Target, autoclose: bool, now: Millis) -> Result<(), Error> {
    for mut action in actions::active(db, target.id)? {
        if autoclose {
            action.active = false;
            action.status = Status::Canceled;
            let entry = Entry::of_server(
                Status::Canceled,
                now,
                "close obsolete action due to new update",
            );
            actions::note(db, action.id, &entry)?;
            actions::update(db, &action)?;
        } else if action.status != Status::Canceling {
            cancel::ask(
                db,
                &mut action,
                "cancel obsolete action due to new update",
                now,
            )?;
        }
    }
    Ok(())
}

fn how_confirmed(target: &Target, order: &Order, waits: bool) -> String {
    match (&target.auto_confirm, order.confirm) {
        (Some(auto), true) => automatic(auto),
        _ if waits => {
            "Waiting for the confirmation by the device before processing with the deployment"
                .to_owned()
        }
        _ => format!("Assignment confirmed by initiator [{}].", order.initiator),
    }
}

fn new_action(target: &Target, order: &Order, status: Status, now: Millis) -> Action {
    Action {
        id: 0,
        target: target.id,
        release: order.release,
        kind: order.kind,
        weight: order.weight,
        status,
        active: true,
        window: order.window.clone(),
        initiator: order.initiator.clone(),
        last_code: None,
        created: now,
    }
}

/// An operator wants an action done at once.
pub fn force(db: &Connection, action: i64) -> Result<Action, Error> {
    let mut action = actions::get(db, action)?;
    if !action.active {
        return Err(Error::Closed(action.id));
    }
    action.kind = Kind::Forced;
    actions::update(db, &action)?;
    Ok(action)
}

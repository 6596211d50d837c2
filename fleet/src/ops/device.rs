//! What a device does besides reporting: register, poll, read deployments, send attributes, find artifacts.
//!
//! Owns: what a poll finds, and whether a device may have an artifact's bytes. Invariant: bytes go only to a target
//! with an active action for their module that nobody wants cancelled.

use std::collections::BTreeMap;
use std::time::Duration;

use roamcore_ddi::messages::{AttributeMode, ConfigData};
use rusqlite::Connection;

use super::{Quotas, action_of, cancel, feedback, wrong_phase};
use crate::error::Error;
use crate::model::Millis;
use crate::model::action::Action;
use crate::model::id::ControllerId;
use crate::model::status::TargetState;
use crate::model::window::WindowState;
use crate::settings::Settings;
use crate::store::targets::{self, Target};
use crate::store::{actions, releases};

/// What a poll finds.
#[derive(Debug, Clone)]
pub struct Polled {
    /// The target.
    pub target: Target,
    /// What it should do: at most one action, the heaviest, then the oldest.
    pub action: Option<Action>,
    /// The action that installed what is installed.
    pub installed: Option<i64>,
    /// When it should poll again.
    pub sleep: Duration,
}

/// Looks without changing anything. None when something has to be changed first: see [`poll`].
pub fn look(
    db: &Connection,
    controller_id: &str,
    address: &str,
    now: Millis,
) -> Result<Option<Polled>, Error> {
    let Some(target) = targets::find(db, controller_id)? else {
        return Ok(None);
    };
    if target.state == TargetState::Unknown || target.address.as_deref() != Some(address) {
        return Ok(None);
    }
    let polled = see(db, target, now)?;
    let lapsed = polled
        .action
        .as_ref()
        .is_some_and(|a| !a.is_canceling_or_canceled() && a.has_lapsed(now));
    Ok((!lapsed).then_some(polled))
}

/// Registers the device if it is new, cancels what has lapsed, and looks.
pub fn poll(
    db: &Connection,
    id: &ControllerId,
    address: &str,
    now: Millis,
) -> Result<Polled, Error> {
    let target = register(db, id, address, now)?;
    let mut polled = see(db, target, now)?;
    if let Some(action) = &mut polled.action {
        cancel::lapsed(db, action, now)?;
    }
    Ok(polled)
}

/// The target of a device that may be new.
pub fn register(
    db: &Connection,
    id: &ControllerId,
    address: &str,
    now: Millis,
) -> Result<Target, Error> {
    if targets::find(db, id.as_str())?.is_none() {
        if !id.can_register() {
            return Err(Error::Invalid(format!(
                "controller id of {} characters cannot register itself: use at most 128, or let an operator add it",
                id.as_str().len()
            )));
        }
        targets::insert(db, id, id.as_str(), TargetState::Registered, None, now)?;
    }
    let mut target = targets::get(db, id.as_str())?;
    if target.state == TargetState::Unknown {
        target.state = TargetState::Registered;
    }
    target.address = Some(address.to_owned());
    targets::update(db, &target)?;
    Ok(target)
}

fn see(db: &Connection, target: Target, now: Millis) -> Result<Polled, Error> {
    let settings = Settings::load(db)?;
    let action = actions::active(db, target.id)?.into_iter().next();
    let installed = match target.installed {
        Some(release) => actions::finished(db, target.id, release)?.map(|action| action.id),
        None => None,
    };
    let sleep = sleep(&settings, action.as_ref(), now)?;
    Ok(Polled {
        target,
        action,
        installed,
        sleep,
    })
}

/// The poll interval; shorter while a maintenance window comes near, so that it is not missed.
fn sleep(settings: &Settings, action: Option<&Action>, now: Millis) -> Result<Duration, Error> {
    let (interval, minimum) = (settings.interval()?, settings.minimum()?);
    let window = action
        .and_then(|action| action.window.as_ref())
        .map(|window| window.state(now));
    let Some(WindowState::Pending(opens)) = window else {
        return Ok(interval);
    };
    let left = Duration::from_millis(u64::try_from(opens - now).unwrap_or(0));
    let part = Duration::from_secs(left.as_secs()) / settings.window_polls.max(1);
    Ok(part.min(interval).max(minimum.min(interval)))
}

/// The device's `GET .../deploymentBase/{id}`. Also answers for an action that is over, as hawkBit does.
pub fn read_deployment(
    db: &Connection,
    controller_id: &str,
    action: i64,
    now: Millis,
) -> Result<Action, Error> {
    let (_, mut action) = action_of(db, controller_id, action)?;
    cancel::lapsed(db, &mut action, now)?;
    if action.is_canceling_or_canceled() || action.is_waiting() {
        return Err(wrong_phase(&action));
    }
    feedback::note_retrieved(db, &mut action, now)?;
    Ok(action)
}

/// The device's `GET .../installedBase/{id}`.
pub fn read_installed(db: &Connection, controller_id: &str, action: i64) -> Result<Action, Error> {
    let (_, action) = action_of(db, controller_id, action)?;
    if action.active || action.is_canceling_or_canceled() {
        Err(wrong_phase(&action))
    } else {
        Ok(action)
    }
}

/// The action that lets a device have the bytes of a module.
pub fn action_for_download(
    db: &Connection,
    controller_id: &str,
    module: i64,
) -> Result<Action, Error> {
    let target = targets::get(db, controller_id)?;
    let release = releases::get_module(db, module)?.release;
    let open = actions::active(db, target.id)?;
    open.into_iter()
        .find(|action| action.release == release && !action.is_canceling_or_canceled())
        .ok_or_else(|| Error::NotAssigned {
            module,
            target: controller_id.to_owned(),
        })
}

/// Whether a device may see the list of a module's artifacts: also when it is installed.
pub fn may_list(db: &Connection, controller_id: &str, module: i64) -> Result<(), Error> {
    let refused = match action_for_download(db, controller_id, module) {
        Ok(_) => return Ok(()),
        Err(refused @ Error::NotAssigned { .. }) => refused,
        Err(other) => return Err(other),
    };
    let target = targets::get(db, controller_id)?;
    let release = releases::get_module(db, module)?.release;
    let installed =
        target.installed == Some(release) && actions::finished(db, target.id, release)?.is_some();
    if installed { Ok(()) } else { Err(refused) }
}

/// The device's `PUT .../configData`. A value that is absent removes the attribute.
pub fn set_attributes(
    db: &Connection,
    quotas: &Quotas,
    controller_id: &str,
    mode: AttributeMode,
    data: &BTreeMap<String, Option<String>>,
) -> Result<(), Error> {
    check_attributes(data)?;
    let mut target = targets::get(db, controller_id)?;
    let mut kept = match mode {
        AttributeMode::Replace => BTreeMap::new(),
        AttributeMode::Merge | AttributeMode::Remove => targets::attributes(db, target.id)?,
    };
    for (key, value) in data {
        match value.as_ref().filter(|_| mode != AttributeMode::Remove) {
            Some(value) => kept.insert(key.clone(), value.clone()),
            None => kept.remove(key),
        };
    }
    quotas.check("attributes of this target", kept.len(), quotas.attributes)?;
    targets::set_attributes(db, target.id, &kept)?;
    if mode != AttributeMode::Remove && target.wants_attributes {
        target.wants_attributes = false;
        targets::update(db, &target)?;
    }
    Ok(())
}

fn check_attributes(data: &BTreeMap<String, Option<String>>) -> Result<(), Error> {
    for (key, value) in data {
        // One by one: their number is a question of what the target has already. hawkBit takes an empty name.
        let key = if key.is_empty() { "x" } else { key };
        let value = value.clone().unwrap_or_default();
        ConfigData {
            mode: AttributeMode::Merge,
            data: BTreeMap::from([(key.to_owned(), value)]),
        }
        .check()?;
    }
    Ok(())
}

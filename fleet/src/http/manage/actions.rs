//! Deployments and actions, for operators.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use roamcore_ddi::messages::ConfirmationFeedback;
use rusqlite::Connection;
use serde::Deserialize;

use super::targets::{Refs, release_ref};
use super::wire::{
    ActionInfo, Actions, ChangeAction, Confirm, Deploy, Deployed, EntryInfo, WindowSpec,
};
use super::{Operator, page};
use crate::error::Error;
use crate::http::App;
use crate::http::reply::{Posted, json};
use crate::model::action::{Action, HIGHEST_WEIGHT, Kind};
use crate::model::now;
use crate::model::window::Window;
use crate::ops::deploy::{self, Assigned, Order};
use crate::ops::{cancel, confirm};
use crate::store::actions::Filter;
use crate::store::{actions, targets};

/// hawkBit's limit of one manual assignment.
const MOST_TARGETS: usize = 5000;
/// The newest entries of a history; the quota of entries keeps it below by default.
const MOST_ENTRIES: usize = 2000;

/// Deploys a release to targets: to all of them that exist, or to none.
pub async fn deploy(
    State(app): State<App>,
    operator: Operator,
    Posted(wanted): Posted<Deploy>,
) -> Result<Response, Error> {
    if wanted.targets.is_empty() || wanted.targets.len() > MOST_TARGETS {
        return Err(Error::Invalid(format!(
            "{} targets are refused: use 1 to {MOST_TARGETS}",
            wanted.targets.len()
        )));
    }
    let now = now();
    let window = match &wanted.window {
        Some(spec) => Some(Window::parse(
            &spec.schedule,
            &spec.duration,
            &spec.timezone,
            now,
        )?),
        None => None,
    };
    let order = Order {
        release: wanted.release,
        kind: wanted.kind,
        weight: wanted.weight.unwrap_or(HIGHEST_WEIGHT),
        window,
        confirm: wanted.confirm,
        initiator: operator.name().to_owned(),
    };
    let deployed = app
        .store
        .write(move |db| {
            crate::store::releases::get(db, order.release)?;
            let mut deployed = Deployed::default();
            for target in wanted.targets {
                let assigned = match wanted.offline {
                    false => deploy::online(db, &target, &order, now),
                    true => deploy::offline(db, &target, order.release, &order.initiator, now),
                };
                match assigned {
                    Ok(Assigned::Action(action)) => drop(deployed.assigned.insert(target, action)),
                    Ok(Assigned::Already) => deployed.already.push(target),
                    Err(Error::NoTarget(_)) => deployed.unknown.push(target),
                    Err(other) => return Err(other),
                }
            }
            Ok(deployed)
        })
        .await?;
    Ok(json(StatusCode::OK, &deployed))
}

/// Which actions.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Which {
    target: Option<String>,
    active: Option<bool>,
    before: Option<i64>,
    limit: Option<usize>,
}

/// The newest first.
pub async fn list(
    State(app): State<App>,
    _: Operator,
    Query(which): Query<Which>,
) -> Result<Response, Error> {
    let limit = page(which.limit)?;
    let found = app
        .store
        .read(move |db| {
            let target = which
                .target
                .map(|id| targets::get(db, &id))
                .transpose()?
                .map(|target| target.id);
            let filter = Filter {
                target,
                active: which.active,
                before: which.before,
                limit,
            };
            let mut refs = Refs::new();
            let found = actions::list(db, &filter)?;
            let found: Result<Vec<_>, Error> = found
                .into_iter()
                .map(|action| info(db, action, &mut refs))
                .collect();
            Ok(Actions { actions: found? })
        })
        .await?;
    Ok(json(StatusCode::OK, &found))
}

fn info(db: &Connection, action: Action, refs: &mut Refs) -> Result<ActionInfo, Error> {
    Ok(ActionInfo {
        id: action.id,
        target: targets::by_row(db, action.target)?.controller_id,
        release: release_ref(db, action.release, refs)?,
        kind: action.kind,
        weight: action.weight,
        status: action.status,
        active: action.active,
        window: action.window.map(|window| WindowSpec {
            schedule: window.schedule,
            duration: window.duration,
            timezone: window.timezone,
        }),
        last_code: action.last_code,
        created: action.created,
        history: None,
    })
}

fn with_history(db: &Connection, action: Action) -> Result<ActionInfo, Error> {
    let history = actions::entries(db, action.id, MOST_ENTRIES)?
        .into_iter()
        .map(|entry| EntryInfo {
            status: entry.status,
            code: entry.code,
            at: entry.at,
            messages: entry.messages,
        });
    let history = Some(history.collect());
    Ok(ActionInfo {
        history,
        ..info(db, action, &mut Refs::new())?
    })
}

/// One, with its history.
pub async fn show(
    State(app): State<App>,
    _: Operator,
    Path(id): Path<i64>,
) -> Result<Response, Error> {
    let found = app
        .store
        .read(move |db| with_history(db, actions::get(db, id)?))
        .await?;
    Ok(json(StatusCode::OK, &found))
}

/// Whether to wait for the device.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Force {
    #[serde(default)]
    force: bool,
}

/// Asks the device to give it up; or, when that was done before, ends it by force.
pub async fn cancel(
    State(app): State<App>,
    _: Operator,
    Path(id): Path<i64>,
    Query(Force { force }): Query<Force>,
) -> Result<Response, Error> {
    let found = app
        .store
        .write(move |db| {
            let action = match force {
                false => cancel::request(db, id, now())?,
                true => cancel::force_quit(db, id, now())?,
            };
            with_history(db, action)
        })
        .await?;
    Ok(json(StatusCode::OK, &found))
}

/// Makes it forced.
pub async fn change(
    State(app): State<App>,
    _: Operator,
    Path(id): Path<i64>,
    Posted(wanted): Posted<ChangeAction>,
) -> Result<Response, Error> {
    if wanted.kind != Kind::Forced {
        return Err(Error::Invalid(format!(
            "an action cannot be made {}: only forced is possible",
            wanted.kind.as_str()
        )));
    }
    let found = app
        .store
        .write(move |db| with_history(db, deploy::force(db, id)?))
        .await?;
    Ok(json(StatusCode::OK, &found))
}

/// Speaks for the device's user.
pub async fn confirm(
    State(app): State<App>,
    _: Operator,
    Path(id): Path<i64>,
    Posted(wanted): Posted<Confirm>,
) -> Result<Response, Error> {
    let quotas = app.options.quotas;
    let decision = ConfirmationFeedback {
        confirmation: wanted.confirmation,
        code: wanted.code,
        details: wanted.details,
    };
    let found = app
        .store
        .write(move |db| {
            let target = targets::by_row(db, actions::get(db, id)?.target)?;
            let action = confirm::decide(db, &quotas, &target.controller_id, id, &decision, now())?;
            with_history(db, action)
        })
        .await?;
    Ok(json(StatusCode::OK, &found))
}

//! `deploymentBase`, `cancelAction` and `installedBase`, with their feedback.

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use roamcore_ddi::messages::{
    ActionHistory, ActionId, CancelAction, Chunk, Deployment, DeploymentBase, Feedback,
    InstalledBase, Metadata, StopAction,
};
use rusqlite::Connection;
use serde::Deserialize;

use super::{Device, artifacts};
use crate::error::Error;
use crate::http::App;
use crate::http::reply::{Posted, document};
use crate::model::action::Action;
use crate::model::{Millis, now};
use crate::ops::deploy::{self, Assigned};
use crate::ops::{cancel, device as ops, feedback};
use crate::store::{actions, releases};

/// hawkBit tells at most so many messages of a history.
const MOST_HISTORY: usize = 100;

/// Path of a request about an action.
#[derive(Deserialize)]
pub struct OfAction {
    pub(super) action: i64,
}

/// Query of a request about an action.
#[derive(Deserialize)]
pub struct History {
    #[serde(rename = "actionHistory", default)]
    messages: i64,
}

impl History {
    /// None is none, negative is all there may be.
    pub(super) fn limit(&self) -> usize {
        match usize::try_from(self.messages) {
            Ok(some) => some.min(MOST_HISTORY),
            Err(_) => MOST_HISTORY,
        }
    }
}

/// What is to be done.
pub async fn deployment(
    State(app): State<App>,
    device: Device,
    Path(OfAction { action }): Path<OfAction>,
    Query(history): Query<History>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let (id, now) = (device.id.clone(), now());
    let found = app
        .store
        .write(move |db| {
            // The state before this request: the device asks what happened before it.
            let told = told_before(db, action, history.limit())?;
            let action = ops::read_deployment(db, id.as_str(), action, now)?;
            describe(db, &device, &action, now).map(|deployment| base(&action, deployment, told))
        })
        .await;
    Ok(document(
        &headers,
        &unless_lapsed(&app, found, action).await?,
    ))
}

/// A window that lapsed cancels its action, and that has to be kept although the answer is 404.
pub(super) async fn unless_lapsed<T>(
    app: &App,
    found: Result<T, Error>,
    action: i64,
) -> Result<T, Error> {
    if matches!(found, Err(Error::WrongPhase { .. })) {
        app.store
            .write(move |db| cancel::lapsed(db, &mut actions::get(db, action)?, now()))
            .await?;
    }
    found
}

/// What was done.
pub async fn installed(
    State(app): State<App>,
    device: Device,
    Path(OfAction { action }): Path<OfAction>,
    Query(history): Query<History>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let found = app
        .store
        .read(move |db| {
            let told = told_before(db, action, history.limit())?;
            let action = ops::read_installed(db, device.id.as_str(), action)?;
            describe(db, &device, &action, now()).map(|deployment| base(&action, deployment, told))
        })
        .await?;
    Ok(document(&headers, &found))
}

/// Messages and state of an action that may not exist.
pub(super) fn told_before(
    db: &Connection,
    action: i64,
    limit: usize,
) -> Result<Option<ActionHistory>, Error> {
    let messages = actions::history(db, action, limit)?;
    if messages.is_empty() {
        return Ok(None);
    }
    let status = actions::get(db, action)?.status.in_capitals();
    Ok(Some(ActionHistory {
        status: Some(status),
        messages,
    }))
}

fn base(
    action: &Action,
    deployment: Deployment,
    action_history: Option<ActionHistory>,
) -> DeploymentBase {
    DeploymentBase {
        id: action_id(action),
        deployment,
        action_history,
    }
}

/// Rows count from 1.
pub(super) fn action_id(action: &Action) -> ActionId {
    ActionId::from(action.id.unsigned_abs())
}

/// The deployment of an action, as the device is told it.
pub(super) fn describe(
    db: &Connection,
    device: &Device,
    action: &Action,
    now: Millis,
) -> Result<Deployment, Error> {
    let told = action.handling(now);
    let mut chunks = Vec::new();
    for module in releases::modules(db, action.release)? {
        chunks.push(Chunk {
            artifacts: artifacts::of_module(db, device, module.id)?,
            // hawkBit's names for its first two types of modules.
            part: match module.part.as_str() {
                "application" => "bApp".to_owned(),
                "runtime" => "jvm".to_owned(),
                _ => module.part,
            },
            version: module.version,
            name: module.name,
            encrypted: None,
            metadata: module
                .metadata
                .into_iter()
                .map(|(key, value)| Metadata { key, value })
                .collect(),
        });
    }
    Ok(Deployment {
        download: told.download,
        update: told.update,
        maintenance_window: told.window,
        chunks,
    })
}

/// How it goes.
pub async fn feedback(
    State(app): State<App>,
    device: Device,
    Path(OfAction { action }): Path<OfAction>,
    Posted(sent): Posted<Feedback>,
) -> Result<Response, Error> {
    let quotas = app.options.quotas;
    let id = device.id.as_str().to_owned();
    app.store
        .write(move |db| feedback::deployment(db, &quotas, &id, action, &sent, now()))
        .await?;
    Ok(StatusCode::OK.into_response())
}

/// What is to be given up.
pub async fn cancellation(
    State(app): State<App>,
    device: Device,
    Path(OfAction { action }): Path<OfAction>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let id = device.id.as_str().to_owned();
    let action = app
        .store
        .write(move |db| cancel::read(db, &id, action, now()))
        .await?;
    let id = action_id(&action);
    Ok(document(
        &headers,
        &CancelAction {
            id: id.clone(),
            cancel_action: StopAction { stop_id: id },
        },
    ))
}

/// Whether it is given up.
pub async fn cancel_feedback(
    State(app): State<App>,
    device: Device,
    Path(OfAction { action }): Path<OfAction>,
    Posted(sent): Posted<Feedback>,
) -> Result<Response, Error> {
    let quotas = app.options.quotas;
    let id = device.id.as_str().to_owned();
    app.store
        .write(move |db| cancel::feedback(db, &quotas, &id, action, &sent, now()))
        .await?;
    Ok(StatusCode::OK.into_response())
}

/// What the device installed without being told to.
pub async fn installed_elsewhere(
    State(app): State<App>,
    device: Device,
    Posted(sent): Posted<InstalledBase>,
) -> Result<Response, Error> {
    let id = device.id.as_str().to_owned();
    let assigned = app
        .store
        .write(move |db| {
            let release = releases::find(db, &sent.name, &sent.version)?;
            let release = release
                .ok_or_else(|| Error::NoRelease(format!("{} {}", sent.name, sent.version)))?;
            deploy::offline(db, &id, release.id, &id, now())
        })
        .await?;
    Ok(match assigned {
        Assigned::Action(_) => StatusCode::CREATED.into_response(),
        Assigned::Already => StatusCode::OK.into_response(),
    })
}

//! Targets, for operators.

use std::collections::HashMap;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use rusqlite::Connection;
use serde::Deserialize;

use super::wire::{NewTarget, ReleaseRef, SetToken, TargetInfo, Targets, TokenShown};
use super::{Operator, page};
use crate::error::Error;
use crate::http::App;
use crate::http::reply::{Posted, json};
use crate::model::id::{ControllerId, check_name};
use crate::model::now;
use crate::model::status::TargetState;
use crate::secret::Token;
use crate::store::targets::{self, Target};
use crate::store::{actions, releases};

/// Which page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    #[serde(default)]
    after: String,
    limit: Option<usize>,
}

/// In order of their names.
pub async fn list(
    State(app): State<App>,
    _: Operator,
    Query(page_of): Query<Page>,
) -> Result<Response, Error> {
    let limit = page(page_of.limit)?;
    let found = app
        .store
        .read(move |db| {
            let mut refs = HashMap::new();
            let found = targets::list(db, &page_of.after, limit)?;
            let found: Result<Vec<_>, Error> = found
                .into_iter()
                .map(|target| info(db, target, &mut refs))
                .collect();
            Ok(Targets { targets: found? })
        })
        .await?;
    Ok(json(StatusCode::OK, &found))
}

/// Releases that were looked up already.
pub(super) type Refs = HashMap<i64, ReleaseRef>;

pub(super) fn release_ref(db: &Connection, id: i64, refs: &mut Refs) -> Result<ReleaseRef, Error> {
    if let Some(found) = refs.get(&id) {
        return Ok(found.clone());
    }
    let release = releases::get(db, id)?;
    let found = ReleaseRef {
        id,
        name: release.name,
        version: release.version,
    };
    refs.insert(id, found.clone());
    Ok(found)
}

fn info(db: &Connection, target: Target, refs: &mut Refs) -> Result<TargetInfo, Error> {
    let mut look = |id: Option<i64>| id.map(|id| release_ref(db, id, refs)).transpose();
    Ok(TargetInfo {
        assigned: look(target.assigned)?,
        installed: look(target.installed)?,
        id: target.controller_id,
        name: target.name,
        state: target.state,
        installed_at: target.installed_at,
        address: target.address,
        last_poll: target.last_poll,
        has_token: target.has_token,
        auto_confirm: target.auto_confirm.is_some(),
        attributes: None,
        open_actions: None,
    })
}

/// One, with what it says of itself.
pub async fn show(
    State(app): State<App>,
    _: Operator,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    app.flush_polls().await?;
    let found = app
        .store
        .read(move |db| {
            let target = targets::get(db, &id)?;
            let attributes = targets::attributes(db, target.id)?;
            let open = actions::active(db, target.id)?
                .into_iter()
                .map(|action| action.id)
                .collect();
            let info = info(db, target, &mut Refs::new())?;
            Ok(TargetInfo {
                attributes: Some(attributes),
                open_actions: Some(open),
                ..info
            })
        })
        .await?;
    Ok(json(StatusCode::OK, &found))
}

/// Adds one and shows its token, this once.
pub async fn add(
    State(app): State<App>,
    _: Operator,
    Posted(wanted): Posted<NewTarget>,
) -> Result<Response, Error> {
    let id: ControllerId = wanted.id.parse()?;
    let name = wanted.name.unwrap_or_else(|| wanted.id.clone());
    if name != wanted.id {
        check_name("target name", &name)?;
    }
    let token = token_of(wanted.token.as_deref())?;
    let hashed = token.hashed()?;
    app.store
        .write(move |db| {
            match targets::insert(db, &id, &name, TargetState::Unknown, Some(&hashed), now())? {
                true => Ok(()),
                false => Err(Error::Exists {
                    what: "target",
                    name: id.to_string(),
                }),
            }
        })
        .await?;
    Ok(json(
        StatusCode::CREATED,
        &TokenShown {
            id: wanted.id,
            token: token.expose().to_owned(),
        },
    ))
}

pub(super) fn token_of(chosen: Option<&str>) -> Result<Token, Error> {
    chosen.map_or_else(Token::generate, Token::chosen)
}

/// Replaces its token and shows the new one, this once.
pub async fn token(
    State(app): State<App>,
    _: Operator,
    Path(id): Path<String>,
    Posted(wanted): Posted<SetToken>,
) -> Result<Response, Error> {
    let token = token_of(wanted.token.as_deref())?;
    let (hashed, target) = (token.hashed()?, id.clone());
    app.store
        .write(move |db| targets::set_token(db, &target, Some(&hashed)))
        .await?;
    Ok(json(
        StatusCode::OK,
        &TokenShown {
            id,
            token: token.expose().to_owned(),
        },
    ))
}

/// Forgets one, with its actions.
pub async fn delete(
    State(app): State<App>,
    _: Operator,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    app.store.write(move |db| targets::delete(db, &id)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

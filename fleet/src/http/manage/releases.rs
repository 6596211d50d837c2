//! Releases, for operators.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use rusqlite::Connection;

use super::Operator;
use super::wire::{ArtifactInfo, ModuleInfo, NewRelease, ReleaseInfo, Releases};
use crate::error::Error;
use crate::http::App;
use crate::http::reply::{Posted, json};
use crate::model::id::check_name;
use crate::model::now;
use crate::store::StoreError;
use crate::store::releases::{self, Module, Release};

/// As many as hawkBit's distribution sets sensibly have.
const MOST_MODULES: usize = 50;

fn info(db: &Connection, release: Release) -> Result<ReleaseInfo, Error> {
    let mut modules = Vec::new();
    for module in releases::modules(db, release.id)? {
        let artifacts = releases::artifacts(db, module.id)?
            .into_iter()
            .map(|artifact| ArtifactInfo {
                name: artifact.name,
                size: artifact.content.size,
                sha256: artifact.content.sha256.to_string(),
            });
        modules.push(ModuleInfo {
            id: module.id,
            part: module.part,
            name: module.name,
            version: module.version,
            artifacts: artifacts.collect(),
        });
    }
    let note = serde_json::from_str(&release.note).map_err(|e| StoreError::Corrupt {
        what: "a note of a release",
        found: e.to_string(),
    })?;
    Ok(ReleaseInfo {
        id: release.id,
        name: release.name,
        version: release.version,
        locked: release.locked,
        created: release.created,
        note,
        modules,
    })
}

/// The newest first.
pub async fn list(State(app): State<App>, _: Operator) -> Result<Response, Error> {
    let found = app
        .store
        .read(|db| {
            let found: Result<Vec<_>, Error> = releases::list(db)?
                .into_iter()
                .map(|release| info(db, release))
                .collect();
            Ok(Releases { releases: found? })
        })
        .await?;
    Ok(json(StatusCode::OK, &found))
}

/// One.
pub async fn show(
    State(app): State<App>,
    _: Operator,
    Path(id): Path<i64>,
) -> Result<Response, Error> {
    let found = app
        .store
        .read(move |db| info(db, releases::get(db, id)?))
        .await?;
    Ok(json(StatusCode::OK, &found))
}

/// Adds one, without its files.
pub async fn add(
    State(app): State<App>,
    _: Operator,
    Posted(wanted): Posted<NewRelease>,
) -> Result<Response, Error> {
    check(&wanted)?;
    let note = serde_json::to_string(&wanted.note).map_err(|e| Error::Invalid(e.to_string()))?;
    let added = app
        .store
        .write(move |db| {
            let release = releases::insert(db, &wanted.name, &wanted.version, &note, now())?;
            for module in wanted.modules {
                let module = Module {
                    id: 0,
                    release,
                    part: module.part,
                    name: module.name,
                    version: module.version,
                    metadata: module.metadata,
                };
                releases::insert_module(db, &module)?;
            }
            info(db, releases::get(db, release)?)
        })
        .await?;
    Ok(json(StatusCode::CREATED, &added))
}

fn check(wanted: &NewRelease) -> Result<(), Error> {
    check_name("release name", &wanted.name)?;
    check_name("release version", &wanted.version)?;
    if wanted.modules.is_empty() || wanted.modules.len() > MOST_MODULES {
        return Err(Error::Invalid(format!(
            "{} software modules are refused: use 1 to {MOST_MODULES}",
            wanted.modules.len()
        )));
    }
    for module in &wanted.modules {
        check_name("module type", &module.part)?;
        check_name("module name", &module.name)?;
        check_name("module version", &module.version)?;
    }
    Ok(())
}

/// Removes one that nobody has, with the bytes that no other release has.
pub async fn delete(
    State(app): State<App>,
    _: Operator,
    Path(id): Path<i64>,
) -> Result<Response, Error> {
    let hashes = app
        .store
        .write(move |db| {
            releases::get(db, id)?;
            if let Some(target) = releases::user(db, id)? {
                return Err(Error::InUse {
                    release: id,
                    target,
                });
            }
            let mut hashes = Vec::new();
            for module in releases::modules(db, id)? {
                let artifacts = releases::artifacts(db, module.id)?;
                hashes.extend(artifacts.into_iter().map(|a| a.content.sha256));
            }
            releases::delete(db, id)?;
            Ok(hashes)
        })
        .await?;
    let blobs = app.store.blobs().clone();
    // After the rows are gone for good, and while nobody else can add some: an upload looks for its bytes when it adds
    // its row. What is left behind now is swept when the server starts.
    app.store
        .write(move |db| {
            for hash in &hashes {
                if !releases::has_hash(db, hash)? {
                    blobs.remove(hash)?;
                }
            }
            Ok(())
        })
        .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

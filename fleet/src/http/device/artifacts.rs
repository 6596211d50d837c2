//! Artifacts of a software module: the list, one file, its MD5 sum.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderMap, Method, Uri};
use axum::response::{IntoResponse, Response};
use roamcore_ddi::messages::{Artifact, Hashes, Link};
use rusqlite::Connection;
use serde::Deserialize;

use super::{Device, download};
use crate::error::Error;
use crate::http::App;
use crate::http::reply::document;
use crate::model::id::MD5_SUFFIX;
use crate::model::now;
use crate::ops::{device as ops, feedback};
use crate::store::releases;

/// Path of a list.
#[derive(Deserialize)]
pub struct OfModule {
    module: i64,
}

/// Path of a file.
#[derive(Deserialize)]
pub struct OfFile {
    module: i64,
    file: String,
}

/// Artifacts as devices are told them.
pub(super) fn of_module(
    db: &Connection,
    device: &Device,
    module: i64,
) -> Result<Vec<Artifact>, Error> {
    let describe = |artifact: releases::Artifact| {
        let href = format!(
            "{}/softwaremodules/{module}/artifacts/{}",
            device.base, artifact.name
        );
        // hawkBit's names, which say `http` whatever the scheme.
        let md5 = format!("{href}{MD5_SUFFIX}");
        let links = [("download-http", href), ("md5sum-http", md5)];
        Artifact {
            filename: artifact.name,
            hashes: Hashes {
                sha1: Some(artifact.content.sha1),
                md5: Some(artifact.content.md5),
                sha256: Some(artifact.content.sha256.to_string()),
            },
            size: artifact.content.size,
            links: links
                .into_iter()
                .map(|(rel, href)| (rel.to_owned(), Link { href }))
                .collect::<BTreeMap<_, _>>(),
        }
    };
    Ok(releases::artifacts(db, module)?
        .into_iter()
        .map(describe)
        .collect())
}

/// The list.
pub async fn list(
    State(app): State<App>,
    device: Device,
    Path(OfModule { module }): Path<OfModule>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let found = app
        .store
        .read(move |db| {
            ops::may_list(db, device.id.as_str(), module)?;
            of_module(db, &device, module)
        })
        .await?;
    Ok(document(&headers, &found))
}

/// One file, or the MD5 sum of one.
pub async fn artifact(
    State(app): State<App>,
    device: Device,
    Path(OfFile { module, file }): Path<OfFile>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Error> {
    if let Some(name) = file.strip_suffix(MD5_SUFFIX) {
        return md5_sum(&app, device, module, name.to_owned(), &uri).await;
    }
    let (id, wanted) = (
        device.id.as_str().to_owned(),
        download::Wanted::of(&headers),
    );
    let (whole, path) = (
        wanted.is_whole() && method == Method::GET,
        uri.path().to_owned(),
    );
    let quotas = app.options.quotas;
    let if_match = wanted.if_match.clone();
    let look = move |db: &Connection| {
        crate::store::targets::get(db, &id)?;
        releases::get_module(db, module)?;
        let artifact = releases::get_artifact(db, module, &file)?;
        // hawkBit compares before it looks whether the device may have the file.
        if !download::matches(if_match.as_deref(), &artifact.content.sha1) {
            return Ok(None);
        }
        let action = ops::action_for_download(db, &id, module)?;
        Ok(Some((artifact, action)))
    };
    let found = if whole {
        app.store
            .write(move |db| {
                let found = look(db)?;
                if let Some((_, action)) = &found {
                    feedback::note_download(db, &quotas, action, &path, now())?;
                }
                Ok(found)
            })
            .await?
    } else {
        app.store.read(look).await?
    };
    match found {
        Some((artifact, _)) => download::answer(&app, &artifact, &wanted).await,
        None => Ok(axum::http::StatusCode::PRECONDITION_FAILED.into_response()),
    }
}

async fn md5_sum(
    app: &App,
    device: Device,
    module: i64,
    name: String,
    uri: &Uri,
) -> Result<Response, Error> {
    let (path, quotas) = (uri.path().to_owned(), app.options.quotas);
    let artifact = app
        .store
        .write(move |db| {
            let artifact = releases::get_artifact(db, releases::get_module(db, module)?.id, &name)?;
            let action = ops::action_for_download(db, device.id.as_str(), module)?;
            feedback::note_download(db, &quotas, &action, &path, now())?;
            Ok(artifact)
        })
        .await?;
    let headers = [
        (CONTENT_TYPE, "text/plain;charset=UTF-8".to_owned()),
        (
            CONTENT_DISPOSITION,
            format!("attachment;filename={}{MD5_SUFFIX}", artifact.name),
        ),
    ];
    Ok((
        headers,
        format!("{}  {}", artifact.content.md5, artifact.name),
    )
        .into_response())
}

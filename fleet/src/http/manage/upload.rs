//! The bytes of an artifact, from an operator.
//!
//! Owns: taking a body into the store while it arrives. `?sha256=` makes the server compare, so that an upload that was
//! damaged on its way is refused. Invariant: memory does not grow with the file; nothing of a refused upload stays.

use std::future::poll_fn;
use std::pin::pin;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use roamcore_ota::Digest;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::Operator;
use super::wire::ArtifactInfo;
use crate::error::Error;
use crate::http::App;
use crate::http::reply::json;
use crate::model::id::check_file_name;
use crate::model::now;
use crate::store::blobs::{Blobs, Content, Sealed};
use crate::store::{StoreError, releases};

/// Pieces between the network and the disk.
const IN_FLIGHT: usize = 8;

/// Where the file belongs.
#[derive(Deserialize)]
pub struct Place {
    release: i64,
    module: i64,
    name: String,
}

/// What it should be.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    sha256: Option<Digest>,
}

/// Takes one in.
pub async fn upload(
    State(app): State<App>,
    _: Operator,
    Path(place): Path<Place>,
    Query(expected): Query<Expected>,
    body: Body,
) -> Result<Response, Error> {
    check_file_name(&place.name)?;
    let (release, module, name) = (place.release, place.module, place.name.clone());
    // Before the bytes travel; and again when they are there.
    app.store
        .read(move |db| may_add(db, release, module, &name))
        .await?;
    let blobs = app.store.blobs().clone();
    let sealed = take(body, blobs, app.options.largest_artifact).await?;
    check(&place.name, sealed.content(), expected.sha256)?;
    let kept = tokio::task::spawn_blocking(move || sealed.keep()).await;
    let content = kept.map_err(|_| StoreError::Stopping)??;
    let info = ArtifactInfo {
        name: place.name.clone(),
        size: content.size,
        sha256: content.sha256.to_string(),
    };
    let blobs = app.store.blobs().clone();
    app.store
        .write(move |db| {
            may_add(db, release, module, &place.name)?;
            // Somebody may have deleted the last release with these bytes meanwhile, and them with it.
            if !blobs.path(&content.sha256).exists() {
                return Err(Error::BytesGone(place.name));
            }
            releases::insert_artifact(db, module, &place.name, &content, now())
        })
        .await?;
    Ok(json(StatusCode::CREATED, &info))
}

fn check(name: &str, content: &Content, expected: Option<Digest>) -> Result<(), Error> {
    if content.size == 0 {
        return Err(Error::Invalid(format!(
            "artifact {name:?} is empty: hawkBit takes no empty artifacts, so no release has one"
        )));
    }
    match expected.filter(|sha256| *sha256 != content.sha256) {
        None => Ok(()),
        Some(sha256) => Err(Error::Invalid(format!(
            "artifact {name:?} has SHA-256 {}, not {sha256}: it changed on its way, send it again",
            content.sha256
        ))),
    }
}

fn may_add(db: &rusqlite::Connection, release: i64, module: i64, name: &str) -> Result<(), Error> {
    let found = releases::get(db, release)?;
    if releases::get_module(db, module)?.release != release {
        return Err(Error::NoModule(module));
    }
    if found.locked {
        return Err(Error::Locked(release));
    }
    match releases::get_artifact(db, module, name) {
        Ok(_) => Err(Error::Exists {
            what: "artifact",
            name: name.to_owned(),
        }),
        Err(Error::NoArtifact { .. }) => Ok(()),
        Err(other) => Err(other),
    }
}

/// Hashing and writing happen on a thread of their own; the network waits for it. `None` says that the body is whole:
/// one that breaks off closes the channel without it.
async fn take(body: Body, blobs: Blobs, largest: u64) -> Result<Sealed, Error> {
    let (send, mut receive) = mpsc::channel::<Option<Bytes>>(IN_FLIGHT);
    let writer = tokio::task::spawn_blocking(move || {
        let mut incoming = blobs.incoming()?;
        loop {
            match receive.blocking_recv() {
                Some(Some(bytes)) => incoming.write(&bytes)?,
                Some(None) => return Ok(incoming.seal()),
                None => return Err(Error::Invalid("the upload broke off".into())),
            }
            if incoming.size() > largest {
                return Err(Error::Invalid(format!(
                    "the artifact is larger than {largest} bytes: split it"
                )));
            }
        }
    });
    pump(body, send).await;
    match writer.await {
        Ok(result) => result,
        Err(_) => Err(StoreError::Stopping.into()),
    }
}

/// Ends early when the client goes away or the writer gives up; the writer knows which.
async fn pump(body: Body, send: mpsc::Sender<Option<Bytes>>) {
    let mut body = pin!(body);
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let Ok(frame) = frame else { return };
        // Trailers say nothing here.
        let Ok(bytes) = frame.into_data() else {
            continue;
        };
        if send.send(Some(bytes)).await.is_err() {
            return;
        }
    }
    // A writer that is gone has its reason.
    drop(send.send(None).await);
}

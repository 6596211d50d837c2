//! `GET` of the root, and `PUT .../configData`.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use roamcore_ddi::messages::{AttributeMode, Link, Poll, PollConfig, PollLinks, Polling};
use roamcore_ddi::sleep;
use serde::Deserialize;

use super::Device;
use crate::error::Error;
use crate::http::App;
use crate::http::reply::{Posted, document};
use crate::model::action::Action;
use crate::model::{Millis, now};
use crate::ops::device::{self, Polled};

/// What is there to do?
pub async fn poll(
    State(app): State<App>,
    device: Device,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let now = now();
    let polled = polled(&app, &device, now).await?;
    Ok(document(&headers, &answer(&device, &polled, now)))
}

/// A poll; most change nothing and need no transaction that is written.
pub(super) async fn polled(app: &App, device: &Device, now: Millis) -> Result<Polled, Error> {
    let (id, address) = (device.id.clone(), device.address.clone());
    app.polled(id.as_str(), now);
    let (known, from) = (id.clone(), address.clone());
    match app
        .store
        .read(move |db| device::look(db, known.as_str(), &from, now))
        .await?
    {
        Some(polled) => Ok(polled),
        None => {
            app.store
                .write(move |db| device::poll(db, &id, &address, now))
                .await
        }
    }
}

fn answer(device: &Device, polled: &Polled, now: Millis) -> Poll {
    let link = |rest: String| Some(Link::to(format!("{}/{rest}", device.base)));
    let mut links = PollLinks {
        installed_base: polled
            .installed
            .and_then(|id| link(format!("installedBase/{id}"))),
        ..PollLinks::default()
    };
    if let Some(action) = &polled.action {
        if action.is_waiting() {
            links.confirmation_base = link(versioned("confirmationBase", action, now));
        } else if action.is_canceling_or_canceled() {
            links.cancel_action = link(format!("cancelAction/{}", action.id));
        } else {
            links.deployment_base = link(versioned("deploymentBase", action, now));
        }
    }
    if polled.target.wants_attributes {
        links.config_data = link("configData".to_owned());
    }
    Poll {
        config: PollConfig {
            polling: Polling {
                sleep: sleep::format(polled.sleep),
            },
        },
        links,
    }
}

/// A link that changes when the document behind it does.
pub(super) fn versioned(resource: &str, action: &Action, now: Millis) -> String {
    format!("{resource}/{}?c={}", action.id, action.checksum(now))
}

/// As `ConfigData`, with hawkBit's leave to write `null` for what is to be removed.
#[derive(Deserialize)]
pub struct Attributes {
    mode: Option<AttributeMode>,
    data: BTreeMap<String, Option<String>>,
}

/// What the device says of itself.
pub async fn config_data(
    State(app): State<App>,
    device: Device,
    Posted(sent): Posted<Attributes>,
) -> Result<Response, Error> {
    if sent.data.is_empty() {
        return Err(Error::Unreadable("data has no attribute".into()));
    }
    let quotas = app.options.quotas;
    let mode = sent.mode.unwrap_or_default();
    let id = device.id.as_str().to_owned();
    app.store
        .write(move |db| device::set_attributes(db, &quotas, &id, mode, &sent.data))
        .await?;
    Ok(StatusCode::OK.into_response())
}

//! `confirmationBase`: what waits for the device's user, the user's word, and automatic confirmation.

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use roamcore_ddi::messages::{
    ActivateAutoConfirm, AutoConfirm, ConfirmationBase, ConfirmationFeedback, ConfirmationInfo,
    ConfirmationLinks, Link,
};

use super::Device;
use super::deployment::{History, OfAction, action_id, describe, told_before, unless_lapsed};
use super::poll::{polled, versioned};
use crate::error::Error;
use crate::http::App;
use crate::http::reply::{Posted, document};
use crate::model::now;
use crate::ops::confirm;

/// What waits, and whether confirmation is automatic.
pub async fn overview(
    State(app): State<App>,
    device: Device,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let now = now();
    let polled = polled(&app, &device, now).await?;
    let link = |rest: String| Some(Link::to(format!("{}/{rest}", device.base)));
    let auto = polled.target.auto_confirm;
    let mut links = ConfirmationLinks {
        confirmation_base: polled
            .action
            .filter(|action| action.is_waiting())
            .and_then(|action| link(versioned("confirmationBase", &action, now))),
        ..ConfirmationLinks::default()
    };
    match auto {
        Some(_) => {
            links.deactivate_auto_confirm =
                link("confirmationBase/deactivateAutoConfirm".to_owned())
        }
        None => {
            links.activate_auto_confirm = link("confirmationBase/activateAutoConfirm".to_owned())
        }
    }
    let auto_confirm = match auto {
        None => AutoConfirm::default(),
        Some(auto) => AutoConfirm {
            active: true,
            initiator: auto.initiator,
            remark: auto.remark,
            activated_at: Some(auto.at),
        },
    };
    Ok(document(
        &headers,
        &ConfirmationInfo {
            auto_confirm,
            links,
        },
    ))
}

/// What would be done.
pub async fn waiting(
    State(app): State<App>,
    device: Device,
    Path(OfAction { action }): Path<OfAction>,
    Query(history): Query<History>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let found = app
        .store
        .write(move |db| {
            let now = now();
            let action_history = told_before(db, action, history.limit())?;
            let action = confirm::read(db, device.id.as_str(), action, now)?;
            let confirmation = describe(db, &device, &action, now)?;
            Ok(ConfirmationBase {
                id: action_id(&action),
                confirmation,
                action_history,
            })
        })
        .await;
    Ok(document(
        &headers,
        &unless_lapsed(&app, found, action).await?,
    ))
}

/// The user's word.
pub async fn feedback(
    State(app): State<App>,
    device: Device,
    Path(OfAction { action }): Path<OfAction>,
    Posted(sent): Posted<ConfirmationFeedback>,
) -> Result<Response, Error> {
    let quotas = app.options.quotas;
    let id = device.id.as_str().to_owned();
    app.store
        .write(move |db| confirm::decide(db, &quotas, &id, action, &sent, now()))
        .await?;
    Ok(StatusCode::OK.into_response())
}

/// The user need not be asked any more.
pub async fn activate(
    State(app): State<App>,
    device: Device,
    Posted(sent): Posted<ActivateAutoConfirm>,
) -> Result<Response, Error> {
    let id = device.id.as_str().to_owned();
    app.store
        .write(move |db| confirm::activate_auto(db, &id, sent.initiator, sent.remark, now()))
        .await?;
    Ok(StatusCode::OK.into_response())
}

/// The user wants to be asked.
pub async fn deactivate(State(app): State<App>, device: Device) -> Result<Response, Error> {
    let id = device.id.as_str().to_owned();
    app.store
        .write(move |db| confirm::deactivate_auto(db, &id))
        .await?;
    Ok(StatusCode::OK.into_response())
}

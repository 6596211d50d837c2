//! Settings of the fleet, for operators.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::Operator;
use super::targets::token_of;
use super::wire::{SetToken, TokenShown};
use crate::error::Error;
use crate::http::App;
use crate::http::reply::{Posted, json};
use crate::settings::{Settings, set_gateway_token};

/// All of them.
pub async fn show(State(app): State<App>, _: Operator) -> Result<Response, Error> {
    Ok(json(StatusCode::OK, &app.store.read(Settings::load).await?))
}

/// Replaces them, except for the gateway token. What is absent goes back to its default.
pub async fn change(
    State(app): State<App>,
    _: Operator,
    Posted(wanted): Posted<Settings>,
) -> Result<Response, Error> {
    let kept = app
        .store
        .write(move |db| {
            wanted.save(db)?;
            Settings::load(db)
        })
        .await?;
    Ok(json(StatusCode::OK, &kept))
}

/// Sets the gateway token and shows it, this once.
pub async fn set_gateway(
    State(app): State<App>,
    _: Operator,
    Posted(wanted): Posted<SetToken>,
) -> Result<Response, Error> {
    let token = token_of(wanted.token.as_deref())?;
    let kept = token.clone();
    app.store
        .write(move |db| set_gateway_token(db, Some(&kept)))
        .await?;
    let shown = TokenShown {
        id: "gateway".into(),
        token: token.expose().to_owned(),
    };
    Ok(json(StatusCode::OK, &shown))
}

/// Removes the gateway token.
pub async fn clear_gateway(State(app): State<App>, _: Operator) -> Result<Response, Error> {
    app.store.write(|db| set_gateway_token(db, None)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

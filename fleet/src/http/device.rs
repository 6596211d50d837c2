//! DDI v1: what devices call, below `/{tenant}/controller/v1/{controllerId}`.
//!
//! Owns: the routes and who is behind a request. Handlers translate between documents and `ops`, and decide nothing.

mod artifacts;
mod auth;
mod confirmation;
mod deployment;
mod download;
mod poll;
mod range;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post, put};

use super::App;
use super::limit::limit;
pub use auth::Device;

const BASE: &str = "/{tenant}/controller/v1/{controller}";

/// All routes of devices.
pub fn router(app: &App) -> Router {
    let path = |rest: &str| format!("{BASE}{rest}");
    Router::new()
        .route(BASE, get(poll::poll))
        .route(&path("/configData"), put(poll::config_data))
        .route(
            &path("/deploymentBase/{action}"),
            get(deployment::deployment),
        )
        .route(
            &path("/deploymentBase/{action}/feedback"),
            post(deployment::feedback),
        )
        .route(
            &path("/cancelAction/{action}"),
            get(deployment::cancellation),
        )
        .route(
            &path("/cancelAction/{action}/feedback"),
            post(deployment::cancel_feedback),
        )
        .route(
            &path("/installedBase"),
            put(deployment::installed_elsewhere),
        )
        .route(&path("/installedBase/{action}"), get(deployment::installed))
        .route(&path("/confirmationBase"), get(confirmation::overview))
        .route(
            &path("/confirmationBase/activateAutoConfirm"),
            post(confirmation::activate),
        )
        .route(
            &path("/confirmationBase/deactivateAutoConfirm"),
            post(confirmation::deactivate),
        )
        .route(
            &path("/confirmationBase/{action}"),
            get(confirmation::waiting),
        )
        .route(
            &path("/confirmationBase/{action}/feedback"),
            post(confirmation::feedback),
        )
        .route(
            &path("/softwaremodules/{module}/artifacts"),
            get(artifacts::list),
        )
        .route(
            &path("/softwaremodules/{module}/artifacts/{file}"),
            get(artifacts::artifact),
        )
        .fallback(|| async { StatusCode::NOT_FOUND })
        .layer(from_fn_with_state(app.clone(), limit))
        .with_state(app.clone())
}

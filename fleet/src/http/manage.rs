//! The management API: what operators call, below `/api/v1`.
//!
//! ```text
//!   GET  health                                    no credential
//!   GET  targets   POST targets                    GET DELETE targets/{id}   POST targets/{id}/token
//!   GET  releases  POST releases                   GET DELETE releases/{id}
//!                                                  PUT releases/{id}/modules/{module}/artifacts/{name}   (the bytes)
//!   POST deployments
//!   GET  actions                                   GET DELETE PUT actions/{id}   POST actions/{id}/confirmation
//!   GET  settings  PUT settings                    PUT DELETE settings/gateway-token
//! ```
//!
//! Owns: the routes and the operator's credential, `Authorization: Bearer` with the content of `DIR/admin.token`.
//! Documents are in [`wire`]; unknown members are refused, since a mistyped option of a deployment must not be ignored.

mod actions;
mod releases;
mod settings;
mod targets;
mod upload;
pub mod wire;

use axum::Router;
use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};

use super::App;
use super::reply::json;
use crate::error::Error;

/// Pages of lists are no longer than this.
const LONGEST_PAGE: usize = 1000;

/// All routes of operators.
pub fn router(app: &App) -> Router {
    Router::new()
        .route("/api/v1/health", get(health))
        .route("/api/v1/targets", get(targets::list).post(targets::add))
        .route(
            "/api/v1/targets/{target}",
            get(targets::show).delete(targets::delete),
        )
        .route("/api/v1/targets/{target}/token", post(targets::token))
        .route("/api/v1/releases", get(releases::list).post(releases::add))
        .route(
            "/api/v1/releases/{release}",
            get(releases::show).delete(releases::delete),
        )
        .route(
            "/api/v1/releases/{release}/modules/{module}/artifacts/{name}",
            put(upload::upload),
        )
        .route("/api/v1/deployments", post(actions::deploy))
        .route("/api/v1/actions", get(actions::list))
        .route(
            "/api/v1/actions/{action}",
            get(actions::show)
                .delete(actions::cancel)
                .put(actions::change),
        )
        .route(
            "/api/v1/actions/{action}/confirmation",
            post(actions::confirm),
        )
        .route(
            "/api/v1/settings",
            get(settings::show).put(settings::change),
        )
        .route(
            "/api/v1/settings/gateway-token",
            put(settings::set_gateway).delete(settings::clear_gateway),
        )
        .fallback(|| async { StatusCode::NOT_FOUND })
        .with_state(app.clone())
}

async fn health() -> Response {
    json(
        StatusCode::OK,
        &wire::Health {
            version: env!("CARGO_PKG_VERSION").to_owned(),
        },
    )
}

/// An authenticated operator.
#[derive(Debug, Clone, Copy)]
pub struct Operator(());

impl Operator {
    /// Who stands in histories. There is one operator's token, so there is one name.
    pub fn name(self) -> &'static str {
        "admin"
    }
}

impl FromRequestParts<App> for Operator {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let text = parts.headers.get(AUTHORIZATION).map(HeaderValue::to_str);
        match text {
            Some(Ok(text))
                if text
                    .strip_prefix("Bearer ")
                    .is_some_and(|token| app.admin.matches(token)) =>
            {
                Ok(Operator(()))
            }
            _ => Err((StatusCode::UNAUTHORIZED, [("www-authenticate", "Bearer")]).into_response()),
        }
    }
}

fn page(limit: Option<usize>) -> Result<usize, Error> {
    match limit.unwrap_or(100) {
        limit @ 1..=LONGEST_PAGE => Ok(limit),
        limit => Err(Error::Invalid(format!(
            "limit {limit} is refused: use 1 to {LONGEST_PAGE}"
        ))),
    }
}

//! Answers and bodies.
//!
//! Owns: JSON in and out with hawkBit's content types, entity tags and error documents. Invariant: no body beyond
//! [`MAX_DOCUMENT`] is ever held in memory.

use axum::body::to_bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use roamcore_ddi::messages::{MAX_DOCUMENT, MessageError, ServerError, read};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::App;
use crate::error::Error;
use crate::secret::hex;

const JSON: &str = "application/json;charset=UTF-8";
const HAL: &str = "application/hal+json;charset=UTF-8";

fn plain(content_type: &'static str) -> [(HeaderName, &'static str); 3] {
    [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, "no-cache, no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ]
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if let Error::Broken(source) = &self {
            crate::log::error(crate::log::chain(source));
        }
        let Some(code) = self.code() else {
            return (status, [(CACHE_CONTROL, "no-cache, no-store")]).into_response();
        };
        let body = ServerError {
            exception_class: None,
            error_code: Some(code.to_owned()),
            message: Some(self.to_string()),
        };
        let body = serde_json::to_vec(&body).unwrap_or_default();
        (status, plain(JSON), body).into_response()
    }
}

/// A document for an operator.
pub fn json(status: StatusCode, document: &impl Serialize) -> Response {
    match serde_json::to_vec(document) {
        Ok(body) => (status, plain(JSON), body).into_response(),
        Err(error) => Error::Invalid(error.to_string()).into_response(),
    }
}

/// A document for a device, with its entity tag, or 304 if the device has it.
pub fn document(headers: &HeaderMap, document: &impl Serialize) -> Response {
    let Some(content_type) = accepted(headers) else {
        return StatusCode::NOT_ACCEPTABLE.into_response();
    };
    let body = match serde_json::to_vec(document) {
        Ok(body) => body,
        Err(error) => return Error::Invalid(error.to_string()).into_response(),
    };
    let tag = format!("\"{}\"", &hex(&Sha256::digest(&body))[..32]);
    if has_tag(headers, &tag) {
        return (StatusCode::NOT_MODIFIED, [(ETAG, tag)]).into_response();
    }
    (plain(content_type), [(ETAG, tag)], body).into_response()
}

fn accepted(headers: &HeaderMap) -> Option<&'static str> {
    let mut lines = headers.get_all(ACCEPT).iter().peekable();
    if lines.peek().is_none() {
        return Some(HAL);
    }
    let text: Vec<&str> = lines.filter_map(|line| line.to_str().ok()).collect();
    text.iter()
        .flat_map(|line| line.split(','))
        .find_map(|range| match range.split(';').next()?.trim() {
            "*/*" | "application/*" | "application/hal+json" => Some(HAL),
            "application/json" => Some(JSON),
            _ => None,
        })
}

/// Weak comparison, RFC 9110 section 13.1.2. As in hawkBit, `*` matches nothing.
fn has_tag(headers: &HeaderMap, tag: &str) -> bool {
    let lines = headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|line| line.to_str().ok());
    lines
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .any(|one| one.strip_prefix("W/").unwrap_or(one) == tag)
}

/// The JSON body of a request.
pub struct Posted<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for Posted<T> {
    type Rejection = Response;

    async fn from_request(request: Request, _: &App) -> Result<Self, Response> {
        if !is_json(request.headers()) {
            return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response());
        }
        // An error is a body that is too long, or a client that went away.
        let body = to_bytes(request.into_body(), MAX_DOCUMENT).await;
        let body = body.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE.into_response())?;
        match read("the request", &body) {
            Ok(document) => Ok(Posted(document)),
            Err(error) => Err(unreadable(&error).into_response()),
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

fn unreadable(error: &MessageError) -> Error {
    match error {
        MessageError::Shape { source, .. } => Error::Unreadable(source.to_string()),
        other => Error::Unreadable(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn entity_tags() {
        let cases = [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"x\", \"a\"", true),
            ("\"x\"", false),
            ("*", false),
            ("a", false),
        ];
        for (header, expected) in cases {
            assert_eq!(
                has_tag(&one(IF_NONE_MATCH, header), "\"a\""),
                expected,
                "{header}"
            );
        }
    }

    #[test]
    fn what_is_accepted() {
        assert_eq!(accepted(&HeaderMap::new()), Some(HAL));
        let cases = [
            ("*/*", Some(HAL)),
            ("text/html, application/json;q=0.5", Some(JSON)),
            ("application/hal+json", Some(HAL)),
            ("text/plain", None),
            ("application/cbor", None),
        ];
        for (header, expected) in cases {
            assert_eq!(accepted(&one(ACCEPT, header)), expected, "{header}");
        }
    }

    #[test]
    fn content_types_of_bodies() {
        for (header, expected) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/hal+json", false),
            ("text/plain", false),
        ] {
            assert_eq!(is_json(&one(CONTENT_TYPE, header)), expected, "{header}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}

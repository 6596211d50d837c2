//! The bytes of an artifact: whole, a range, several ranges; preconditions; entity tags.
//!
//! Owns: hawkBit's reading of RFC 9110, quirks included, because a device must not notice which server it talks to:
//! `If-Match` is compared with the bare SHA-1, so that a quoted tag never matches; a date in `If-Range` counts as
//! unchanged when it is not older than the artifact to the millisecond, so that the `Last-Modified` of the same
//! artifact usually is. A device uses the entity tag in `If-Range` and is well with both servers.

use std::fs::File;

use axum::body::Body;
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    ETAG, IF_MATCH, IF_RANGE, LAST_MODIFIED, RANGE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::response::Builder;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::Response;
use jiff::Timestamp;
use jiff::fmt::rfc2822;

use super::range;
use crate::error::Error;
use crate::http::App;
use crate::http::stream::{FileBody, Part, Span};
use crate::model::Millis;
use crate::store::StoreError;
use crate::store::releases::Artifact;

const BOUNDARY: &str = "THIS_STRING_SEPARATES_MULTIPART";

/// What a request wants of a file.
#[derive(Debug, Clone)]
pub struct Wanted {
    range: Option<String>,
    if_range: Option<String>,
    /// `If-Match`.
    pub if_match: Option<String>,
}

impl Wanted {
    /// From the headers of a request. One that is not ASCII is as if it were empty: it matches nothing.
    pub fn of(headers: &HeaderMap) -> Self {
        let text = |name: HeaderName| {
            headers
                .get(name)
                .map(|value| value.to_str().unwrap_or_default().to_owned())
        };
        Wanted {
            range: text(RANGE),
            if_range: text(IF_RANGE),
            if_match: text(IF_MATCH),
        }
    }

    /// No range is asked for.
    pub fn is_whole(&self) -> bool {
        self.range.is_none()
    }
}

/// Whether `If-Match` lets the request pass.
pub fn matches(if_match: Option<&str>, sha1: &str) -> bool {
    if_match.is_none_or(|list| {
        list.split(',')
            .map(str::trim)
            .any(|one| one == "*" || one == sha1)
    })
}

/// Whether `If-Range` has it that the artifact is another one now, so that all of it is to be sent.
fn changed(if_range: Option<&str>, tag: &str, created: Millis) -> bool {
    match if_range {
        None => false,
        Some(one) if one == tag => false,
        Some(date) => match rfc2822::parse(date) {
            Ok(date) => date.timestamp().as_millisecond() < created,
            Err(_) => true,
        },
    }
}

/// The answer.
pub async fn answer(app: &App, artifact: &Artifact, wanted: &Wanted) -> Result<Response, Error> {
    let (size, tag) = (
        artifact.content.size,
        format!("\"{}\"", artifact.content.sha1),
    );
    let range = wanted
        .range
        .as_deref()
        .filter(|_| !changed(wanted.if_range.as_deref(), &tag, artifact.created));
    let head = head(artifact, &tag)?;
    let spans = match range {
        None => None,
        Some(header) => match range::parse(header, size) {
            Some(spans) => Some(spans),
            None => {
                let head = head
                    .status(StatusCode::RANGE_NOT_SATISFIABLE)
                    .header(CONTENT_RANGE, format!("bytes */{size}"));
                return finish(head.header(CONTENT_TYPE, OCTETS), Body::empty());
            }
        },
    };
    let file = open(app, artifact).await?;
    match spans.as_deref() {
        None => {
            let whole = Span::from(0, size).map(Part::File);
            send(
                head.header(CONTENT_TYPE, OCTETS),
                file,
                whole.into_iter().collect(),
            )
        }
        Some([span]) => {
            let head = head
                .status(StatusCode::PARTIAL_CONTENT)
                .header(CONTENT_RANGE, content_range(*span, size));
            send(
                head.header(CONTENT_TYPE, OCTETS),
                file,
                vec![Part::File(*span)],
            )
        }
        Some(spans) => {
            let kind = format!("multipart/byteranges; boundary={BOUNDARY}");
            let head = head
                .status(StatusCode::PARTIAL_CONTENT)
                .header(CONTENT_TYPE, kind);
            send(head, file, multipart(spans, size))
        }
    }
}

const OCTETS: &str = "application/octet-stream";

fn head(artifact: &Artifact, tag: &str) -> Result<Builder, Error> {
    let created = Timestamp::from_millisecond(artifact.created)
        .and_then(|created| rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&created))
        .map_err(|e| Error::Invalid(e.to_string()))?;
    Ok(Response::builder()
        .header(
            CONTENT_DISPOSITION,
            format!("attachment;filename={}", artifact.name),
        )
        .header(LAST_MODIFIED, created)
        .header(ETAG, tag)
        .header(ACCEPT_RANGES, "bytes")
        .header(X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(CACHE_CONTROL, "no-cache, no-store"))
}

fn content_range(span: Span, size: u64) -> String {
    format!("bytes {}-{}/{size}", span.first, span.last)
}

/// RFC 9110 section 14.6 and RFC 2046 section 5.1.
fn multipart(spans: &[Span], size: u64) -> Vec<Part> {
    let mut parts = Vec::new();
    for (n, span) in spans.iter().enumerate() {
        let before = if n == 0 { "" } else { "\r\n" };
        let range = content_range(*span, size);
        parts.push(Part::Text(format!(
            "{before}--{BOUNDARY}\r\nContent-Type: {OCTETS}\r\nContent-Range: {range}\r\n\r\n"
        )));
        parts.push(Part::File(*span));
    }
    parts.push(Part::Text(format!("\r\n--{BOUNDARY}--")));
    parts
}

async fn open(app: &App, artifact: &Artifact) -> Result<File, Error> {
    let path = app.store.blobs().path(&artifact.content.sha256);
    let (name, at) = (artifact.name.clone(), path.clone());
    match tokio::task::spawn_blocking(move || File::open(at)).await {
        Ok(Ok(file)) => Ok(file),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Error::BytesGone(name))
        }
        Ok(Err(error)) => Err(StoreError::file("cannot open", &path)(error).into()),
        Err(_) => Err(StoreError::Stopping.into()),
    }
}

fn send(head: Builder, file: File, parts: Vec<Part>) -> Result<Response, Error> {
    let body = FileBody::new(file, parts);
    finish(head.header(CONTENT_LENGTH, body.left()), Body::new(body))
}

fn finish(head: Builder, body: Body) -> Result<Response, Error> {
    head.body(body).map_err(|e| Error::Invalid(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_match_takes_the_bare_sum_alone() {
        for (header, expected) in [
            (None, true),
            (Some("*"), true),
            (Some("ab"), true),
            (Some("x, ab"), true),
            (Some("\"ab\""), false),
            (Some(""), false),
        ] {
            assert_eq!(matches(header, "ab"), expected, "{header:?}");
        }
    }

    #[test]
    fn if_range_takes_the_quoted_tag_or_a_date() {
        // 2026-11-21T11:45:37.500Z
        let created = 1_795_261_537_500;
        let cases = [
            (None, false),
            (Some("\"ab\""), false),
            (Some("ab"), true),
            (Some("W/\"ab\""), true),
            (Some("\"nope\""), true),
            (Some("Wed, 21 Oct 2015 07:28:00 GMT"), true),
            (Some("Sat, 21 Nov 2026 11:45:37 GMT"), true),
            (Some("Wed, 21 Oct 2099 07:28:00 GMT"), false),
        ];
        for (header, expected) in cases {
            assert_eq!(changed(header, "\"ab\"", created), expected, "{header:?}");
        }
    }

    #[test]
    fn several_ranges_in_one_answer() {
        let spans = [Span { first: 0, last: 0 }, Span { first: 2, last: 3 }];
        let text: String = multipart(&spans, 4096)
            .into_iter()
            .map(|part| match part {
                Part::Text(text) => text,
                Part::File(span) => format!("<{}-{}>", span.first, span.last),
            })
            .collect();
        assert_eq!(
            text,
            "--THIS_STRING_SEPARATES_MULTIPART\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes 0-0/4096\r\n\r\n<0-0>\
             \r\n--THIS_STRING_SEPARATES_MULTIPART\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes 2-3/4096\r\n\r\n<2-3>\
             \r\n--THIS_STRING_SEPARATES_MULTIPART--"
        );
    }
}

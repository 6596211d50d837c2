//! Ranges of a file, to a sink.
//!
//! Owns: one attempt (`attempt`), and attempts until the range is complete or there is no point
//! (`Client::fetch`). Never does: buffer more than one piece of the network, write anywhere itself,
//! believe a size: the caller gives the signed one. Whether the bytes are right is the caller's to check.
//! Invariant: the sink gets the wanted bytes in order, each once, and never one beyond them; also when
//! the server answers a range with the whole file.
//!
//! ```text
//!   Range, If-Range --> 206  Content-Range must begin where asked, with the signed size
//!                       200  the whole file: throw away the start, within a limit, take the part, hang up
//!                       416  the file is shorter than signed: not the file
//!                       else the status rules of `error`
//! ```

use std::io;
use std::ops::{Deref, Range};
use std::time::Duration;

use reqwest::header::{
    CONTENT_ENCODING, CONTENT_RANGE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_RANGE, RANGE,
};
use reqwest::{StatusCode, Url};
use tokio::time::Instant;

use super::Client;
use super::address::shown;
use super::error::{Advice, ClientError};
use super::http::{Answer, Http, network};
use super::range::{self, Misfit, Plan};
use super::retry::{Backoff, Clock, LONGEST};
use super::settings::Limits;
use crate::messages::Artifact;

/// Where bytes go; an error ends the download.
pub type Sink<'a> = &'a mut dyn FnMut(&[u8]) -> io::Result<()>;

/// A file on a server, with its signed size.
#[derive(Debug, Clone)]
pub struct Source {
    url: Url,
    size: u64,
    own: bool,
    tag: Option<HeaderValue>,
}

impl Source {
    /// The signed size.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// True when it is on the configured server itself, as far as the link says.
    pub fn is_own(&self) -> bool {
        self.own
    }

    /// Its address, without secrets.
    pub fn shown(&self) -> String {
        shown(&self.url)
    }
}

impl Client {
    /// Finds an artifact's file. `size` is the signed one: what the server says must agree.
    pub fn source(&self, artifact: &Artifact, size: u64) -> Result<Source, ClientError> {
        let refuse = |href: &str, rule| ClientError::Address {
            name: artifact.filename.clone(),
            href: href.to_owned(),
            rule,
        };
        let link = artifact.download().ok_or_else(|| {
            refuse(
                "",
                "there is none; the server has to offer download or download-http",
            )
        })?;
        let url = self.http.base.link(&artifact.filename, &link.href)?;
        if artifact.size != size {
            return Err(ClientError::NotTheFile {
                url: shown(&url),
                why: format!(
                    "the server says {} bytes, the signed size is {size}",
                    artifact.size
                ),
            });
        }
        Ok(Source {
            own: self.http.base.is_own(&url),
            url,
            size,
            tag: None,
        })
    }

    /// Fetches a range, resuming as long as attempts bring something.
    pub async fn fetch(
        &self,
        source: &mut Source,
        range: Range<u64>,
        clock: &impl Clock,
        sink: Sink<'_>,
    ) -> Result<(), ClientError> {
        let (mut at, mut backoff) = (range.start, Backoff::new(LONGEST));
        loop {
            let before = at;
            let result = {
                let mut count = |bytes: &[u8]| {
                    sink(bytes)?;
                    at += bytes.len() as u64;
                    Ok(())
                };
                self.attempt(source, before..range.end, &mut count).await
            };
            let error = match result {
                Ok(()) if at >= range.end => return Ok(()),
                // A short 206 is allowed: go on where it ended.
                Ok(()) => None,
                Err(error) => Some(error),
            };
            if at > before {
                backoff.reset();
            }
            let Some(error) = error else { continue };
            let temporary = matches!(error.advice(), Advice::Backoff | Advice::Conflict);
            if !temporary || backoff.failures() + 1 >= self.http.limits.attempts {
                return Err(error);
            }
            let wait = backoff.next(clock.random());
            clock
                .sleep(wait.max(error.retry_after().unwrap_or_default().min(LONGEST)))
                .await;
        }
    }

    /// Fetches a range with one request. Fewer bytes than asked for are a success only when the server
    /// announced that.
    pub async fn attempt(
        &self,
        source: &mut Source,
        range: Range<u64>,
        sink: Sink<'_>,
    ) -> Result<(), ClientError> {
        let range = range.start..range.end.min(source.size);
        if range.is_empty() {
            return Ok(());
        }
        let mut headers = HeaderMap::new();
        // A whole file needs no range; hawkBit then also notes the download for its operator.
        if range != (0..source.size) {
            set(
                &mut headers,
                RANGE,
                &format!("bytes={}-{}", range.start, range.end - 1),
            );
            if let Some(tag) = &source.tag {
                headers.insert(IF_RANGE, tag.clone());
            }
        }
        let answer = self.http.open(&source.url, &headers).await?;
        let plan = match plan(source, &range, &answer, self.http.limits.skip) {
            Ok(Some(plan)) => plan,
            Ok(None) => return Err(self.http.refusal(answer).await),
            Err(error) => return Err(error),
        };
        Body {
            http: &self.http,
            answer,
        }
        .pour(plan, sink)
        .await
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// What the answer's headers promise; `None` is for statuses that are errors of their own.
fn plan(
    source: &mut Source,
    range: &Range<u64>,
    answer: &Answer,
    skip: u64,
) -> Result<Option<Plan>, ClientError> {
    let url = || shown(&answer.url);
    let headers = answer.response.headers();
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    let not_the_file = |why| ClientError::NotTheFile { url: url(), why };
    let status = answer.response.status();
    if status == StatusCode::RANGE_NOT_SATISFIABLE {
        let length = text(CONTENT_RANGE).and_then(range::unsatisfied_length);
        return match length.filter(|length| *length != source.size) {
            Some(length) => Err(not_the_file(format!(
                "it has {length} bytes, the signed size is {}",
                source.size
            ))),
            None => Ok(None),
        };
    }
    if !matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT) {
        return Ok(None);
    }
    if let Some(encoding) = text(CONTENT_ENCODING).filter(|encoding| *encoding != "identity") {
        let encoding: String = encoding.chars().take(40).collect();
        return Err(not_the_file(format!(
            "it is packed as {encoding:?}, which was not asked for"
        )));
    }
    // Weak tags do not promise equal bytes (RFC 9110, section 13.1.5).
    let tag = headers
        .get(ETAG)
        .filter(|tag| tag.as_bytes().first() == Some(&b'"') && tag.len() <= 256);
    if let (Some(old), Some(new)) = (&source.tag, tag)
        && old != new
    {
        source.tag = None;
        return Err(ClientError::Changed { url: url() });
    }
    source.tag = tag.cloned().or_else(|| source.tag.take());
    let length = answer.response.content_length();
    let plan = match status {
        StatusCode::PARTIAL_CONTENT => {
            range::partial(range, source.size, text(CONTENT_RANGE), length)
        }
        _ => range::whole(range, source.size, length, skip),
    };
    match plan {
        Ok(plan) => Ok(Some(plan)),
        Err(Misfit::NotTheFile(why)) => Err(not_the_file(why)),
        Err(Misfit::NoRanges) => Err(ClientError::NoRanges {
            url: url(),
            start: range.start,
            limit: skip,
        }),
    }
}

/// The body of one answer.
struct Body<'a> {
    http: &'a Http,
    answer: Answer,
}

impl Body<'_> {
    async fn pour(mut self, plan: Plan, sink: Sink<'_>) -> Result<(), ClientError> {
        let (mut skip, mut take) = (plan.skip, plan.take);
        let mut watch = Watch::new(&self.http.limits);
        while take > 0 {
            let Some(chunk) = watch.next(&mut self.answer).await? else {
                return Err(ClientError::Truncated {
                    url: shown(&self.answer.url),
                    delivered: plan.take - take,
                    wanted: plan.take,
                });
            };
            self.http.count(chunk.len());
            let length = chunk.len() as u64;
            let from = skip.min(length);
            let to = (from + take).min(length);
            skip -= from;
            take -= to - from;
            // Both are at most the length of the chunk.
            let wanted = &chunk[from as usize..to as usize];
            if !wanted.is_empty() {
                sink(wanted).map_err(|source| ClientError::Sink {
                    url: shown(&self.answer.url),
                    source,
                })?;
            }
        }
        Ok(())
    }
}

/// Sees to it that the server goes on sending. Only time spent waiting for it counts: neither our own
/// pauses nor a slow disk are its fault.
struct Watch {
    idle: Duration,
    window: Duration,
    slowest: u64,
    waited: Duration,
    bytes: u64,
}

impl Watch {
    fn new(limits: &Limits) -> Self {
        Self {
            idle: limits.idle,
            window: limits.window,
            slowest: limits.slowest,
            waited: Duration::ZERO,
            bytes: 0,
        }
    }

    async fn next(
        &mut self,
        answer: &mut Answer,
    ) -> Result<Option<impl Deref<Target = [u8]> + use<>>, ClientError> {
        let began = Instant::now();
        let chunk = match tokio::time::timeout(self.idle, answer.response.chunk()).await {
            Ok(Ok(chunk)) => chunk,
            Ok(Err(error)) => return Err(network(&answer.url, error)),
            Err(_) => {
                return Err(ClientError::Idle {
                    url: shown(&answer.url),
                    after: self.idle,
                });
            }
        };
        self.waited += began.elapsed();
        self.bytes += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        if self.waited >= self.window {
            if self.bytes < self.slowest && chunk.is_some() {
                return Err(ClientError::Slow {
                    url: shown(&answer.url),
                    bytes: self.bytes,
                    window: self.window,
                });
            }
            (self.waited, self.bytes) = (Duration::ZERO, 0);
        }
        Ok(chunk)
    }
}

//! One exchange over HTTP.
//!
//! Owns: which of two clients speaks (the server's own host sees credentials, others never do), the
//! redirects, the time-outs and the size of small documents. Never does: retry.
//! Invariant: a request with credentials goes to the server's own scheme, host and port, directly; after
//! a redirect through another host even the own host gets none.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER,
};
use reqwest::{Method, Response, StatusCode, Url};

use super::address::{self, Base, shown};
use super::error::{ClientError, SetupError};
use super::settings::{Auth, Limits, Settings};
use super::tls;
use crate::messages::{self, MAX_DOCUMENT, MessageError, ServerError};

/// CDNs need one or two.
const MOST_REDIRECTS: usize = 5;
/// Bodies of errors are for people; more is not read.
const ERROR_BODY: usize = 16 << 10;

#[derive(Debug)]
pub(super) struct Http {
    own: reqwest::Client,
    others: reqwest::Client,
    authorization: Option<HeaderValue>,
    pub base: Base,
    pub limits: Limits,
    received: AtomicU64,
}

/// Headers and body of a request.
#[derive(Debug, Clone, Default)]
pub(super) struct Parts {
    pub headers: HeaderMap,
    pub body: Option<Vec<u8>>,
}

/// An answer, and where it came from.
#[derive(Debug)]
pub(super) struct Answer {
    pub response: Response,
    pub url: Url,
    pub own: bool,
}

impl Http {
    pub fn new(settings: &Settings) -> Result<Self, SetupError> {
        let base = Base::new(
            &settings.server,
            &settings.tenant,
            &settings.controller,
            settings.plaintext,
        )?;
        let (authorization, identity) = match &settings.auth {
            Auth::TargetToken(token) => (Some(("TargetToken", token)), None),
            Auth::GatewayToken(token) => (Some(("GatewayToken", token)), None),
            Auth::Certificate(identity) => (None, Some(identity)),
        };
        let authorization = authorization.map(|(scheme, token)| {
            // Tokens are visible ASCII by their type, so this cannot fail; an empty value would be a 401.
            let mut value = HeaderValue::from_str(&format!("{scheme} {}", token.reveal()))
                .unwrap_or_else(|_| HeaderValue::from_static(""));
            value.set_sensitive(true);
            value
        });
        let roots = &settings.roots;
        let others = roots.others.as_ref().unwrap_or(&roots.server);
        let own = tls::config("the server's CA", &roots.server, identity)?;
        let foreign = tls::config("the CA of other hosts", others, None)?;
        Ok(Self {
            own: client(own, settings)?,
            others: client(foreign, settings)?,
            authorization,
            base,
            limits: settings.limits.clone(),
            received: AtomicU64::new(0),
        })
    }

    /// Bytes of bodies received so far.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub fn count(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Asks the server's own API and reads the answer; redirects are refused: a device that follows one
    /// would talk to a server nobody configured.
    pub async fn call(
        &self,
        method: Method,
        url: &Url,
        parts: Parts,
    ) -> Result<(Answer, Vec<u8>), ClientError> {
        let after = self.limits.document;
        let exchange = async {
            let answer = self.send(method, url, parts, true).await?;
            if answer.response.status().is_redirection()
                && answer.response.status() != StatusCode::NOT_MODIFIED
            {
                let to = location(&answer)
                    .map(|to| shown(&to))
                    .unwrap_or_else(|| "nowhere".to_owned());
                let rule = "only downloads are redirected; if the server has moved, change its address in the settings";
                return Err(ClientError::Redirect {
                    url: shown(url),
                    to,
                    rule,
                });
            }
            self.finish(answer).await
        };
        let late = |_| ClientError::Late {
            url: shown(url),
            after,
        };
        tokio::time::timeout(after, exchange).await.map_err(late)?
    }

    /// Asks for a file, following redirects; the answer's body is still to come.
    pub async fn open(&self, url: &Url, headers: &HeaderMap) -> Result<Answer, ClientError> {
        let mut url = url.clone();
        let mut credentials = true;
        for _ in 0..=MOST_REDIRECTS {
            // Once we have been elsewhere, who sends us back is not the server.
            credentials &= self.base.is_own(&url);
            let parts = Parts {
                headers: headers.clone(),
                body: None,
            };
            let answer = self.send(Method::GET, &url, parts, credentials).await?;
            let status = answer.response.status();
            if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(answer);
            }
            url = self.follow(&answer)?;
        }
        let rule = "that is one redirect too many";
        let to = shown(&url);
        Err(ClientError::Redirect {
            url: to.clone(),
            to,
            rule,
        })
    }

    /// Reads what is left of an answer, into a document or an error.
    async fn finish(&self, mut answer: Answer) -> Result<(Answer, Vec<u8>), ClientError> {
        let status = answer.response.status();
        if !status.is_success() && status != StatusCode::NOT_MODIFIED {
            return Err(self.refusal(answer).await);
        }
        let body = self.body(&mut answer, MAX_DOCUMENT).await?;
        Ok((answer, body))
    }

    /// The error that an answer is.
    pub async fn refusal(&self, mut answer: Answer) -> ClientError {
        let headers = answer.response.headers();
        let retry_after = headers
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok());
        // The body is a help, not a need: whatever is wrong with it, the status counts.
        let body =
            tokio::time::timeout(self.limits.answer, self.body(&mut answer, ERROR_BODY)).await;
        let error = match body {
            Ok(Ok(body)) => messages::read("error", &body).unwrap_or_default(),
            _ => ServerError::default(),
        };
        ClientError::Status {
            url: shown(&answer.url),
            status: answer.response.status().as_u16(),
            own: answer.own,
            error,
            retry_after: retry_after.map(Duration::from_secs),
        }
    }

    async fn send(
        &self,
        method: Method,
        url: &Url,
        parts: Parts,
        credentials: bool,
    ) -> Result<Answer, ClientError> {
        let own = credentials && self.base.is_own(url);
        let client = if own { &self.own } else { &self.others };
        let mut request = client.request(method, url.clone()).headers(parts.headers);
        // A body that a proxy packs would make nonsense of ranges and sizes.
        request = request.header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let (true, Some(authorization)) = (own, &self.authorization) {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        if let Some(body) = parts.body {
            request = request.body(body);
        }
        let after = self.limits.answer;
        match tokio::time::timeout(after, request.send()).await {
            Ok(Ok(response)) => Ok(Answer {
                response,
                url: url.clone(),
                own,
            }),
            Ok(Err(error)) => Err(network(url, error)),
            Err(_) => Err(ClientError::Late {
                url: shown(url),
                after,
            }),
        }
    }

    fn follow(&self, answer: &Answer) -> Result<Url, ClientError> {
        let refuse = |to: String, rule| ClientError::Redirect {
            url: shown(&answer.url),
            to,
            rule,
        };
        let to =
            location(answer).ok_or_else(|| refuse("nowhere".to_owned(), "it names no address"))?;
        address::check(&to).map_err(|rule| refuse(shown(&to), rule))?;
        if answer.url.scheme() == "https" && to.scheme() != "https" {
            return Err(refuse(shown(&to), "it would leave TLS"));
        }
        Ok(to)
    }

    async fn body(&self, answer: &mut Answer, limit: usize) -> Result<Vec<u8>, ClientError> {
        let mut body = Vec::new();
        let declared = answer.response.content_length().unwrap_or(0);
        let too_large = |size: usize| ClientError::Document {
            url: shown(&answer.url),
            source: MessageError::TooLarge {
                what: "an answer",
                size,
            },
        };
        if declared > limit as u64 {
            return Err(too_large(declared.try_into().unwrap_or(usize::MAX)));
        }
        loop {
            match answer.response.chunk().await {
                Ok(Some(chunk)) => {
                    self.count(chunk.len());
                    if body.len() + chunk.len() > limit {
                        return Err(too_large(body.len() + chunk.len()));
                    }
                    body.extend_from_slice(&chunk);
                }
                Ok(None) => return Ok(body),
                Err(error) => return Err(network(&answer.url, error)),
            }
        }
    }
}

/// Adds what a JSON exchange needs.
pub(super) fn accept_json(headers: &mut HeaderMap) {
    headers.insert(
        ACCEPT,
        HeaderValue::from_static("application/hal+json, application/json"),
    );
}

fn client(tls: rustls::ClientConfig, settings: &Settings) -> Result<reqwest::Client, SetupError> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        // The environment of a system service is no place to redirect its traffic.
        .no_proxy()
        .connect_timeout(settings.limits.connect)
        .pool_max_idle_per_host(1)
        .user_agent(&settings.agent)
        .build()
        .map_err(SetupError::Client)
}

fn location(answer: &Answer) -> Option<Url> {
    let text = answer.response.headers().get(LOCATION)?.to_str().ok()?;
    answer.url.join(text).ok()
}

/// The error of a connection, with the cause that helps most.
pub(super) fn network(url: &Url, error: reqwest::Error) -> ClientError {
    ClientError::Network {
        url: shown(url),
        hint: hint(&error),
        // It would show the whole address.
        source: error.without_url(),
    }
}

fn hint(error: &reqwest::Error) -> &'static str {
    use rustls::CertificateError as C;
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        // An io::Error's `source` is that of the error it carries, and leaves this one out.
        let carried = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        if let Some(carried) = carried {
            cause = Some(carried);
            continue;
        }
        match error.downcast_ref() {
            Some(rustls::Error::InvalidCertificate(
                C::Expired
                | C::ExpiredContext { .. }
                | C::NotValidYet
                | C::NotValidYetContext { .. },
            )) => return ": its certificate is not valid at this device's time; is the clock set?",
            Some(rustls::Error::InvalidCertificate(C::UnknownIssuer)) => {
                return ": its certificate is not from the configured CA";
            }
            Some(rustls::Error::InvalidCertificate(
                C::NotValidForName | C::NotValidForNameContext { .. },
            )) => {
                return ": its certificate is for another name";
            }
            Some(rustls::Error::InvalidCertificate(_)) => return ": its certificate is refused",
            Some(rustls::Error::AlertReceived(_)) => {
                return ": it broke off TLS; does it want another client certificate?";
            }
            _ => {}
        }
        cause = error.source();
    }
    ""
}

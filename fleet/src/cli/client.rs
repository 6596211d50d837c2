//! HTTP to the management API.
//!
//! Owns: the credential, the errors and their exit codes. Never does: follow a redirect (the token would go along), or
//! use a proxy.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Certificate, Method, RequestBuilder, Response, StatusCode, redirect};
use roamcore_ddi::messages::ServerError;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::http::stream::FileBody;

/// Small exchanges; uploads have no limit but the server's patience.
const DOCUMENT: Duration = Duration::from_secs(60);

/// A verb failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A file or directory.
    #[error("cannot {what} {path}")]
    File {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// An argument that says nothing.
    #[error("{0}")]
    Usage(String),
    /// Nobody answers.
    #[error("cannot reach {url}: is `roamcore-fleet serve` running there?")]
    Unreachable {
        /// Where.
        url: String,
        /// Why not.
        #[source]
        source: reqwest::Error,
    },
    /// The token is wrong.
    #[error("{url} does not accept the token of {file}: take the server's own DIR/admin.token")]
    Unauthorised {
        /// Where.
        url: String,
        /// The file.
        file: PathBuf,
    },
    /// The server says no.
    #[error("{message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Why.
        message: String,
    },
    /// The answer is none of ours.
    #[error("{url} answered something that is no answer of roamcore-fleet: {why}")]
    Answer {
        /// Where.
        url: String,
        /// What.
        why: String,
    },
    /// The release was refused before anything was sent.
    #[error("the release is refused")]
    Release {
        /// As of `roamcore-image`.
        code: u8,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server could not start or run.
    #[error(transparent)]
    Server(#[from] crate::Error),
}

impl Failure {
    /// With its causes.
    pub fn chain(&self) -> String {
        crate::log::chain(self)
    }

    /// For scripts.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::File { .. } | Failure::Answer { .. } | Failure::Server(_) => 1,
            Failure::Usage(_) => 2,
            Failure::Refused { .. } => 3,
            Failure::Unreachable { .. } => 4,
            Failure::Unauthorised { .. } => 5,
            Failure::Release { code, .. } => *code,
        }
    }

    /// For `map_err`: what was tried with which file.
    pub fn file(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Failure {
        let path = path.to_owned();
        move |source| Failure::File { what, path, source }
    }
}

/// A server to talk to.
pub struct Client {
    http: reqwest::Client,
    url: String,
    token: String,
    token_file: PathBuf,
}

impl Client {
    /// Reads the token; does not connect yet.
    pub fn new(url: &str, token_file: &Path, ca: Option<&Path>) -> Result<Self, Failure> {
        let token = std::fs::read_to_string(token_file)
            .map_err(Failure::file("read the operator's token from", token_file))?;
        let url = url.trim_end_matches('/').to_owned();
        Ok(Client {
            http: http(&url, ca)?,
            url,
            token: token.trim_end().to_owned(),
            token_file: token_file.to_owned(),
        })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}/api/v1/{path}", self.url))
            .bearer_auth(&self.token)
    }

    /// Reads a document.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.document(self.request(Method::GET, path).timeout(DOCUMENT))
            .await
    }

    /// Sends a document, reads the answer.
    pub async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        self.document(self.request(method, path).timeout(DOCUMENT).json(body))
            .await
    }

    /// Removes something; the answer, if any, is a document.
    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Failure> {
        let answer = self
            .answer(self.request(Method::DELETE, path).timeout(DOCUMENT))
            .await?;
        if answer.status() == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        self.parse(answer).await.map(Some)
    }

    /// Sends bytes of a file.
    pub async fn upload<T: DeserializeOwned>(
        &self,
        path: &str,
        body: FileBody,
    ) -> Result<T, Failure> {
        let request = self.request(Method::PUT, path);
        self.document(request.body(reqwest::Body::wrap(body))).await
    }

    async fn document<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Failure> {
        let answer = self.answer(request).await?;
        self.parse(answer).await
    }

    async fn answer(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let answer = request.send().await;
        let answer = answer.map_err(|source| Failure::Unreachable {
            url: self.url.clone(),
            source: source.without_url(),
        })?;
        match answer.status() {
            status if status.is_success() => Ok(answer),
            StatusCode::UNAUTHORIZED => Err(Failure::Unauthorised {
                url: self.url.clone(),
                file: self.token_file.clone(),
            }),
            status => {
                let body = answer.bytes().await.unwrap_or_default();
                let told: ServerError = serde_json::from_slice(&body).unwrap_or_default();
                let message = told
                    .message
                    .unwrap_or_else(|| format!("{} answered {status}", self.url));
                Err(Failure::Refused {
                    status: status.as_u16(),
                    message,
                })
            }
        }
    }

    async fn parse<T: DeserializeOwned>(&self, answer: Response) -> Result<T, Failure> {
        let wrong = |why: String| Failure::Answer {
            url: self.url.clone(),
            why,
        };
        let body = answer.bytes().await.map_err(|e| wrong(e.to_string()))?;
        serde_json::from_slice(&body).map_err(|e| wrong(e.to_string()))
    }
}

fn http(url: &str, ca: Option<&Path>) -> Result<reqwest::Client, Failure> {
    // Fails only when there is a provider already, which is then as good.
    drop(rustls::crypto::ring::default_provider().install_default());
    let builder = reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(10))
        .redirect(redirect::Policy::none())
        .no_proxy()
        .user_agent(concat!("roamcore-fleet/", env!("CARGO_PKG_VERSION")));
    let builder = match ca {
        Some(path) => {
            let pem = std::fs::read(path).map_err(Failure::file("read", path))?;
            let certificates = Certificate::from_pem_bundle(&pem).map_err(|e| {
                Failure::Usage(format!(
                    "{} holds no certificates in PEM: {e}",
                    path.display()
                ))
            })?;
            builder.tls_certs_only(certificates)
        }
        // Without TLS no authorities are needed; a machine may have none.
        None if url.starts_with("http://") => builder.tls_certs_only([]),
        None => builder,
    };
    builder
        .build()
        .map_err(|e| Failure::Usage(format!("cannot make an HTTP client: {e}")))
}

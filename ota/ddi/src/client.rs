//! The device's side of DDI v1.
//!
//! Owns: one HTTP client for the server and one without credentials for everybody else. Never does:
//! keep anything on a disk, decide what to do, retry small exchanges (that is the caller's schedule,
//! with the rules in [`retry`]). Invariant: every call ends within its limits, with a value or an error
//! that says what may follow.
//!
//! ```text
//!   api  download          calls; ranges to a sink
//!     \  /    \
//!     http    range        redirects, time-outs, sizes; Content-Range
//!    /  |  \
//! tls address error        own host or not; what is shown; the status rules
//! ```

mod address;
mod api;
mod download;
mod error;
mod http;
mod range;
pub mod retry;
mod secret;
mod settings;
mod tls;

pub use api::{Assigned, Channel, Polled};
pub use download::{Sink, Source};
pub use error::{Advice, ClientError, SetupError};
pub use secret::{Identity, Token, TokenError};
pub use settings::{Auth, Limits, Roots, Settings};

/// A connection to one server, as one device.
#[derive(Debug)]
pub struct Client {
    http: http::Http,
    known: tokio::sync::Mutex<Option<api::Known>>,
}

impl Client {
    /// Checks the settings; does not connect yet.
    pub fn new(settings: &Settings) -> Result<Self, SetupError> {
        Ok(Self {
            http: http::Http::new(settings)?,
            known: tokio::sync::Mutex::new(None),
        })
    }

    /// Bytes of bodies received so far, whether they were of use or not.
    pub fn received(&self) -> u64 {
        self.http.received()
    }
}

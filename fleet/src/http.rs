//! HTTP: one listener for devices, one for operators.
//!
//! ```text
//!   devices   --> patient listener --> rate limit --> Device (authenticated) --> ops --> store
//!   operators --> patient listener --> Operator (authenticated) ---------------> ops --> store
//! ```
//!
//! Owns: everything between a socket and `ops`. Invariant: a handler of `device` cannot run without a `Device`, one of
//! `manage` not without an `Operator`; both exist only after a credential was checked.

pub mod device;
pub mod limit;
pub mod listen;
pub mod manage;
pub mod peer;
pub mod reply;
pub mod server;
pub mod stream;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::Millis;
use crate::ops::Quotas;
use crate::secret::Hashed;
use crate::store::Store;
use limit::{Limiter, RateLimit};
use listen::Patience;

/// How a server runs. What may change while it runs is in [`crate::settings::Settings`].
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the state is.
    pub dir: PathBuf,
    /// For devices.
    pub listen: SocketAddr,
    /// For operators.
    pub manage: SocketAddr,
    /// First part of devices' URLs.
    pub tenant: String,
    /// Proxies whose `X-Forwarded-*`, `X-Controller-Id` and `X-Authority` headers are believed.
    pub trusted_proxies: Vec<IpAddr>,
    /// Requests of one address in a second.
    pub rate_limit: Option<RateLimit>,
    /// How much one device may store.
    pub quotas: Quotas,
    /// How long slow clients are waited for.
    pub patience: Patience,
    /// Connections at the same time, of each listener.
    pub connections: usize,
    /// Largest artifact.
    pub largest_artifact: u64,
}

impl Options {
    /// The defaults, with the state in `dir`: loopback only, ports chosen by the system.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Options {
            dir: dir.into(),
            listen: anywhere,
            manage: anywhere,
            tenant: "DEFAULT".into(),
            trusted_proxies: Vec::new(),
            rate_limit: Some(RateLimit::default()),
            quotas: Quotas::default(),
            patience: Patience::default(),
            connections: 1024,
            largest_artifact: 16 << 30,
        }
    }
}

/// What all handlers share.
#[derive(Clone)]
pub struct App(Arc<Shared>);

/// Behind [`App`].
pub struct Shared {
    /// The state.
    pub store: Store,
    /// How the server runs.
    pub options: Options,
    admin: Hashed,
    limiter: Option<Limiter>,
    polls: Mutex<HashMap<String, Millis>>,
}

impl std::ops::Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl App {
    fn new(store: Store, options: Options, admin: Hashed) -> Self {
        let limiter = options.rate_limit.clone().map(Limiter::new);
        App(Arc::new(Shared {
            store,
            options,
            admin,
            limiter,
            polls: Mutex::default(),
        }))
    }

    /// A device called. Written down later, with others: losing it in a power cut costs nothing.
    fn polled(&self, controller_id: &str, now: Millis) {
        let mut polls = self.polls.lock().unwrap_or_else(PoisonError::into_inner);
        polls.insert(controller_id.to_owned(), now);
    }

    fn take_polls(&self) -> HashMap<String, Millis> {
        std::mem::take(&mut *self.polls.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

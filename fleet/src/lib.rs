//! The embedded fleet server: hawkBit's device API, a management API, one directory of state.
//!
//! Owns: targets, releases, deployments and what devices say of them. To a device it is hawkBit; where it is not, on
//! purpose, fleet/README.md says so, and `tests/conformance` compares the two. Never does: verify what a release means:
//! devices do, with keys that are not here.
//!
//! ```text
//!   cli ---HTTP---> http::manage --+
//!                                  +--> ops --> store (SQLite, artifacts by hash)
//!   devices ------> http::device --+     |
//!                                        +--> model (rules without I/O)
//! ```
//!
//! Invariant: what a device or an operator was told has happened survives a power cut.

pub mod cli;
mod error;
pub mod http;
mod log;
mod model;
mod ops;
mod secret;
mod settings;
mod store;

pub use error::Error;
pub use http::Options;
pub use http::limit::RateLimit;
pub use http::listen::Patience;
pub use http::manage::wire;
pub use http::server::{ADMIN_TOKEN, Server};
pub use model::action::Kind;
pub use model::status::{Status, TargetState};
pub use ops::Quotas;
pub use settings::Settings;

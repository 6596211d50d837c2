//! What a client needs to know.
//!
//! Owns: settings and limits. Invariant: every wait and every size has a bound.

use std::time::Duration;

use super::secret::{Identity, Token};

/// Everything that makes a client.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Address of the server, with a path when it is not at the root: `https://host/hawkbit`.
    pub server: String,
    /// hawkBit's tenant; `DEFAULT` where there is one only.
    pub tenant: String,
    /// The device's name on the server.
    pub controller: String,
    /// How the device shows who it is.
    pub auth: Auth,
    /// Whom the device believes.
    pub roots: Roots,
    /// Allow `http://` to the server: everybody on the way can then read the token.
    pub plaintext: bool,
    /// Bounds.
    pub limits: Limits,
    /// `User-Agent`.
    pub agent: String,
}

/// How the device shows who it is; never more than one way.
#[derive(Debug, Clone)]
pub enum Auth {
    /// A token of this device alone.
    TargetToken(Token),
    /// A token of all devices of a tenant: for the first contact only.
    GatewayToken(Token),
    /// Mutual TLS.
    Certificate(Identity),
}

/// Certificate authorities, as PEM; nothing else is trusted, not even the system's.
#[derive(Debug, Clone)]
pub struct Roots {
    /// For the server itself.
    pub server: Vec<u8>,
    /// For other hosts that artifact links name; as for the server when not given.
    pub others: Option<Vec<u8>>,
}

/// Bounds on time and size.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Name look-up, TCP and TLS.
    pub connect: Duration,
    /// From request to the answer's headers.
    pub answer: Duration,
    /// A whole exchange of small documents.
    pub document: Duration,
    /// Longest pause in a download.
    pub idle: Duration,
    /// A download has to bring `slowest` bytes within this time.
    pub window: Duration,
    /// See `window`.
    pub slowest: u64,
    /// Most bytes to throw away when a server ignores a range; beyond, the download fails rather than
    /// paying for the start of the file at every range.
    pub skip: u64,
    /// Attempts in a row that bring nothing before a download is given up for now.
    pub attempts: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            answer: Duration::from_secs(30),
            document: Duration::from_secs(60),
            // Longer than a handover between mobile cells, shorter than anybody's patience.
            idle: Duration::from_secs(30),
            window: Duration::from_secs(60),
            slowest: 60 * 256,
            skip: 16 << 20,
            attempts: 6,
        }
    }
}

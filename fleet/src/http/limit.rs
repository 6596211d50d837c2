//! Requests of one address in a second.
//!
//! Owns: counting them, and the answer to one too many: 429 without a body, as hawkBit's filter gives it. Private
//! addresses are exempt unless an operator says otherwise, as in hawkBit: a van's devices sit behind one of them.
//! Invariant: memory does not grow with the number of addresses that call.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::App;
use super::peer::Peer;

/// Addresses remembered; older ones are forgotten first, all at once.
const MOST_ADDRESSES: usize = 65_536;

/// How many requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    /// GET and HEAD in a second.
    pub reads: u32,
    /// Others in a second.
    pub writes: u32,
    /// Count private, link-local and loopback addresses too.
    pub private_too: bool,
}

impl Default for RateLimit {
    /// hawkBit's.
    fn default() -> Self {
        RateLimit {
            reads: 200,
            writes: 50,
            private_too: false,
        }
    }
}

/// Counts requests.
pub struct Limiter {
    limit: RateLimit,
    windows: Mutex<HashMap<(IpAddr, bool), (Instant, u32)>>,
}

impl Limiter {
    /// Counts for one server.
    pub fn new(limit: RateLimit) -> Self {
        Limiter {
            limit,
            windows: Mutex::default(),
        }
    }

    fn allows(&self, address: IpAddr, writes: bool, now: Instant) -> bool {
        if !self.limit.private_too && is_private(address) {
            return true;
        }
        let most = if writes {
            self.limit.writes
        } else {
            self.limit.reads
        };
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= MOST_ADDRESSES {
            windows.retain(|_, (since, _)| now.duration_since(*since) < Duration::from_secs(1));
            if windows.len() >= MOST_ADDRESSES {
                windows.clear();
            }
        }
        let (since, count) = windows.entry((address, writes)).or_insert((now, 0));
        if now.duration_since(*since) >= Duration::from_secs(1) {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        *count <= most
    }
}

fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// Before every request of a device.
pub async fn limit(State(app): State<App>, peer: Peer, request: Request, next: Next) -> Response {
    let writes = !matches!(*request.method(), Method::GET | Method::HEAD);
    let allowed = app
        .limiter
        .as_ref()
        .is_none_or(|limiter| limiter.allows(peer.address, writes, Instant::now()));
    if allowed {
        return next.run(request).await;
    }
    StatusCode::TOO_MANY_REQUESTS.into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_in_a_second() {
        let limiter = Limiter::new(RateLimit {
            reads: 3,
            writes: 1,
            private_too: false,
        });
        let start = Instant::now();
        let address = IpAddr::from([8, 8, 8, 8]);
        let reads: Vec<bool> = (0..5)
            .map(|_| limiter.allows(address, false, start))
            .collect();
        assert_eq!(reads, [true, true, true, false, false]);
        assert!(limiter.allows(address, true, start) && !limiter.allows(address, true, start));
        assert!(limiter.allows(IpAddr::from([9, 9, 9, 9]), false, start));
        assert!(limiter.allows(address, false, start + Duration::from_secs(1)));
    }

    #[test]
    fn private_addresses_are_exempt_unless_named() {
        for (private_too, expected) in [(false, true), (true, false)] {
            let limiter = Limiter::new(RateLimit {
                reads: 1,
                writes: 1,
                private_too,
            });
            let address: IpAddr = "::ffff:192.168.1.1".parse().unwrap();
            let now = Instant::now();
            limiter.allows(address, false, now);
            assert_eq!(limiter.allows(address, false, now), expected);
        }
    }

    #[test]
    fn a_flood_of_addresses_does_not_grow_the_memory() {
        let limiter = Limiter::new(RateLimit::default());
        let now = Instant::now();
        for n in 0..(MOST_ADDRESSES as u32 + 1000) {
            limiter.allows(IpAddr::from((0x0800_0000 + n).to_be_bytes()), false, now);
        }
        assert!(limiter.windows.lock().unwrap().len() <= MOST_ADDRESSES);
    }
}

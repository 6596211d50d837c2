//! Who calls, and by which address they know us.
//!
//! Owns: the client's address and the beginning of links in answers. Headers of proxies are believed of trusted proxies
//! and of nobody else: a device could otherwise choose its address, or pass for another one.

use std::convert::Infallible;
use std::net::IpAddr;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::header::HOST;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};

use super::App;
use super::listen::Remote;

/// Who calls.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// The client, as far as we can know it.
    pub address: IpAddr,
    /// The request came through a trusted proxy.
    pub via_proxy: bool,
}

impl FromRequestParts<App> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let remote = parts
            .extensions
            .get::<ConnectInfo<Remote>>()
            .map(|ConnectInfo(Remote(address))| address.ip());
        // Every connection has an address; the unspecified one is trusted by nobody.
        let remote = remote.unwrap_or(IpAddr::from([0, 0, 0, 0])).to_canonical();
        let trusted = &app.options.trusted_proxies;
        if !trusted.contains(&remote) {
            return Ok(Peer {
                address: remote,
                via_proxy: false,
            });
        }
        Ok(Peer {
            address: forwarded_for(&parts.headers, trusted).unwrap_or(remote),
            via_proxy: true,
        })
    }
}

/// The last address in the chain that is not one of our proxies: what comes before it was written by strangers.
fn forwarded_for(headers: &HeaderMap, trusted: &[IpAddr]) -> Option<IpAddr> {
    let lines: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|line| line.to_str().ok())
        .collect();
    let hops = lines.iter().flat_map(|line| line.split(',')).map(str::trim);
    let mut found = None;
    for hop in hops.collect::<Vec<_>>().into_iter().rev() {
        let address: IpAddr = hop.parse::<IpAddr>().ok()?.to_canonical();
        found = Some(address);
        if !trusted.contains(&address) {
            break;
        }
    }
    found
}

/// `http://host:port` as the client wrote it, for links. None when it cannot be part of one.
pub fn origin(headers: &HeaderMap, peer: &Peer) -> Option<String> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let forwarded =
        |name: &'static str| text(HeaderName::from_static(name)).filter(|_| peer.via_proxy);
    let scheme = match forwarded("x-forwarded-proto") {
        Some("https") => "https",
        _ => "http",
    };
    let host = forwarded("x-forwarded-host").or_else(|| text(HOST))?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b);
    let good = (1..=255).contains(&host.len()) && host.bytes().all(plain);
    good.then(|| format!("{scheme}://{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    #[test]
    fn only_the_last_stranger_counts() {
        let trusted = [IpAddr::from([10, 0, 0, 1])];
        let cases = [
            ("8.8.8.8", Some("8.8.8.8")),
            ("1.1.1.1, 8.8.8.8", Some("8.8.8.8")),
            ("1.1.1.1, 8.8.8.8, 10.0.0.1", Some("8.8.8.8")),
            ("10.0.0.1", Some("10.0.0.1")),
            ("1.1.1.1, garbage", None),
        ];
        for (line, expected) in cases {
            let found = forwarded_for(&headers(&[("x-forwarded-for", line)]), &trusted);
            assert_eq!(found, expected.map(|text| text.parse().unwrap()), "{line}");
        }
        assert_eq!(forwarded_for(&HeaderMap::new(), &trusted), None);
    }

    #[test]
    fn links_follow_the_host_and_trusted_proxies() {
        let direct = Peer {
            address: IpAddr::from([1, 1, 1, 1]),
            via_proxy: false,
        };
        let proxied = Peer {
            via_proxy: true,
            ..direct
        };
        let all = headers(&[
            ("host", "h:8080"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "fleet.example"),
        ]);
        assert_eq!(origin(&all, &direct).as_deref(), Some("http://h:8080"));
        assert_eq!(
            origin(&all, &proxied).as_deref(),
            Some("https://fleet.example")
        );
        for bad in ["", "a b", "a/b", "a\"b", "user@host"] {
            assert_eq!(origin(&headers(&[("host", bad)]), &direct), None, "{bad}");
        }
    }
}

//! Which device calls.
//!
//! Owns: the three credentials, in hawkBit's order: headers of a trusted proxy that checked a client certificate, the
//! target's own token, the gateway token. Never does: say which part was wrong: every failure is 401 without a body.
//! Invariant: a [`Device`] exists only after one of them was right.

use std::collections::HashMap;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use rusqlite::Connection;

use crate::error::Error;
use crate::http::App;
use crate::http::peer::{Peer, origin};
use crate::model::id::ControllerId;
use crate::settings::{Settings, gateway_token};
use crate::store::targets;

/// An authenticated device.
#[derive(Debug, Clone)]
pub struct Device {
    /// Its name.
    pub id: ControllerId,
    /// Where it called from.
    pub address: String,
    /// Beginning of links: `http://host/TENANT/controller/v1/ID`.
    pub base: String,
}

enum Credential {
    Proxy { authorities: Vec<String> },
    Target(String),
    Gateway(String),
}

impl FromRequestParts<App> for Device {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let Ok(peer) = Peer::from_request_parts(parts, app).await;
        let path = match RawPathParams::from_request_parts(parts, app).await {
            Ok(path) => path
                .iter()
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect::<HashMap<_, _>>(),
            Err(rejected) => return Err(rejected.into_response()),
        };
        let part = |key: &str| path.get(key).cloned().unwrap_or_default();
        let (tenant, controller) = (part("tenant"), part("controller"));
        let ours = tenant.eq_ignore_ascii_case(&app.options.tenant);
        let id = controller.parse::<ControllerId>();
        let credentials = credentials(&parts.headers, &peer, &controller);
        let known = ours
            && check(app, credentials, id.as_ref().ok())
                .await
                .map_err(Error::into_response)?;
        if !known {
            return Err(StatusCode::UNAUTHORIZED.into_response());
        }
        let id = id.map_err(|refused| Error::from(refused).into_response())?;
        let origin = origin(&parts.headers, &peer).ok_or_else(|| {
            Error::Invalid("the Host header is missing or cannot be part of a link".into())
                .into_response()
        })?;
        let base = format!("{origin}/{tenant}/controller/v1/{id}");
        Ok(Device {
            id,
            address: format!("http://{}", peer.address),
            base,
        })
    }
}

/// What is shown, in the order in which it is looked at; one that is right is enough.
fn credentials(headers: &HeaderMap, peer: &Peer, controller: &str) -> Vec<Credential> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let vouched = peer.via_proxy && text("x-controller-id") == Some(controller);
    let proxy = vouched.then(|| Credential::Proxy {
        authorities: authorities(headers),
    });
    let shown = text(AUTHORIZATION.as_str()).and_then(|text| text.split_once(' '));
    let token = shown.and_then(|(scheme, token)| match scheme {
        "TargetToken" => Some(Credential::Target(token.to_owned())),
        "GatewayToken" => Some(Credential::Gateway(token.to_owned())),
        _ => None,
    });
    proxy.into_iter().chain(token).collect()
}

/// `X-Authority` with a list, or else `X-Authority-0` or `-1` and following.
fn authorities(headers: &HeaderMap) -> Vec<String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let fold = |one: &str| one.trim().to_ascii_lowercase();
    if let Some(list) = text("x-authority") {
        return list.split([',', ';']).map(fold).collect();
    }
    // Sixteen certificates in a chain would be a strange chain.
    let numbered = (0..16).map(|n| text(&format!("x-authority-{n}")));
    numbered
        .skip_while(Option::is_none)
        .map_while(|one| one)
        .map(fold)
        .collect()
}

async fn check(
    app: &App,
    credentials: Vec<Credential>,
    id: Option<&ControllerId>,
) -> Result<bool, Error> {
    if credentials.is_empty() {
        return Ok(false);
    }
    let id = id.map(|id| id.as_str().to_owned());
    let look = move |db: &Connection| {
        for credential in &credentials {
            if is_right(db, credential, id.as_deref())? {
                return Ok(true);
            }
        }
        Ok(false)
    };
    app.store.read(look).await
}

fn is_right(db: &Connection, credential: &Credential, id: Option<&str>) -> Result<bool, Error> {
    Ok(match (credential, id) {
        (Credential::Proxy { authorities }, Some(_)) => {
            let trusted = Settings::load(db)?.authorities;
            trusted
                .iter()
                .any(|one| authorities.contains(&one.to_ascii_lowercase()))
        }
        (Credential::Target(token), Some(id)) => {
            targets::token(db, id)?.is_some_and(|kept| kept.matches(token))
        }
        (Credential::Gateway(token), _) => {
            gateway_token(db)?.is_some_and(|kept| kept.matches(token))
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_come_as_a_list_or_numbered() {
        let headers = |pairs: &[(&'static str, &str)]| {
            let pairs = pairs
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            pairs.collect::<HeaderMap>()
        };
        assert_eq!(
            authorities(&headers(&[("x-authority", "AB; cd,Ef")])),
            ["ab", "cd", "ef"]
        );
        assert_eq!(
            authorities(&headers(&[
                ("x-authority-1", "AB"),
                ("x-authority-2", "CD")
            ])),
            ["ab", "cd"]
        );
        assert_eq!(
            authorities(&headers(&[
                ("x-authority-0", "AB"),
                ("x-authority-2", "CD")
            ])),
            ["ab"]
        );
        assert!(authorities(&HeaderMap::new()).is_empty());
    }

    #[test]
    fn headers_of_a_proxy_count_only_through_a_trusted_one() {
        let mut headers = HeaderMap::new();
        headers.insert("x-controller-id", "van-7".parse().unwrap());
        let direct = Peer {
            address: [127, 0, 0, 1].into(),
            via_proxy: false,
        };
        let proxied = Peer {
            via_proxy: true,
            ..direct
        };
        assert!(credentials(&headers, &direct, "van-7").is_empty());
        assert!(credentials(&headers, &proxied, "van-8").is_empty());
        assert!(matches!(
            credentials(&headers, &proxied, "van-7").as_slice(),
            [Credential::Proxy { .. }]
        ));
    }
}

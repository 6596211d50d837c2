//! What an operator sets for the whole fleet, while the server runs.
//!
//! Owns: the keys, their defaults and their JSON. Invariant: a stored value that this program cannot read is an error,
//! never a silent default.

use std::time::Duration;

use roamcore_ddi::sleep;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::secret::{Hashed, Token};
use crate::store::{StoreError, settings};

/// Devices that poll faster gain nothing and cost a lot.
const FASTEST_POLL: Duration = Duration::from_secs(1);
/// hawkBit's own limit of its default configuration.
const SLOWEST_POLL: Duration = Duration::from_secs(30 * 24 * 3600);

/// Settings as an operator reads and writes them. The gateway token can be set and not read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How long devices sleep between two polls: `HH:mm:ss` or, from a day on, as `PT48H`.
    pub poll_interval: String,
    /// They are never told to poll faster than this, even while a maintenance window comes near.
    pub poll_minimum: String,
    /// How often a device should poll before its maintenance window opens.
    pub window_polls: u32,
    /// Deployments may ask for a confirmation by the device's user.
    pub confirmation_flow: bool,
    /// A new deployment closes older ones at once, instead of asking the device to cancel them.
    pub autoclose: bool,
    /// A gateway token is set: whoever has it speaks for every device. Read only: it has a path of its own.
    pub gateway: bool,
    /// Authorities (as in `X-Authority`) whose devices a trusted proxy may vouch for.
    pub authorities: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            poll_interval: "00:05:00".into(),
            poll_minimum: "00:00:30".into(),
            window_polls: 3,
            confirmation_flow: true,
            autoclose: false,
            gateway: false,
            authorities: Vec::new(),
        }
    }
}

const KEY: &str = "fleet";
const GATEWAY: &str = "gateway_token";

impl Settings {
    /// As stored, or the defaults.
    pub fn load(db: &Connection) -> Result<Self, Error> {
        let stored = settings::all(db)?;
        let mut found = match stored.get(KEY) {
            None => Settings::default(),
            Some(text) => serde_json::from_str(text).map_err(|e| corrupt(&e))?,
        };
        found.gateway = stored.contains_key(GATEWAY);
        Ok(found)
    }

    /// Checks and stores them, except for the gateway token.
    pub fn save(&self, db: &Connection) -> Result<(), Error> {
        let (interval, minimum) = (self.interval()?, self.minimum()?);
        if minimum > interval {
            return Err(Error::Invalid(format!(
                "poll_minimum {} is longer than poll_interval {}",
                self.poll_minimum, self.poll_interval
            )));
        }
        if self.window_polls == 0 {
            return Err(Error::Invalid(
                "window_polls 0 is refused: use 1 or more".into(),
            ));
        }
        let text = serde_json::to_string(self).map_err(|e| Error::Invalid(e.to_string()))?;
        Ok(settings::set(db, KEY, &text)?)
    }

    /// The poll interval.
    pub fn interval(&self) -> Result<Duration, Error> {
        duration("poll_interval", &self.poll_interval)
    }

    /// The shortest poll interval.
    pub fn minimum(&self) -> Result<Duration, Error> {
        duration("poll_minimum", &self.poll_minimum)
    }
}

fn duration(key: &str, text: &str) -> Result<Duration, Error> {
    let found = sleep::parse(text).map_err(|_| {
        Error::Invalid(format!(
            "{key} {text:?} is refused: write HH:mm:ss, or from a day on PT48H"
        ))
    })?;
    if (FASTEST_POLL..=SLOWEST_POLL).contains(&found) {
        return Ok(found);
    }
    Err(Error::Invalid(format!(
        "{key} {text:?} is refused: use one second to 30 days"
    )))
}

fn corrupt(error: &serde_json::Error) -> StoreError {
    StoreError::Corrupt {
        what: "settings",
        found: error.to_string(),
    }
}

/// What is kept of the gateway token, if there is one.
pub fn gateway_token(db: &Connection) -> Result<Option<Hashed>, Error> {
    match settings::all(db)?.get(GATEWAY) {
        None => Ok(None),
        Some(text) => match Hashed::from_text(text) {
            Some(hashed) => Ok(Some(hashed)),
            None => Err(StoreError::Corrupt {
                what: "a gateway token's hash",
                found: String::new(),
            }
            .into()),
        },
    }
}

/// Sets the gateway token, or removes it.
pub fn set_gateway_token(db: &Connection, token: Option<&Token>) -> Result<(), Error> {
    match token {
        Some(token) => settings::set(db, GATEWAY, &token.hashed()?.to_text())?,
        None => settings::clear(db, GATEWAY)?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::scratch;

    #[tokio::test]
    async fn settings_come_back_and_nonsense_is_refused() {
        let (_dir, store) = scratch();
        let wanted = Settings {
            poll_interval: "PT48H".into(),
            autoclose: true,
            ..Settings::default()
        };
        let saved = wanted.clone();
        store.write(move |tx| saved.save(tx)).await.unwrap();
        assert_eq!(store.read(Settings::load).await.unwrap(), wanted);
        let cases = [
            (
                Settings {
                    poll_interval: "soon".into(),
                    ..Settings::default()
                },
                "poll_interval \"soon\" is refused: write HH:mm:ss, or from a day on PT48H",
            ),
            (
                Settings {
                    poll_interval: "00:00:00".into(),
                    ..Settings::default()
                },
                "poll_interval \"00:00:00\" is refused: use one second to 30 days",
            ),
            (
                Settings {
                    poll_minimum: "01:00:00".into(),
                    ..Settings::default()
                },
                "poll_minimum 01:00:00 is longer than poll_interval 00:05:00",
            ),
            (
                Settings {
                    window_polls: 0,
                    ..Settings::default()
                },
                "window_polls 0 is refused: use 1 or more",
            ),
        ];
        for (bad, message) in cases {
            assert_eq!(
                store
                    .write(move |tx| bad.save(tx))
                    .await
                    .unwrap_err()
                    .to_string(),
                message
            );
        }
        assert_eq!(store.read(Settings::load).await.unwrap(), wanted);
    }

    #[tokio::test]
    async fn the_gateway_token_is_kept_as_a_hash() {
        let (dir, store) = scratch();
        let token = Token::chosen("a-gateway-token-in-clear").unwrap();
        store
            .write(move |tx| set_gateway_token(tx, Some(&token)))
            .await
            .unwrap();
        let kept = store
            .read(|tx| Ok((gateway_token(tx)?, Settings::load(tx)?.gateway)))
            .await
            .unwrap();
        assert!(kept.0.unwrap().matches("a-gateway-token-in-clear") && kept.1);
        drop(store);
        let database = std::fs::read(dir.path().join("state/fleet.db")).unwrap();
        let needle = b"a-gateway-token-in-clear";
        assert!(!database.windows(needle.len()).any(|found| found == needle));
    }
}

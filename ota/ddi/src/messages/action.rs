//! Names of actions, and the links that carry them.
//!
//! Owns: `ActionId` and the last part of links like `.../deploymentBase/5?c=-2127`. Never does: follow
//! a link's host: callers build their own address from the id, so that a server behind a proxy which
//! writes wrong hosts still works and credentials stay where they belong.
//! Invariant: an `ActionId` is one plain path segment.

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// hawkBit's are 64-bit numbers; other servers use short words.
const LONGEST: usize = 64;

/// Name of one action; hawkBit's are numbers in strings.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActionId(String);

/// A name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("action id {0:?} is refused: use 1 to {LONGEST} of A-Z, a-z, 0-9, '_' and '-'")]
pub struct ActionIdError(String);

impl ActionId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for ActionId {
    type Err = ActionIdError;

    fn from_str(text: &str) -> Result<Self, ActionIdError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        if (1..=LONGEST).contains(&text.len()) && text.bytes().all(plain) {
            return Ok(Self(text.to_owned()));
        }
        Err(ActionIdError(text.chars().take(LONGEST).collect()))
    }
}

impl From<u64> for ActionId {
    fn from(number: u64) -> Self {
        Self(number.to_string())
    }
}

impl std::fmt::Display for ActionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for ActionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ActionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The documents say string; some servers write the number.
        struct Either;
        impl Visitor<'_> for Either {
            type Value = ActionId;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an action id")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<ActionId, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<ActionId, E> {
                Ok(number.into())
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<ActionId, E> {
                u64::try_from(number)
                    .map(ActionId::from)
                    .map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// What a link to an action says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionRef {
    /// The action.
    pub id: ActionId,
    /// hawkBit's `c`: it changes when the action must be read again (soft became forced, a window opened).
    pub checksum: Option<String>,
}

/// A link that does not name an action.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "refused the server's link {href:?}: it does not end in {resource}/ID or {resource}/ID?c=N"
)]
pub struct LinkError {
    /// The resource it should be about.
    pub resource: &'static str,
    /// The start of the link.
    pub href: String,
}

impl ActionRef {
    /// Parses `.../RESOURCE/ID[?c=N]`.
    pub fn of_link(resource: &'static str, href: &str) -> Result<Self, LinkError> {
        Self::parse(resource, href).ok_or_else(|| LinkError {
            resource,
            href: href.chars().take(200).collect(),
        })
    }

    fn parse(resource: &str, href: &str) -> Option<Self> {
        let without_fragment = href.split('#').next()?;
        let (path, query) = match without_fragment.split_once('?') {
            Some((path, query)) => (path, query),
            None => (without_fragment, ""),
        };
        let (before, id) = path.rsplit_once('/')?;
        if before.rsplit('/').next()? != resource {
            return None;
        }
        let checksum = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("c="))
            .filter(|c| !c.is_empty());
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        if checksum.is_some_and(|c| c.len() > LONGEST || !c.bytes().all(plain)) {
            return None;
        }
        Some(Self {
            id: id.parse().ok()?,
            checksum: checksum.map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn links() {
        let good = [
            (
                "http://h/t/controller/v1/d/deploymentBase/5?c=-2127",
                "5",
                Some("-2127"),
            ),
            ("deploymentBase/5", "5", None),
            ("/deploymentBase/5?actionHistory=1&c=9#x", "5", Some("9")),
            ("/deploymentBase/a_B-9?c=", "a_B-9", None),
        ];
        for (href, id, checksum) in good {
            let got = ActionRef::of_link("deploymentBase", href).unwrap();
            assert_eq!(
                (got.id.as_str(), got.checksum.as_deref()),
                (id, checksum),
                "{href}"
            );
        }
        for href in [
            "",
            "5",
            "/cancelAction/5",
            "/deploymentBase/",
            "/deploymentBase/..",
            "/deploymentBase/5/feedback",
            "/deploymentBase/5%2f",
            "/deploymentBase/5?c=a%20b",
            "/deploymentBase/5?c=\r\nX:",
        ] {
            assert!(
                ActionRef::of_link("deploymentBase", href).is_err(),
                "{href:?}"
            );
        }
    }

    #[test]
    fn numbers_and_strings_are_ids() {
        for text in ["8", "\"8\""] {
            let id: ActionId = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&id).unwrap(), "\"8\"");
        }
        for text in ["-8", "8.5", "null", "\"\"", "\"a/b\"", "[8]"] {
            assert!(serde_json::from_str::<ActionId>(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(href in "(?s).{0,80}", tail in "[-a-z0-9/?#=&]{0,40}") {
            drop(ActionRef::of_link("deploymentBase", &href));
            if let Ok(link) = ActionRef::of_link("deploymentBase", &format!("/deploymentBase/{tail}")) {
                prop_assert!(!link.id.as_str().contains(['/', '.', '%', '?']));
            }
        }
    }
}

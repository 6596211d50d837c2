//! `/etc/roamcore/agent.toml`.
//!
//! Owns: the settings of this device, their form and their bounds. Never does: hold a secret (the file
//! names files and systemd credentials), guess: an unknown key is refused.
//! Invariant: without the file a device has no server and the policy's defaults; it can still be
//! updated from a stick.

use std::path::{Path, PathBuf};
use std::time::Duration;

use roamcore_engine::Policy;
use serde::Deserialize;
use serde::de::{Error, IgnoredAny, MapAccess, Visitor};

use crate::toml_file::{self, TomlError};

/// The only version.
pub const SCHEMA: u64 = 1;

/// The device's settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// The server; none for a device that is updated by hand.
    pub server: Option<Server>,
    /// The owner's rules.
    pub policy: Policy,
}

/// Which server, and how to talk to it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Server {
    /// Its address.
    pub url: String,
    /// hawkBit's tenant.
    #[serde(default = "default_tenant")]
    pub tenant: String,
    /// The device's name there; otherwise made from the machine's id.
    pub controller_id: Option<String>,
    /// How the device shows who it is.
    pub auth: Auth,
    /// PEM file of the CA that alone is believed; otherwise the image's list of public ones.
    pub ca: Option<PathBuf>,
    /// PEM file of the CA of other hosts that downloads are linked to; as `ca` when not given.
    pub download_ca: Option<PathBuf>,
    /// Allow `http://`, which shows the token to everybody on the way.
    #[serde(default)]
    pub plaintext: bool,
    /// Poll at this pace whatever the server says.
    pub poll_seconds: Option<u64>,
}

fn default_tenant() -> String {
    "DEFAULT".to_owned()
}

/// How the device shows who it is; exactly one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Auth {
    /// The device's own token.
    TargetToken(Secret),
    /// A token of all devices, for the first contact.
    GatewayToken(Secret),
    /// Certificate and private key in one PEM file.
    Certificate(Secret),
}

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// A file, which only root should be able to read.
    File(PathBuf),
    /// A credential of the service (systemd.exec(5), `ImportCredential=`).
    Credential(String),
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // By hand, so that an error never repeats what somebody may have put here: the secret itself.
        const FORM: &str =
            "{ file = \"/path\" } or { credential = \"name\" }, never the secret itself";
        struct Place;
        impl<'de> Visitor<'de> for Place {
            type Value = Secret;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(FORM)
            }

            fn visit_str<E: Error>(self, _: &str) -> Result<Secret, E> {
                Err(E::custom(format!("write {FORM}")))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Secret, A::Error> {
                let wrong = || A::Error::custom(format!("write {FORM}"));
                let secret = match map.next_key::<String>()?.as_deref() {
                    Some("file") => Secret::File(map.next_value()?),
                    Some("credential") => Secret::Credential(map.next_value()?),
                    _ => return Err(wrong()),
                };
                match map.next_entry::<String, IgnoredAny>()? {
                    None => Ok(secret),
                    Some(_) => Err(wrong()),
                }
            }
        }
        deserializer.deserialize_any(Place)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(rename = "schema")]
    _schema: u64,
    server: Option<Server>,
    #[serde(default)]
    policy: Policy,
}

/// Why settings were refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file.
    #[error(transparent)]
    File(#[from] TomlError),
    /// A value.
    #[error("{}: {what}", path.display())]
    Value {
        /// Which file.
        path: PathBuf,
        /// What is wrong, and what to write.
        what: String,
    },
}

impl Config {
    /// Reads the file; without one, the defaults.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        match toml_file::read::<Document>(path, SCHEMA)? {
            None => Ok(Self::default()),
            Some(document) => Self::checked(path, document),
        }
    }

    /// Parses; `path` is for errors.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        Self::checked(path, toml_file::parse(path, text, SCHEMA)?)
    }

    fn checked(path: &Path, document: Document) -> Result<Self, ConfigError> {
        let Document { server, policy, .. } = document;
        match complaint(server.as_ref(), &policy) {
            None => Ok(Self { server, policy }),
            Some(what) => Err(ConfigError::Value {
                path: path.to_owned(),
                what,
            }),
        }
    }
}

impl Server {
    /// The fixed pace, if there is one.
    pub fn poll(&self) -> Option<Duration> {
        self.poll_seconds.map(Duration::from_secs)
    }
}

/// What the types cannot say.
fn complaint(server: Option<&Server>, policy: &Policy) -> Option<String> {
    const WEEK: u64 = 7 * 24 * 3600;
    if let Some(server) = server {
        if let Some(seconds) = server.poll_seconds.filter(|s| !(1..=WEEK).contains(s)) {
            return Some(format!("server.poll-seconds is {seconds}, use 1 to {WEEK}"));
        }
        let (Auth::TargetToken(secret) | Auth::GatewayToken(secret) | Auth::Certificate(secret)) =
            &server.auth;
        let paths = [server.ca.as_ref(), server.download_ca.as_ref()]
            .into_iter()
            .flatten();
        let file = match secret {
            Secret::File(path) => Some(path),
            Secret::Credential(name) if !is_credential_name(name) => {
                return Some(format!(
                    "server.auth: the credential's name {name:?} is not 1 to 255 of A-Z, a-z, 0-9, '.', '_' and '-'"
                ));
            }
            Secret::Credential(_) => None,
        };
        if let Some(path) = paths.chain(file).find(|path| !path.is_absolute()) {
            return Some(format!(
                "server: {} is not an absolute path",
                path.display()
            ));
        }
    }
    if policy.bytes_per_second == Some(0) {
        return Some(
            "policy.bytes-per-second is 0, which would wait for ever; use policy.budget".to_owned(),
        );
    }
    if let Some(hours) = policy
        .soft
        .hours
        .filter(|hours| hours.from >= 1440 || hours.to >= 1440)
    {
        return Some(format!(
            "policy.soft.hours is {} to {}, use minutes of the day, 0 to 1439",
            hours.from, hours.to
        ));
    }
    None
}

fn is_credential_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=255).contains(&name.len()) && name.bytes().all(plain) && !matches!(name, "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use roamcore_engine::policy::{Ask, Questions};

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(Path::new("/etc/roamcore/agent.toml"), text)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_shipped_example_is_valid_and_complete() {
        let text =
            include_str!("../../../overlays/agent/files/usr/share/roamcore/agent.toml.example");
        let config = parse(text).unwrap();
        assert!(config.server.is_some());
        // With every remark taken as a setting it must still be valid.
        let all: String = text
            .lines()
            .map(|line| match line.strip_prefix("#") {
                Some(setting) if !setting.starts_with(' ') => format!("{setting}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        let all = parse(&all).unwrap();
        let server = all.server.unwrap();
        assert_eq!(server.poll(), Some(Duration::from_secs(30)));
        assert!(
            server.ca.is_some() && server.download_ca.is_some() && server.controller_id.is_some()
        );
        assert_eq!(all.policy.questions, Questions::Accept);
        assert_eq!(all.policy.soft.ask, Ask::Never);
        assert!(
            all.policy.budget.per_month.is_some() && all.policy.limits.percent_of_full.is_some()
        );
    }

    #[test]
    fn little_is_needed() {
        assert_eq!(parse("schema = 1"), Ok(Config::default()));
        let text = "schema = 1\n[server]\nurl = \"https://h\"\nauth.target-token.credential = \"roamcore.target-token\"";
        let server = parse(text).unwrap().server.unwrap();
        assert_eq!(server.tenant, "DEFAULT");
        assert_eq!(
            server.auth,
            Auth::TargetToken(Secret::Credential("roamcore.target-token".into()))
        );
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(
            Config::load(&dir.path().join("none")).unwrap(),
            Config::default()
        );
    }

    #[test]
    fn mistakes_are_named() {
        let server = |lines: &str| format!("schema = 1\n[server]\nurl = \"https://h\"\n{lines}\n");
        let auth = "auth.certificate.file = \"/c\"\n";
        let table = [
            (
                "schema = 1\n[sever]\n".to_owned(),
                "agent.toml:2:2: unknown field `sever`",
            ),
            (server(""), "missing field `auth`"),
            (
                server("auth.token.file = \"/x\""),
                "agent.toml:4:6: unknown variant `token`",
            ),
            (
                server("auth = {target-token = {file = \"/t\"}, gateway-token = {file = \"/g\"}}"),
                "agent.toml:4:",
            ),
            (
                server("auth.target-token.file = \"t\""),
                "agent.toml: server: t is not an absolute path",
            ),
            (
                server("auth.target-token.credential = \"../x\""),
                "the credential's name \"../x\"",
            ),
            (
                server("auth.target-token = {file = \"/t\", credential = \"c\"}"),
                "agent.toml:4:21: write { file",
            ),
            (
                server(&format!("{auth}poll-seconds = 0")),
                "poll-seconds is 0, use 1 to 604800",
            ),
            (
                server(&format!("{auth}ca = \"ca.pem\"")),
                "ca.pem is not an absolute path",
            ),
            (
                "schema = 1\n[policy]\nbytes-per-second = 0".to_owned(),
                "which would wait for ever",
            ),
            (
                "schema = 1\n[policy.soft]\nhours = {from = 60, to = 1440}".to_owned(),
                "60 to 1440",
            ),
            (
                "schema = 1\n[policy]\nreboot = true".to_owned(),
                "agent.toml:3:1: unknown field `reboot`",
            ),
        ];
        for (text, want) in table {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(want), "{text}: {error}");
        }
    }

    #[test]
    fn a_secret_in_the_file_is_refused_and_not_repeated() {
        for line in [
            "auth.target-token = \"hunter2\"",
            "auth.target-token = [\"hunter2\"]",
            "auth.target-token = {value = \"hunter2\"}",
            "auth.target-token = {file = [\"hunter2\"]}",
        ] {
            let text = format!("schema = 1\n[server]\nurl = \"https://h\"\n{line}\n");
            let error = parse(&text).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
            assert!(error.contains("agent.toml:4:"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "(?s).{0,100}", lines in proptest::collection::vec(
            "(url|tenant|auth|ca|policy|server|\\[server\\]|budget|soft|hours)(\\.(file|target-token|per-day))?( = )?(\"[^\"]{0,8}\"|[0-9]{0,6}|\\{[a-z= ]{0,9}\\})?", 0..8,
        )) {
            drop(parse(&text));
            drop(parse(&format!("schema = 1\n{}", lines.join("\n"))));
        }
    }
}

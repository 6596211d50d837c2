//! What has to hold: `/usr/lib/roamcore/health.d/*.toml`.
//!
//! Owns: the form of the rules and how several files add up. Never does: read them from a place that
//! is not part of the verified image.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use roamcore_agent::files::{At, IoAt};
use serde::Deserialize;

use crate::toml_file::{self, TomlError};

const SCHEMA: u64 = 1;
/// Names of one directory; more is not ours.
const MOST_FILES: usize = 64;
/// Without a file that says other.
const DEADLINE: u64 = 240;
/// Longer than a service's second life after a crash.
const SETTLE: u64 = 20;
/// The trial's own deadline is 15 minutes; a gate beyond it could never pass.
const MOST_DEADLINE: u64 = 600;

/// All rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The gate ends.
    pub deadline: Duration,
    /// All has to hold for this long.
    pub settle: Duration,
    /// Units that have to be active.
    pub active: BTreeSet<String>,
    /// Units that may be failed; a trailing `*` stands for any ending.
    pub ignore: BTreeSet<String>,
    /// File systems that have to be writable, with space.
    pub space: Vec<Space>,
    /// Watchdogs that have to be armed, below /sys/class/watchdog.
    pub watchdogs: BTreeSet<String>,
}

/// Space that has to be there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Space {
    /// Any directory of the file system; it is written to.
    pub path: PathBuf,
    /// Free bytes for root.
    pub bytes: u64,
    /// Free inodes.
    #[serde(default)]
    pub inodes: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Document {
    #[serde(rename = "schema")]
    _schema: u64,
    deadline_seconds: Option<u64>,
    settle_seconds: Option<u64>,
    #[serde(default)]
    active: BTreeSet<String>,
    #[serde(default)]
    ignore: BTreeSet<String>,
    #[serde(default)]
    space: Vec<Space>,
    #[serde(default)]
    watchdogs: BTreeSet<String>,
}

/// Why there are no rules.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages name the fields")]
pub enum RulesError {
    #[error(transparent)]
    Io(#[from] IoAt),
    #[error(transparent)]
    File(#[from] TomlError),
    #[error("{} has no *.toml: an image without rules cannot be judged", .0.display())]
    None(PathBuf),
    #[error("{} has more than {MOST_FILES} files", .0.display())]
    TooMany(PathBuf),
    #[error("the rules ask for {what} {value:?}, which is refused: {rule}")]
    Value {
        what: &'static str,
        value: String,
        rule: &'static str,
    },
}

impl Rules {
    /// Reads and adds up all files.
    pub fn load(directory: &Path) -> Result<Self, RulesError> {
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(directory).at("list", directory)? {
            let path = entry.at("list", directory)?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "toml")
            {
                paths.push(path);
            }
            if paths.len() > MOST_FILES {
                return Err(RulesError::TooMany(directory.to_owned()));
            }
        }
        if paths.is_empty() {
            return Err(RulesError::None(directory.to_owned()));
        }
        paths.sort();
        let mut documents = Vec::new();
        for path in paths {
            documents.extend(toml_file::read::<Document>(&path, SCHEMA)?);
        }
        Self::add_up(documents)
    }

    fn add_up(documents: Vec<Document>) -> Result<Self, RulesError> {
        let longest = |pick: fn(&Document) -> Option<u64>, default| {
            documents.iter().filter_map(pick).max().unwrap_or(default)
        };
        let deadline = longest(|document| document.deadline_seconds, DEADLINE);
        let settle = longest(|document| document.settle_seconds, SETTLE);
        let mut rules = Self {
            deadline: Duration::from_secs(deadline),
            settle: Duration::from_secs(settle),
            active: BTreeSet::new(),
            ignore: BTreeSet::new(),
            space: Vec::new(),
            watchdogs: BTreeSet::new(),
        };
        for document in documents {
            rules.active.extend(document.active);
            rules.ignore.extend(document.ignore);
            rules.space.extend(document.space);
            rules.watchdogs.extend(document.watchdogs);
        }
        rules.checked()
    }

    fn checked(self) -> Result<Self, RulesError> {
        let refuse = |what, value: String, rule| Err(RulesError::Value { what, value, rule });
        let (deadline, settle) = (self.deadline.as_secs(), self.settle.as_secs());
        if deadline > MOST_DEADLINE || settle >= deadline {
            let value = format!("{deadline}/{settle}");
            return refuse(
                "deadline/settle",
                value,
                "at most 600 s, and the settling time is shorter",
            );
        }
        // They become arguments of systemctl.
        let plain = |b: u8| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b);
        let unit = |name: &str| {
            (1..=255).contains(&name.len())
                && !name.starts_with('-')
                && name.contains('.')
                && name.bytes().all(plain)
        };
        if let Some(name) = self.active.iter().find(|name| !unit(name)) {
            return refuse("unit", name.clone(), "it is not a unit's full name");
        }
        if let Some(name) = self
            .watchdogs
            .iter()
            .find(|name| name.contains('/') || name.starts_with('.'))
        {
            return refuse(
                "watchdog",
                name.clone(),
                "it is a name below /sys/class/watchdog",
            );
        }
        if let Some(space) = self.space.iter().find(|space| !space.path.is_absolute()) {
            return refuse(
                "space",
                space.path.display().to_string(),
                "the path is absolute",
            );
        }
        Ok(self)
    }

    /// True for a unit that may be failed.
    pub fn ignores(&self, unit: &str) -> bool {
        self.ignore
            .iter()
            .any(|pattern| match pattern.strip_suffix('*') {
                Some(start) => unit.starts_with(start),
                None => unit == pattern,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(files: &[(&str, &str)]) -> Result<Rules, String> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        Rules::load(dir.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_shipped_rules_are_valid() {
        let rules = load(&[(
            "10-base.toml",
            include_str!("../../../../overlays/agent/files/usr/lib/roamcore/health.d/10-base.toml"),
        )])
        .unwrap();
        assert!(rules.active.contains("roamcore.service"));
        assert!(rules.watchdogs.contains("watchdog0"));
        assert!(
            rules
                .space
                .iter()
                .any(|space| space.path == Path::new("/var"))
        );
    }

    #[test]
    fn files_add_up() {
        let rules = load(&[
            ("a.toml", "schema = 1\nactive = [\"a.service\"]\ndeadline-seconds = 300\nignore = [\"x@*\"]"),
            ("b.toml", "schema = 1\nactive = [\"b.service\"]\nsettle-seconds = 5\n[[space]]\npath = \"/var\"\nbytes = 9"),
            ("c.txt", "not a rule"),
        ])
        .unwrap();
        assert_eq!(rules.active.len(), 2);
        assert_eq!((rules.deadline.as_secs(), rules.settle.as_secs()), (300, 5));
        assert!(rules.ignores("x@1.service") && !rules.ignores("y.service"));
        assert_eq!(rules.space[0].inodes, 0);
    }

    #[test]
    fn refused() {
        let table = [
            ("", "an image without rules"),
            (
                "schema = 1\nactiv = []",
                "f.toml:2:1: unknown field `activ`",
            ),
            ("schema = 2", "schema is 2"),
            (
                "schema = 1\nactive = [\"--now\"]",
                "it is not a unit's full name",
            ),
            (
                "schema = 1\nactive = [\"a b.service\"]",
                "it is not a unit's full name",
            ),
            ("schema = 1\ndeadline-seconds = 601", "at most 600 s"),
            (
                "schema = 1\ndeadline-seconds = 9",
                "the settling time is shorter",
            ),
            (
                "schema = 1\nwatchdogs = [\"../x\"]",
                "below /sys/class/watchdog",
            ),
            (
                "schema = 1\n[[space]]\npath = \"var\"\nbytes = 1",
                "the path is absolute",
            ),
        ];
        for (text, want) in table {
            let files: &[(&str, &str)] = if text.is_empty() {
                &[]
            } else {
                &[("f.toml", text)]
            };
            let error = load(files).unwrap_err();
            assert!(error.contains(want), "{text}: {error}");
        }
    }
}

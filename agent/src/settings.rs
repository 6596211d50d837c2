//! Settings of tests, from SMBIOS strings: `settings`.
//!
//! Owns: the whitelist and /run/roamcore/settings. Never does: anything in an image whose channel is
//! not development, run or interpret a value. Invariant: a file there has a whitelisted key and value.

use std::path::Path;

use crate::files::{self, At, IoAt};
use crate::log;
use crate::roots::Roots;
use crate::smbios;

const PREFIX: &str = "roamcore:";
/// Every key with the values it may have.
const WHITELIST: [(&str, &[&str]); 1] = [("console", &["ttyS1"])];
const OS_RELEASE: &str = "lib/os-release";
const CHANNEL: &str = "ROAMCORE_CHANNEL=";
const OS_RELEASE_LIMIT: u64 = 64 * 1024;

/// Why no settings were taken.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Reading or writing.
    #[error(transparent)]
    Io(#[from] IoAt),
    /// Not an image for tests.
    #[error(
        "refused: /usr/lib/os-release has {CHANNEL} {seen:?}, settings from SMBIOS are for development images only"
    )]
    NotDevelopment {
        /// Every value seen.
        seen: Vec<String>,
    },
}

/// A whitelisted setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Also the file name.
    pub key: &'static str,
    /// One of the key's values.
    pub value: &'static str,
}

/// What a string is to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// To be honoured.
    Taken(Setting),
    /// Meant for us, but not allowed.
    Refused(String),
    /// Somebody else's.
    Foreign,
}

/// Takes the settings; returns how many there are.
pub fn run(roots: &Roots) -> Result<usize, SettingsError> {
    let os_release = files::read_text(&roots.usr.join(OS_RELEASE), OS_RELEASE_LIMIT)?;
    require_development(&os_release)?;
    let mut taken: Vec<Setting> = Vec::new();
    for raw in structures(&roots.sys.join("firmware/dmi/entries"))? {
        let strings = smbios::oem_strings(&raw).unwrap_or_else(|error| {
            log::error(format!("refused: {error}"));
            Vec::new()
        });
        for string in strings {
            match read(string) {
                Reading::Taken(new)
                    if taken
                        .iter()
                        .any(|old| old.key == new.key && old.value != new.value) =>
                {
                    log::error(format!(
                        "refused SMBIOS setting {new:?}: the key has another value already"
                    ));
                }
                Reading::Taken(new) if taken.contains(&new) => {}
                Reading::Taken(new) => taken.push(new),
                Reading::Refused(why) => log::error(format!("refused SMBIOS setting: {why}")),
                Reading::Foreign => {}
            }
        }
    }
    store(roots, &taken)?;
    Ok(taken.len())
}

/// Every line must say development, and there must be one.
fn require_development(os_release: &str) -> Result<(), SettingsError> {
    let values = || {
        os_release
            .lines()
            .filter_map(|line| line.strip_prefix(CHANNEL))
    };
    if values().all(|value| value == "development") && values().next().is_some() {
        return Ok(());
    }
    Err(SettingsError::NotDevelopment {
        seen: values().map(str::to_owned).collect(),
    })
}

/// Reads one string.
pub fn read(string: &[u8]) -> Reading {
    let Some(ours) = string.strip_prefix(PREFIX.as_bytes()) else {
        return Reading::Foreign;
    };
    let text = ours.escape_ascii().to_string();
    let Some((key, value)) = text.split_once('=') else {
        return Reading::Refused(format!("\"{text}\" is not key=value"));
    };
    let Some((key, allowed)) = WHITELIST.iter().find(|(known, _)| *known == key) else {
        let known = WHITELIST.map(|(key, _)| key);
        return Reading::Refused(format!("key \"{key}\" is not one of {known:?}"));
    };
    match allowed.iter().find(|known| **known == value) {
        Some(value) => Reading::Taken(Setting { key, value }),
        None => Reading::Refused(format!("{key} is \"{value}\", not one of {allowed:?}")),
    }
}

/// All type 11 structures the kernel shows.
fn structures(entries: &Path) -> Result<Vec<Vec<u8>>, IoAt> {
    let listing = match std::fs::read_dir(entries) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            log::warning(format!(
                "no {}: is dmi-sysfs loaded? No settings are taken",
                entries.display()
            ));
            return Ok(Vec::new());
        }
        other => other.at("list", entries)?,
    };
    let mut found = Vec::new();
    for entry in listing {
        let entry = entry.at("list", entries)?;
        if entry.file_name().to_string_lossy().starts_with("11-") {
            found.push(entry.path().join("raw"));
        }
    }
    // Directory order is no order.
    found.sort();
    found
        .iter()
        .map(|path| files::read(path, smbios::LONGEST))
        .collect()
}

fn store(roots: &Roots, taken: &[Setting]) -> Result<(), IoAt> {
    if taken.is_empty() {
        return Ok(());
    }
    let directory = roots.facts().join("settings");
    files::ensure_directory(&roots.facts(), 0o755)?;
    files::ensure_directory(&directory, 0o755)?;
    for setting in taken {
        files::write_atomic(
            &directory.join(setting.key),
            format!("{}\n", setting.value).as_bytes(),
            0o644,
        )?;
        log::notice(format!("SMBIOS setting {}={}", setting.key, setting.value));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn table() {
        let console = Reading::Taken(Setting {
            key: "console",
            value: "ttyS1",
        });
        let refused = |text: &str| Reading::Refused(text.into());
        let cases: [(&[u8], Reading); 7] = [
            (b"roamcore:console=ttyS1", console),
            (b"io.systemd.credential:x=y", Reading::Foreign),
            (b"Roamcore:console=ttyS1", Reading::Foreign),
            (b"roamcore:console", refused("\"console\" is not key=value")),
            (
                b"roamcore:console=ttyS0",
                refused("console is \"ttyS0\", not one of [\"ttyS1\"]"),
            ),
            (
                b"roamcore:../x=\xff\n",
                refused("key \"../x\" is not one of [\"console\"]"),
            ),
            (
                b"roamcore:console=ttyS1\n",
                refused("console is \"ttyS1\\n\", not one of [\"ttyS1\"]"),
            ),
        ];
        for (string, want) in cases {
            assert_eq!(read(string), want);
        }
    }

    #[test]
    fn channels() {
        assert!(require_development("ID=x\nROAMCORE_CHANNEL=development\n").is_ok());
        for text in [
            "",
            "ROAMCORE_CHANNEL=release\n",
            "ROAMCORE_CHANNEL=development2\n",
            "#ROAMCORE_CHANNEL=development\n",
            "ROAMCORE_CHANNEL=development\nROAMCORE_CHANNEL=release\n",
        ] {
            assert!(require_development(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(tail in proptest::collection::vec(any::<u8>(), 0..40), text in "(?s).*") {
            drop(read(&tail));
            drop(read(&[b"roamcore:".as_slice(), &tail].concat()));
            drop(require_development(&text));
        }
    }
}

//! What the running image says about itself, and what follows.
//!
//! Owns: /usr/lib/os-release, the attributes for the server, the device's default name there, and the
//! time that has certainly passed. Never does: change anything.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use roamcore_agent::files::{self, At, IoAt};
use roamcore_agent::machine_id::MachineId;
use roamcore_ddi::messages::{AttributeMode, ConfigData, LONGEST_ATTRIBUTE, is_attribute_char};
use roamcore_engine::Facts;
use roamcore_ota::Digest;

use crate::places::Places;

const LIMIT: u64 = 64 * 1024;
/// machine-id(5): the id itself shall not be shown to a network.
const NAME_DOMAIN: &[u8] = b"roamcore-controller-id-v1\0";

/// The last value of each key of an os-release file.
pub fn fields(path: &Path) -> Result<BTreeMap<String, String>, IoAt> {
    let text = files::read_text(path, LIMIT)?;
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    Ok(pairs
        .map(|(key, value)| (key.to_owned(), value.trim_matches('"').to_owned()))
        .collect())
}

/// The image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Appliance.
    pub product: String,
    /// Board.
    pub board: String,
    /// Version.
    pub version: String,
    /// Made for development; the server is told so.
    pub development: bool,
    /// The image was made at this time, in seconds since 1970; a clock that shows less is wrong.
    pub made: Option<i64>,
}

impl Image {
    /// Reads os-release.
    pub fn load(path: &Path) -> Result<Self, IoAt> {
        let text = files::read_text(path, LIMIT)?;
        let modified = path
            .metadata()
            .and_then(|found| found.modified())
            .at("inspect", path)?;
        Ok(Self {
            made: seconds(modified),
            ..Self::parse(&text)
        })
    }

    fn parse(text: &str) -> Self {
        let values = |key: &str| -> Vec<&str> {
            text.lines()
                .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='))
                .map(|value| value.trim_matches('"'))
                .collect()
        };
        let last = |key: &str| values(key).last().copied().unwrap_or("unknown").to_owned();
        let channels = values("ROAMCORE_CHANNEL");
        Self {
            product: last("IMAGE_ID"),
            board: last("ROAMCORE_BOARD"),
            version: last("IMAGE_VERSION"),
            // As strict as `roamcore-agent settings`: every line, and at least one.
            development: !channels.is_empty()
                && channels.iter().all(|channel| *channel == "development"),
            made: None,
        }
    }

    /// The time, unless the clock certainly was not set.
    pub fn clock(&self) -> Option<i64> {
        let now = seconds(SystemTime::now())?;
        self.made.is_none_or(|made| now >= made).then_some(now)
    }
}

fn seconds(time: SystemTime) -> Option<i64> {
    time.duration_since(UNIX_EPOCH)
        .ok()?
        .as_secs()
        .try_into()
        .ok()
}

/// The device's name on a server when none is configured.
pub fn default_name(places: &Places) -> Result<String, IoAt> {
    let path = places.machine_id();
    let bytes = files::read(&path, 64)?;
    let id = MachineId::parse(&bytes)
        .ok_or_else(|| std::io::Error::other("it is no machine-id"))
        .at("use", &path)?;
    let digest = Digest::of(&[NAME_DOMAIN, id.to_line().trim_end().as_bytes()].concat());
    let hex: String = digest.to_string().chars().take(20).collect();
    Ok(format!("rc-{hex}"))
}

/// What the server is told about the device.
pub fn attributes(image: &Image, facts: &Facts) -> ConfigData {
    let release = facts.running.release.as_ref();
    let number =
        |number: Option<u64>| number.map_or_else(|| "unknown".to_owned(), |n| n.to_string());
    let pairs = [
        ("product", image.product.clone()),
        ("board", image.board.clone()),
        ("version", image.version.clone()),
        ("sequence", number(release.map(|release| release.sequence))),
        (
            "security_epoch",
            number(release.map(|release| release.security_epoch.into())),
        ),
        ("slot", facts.running.slot.to_string()),
        (
            "channel",
            if image.development {
                "development"
            } else {
                "release"
            }
            .to_owned(),
        ),
        ("agent", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    let data: BTreeMap<_, _> = pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), allowed(&value)))
        .collect();
    ConfigData {
        mode: AttributeMode::Merge,
        data,
    }
}

/// hawkBit refuses the whole document for one `~`, which Debian's versions have.
fn allowed(value: &str) -> String {
    value
        .chars()
        .take(LONGEST_ATTRIBUTE)
        .map(|c| if is_attribute_char(c) { c } else { '_' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use proptest::prelude::*;

    const TEXT: &str = "NAME=\"RoamCore OS\"\nIMAGE_ID=bare\nIMAGE_VERSION=1.2.0\nROAMCORE_BOARD=vp2430\nROAMCORE_CHANNEL=development\n";

    #[test]
    fn os_release() {
        let image = Image::parse(TEXT);
        assert_eq!(
            (image.product.as_str(), image.board.as_str()),
            ("bare", "vp2430")
        );
        assert!(image.development);
        for text in [
            "",
            "ROAMCORE_CHANNEL=release\n",
            &format!("{TEXT}ROAMCORE_CHANNEL=release\n"),
        ] {
            assert!(!Image::parse(text).development, "{text:?}");
        }
        assert_eq!(Image::parse("").version, "unknown");
    }

    #[test]
    fn a_clock_before_the_image_is_not_set() {
        let mut image = Image::parse(TEXT);
        assert!(image.clock().is_some());
        image.made = Some(i64::MAX);
        assert_eq!(image.clock(), None);
    }

    #[test]
    fn the_name_is_stable_and_hides_the_machine_id() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::below(dir.path());
        std::fs::create_dir(&places.etc).unwrap();
        assert!(default_name(&places).is_err());
        std::fs::write(places.machine_id(), "0123456789abcdef0123456789abcdef\n").unwrap();
        assert_eq!(default_name(&places).unwrap(), "rc-7612947043ab9f92e6ab");
        std::fs::write(places.machine_id(), "uninitialized\n").unwrap();
        assert!(
            default_name(&places)
                .unwrap_err()
                .source
                .to_string()
                .contains("no machine-id")
        );
    }

    #[test]
    fn attributes_are_what_the_server_takes() {
        let mut image = Image::parse(TEXT);
        image.version = "1.2~rc1\u{e4}".repeat(40);
        let data = attributes(&image, &testing::facts());
        data.check().unwrap();
        assert!(data.data["version"].starts_with("1.2_rc1_1.2_rc1_"));
        assert_eq!(data.data["slot"], "root-a");
    }

    proptest! {
        #[test]
        fn never_panics(text in "(?s).{0,200}") {
            Image::parse(&text);
        }
    }
}

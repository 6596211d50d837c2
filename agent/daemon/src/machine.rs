//! The machine that the service runs on.
//!
//! Owns: opening the slots with what the image says about itself. Never does: guess what the image does
//! not say: an image without a sequence could not be judged against.

mod evidence;
mod surroundings;

use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use roamcore_agent::files::{self, IoAt};
use roamcore_engine::Release;
use roamcore_engine::device::{Identity, SlotDevice};
use roamcore_ota::{Channel, Document, Timestamp};
use roamcore_slots::Slots;

use crate::image::{self, Image};
use crate::places::Places;
use crate::work::SharedDevice;
use surroundings::Machine;

/// Why the image cannot say who it is.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages name the fields")]
pub enum IdentityError {
    #[error(transparent)]
    Io(#[from] IoAt),
    #[error(
        "{path} has {key}={value:?}, which is no {what}; the image is not one of `roamcore-image build`"
    )]
    Value {
        path: String,
        key: &'static str,
        value: String,
        what: &'static str,
    },
}

/// Opens the machine's own slots.
pub fn open(places: &Places) -> Result<SharedDevice> {
    let identity = identity(places)?;
    let image = Image::load(&places.os_release())?;
    let slots = Slots::open(&places.roots).context("this system does not run from a slot")?;
    let machine = Machine::new(places.clone(), image, slots.running());
    let device = SlotDevice::open(slots, identity, &places.state(), Box::new(machine))
        .context("the slots cannot be used")?;
    Ok(Arc::new(Mutex::new(device)))
}

/// Who the image is, from os-release and its role documents.
pub fn identity(places: &Places) -> Result<Identity, IdentityError> {
    let path = places.os_release();
    let fields = image::fields(&path)?;
    let value = |key: &str| fields.get(key).cloned().unwrap_or_default();
    let wrong = |key: &'static str, what| IdentityError::Value {
        path: path.display().to_string(),
        key,
        value: value(key),
        what,
    };
    let image = Image::load(&path)?;
    let made = image.made.and_then(|made| u64::try_from(made).ok());
    Ok(Identity {
        release: Release {
            product: value("IMAGE_ID")
                .parse()
                .map_err(|_| wrong("IMAGE_ID", "product"))?,
            version: value("IMAGE_VERSION")
                .parse()
                .map_err(|_| wrong("IMAGE_VERSION", "version"))?,
            sequence: value("ROAMCORE_SEQUENCE")
                .parse()
                .map_err(|_| wrong("ROAMCORE_SEQUENCE", "number"))?,
            security_epoch: value("ROAMCORE_EPOCH")
                .parse()
                .map_err(|_| wrong("ROAMCORE_EPOCH", "number"))?,
        },
        board: value("ROAMCORE_BOARD")
            .parse()
            .map_err(|_| wrong("ROAMCORE_BOARD", "board"))?,
        channel: match value("ROAMCORE_CHANNEL").as_str() {
            "development" => Channel::Development,
            "release" => Channel::Release,
            _ => return Err(wrong("ROAMCORE_CHANNEL", "channel")),
        },
        agent: env!("CARGO_PKG_VERSION")
            .parse()
            .map_err(|_| wrong("agent", "version"))?,
        roles: files::read(&places.trust(), Document::Roles.max_bytes() as u64)?,
        made: made.and_then(|made| Timestamp::from_unix(made).ok()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "IMAGE_ID=bare\nIMAGE_VERSION=1.2.0\nROAMCORE_BOARD=vp2430\nROAMCORE_CHANNEL=development\n\
                        ROAMCORE_SEQUENCE=12\nROAMCORE_EPOCH=3\n";

    fn read(text: &str) -> Result<Identity, String> {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::below(dir.path());
        std::fs::create_dir_all(places.trust().parent().unwrap()).unwrap();
        std::fs::create_dir_all(places.roots.usr.join("lib")).unwrap();
        std::fs::write(places.os_release(), text).unwrap();
        std::fs::write(places.trust(), "{}").unwrap();
        identity(&places).map_err(|error| error.to_string())
    }

    #[test]
    fn the_image_says_who_it_is() {
        let identity = read(GOOD).unwrap();
        assert_eq!(
            identity.release.to_string(),
            "bare 1.2.0 (sequence 12, epoch 3)"
        );
        assert_eq!(identity.channel, Channel::Development);
        assert_eq!(identity.roles, b"{}");
        assert!(identity.made.is_some());
    }

    #[test]
    fn what_is_missing_is_named() {
        for (from, to, want) in [
            (
                "ROAMCORE_SEQUENCE=12",
                "",
                "ROAMCORE_SEQUENCE=\"\", which is no number",
            ),
            (
                "ROAMCORE_EPOCH=3",
                "ROAMCORE_EPOCH=-3",
                "ROAMCORE_EPOCH=\"-3\"",
            ),
            (
                "=development",
                "=test",
                "ROAMCORE_CHANNEL=\"test\", which is no channel",
            ),
            ("IMAGE_ID=bare", "IMAGE_ID=Bare", "IMAGE_ID=\"Bare\""),
            ("1.2.0", "new", "IMAGE_VERSION=\"new\""),
        ] {
            let error = read(&GOOD.replace(from, to)).unwrap_err();
            assert!(error.contains(want), "{error}");
        }
    }
}

//! Boots of committed slots that have not come up yet: state/roamcore/boots.json.
//!
//! Owns: one number for each slot, in a file of one sector that is overwritten in place: a full disk does not stop the
//! count, and a power cut leaves the old number or the new one. Never does: judge (that is [`crate::fall_over`]), or
//! stop a boot: a file that cannot be read is logged and begun anew. Invariant: no number is above [`MOST`], and a
//! number that is there already is not written again.
//!
//! ```text
//!   0                                                                 512
//!   | {"format":1,"root-a":0,"root-b":2}  spaces ...               \n |
//! ```

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::files::{self, At, IoAt};
use crate::log;
use crate::slot::Slot;

/// Boots in a row that were begun and not ended well before a slot counts as failed. Nothing in the next boot tells a
/// panic or a reset by the watchdog from a power cut, and a van's engine cuts the power several times in a row; but
/// only cuts in the half minute between initrd and `healthy` count, and one boot that comes up ends the row. More
/// would help no good slot and make a rotten one wait: each boot of it takes up to the initrd's four minutes.
pub const MOST: u8 = 8;

/// The smallest unit that a disk writes whole.
const SECTOR: usize = 512;
/// The only format so far.
const FORMAT: u32 = 1;

/// The numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Boots {
    format: u32,
    #[serde(rename = "root-a")]
    a: u8,
    #[serde(rename = "root-b")]
    b: u8,
}

impl Default for Boots {
    fn default() -> Self {
        Self {
            format: FORMAT,
            a: 0,
            b: 0,
        }
    }
}

impl Boots {
    /// Boots of a slot that were begun since it last came up.
    pub fn of(self, slot: Slot) -> u8 {
        match slot {
            Slot::A => self.a,
            Slot::B => self.b,
        }
    }

    /// The same with another number for one slot.
    #[must_use]
    pub fn with(self, slot: Slot, number: u8) -> Self {
        let number = number.min(MOST);
        match slot {
            Slot::A => Self { a: number, ..self },
            Slot::B => Self { b: number, ..self },
        }
    }
}

/// Where the file is on a mounted state partition.
fn path(state: &Path) -> PathBuf {
    state.join("roamcore/boots.json")
}

/// The numbers; a file that is none of ours counts nothing.
pub fn load(state: &Path) -> Boots {
    let path = path(state);
    let why = match files::read_if_any(&path, SECTOR as u64) {
        Ok(None) => return Boots::default(),
        Ok(Some(bytes)) => match serde_json::from_slice::<Boots>(&bytes) {
            Ok(boots) if boots.format == FORMAT => return boots,
            Ok(boots) => format!("format {}", boots.format),
            Err(error) => error.to_string(),
        },
        Err(error) => error.source.to_string(),
    };
    log::error(format!(
        "{} is no count of boots ({why}): taken as none",
        path.display()
    ));
    Boots::default()
}

/// Writes the numbers, durably; nothing when they are there already.
pub fn store(state: &Path, boots: Boots) -> Result<(), IoAt> {
    let path = path(state);
    let sector = encode(boots).at("encode", &path)?;
    match files::read_if_any(&path, SECTOR as u64) {
        Ok(Some(present)) if present == sector => Ok(()),
        Ok(Some(present)) if present.len() == SECTOR => {
            let file = OpenOptions::new()
                .write(true)
                .open(&path)
                .at("open", &path)?;
            file.write_all_at(&sector, 0).at("write", &path)?;
            file.sync_data().at("sync", &path)
        }
        // There is none, or what is there is not of our size: the one time that it needs room.
        _ => files::write_atomic(&path, &sector, 0o644),
    }
}

fn encode(boots: Boots) -> io::Result<Vec<u8>> {
    let mut sector = serde_json::to_vec(&boots).map_err(io::Error::other)?;
    sector.resize(SECTOR - 1, b' ');
    sector.push(b'\n');
    Ok(sector)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use proptest::prelude::*;

    fn state() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("roamcore")).unwrap();
        dir
    }

    #[test]
    fn one_sector_is_overwritten_in_place() {
        let dir = state();
        assert_eq!(load(dir.path()), Boots::default());
        let boots = Boots::default().with(Slot::B, 3).with(Slot::A, 200);
        store(dir.path(), boots).unwrap();
        assert_eq!((boots.of(Slot::A), boots.of(Slot::B)), (MOST, 3));
        assert_eq!(load(dir.path()), boots);
        let inode = || fs::metadata(path(dir.path())).unwrap().ino();
        let before = inode();
        store(dir.path(), boots.with(Slot::B, 0)).unwrap();
        assert_eq!(load(dir.path()).of(Slot::B), 0);
        let bytes = fs::read(path(dir.path())).unwrap();
        assert_eq!((inode(), bytes.len()), (before, SECTOR));
        assert!(bytes.starts_with(b"{\"format\":1,\"root-a\":8,\"root-b\":0}  "));
    }

    #[test]
    fn what_is_no_count_is_begun_anew() {
        let dir = state();
        let (sector, more) = (" ".repeat(SECTOR), " ".repeat(SECTOR + 1));
        for text in [
            "",
            "{",
            "{\"format\":2,\"root-a\":1,\"root-b\":1}",
            "{\"format\":1,\"root-a\":1}",
            &sector,
            &more,
        ] {
            fs::write(path(dir.path()), text).unwrap();
            assert_eq!(load(dir.path()), Boots::default(), "{text}");
            let boots = Boots::default().with(Slot::A, 1);
            store(dir.path(), boots).unwrap();
            assert_eq!(load(dir.path()), boots, "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "(?s).{0,600}") {
            let dir = state();
            fs::write(path(dir.path()), text).unwrap();
            let _ = load(dir.path());
        }
    }
}

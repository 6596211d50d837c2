//! Two copies in two files of fixed size, written in turn and in place.
//!
//! Owns: the directory with the copies. Never does: write the copy that was read. Invariant: at every moment one of the
//! two files holds a whole record no older than the last one whose [`Store::save`] returned.
//!
//! Files have their full size from the first moment and never grow, so that a full disk cannot stop the engine from writing
//! down what happens; that is why a copy is not replaced by renaming a new file.
//!
//! ```text
//!   record.a  [ seq 41 ......... ]      save 43 goes here
//!   record.b  [ seq 42 ......... ]      newest, untouched until 43 is on the disk
//!   record.before-trial                 put aside when arming, for a downgrade of the format
//! ```

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use roamcore_agent::files::{self, At, IoAt};

use crate::record::Record;

use super::format::{Damage, MAX_RECORD_BYTES, decode, encode};
use super::{Loaded, Store, StoreError};

/// Header and the largest body, a multiple of every block size.
const FILE_BYTES: usize = MAX_RECORD_BYTES + 64;
const NAMES: [&str; 2] = ["record.a", "record.b"];
const KEPT: &str = "record.before-trial";

/// The store of the real device.
#[derive(Debug)]
pub struct FileStore {
    directory: PathBuf,
    /// Sequence of the newest record and the index of its file.
    newest: Option<(u64, usize)>,
}

impl FileStore {
    /// Uses a directory, which must exist; nothing is read or written yet.
    pub fn new(directory: &Path) -> Result<Self, StoreError> {
        if !directory.is_dir() {
            return Err(StoreError::Place(directory.to_owned()));
        }
        Ok(Self {
            directory: directory.to_owned(),
            newest: None,
        })
    }

    fn path(&self, index: usize) -> PathBuf {
        self.directory
            .join(NAMES.get(index).copied().unwrap_or(KEPT))
    }

    fn copy(&self, index: usize) -> Result<Result<(u64, Record), Damage>, IoAt> {
        let bytes = files::read_if_any(&self.path(index), FILE_BYTES as u64);
        Ok(match bytes {
            Ok(Some(bytes)) => decode(&bytes),
            Ok(None) => Err(Damage::Missing),
            // A sector that cannot be read damages one copy; the other one may be whole.
            Err(error) if is_medium(&error) => Err(Damage::Content(error.source.to_string())),
            Err(error) => return Err(error),
        })
    }

    fn write(&self, index: usize, bytes: &[u8]) -> Result<(), IoAt> {
        let path = self.path(index);
        let whole = path
            .metadata()
            .is_ok_and(|found| found.len() >= FILE_BYTES as u64);
        if !whole {
            // A new file appears with its content, so that an empty one is never mistaken for a lost record.
            let mut filled = bytes.to_vec();
            filled.resize(FILE_BYTES, 0);
            return files::write_atomic(&path, &filled, 0o600);
        }
        let file = open(&path)?;
        file.write_all_at(bytes, 0).at("write", &path)?;
        file.sync_all().at("sync", &path)
    }
}

fn open(path: &Path) -> Result<File, IoAt> {
    let flags = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0);
    OpenOptions::new()
        .write(true)
        .custom_flags(flags)
        .open(path)
        .at("open", path)
}

fn is_medium(error: &IoAt) -> bool {
    error.source.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}

impl Store for FileStore {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        let (first, second) = (self.copy(0)?, self.copy(1)?);
        let (index, (sequence, record)) = match (first, second) {
            (Ok(first), Ok(second)) if first.0 >= second.0 => (0, first),
            (Ok(_), Ok(second)) => (1, second),
            // An older record that can be read beside a newer program's one is not the truth.
            (Ok(_) | Err(Damage::Newer(_)), Err(Damage::Newer(why)))
            | (Err(Damage::Newer(why)), Ok(_) | Err(_)) => return self.load_kept(why),
            (Err(_), Err(Damage::Newer(why))) => return self.load_kept(why),
            (Ok(first), Err(_)) => (0, first),
            (Err(_), Ok(second)) => (1, second),
            (Err(Damage::Missing), Err(Damage::Missing)) => return Ok(Loaded::Fresh),
            (Err(first), Err(second)) => return Err(StoreError::Corrupt { first, second }),
        };
        self.newest = Some((sequence, index));
        Ok(Loaded::Record(Box::new(record)))
    }

    fn save(&mut self, record: &Record) -> Result<(), StoreError> {
        let (sequence, index) = self
            .newest
            .map_or((1, 0), |(sequence, index)| (sequence + 1, 1 - index));
        let bytes = encode(record, sequence).map_err(|size| StoreError::TooLarge { size })?;
        self.write(index, &bytes)?;
        if self.newest.is_none() {
            // From the first save on there are all three: one damaged file must not be the only one, and arming must not
            // need space.
            self.write(1 - index, &bytes)?;
            self.write(NAMES.len(), &bytes)?;
        }
        self.newest = Some((sequence, index));
        Ok(())
    }

    fn keep(&mut self) -> Result<(), StoreError> {
        let Some((_, index)) = self.newest else {
            return Ok(());
        };
        let bytes = files::read(&self.path(index), FILE_BYTES as u64)?;
        Ok(self.write(NAMES.len(), &bytes)?)
    }
}

impl FileStore {
    fn load_kept(&mut self, why: String) -> Result<Loaded, StoreError> {
        let path = self.directory.join(KEPT);
        let bytes = files::read_if_any(&path, FILE_BYTES as u64)?.unwrap_or_default();
        match decode(&bytes) {
            Ok((_, record)) => {
                // Both copies are to be replaced; what the newer program wrote is not for us to compare.
                self.newest = None;
                Ok(Loaded::Record(Box::new(record)))
            }
            Err(_) => Err(StoreError::Newer { why }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(number: u64) -> Record {
        Record {
            next_job: number,
            ..Record::new()
        }
    }

    fn loaded(directory: &Path) -> Result<u64, StoreError> {
        match FileStore::new(directory)?.load()? {
            Loaded::Fresh => Ok(0),
            Loaded::Record(record) => Ok(record.next_job),
        }
    }

    fn saved(directory: &Path, numbers: std::ops::RangeInclusive<u64>) -> FileStore {
        let mut store = FileStore::new(directory).unwrap();
        store.load().unwrap();
        for number in numbers {
            store.save(&numbered(number)).unwrap();
        }
        store
    }

    #[test]
    fn fresh_then_newest() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(loaded(dir.path()).unwrap(), 0);
        for number in 1..6 {
            saved(dir.path(), number..=number);
            assert_eq!(loaded(dir.path()).unwrap(), number);
        }
        assert!(matches!(
            FileStore::new(&dir.path().join("none")),
            Err(StoreError::Place(_))
        ));
    }

    /// Every way to damage the newest copy leads to the older one, and every way to damage both is an error.
    #[test]
    fn a_torn_newest_falls_back_and_two_torn_ones_are_an_error() {
        let dir = tempfile::tempdir().unwrap();
        saved(dir.path(), 1..=3);
        // 1 -> a (and b), 2 -> b, 3 -> a.
        let (newest, older) = (dir.path().join("record.a"), dir.path().join("record.b"));
        let good = std::fs::read(&newest).unwrap();
        let counted = encode(&numbered(3), 3).unwrap().len();
        let damaged = |bytes: &[u8], what: &str| {
            std::fs::write(&newest, bytes).unwrap();
            assert_eq!(loaded(dir.path()).unwrap(), 2, "{what}");
        };
        for length in (0..counted).step_by(7).chain([0, 1, 63, 64, counted - 1]) {
            damaged(&good[..length], &format!("truncated to {length}"));
        }
        for at in (0..counted).step_by(5) {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            damaged(&bad, &format!("bit flipped in byte {at}"));
        }
        std::fs::remove_file(&newest).unwrap();
        assert_eq!(loaded(dir.path()).unwrap(), 2);
        std::fs::write(&newest, &good[..100]).unwrap();
        std::fs::write(&older, b"").unwrap();
        let error = loaded(dir.path()).unwrap_err().to_string();
        assert!(
            error.contains("both copies") && error.contains("rebuild from disk"),
            "{error}"
        );
        // One missing and one damaged is no fresh device.
        std::fs::remove_file(&older).unwrap();
        assert!(matches!(
            loaded(dir.path()),
            Err(StoreError::Corrupt { .. })
        ));
    }

    #[test]
    fn saving_goes_on_after_damage_and_never_touches_the_newest() {
        let dir = tempfile::tempdir().unwrap();
        saved(dir.path(), 1..=3);
        std::fs::write(dir.path().join("record.a"), b"torn").unwrap();
        let mut store = FileStore::new(dir.path()).unwrap();
        store.load().unwrap();
        let untouched = std::fs::read(dir.path().join("record.b")).unwrap();
        store.save(&numbered(9)).unwrap();
        assert_eq!(
            std::fs::read(dir.path().join("record.b")).unwrap(),
            untouched
        );
        assert_eq!(loaded(dir.path()).unwrap(), 9);
    }

    #[test]
    fn files_never_grow_and_nothing_else_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = saved(dir.path(), 1..=9);
        store.keep().unwrap();
        let mut names: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                assert_eq!(entry.metadata().unwrap().len(), FILE_BYTES as u64);
                entry.file_name().into_string().unwrap()
            })
            .collect();
        names.sort();
        assert_eq!(names, ["record.a", "record.b", "record.before-trial"]);
    }

    #[test]
    fn a_newer_programs_record_leads_back_to_the_kept_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = saved(dir.path(), 1..=4);
        store.keep().unwrap();
        drop(store);
        // The trial's program wrote both copies in a format of its own.
        for name in NAMES {
            let body = br#"{"format":2,"refuse":[]}"#;
            let mut bytes = encode(&numbered(8), 50).unwrap();
            bytes.truncate(64);
            bytes[12..16].copy_from_slice(&u32::try_from(body.len()).unwrap().to_le_bytes());
            let sum = <sha2::Sha256 as sha2::Digest>::new();
            let sum =
                sha2::Digest::chain_update(sha2::Digest::chain_update(sum, &bytes[..32]), body);
            bytes[32..].copy_from_slice(&sha2::Digest::finalize(sum));
            bytes.extend_from_slice(body);
            std::fs::write(dir.path().join(name), bytes).unwrap();
            assert_eq!(loaded(dir.path()).unwrap(), 4, "after {name}");
        }
        saved(dir.path(), 5..=5);
        assert_eq!(loaded(dir.path()).unwrap(), 5);
        std::fs::write(dir.path().join(KEPT), b"").unwrap();
        assert_eq!(loaded(dir.path()).unwrap(), 5);
    }
}

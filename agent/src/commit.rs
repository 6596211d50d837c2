//! Making a healthy trial permanent: `commit`.
//!
//! Owns: one rename on the ESP, and the proof that nothing else changed.
//! Never does: judge health, touch any other file. Invariant: at every moment at least one of the
//! counted and the uncounted name holds the entry.
//!
//! ```text
//!   roamcore-b+2-1.conf  --renameat-->  roamcore-b.conf      then syncfs, fsync, compare, unmount, note
//! ```
//! Both names are there when a rename was cut in two. They may then share their clusters, and removing either would
//! free those of the other; so the committed name first gets a file of its own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Mode, OFlags, RenameFlags, fsync, open, renameat, renameat_with, syncfs, unlinkat,
};
use serde::{Deserialize, Serialize};

use crate::disk::{self, DiskError};
use crate::entry::{CountedEntry, DIRECTORY, EntryError, EntryName};
use crate::files::{self, At, IoAt};
use crate::log;
use crate::mounts::{Access, Esp, MountError};
use crate::roots::Roots;
use crate::slot::Slot;
use crate::trial::{Trial, TrialError};

/// An entry has a few hundred bytes.
const ENTRY_LIMIT: u64 = 256 * 1024;
/// Two slots have two entries, and in a trial what fills the gaps; more than this is not our ESP.
const MOST_ENTRIES: usize = 4096;

/// A short record.
const RECORD_LIMIT: u64 = 16 * 1024;
/// The only format so far.
const FORMAT: u32 = 1;

/// What the rest of this boot can know of a commit: /run/roamcore/committed.json.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Committed {
    format: u32,
    /// The slot.
    pub slot: Slot,
    /// Name of its entry.
    pub entry: String,
    /// Tries it took.
    pub tries_done: u32,
}

impl Committed {
    /// The commit made in this boot, if there was one.
    pub fn load(roots: &Roots) -> Result<Option<Self>, CommitError> {
        let path = roots.facts().join("committed.json");
        let Some(bytes) = files::read_if_any(&path, RECORD_LIMIT)? else {
            return Ok(None);
        };
        let record = serde_json::from_slice::<Self>(&bytes).ok();
        match record.filter(|record| record.format == FORMAT) {
            Some(record) => Ok(Some(record)),
            None => Err(CommitError::Record(path)),
        }
    }

    fn store(&self, roots: &Roots) -> Result<(), CommitError> {
        let path = roots.facts().join("committed.json");
        let Ok(text) = serde_json::to_string(self) else {
            return Err(CommitError::Record(path));
        };
        Ok(files::write_atomic(
            &path,
            format!("{text}\n").as_bytes(),
            0o644,
        )?)
    }
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// This boot is not counted.
    NotInTrial,
    /// The slot is committed.
    Committed {
        /// Which.
        slot: Slot,
        /// Name of its entry now.
        entry: String,
    },
}

/// Why nothing was committed, or why it is not certain.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages name the fields")]
pub enum CommitError {
    #[error(transparent)]
    Io(#[from] IoAt),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Trial(#[from] TrialError),
    #[error(transparent)]
    Entry(#[from] EntryError),
    #[error(transparent)]
    Mount(#[from] MountError),
    #[error("trial.json is about {recorded}, but {running} is running")]
    OtherSlot { recorded: Slot, running: Slot },
    #[error("disk {0} has no partition labelled \"esp\"")]
    NoEsp(String),
    #[error("{directory} has more than {MOST_ENTRIES} files")]
    TooMany { directory: PathBuf },
    #[error(
        "neither {wanted:?} nor another counted {committed:?} is among the boot entries {present:?}"
    )]
    Missing {
        wanted: String,
        committed: String,
        present: Vec<String>,
    },
    #[error(
        "several counted entries of {committed:?}: {found:?}; remove all but the one that was booted"
    )]
    Ambiguous {
        committed: String,
        found: Vec<String>,
    },
    #[error(
        "refused to replace {present:?}: it differs from {counted:?}; remove the one that is wrong"
    )]
    TargetDiffers { present: String, counted: String },
    #[error("{0} is no record of a commit; it goes away with the next boot")]
    Record(PathBuf),
    #[error("after the rename the boot entries are not as expected: {0:?}")]
    Changed(Vec<String>),
}

/// Commits the running slot when it is on trial.
pub fn run(roots: &Roots) -> Result<Outcome, CommitError> {
    let Some(trial) = Trial::load(roots)? else {
        return Ok(Outcome::NotInTrial);
    };
    let entry = trial.entry()?;
    let running = disk::running(roots)?;
    if running.slot != trial.slot {
        return Err(CommitError::OtherSlot {
            recorded: trial.slot,
            running: running.slot,
        });
    }
    let partition = running.disk.labelled(roots, "esp")?;
    let partition = partition.ok_or_else(|| CommitError::NoEsp(running.disk.name.clone()))?;
    let esp = Esp::mount(roots, &disk::node(roots, &partition.name), Access::Write)?;
    // An error drops, and so unmounts, `esp`.
    commit_entry(&esp.path().join(DIRECTORY), &entry)?;
    esp.unmount()?;
    Committed {
        format: FORMAT,
        slot: trial.slot,
        entry: entry.committed.clone(),
        tries_done: trial.tries_done,
    }
    .store(roots)?;
    Trial::remove(roots)?;
    Ok(Outcome::Committed {
        slot: trial.slot,
        entry: entry.committed,
    })
}

/// A file's bytes, or that it is something else.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    File(Vec<u8>),
    Other,
}

type Snapshot = BTreeMap<OsString, Content>;

/// The work on loader/entries, wherever it is mounted.
pub fn commit_entry(directory: &Path, entry: &CountedEntry) -> Result<(), CommitError> {
    let before = snapshot(directory)?;
    let counted = find_counted(&before, entry)?;
    if counted != entry.file {
        log::warning(format!("{:?} is not there, taking {counted:?}", entry.file));
    }
    let present = find_target(&before, &entry.committed);
    let mut expected = before.clone();
    let content = expected.remove(&OsString::from(&counted));
    let handle = open(
        directory,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .at("open", directory)?;
    match (present, content) {
        (None, Some(content)) => {
            expected.insert(OsString::from(&entry.committed), content);
            // NOREPLACE: not even a file that appeared since the snapshot is overwritten.
            renameat_with(
                &handle,
                &counted,
                &handle,
                &entry.committed,
                RenameFlags::NOREPLACE,
            )
            .at("rename", &directory.join(&counted))?;
        }
        (Some(present), Some(Content::File(bytes)))
            if before.get(&present) == Some(&Content::File(bytes.clone())) =>
        {
            log::warning(format!("both {present:?} and {counted:?} are there"));
            let spare = spare_name(&entry.committed);
            expected.remove(&OsString::from(&spare));
            replace_by_own(&handle, directory, &spare, &present, &bytes)?;
            unlinkat(&handle, &counted, AtFlags::empty())
                .at("remove", &directory.join(&counted))?;
        }
        (present, _) => {
            let present = present.unwrap_or_default().to_string_lossy().into_owned();
            return Err(CommitError::TargetDiffers { present, counted });
        }
    }
    durable(&handle, directory)?;
    let after = snapshot(directory)?;
    let changed: Vec<String> = expected
        .keys()
        .chain(after.keys())
        .filter(|name| expected.get(*name) != after.get(*name))
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    if changed.is_empty() {
        Ok(())
    } else {
        Err(CommitError::Changed(changed))
    }
}

/// A name beside an entry's that the boot loader does not look at.
pub fn spare_name(committed: &str) -> String {
    format!("{}.tmp", committed.trim_end_matches(".conf"))
}

/// Gives `name` a file that shares nothing with any other, with the same bytes.
fn replace_by_own(
    handle: &OwnedFd,
    directory: &Path,
    spare: &str,
    name: &OsString,
    bytes: &[u8],
) -> Result<(), CommitError> {
    let path = directory.join(spare);
    match unlinkat(handle, spare, AtFlags::empty()).map_err(std::io::Error::from) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error).at("remove", &path)?,
        _ => {}
    }
    let mut file = fs::File::create_new(&path).at("create", &path)?;
    std::io::Write::write_all(&mut file, bytes).at("write", &path)?;
    file.sync_all().at("sync", &path)?;
    drop(file);
    syncfs(handle).at("sync the file system of", directory)?;
    renameat(handle, spare, handle, name).at("rename to", &directory.join(name))?;
    durable(handle, directory)
}

/// vfat gives a renamed file its content only when the file is written back, which syncing the directory does not do: it
/// alone would make the name durable and leave it empty. But only it empties the disk's own cache.
fn durable(handle: &OwnedFd, directory: &Path) -> Result<(), CommitError> {
    syncfs(handle).at("sync the file system of", directory)?;
    Ok(fsync(handle).at("sync", directory)?)
}

/// The counted file: the one that was booted, else the only one that becomes the same entry.
fn find_counted(entries: &Snapshot, entry: &CountedEntry) -> Result<String, CommitError> {
    let files = || {
        entries
            .iter()
            .filter(|(_, content)| matches!(content, Content::File(_)))
    };
    let names = || files().filter_map(|(name, _)| name.to_str());
    if names().any(|name| name == entry.file) {
        return Ok(entry.file.clone());
    }
    let same = |name: &&str| matches!(EntryName::parse(name), Ok(EntryName::Counted { committed, .. }) if committed == entry.committed);
    let mut found: Vec<String> = names().filter(same).map(str::to_owned).collect();
    match (found.pop(), found.is_empty()) {
        (Some(name), true) => Ok(name),
        (Some(name), false) => {
            found.push(name);
            Err(CommitError::Ambiguous {
                committed: entry.committed.clone(),
                found,
            })
        }
        (None, _) => Err(CommitError::Missing {
            wanted: entry.file.clone(),
            committed: entry.committed.clone(),
            present: entries
                .keys()
                .map(|name| name.to_string_lossy().into_owned())
                .collect(),
        }),
    }
}

/// The name we would rename to, as FAT sees it: without case.
fn find_target(entries: &Snapshot, committed: &str) -> Option<OsString> {
    entries
        .keys()
        .find(|name| name.eq_ignore_ascii_case(committed))
        .cloned()
}

fn snapshot(directory: &Path) -> Result<Snapshot, CommitError> {
    let mut entries = Snapshot::new();
    for item in fs::read_dir(directory).at("list", directory)? {
        let item = item.at("list", directory)?;
        if entries.len() == MOST_ENTRIES {
            return Err(CommitError::TooMany {
                directory: directory.to_owned(),
            });
        }
        let content = if item.file_type().at("inspect", &item.path())?.is_file() {
            Content::File(files::read(&item.path(), ENTRY_LIMIT)?)
        } else {
            Content::Other
        };
        entries.insert(item.file_name(), content);
    }
    Ok(entries)
}

//! Whether this boot is a trial.
//!
//! Owns: /run/roamcore/trial.json and the look at sd-boot's variable. Never does: decide whether
//! the trial is healthy. Invariant: the file exists exactly while the booted entry is counted.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::efivar::{self, BootCountPath, EfiVariableError};
use crate::entry::{CountedEntry, EntryError, EntryName};
use crate::files::{self, At, IoAt};
use crate::log;
use crate::mounts::{self, MountError};
use crate::roots::Roots;
use crate::slot::Slot;

/// Generous: a path of at most one kilobyte and three numbers.
const LIMIT: u64 = 16 * 1024;

/// A counted boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// The entry's path on the ESP as sd-boot wrote it, already counted down.
    pub entry_path: String,
    /// Tries after this one.
    pub tries_left: u32,
    /// Tries including this one.
    pub tries_done: u32,
    /// The slot that is tried.
    pub slot: Slot,
}

/// Why the trial state is not known.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// Reading or writing.
    #[error(transparent)]
    Io(#[from] IoAt),
    /// efivarfs.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// The variable's encoding.
    #[error(transparent)]
    Variable(#[from] EfiVariableError),
    /// The entry it names.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// trial.json is damaged.
    #[error("{path} is not a trial record; reboot, it is written anew in every boot")]
    Record {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl Trial {
    /// Asks the boot loader's variable.
    pub fn detect(roots: &Roots, slot: Slot) -> Result<Option<Self>, TrialError> {
        if !roots.sys.join("firmware/efi").exists() {
            log::warning("no EFI firmware interface: boots are not counted");
            return Ok(None);
        }
        mounts::ensure_efivarfs(roots)?;
        let path = roots
            .sys
            .join("firmware/efi/efivars")
            .join(efivar::BOOT_COUNT_PATH);
        let Some(bytes) = files::read_if_any(&path, efivar::LONGEST)? else {
            return Self::uncounted(roots, slot);
        };
        match efivar::boot_count_path(&bytes)? {
            BootCountPath::FromLoader(entry_path) => {
                let counter = EntryName::of_boot_count_path(&entry_path)?.counter;
                Ok(Some(Self {
                    entry_path,
                    tries_left: counter.left,
                    tries_done: counter.done,
                    slot,
                }))
            }
            // An error here would let one planted variable stop every boot for ever.
            BootCountPath::Planted { attributes } => {
                log::error(format!(
                    "ignored LoaderBootCountPath: its attributes {attributes:#x} say it survives reboots, so it is \
                     not from the boot loader; delete it"
                ));
                Ok(None)
            }
        }
    }

    /// A boot of a counted entry that sd-boot could not count down, as when a power cut left both the old and the new
    /// name: it has to pass the trial all the same.
    fn uncounted(roots: &Roots, slot: Slot) -> Result<Option<Self>, TrialError> {
        let path = roots
            .sys
            .join("firmware/efi/efivars")
            .join(efivar::ENTRY_SELECTED);
        let selected = files::read_if_any(&path, efivar::LONGEST)?
            .and_then(|bytes| efivar::text(&bytes))
            .and_then(|name| EntryName::parse(&name).ok());
        let Some(entry) = selected.filter(|entry| entry.slot() == Some(slot)) else {
            return Ok(None);
        };
        let EntryName::Counted { file, counter, .. } = entry else {
            return Ok(None);
        };
        log::error(format!(
            "the boot loader took the counted entry {file:?} without counting it: a trial all the same"
        ));
        Ok(Some(Self {
            entry_path: format!("\\loader\\entries\\{file}"),
            tries_left: counter.left,
            tries_done: counter.done,
            slot,
        }))
    }

    /// The entry on trial.
    pub fn entry(&self) -> Result<CountedEntry, EntryError> {
        EntryName::of_boot_count_path(&self.entry_path)
    }

    /// Writes trial.json.
    pub fn store(&self, roots: &Roots) -> Result<(), TrialError> {
        let path = record(roots);
        let text = serde_json::to_string(self).map_err(|source| TrialError::Record {
            path: path.clone(),
            source,
        })?;
        Ok(files::write_atomic(
            &path,
            format!("{text}\n").as_bytes(),
            0o644,
        )?)
    }

    /// Reads trial.json; none means that this boot is no trial.
    pub fn load(roots: &Roots) -> Result<Option<Self>, TrialError> {
        let path = record(roots);
        let Some(bytes) = files::read_if_any(&path, LIMIT)? else {
            return Ok(None);
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|source| TrialError::Record { path, source })
    }

    /// Ends the trial.
    pub fn remove(roots: &Roots) -> Result<(), TrialError> {
        let path = record(roots);
        Ok(std::fs::remove_file(&path).at("remove", &path)?)
    }
}

fn record(roots: &Roots) -> PathBuf {
    roots.facts().join("trial.json")
}

//! What is known of a trial's boots: state/roamcore/attempts.json.
//!
//! Owns: the record that tells an interrupted trial from a failed one. A boot on trial notes that it started as soon as
//! it can write; whatever finds a failure notes why, before the reboot. A boot that started and says no more was
//! interrupted, or died too fast to say so. Never does: judge, or stop a boot: a record that cannot be read is logged
//! and begun anew. Invariant: the first reason of a trial stays; arming a slot removes the record.
//!
//! ```text
//!   tries used   started   reason    meaning
//!        0          0        -       never tried: the boot loader did not take the entry
//!        3          3        -       came up each time, ended without a word: power, a hang or a panic
//!        3          0        -       never got as far as the state partition: kernel, initrd, verity, or power
//!        1          1       yes      failed
//! ```

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::files::{self, At, IoAt};
use crate::log;
use crate::roots::Roots;
use crate::slot::Slot;
use crate::trial::{Trial, TrialError};

/// Longest record: thirty boots and a long reason.
const LIMIT: u64 = 64 * 1024;
/// More boots than the boot loader would ever count.
const MOST_BOOTS: usize = 32;
/// Longest reason; it comes from unit names and our own texts.
const LONGEST_REASON: usize = 1024;
/// A UUID and its newline, with room.
const BOOT_ID_LIMIT: u64 = 64;

/// The only format so far.
const FORMAT: u32 = 1;

/// One boot of a trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Boot {
    /// Tries used, this one included.
    pub tries_done: u32,
    /// Its id in the journal.
    pub boot_id: String,
}

/// Why a trial failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// Tries used when it was found.
    pub tries_done: u32,
    /// What was found.
    pub why: String,
}

/// The record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attempts {
    format: u32,
    /// The slot on trial.
    pub slot: Slot,
    /// Boots that got as far as the state partition.
    pub boots: Vec<Boot>,
    /// The first failure found.
    pub failure: Option<Failure>,
}

impl Attempts {
    /// The boot whose journal says why the trial failed: the one in which that was found, else the last. A boot after the
    /// failure only leads back.
    pub fn telling_boot(&self) -> Option<&Boot> {
        let failed = self.failure.as_ref().map(|failure| failure.tries_done);
        let mut newest = self.boots.iter().rev();
        let found = newest.clone().find(|boot| Some(boot.tries_done) == failed);
        found.or_else(|| newest.next())
    }
}

/// Why the record could not be used.
#[derive(Debug, thiserror::Error)]
pub enum AttemptsError {
    /// Reading or writing.
    #[error(transparent)]
    Io(#[from] IoAt),
    /// /run/roamcore/trial.json
    #[error(transparent)]
    Trial(#[from] TrialError),
    /// Damaged.
    #[error("{path} is not a record of trial boots; remove it")]
    Record {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Another format.
    #[error("{path} has format {found}, this agent knows format {FORMAT}")]
    Format {
        /// Where.
        path: PathBuf,
        /// Seen.
        found: u64,
    },
}

/// Where the record is on a mounted state partition.
pub fn path(state: &Path) -> PathBuf {
    state.join("roamcore/attempts.json")
}

/// Reads the record.
pub fn load(state: &Path) -> Result<Option<Attempts>, AttemptsError> {
    #[derive(Deserialize)]
    struct Versioned {
        format: u64,
    }
    let path = path(state);
    let Some(bytes) = files::read_if_any(&path, LIMIT)? else {
        return Ok(None);
    };
    let bad = |source| AttemptsError::Record {
        path: path.clone(),
        source,
    };
    let versioned: Versioned = serde_json::from_slice(&bytes).map_err(bad)?;
    if versioned.format != u64::from(FORMAT) {
        return Err(AttemptsError::Format {
            found: versioned.format,
            path,
        });
    }
    serde_json::from_slice(&bytes).map(Some).map_err(bad)
}

/// Removes the record, durably; there need not be one.
pub fn clear(state: &Path) -> Result<(), IoAt> {
    let path = path(state);
    match fs::remove_file(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).at("remove", &path),
        Ok(()) => files::sync_directory(&state.join("roamcore")),
    }
}

/// Notes that a boot on trial got as far as the state partition.
pub fn started(roots: &Roots, state: &Path, trial: &Trial) -> Result<(), AttemptsError> {
    let boot_id = files::read_text(&roots.proc.join("sys/kernel/random/boot_id"), BOOT_ID_LIMIT)?;
    let mut record = current(state, trial);
    let boot = Boot {
        tries_done: trial.tries_done,
        boot_id: boot_id.trim_end().to_owned(),
    };
    if record.boots.len() < MOST_BOOTS && !record.boots.contains(&boot) {
        record.boots.push(boot);
    }
    store(state, &record)
}

/// Notes why the running trial failed; false when this boot is no trial or the state is not there.
pub fn failed_boot(roots: &Roots, why: &str) -> Result<bool, AttemptsError> {
    let state = roots.facts().join("state");
    let Some(trial) = Trial::load(roots)? else {
        return Ok(false);
    };
    // Before the state is mounted there is only the mount point.
    if !state.join("roamcore").is_dir() {
        return Ok(false);
    }
    let mut record = current(&state, &trial);
    if record.failure.is_none() {
        record.failure = Some(Failure {
            tries_done: trial.tries_done,
            why: why.chars().take(LONGEST_REASON).collect(),
        });
        store(&state, &record)?;
    }
    Ok(true)
}

/// The record of this trial; what is there of another trial, or is none, is replaced.
fn current(state: &Path, trial: &Trial) -> Attempts {
    let found = load(state).unwrap_or_else(|error| {
        log::error(format!("{error}; it is begun anew"));
        None
    });
    found
        .filter(|record| record.slot == trial.slot)
        .unwrap_or(Attempts {
            format: FORMAT,
            slot: trial.slot,
            boots: Vec::new(),
            failure: None,
        })
}

fn store(state: &Path, record: &Attempts) -> Result<(), AttemptsError> {
    let path = path(state);
    let text = serde_json::to_string(record).map_err(|source| AttemptsError::Record {
        path: path.clone(),
        source,
    })?;
    Ok(files::write_atomic(
        &path,
        format!("{text}\n").as_bytes(),
        0o644,
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn machine() -> (tempfile::TempDir, Roots, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let roots = Roots::below(dir.path());
        let state = roots.facts().join("state");
        fs::create_dir_all(state.join("roamcore")).unwrap();
        let random = roots.proc.join("sys/kernel/random");
        fs::create_dir_all(&random).unwrap();
        fs::write(random.join("boot_id"), "b1\n").unwrap();
        (dir, roots, state)
    }

    fn trial(slot: Slot, tries_done: u32) -> Trial {
        Trial {
            entry_path: format!("\\loader\\entries\\roamcore-b+2-{tries_done}.conf"),
            tries_left: 2,
            tries_done,
            slot,
        }
    }

    #[test]
    fn boots_add_up_and_the_first_reason_stays() {
        let (_dir, roots, state) = machine();
        assert!(!failed_boot(&roots, "no trial").unwrap());
        assert_eq!(load(&state).unwrap(), None);
        trial(Slot::B, 1).store(&roots).unwrap();
        started(&roots, &state, &trial(Slot::B, 1)).unwrap();
        started(&roots, &state, &trial(Slot::B, 1)).unwrap();
        assert!(failed_boot(&roots, "gate: x.service").unwrap());
        assert!(failed_boot(&roots, "later").unwrap());
        started(&roots, &state, &trial(Slot::B, 2)).unwrap();
        let mut record = load(&state).unwrap().unwrap();
        assert_eq!(record.boots.len(), 2);
        assert_eq!(record.boots[0].boot_id, "b1");
        // The first one failed, the second only led back.
        assert_eq!(record.telling_boot(), Some(&record.boots[0]));
        let failure = record.failure.take();
        assert_eq!(record.telling_boot(), Some(&record.boots[1]));
        record.failure = failure;
        assert_eq!(record.failure.unwrap().why, "gate: x.service");
        clear(&state).unwrap();
        clear(&state).unwrap();
        assert_eq!(load(&state).unwrap(), None);
    }

    #[test]
    fn another_trial_or_damage_begins_anew() {
        let (_dir, roots, state) = machine();
        trial(Slot::B, 1).store(&roots).unwrap();
        failed_boot(&roots, "old").unwrap();
        started(&roots, &state, &trial(Slot::A, 1)).unwrap();
        assert_eq!(load(&state).unwrap().unwrap().failure, None);
        for (text, want) in [
            ("{", "is not a record of trial boots"),
            ("{\"format\":2}", "has format 2"),
        ] {
            fs::write(path(&state), text).unwrap();
            let error = load(&state).unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
            started(&roots, &state, &trial(Slot::B, 1)).unwrap();
            assert_eq!(load(&state).unwrap().unwrap().boots.len(), 1);
        }
    }

    #[test]
    fn without_the_state_nothing_is_written() {
        let (_dir, roots, state) = machine();
        fs::remove_dir(state.join("roamcore")).unwrap();
        trial(Slot::B, 1).store(&roots).unwrap();
        assert!(!failed_boot(&roots, "early").unwrap());
        assert_eq!(fs::read_dir(&state).unwrap().count(), 0);
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,80}") {
            let (_dir, _roots, state) = machine();
            fs::write(path(&state), text).unwrap();
            drop(load(&state));
        }
    }
}

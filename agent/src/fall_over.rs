//! A committed slot that does not come up: `fall-over`, and its end: `healthy`.
//!
//! Owns: the count of failed boots of committed slots, in one EFI variable, and the order to the boot loader to take
//! the other slot once. Never does: count a boot that merely ended (cranking an engine cuts the power several times,
//! and a slot that power cuts can use up is a brick), touch the ESP, judge a trial: the boot loader counts those.
//! Invariant: a healthy machine never writes the variable; one whose two slots both fail stops writing it after
//! 2 * LIMIT + LIMIT writes, so a boot loop cannot wear out the firmware's memory.
//!
//! ```text
//!  emergency of slot X --> count(X) + 1 --3--> LoaderEntryOneShot = entry of Y (unless Y has used up its own count)
//!  X healthy           --> count(X) = 0; both 0: the variable is deleted
//! ```
//! Y runs once; X stays the default and is tried again at the next boot: whether X is given up is the update engine's
//! decision, made while Y runs. Because only X itself clears its count, one more failure of X is enough then.
//!
//! Seen: everything that ends in emergency.target, in the initrd and after it: partitions that are missing or late,
//! state that cannot be mounted, a switch of root that fails. Not seen, because nothing of ours runs: a kernel panic
//! (so a damaged block under `panic-on-corruption`), a reset by the watchdog, `JobTimeoutAction=reboot-force`.

use std::path::PathBuf;

use crate::attempts::{self, AttemptsError};
use crate::efivar::{self, BootFailures};
use crate::entry::EntryName;
use crate::files::{self, IoAt};
use crate::log;
use crate::mounts::{self, MountError};
use crate::roots::Roots;
use crate::slot::Slot;
use crate::trial::TrialError;

/// Failures before the other slot is tried: one may be a disk that was too cold, two a coincidence.
pub const LIMIT: u8 = 3;

/// What was done about a failed boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The boot loader counts it; the reason was noted for the engine.
    Trial,
    /// It was not started by our boot loader from an entry of ours, so nobody knows what failed.
    NotOurs,
    /// Counted; the same slot is tried again.
    Counted {
        /// The slot.
        slot: Slot,
        /// Failures in a row.
        failures: u8,
    },
    /// The next boot takes another entry.
    FallsOver {
        /// The slot that failed.
        from: Slot,
        /// The entry, by the boot loader's name.
        entry: String,
    },
    /// There is no other entry, or it fails as well.
    NoOther {
        /// The slot that failed.
        slot: Slot,
    },
}

/// Why the failure was not dealt with.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the variants carry the errors of the steps")]
pub enum FallOverError {
    #[error(transparent)]
    Io(#[from] IoAt),
    #[error(transparent)]
    Mount(#[from] MountError),
    #[error(transparent)]
    Trial(#[from] TrialError),
    #[error(transparent)]
    Attempts(#[from] AttemptsError),
    #[error("no EFI firmware interface: failed boots are not counted")]
    NoEfi,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Trial => f.write_str("failed trial boot: the boot loader counts it"),
            Self::NotOurs => {
                f.write_str("failed boot, but not of an entry of ours: nothing to fall over to")
            }
            Self::Counted { slot, failures } => {
                write!(
                    f,
                    "failed boot {failures} of {LIMIT} of {slot}: it is tried again"
                )
            }
            Self::FallsOver { from, entry } => {
                write!(
                    f,
                    "{from} failed {LIMIT} times: the next boot takes {entry}"
                )
            }
            Self::NoOther { slot } => write!(
                f,
                "{slot} failed, and there is no other slot that could do better: it is tried again"
            ),
        }
    }
}

/// Deals with a boot that failed.
pub fn run(roots: &Roots) -> Result<Outcome, FallOverError> {
    let variables = variables(roots)?;
    let selected = read(&variables, efivar::ENTRY_SELECTED, efivar::LONGEST)?
        .and_then(|bytes| efivar::text(&bytes))
        .and_then(|name| EntryName::parse(&name).ok());
    let Some((entry, slot)) = selected.and_then(|entry| entry.slot().map(|slot| (entry, slot)))
    else {
        return Ok(Outcome::NotOurs);
    };
    if matches!(entry, EntryName::Counted { .. }) {
        attempts::failed_boot(roots, "the boot ended in emergency.target")?;
        return Ok(Outcome::Trial);
    }
    let before = failures(roots)?;
    let count = before.of(slot).saturating_add(1).min(LIMIT);
    let now = before.with(slot, count);
    if now != before {
        efivar::replace(&variables.join(efivar::BOOT_FAILURES), &now.encode())?;
    }
    if count < LIMIT {
        return Ok(Outcome::Counted {
            slot,
            failures: count,
        });
    }
    let other = slot.other();
    let entry = match now.of(other) {
        LIMIT.. => None,
        _ => other_entry(
            &read(&variables, efivar::ENTRIES, efivar::LONGEST_LIST)?,
            other,
        ),
    };
    let Some(entry) = entry else {
        return Ok(Outcome::NoOther { slot });
    };
    let path = variables.join(efivar::ENTRY_ONE_SHOT);
    efivar::delete(&path)?;
    efivar::replace(&path, &efivar::encode_text(&entry))?;
    Ok(Outcome::FallsOver { from: slot, entry })
}

/// Clears the count of the running slot; true when there was one.
pub fn healthy(roots: &Roots, running: Slot) -> Result<bool, FallOverError> {
    let before = match failures(roots) {
        Ok(before) => before,
        // Nothing is counted where there are no variables.
        Err(FallOverError::NoEfi) => return Ok(false),
        Err(error) => return Err(error),
    };
    let now = before.with(running, 0);
    if now == before {
        return Ok(false);
    }
    let path = variables(roots)?.join(efivar::BOOT_FAILURES);
    if now == BootFailures::default() {
        efivar::delete(&path)?;
    } else {
        efivar::replace(&path, &now.encode())?;
    }
    Ok(true)
}

/// The counts; a variable that is none of ours counts nothing.
pub fn failures(roots: &Roots) -> Result<BootFailures, FallOverError> {
    let Some(bytes) = read(&variables(roots)?, efivar::BOOT_FAILURES, efivar::LONGEST)? else {
        return Ok(BootFailures::default());
    };
    Ok(BootFailures::decode(&bytes).unwrap_or_else(|| {
        log::error(format!(
            "EFI variable RoamcoreBootFailures holds {bytes:?}, which is no count of ours: taken as none"
        ));
        BootFailures::default()
    }))
}

fn variables(roots: &Roots) -> Result<PathBuf, FallOverError> {
    if !roots.sys.join("firmware/efi").exists() {
        return Err(FallOverError::NoEfi);
    }
    mounts::ensure_efivarfs(roots)?;
    Ok(roots.sys.join("firmware/efi/efivars"))
}

fn read(variables: &std::path::Path, name: &str, limit: u64) -> Result<Option<Vec<u8>>, IoAt> {
    files::read_if_any(&variables.join(name), limit)
}

/// An entry of `slot`: the committed one, else one on trial, which is better than nothing.
fn other_entry(entries: &Option<Vec<u8>>, slot: Slot) -> Option<String> {
    let names = efivar::list(entries.as_deref().unwrap_or_default());
    let of_slot = |name: &&String| EntryName::parse(name).is_ok_and(|e| e.slot() == Some(slot));
    let committed = |name: &&String| name.eq_ignore_ascii_case(slot.entry_file());
    let found = names.iter().find(committed);
    found.or_else(|| names.iter().find(of_slot)).cloned()
}

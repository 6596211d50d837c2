//! A committed slot that does not come up: `begin-boot` and `fall-over`, and their end: `healthy`.
//!
//! Owns: the count of failed boots of committed slots, in one EFI variable, the count of boots that were begun
//! ([`crate::boots`]), and the order to the boot loader to take the other slot once. Never does: take one boot that
//! merely ended for a failure (cranking an engine cuts the power several times, and a slot that power cuts can use up
//! is a brick), touch the ESP, judge a trial: the boot loader counts those. Invariant: a healthy machine never writes
//! the variable; one whose two slots both fail stops writing variables after a few dozen boots, so that a boot loop
//! cannot wear out the firmware's memory.
//!
//! ```text
//!  begin-boot: X, before its root is opened --> boots(X) + 1 on the state partition --8--> count(X) = 3
//!  fall-over:  X ends in emergency.target   --> count(X) + 1
//!                              count(X) = 3 --> LoaderEntryOneShot = entry of Y (unless Y has used up its own count)
//!  healthy:    X came up                    --> that order withdrawn, count(X) = 0, boots(X) = 0
//! ```
//! The order is given before the eighth boot goes on: that boot may still come up and withdraw it; however else it
//! ends, Y runs once. X stays the default and is tried again at the next boot: whether X is given up is the update
//! engine's decision, made while Y runs. Because only X itself clears its count, one more failure of X is enough then.
//!
//! Two counts, because there are two kinds of evidence. A boot that ends in emergency.target has failed for certain,
//! in the initrd or after it: partitions that are missing or late, state that cannot be mounted, a switch of root that
//! fails. Three of those are enough, and the state partition may be what fails: so they are counted by the firmware.
//! Of a kernel panic (so of a damaged block under `panic-on-corruption`), a reset by the watchdog and
//! `JobTimeoutAction=reboot-force` nothing of ours sees the end, and the next boot cannot tell them from a power cut
//! (the board's iTCO keeps no status): so every beginning counts, it takes eight in a row, and as every boot is
//! counted the place is the disk.
//!
//! Where the state partition is not there yet, or cannot be mounted, nothing is counted here: the boot goes on, and
//! ends in emergency.target if the partition is missing for good. Not seen: a UKI that does not start at all, and a
//! system that fails after it was healthy: a row of short drives looks the same.

use std::path::{Path, PathBuf};

use crate::attempts::{self, AttemptsError};
use crate::boots;
use crate::disk::{self, Disk, DiskError};
use crate::efivar::{self, BootFailures};
use crate::entry::EntryName;
use crate::files::{self, At, IoAt};
use crate::log;
use crate::mounts::{self, MountError, Mounted};
use crate::roots::Roots;
use crate::slot::Slot;
use crate::trial::TrialError;

/// Failures before the other slot is tried: one may be a disk that was too cold, two a coincidence.
pub const LIMIT: u8 = 3;

/// The file system that is counted on.
const STATE: &str = "state";
/// A kernel command line has a few kilobytes.
const COMMAND_LINE: u64 = 64 * 1024;

/// What was done at the beginning of a boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// Not of a committed entry of ours, or not the beginning any more: nothing to count.
    NotCounted,
    /// The first boot makes the state partition.
    NoState,
    /// It is one of so many.
    Counted {
        /// The slot.
        slot: Slot,
        /// Boots begun since it last came up.
        boots: u8,
    },
    /// So many that the slot counts as failed; what was done about that.
    Failed(Outcome),
}

impl std::fmt::Display for Begun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotCounted => f.write_str("this boot is not counted"),
            Self::NoState => f.write_str("no state partition yet: this boot is not counted"),
            Self::Counted { slot, boots } => write!(
                f,
                "boot {boots} of {slot} since it last came up, of {} at most",
                boots::MOST
            ),
            Self::Failed(outcome) => write!(
                f,
                "{} boots in a row did not come up: {outcome}",
                boots::MOST
            ),
        }
    }
}

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
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("the kernel's command line names no root hash")]
    NoRootHash,
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
                write!(f, "{from} failed too often: the next boot takes {entry}")
            }
            Self::NoOther { slot } => write!(
                f,
                "{slot} failed, and there is no other slot that could do better: it is tried again"
            ),
        }
    }
}

/// Counts the boot that begins, before its root is opened: the kernel may panic at the first block of it.
pub fn begin(roots: &Roots) -> Result<Begun, FallOverError> {
    // Not in the initrd any more.
    if roots.facts().join("slot.json").exists() {
        return Ok(Begun::NotCounted);
    }
    let Some((EntryName::Committed { .. }, slot)) = selected(&variables(roots)?)? else {
        return Ok(Begun::NotCounted);
    };
    let Some(state) = disk_of_root(roots)?.labelled(roots, STATE)? else {
        return Ok(Begun::NoState);
    };
    let target = roots.facts().join("begin-boot");
    let mounted = Mounted::state(roots, &disk::node(roots, &state.name), &target)?;
    let begun = count(roots, mounted.path(), slot)?;
    // e2fsck looks at it next, and finds it clean.
    mounted.unmount()?;
    Ok(begun)
}

/// [`begin`], wherever the state partition is mounted.
pub fn count(roots: &Roots, state: &Path, slot: Slot) -> Result<Begun, FallOverError> {
    // A first boot that was cut has the partition and nothing in it.
    files::ensure_directory(&state.join("roamcore"), 0o755)?;
    let before = boots::load(state);
    let now = before.with(slot, before.of(slot).saturating_add(1));
    boots::store(state, now)?;
    if now.of(slot) < boots::MOST {
        let boots = now.of(slot);
        return Ok(Begun::Counted { slot, boots });
    }
    Ok(Begun::Failed(failed(roots, slot, LIMIT)?))
}

/// The disk with the partition that the root hash on the command line names: its first half is the PARTUUID of the root
/// (systemd-veritysetup-generator(8)). The device exists: this runs as part of the service that waits for it.
fn disk_of_root(roots: &Roots) -> Result<Disk, FallOverError> {
    let line = files::read_text(&roots.proc.join("cmdline"), COMMAND_LINE)?;
    let hash = line
        .split_ascii_whitespace()
        .find_map(|word| word.strip_prefix("roothash="))
        .filter(|hash| hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit()))
        .ok_or(FallOverError::NoRootHash)?
        .to_ascii_lowercase();
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| &hash[range]);
    let link = roots.dev.join("disk/by-partuuid").join(parts.join("-"));
    let node = std::fs::canonicalize(&link).at("resolve", &link)?;
    let name = node.file_name().unwrap_or_default().to_string_lossy();
    Ok(Disk::of_partition(roots, &name)?)
}

/// The entry that was booted, when it is one of ours.
fn selected(variables: &Path) -> Result<Option<(EntryName, Slot)>, IoAt> {
    let name = read(variables, efivar::ENTRY_SELECTED, efivar::LONGEST)?
        .and_then(|bytes| efivar::text(&bytes));
    let entry = name.and_then(|name| EntryName::parse(&name).ok());
    Ok(entry.and_then(|entry| entry.slot().map(|slot| (entry, slot))))
}

/// Deals with a boot that failed.
pub fn run(roots: &Roots) -> Result<Outcome, FallOverError> {
    let Some((entry, slot)) = selected(&variables(roots)?)? else {
        return Ok(Outcome::NotOurs);
    };
    if matches!(entry, EntryName::Counted { .. }) {
        attempts::failed_boot(roots, "the boot ended in emergency.target")?;
        return Ok(Outcome::Trial);
    }
    let count = failures(roots)?.of(slot).saturating_add(1).min(LIMIT);
    failed(roots, slot, count)
}

/// Notes that `count` boots of a slot have failed, and falls over when that is enough.
fn failed(roots: &Roots, slot: Slot, count: u8) -> Result<Outcome, FallOverError> {
    let variables = variables(roots)?;
    let before = failures(roots)?;
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

/// Ends the counts of a slot that came up, or that is written anew; true when a failure was counted.
pub fn healthy(roots: &Roots, slot: Slot) -> Result<bool, FallOverError> {
    let ended = end_failures(roots, slot)?;
    // Last: while it stands, an order that a cut left standing is withdrawn by the next boot that comes up.
    let state = roots.facts().join(STATE);
    if state.join("roamcore").is_dir() {
        boots::store(&state, boots::load(&state).with(slot, 0))?;
    }
    Ok(ended)
}

fn end_failures(roots: &Roots, slot: Slot) -> Result<bool, FallOverError> {
    let before = match failures(roots) {
        Ok(before) => before,
        // Nothing is counted where there are no variables.
        Err(FallOverError::NoEfi) => return Ok(false),
        Err(error) => return Err(error),
    };
    let now = before.with(slot, 0);
    if now == before {
        return Ok(false);
    }
    let variables = variables(roots)?;
    if before.of(slot) >= LIMIT {
        withdraw(&variables, slot.other())?;
    }
    let path = variables.join(efivar::BOOT_FAILURES);
    if now == BootFailures::default() {
        efivar::delete(&path)?;
    } else {
        efivar::replace(&path, &now.encode())?;
    }
    Ok(true)
}

/// Takes the order to boot `slot` back, and nobody else's.
fn withdraw(variables: &Path, slot: Slot) -> Result<(), IoAt> {
    let ordered = read(variables, efivar::ENTRY_ONE_SHOT, efivar::LONGEST)?
        .and_then(|bytes| efivar::text(&bytes))
        .and_then(|name| EntryName::parse(&name).ok());
    if ordered.and_then(|entry| entry.slot()) == Some(slot) {
        efivar::delete(&variables.join(efivar::ENTRY_ONE_SHOT))?;
    }
    Ok(())
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

fn read(variables: &Path, name: &str, limit: u64) -> Result<Option<Vec<u8>>, IoAt> {
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

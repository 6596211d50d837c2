//! The idle slot's layer of /etc, made when it is armed.
//!
//! Owns: the order that makes the new layer appear whole. Never does: touch the running slot's layer: going back finds it
//! as it was. Invariant: the idle slot's layer is either the one it had or the whole new one.
//!
//! ```text
//!   etc/root-b/upper.new  built | file system synced | exchanged with etc/root-b/upper | directory synced | old removed
//! ```

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use roamcore_agent::files::{self, At, IoAt};
use roamcore_agent::log;
use roamcore_agent::prepare::{self, Layers};
use roamcore_agent::slot::Slot;
use rustix::fs::{CWD, Mode, OFlags, RenameFlags, open, renameat_with, syncfs};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::error::SlotError;
use crate::etc::{self, Conflict, EtcError, Marks};
use crate::idle::IdleSlot;

/// The only format so far.
const FORMAT: u32 = 1;
/// Ten thousand conflicts.
const LIMIT: u64 = 4 * 1024 * 1024;

/// What became of the user's changes to /etc.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CarryOver {
    format: u32,
    /// The slot whose layer was carried over.
    pub from: Slot,
    /// Names that went along.
    pub kept: u64,
    /// Copies that were left behind, so that the new image's files show.
    pub dropped: u64,
    /// What both the user and the new image changed; the user's holds.
    pub conflicts: Vec<Conflict>,
}

impl CarryOver {
    /// The record about a slot's layer, if one was made.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn load(state: &Path, slot: Slot) -> Result<Option<Self>, EtcError> {
        let path = Layers::directory(state, slot).join("carry-over.json");
        let Some(bytes) = files::read_if_any(&path, LIMIT)? else {
            return Ok(None);
        };
        let record = serde_json::from_slice::<Self>(&bytes).ok();
        match record.filter(|record| record.format == FORMAT) {
            Some(record) => Ok(Some(record)),
            None => Err(EtcError::Record(path)),
        }
    }

    fn store(&self, state: &Path, slot: Slot) -> Result<(), EtcError> {
        let path = Layers::directory(state, slot).join("carry-over.json");
        let Ok(text) = serde_json::to_string(self) else {
            return Err(EtcError::Record(path));
        };
        Ok(files::write_atomic(
            &path,
            format!("{text}\n").as_bytes(),
            0o644,
        )?)
    }
}

impl IdleSlot<'_> {
    /// Makes the idle slot's layer of /etc from the running one. What is changed in /etc afterwards stays behind, so this
    /// belongs right before the reboot; it may be called any number of times.
    ///
    /// # Errors
    /// An image cannot be mounted, or the state is full or failing; the layer is then as it was.
    pub fn carry_etc(&self) -> Result<Option<CarryOver>, SlotError> {
        self.carry_etc_with(Marks::Kernel)
    }

    /// As [`IdleSlot::carry_etc`], with other marks than the kernel's.
    ///
    /// # Errors
    /// As there.
    pub fn carry_etc_with(&self, marks: Marks) -> Result<Option<CarryOver>, SlotError> {
        let Some(trees) = self.media.etc()? else {
            return Ok(None);
        };
        let (idle, running) = (self.slot, self.slot.other());
        let state = &trees.state;
        let ours = Layers::of(state, running).upper;
        let target = prepare::make_directories(state, idle)?.upper;
        let scan = |path: &Path| etc::scan(path, marks);
        let plan = etc::decide(&scan(&trees.base)?, &scan(&ours)?, &scan(&trees.theirs)?);
        let mut conflicts = plan.conflicts.clone();
        exchange(&target, |new| {
            let more = etc::build(&plan, [&trees.base, &ours, &trees.theirs], new, marks)?;
            conflicts.extend(more);
            Ok(())
        })?;
        conflicts.sort();
        let record = CarryOver {
            format: FORMAT,
            from: running,
            kept: plan.kept,
            dropped: plan.dropped,
            conflicts,
        };
        record.store(state, idle)?;
        for mounted in trees.mounts {
            mounted.unmount()?;
        }
        Ok(Some(record))
    }
}

/// Makes a directory appear whole in place of what was there.
pub(crate) fn exchange(
    target: &Path,
    make: impl FnOnce(&Path) -> Result<(), EtcError>,
) -> Result<(), EtcError> {
    let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else {
        return Err(std::io::Error::from(ErrorKind::InvalidInput)).at("replace", target)?;
    };
    let mut new = name.to_owned();
    new.push(".new");
    let new = parent.join(new);
    remove(&new)?;
    if let Err(error) = make(&new) {
        // On a full disk the half that was made is what is in the way of everything else.
        if let Err(left) = remove(&new) {
            log::error(left);
        }
        return Err(error);
    }
    // One call for all files: a sync of each would take minutes on a slow disk.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let held = open(parent, flags, Mode::empty()).at("open", parent)?;
    syncfs(&held).at("sync the file system of", parent)?;
    match renameat_with(CWD, &new, CWD, target, RenameFlags::EXCHANGE) {
        Err(Errno::NOENT) => fs::rename(&new, target).at("rename to", target)?,
        other => other.at("exchange", target)?,
    }
    files::sync_directory(parent)?;
    Ok(remove(&new)?)
}

fn remove(path: &Path) -> Result<(), IoAt> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other.at("remove", path),
    }
}

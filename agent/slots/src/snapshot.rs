//! A copy of a directory of the agent's state, taken before a trial.
//!
//! Owns: the copy and its way back. Never does: know what is in it, or stop whoever writes there: that is for the caller.
//! Invariant: a snapshot is whole or is not there.

use std::path::{Path, PathBuf};

use roamcore_agent::files::{self, At};
use roamcore_agent::slot::Slot;

use crate::carry::exchange;
use crate::etc::{EtcError, copy_tree};

/// Where a slot's snapshot of `name` is on the state partition.
#[must_use]
pub fn path(state: &Path, slot: Slot, name: &str) -> PathBuf {
    state
        .join("roamcore/snapshots")
        .join(slot.data_label())
        .join(name)
}

/// Copies `directory` as it is under the slot that runs now.
///
/// # Errors
/// It cannot be read, or the state is full; an older snapshot is then still there.
pub fn take(state: &Path, running: Slot, name: &str, directory: &Path) -> Result<(), EtcError> {
    let target = path(state, running, name);
    for level in [
        state.join("roamcore"),
        state.join("roamcore/snapshots"),
        state.join("roamcore/snapshots").join(running.data_label()),
    ] {
        files::ensure_directory(&level, 0o700)?;
    }
    exchange(&target, |new| copy_tree(directory, new))
}

/// Puts a slot's snapshot back in place of `directory`; false when there is none.
///
/// # Errors
/// It cannot be copied; `directory` is then as it was.
pub fn restore(state: &Path, slot: Slot, name: &str, directory: &Path) -> Result<bool, EtcError> {
    let source = path(state, slot, name);
    if !source.exists() {
        return Ok(false);
    }
    exchange(directory, |new| copy_tree(&source, new))?;
    Ok(true)
}

/// Removes all snapshots that a slot took; there need not be any.
///
/// # Errors
/// They cannot be removed.
pub fn forget(state: &Path, slot: Slot) -> Result<(), EtcError> {
    let all = state.join("roamcore/snapshots").join(slot.data_label());
    match std::fs::remove_dir_all(&all) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => Ok(other.at("remove", &all)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn there_and_back() {
        let dir = tempfile::tempdir().unwrap();
        let (state, agent) = (dir.path().join("state"), dir.path().join("state/agent"));
        fs::create_dir_all(agent.join("deep")).unwrap();
        fs::write(agent.join("deep/record"), "old").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        fs::set_permissions(agent.join("deep"), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(!restore(&state, Slot::A, "agent", &agent).unwrap());
        // What a cut left of an earlier try is no part of it.
        let left = path(&state, Slot::A, "agent.new");
        fs::create_dir_all(left.join("rubbish")).unwrap();
        take(&state, Slot::A, "agent", &agent).unwrap();
        fs::write(agent.join("deep/record"), "new").unwrap();
        fs::write(agent.join("added"), "").unwrap();
        assert!(restore(&state, Slot::A, "agent", &agent).unwrap());
        assert_eq!(
            fs::read_to_string(agent.join("deep/record")).unwrap(),
            "old"
        );
        assert!(!agent.join("added").exists());
        assert_eq!(mode(&agent.join("deep")), 0o700);
        assert!(!left.exists());
        take(&state, Slot::A, "agent", &agent).unwrap();
        assert!(take(&state, Slot::B, "agent", &dir.path().join("none")).is_err());
        assert!(!path(&state, Slot::B, "agent").exists());
        forget(&state, Slot::A).unwrap();
        forget(&state, Slot::A).unwrap();
        assert!(!restore(&state, Slot::A, "agent", &agent).unwrap());
    }
}

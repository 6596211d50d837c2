//! A copy of a directory of the agent's state, taken before a trial.
//!
//! Owns: the copy and its way back. Never does: know what is in it, or stop whoever writes there: taking it needs no
//! stop, because databases are copied as such ([`crate::database`]); putting it back does, which is for the caller.
//! Invariant: a snapshot is whole or is not there, and so is every database in it.

use std::path::{Path, PathBuf};

use roamcore_agent::files::{self, At};
use roamcore_agent::slot::Slot;

use crate::carry::exchange;
use crate::database;
use crate::etc::{EtcError, copy_tree, copy_tree_with};

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
    exchange(&target, |new| {
        copy_tree_with(directory, new, &database::copy)
    })
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

    /// A database in the mode that pmxcfs uses, with a log that is folded in all the time, and a writer that never
    /// rests.
    #[test]
    fn a_database_is_whole_while_it_is_written() {
        use rusqlite::Connection;
        use std::sync::atomic::{AtomicBool, Ordering};

        struct Ended<'a>(&'a AtomicBool);

        impl Drop for Ended<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }

        let dir = tempfile::tempdir().unwrap();
        let (state, cluster) = (dir.path().join("state"), dir.path().join("pve-cluster"));
        fs::create_dir_all(&state).unwrap();
        fs::create_dir(&cluster).unwrap();
        fs::write(cluster.join("other-wal"), "no log of any database").unwrap();
        let file = cluster.join("config.db");
        let mut writer = Connection::open(&file).unwrap();
        writer
            .execute_batch(
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=4;
                 CREATE TABLE tree (half INTEGER, step INTEGER, filler BLOB);
                 INSERT INTO tree VALUES (0, 0, x''), (1, 0, x'');",
            )
            .unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let (stop, steps) = (AtomicBool::new(false), 20);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    // Both halves and a few hundred pages, or nothing.
                    let change = writer.transaction().unwrap();
                    for half in 0..2 {
                        let sql = "UPDATE tree SET step = step + 1, filler = randomblob(200000) WHERE half = ?1";
                        change.execute(sql, [half]).unwrap();
                    }
                    change.commit().unwrap();
                }
            });
            // Also when something below fails, or the scope would wait for the writer for ever.
            let ended = Ended(&stop);
            let mut last = 0;
            for _ in 0..steps {
                take(&state, Slot::A, "cluster", &cluster).unwrap();
                let copy = path(&state, Slot::A, "cluster");
                let mut names: Vec<_> = fs::read_dir(&copy)
                    .unwrap()
                    .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                    .collect();
                names.sort();
                assert_eq!(names, ["config.db", "other-wal"]);
                let mode = fs::metadata(copy.join("config.db")).unwrap().permissions();
                assert_eq!(mode.mode() & 0o777, 0o600);
                let reader = Connection::open(copy.join("config.db")).unwrap();
                let text = |sql: &str| reader.query_row(sql, [], |row| row.get::<_, String>(0));
                assert_eq!(text("PRAGMA integrity_check").unwrap(), "ok");
                let number = |sql: &str| reader.query_row(sql, [], |row| row.get::<_, i64>(0));
                let (low, high) = (
                    number("SELECT min(step) FROM tree").unwrap(),
                    number("SELECT max(step) FROM tree").unwrap(),
                );
                assert_eq!(low, high, "half of a transaction");
                assert!(low >= last, "{low} after {last}");
                last = low;
            }
            drop(ended);
        });
        // The way back, as when the service is stopped: what is newer goes, its log too.
        drop(writer);
        let copy = Connection::open(path(&state, Slot::A, "cluster").join("config.db")).unwrap();
        let step = |database: &Connection| {
            let sql = "SELECT max(step) FROM tree";
            database
                .query_row(sql, [], |row| row.get::<_, i64>(0))
                .unwrap()
        };
        let kept = step(&copy);
        copy.close().unwrap();
        assert!(restore(&state, Slot::A, "cluster", &cluster).unwrap());
        assert_eq!(step(&Connection::open(&file).unwrap()), kept);
    }

    #[test]
    fn what_only_looks_like_a_database_is_no_end() {
        let dir = tempfile::tempdir().unwrap();
        let (state, cluster) = (dir.path().join("state"), dir.path().join("cluster"));
        fs::create_dir_all(&state).unwrap();
        fs::create_dir(&cluster).unwrap();
        for name in ["config.db", "config.db-wal"] {
            fs::write(cluster.join(name), "short").unwrap();
        }
        take(&state, Slot::A, "cluster", &cluster).unwrap();
        let copy = path(&state, Slot::A, "cluster");
        assert_eq!(fs::read_dir(copy).unwrap().count(), 2);
        let mut damaged = b"SQLite format 3\0".to_vec();
        damaged.resize(5000, 0xff);
        fs::write(cluster.join("config.db"), damaged).unwrap();
        let error = take(&state, Slot::A, "cluster", &cluster).unwrap_err();
        assert!(
            error.to_string().contains("config.db cannot be copied"),
            "{error}"
        );
    }
}

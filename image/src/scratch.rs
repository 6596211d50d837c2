//! Work areas that a killed build cannot leave behind for good.
//!
//! Owns: making a private directory whose owner is known to be alive, and removing those whose
//! owner is not. Never does: remove a directory that some process still holds.
//! Invariant: as long as a [`Scratch`] lives, its directory is locked (flock(2)); the kernel drops
//! the lock with the process, however it ends. Making and tidying exclude each other by a lock on
//! the parent, or a directory could be tidied between its making and its locking.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

/// Helpers of a killed build may write for a moment longer; without their directory they end.
const ATTEMPTS: u32 = 20;

/// A private directory, removed when dropped, or by the next build when this one is killed.
#[derive(Debug)]
pub struct Scratch {
    dir: TempDir,
    _held: File,
}

impl Scratch {
    /// Makes one in `parent`; its name begins with `prefix`.
    pub fn create(parent: &Path, prefix: &str) -> Result<Scratch> {
        let _door = door(parent)?;
        let dir = tempfile::Builder::new()
            .prefix(prefix)
            .tempdir_in(parent)
            .with_context(|| format!("creating a work directory in {}", parent.display()))?;
        let held =
            File::open(dir.path()).with_context(|| format!("opening {}", dir.path().display()))?;
        held.lock()
            .with_context(|| format!("locking {}", dir.path().display()))?;
        Ok(Scratch { dir, _held: held })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Removes it now, telling when that fails.
    pub fn close(self) -> Result<()> {
        let path = self.dir.path().to_owned();
        self.dir
            .close()
            .with_context(|| format!("removing {}", path.display()))
    }

    /// Leaves it where it is, for people to look at; the next build tidies it all the same when its
    /// name still has the prefix.
    pub fn keep(self) -> std::path::PathBuf {
        self.dir.keep()
    }
}

/// Removes the directories in `parent` whose names begin with `prefix` and whose owner is gone.
pub fn tidy(parent: &Path, prefix: &str) -> Result<()> {
    let _door = door(parent)?;
    for entry in fs::read_dir(parent).with_context(|| format!("listing {}", parent.display()))? {
        let entry = entry.with_context(|| format!("listing {}", parent.display()))?;
        if !entry.file_name().to_string_lossy().starts_with(prefix) {
            continue;
        }
        let path = entry.path();
        let held = match File::open(&path) {
            Ok(held) => held,
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            Err(e) => return Err(e).with_context(|| format!("opening {}", path.display())),
        };
        match held.try_lock() {
            Ok(()) => remove(&path)?,
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(e)) => {
                return Err(e).with_context(|| format!("locking {}", path.display()));
            }
        }
    }
    Ok(())
}

fn door(parent: &Path) -> Result<File> {
    let door = File::open(parent).with_context(|| format!("opening {}", parent.display()))?;
    door.lock()
        .with_context(|| format!("locking {}", parent.display()))?;
    Ok(door)
}

fn remove(path: &Path) -> Result<()> {
    let mut left = ATTEMPTS;
    loop {
        match fs::remove_dir_all(path) {
            Ok(()) => return Ok(()),
            // Its owner may be removing it too.
            Err(e) if e.kind() == ErrorKind::NotFound && !path.exists() => return Ok(()),
            Err(e)
                if left > 0
                    && matches!(e.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::NotFound) =>
            {
                left -= 1;
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(e) => {
                return Err(e).with_context(|| {
                    format!(
                        "removing {}, left by a build that was killed",
                        path.display()
                    )
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_stays_and_what_is_left_goes() {
        let parent = tempfile::tempdir().unwrap();
        let held = Scratch::create(parent.path(), "x-").unwrap();
        let left = Scratch::create(parent.path(), "x-").unwrap().keep();
        let other = Scratch::create(parent.path(), "y-").unwrap().keep();
        fs::write(left.join("half"), "half").unwrap();
        tidy(parent.path(), "x-").unwrap();
        assert!(held.path().is_dir());
        assert!(!left.exists());
        assert!(other.is_dir());
        let path = held.path().to_owned();
        held.close().unwrap();
        assert!(!path.exists());
    }
}

//! Work areas that a killed program cannot leave behind for good.
//!
//! Owns: making a private directory whose owner is known to be alive, removing those whose owner is not, and a place for
//! them among temporary files. Never does: remove a directory that some process still holds, or touch what another user left.
//! Invariant: as long as a [`Scratch`] lives, its directory is locked (flock(2)); the kernel drops
//! the lock with the process, however it ends. Making and tidying exclude each other by a lock on
//! the parent, or a directory could be tidied between its making and its locking.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

/// Helpers of a killed program may write for a moment longer; without their directory they end.
const ATTEMPTS: u32 = 20;

/// What the file system refused.
#[derive(Debug, thiserror::Error)]
#[error("{action} {}", path.display())]
pub struct Error {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

type Result<T> = std::result::Result<T, Error>;

fn refused(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error {
        action,
        path,
        source,
    }
}

/// A private directory, removed when dropped, or by the next [`tidy`] when its owner is killed.
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
            .map_err(refused("creating a work directory in", parent))?;
        let held = File::open(dir.path()).map_err(refused("opening", dir.path()))?;
        held.lock().map_err(refused("locking", dir.path()))?;
        Ok(Scratch { dir, _held: held })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Removes it now, telling when that fails.
    pub fn close(self) -> Result<()> {
        let path = self.dir.path().to_owned();
        self.dir.close().map_err(refused("removing", &path))
    }

    /// Leaves it where it is, for people to look at, until somebody tidies its prefix.
    pub fn keep(self) -> PathBuf {
        self.dir.keep()
    }
}

/// This user's own directory among temporary files. In the shared one a stranger could plant what [`tidy`] would stumble on.
pub fn area() -> Result<PathBuf> {
    area_in(&std::env::temp_dir())
}

fn area_in(temp: &Path) -> Result<PathBuf> {
    let uid = rustix::process::geteuid().as_raw();
    let path = temp.join(format!("roamcore-{uid}"));
    match fs::DirBuilder::new().mode(0o700).create(&path) {
        Ok(()) => {}
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
        Err(e) => return Err(refused("creating", &path)(e)),
    }
    let found = fs::symlink_metadata(&path).map_err(refused("looking at", &path))?;
    if !found.is_dir() || found.uid() != uid || found.mode() & 0o077 != 0 {
        let why =
            "it is not a directory of this user alone; remove it, or set TMPDIR to another place";
        return Err(refused("using", &path)(io::Error::other(why)));
    }
    Ok(path)
}

/// Removes the directories in `parent` whose names begin with `prefix` and whose owner is gone.
pub fn tidy(parent: &Path, prefix: &str) -> Result<()> {
    let _door = door(parent)?;
    for entry in fs::read_dir(parent).map_err(refused("listing", parent))? {
        let entry = entry.map_err(refused("listing", parent))?;
        if !entry.file_name().to_string_lossy().starts_with(prefix) {
            continue;
        }
        let path = entry.path();
        let held = match File::open(&path) {
            Ok(held) => held,
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            Err(e) => return Err(refused("opening", &path)(e)),
        };
        match held.try_lock() {
            Ok(()) => remove(&path)?,
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(e)) => return Err(refused("locking", &path)(e)),
        }
    }
    Ok(())
}

fn door(parent: &Path) -> Result<File> {
    let door = File::open(parent).map_err(refused("opening", parent))?;
    door.lock().map_err(refused("locking", parent))?;
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
            Err(e) => return Err(refused("removing what was left by a killed program:", path)(e)),
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

    #[test]
    fn the_area_is_ours_alone() {
        use std::os::unix::fs::PermissionsExt;
        let temp = tempfile::tempdir().unwrap();
        let area = area_in(temp.path()).unwrap();
        assert_eq!(area_in(temp.path()).unwrap(), area);
        fs::set_permissions(&area, PermissionsExt::from_mode(0o755)).unwrap();
        assert!(area_in(temp.path()).is_err());
        fs::remove_dir(&area).unwrap();
        std::os::unix::fs::symlink(temp.path(), &area).unwrap();
        assert!(area_in(temp.path()).is_err());
    }
}

//! The store of .debs, named by their content.
//!
//! Owns: `<pool>/<first two digits>/<sha256>.deb`, its verification and its filling. Never does:
//! choose a version, keep a file that does not match its name, or use the network for what it
//! has. Invariant: a file under its final name was verified, synced and renamed there; every
//! `ensure` reads and hashes it again, so that a rotten one stops the build.
//!
//! ```text
//!  verify what is there -> copy from --pool DIR -> fetch from the mirror -> all there, or an error
//!        | wrong hash: stop      | wrong hash: stop      | gone: all are listed
//! ```

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use thiserror::Error;

use crate::command::CommandError;
use crate::events::Events;
use crate::lock::fetch::{self, Reason};
use crate::lock::{Lock, LockError, Mirrors, Package, Set, Sha256, flat};

/// What can go wrong with pooled packages.
#[derive(Debug, Error)]
pub enum PoolError {
    /// A file or directory cannot be used.
    #[error("cannot access {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Bytes on disk that are not the locked ones.
    #[error("package {package}: {} has SHA-256 {} ({} bytes), the lock says {} ({} bytes): remove the file and run again", path.display(), found.0, found.1, expected.0, expected.1)]
    WrongFile {
        /// Package and version.
        package: String,
        /// The file.
        path: PathBuf,
        /// Locked digest and size.
        expected: Box<(Sha256, u64)>,
        /// Digest and size of the file.
        found: Box<(Sha256, u64)>,
    },
    /// Bytes from a mirror that are not the locked ones.
    #[error(
        "package {package}: the mirror's {uri} has SHA-256 {found}, the lock says {expected}: use another mirror (`--mirror URI`), or `lock --update` if the archive itself has changed"
    )]
    WrongDownload {
        /// Package and version.
        package: String,
        /// Where it came from.
        uri: String,
        /// Locked digest.
        expected: Sha256,
        /// Digest of what came.
        found: Sha256,
    },
    /// Versions that the mirror has dropped.
    #[error("{} locked package(s) are gone from the mirror:\n{}\nuse a kept pool with `build --pool DIR` (filled by `lock --download DIR`), or resolve anew with `lock --update`", packages.len(), list(packages))]
    Gone {
        /// All of them, as name, version and URI.
        packages: Vec<String>,
    },
    /// Packages that did not arrive for other reasons.
    #[error("{} locked package(s) could not be fetched:\n{}\ncheck the network and the mirror (`--mirror URI`), then run again: what has arrived is kept", packages.len(), list(packages))]
    Fetch {
        /// All of them, each with its reason.
        packages: Vec<String>,
    },
    /// Packages missing while the network may not be used.
    #[error("{} locked package(s) are in no pool and fetching is off:\n{}\ngive a pool with `build --pool DIR`, filled by `lock --download DIR`", packages.len(), list(packages))]
    Offline {
        /// All of them.
        packages: Vec<String>,
    },
    /// No room.
    #[error("no space left for packages on the file system of {}: {needed} bytes are needed, {free} are free (if that is enough, inodes have run out)", path.display())]
    DiskFull {
        /// The pool.
        path: PathBuf,
        /// Bytes still to be stored.
        needed: u64,
        /// Bytes free.
        free: u64,
    },
    /// The target of a link set holds something else.
    #[error("{} is not empty and was not made by this builder: name another directory or remove it", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
    },
    /// A .deb whose own control file contradicts the lock.
    #[error(
        "package {package}: its control file says {field} {found:?}, the lock says {locked:?}: resolve anew with `lock --update`"
    )]
    Control {
        /// Package.
        package: String,
        /// Control field.
        field: &'static str,
        /// Value in the lock.
        locked: String,
        /// Value in the .deb.
        found: String,
    },
    /// Mirrors or apt.
    #[error("fetching packages failed")]
    Lock(#[from] LockError),
    /// dpkg-deb.
    #[error("reading a package failed")]
    Command(#[from] CommandError),
}

impl PoolError {
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> PoolError {
        let path = path.into();
        move |source| PoolError::File { path, source }
    }
}

impl PoolError {
    /// True when a mirror no longer has a locked version, which a new lock would mend.
    pub fn is_gone(&self) -> bool {
        matches!(self, PoolError::Gone { .. })
    }

    /// True when packages are missing and no mirror was given.
    pub fn is_offline(&self) -> bool {
        matches!(self, PoolError::Offline { .. })
    }
}

fn list(packages: &[String]) -> String {
    packages
        .iter()
        .map(|p| format!("  {p}"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// What one [`Pool::ensure`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ensured {
    /// Packages that were already there.
    pub present: usize,
    /// Packages taken from the operator's pool.
    pub copied: usize,
    /// Packages fetched from a mirror.
    pub fetched: usize,
}

/// A content-addressed directory of .debs.
#[derive(Debug, Clone)]
pub struct Pool {
    dir: PathBuf,
}

impl Pool {
    /// Opens a pool, making its directory if need be.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Pool, PoolError> {
        let dir = dir.into();
        fs::create_dir_all(&dir).map_err(PoolError::file(&dir))?;
        // apt runs elsewhere, and links may be made from elsewhere.
        let dir = fs::canonicalize(&dir).map_err(PoolError::file(&dir))?;
        Ok(Pool { dir })
    }

    /// Where a package is, or will be.
    pub fn path(&self, package: &Package) -> PathBuf {
        let digest = package.sha256.to_string();
        self.dir.join(&digest[..2]).join(format!("{digest}.deb"))
    }

    /// Brings every package of a set into the pool, verified. Looks here, then in `other` (a pool,
    /// or a directory of .debs under apt's names), then at the mirrors; without mirrors no
    /// network is used.
    pub fn ensure(
        &self,
        lock: &Lock,
        set: Set,
        mirrors: Option<&Mirrors>,
        other: Option<&Path>,
        events: &Events,
    ) -> Result<Ensured, PoolError> {
        let packages = lock.packages(set);
        let _guard = self.guard(events)?;
        let absent = self.verify(packages, events)?;
        let mut done = Ensured {
            present: packages.len() - absent.len(),
            ..Ensured::default()
        };
        let scratch = self.scratch(packages)?;
        let mut missing = Vec::new();
        for package in absent {
            match other.and_then(|dir| find_in(dir, package)) {
                Some(found) => {
                    self.take(package, &found, scratch.path())?;
                    done.copied += 1;
                }
                None => missing.push(package),
            }
        }
        if missing.is_empty() {
            return Ok(done);
        }
        let Some(mirrors) = mirrors else {
            let packages = missing.iter().map(|p| label(p)).collect();
            return Err(PoolError::Offline { packages });
        };
        self.room_for(&missing)?;
        let keep = |package: &Package, path: &Path| self.keep(package, path);
        let failures = match fetch::fetch(&missing, mirrors, scratch.path(), events, keep) {
            Err(PoolError::Lock(LockError::File { path, source })) => {
                return Err(self.full_or(source, &path, missing.iter().map(|p| p.size).sum()));
            }
            other => other?,
        };
        done.fetched = missing.len() - failures.len();
        self.judge(&failures, &missing, mirrors)?;
        Ok(done)
    }

    /// Makes `dir` a flat repository of one set: links named as apt names packages, and a
    /// deterministic `Packages`. Quick when nothing has changed. Call [`Pool::ensure`] first.
    pub fn link_set(&self, lock: &Lock, set: Set, dir: &Path) -> Result<(), PoolError> {
        flat::link(lock, lock.packages(set), |p| self.path(p), dir)
    }

    /// One filler at a time; also ends what a killed one left behind.
    fn guard(&self, events: &Events) -> Result<File, PoolError> {
        let path = self.dir.join("lock");
        let file = File::create(&path).map_err(PoolError::file(&path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                events.note(&format!(
                    "waiting for another build that fills {}",
                    self.dir.display()
                ));
                file.lock().map_err(PoolError::file(&path))?;
            }
            Err(fs::TryLockError::Error(e)) => return Err(PoolError::file(path)(e)),
        }
        for entry in fs::read_dir(&self.dir).map_err(PoolError::file(&self.dir))? {
            let entry = entry.map_err(PoolError::file(&self.dir))?;
            if entry.file_name().to_string_lossy().starts_with(".tmp-") {
                remove_leftover(&entry.path(), events)?;
            }
        }
        Ok(file)
    }

    fn scratch(&self, packages: &[Package]) -> Result<tempfile::TempDir, PoolError> {
        let made = tempfile::Builder::new()
            .prefix(".tmp-")
            .tempdir_in(&self.dir);
        made.map_err(|e| self.full_or(e, &self.dir, packages.iter().map(|p| p.size).sum()))
    }

    /// Hashes what is there, with all cores; gives what is not.
    fn verify<'p>(
        &self,
        packages: &'p [Package],
        events: &Events,
    ) -> Result<Vec<&'p Package>, PoolError> {
        let next = AtomicUsize::new(0);
        let found: Mutex<Vec<(usize, Result<bool, PoolError>)>> = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..std::thread::available_parallelism().map_or(2, |n| n.get().min(8)) {
                scope.spawn(|| {
                    loop {
                        let i = next.fetch_add(1, Ordering::Relaxed);
                        let Some(package) = packages.get(i) else {
                            return;
                        };
                        let path = self.path(package);
                        let result = match File::open(&path) {
                            Ok(file) => check(package, &path, file).map(|()| true),
                            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
                            Err(e) => Err(PoolError::file(path)(e)),
                        };
                        events.progress("pool", i as u64 + 1, packages.len() as u64);
                        found
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push((i, result));
                    }
                });
            }
        });
        let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        found.sort_by_key(|(i, _)| *i);
        let mut absent = Vec::new();
        for (package, (_, result)) in packages.iter().zip(found) {
            if !result? {
                absent.push(package);
            }
        }
        Ok(absent)
    }

    /// Copies from the operator's pool; never links, so that his files stay his.
    fn take(&self, package: &Package, from: &Path, scratch: &Path) -> Result<(), PoolError> {
        let copy = scratch.join(package.file_name());
        if let Err(e) = fs::copy(from, &copy) {
            return Err(self.full_or(e, from, package.size));
        }
        let file = File::open(&copy).map_err(PoolError::file(&copy))?;
        check(package, from, file)?;
        self.keep(package, &copy)
    }

    /// Moves a verified file to its final name.
    fn keep(&self, package: &Package, path: &Path) -> Result<(), PoolError> {
        let target = self.path(package);
        let dir = target.parent().unwrap_or(&self.dir);
        let store = || {
            let file = File::open(path)?;
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
            file.set_permissions(mode)?;
            file.sync_all()?;
            fs::create_dir_all(dir)?;
            fs::rename(path, &target)?;
            File::open(dir)?.sync_all()
        };
        store().map_err(|e| self.full_or(e, &target, package.size))
    }

    fn full_or(&self, error: io::Error, path: &Path, needed: u64) -> PoolError {
        if error.kind() == io::ErrorKind::StorageFull {
            return self.full(needed);
        }
        PoolError::file(path)(error)
    }

    fn full(&self, needed: u64) -> PoolError {
        PoolError::DiskFull {
            path: self.dir.clone(),
            needed,
            free: self.free().unwrap_or(0),
        }
    }

    fn free(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Refuses at once what cannot end well.
    fn room_for(&self, missing: &[&Package]) -> Result<(), PoolError> {
        let needed = missing.iter().map(|p| p.size).sum();
        let free = self.free().map_err(PoolError::file(&self.dir))?;
        if needed > free {
            Err(self.full(needed))
        } else {
            Ok(())
        }
    }

    /// One error for all failures, the most telling kind first.
    fn judge(
        &self,
        failures: &[(&Package, Reason)],
        missing: &[&Package],
        mirrors: &Mirrors,
    ) -> Result<(), PoolError> {
        let (mut gone, mut other) = (Vec::new(), Vec::new());
        for (package, reason) in failures {
            let uri = mirrors.uri(&package.origin, &package.path)?;
            match reason {
                Reason::DiskFull => {
                    let rest = missing.iter().filter(|p| !self.path(p).exists());
                    return Err(self.full(rest.map(|p| p.size).sum()));
                }
                Reason::WrongBytes { found } => {
                    return Err(PoolError::WrongDownload {
                        package: label(package),
                        uri,
                        expected: package.sha256,
                        found: *found,
                    });
                }
                Reason::Gone => gone.push(format!("{} ({uri})", label(package))),
                Reason::Other(_) => {
                    other.push(format!("{}: {}", label(package), fetch::describe(reason)))
                }
            }
        }
        if !other.is_empty() {
            return Err(PoolError::Fetch { packages: other });
        }
        if gone.is_empty() {
            Ok(())
        } else {
            Err(PoolError::Gone { packages: gone })
        }
    }
}

/// Removes what a killed build left. Its helper processes may outlive it for a moment and still
/// write there; without their directory they end by themselves.
fn remove_leftover(path: &Path, events: &Events) -> Result<(), PoolError> {
    for _ in 0..20 {
        match fs::remove_dir_all(path) {
            Ok(()) => return Ok(()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => {
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            Err(e) => return Err(PoolError::file(path)(e)),
        }
    }
    events.note(&format!(
        "{} is still in use by a killed build; the next run removes it",
        path.display()
    ));
    Ok(())
}

fn label(package: &Package) -> String {
    format!("{} {}", package.name, package.version)
}

/// A package in the operator's directory: by content, or by apt's file name.
fn find_in(dir: &Path, package: &Package) -> Option<PathBuf> {
    let digest = package.sha256.to_string();
    [
        dir.join(&digest[..2]).join(format!("{digest}.deb")),
        dir.join(package.file_name()),
    ]
    .into_iter()
    .find(|p| p.is_file())
}

fn check(package: &Package, path: &Path, file: File) -> Result<(), PoolError> {
    let found = Sha256::of_reader(file).map_err(PoolError::file(path))?;
    let expected = (package.sha256, package.size);
    if found == expected {
        return Ok(());
    }
    Err(PoolError::WrongFile {
        package: label(package),
        path: path.to_owned(),
        expected: Box::new(expected),
        found: Box::new(found),
    })
}

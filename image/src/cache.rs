//! Results of build steps, kept by the hash of what went into them.
//!
//! Owns: the cache directory's layout, its atomicity, what is forgotten, and that what is taken out is what was put in.
//! Never does: judge whether a result is right, or remove one that a running build may use.
//! Invariant: a path under `steps/` is complete. A step works in `scratch/` and is renamed into
//! place after its files are on disk, so a killed build leaves only rubbish in `scratch/`, which
//! the next one removes. The files directly inside a step with [`Key::guarded`] are hashed again at every hit.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use roamcore_scratch::{self as scratch, Scratch};
use sha2::{Digest, Sha256};

use crate::lock::Sha256 as Digested;

/// No build takes so long: a result that was not used within this time is used by nobody now.
const IN_USE: Duration = Duration::from_hours(24);
/// Results of each step that are kept however old they are: some appliances and channels, before and after a change.
const KEPT: usize = 6;

/// Digests of a guarded step's files, one `SHA-256  name` a line, as sha256sum(1) writes and checks them.
const DIGESTS: &str = "SHA256SUMS";

/// The hash of everything that shapes a step's result.
#[derive(Clone)]
pub struct Key {
    name: &'static str,
    hasher: Sha256,
    guarded: bool,
}

impl Key {
    /// Begins the key of step `name`. `code` is the text of the step's own sources, because a number
    /// that people have to raise is forgotten; `version` is raised when code elsewhere (another
    /// crate, a library) changes what the step makes.
    pub fn new(name: &'static str, version: u32, code: &[&str]) -> Key {
        let mut hasher = Sha256::new();
        hasher.update(b"roamcore-step\0");
        let key = Key {
            name,
            hasher,
            guarded: false,
        };
        let key = key
            .with("step", name.as_bytes())
            .with("version", &version.to_le_bytes());
        code.iter()
            .fold(key, |key, text| key.with("code", text.as_bytes()))
    }

    /// Adds one named input. Lengths are hashed too, so that inputs cannot run into each other.
    #[must_use]
    pub fn with(mut self, label: &str, bytes: &[u8]) -> Key {
        for part in [label.as_bytes(), bytes] {
            self.hasher.update((part.len() as u64).to_le_bytes());
            self.hasher.update(part);
        }
        self
    }

    /// Keeps digests of the files directly inside the step, and compares them when it is taken from the cache: for
    /// results that are signed without anything else that would notice a rotten disk. Costs about half a second for
    /// each GB.
    #[must_use]
    pub fn guarded(mut self) -> Key {
        self.guarded = true;
        self.with("guarded", DIGESTS.as_bytes())
    }

    /// The step's directory name: hash first, like a Nix store path.
    pub fn directory_name(&self) -> String {
        let digest = self.hasher.clone().finalize();
        let hex: String = digest.iter().take(20).map(|b| format!("{b:02x}")).collect();
        format!("{hex}-{}", self.name)
    }
}

/// A cache directory.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
    logs: PathBuf,
}

/// A step's result and where it came from.
#[derive(Debug)]
pub struct Cached {
    /// Directory that holds the step's files.
    pub dir: PathBuf,
    /// True when nothing had to be done.
    pub hit: bool,
}

impl Cache {
    /// Opens (and creates) the cache at `root`, and removes what killed builds left there.
    pub fn open(root: &Path) -> Result<Cache> {
        for dir in ["steps", "scratch", "pool", "logs"] {
            let path = root.join(dir);
            fs::create_dir_all(&path)
                .with_context(|| format!("creating the cache directory {}", path.display()))?;
        }
        let root = root
            .canonicalize()
            .with_context(|| format!("resolving {}", root.display()))?;
        scratch::tidy(&root.join("scratch"), "")?;
        // A cache for one build has the logs of another one, which must be there after it is gone.
        let logs = root.join("logs");
        let logs = logs
            .canonicalize()
            .with_context(|| format!("resolving {}", logs.display()))?;
        Ok(Cache { root, logs })
    }

    /// The default place: `$ROAMCORE_CACHE`, else `$XDG_CACHE_HOME/roamcore`, else `~/.cache/roamcore`.
    pub fn default_root() -> Result<PathBuf> {
        if let Some(dir) = std::env::var_os("ROAMCORE_CACHE") {
            return Ok(PathBuf::from(dir));
        }
        if let Some(dir) = std::env::var_os("XDG_CACHE_HOME") {
            return Ok(PathBuf::from(dir).join("roamcore"));
        }
        let home = std::env::var_os("HOME").context("neither HOME nor ROAMCORE_CACHE is set")?;
        Ok(PathBuf::from(home).join(".cache/roamcore"))
    }

    /// The cache's own directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A fresh private directory on the cache's filesystem, removed when dropped.
    pub fn scratch(&self, name: &str) -> Result<Scratch> {
        Ok(Scratch::create(
            &self.root.join("scratch"),
            &format!("{name}-"),
        )?)
    }

    /// Where the program that does a step's work says what it did; kept when it fails.
    pub fn log(&self, key: &Key) -> PathBuf {
        self.logs.join(format!("{}.log", key.directory_name()))
    }

    /// Where logs lie.
    pub fn logs(&self) -> &Path {
        &self.logs
    }

    /// Returns the step's directory, calling `make` with an empty directory only when it is missing.
    pub fn step(&self, key: &Key, make: impl FnOnce(&Path) -> Result<()>) -> Result<Cached> {
        let dir = self.root.join("steps").join(key.directory_name());
        if dir.is_dir() {
            fs::File::open(&dir)
                .and_then(|step| step.set_modified(SystemTime::now()))
                .with_context(|| format!("marking {} as used", dir.display()))?;
            if key.guarded {
                check_digests(&dir)?;
            }
            return Ok(Cached { dir, hit: true });
        }
        let scratch = self.scratch(key.name)?;
        // Inside, so that the lock on the work area does not depend on what the step does to it.
        let made = scratch.path().join("result");
        fs::create_dir(&made).with_context(|| format!("creating {}", made.display()))?;
        // Looked at before the work area goes, or there would be room again.
        let guard = |dir: &Path| match key.guarded {
            true => write_digests(dir),
            false => Ok(()),
        };
        make(&made)
            .and_then(|()| guard(&made))
            .or_else(|error| explain_full(error, &self.root))?;
        sync_tree(&made).or_else(|error| explain_full(error, &self.root))?;
        match fs::rename(&made, &dir) {
            Ok(()) => {}
            // Another build finished the same step first: its result is as good as ours.
            Err(_) if dir.is_dir() => {}
            Err(e) => {
                return Err(e)
                    .with_context(|| format!("moving a finished step to {}", dir.display()));
            }
        }
        sync_dir(&self.root.join("steps"))?;
        Ok(Cached { dir, hit: false })
    }

    /// Removes results that nobody used for a day, except the [`KEPT`] used last of each step. Gives their number.
    pub fn forget(&self, now: SystemTime) -> Result<usize> {
        let steps = self.root.join("steps");
        let mut of_step: BTreeMap<String, Vec<(SystemTime, PathBuf)>> = BTreeMap::new();
        for entry in fs::read_dir(&steps).with_context(|| format!("listing {}", steps.display()))? {
            let entry = entry.with_context(|| format!("listing {}", steps.display()))?;
            let used = match entry.metadata().and_then(|about| about.modified()) {
                Ok(used) => used,
                // Another build forgets as well.
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                Err(e) => {
                    return Err(e).with_context(|| format!("reading {}", entry.path().display()));
                }
            };
            let name = entry.file_name().to_string_lossy().into_owned();
            let step = name.split_once('-').map_or("", |(_, step)| step);
            of_step
                .entry(step.to_owned())
                .or_default()
                .push((used, entry.path()));
        }
        let mut forgotten = 0;
        for mut results in of_step.into_values() {
            results.sort_by(|a, b| b.cmp(a));
            for (used, path) in results.into_iter().skip(KEPT) {
                // A time ahead of the clock is no reason to remove anything.
                if now.duration_since(used).is_ok_and(|age| age > IN_USE) {
                    forgotten += usize::from(self.remove(&path)?);
                }
            }
        }
        Ok(forgotten)
    }

    /// Removes a result: its name goes at once, the files after it. False when another build was first.
    fn remove(&self, step: &Path) -> Result<bool> {
        let scratch = self.scratch("forgotten")?;
        match fs::rename(step, scratch.path().join("result")) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
            Err(e) => {
                return Err(e).with_context(|| format!("removing the old {}", step.display()));
            }
        }
        scratch.close()?;
        Ok(true)
    }
}

/// Digest of each regular file directly inside `dir`, by name.
fn digests(dir: &Path) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).with_context(|| format!("listing {}", dir.display()))? {
        let entry = entry.with_context(|| format!("listing {}", dir.display()))?;
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy().into_owned();
        if name != DIGESTS && path.is_file() {
            let read = fs::File::open(&path).and_then(Digested::of_reader);
            let (digest, _) = read.with_context(|| format!("reading {}", path.display()))?;
            found.insert(name, digest.to_string());
        }
    }
    Ok(found)
}

fn write_digests(dir: &Path) -> Result<()> {
    let lines = digests(dir)?.into_iter();
    let text: String = lines
        .map(|(name, digest)| format!("{digest}  {name}\n"))
        .collect();
    fs::write(dir.join(DIGESTS), text).with_context(|| format!("writing {DIGESTS}"))
}

/// Refuses a step whose files are not those that were put there.
fn check_digests(dir: &Path) -> Result<()> {
    let path = dir.join(DIGESTS);
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let kept: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.split_once("  "))
        .map(|(digest, name)| (name, digest))
        .collect();
    let found = digests(dir)?;
    let names = kept.keys().copied().chain(found.keys().map(String::as_str));
    for name in names {
        let (was, is) = (kept.get(name).copied(), found.get(name).map(String::as_str));
        if was != is {
            let say = |digest: Option<&str>| digest.unwrap_or("absent").to_owned();
            bail!(
                "{} in the cache is not what was put there (SHA-256 was {}, is {}): the disk may be failing; remove \
                 the directory {} and build again",
                dir.join(name).display(),
                say(was),
                say(is),
                dir.display()
            );
        }
    }
    Ok(())
}

/// Free bytes below which a failed write is taken for a full disk.
const FULL: u64 = 8 << 20;

/// Passes `error` on; says so when the filesystem of `dir` has no room left, because programs that
/// ran out of room fail in words of their own.
pub fn explain_full<T>(error: anyhow::Error, dir: &Path) -> Result<T> {
    // A step may have freed its own work area on the way out; then the cause still tells.
    let said = error.chain().any(|cause| {
        let io = cause.downcast_ref::<std::io::Error>();
        io.is_some_and(|e| e.kind() == std::io::ErrorKind::StorageFull)
    });
    let full = rustix::fs::statvfs(dir).ok().filter(|stat| {
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        said || free < FULL || (stat.f_files > 0 && stat.f_favail == 0)
    });
    Err(match full {
        Some(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            error.context(format!(
                "the disk with {} is full (now {free} bytes and {} inodes are free); make room and run again",
                dir.display(),
                stat.f_favail
            ))
        }
        None => error,
    })
}

/// Syncs a directory, so that a rename in it lasts.
pub fn sync_dir(dir: &Path) -> Result<()> {
    fs::File::open(dir)
        .and_then(|d| d.sync_all())
        .with_context(|| format!("syncing {}", dir.display()))
}

/// Syncs the files directly inside `dir` and the directory itself.
///
/// Deep trees (the unpacked tools) are covered by their completion marker being written last and
/// by one `syncfs`, which costs less than thousands of single syncs.
fn sync_tree(dir: &Path) -> Result<()> {
    let handle = fs::File::open(dir).with_context(|| format!("opening {}", dir.display()))?;
    rustix::fs::syncfs(&handle)
        .with_context(|| format!("syncing the filesystem of {}", dir.display()))
}

/// Writes a file so that its name appears only with its whole content.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let dir = path.parent().context("a file needs a directory")?;
    let mut temp = tempfile::NamedTempFile::new_in(dir)
        .with_context(|| format!("creating a temporary file in {}", dir.display()))?;
    temp.write_all(bytes)
        .with_context(|| format!("writing {}", path.display()))?;
    set_mode(temp.path(), 0o644)?;
    temp.as_file()
        .sync_all()
        .with_context(|| format!("syncing {}", path.display()))?;
    temp.persist(path)
        .with_context(|| format!("renaming into {}", path.display()))?;
    sync_dir(dir)
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .with_context(|| format!("setting the mode of {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let key = Key::new("demo", 1, &[]).with("x", b"1");
        let failed = cache.step(&key, |d| {
            fs::write(d.join("half"), "half").unwrap();
            anyhow::bail!("no")
        });
        assert!(failed.is_err());
        let made = cache
            .step(&key, |d| Ok(fs::write(d.join("whole"), "whole")?))
            .unwrap();
        assert!(!made.hit);
        assert!(!made.dir.join("half").exists());
        assert!(
            cache
                .step(&key, |_| anyhow::bail!("must not run"))
                .unwrap()
                .hit
        );
    }

    #[test]
    fn a_rotten_result_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let key = || Key::new("demo", 1, &[]).guarded();
        let make = |d: &Path| {
            fs::create_dir(d.join("tree"))?;
            fs::write(d.join("tree/inside"), "not hashed")?;
            fs::write(d.join("initrd"), "initrd")?;
            Ok(fs::write(d.join("kernel"), "kernel")?)
        };
        let made = cache.step(&key(), make).unwrap().dir;
        assert!(cache.step(&key(), make).unwrap().hit);
        let refused = |name: &str| {
            let error = cache.step(&key(), make).unwrap_err().to_string();
            let path = made.join(name).display().to_string();
            assert!(
                error.starts_with(&format!("{path} in the cache is not")),
                "{error}"
            );
            assert!(
                error.contains(&format!("remove the directory {}", made.display())),
                "{error}"
            );
        };
        fs::write(made.join("initrd"), "initrD").unwrap();
        refused("initrd");
        fs::write(made.join("initrd"), "initrd").unwrap();
        assert!(cache.step(&key(), make).unwrap().hit);
        fs::rename(made.join("kernel"), made.join("colonel")).unwrap();
        refused("kernel");
        fs::remove_file(made.join(DIGESTS)).unwrap();
        assert!(
            cache.step(&key(), make).is_err(),
            "without digests nothing is known"
        );
        fs::remove_dir_all(&made).unwrap();
        assert!(!cache.step(&key(), make).unwrap().hit);
    }

    #[test]
    fn old_results_beyond_the_newest_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let day = Duration::from_hours(24);
        let now = SystemTime::now() + 100 * day;
        let step = |name, number: u32| {
            let key = Key::new(name, 1, &[]).with("n", &number.to_le_bytes());
            let made = cache.step(&key, |d| Ok(fs::write(d.join("file"), "text")?));
            made.unwrap().dir
        };
        let age = |path: &Path, days: u32| {
            let when = now - days * day;
            fs::File::open(path).unwrap().set_modified(when).unwrap();
        };
        let results: Vec<_> = (0..10).map(|number| step("root", number)).collect();
        for (days, path) in (0..).zip(&results) {
            age(path, days);
        }
        let few = step("uki", 0);
        age(&few, 50);
        assert_eq!(cache.forget(now).unwrap(), 4);
        let left: Vec<_> = results.iter().map(|path| path.exists()).collect();
        assert_eq!(left.iter().filter(|left| **left).count(), KEPT);
        assert!(left[..KEPT].iter().all(|left| *left) && few.exists());
        assert_eq!(fs::read_dir(dir.path().join("scratch")).unwrap().count(), 0);

        // Used again, it is new: here on the true clock, on which all that is left is young.
        age(&results[5], 500);
        assert_eq!(step("root", 5), results[5]);
        assert!(fs::metadata(&results[5]).unwrap().modified().unwrap() > now - 101 * day);
        assert_eq!(cache.forget(SystemTime::now()).unwrap(), 0);
    }

    #[test]
    fn inputs_do_not_run_into_each_other() {
        let key = || Key::new("demo", 1, &[]);
        let a = key().with("a", b"bc").directory_name();
        let b = key().with("ab", b"c").directory_name();
        assert_ne!(a, b);
    }

    #[test]
    fn changed_code_is_another_step() {
        let of = |version, code: &[&str]| Key::new("demo", version, code).directory_name();
        let first = of(1, &["fn a() {}", "fn b() {}"]);
        assert_eq!(first, of(1, &["fn a() {}", "fn b() {}"]));
        assert_ne!(first, of(1, &["fn a() {}", "fn b() { a() }"]));
        assert_ne!(first, of(1, &["fn a() {}fn b() {}"]));
        assert_ne!(first, of(2, &["fn a() {}", "fn b() {}"]));
    }
}

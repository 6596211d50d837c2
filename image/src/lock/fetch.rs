//! Downloading locked packages through apt's own helper.
//!
//! Owns: parallel workers, retries, and the reading of apt's reasons. Never does: decide where a
//! package is kept, or trust what arrived because apt did not complain: size and SHA-256 are
//! taken again from the file. Invariant: a package counts as arrived only when its bytes match.
//!
//! ```text
//!  missing --chunks--> 4 workers: one helper process per chunk (one connection, many files)
//!                          | what did not arrive
//!                          v
//!                      one by one, 3 attempts, each failure noted with its reason
//! ```

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::apt::AptTree;
use super::{LockError, Mirrors, Package, Sha256};
use crate::events::Events;

/// Parallel helper processes: enough to hide latency, few enough for a mirror's limits.
const WORKERS: usize = 4;
/// Packages per helper process, so that one connection is used again.
const CHUNK: usize = 12;
/// Attempts for a package that did not arrive with its chunk.
const ATTEMPTS: u64 = 3;

/// Why a package did not arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The mirror does not have it any more.
    Gone,
    /// The mirror has other bytes under its name.
    WrongBytes {
        /// What came.
        found: Sha256,
    },
    /// No room for it.
    DiskFull,
    /// Anything else, in apt's words.
    Other(String),
}

/// Packages that did not arrive, in the order of the request.
pub type Failures<'a> = Vec<(&'a Package, Reason)>;

/// Fetches `packages` into `dir` under their [`Package::file_name`], and calls `keep` for each
/// verified file. An error of `keep` ends the work and is returned.
pub fn fetch<'a, E: From<LockError> + Send>(
    packages: &[&'a Package],
    mirrors: &Mirrors,
    dir: &Path,
    events: &Events,
    keep: impl Fn(&Package, &Path) -> Result<(), E> + Sync,
) -> Result<Failures<'a>, E> {
    // Retries are counted and noted here, not hidden in apt.
    let tree = match AptTree::create_in(dir, 0) {
        // apt cannot spell that directory's name.
        Err(LockError::Directory { .. }) => AptTree::create(0)?,
        other => other?,
    };
    let job = Job {
        tree: &tree,
        mirrors,
        dir,
        events,
        total: packages.iter().map(|p| p.size).sum(),
        done: AtomicU64::new(0),
        stop: AtomicBool::new(false),
    };
    let chunk = packages.len().div_ceil(WORKERS).clamp(1, CHUNK);
    let queue: Mutex<VecDeque<&[&'a Package]>> = Mutex::new(packages.chunks(chunk).collect());
    let worker = || -> Result<Failures<'a>, E> {
        let mut failures = Vec::new();
        loop {
            let next = queue
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop_front();
            let Some(chunk) = next.filter(|_| !job.stop.load(Ordering::Relaxed)) else {
                return Ok(failures);
            };
            let result = job.chunk(chunk, &keep);
            if !matches!(&result, Ok(list) if !list.iter().any(|(_, r)| *r == Reason::DiskFull)) {
                job.stop.store(true, Ordering::Relaxed);
            }
            failures.extend(result?);
        }
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..WORKERS).map(|_| scope.spawn(worker)).collect();
        threads.into_iter().map(|t| t.join()).collect()
    });
    let mut failures = Vec::new();
    for result in results {
        match result {
            Ok(list) => failures.extend(list?),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
    failures.sort_by(|a, b| a.0.name.cmp(&b.0.name));
    Ok(failures)
}

struct Job<'j> {
    tree: &'j AptTree,
    mirrors: &'j Mirrors,
    dir: &'j Path,
    events: &'j Events,
    total: u64,
    done: AtomicU64,
    stop: AtomicBool,
}

impl Job<'_> {
    fn chunk<'a, E: From<LockError>>(
        &self,
        packages: &[&'a Package],
        keep: &impl Fn(&Package, &Path) -> Result<(), E>,
    ) -> Result<Failures<'a>, E> {
        let mut failures = Vec::new();
        self.download(packages)?;
        for &package in packages {
            let mut arrived = self.arrived(package)?;
            let mut attempt = 0;
            while let Err(found) = arrived {
                attempt += 1;
                self.clear(package);
                let words = self.download(&[package])?;
                arrived = self.arrived(package)?;
                if arrived.is_ok() {
                    break;
                }
                let last = attempt == ATTEMPTS;
                let reason = reason(&words, arrived.err().flatten().or(found));
                let hopeless = matches!(reason, Reason::Gone | Reason::DiskFull);
                if last || hopeless || self.stop.load(Ordering::Relaxed) {
                    failures.push((package, reason));
                    break;
                }
                self.events.note(&format!(
                    "{}: attempt {attempt} of {ATTEMPTS} failed: {}",
                    package.file_name(),
                    describe(&reason)
                ));
                std::thread::sleep(Duration::from_millis(500 * attempt));
            }
            if arrived.is_ok() {
                keep(package, &self.target(package))?;
                let done = self.done.fetch_add(package.size, Ordering::Relaxed) + package.size;
                self.events.progress("fetch", done, self.total);
            }
            self.clear(package);
        }
        Ok(failures)
    }

    fn target(&self, package: &Package) -> PathBuf {
        self.dir.join(package.file_name())
    }

    /// Runs the helper; its words when something failed.
    fn download(&self, packages: &[&Package]) -> Result<String, LockError> {
        let mut triples = Vec::with_capacity(packages.len());
        for p in packages {
            let uri = self.mirrors.uri(&p.origin, &p.path)?;
            triples.push((uri, self.target(p), p.sha256.to_string()));
        }
        Ok(match self.tree.download(&triples)? {
            Ok(_) => String::new(),
            Err(failure) => failure.words,
        })
    }

    /// Whether the right bytes are there; if other bytes are, their digest.
    fn arrived(&self, package: &Package) -> Result<Result<(), Option<Sha256>>, LockError> {
        let target = self.target(package);
        for (path, refused) in [(target.clone(), false), (with_suffix(&target), true)] {
            let Ok(file) = File::open(&path) else {
                continue;
            };
            let (digest, size) = Sha256::of_reader(file).map_err(LockError::file(&path))?;
            if !refused && digest == package.sha256 && size == package.size {
                return Ok(Ok(()));
            }
            return Ok(Err(Some(digest)));
        }
        Ok(Err(None))
    }

    /// Leftovers of a failed attempt must not be taken for a partial download.
    fn clear(&self, package: &Package) {
        let target = self.target(package);
        // Most often neither is there.
        let _ = fs::remove_file(with_suffix(&target));
        let _ = fs::remove_file(target);
    }
}

/// Where apt puts a file whose hash it refuses.
fn with_suffix(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".FAILED");
    PathBuf::from(name)
}

fn reason(words: &str, found: Option<Sha256>) -> Reason {
    let says = |texts: &[&str]| texts.iter().any(|t| words.contains(t));
    match found {
        _ if says(&["No space left on device", "(28:"]) => Reason::DiskFull,
        Some(found) if says(&["Hash Sum mismatch", "unexpected size"]) || words.is_empty() => {
            Reason::WrongBytes { found }
        }
        _ if says(&[
            "  404 ",
            "  410 ",
            "stat (2: No such file or directory)",
            "File not found",
        ]) =>
        {
            Reason::Gone
        }
        _ => Reason::Other(words.to_owned()),
    }
}

/// One line about a reason.
pub fn describe(reason: &Reason) -> String {
    match reason {
        Reason::Gone => "the mirror does not have it".to_owned(),
        Reason::WrongBytes { found } => format!("the mirror gave other bytes, SHA-256 {found}"),
        Reason::DiskFull => "no space left on the device".to_owned(),
        Reason::Other(words) => {
            let error = words
                .lines()
                .find(|l| l.starts_with("E: "))
                .or(words.lines().next());
            error.unwrap_or("no reason given").trim().to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons() {
        let digest = Sha256::of(b"x");
        let gone = "E: Failed to fetch http://m.invalid/x.deb  404  Not Found [IP: 192.0.2.1 80]";
        assert_eq!(reason(gone, None), Reason::Gone);
        let gone =
            "E: Failed to fetch copy:/x.deb  Failed to stat - stat (2: No such file or directory)";
        assert_eq!(reason(gone, None), Reason::Gone);
        let wrong = "E: Failed to fetch copy:/x.deb  Hash Sum mismatch";
        assert_eq!(
            reason(wrong, Some(digest)),
            Reason::WrongBytes { found: digest }
        );
        let full =
            "E: Failed to fetch copy:/x.deb  Error writing - write (28: No space left on device)";
        assert_eq!(reason(full, Some(digest)), Reason::DiskFull);
        let other = "E: Failed to fetch http://m.invalid/x  Could not resolve 'm.invalid'";
        assert_eq!(describe(&reason(other, None)), other);
    }
}

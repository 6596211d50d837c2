//! Which lock a development build takes when it may relock.
//!
//! Owns: the choice among the committed lock, the one that an earlier relock kept, and a new one; and where the
//! kept ones lie. Never does: touch the committed lock, or serve a release. Invariant: a kept lock stands for the very
//! text of one committed lock and for one request; when either changes, it is not found.
//!
//! ```text
//! committed, from the pool -> kept, from the pool -> committed, from mirrors -> kept, from mirrors -> resolve, keep
//! ```

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::cache::Cache;
use crate::events::Events;
use crate::lock::{Lock, Mirrors, Options, Request, Set, Sha256, resolve_with};
use crate::pool::{Pool, PoolError};

/// What the build needs.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Appliance, for messages.
    pub appliance: &'a str,
    /// The committed lock.
    pub committed: &'a Path,
    /// The packages asked for.
    pub request: &'a Request,
    /// Mirrors; none works offline.
    pub mirrors: Option<&'a Mirrors>,
    /// A further directory with packages.
    pub pool: Option<&'a Path>,
    /// How to resolve.
    pub options: &'a Options,
}

/// The lock to build from.
pub fn choose(cache: &Cache, wanted: Wanted<'_>, events: &Events) -> Result<Lock> {
    let pool = Pool::open(cache.root().join("pool"))?;
    let place = kept(cache, wanted.committed, wanted.request)?;
    let committed = usable(wanted.committed, wanted, events);
    let kept = if place.exists() {
        usable(&place, wanted, events)
    } else {
        None
    };
    let known = [committed, kept].into_iter().flatten();
    let known: Vec<(bool, Lock)> = known
        .map(|(path, lock)| (path == wanted.committed, lock))
        .collect();
    let mut lacking = None;
    for mirrors in [None, wanted.mirrors] {
        for (is_committed, lock) in &known {
            match complete(&pool, lock, mirrors, wanted.pool, events) {
                Ok(()) => {
                    if !is_committed {
                        events.note(&format!(
                            "RELOCKED: this development build takes the packages resolved on {}, not those of the \
                             committed lock; remove {} to take newer ones",
                            lock.snapshot.resolved,
                            place.display()
                        ));
                    }
                    return Ok(lock.clone());
                }
                Err(error) if error.is_offline() => lacking = Some(error),
                Err(error) if error.is_gone() => events.note(&error.to_string()),
                Err(error) => return Err(error.into()),
            }
        }
    }
    let Some(mirrors) = wanted.mirrors else {
        let why = "resolving anew needs the network; run once without --offline";
        match lacking {
            Some(error) => return Err(error).context(why),
            None => bail!("no lock of `{}` can be used, and {why}", wanted.appliance),
        }
    };
    events.note(
        "RELOCKING: the committed lock cannot be used as it is, so this development build takes the newest packages; \
         its result is not what the lock describes, and the committed lock is left alone",
    );
    let lock = resolve_with(wanted.request, mirrors, wanted.options, events)?;
    lock.write(&place)?;
    events.note(&format!(
        "further development builds take the same packages, until the committed lock changes: they are kept in {}",
        place.display()
    ));
    Ok(lock)
}

/// Where a relock of this committed lock for this request is kept; makes the directory.
pub fn kept(cache: &Cache, committed: &Path, request: &Request) -> Result<PathBuf> {
    let text = match fs::read(committed) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(e).with_context(|| format!("reading {}", committed.display())),
    };
    let dir = cache.root().join("locks");
    fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
    let identity = format!("{} {}\n", Sha256::of(&text), request.inputs());
    Ok(dir.join(format!("{}.lock", Sha256::of(identity.as_bytes()))))
}

/// A lock that answers the request. Why another cannot be used is said: it may be damaged, or of a newer builder.
fn usable<'p>(path: &'p Path, wanted: Wanted<'_>, events: &Events) -> Option<(&'p Path, Lock)> {
    let read = Lock::read(path).and_then(|lock| {
        lock.check(wanted.appliance, wanted.request)?;
        Ok(lock)
    });
    match read {
        Ok(lock) => Some((path, lock)),
        Err(error) => {
            let error = anyhow::Error::from(error);
            events.note(&format!("{} is not used: {error:#}", path.display()));
            None
        }
    }
}

fn complete(
    pool: &Pool,
    lock: &Lock,
    mirrors: Option<&Mirrors>,
    other: Option<&Path>,
    events: &Events,
) -> Result<(), PoolError> {
    for set in [Set::Tools, Set::Image] {
        pool.ensure(lock, set, mirrors, other, events)?;
    }
    Ok(())
}

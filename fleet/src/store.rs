//! The server's state: one directory with one database and the artifacts' bytes.
//!
//! ```text
//!   DIR/lock          held while a server runs: two servers on one directory are refused
//!   DIR/fleet.db      SQLite, WAL, synchronous=FULL: a commit that returned survives a power cut
//!   DIR/artifacts/    bytes by SHA-256, see `blobs`
//!   DIR/admin.token   the operator's key to the management API, readable by its owner alone
//! ```
//!
//! Owns: opening, migrating, and the two ways in: [`Store::read`] sees one consistent moment, [`Store::write`] is one
//! transaction that happens whole or not at all. Never does: block the event loop (both run on other threads).
//! Invariant: what was answered after `write` returned is on the disk.

pub mod actions;
pub mod blobs;
pub mod releases;
mod schema;
pub mod settings;
pub mod targets;

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::error::Error;
pub use blobs::Blobs;

/// Connections kept for later readers. More are opened under load and closed again.
const IDLE_READERS: usize = 4;
/// Checkpoints hold the database for moments.
const BUSY: Duration = Duration::from_secs(10);

/// The state could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another server has it.
    #[error("{0} is in use by another roamcore-fleet: stop that one, or choose another --dir")]
    InUse(PathBuf),
    /// A file or directory.
    #[error("{what} {path}")]
    File {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The database.
    #[error("the database refused")]
    Database(#[from] rusqlite::Error),
    /// Of a newer server, or none of ours.
    #[error(
        "{path} has format {found}, this program knows up to {known}: use the program that wrote it, or a newer one"
    )]
    Format {
        /// Where.
        path: PathBuf,
        /// What it says.
        found: i64,
        /// What we know.
        known: i64,
    },
    /// What is stored makes no sense.
    #[error("the database holds {what} that cannot be: {found:?}")]
    Corrupt {
        /// What.
        what: &'static str,
        /// Its start.
        found: String,
    },
    /// The thread that should have done it is gone.
    #[error("the server is stopping")]
    Stopping,
}

impl StoreError {
    /// For `map_err`: what was tried with which file.
    pub fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
        let path = path.to_owned();
        move |source| StoreError::File { what, path, source }
    }

    fn corrupt(what: &'static str, found: &str) -> Self {
        StoreError::Corrupt {
            what,
            found: found.chars().take(80).collect(),
        }
    }
}

/// The server's state.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    database: PathBuf,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
    blobs: Blobs,
    // Unlocked when dropped.
    _lock: File,
}

impl Store {
    /// Opens or makes the state in `dir`.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        make_private_dir(dir)?;
        let lock = lock(dir)?;
        let database = dir.join("fleet.db");
        let mut writer = connect(&database)?;
        schema::migrate(&mut writer, &database)?;
        let blobs = Blobs::open(&dir.join("artifacts"))?;
        Ok(Store(Arc::new(Inner {
            database,
            writer: Mutex::new(writer),
            readers: Mutex::new(Vec::new()),
            blobs,
            _lock: lock,
        })))
    }

    /// The artifacts' bytes.
    pub fn blobs(&self) -> &Blobs {
        &self.0.blobs
    }

    /// Looks at one consistent moment.
    pub async fn read<T, F>(&self, look: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    {
        let inner = Arc::clone(&self.0);
        on_thread(move || {
            let mut connection = match guard(&inner.readers).pop() {
                Some(connection) => connection,
                None => connect(&inner.database)?,
            };
            let result = {
                let moment = connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
                look(&moment)
            };
            let mut idle = guard(&inner.readers);
            if idle.len() < IDLE_READERS {
                idle.push(connection);
            }
            result
        })
        .await
    }

    /// Changes something: when this returns, it is durable; when it returns an error, nothing changed.
    pub async fn write<T, F>(&self, change: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, Error> + Send + 'static,
    {
        let inner = Arc::clone(&self.0);
        on_thread(move || {
            let mut writer = guard(&inner.writer);
            let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = change(&transaction)?;
            transaction.commit()?;
            Ok(result)
        })
        .await
    }
}

/// A lock whose holder panicked guards a connection whose transaction was rolled back: still good.
fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(StoreError::Stopping.into()),
    }
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    // WAL with NORMAL would lose the last commits in a power cut, and with them feedback that was acknowledged.
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

fn make_private_dir(dir: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir);
    made.map_err(StoreError::file("cannot make directory", dir))
}

fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join("lock");
    let opened = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path);
    let file = opened.map_err(StoreError::file("cannot open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(StoreError::file("cannot lock", &path)(source)),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A store in memory's stead: a directory that vanishes with the returned guard.
    pub(crate) fn scratch() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("state")).unwrap();
        (dir, store)
    }

    #[tokio::test]
    async fn a_refused_change_leaves_nothing() {
        let (_dir, store) = scratch();
        let refused: Result<(), Error> = store
            .write(|tx| {
                settings::set(tx, "poll_interval", "\"00:01:00\"")?;
                Err(Error::Invalid("on purpose".into()))
            })
            .await;
        assert!(refused.is_err());
        let kept = store.read(|tx| Ok(settings::all(tx)?)).await.unwrap();
        assert!(kept.is_empty());
    }

    #[test]
    fn one_server_per_directory() {
        let (dir, store) = scratch();
        let path = dir.path().join("state");
        let error = Store::open(&path).err().unwrap().to_string();
        assert!(
            error.ends_with(
                "is in use by another roamcore-fleet: stop that one, or choose another --dir"
            ),
            "{error}"
        );
        drop(store);
        Store::open(&path).unwrap();
    }
}

//! A consistent copy of an SQLite database that somebody else is writing.
//!
//! Owns: what is a database, which files belong to one, and the copy, made by SQLite's own online backup
//! (<https://www.sqlite.org/backup.html>): one read transaction over all pages, so no writer is stopped, and what a
//! writer has committed is in it or is not. Never does: copy a journal or a log: without its database at the same
//! moment it is worthless, and with it the other way round it destroys. Invariant: the copy is one file that needs no
//! other.

use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use roamcore_agent::files::{At, IoAt};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use crate::etc::{Copied, EtcError, copy_file};

/// The first bytes of every database (<https://www.sqlite.org/fileformat.html>, section 1.3).
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Names of what belongs to a database: its name and one of these.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];
/// In WAL mode nobody is waited for; a rollback journal is held for the time of one commit.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);

/// Copies a file of a directory: databases as such, what belongs to them not at all, others as they are.
pub(crate) fn copy(from: &Path, found: &Metadata, to: &Path) -> Result<Copied, EtcError> {
    if belongs(from)? {
        return Ok(Copied::LeftOut);
    }
    if is_database(from)? {
        backup(from, to)?;
    } else {
        copy_file(from, found, to)?;
    }
    Ok(Copied::Made)
}

fn is_database(path: &Path) -> Result<bool, IoAt> {
    let mut start = [0; MAGIC.len()];
    match File::open(path).at("open", path)?.read_exact(&mut start) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error).at("read", path),
        Ok(()) => Ok(start == *MAGIC),
    }
}

/// It is a journal or a log, and its database lies beside it.
fn belongs(path: &Path) -> Result<bool, IoAt> {
    let name = path.to_string_lossy();
    let database = COMPANIONS.iter().find_map(|end| name.strip_suffix(end));
    match database.map(PathBuf::from).filter(|path| path.is_file()) {
        Some(database) => is_database(&database),
        None => Ok(false),
    }
}

fn backup(from: &Path, to: &Path) -> Result<(), EtcError> {
    let failed = |source| EtcError::Database {
        path: from.to_owned(),
        source,
    };
    // Not read-only: the first one to open a database with a log has to make the index of the log.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = Connection::open_with_flags(from, flags).map_err(failed)?;
    let flags = flags | OpenFlags::SQLITE_OPEN_CREATE;
    let mut target = Connection::open_with_flags(to, flags).map_err(failed)?;
    {
        let backup = Backup::new(&source, &mut target).map_err(failed)?;
        let begun = Instant::now();
        loop {
            // All pages in one step: between two steps a writer would make it begin anew, perhaps for ever.
            match backup.step(-1).map_err(failed)? {
                StepResult::Done => break,
                _ if begun.elapsed() < PATIENCE => std::thread::sleep(PAUSE),
                _ => {
                    return Err(EtcError::DatabaseBusy {
                        path: from.to_owned(),
                        seconds: PATIENCE.as_secs(),
                    });
                }
            }
        }
    }
    // Puts what the copy's own log holds into the copy.
    target.close().map_err(|(_, error)| failed(error))
}

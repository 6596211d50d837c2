//! Rows to bytes of SQLite, and those to a file.
//!
//! Made in memory, by one transaction of ordered inserts into a fresh database whose page size, encoding and journal are
//! fixed: where a row lies follows from the rows alone, and neither a change counter nor a version of the library is
//! stored. Invariant: the file is the old one or the new one, whenever the power fails.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, MAIN_DB, params};

use super::tree::{host_dirs, nodes};
use super::{DbError, Files, TYPE_DIR, TYPE_FILE, VERSION_NAME};

/// The daemon's table. It is in its words of `CREATE TABLE IF NOT EXISTS` again at each start, so it stays as it is.
const SCHEMA: &str = "
CREATE TABLE tree (
  inode INTEGER PRIMARY KEY NOT NULL,
  parent INTEGER NOT NULL CHECK(typeof(parent)=='integer'),
  version INTEGER NOT NULL CHECK(typeof(version)=='integer'),
  writer INTEGER NOT NULL CHECK(typeof(writer)=='integer'),
  mtime INTEGER NOT NULL CHECK(typeof(mtime)=='integer'),
  type INTEGER NOT NULL CHECK(typeof(type)=='integer'),
  name TEXT NOT NULL,
  data BLOB)";
/// SQLite's defaults of today, and of every machine tomorrow.
const FIXED: &str = "PRAGMA page_size = 4096; PRAGMA encoding = 'UTF-8'; PRAGMA auto_vacuum = NONE; PRAGMA journal_mode = MEMORY;";
/// Files that belong to a database: replacing it beneath one of them would mix two.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// The database of a tree for the node `host`, every row of the same time, in seconds since 1970.
///
/// # Errors
/// The tree breaks a rule; SQLite failed.
pub fn encode(files: &Files, host: &str, mtime: u32) -> Result<Vec<u8>, DbError> {
    let dirs = host_dirs(host);
    let rows = nodes(files, &dirs, host)?;
    let at = |doing| move |source| DbError::Sqlite { doing, source };
    let mut db = Connection::open_in_memory().map_err(at("make a database in memory"))?;
    db.execute_batch(FIXED).map_err(at("fix the page layout"))?;
    let work = db.transaction().map_err(at("begin"))?;
    work.execute_batch(SCHEMA).map_err(at("make the table"))?;
    {
        let sql = "INSERT INTO tree VALUES (?1, ?2, ?3, 0, ?4, ?5, ?6, ?7)";
        let mut insert = work.prepare(sql).map_err(at("prepare"))?;
        let none: Option<&[u8]> = None;
        // The record of the root: at least the highest inode, or the daemon overwrites rows.
        let root = params![
            0,
            0,
            rows.len() as i64,
            mtime,
            TYPE_FILE,
            VERSION_NAME,
            none
        ];
        insert.execute(root).map_err(at("insert row 0"))?;
        for (at_row, row) in rows.iter().enumerate() {
            let (inode, parent) = (at_row as i64 + 1, row.parent as i64);
            let kind = if row.data.is_some() {
                TYPE_FILE
            } else {
                TYPE_DIR
            };
            let values = params![inode, parent, inode, mtime, kind, row.name, row.data];
            insert.execute(values).map_err(at("insert a row"))?;
        }
    }
    work.commit().map_err(at("commit"))?;
    let bytes = db.serialize(MAIN_DB).map_err(at("serialize"))?;
    Ok(bytes.to_vec())
}

/// Writes a database of mode 0600 in the place of whatever is at `path`.
///
/// # Errors
/// As [`encode`]; a log of another database beside it; the file system.
pub fn write(path: &Path, files: &Files, host: &str, mtime: u32) -> Result<(), DbError> {
    let bytes = encode(files, host, mtime)?;
    let at = |doing, path: &Path| {
        let path = path.to_owned();
        move |source| DbError::Io {
            doing,
            path,
            source,
        }
    };
    no_companion(path)?;
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // Made with mode 0600, which the daemon wants too.
    let mut temporary = tempfile::Builder::new()
        .prefix(".config.db.")
        .tempfile_in(directory)
        .map_err(at("make a file in", directory))?;
    temporary.write_all(&bytes).map_err(at("write", path))?;
    temporary.as_file().sync_all().map_err(at("sync", path))?;
    temporary
        .persist(path)
        .map_err(|error| at("rename to", path)(error.error))?;
    let handle = File::open(directory).map_err(at("open", directory))?;
    handle.sync_all().map_err(at("sync", directory))
}

/// Nothing lies beside a database that belongs to it.
pub(super) fn no_companion(path: &Path) -> Result<(), DbError> {
    for end in COMPANIONS {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        let companion = PathBuf::from(name);
        match companion.symlink_metadata() {
            Ok(_) => return Err(DbError::Companion { path: companion }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => {
                return Err(DbError::Io {
                    doing: "look for",
                    path: companion,
                    source,
                });
            }
        }
    }
    Ok(())
}

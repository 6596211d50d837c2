//! Bytes of SQLite to rows, as the daemon would see them.
//!
//! Never trusts the schema: only a plain table with plain columns is asked, so that no expression of a stranger is
//! computed. Invariant: inodes rise from row to row, which also ends a file whose pages form a circle.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, MAIN_DB};

use super::write::no_companion;
use super::{DbError, MAX_INODES, MAX_TOTAL};

/// One row, its numbers as they are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the columns of the table")]
pub struct Row {
    pub inode: i64,
    pub parent: i64,
    pub version: i64,
    pub writer: i64,
    pub mtime: i64,
    pub kind: i64,
    /// Bytes: what is not UTF-8 loads too.
    pub name: Vec<u8>,
    /// Absent and empty are the same to the daemon.
    pub data: Vec<u8>,
}

/// Twice what a full file system needs: names, numbers and half-empty pages.
const MAX_BYTES: u64 = 2 * MAX_TOTAL;
const MAGIC: &[u8] = b"SQLite format 3\0";
/// The first page's fields for the version of writer and reader: 2 is WAL, 1 is a rollback journal.
const VERSIONS: std::ops::Range<usize> = 18..20;
/// Shorter is no database.
const HEADER: usize = 100;

/// Reads a database file. A log beside it is an error: what it holds would be passed over.
///
/// # Errors
/// The file system; not a database of this kind.
pub fn read(path: &Path) -> Result<Vec<Row>, DbError> {
    let at = |doing| {
        move |source| DbError::Io {
            doing,
            path: path.to_owned(),
            source,
        }
    };
    no_companion(path)?;
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(at("open"))?;
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(at("read"))?;
    decode(&bytes)
}

/// Reads the bytes of a database, whatever they are.
///
/// # Errors
/// Not a database of this kind.
pub fn decode(bytes: &[u8]) -> Result<Vec<Row>, DbError> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(ours(format!("it has more than {MAX_BYTES} bytes")));
    }
    if bytes.len() < HEADER || !bytes.starts_with(MAGIC) {
        return Err(ours("it does not begin as SQLite does"));
    }
    // After its first start it says "WAL", which a database in memory cannot have. Nothing else differs.
    let mut bytes = bytes.to_vec();
    bytes[VERSIONS].fill(1);
    let db = open(&bytes).map_err(sqlite("open"))?;
    columns(&db)?;
    // `CAST` converts as the daemon's own reading of a column does, whatever type is stored in it.
    let sql = "SELECT CAST(inode AS INTEGER), CAST(parent AS INTEGER), CAST(version AS INTEGER), \
               CAST(writer AS INTEGER), CAST(mtime AS INTEGER), CAST(type AS INTEGER), \
               CAST(name AS TEXT), CAST(data AS BLOB) FROM tree NOT INDEXED";
    let mut select = db.prepare(sql).map_err(sqlite("read the table"))?;
    let mut rows = select.query([]).map_err(sqlite("read the table"))?;
    let (mut found, mut total): (Vec<Row>, u64) = (Vec::new(), 0);
    while let Some(row) = rows.next().map_err(sqlite("read a row"))? {
        let number = |at| match row.get_ref(at) {
            Ok(ValueRef::Integer(number)) => number,
            _ => 0, // what NULL reads as
        };
        let bytes = |at| match row.get_ref(at) {
            Ok(ValueRef::Text(bytes) | ValueRef::Blob(bytes)) => bytes.to_vec(),
            _ => Vec::new(),
        };
        let row = Row {
            inode: number(0),
            parent: number(1),
            version: number(2),
            writer: number(3),
            mtime: number(4),
            kind: number(5),
            name: bytes(6),
            data: bytes(7),
        };
        if found.last().is_some_and(|last| last.inode >= row.inode) {
            return Err(ours(format!("inode {} is not in its order", row.inode)));
        }
        total += (row.data.len() + row.name.len()) as u64;
        found.push(row);
        // One more than fits may be judged; many more are not worth their memory.
        if found.len() > MAX_INODES + 1 || total > MAX_BYTES {
            return Err(ours(
                "it has more rows or bytes than any file system of this kind",
            ));
        }
    }
    Ok(found)
}

fn open(bytes: &[u8]) -> rusqlite::Result<Connection> {
    let mut db = Connection::open_in_memory()?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    db.execute_batch("PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0;")?;
    db.deserialize_read_exact(MAIN_DB, bytes, bytes.len(), true)?;
    Ok(db)
}

/// A table, not a view and not virtual, with the eight columns and none that is computed.
fn columns(db: &Connection) -> Result<(), DbError> {
    let sql = "SELECT type, coalesce(sql, '') FROM sqlite_schema WHERE name = 'tree'";
    let kinds = db
        .prepare(sql)
        .and_then(|mut select| {
            let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<Result<Vec<(String, String)>, _>>()
        })
        .map_err(sqlite("read the schema"))?;
    let plain = |(kind, sql): &(String, String)| {
        kind == "table" && !sql.to_ascii_lowercase().contains("virtual")
    };
    if kinds.len() != 1 || !kinds.iter().all(plain) {
        return Err(ours("it has no plain table \"tree\""));
    }
    let sql = "SELECT name, hidden FROM pragma_table_xinfo('tree')";
    let columns = db
        .prepare(sql)
        .and_then(|mut select| {
            let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<Result<Vec<(String, i64)>, _>>()
        })
        .map_err(sqlite("read the columns"))?;
    for wanted in [
        "inode", "parent", "version", "writer", "mtime", "type", "name", "data",
    ] {
        let is = |(name, hidden): &&(String, i64)| name == wanted && *hidden == 0;
        if columns.iter().filter(is).count() != 1 {
            return Err(ours(format!("its table has no plain column {wanted:?}")));
        }
    }
    Ok(())
}

fn ours(why: impl Into<String>) -> DbError {
    DbError::NotOurs { why: why.into() }
}

fn sqlite(doing: &'static str) -> impl Fn(rusqlite::Error) -> DbError {
    move |source| DbError::Sqlite { doing, source }
}

//! The database's tables, as a list of steps that are never changed once published.
//!
//! Owns: `user_version`, the number of steps taken, and `application_id`. Invariant: a database of a newer program, or
//! of another one, is refused and left as it is; a step happens whole or not at all.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::StoreError;

/// "RCFl", so that `file` and this program know the database from others.
const APPLICATION_ID: i64 = 0x5243_466c;

/// Step n takes a database from version n to n + 1.
const STEPS: &[&str] = &[
    "CREATE TABLE setting (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

     CREATE TABLE release (
         id INTEGER PRIMARY KEY AUTOINCREMENT,
         name TEXT NOT NULL,
         version TEXT NOT NULL,
         locked INTEGER NOT NULL DEFAULT 0,
         note TEXT NOT NULL DEFAULT '{}',
         created INTEGER NOT NULL,
         UNIQUE (name, version)
     ) STRICT;

     CREATE TABLE module (
         id INTEGER PRIMARY KEY AUTOINCREMENT,
         release INTEGER NOT NULL REFERENCES release (id) ON DELETE CASCADE,
         part TEXT NOT NULL,
         name TEXT NOT NULL,
         version TEXT NOT NULL,
         metadata TEXT NOT NULL DEFAULT '{}'
     ) STRICT;
     CREATE INDEX module_release ON module (release);

     CREATE TABLE artifact (
         id INTEGER PRIMARY KEY AUTOINCREMENT,
         module INTEGER NOT NULL REFERENCES module (id) ON DELETE CASCADE,
         name TEXT NOT NULL,
         size INTEGER NOT NULL,
         sha256 TEXT NOT NULL,
         sha1 TEXT NOT NULL,
         md5 TEXT NOT NULL,
         created INTEGER NOT NULL,
         UNIQUE (module, name)
     ) STRICT;
     CREATE INDEX artifact_sha256 ON artifact (sha256);

     CREATE TABLE target (
         id INTEGER PRIMARY KEY AUTOINCREMENT,
         controller_id TEXT NOT NULL UNIQUE,
         name TEXT NOT NULL,
         token TEXT,
         state TEXT NOT NULL,
         wants_attributes INTEGER NOT NULL DEFAULT 1,
         assigned INTEGER REFERENCES release (id),
         installed INTEGER REFERENCES release (id),
         installed_at INTEGER,
         auto_confirm TEXT,
         address TEXT,
         last_poll INTEGER,
         created INTEGER NOT NULL
     ) STRICT;

     CREATE TABLE attribute (
         target INTEGER NOT NULL REFERENCES target (id) ON DELETE CASCADE,
         key TEXT NOT NULL,
         value TEXT NOT NULL,
         PRIMARY KEY (target, key)
     ) STRICT, WITHOUT ROWID;

     CREATE TABLE action (
         id INTEGER PRIMARY KEY AUTOINCREMENT,
         target INTEGER NOT NULL REFERENCES target (id) ON DELETE CASCADE,
         release INTEGER NOT NULL REFERENCES release (id),
         kind TEXT NOT NULL,
         force_at INTEGER,
         weight INTEGER NOT NULL,
         status TEXT NOT NULL,
         active INTEGER NOT NULL,
         window_schedule TEXT,
         window_duration TEXT,
         window_timezone TEXT,
         initiator TEXT NOT NULL,
         last_code INTEGER,
         created INTEGER NOT NULL
     ) STRICT;
     CREATE INDEX action_active ON action (target, weight DESC, id) WHERE active;
     CREATE INDEX action_target ON action (target, id DESC);
     CREATE INDEX action_release ON action (release);

     CREATE TABLE entry (
         id INTEGER PRIMARY KEY AUTOINCREMENT,
         action INTEGER NOT NULL REFERENCES action (id) ON DELETE CASCADE,
         status TEXT NOT NULL,
         code INTEGER,
         at INTEGER NOT NULL,
         messages TEXT NOT NULL
     ) STRICT;
     CREATE INDEX entry_action ON entry (action, id DESC);",
];

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Brings the database to the newest version.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    let found = version(connection)?;
    let application: i64 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let ours = application == APPLICATION_ID || (application == 0 && is_empty(connection)?);
    if !ours || found > known || found < 0 {
        return Err(StoreError::Format {
            path: path.to_owned(),
            found,
            known,
        });
    }
    let done = usize::try_from(found).unwrap_or(0);
    for (step, sql) in STEPS.iter().enumerate().skip(done) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(
            None,
            "user_version",
            i64::try_from(step + 1).unwrap_or(known),
        )?;
        transaction.commit()?;
    }
    Ok(())
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| {
        row.get(0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn migrated() -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, Path::new("x")).unwrap();
        connection
    }

    #[test]
    fn twice_is_once() {
        let mut connection = migrated();
        migrate(&mut connection, Path::new("x")).unwrap();
        assert_eq!(version(&connection).unwrap(), 1);
    }

    #[test]
    fn newer_and_foreign_databases_are_refused() {
        let mut newer = migrated();
        newer.pragma_update(None, "user_version", 99).unwrap();
        assert_eq!(
            migrate(&mut newer, Path::new("x")).unwrap_err().to_string(),
            "x has format 99, this program knows up to 1: use the program that wrote it, or a newer one"
        );
        let mut foreign = Connection::open_in_memory().unwrap();
        foreign.execute_batch("CREATE TABLE other (x)").unwrap();
        assert!(migrate(&mut foreign, Path::new("x")).is_err());
        assert_eq!(version(&foreign).unwrap(), 0);
    }
}

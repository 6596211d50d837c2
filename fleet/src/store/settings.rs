//! Settings of the whole fleet.
//!
//! Owns: the table `setting`: a key and a JSON value each. What the keys mean is in `settings::Settings`.

use std::collections::BTreeMap;

use rusqlite::Connection;

/// Everything that was ever set.
pub fn all(db: &Connection) -> rusqlite::Result<BTreeMap<String, String>> {
    let mut query = db.prepare_cached("SELECT key, value FROM setting")?;
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

/// Sets one.
pub fn set(db: &Connection, key: &str, value: &str) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT INTO setting (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2")?
        .execute([key, value])?;
    Ok(())
}

/// Back to the default.
pub fn clear(db: &Connection, key: &str) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM setting WHERE key = ?1")?
        .execute([key])?;
    Ok(())
}

//! Rows of releases, their software modules and artifacts.
//!
//! Owns: reading and writing them. A release is hawkBit's distribution set. Invariant: a release that was
//! deployed once is locked and does not change any more.

use std::collections::{BTreeMap, HashSet};

use roamcore_ota::Digest;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::StoreError;
use super::blobs::Content;
use crate::error::Error;
use crate::model::Millis;

/// A release as stored.
#[derive(Debug, Clone)]
pub struct Release {
    /// Its number.
    pub id: i64,
    /// Its name: the product.
    pub name: String,
    /// Its version.
    pub version: String,
    /// It was deployed.
    pub locked: bool,
    /// What whoever added it wants to be remembered, in JSON.
    pub note: String,
    /// When it was added.
    pub created: Millis,
}

/// A software module as stored.
#[derive(Debug, Clone)]
pub struct Module {
    /// Its number, part of the URL of its artifacts.
    pub id: i64,
    /// The release.
    pub release: i64,
    /// Its type; `os` for ours.
    pub part: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What devices are told beside.
    pub metadata: BTreeMap<String, String>,
}

/// An artifact as stored.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub content: Content,
    /// When it was added.
    pub created: Millis,
}

fn release(row: &Row<'_>) -> rusqlite::Result<Release> {
    Ok(Release {
        id: row.get(0)?,
        name: row.get(1)?,
        version: row.get(2)?,
        locked: row.get(3)?,
        note: row.get(4)?,
        created: row.get(5)?,
    })
}

/// All, the newest first.
pub fn list(db: &Connection) -> Result<Vec<Release>, Error> {
    let mut query = db.prepare_cached(
        "SELECT id, name, version, locked, note, created FROM release ORDER BY id DESC",
    )?;
    let rows = query.query_map([], release)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// One that has to be there.
pub fn get(db: &Connection, id: i64) -> Result<Release, Error> {
    let mut query = db.prepare_cached(
        "SELECT id, name, version, locked, note, created FROM release WHERE id = ?1",
    )?;
    query
        .query_row([id], release)
        .optional()?
        .ok_or_else(|| Error::NoRelease(id.to_string()))
}

/// One by name and version.
pub fn find(db: &Connection, name: &str, version: &str) -> Result<Option<Release>, Error> {
    let mut query = db.prepare_cached(
        "SELECT id, name, version, locked, note, created FROM release WHERE name = ?1 AND version = ?2",
    )?;
    Ok(query.query_row([name, version], release).optional()?)
}

/// Adds one.
pub fn insert(
    db: &Connection,
    name: &str,
    version: &str,
    note: &str,
    now: Millis,
) -> Result<i64, Error> {
    if find(db, name, version)?.is_some() {
        return Err(Error::Exists {
            what: "release",
            name: format!("{name} {version}"),
        });
    }
    db.prepare_cached(
        "INSERT INTO release (name, version, note, created) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![name, version, note, now])?;
    Ok(db.last_insert_rowid())
}

/// From now on it does not change.
pub fn lock(db: &Connection, id: i64) -> Result<(), Error> {
    db.prepare_cached("UPDATE release SET locked = 1 WHERE id = ?1")?
        .execute([id])?;
    Ok(())
}

/// Removes one with its rows. Fails while actions refer to it.
pub fn delete(db: &Connection, id: i64) -> Result<(), Error> {
    db.prepare_cached("DELETE FROM release WHERE id = ?1")?
        .execute([id])?;
    Ok(())
}

/// A target that has the release, or is to have it, or had an action for it.
pub fn user(db: &Connection, id: i64) -> Result<Option<String>, Error> {
    let mut query = db.prepare_cached(
        "SELECT controller_id FROM target WHERE assigned = ?1 OR installed = ?1 \
         OR id IN (SELECT target FROM action WHERE release = ?1) LIMIT 1",
    )?;
    Ok(query.query_row([id], |row| row.get(0)).optional()?)
}

fn module(row: &Row<'_>) -> Result<Module, Error> {
    let metadata: String = row.get(5)?;
    Ok(Module {
        id: row.get(0)?,
        release: row.get(1)?,
        part: row.get(2)?,
        name: row.get(3)?,
        version: row.get(4)?,
        metadata: serde_json::from_str(&metadata)
            .map_err(|_| StoreError::corrupt("metadata", &metadata))?,
    })
}

/// The modules of a release, in the order they were added.
pub fn modules(db: &Connection, release: i64) -> Result<Vec<Module>, Error> {
    let mut query = db.prepare_cached(
        "SELECT id, release, part, name, version, metadata FROM module WHERE release = ?1 ORDER BY id",
    )?;
    let mut rows = query.query([release])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(module(row)?);
    }
    Ok(found)
}

/// One module that has to be there.
pub fn get_module(db: &Connection, id: i64) -> Result<Module, Error> {
    let mut query = db.prepare_cached(
        "SELECT id, release, part, name, version, metadata FROM module WHERE id = ?1",
    )?;
    let mut rows = query.query([id])?;
    rows.next()?
        .map(module)
        .transpose()?
        .ok_or(Error::NoModule(id))
}

/// Adds a module.
pub fn insert_module(db: &Connection, module: &Module) -> Result<i64, Error> {
    let metadata =
        serde_json::to_string(&module.metadata).map_err(|e| Error::Invalid(e.to_string()))?;
    db.prepare_cached(
        "INSERT INTO module (release, part, name, version, metadata) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        module.release,
        module.part,
        module.name,
        module.version,
        metadata
    ])?;
    Ok(db.last_insert_rowid())
}

fn artifact(row: &Row<'_>) -> Result<Artifact, Error> {
    let (size, sha256): (i64, String) = (row.get(1)?, row.get(2)?);
    Ok(Artifact {
        name: row.get(0)?,
        content: Content {
            size: u64::try_from(size)
                .map_err(|_| StoreError::corrupt("a size", &size.to_string()))?,
            sha256: sha256
                .parse()
                .map_err(|_| StoreError::corrupt("a SHA-256", &sha256))?,
            sha1: row.get(3)?,
            md5: row.get(4)?,
        },
        created: row.get(5)?,
    })
}

const ARTIFACT: &str =
    "SELECT name, size, sha256, sha1, md5, created FROM artifact WHERE module = ?1";

/// The artifacts of a module, in the order they were added.
pub fn artifacts(db: &Connection, module: i64) -> Result<Vec<Artifact>, Error> {
    let mut query = db.prepare_cached(&format!("{ARTIFACT} ORDER BY id"))?;
    let mut rows = query.query([module])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(artifact(row)?);
    }
    Ok(found)
}

/// One artifact that has to be there.
pub fn get_artifact(db: &Connection, module: i64, name: &str) -> Result<Artifact, Error> {
    let mut query = db.prepare_cached(&format!("{ARTIFACT} AND name = ?2"))?;
    let mut rows = query.query(params![module, name])?;
    let found = rows.next()?.map(artifact).transpose()?;
    found.ok_or_else(|| Error::NoArtifact {
        module,
        name: name.to_owned(),
    })
}

/// Adds an artifact whose bytes are in the store.
pub fn insert_artifact(
    db: &Connection,
    module: i64,
    name: &str,
    content: &Content,
    now: Millis,
) -> Result<(), Error> {
    let size = i64::try_from(content.size)
        .map_err(|_| Error::Invalid(format!("{} bytes are too many", content.size)))?;
    let added = db
        .prepare_cached(
            "INSERT INTO artifact (module, name, size, sha256, sha1, md5, created) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
             ON CONFLICT (module, name) DO NOTHING",
        )?
        .execute(params![module, name, size, content.sha256.to_string(), content.sha1, content.md5, now])?;
    match added {
        1 => Ok(()),
        _ => Err(Error::Exists {
            what: "artifact",
            name: name.to_owned(),
        }),
    }
}

/// Every hash that some artifact has.
pub fn all_hashes(db: &Connection) -> Result<HashSet<String>, Error> {
    let mut query = db.prepare_cached("SELECT DISTINCT sha256 FROM artifact")?;
    let rows = query.query_map([], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Whether some artifact has this hash.
pub fn has_hash(db: &Connection, sha256: &Digest) -> Result<bool, Error> {
    let mut query = db.prepare_cached("SELECT 1 FROM artifact WHERE sha256 = ?1 LIMIT 1")?;
    Ok(query.exists([sha256.to_string()])?)
}

//! Rows of targets and their attributes.
//!
//! Owns: reading and writing them. Never does: decide what a change means; that is `ops`.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::error::Error;
use crate::model::Millis;
use crate::model::id::ControllerId;
use crate::model::status::TargetState;
use crate::secret::Hashed;

/// Who switched automatic confirmation on, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutoConfirmation {
    /// As given by the device or the operator.
    pub initiator: Option<String>,
    /// Why.
    pub remark: Option<String>,
    /// When.
    pub at: Millis,
}

/// A target as stored.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its row.
    pub id: i64,
    /// The device's name.
    pub controller_id: String,
    /// For people.
    pub name: String,
    /// Its state.
    pub state: TargetState,
    /// The device is asked for its attributes.
    pub wants_attributes: bool,
    /// The release that it should have.
    pub assigned: Option<i64>,
    /// The release that it has, as far as it said.
    pub installed: Option<i64>,
    /// Since when.
    pub installed_at: Option<Millis>,
    /// Actions are confirmed without asking.
    pub auto_confirm: Option<AutoConfirmation>,
    /// Where it called from.
    pub address: Option<String>,
    /// When it called.
    pub last_poll: Option<Millis>,
    /// It has a token of its own.
    pub has_token: bool,
}

const COLUMNS: &str = "id, controller_id, name, state, wants_attributes, assigned, installed, installed_at, \
                       auto_confirm, address, last_poll, token IS NOT NULL";

fn target(row: &Row<'_>) -> Result<Target, Error> {
    let state: String = row.get(3)?;
    let auto_confirm: Option<String> = row.get(8)?;
    Ok(Target {
        id: row.get(0)?,
        controller_id: row.get(1)?,
        name: row.get(2)?,
        state: state
            .parse()
            .map_err(|_| StoreError::corrupt("a state of a target", &state))?,
        wants_attributes: row.get(4)?,
        assigned: row.get(5)?,
        installed: row.get(6)?,
        installed_at: row.get(7)?,
        auto_confirm: auto_confirm
            .map(|text| {
                serde_json::from_str(&text)
                    .map_err(|_| StoreError::corrupt("an automatic confirmation", &text))
            })
            .transpose()?,
        address: row.get(9)?,
        last_poll: row.get(10)?,
        has_token: row.get(11)?,
    })
}

/// One, if it is there.
pub fn find(db: &Connection, id: &str) -> Result<Option<Target>, Error> {
    let mut query = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM target WHERE controller_id = ?1"
    ))?;
    let mut rows = query.query([id])?;
    rows.next()?.map(target).transpose()
}

/// One that has to be there.
pub fn get(db: &Connection, id: &str) -> Result<Target, Error> {
    find(db, id)?.ok_or_else(|| Error::NoTarget(id.to_owned()))
}

/// One by its row.
pub fn by_row(db: &Connection, row: i64) -> Result<Target, Error> {
    let mut query = db.prepare_cached(&format!("SELECT {COLUMNS} FROM target WHERE id = ?1"))?;
    let mut rows = query.query([row])?;
    match rows.next()? {
        Some(row) => target(row),
        None => Err(Error::NoTarget(format!("#{row}"))),
    }
}

/// Some, in order of their names, after `after`.
pub fn list(db: &Connection, after: &str, limit: usize) -> Result<Vec<Target>, Error> {
    let mut query = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM target WHERE controller_id > ?1 ORDER BY controller_id LIMIT ?2"
    ))?;
    let mut rows = query.query(params![after, i64::try_from(limit).unwrap_or(i64::MAX)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(target(row)?);
    }
    Ok(found)
}

/// Adds one. False when there is one of that name.
pub fn insert(
    db: &Connection,
    id: &ControllerId,
    name: &str,
    state: TargetState,
    token: Option<&Hashed>,
    now: Millis,
) -> Result<bool, Error> {
    let added = db
        .prepare_cached(
            "INSERT INTO target (controller_id, name, state, token, created) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (controller_id) DO NOTHING",
        )?
        .execute(params![id.as_str(), name, state.as_str(), token.map(Hashed::to_text), now])?;
    Ok(added == 1)
}

/// Writes what may change of it, except for its token and its last call.
pub fn update(db: &Connection, target: &Target) -> Result<(), Error> {
    let auto_confirm = target
        .auto_confirm
        .as_ref()
        .map(serde_json::to_string)
        .transpose();
    let auto_confirm = auto_confirm
        .map_err(|e| StoreError::corrupt("an automatic confirmation", &e.to_string()))?;
    db.prepare_cached(
        "UPDATE target SET name = ?2, state = ?3, wants_attributes = ?4, assigned = ?5, installed = ?6, \
         installed_at = ?7, auto_confirm = ?8, address = ?9 WHERE id = ?1",
    )?
    .execute(params![
        target.id,
        target.name,
        target.state.as_str(),
        target.wants_attributes,
        target.assigned,
        target.installed,
        target.installed_at,
        auto_confirm,
        target.address,
    ])?;
    Ok(())
}

/// When it called last.
pub fn set_last_poll(db: &Connection, id: &str, at: Millis) -> Result<(), Error> {
    db.prepare_cached("UPDATE target SET last_poll = ?2 WHERE controller_id = ?1")?
        .execute(params![id, at])?;
    Ok(())
}

/// What is kept of its token.
pub fn token(db: &Connection, id: &str) -> Result<Option<Hashed>, Error> {
    let text: Option<Option<String>> = db
        .prepare_cached("SELECT token FROM target WHERE controller_id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    match text.flatten() {
        None => Ok(None),
        // The text is a secret's hash: not for a message.
        Some(text) => Ok(Some(
            Hashed::from_text(&text).ok_or(StoreError::corrupt("a token's hash", ""))?,
        )),
    }
}

/// Gives it another token, or none.
pub fn set_token(db: &Connection, id: &str, token: Option<&Hashed>) -> Result<(), Error> {
    let changed = db
        .prepare_cached("UPDATE target SET token = ?2 WHERE controller_id = ?1")?
        .execute(params![id, token.map(Hashed::to_text)])?;
    if changed == 1 {
        Ok(())
    } else {
        Err(Error::NoTarget(id.to_owned()))
    }
}

/// Removes it, with everything that belongs to it.
pub fn delete(db: &Connection, id: &str) -> Result<(), Error> {
    let gone = db
        .prepare_cached("DELETE FROM target WHERE controller_id = ?1")?
        .execute([id])?;
    if gone == 1 {
        Ok(())
    } else {
        Err(Error::NoTarget(id.to_owned()))
    }
}

/// Its attributes.
pub fn attributes(db: &Connection, target: i64) -> Result<BTreeMap<String, String>, Error> {
    let mut query = db.prepare_cached("SELECT key, value FROM attribute WHERE target = ?1")?;
    let rows = query.query_map([target], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Replaces all its attributes.
pub fn set_attributes(
    db: &Connection,
    target: i64,
    attributes: &BTreeMap<String, String>,
) -> Result<(), Error> {
    db.prepare_cached("DELETE FROM attribute WHERE target = ?1")?
        .execute([target])?;
    let mut insert =
        db.prepare_cached("INSERT INTO attribute (target, key, value) VALUES (?1, ?2, ?3)")?;
    for (key, value) in attributes {
        insert.execute(params![target, key, value])?;
    }
    Ok(())
}

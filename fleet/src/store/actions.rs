//! Rows of actions and the entries of their histories.
//!
//! Owns: reading and writing them. Invariant: numbers of actions are never used twice, because devices remember them.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::StoreError;
use crate::error::Error;
use crate::model::Millis;
use crate::model::action::{Action, Kind};
use crate::model::report::{Entry, SERVER_PREFIX};
use crate::model::status::Status;
use crate::model::window::Window;

const COLUMNS: &str = "id, target, release, kind, force_at, weight, status, active, window_schedule, \
                       window_duration, window_timezone, initiator, last_code, created";

fn action(row: &Row<'_>) -> Result<Action, Error> {
    let (kind, force_at): (String, Option<Millis>) = (row.get(3)?, row.get(4)?);
    let status: String = row.get(6)?;
    let window: (Option<String>, Option<String>, Option<String>) =
        (row.get(8)?, row.get(9)?, row.get(10)?);
    let window = match window {
        (Some(schedule), Some(duration), Some(timezone)) => Some(
            Window::stored(&schedule, &duration, &timezone)
                .map_err(|e| StoreError::corrupt("a maintenance window", &e.to_string()))?,
        ),
        _ => None,
    };
    Ok(Action {
        id: row.get(0)?,
        target: row.get(1)?,
        release: row.get(2)?,
        kind: Kind::from_parts(&kind, force_at)
            .ok_or_else(|| StoreError::corrupt("a type of an action", &kind))?,
        weight: row.get(5)?,
        status: parse_status(&status)?,
        active: row.get(7)?,
        window,
        initiator: row.get(11)?,
        last_code: row.get(12)?,
        created: row.get(13)?,
    })
}

fn parse_status(text: &str) -> Result<Status, StoreError> {
    text.parse()
        .map_err(|_| StoreError::corrupt("a status of an action", text))
}

fn collect(mut rows: rusqlite::Rows<'_>) -> Result<Vec<Action>, Error> {
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(action(row)?);
    }
    Ok(found)
}

/// One that has to be there.
pub fn get(db: &Connection, id: i64) -> Result<Action, Error> {
    let mut query = db.prepare_cached(&format!("SELECT {COLUMNS} FROM action WHERE id = ?1"))?;
    let mut rows = query.query([id])?;
    rows.next()?
        .map(action)
        .transpose()?
        .ok_or(Error::NoAction(id))
}

/// The open ones of a target: the heaviest first, then the oldest.
pub fn active(db: &Connection, target: i64) -> Result<Vec<Action>, Error> {
    let mut query = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM action WHERE target = ?1 AND active ORDER BY weight DESC, id"
    ))?;
    collect(query.query([target])?)
}

/// The newest finished action of a target for a release.
pub fn finished(db: &Connection, target: i64, release: i64) -> Result<Option<Action>, Error> {
    let mut query = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM action WHERE target = ?1 AND release = ?2 AND status = 'finished' ORDER BY id DESC LIMIT 1"
    ))?;
    let mut rows = query.query([target, release])?;
    rows.next()?.map(action).transpose()
}

/// Which actions to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of one target.
    pub target: Option<i64>,
    /// Only open or only closed ones.
    pub active: Option<bool>,
    /// Only older ones.
    pub before: Option<i64>,
    /// How many.
    pub limit: usize,
}

/// The newest first.
pub fn list(db: &Connection, filter: &Filter) -> Result<Vec<Action>, Error> {
    let mut query = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM action WHERE (?1 IS NULL OR target = ?1) AND (?2 IS NULL OR active = ?2) \
         AND (?3 IS NULL OR id < ?3) ORDER BY id DESC LIMIT ?4"
    ))?;
    let limit = i64::try_from(filter.limit).unwrap_or(i64::MAX);
    collect(query.query(params![filter.target, filter.active, filter.before, limit])?)
}

/// Adds one, whatever its `id` says, and gives it its number.
pub fn insert(db: &Connection, action: &mut Action) -> Result<(), Error> {
    let window = action.window.as_ref();
    db.prepare_cached(
        "INSERT INTO action (target, release, kind, force_at, weight, status, active, window_schedule, \
         window_duration, window_timezone, initiator, last_code, created) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?
    .execute(params![
        action.target,
        action.release,
        action.kind.as_str(),
        action.kind.force_at(),
        action.weight,
        action.status.as_str(),
        action.active,
        window.map(|w| &w.schedule),
        window.map(|w| &w.duration),
        window.map(|w| &w.timezone),
        action.initiator,
        action.last_code,
        action.created,
    ])?;
    action.id = db.last_insert_rowid();
    Ok(())
}

/// Writes what may change of it.
pub fn update(db: &Connection, action: &Action) -> Result<(), Error> {
    db.prepare_cached(
        "UPDATE action SET status = ?2, active = ?3, last_code = ?4, kind = ?5, force_at = ?6 WHERE id = ?1",
    )?
    .execute(params![
        action.id,
        action.status.as_str(),
        action.active,
        action.last_code,
        action.kind.as_str(),
        action.kind.force_at(),
    ])?;
    Ok(())
}

/// Adds to an action's history.
pub fn note(db: &Connection, action: i64, entry: &Entry) -> Result<(), Error> {
    let messages =
        serde_json::to_string(&entry.messages).map_err(|e| Error::Invalid(e.to_string()))?;
    db.prepare_cached(
        "INSERT INTO entry (action, status, code, at, messages) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        action,
        entry.status.as_str(),
        entry.code,
        entry.at,
        messages
    ])?;
    Ok(())
}

/// How many entries an action has.
pub fn count_entries(db: &Connection, action: i64) -> Result<usize, Error> {
    let count: i64 = db
        .prepare_cached("SELECT count(*) FROM entry WHERE action = ?1")?
        .query_row([action], |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// The kind of the newest entry.
pub fn last_entry(db: &Connection, action: i64) -> Result<Option<Status>, Error> {
    let mut query =
        db.prepare_cached("SELECT status FROM entry WHERE action = ?1 ORDER BY id DESC LIMIT 1")?;
    let text: Option<String> = query.query_row([action], |row| row.get(0)).optional()?;
    Ok(text.map(|text| parse_status(&text)).transpose()?)
}

/// The history, the newest first.
pub fn entries(db: &Connection, action: i64, limit: usize) -> Result<Vec<Entry>, Error> {
    read_entries(db, action, limit, "id DESC")
}

fn read_entries(
    db: &Connection,
    action: i64,
    limit: usize,
    order: &str,
) -> Result<Vec<Entry>, Error> {
    let mut query = db.prepare_cached(&format!(
        "SELECT status, code, at, messages FROM entry WHERE action = ?1 ORDER BY {order} LIMIT ?2"
    ))?;
    let mut rows = query.query(params![action, i64::try_from(limit).unwrap_or(i64::MAX)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (status, messages): (String, String) = (row.get(0)?, row.get(3)?);
        found.push(Entry {
            status: parse_status(&status)?,
            code: row.get(1)?,
            at: row.get(2)?,
            messages: serde_json::from_str(&messages)
                .map_err(|_| StoreError::corrupt("messages", &messages))?,
        });
    }
    Ok(found)
}

/// What a device is told of its own history: its messages without the server's, the newest first by the time that
/// it reported.
pub fn history(db: &Connection, action: i64, limit: usize) -> Result<Vec<String>, Error> {
    let mut told = Vec::new();
    for entry in read_entries(db, action, usize::MAX, "at DESC, id DESC")? {
        told.extend(
            entry
                .messages
                .into_iter()
                .filter(|m| !m.starts_with(SERVER_PREFIX)),
        );
        if told.len() >= limit {
            told.truncate(limit);
            break;
        }
    }
    Ok(told)
}

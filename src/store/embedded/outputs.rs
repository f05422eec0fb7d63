//! Statements on kept outputs.

use std::time::{Duration, SystemTime};

use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    ids::UserKey,
    store::{
        outputs::{KeptOutput, MAX_OF_USER, OutputId},
        wall_clock::millis,
    },
};

/// Keeps an output for a time, and forgets the oldest of a user who has too many bytes.
pub(super) fn keep(
    connection: &Connection,
    owner: &UserKey,
    id: OutputId,
    output: &KeptOutput,
    ttl: Duration,
) -> rusqlite::Result<()> {
    let (workspace, user, until) = (owner.workspace(), owner.user(), millis(SystemTime::now() + ttl));
    let mut keep = connection
        .prepare_cached("INSERT INTO outputs (id, workspace, user, until, tool, json) VALUES (?, ?, ?, ?, ?, ?)")?;
    keep.execute(params![id.to_string(), workspace, user, until, output.tool, output.json])?;
    // Added up from the newest, so that the oldest go. The new one always stays, as it is smaller than the limit.
    let mut forget = connection.prepare_cached(
        "DELETE FROM outputs WHERE id IN (SELECT id FROM
         (SELECT id, sum(length(json)) OVER (ORDER BY rowid DESC) AS bytes FROM outputs WHERE workspace = ? AND user = ?)
         WHERE bytes > ?)",
    )?;
    forget.execute(params![workspace, user, i64::try_from(MAX_OF_USER).unwrap_or(i64::MAX)])?;
    Ok(())
}

/// Returns an output of a user, if it is still kept.
pub(super) fn kept(connection: &Connection, owner: &UserKey, id: OutputId) -> rusqlite::Result<Option<KeptOutput>> {
    let mut known = connection
        .prepare_cached("SELECT tool, json FROM outputs WHERE id = ? AND workspace = ? AND user = ? AND until > ?")?;
    let of_whom = params![id.to_string(), owner.workspace(), owner.user(), millis(SystemTime::now())];
    known.query_row(of_whom, |row| Ok(KeptOutput { tool: row.get(0)?, json: row.get(1)? })).optional()
}

/// Forgets outputs that were kept for their time.
pub(super) fn forget(connection: &Connection) -> rusqlite::Result<()> {
    let mut forget = connection.prepare_cached("DELETE FROM outputs WHERE until <= ?")?;
    forget.execute([millis(SystemTime::now())]).map(|_| ())
}

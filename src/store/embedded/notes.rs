//! Statements on notes: short texts under keys, and bytes.

use std::time::{Duration, SystemTime};

use rusqlite::{Connection, OptionalExtension, params};

use crate::store::{runs::Digest, wall_clock::millis};

/// Returns a note, unless its time is over.
pub(super) fn get(connection: &Connection, key: Digest) -> rusqlite::Result<Option<String>> {
    let mut query =
        connection.prepare_cached("SELECT text FROM notes WHERE key = ? AND (until IS NULL OR until > ?)")?;
    query.query_row(params![key.to_hex(), millis(SystemTime::now())], |row| row.get(0)).optional()
}

/// Keeps a note in place of any that is there.
pub(super) fn put(connection: &Connection, key: Digest, text: &str, ttl: Option<Duration>) -> rusqlite::Result<()> {
    let until = ttl.map(|ttl| millis(SystemTime::now() + ttl));
    let mut put = connection.prepare_cached("INSERT OR REPLACE INTO notes (key, until, text) VALUES (?, ?, ?)")?;
    put.execute(params![key.to_hex(), until, text]).map(|_| ())
}

/// Keeps a note unless there is one, which is given.
pub(super) fn claim(
    connection: &Connection,
    key: Digest,
    text: &str,
    ttl: Option<Duration>,
) -> rusqlite::Result<Option<String>> {
    // The store's thread does one job after another, so no other claim comes in between.
    let there = get(connection, key)?;
    if there.is_none() {
        put(connection, key, text, ttl)?;
    }
    Ok(there)
}

/// Keeps bytes for a time. They stand in the table of notes, whose columns take any type: a table of its own would make the
/// file unreadable to an older server that somebody goes back to.
pub(super) fn put_bytes(connection: &Connection, key: Digest, bytes: &[u8], ttl: Duration) -> rusqlite::Result<()> {
    let until = millis(SystemTime::now() + ttl);
    let mut put = connection.prepare_cached("INSERT OR REPLACE INTO notes (key, until, text) VALUES (?, ?, ?)")?;
    put.execute(params![bytes_key(key), until, bytes]).map(|_| ())
}

/// Returns bytes, unless their time is over.
pub(super) fn bytes(connection: &Connection, key: Digest) -> rusqlite::Result<Option<Vec<u8>>> {
    let mut query = connection.prepare_cached("SELECT text FROM notes WHERE key = ? AND until > ?")?;
    query.query_row(params![bytes_key(key), millis(SystemTime::now())], |row| row.get(0)).optional()
}

/// Returns the key of bytes, which is no note's.
fn bytes_key(key: Digest) -> String {
    format!("bytes:{}", key.to_hex())
}

/// Forgets notes whose time is over.
pub(super) fn expire(connection: &Connection) -> rusqlite::Result<()> {
    let mut expire = connection.prepare_cached("DELETE FROM notes WHERE until <= ?")?;
    expire.execute([millis(SystemTime::now())]).map(|_| ())
}

//! Statements that several operations of the store have in common.

use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::{
    ids::{ChatId, SessionId, UserKey},
    protocol::json,
    store::{
        KeptRun, RunState, SessionRecord,
        record::SessionState,
        runs::{Digest, KEPT_FOR, MAX_RUNS},
        wall_clock::{from_millis, millis},
    },
};

/// Chats in a page of those of a user.
const PAGE: usize = 500;

/// Undoes what a job did that fails half way, and nothing else of its group.
pub(super) fn in_savepoint<T>(
    connection: &Connection,
    job: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    execute(connection, "SAVEPOINT job")?;
    let outcome = job(connection);
    // Some failures, such as a full disk, have ended the whole transaction already.
    if !connection.is_autocommit() {
        if outcome.is_err() {
            execute(connection, "ROLLBACK TO job")?;
        }
        execute(connection, "RELEASE job")?;
    }
    outcome
}

/// Executes a statement that has no parameters, and is remembered.
pub(super) fn execute(connection: &Connection, statement: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(statement)?.execute([]).map(|_| ())
}

/// Keeps a new session. Gives those of its user that end, so that no more than `most` are kept: the ones not used for
/// longest.
pub(super) fn insert(
    connection: &Connection,
    session: SessionId,
    record: &SessionRecord,
    most: usize,
) -> rusqlite::Result<Vec<SessionId>> {
    let (state, id) = (json::to_string(&record.state), session.to_string());
    let (owner, opened) = (&record.owner, millis(record.opened));
    connection
        .prepare_cached("INSERT INTO sessions (id, workspace, user, opened, used, state) VALUES (?, ?, ?, ?, ?, ?)")?
        .execute(params![id, owner.workspace(), owner.user(), opened, millis(SystemTime::now()), state])?;
    let excess = excess(connection, owner, "SELECT sessions FROM owners WHERE workspace = ? AND user = ?", most)?;
    if excess == 0 {
        return Ok(Vec::new());
    }
    // The new session is spared by its id: with a clock that was set back it would seem the oldest.
    let mut oldest = connection.prepare_cached(
        "SELECT id FROM sessions WHERE workspace = ? AND user = ? AND id <> ? ORDER BY used, opened LIMIT ?",
    )?;
    let oldest = oldest.query_map(params![owner.workspace(), owner.user(), id, excess], |row| row.get(0))?;
    let oldest = oldest.collect::<rusqlite::Result<Vec<String>>>()?;
    for id in &oldest {
        connection.prepare_cached("DELETE FROM sessions WHERE id = ?")?.execute([id])?;
        // No cascade does it, see where the file is opened.
        connection.prepare_cached("DELETE FROM chats WHERE session = ?")?.execute([id])?;
    }
    Ok(oldest.iter().filter_map(|id| SessionId::parse(id)).collect())
}

/// Returns how many more of something a user has than `most`.
fn excess(connection: &Connection, owner: &UserKey, count: &str, most: usize) -> rusqlite::Result<i64> {
    let mut count = connection.prepare_cached(count)?;
    let count = count.query_row([owner.workspace(), owner.user()], |row| row.get::<_, i64>(0)).optional()?;
    Ok((count.unwrap_or(0) - i64::try_from(most).unwrap_or(i64::MAX)).max(0))
}

/// Returns the session that a chat has, if that lives.
pub(super) fn serving(
    connection: &Connection,
    owner: &UserKey,
    chat: &ChatId,
    horizon: i64,
) -> rusqlite::Result<Option<SessionId>> {
    let mut query = connection.prepare_cached(
        "SELECT session FROM chats JOIN sessions ON id = session
         WHERE chats.workspace = ? AND chats.user = ? AND chat = ? AND used > ?",
    )?;
    let key = params![owner.workspace(), owner.user(), chat.as_str(), horizon];
    Ok(query.query_row(key, |row| row.get(0)).optional()?.and_then(|id: String| SessionId::parse(&id)))
}

/// Gives a chat a session. Beyond `most` chats, the user's oldest are forgotten.
pub(super) fn give_chat(
    connection: &Connection,
    owner: &UserKey,
    chat: &ChatId,
    session: SessionId,
    most: usize,
) -> rusqlite::Result<()> {
    // No REPLACE, by which the trigger that counts chats would miss the one that is replaced.
    let mut give = connection.prepare_cached(
        "INSERT INTO chats (workspace, user, chat, session, bound) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET session = excluded.session, bound = excluded.bound",
    )?;
    // Microseconds, so that chats bound within one millisecond still go in their order.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let bound = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
    give.execute(params![owner.workspace(), owner.user(), chat.as_str(), session.to_string(), bound])?;
    let excess = excess(connection, owner, "SELECT chats FROM owners WHERE workspace = ? AND user = ?", most)?;
    if excess > 0 {
        let mut forget = connection.prepare_cached(
            "DELETE FROM chats WHERE workspace = ?1 AND user = ?2 AND chat IN
             (SELECT chat FROM chats WHERE workspace = ?1 AND user = ?2 AND chat <> ?3 ORDER BY bound LIMIT ?4)",
        )?;
        forget.execute(params![owner.workspace(), owner.user(), chat.as_str(), excess])?;
    }
    Ok(())
}

/// Returns a user's chats after `last`, by name, and whether there may be more.
pub(super) fn page_of_chats(
    connection: &Connection,
    owner: &UserKey,
    last: &str,
    horizon: i64,
) -> rusqlite::Result<(Vec<(String, String)>, bool)> {
    // After a name, not an offset: chats come and go between two pages.
    let mut query = connection.prepare_cached(
        "SELECT chat, session FROM chats JOIN sessions ON id = session
         WHERE chats.workspace = ? AND chats.user = ? AND chat > ? AND used > ? ORDER BY chat LIMIT ?",
    )?;
    let key = params![owner.workspace(), owner.user(), last, horizon, i64::try_from(PAGE).unwrap_or(i64::MAX)];
    let page = query.query_map(key, |row| Ok((row.get(0)?, row.get(1)?)))?;
    let page = page.collect::<rusqlite::Result<Vec<_>>>()?;
    let may_go_on = page.len() == PAGE;
    Ok((page, may_go_on))
}

pub(super) fn record(row: &Row<'_>) -> rusqlite::Result<Option<SessionRecord>> {
    let (workspace, user): (String, String) = (row.get("workspace")?, row.get("user")?);
    let state: String = row.get("state")?;
    // Only this server writes it; what can't be read all the same is as good as gone.
    let state: Option<SessionState> = serde_json::from_str(&state).ok();
    let (opened, version) = (from_millis(row.get("opened")?), version(row.get("version")?));
    Ok(state.map(|state| SessionRecord { owner: UserKey::new(&workspace, &user), opened, version, state }))
}

/// Returns a version, which `SQLite` keeps as a signed number.
pub(super) fn version(number: i64) -> u64 {
    number.try_into().unwrap_or(0)
}

/// Claims a call that runs once; gives what is kept of it where it was claimed before.
pub(super) fn claim_run(
    connection: &Connection,
    owner: &UserKey,
    key: Digest,
    digest: Digest,
) -> rusqlite::Result<Option<KeptRun>> {
    let (workspace, user, key) = (owner.workspace(), owner.user(), key.to_hex());
    let mut known = connection.prepare_cached(
        "SELECT digest, state, rest FROM runs WHERE workspace = ? AND user = ? AND key = ? AND begun > ?",
    )?;
    let kept = known.query_row(params![workspace, user, key, horizon_of_runs()], |row| {
        let (state, rest): (String, String) = (row.get(1)?, row.get(2)?);
        Ok(KeptRun { digest: row.get(0)?, state: RunState::from_parts(&state, rest) })
    });
    if let Some(kept) = kept.optional()? {
        return Ok(Some(kept));
    }
    let (state, rest) = RunState::Running { replica: String::new() }.to_parts();
    // REPLACE, since a claim that is past its time may still stand there until the next sweep.
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO runs (workspace, user, key, begun, digest, state, rest) VALUES (?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![workspace, user, key, millis(SystemTime::now()), digest.to_hex(), state, rest])?;
    // A call that runs stays: were it forgotten, a repeat would run it again.
    let mut forget = connection.prepare_cached(
        "DELETE FROM runs WHERE workspace = ?1 AND user = ?2 AND state <> 'running' AND key IN
         (SELECT key FROM runs WHERE workspace = ?1 AND user = ?2 ORDER BY begun DESC LIMIT -1 OFFSET ?3)",
    )?;
    forget.execute(params![workspace, user, i64::try_from(MAX_RUNS).unwrap_or(i64::MAX)])?;
    Ok(None)
}

/// Notes what became of a call that was claimed and still runs; without a state it is forgotten.
pub(super) fn settle_run(
    connection: &Connection,
    owner: &UserKey,
    key: Digest,
    digest: Digest,
    state: Option<RunState>,
) -> rusqlite::Result<()> {
    let (workspace, user, key, digest) = (owner.workspace(), owner.user(), key.to_hex(), digest.to_hex());
    // The claim may have passed its time while the call ran, and its key may be claimed by another call.
    let is_it = "workspace = ? AND user = ? AND key = ? AND digest = ? AND state = 'running'";
    if let Some(state) = state {
        let (state, rest) = state.to_parts();
        let mut settle = connection.prepare_cached(&format!("UPDATE runs SET state = ?, rest = ? WHERE {is_it}"))?;
        settle.execute(params![state, rest, workspace, user, key, digest])?;
    } else {
        let mut forget = connection.prepare_cached(&format!("DELETE FROM runs WHERE {is_it}"))?;
        forget.execute(params![workspace, user, key, digest])?;
    }
    Ok(())
}

/// Forgets calls that were kept for their time.
pub(super) fn forget_runs(connection: &Connection) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM runs WHERE begun <= ?")?.execute([horizon_of_runs()]).map(|_| ())
}

/// Calls that began before this are no longer kept.
fn horizon_of_runs() -> i64 {
    millis(SystemTime::now()) - i64::try_from(KEPT_FOR.as_millis()).unwrap_or(i64::MAX)
}

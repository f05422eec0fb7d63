//! The file of the embedded store: opened, made ours, and brought to the newest format.

use std::{
    fs::{self, DirBuilder, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rusqlite::{Connection, ErrorCode};

use crate::store::StoreError;

/// The file within the folder of the settings.
const FILE: &str = "sessions.db";

/// The newest format of the file, to which the last of [`MIGRATIONS`] leads.
const FORMAT: i64 = 6;

/// From each format to the next. A file of format n has seen the first n.
const MIGRATIONS: [&str; 6] = [
    "
    CREATE TABLE sessions (
        id TEXT PRIMARY KEY,
        workspace TEXT NOT NULL,
        user TEXT NOT NULL,
        opened INTEGER NOT NULL,
        used INTEGER NOT NULL,
        state TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX sessions_by_use ON sessions (used);
    CREATE TABLE chats (
        workspace TEXT NOT NULL,
        user TEXT NOT NULL,
        chat TEXT NOT NULL,
        session TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
        PRIMARY KEY (workspace, user, chat)
    ) WITHOUT ROWID;
    CREATE INDEX chats_by_session ON chats (session);
    ",
    "ALTER TABLE sessions ADD COLUMN version INTEGER NOT NULL DEFAULT 0;",
    // Triggers keep counts by user: to count the sessions of a user with thousands took too long at each new one.
    "
    CREATE INDEX sessions_by_owner ON sessions (workspace, user, used);
    ALTER TABLE chats ADD COLUMN bound INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX chats_by_age ON chats (workspace, user, bound);
    CREATE TABLE owners (
        workspace TEXT NOT NULL,
        user TEXT NOT NULL,
        sessions INTEGER NOT NULL DEFAULT 0,
        chats INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (workspace, user)
    ) WITHOUT ROWID;
    INSERT INTO owners (workspace, user, sessions) SELECT workspace, user, count(*) FROM sessions GROUP BY workspace, user;
    INSERT INTO owners (workspace, user, chats) SELECT workspace, user, count(*) FROM chats GROUP BY workspace, user
        ON CONFLICT DO UPDATE SET chats = excluded.chats;
    CREATE TRIGGER session_opened AFTER INSERT ON sessions BEGIN
        INSERT INTO owners (workspace, user, sessions) VALUES (new.workspace, new.user, 1)
            ON CONFLICT DO UPDATE SET sessions = sessions + 1;
    END;
    CREATE TRIGGER session_ended AFTER DELETE ON sessions BEGIN
        UPDATE owners SET sessions = sessions - 1 WHERE workspace = old.workspace AND user = old.user;
        DELETE FROM owners WHERE workspace = old.workspace AND user = old.user AND sessions <= 0 AND chats <= 0;
    END;
    CREATE TRIGGER chat_bound AFTER INSERT ON chats BEGIN
        INSERT INTO owners (workspace, user, chats) VALUES (new.workspace, new.user, 1)
            ON CONFLICT DO UPDATE SET chats = chats + 1;
    END;
    CREATE TRIGGER chat_freed AFTER DELETE ON chats BEGIN
        UPDATE owners SET chats = chats - 1 WHERE workspace = old.workspace AND user = old.user;
        DELETE FROM owners WHERE workspace = old.workspace AND user = old.user AND sessions <= 0 AND chats <= 0;
    END;
    ",
    "
    CREATE TABLE runs (
        workspace TEXT NOT NULL,
        user TEXT NOT NULL,
        key TEXT NOT NULL,
        begun INTEGER NOT NULL,
        digest TEXT NOT NULL,
        state TEXT NOT NULL,
        rest TEXT NOT NULL,
        PRIMARY KEY (workspace, user, key)
    ) WITHOUT ROWID;
    CREATE INDEX runs_by_age ON runs (workspace, user, begun);
    CREATE INDEX runs_by_begin ON runs (begun);
    ",
    "
    CREATE TABLE outputs (
        id TEXT NOT NULL UNIQUE,
        workspace TEXT NOT NULL,
        user TEXT NOT NULL,
        until INTEGER NOT NULL,
        tool TEXT NOT NULL,
        json BLOB NOT NULL
    );
    CREATE INDEX outputs_by_owner ON outputs (workspace, user);
    CREATE INDEX outputs_by_end ON outputs (until);
    ",
    "
    CREATE TABLE notes (key TEXT PRIMARY KEY, until INTEGER, text TEXT NOT NULL) WITHOUT ROWID;
    CREATE INDEX notes_by_end ON notes (until);
    ",
];

/// Marks a `SQLite` file as one of this server's (`PRAGMA application_id`).
const APPLICATION_ID: i64 = 0x4d43_5053;

/// Returns the file of a folder; without a name, one in memory.
pub(super) fn path(folder: &Path) -> PathBuf {
    if folder.as_os_str().is_empty() { PathBuf::from(":memory:") } else { folder.join(FILE) }
}

/// Opens the file, makes it ours, and brings it to the newest format.
pub(super) fn connect(folder: &Path, path: &Path) -> Result<Connection, StoreError> {
    if !folder.as_os_str().is_empty() {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| unusable(path, &error))?;
        tighten(folder, path);
        // Made before SQLite opens it, which would let the umask say who may read it. SQLite gives its log files the
        // permissions of this one.
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
        file.map_err(|error| unusable(path, &error))?;
    }
    let mut connection = Connection::open(path).map_err(|error| unopened(path, &error))?;
    prepare(&mut connection, path).map_err(|error| unopened(path, &error))??;
    Ok(connection)
}

/// Takes the permissions of other users to read the files and to write into the folder, which an earlier server or a copy may
/// have left. A failure, such as on a volume of another owner, is logged.
fn tighten(folder: &Path, path: &Path) {
    // A folder that everybody may use, such as /tmp, is marked as that by the sticky bit.
    tighten_to(folder, 0o7755, |mode| mode & 0o1000 == 0);
    // Logs hold the same rows as the file, and an earlier server may have left them.
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut file = path.as_os_str().to_owned();
        file.push(suffix);
        tighten_to(Path::new(&file), 0o600, |_| true);
    }
}

fn tighten_to(path: &Path, allowed: u32, applies: impl Fn(u32) -> bool) {
    let Ok(found) = fs::metadata(path) else { return };
    let mode = found.permissions().mode() & 0o7777;
    let tight = mode & allowed;
    if tight == mode || !applies(mode) {
        return;
    }
    match fs::set_permissions(path, Permissions::from_mode(tight)) {
        Ok(()) => log::warn!("{} was open to others ({mode:o}): its permissions are {tight:o} now", path.display()),
        Err(error) => log::warn!("{} is open to others ({mode:o}), which can't be changed: {error}", path.display()),
    }
}

/// Writes something that changes nothing: the format that the file has.
pub(super) fn rewrite(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "user_version", FORMAT)
}

fn prepare(connection: &mut Connection, path: &Path) -> rusqlite::Result<Result<(), StoreError>> {
    let path = || path.display().to_string();
    // One process owns the file: another would not know what this one holds in memory. It is set before WAL, so that
    // SQLite keeps the index of its log to itself and needs no shared memory.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // In WAL mode NORMAL syncs at checkpoints alone. A loss of power may take the last transactions, and leaves the
    // file whole. With FULL each group would wait for the disk.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    // Chats are deleted by name: a cascade would make a table of its own for each session that ends.
    connection.pragma_update(None, "foreign_keys", false)?;
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (found, application) = (number("user_version")?, number("application_id")?);
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    // A new file has neither tables nor a mark. Anything else without the mark is left alone.
    if tables > 0 && application != APPLICATION_ID {
        return Ok(Err(StoreError::Damaged { path: path(), reason: "it is not this server's".to_owned() }));
    }
    if found > FORMAT {
        return Ok(Err(StoreError::Newer { path: path(), found, known: FORMAT }));
    }
    // Reads the file once at the start. Damage found later would be an error of some client's request.
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Ok(Err(StoreError::Damaged { path: path(), reason: verdict }));
    }
    // In one transaction with the mark and the fate of the runs: a process that is killed on the way leaves the file as it was.
    // `rusqlite_migration` would commit the steps before the rest.
    let migration = connection.transaction()?;
    for step in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        migration.execute_batch(step)?;
    }
    // The server that ran these has ended before it could note what became of them.
    migration.execute("UPDATE runs SET state = 'unknown', rest = '' WHERE state = 'running'", [])?;
    migration.pragma_update(None, "application_id", APPLICATION_ID)?;
    migration.pragma_update(None, "user_version", FORMAT)?;
    migration.commit()?;
    // Changes that earlier servers left in the log go into the file, so that the log begins small.
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(Ok(()))
}

pub(super) fn unusable(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Open { path: path.display().to_string(), reason: error.to_string() }
}

fn unopened(path: &Path, error: &rusqlite::Error) -> StoreError {
    let (path, reason) = (path.display().to_string(), error.to_string());
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::InUse { path },
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => StoreError::Damaged { path, reason },
        _ => StoreError::Open { path, reason },
    }
}

//! The store of a server that stands alone: a `SQLite` file.
//!
//! One thread owns the connection. What has come while it worked is done in one transaction and answered once that is
//! written (a group commit), so that many sessions cost one write. The file survives the end of the process at any moment;
//! of a machine that loses power it may lose the last moments, but is never left half written (WAL, `synchronous = NORMAL`).

mod file;
mod health;
mod notes;
mod outputs;
mod statements;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::oneshot;

use self::{
    health::{Ending, Health},
    statements::{execute, give_chat, in_savepoint, insert, page_of_chats, record, serving, version},
};
use super::{
    Bounds, Entered, KeptRun, Opened, RunState, SessionRecord, SessionStore, StoreError, StoreFuture, Trouble,
    outputs::{KeptOutput, OutputId},
    runs::Digest,
    wall_clock::millis,
};
use crate::{
    ids::{ChatId, SessionId, UserKey},
    metrics::count_store,
    protocol::json,
};

/// Jobs that may wait. More than that is refused, not piled up.
const MAX_WAITING: usize = 8192;

/// Jobs that are done in one transaction at most.
const MAX_GROUP: usize = 512;

/// Store in a `SQLite` file. See the [module](self). Cheap to clone.
#[derive(Clone)]
pub struct EmbeddedStore {
    jobs: SyncSender<Job>,
    bounds: Bounds,
    health: Arc<Health>,
}

/// Work on the connection. Its answer is sent once the transaction is written, or has failed.
type Job = Box<dyn FnOnce(&Connection) -> Done + Send>;

/// A job that is done, or has failed, and is not answered yet.
struct Done {
    failed: Option<StoreError>,
    answer: Box<dyn FnOnce(Result<(), StoreError>)>,
}

impl EmbeddedStore {
    /// Opens the store in a folder, which is made if need be; without a name, in memory.
    ///
    /// # Errors
    /// [`StoreError`], where the file can't be used.
    pub fn open(folder: &Path, bounds: Bounds) -> Result<Self, StoreError> {
        let path = file::path(folder);
        let connection = file::connect(folder, &path)?;
        let (jobs, waiting) = sync_channel(MAX_WAITING);
        let health = Arc::new(Health::new(&path));
        let known = Arc::clone(&health);
        let worker = thread::Builder::new().name("store".to_owned()).spawn(move || work(&connection, &waiting, &known));
        worker.map_err(|error| file::unusable(&path, &error))?;
        Ok(Self { jobs, bounds, health })
    }

    /// Has the store's thread do something.
    fn ask<T, F>(&self, operation: &'static str, job: F) -> StoreFuture<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let asked = Instant::now();
        let job: Job = Box::new(move |connection| {
            let outcome = in_savepoint(connection, job).map_err(|error| failed(&error));
            let failed = outcome.as_ref().err().cloned();
            let answer = Box::new(move |written: Result<(), StoreError>| {
                let outcome = written.and(outcome);
                count_store(operation, outcome.is_ok(), asked.elapsed());
                // The answer is dropped where its request was given up; what was asked is done all the same.
                let _ = reply.send(outcome);
            });
            Done { failed, answer }
        });
        // Refused when the queue is full, not awaited: a worker must never wait for the disk.
        match self.jobs.try_send(job) {
            Ok(()) => Box::pin(async { answer.await.unwrap_or(Err(StoreError::Stopped)) }),
            Err(TrySendError::Full(_)) => Box::pin(async { Err(StoreError::Busy) }),
            Err(TrySendError::Disconnected(_)) => Box::pin(async { Err(StoreError::Stopped) }),
        }
    }

    /// Sessions that were not used since then have ended.
    fn horizon(&self) -> i64 {
        millis(SystemTime::now()) - i64::try_from(self.bounds.retention.as_millis()).unwrap_or(i64::MAX)
    }
}

/// Does jobs until all senders are gone. Jobs that wait together share one transaction.
fn work(connection: &Connection, jobs: &Receiver<Job>, health: &Health) {
    let _ending = Ending(health);
    while let Ok(first) = jobs.recv() {
        let changes = connection.total_changes();
        let begun = execute(connection, "BEGIN");
        // Of what waits already: no job is held back for the sake of a larger group.
        let group = std::iter::once(first).chain(jobs.try_iter()).take(MAX_GROUP);
        let done: Vec<_> = group.map(|job| job(connection)).collect();
        let written = begun.and_then(|()| execute(connection, "COMMIT")).map_err(|error| failed(&error));
        if written.is_err() && !connection.is_autocommit() {
            // A transaction that stays open would show later jobs what was never written.
            let _ = connection.execute_batch("ROLLBACK");
        }
        // Before the answers: a client that has one may ask next whether the server is ready.
        match written.as_ref().err().or_else(|| done.iter().find_map(|done| done.failed.as_ref())) {
            Some(error) => health.note_failure(error),
            None if connection.total_changes() > changes => health.note_write(),
            None => {}
        }
        for Done { answer, .. } in done {
            answer(written.clone());
        }
    }
}

impl SessionStore for EmbeddedStore {
    fn open(&self, session: SessionId, record: SessionRecord, chat: Option<ChatId>) -> StoreFuture<Opened> {
        let (horizon, bounds) = (self.horizon(), self.bounds);
        self.ask("open", move |connection| {
            let before = match &chat {
                Some(chat) => serving(connection, &record.owner, chat, horizon)?,
                None => None,
            };
            let ended = insert(connection, session, &record, bounds.sessions_per_user)?;
            if let Some(chat) = &chat {
                give_chat(connection, &record.owner, chat, session, bounds.chats_per_user)?;
            }
            // A session that had to go for this one has nothing to hand on.
            Ok(Opened { before: before.filter(|before| !ended.contains(before)), ended })
        })
    }

    fn enter_chat(
        &self,
        owner: UserKey,
        chat: ChatId,
        new: Option<(SessionId, SessionRecord)>,
    ) -> StoreFuture<Entered> {
        let (horizon, bounds) = (self.horizon(), self.bounds);
        self.ask("enter_chat", move |connection| {
            let serving = serving(connection, &owner, &chat, horizon)?;
            let (None, Some((session, record))) = (serving, new) else {
                return Ok(Entered { session: serving, ended: Vec::new() });
            };
            let ended = insert(connection, session, &record, bounds.sessions_per_user)?;
            give_chat(connection, &owner, &chat, session, bounds.chats_per_user)?;
            Ok(Entered { session: Some(session), ended })
        })
    }

    fn bind_chat(&self, owner: UserKey, chat: ChatId, session: SessionId) -> StoreFuture<()> {
        let (horizon, most) = (self.horizon(), self.bounds.chats_per_user);
        self.ask("bind_chat", move |connection| {
            let mut lives = connection.prepare_cached("SELECT 1 FROM sessions WHERE id = ?")?;
            if serving(connection, &owner, &chat, horizon)?.is_none() && lives.exists([session.to_string()])? {
                give_chat(connection, &owner, &chat, session, most)?;
            }
            Ok(())
        })
    }

    fn chats(&self, owner: UserKey) -> StoreFuture<BTreeMap<ChatId, SessionId>> {
        let (store, horizon) = (self.clone(), self.horizon());
        Box::pin(async move {
            let (mut chats, mut last) = (BTreeMap::new(), String::new());
            loop {
                let (owner, after) = (owner.clone(), last);
                let page = store.ask("chats", move |connection| page_of_chats(connection, &owner, &after, horizon));
                let (page, may_go_on) = page.await?;
                last = page.last().map(|(chat, _)| chat.clone()).unwrap_or_default();
                let read = page.iter().filter_map(|(chat, session)| ChatId::parse(chat).zip(SessionId::parse(session)));
                chats.extend(read);
                if !may_go_on {
                    return Ok(chats);
                }
            }
        })
    }

    fn load(&self, session: SessionId, owner: &UserKey) -> StoreFuture<Option<SessionRecord>> {
        let (horizon, owner) = (self.horizon(), owner.clone());
        self.ask("load", move |connection| {
            let mut query = connection.prepare_cached("SELECT * FROM sessions WHERE id = ? AND used > ?")?;
            let found = query.query_row(params![session.to_string(), horizon], record).optional()?.flatten();
            Ok(found.filter(|record| record.owner == owner))
        })
    }

    fn version(&self, session: SessionId, _owner: &UserKey) -> StoreFuture<Option<u64>> {
        let horizon = self.horizon();
        self.ask("version", move |connection| {
            let mut query = connection.prepare_cached("SELECT version FROM sessions WHERE id = ? AND used > ?")?;
            query.query_row(params![session.to_string(), horizon], |row| row.get(0).map(version)).optional()
        })
    }

    fn save(&self, session: SessionId, record: SessionRecord, over: Option<u64>) -> StoreFuture<Option<u64>> {
        let horizon = self.horizon();
        let over = over.map(|version| i64::try_from(version).unwrap_or(i64::MAX));
        self.ask("save", move |connection| {
            let mut update = connection.prepare_cached(
                "UPDATE sessions SET state = ?, used = ?, version = version + 1
                 WHERE id = ? AND used > ? AND version = ifnull(?, version) RETURNING version",
            )?;
            let (state, used) = (json::to_string(&record.state), millis(SystemTime::now()));
            let values = params![state, used, session.to_string(), horizon, over];
            update.query_row(values, |row| row.get(0).map(version)).optional()
        })
    }

    fn touch(&self, used: Vec<(UserKey, SessionId, SystemTime)>) -> StoreFuture<()> {
        self.ask("touch", move |connection| {
            let mut update = connection.prepare_cached("UPDATE sessions SET used = max(used, ?) WHERE id = ?")?;
            for (_, session, used) in used {
                update.execute(params![millis(used), session.to_string()])?;
            }
            Ok(())
        })
    }

    fn close(&self, session: SessionId, owner: UserKey) -> StoreFuture<bool> {
        let horizon = self.horizon();
        self.ask("close", move |connection| {
            let mut delete = connection
                .prepare_cached("DELETE FROM sessions WHERE id = ? AND workspace = ? AND user = ? AND used > ?")?;
            let id = session.to_string();
            let was_there = delete.execute(params![id, owner.workspace(), owner.user(), horizon])? > 0;
            if was_there {
                connection.prepare_cached("DELETE FROM chats WHERE session = ?")?.execute([id])?;
            }
            Ok(was_there)
        })
    }

    fn claim_run(&self, owner: UserKey, key: Digest, digest: Digest) -> StoreFuture<Option<KeptRun>> {
        self.ask("claim_run", move |connection| statements::claim_run(connection, &owner, key, digest))
    }

    fn settle_run(&self, owner: UserKey, key: Digest, digest: Digest, state: Option<RunState>) -> StoreFuture<()> {
        self.ask("settle_run", move |connection| statements::settle_run(connection, &owner, key, digest, state))
    }

    fn keep_output(&self, owner: UserKey, id: OutputId, output: KeptOutput, ttl: Duration) -> StoreFuture<()> {
        self.ask("keep_output", move |connection| outputs::keep(connection, &owner, id, &output, ttl))
    }

    fn kept_output(&self, owner: UserKey, id: OutputId) -> StoreFuture<Option<KeptOutput>> {
        self.ask("kept_output", move |connection| outputs::kept(connection, &owner, id))
    }

    fn note(&self, key: Digest) -> StoreFuture<Option<String>> {
        self.ask("note", move |connection| notes::get(connection, key))
    }

    fn put_note(&self, key: Digest, text: String, ttl: Option<Duration>) -> StoreFuture<()> {
        self.ask("put_note", move |connection| notes::put(connection, key, &text, ttl))
    }

    fn claim_note(&self, key: Digest, text: String, ttl: Option<Duration>) -> StoreFuture<Option<String>> {
        self.ask("claim_note", move |connection| notes::claim(connection, key, &text, ttl))
    }

    fn put_bytes(&self, key: Digest, bytes: Vec<u8>, ttl: Duration) -> StoreFuture<()> {
        self.ask("put_bytes", move |connection| notes::put_bytes(connection, key, &bytes, ttl))
    }

    fn get_bytes(&self, key: Digest) -> StoreFuture<Option<Vec<u8>>> {
        self.ask("get_bytes", move |connection| notes::bytes(connection, key))
    }

    fn expire(&self) -> StoreFuture<usize> {
        let horizon = self.horizon();
        self.ask("expire", move |connection| {
            statements::forget_runs(connection)?;
            outputs::forget(connection)?;
            notes::expire(connection)?;
            let of_past = "DELETE FROM chats WHERE session IN (SELECT id FROM sessions WHERE used <= ?)";
            connection.prepare_cached(of_past)?.execute([horizon])?;
            connection.prepare_cached("DELETE FROM sessions WHERE used <= ?")?.execute([horizon])
        })
    }

    fn count(&self) -> StoreFuture<Option<usize>> {
        let horizon = self.horizon();
        self.ask("count", move |connection| {
            let mut count = connection.prepare_cached("SELECT count(*) FROM sessions WHERE used > ?")?;
            count.query_row([horizon], |row| row.get::<_, i64>(0)).map(|count| count.try_into().ok())
        })
    }

    fn check(&self) -> StoreFuture<()> {
        let (health, probed) = (Arc::clone(&self.health), Arc::clone(&self.health));
        let checked = self.ask("check", move |connection| health.probe(connection));
        Box::pin(async move {
            // Noted once the probe is committed: a full disk may refuse at the commit.
            if checked.await? {
                probed.note_write();
            }
            Ok(())
        })
    }

    fn trouble(&self) -> Option<Trouble> {
        self.health.trouble()
    }
}

fn failed(error: &rusqlite::Error) -> StoreError {
    StoreError::Failed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ids::SessionId,
        protocol::tools::{ToolFilter, ToolMode},
        store::record::SessionState,
    };

    const BOUNDS: Bounds =
        Bounds { retention: Duration::from_secs(60), sessions_per_user: 10_000, chats_per_user: 10_000 };

    fn record() -> SessionRecord {
        let state = SessionState {
            revision: None,
            client: None,
            opens_pages: false,
            mode: ToolMode::Static,
            filter: ToolFilter::default(),
            output_tokens: None,
            apps: None,
            tools: vec![],
            home: None,
        };
        SessionRecord { owner: UserKey::new("w", "ann"), opened: SystemTime::now(), version: 0, state }
    }

    #[actix::test]
    async fn a_store_that_refused_writes_is_healthy_again_after_some_that_it_took() {
        let store = EmbeddedStore::open(Path::new(""), BOUNDS).unwrap();
        let limit_pages = async |pages: i64| {
            let limit = move |connection: &Connection| connection.pragma_update(None, "max_page_count", pages);
            store.ask("limit", limit).await.unwrap();
        };
        let open = async || store.open(SessionId::draw(), record(), None).await;
        open().await.unwrap();
        assert_eq!(store.trouble(), None);

        // A file that may not grow is what a full disk looks like from here.
        limit_pages(1).await;
        while open().await.is_ok() {}
        assert_eq!(store.trouble(), Some(Trouble::Refusing));
        store.count().await.unwrap();
        assert_eq!(store.trouble(), Some(Trouble::Refusing), "reads tell nothing");
        store.check().await.unwrap();
        assert!(open().await.is_err());
        limit_pages(1000).await;
        for _ in 0..2 {
            store.check().await.unwrap();
            assert_eq!(store.trouble(), Some(Trouble::Refusing), "one more has to go well");
        }
        open().await.unwrap();
        assert_eq!(store.trouble(), None);
    }

    #[actix::test]
    async fn a_store_whose_thread_has_ended_says_so() {
        let store = EmbeddedStore::open(Path::new(""), BOUNDS).unwrap();
        let panic = |_: &Connection| -> rusqlite::Result<()> { panic!("on purpose") };
        assert_eq!(store.ask("panic", panic).await, Err(StoreError::Stopped));
        while store.check().await != Err(StoreError::Stopped) {}
        assert_eq!(store.trouble(), Some(Trouble::Stopped));
    }
}

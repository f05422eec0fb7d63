//! Where sessions and chats are kept, so that they outlive this process.
//!
//! What a session needs to go on is a [`SessionRecord`]; a token is never among it. What a [`SessionStore`] has answered
//! survives the end of the process, however it comes.

pub mod embedded;
pub mod news;
pub mod outputs;
pub mod record;
pub mod redis;
pub mod runs;

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

pub use embedded::EmbeddedStore;
pub use news::News;
pub use record::{EnabledTool, SessionRecord};
pub use redis::{Peers, RedisStore};
pub use runs::{KeptRun, RunState};

use crate::{
    config::Settings,
    error::Error,
    ids::{ChatId, SessionId, UserKey},
};

/// Returns the store that the settings ask for.
///
/// # Errors
/// [`StoreError`], where it can't be used.
pub fn open(settings: &Settings) -> Result<Arc<dyn SessionStore>, StoreError> {
    let store = &settings.store;
    let bounds = Bounds {
        retention: settings.sessions.retention,
        sessions_per_user: settings.sessions.max_per_user.get(),
        chats_per_user: settings.sessions.max_chats_per_user.get(),
    };
    if store.url.is_empty() {
        return Ok(Arc::new(EmbeddedStore::open(&store.path, bounds)?));
    }
    let streams = &settings.streams;
    // The last event of a stream may be as far from the one before as an action takes.
    let lasting = streams.log + settings.membrane.run_timeout;
    let room = redis::Room { events: streams.log_events.get(), bytes: streams.log_bytes.get(), lasting };
    let authorities = (!store.ca_file.as_os_str().is_empty()).then_some(&*store.ca_file);
    Ok(Arc::new(RedisStore::open(store.url.reveal(), authorities, store.timeout, bounds, room)?))
}

/// How much a store keeps, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// How long a session is kept after its last use.
    pub retention: Duration,
    /// Sessions of one user. Beyond them, the session not used for longest ends.
    pub sessions_per_user: usize,
    /// Chats of one user. Beyond them, the chat that was bound first is forgotten.
    pub chats_per_user: usize,
}

/// Result of opening a session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Opened {
    /// The session that had the chat before.
    pub before: Option<SessionId>,
    /// Sessions of the user that ended to make room.
    pub ended: Vec<SessionId>,
}

/// Result of entering a chat.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entered {
    /// The session of the chat, if it has one.
    pub session: Option<SessionId>,
    /// Sessions of the user that ended to make room.
    pub ended: Vec<SessionId>,
}

/// Answer of a store, given once the change is safe.
pub type StoreFuture<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

/// Keeps sessions, and which session serves which chat. A session that has not been used for the retention period is as
/// good as gone.
pub trait SessionStore: Send + Sync {
    /// Keeps a new session, which takes its chat over.
    fn open(&self, session: SessionId, record: SessionRecord, chat: Option<ChatId>) -> StoreFuture<Opened>;

    /// Returns the session of a chat; if it has none, `new` is kept as that, where there is one.
    fn enter_chat(&self, owner: UserKey, chat: ChatId, new: Option<(SessionId, SessionRecord)>)
    -> StoreFuture<Entered>;

    /// Gives a chat that has no session this one.
    fn bind_chat(&self, owner: UserKey, chat: ChatId, session: SessionId) -> StoreFuture<()>;

    /// Returns the chats of a user with their sessions. They are read in pages, between which other operations run.
    fn chats(&self, owner: UserKey) -> StoreFuture<BTreeMap<ChatId, SessionId>>;

    /// Returns a session, if it is there.
    fn load(&self, session: SessionId) -> StoreFuture<Option<SessionRecord>>;

    /// Returns the version of what is kept of a session, if that is there.
    fn version(&self, session: SessionId) -> StoreFuture<Option<u64>>;

    /// Replaces the state of a session, if it has the version `over` or that does not matter; gives the version that it has
    /// by this. One that has ended stays so.
    fn save(&self, session: SessionId, record: SessionRecord, over: Option<u64>) -> StoreFuture<Option<u64>>;

    /// Notes when sessions were used last.
    fn touch(&self, used: Vec<(SessionId, SystemTime)>) -> StoreFuture<()>;

    /// Ends a session of `owner`, and frees its chats; tells whether there was one.
    fn close(&self, session: SessionId, owner: UserKey) -> StoreFuture<bool>;

    /// Claims a call of `owner` under a key. Gives nothing where it is the caller's to run from now on, else what is kept of it.
    fn claim_run(&self, owner: UserKey, key: runs::Digest, digest: runs::Digest) -> StoreFuture<Option<KeptRun>>;

    /// Notes what became of a call that was claimed and still runs. Without a state it is forgotten, as one that was not run.
    fn settle_run(
        &self,
        owner: UserKey,
        key: runs::Digest,
        digest: runs::Digest,
        state: Option<RunState>,
    ) -> StoreFuture<()>;

    /// Keeps an output of `owner` for a time. The oldest of theirs go where they have more bytes than
    /// [`outputs::MAX_OF_USER`].
    fn keep_output(
        &self,
        owner: UserKey,
        id: outputs::OutputId,
        output: outputs::KeptOutput,
        lasting: Duration,
    ) -> StoreFuture<()>;

    /// Returns an output of `owner`, if it is still kept.
    fn kept_output(&self, owner: UserKey, id: outputs::OutputId) -> StoreFuture<Option<outputs::KeptOutput>>;

    /// Returns a note: a short text that is kept under a key.
    fn note(&self, key: runs::Digest) -> StoreFuture<Option<String>>;

    /// Keeps a note in place of any that is there: for a time, or for good.
    fn put_note(&self, key: runs::Digest, text: String, lasting: Option<Duration>) -> StoreFuture<()>;

    /// Keeps a note unless there is one, which is given. Of several who claim at once, one gets nothing.
    fn claim_note(&self, key: runs::Digest, text: String, lasting: Option<Duration>) -> StoreFuture<Option<String>>;

    /// Ends the sessions whose retention is over, and tells how many there were.
    fn expire(&self) -> StoreFuture<usize>;

    /// Returns how many sessions are kept, where the store is this server's alone.
    fn count(&self) -> StoreFuture<Option<usize>> {
        Box::pin(async { Ok(None) })
    }

    /// Checks whether the store still takes writes, as each heartbeat does.
    fn check(&self) -> StoreFuture<()>;

    /// Returns the trouble that the store is in, if there is some.
    fn trouble(&self) -> Option<Trouble>;

    /// Returns the trouble in the store's own words, for an operator at a terminal.
    fn details(&self) -> Option<String> {
        self.trouble().map(|trouble| trouble.to_string())
    }

    /// Returns the other servers that use the store, where others can.
    fn peers(&self) -> Option<Peers> {
        None
    }
}

/// Trouble of a store, in words that show neither its address nor its own messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The file refuses what is written to it.
    #[error("sessions can't be kept: the log says why")]
    Refusing,
    /// The file is no longer where it was opened.
    #[error("the store's file was deleted or moved: sessions end with this process")]
    FileGone,
    /// The store's thread has ended.
    #[error("its thread has ended")]
    Stopped,
    /// Redis has not answered since this server started.
    #[error("Redis has not answered yet: the log says why")]
    NeverReached,
    /// Redis was written by a newer version of this server.
    #[error("Redis has a newer format than this server knows")]
    Newer,
    /// Redis worked before and does not now.
    #[error("Redis can't be used: the log says why")]
    Away,
}

impl Trouble {
    /// Returns whether all servers that share the store are in the same trouble, so that none would serve better. A server that
    /// was never connected is not counted: a wrong `store.url` must not replace servers that work.
    #[must_use]
    pub fn is_everybodys(self) -> bool {
        self == Self::Away
    }
}

/// Failure of an operation of the store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The file can't be used at all.
    #[error("can't open the store {path}: {reason}")]
    Open {
        /// Path of the file.
        path: String,
        /// Error of the system.
        reason: String,
    },
    /// Another process has the file.
    #[error("the store {path} is in use by another server: give each its own store.path")]
    InUse {
        /// Path of the file.
        path: String,
    },
    /// The file was written by a later version of this server.
    #[error("the store {path} has format {found}, and this server knows {known} at most: use the newer server again")]
    Newer {
        /// Path of the file.
        path: String,
        /// Format that the file has.
        found: i64,
        /// The newest that is known here.
        known: i64,
    },
    /// The file is damaged, or none of ours.
    #[error("the store {path} is damaged ({reason}): restore it, or move it away to begin with no sessions")]
    Damaged {
        /// Path of the file.
        path: String,
        /// Damage that was found.
        reason: String,
    },
    /// More is asked of it than it can do.
    #[error("the store is too busy")]
    Busy,
    /// The store could not do what was asked of it.
    #[error("the store failed: {0}")]
    Failed(String),
    /// Its thread has ended, which only a restart mends.
    #[error("the store has stopped")]
    Stopped,
    /// The file of `store.ca_file` can't be used.
    #[error("can't use store.ca_file {path}: {reason}")]
    Authorities {
        /// Path of the file of authorities.
        path: String,
        /// Reason why the file can't be used.
        reason: String,
    },
}

impl From<StoreError> for Error {
    fn from(_: StoreError) -> Self {
        // The store has logged what is wrong, which is nothing that clients could change.
        Self::StoreUnavailable
    }
}

/// Returns the milliseconds since 1970.
fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Returns the time so many milliseconds after the beginning of 1970.
fn from_millis(millis: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis.try_into().unwrap_or(0))
}

//! Interface of a store: what any of them must do for the sessions, the chats and the calls of users.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    SessionRecord,
    outputs::{KeptOutput, OutputId},
    replicas::{ReplicaBus, SharedEventLog},
    runs::{Digest, KeptRun, RunState},
    trouble::{StoreFuture, Trouble},
};
use crate::{
    ids::{ChatId, SessionId, UserKey},
    user_limits::fleet::FleetLimits,
};

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

    /// Returns a session of `owner`, if it is there.
    fn load(&self, session: SessionId, owner: &UserKey) -> StoreFuture<Option<SessionRecord>>;

    /// Returns the version of what is kept of a session of `owner`, if that is there.
    fn version(&self, session: SessionId, owner: &UserKey) -> StoreFuture<Option<u64>>;

    /// Replaces the state of a session, if it has the version `over` or that does not matter; gives the version that it has
    /// by this. One that has ended stays so.
    fn save(&self, session: SessionId, record: SessionRecord, over: Option<u64>) -> StoreFuture<Option<u64>>;

    /// Notes when sessions of users were used last.
    fn touch(&self, used: Vec<(UserKey, SessionId, SystemTime)>) -> StoreFuture<()>;

    /// Ends a session of `owner`, and frees its chats; tells whether there was one.
    fn close(&self, session: SessionId, owner: UserKey) -> StoreFuture<bool>;

    /// Claims a call of `owner` under a key. Gives nothing where it is the caller's to run from now on, else what is kept of it.
    fn claim_run(&self, owner: UserKey, key: Digest, digest: Digest) -> StoreFuture<Option<KeptRun>>;

    /// Notes what became of a call that was claimed and still runs. Without a state it is forgotten, as one that was not run.
    fn settle_run(&self, owner: UserKey, key: Digest, digest: Digest, state: Option<RunState>) -> StoreFuture<()>;

    /// Keeps an output of `owner` for a time. The oldest of theirs go where they have more bytes than
    /// [`MAX_OF_USER`](super::outputs::MAX_OF_USER).
    fn keep_output(&self, owner: UserKey, id: OutputId, output: KeptOutput, ttl: Duration) -> StoreFuture<()>;

    /// Returns an output of `owner`, if it is still kept.
    fn kept_output(&self, owner: UserKey, id: OutputId) -> StoreFuture<Option<KeptOutput>>;

    /// Returns a note: a short text that is kept under a key.
    fn note(&self, key: Digest) -> StoreFuture<Option<String>>;

    /// Keeps a note in place of any that is there: for a time, or for good.
    fn put_note(&self, key: Digest, text: String, ttl: Option<Duration>) -> StoreFuture<()>;

    /// Keeps a note unless there is one, which is given. Of several who claim at once, one gets nothing.
    fn claim_note(&self, key: Digest, text: String, ttl: Option<Duration>) -> StoreFuture<Option<String>>;

    /// Keeps bytes under a key for a time, in place of any that are there.
    fn put_bytes(&self, key: Digest, bytes: Vec<u8>, ttl: Duration) -> StoreFuture<()>;

    /// Returns the bytes that are kept under a key.
    fn get_bytes(&self, key: Digest) -> StoreFuture<Option<Vec<u8>>>;

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

    /// Returns the bus to the other servers that use the store, where others can.
    fn bus(&self) -> Option<&Arc<dyn ReplicaBus>> {
        None
    }

    /// Returns the log of events that the servers share: there is one wherever there is a bus.
    fn event_log(&self) -> Option<&Arc<dyn SharedEventLog>> {
        None
    }

    /// Returns what the servers count together of users' calls and streams: there is that wherever there is a bus.
    fn fleet_limits(&self) -> Option<&Arc<dyn FleetLimits>> {
        None
    }
}

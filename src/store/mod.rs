//! Where sessions and chats are kept, so that they outlive this process.
//!
//! What a session needs to go on is a [`SessionRecord`]; a token is never among it. What a [`SessionStore`] has answered
//! survives the end of the process, however it comes.

pub mod embedded;
pub mod record;

use std::{collections::BTreeMap, pin::Pin, time::SystemTime};

pub use embedded::EmbeddedStore;
pub use record::{EnabledTool, SessionRecord};

use crate::{
    error::Error,
    ids::{ChatId, SessionId, UserKey},
};

/// What a store answers, once it is safe.
pub type StoreFuture<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

/// Keeps sessions, and which session serves which chat. A session that has not been used for the retention period is as
/// good as gone.
pub trait SessionStore: Send + Sync {
    /// Keeps a new session, which takes its chat over; gives the session that had it.
    fn open(&self, session: SessionId, record: SessionRecord, chat: Option<ChatId>) -> StoreFuture<Option<SessionId>>;

    /// The session of a chat; if it has none, `new` is kept as that, where there is one.
    fn enter_chat(
        &self,
        owner: UserKey,
        chat: ChatId,
        new: Option<(SessionId, SessionRecord)>,
    ) -> StoreFuture<Option<SessionId>>;

    /// Gives a chat that has no session this one.
    fn bind_chat(&self, owner: UserKey, chat: ChatId, session: SessionId) -> StoreFuture<()>;

    /// The chats of a user with their sessions.
    fn chats(&self, owner: UserKey) -> StoreFuture<BTreeMap<ChatId, SessionId>>;

    /// A session, if it is there.
    fn load(&self, session: SessionId) -> StoreFuture<Option<SessionRecord>>;

    /// Replaces what is kept of a session; one that has ended stays so.
    fn save(&self, session: SessionId, record: SessionRecord) -> StoreFuture<()>;

    /// Notes when sessions were used last.
    fn touch(&self, used: Vec<(SessionId, SystemTime)>) -> StoreFuture<()>;

    /// Ends a session of `owner`, and frees its chats; tells whether there was one.
    fn close(&self, session: SessionId, owner: UserKey) -> StoreFuture<bool>;

    /// Ends the sessions whose retention is over, and tells how many there were.
    fn expire(&self) -> StoreFuture<usize>;

    /// How many sessions are kept, where the store is this server's alone.
    fn count(&self) -> StoreFuture<Option<usize>> {
        Box::pin(async { Ok(None) })
    }

    /// Whether the last thing asked of the store was done.
    fn is_healthy(&self) -> bool;
}

/// Why something can't be kept, or what is kept can't be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The file can't be used at all.
    #[error("can't open the store {path}: {reason}")]
    Open {
        /// Where it is.
        path: String,
        /// What the system says.
        reason: String,
    },
    /// Another process has the file.
    #[error("the store {path} is in use by another server: give each its own store.path")]
    InUse {
        /// Where it is.
        path: String,
    },
    /// The file was written by a later version of this server.
    #[error("the store {path} has format {found}, and this server knows {known} at most: use the newer server again")]
    Newer {
        /// Where it is.
        path: String,
        /// Of the file.
        found: i64,
        /// The newest that is known here.
        known: i64,
    },
    /// The file is damaged, or none of ours.
    #[error("the store {path} is damaged ({reason}): restore it, or move it away to begin with no sessions")]
    Damaged {
        /// Where it is.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// More is asked of it than it can do.
    #[error("the store is too busy")]
    Busy,
    /// It could not do what was asked.
    #[error("the store failed: {0}")]
    Failed(String),
}

impl From<StoreError> for Error {
    fn from(_: StoreError) -> Self {
        // The store has logged what is wrong, which is nothing that clients could change.
        Self::StoreUnavailable
    }
}

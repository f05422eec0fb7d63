//! Answers of stores, and their failures as operators are told of them; clients only learn that the store is away.

use std::pin::Pin;

use crate::error::Error;

/// Answer of a store, given once the change is safe.
pub type StoreFuture<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

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
    /// A file that TLS needs can't be used.
    #[error("can't use {setting} {path}: {reason}")]
    TlsFile {
        /// Setting that names the file.
        setting: &'static str,
        /// Path of the file.
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

//! Sessions and chats in the store, on behalf of all workers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::left_tools::leave_tools;
use crate::{
    error::Error,
    ids::{SessionId, UserKey},
    store::SessionStore,
};

/// Store of the sessions, with the count of those that have ended. Cheap to clone, and the same on every thread.
#[derive(Clone)]
pub struct Storage(Arc<Inner>);

struct Inner {
    store: Arc<dyn SessionStore>,
    /// For how long a session is kept after its last use.
    retention: Duration,
    /// Count of ended sessions. Once it has moved, a chat that was refused to a session may be free.
    ended: AtomicU64,
}

impl Storage {
    /// Returns the storage by a store that keeps sessions for so long after their last use.
    #[must_use]
    pub fn new(store: Arc<dyn SessionStore>, retention: Duration) -> Self {
        Self(Arc::new(Inner { store, retention, ended: AtomicU64::new(0) }))
    }

    /// Returns the store itself.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn SessionStore> {
        &self.0.store
    }

    /// Returns the number of sessions that have ended.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.0.ended.load(Ordering::Relaxed)
    }

    /// One more session has ended, or some have.
    pub fn note_end(&self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends a session that is kept, and frees its chats.
    ///
    /// # Errors
    /// [`Error::SessionNotFound`] where the user has no such session, [`Error::StoreUnavailable`].
    pub async fn close(&self, session: SessionId, user: UserKey) -> Result<(), Error> {
        let Inner { store, retention, .. } = &*self.0;
        // Before the session ends: its chats may be in another's hands right afterwards.
        leave_tools(&**store, *retention, session, &user).await?;
        let was_there = store.close(session, user.clone()).await?;
        if !was_there {
            return Err(Error::SessionNotFound);
        }
        log::info!(target: "session", session:%, user:%; "session closed");
        self.note_end();
        Ok(())
    }

    /// Ends a session that is kept, where no request waits for the outcome.
    pub async fn end(&self, session: SessionId, user: UserKey) {
        match self.0.store.close(session, user).await {
            Ok(_) => self.note_end(),
            // The session ends at the latest when its retention is over.
            Err(error) => log::warn!(session:%; "can't be ended: {error}"),
        }
    }

    /// Ends all that are kept and whose retention is over.
    pub async fn expire(&self) {
        match self.0.store.expire().await {
            Ok(0) => {}
            Ok(count) => {
                log::info!(target: "session", "{count} sessions expired");
                self.note_end();
            }
            Err(error) => log::warn!("sessions past their retention can't be ended: {error}"),
        }
    }
}

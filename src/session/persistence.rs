//! Sessions that are in the store, too.

use std::{sync::Arc, time::SystemTime};

use super::profile::Profile;
use crate::{
    ids::{ChatId, SessionId, UserKey},
    store::{EnabledTool, Opened, ReplicaBus, SessionRecord, SessionStore, StoreFuture},
};

/// Place and identity of a session in the store.
#[derive(Clone)]
pub struct Persistence {
    /// Store that has the session.
    pub store: Arc<dyn SessionStore>,
    /// Id of the session.
    pub session: SessionId,
    /// User that the session belongs to.
    pub owner: UserKey,
    /// Time at which the session was opened.
    pub opened: SystemTime,
    /// The server that has its stream, if it is a session of HTTP+SSE.
    pub home: Option<String>,
    /// The version that is in memory.
    pub version: u64,
}

impl Persistence {
    /// Keeps a session that is new, which may take a chat over.
    #[must_use]
    pub fn open(&self, profile: &Profile, chat: Option<ChatId>) -> StoreFuture<Opened> {
        self.store.open(self.session, self.record(profile, Vec::new()), chat)
    }

    /// Replaces the state in the store, and gives the version that this makes. Nothing is written where `over` names another
    /// version than the store has.
    #[must_use]
    pub fn save(&self, profile: &Profile, tools: Vec<EnabledTool>, over: Option<u64>) -> StoreFuture<Option<u64>> {
        self.store.save(self.session, self.record(profile, tools), over)
    }

    fn record(&self, profile: &Profile, tools: Vec<EnabledTool>) -> SessionRecord {
        let mut record = profile.record(self.owner.clone(), self.opened, tools);
        record.state.home.clone_from(&self.home);
        record
    }

    /// Returns the server that has the stream of this HTTP+SSE session, if that is another than this.
    #[must_use]
    pub fn home_elsewhere(&self) -> Option<(&Arc<dyn ReplicaBus>, &str)> {
        let (bus, home) = (self.store.bus()?, self.home.as_deref()?);
        (home != bus.replica()).then_some((bus, home))
    }
}

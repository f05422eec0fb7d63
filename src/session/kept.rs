//! Sessions that are in the store, too.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use super::{Shards, messages::Inherit, profile::Profile};
use crate::{
    allowance::{Allowance, Permit, note_limited},
    error::Error,
    ids::{ChatId, SessionId, UserKey},
    membrane::Caller,
    store::{EnabledTool, Entered, News, Opened, Peers, SessionRecord, SessionStore, StoreFuture, Trouble},
    workers::hash,
};

/// Place and identity of a session in the store.
#[derive(Clone)]
pub struct Kept {
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

impl Kept {
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
    pub fn home_elsewhere(&self) -> Option<(Peers, &str)> {
        let (peers, home) = (self.store.peers()?, self.home.as_deref()?);
        (home != peers.replica()).then_some((peers, home))
    }
}

/// Requests to the store on behalf of all shards.
impl Shards {
    /// Returns the chats of a user with their sessions, as `GET /mcp/sessions` gives them.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn chats(&self, user: UserKey) -> Result<BTreeMap<ChatId, SessionId>, Error> {
        Ok(self.store().chats(user).await?)
    }

    /// Returns the session of a caller's chat, which is opened if the chat has none.
    ///
    /// # Errors
    /// [`Error::TooMany`] and [`Error::Full`] where none can be opened; [`Error::StoreUnavailable`].
    pub async fn enter_chat(&self, caller: &Caller, chat: ChatId, profile: Profile) -> Result<SessionId, Error> {
        let allowance = caller.allowance();
        // Most chats have a session, for which no other has to leave memory. The permit only tells that there is room:
        // it is given back here, and the session's actor takes its own when it comes from the store.
        let refused = match allowance.session() {
            Ok(_permit) => return self.enter_or_open(caller, chat, Some(profile)).await?.ok_or(Error::Internal),
            Err(refused) => refused,
        };
        if let Some(session) = self.enter_or_open(caller, chat.clone(), None).await? {
            return Ok(session);
        }
        if refused != Error::Full {
            return Err(refused);
        }
        let _permit = self.session_permit(allowance).await?;
        self.enter_or_open(caller, chat, Some(profile)).await?.ok_or(Error::Internal)
    }

    /// Returns the session of a chat; if it has none, a new one of this profile, where there is one.
    async fn enter_or_open(
        &self,
        caller: &Caller,
        chat: ChatId,
        new: Option<Profile>,
    ) -> Result<Option<SessionId>, Error> {
        let user = caller.user();
        // A chat keeps to no connection, so its session lives on the user's shard, beside the catalog.
        let id = self.draw_id(self.registries().worker_of(hash(user)));
        let inherits = new.as_ref().is_some_and(|profile| profile.scope.mode.lists_enabled());
        let new = new.map(|profile| (id, profile.record(user.clone(), SystemTime::now(), Vec::new())));
        let Entered { session, ended } = self.store().enter_chat(user.clone(), chat.clone(), new).await?;
        self.end_here(user, ended).await;
        if session == Some(id) {
            log::info!(target: "session", session:% = id, user:%; "session opened");
            if inherits && let Some(estate) = self.left_to(user, &chat).await? {
                self.deliver(id, user.clone(), None, Inherit(estate)).await?;
            }
        }
        Ok(session)
    }

    /// Takes a session from an allowance. Where all users together have too many, idle ones leave memory first.
    ///
    /// # Errors
    /// [`Error::TooMany`], and [`Error::Full`] where no session is idle.
    pub async fn session_permit(&self, allowance: &Arc<Allowance>) -> Result<Permit, Error> {
        match allowance.session() {
            Err(Error::Full) => {}
            other => return other,
        }
        self.clone().make_room().await;
        allowance.session().inspect_err(|error| {
            // Counted here alone: the first refusal only makes idle sessions leave.
            if *error == Error::Full {
                note_limited("all_sessions");
            }
        })
    }

    /// Ends sessions of a user that are no longer kept, wherever they are in memory.
    pub(super) async fn end_here(&self, user: &UserKey, ended: Vec<SessionId>) {
        for session in ended {
            log::info!(target: "session", session:%, user:%; "session ended: its user has opened too many others since");
            if let Some(peers) = self.peers() {
                // The command runs on without its future. A replica that misses the news finds no session in the store
                // at the next request.
                drop(peers.tell(&News::Closed(session)));
            }
            self.heed_news(News::Closed(session)).await;
        }
    }

    /// Ends a session that is kept, and frees its chats.
    pub(super) async fn close_kept(&self, session: SessionId, user: UserKey) -> Result<(), Error> {
        // Before the session ends: its chats may be in another's hands right afterwards.
        self.leave_tools(session, &user).await?;
        let was_there = self.store().close(session, user.clone()).await?;
        if !was_there {
            return Err(Error::SessionNotFound);
        }
        log::info!(target: "session", session:%, user:%; "session closed");
        self.note_end();
        Ok(())
    }

    /// Ends a session that is kept, where no request waits for the outcome.
    pub(super) async fn end_kept(&self, session: SessionId, user: UserKey) {
        match self.store().close(session, user).await {
            Ok(_) => self.note_end(),
            // The session ends at the latest when its retention is over.
            Err(error) => log::warn!(session:%; "can't be ended: {error}"),
        }
    }

    /// Ends all that are kept and whose retention is over.
    pub(super) async fn expire_kept(&self) {
        match self.store().expire().await {
            Ok(0) => {}
            Ok(count) => {
                log::info!(target: "session", "{count} sessions expired");
                self.note_end();
            }
            Err(error) => log::warn!("sessions past their retention can't be ended: {error}"),
        }
    }

    /// Why sessions can't be kept, if they can't.
    #[must_use]
    pub fn store_trouble(&self) -> Option<Trouble> {
        self.store().trouble()
    }
}

//! Chats of users, each served by a session wherever that lives.

use std::{collections::BTreeMap, time::SystemTime};

use super::{
    left_tools::left_to, messages::AdoptChat, permit::session_permit, profile::Profile, registry::Sessions,
    registry::end_everywhere, storage::Storage,
};
use crate::{
    error::Error,
    ids::{ChatId, SessionId, UserKey},
    membrane::Caller,
    store::Entered,
};

/// Chats of all users. Cheap to clone, and the same on every thread.
#[derive(Clone)]
pub struct Chats {
    sessions: Sessions,
    storage: Storage,
}

impl Chats {
    pub(super) fn new(sessions: Sessions, storage: Storage) -> Self {
        Self { sessions, storage }
    }

    /// Returns the chats of a user with their sessions, as `GET /mcp/sessions` gives them.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn of(&self, user: UserKey) -> Result<BTreeMap<ChatId, SessionId>, Error> {
        Ok(self.storage.store().chats(user).await?)
    }

    /// Returns the session of a caller's chat, which is opened if the chat has none.
    ///
    /// # Errors
    /// [`Error::TooMany`] and [`Error::Full`] where none can be opened; [`Error::StoreUnavailable`].
    pub async fn enter(&self, caller: &Caller, chat: ChatId, profile: Profile) -> Result<SessionId, Error> {
        let user_limits = caller.user_limits();
        // Most chats have a session, for which no other has to leave memory. The permit only tells that there is room:
        // it is given back here, and the session's actor takes its own when it comes from the store.
        let refused = match user_limits.session() {
            Ok(_permit) => return self.enter_or_open(caller, chat, Some(profile)).await?.ok_or(Error::Internal),
            Err(refused) => refused,
        };
        if let Some(session) = self.enter_or_open(caller, chat.clone(), None).await? {
            return Ok(session);
        }
        if refused != Error::Full {
            return Err(refused);
        }
        let _permit = session_permit(&self.sessions, user_limits).await?;
        self.enter_or_open(caller, chat, Some(profile)).await?.ok_or(Error::Internal)
    }

    /// Returns the session of a chat; if it has none, a new one of this profile, where there is one.
    async fn enter_or_open(
        &self,
        caller: &Caller,
        chat: ChatId,
        new: Option<Profile>,
    ) -> Result<Option<SessionId>, Error> {
        let (user, store) = (caller.user(), self.storage.store());
        let id = self.sessions.draw_id_beside(user);
        let adopts = new.as_ref().is_some_and(|profile| profile.scope.mode.lists_enabled());
        let new = new.map(|profile| (id, profile.record(user.clone(), SystemTime::now(), Vec::new())));
        let Entered { session, ended } = store.enter_chat(user.clone(), chat.clone(), new).await?;
        end_everywhere(&self.sessions, &self.storage, user, ended);
        if session == Some(id) {
            log::info!(target: "session", session:% = id, user:%; "session opened");
            if adopts && let Some(chat_state) = left_to(&**store, user, &chat).await? {
                self.sessions.deliver(id, user.clone(), None, AdoptChat(chat_state)).await?;
            }
        }
        Ok(session)
    }
}

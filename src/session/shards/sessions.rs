//! Sessions, wherever they live: opening them, reaching them, and ending them.

use actix::{Addr, Handler, Message, Recipient};

use super::Shards;
use crate::{
    error::Error,
    ids::{ChatId, SessionId, UserKey},
    session::{
        SessionActor, SessionRegistry,
        messages::{CloseSession, Deliver, Event, Listen, OpenSession, WhyUnanswered},
        queue,
        token_end::By,
    },
    workers::ask,
};

impl Shards {
    /// Draws a session id that belongs to a shard.
    pub(in crate::session) fn draw_id(&self, shard: usize) -> SessionId {
        // A worker that the HTTP server started in place of a dead one has a number beyond all shards.
        let shard = self.0.registries.worker_of(shard as u64);
        // One id in as many as there are shards fits. So no table has to say where a session lives.
        loop {
            let id = SessionId::draw();
            if self.0.registries.worker_of(id.spread()) == shard {
                return id;
            }
        }
    }

    /// Returns the registry of a session's shard.
    pub(in crate::session) fn registry_of(&self, session: SessionId) -> Result<&Addr<SessionRegistry>, Error> {
        self.0.registries.get(self.0.registries.worker_of(session.spread()))
    }

    /// Opens a session on shard number `shard`.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub async fn open(&self, shard: usize, open: OpenSession) -> Result<SessionId, Error> {
        ask(self.0.registries.get(shard)?, open).await?
    }

    /// Passes a message to a session, on behalf of its owner.
    ///
    /// # Errors
    /// [`Error::SessionNotFound`] where the user has no such session, [`Error::Internal`] where a panic took the answer along,
    /// and those of the message.
    pub async fn deliver<M, T>(
        &self,
        session: SessionId,
        by: impl Into<By>,
        chat: Option<ChatId>,
        message: M,
    ) -> Result<T, Error>
    where
        M: Message<Result = Result<T, Error>> + Send + 'static,
        T: Send + 'static,
        SessionActor: Handler<M>,
        SessionRegistry: Handler<Deliver<M>>,
    {
        let registry = self.registry_of(session)?;
        let By { user, token } = by.into();
        let asked = WhyUnanswered { session, user: user.clone() };
        match registry.send(Deliver { session, user, token, chat, message }).await {
            Ok(answer) => answer,
            // A dropped answer does not tell a session that ended from one that panicked. The registry knows.
            Err(_unanswered) => Err(why(registry, asked).await),
        }
    }

    /// Passes a message to a session without waiting for an answer. It is sent at once, so a guard may call this on drop.
    pub fn tell<M, T>(&self, session: SessionId, by: impl Into<By>, message: M)
    where
        M: Message<Result = Result<T, Error>> + Send + 'static,
        T: Send + 'static,
        SessionActor: Handler<M>,
        SessionRegistry: Handler<Deliver<M>>,
    {
        // A shard that is gone has no sessions.
        if let Ok(registry) = self.registry_of(session) {
            let By { user, token } = by.into();
            registry.do_send(Deliver { session, user, token, chat: None, message });
        }
    }

    /// Ends a session of `user`.
    ///
    /// # Errors
    /// [`Error::SessionNotFound`].
    pub async fn close(&self, session: SessionId, user: UserKey) -> Result<(), Error> {
        let registry = self.registry_of(session)?;
        ask(registry, CloseSession { session, user }).await?
    }

    /// Returns a stream of notifications for a client that has no session, kept by shard number `shard`.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub async fn listen(&self, shard: usize, listen: Listen) -> Result<queue::Receiver<Event>, Error> {
        ask(self.0.registries.get(shard)?, listen).await
    }

    /// Returns where to say that a session's stream has closed.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub fn closer(&self, session: SessionId) -> Result<Recipient<CloseSession>, Error> {
        Ok(self.registry_of(session)?.clone().recipient())
    }
}

/// Finds out why a message was not answered.
async fn why(registry: &Addr<SessionRegistry>, asked: WhyUnanswered) -> Error {
    match ask(registry, asked).await {
        Ok(error) | Err(error) => error,
    }
}

//! Addresses of the registries of all workers, and which of them a session belongs to.
//!
//! A session lives on the worker that opened it, and its id says which: ids are drawn until their number fits the worker.
//! So a client that stays on its connection never crosses threads; a request that arrives elsewhere pays one hop.
//!
//! A directory knows addresses and messages alone, and not what a registry does. So registries hold it, too, by which they
//! reach the sessions of other workers.

use actix::{Actor, Addr, Context, Handler, Message, Recipient};
use futures_util::future::join_all;

use super::{
    messages::{CloseSession, Deliver, Event, Listen, MakeRoom, OpenSession, Refresh, WhyUnanswered},
    queue,
    token_end::By,
};
use crate::{
    error::Error,
    ids::{ChatId, SessionId, UserKey},
    workers::{PerWorker, ask, hash},
};

/// Addresses of all registries. Cheap to clone, and the same on every thread. See the [module](self).
pub struct Directory<R: Actor> {
    registries: PerWorker<R>,
    /// True where other servers may change a session.
    is_replicated: bool,
}

impl<R: Actor> Clone for Directory<R> {
    fn clone(&self) -> Self {
        Self { registries: self.registries.clone(), is_replicated: self.is_replicated }
    }
}

impl<R: Actor<Context = Context<R>>> Directory<R> {
    /// Returns places for the registries of `workers` workers, none of them started. Sessions are caught up with the store
    /// where other servers use that as well.
    #[must_use]
    pub fn new(workers: usize, is_replicated: bool) -> Self {
        Self { registries: PerWorker::new(workers), is_replicated }
    }

    /// Returns the registries by the number of their worker.
    #[must_use]
    pub fn registries(&self) -> &PerWorker<R> {
        &self.registries
    }

    /// Draws a session id that belongs to a worker.
    #[must_use]
    pub fn draw_id(&self, worker: usize) -> SessionId {
        // A worker that the HTTP server started in place of a dead one has a number beyond all places.
        let worker = self.registries.worker_of(worker as u64);
        // One id in as many as there are workers fits. So no table has to say where a session lives.
        loop {
            let id = SessionId::draw();
            if self.registries.worker_of(id.spread()) == worker {
                return id;
            }
        }
    }

    /// Draws an id for a session that keeps to no connection: it lives on the user's worker, beside the catalog.
    #[must_use]
    pub fn draw_id_beside(&self, user: &UserKey) -> SessionId {
        self.draw_id(self.registries.worker_of(hash(user)))
    }

    /// Returns the registry of a session's worker.
    ///
    /// # Errors
    /// [`Error::Internal`] where that has died.
    pub fn registry_of(&self, session: SessionId) -> Result<&Addr<R>, Error> {
        self.registries.get(self.registries.worker_of(session.spread()))
    }

    /// Opens a session on a worker.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub async fn open(&self, worker: usize, open: OpenSession) -> Result<SessionId, Error>
    where
        R: Handler<OpenSession>,
    {
        ask(self.registries.get(worker)?, open).await?
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
        R: Handler<Deliver<M>> + Handler<WhyUnanswered>,
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
        R: Handler<Deliver<M>>,
    {
        // A worker that is gone has no sessions.
        if let Ok(registry) = self.registry_of(session) {
            let By { user, token } = by.into();
            registry.do_send(Deliver { session, user, token, chat: None, message });
        }
    }

    /// Brings a session of `user` up to date, which each request in it needs first.
    ///
    /// # Errors
    /// [`Error::SessionNotFound`]; [`Error::StoreUnavailable`] where the state of the session can't be read.
    pub async fn refresh(&self, session: SessionId, user: &UserKey) -> Result<(), Error>
    where
        R: Handler<Deliver<Refresh>> + Handler<WhyUnanswered>,
    {
        if self.is_replicated { self.deliver(session, user.clone(), None, Refresh).await } else { Ok(()) }
    }

    /// Ends a session of `user`.
    ///
    /// # Errors
    /// [`Error::SessionNotFound`].
    pub async fn close(&self, session: SessionId, user: UserKey) -> Result<(), Error>
    where
        R: Handler<CloseSession>,
    {
        let registry = self.registry_of(session)?;
        ask(registry, CloseSession { session, user }).await?
    }

    /// Returns where to say that a session's stream has closed.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub fn closer(&self, session: SessionId) -> Result<Recipient<CloseSession>, Error>
    where
        R: Handler<CloseSession>,
    {
        Ok(self.registry_of(session)?.clone().recipient())
    }

    /// Returns a stream of notifications for a client that has no session, kept by a worker.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub async fn listen(&self, worker: usize, listen: Listen) -> Result<queue::Receiver<Event>, Error>
    where
        R: Handler<Listen>,
    {
        ask(self.registries.get(worker)?, listen).await
    }

    /// Has idle sessions leave memory, of whatever worker.
    pub async fn make_room(&self)
    where
        R: Handler<MakeRoom>,
    {
        // A worker that is gone has no sessions.
        join_all(self.registries.started().map(|registry| registry.send(MakeRoom))).await;
    }
}

/// Finds out why a message was not answered.
async fn why<R>(registry: &Addr<R>, asked: WhyUnanswered) -> Error
where
    R: Actor<Context = Context<R>> + Handler<WhyUnanswered>,
{
    match ask(registry, asked).await {
        Ok(error) | Err(error) => error,
    }
}

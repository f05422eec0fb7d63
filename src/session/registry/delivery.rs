//! How a message gets to its session, and the answer back to who asked: the registry hands the message on together with the
//! place where the answer goes, so that nothing has to wait in between.

use actix::{
    Addr, AsyncContext, Context, Handler, Message, ResponseFuture,
    dev::{MessageResponse, OneshotSender},
};

use super::SessionRegistry;
use crate::{
    error::Error,
    session::{
        SessionActor,
        messages::{Deliver, Revive},
    },
};

/// To a session: a message that its registry passes on.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Forwarded<M: Message> {
    message: M,
    /// Channel on which the sender waits for the answer.
    reply: Option<OneshotSender<M::Result>>,
}

impl<M> Handler<Forwarded<M>> for SessionActor
where
    M: Message,
    Self: Handler<M>,
{
    type Result = ();

    fn handle(&mut self, Forwarded { message, reply }: Forwarded<M>, ctx: &mut Context<Self>) {
        Handler::<M>::handle(self, message, ctx).handle(ctx, reply);
    }
}

/// Decision of a registry on a message for a session.
pub enum ForwardResult<M: Message> {
    /// Passes the message on to the session, which answers it.
    To(Addr<SessionActor>, M),
    /// Answers later, when something else is done first.
    Later(ResponseFuture<M::Result>),
    /// Answers with an error, without asking any session.
    Refused(Error),
}

impl<M, T> MessageResponse<SessionRegistry, Deliver<M>> for ForwardResult<M>
where
    M: Message<Result = Result<T, Error>> + Send + 'static,
    T: Send + 'static,
    SessionActor: Handler<M>,
{
    fn handle(self, ctx: &mut Context<SessionRegistry>, reply: Option<OneshotSender<M::Result>>) {
        match self {
            // A session that has ended meanwhile drops `reply`, by which the sender learns that nothing answers.
            Self::To(session, message) => session.do_send::<Forwarded<M>>(Forwarded { message, reply }),
            Self::Later(answer) => MessageResponse::<SessionRegistry, Deliver<M>>::handle(answer, ctx, reply),
            Self::Refused(error) => {
                MessageResponse::<SessionRegistry, Deliver<M>>::handle(Err::<T, _>(error), ctx, reply);
            }
        }
    }
}

impl<M, T> Handler<Deliver<M>> for SessionRegistry
where
    M: Message<Result = Result<T, Error>> + Send + 'static,
    T: Send + 'static,
    SessionActor: Handler<M>,
{
    type Result = ForwardResult<M>;

    fn handle(&mut self, deliver: Deliver<M>, ctx: &mut Context<Self>) -> Self::Result {
        if !self.is_here(deliver.session) {
            let addr = ctx.address();
            return ForwardResult::Later(Box::pin(async move {
                let gone = |_| Error::Internal;
                addr.send(Revive { session: deliver.session, user: deliver.user.clone() }).await.map_err(gone)??;
                // Sent once more rather than handed to the session here: it may have ended again by then, which the
                // mailbox knows.
                addr.send(deliver).await.unwrap_or(Err(Error::SessionNotFound))
            }));
        }
        let Deliver { session: id, user, token, chat, message } = deliver;
        let (session, bind) = match self.reach(id, &user, token, chat) {
            Ok(reached) => reached,
            Err(error) => return ForwardResult::Refused(error),
        };
        let Some(chat) = bind else { return ForwardResult::To(session, message) };
        // Sent before the store is awaited, so that no later message overtakes this one.
        let answer = session.send(message);
        let bound = self.common.storage.store().bind_chat(user, chat, id);
        ForwardResult::Later(Box::pin(async move {
            if let Err(error) = bound.await {
                // The chat is only one way to find the session. A request that has the id goes on without it.
                log::warn!(session:% = id; "its chat can't be tied to it: {error}");
            }
            answer.await.unwrap_or(Err(Error::SessionNotFound))
        }))
    }
}

//! An answer that is there at once where everything is in memory, and takes a future where it is not.

use actix::{
    Actor, Message, MessageResult, ResponseFuture,
    dev::{MessageResponse, OneshotSender},
};

/// An answer that is there, or is on its way. Most requests find their catalog in memory: a future, boxed and spawned for each
/// of them, would be a good part of what they cost.
#[must_use]
pub enum MaybeReady<T> {
    /// Answer that is ready, so that nothing is spawned.
    Now(T),
    /// Answer that a future comes to.
    Later(ResponseFuture<T>),
}

impl<T: 'static, E: 'static> MaybeReady<Result<T, E>> {
    /// Goes on with what was found, at once if it is there.
    pub fn and_then<U: 'static>(
        self,
        next: impl FnOnce(T) -> MaybeReady<Result<U, E>> + 'static,
    ) -> MaybeReady<Result<U, E>> {
        match self {
            Self::Now(Ok(found)) => next(found),
            Self::Now(Err(error)) => MaybeReady::Now(Err(error)),
            Self::Later(answer) => MaybeReady::Later(Box::pin(async move { next(answer.await?).get().await })),
        }
    }

    /// Turns what was found into something else.
    pub fn map_ok<U: 'static>(self, turn: impl FnOnce(T) -> U + 'static) -> MaybeReady<Result<U, E>> {
        self.and_then(|found| MaybeReady::Now(Ok(turn(found))))
    }
}

impl<T> MaybeReady<T> {
    /// Waits for the answer.
    pub async fn get(self) -> T {
        match self {
            Self::Now(answer) => answer,
            Self::Later(answer) => answer.await,
        }
    }
}

impl<A, M> MessageResponse<A, M> for MaybeReady<M::Result>
where
    A: Actor,
    M: Message,
{
    fn handle(self, ctx: &mut A::Context, reply: Option<OneshotSender<M::Result>>) {
        match self {
            Self::Now(answer) => MessageResponse::<A, M>::handle(MessageResult::<M>(answer), ctx, reply),
            Self::Later(answer) => MessageResponse::<A, M>::handle(answer, ctx, reply),
        }
    }
}

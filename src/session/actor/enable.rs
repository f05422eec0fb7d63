//! Enabled tools of a session: how they change, and move with a chat to another session.

use actix::{AsyncContext, Context, Handler, Message, ResponseFuture};

use super::SessionActor;
use crate::{
    error::Error,
    session::messages::{AdoptChat, ChatState, Enable, ReleaseChat, Resolved, ToolsChanged},
    tools::EnabledTools,
};

/// To self: tools were enabled when the session had the version `base`, and are kept.
#[derive(Message)]
#[rtype(result = "()")]
struct ToolsSaved {
    tools: EnabledTools,
    version: u64,
    base: u64,
}

impl Handler<ReleaseChat> for SessionActor {
    type Result = Result<ChatState, Error>;

    fn handle(&mut self, _: ReleaseChat, _: &mut Context<Self>) -> Self::Result {
        // Copied: the session keeps its tools. Listeners follow the chat, so they move.
        let enabled = self.profile.scope.mode.lists_enabled().then(|| self.enabled.clone());
        Ok(ChatState { enabled, subscribers: self.streams.take_subscribers() })
    }
}

impl Handler<AdoptChat> for SessionActor {
    type Result = ResponseFuture<Result<(), Error>>;

    fn handle(
        &mut self,
        AdoptChat(ChatState { enabled, subscribers }): AdoptChat,
        ctx: &mut Context<Self>,
    ) -> Self::Result {
        let scope = &self.profile.scope;
        let enabled = match enabled.filter(|_| scope.mode.lists_enabled()) {
            Some(enabled) => {
                // The session before may have been let see more apps than this one.
                let tools = enabled.within(&scope.apps);
                // A request that found this session before it inherits may have enabled something, which then counts.
                self.handle(Enable { tools, over: Some(0) }, ctx)
            }
            None => Box::pin(async { Ok(()) }),
        };
        // The chat's tools are the same for those who listened, so nothing is told.
        self.streams.adopt(subscribers);
        enabled
    }
}

impl Handler<Enable> for SessionActor {
    type Result = ResponseFuture<Result<(), Error>>;

    fn handle(&mut self, Enable { tools, over }: Enable, ctx: &mut Context<Self>) -> Self::Result {
        let Some(kept) = &self.kept else {
            self.hold(tools);
            return Box::pin(async { Ok(()) });
        };
        // The store is asked before anything is awaited, so that changes are written in the order in which they were
        // made.
        let (saved, base, addr) = (kept.save(&self.profile, tools.names(), over), kept.version, ctx.address());
        Box::pin(async move {
            match saved.await? {
                Some(version) => {
                    addr.send(ToolsSaved { tools, version, base }).await.map_err(|_gone| Error::SessionNotFound)
                }
                // The store has written nothing. With `over`, something was enabled first, which stands. Without, the
                // session has ended.
                None if over.is_some() => Ok(()),
                None => Err(Error::SessionNotFound),
            }
        })
    }
}

impl Handler<ToolsSaved> for SessionActor {
    type Result = ();

    fn handle(&mut self, ToolsSaved { tools, version, base }: ToolsSaved, _: &mut Context<Self>) {
        if self.takes(version, base) {
            self.hold(tools);
        }
    }
}

impl SessionActor {
    /// Holds these tools from now on, and tells listening clients of it.
    pub(super) fn hold(&mut self, tools: EnabledTools) {
        if !tools.lists_the_same(&self.enabled) {
            self.streams.tell_change();
        }
        self.enabled = tools;
    }
}

impl Handler<Resolved> for SessionActor {
    type Result = ();

    fn handle(&mut self, Resolved(found): Resolved, _: &mut Context<Self>) {
        self.enabled.resolve(found);
    }
}

impl Handler<ToolsChanged> for SessionActor {
    type Result = ();

    fn handle(&mut self, ToolsChanged(changed): ToolsChanged, _: &mut Context<Self>) {
        let scope = &self.profile.scope;
        if scope.apps == changed.apps && scope.lists_otherwise(&changed.before, &changed.now, Some(&self.enabled)) {
            self.streams.tell_change();
        }
    }
}

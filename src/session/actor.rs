//! One session: what it is, what it has enabled, what it has in flight, and its streams.
//!
//! The mailbox never waits: whatever asks the upstream runs as a future of its own and brings its changes back as messages.

use std::{rc::Rc, sync::Arc, time::Duration};

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message, ResponseFuture};
use serde_json::value::RawValue;
use tokio::sync::oneshot;

use super::{
    Shards,
    calls::{Calls, Ticket},
    enable,
    event_log::{Limits, Logged, StreamId},
    messages::{
        Answered, CallTool, Cancel, Describe, Enable, EnableTools, End, Estate, Event, Expect, FindTool, Inherit,
        Introduce, LeaveChat, ListTools, OpenOutbox, OpenReply, OpenStream, Profile, Push, Record, Scope, Subscribe,
        WindDown,
    },
    queue,
    streams::Streams,
    toolbox::Toolbox,
};
use crate::{
    error::Error,
    ids::ToolName,
    membrane::{Apps, Caller, Catalog, MembraneClient, Tool},
    protocol::{
        answer::ToolList,
        request,
        revision::{Era, Revision},
        tools::{CallToolResult, ToolMode},
    },
};

/// See the [module](self).
pub struct SessionActor {
    profile: Profile,
    toolbox: Toolbox,
    calls: Calls,
    max_in_flight: usize,
    streams: Streams,
    /// Answers that are still to come by the outbox.
    owed: usize,
    /// Who waits, because the server stops, until nothing is in flight.
    ending: Option<Vec<oneshot::Sender<()>>>,
    /// How long an answered stream can be resumed.
    lasting: Duration,
    shards: Shards,
    client: Rc<MembraneClient>,
}

/// What a session may hold.
#[derive(Debug, Clone, Copy)]
pub struct SessionLimits {
    /// Calls running at once.
    pub max_in_flight: usize,
    /// Events kept for streams that are lost.
    pub log: Limits,
    /// Bytes that wait for the reader of a stream.
    pub queue_bytes: usize,
}

/// To self: a call has ended.
#[derive(Message)]
#[rtype(result = "()")]
struct CallFinished(Ticket);

type Called = ResponseFuture<Result<CallToolResult, Error>>;

impl SessionActor {
    /// A session that runs its tools through `client`.
    #[must_use]
    pub fn new(profile: Profile, shards: Shards, client: Rc<MembraneClient>, limits: &SessionLimits) -> Self {
        Self {
            profile,
            max_in_flight: limits.max_in_flight,
            owed: 0,
            ending: None,
            lasting: limits.log.lasting,
            toolbox: Toolbox::default(),
            calls: Calls::default(),
            streams: Streams::new(limits.log, limits.queue_bytes),
            shards,
            client,
        }
    }

    fn primes_streams(&self) -> bool {
        self.profile.revision.is_some_and(Revision::primes_streams)
    }

    /// When the server stops: ends the streams on which nothing is awaited, and says when nothing is in flight.
    fn wind_down(&mut self) {
        let Some(waiting) = &mut self.ending else { return };
        self.streams.close_listening();
        if self.calls.count() == 0 && self.owed == 0 && !self.streams.await_answers() {
            self.streams.close_outbox();
            for waiting in waiting.drain(..) {
                // Who no longer waits need not know.
                let _ = waiting.send(());
            }
        }
    }

    fn enable_tools(&self, caller: Caller, apps: Apps, arguments: Box<RawValue>, ctx: &Context<Self>) -> Called {
        let (shards, addr) = (self.shards.clone(), ctx.address());
        Box::pin(async move {
            let names = match enable::read_names(&arguments) {
                Ok(names) => names,
                Err(result) => return Ok(result),
            };
            let selection = enable::select(&shards, &caller, &apps, names).await?;
            let result = selection.result();
            addr.send(Enable(selection.into_toolbox())).await.map_err(|_gone| Error::SessionNotFound)?;
            Ok(result)
        })
    }

    fn run_tool(&self, caller: Caller, call: request::CallTool) -> Called {
        let (shards, client) = (self.shards.clone(), Rc::clone(&self.client));
        let find = self.find_tool(caller.clone(), self.profile.scope.clone(), call.name);
        Box::pin(async move {
            let tool = find.await?;
            Ok(shards.call(&client, &caller, &tool, &call.arguments, Era::Legacy).await)
        })
    }

    fn find_tool(&self, caller: Caller, scope: Scope, name: ToolName) -> ResponseFuture<Result<Arc<Tool>, Error>> {
        let toolbox = (scope.mode == ToolMode::Dynamic).then(|| self.toolbox.clone());
        let shards = self.shards.clone();
        Box::pin(async move {
            let catalog = shards.catalog(caller, scope.apps.clone()).await?;
            let known = catalog.find(&name);
            let tool = match &toolbox {
                None => known,
                Some(toolbox) => toolbox.find(&name, &catalog, &scope.apps),
            };
            match (tool, known) {
                (Some(tool), _) => Ok(Arc::clone(tool)),
                (None, Some(_)) => Err(Error::ToolNotEnabled(name)),
                (None, None) => Err(Error::UnknownTool(name)),
            }
        })
    }
}

impl Actor for SessionActor {
    type Context = Context<Self>;
}

impl Handler<Describe> for SessionActor {
    type Result = Result<Profile, Error>;

    fn handle(&mut self, _: Describe, _: &mut Context<Self>) -> Self::Result {
        Ok(self.profile.clone())
    }
}

impl Handler<Introduce> for SessionActor {
    type Result = Result<Profile, Error>;

    fn handle(&mut self, Introduce { revision, client }: Introduce, _: &mut Context<Self>) -> Self::Result {
        if self.profile.revision.is_some() {
            return Err(Error::AlreadyInitialized);
        }
        self.profile.revision = Some(revision);
        self.profile.client = client;
        Ok(self.profile.clone())
    }
}

impl Handler<ListTools> for SessionActor {
    type Result = ResponseFuture<Result<ToolList, Error>>;

    fn handle(&mut self, ListTools { caller, era, scope }: ListTools, _: &mut Context<Self>) -> Self::Result {
        self.streams.settle();
        let Scope { mode, apps } = scope.unwrap_or_else(|| self.profile.scope.clone());
        let toolbox = (mode == ToolMode::Dynamic).then(|| self.toolbox.clone());
        let shards = self.shards.clone();
        Box::pin(async move {
            match toolbox {
                Some(toolbox) if toolbox.is_empty() => Ok(toolbox.list(&Catalog::default(), &apps, era)),
                Some(toolbox) => Ok(toolbox.list(&*shards.catalog(caller, apps.clone()).await?, &apps, era)),
                None => Ok(ToolList::of(shards.catalog(caller, apps).await?.listing(era).clone())),
            }
        })
    }
}

impl Handler<FindTool> for SessionActor {
    type Result = ResponseFuture<Result<Arc<Tool>, Error>>;

    fn handle(&mut self, FindTool { caller, scope, name }: FindTool, _: &mut Context<Self>) -> Self::Result {
        self.find_tool(caller, scope, name)
    }
}

impl Handler<EnableTools> for SessionActor {
    type Result = Called;

    fn handle(&mut self, enable: EnableTools, ctx: &mut Context<Self>) -> Self::Result {
        self.enable_tools(enable.caller, enable.apps, enable.arguments, ctx)
    }
}

impl Handler<CallTool> for SessionActor {
    type Result = Called;

    fn handle(&mut self, CallTool { caller, id, call }: CallTool, ctx: &mut Context<Self>) -> Self::Result {
        if self.calls.count() >= self.max_in_flight {
            let limit = self.max_in_flight;
            return Box::pin(async move { Err(Error::TooManyCalls { limit }) });
        }
        let (ticket, stop) = self.calls.begin(id);
        let addr = ctx.address();
        let Scope { mode, apps } = self.profile.scope.clone();
        let work = if mode.enables_by(&call.name) {
            self.enable_tools(caller, apps, call.arguments, ctx)
        } else {
            self.run_tool(caller, call)
        };
        Box::pin(async move {
            let outcome = tokio::select! {
                biased;
                error = stop.requested() => Err(error),
                outcome = work => outcome,
            };
            addr.do_send(CallFinished(ticket));
            outcome
        })
    }
}

impl Handler<CallFinished> for SessionActor {
    type Result = ();

    fn handle(&mut self, CallFinished(ticket): CallFinished, _: &mut Context<Self>) {
        self.calls.finish(ticket);
        self.wind_down();
    }
}

impl Handler<Cancel> for SessionActor {
    type Result = Result<(), Error>;

    fn handle(&mut self, Cancel { id }: Cancel, _: &mut Context<Self>) -> Self::Result {
        self.calls.cancel(&id);
        Ok(())
    }
}

impl Handler<OpenStream> for SessionActor {
    type Result = Result<queue::Receiver<Logged>, Error>;

    fn handle(&mut self, OpenStream { after }: OpenStream, _: &mut Context<Self>) -> Self::Result {
        let events = match after {
            Some(after) => self.streams.resume(after)?,
            None => self.streams.open(self.primes_streams()),
        };
        self.wind_down();
        Ok(events)
    }
}

impl Handler<OpenReply> for SessionActor {
    type Result = Result<(StreamId, queue::Receiver<Logged>), Error>;

    fn handle(&mut self, _: OpenReply, _: &mut Context<Self>) -> Self::Result {
        Ok(self.streams.open_reply(self.primes_streams()))
    }
}

impl Handler<Record> for SessionActor {
    type Result = Result<(), Error>;

    fn handle(&mut self, Record { stream, message }: Record, ctx: &mut Context<Self>) -> Self::Result {
        if let Some(message) = message {
            self.streams.record(stream, message);
        } else {
            self.streams.end_reply(stream);
            ctx.run_later(self.lasting, |session, _| session.streams.forget_past());
            self.wind_down();
        }
        Ok(())
    }
}

impl Handler<OpenOutbox> for SessionActor {
    type Result = Result<queue::Receiver<Event>, Error>;

    fn handle(&mut self, _: OpenOutbox, _: &mut Context<Self>) -> Self::Result {
        let events = self.streams.open_outbox();
        self.wind_down();
        Ok(events)
    }
}

impl Handler<WindDown> for SessionActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: WindDown, _: &mut Context<Self>) -> Self::Result {
        let (nothing_left, waited) = oneshot::channel();
        self.ending.get_or_insert_default().push(nothing_left);
        self.wind_down();
        Box::pin(async {
            // A session that is gone has nothing in flight.
            let _ = waited.await;
        })
    }
}

impl Handler<Expect> for SessionActor {
    type Result = Result<(), Error>;

    fn handle(&mut self, _: Expect, _: &mut Context<Self>) -> Self::Result {
        self.owed += 1;
        Ok(())
    }
}

impl Handler<Answered> for SessionActor {
    type Result = Result<(), Error>;

    fn handle(&mut self, _: Answered, _: &mut Context<Self>) -> Self::Result {
        self.owed = self.owed.saturating_sub(1);
        self.wind_down();
        Ok(())
    }
}

impl Handler<Subscribe> for SessionActor {
    type Result = Result<queue::Receiver<Event>, Error>;

    fn handle(&mut self, _: Subscribe, _: &mut Context<Self>) -> Self::Result {
        let events = self.streams.subscribe();
        self.wind_down();
        Ok(events)
    }
}

impl Handler<Push> for SessionActor {
    type Result = Result<(), Error>;

    fn handle(&mut self, Push(message): Push, ctx: &mut Context<Self>) -> Self::Result {
        if self.streams.push(message).is_err() {
            // The stream itself can't tell: a connection that takes nothing is not even asked for more.
            ctx.stop();
        }
        Ok(())
    }
}

impl Handler<LeaveChat> for SessionActor {
    type Result = Result<Estate, Error>;

    fn handle(&mut self, _: LeaveChat, _: &mut Context<Self>) -> Self::Result {
        let is_dynamic = self.profile.scope.mode == ToolMode::Dynamic;
        let toolbox = is_dynamic.then(|| self.toolbox.clone());
        Ok(Estate { toolbox, subscribers: self.streams.take_subscribers() })
    }
}

impl Handler<Inherit> for SessionActor {
    type Result = ();

    fn handle(&mut self, Inherit(Estate { toolbox, subscribers }): Inherit, ctx: &mut Context<Self>) {
        if let (Some(toolbox), ToolMode::Dynamic) = (toolbox, self.profile.scope.mode) {
            // A session that was not so confined may have left it.
            self.handle(Enable(toolbox.within(&self.profile.scope.apps)), ctx);
        }
        // For those who listened before, nothing has changed.
        self.streams.adopt(subscribers);
    }
}

impl Handler<Enable> for SessionActor {
    type Result = ();

    fn handle(&mut self, Enable(toolbox): Enable, _: &mut Context<Self>) {
        if !toolbox.lists_the_same(&self.toolbox) {
            self.streams.tell_change();
        }
        self.toolbox = toolbox;
    }
}

impl Handler<End> for SessionActor {
    type Result = ();

    fn handle(&mut self, _: End, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}

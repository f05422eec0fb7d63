//! One session: what it is, what it has enabled, what it has in flight, and its streams.
//!
//! The mailbox never waits: whatever asks the upstream runs as a future of its own and brings its changes back as messages.

use std::{cell::Cell, rc::Rc, sync::Arc, thread, time::Duration};

use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message, MessageResult, ResponseFuture};
use serde_json::value::RawValue;
use tokio::sync::oneshot;

use super::{
    LocalShard, Shards,
    calls::{Calls, Ticket},
    delivery::Reply,
    enable,
    event_log::Limits,
    kept::Kept,
    messages::{
        BeginCall, CallTool, Cancel, Describe, Enable, EnableTools, End, FindTool, Introduce, ListTools, MayPassivate,
        Resolved, WindDown,
    },
    profile::{Profile, Scope},
    streams::Streams,
    toolbox::{self, Toolbox},
};
use crate::{
    allowance::{CallLimit, RunningCall},
    error::Error,
    ids::ToolName,
    membrane::{Apps, Caller, Catalog, FindTools, Report, Tool},
    protocol::{
        answer::ToolList,
        request,
        revision::{Era, Revision},
        tools::{CallToolResult, ToolMode},
    },
    store::News,
};

/// Actor of one session. See the [module](self).
pub struct SessionActor {
    pub(super) profile: Profile,
    pub(super) toolbox: Toolbox,
    calls: Calls,
    /// Counts calls of every era, also those that run in a request of their own.
    running: CallLimit,
    pub(super) streams: Streams,
    /// Answers that are still to come by the outbox.
    pub(super) owed: usize,
    /// Requests that wait, because the server stops, until nothing is in flight.
    ending: Option<Vec<oneshot::Sender<()>>>,
    /// How long an answered stream can be resumed.
    pub(super) lasting: Duration,
    /// Bytes that may wait for the reader of a stream.
    pub(super) queue_bytes: usize,
    /// Where the session is kept; nowhere, if it lives only as long as its stream.
    pub(super) kept: Option<Kept>,
    pub(super) shards: Shards,
    local: Rc<LocalShard>,
    has_crashed: Rc<Cell<bool>>,
}

/// Limits that every session has.
#[derive(Debug, Clone, Copy)]
pub struct SessionLimits {
    /// Calls that may run at once.
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
    /// Returns a session on the thread of `local`.
    #[must_use]
    pub fn new(
        profile: Profile,
        toolbox: Toolbox,
        kept: Option<Kept>,
        shards: Shards,
        local: Rc<LocalShard>,
        limits: &SessionLimits,
    ) -> Self {
        Self {
            profile,
            toolbox,
            kept,
            running: CallLimit::new(limits.max_in_flight),
            owed: 0,
            ending: None,
            lasting: limits.log.lasting,
            queue_bytes: limits.queue_bytes,
            calls: Calls::default(),
            streams: Streams::new(limits.log, limits.queue_bytes),
            shards,
            local,
            has_crashed: Rc::default(),
        }
    }

    /// Flag that a panic sets which ends the session.
    #[must_use]
    pub fn crash_flag(&self) -> Rc<Cell<bool>> {
        Rc::clone(&self.has_crashed)
    }

    /// Returns whether the session is in the store, too.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.kept.is_some()
    }

    pub(super) fn primes_streams(&self) -> bool {
        self.profile.revision.is_some_and(Revision::primes_streams)
    }

    /// When the server stops: ends the streams on which nothing is awaited, and says when nothing is in flight.
    pub(super) fn wind_down(&mut self) {
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
        let (shards, local, addr) = (self.shards.clone(), Rc::clone(&self.local), ctx.address());
        Box::pin(async move {
            let names = match enable::read_names(&arguments) {
                Ok(names) => names,
                Err(result) => return Ok(result),
            };
            let selection = enable::select(&shards, &local, &caller, &apps, names).await?;
            let result = selection.result();
            let enable = Enable { toolbox: selection.into_toolbox(), over: None };
            addr.send(enable).await.map_err(|_gone| Error::SessionNotFound)??;
            Ok(result)
        })
    }

    fn run_tool(&self, caller: Caller, call: request::CallTool, addr: Addr<Self>) -> Called {
        let (shards, local) = (self.shards.clone(), Rc::clone(&self.local));
        let find = self.find_tool(&caller, &self.profile.scope, call.name, addr);
        Box::pin(async move {
            let tool = match find {
                Reply::Now(found) => found?,
                Reply::Later(find) => find.await?,
            };
            Ok(shards.call(&local.client, &caller, &tool, call.arguments, Era::Legacy).await)
        })
    }

    /// Returns the enabled tools. Those that were enabled before the session was last revived are looked up again,
    /// once.
    fn toolbox(&self, caller: &Caller, apps: &Apps, addr: Addr<Self>) -> ResponseFuture<Result<Toolbox, Error>> {
        let (mut toolbox, names) = (self.toolbox.clone(), self.toolbox.unresolved());
        let (shards, local, caller, apps) = (self.shards.clone(), Rc::clone(&self.local), caller.clone(), apps.clone());
        Box::pin(async move {
            if !names.is_empty() {
                let catalog = shards.catalog(&local, &caller, &apps).await?;
                let found = shards.find_tools(FindTools { caller, apps, catalog, names }).await?;
                toolbox.resolve(found.clone());
                addr.do_send(Resolved(found));
            }
            Ok(toolbox)
        })
    }

    /// Does something with the tools of a user and, in dynamic mode, with what is enabled: here and now where both are known.
    fn with_tools<T: 'static>(
        &self,
        caller: &Caller,
        scope: &Scope,
        addr: Addr<Self>,
        act: impl FnOnce(&Catalog, Option<&Toolbox>) -> Result<T, Error> + 'static,
    ) -> Reply<Result<T, Error>> {
        let toolbox = (scope.mode == ToolMode::Dynamic).then_some(&self.toolbox);
        if toolbox.is_none_or(Toolbox::is_resolved)
            && let Some(catalog) = self.local.catalog(caller, &scope.apps)
        {
            return Reply::Now(act(&catalog, toolbox));
        }
        let toolbox = toolbox.map(|_| self.toolbox(caller, &scope.apps, addr));
        let (shards, local) = (self.shards.clone(), Rc::clone(&self.local));
        let (caller, apps) = (caller.clone(), scope.apps.clone());
        Reply::Later(Box::pin(async move {
            let toolbox = match toolbox {
                Some(toolbox) => Some(toolbox.await?),
                None => None,
            };
            let catalog = shards.catalog(&local, &caller, &apps).await?;
            act(&catalog, toolbox.as_ref())
        }))
    }

    fn find_tool(
        &self,
        caller: &Caller,
        scope: &Scope,
        name: ToolName,
        addr: Addr<Self>,
    ) -> Reply<Result<Arc<Tool>, Error>> {
        let apps = scope.apps.clone();
        self.with_tools(caller, scope, addr, move |catalog, toolbox| toolbox::find(catalog, toolbox, name, &apps))
    }
}

impl Actor for SessionActor {
    type Context = Context<Self>;
}

impl Drop for SessionActor {
    fn drop(&mut self) {
        // A panic in a handler takes the actor along, before it can answer anybody.
        if thread::panicking() {
            self.has_crashed.set(true);
            self.calls.fail();
        }
    }
}

impl Handler<Describe> for SessionActor {
    type Result = Result<Profile, Error>;

    fn handle(&mut self, _: Describe, _: &mut Context<Self>) -> Self::Result {
        Ok(self.profile.clone())
    }
}

impl Handler<Introduce> for SessionActor {
    type Result = ResponseFuture<Result<Profile, Error>>;

    fn handle(&mut self, Introduce { revision, client }: Introduce, _: &mut Context<Self>) -> Self::Result {
        if self.profile.revision.is_some() {
            return Box::pin(async { Err(Error::AlreadyInitialized) });
        }
        self.profile.revision = Some(revision);
        self.profile.client = client;
        let profile = self.profile.clone();
        let saved = self.kept.as_ref().map(|kept| kept.save(&profile, self.toolbox.names(), None));
        Box::pin(async {
            if let Some(saved) = saved {
                // The version is found out with the next request.
                saved.await?;
            }
            Ok(profile)
        })
    }
}

impl Handler<ListTools> for SessionActor {
    type Result = Reply<Result<ToolList, Error>>;

    fn handle(&mut self, ListTools { caller, era, scope }: ListTools, ctx: &mut Context<Self>) -> Self::Result {
        self.streams.settle();
        let scope = scope.as_ref().unwrap_or(&self.profile.scope);
        if scope.mode == ToolMode::Dynamic && self.toolbox.is_empty() {
            // Nothing need be loaded for this.
            return Reply::Now(Ok(self.toolbox.list(&Catalog::default(), &scope.apps, era)));
        }
        let apps = scope.apps.clone();
        self.with_tools(&caller, scope, ctx.address(), move |catalog, toolbox| {
            Ok(toolbox.map_or_else(|| catalog.list(era), |toolbox| toolbox.list(catalog, &apps, era)))
        })
    }
}

impl Handler<FindTool> for SessionActor {
    type Result = Reply<Result<Arc<Tool>, Error>>;

    fn handle(&mut self, FindTool { caller, scope, name }: FindTool, ctx: &mut Context<Self>) -> Self::Result {
        self.find_tool(&caller, &scope, name, ctx.address())
    }
}

impl Handler<BeginCall> for SessionActor {
    type Result = Reply<Result<(Arc<Tool>, RunningCall), Error>>;

    fn handle(&mut self, BeginCall { caller, scope, name }: BeginCall, ctx: &mut Context<Self>) -> Self::Result {
        let running = match self.running.begin() {
            Ok(running) => running,
            Err(error) => return Reply::Now(Err(error)),
        };
        match self.find_tool(&caller, &scope, name, ctx.address()) {
            Reply::Now(found) => Reply::Now(found.map(|tool| (tool, running))),
            Reply::Later(find) => Reply::Later(Box::pin(async move { Ok((find.await?, running)) })),
        }
    }
}

impl Handler<EnableTools> for SessionActor {
    type Result = Called;

    fn handle(&mut self, enable: EnableTools, ctx: &mut Context<Self>) -> Self::Result {
        let running = self.running.begin();
        let enabled = self.enable_tools(enable.caller, enable.apps, enable.arguments, ctx);
        Box::pin(async move {
            let _running = running?;
            enabled.await
        })
    }
}

impl Handler<CallTool> for SessionActor {
    type Result = Called;

    fn handle(&mut self, CallTool { caller, id, call }: CallTool, ctx: &mut Context<Self>) -> Self::Result {
        let running = match self.running.begin() {
            Ok(running) => running,
            Err(error) => return Box::pin(async { Err(error) }),
        };
        let (ticket, stop) = self.calls.begin(id);
        // However the future ends, the call has.
        let finished = Report::new(ctx.address(), CallFinished(ticket));
        let Scope { mode, apps } = self.profile.scope.clone();
        let work = if mode.enables_by(&call.name) {
            self.enable_tools(caller, apps, call.arguments, ctx)
        } else {
            self.run_tool(caller, call, ctx.address())
        };
        Box::pin(async move {
            let (_running, _finished) = (running, finished);
            tokio::select! {
                biased;
                error = stop.requested() => Err(error),
                outcome = work => outcome,
            }
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

    fn handle(&mut self, Cancel { id, is_here }: Cancel, _: &mut Context<Self>) -> Self::Result {
        let was_here = self.calls.cancel(&id);
        if !was_here
            && !is_here
            && let Some((peers, session)) = self.shared()
        {
            drop(peers.tell(&News::Cancelled { session, request: id }));
        }
        Ok(())
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

impl Handler<MayPassivate> for SessionActor {
    type Result = MessageResult<MayPassivate>;

    fn handle(&mut self, _: MayPassivate, _: &mut Context<Self>) -> Self::Result {
        let is_idle = self.running.is_idle() && self.owed == 0 && !self.streams.are_in_use();
        MessageResult(is_idle && self.kept.is_some())
    }
}

impl Handler<End> for SessionActor {
    type Result = ();

    fn handle(&mut self, _: End, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}

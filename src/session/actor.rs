//! One session: its profile, enabled tools, calls in flight and streams.
//!
//! The mailbox never waits: whatever asks the upstream runs as a future of its own and brings its changes back as messages.

mod enable;
mod replication;
mod streaming;

use std::{
    cell::Cell,
    rc::Rc,
    sync::{Arc, atomic::AtomicBool},
    thread,
    time::Duration,
};

use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message, MessageResult, ResponseFuture};
use futures_util::FutureExt;
use tokio::sync::oneshot;

use super::{
    calls::{Calls, Ticket},
    event_log::Limits,
    messages::{
        BeginCall, CallTool, Cancel, Describe, Enable, End, FindTool, Introduce, ListTools, MayPassivate, Resolved,
        WindDown,
    },
    persistence::Persistence,
    profile::Profile,
    streams::Streams,
};
use crate::{
    error::Error,
    membrane::{Caller, Report, Tool},
    protocol::{
        answer::ToolList,
        revision::{Era, Revision},
        tools::CallToolResult,
    },
    store::ReplicaEvent,
    tools::{Enabled, EnabledTools, MaybeReady, Origin, Outcome, ReadyCall, Scope, ToolService, View},
    user_limits::CallLimit,
};

/// Actor of one session. See the [module](self).
pub struct SessionActor {
    profile: Profile,
    enabled: EnabledTools,
    calls: Calls,
    /// Counts calls of every era, also those that run in a request of their own.
    running: CallLimit,
    pub(super) streams: Streams,
    /// Answers that are still to come by the HTTP+SSE stream.
    pending_replies: usize,
    /// Requests that wait, because the server stops, until nothing is in flight.
    ending: Option<Vec<oneshot::Sender<()>>>,
    /// How long an answered stream can be resumed.
    ttl: Duration,
    /// Bytes that may wait for the reader of a stream.
    queue_bytes: usize,
    /// Place in the store; none for a session that lives only as long as its stream.
    kept: Option<Persistence>,
    tools: ToolService,
    /// Set when the server stops.
    is_draining: Arc<AtomicBool>,
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

impl SessionActor {
    /// Returns a session on the thread of the tool service.
    #[must_use]
    pub fn new(
        profile: Profile,
        enabled: EnabledTools,
        kept: Option<Persistence>,
        tools: ToolService,
        is_draining: Arc<AtomicBool>,
        limits: &SessionLimits,
    ) -> Self {
        // Only sessions that are kept have streams to come back to.
        let mark = kept.as_ref().map_or(0, |kept| kept.session.spread());
        Self {
            profile,
            enabled,
            kept,
            running: CallLimit::new(limits.max_in_flight),
            pending_replies: 0,
            ending: None,
            ttl: limits.log.ttl,
            queue_bytes: limits.queue_bytes,
            calls: Calls::default(),
            streams: Streams::new(limits.log, limits.queue_bytes, mark),
            tools,
            is_draining,
            has_crashed: Rc::default(),
        }
    }

    /// Returns the flag that is set when a panic ends the session.
    #[must_use]
    pub fn crash_flag(&self) -> Rc<Cell<bool>> {
        Rc::clone(&self.has_crashed)
    }

    /// Returns whether the session is in the store, too.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.kept.is_some()
    }

    fn primes_streams(&self) -> bool {
        self.profile.revision.is_some_and(Revision::primes_streams)
    }

    /// Ends idle streams once the server stops, and answers those who wait for the stop when nothing is in flight.
    fn wind_down(&mut self) {
        let Some(waiting) = &mut self.ending else { return };
        self.streams.close_listening();
        // A call that has ended may still have its answer on the way to the HTTP+SSE stream. Closing it after the last
        // call lost the answers of calls that ended together, so POSTs (`pending_replies`) are counted as well.
        if self.calls.count() == 0 && self.pending_replies == 0 && !self.streams.await_answers() {
            self.streams.close_outbox();
            for waiting in waiting.drain(..) {
                // The stop has lost its patience where nobody waits any more.
                let _ = waiting.send(());
            }
        }
    }

    /// Returns the view of a request. Tools that were enabled before the session was last revived are looked up again, once.
    fn view(&self, caller: Caller, scope: Scope, addr: Addr<Self>) -> MaybeReady<Result<View, Error>> {
        let mut enabled = self.enabled.clone();
        let names = if scope.mode.lists_enabled() { enabled.unresolved() } else { Vec::new() };
        if names.is_empty() {
            return MaybeReady::Now(Ok(View { caller, scope, enabled: Enabled::InSession(enabled) }));
        }
        let tools = self.tools.clone();
        MaybeReady::Later(Box::pin(async move {
            // Looked up outside of the mailbox, or all requests of the session would wait for the upstream. Requests
            // that look up the same names at once share one request there.
            let found = tools.look_up(caller.clone(), &scope, names).await?;
            enabled.resolve(found.clone());
            // Kept for the next request, which need not wait for it.
            addr.do_send(Resolved(found));
            Ok(View { caller, scope, enabled: Enabled::InSession(enabled) })
        }))
    }

    fn prepare(&self, begin: BeginCall, addr: Addr<Self>) -> MaybeReady<Result<ReadyCall, Error>> {
        let BeginCall { caller, scope, origin, call } = begin;
        let (tools, limit) = (self.tools.clone(), self.running.clone());
        self.view(caller, scope, addr).and_then(move |view| tools.prepare(view, &limit, origin, call))
    }
}

/// Runs a call in the session. Where it is one of `enable-tools`, the session enables the selection.
async fn run(tools: ToolService, call: ReadyCall, session: Addr<SessionActor>) -> Result<CallToolResult, Error> {
    match tools.run(call, Era::Legacy).await? {
        Outcome::Result(result) => Ok(result),
        Outcome::Enable(selection) => {
            let result = selection.result();
            let enable = Enable { tools: selection.tools, over: None };
            // The result follows once the change is kept: a client that lists at once must see it, at any replica.
            session.send(enable).await.map_err(|_gone| Error::SessionNotFound)??;
            Ok(result)
        }
        // No session has a client that is asked so.
        Outcome::Ask(_) => Err(Error::Internal),
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

    fn handle(&mut self, introduce: Introduce, _: &mut Context<Self>) -> Self::Result {
        let Introduce { revision, client, opens_pages } = introduce;
        if self.profile.revision.is_some() {
            return Box::pin(async { Err(Error::AlreadyInitialized) });
        }
        self.profile.revision = Some(revision);
        self.profile.client = client;
        self.profile.opens_pages = opens_pages;
        let profile = self.profile.clone();
        let saved = self.kept.as_ref().map(|kept| kept.save(&profile, self.enabled.names(), None));
        Box::pin(async {
            if let Some(saved) = saved {
                // The version that this makes is not taken on here: the next request catches up with the store.
                saved.await?;
            }
            Ok(profile)
        })
    }
}

impl Handler<ListTools> for SessionActor {
    type Result = MaybeReady<Result<ToolList, Error>>;

    fn handle(&mut self, ListTools { caller, era, scope }: ListTools, ctx: &mut Context<Self>) -> Self::Result {
        // Before the list is made: a change during a load is told again. That costs a list too many, and the other
        // order would miss changes.
        self.streams.note_list_seen();
        let (tools, scope) = (self.tools.clone(), scope.unwrap_or_else(|| self.profile.scope.clone()));
        self.view(caller, scope, ctx.address()).and_then(move |view| tools.list(view, era))
    }
}

impl Handler<FindTool> for SessionActor {
    type Result = MaybeReady<Result<Arc<Tool>, Error>>;

    fn handle(&mut self, FindTool { caller, scope, name }: FindTool, ctx: &mut Context<Self>) -> Self::Result {
        let tools = self.tools.clone();
        self.view(caller, scope, ctx.address()).and_then(move |view| tools.find(&view, name))
    }
}

impl Handler<BeginCall> for SessionActor {
    type Result = MaybeReady<Result<ReadyCall, Error>>;

    fn handle(&mut self, begin: BeginCall, ctx: &mut Context<Self>) -> Self::Result {
        self.prepare(begin, ctx.address())
    }
}

impl Handler<CallTool> for SessionActor {
    type Result = ResponseFuture<Result<CallToolResult, Error>>;

    fn handle(&mut self, CallTool { caller, id, origin, call }: CallTool, ctx: &mut Context<Self>) -> Self::Result {
        let origin = Origin { ask_by: self.profile.ask_by(), ..origin };
        // A client that lost its connection sends the request again, and the action must not run twice.
        if let Some(outcome) = self.calls.repeated(&id, &call) {
            return Box::pin(outcome);
        }
        let scope = self.profile.scope.clone();
        // Noted before anything is awaited: the next message in the mailbox may cancel it.
        let (ticket, stop) = self.calls.begin(id, &call);
        let ready = self.prepare(BeginCall { caller, scope, origin, call }, ctx.address());
        let (tools, addr) = (self.tools.clone(), ctx.address());
        // However the future ends, the call has.
        let finished = Report::new(ctx.address(), CallFinished(ticket));
        let outcome = async move {
            let _finished = finished;
            let outcome = async move { run(tools, ready.get().await?, addr).await };
            tokio::select! {
                // The stop is looked at first. A cancelled request gets no response, even if the call ended in the same
                // moment (MCP 2025-11-25, basic/utilities/cancellation § Behavior Requirements).
                biased;
                error = stop.requested() => Err(error),
                outcome = outcome => outcome,
            }
        };
        // Shared, so that a repeat on another connection awaits the same run.
        let outcome = outcome.boxed_local().shared();
        self.calls.share(ticket, &outcome);
        Box::pin(outcome)
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
        // The call may run at another replica, to which its POST came. What a replica told is not passed on, or two of
        // them would send it to and fro.
        if !was_here
            && !is_here
            && let Some((bus, session)) = self.shared()
        {
            drop(bus.tell(&ReplicaEvent::Cancelled { session, request: id }));
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
        // `running` knows calls that run in requests of their own, and `calls` those that wait for something else
        // first.
        let is_idle = self.running.is_idle()
            && self.calls.count() == 0
            && self.pending_replies == 0
            && !self.streams.are_in_use();
        MessageResult(is_idle && self.kept.is_some())
    }
}

impl Handler<End> for SessionActor {
    type Result = ();

    fn handle(&mut self, _: End, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}

//! One session: what it is, what it has enabled, what it has in flight, and its stream.
//!
//! The mailbox never waits: whatever asks the upstream runs as a future of its own and brings its changes back as messages.

use std::{rc::Rc, sync::Arc};

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message, ResponseFuture};
use tokio::sync::mpsc;

use super::{
    Shards,
    calls::{Calls, Ticket},
    enable,
    messages::{CallTool, Cancel, Describe, Drain, Enable, Enabled, End, Event, ListTools, OpenStream, Profile},
    toolbox::Toolbox,
};
use crate::{
    error::Error,
    ids::ToolName,
    membrane::{Caller, Catalog, MembraneClient, Tool, call},
    protocol::{
        answer::ToolList,
        request,
        tools::{CallToolResult, ENABLE_TOOLS, ToolMode},
    },
};

/// See the [module](self).
pub struct SessionActor {
    profile: Profile,
    toolbox: Toolbox,
    calls: Calls,
    stream: Option<mpsc::Sender<Event>>,
    /// The list changed while nobody could be told.
    owes_change: bool,
    /// The server stops: a stream that is opened ends at once.
    draining: bool,
    shards: Shards,
    client: Rc<MembraneClient>,
}

/// To self: a call has ended.
#[derive(Message)]
#[rtype(result = "()")]
struct CallFinished(Ticket);

impl SessionActor {
    /// A session that runs its tools through `client`.
    #[must_use]
    pub fn new(profile: Profile, shards: Shards, client: Rc<MembraneClient>) -> Self {
        Self {
            profile,
            toolbox: Toolbox::default(),
            calls: Calls::default(),
            stream: None,
            owes_change: false,
            draining: false,
            shards,
            client,
        }
    }

    /// Tells the client that its list changed, now or when it opens its stream. Changes that it has not heard of yet are
    /// one.
    fn tell_change(&mut self) {
        let told = self.stream.as_ref().is_some_and(|stream| {
            // A full stream has this very event in it.
            !matches!(stream.try_send(Event::ToolsChanged), Err(mpsc::error::TrySendError::Closed(_)))
        });
        self.owes_change = !told;
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

impl Handler<ListTools> for SessionActor {
    type Result = ResponseFuture<Result<ToolList, Error>>;

    fn handle(&mut self, ListTools { caller }: ListTools, _: &mut Context<Self>) -> Self::Result {
        self.owes_change = false;
        let toolbox = (self.profile.mode == ToolMode::Dynamic).then(|| self.toolbox.clone());
        let (shards, apps) = (self.shards.clone(), self.profile.apps.clone());
        Box::pin(async move {
            match toolbox {
                Some(toolbox) if toolbox.is_empty() => Ok(toolbox.list(&Catalog::default())),
                Some(toolbox) => Ok(toolbox.list(&*shards.catalog(caller, apps).await?)),
                None => {
                    let mut list = ToolList::default();
                    list.push(shards.catalog(caller, apps).await?.listing().clone());
                    Ok(list)
                }
            }
        })
    }
}

impl Handler<CallTool> for SessionActor {
    type Result = ResponseFuture<Result<CallToolResult, Error>>;

    fn handle(&mut self, CallTool { caller, id, call }: CallTool, ctx: &mut Context<Self>) -> Self::Result {
        let (ticket, stop) = self.calls.begin(id);
        let addr = ctx.address();
        let is_dynamic = self.profile.mode == ToolMode::Dynamic;
        let work: ResponseFuture<_> = if is_dynamic && call.name.as_str() == ENABLE_TOOLS {
            Box::pin(self.enable_tools(caller, call, ctx))
        } else {
            Box::pin(self.run_tool(caller, call))
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

impl SessionActor {
    fn enable_tools(
        &self,
        caller: Caller,
        call: request::CallTool,
        ctx: &Context<Self>,
    ) -> impl Future<Output = Result<CallToolResult, Error>> + use<> {
        let (shards, apps, addr) = (self.shards.clone(), self.profile.apps.clone(), ctx.address());
        async move {
            let names = match enable::read_names(&call.arguments) {
                Ok(names) => names,
                Err(result) => return Ok(result),
            };
            let catalog = shards.catalog(caller.clone(), apps.clone()).await?;
            let selection = enable::select(&shards, &caller, &apps, catalog, names).await?;
            let result = selection.result();
            addr.send(Enable(selection.toolbox)).await.map_err(|_gone| Error::SessionNotFound)?;
            Ok(result)
        }
    }

    fn run_tool(
        &self,
        caller: Caller,
        request::CallTool { name, arguments }: request::CallTool,
    ) -> impl Future<Output = Result<CallToolResult, Error>> + use<> {
        let toolbox = (self.profile.mode == ToolMode::Dynamic).then(|| self.toolbox.clone());
        let (shards, apps, client) = (self.shards.clone(), self.profile.apps.clone(), Rc::clone(&self.client));
        async move {
            let catalog = shards.catalog(caller.clone(), apps).await?;
            let tool = find(&name, &catalog, toolbox.as_ref())?;
            let called = call::call(&client, &caller, &tool, &arguments).await;
            if called.token_refused {
                shards.distrust(caller.token());
            }
            Ok(called.result)
        }
    }
}

/// The tool of that name, if the session may call it.
fn find(name: &ToolName, catalog: &Catalog, toolbox: Option<&Toolbox>) -> Result<Arc<Tool>, Error> {
    let known = catalog.find(name);
    let tool = match toolbox {
        None => known,
        Some(toolbox) => toolbox.find(name, catalog),
    };
    match (tool, known) {
        (Some(tool), _) => Ok(Arc::clone(tool)),
        (None, Some(_)) => Err(Error::ToolNotEnabled(name.clone())),
        (None, None) => Err(Error::UnknownTool(name.clone())),
    }
}

impl Handler<CallFinished> for SessionActor {
    type Result = ();

    fn handle(&mut self, CallFinished(ticket): CallFinished, _: &mut Context<Self>) {
        self.calls.finish(ticket);
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
    type Result = Result<mpsc::Receiver<Event>, Error>;

    fn handle(&mut self, _: OpenStream, _: &mut Context<Self>) -> Self::Result {
        // One place is enough: a change that waits there stands for all that follow.
        let (sender, events) = mpsc::channel(1);
        self.stream = (!self.draining).then_some(sender);
        if self.owes_change {
            self.tell_change();
        }
        Ok(events)
    }
}

impl Handler<Enabled> for SessionActor {
    type Result = Result<Option<Toolbox>, Error>;

    fn handle(&mut self, _: Enabled, _: &mut Context<Self>) -> Self::Result {
        let is_dynamic = self.profile.mode == ToolMode::Dynamic;
        Ok(is_dynamic.then(|| self.toolbox.clone()))
    }
}

impl Handler<Enable> for SessionActor {
    type Result = ();

    fn handle(&mut self, Enable(toolbox): Enable, _: &mut Context<Self>) {
        // A session that was not so confined may have left it.
        let toolbox = toolbox.within(&self.profile.apps);
        if !toolbox.lists_the_same(&self.toolbox) {
            self.tell_change();
        }
        self.toolbox = toolbox;
    }
}

impl Handler<Drain> for SessionActor {
    type Result = ();

    fn handle(&mut self, _: Drain, _: &mut Context<Self>) {
        self.draining = true;
        self.stream = None;
    }
}

impl Handler<End> for SessionActor {
    type Result = ();

    fn handle(&mut self, _: End, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}

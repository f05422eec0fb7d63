//! `enable-tools`: from names to tools, and into the session.

use std::{collections::BTreeSet, sync::Arc};

use actix::{AsyncContext, Context, Handler, Message, ResponseFuture};
use serde_json::value::RawValue;

use super::{
    LocalShard, SessionActor, Shards,
    messages::{Enable, Estate, Inherit, LeaveChat, Resolved},
    toolbox::Toolbox,
};
use crate::{
    error::Error,
    ids::ToolName,
    membrane::{Apps, Caller, Catalog, FindTools},
    protocol::{
        json,
        revision::Era,
        tools::{CallToolResult, ENABLE_TOOLS, EnableTools, ToolMode},
    },
};

/// Names in a call at most: each that is unknown is looked up.
const MAX_NAMES: usize = 512;

/// To self: tools were enabled when the session had the version `base`, and are kept.
#[derive(Message)]
#[rtype(result = "()")]
struct Enabled {
    toolbox: Toolbox,
    version: u64,
    base: u64,
}

/// Outcome of a call of `enable-tools`.
#[derive(Debug)]
pub struct Selection {
    toolbox: Toolbox,
    unknown: Vec<ToolName>,
    catalog: Arc<Catalog>,
    apps: Apps,
}

impl Selection {
    /// Returns the tools to enable, in place of those before.
    #[must_use]
    pub fn into_toolbox(self) -> Toolbox {
        self.toolbox
    }

    /// Returns the result for the client.
    #[must_use]
    pub fn result(&self) -> CallToolResult {
        let enabled = CallToolResult::text("Tools enabled");
        if self.unknown.is_empty() {
            return enabled;
        }
        let names: Vec<_> = self.unknown.iter().map(ToolName::as_str).collect();
        let enabled = enabled.and_text(format!("Unknown tools, not enabled: {}", names.join(", ")));
        match self.unknown.iter().find_map(|name| self.catalog.failed_app_of(name)) {
            None => enabled,
            Some(app) => enabled.and_text(format!(
                "The tools of {} can't be loaded right now: try again {}",
                app.name,
                app.when()
            )),
        }
    }

    /// Returns the result for a client for which nothing is kept: it holds the definitions that the list will not.
    #[must_use]
    pub fn result_with_definitions(&self) -> CallToolResult {
        let tools = self.toolbox.tools(&self.catalog, &self.apps);
        let definitions: Vec<_> = tools.iter().map(|tool| &tool.definition(Era::Modern)[..]).collect();
        let text = [&b"{\"tools\":["[..], &definitions.join(&b','), b"]}"].concat();
        match serde_json::from_slice(&text) {
            Ok(content) => self.result().and_structured(content),
            // Definitions are JSON.
            Err(_) => self.result(),
        }
    }
}

/// Reads the arguments of `enable-tools`.
///
/// # Errors
/// A result that tells what is wrong with them.
pub fn read_names(arguments: &RawValue) -> Result<BTreeSet<ToolName>, CallToolResult> {
    let arguments: EnableTools = json::read(arguments)
        .map_err(|error| CallToolResult::failure(format!("Invalid arguments for tool {ENABLE_TOOLS}: {error}")))?;
    if arguments.tools.len() > MAX_NAMES {
        let text =
            format!("Invalid arguments for tool {ENABLE_TOOLS}: at most {MAX_NAMES} tools can be enabled at once");
        return Err(CallToolResult::failure(text));
    }
    let names = arguments.tools.iter().filter(|name| *name != ENABLE_TOOLS);
    Ok(names.map(|name| ToolName::new(name)).collect())
}

/// Finds the tools of the given names: in the catalog, and beyond it in one batch.
///
/// # Errors
/// Where the upstream can't be asked.
pub async fn select(
    shards: &Shards,
    local: &LocalShard,
    caller: &Caller,
    apps: &Apps,
    names: BTreeSet<ToolName>,
) -> Result<Selection, Error> {
    let catalog = shards.catalog(local, caller, apps).await?;
    let mut toolbox = Toolbox::default();
    let mut missing = Vec::new();
    for name in names {
        match catalog.find(&name) {
            Some(tool) => toolbox.add(tool.name()),
            None => missing.push(name),
        }
    }
    let mut unknown = Vec::new();
    if !missing.is_empty() {
        let find = FindTools {
            caller: caller.clone(),
            apps: apps.clone(),
            catalog: Arc::clone(&catalog),
            names: missing.clone(),
        };
        let found = shards.find_tools(find).await?;
        for name in missing {
            match found.get(&name) {
                Some(tool) => toolbox.add_beyond(Arc::clone(tool)),
                None => unknown.push(name),
            }
        }
    }
    Ok(Selection { toolbox, unknown, catalog, apps: apps.clone() })
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
    type Result = ResponseFuture<Result<(), Error>>;

    fn handle(&mut self, Inherit(Estate { toolbox, subscribers }): Inherit, ctx: &mut Context<Self>) -> Self::Result {
        let enabled = match (toolbox, self.profile.scope.mode) {
            // A session that was not so confined may have left it. Whoever found the new session before it has inherited
            // may have enabled something, which then counts.
            (Some(toolbox), ToolMode::Dynamic) => {
                let toolbox = toolbox.within(&self.profile.scope.apps);
                self.handle(Enable { toolbox, over: Some(0) }, ctx)
            }
            _ => Box::pin(async { Ok(()) }),
        };
        // For those who listened before, nothing has changed.
        self.streams.adopt(subscribers);
        enabled
    }
}

impl Handler<Enable> for SessionActor {
    type Result = ResponseFuture<Result<(), Error>>;

    fn handle(&mut self, Enable { toolbox, over }: Enable, ctx: &mut Context<Self>) -> Self::Result {
        let Some(kept) = &self.kept else {
            self.hold(toolbox);
            return Box::pin(async { Ok(()) });
        };
        // Asked here and now, changes are written in the order in which they were made.
        let (saved, base, addr) = (kept.save(&self.profile, toolbox.names(), over), kept.version, ctx.address());
        Box::pin(async move {
            match saved.await? {
                Some(version) => {
                    let enabled = Enabled { toolbox, version, base };
                    addr.send(enabled).await.map_err(|_gone| Error::SessionNotFound)
                }
                None if over.is_some() => Ok(()),
                None => Err(Error::SessionNotFound),
            }
        })
    }
}

impl Handler<Enabled> for SessionActor {
    type Result = ();

    fn handle(&mut self, Enabled { toolbox, version, base }: Enabled, _: &mut Context<Self>) {
        if self.takes(version, base) {
            self.hold(toolbox);
        }
    }
}

impl SessionActor {
    /// Holds these tools from now on, of which those hear who listen.
    pub(super) fn hold(&mut self, toolbox: Toolbox) {
        if !toolbox.lists_the_same(&self.toolbox) {
            self.streams.tell_change();
        }
        self.toolbox = toolbox;
    }
}

impl Handler<Resolved> for SessionActor {
    type Result = ();

    fn handle(&mut self, Resolved(found): Resolved, _: &mut Context<Self>) {
        self.toolbox.resolve(found);
    }
}

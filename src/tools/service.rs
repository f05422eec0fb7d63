//! Lists, finds and calls tools for every transport.

mod asking;
mod catalogs;
mod connect_app;
mod links;
mod prepare;
mod read_on;
mod sign_in;
mod waiting;
mod workspace;

use std::{mem, rc::Rc, sync::Arc};

use serde_json::value::RawValue;

use super::{
    EnabledTools, MaybeReady,
    accounts::OfApp,
    builtin::{Builtin, read_arguments},
    call::{ReadyCall, RunOptions, What},
    catalog_cache::CatalogCache,
    connecting::{Seals, Wanted},
    describe_tools,
    enable::{self, Selection},
    find::{find, no_such_tool},
    governor::{Governor, Rest},
    kept_outputs::KeptOutputs,
    listing::{listed, seen_by},
    mode,
    once::{self, Turn},
    outcome::Outcome,
    search_tools::{self, Searched},
    searches::Searches,
    view::{Enabled, Scope, View},
    workspace_apps::{KnownApps, Unconnected},
};
use crate::{
    auth::Revocations,
    config::{OnAmbiguous, Settings},
    error::Error,
    ids::ToolName,
    membrane::{
        Caller, Catalog, FindTools, MembraneActor, MembraneClient, Tool,
        call::{self, AccountFault, Called, Ran, Target},
        model::Connection,
    },
    metrics::{self, Run},
    protocol::{answer::ToolList, json, revision::Era, tools::CallToolResult},
    search::Access,
    store::SessionStore,
    workers::PerWorker,
};

/// Tools of all users, for requests on the thread of one worker. Cheap to clone.
#[derive(Clone)]
pub struct ToolService(Rc<Inner>);

struct Inner {
    client: Rc<MembraneClient>,
    membranes: PerWorker<MembraneActor>,
    revocations: Revocations,
    cache: CatalogCache,
    searches: Searches,
    workspace_apps: KnownApps,
    store: Arc<dyn SessionStore>,
    outputs: KeptOutputs,
    seals: Seals,
    /// Whether links to connect an app lead to a page of this server first.
    has_interstitial: bool,
    /// Tokens of an output at most, where the URL names no other number.
    output_tokens: usize,
    /// Fate of a write that names none of several accounts.
    on_ambiguous: OnAmbiguous,
    /// Whether audit lines hold the arguments of calls.
    audits_arguments: bool,
}

impl ToolService {
    /// Returns the service of the worker whose client this is.
    #[must_use]
    pub fn new(
        client: Rc<MembraneClient>,
        membranes: PerWorker<MembraneActor>,
        revocations: Revocations,
        store: Arc<dyn SessionStore>,
        settings: &Settings,
    ) -> Self {
        Self(Rc::new(Inner {
            client,
            membranes,
            revocations,
            cache: CatalogCache::default(),
            searches: Searches::default(),
            workspace_apps: KnownApps::default(),
            outputs: KeptOutputs::new(Arc::clone(&store), settings.outputs.keep),
            store,
            seals: Seals::new(&settings.auth),
            has_interstitial: settings.connect.interstitial,
            output_tokens: settings.outputs.max_tokens.get(),
            on_ambiguous: settings.accounts.on_ambiguous,
            audits_arguments: settings.log.arguments,
        }))
    }

    /// Lists the tools that a view has.
    pub fn list(&self, view: View, era: Era) -> MaybeReady<Result<ToolList, Error>> {
        let View { caller, scope, enabled } = view;
        let is_fixed = match &enabled {
            _ if !scope.mode.lists_enabled() => false,
            Enabled::InSession(enabled) => enabled.is_empty(),
            Enabled::Stateless => true,
        };
        if is_fixed {
            // Nothing need be loaded for this.
            return MaybeReady::Now(Ok(listed(&Catalog::default(), &scope, &enabled, era)));
        }
        self.catalog(&caller, &scope).map_ok(move |catalog| listed(&catalog, &scope, &enabled, era))
    }

    /// Finds the tool of an action by its name.
    pub fn find(&self, view: &View, name: ToolName) -> MaybeReady<Result<Arc<Tool>, Error>> {
        self.find_with_accounts(view, name).map_ok(|(tool, _)| tool)
    }

    /// Finds the tool of an action by its name, and the user's accounts of its app.
    fn find_with_accounts(&self, view: &View, name: ToolName) -> MaybeReady<Result<(Arc<Tool>, Option<OfApp>), Error>> {
        let scope = view.scope.clone();
        let catalog = self.catalog(&view.caller, &scope);
        match &view.enabled {
            _ if !scope.mode.lists_enabled() => catalog.and_then(move |catalog| {
                MaybeReady::Now(find(&catalog, None, name, &scope.apps).map(|tool| with_accounts(tool, &catalog)))
            }),
            Enabled::InSession(enabled) => {
                let enabled = enabled.clone();
                catalog.and_then(move |catalog| {
                    let found = find(&catalog, Some(&enabled), name.clone(), &scope.apps);
                    MaybeReady::Now(match found {
                        Ok(tool) if !seen_by(&scope)(&tool) => Err(no_such_tool(&catalog, name, None)),
                        found => found.map(|tool| with_accounts(tool, &catalog)),
                    })
                })
            }
            Enabled::Stateless => {
                let (this, caller) = (self.clone(), view.caller.clone());
                catalog.and_then(move |catalog| match catalog.find(&name) {
                    Some(tool) => MaybeReady::Now(Ok(with_accounts(Arc::clone(tool), &catalog))),
                    None => MaybeReady::Later(Box::pin(async move {
                        let tool = this.find_beyond(caller, scope, Arc::clone(&catalog), name).await?;
                        Ok(with_accounts(tool, &catalog))
                    })),
                })
            }
        }
    }

    /// Runs a call. One that goes on where an earlier one was left waits first for the account that it needs.
    ///
    /// # Errors
    /// Where the user's catalog is needed and can't be had; [`Error::PageRequired`] for a client that is asked so.
    pub async fn run(&self, mut call: ReadyCall, era: Era) -> Result<Outcome, Error> {
        let trace = call.view.caller.trace();
        if let Some(resumed) = call.resumed.take() {
            let outcome = match trace.around(Box::pin(self.go_on(&call.view, &call.asking, *resumed))).await {
                Ok(Ok(again)) => {
                    call = self.ready(call.begun(), again).get().await?;
                    self.run_ready(&mut call, era).await
                }
                Ok(Err(outcome)) => Ok(outcome),
                Err(error) => Err(error),
            };
            call.audit.end(&outcome);
            return outcome;
        }
        let outcome = self.run_ready(&mut call, era).await;
        call.audit.end(&outcome);
        outcome
    }

    // What few calls come to is on the heap, here and below: the future of each call has room for the largest part of it, and is
    // moved some times on its way.
    async fn run_ready(&self, call: &mut ReadyCall, era: Era) -> Result<Outcome, Error> {
        let trace = call.view.caller.trace();
        let ReadyCall { what, arguments, view, asking, .. } = call;
        let arguments = mem::replace(arguments, json::to_raw(&()));
        match mem::replace(what, What::Nothing(None)) {
            What::Nothing(result) => Ok(Outcome::Result(result.ok_or(Error::Internal)?)),
            What::Disconnected { wanted, tool } => {
                let why = format!("{} was disconnected; the user has to connect it again", wanted.name);
                let gone = CallToolResult::failure(Error::ToolGone { name: tool.clone(), why }.to_string());
                trace.around(Box::pin(self.ask_to_connect(view, asking, wanted, tool.as_str(), Some(gone)))).await
            }
            What::Builtin(Builtin::ConnectApp) => {
                let asked = match read_arguments::<connect_app::Arguments>(Builtin::ConnectApp, &arguments) {
                    Ok(asked) => asked,
                    Err(refused) => return Ok(Outcome::Result(refused)),
                };
                trace.around(Box::pin(self.connect_app(view, asking, &asked))).await
            }
            What::Builtin(builtin) => Box::pin(self.run_builtin(builtin, &arguments, view)).await,
            What::Tool(tool) => self.run_tool(call, &tool, arguments, era).await,
        }
    }

    /// Runs the tool of an action. Where its account is missing or lost, the user is asked to connect it.
    async fn run_tool(
        &self,
        call: &mut ReadyCall,
        tool: &Arc<Tool>,
        arguments: Box<RawValue>,
        era: Era,
    ) -> Result<Outcome, Error> {
        let ReadyCall { options, view, asking, came_as_text, .. } = call;
        self.0.searches.note_run(view.caller.user(), tool.name());
        let RunOptions { asked, inputs, key, target, .. } = mem::take(options);
        let Called { result, account, .. } = match key {
            None => self.call(view, tool, &target, arguments, era).await,
            Some(key) => Box::pin(self.call_once(view, tool, &target, arguments, era, &key)).await,
        };
        if account == AccountFault::Lost {
            let name = Box::pin(self.name_of_app(view, tool)).await;
            let wanted = Wanted::new(tool.integration().clone(), &name).by(target.connection);
            let again = tool.name().as_str();
            let asked = Box::pin(self.ask_to_connect(view, asking, wanted, again, Some(result)));
            return view.caller.trace().around(asked).await;
        }
        let reads_on =
            tool.access() == Access::Write && mode::builtins(view.scope.mode).contains(&Builtin::RunReadTool);
        let rest = if reads_on {
            Rest::Keep(self.0.outputs.clone(), view.caller.user().clone(), inputs)
        } else {
            Rest::Run(inputs)
        };
        let governor = Governor { limit: self.limit(&view.scope), asked, rest };
        let result = governor.apply(self.0.client.upstream().pool(), tool, era, result).await;
        Ok(Outcome::Result(if *came_as_text { result.and_read_from_text() } else { result }))
    }

    async fn run_builtin(&self, builtin: Builtin, arguments: &RawValue, view: &View) -> Result<Outcome, Error> {
        let View { caller, scope, .. } = view;
        let result = match builtin {
            Builtin::EnableTools => match enable::read_names(arguments) {
                Ok(names) => return self.select(caller, scope, names).await.map(Outcome::Enable),
                Err(refused) => refused,
            },
            Builtin::SearchTools => match read_arguments::<search_tools::Arguments>(builtin, arguments) {
                Ok(asked) => {
                    let (catalog, workspace) =
                        futures_util::join!(self.indexed(caller, scope), self.workspace_apps(caller));
                    let catalog = catalog?;
                    let others = Unconnected { workspace: &workspace, catalog: &catalog, apps: &scope.apps };
                    let Searched { result, found } = search_tools::search(&catalog, others, &asked);
                    self.0.searches.note(caller.user(), found, &result);
                    result
                }
                Err(refused) => refused,
            },
            Builtin::DescribeTools => match read_arguments(builtin, arguments) {
                Ok(asked) => describe_tools::describe(&*self.catalog(caller, scope).get().await?, &asked),
                Err(refused) => refused,
            },
            // Prepared as calls of the tools that they run; and run with the terms of its call.
            Builtin::RunReadTool | Builtin::RunWriteTool | Builtin::ConnectApp => return Err(Error::Internal),
        };
        Ok(Outcome::Result(result))
    }

    /// Finds the tools of the given names: in the catalog, and beyond it in one batch.
    async fn select(
        &self,
        caller: &Caller,
        scope: &Scope,
        names: impl IntoIterator<Item = ToolName>,
    ) -> Result<Selection, Error> {
        let (catalog, apps) = (self.catalog(caller, scope).get().await?, &scope.apps);
        let mut tools = EnabledTools::default();
        let mut missing = Vec::new();
        for name in names {
            match catalog.find(&name) {
                Some(tool) => tools.add(tool.name()),
                None => missing.push(name),
            }
        }
        let mut unknown = Vec::new();
        if !missing.is_empty() {
            let (caller, apps, names) = (caller.clone(), apps.clone(), missing.clone());
            let found = self.find_all(scope, FindTools { caller, apps, catalog: Arc::clone(&catalog), names }).await?;
            for name in missing {
                match found.get(&name) {
                    Some(tool) => tools.add_beyond(Arc::clone(tool)),
                    None => unknown.push(name),
                }
            }
        }
        Ok(Selection { tools, unknown, catalog, apps: apps.clone() })
    }

    /// Calls the tool of an action, unless a call under the same key was made before.
    async fn call_once(
        &self,
        view: &View,
        tool: &Arc<Tool>,
        target: &Target,
        arguments: Box<RawValue>,
        era: Era,
        key: &str,
    ) -> Called {
        let connection = target.connection.as_deref();
        match once::claim(&self.0.store, view.caller.user(), key, tool, connection, arguments.get()).await {
            Turn::Settled(result) => Called { result, token_refused: false, ran: Ran::No, account: AccountFault::Fine },
            Turn::Mine(claim) => {
                let called = self.call(view, tool, target, arguments, era).await;
                claim.settle(&called.result, called.ran).await;
                called
            }
        }
    }

    /// Calls the tool of an action, and ends the trust in the caller's token if the upstream refuses it.
    async fn call(&self, view: &View, tool: &Arc<Tool>, target: &Target, arguments: Box<RawValue>, era: Era) -> Called {
        let (caller, run) = (&view.caller, Run::begin(tool.integration().as_str()));
        let mut called = caller.trace().around(call::call(&self.0.client, caller, tool, target, arguments, era)).await;
        run.end(if called.result.is_error() { metrics::Outcome::Error } else { metrics::Outcome::Success });
        if called.token_refused {
            self.0.revocations.revoke(caller.token());
        }
        let is_missing = match called.account {
            AccountFault::Fine | AccountFault::Lost => false,
            AccountFault::PerhapsMissing => !Box::pin(self.has_app(view, tool)).await,
            AccountFault::ProbablyMissing => {
                !Box::pin(self.has_app(view, tool)).await || Box::pin(self.is_disconnected(view, tool)).await
            }
        };
        if is_missing {
            // Without an account there was nothing to run it with.
            called = Called { account: AccountFault::Lost, ran: Ran::No, ..called };
        }
        called
    }

    /// Returns whether the upstream says that the user has no account of a tool's app any more.
    async fn is_disconnected(&self, view: &View, tool: &Tool) -> bool {
        let connections = self.0.client.connections_of(&view.caller, tool.integration());
        let connections = view.caller.trace().around(connections).await;
        connections.is_ok_and(|connections| !connections.iter().any(Connection::is_live))
    }

    /// Returns whether the user has connected the app of a tool, as far as is known.
    async fn has_app(&self, view: &View, tool: &Tool) -> bool {
        match self.catalog(&view.caller, &view.scope).get().await {
            Ok(catalog) => catalog.connected().any(|app| app == tool.integration()),
            // Without a catalog, nothing is known to be missing.
            Err(_) => true,
        }
    }

    /// Returns the name of a tool's app, for people.
    async fn name_of_app(&self, view: &View, tool: &Tool) -> String {
        let catalog = self.catalog(&view.caller, &view.scope).get().await.ok();
        let name = catalog.and_then(|catalog| {
            let mut parts = catalog.held();
            parts.find(|part| part.integration() == tool.integration()).map(|part| part.name().to_owned())
        });
        name.unwrap_or_else(|| connect_app::name_of(tool.integration().as_str()))
    }
}

/// Returns a tool with the accounts of its app, where these count.
fn with_accounts(tool: Arc<Tool>, catalog: &Catalog) -> (Arc<Tool>, Option<OfApp>) {
    let of_app = OfApp::where_it_counts(catalog, &tool);
    (tool, of_app)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of<A, B, C, F: Future>(_: impl Fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_call_carries_no_room_for_what_few_calls_do() {
        // Moved three times on its way, at some 10 KB it cost as much as the JSON of the call.
        let bytes = bytes_of(|service: &'static ToolService, call, era| service.run(call, era));
        assert!(bytes <= 3072, "{bytes} bytes");
    }
}

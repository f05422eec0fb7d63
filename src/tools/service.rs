//! Lists, finds and calls tools for every transport.

use std::{rc::Rc, sync::Arc};

use serde_json::value::RawValue;

use super::{
    EnabledTools, MaybeReady,
    accounts::{OfApp, aim},
    audit::{Audit, Origin},
    builtin::{Builtin, read_arguments},
    call::{Outcome, ReadyCall, RunOptions, What},
    catalog_cache::CatalogCache,
    connect_app, describe_tools,
    enable::{self, Selection},
    find::{find, find_forgiving, no_such_tool, unknown_tool},
    governor::{Governor, Rest},
    kept_outputs::KeptOutputs,
    listing::{listed, seen_by},
    once::{self, Turn},
    run_tools,
    search_tools::{self, Searched},
    searches::Searches,
    view::{Enabled, Scope, View},
    workspace_apps::{KnownApps, Unconnected},
};
use crate::{
    allowance::CallLimit,
    auth::Revocations,
    config::{OnAmbiguous, Settings},
    error::Error,
    ids::ToolName,
    membrane::{
        Caller, Catalog, FindTools, MembraneActor, MembraneClient, Tool,
        call::{self, Called, Target},
    },
    metrics::{self, Run},
    protocol::{answer::ToolList, request::CallTool, revision::Era, tools::CallToolResult},
    search::Access,
    store::{SessionStore, outputs::OutputId},
    workers::PerWorker,
};

/// Tools of all users, for requests on the thread of one worker. Cheap to clone.
#[derive(Clone)]
pub struct ToolService(pub(super) Rc<Inner>);

pub(super) struct Inner {
    pub(super) client: Rc<MembraneClient>,
    pub(super) membranes: PerWorker<MembraneActor>,
    pub(super) revocations: Revocations,
    pub(super) cache: CatalogCache,
    searches: Searches,
    pub(super) workspace_apps: KnownApps,
    store: Arc<dyn SessionStore>,
    pub(super) outputs: KeptOutputs,
    /// Tokens of an output at most, where the URL names no other number.
    pub(super) output_tokens: usize,
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

    /// Prepares a call: takes it from the limits of calls that run at once and of the user's calls a second, and finds the tool.
    ///
    /// # Errors
    /// [`Error::TooManyCalls`], and the reasons why there is no such tool.
    pub fn prepare(
        &self,
        view: View,
        limit: &CallLimit,
        origin: Origin,
        call: CallTool,
    ) -> MaybeReady<Result<ReadyCall, Error>> {
        let mut audit = self.audit(origin, &view.caller, &call);
        let CallTool { name, arguments, came_as_text, .. } = call;
        let running = match limit.begin() {
            Ok(running) => running,
            Err(error) => {
                audit.refuse(&error);
                return MaybeReady::Now(Err(error));
            }
        };
        let ready = move |what, arguments, view, audit| ReadyCall {
            what,
            arguments,
            came_as_text,
            options: RunOptions::default(),
            view,
            audit,
            _running: running,
        };
        if let Err(wait_s) = view.caller.allowance().call() {
            let what = What::Nothing(CallToolResult::too_many(wait_s));
            return MaybeReady::Now(Ok(ready(what, arguments, view, audit)));
        }
        match view.scope.mode.builtin(&name) {
            Some(runner @ (Builtin::RunReadTool | Builtin::RunWriteTool)) => {
                let (this, mut call) = (self.clone(), ready(What::Builtin(runner), arguments, view, audit));
                MaybeReady::Later(Box::pin(async move {
                    let found = this.find_for_runner(runner, &call).await;
                    match found.inspect_err(|error| call.audit.refuse(error))? {
                        Ok((tool, arguments, options)) => {
                            call.audit.becomes(tool.name(), &arguments);
                            Ok(ReadyCall { what: What::Tool(tool), arguments, options, ..call })
                        }
                        Err(refused) => Ok(ReadyCall { what: What::Nothing(refused), ..call }),
                    }
                }))
            }
            Some(builtin) => MaybeReady::Now(Ok(ready(What::Builtin(builtin), arguments, view, audit))),
            None => {
                let on_ambiguous = self.0.on_ambiguous;
                // The same whether the tool is there at once or later.
                let direct = move |(tool, of_app): (Arc<Tool>, Option<OfApp>), arguments, view, audit| {
                    let aimed = match &of_app {
                        Some(of_app) => aim(&tool, of_app, None, arguments, on_ambiguous),
                        None => Ok((Target::default(), arguments)),
                    };
                    match aimed {
                        Ok((target, arguments)) => {
                            let options = RunOptions { target, ..RunOptions::default() };
                            ReadyCall { options, ..ready(What::Tool(tool), arguments, view, audit) }
                        }
                        Err(refused) => ready(What::Nothing(refused), RawValue::NULL.to_owned(), view, audit),
                    }
                };
                match self.find_with_accounts(&view, name) {
                    MaybeReady::Now(found) => {
                        let found = found.inspect_err(|error| audit.refuse(error));
                        MaybeReady::Now(found.map(|found| direct(found, arguments, view, audit)))
                    }
                    MaybeReady::Later(found) => MaybeReady::Later(Box::pin(async move {
                        let found = found.await.inspect_err(|error| audit.refuse(error))?;
                        Ok(direct(found, arguments, view, audit))
                    })),
                }
            }
        }
    }

    /// Finds the tool that a runner is asked to run, with the arguments for it; or tells the model why there is none.
    async fn find_for_runner(
        &self,
        runner: Builtin,
        call: &ReadyCall,
    ) -> Result<Result<(Arc<Tool>, Box<RawValue>, RunOptions), CallToolResult>, Error> {
        let asked: run_tools::Arguments = match read_arguments(runner, &call.arguments) {
            Ok(asked) => asked,
            Err(refused) => return Ok(Err(refused)),
        };
        let catalog = self.catalog(&call.view.caller, &call.view.scope).get().await?;
        if let Some(id) = OutputId::parse(&asked.name) {
            return Ok(Err(self.read_on(&call.view, &catalog, id, &asked).await));
        }
        let Some(tool) = find_forgiving(&catalog, &asked.name) else {
            return Ok(Err(unknown_tool(&catalog, &asked.name)));
        };
        if runner == Builtin::RunReadTool && tool.access() == Access::Write {
            let text = format!("{} writes, so run-read-tool does not run it. run-write-tool does.", tool.name());
            return Ok(Err(CallToolResult::failure(text)));
        }
        let of_tool = asked.of_tool().and_then(|arguments| Ok((arguments, asked.options(runner, tool.access())?)));
        let (arguments, options) = match of_tool {
            Ok(of_tool) => of_tool,
            Err(fault) => {
                let text = format!("Invalid arguments for {}: {fault}", runner.name());
                return Ok(Err(CallToolResult::failure(text)));
            }
        };
        let of_app = OfApp::of(&catalog, tool);
        let aimed = aim(tool, &of_app, asked.account.as_deref(), arguments, self.0.on_ambiguous);
        Ok(aimed.map(|(target, arguments)| (Arc::clone(tool), arguments, RunOptions { target, ..options })))
    }

    /// Runs a call.
    ///
    /// # Errors
    /// Where the user's catalog is needed and can't be had.
    pub async fn run(&self, call: ReadyCall, era: Era) -> Result<Outcome, Error> {
        let ReadyCall { what, arguments, came_as_text, options, view, mut audit, _running } = call;
        let outcome = match what {
            What::Nothing(result) => Ok(Outcome::Result(result)),
            What::Builtin(builtin) => self.run_builtin(builtin, &arguments, &view).await,
            What::Tool(tool) => {
                self.0.searches.note_run(view.caller.user(), tool.name());
                let RunOptions { asked, inputs, key, target, .. } = options;
                let result = match key {
                    None => self.call(&view.caller, &tool, &target, arguments, era).await.result,
                    Some(key) => self.call_once(&view.caller, &tool, &target, arguments, era, &key).await,
                };
                let reads_on =
                    tool.access() == Access::Write && view.scope.mode.builtins().contains(&Builtin::RunReadTool);
                let rest = if reads_on {
                    Rest::Keep(self.0.outputs.clone(), view.caller.user().clone(), inputs)
                } else {
                    Rest::Run(inputs)
                };
                let governor = Governor { limit: self.limit(&view.scope), asked, rest };
                let result = governor.apply(self.0.client.upstream().pool(), &tool, era, result).await;
                Ok(Outcome::Result(if came_as_text { result.and_read_from_text() } else { result }))
            }
        };
        audit.end(&outcome);
        outcome
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
            Builtin::ConnectApp => match read_arguments::<connect_app::Arguments>(builtin, arguments) {
                Ok(asked) => connect_app::connect(&*self.catalog(caller, scope).get().await?, &asked),
                Err(refused) => refused,
            },
            // Prepared as calls of the tools that they run.
            Builtin::RunReadTool | Builtin::RunWriteTool => return Err(Error::Internal),
        };
        Ok(Outcome::Result(result))
    }

    /// Begins the audit line of a call that may be refused before anything is prepared.
    #[must_use]
    pub fn audit(&self, origin: Origin, caller: &Caller, call: &CallTool) -> Audit {
        Audit::begin(origin, caller.user().clone(), call, self.0.audits_arguments)
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
        caller: &Caller,
        tool: &Arc<Tool>,
        target: &Target,
        arguments: Box<RawValue>,
        era: Era,
        key: &str,
    ) -> CallToolResult {
        let connection = target.connection.as_deref();
        match once::claim(&self.0.store, caller.user(), key, tool, connection, arguments.get()).await {
            Turn::Settled(result) => result,
            Turn::Mine(claim) => {
                let Called { result, ran, .. } = self.call(caller, tool, target, arguments, era).await;
                claim.settle(&result, ran).await;
                result
            }
        }
    }

    /// Calls the tool of an action, and ends the trust in the caller's token if the upstream refuses it.
    async fn call(
        &self,
        caller: &Caller,
        tool: &Arc<Tool>,
        target: &Target,
        arguments: Box<RawValue>,
        era: Era,
    ) -> Called {
        let run = Run::begin(tool.integration().as_str());
        let called = caller.trace().around(call::call(&self.0.client, caller, tool, target, arguments, era)).await;
        run.end(if called.result.is_error() { metrics::Outcome::Error } else { metrics::Outcome::Success });
        if called.token_refused {
            self.0.revocations.revoke(caller.token());
        }
        called
    }
}

/// Returns a tool with the accounts of its app, where these count.
fn with_accounts(tool: Arc<Tool>, catalog: &Catalog) -> (Arc<Tool>, Option<OfApp>) {
    let of_app = OfApp::where_it_counts(catalog, &tool);
    (tool, of_app)
}

//! Lists, finds and calls tools for every transport.

use std::{collections::BTreeMap, rc::Rc, sync::Arc, time::Instant};

use super::{
    EnabledTools, MaybeReady,
    audit::{Audit, Origin},
    builtin::Builtin,
    call::{Outcome, ReadyCall, What},
    catalog_cache::CatalogCache,
    enable::{self, Selection},
    find::{find, no_such_tool},
    view::{Enabled, View},
};
use crate::{
    allowance::CallLimit,
    auth::Revocations,
    error::Error,
    ids::ToolName,
    membrane::{
        Apps, Caller, Catalog, FindTools, KnownCatalog, LoadCatalog, MembraneActor, MembraneClient, MembraneError,
        Tool, call,
    },
    metrics::{self, Run, count_lookup},
    protocol::{answer::ToolList, request::CallTool, revision::Era, tools::CallToolResult},
    token::AccessToken,
    workers::{PerWorker, ask},
};

/// Tools of all users, for requests on the thread of one worker. Cheap to clone.
#[derive(Clone)]
pub struct ToolService(Rc<Inner>);

struct Inner {
    client: Rc<MembraneClient>,
    membranes: PerWorker<MembraneActor>,
    revocations: Revocations,
    cache: CatalogCache,
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
        audits_arguments: bool,
    ) -> Self {
        Self(Rc::new(Inner { client, membranes, revocations, cache: CatalogCache::default(), audits_arguments }))
    }

    /// Lists the tools that a view has.
    pub fn list(&self, view: View, era: Era) -> MaybeReady<Result<ToolList, Error>> {
        let mode = view.scope.mode;
        let mut list = ToolList::default();
        for builtin in mode.builtins() {
            list.push(builtin.definition());
        }
        let enabled = match view.enabled {
            _ if mode.lists_catalog() => None,
            Enabled::InSession(enabled) if !enabled.is_empty() => Some(enabled),
            // Nothing need be loaded for this.
            Enabled::InSession(_) | Enabled::Stateless => return MaybeReady::Now(Ok(list)),
        };
        let apps = view.scope.apps.clone();
        self.catalog(&view.caller, &view.scope.apps).map_ok(move |catalog| {
            match enabled {
                None => catalog.list_into(&mut list, era),
                Some(enabled) => {
                    for tool in enabled.in_order(&catalog, &apps) {
                        list.push(tool.definition(era).clone());
                    }
                }
            }
            list
        })
    }

    /// Finds the tool of an action by its name.
    pub fn find(&self, view: &View, name: ToolName) -> MaybeReady<Result<Arc<Tool>, Error>> {
        let apps = view.scope.apps.clone();
        let catalog = self.catalog(&view.caller, &apps);
        match &view.enabled {
            _ if !view.scope.mode.lists_enabled() => {
                catalog.and_then(move |catalog| MaybeReady::Now(find(&catalog, None, name, &apps)))
            }
            Enabled::InSession(enabled) => {
                let enabled = enabled.clone();
                catalog.and_then(move |catalog| MaybeReady::Now(find(&catalog, Some(&enabled), name, &apps)))
            }
            Enabled::Stateless => {
                let (this, caller) = (self.clone(), view.caller.clone());
                catalog.and_then(move |catalog| match catalog.find(&name) {
                    Some(tool) => MaybeReady::Now(Ok(Arc::clone(tool))),
                    None => MaybeReady::Later(Box::pin(this.find_beyond(caller, apps, catalog, name))),
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
        let CallTool { name, arguments, .. } = call;
        let running = match limit.begin() {
            Ok(running) => running,
            Err(error) => {
                audit.refuse(&error);
                return MaybeReady::Now(Err(error));
            }
        };
        let what = if let Err(wait_s) = view.caller.allowance().call() {
            Some(What::Nothing(CallToolResult::too_many(wait_s)))
        } else {
            view.scope.mode.builtin(&name).map(What::Builtin)
        };
        let ready = |what, view, audit| ReadyCall { what, arguments, view, audit, _running: running };
        match what {
            Some(what) => MaybeReady::Now(Ok(ready(what, view, audit))),
            None => match self.find(&view, name) {
                MaybeReady::Now(found) => {
                    let found = found.inspect_err(|error| audit.refuse(error));
                    MaybeReady::Now(found.map(|tool| ready(What::Tool(tool), view, audit)))
                }
                MaybeReady::Later(found) => MaybeReady::Later(Box::pin(async move {
                    let tool = found.await.inspect_err(|error| audit.refuse(error))?;
                    Ok(ready(What::Tool(tool), view, audit))
                })),
            },
        }
    }

    /// Runs a call.
    ///
    /// # Errors
    /// Where the user's catalog is needed and can't be had.
    pub async fn run(&self, call: ReadyCall, era: Era) -> Result<Outcome, Error> {
        let ReadyCall { what, arguments, view, mut audit, _running } = call;
        let outcome = match what {
            What::Nothing(result) => Ok(Outcome::Result(result)),
            What::Builtin(Builtin::EnableTools) => match enable::read_names(&arguments) {
                Ok(names) => self.select(&view.caller, &view.scope.apps, names).await.map(Outcome::Enable),
                Err(result) => Ok(Outcome::Result(result)),
            },
            What::Tool(tool) => Ok(Outcome::Result(self.call(&view.caller, &tool, arguments, era).await)),
        };
        audit.end(&outcome);
        outcome
    }

    /// Begins the audit line of a call that may be refused before anything is prepared.
    #[must_use]
    pub fn audit(&self, origin: Origin, caller: &Caller, call: &CallTool) -> Audit {
        Audit::begin(origin, caller.user().clone(), call, self.0.audits_arguments)
    }

    /// Looks up again the enabled tools that are not in the user's catalog.
    ///
    /// # Errors
    /// As [`ToolService::catalog`].
    pub async fn look_up(
        &self,
        caller: Caller,
        apps: Apps,
        names: Vec<ToolName>,
    ) -> Result<BTreeMap<ToolName, Arc<Tool>>, Error> {
        let catalog = self.catalog(&caller, &apps).get().await?;
        self.find_all(FindTools { caller, apps, catalog, names }).await
    }

    /// Returns the tools of a user.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] where the upstream no longer accepts the token, [`Error::UpstreamUnavailable`] where it
    /// can't be asked.
    pub fn catalog(&self, caller: &Caller, apps: &Apps) -> MaybeReady<Result<Arc<Catalog>, Error>> {
        if let Some(known) = self.0.cache.catalog(caller, apps, Instant::now()) {
            count_lookup("fresh");
            return MaybeReady::Now(Ok(known));
        }
        let (this, caller, apps) = (self.clone(), caller.clone(), apps.clone());
        MaybeReady::Later(Box::pin(async move {
            let membrane = this.0.membranes.owner_of(caller.user())?;
            let loaded = ask(membrane, LoadCatalog { caller: caller.clone(), apps: apps.clone() }).await?;
            let loaded = this.heed(caller.token(), loaded)?;
            this.0.cache.remember(&caller, apps, &loaded, Instant::now());
            Ok(Arc::clone(loaded.catalog()))
        }))
    }

    /// Returns the tools of a user as far as they are known, without loading them.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub async fn known_catalog(&self, caller: &Caller, apps: &Apps) -> Result<Option<Arc<Catalog>>, Error> {
        let known = KnownCatalog { user: caller.user().clone(), apps: apps.clone() };
        ask(self.0.membranes.owner_of(caller.user())?, known).await
    }

    async fn find_beyond(
        self,
        caller: Caller,
        apps: Apps,
        catalog: Arc<Catalog>,
        name: ToolName,
    ) -> Result<Arc<Tool>, Error> {
        let find = FindTools { caller, apps, catalog: Arc::clone(&catalog), names: vec![name.clone()] };
        let mut found = self.find_all(find).await?;
        found.remove(&name).ok_or_else(|| no_such_tool(&catalog, name, None))
    }

    /// Looks up tools that are not in a user's catalog, by the names asked for.
    async fn find_all(&self, find: FindTools) -> Result<BTreeMap<ToolName, Arc<Tool>>, Error> {
        let token = find.caller.token().clone();
        let found = ask(self.0.membranes.owner_of(find.caller.user())?, find).await?;
        self.heed(&token, found)
    }

    /// Finds the tools of the given names: in the catalog, and beyond it in one batch.
    async fn select(
        &self,
        caller: &Caller,
        apps: &Apps,
        names: impl IntoIterator<Item = ToolName>,
    ) -> Result<Selection, Error> {
        let catalog = self.catalog(caller, apps).get().await?;
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
            let found = self.find_all(FindTools { caller, apps, catalog: Arc::clone(&catalog), names }).await?;
            for name in missing {
                match found.get(&name) {
                    Some(tool) => tools.add_beyond(Arc::clone(tool)),
                    None => unknown.push(name),
                }
            }
        }
        Ok(Selection { tools, unknown, catalog, apps: apps.clone() })
    }

    /// Calls the tool of an action, and ends the trust in the caller's token if the upstream refuses it.
    async fn call(
        &self,
        caller: &Caller,
        tool: &Arc<Tool>,
        arguments: Box<serde_json::value::RawValue>,
        era: Era,
    ) -> CallToolResult {
        let run = Run::begin(tool.integration().as_str());
        let called = caller.trace().around(call::call(&self.0.client, caller, tool, arguments, era)).await;
        run.end(if called.result.is_error() { metrics::Outcome::Error } else { metrics::Outcome::Success });
        if called.token_refused {
            self.0.revocations.revoke(caller.token());
        }
        called.result
    }

    /// Ends the trust in a token that the upstream has refused.
    fn heed<T>(&self, token: &AccessToken, outcome: Result<T, MembraneError>) -> Result<T, Error> {
        outcome.map_err(|error| {
            if error.is_unauthenticated() {
                self.0.revocations.revoke(token);
            }
            error.into()
        })
    }
}

//! Catalogs of users, from this worker's memory or from the worker that loads them, and tools beyond them.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use super::ToolService;
use crate::{
    error::Error,
    ids::ToolName,
    membrane::{Caller, Catalog, FindTools, KnownCatalog, LoadCatalog, MembraneError, Tool, pool::LARGE},
    metrics::count_lookup,
    search,
    token::AccessToken,
    tools::{MaybeReady, Scope, find::no_such_tool, listing::seen_by},
    workers::ask,
};

impl ToolService {
    /// Returns a catalog that can be searched.
    pub(super) async fn indexed(&self, caller: &Caller, scope: &Scope) -> Result<Arc<Catalog>, Error> {
        let catalog = self.catalog(caller, scope).get().await?;
        self.index(&catalog).await;
        Ok(catalog)
    }

    /// Builds the search indexes of a catalog that are not there yet, beside the workers: for thousands of tools it takes
    /// longer than a worker may be kept.
    pub(super) async fn index(&self, catalog: &Arc<Catalog>) {
        let missing: Vec<_> = catalog.parts().filter(|part| !part.is_indexed()).cloned().collect();
        if missing.is_empty() {
            return;
        }
        // Never here, however few they are: the first index of all has to read the tables of words.
        let bytes = missing.iter().map(|part| part.bytes()).sum::<usize>().max(LARGE + 1);
        let build = move || {
            search::warm_up();
            for part in &missing {
                let _built = part.index();
            }
        };
        // Given up, the indexes are built where they are used.
        let _ = self.0.client.upstream().pool().run(bytes, build).await;
    }

    /// Looks up again the enabled tools that are not in the user's catalog.
    ///
    /// # Errors
    /// As [`ToolService::catalog`].
    pub async fn look_up(
        &self,
        caller: Caller,
        scope: &Scope,
        names: Vec<ToolName>,
    ) -> Result<BTreeMap<ToolName, Arc<Tool>>, Error> {
        let catalog = self.catalog(&caller, scope).get().await?;
        self.find_all(scope, FindTools { caller, apps: scope.apps.clone(), catalog, names }).await
    }

    /// Returns the tools of a user.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] where the upstream no longer accepts the token, [`Error::UpstreamUnavailable`] where it
    /// can't be asked.
    pub fn catalog(&self, caller: &Caller, scope: &Scope) -> MaybeReady<Result<Arc<Catalog>, Error>> {
        if let Some(known) = self.0.cache.catalog(caller, &scope.apps, Instant::now()) {
            count_lookup("fresh");
            return MaybeReady::Now(Ok(self.0.cache.filtered(caller.user(), scope, known)));
        }
        let (this, caller, scope) = (self.clone(), caller.clone(), scope.clone());
        MaybeReady::Later(Box::pin(async move {
            let membrane = this.0.membranes.owner_of(caller.user())?;
            let loaded = ask(membrane, LoadCatalog { caller: caller.clone(), apps: scope.apps.clone() }).await?;
            let loaded = this.heed(caller.token(), loaded)?;
            this.0.cache.remember(&caller, scope.apps.clone(), &loaded, Instant::now());
            Ok(this.0.cache.filtered(caller.user(), &scope, Arc::clone(loaded.catalog())))
        }))
    }

    /// Returns the tools of a user as far as they are known, without loading them.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub async fn known_catalog(&self, caller: &Caller, scope: &Scope) -> Result<Option<Arc<Catalog>>, Error> {
        let known = KnownCatalog { user: caller.user().clone(), apps: scope.apps.clone() };
        let known = ask(self.0.membranes.owner_of(caller.user())?, known).await?;
        Ok(known.map(|known| self.0.cache.filtered(caller.user(), scope, known)))
    }

    pub(super) async fn find_beyond(
        self,
        caller: Caller,
        scope: Scope,
        catalog: Arc<Catalog>,
        name: ToolName,
    ) -> Result<Arc<Tool>, Error> {
        let apps = scope.apps.clone();
        let find = FindTools { caller, apps, catalog: Arc::clone(&catalog), names: vec![name.clone()] };
        let mut found = self.find_all(&scope, find).await?;
        found.remove(&name).ok_or_else(|| no_such_tool(&catalog, name, None))
    }

    /// Looks up tools that are not in a user's catalog, by the names asked for. Tools that may not be seen are not found.
    pub(super) async fn find_all(
        &self,
        scope: &Scope,
        find: FindTools,
    ) -> Result<BTreeMap<ToolName, Arc<Tool>>, Error> {
        let token = find.caller.token().clone();
        let found = ask(self.0.membranes.owner_of(find.caller.user())?, find).await?;
        let mut found = self.heed(&token, found)?;
        let is_seen = seen_by(scope);
        found.retain(|_, tool| is_seen(tool));
        Ok(found)
    }

    /// Ends the trust in a token that the upstream has refused.
    pub(super) fn heed<T>(&self, token: &AccessToken, outcome: Result<T, MembraneError>) -> Result<T, Error> {
        outcome.map_err(|error| {
            if error.is_unauthenticated() {
                self.0.revocations.revoke(token);
            }
            error.into()
        })
    }
}

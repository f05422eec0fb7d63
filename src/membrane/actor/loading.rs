//! Loading catalogs: once for all who ask, again in the background when they are no longer fresh, and at once when they
//! are known to have changed.

use std::{
    collections::HashMap,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use actix::{AsyncContext, Context, Handler, MessageResult, Recipient, ResponseFuture};
use metrics::counter;
use tokio::sync::oneshot;

use super::{
    Asked, MembraneActor,
    load_task::{CatalogLoaded, CatalogThawed, LoadTask},
};
use crate::{
    config::Settings,
    ids::UserKey,
    membrane::{
        CachedCatalog, CatalogChanged, KnownCatalog, LoadCatalog, MembraneError, Refresh, TokenRefused,
        background::{Pace, Urgency},
        cache::{CacheState, CatalogCache, CatalogKey},
        load::{Known, LoadOptions, Previous},
        shared_lists::Sharing,
        thaw::thaw,
    },
    metrics::count_lookup,
    secret::Fingerprint,
    token::AccessToken,
    trace,
};

/// After a change was told, the next ones of the same catalog are looked at together when this is over.
const REST: Duration = Duration::from_secs(1);

/// Recipients of changes and refusals that loads find.
pub struct Watchers {
    /// Recipient of changes of catalogs.
    pub changes: Recipient<CatalogChanged>,
    /// Recipient of tokens that the upstream has refused during a load.
    pub refusals: Recipient<TokenRefused>,
}

/// Catalogs that are there, and those on their way.
pub(super) struct Loading {
    cache: CatalogCache,
    loads: HashMap<CatalogKey, CatalogLoad>,
    /// Catalogs that were reloaded just now because of a change, with whether they have changed again.
    resting: HashMap<CatalogKey, bool>,
    options: LoadOptions,
    sharing: Sharing,
    watchers: Watchers,
}

/// Load of a catalog that is in flight.
struct CatalogLoad {
    /// The token it is made with.
    token: AccessToken,
    /// Whether the upstream has accepted that token.
    is_proven: bool,
    /// Whether what it loads has changed since it began.
    is_outdated: bool,
    /// Pace of the load, by whether requests wait for it.
    pace: Rc<Pace>,
    waiting: Vec<Asked<Arc<CachedCatalog>, MembraneError>>,
}

impl Loading {
    pub(super) fn new(watchers: Watchers, sharing: Sharing, settings: &Settings) -> Self {
        let options = LoadOptions {
            concurrency: settings.tuning.max_reads_per_user,
            fresh: settings.catalog.fresh,
            stale: settings.tuning.catalog_stale,
            max_bytes: settings.catalog.max_bytes.get(),
            negative: settings.tuning.catalog_negative,
        };
        let cache = CatalogCache::new(settings, sharing.switch().clone());
        Self { cache, loads: HashMap::new(), resting: HashMap::new(), options, sharing, watchers }
    }

    /// The upstream has accepted a token.
    pub(super) fn note_proof(&mut self, token: Fingerprint) {
        for load in self.loads.values_mut().filter(|load| load.token.fingerprint() == token) {
            load.is_proven = true;
        }
    }
}

impl MembraneActor {
    /// Returns the options with which catalogs are loaded.
    pub(super) fn options(&self) -> LoadOptions {
        self.loading.options
    }

    /// Starts a load with this token, if one is due, and returns whether one is on its way: its first answer is the
    /// verdict on the token.
    pub(super) fn load_as_proof(
        &mut self,
        key: &CatalogKey,
        token: &AccessToken,
        trace: &trace::Context,
        ctx: &Context<Self>,
    ) -> bool {
        let is_fresh = matches!(self.loading.cache.find(key, Instant::now()), CacheState::Fresh(_));
        if !is_fresh && !self.loading.loads.contains_key(key) {
            self.load(key.clone(), token.clone(), Vec::new(), false, trace.clone(), ctx);
        }
        // A load with another token may be in flight. Its answers are no verdict on this token, which is then asked
        // about apart.
        let fingerprint = token.fingerprint();
        let load = self.loading.loads.get(key).filter(|load| load.token.fingerprint() == fingerprint);
        if let Some(load) = load {
            // Trust may have ended while the load queues for a turn, and a request waits for its first answer now.
            load.pace.hurry();
        }
        load.is_some()
    }

    /// Starts a load for those who wait for it; `is_of_change` where something is known to have changed.
    fn load(
        &mut self,
        key: CatalogKey,
        token: AccessToken,
        waiting: Vec<Asked<Arc<CachedCatalog>, MembraneError>>,
        is_of_change: bool,
        trace: trace::Context,
        ctx: &Context<Self>,
    ) {
        let is_proven = self.recognise(&token).is_some();
        // However old it is: it tells which tools are gone, and whether clients have to list again.
        let before =
            self.loading.cache.to_replace(&key).map(|(catalog, is_reusable)| Previous { catalog, is_reusable });
        // After a change every list is read anew: it may be one of what the user has just connected.
        let is_of_change = is_of_change || before.as_ref().is_some_and(|before| !before.is_reusable);
        let not_before = is_of_change.then(Instant::now);
        let (user, apps, sharing) = (key.0.clone(), key.1.clone(), self.loading.sharing.clone());
        // A catalog of this process's own is newer than any that was kept.
        let is_first = self.client.upstream().keeper.is_some() && self.loading.cache.before(&key).is_none();
        let thawed = is_first.then(|| thaw(Rc::clone(&self.client), sharing.switch().clone(), user, apps));
        let pace = Rc::new(Pace::new(match thawed {
            // The user has just connected an app, and is about to use it.
            _ if is_of_change => Urgency::Urgent,
            // What was kept may answer those who wait.
            Some(_) => Urgency::Undecided,
            None if waiting.is_empty() && is_proven => Urgency::Background,
            None => Urgency::Urgent,
        }));
        let load = CatalogLoad { token: token.clone(), is_proven, is_outdated: false, pace: Rc::clone(&pace), waiting };
        self.loading.loads.insert(key.clone(), load);
        let known = Known { before, thawed, sharing, not_before };
        let (client, options) = (Rc::clone(&self.client), self.loading.options);
        let task = LoadTask { client, key, token, is_proven, options, known, pace };
        actix::spawn(trace.around(task.run(ctx.address())));
    }

    /// Loads a catalog that has changed, as soon as there is a token to do it with and the last time was some time ago.
    fn reload(&mut self, key: CatalogKey, ctx: &mut Context<Self>) {
        // Webhooks come in bursts. The first reloads at once, and the others share one reload after the rest.
        if let Some(has_changed) = self.loading.resting.get_mut(&key) {
            *has_changed = true;
            return;
        }
        // Without a token that is good, the next request brings one.
        let token = self.loading.cache.token_to_reload(&key).filter(|token| !token.has_expired(SystemTime::now()));
        let Some(token) = token.filter(|token| self.recognise(token).is_some()) else { return };
        // A load in flight is marked as outdated by the same change, and is followed by another.
        if !self.loading.loads.contains_key(&key) {
            self.load(key.clone(), token, Vec::new(), true, trace::Context::default(), ctx);
        }
        self.loading.resting.insert(key.clone(), false);
        ctx.run_later(REST, |actor, ctx| {
            if actor.loading.resting.remove(&key) == Some(true) {
                actor.reload(key, ctx);
            }
        });
    }

    /// Puts a catalog into the cache, and tells the watchers if it lists other tools than the one before.
    fn take_in(&mut self, key: &CatalogKey, loaded: &Arc<CachedCatalog>, token: &AccessToken) {
        let (before, catalog) = (self.loading.cache.before(key), loaded.catalog());
        self.loading.cache.put(key.clone(), Arc::clone(loaded));
        self.loading.cache.note_token(key, token);
        // Without an earlier catalog no list was given that could be wrong now.
        let Some(before) = before.filter(|before| !before.lists_the_same(catalog)) else { return };
        log::info!(user:% = key.0; "a user's tools have changed");
        counter!("mcp_catalog_changes_total").increment(1);
        let (user, apps) = key.clone();
        self.loading.watchers.changes.do_send(CatalogChanged { user, apps, before, now: Arc::clone(catalog) });
    }
}

impl Handler<LoadCatalog> for MembraneActor {
    type Result = ResponseFuture<Result<Arc<CachedCatalog>, MembraneError>>;

    fn handle(&mut self, LoadCatalog { caller, apps }: LoadCatalog, ctx: &mut Context<Self>) -> Self::Result {
        let key = (caller.user().clone(), apps);
        let found = self.loading.cache.find(&key, Instant::now());
        self.loading.cache.note_token(&key, caller.token());
        let is_loading = self.loading.loads.contains_key(&key);
        let ready = match found {
            CacheState::Fresh(loaded) => {
                count_lookup("fresh");
                Ok(loaded)
            }
            CacheState::Stale(loaded) => {
                count_lookup("stale");
                if !is_loading {
                    self.load(key, caller.token().clone(), Vec::new(), false, caller.trace(), ctx);
                }
                Ok(loaded)
            }
            CacheState::StaleAfterFailure(loaded) => {
                // No load: one has just failed, and an upstream in trouble should not get another at each request.
                count_lookup("stale");
                Ok(loaded)
            }
            CacheState::Failed(error) => {
                count_lookup("failed");
                Err(error)
            }
            CacheState::Missing => {
                count_lookup(if is_loading { "coalesced" } else { "loaded" });
                if !is_loading {
                    self.load(key.clone(), caller.token().clone(), Vec::new(), false, caller.trace(), ctx);
                }
                let (reply, outcome) = oneshot::channel();
                // The load is there: since it was found or begun, the actor has awaited nothing.
                if let Some(load) = self.loading.loads.get_mut(&key) {
                    load.waiting.push((caller.token().clone(), reply));
                    load.pace.hurry();
                }
                return Box::pin(async move {
                    let gone = || MembraneError::Broken("the load was given up".to_owned());
                    outcome.await.unwrap_or_else(|_gone| Err(gone()))
                });
            }
        };
        Box::pin(async move { ready })
    }
}

impl Handler<KnownCatalog> for MembraneActor {
    type Result = MessageResult<KnownCatalog>;

    fn handle(&mut self, KnownCatalog { user, apps }: KnownCatalog, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.loading.cache.peek(&(user, apps), Instant::now()))
    }
}

impl Handler<CatalogThawed> for MembraneActor {
    type Result = ();

    fn handle(&mut self, CatalogThawed { key, catalog }: CatalogThawed, _: &mut Context<Self>) {
        let Some(load) = self.loading.loads.get_mut(&key) else { return };
        // After a change it is known to be wrong.
        let Some(catalog) = catalog.filter(|_| !load.is_outdated) else {
            return load.pace.set(Urgency::Urgent);
        };
        // The first answer to the load is a verdict that requests may wait for, whatever answers those for the tools.
        let is_awaited = self.checks.contains_key(&load.token.fingerprint());
        load.pace.set(if is_awaited { Urgency::Urgent } else { Urgency::Background });
        let loaded = self.loading.cache.thawed(catalog, Instant::now());
        for (_, reply) in load.waiting.drain(..) {
            count_lookup("kept");
            // The answer is dropped where its request was given up.
            let _ = reply.send(Ok(Arc::clone(&loaded)));
        }
        self.loading.cache.put(key, loaded);
    }
}

impl Handler<CatalogLoaded> for MembraneActor {
    type Result = ();

    fn handle(&mut self, CatalogLoaded { key, outcome }: CatalogLoaded, ctx: &mut Context<Self>) {
        let Some(CatalogLoad { token, is_proven, is_outdated, waiting, .. }) = self.loading.loads.remove(&key) else {
            return;
        };
        let fingerprint = token.fingerprint();
        // One caller's bad token says nothing about the others': they try with their own. One that was never accepted may
        // have failed the load in any way.
        let is_about_token = matches!(&outcome, Err(error) if error.is_unauthenticated() || !is_proven);
        let outcome = outcome.map(|catalog| self.loading.cache.loaded(&key, catalog, Instant::now()));
        // Lists that were lent to it may have been withdrawn while others were read.
        let is_outdated = is_outdated || outcome.as_ref().is_ok_and(|loaded| loaded.is_withdrawn());
        match &outcome {
            Ok(loaded) => {
                // A change during the load would stay hidden for as long as the catalog is fresh.
                if !is_outdated {
                    self.take_in(&key, loaded, &token);
                }
                // A caller may have started to wait after the first page, when its token's trust had expired: answer it here.
                self.accept_if_awaited(fingerprint, &key.0);
                self.give_verdict(fingerprint, &Ok(key.0.clone()));
            }
            Err(error) => {
                log::warn!("a user's tools can't be loaded: {error}");
                if error.is_unauthenticated() {
                    // Nobody may be waiting for this load, and streams opened with the token have to end.
                    self.loading.watchers.refusals.do_send(TokenRefused(token.clone()));
                }
                // All who ask before the next try get it, so it must be no fault of one token, and of the newest state.
                if !is_about_token && !is_outdated {
                    self.loading.cache.put_failure(key.clone(), error.clone(), Instant::now());
                }
                if error.is_unauthenticated() {
                    self.forget(fingerprint);
                }
                self.give_verdict(fingerprint, &Err(error.clone().into()));
            }
        }
        let mut others = Vec::new();
        for (theirs, reply) in waiting {
            // A catalog that changed during its load is loaded again for those who wait.
            let again = match &outcome {
                Ok(_) => is_outdated,
                Err(_) => is_about_token && theirs.fingerprint() != fingerprint,
            };
            if again {
                others.push((theirs, reply));
            } else {
                // The answer is dropped where its request was given up.
                let _ = reply.send(outcome.clone());
            }
        }
        // Each round answers at least those with its own token, or follows a change, so that rounds come to an end.
        if let Some((next, _)) = others.first() {
            self.load(key, next.clone(), others, is_outdated, trace::Context::default(), ctx);
        } else if is_outdated {
            self.reload(key, ctx);
        }
    }
}

impl Handler<Refresh> for MembraneActor {
    type Result = ();

    fn handle(&mut self, Refresh(changed): Refresh, ctx: &mut Context<Self>) {
        let is_about = |user: &UserKey| changed.is_about(user);
        // Loads in flight first: `reload` leaves a catalog to the load that is on its way.
        for (_, load) in self.loading.loads.iter_mut().filter(|(key, _)| is_about(&key.0)) {
            load.is_outdated = true;
            load.pace.hurry();
        }
        for key in self.loading.cache.outdate(is_about) {
            self.reload(key, ctx);
        }
    }
}

//! The actor between the sessions and the upstream: it knows which tokens are good, loads each user's catalog once for all
//! who ask, and looks tools up in batches. Nothing here waits for the network: requests run beside the mailbox and come
//! back as messages.

use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap},
    num::NonZeroUsize,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{Actor, AsyncContext, Context, Handler, Message, MessageResult, ResponseFuture};
use lru::LruCache;
use tokio::sync::oneshot;

use super::{
    Apps, Caller, Catalog, MembraneClient, MembraneError, Tool, load::load_catalog, lookup::find_tools,
    model::Customer, signature::WorkspaceSecret, trust::Trust, webhook::Changed,
};
use crate::{
    allowance::Allowances,
    config::Settings,
    error::Error,
    ids::{ToolName, UserKey},
    secret::Fingerprint,
    token::{AccessToken, Claim, TokenProblem},
    trace,
};

/// Asks whether a token is good. The answer is the upstream's: that of a request made with the very token, or what it said
/// before, for a while.
#[derive(Debug, Message)]
#[rtype(result = "Result<Caller, Error>")]
pub struct Authenticate {
    /// The token.
    pub token: AccessToken,
    /// How to find out.
    pub proof: Proof,
    /// In which trace.
    pub trace: trace::Context,
}

/// Asks whether a token is known to be good, without asking anybody else.
#[derive(Debug, Message)]
#[rtype(result = "Option<Caller>")]
pub struct Recognise(pub AccessToken);

/// The request by which the upstream is asked about a token.
#[derive(Debug, Clone)]
pub enum Proof {
    /// The cheapest there is.
    Customer,
    /// The load of the catalog, which will be wanted next: that saves a round trip.
    Catalog(Apps),
}

/// Asks for a user's tools.
#[derive(Debug, Message)]
#[rtype(result = "Result<Arc<Catalog>, MembraneError>")]
pub struct LoadCatalog {
    /// Whose.
    pub caller: Caller,
    /// Of which apps.
    pub apps: Apps,
}

/// Asks for tools that are not in the user's catalog; those found come by the names asked for.
#[derive(Debug, Message)]
#[rtype(result = "Result<BTreeMap<ToolName, Arc<Tool>>, MembraneError>")]
pub struct FindTools {
    /// For whom.
    pub caller: Caller,
    /// Nothing outside these.
    pub apps: Apps,
    /// The catalog that does not have them.
    pub catalog: Arc<Catalog>,
    /// Their names.
    pub names: Vec<ToolName>,
}

/// A user's connections have changed: what was loaded of them before is no longer fresh.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Refresh(pub Arc<Changed>);

/// The upstream refused a token: it must be asked again before the token counts.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Distrust(pub Fingerprint);

/// To self: the upstream has said what it thinks of a token.
#[derive(Message)]
#[rtype(result = "()")]
struct TokenChecked {
    token: Fingerprint,
    verdict: Result<UserKey, Error>,
}

/// To self: a load has ended.
#[derive(Message)]
#[rtype(result = "()")]
struct CatalogLoaded {
    key: CatalogKey,
    token: Fingerprint,
    outcome: Result<Arc<Catalog>, MembraneError>,
}

type CatalogKey = (UserKey, Apps);
/// Who waits: the token they came with, and where they wait.
type Asked<T, E> = (AccessToken, oneshot::Sender<Result<T, E>>);

/// See the [module](self).
pub struct MembraneActor {
    client: Rc<MembraneClient>,
    concurrency: usize,
    fresh: Duration,
    workspace: Option<WorkspaceSecret>,
    trust: Trust,
    /// Who waits for the verdict on a token.
    checks: HashMap<Fingerprint, Vec<Asked<Caller, Error>>>,
    catalogs: LruCache<CatalogKey, Cached>,
    loads: HashMap<CatalogKey, Load>,
}

struct Cached {
    catalog: Arc<Catalog>,
    since: Instant,
}

/// A load in flight.
struct Load {
    /// The token it is made with.
    token: Fingerprint,
    /// Whether the upstream has accepted that token.
    is_proven: bool,
    /// Whether what it loads has changed since it began.
    is_outdated: bool,
    waiting: Vec<Asked<Arc<Catalog>, MembraneError>>,
}

impl MembraneActor {
    /// An actor that asks the upstream through `client`.
    #[must_use]
    pub fn new(client: Rc<MembraneClient>, allowances: Allowances, settings: &Settings) -> Self {
        let max_catalogs = NonZeroUsize::new(settings.catalog.max_entries.get()).unwrap_or(NonZeroUsize::MIN);
        Self {
            client,
            concurrency: settings.membrane.per_user_concurrency.get(),
            fresh: settings.catalog.fresh,
            workspace: WorkspaceSecret::of(&settings.auth),
            trust: Trust::new(settings.auth.trust, settings.auth.max_trusted.get(), allowances),
            checks: HashMap::new(),
            catalogs: LruCache::new(max_catalogs),
            loads: HashMap::new(),
        }
    }

    fn fresh_catalog(&mut self, key: &CatalogKey) -> Option<Arc<Catalog>> {
        let fresh = self.fresh;
        let cached = self.catalogs.get(key)?;
        (cached.since.elapsed() < fresh).then(|| cached.catalog.clone())
    }

    /// Asks the upstream about a token in the way of `proof`, unless a load with the same token will tell anyway.
    fn check(&mut self, token: AccessToken, proof: Proof, trace: trace::Context, ctx: &Context<Self>) {
        if let (Claim::User { user, .. }, Proof::Catalog(apps)) = (token.claim(), proof) {
            let key = (user.clone(), apps);
            if self.fresh_catalog(&key).is_none() && !self.loads.contains_key(&key) {
                self.load(key.clone(), token.clone(), trace.clone(), ctx);
            }
            let load = self.loads.get(&key);
            if load.is_some_and(|load| load.token == token.secret().fingerprint()) {
                return;
            }
        }
        let (client, addr) = (Rc::clone(&self.client), ctx.address());
        actix::spawn(trace.around(async move {
            let verdict = client.customer(&token).await.map_err(Error::from);
            addr.do_send(TokenChecked {
                token: token.secret().fingerprint(),
                verdict: verdict.and_then(|customer| user_of(token.claim(), &customer)),
            });
        }));
    }

    /// Starts a load, whose first answer is also the verdict on its token.
    fn load(&mut self, key: CatalogKey, token: AccessToken, trace: trace::Context, ctx: &Context<Self>) {
        let fingerprint = token.secret().fingerprint();
        let is_proven = self.trust.caller(&token, Instant::now()).is_some();
        let load = Load { token: fingerprint, is_proven, is_outdated: false, waiting: Vec::new() };
        self.loads.insert(key.clone(), load);

        let (client, concurrency, addr) = (Rc::clone(&self.client), self.concurrency, ctx.address());
        actix::spawn(trace.around(async move {
            let (user, apps) = &key;
            let told = Cell::new(false);
            let on_accepted = || {
                if !told.replace(true) {
                    addr.do_send(TokenChecked { token: fingerprint, verdict: Ok(user.clone()) });
                }
            };
            let outcome = load_catalog(&client, &token, apps, concurrency, on_accepted).await;
            addr.do_send(CatalogLoaded { token: fingerprint, outcome: outcome.map(Arc::new), key });
        }));
    }

    /// Who comes with a token, where that is known or can be seen from the token itself.
    fn recognise(&mut self, token: &AccessToken) -> Option<Caller> {
        let now = Instant::now();
        if let Some(caller) = self.trust.caller(token, now) {
            return Some(caller);
        }
        let Claim::User { user, .. } = token.claim() else { return None };
        if !self.workspace.as_ref()?.vouches_for(token) {
            return None;
        }
        self.trust.accept(token.secret().fingerprint(), user.clone(), now);
        self.trust.caller(token, now)
    }

    /// Tells all who wait what the upstream thinks of a token, which is trusted by now if that is good.
    fn give_verdict(&mut self, token: Fingerprint, verdict: &Result<UserKey, Error>) {
        for (token, reply) in self.checks.remove(&token).unwrap_or_default() {
            let caller = match verdict {
                Ok(_) => self.trust.caller(&token, Instant::now()).ok_or(Error::Internal),
                Err(error) => Err(error.clone()),
            };
            // Who no longer waits has no use for it.
            let _ = reply.send(caller);
        }
    }
}

/// Whom the upstream says an accepted token speaks for. Without a workspace's key the customer's own id, unique
/// everywhere, has to do.
fn user_of(claim: &Claim, customer: &Customer) -> Result<UserKey, Error> {
    if let Claim::User { user, .. } = claim {
        return Ok(user.clone());
    }
    match (&customer.workspace_key, &customer.internal_id, &customer.id) {
        (Some(workspace), Some(user), _) => Ok(UserKey::new(workspace, user)),
        (_, _, Some(id)) => Ok(UserKey::new("", id)),
        _ => Err(TokenProblem::WithoutUser.into()),
    }
}

impl Actor for MembraneActor {
    type Context = Context<Self>;
}

impl Handler<Authenticate> for MembraneActor {
    type Result = ResponseFuture<Result<Caller, Error>>;

    fn handle(&mut self, Authenticate { token, proof, trace }: Authenticate, ctx: &mut Context<Self>) -> Self::Result {
        if let Some(caller) = self.recognise(&token) {
            return Box::pin(async move { Ok(caller) });
        }
        let fingerprint = token.secret().fingerprint();
        let (reply, verdict) = oneshot::channel();
        let waiting = self.checks.entry(fingerprint).or_default();
        waiting.push((token.clone(), reply));
        if waiting.len() == 1 {
            self.check(token, proof, trace, ctx);
        }
        Box::pin(async move { verdict.await.unwrap_or(Err(Error::Internal)) })
    }
}

impl Handler<Recognise> for MembraneActor {
    type Result = MessageResult<Recognise>;

    fn handle(&mut self, Recognise(token): Recognise, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.recognise(&token))
    }
}

impl Handler<TokenChecked> for MembraneActor {
    type Result = ();

    fn handle(&mut self, TokenChecked { token, verdict }: TokenChecked, _: &mut Context<Self>) {
        if let Ok(user) = &verdict {
            self.trust.accept(token, user.clone(), Instant::now());
            for load in self.loads.values_mut().filter(|load| load.token == token) {
                load.is_proven = true;
            }
        }
        self.give_verdict(token, &verdict);
    }
}

impl Handler<Distrust> for MembraneActor {
    type Result = ();

    fn handle(&mut self, Distrust(token): Distrust, _: &mut Context<Self>) {
        self.trust.revoke(token);
    }
}

impl Handler<Refresh> for MembraneActor {
    type Result = ();

    fn handle(&mut self, Refresh(changed): Refresh, _: &mut Context<Self>) {
        let is_about = |user: &UserKey| changed.is_about(user);
        let outdated: Vec<_> =
            self.catalogs.iter().map(|(key, _)| key).filter(|key| is_about(&key.0)).cloned().collect();
        for key in outdated {
            self.catalogs.pop(&key);
        }
        for (_, load) in self.loads.iter_mut().filter(|(key, _)| is_about(&key.0)) {
            load.is_outdated = true;
        }
    }
}

impl Handler<LoadCatalog> for MembraneActor {
    type Result = ResponseFuture<Result<Arc<Catalog>, MembraneError>>;

    fn handle(&mut self, LoadCatalog { caller, apps }: LoadCatalog, ctx: &mut Context<Self>) -> Self::Result {
        let key = (caller.user().clone(), apps);
        if let Some(catalog) = self.fresh_catalog(&key) {
            return Box::pin(async move { Ok(catalog) });
        }
        if !self.loads.contains_key(&key) {
            self.load(key.clone(), caller.token().clone(), caller.trace(), ctx);
        }
        let (reply, outcome) = oneshot::channel();
        if let Some(load) = self.loads.get_mut(&key) {
            load.waiting.push((caller.token().clone(), reply));
        }
        Box::pin(async move {
            let gone = || MembraneError::Broken("the load was given up".to_owned());
            outcome.await.unwrap_or_else(|_gone| Err(gone()))
        })
    }
}

impl Handler<CatalogLoaded> for MembraneActor {
    type Result = ();

    fn handle(&mut self, loaded: CatalogLoaded, ctx: &mut Context<Self>) {
        let CatalogLoaded { key, token, outcome } = loaded;
        let (waiting, is_proven, is_outdated) = self
            .loads
            .remove(&key)
            .map_or((Vec::new(), true, false), |load| (load.waiting, load.is_proven, load.is_outdated));
        match &outcome {
            Ok(catalog) => {
                if !is_outdated {
                    let cached = Cached { catalog: catalog.clone(), since: Instant::now() };
                    self.catalogs.put(key.clone(), cached);
                }
                // Who asked after the first page, the trust having ended meanwhile, still waits.
                if self.checks.contains_key(&token) {
                    self.trust.accept(token, key.0.clone(), Instant::now());
                }
                self.give_verdict(token, &Ok(key.0.clone()));
            }
            Err(error) => {
                log::warn!("a user's tools can't be loaded: {error}");
                self.give_verdict(token, &Err(error.clone().into()));
            }
        }
        // One caller's bad token says nothing about the others': they try with their own. One that was never accepted may
        // have failed the load in any way. What changed while it was loaded is loaded again.
        let is_about_token = matches!(&outcome, Err(error) if error.is_unauthenticated() || !is_proven);
        let mut others = Vec::new();
        for (theirs, reply) in waiting {
            let again = match &outcome {
                Ok(_) => is_outdated,
                Err(_) => is_about_token && theirs.secret().fingerprint() != token,
            };
            if again {
                others.push((theirs, reply));
            } else {
                let _ = reply.send(outcome.clone());
            }
        }
        if let Some((next, _)) = others.first() {
            self.load(key.clone(), next.clone(), trace::Context::default(), ctx);
            if let Some(load) = self.loads.get_mut(&key) {
                load.waiting = others;
            }
        }
    }
}

impl Handler<FindTools> for MembraneActor {
    type Result = ResponseFuture<Result<BTreeMap<ToolName, Arc<Tool>>, MembraneError>>;

    fn handle(&mut self, find: FindTools, _: &mut Context<Self>) -> Self::Result {
        let (client, concurrency) = (Rc::clone(&self.client), self.concurrency);
        Box::pin(find.caller.trace().around(async move {
            let FindTools { caller, apps, catalog, names } = find;
            find_tools(&client, caller.token(), &apps, catalog.integrations(), &names, concurrency).await
        }))
    }
}

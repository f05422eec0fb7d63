//! The shards: each HTTP worker's thread has a registry, its sessions, and a Membrane actor of its own.
//!
//! A session lives on the worker that opened it, and its id says which: ids are drawn until their number fits the shard.
//! So a client that stays on its connection never crosses threads; a request that arrives elsewhere pays one hop. What
//! belongs to a user, such as catalogs, lives on the shard of the user's hash, so that there is one of it.

mod authentication;
mod sessions;

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash},
    rc::Rc,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use actix::{Actor, Addr, Handler, MailboxError, Message, dev::ToEnvelope};
use futures_util::future::join_all;
use serde_json::value::RawValue;

use super::{SessionRegistry, admission::Admission, leases::Leases, messages::Drain, recognised::Recognised};
use crate::{
    allowance::{Allowance, Allowances, Allowed},
    config::Settings,
    error::Error,
    ids::{ToolName, UserKey},
    membrane::{
        Apps, Caller, Catalog, FindTools, KnownCatalog, LoadCatalog, MembraneActor, MembraneClient, MembraneError,
        Refresh, Tool, Upstream, Watchers, call, webhook::Changed,
    },
    metrics::{Outcome, Run, count_lookup},
    protocol::{revision::Era, tools::CallToolResult},
    store::{News, SessionStore},
    token::{AccessToken, Claim},
};

/// All shards of the process. Cheap to clone, and the same on every thread.
#[derive(Clone)]
pub struct Shards(Arc<Inner>);

struct Inner {
    shards: Vec<OnceLock<Shard>>,
    started: AtomicUsize,
    allowances: Allowances,
    admission: Admission,
    upstream: Arc<Upstream>,
    store: Arc<dyn SessionStore>,
    /// How many sessions have ended, so that others know when a chat may have lost its own.
    ended: AtomicU64,
    /// How often the trust in a token has ended.
    distrusted: AtomicU64,
    is_draining: AtomicBool,
}

/// The shard of the thread one is on.
pub struct LocalShard {
    /// Number of the shard, from 0.
    pub number: usize,
    /// Client of this thread, with its own connections.
    pub client: Rc<MembraneClient>,
    recognised: Recognised,
    leases: Leases,
}

impl LocalShard {
    /// Returns the tools of a caller, where the thread knows them and need not ask.
    #[must_use]
    pub fn catalog(&self, caller: &Caller, apps: &Apps) -> Option<Arc<Catalog>> {
        let known = self.leases.catalog(caller, apps, Instant::now());
        known.inspect(|_| count_lookup("fresh"))
    }
}

/// Actors of one shard.
pub(super) struct Shard {
    pub(super) registry: Addr<SessionRegistry>,
    pub(super) membrane: Addr<MembraneActor>,
}

impl Shards {
    /// Room for `count` shards, none of them started.
    #[must_use]
    pub fn new(count: usize, store: Arc<dyn SessionStore>, upstream: Upstream, settings: &Settings) -> Self {
        let allowances = Allowances::new(Allowed {
            calls_per_s: settings.membrane.per_user_calls_per_s.at_least_one(),
            calls_at_once: settings.sessions.max_in_flight.get(),
            streams: settings.streams.max_per_user.get(),
            sessions: settings.sessions.max_per_user.get(),
            all_sessions: settings.sessions.max.get(),
        });
        let shards = (0..count).map(|_| OnceLock::new()).collect();
        Self(Arc::new(Inner {
            shards,
            started: AtomicUsize::new(0),
            allowances,
            admission: Admission::new(settings),
            upstream: Arc::new(upstream),
            store,
            ended: AtomicU64::new(0),
            distrusted: AtomicU64::new(0),
            is_draining: AtomicBool::new(false),
        }))
    }

    /// Starts the next shard, on this thread.
    #[must_use]
    pub fn start_here(&self, settings: &Settings) -> Rc<LocalShard> {
        let number = self.0.started.fetch_add(1, Ordering::Relaxed);
        let client = Rc::new(MembraneClient::new(&settings.membrane, Arc::clone(&self.0.upstream)));
        let (recognised, leases) = (Recognised::default(), Leases::default());
        let local = Rc::new(LocalShard { number, client, recognised, leases });
        let registry = SessionRegistry::new(Rc::clone(&local), self.clone(), settings).start();
        let watchers = Watchers { changes: registry.clone().recipient(), refusals: registry.clone().recipient() };
        let membrane =
            MembraneActor::new(Rc::clone(&local.client), self.0.allowances.clone(), watchers, settings).start();
        if let Some(slot) = self.0.shards.get(number) {
            // The number is this thread's alone, so the slot is empty.
            let _ = slot.set(Shard { registry, membrane });
        }
        local
    }

    pub(super) fn number(&self, spread: u64) -> usize {
        let count = self.0.shards.len().max(1) as u64;
        // Less than the count, which is a usize.
        usize::try_from(spread % count).unwrap_or(0)
    }

    fn shard(&self, number: usize) -> Result<&Shard, Error> {
        let slot = self.0.shards.get(number);
        // Workers start their shard before they accept a connection, so that only a worker that died leaves one missing.
        slot.and_then(OnceLock::get).ok_or(Error::Internal)
    }

    /// Returns the shard of what belongs to a user.
    fn of_user(&self, user: &UserKey) -> Result<&Shard, Error> {
        self.shard(self.number(hash(user)))
    }

    /// Returns the shard that knows about a token: its user's, so that the proof can be the load of the catalog, or
    /// that of the token's own hash while nobody knows whose it is.
    fn of_token(&self, token: &AccessToken) -> Result<&Shard, Error> {
        match token.claim() {
            Claim::User { user, .. } => self.of_user(user),
            Claim::Opaque | Claim::UserAlone { .. } => self.shard(self.number(hash(&token.fingerprint()))),
        }
    }

    /// Returns what all workers know of the upstream.
    #[must_use]
    pub fn upstream(&self) -> &Upstream {
        &self.0.upstream
    }

    /// Returns the limits of a user.
    pub(super) fn allowance(&self, user: &UserKey) -> Arc<Allowance> {
        self.0.allowances.of(user)
    }

    /// Returns the store of sessions and chats.
    pub(super) fn store(&self) -> Arc<dyn SessionStore> {
        Arc::clone(&self.0.store)
    }

    /// Returns the number of sessions that have ended.
    pub(super) fn ended(&self) -> u64 {
        self.0.ended.load(Ordering::Relaxed)
    }

    /// One more session has ended, or some have.
    pub(super) fn note_end(&self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }

    /// Sees to it that users whose connections have changed get their tools loaded anew, by all servers.
    pub async fn refresh(&self, changed: Changed) {
        if let Some(peers) = self.peers() {
            let Changed { workspace, users } = changed.clone();
            drop(peers.tell(&News::Connections { workspace, users }));
        }
        self.refresh_here(changed).await;
    }

    /// The same for this server alone.
    pub(super) async fn refresh_here(&self, changed: Changed) {
        let changed = Arc::new(changed);
        let shards = self.0.shards.iter().filter_map(OnceLock::get);
        // A shard that is gone has nothing loaded.
        join_all(shards.map(|shard| shard.membrane.send(Refresh(Arc::clone(&changed))))).await;
    }

    /// Returns the tools of a user, for a request on the thread of `local`.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] where the upstream no longer accepts the token, [`Error::UpstreamUnavailable`] where it
    /// can't be asked.
    pub async fn catalog(&self, local: &LocalShard, caller: &Caller, apps: &Apps) -> Result<Arc<Catalog>, Error> {
        if let Some(catalog) = local.catalog(caller, apps) {
            return Ok(catalog);
        }
        let membrane = &self.of_user(caller.user())?.membrane;
        let loaded = ask(membrane, LoadCatalog { caller: caller.clone(), apps: apps.clone() }).await?;
        let loaded = self.heed(caller.token(), loaded)?;
        local.leases.remember(caller, apps.clone(), &loaded, Instant::now());
        Ok(Arc::clone(loaded.catalog()))
    }

    /// Returns the tools of a user as far as they are known, without loading them.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub async fn known_catalog(&self, caller: &Caller, apps: &Apps) -> Result<Option<Arc<Catalog>>, Error> {
        let known = KnownCatalog { user: caller.user().clone(), apps: apps.clone() };
        ask(&self.of_user(caller.user())?.membrane, known).await
    }

    /// Tools that are not in a user's catalog, by the names asked for.
    ///
    /// # Errors
    /// As [`Shards::catalog`].
    pub async fn find_tools(&self, find: FindTools) -> Result<BTreeMap<ToolName, Arc<Tool>>, Error> {
        let token = find.caller.token().clone();
        let membrane = &self.of_user(find.caller.user())?.membrane;
        let found = ask(membrane, find).await?;
        self.heed(&token, found)
    }

    /// Calls a tool through `client`, and ends the trust in the caller's token if the upstream refuses it.
    pub async fn call(
        &self,
        client: &MembraneClient,
        caller: &Caller,
        tool: &Arc<Tool>,
        arguments: Box<RawValue>,
        era: Era,
    ) -> CallToolResult {
        let run = Run::begin(tool.integration().as_str());
        let called = caller.trace().around(call::call(client, caller, tool, arguments, era)).await;
        run.end(if called.result.is_error() { Outcome::Error } else { Outcome::Success });
        if called.token_refused {
            self.distrust(caller.token());
        }
        called.result
    }

    /// Ends the trust in a token that the upstream has refused.
    fn heed<T>(&self, token: &AccessToken, outcome: Result<T, MembraneError>) -> Result<T, Error> {
        outcome.map_err(|error| {
            if error.is_unauthenticated() {
                self.distrust(token);
            }
            error.into()
        })
    }

    /// Returns whether the server is stopping.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.is_draining.load(Ordering::Relaxed)
    }

    /// Every shard; none for one that has not started.
    pub(super) fn shards(&self) -> impl Iterator<Item = Option<&Shard>> {
        self.0.shards.iter().map(OnceLock::get)
    }

    /// Returns the registry of every shard; none for one that has not started.
    pub(super) fn registries(&self) -> impl Iterator<Item = Option<&Addr<SessionRegistry>>> {
        self.shards().map(|slot| slot.map(|shard| &shard.registry))
    }

    /// Ends the streams on which nothing is awaited, and waits until no session has anything in flight.
    pub async fn drain(&self) {
        self.0.is_draining.store(true, Ordering::Relaxed);
        let shards = self.0.shards.iter().filter_map(OnceLock::get);
        // A shard that is gone has nothing in flight.
        join_all(shards.map(|shard| shard.registry.send(Drain))).await;
    }
}

async fn ask<A, M>(actor: &Addr<A>, message: M) -> Result<M::Result, Error>
where
    A: Actor + Handler<M>,
    A::Context: ToEnvelope<A, M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    actor.send(message).await.map_err(no_answer)
}

fn no_answer(gone: MailboxError) -> Error {
    log::error!("an actor can't be asked: {gone}");
    Error::Internal
}

/// Returns a hash that is the same for equal values on every thread.
pub(super) fn hash<T: Hash>(value: &T) -> u64 {
    BuildHasherDefault::<DefaultHasher>::new().hash_one(value)
}

#[cfg(test)]
mod tests;

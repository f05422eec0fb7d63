//! The shards: each HTTP worker's thread has a registry, its sessions, and a Membrane actor of its own.
//!
//! A session lives on the worker that opened it, and its id says which: ids are drawn until their number fits the shard.
//! So a client that stays on its connection never crosses threads; a request that arrives elsewhere pays one hop. What
//! belongs to a user, such as catalogs, lives on the shard of the user's hash, so that there is one of it.

mod sessions;

use std::{
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix::Actor;
use futures_util::future::join_all;

use super::{SessionRegistry, messages::Drain};
use crate::{
    allowance::{Allowance, Allowances, Allowed},
    auth::{Authenticator, Revocations, admission::Admission},
    config::Settings,
    ids::UserKey,
    membrane::{MembraneActor, MembraneClient, Sharing, Upstream, Watchers, webhook::Changed},
    store::{News, SessionStore},
    tools::{ToolService, refresh::refresh_here},
    workers::PerWorker,
};

/// All shards of the process. Cheap to clone, and the same on every thread.
#[derive(Clone)]
pub struct Shards(Arc<Inner>);

struct Inner {
    registries: PerWorker<SessionRegistry>,
    membranes: PerWorker<MembraneActor>,
    sharing: Sharing,
    started: AtomicUsize,
    allowances: Allowances,
    admission: Arc<Admission>,
    revocations: Revocations,
    upstream: Arc<Upstream>,
    store: Arc<dyn SessionStore>,
    /// For how long a session is kept after its last use.
    retention: Duration,
    /// Count of ended sessions. Once it has moved, a chat that was refused to a session may be free.
    ended: AtomicU64,
    is_draining: Arc<AtomicBool>,
}

/// Parts of the shard of the thread one is on.
pub struct LocalShard {
    /// Number of the shard, from 0.
    pub number: usize,
    /// Authentication, with the tokens that this thread knows.
    pub auth: Authenticator,
    /// Tools, with the catalogs that this thread knows.
    pub tools: ToolService,
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
        let membranes = PerWorker::new(count);
        Self(Arc::new(Inner {
            registries: PerWorker::new(count),
            started: AtomicUsize::new(0),
            allowances,
            admission: Arc::new(Admission::new(settings)),
            revocations: Revocations::new(membranes.clone(), count, Arc::clone(&store)),
            membranes,
            sharing: Sharing::new(count, &settings.catalog),
            upstream: Arc::new(upstream),
            store,
            retention: settings.sessions.retention,
            ended: AtomicU64::new(0),
            is_draining: Arc::default(),
        }))
    }

    /// Starts the next shard, on this thread.
    #[must_use]
    pub fn start_here(&self, settings: &Settings) -> LocalShard {
        let Inner { registries, membranes, sharing, revocations, admission, allowances, upstream, .. } = &*self.0;
        let number = self.0.started.fetch_add(1, Ordering::Relaxed);
        let client = Rc::new(MembraneClient::new(&settings.membrane, Arc::clone(upstream)));
        let tools =
            ToolService::new(Rc::clone(&client), membranes.clone(), revocations.clone(), self.store(), settings);
        let registry = SessionRegistry::new(number, tools.clone(), self.clone(), settings).start();
        revocations.tell(number, &registry);
        let watchers = Watchers { changes: registry.clone().recipient(), refusals: registry.clone().recipient() };
        sharing.start_here(number, Rc::clone(&client), &settings.catalog);
        let membrane = MembraneActor::new(client, allowances.clone(), sharing.clone(), watchers, settings);
        membranes.set(number, membrane.start());
        registries.set(number, registry);
        let auth = Authenticator::new(membranes.clone(), Arc::clone(admission), revocations.clone());
        LocalShard { number, auth, tools }
    }

    /// Follows what the upstream says of OAuth, for all workers, for as long as the future is polled.
    pub async fn follow_authorization_server(self, settings: Arc<Settings>) {
        let client = MembraneClient::new(&settings.membrane, Arc::clone(&self.0.upstream));
        client.follow_authorization_server().await;
    }

    /// Returns what all workers know of the upstream.
    #[must_use]
    pub fn upstream(&self) -> &Upstream {
        &self.0.upstream
    }

    pub(super) fn registries(&self) -> &PerWorker<SessionRegistry> {
        &self.0.registries
    }

    pub(super) fn membranes(&self) -> &PerWorker<MembraneActor> {
        &self.0.membranes
    }

    pub(super) fn revocations(&self) -> &Revocations {
        &self.0.revocations
    }

    /// Returns the flag that is set when the server stops.
    pub(super) fn draining(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0.is_draining)
    }

    /// Returns the limits of a user.
    pub(super) fn allowance(&self, user: &UserKey) -> Arc<Allowance> {
        self.0.allowances.of(user)
    }

    /// Returns the store of sessions and chats.
    pub(super) fn store(&self) -> Arc<dyn SessionStore> {
        Arc::clone(&self.0.store)
    }

    /// Returns for how long a session is kept after its last use.
    pub(super) fn retention(&self) -> Duration {
        self.0.retention
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
            // Not awaited, since the command runs on without its future. A replica that misses it loads anew after
            // `catalog.fresh_s`.
            drop(peers.tell(&News::Connections { workspace, users }));
        }
        self.refresh_here(changed).await;
    }

    /// The same for this server alone.
    pub(super) async fn refresh_here(&self, changed: Changed) {
        refresh_here(&self.0.membranes, &self.0.upstream, Arc::new(changed)).await;
    }

    /// Returns whether the server is stopping.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.is_draining.load(Ordering::Relaxed)
    }

    /// Ends the streams on which nothing is awaited, and waits until no session has anything in flight.
    pub async fn drain(&self) {
        self.0.is_draining.store(true, Ordering::Relaxed);
        // A shard that is gone has nothing in flight.
        join_all(self.0.registries.started().map(|registry| registry.send(Drain))).await;
    }
}

#[cfg(test)]
mod tests;

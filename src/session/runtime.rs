//! The workers of the process: each thread has a registry with its sessions, and a Membrane actor of its own.
//!
//! State of a user, such as catalogs, lives on the worker of the user's hash, so that there is one of it.

use std::{
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use actix::Actor;
use futures_util::future::join_all;

use super::{
    SessionRegistry,
    chats::Chats,
    directory::Directory,
    messages::{Drain, OnReplicaEvent},
    registry::{Common, Sessions},
    shelf::StoreShelf,
    storage::Storage,
};
use crate::{
    auth::{Authenticator, Revocations, admission::Admission},
    config::Settings,
    membrane::{MembraneActor, MembraneClient, Sharing, Upstream, Watchers, webhook::Changed},
    store::{ReplicaEvent, SessionStore, Trouble},
    tools::{ToolService, refresh::refresh_here},
    user_limits::{LimitSettings, LimitsOfUsers},
    workers::PerWorker,
};

/// All workers of the process. Cheap to clone, and the same on every thread.
#[derive(Clone)]
pub struct Runtime(Arc<Inner>);

struct Inner {
    common: Common,
    membranes: PerWorker<MembraneActor>,
    sharing: Sharing,
    started: AtomicUsize,
    admission: Arc<Admission>,
    upstream: Arc<Upstream>,
}

/// Parts that a worker has on its thread.
pub struct WorkerContext {
    /// Number of the worker, from 0.
    pub number: usize,
    /// Authentication, with the tokens that this thread knows.
    pub auth: Authenticator,
    /// Tools, with the catalogs that this thread knows.
    pub tools: ToolService,
}

impl Runtime {
    /// Room for `count` workers, none of them started.
    #[must_use]
    pub fn new(count: usize, store: Arc<dyn SessionStore>, upstream: Upstream, settings: &Settings) -> Self {
        let allowed = LimitSettings {
            calls_per_s: settings.membrane.per_user_calls_per_s.at_least_one(),
            calls_at_once: settings.tuning.max_calls_in_flight,
            streams: settings.streams.max_per_user.get(),
            sessions: settings.sessions.max_per_user.get(),
            all_sessions: settings.sessions.max.get(),
        };
        let limits_of_users = LimitsOfUsers::new(allowed, store.fleet_limits().cloned());
        let membranes = PerWorker::new(count);
        let shelf = Arc::new(StoreShelf(Arc::clone(&store)));
        let common = Common {
            sessions: Directory::new(count, store.bus().is_some()),
            limits_of_users,
            revocations: Revocations::new(membranes.clone(), count, Arc::clone(&store)),
            storage: Storage::new(store, settings.sessions.retention),
            is_draining: Arc::default(),
        };
        Self(Arc::new(Inner {
            common,
            membranes,
            sharing: Sharing::new(count, settings),
            started: AtomicUsize::new(0),
            admission: Arc::new(Admission::new(settings)),
            upstream: Arc::new(upstream.kept_on(shelf, settings.tuning.catalog_keep)),
        }))
    }

    /// Starts the actors of the next worker, on this thread.
    #[must_use]
    pub fn start_here(&self, settings: &Settings) -> WorkerContext {
        let Inner { common, membranes, sharing, started, admission, upstream } = &*self.0;
        let Common { sessions, storage, limits_of_users, revocations, .. } = common;
        let number = started.fetch_add(1, Ordering::Relaxed);
        let client = Rc::new(MembraneClient::new(settings, Arc::clone(upstream)));
        let store = Arc::clone(storage.store());
        let tools = ToolService::new(Rc::clone(&client), membranes.clone(), revocations.clone(), store, settings);
        let registry = SessionRegistry::new(number, tools.clone(), common.clone(), settings).start();
        revocations.tell(number, &registry);
        let watchers = Watchers { changes: registry.clone().recipient(), refusals: registry.clone().recipient() };
        sharing.start_here(number, Rc::clone(&client), settings);
        let membrane = MembraneActor::new(client, limits_of_users.clone(), sharing.clone(), watchers, settings);
        membranes.set(number, membrane.start());
        sessions.registries().set(number, registry);
        let auth = Authenticator::new(membranes.clone(), Arc::clone(admission), revocations.clone());
        WorkerContext { number, auth, tools }
    }

    /// Returns the addresses by which sessions are reached.
    #[must_use]
    pub fn sessions(&self) -> &Sessions {
        &self.0.common.sessions
    }

    /// Returns the chats of all users.
    #[must_use]
    pub fn chats(&self) -> Chats {
        Chats::new(self.sessions().clone(), self.0.common.storage.clone())
    }

    /// Follows what the upstream says of OAuth, for all workers, for as long as the future is polled.
    pub async fn follow_authorization_server(self, settings: Arc<Settings>) {
        let client = MembraneClient::new(&settings, Arc::clone(&self.0.upstream));
        client.follow_authorization_server().await;
    }

    /// Returns what all workers know of the upstream.
    #[must_use]
    pub fn upstream(&self) -> &Upstream {
        &self.0.upstream
    }

    pub(super) fn membranes(&self) -> &PerWorker<MembraneActor> {
        &self.0.membranes
    }

    pub(super) fn store(&self) -> &Arc<dyn SessionStore> {
        self.0.common.storage.store()
    }

    /// Why sessions can't be kept, if they can't.
    #[must_use]
    pub fn store_trouble(&self) -> Option<Trouble> {
        self.store().trouble()
    }

    /// Sees to it that users whose connections have changed get their tools loaded anew, by all servers.
    pub async fn refresh(&self, changed: Changed) {
        if let Some(bus) = self.store().bus() {
            let Changed { workspace, users } = changed.clone();
            // Not awaited, since the command runs on without its future. A replica that misses it loads anew after
            // `catalog.fresh_s`.
            drop(bus.tell(&ReplicaEvent::Connections { workspace, users }));
        }
        self.refresh_here(changed).await;
    }

    /// The same for this server alone.
    async fn refresh_here(&self, changed: Changed) {
        refresh_here(&self.0.membranes, &self.0.upstream, Arc::new(changed)).await;
    }

    /// Keeps other replicas up to date on what users have here, for as long as this one runs.
    pub async fn share_limits(self) {
        self.0.common.limits_of_users.clone().keep_noted().await;
    }

    /// Takes in the events of other replicas, for as long as this one runs.
    pub async fn follow_replicas(self) {
        let Some(mut events) = self.store().bus().map(|bus| bus.hear()) else { return };
        // One after the other: a `Closed` must not overtake the `Changed` before it.
        while let Some(event) = events.recv().await {
            self.heed(event).await;
        }
    }

    async fn heed(&self, event: ReplicaEvent) {
        let Common { sessions, storage, revocations, .. } = &self.0.common;
        let session = match &event {
            ReplicaEvent::Changed(session)
            | ReplicaEvent::Listens(session)
            | ReplicaEvent::Cancelled { session, .. }
            | ReplicaEvent::Pushed { session, .. }
            | ReplicaEvent::Moved { from: session, .. } => *session,
            ReplicaEvent::Closed(session) => {
                storage.note_end();
                *session
            }
            ReplicaEvent::Revoked(token) => return revocations.revoke_here(*token),
            ReplicaEvent::Connections { workspace, users } => {
                let changed = Changed { workspace: workspace.clone(), users: users.clone() };
                return self.refresh_here(changed).await;
            }
            ReplicaEvent::Missed => {
                // A worker that is gone has no sessions.
                join_all(
                    sessions.registries().started().map(|registry| registry.send(OnReplicaEvent(ReplicaEvent::Missed))),
                )
                .await;
                return;
            }
        };
        // The id tells the worker at every replica, whatever number of workers each has.
        if let Ok(registry) = sessions.registry_of(session) {
            registry.do_send(OnReplicaEvent(event));
        }
    }

    /// Returns whether the server is stopping.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.common.is_draining.load(Ordering::Relaxed)
    }

    /// Ends the streams on which nothing is awaited, and waits until no session has anything in flight.
    pub async fn drain(&self) {
        self.0.common.is_draining.store(true, Ordering::Relaxed);
        // A worker that is gone has nothing in flight.
        join_all(self.sessions().registries().started().map(|registry| registry.send(Drain))).await;
    }
}

#[cfg(test)]
mod tests;

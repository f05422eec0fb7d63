//! The end of the trust in a token that the upstream has refused.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering},
};

use actix::{Addr, Handler};

pub use crate::membrane::RevokeToken;
use crate::{
    membrane::MembraneActor,
    secret::Fingerprint,
    store::{ReplicaEvent, SessionStore},
    token::AccessToken,
    workers::PerWorker,
};

/// Everybody who has to hear that a token was refused. Cheap to clone, and the same on every thread.
#[derive(Clone)]
pub struct Revocations(Arc<Inner>);

struct Inner {
    membranes: PerWorker<MembraneActor>,
    /// Registries, which close the streams that were opened with the token.
    listeners: Vec<OnceLock<actix::Recipient<RevokeToken>>>,
    store: Arc<dyn SessionStore>,
    count: AtomicU64,
}

impl Revocations {
    /// Returns revocations that are told to the Membrane actors of `workers` workers, and to other servers by the store.
    #[must_use]
    pub fn new(membranes: PerWorker<MembraneActor>, workers: usize, store: Arc<dyn SessionStore>) -> Self {
        let listeners = (0..workers).map(|_| OnceLock::new()).collect();
        Self(Arc::new(Inner { membranes, listeners, store, count: AtomicU64::new(0) }))
    }

    /// Tells the actor of a worker, too, from now on.
    pub fn tell<A>(&self, worker: usize, listener: &Addr<A>)
    where
        A: actix::Actor<Context = actix::Context<A>> + Handler<RevokeToken>,
    {
        if let Some(slot) = self.0.listeners.get(worker) {
            // The number is this worker's alone, so the slot is empty.
            let _ = slot.set(listener.clone().recipient());
        }
    }

    /// Ends the trust in a token, here and at other servers: it must be shown to the upstream again before it counts.
    pub fn revoke(&self, token: &AccessToken) {
        let token = token.fingerprint();
        self.revoke_here(token);
        if let Some(bus) = self.0.store.bus() {
            drop(bus.tell(&ReplicaEvent::Revoked(token)));
        }
    }

    /// Ends the trust in a token at this server, which another one has told of it.
    pub fn revoke_here(&self, token: Fingerprint) {
        for membrane in self.0.membranes.started() {
            membrane.do_send(RevokeToken(token));
        }
        for listener in self.0.listeners.iter().filter_map(OnceLock::get) {
            listener.do_send(RevokeToken(token));
        }
        // After the messages: whoever sees this number asks the actors later than that, so they have heard of it.
        self.0.count.fetch_add(1, Ordering::Release);
    }

    /// Returns how many revocations there were. What is remembered of a token from before the last may be outdated.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.count.load(Ordering::Acquire)
    }
}

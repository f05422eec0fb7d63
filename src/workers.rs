//! Actors that there is one of on the thread of each worker, and how they are addressed.

use std::{
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash},
    sync::{Arc, OnceLock},
};

use actix::{Actor, Addr, Handler, Message, dev::ToEnvelope};

use crate::error::Error;

/// Addresses of one kind of actor, by the number of the worker. Cheap to clone, and the same on every thread.
pub struct PerWorker<A: Actor>(Arc<[OnceLock<Addr<A>>]>);

impl<A: Actor> Clone for PerWorker<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<A: Actor> PerWorker<A> {
    /// Returns places for the actors of `count` workers, none of them started.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self((0..count).map(|_| OnceLock::new()).collect())
    }

    /// Sets the actor of a worker that starts. A worker that the HTTP server starts in place of a dead one has a number beyond
    /// all places and gets none: the process is about to end itself.
    pub fn set(&self, worker: usize, actor: Addr<A>) {
        if let Some(slot) = self.0.get(worker) {
            // The number is this worker's alone, so the slot is empty.
            let _ = slot.set(actor);
        }
    }

    /// Returns the actor of a worker.
    ///
    /// # Errors
    /// [`Error::Internal`] where the worker has died: each starts its actors before it accepts a connection.
    pub fn get(&self, worker: usize) -> Result<&Addr<A>, Error> {
        self.0.get(worker).and_then(OnceLock::get).ok_or(Error::Internal)
    }

    /// Returns the number of the worker that something with this hash belongs to.
    #[must_use]
    pub fn worker_of(&self, hash: u64) -> usize {
        let count = self.0.len().max(1) as u64;
        // Less than the count, which is a usize.
        usize::try_from(hash % count).unwrap_or(0)
    }

    /// Returns the actor of the worker that something belongs to, such as a user.
    ///
    /// # Errors
    /// As [`PerWorker::get`].
    pub fn owner_of<T: Hash>(&self, thing: &T) -> Result<&Addr<A>, Error> {
        self.get(self.worker_of(hash(thing)))
    }

    /// Returns the actor of every worker; none for a worker that has not started.
    pub fn slots(&self) -> impl Iterator<Item = Option<&Addr<A>>> {
        self.0.iter().map(OnceLock::get)
    }

    /// Returns the actors of all workers that have started.
    pub fn started(&self) -> impl Iterator<Item = &Addr<A>> {
        self.slots().flatten()
    }
}

/// Sends a message to an actor and waits for its answer.
///
/// # Errors
/// [`Error::Internal`] where the actor is gone, or a panic took the answer along.
pub async fn ask<A, M>(actor: &Addr<A>, message: M) -> Result<M::Result, Error>
where
    A: Actor + Handler<M>,
    A::Context: ToEnvelope<A, M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    actor.send(message).await.map_err(|gone| {
        log::error!("an actor can't be asked: {gone}");
        Error::Internal
    })
}

/// Returns a hash that is the same for equal values on every thread.
#[must_use]
pub fn hash<T: Hash>(value: &T) -> u64 {
    BuildHasherDefault::<DefaultHasher>::new().hash_one(value)
}

//! The health of the workers: whether each still turns, how long a message waits there, and how much it holds.

use std::time::{Duration, Instant};

use actix::Addr;
use futures_util::future::{join, join_all};
use metrics::{gauge, histogram};

use super::{
    Runtime, SessionRegistry,
    messages::{CheckHealth, RegistryLoad},
};
use crate::{
    membrane::{MembraneActor, Ping},
    store::{StoreError, Trouble},
};

/// Beats in a row in which something must be found lost before the server gives itself up. The second look is for a worker that
/// was just being started.
const LOST_BEATS: u32 = 2;

/// Health of all workers at one beat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// Number of workers in the process.
    pub workers: usize,
    /// How many of them did not answer in time.
    pub silent: usize,
    /// Actors that have ended, which only a new process brings back.
    pub gone: usize,
    /// How many sessions those that answered have both in memory and in the store.
    pub kept: usize,
}

/// Something that only a new process brings back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Loss {
    /// Actors have ended: by a panic of their own, or with their thread.
    #[error("{0} actors that the server needs have ended")]
    Actors(usize),
    /// The store's thread has ended.
    #[error("the store's thread has ended")]
    Store,
}

/// The actors of one worker; none where it has not started.
#[derive(Clone, Copy)]
struct Actors<'a> {
    registry: &'a Addr<SessionRegistry>,
    membrane: &'a Addr<MembraneActor>,
}

impl Actors<'_> {
    /// Returns how many of its actors have ended.
    fn gone(&self) -> usize {
        let lives = [self.registry.connected(), self.membrane.connected()];
        lives.iter().filter(|lives| !**lives).count()
    }

    /// Asks all its actors; none where one does not answer.
    async fn load(&self, timeout: Duration) -> Option<RegistryLoad> {
        let begun = Instant::now();
        let answers = join(self.registry.send(CheckHealth), self.membrane.send(Ping));
        let (load, membrane) = tokio::time::timeout(timeout, answers).await.ok()?;
        membrane.ok()?;
        histogram!("mcp_shard_delay_seconds").record(begun.elapsed());
        load.ok()
    }
}

/// Asks every actor of every shard for a sign of life within `timeout`, and updates the metrics.
pub async fn check_health(runtime: &Runtime, timeout: Duration) -> Health {
    let workers = || {
        let registries = runtime.sessions().registries().slots();
        registries
            .zip(runtime.membranes().slots())
            .map(|(registry, membrane)| Some(Actors { registry: registry?, membrane: membrane? }))
    };
    let beats = workers().map(|worker| async move { worker?.load(timeout).await });
    let beats = join_all(beats).await;
    let loads = beats.iter().flatten();
    let health = Health {
        workers: beats.len(),
        silent: beats.len() - loads.clone().count(),
        // Counted after the wait, so that an actor that ended during it is not taken for one that is slow.
        gone: workers().flatten().map(|worker| worker.gone()).sum(),
        kept: loads.clone().map(|load| load.kept).sum(),
    };
    gauge!("mcp_shards_silent").set(count(health.silent));
    gauge!("mcp_actors_gone").set(count(health.gone));
    gauge!("mcp_sessions", "state" => "live").set(count(loads.map(|load| load.sessions).sum()));
    health
}

/// Looks after workers and store at every beat, and lets `each` know. Comes to an end when something is lost for good.
pub async fn look_after(runtime: &Runtime, beat: Duration, each: impl AsyncFn(Health)) -> Loss {
    let mut beats = tokio::time::interval(beat);
    let mut lost_beats = 0;
    loop {
        beats.tick().await;
        let health = check_health(runtime, beat).await;
        // The store logs and counts its failures. One that is merely busy is no loss.
        let checked = tokio::time::timeout(beat, runtime.store().check()).await;
        each(health).await;
        let loss = match checked {
            _ if health.gone > 0 => Loss::Actors(health.gone),
            Ok(Err(StoreError::Stopped)) => Loss::Store,
            _ => {
                lost_beats = 0;
                continue;
            }
        };
        lost_beats += 1;
        if lost_beats == LOST_BEATS {
            return loss;
        }
        log::error!("{loss}: the server will end itself, for it can't bring them back");
    }
}

/// Returns the part that is lost for good, if one is.
#[must_use]
pub fn loss(runtime: &Runtime, health: Health) -> Option<Loss> {
    match runtime.store_trouble() {
        _ if health.gone > 0 => Some(Loss::Actors(health.gone)),
        Some(Trouble::Stopped) => Some(Loss::Store),
        _ => None,
    }
}

/// Updates the metric of sessions out of memory, if the store answers within `timeout`.
pub async fn count_passive(runtime: &Runtime, health: Health, timeout: Duration) {
    let kept = tokio::time::timeout(timeout, runtime.store().count()).await;
    // Sessions of a silent shard are not in `health.kept`, and would all seem to have left memory.
    if let (Ok(Ok(Some(kept))), 0) = (kept, health.silent) {
        gauge!("mcp_sessions", "state" => "passive").set(count(kept.saturating_sub(health.kept)));
    }
}

/// Returns a number as a gauge has it.
fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

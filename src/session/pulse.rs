//! The pulse of the shards: whether each still turns, how long a message waits there, and how much it holds.

use std::time::{Duration, Instant};

use actix::{Context, Handler, Message};
use futures_util::future::join_all;
use metrics::{gauge, histogram};

use super::{SessionRegistry, Shards};

/// To a registry: says how much it holds.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Load")]
pub struct FeelPulse;

/// What a registry holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, actix::MessageResponse)]
pub struct Load {
    /// Sessions in memory.
    pub sessions: usize,
    /// Those of them that are in the store, too.
    pub kept: usize,
}

/// How the shards are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulse {
    /// How many there are.
    pub shards: usize,
    /// How many of them did not answer in time.
    pub silent: usize,
    /// How many sessions those that answered have both in memory and in the store.
    pub kept: usize,
}

impl Shards {
    /// Asks every shard how it is, and gives it so long to answer. The metrics learn of it too.
    pub async fn feel_pulse(&self, patience: Duration) -> Pulse {
        let beats = self.registries().map(|registry| async move {
            let begun = Instant::now();
            let load = tokio::time::timeout(patience, registry?.send(FeelPulse)).await.ok()?.ok()?;
            histogram!("mcp_shard_delay_seconds").record(begun.elapsed());
            Some(load)
        });
        let beats = join_all(beats).await;
        let loads = beats.iter().flatten();
        let pulse = Pulse {
            shards: beats.len(),
            silent: beats.len() - loads.clone().count(),
            kept: loads.clone().map(|load| load.kept).sum(),
        };
        gauge!("mcp_shards_silent").set(count(pulse.silent));
        gauge!("mcp_sessions", "state" => "live").set(count(loads.map(|load| load.sessions).sum()));
        pulse
    }

    /// Tells the metrics how many sessions have left memory; the store has so long to say.
    pub async fn count_passive(&self, pulse: Pulse, patience: Duration) {
        let kept = tokio::time::timeout(patience, self.store().count()).await;
        // What fails there is logged and counted there.
        if let (Ok(Ok(Some(kept))), 0) = (kept, pulse.silent) {
            gauge!("mcp_sessions", "state" => "passive").set(count(kept.saturating_sub(pulse.kept)));
        }
    }
}

/// A number as a gauge has it.
fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

impl Handler<FeelPulse> for SessionRegistry {
    type Result = Load;

    fn handle(&mut self, _: FeelPulse, _: &mut Context<Self>) -> Self::Result {
        self.load()
    }
}

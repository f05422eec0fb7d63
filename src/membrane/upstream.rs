//! What all clients of the process have in common: the upstream is one, however many threads ask it.

use tokio::sync::Semaphore;

use super::{breaker::Breaker, interner::Interner, retry::Budget};
use crate::config::Membrane as Settings;

/// See the [module](self).
#[derive(Debug)]
pub struct Upstream {
    /// Whether it is to be asked at all.
    pub(super) breaker: Breaker,
    /// How much may be sent again.
    pub(super) budget: Budget,
    /// The reads that may be in flight.
    pub(super) reads: Semaphore,
    /// The tools that were loaded, each set once.
    pub(super) tools: Interner,
}

impl Upstream {
    /// An upstream of which nothing is known yet.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self {
            breaker: Breaker::new(settings.breaker_failures.at_least_one().get(), settings.breaker_pause),
            budget: Budget::default(),
            reads: Semaphore::new(settings.concurrency.get().min(Semaphore::MAX_PERMITS)),
            tools: Interner::default(),
        }
    }

    /// Whether it has failed so often that it is left alone.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.breaker.is_open()
    }
}

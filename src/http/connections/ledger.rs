//! Counts, clock and bounds of a worker's connections, which each of them shares.

use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use super::traffic::{Counts, Stage, Traffic};

/// Longest interval in which a worker looks for connections whose time is over.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// Bounds of a listener's connections.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Time for a head, for what is left of a body when the answer begins, and for a client to take some of what it is sent.
    pub request: Duration,
    /// Time between an answer and the next request.
    pub keep_alive: Duration,
    /// Connections that one worker takes at most.
    pub per_worker: usize,
}

/// State that the connections of one worker share.
pub(super) struct Ledger {
    limits: Limits,
    traffic: Traffic,
    counts: Arc<Counts>,
    /// Number of open connections that are being closed.
    leaving: Cell<usize>,
    /// The time, as of the last beat: exact enough for deadlines, and free.
    now: Cell<Instant>,
    beat: Duration,
}

impl Ledger {
    /// Returns the ledger of one more worker of a listener.
    pub(super) fn new(limits: Limits, traffic: Traffic) -> Self {
        Self {
            limits,
            counts: traffic.add_worker(),
            traffic,
            leaving: Cell::default(),
            now: Cell::new(Instant::now()),
            beat: HEARTBEAT.min(limits.request / 4),
        }
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    /// Returns the time between two looks at the connections.
    pub(super) fn beat(&self) -> Duration {
        self.beat
    }

    /// Notes that a beat has come.
    pub(super) fn note_time(&self) {
        self.now.set(Instant::now());
    }

    pub(super) fn now(&self) -> Instant {
        self.now.get()
    }

    /// Returns the time after which something is late. Since the time is not exact it is later by up to two beats,
    /// never earlier, so that the dispatcher can say 408 first.
    pub(super) fn in_time(&self, time: Duration) -> Instant {
        self.now.get() + time + 2 * self.beat
    }

    pub(super) fn stage(&self) -> Stage {
        self.traffic.stage()
    }

    pub(super) fn count_connection(&self, begins: bool) {
        count(&self.counts.connections, begins);
    }

    pub(super) fn count_request(&self, begins: bool) {
        count(&self.counts.requests, begins);
    }

    pub(super) fn count_leaving(&self, leaves: bool) {
        let leaving = self.leaving.get();
        self.leaving.set(if leaves { leaving + 1 } else { leaving.saturating_sub(1) });
    }

    pub(super) fn leaving(&self) -> usize {
        self.leaving.get()
    }
}

fn count(counter: &AtomicUsize, begins: bool) {
    if begins {
        counter.fetch_add(1, Ordering::Relaxed)
    } else {
        counter.fetch_sub(1, Ordering::Relaxed)
    };
}

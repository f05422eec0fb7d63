//! Connections and requests of a whole listener, over all its workers, and the order in which they end.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep};

/// Time that clients have to send one more request on a connection that was kept when the server was told to stop. A proxy
/// or client learns from the answer that the connection ends, and opens its next one elsewhere.
const LAST_REQUESTS: Duration = Duration::from_secs(1);

/// Interval of looks at the counts, which workers change without telling anybody.
const LOOK: Duration = Duration::from_millis(10);

/// Stage of a server on its way to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Requests are served as usual.
    Serving,
    /// Service in which each answer says that it is the last of its connection.
    Draining,
    /// End: no request is begun, and connections without one are closed.
    Closing,
}

/// The traffic of one listener. Cheap to clone, and the same on every thread.
#[derive(Debug, Clone, Default)]
pub struct Traffic(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    stage: AtomicU8,
    /// Locked when a worker starts and when somebody looks; workers change their own counts alone.
    workers: Mutex<Vec<Arc<Counts>>>,
}

/// Numbers of connections and requests of one worker.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Connections that are open just now.
    pub(super) connections: AtomicUsize,
    /// Requests that were begun and whose answer is not complete.
    pub(super) requests: AtomicUsize,
}

impl Traffic {
    /// Returns the counts of one more worker.
    pub(super) fn add_worker(&self) -> Arc<Counts> {
        let counts = Arc::<Counts>::default();
        // Nothing panics while the lock is held.
        self.0.workers.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&counts));
        counts
    }

    pub(super) fn stage(&self) -> Stage {
        match self.0.stage.load(Ordering::Relaxed) {
            0 => Stage::Serving,
            1 => Stage::Draining,
            _ => Stage::Closing,
        }
    }

    /// Makes each answer from now on the last of its connection.
    pub fn drain(&self) {
        self.0.stage.store(1, Ordering::Relaxed);
    }

    /// Waits until the answers to all requests are complete, and clients have had time for a last one.
    pub async fn requests_answered(&self) {
        let last = Instant::now() + LAST_REQUESTS;
        while self.sum(|counts| &counts.requests) > 0 || (self.connections() > 0 && Instant::now() < last) {
            sleep(LOOK).await;
        }
    }

    /// Closes the connections that have no request, begins no other, and waits until all connections are closed.
    pub async fn close(&self) {
        self.0.stage.store(2, Ordering::Relaxed);
        while self.connections() > 0 {
            sleep(LOOK).await;
        }
    }

    /// Returns the number of open connections of all workers.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.sum(|counts| &counts.connections)
    }

    fn sum(&self, count: impl Fn(&Counts) -> &AtomicUsize) -> usize {
        let workers = self.0.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.iter().map(|counts| count(counts).load(Ordering::Relaxed)).sum()
    }
}

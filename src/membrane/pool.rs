//! Bounded pool for work on large messages, so that it holds up no worker.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of a message from which work on it leaves the worker: up to here it takes a millisecond or two.
pub const LARGE: usize = 256 << 10;

/// Pieces of work done at once. Each may hold a message and a tree of some megabytes, and takes a core from the workers.
const AT_ONCE: usize = 2;

/// See the [module](self). One for the process.
#[derive(Debug)]
pub struct Pool(Arc<Semaphore>);

impl Default for Pool {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Pool {
    /// Does work that is about so many bytes: here if they are few, else in the pool, in the order of asking. Nothing where
    /// the work has panicked.
    pub async fn run<T: Send + 'static>(&self, bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        if bytes <= LARGE {
            return Some(work());
        }
        // On the heap: the futures of all that have small work have no room for this.
        let large = Box::pin(async {
            let turn = Arc::clone(&self.0).acquire_owned().await.ok()?;
            spawn(turn, work).await
        });
        large.await
    }

    /// Does work in the pool, unless its turn does not come in `timeout`.
    pub async fn run_within<T: Send + 'static>(
        &self,
        timeout: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let turn = tokio::time::timeout(timeout, Arc::clone(&self.0).acquire_owned()).await.ok()?.ok()?;
        spawn(turn, work).await
    }
}

/// Does work in a thread of its own. The turn goes along: work can't be stopped, so it counts for as long as it lasts, even
/// if nobody waits for it any more.
async fn spawn<T: Send + 'static>(turn: OwnedSemaphorePermit, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let run = move || {
        let _turn = turn;
        work()
    };
    // Threads of the runtime, of which there may be hundreds: only the turns bound them.
    tokio::task::spawn_blocking(run)
        .await
        .inspect_err(|error| log::error!("work on a large message failed: {error}"))
        .ok()
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use super::*;

    #[actix::test]
    async fn large_work_leaves_the_worker_and_small_work_does_not() {
        let pool = Pool::default();
        let here = thread::current().id();
        assert_eq!(pool.run(LARGE, || thread::current().id()).await, Some(here));
        assert_ne!(pool.run(LARGE + 1, || thread::current().id()).await, Some(here));
        assert_eq!(pool.run(LARGE + 1, || -> u8 { panic!("a panic of a test") }).await, None);
    }

    #[actix::test]
    async fn no_more_is_done_at_once_even_if_nobody_waits_for_it() {
        let pool = Pool::default();
        let (mut ends, timeout) = (Vec::new(), Duration::from_millis(10));
        for _ in 0..AT_ONCE {
            let (end, ended) = mpsc::channel::<()>();
            ends.push(end);
            let waiting = pool.run(LARGE + 1, move || ended.recv().is_err());
            assert!(tokio::time::timeout(timeout, waiting).await.is_err(), "it goes on");
        }
        assert_eq!(pool.run_within(timeout, || ()).await, None);
        drop(ends);
        assert_eq!(pool.run(LARGE + 1, || ()).await, Some(()));
    }
}

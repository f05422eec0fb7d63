//! Things in use, counted against a limit on whatever thread they are.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::error::Error;

/// Number of things in use of one kind, with its limit.
#[derive(Debug, Clone)]
pub(super) struct Counter {
    pub(super) used: Arc<AtomicUsize>,
    pub(super) limit: usize,
}

impl Counter {
    pub(super) fn new(limit: usize) -> Self {
        Self { used: Arc::default(), limit }
    }

    /// Returns how many are in use.
    pub(super) fn count(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

/// Calls that may run at once: in one session, or for one user outside of any.
#[derive(Debug, Clone)]
pub struct CallLimit(Counter);

/// A call that runs. Dropped, however that comes, it has ended.
#[derive(Debug)]
pub struct RunningCall(Arc<AtomicUsize>);

impl CallLimit {
    /// Lets `limit` calls run at once.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self(Counter::new(limit))
    }

    /// Begins a call.
    ///
    /// # Errors
    /// [`Error::TooManyCalls`].
    pub fn begin(&self) -> Result<RunningCall, Error> {
        let Counter { used, limit } = &self.0;
        let before = used.fetch_add(1, Ordering::Relaxed);
        // Counted first, so that a call that is one too many is taken off again as any other.
        let call = RunningCall(Arc::clone(used));
        if before < *limit { Ok(call) } else { Err(Error::TooManyCalls { limit: *limit }) }
    }

    /// Returns whether no call runs.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.0.count() == 0
    }
}

impl Drop for RunningCall {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

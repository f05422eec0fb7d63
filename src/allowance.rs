//! What one user may use at once: calls a second, and streams to listen on.
//!
//! Whoever acts for a user holds the same [`Allowance`], on whatever thread, and nobody waits for it.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::{Stream, StreamExt};
use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};

use crate::{error::Error, ids::UserKey};

/// How much each user may use.
#[derive(Debug, Clone, Copy)]
pub struct Allowed {
    /// Calls of tools in a second, which may also come all at once.
    pub calls_per_s: NonZeroU32,
    /// Streams to listen on.
    pub streams: usize,
}

/// What one user uses.
#[derive(Debug)]
pub struct Allowance {
    calls: DefaultDirectRateLimiter,
    streams: AtomicUsize,
    allowed: Allowed,
}

/// One of the streams that a user may listen on. Dropped, it is free again.
#[derive(Debug)]
pub struct StreamPermit(Arc<Allowance>);

impl Allowance {
    fn new(allowed: Allowed) -> Self {
        let calls = RateLimiter::direct(Quota::per_second(allowed.calls_per_s));
        Self { calls, streams: AtomicUsize::new(0), allowed }
    }

    /// Takes one call from the allowance.
    ///
    /// # Errors
    /// How many seconds to wait for the next.
    pub fn call(&self) -> Result<(), u64> {
        self.calls.check().map_err(|not_until| {
            metrics::counter!("mcp_limited_total", "limit" => "calls").increment(1);
            not_until.wait_time_from(DefaultClock::default().now()).as_secs() + 1
        })
    }

    /// Takes one stream from the allowance.
    ///
    /// # Errors
    /// [`Error::TooManyStreams`].
    pub fn stream(self: &Arc<Self>) -> Result<StreamPermit, Error> {
        let permit = StreamPermit(Arc::clone(self));
        let before = self.streams.fetch_add(1, Ordering::Relaxed);
        if before < self.allowed.streams {
            return Ok(permit);
        }
        // Dropped here, the permit gives back what it took.
        metrics::counter!("mcp_limited_total", "limit" => "streams").increment(1);
        Err(Error::TooManyStreams { limit: self.allowed.streams })
    }
}

impl StreamPermit {
    /// Ties the permit to a stream.
    pub fn hold<S: Stream>(self, stream: S) -> impl Stream<Item = S::Item> {
        stream.inspect(move |_| {
            let _held = &self;
        })
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The allowances of all users who are trusted or listen. Cheap to clone, and the same on every thread.
#[derive(Debug, Clone)]
pub struct Allowances(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    allowed: Allowed,
    /// Locked only when a token is accepted, which is once in minutes: what requests use is in the allowances themselves.
    by_user: Mutex<ByUser>,
}

#[derive(Debug, Default)]
struct ByUser {
    allowances: HashMap<UserKey, Weak<Allowance>>,
    /// How many there may be before those of users who have gone are looked for.
    room: usize,
}

impl Allowances {
    /// Allowances of this size.
    #[must_use]
    pub fn new(allowed: Allowed) -> Self {
        Self(Arc::new(Inner { allowed, by_user: Mutex::default() }))
    }

    /// The allowance of a user, the same for as long as anybody holds it.
    #[must_use]
    pub fn of(&self, user: &UserKey) -> Arc<Allowance> {
        // Nothing panics while the lock is held that would leave the map half changed.
        let mut by_user = self.0.by_user.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(allowance) = by_user.allowances.get(user).and_then(Weak::upgrade) {
            return allowance;
        }
        if by_user.allowances.len() >= by_user.room {
            by_user.allowances.retain(|_, allowance| allowance.strong_count() > 0);
            by_user.room = (by_user.allowances.len() * 2).max(1024);
        }
        let allowance = Arc::new(Allowance::new(self.0.allowed));
        by_user.allowances.insert(user.clone(), Arc::downgrade(&allowance));
        allowance
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowances(calls_per_s: u32, streams: usize) -> Allowances {
        Allowances::new(Allowed { calls_per_s: NonZeroU32::new(calls_per_s).unwrap(), streams })
    }

    #[test]
    fn each_user_has_so_many_calls_and_then_has_to_wait() {
        let allowances = allowances(3, 1);
        let (ann, bob) = (allowances.of(&UserKey::new("w", "ann")), allowances.of(&UserKey::new("w", "bob")));
        let again = allowances.of(&UserKey::new("w", "ann"));
        let taken = (0..1000).find(|_| again.call().is_err()).expect("there is an end");
        assert!(taken >= 3, "{taken}");
        assert!(ann.call() == Err(1));
        assert_eq!(bob.call(), Ok(()), "another user");
    }

    #[test]
    fn a_stream_that_ends_makes_room_for_another() {
        let ann = allowances(1, 2).of(&UserKey::new("w", "ann"));
        let held = (ann.stream().unwrap(), ann.stream().unwrap());
        assert_eq!(ann.stream().err(), Some(Error::TooManyStreams { limit: 2 }));
        assert!(ann.stream().is_err(), "what was refused took nothing, nor gave anything back");
        drop(held.0);
        let stream = ann.stream().unwrap().hold(futures_util::stream::pending::<()>());
        assert!(ann.stream().is_err());
        drop(stream);
        assert!(ann.stream().is_ok());
    }

    #[test]
    fn users_who_have_gone_leave_nothing() {
        let allowances = allowances(1, 1);
        for n in 0..5000 {
            let _gone = allowances.of(&UserKey::new("w", &n.to_string()));
        }
        assert!(allowances.0.by_user.lock().unwrap().allowances.len() <= 1024);
    }
}

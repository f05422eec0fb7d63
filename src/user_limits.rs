//! Limits of one user: calls a second and at once, streams to listen on, sessions, links to connect apps.
//!
//! Whoever acts for a user holds the same [`UserLimits`], on whatever thread, and nobody waits for it.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{Stream, StreamExt};
use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};

use crate::{error::Error, ids::UserKey};

/// Links to connect apps that a user may be given at once. Each is a request to the upstream, and is kept for a quarter of an hour.
const LINKS: u32 = 20;

/// Time until a user may be given one more, so that about as many are kept at any time.
const LINK_EVERY: Duration = Duration::from_secs(45);

/// Limits of one user, and of all together.
#[derive(Debug, Clone, Copy)]
pub struct LimitSettings {
    /// Calls of tools that a user may make in a second, which may also come all at once.
    pub calls_per_s: NonZeroU32,
    /// Calls of a user that may run at once outside of any session.
    pub calls_at_once: usize,
    /// Streams on which a user may listen.
    pub streams: usize,
    /// Sessions that a user may have.
    pub sessions: usize,
    /// Sessions that all users may have together.
    pub all_sessions: usize,
}

/// Use that one user makes of the server just now.
#[derive(Debug)]
pub struct UserLimits {
    calls: DefaultDirectRateLimiter,
    links: DefaultDirectRateLimiter,
    calls_at_once: CallLimit,
    streams: Counter,
    sessions: Counter,
    all_sessions: Counter,
}

/// Number of things in use of one kind, with its limit.
#[derive(Debug, Clone)]
struct Counter {
    used: Arc<AtomicUsize>,
    limit: usize,
}

/// Something in use. Dropped, it is free again.
#[derive(Debug)]
pub struct Permit {
    used: Vec<Arc<AtomicUsize>>,
    /// The count lasts for as long as anything is counted.
    _of: Arc<UserLimits>,
}

impl Counter {
    fn new(limit: usize) -> Self {
        Self { used: Arc::default(), limit }
    }
}

impl UserLimits {
    fn new(allowed: LimitSettings, all_sessions: Counter) -> Self {
        Self {
            calls: RateLimiter::direct(Quota::per_second(allowed.calls_per_s)),
            links: RateLimiter::direct(quota_of_links()),
            calls_at_once: CallLimit::new(allowed.calls_at_once),
            streams: Counter::new(allowed.streams),
            sessions: Counter::new(allowed.sessions),
            all_sessions,
        }
    }

    /// Takes one call from what the user may still take.
    ///
    /// # Errors
    /// How many seconds to wait for the next.
    pub fn call(&self) -> Result<(), u64> {
        self.calls.check().map_err(|not_until| {
            note_limited("calls");
            not_until.wait_time_from(DefaultClock::default().now()).as_secs() + 1
        })
    }

    /// Takes one link to connect an app from what the user may still take; gives whether there was one left.
    #[must_use]
    pub fn link(&self) -> bool {
        let is_left = self.links.check().is_ok();
        if !is_left {
            note_limited("links");
        }
        is_left
    }

    /// Returns the limit of calls that run at once outside of any session.
    #[must_use]
    pub fn calls_at_once(&self) -> &CallLimit {
        &self.calls_at_once
    }

    /// Takes one stream from what the user may still take.
    ///
    /// # Errors
    /// [`Error::TooMany`].
    pub fn stream(self: &Arc<Self>) -> Result<Permit, Error> {
        let mut permit = self.permit();
        permit.take(&self.streams).map_err(|limit| too_many("streams", limit))?;
        Ok(permit)
    }

    /// Takes one session from what the user may still take.
    ///
    /// # Errors
    /// [`Error::TooMany`], and [`Error::Full`] where it is all users together who have too many.
    pub fn session(self: &Arc<Self>) -> Result<Permit, Error> {
        let mut permit = self.permit();
        permit.take(&self.sessions).map_err(|limit| too_many("sessions", limit))?;
        permit.take(&self.all_sessions).map_err(|_limit| Error::Full)?;
        Ok(permit)
    }

    /// Takes a session that comes back from the store from what the user may still take. Other users' sessions never keep it out; gives
    /// whether one of those should leave for it.
    ///
    /// # Errors
    /// [`Error::TooMany`].
    pub fn revived_session(self: &Arc<Self>) -> Result<(Permit, bool), Error> {
        let mut permit = self.permit();
        permit.take(&self.sessions).map_err(|limit| too_many("sessions", limit))?;
        let is_crowded = permit.take(&self.all_sessions).is_err();
        Ok((permit, is_crowded))
    }

    fn permit(self: &Arc<Self>) -> Permit {
        Permit { used: Vec::new(), _of: Arc::clone(self) }
    }
}

impl Permit {
    /// Counts one more; where that is one too many, the limit comes back, and what is counted goes with the permit.
    fn take(&mut self, counter: &Counter) -> Result<(), usize> {
        let before = counter.used.fetch_add(1, Ordering::Relaxed);
        self.used.push(Arc::clone(&counter.used));
        if before < counter.limit { Ok(()) } else { Err(counter.limit) }
    }

    /// Ties the permit to a stream.
    pub fn hold<S: Stream>(self, stream: S) -> impl Stream<Item = S::Item> {
        stream.inspect(move |_| {
            let _held = &self;
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        for used in &self.used {
            used.fetch_sub(1, Ordering::Relaxed);
        }
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
        self.0.used.load(Ordering::Relaxed) == 0
    }
}

impl Drop for RunningCall {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn quota_of_links() -> Quota {
    let at_once = NonZeroU32::new(LINKS).unwrap_or(NonZeroU32::MIN);
    Quota::with_period(LINK_EVERY).unwrap_or(Quota::per_minute(at_once)).allow_burst(at_once)
}

fn too_many(what: &'static str, limit: usize) -> Error {
    note_limited(what);
    Error::TooMany { what, limit }
}

/// Counts a request that was refused because a limit was reached.
pub fn note_limited(limit: &'static str) {
    metrics::counter!("mcp_limited_total", "limit" => limit).increment(1);
}

/// The limits of all users who are trusted or listen. Cheap to clone, and the same on every thread.
#[derive(Debug, Clone)]
pub struct LimitsOfUsers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    allowed: LimitSettings,
    all_sessions: Counter,
    /// Locked only when a token is accepted, which is once in minutes: what requests use is in the limits themselves.
    by_user: Mutex<ByUser>,
}

#[derive(Debug, Default)]
struct ByUser {
    limits_of_users: HashMap<UserKey, Weak<UserLimits>>,
    /// How many there may be before those of users who have gone are looked for.
    room: usize,
}

impl LimitsOfUsers {
    /// Returns the limits of users who have used nothing yet.
    #[must_use]
    pub fn new(allowed: LimitSettings) -> Self {
        let all_sessions = Counter::new(allowed.all_sessions);
        Self(Arc::new(Inner { allowed, all_sessions, by_user: Mutex::default() }))
    }

    /// Returns whether the limits of a user are held anywhere. Each trusted token of the user holds them.
    #[must_use]
    pub fn knows(&self, user: &UserKey) -> bool {
        let by_user = self.0.by_user.lock().unwrap_or_else(PoisonError::into_inner);
        by_user.limits_of_users.get(user).is_some_and(|user_limits| user_limits.strong_count() > 0)
    }

    /// Returns the limits of a user, the same for as long as anybody holds them.
    #[must_use]
    pub fn of(&self, user: &UserKey) -> Arc<UserLimits> {
        // Nothing panics while the lock is held that would leave the map half changed.
        let mut by_user = self.0.by_user.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(user_limits) = by_user.limits_of_users.get(user).and_then(Weak::upgrade) {
            return user_limits;
        }
        if by_user.limits_of_users.len() >= by_user.room {
            by_user.limits_of_users.retain(|_, user_limits| user_limits.strong_count() > 0);
            by_user.room = (by_user.limits_of_users.len() * 2).max(1024);
        }
        let user_limits = Arc::new(UserLimits::new(self.0.allowed, self.0.all_sessions.clone()));
        by_user.limits_of_users.insert(user.clone(), Arc::downgrade(&user_limits));
        user_limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits_of_users(calls_per_s: u32) -> LimitsOfUsers {
        let calls_per_s = NonZeroU32::new(calls_per_s).unwrap();
        LimitsOfUsers::new(LimitSettings { calls_per_s, calls_at_once: 2, streams: 2, sessions: 2, all_sessions: 3 })
    }

    #[test]
    fn each_user_has_so_many_calls_and_then_has_to_wait() {
        let limits_of_users = limits_of_users(3);
        let (ann, bob) = (limits_of_users.of(&UserKey::new("w", "ann")), limits_of_users.of(&UserKey::new("w", "bob")));
        let again = limits_of_users.of(&UserKey::new("w", "ann"));
        let taken = (0..1000).find(|_| again.call().is_err()).expect("there is an end");
        assert!(taken >= 3, "{taken}");
        assert_eq!(ann.call(), Err(1));
        assert_eq!(bob.call(), Ok(()), "another user");
    }

    #[test]
    fn each_user_gets_so_many_links() {
        let limits_of_users = limits_of_users(1);
        let (ann, bob) = (limits_of_users.of(&UserKey::new("w", "ann")), limits_of_users.of(&UserKey::new("w", "bob")));
        assert_eq!((0..1000).filter(|_| ann.link()).count(), 20);
        assert!(bob.link(), "another user");
    }

    #[test]
    fn a_stream_that_ends_makes_room_for_another() {
        let ann = limits_of_users(1).of(&UserKey::new("w", "ann"));
        let held = (ann.stream().unwrap(), ann.stream().unwrap());
        assert_eq!(ann.stream().err(), Some(Error::TooMany { what: "streams", limit: 2 }));
        assert!(ann.stream().is_err(), "what was refused took nothing, nor gave anything back");
        drop(held.0);
        let stream = ann.stream().unwrap().hold(futures_util::stream::pending::<()>());
        assert!(ann.stream().is_err());
        drop(stream);
        assert!(ann.stream().is_ok());
    }

    #[test]
    fn sessions_are_counted_for_each_user_and_for_all() {
        let limits_of_users = limits_of_users(1);
        let [ann, bob] = ["ann", "bob"].map(|user| limits_of_users.of(&UserKey::new("w", user)));
        let anns = (ann.session().unwrap(), ann.session().unwrap());
        assert_eq!(ann.session().err(), Some(Error::TooMany { what: "sessions", limit: 2 }));
        let bobs = bob.session().unwrap();
        assert_eq!(bob.session().err(), Some(Error::Full));
        drop((anns.0, bobs));
        let _two = (bob.session().unwrap(), bob.session().unwrap());
        assert_eq!(ann.session().err(), Some(Error::Full));
        let (_revived, is_crowded) = ann.revived_session().unwrap();
        assert!(is_crowded, "it comes back all the same, and somebody should leave");
        let refused = ann.revived_session().err();
        assert_eq!(refused, Some(Error::TooMany { what: "sessions", limit: 2 }), "of her own there may be no more");
    }

    #[test]
    fn a_call_that_is_dropped_has_ended() {
        let ann = limits_of_users(1).of(&UserKey::new("w", "ann"));
        let running = [ann.calls_at_once().begin().unwrap(), ann.calls_at_once().begin().unwrap()];
        for _ in 0..3 {
            assert_eq!(ann.calls_at_once().begin().err(), Some(Error::TooManyCalls { limit: 2 }));
        }
        drop(running);
        assert!(ann.calls_at_once.is_idle());
        assert!(ann.calls_at_once().begin().is_ok());
    }

    #[test]
    fn users_who_have_gone_leave_nothing() {
        let limits_of_users = limits_of_users(1);
        for n in 0..5000 {
            let _gone = limits_of_users.of(&UserKey::new("w", &n.to_string()));
        }
        assert!(limits_of_users.0.by_user.lock().unwrap().limits_of_users.len() <= 1024);
    }

    #[test]
    fn what_is_counted_outlasts_who_asked() {
        let limits_of_users = limits_of_users(1);
        let ann = UserKey::new("w", "ann");
        let _held = [limits_of_users.of(&ann).session().unwrap(), limits_of_users.of(&ann).session().unwrap()];
        assert!(limits_of_users.of(&ann).session().is_err());
    }
}

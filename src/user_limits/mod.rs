//! Limits of one user: calls a second and at once, streams to listen on, sessions, links to connect apps.
//!
//! Calls a second and streams are counted with the other servers where some share a store (see [`fleet`]), and so are the sessions
//! that are kept there, which the store bounds; the rest is each server's own.
//!
//! All who act for a user hold the same [`UserLimits`], on whatever thread. Nothing waits for it but a call or a stream beyond what
//! this server gives a user by itself.

mod calls;
mod counter;
pub mod fleet;
mod streams;

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{Stream, StreamExt, stream};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::{
    runtime::Handle,
    time::{MissedTickBehavior, interval},
};

pub use self::counter::{CallLimit, RunningCall};
use self::{calls::CallRate, counter::Counter, fleet::FleetLimits, streams::FleetStreams};
use crate::{error::Error, ids::UserKey};

/// Links to connect apps that a user may be given at once. Each is a request to the upstream, and is kept for a quarter of an hour.
const LINKS: u32 = 20;

/// Time until a user may be given one more, so that about as many are kept at any time.
const LINK_EVERY: Duration = Duration::from_secs(45);

/// How often this server looks for others that have come or gone.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Looks after which streams are noted again, three times before a note of them expires.
const LOOKS_PER_NOTE: u32 = 60;

/// Users whose streams are noted at once.
const NOTES: usize = 32;

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
    calls: CallRate,
    links: DefaultDirectRateLimiter,
    calls_at_once: CallLimit,
    streams: Counter,
    /// The same streams as other servers count them, where there may be some.
    fleet_streams: Option<FleetStreams>,
    sessions: Counter,
    all_sessions: Counter,
}

/// Something in use. Dropped, it is free again.
#[derive(Debug)]
pub struct Permit {
    used: Vec<Arc<AtomicUsize>>,
    is_stream: bool,
    /// The count lasts for as long as anything is counted.
    of: Arc<UserLimits>,
}

impl UserLimits {
    fn new(
        user: &UserKey,
        allowed: LimitSettings,
        all_sessions: Counter,
        fleet: Option<&Arc<dyn FleetLimits>>,
    ) -> Self {
        let fleet = fleet.map(|fleet| (Arc::clone(fleet), user.clone()));
        Self {
            calls: CallRate::new(allowed.calls_per_s, fleet.clone()),
            links: RateLimiter::direct(quota_of_links()),
            calls_at_once: CallLimit::new(allowed.calls_at_once),
            streams: Counter::new(allowed.streams),
            fleet_streams: fleet.map(|(fleet, user)| FleetStreams::new(fleet, user)),
            sessions: Counter::new(allowed.sessions),
            all_sessions,
        }
    }

    /// Takes one call from what the user may still take. Gives nothing where that is known only to all servers that share a store:
    /// then [`call_of_fleet`](Self::call_of_fleet) asks.
    ///
    /// # Errors
    /// How many seconds to wait for the next.
    #[must_use]
    pub fn call(&self) -> Option<Result<(), u64>> {
        self.calls.take().map(count_refusal)
    }

    /// Takes one call from what all servers may still take for the user, which costs a request to the store, or a wait for one
    /// that is under way.
    ///
    /// # Errors
    /// How many seconds to wait for the next.
    pub async fn call_of_fleet(&self) -> Result<(), u64> {
        count_refusal(self.calls.ask().await)
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

    /// Takes one stream from what the user may still take, at all servers that share a store.
    ///
    /// # Errors
    /// [`Error::TooMany`].
    pub async fn stream(self: &Arc<Self>) -> Result<Permit, Error> {
        let mut permit = self.permit();
        permit.is_stream = true;
        permit.take(&self.streams).map_err(|limit| too_many("streams", limit))?;
        let Some(fleet) = &self.fleet_streams else { return Ok(permit) };
        let permit = fleet.let_in(&self.streams, permit).await;
        permit.ok_or_else(|| too_many("streams", self.streams.limit))
    }

    /// Tells the other servers how many streams the user has here, as far as they have to know.
    async fn note_streams(&self, again: bool) {
        if let Some(fleet) = &self.fleet_streams {
            fleet.note(&self.streams, again).await;
        }
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
        Permit { used: Vec::new(), is_stream: false, of: Arc::clone(self) }
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
        let has_shrunk = |fleet: &FleetStreams| fleet.has_shrunk(&self.of.streams);
        // Without a runtime this process is about to end, which the others find out.
        if self.is_stream
            && self.of.fleet_streams.as_ref().is_some_and(has_shrunk)
            && let Ok(runtime) = Handle::try_current()
        {
            let of = Arc::clone(&self.of);
            runtime.spawn(async move { of.note_streams(false).await });
        }
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

fn count_refusal(taken: Result<(), u64>) -> Result<(), u64> {
    taken.inspect_err(|_| note_limited("calls"))
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
    fleet: Option<Arc<dyn FleetLimits>>,
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
    /// Returns the limits of users who have used nothing yet. With a `fleet`, calls and streams are counted with other servers.
    #[must_use]
    pub fn new(allowed: LimitSettings, fleet: Option<Arc<dyn FleetLimits>>) -> Self {
        let all_sessions = Counter::new(allowed.all_sessions);
        Self(Arc::new(Inner { allowed, all_sessions, fleet, by_user: Mutex::default() }))
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
        let Inner { allowed, all_sessions, fleet, .. } = &*self.0;
        let user_limits = Arc::new(UserLimits::new(user, *allowed, all_sessions.clone(), fleet.as_ref()));
        by_user.limits_of_users.insert(user.clone(), Arc::downgrade(&user_limits));
        user_limits
    }

    /// Keeps the other servers up to date on streams that are open here, for as long as the future is polled: when a server comes
    /// or goes, the parts of all change; when the store is back, it may have forgotten; and notes expire.
    pub async fn keep_noted(self) {
        let Some(fleet) = self.0.fleet.clone() else { return };
        let (mut servers, mut looks) = (1, 0_u32);
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            let before = std::mem::replace(&mut servers, fleet.servers());
            looks = looks.wrapping_add(1);
            if servers != before || looks % LOOKS_PER_NOTE == 0 {
                let notes = stream::iter(self.present());
                notes.for_each_concurrent(NOTES, async |user_limits| user_limits.note_streams(true).await).await;
            }
        }
    }

    /// Returns the limits of the users who have any.
    fn present(&self) -> Vec<Arc<UserLimits>> {
        let by_user = self.0.by_user.lock().unwrap_or_else(PoisonError::into_inner);
        by_user.limits_of_users.values().filter_map(Weak::upgrade).collect()
    }
}

#[cfg(test)]
mod tests;

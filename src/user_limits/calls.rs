//! Rate of one user's calls: at this server, and at all that share a store.
//!
//! A server gives a user its part of the limit by itself, and takes what goes beyond from the store in lots of the same size. So a
//! user who makes a few calls costs the store nothing, and one who makes many a request for each lot. What is left of a lot stays
//! for the next call, which adds to the limit at most as much as all parts of servers: a twentieth of it.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use tokio::sync::Mutex;

use super::fleet::{FleetLimits, Lot, Split, Taken};
use crate::ids::UserKey;

/// Time for which a server that got no answer goes on alone, so that calls do not wait one after the other for the same.
const ALONE: Duration = Duration::from_secs(1);

/// Refusal of a call, with the seconds after which there may be another.
pub(super) type Refused = u64;

/// Rate of the calls of one user.
#[derive(Debug)]
pub(super) struct CallRate {
    per_s: NonZeroU32,
    /// Limiter of this server. A call costs one of it where the server is alone, and as many more where its part is smaller.
    here: DefaultDirectRateLimiter,
    fleet: Option<FleetRate>,
}

#[derive(Debug)]
struct FleetRate {
    fleet: Arc<dyn FleetLimits>,
    user: UserKey,
    /// Calls that are left of lots.
    left: AtomicUsize,
    /// Time until which all servers together have no more.
    none_until: Until,
    /// Time until which this server goes on alone, for want of an answer.
    alone_until: Until,
    /// Held by the one call that asks.
    asking: Mutex<()>,
}

/// A time that is over, or to come.
#[derive(Debug)]
struct Until {
    since: Instant,
    /// Microseconds after `since`.
    after: AtomicU64,
}

impl Until {
    fn over() -> Self {
        Self { since: Instant::now(), after: AtomicU64::new(0) }
    }

    fn set(&self, wait: Duration) {
        let after = self.since.elapsed().saturating_add(wait).as_micros();
        self.after.store(u64::try_from(after).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Returns how long it is until then, if it is not over.
    fn left(&self) -> Option<Duration> {
        let after = self.after.load(Ordering::Relaxed);
        // Most are never set, and need no clock.
        let left = (after > 0).then(|| Duration::from_micros(after).checked_sub(self.since.elapsed()))??;
        (!left.is_zero()).then_some(left)
    }
}

impl CallRate {
    /// Returns the rate of a user who has made no call yet, counted with other servers where there may be some.
    pub(super) fn new(per_s: NonZeroU32, fleet: Option<(Arc<dyn FleetLimits>, UserKey)>) -> Self {
        let fleet = fleet.map(|(fleet, user)| FleetRate {
            fleet,
            user,
            left: AtomicUsize::new(0),
            none_until: Until::over(),
            alone_until: Until::over(),
            asking: Mutex::new(()),
        });
        Self { per_s, here: RateLimiter::direct(Quota::per_second(per_s)), fleet }
    }

    /// Takes a call. Gives nothing where the store has to be asked, by [`ask`](Self::ask).
    pub(super) fn take(&self) -> Option<Result<(), Refused>> {
        let Some((fleet, split)) = self.shared() else { return Some(self.take_alone()) };
        if self.take_own(split) || fleet.take_left() {
            return Some(Ok(()));
        }
        fleet.none_until.left().map(|wait| Err(seconds(wait)))
    }

    /// Takes a call from what all servers have together.
    pub(super) async fn ask(&self) -> Result<(), Refused> {
        let Some((fleet, split)) = self.shared() else { return self.take_alone() };
        // One question at a time: those who wait find what is left of its lot, or that there is none.
        let _asking = fleet.asking.lock().await;
        if let Some(taken) = self.take() {
            return taken;
        }
        let lot = Lot { calls: split.own.max(1), per_s: split.shared };
        match fleet.fleet.take_calls(&fleet.user, lot).await {
            Some(Taken { calls: 0, wait }) => {
                fleet.none_until.set(wait);
                Err(seconds(wait))
            }
            Some(Taken { calls, .. }) => {
                fleet.left.fetch_add(calls - 1, Ordering::Relaxed);
                Ok(())
            }
            None => {
                fleet.alone_until.set(ALONE);
                self.take_alone()
            }
        }
    }

    /// Returns the rate of all servers with this one's part of it, unless the limit holds here alone.
    fn shared(&self) -> Option<(&FleetRate, Split)> {
        let fleet = self.fleet.as_ref()?;
        let servers = fleet.fleet.servers();
        let is_alone = servers <= 1 || fleet.alone_until.left().is_some();
        (!is_alone).then(|| (fleet, Split::new(self.limit(), servers)))
    }

    fn limit(&self) -> usize {
        usize::try_from(self.per_s.get()).unwrap_or(usize::MAX)
    }

    fn take_alone(&self) -> Result<(), Refused> {
        self.here.check().map_err(|not_until| seconds(not_until.wait_time_from(DefaultClock::default().now())))
    }

    /// Takes a call from this server's own part.
    fn take_own(&self, Split { own, .. }: Split) -> bool {
        if own == 0 {
            return false;
        }
        // So dear that the whole limit pays for the own part.
        let cost = u32::try_from(self.limit().div_ceil(own)).ok().and_then(NonZeroU32::new);
        cost.is_some_and(|cost| self.here.check_n(cost).is_ok_and(|taken| taken.is_ok()))
    }
}

impl FleetRate {
    /// Takes a call from what is left of a lot.
    fn take_left(&self) -> bool {
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}

/// Returns how many seconds a client is told to wait.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + 1
}

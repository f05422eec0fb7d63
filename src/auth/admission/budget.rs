//! Budgets of failures, by key: an address, a user, or all together.

use std::{
    hash::Hash,
    num::{NonZeroU32, NonZeroUsize},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    nanos::Nanos,
    state::StateStore,
};
use lru::LruCache;
use tokio::sync::Notify;

/// Keys remembered. The least recently charged leave first; there are more keys than this only where an overall budget
/// limits them all.
const MAX_KEYS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(9_999);

/// Budgets of equal size. The arithmetic is `governor`'s; its states are kept here, so that they are bounded in number and a
/// charge can be given back.
pub(super) struct Budgets<K: Hash + Eq + Clone> {
    limiter: RateLimiter<K, States<K>, DefaultClock>,
    states: States<K>,
    /// One charge, as time in which it is paid off.
    charge: Nanos,
}

#[derive(Clone)]
struct States<K>(Arc<Mutex<LruCache<K, State>>>);

#[derive(Default)]
struct State {
    /// When all charges are paid off, as `governor` counts time.
    paid_off: Option<Nanos>,
    /// Charges that may yet be given back.
    lent: usize,
    /// Told when a lent charge is settled, either way.
    settled: Arc<Notify>,
    is_exhausted: bool,
}

/// A charge to a budget. Dropped, it stays; given back, it was none.
pub(super) struct Charge<K: Hash + Eq + Clone> {
    budgets: Arc<Budgets<K>>,
    key: K,
    is_given_back: bool,
}

impl<K: Hash + Eq + Clone> Budgets<K> {
    /// Budgets of so many failures in a minute, which may also come at once.
    pub(super) fn per_minute(failures: NonZeroU32) -> Arc<Self> {
        let quota = Quota::per_minute(failures);
        let states = States(Arc::new(Mutex::new(LruCache::new(MAX_KEYS))));
        let limiter = RateLimiter::new(quota, states.clone(), DefaultClock::default());
        Arc::new(Self { limiter, states, charge: quota.replenish_interval().into() })
    }

    /// Charges a budget at once.
    ///
    /// # Errors
    /// The time until it can be charged again.
    pub(super) fn try_charge(self: &Arc<Self>, key: &K) -> Result<Charge<K>, Duration> {
        match self.limiter.check_key(key) {
            Ok(()) => Ok(Charge { budgets: Arc::clone(self), key: key.clone(), is_given_back: false }),
            Err(not_until) => Err(not_until.wait_time_from(DefaultClock::default().now())),
        }
    }

    /// Charges a budget. While it is lent to others, waits whether they give it back.
    ///
    /// # Errors
    /// The time until it can be charged again.
    pub(super) async fn charge(self: &Arc<Self>, key: &K, until: Instant) -> Result<Charge<K>, Duration> {
        loop {
            let wait = match self.try_charge(key) {
                Ok(charge) => return Ok(charge),
                Err(wait) => wait,
            };
            let Some(settled) = self.states.lent(key) else { return Err(wait) };
            if tokio::time::timeout_at(until.into(), settled.notified()).await.is_err() {
                return Err(wait);
            }
        }
    }

    /// Notes that a budget is used up; gives whether that is new.
    pub(super) fn note_exhausted(&self, key: &K) -> bool {
        let mut states = self.states.lock();
        states.peek_mut(key).is_some_and(|state| !std::mem::replace(&mut state.is_exhausted, true))
    }
}

impl<K: Hash + Eq> States<K> {
    /// Returns where to hear that a charge was settled, if one is lent. Without one, everyone who waits is told to
    /// look.
    fn lent(&self, key: &K) -> Option<Arc<Notify>> {
        let mut states = self.lock();
        let state = states.peek_mut(key)?;
        if state.lent == 0 {
            // Each that finds nothing lent wakes the next, so that none sleeps on.
            state.settled.notify_one();
            return None;
        }
        Some(Arc::clone(&state.settled))
    }

    fn settle(&self, key: &K, given_back: Option<Nanos>) {
        if let Some(state) = self.lock().peek_mut(key) {
            state.lent = state.lent.saturating_sub(1);
            if let (Some(back), Some(paid_off)) = (given_back, &mut state.paid_off) {
                *paid_off = paid_off.saturating_sub(back);
            }
            state.settled.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<K, State>> {
        // Nothing panics while the lock is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq + Clone> StateStore for States<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut states = self.lock();
        let state = states.get_or_insert_mut(key.clone(), State::default);
        let (decision, paid_off) = decide(state.paid_off)?;
        state.paid_off = Some(paid_off);
        state.lent += 1;
        state.is_exhausted = false;
        Ok(decision)
    }
}

impl<K: Hash + Eq + Clone> Charge<K> {
    /// Takes the charge back, as if it had not been made.
    pub(super) fn give_back(mut self) {
        self.is_given_back = true;
    }
}

impl<K: Hash + Eq + Clone> Drop for Charge<K> {
    fn drop(&mut self) {
        let given_back = self.is_given_back.then_some(self.budgets.charge);
        self.budgets.states.settle(&self.key, given_back);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    fn budgets(failures: u32) -> Arc<Budgets<&'static str>> {
        Budgets::per_minute(NonZeroU32::new(failures).unwrap())
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(30)
    }

    #[tokio::test]
    async fn charges_stay_unless_they_are_given_back() {
        let budgets = budgets(2);
        for _ in 0..10 {
            budgets.charge(&"a", soon()).await.unwrap().give_back();
        }
        for _ in 0..2 {
            drop(budgets.charge(&"a", soon()).await.unwrap());
        }
        let wait = budgets.charge(&"a", soon()).await.err().unwrap();
        assert!(wait <= Duration::from_secs(30) && wait > Duration::from_secs(20), "{wait:?}");
        assert!(budgets.note_exhausted(&"a") && !budgets.note_exhausted(&"a"), "it is news once");
        assert!(budgets.charge(&"b", soon()).await.is_ok(), "another key");
    }

    #[tokio::test]
    async fn a_crowd_waits_for_what_is_lent_and_all_of_it_learn_what_became_of_it() {
        let budgets = budgets(3);
        let ask = async |is_good: bool| {
            let charge = budgets.charge(&"a", soon()).await;
            tokio::task::yield_now().await;
            charge
                .map(|charge| {
                    if is_good {
                        charge.give_back();
                    }
                })
                .is_ok()
        };
        let good = join_all((0..100).map(|_| ask(true))).await;
        assert!(good.into_iter().all(|admitted| admitted));
        let bad = join_all((0..100).map(|_| ask(false))).await;
        assert_eq!(bad.into_iter().filter(|admitted| *admitted).count(), 3);
    }

    #[tokio::test]
    async fn who_waits_for_a_question_that_never_ends_is_refused_in_time() {
        let budgets = budgets(1);
        let _lent = budgets.try_charge(&"a").unwrap();
        assert!(budgets.charge(&"a", Instant::now() + Duration::from_millis(1)).await.is_err());
    }

    #[test]
    fn keys_are_bounded() {
        let budgets = Budgets::per_minute(NonZeroU32::MIN);
        for key in 0..MAX_KEYS.get() * 2 {
            drop(budgets.try_charge(&key));
        }
        assert_eq!(budgets.states.lock().len(), MAX_KEYS.get());
    }
}

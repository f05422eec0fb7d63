//! A circuit breaker: an upstream that keeps failing is left alone for a while, then tried with one request.
//!
//! Many failures at one moment are no reason: they may be connections that were closed while nobody used them.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use metrics::gauge;

/// How long it has to have failed, at least.
const SUSTAINED: Duration = Duration::from_secs(1);

/// See the [module](self). One for the whole process, and without a lock: it is asked before each request.
#[derive(Debug)]
pub struct Breaker {
    /// So many failures with no success between them open it.
    limit: u32,
    pause: Duration,
    start: Instant,
    failures: AtomicU32,
    /// When the first of them was, in milliseconds since the start.
    failing_since: AtomicU64,
    /// Until when it is open, in milliseconds since the start; 0 while it is closed.
    open_until: AtomicU64,
}

impl Breaker {
    /// Returns a closed breaker that opens for `pause` after `limit` failures in a row, if they were not all at one moment.
    #[must_use]
    pub fn new(limit: u32, pause: Duration) -> Self {
        gauge!("mcp_upstream_breaker_open").set(0);
        let (failures, failing_since, open_until) = (AtomicU32::new(0), AtomicU64::new(0), AtomicU64::new(0));
        Self { limit, pause, start: Instant::now(), failures, failing_since, open_until }
    }

    /// Returns whether a request may be sent. Once the pause is over one may, as a probe; the others wait for what it
    /// shows, or for one more pause should nothing come of it.
    ///
    /// # Errors
    /// How long none may.
    pub fn admit(&self, now: Instant) -> Result<(), Duration> {
        // Relaxed throughout: no other memory depends on these numbers, and a race costs one request more or less.
        let open_until = self.open_until.load(Relaxed);
        if open_until == 0 {
            return Ok(());
        }
        let now = self.millis(now);
        let wait = || Duration::from_millis(self.open_until.load(Relaxed).saturating_sub(now));
        if now < open_until {
            return Err(wait());
        }
        // Of those who come at once, the one that moves the end of the pause is the probe. Moved first, it lets another
        // probe follow should nothing come of this one.
        self.open_until
            .compare_exchange(open_until, now + self.pause_ms(), Relaxed, Relaxed)
            .map(|_probe| ())
            .map_err(|_another_probes| wait())
    }

    /// Returns whether requests are refused just now.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open_until.load(Relaxed) != 0
    }

    /// Notes that the upstream has answered, which closes the breaker.
    pub fn succeed(&self) {
        // Only read while all is well: a write for each answer would take the cache line from all other cores.
        if self.failures.load(Relaxed) != 0 {
            self.failures.store(0, Relaxed);
        }
        if self.is_open() && self.open_until.swap(0, Relaxed) != 0 {
            gauge!("mcp_upstream_breaker_open").set(0);
            log::info!("the upstream answers again");
        }
    }

    /// Notes that the upstream has failed, which may open the breaker.
    pub fn fail(&self, now: Instant) {
        let failures = self.failures.fetch_add(1, Relaxed).saturating_add(1);
        let now = self.millis(now);
        if failures == 1 {
            self.failing_since.store(now, Relaxed);
        }
        let lasting = Duration::from_millis(now.saturating_sub(self.failing_since.load(Relaxed)));
        // A burst of calls on connections that had been closed opened it within a millisecond, so failures must last.
        // Once it is open, one failed probe is reason enough for the next pause.
        if !self.is_open() && (failures < self.limit || lasting < SUSTAINED) {
            return;
        }
        let was = self.open_until.swap(now + self.pause_ms(), Relaxed);
        if was == 0 {
            gauge!("mcp_upstream_breaker_open").set(1);
            log::error!(
                "the upstream has failed {failures} times in a row: it is left alone, and tried every {} s",
                self.pause.as_secs()
            );
        }
    }

    fn millis(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.start).as_millis()).unwrap_or(u64::MAX / 2)
    }

    fn pause_ms(&self) -> u64 {
        u64::try_from(self.pause.as_millis()).unwrap_or(u64::MAX / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(10);

    #[test]
    fn failures_in_a_row_open_it_and_a_probe_that_goes_well_closes_it() {
        let breaker = Breaker::new(3, PAUSE);
        let begin = Instant::now();
        let now = begin + SUSTAINED;
        for _ in 0..100 {
            breaker.fail(begin);
            assert_eq!(breaker.admit(begin), Ok(()), "all at one moment");
        }
        breaker.succeed();
        breaker.fail(begin);
        breaker.fail(now);
        assert_eq!(breaker.admit(now), Ok(()), "two are not enough");
        breaker.succeed();
        for _ in 0..2 {
            breaker.fail(now);
            breaker.fail(now);
            assert_eq!(breaker.admit(now), Ok(()), "not three in a row");
            breaker.succeed();
        }
        for at in [begin, now, now] {
            breaker.fail(at);
        }
        assert!(breaker.admit(now).is_err_and(|wait| wait <= PAUSE && wait > PAUSE / 2));

        let later = now + PAUSE;
        assert_eq!(breaker.admit(later), Ok(()), "the probe");
        assert!(breaker.admit(later).is_err(), "the others wait for it");
        breaker.fail(later);
        assert!(breaker.admit(later + PAUSE / 2).is_err(), "it failed");

        let again = later + PAUSE;
        assert_eq!(breaker.admit(again), Ok(()), "the next probe");
        breaker.succeed();
        assert_eq!((breaker.admit(again), breaker.is_open()), (Ok(()), false));
    }

    #[test]
    fn a_probe_of_which_nothing_is_heard_is_followed_by_another() {
        let breaker = Breaker::new(1, PAUSE);
        let begin = Instant::now();
        let now = begin + SUSTAINED;
        breaker.fail(begin);
        breaker.fail(now);
        assert_eq!(breaker.admit(now + PAUSE), Ok(()));
        assert!(breaker.admit(now + PAUSE + PAUSE / 2).is_err());
        assert_eq!(breaker.admit(now + PAUSE * 2), Ok(()));
    }
}

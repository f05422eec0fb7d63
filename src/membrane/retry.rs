//! When a read that failed is sent again, and how long after.

use std::{
    sync::atomic::{AtomicI64, Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use super::MembraneError;

/// First wait, to which up to as much is added at random. Each further one is twice the one before.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// Reads for which one may be sent again: five make 20 % of extra load.
const READS_FOR_A_RETRY: i64 = 5;

/// Retries at most before first tries have paid for any.
const RESERVE: i64 = 20;

/// Budget of retries for all workers together. Retries of every caller must not add to the trouble of the upstream.
#[derive(Debug)]
pub struct Budget(AtomicI64);

impl Default for Budget {
    fn default() -> Self {
        Self(AtomicI64::new(RESERVE * READS_FOR_A_RETRY))
    }
}

impl Budget {
    /// A read is sent for the first time.
    pub fn earn(&self) {
        if self.0.load(Relaxed) < RESERVE * READS_FOR_A_RETRY {
            self.0.fetch_add(1, Relaxed);
        }
    }

    /// Returns whether a read may be sent again.
    fn spend(&self) -> bool {
        let spend = |credit: i64| (credit >= READS_FOR_A_RETRY).then(|| credit - READS_FOR_A_RETRY);
        self.0.fetch_update(Relaxed, Relaxed, spend).is_ok()
    }
}

/// Budget and number of the tries of one read.
pub struct Retries<'a> {
    budget: &'a Budget,
    waits: ExponentialBackoff,
    max_wait: Duration,
}

impl<'a> Retries<'a> {
    /// For a read that is sent again up to `times` times, each after `max_wait` at most.
    #[must_use]
    pub fn new(budget: &'a Budget, times: usize, max_wait: Duration) -> Self {
        // Retries live on first tries: when all reads fail, they add a fifth to the load and no more.
        budget.earn();
        let waits = ExponentialBuilder::default()
            .with_min_delay(FIRST_WAIT)
            .with_max_delay(max_wait.max(FIRST_WAIT))
            .with_max_times(times)
            .with_jitter();
        Self { budget, waits: waits.build(), max_wait }
    }

    /// Returns how long to wait before the read is sent again; nothing where it is not to be.
    pub fn wait_after(&mut self, error: &MembraneError) -> Option<Duration> {
        if !error.is_passing() {
            return None;
        }
        // Jitter comes on top of the builder's maximum.
        let wait = self.waits.next()?.min(self.max_wait);
        let asked = error.retry_after().unwrap_or_default();
        // A retry before the time that it asks for would be in vain, and later clients have given up. The budget is charged
        // last, for a retry that is really sent.
        (asked <= self.max_wait && self.budget.spend()).then(|| wait.max(asked))
    }
}

/// Reads `Retry-After` at the time `now`: seconds, or a date (RFC 9110 § 10.2.3). Some gateways send fractions of seconds.
#[must_use]
pub fn read_retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    // A digit first, as `f64` would also read `inf` and `NaN`. What overflows is no time to wait either.
    if value.starts_with(|c: char| c.is_ascii_digit())
        && let Ok(seconds) = value.parse()
    {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::membrane::error::Refusal;

    const MAX: Duration = Duration::from_secs(5);

    fn refused(status: u16, retry_after: Option<u64>) -> MembraneError {
        let mut refusal = Refusal::read(status, b"");
        refusal.retry_after = retry_after.map(Duration::from_secs);
        MembraneError::Refused(refusal.into())
    }

    #[test]
    fn what_may_pass_is_tried_again_and_nothing_else() {
        let passing = [
            refused(429, None),
            refused(502, None),
            refused(503, None),
            refused(504, None),
            MembraneError::Unreachable(String::new()),
            MembraneError::Broken(String::new()),
        ];
        let lasting = [
            refused(400, None),
            refused(401, None),
            refused(500, None),
            MembraneError::Timeout { after_ms: 1 },
            MembraneError::Malformed(String::new()),
            MembraneError::EndlessList("it repeats a cursor"),
        ];
        let budget = Budget::default();
        for (errors, is_tried) in [(&passing[..], true), (&lasting[..], false)] {
            for error in errors {
                let wait = Retries::new(&budget, 2, MAX).wait_after(error);
                assert_eq!(wait.is_some(), is_tried, "{error:?}");
            }
        }
    }

    #[test]
    fn waits_grow_and_heed_what_the_upstream_asks_up_to_a_bound() {
        let budget = Budget::default();
        let mut retries = Retries::new(&budget, 2, MAX);
        let first = retries.wait_after(&refused(503, None)).unwrap();
        assert!(first >= FIRST_WAIT && first <= FIRST_WAIT * 2, "{first:?}");
        let second = retries.wait_after(&refused(503, Some(3))).unwrap();
        assert_eq!(second, Duration::from_secs(3));
        assert_eq!(retries.wait_after(&refused(503, None)), None, "that was all");

        let late = Retries::new(&budget, 2, MAX).wait_after(&refused(429, Some(6)));
        assert_eq!(late, None, "longer than anybody would wait");
    }

    #[test]
    fn the_budget_is_a_fifth_of_the_reads() {
        let budget = Budget::default();
        let retried = |reads: usize| {
            (0..reads).filter(|_| Retries::new(&budget, 1, MAX).wait_after(&refused(503, None)).is_some()).count()
        };
        retried(1000);
        assert_eq!(retried(1000), 200);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_770);
        let cases = [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("3.0", Some(3)),
            ("1e300", None),
            ("inf", None),
            ("NaN", None),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(7)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
            ("", None),
        ];
        for (value, expected) in cases {
            assert_eq!(read_retry_after(value, now), expected.map(Duration::from_secs), "{value:?}");
        }
        assert_eq!(read_retry_after("1.5", now), Some(Duration::from_millis(1500)));
    }
}

//! Number of reads that may be in flight at once: as many as the upstream takes.
//!
//! The upstream limits parallel requests by workspace and by customer, and documents no numbers. So a width begins as wide as the
//! settings allow. An answer 429, or answers that come much later than is usual, halve what was in flight; each round of answers
//! then adds one (additive increase, multiplicative decrease, as in TCP). A `Retry-After` holds back the whole workspace.
//!
//! No crate does this: `tower` has fixed limits only. The limiters of `congestion-limiter` and `throttle-net` hand out permits of
//! their own, where turns must go round the users who wait; both take each refusal of one burst for a new one, so that 24 answers
//! 429 leave a width of one; neither knows `Retry-After`. `rate_limiter_aimd` is a middleware of `reqwest`.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use lru::LruCache;

/// Answers that are compared with those before. A single slow answer says nothing.
const SAMPLE: u32 = 16;

/// Growth of the mean latency from which answers count as late: by this factor, and by this time. Less than half a second is no
/// reason to have users wait for turns.
const LATE_FACTOR: u32 = 2;
const LATE_BY: Duration = Duration::from_millis(500);

/// Weight of the usual latency against that of the last sample. Latency that stays high is the usual one after six samples, so it
/// can halve a width no more than six times.
const USUAL_WEIGHT: u32 = 7;

/// Longest pause of a workspace. The upstream does not tell whether a limit is the customer's or the workspace's: one user must
/// not hold back the others for an hour.
pub(super) const MAX_PAUSE: Duration = Duration::from_secs(60);

/// Workspaces whose widths are remembered. Those that have not read for longest are forgotten first.
const MAX_WORKSPACES: usize = 1024;

/// Reason for which a width was halved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Narrowed {
    /// The upstream has answered 429.
    Limited,
    /// The upstream answers later than usual.
    Late,
}

/// Widths of each workspace and of all reads together. See the [module](self).
#[derive(Debug)]
pub(super) struct Widths {
    max: usize,
    all: Width,
    workspaces: LruCache<String, Width>,
}

/// Width of some reads.
#[derive(Debug)]
struct Width {
    max: usize,
    most: usize,
    held: usize,
    /// Most reads in flight at once since the round began. What is halved is this: a width that was not used says nothing.
    peak: usize,
    /// Answers in this round.
    answers: usize,
    /// Time of the last halving. What becomes of reads from before it says nothing about the width since.
    halved: Option<Instant>,
    paused_until: Option<Instant>,
    /// By endpoint, which are not compared with one another: a page of actions takes longer than `/self`.
    latencies: BTreeMap<&'static str, Latency>,
}

/// Latency of one endpoint.
#[derive(Debug, Default)]
struct Latency {
    usual: Option<Duration>,
    sum: Duration,
    answers: u32,
}

impl Widths {
    /// Returns widths of `max` reads each.
    pub fn new(max: usize) -> Self {
        Self { max, all: Width::new(max), workspaces: LruCache::unbounded() }
    }

    /// Returns whether one more read may go out. `workspace` is that of a user whose token was accepted.
    pub fn allow(&self, workspace: Option<&str>) -> bool {
        let own = workspace.and_then(|workspace| self.workspaces.peek(workspace));
        self.all.allows() && own.is_none_or(Width::allows)
    }

    /// Returns how long a workspace must not be asked about.
    pub fn pause(&self, workspace: &str, now: Instant) -> Option<Duration> {
        let left = self.workspaces.peek(workspace)?.paused_until?.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// A read goes out.
    pub fn take(&mut self, workspace: Option<&str>) {
        self.all.take();
        let Some(workspace) = workspace else { return };
        if let Some(width) = self.workspaces.get_mut(workspace) {
            return width.take();
        }
        let mut width = Width::new(self.max);
        width.take();
        self.workspaces.put(workspace.to_owned(), width);
        if self.workspaces.len() > MAX_WORKSPACES {
            self.workspaces.pop_lru();
        }
    }

    /// A read has ended.
    pub fn give_back(&mut self, workspace: Option<&str>) {
        self.all.give_back();
        if let Some(width) = workspace.and_then(|workspace| self.workspaces.peek_mut(workspace)) {
            width.give_back();
        }
    }

    /// The upstream has answered a read, or has not in all its time. Returns the reason, if that has halved a width.
    pub fn answered(
        &mut self,
        workspace: Option<&str>,
        endpoint: &'static str,
        sent: Instant,
        now: Instant,
    ) -> Option<Narrowed> {
        let own = workspace.and_then(|workspace| self.workspaces.peek_mut(workspace));
        // Both take it in, so neither is left out where the other is halved.
        let is_halved = own.is_some_and(|width| width.answered(endpoint, sent, now));
        let is_halved = self.all.answered(endpoint, sent, now) || is_halved;
        is_halved.then_some(Narrowed::Late)
    }

    /// The upstream has answered 429 to a read. Only its workspace is concerned: limits are those of workspaces and customers.
    pub fn limited(&mut self, workspace: &str, sent: Instant, now: Instant) -> Option<Narrowed> {
        let is_halved = self.workspaces.peek_mut(workspace)?.halve(sent, now);
        is_halved.then_some(Narrowed::Limited)
    }

    /// The upstream asks to be left alone about a workspace. Returns for how long it is, where no longer pause was known.
    pub fn pause_for(&mut self, workspace: &str, time: Duration, now: Instant) -> Option<Duration> {
        let paused_until = &mut self.workspaces.peek_mut(workspace)?.paused_until;
        let time = time.min(MAX_PAUSE);
        if paused_until.is_some_and(|known| known >= now + time) {
            return None;
        }
        *paused_until = Some(now + time);
        Some(time)
    }
}

impl Width {
    fn new(max: usize) -> Self {
        Self {
            max,
            most: max,
            held: 0,
            peak: 0,
            answers: 0,
            halved: None,
            paused_until: None,
            latencies: BTreeMap::new(),
        }
    }

    fn allows(&self) -> bool {
        self.held < self.most
    }

    fn take(&mut self) {
        self.held += 1;
        self.peak = self.peak.max(self.held);
    }

    fn give_back(&mut self) {
        self.held = self.held.saturating_sub(1);
    }

    /// Takes an answer in; tells whether it halves the width.
    fn answered(&mut self, endpoint: &'static str, sent: Instant, now: Instant) -> bool {
        if self.halved.is_some_and(|halved| sent < halved) {
            return false;
        }
        self.answers += 1;
        if self.answers >= self.most {
            self.most = (self.most + 1).min(self.max);
            (self.answers, self.peak) = (0, self.held);
        }
        let latency = self.latencies.entry(endpoint).or_default();
        latency.has_risen(now.saturating_duration_since(sent)) && self.halve(sent, now)
    }

    /// Halves what was in flight; tells whether it was time to. A read that was sent before the last time is of the same burst.
    fn halve(&mut self, sent: Instant, now: Instant) -> bool {
        if self.halved.is_some_and(|halved| sent < halved) {
            return false;
        }
        self.most = (self.peak.min(self.most) / 2).max(1);
        (self.answers, self.peak, self.halved) = (0, self.held, Some(now));
        true
    }
}

impl Latency {
    /// Takes the latency of an answer in; tells whether the last answers came late.
    fn has_risen(&mut self, latency: Duration) -> bool {
        (self.sum, self.answers) = (self.sum + latency, self.answers + 1);
        if self.answers < SAMPLE {
            return false;
        }
        let mean = self.sum / SAMPLE;
        (self.sum, self.answers) = (Duration::ZERO, 0);
        let usual = self.usual.unwrap_or(mean);
        self.usual = Some((usual * USUAL_WEIGHT + mean) / (USUAL_WEIGHT + 1));
        mean > usual * LATE_FACTOR && mean > usual + LATE_BY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const W: Option<&str> = Some("w");
    const MS: Duration = Duration::from_millis(1);

    /// Takes as many reads as a workspace may have, and returns how many that are.
    fn take_all(widths: &mut Widths) -> usize {
        let mut taken = 0;
        while taken < 1000 && widths.allow(W) {
            widths.take(W);
            taken += 1;
        }
        taken
    }

    /// Has some reads answered after a time, one after the other; returns when the last one was, and what was halved.
    fn answer(widths: &mut Widths, count: usize, latency: Duration, mut now: Instant) -> (Instant, Option<Narrowed>) {
        let mut narrowed = None;
        for _ in 0..count {
            let sent = now;
            now += latency;
            narrowed = widths.answered(W, "actions", sent, now).or(narrowed);
        }
        (now, narrowed)
    }

    /// Widths of 256 reads, of which one workspace has 24 in flight.
    fn with_24(now: Instant) -> (Widths, Instant) {
        let mut widths = Widths::new(256);
        for _ in 0..24 {
            assert!(widths.allow(W));
            widths.take(W);
        }
        (widths, now)
    }

    fn give_back(widths: &mut Widths, count: usize) {
        for _ in 0..count {
            widths.give_back(W);
        }
    }

    #[test]
    fn a_workspace_has_all_turns_until_the_upstream_says_no() {
        let mut widths = Widths::new(256);
        assert_eq!(take_all(&mut widths), 256);
        assert!(!widths.allow(Some("another")), "that is all there are");
    }

    #[test]
    fn a_burst_of_refusals_halves_what_was_in_flight_once() {
        let (mut widths, sent) = with_24(Instant::now());
        let now = sent + MS;
        assert_eq!(widths.limited("w", sent, now), Some(Narrowed::Limited));
        for _ in 0..23 {
            give_back(&mut widths, 1);
            assert_eq!(widths.limited("w", sent, now + MS), None, "it was sent before the width was halved");
        }
        give_back(&mut widths, 1);
        assert_eq!(take_all(&mut widths), 12);
        assert!(widths.allow(Some("another")), "other workspaces have limits of their own");

        assert_eq!(widths.limited("w", now, now + MS), Some(Narrowed::Limited));
        give_back(&mut widths, 12);
        assert_eq!(take_all(&mut widths), 6);
    }

    #[test]
    fn each_round_of_answers_adds_one_until_the_width_is_whole_again() {
        let (mut widths, sent) = with_24(Instant::now());
        let now = sent + MS;
        widths.limited("w", sent, now);
        give_back(&mut widths, 24);
        for expected in 12..256 {
            assert_eq!(take_all(&mut widths), expected);
            answer(&mut widths, expected, MS, now);
            give_back(&mut widths, expected);
        }
        answer(&mut widths, 10_000, MS, now);
        assert_eq!(take_all(&mut widths), 256, "and no wider");
    }

    #[test]
    fn one_read_is_always_allowed() {
        let (mut widths, mut now) = with_24(Instant::now());
        for _ in 0..20 {
            widths.limited("w", now, now + MS);
            now += MS * 2;
        }
        give_back(&mut widths, 24);
        assert_eq!(take_all(&mut widths), 1);
        give_back(&mut widths, 1);
        answer(&mut widths, 1, MS, now);
        assert_eq!(take_all(&mut widths), 2);
    }

    #[test]
    fn answers_that_come_later_than_usual_halve_the_widths() {
        let (mut widths, now) = with_24(Instant::now());
        let (now, narrowed) = answer(&mut widths, 64, MS * 100, now);
        assert_eq!(narrowed, None);
        let (now, narrowed) = answer(&mut widths, 16, MS * 590, now);
        assert_eq!(narrowed, None, "half a second more is no reason");
        let (_, narrowed) = answer(&mut widths, 16, MS * 2000, now);
        assert_eq!(narrowed, Some(Narrowed::Late));
        give_back(&mut widths, 24);
        assert_eq!(take_all(&mut widths), 12);
        give_back(&mut widths, 12);
        for _ in 0..12 {
            widths.take(Some("another"));
        }
        assert!(!widths.allow(Some("another")), "all reads together were too many");
    }

    #[test]
    fn an_endpoint_is_compared_with_itself_alone() {
        let (mut widths, sent) = with_24(Instant::now());
        for _ in 0..64 {
            assert_eq!(widths.answered(W, "self", sent, sent + MS * 10), None);
            assert_eq!(widths.answered(W, "actions", sent, sent + MS * 5000), None);
        }
        give_back(&mut widths, 24);
        assert_eq!(take_all(&mut widths), 256);
    }

    #[test]
    fn latency_that_stays_is_usual_before_a_width_is_one() {
        let (mut widths, now) = with_24(Instant::now());
        give_back(&mut widths, 24);
        let (mut now, _) = answer(&mut widths, 16, MS, now);
        let mut halved = 0;
        for _ in 0..100 {
            let taken = take_all(&mut widths);
            let (then, narrowed) = answer(&mut widths, 16, MS * 30_000, now);
            give_back(&mut widths, taken);
            (now, halved) = (then, halved + u32::from(narrowed.is_some()));
        }
        assert!((1..=6).contains(&halved), "{halved}");
        assert!(take_all(&mut widths) > 4);
    }

    #[test]
    fn a_pause_is_for_the_whole_workspace_and_has_an_end() {
        let (mut widths, now) = with_24(Instant::now());
        assert_eq!(widths.pause_for("w", MS * 2000, now), Some(MS * 2000));
        assert_eq!(widths.pause_for("w", MS * 1000, now), None, "a shorter one changes nothing");
        assert_eq!(widths.pause("w", now + MS), Some(MS * 1999));
        assert_eq!(widths.pause("another", now), None);
        assert_eq!(widths.pause("w", now + MS * 2000), None);
        widths.pause_for("w", MAX_PAUSE * 60, now);
        assert_eq!(widths.pause("w", now), Some(MAX_PAUSE));
    }

    #[test]
    fn workspaces_without_number_are_not_remembered() {
        let (mut widths, now) = with_24(Instant::now());
        for i in 0..2 * MAX_WORKSPACES {
            let workspace = i.to_string();
            widths.take(Some(&workspace));
            widths.limited(&workspace, now, now);
            widths.give_back(Some(&workspace));
        }
        assert_eq!(widths.workspaces.len(), MAX_WORKSPACES);
        give_back(&mut widths, 24);
    }
}

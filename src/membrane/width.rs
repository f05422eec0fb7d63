//! Number of reads that may be in flight at once: as many as the upstream takes.
//!
//! The upstream limits parallel requests by workspace and by customer, and documents no numbers. So a width begins as wide as
//! there are turns. An answer 429, or answers that come much later than is usual, halve what was in flight; each round of answers
//! then adds one (additive increase, multiplicative decrease, as in TCP).
//!
//! An answer does not tell whose limit was reached. So an answer 429, and a `Retry-After`, hold back the user who got them, and the
//! whole workspace once a second user of it gets one soon after. Otherwise one user could stop a workspace at will.
//!
//! No crate does this: `tower` has fixed limits only. The limiters of `congestion-limiter` and `throttle-net` hand out permits of
//! their own, where turns must go round the users who wait; both take each refusal of one burst for a new one, so that 24 answers
//! 429 leave a width of one; neither knows `Retry-After`. `rate_limiter_aimd` is a middleware of `reqwest`.

use std::{
    collections::BTreeMap,
    hash::Hash,
    time::{Duration, Instant},
};

use lru::LruCache;

use crate::ids::UserKey;

/// Answers that are compared with those before, by their median: slow answers say nothing until half of all are slow.
const SAMPLE: usize = 16;

/// Growth of the latency from which answers count as late: by this factor, and by this time. Less than half a second is no
/// reason to have users wait for turns.
const LATE_FACTOR: u32 = 2;
const LATE_BY: Duration = Duration::from_millis(500);

/// Weight of the usual latency against that of the last sample. Latency that stays high is the usual one after six samples, so it
/// can halve a width no more than six times.
const USUAL_WEIGHT: u32 = 7;

/// Time within which two workspaces must be late for all reads together to be too many.
const LATE_TOGETHER: Duration = Duration::from_secs(30);

/// Longest pause. Two users must not hold back all others of their workspace for an hour.
pub(super) const MAX_PAUSE: Duration = Duration::from_secs(60);

/// Time within which a second user must be refused for the limit to be the workspace's; longer where the first was asked to wait
/// for longer.
const REFUSED_TOGETHER: Duration = Duration::from_secs(10);

/// Workspaces whose widths are remembered, and users. Of those without reads in flight, the ones that have not read for longest
/// are forgotten first.
const MAX_REMEMBERED: usize = 1024;

/// Reason for which a width was halved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Narrowed {
    /// The upstream has answered 429.
    Limited,
    /// The upstream answers later than usual.
    Late,
}

/// Holder of reads that the upstream holds back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    User,
    Workspace,
}

/// Consequence of an answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Answered {
    pub narrowed: Option<Narrowed>,
    /// Whether a width has grown, so that there may be room for one more read.
    pub has_grown: bool,
}

/// Consequence of a refusal.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Refused {
    pub narrowed: Option<Narrowed>,
    /// Pause that begins, where no longer one was known.
    pub pause: Option<(Scope, Duration)>,
}

/// Widths of users, of each workspace and of all reads together. See the [module](self).
#[derive(Debug)]
pub(super) struct Widths {
    max: usize,
    all: Width,
    workspaces: LruCache<String, Width>,
    /// Users whom the upstream has refused. Others have no width of their own.
    users: LruCache<UserKey, Width>,
    /// Workspace that was late last.
    late: Option<(String, Instant)>,
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
    /// User of a workspace who was refused last, with the time until which a refusal of another user is of the same limit.
    refused: Option<(UserKey, Instant)>,
    /// By endpoint, which are not compared with one another: a page of actions takes longer than `/self`.
    latencies: BTreeMap<&'static str, Latency>,
}

/// Latency of one endpoint.
#[derive(Debug, Default)]
struct Latency {
    usual: Option<Duration>,
    sample: Vec<Duration>,
}

impl Widths {
    /// Returns widths of `max` reads each.
    pub fn new(max: usize) -> Self {
        let (workspaces, users) = (LruCache::unbounded(), LruCache::unbounded());
        Self { max, all: Width::new(max), workspaces, users, late: None }
    }

    /// Returns whether one more read may go out. `user` is one whose token was accepted.
    pub fn allow(&self, user: Option<&UserKey>) -> bool {
        let of_user = |user: &UserKey| {
            let workspace = self.workspaces.peek(user.workspace());
            workspace.is_none_or(Width::allows) && self.users.peek(user).is_none_or(Width::allows)
        };
        self.all.allows() && user.is_none_or(of_user)
    }

    /// Returns how long a user must not be asked about.
    pub fn pause(&self, user: &UserKey, now: Instant) -> Option<Duration> {
        let workspace = self.workspaces.peek(user.workspace()).and_then(|width| width.pause(now));
        workspace.max(self.users.peek(user).and_then(|width| width.pause(now)))
    }

    /// A read goes out.
    pub fn take(&mut self, user: Option<&UserKey>, now: Instant) {
        self.all.take();
        let Some(user) = user else { return };
        if let Some(width) = self.users.get_mut(user) {
            width.take();
        }
        // Users whose tokens name no workspace share none.
        let workspace = user.workspace();
        if workspace.is_empty() {
            return;
        }
        if let Some(width) = self.workspaces.get_mut(workspace) {
            return width.take();
        }
        let mut width = Width::new(self.max);
        width.take();
        remember(&mut self.workspaces, workspace.to_owned(), width, now);
    }

    /// A read has ended.
    pub fn give_back(&mut self, user: Option<&UserKey>) {
        self.all.give_back();
        let Some(user) = user else { return };
        let own = self.users.peek_mut(user).into_iter();
        own.chain(self.workspaces.peek_mut(user.workspace())).for_each(Width::give_back);
    }

    /// The upstream has answered a read, or has not in all its time.
    pub fn answered(
        &mut self,
        user: Option<&UserKey>,
        endpoint: &'static str,
        sent: Instant,
        now: Instant,
    ) -> Answered {
        let mut own = user.and_then(|user| self.workspaces.peek_mut(user.workspace()));
        // Each takes the answer in, so none is left out where another has grown.
        let of_user = user.and_then(|user| self.users.peek_mut(user)).is_some_and(|width| width.answered(sent));
        let of_workspace = own.as_mut().is_some_and(|width| width.answered(sent));
        let has_grown = self.all.answered(sent) || of_workspace || of_user;
        // Reads of no known workspace have the width of all alone.
        let is_late = own.unwrap_or(&mut self.all).is_late(endpoint, sent, now);
        if is_late {
            let workspace = user.map_or("", UserKey::workspace);
            // One workspace may be slow for reasons of its own.
            let is_other =
                |(other, at): &(String, Instant)| other != workspace && now.duration_since(*at) < LATE_TOGETHER;
            if !workspace.is_empty() && self.late.as_ref().is_some_and(is_other) {
                self.all.halve(sent, now);
            }
            self.late = Some((workspace.to_owned(), now));
        }
        Answered { narrowed: is_late.then_some(Narrowed::Late), has_grown }
    }

    /// The upstream has refused a read of a user who has so many in flight: because there are too many, or with a time for which it
    /// asks to be left alone.
    pub fn refused(
        &mut self,
        user: &UserKey,
        in_flight: usize,
        (is_limit, retry_after): (bool, Option<Duration>),
        sent: Instant,
        now: Instant,
    ) -> Refused {
        if !is_limit && retry_after.is_none() {
            return Refused::default();
        }
        let time = retry_after.map(|time| time.min(MAX_PAUSE));
        if !self.users.contains(user) {
            let width = Width { held: in_flight, peak: in_flight, ..Width::new(self.max) };
            remember(&mut self.users, user.clone(), width, now);
        }
        let own = self.users.get_mut(user).map(|width| (Scope::User, width));
        let of_workspace = self.workspaces.peek_mut(user.workspace()).and_then(|width| {
            let is_second = width.refused.as_ref().is_some_and(|(first, until)| first != user && now < *until);
            width.refused = Some((user.clone(), now + time.unwrap_or_default().max(REFUSED_TOGETHER)));
            is_second.then_some((Scope::Workspace, width))
        });
        let mut refused = Refused::default();
        for (scope, width) in own.into_iter().chain(of_workspace) {
            if is_limit && width.halve(sent, now) {
                refused.narrowed = Some(Narrowed::Limited);
            }
            if let Some(time) = time.filter(|time| width.pause_for(*time, now)) {
                refused.pause = Some((scope, time));
            }
        }
        refused
    }
}

/// Remembers a width of reads in flight.
fn remember<K: Hash + Eq + Clone>(widths: &mut LruCache<K, Width>, key: K, width: Width, now: Instant) {
    widths.put(key, width);
    if widths.len() > MAX_REMEMBERED {
        // The others are as many as there are turns, and those that the upstream has asked to be left alone about.
        let idle = widths.iter().rev().find(|(_, width)| width.held == 0 && width.pause(now).is_none());
        if let Some(idle) = idle.map(|(key, _)| key.clone()) {
            widths.pop(&idle);
        }
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
            refused: None,
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

    /// Returns how long is left of its pause.
    fn pause(&self, now: Instant) -> Option<Duration> {
        let left = self.paused_until?.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// Begins a pause; returns whether no longer one was known.
    fn pause_for(&mut self, time: Duration, now: Instant) -> bool {
        let is_new = self.paused_until.is_none_or(|known| known < now + time);
        if is_new {
            self.paused_until = Some(now + time);
        }
        is_new
    }

    /// Takes an answer in; returns whether that ends a round and makes it wider.
    fn answered(&mut self, sent: Instant) -> bool {
        if self.is_of_before(sent) {
            return false;
        }
        self.answers += 1;
        if self.answers < self.most {
            return false;
        }
        (self.answers, self.peak) = (0, self.held);
        let before = self.most;
        self.most = (before + 1).min(self.max);
        self.most > before
    }

    /// Takes the latency of an answer in; returns whether that halves the width.
    fn is_late(&mut self, endpoint: &'static str, sent: Instant, now: Instant) -> bool {
        if self.is_of_before(sent) {
            return false;
        }
        let latency = self.latencies.entry(endpoint).or_default();
        latency.has_risen(now.saturating_duration_since(sent)) && self.halve(sent, now)
    }

    /// Returns whether a read was sent before the last halving.
    fn is_of_before(&self, sent: Instant) -> bool {
        self.halved.is_some_and(|halved| sent < halved)
    }

    /// Halves what was in flight; tells whether it was time to. A read that was sent before the last time is of the same burst.
    fn halve(&mut self, sent: Instant, now: Instant) -> bool {
        if self.is_of_before(sent) {
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
        self.sample.push(latency);
        if self.sample.len() < SAMPLE {
            return false;
        }
        let median = *self.sample.select_nth_unstable(SAMPLE / 2).1;
        self.sample.clear();
        let usual = self.usual.unwrap_or(median);
        self.usual = Some((usual * USUAL_WEIGHT + median) / (USUAL_WEIGHT + 1));
        median > usual * LATE_FACTOR && median > usual + LATE_BY
    }
}

#[cfg(test)]
mod tests;

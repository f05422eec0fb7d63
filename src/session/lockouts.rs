//! Addresses from which too many tokens came that were refused: by the upstream, or here as the sender's of a webhook.
//!
//! A token that is not known to be good costs a request upstream. From such an address none is made for a while; tokens
//! that are trusted go on.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    time::{Duration, Instant},
};

use actix::{Actor, Context, Handler, Message, MessageResult};
use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use lru::LruCache;

use crate::ids::ClientAddress;

/// Addresses that are remembered; the least recently refused leave first.
const MAX_ADDRESSES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(9_999);

/// Asks how long an address has to wait before its tokens are looked at again.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Option<Duration>")]
pub struct IsLockedOut(pub ClientAddress);

/// A token from this address was refused.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct HasFailed(pub ClientAddress);

/// See the [module](self).
pub struct Lockouts {
    max_per_min: NonZeroU32,
    failures: LruCache<ClientAddress, Failures>,
}

struct Failures {
    limiter: DefaultDirectRateLimiter,
    locked_until: Option<Instant>,
}

impl Lockouts {
    /// Lockouts of addresses from which more than so many tokens were refused in a minute.
    #[must_use]
    pub fn new(max_per_min: NonZeroU32) -> Self {
        Self { max_per_min, failures: LruCache::new(MAX_ADDRESSES) }
    }

    fn wait(&self, address: ClientAddress, now: Instant) -> Option<Duration> {
        let until = self.failures.peek(&address)?.locked_until?;
        until.checked_duration_since(now).filter(|wait| !wait.is_zero())
    }

    fn note(&mut self, address: ClientAddress, now: Instant) {
        let quota = Quota::per_minute(self.max_per_min);
        let failures = self
            .failures
            .get_or_insert_mut(address, || Failures { limiter: RateLimiter::direct(quota), locked_until: None });
        if let Err(not_until) = failures.limiter.check() {
            let wait = not_until.wait_time_from(DefaultClock::default().now());
            failures.locked_until = Some(now + wait);
            metrics::counter!("mcp_limited_total", "limit" => "failed_authentications").increment(1);
            log::warn!(address:%; "too many tokens from there were refused: new ones wait for {} s", wait.as_secs() + 1);
        }
    }
}

impl Actor for Lockouts {
    type Context = Context<Self>;
}

impl Handler<IsLockedOut> for Lockouts {
    type Result = MessageResult<IsLockedOut>;

    fn handle(&mut self, IsLockedOut(address): IsLockedOut, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.wait(address, Instant::now()))
    }
}

impl Handler<HasFailed> for Lockouts {
    type Result = ();

    fn handle(&mut self, HasFailed(address): HasFailed, _: &mut Context<Self>) {
        self.note(address, Instant::now());
    }
}

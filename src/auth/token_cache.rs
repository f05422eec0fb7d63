//! Tokens that a worker has lately been told are good, so that not every request has to ask the shard that knows.

use std::{cell::RefCell, num::NonZeroUsize, time::Instant};

use lru::LruCache;

use crate::{membrane::Caller, secret::Fingerprint};

/// Tokens remembered; those not used for longest leave first, and are asked about again.
const MAX_TOKENS: usize = 1024;

/// Tokens that this worker was told are good. See the [module](self).
pub struct TokenCache(RefCell<LruCache<Fingerprint, Known>>);

struct Known {
    caller: Caller,
    /// Revocation counter from before the question; the entry is stale once the counter has moved.
    revoked: u64,
}

impl Default for TokenCache {
    fn default() -> Self {
        Self(RefCell::new(LruCache::new(NonZeroUsize::new(MAX_TOKENS).unwrap_or(NonZeroUsize::MIN))))
    }
}

impl TokenCache {
    /// Returns the caller of a token that is remembered, as long as that still counts. `revoked` is the number of
    /// revocations by now.
    pub(super) fn caller(&self, token: Fingerprint, revoked: u64, now: Instant) -> Option<Caller> {
        let mut known = self.0.borrow_mut();
        let found = known.get(&token)?;
        if found.revoked == revoked && found.caller.trusted_until() > now {
            return Some(found.caller.clone());
        }
        known.pop(&token);
        None
    }

    /// Remembers the caller of a token. `revoked` is the number of revocations from before the question.
    pub(super) fn remember(&self, token: Fingerprint, caller: &Caller, revoked: u64) {
        self.0.borrow_mut().put(token, Known { caller: caller.clone(), revoked });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::membrane::trust::tests::ann;

    #[test]
    fn what_is_remembered_ends_with_the_trust_in_it_and_with_that_in_any_token() {
        let now = Instant::now();
        let caller = ann("pat-x", now, Duration::from_secs(10));
        let print = caller.token().fingerprint();

        let cache = TokenCache::default();
        let is_known = |ended, after| cache.caller(print, ended, now + Duration::from_secs(after)).is_some();
        assert!(!is_known(0, 0));
        cache.remember(print, &caller, 0);
        assert!(is_known(0, 9));
        assert!(!is_known(0, 10), "its time is over");
        cache.remember(print, &caller, 0);
        assert!(!is_known(1, 0), "some trust has ended");
        assert!(!is_known(0, 0), "and it is forgotten");
    }
}

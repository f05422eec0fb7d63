//! Tokens that the upstream has accepted, each with its user.

use std::{
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant},
};

use lru::LruCache;

use crate::{
    ids::UserKey,
    secret::Fingerprint,
    token::AccessToken,
    trace,
    user_limits::{LimitsOfUsers, UserLimits},
};

/// A user whose token the upstream has accepted. Only authentication makes one, so whoever holds it may act for the user.
#[derive(Debug, Clone)]
pub struct Caller {
    trusted: Arc<Trusted>,
    trace: trace::Context,
}

#[derive(Debug)]
struct Trusted {
    user: UserKey,
    token: AccessToken,
    user_limits: Arc<UserLimits>,
    until: Instant,
}

impl Caller {
    /// Returns the user that the caller is.
    #[must_use]
    pub fn user(&self) -> &UserKey {
        &self.trusted.user
    }

    /// Returns the token to act with.
    #[must_use]
    pub fn token(&self) -> &AccessToken {
        &self.trusted.token
    }

    /// Returns the limits of the caller's user.
    #[must_use]
    pub fn user_limits(&self) -> &Arc<UserLimits> {
        &self.trusted.user_limits
    }

    /// Returns when their token has to be shown to the upstream again.
    #[must_use]
    pub fn trusted_until(&self) -> Instant {
        self.trusted.until
    }

    /// Returns the trace in which the caller asks.
    #[must_use]
    pub fn trace(&self) -> trace::Context {
        self.trace.clone()
    }

    /// Returns the same, asking in another trace.
    #[must_use]
    pub fn within(self, trace: trace::Context) -> Self {
        Self { trace, ..self }
    }
}

/// Tokens that were accepted, by their fingerprints.
#[derive(Debug)]
pub struct VerifiedTokens {
    accepted: LruCache<Fingerprint, Accepted>,
    ttl: Duration,
    limits_of_users: LimitsOfUsers,
}

#[derive(Debug)]
struct Accepted {
    user: UserKey,
    user_limits: Arc<UserLimits>,
    until: Instant,
}

impl VerifiedTokens {
    /// Trust that lasts for `ttl`, in at most `max` tokens.
    #[must_use]
    pub fn new(ttl: Duration, max: usize, limits_of_users: LimitsOfUsers) -> Self {
        let max = NonZeroUsize::new(max).unwrap_or(NonZeroUsize::MIN);
        Self { accepted: LruCache::new(max), ttl, limits_of_users }
    }

    /// Returns the caller of a token, if it is trusted. Expiry is checked where a token is read, at each request.
    pub fn caller(&mut self, token: &AccessToken, now: Instant) -> Option<Caller> {
        // An expired token stays: that it was accepted before tells it from a guess.
        let Accepted { user, user_limits, until } = self.accepted.get(&token.fingerprint())?;
        (*until > now).then(|| {
            let (user, token, user_limits) = (user.clone(), token.clone(), Arc::clone(user_limits));
            let trusted = Arc::new(Trusted { user, token, user_limits, until: *until });
            Caller { trusted, trace: trace::Context::default() }
        })
    }

    /// Returns whether a token was accepted before, and not refused since.
    #[must_use]
    pub fn was_accepted(&self, token: Fingerprint) -> bool {
        self.accepted.contains(&token)
    }

    /// Returns whether any token of a user was accepted of late.
    #[must_use]
    pub fn knows(&self, user: &UserKey) -> bool {
        self.limits_of_users.knows(user)
    }

    /// Remembers that the upstream accepted a token for a user.
    pub fn accept(&mut self, token: Fingerprint, user: UserKey, now: Instant) {
        // Limits live as long as something holds them: so the user's count on between requests, and the user is known to have been
        // here of late.
        let (until, user_limits) = (now + self.ttl, self.limits_of_users.of(&user));
        self.accepted.put(token, Accepted { user, user_limits, until });
    }

    /// Forgets a token that was refused.
    pub fn revoke(&mut self, token: Fingerprint) {
        self.accepted.pop(&token);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{num::NonZeroU32, time::SystemTime};

    use super::*;
    use crate::user_limits::LimitSettings;

    /// Ann of the workspace w, whose token is trusted from now on for so long.
    pub(crate) fn ann(token: &str, now: Instant, ttl: Duration) -> Caller {
        let allowed =
            LimitSettings { calls_per_s: NonZeroU32::MIN, calls_at_once: 1, streams: 1, sessions: 1, all_sessions: 1 };
        let mut trust = VerifiedTokens::new(ttl, 1, LimitsOfUsers::new(allowed, None));
        let token = AccessToken::parse(token, SystemTime::now()).unwrap();
        trust.accept(token.fingerprint(), UserKey::new("w", "ann"), now);
        trust.caller(&token, now).unwrap()
    }

    #[test]
    fn trust_ends_by_time_by_revocation_and_by_number() {
        let tokens = ["a", "b", "c"].map(|text| AccessToken::parse(text, SystemTime::now()).unwrap());
        let [a, b, c] = &tokens;
        let print = |token: &AccessToken| token.fingerprint();
        let ann = UserKey::new("w", "ann");
        let start = Instant::now();
        let allowed =
            LimitSettings { calls_per_s: NonZeroU32::MIN, calls_at_once: 1, streams: 1, sessions: 1, all_sessions: 1 };
        let mut trust = VerifiedTokens::new(Duration::from_secs(10), 2, LimitsOfUsers::new(allowed, None));
        let user =
            |trust: &mut VerifiedTokens, token, now| trust.caller(token, now).map(|caller| caller.user().clone());
        assert_eq!(user(&mut trust, a, start), None);

        trust.accept(print(a), ann.clone(), start);
        assert_eq!(user(&mut trust, a, start + Duration::from_secs(9)), Some(ann.clone()));
        assert_eq!(user(&mut trust, a, start + Duration::from_secs(10)), None);
        assert!(trust.was_accepted(print(a)) && trust.knows(&ann) && !trust.was_accepted(print(b)));

        trust.accept(print(a), ann.clone(), start);
        trust.revoke(print(a));
        assert_eq!(user(&mut trust, a, start), None);
        assert!(!trust.was_accepted(print(a)) && !trust.knows(&ann));

        for token in [a, b, c] {
            trust.accept(print(token), ann.clone(), start);
        }
        assert_eq!(user(&mut trust, a, start), None, "the least used has left");
        assert_eq!(user(&mut trust, c, start), Some(ann));
    }
}

//! Which tokens the upstream has accepted, and for whom.

use std::{
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use lru::LruCache;

use crate::{ids::UserKey, secret::Fingerprint, token::AccessToken};

/// A user whose token the upstream has accepted. Only authentication makes one, so whoever holds it may act for the user.
#[derive(Debug, Clone)]
pub struct Caller {
    user: UserKey,
    token: AccessToken,
}

impl Caller {
    pub(super) fn new(user: UserKey, token: AccessToken) -> Self {
        Self { user, token }
    }

    /// Who it is.
    #[must_use]
    pub fn user(&self) -> &UserKey {
        &self.user
    }

    /// The token to act with.
    #[must_use]
    pub fn token(&self) -> &AccessToken {
        &self.token
    }
}

/// The accepted tokens, by fingerprint.
#[derive(Debug)]
pub struct Trust {
    accepted: LruCache<Fingerprint, Accepted>,
    lasting: Duration,
}

#[derive(Debug)]
struct Accepted {
    user: UserKey,
    until: Instant,
}

impl Trust {
    /// Trust that lasts for `lasting`, in at most `max` tokens.
    #[must_use]
    pub fn new(lasting: Duration, max: usize) -> Self {
        Self { accepted: LruCache::new(NonZeroUsize::new(max).unwrap_or(NonZeroUsize::MIN)), lasting }
    }

    /// The user of a trusted token. That the token has not expired is seen to where it is read, at each request.
    pub fn user(&mut self, token: Fingerprint, now: Instant) -> Option<UserKey> {
        let accepted = self.accepted.get(&token)?;
        if accepted.until > now {
            return Some(accepted.user.clone());
        }
        self.accepted.pop(&token);
        None
    }

    /// Remembers that the upstream accepted a token for a user.
    pub fn accept(&mut self, token: Fingerprint, user: UserKey, now: Instant) {
        let until = now + self.lasting;
        self.accepted.put(token, Accepted { user, until });
    }

    /// Forgets a token.
    pub fn revoke(&mut self, token: Fingerprint) {
        self.accepted.pop(&token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn trust_ends_by_time_by_revocation_and_by_number() {
        let [a, b, c] = ["a", "b", "c"].map(|text| Secret::new(text).fingerprint());
        let ann = UserKey::new("w", "ann");
        let start = Instant::now();
        let mut trust = Trust::new(Duration::from_secs(10), 2);
        assert_eq!(trust.user(a, start), None);

        trust.accept(a, ann.clone(), start);
        assert_eq!(trust.user(a, start + Duration::from_secs(9)), Some(ann.clone()));
        assert_eq!(trust.user(a, start + Duration::from_secs(10)), None);

        trust.accept(a, ann.clone(), start);
        trust.revoke(a);
        assert_eq!(trust.user(a, start), None);

        for token in [a, b, c] {
            trust.accept(token, ann.clone(), start);
        }
        assert_eq!(trust.user(a, start), None, "the least used has left");
        assert_eq!(trust.user(c, start), Some(ann));
    }
}

//! Streams end with the tokens that they are listened to with.
//!
//! A stream outlives the request that opened it, so nothing checks its token again. Instead each request of a session shows a
//! token, and the session's streams last until the latest end of those: tokens rotate while a stream stays open.

use std::time::SystemTime;

use crate::{ids::UserKey, membrane::Caller, secret::Fingerprint, token::AccessToken};

/// User on whose behalf a session is reached, and the token that was shown for it; none where the server itself asks.
#[derive(Debug, Clone)]
pub struct By {
    /// User on whose behalf the session is reached.
    pub user: UserKey,
    /// Token that the request showed, where a request is behind it.
    pub token: Option<ShownToken>,
}

impl From<UserKey> for By {
    fn from(user: UserKey) -> Self {
        Self { user, token: None }
    }
}

impl From<&Caller> for By {
    fn from(caller: &Caller) -> Self {
        Self { user: caller.user().clone(), token: Some(ShownToken::from(caller.token())) }
    }
}

/// Trace of a token that a session was reached with: its fingerprint and its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShownToken {
    fingerprint: Fingerprint,
    /// Its `exp`; none for an opaque token, and for a JWT without one.
    ends: Option<SystemTime>,
}

impl From<&AccessToken> for ShownToken {
    fn from(token: &AccessToken) -> Self {
        Self { fingerprint: token.fingerprint(), ends: token.ends() }
    }
}

impl ShownToken {
    /// Takes the token that lasts longer.
    fn renew(&mut self, other: Self) {
        // A token without an end outlasts all others. Streams that it was shown for end by its revocation alone.
        if let (Some(ends), newer) = (self.ends, other.ends)
            && newer.is_none_or(|newer| newer > ends)
        {
            *self = other;
        }
    }

    /// Returns whether the token's time is over.
    fn has_ended(&self, now: SystemTime) -> bool {
        self.ends.is_some_and(|ends| ends <= now)
    }
}

/// Longest-lasting token that was shown for something which has streams; none before the first, and after its end.
#[derive(Debug, Default)]
pub(super) struct Shown(Option<ShownToken>);

impl Shown {
    /// Notes that a token was shown, which the upstream has accepted.
    pub(super) fn note(&mut self, token: Option<ShownToken>) {
        match (&mut self.0, token) {
            (Some(known), Some(token)) => known.renew(token),
            (known @ None, Some(token)) => *known = Some(token),
            (_, None) => {}
        }
    }

    /// Returns whether the token is no longer good; only once for each.
    pub(super) fn is_over(&mut self, now: SystemTime) -> bool {
        // Taken, so that streams are closed once. The next request shows another token.
        self.0.take_if(|token| token.has_ended(now)).is_some()
    }

    /// Returns whether it is this token, in which the trust has ended.
    pub(super) fn is_revoked(&mut self, revoked: Fingerprint) -> bool {
        // Another token than the one that counts may be revoked: the streams last by the better one.
        self.0.take_if(|token| token.fingerprint == revoked).is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn token(name: &str, ends: Option<u64>) -> ShownToken {
        let ends = ends.map(|s| UNIX_EPOCH + Duration::from_secs(s));
        ShownToken { fingerprint: Fingerprint::of(name), ends }
    }

    #[test]
    fn streams_last_as_long_as_the_longest_token_that_was_shown() {
        let at = |s| UNIX_EPOCH + Duration::from_secs(s);
        let cases: [(&[ShownToken], Option<u64>); 5] = [
            (&[], None),
            (&[token("a", Some(10))], Some(10)),
            (&[token("a", Some(10)), token("b", Some(30)), token("a", Some(10))], Some(30)),
            (&[token("a", Some(10)), token("pat-b", None)], None),
            (&[token("pat-b", None), token("a", Some(10))], None),
        ];
        for (tokens, end) in cases {
            let mut shown = Shown::default();
            for shown_token in tokens {
                shown.note(Some(*shown_token));
                shown.note(None);
            }
            assert!(!shown.is_over(at(end.unwrap_or(1_000_000) - 1)), "{tokens:?}");
            assert_eq!(shown.is_over(at(1_000_000)), end.is_some(), "{tokens:?}");
            assert!(!shown.is_over(at(1_000_000)), "only once");
        }
    }

    #[test]
    fn only_the_token_that_counts_ends_streams_when_it_is_revoked() {
        let mut shown = Shown::default();
        shown.note(Some(token("a", Some(10))));
        shown.note(Some(token("b", Some(20))));
        assert!(!shown.is_revoked(Fingerprint::of("a")));
        assert!(shown.is_revoked(Fingerprint::of("b")));
        assert!(!shown.is_revoked(Fingerprint::of("b")), "only once");
        shown.note(Some(token("c", Some(5))));
        assert!(shown.is_over(UNIX_EPOCH + Duration::from_secs(5)), "another counts from then on");
    }
}

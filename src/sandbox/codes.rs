//! Codes that the sandbox's authorization server gives out.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// How long a code is good: the longest that OAuth recommends (RFC 6749 § 4.1.2).
const CODE_LIFE: Duration = Duration::from_secs(600);

/// Codes that may wait to be redeemed. Anybody may ask for one, so those beyond are refused until some have ended.
const MAX_CODES: usize = 10_000;

/// The challenges of the codes that have been given out, and when.
#[derive(Debug, Default)]
pub struct Codes(Mutex<HashMap<String, (String, Instant)>>);

impl Codes {
    /// Draws a code, unless too many are waiting.
    pub(super) fn give_out(&self, challenge: String, now: Instant) -> Option<String> {
        let mut codes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if codes.len() >= MAX_CODES {
            codes.retain(|_, (_, since)| is_good(*since, now));
        }
        if codes.len() >= MAX_CODES {
            return None;
        }
        let code = Uuid::new_v4().to_string();
        codes.insert(code.clone(), (challenge, now));
        Some(code)
    }

    /// Takes a code, which is good once and not for long.
    pub(super) fn redeem(&self, code: &str, verifier: &str, now: Instant) -> bool {
        let given_out = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(code);
        given_out.is_some_and(|(challenge, since)| {
            is_good(since, now) && challenge == URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
        })
    }
}

fn is_good(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) < CODE_LIFE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_good_once_and_for_ten_minutes() {
        let (codes, start) = (Codes::default(), Instant::now());
        let challenge = || URL_SAFE_NO_PAD.encode(Sha256::digest("verifier"));
        let give_out = || codes.give_out(challenge(), start).unwrap();
        let code = give_out();
        assert!(!codes.redeem("another", "verifier", start));
        assert!(codes.redeem(&code, "verifier", start + Duration::from_secs(599)));
        assert!(!codes.redeem(&code, "verifier", start), "once");
        assert!(!codes.redeem(&give_out(), "verifier", start + CODE_LIFE), "its time is over");
        let code = give_out();
        assert!(!codes.redeem(&code, "wrong", start) && !codes.redeem(&code, "verifier", start), "one guess");
    }

    #[test]
    fn codes_that_nobody_redeems_do_not_pile_up() {
        let (codes, start) = (Codes::default(), Instant::now());
        for _ in 0..MAX_CODES {
            assert!(codes.give_out(String::new(), start).is_some());
        }
        assert!(codes.give_out(String::new(), start).is_none());
        assert!(codes.give_out(String::new(), start + CODE_LIFE).is_some());
        assert_eq!(codes.0.lock().unwrap().len(), 1);
    }
}

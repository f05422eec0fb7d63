//! Catalogs that a worker has lately been given and may give out itself, so that not every request has to ask the shard that
//! has them.

use std::{
    cell::RefCell,
    num::NonZeroUsize,
    sync::{Arc, Weak},
    time::Instant,
};

use lru::LruCache;

use crate::{
    membrane::{Apps, Caller, Catalog, Loaded},
    secret::Fingerprint,
};

/// Leases remembered; those not used for longest leave first, and are asked for again.
const MAX_LEASES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1023);

/// See the [module](self). They are remembered by token and not by user, so that the shard that loads catalogs sees each new
/// token, with which it may have to load in the background.
pub struct Leases(RefCell<LruCache<(Fingerprint, Apps), Weak<Loaded>>>);

impl Default for Leases {
    fn default() -> Self {
        Self(RefCell::new(LruCache::new(MAX_LEASES)))
    }
}

impl Leases {
    /// Returns the tools of a caller, as long as they are fresh and where they were loaded has not let go of them.
    pub(super) fn catalog(&self, caller: &Caller, apps: &Apps, now: Instant) -> Option<Arc<Catalog>> {
        let mut leases = self.0.borrow_mut();
        let key = (caller.token().fingerprint(), apps.clone());
        let loaded = leases.get(&key)?.upgrade().filter(|loaded| loaded.is_fresh(now));
        if loaded.is_none() {
            leases.pop(&key);
        }
        loaded.map(|loaded| Arc::clone(loaded.catalog()))
    }

    /// Remembers what was given to a caller.
    pub(super) fn remember(&self, caller: &Caller, apps: Apps, loaded: &Arc<Loaded>, now: Instant) {
        if loaded.is_fresh(now) {
            self.0.borrow_mut().put((caller.token().fingerprint(), apps), Arc::downgrade(loaded));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::membrane::trust::tests::ann;

    #[test]
    fn a_catalog_is_given_out_as_long_as_it_is_fresh_and_there_and_to_the_same_token() {
        let now = Instant::now();
        let [one, another] = ["pat-1", "pat-2"].map(|token| ann(token, now, Duration::from_secs(100)));
        let (apps, some) = (Apps::default(), Apps::parse(["slack"]));
        let until = now + Duration::from_secs(10);
        let loaded = Arc::new(Loaded::new(Arc::default(), now, until));

        let leases = Leases::default();
        let has = |caller, apps, at| leases.catalog(caller, apps, at).is_some();
        leases.remember(&one, apps.clone(), &loaded, until);
        assert!(!has(&one, &apps, now), "it was not fresh any more");
        leases.remember(&one, apps.clone(), &loaded, now);
        assert!(has(&one, &apps, now));
        assert!(!has(&one, &some, now), "other apps");
        assert!(!has(&another, &apps, now), "the shard that loads has to see each token");
        assert!(!has(&one, &apps, until), "its time is over");
        leases.remember(&one, apps.clone(), &loaded, now);
        drop(loaded);
        assert!(!has(&one, &apps, now), "it has been replaced");
    }
}

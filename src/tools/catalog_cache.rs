//! Catalogs that a worker has lately been given and may serve itself, so that not every request has to ask the worker that
//! loads them.

use std::{
    cell::RefCell,
    num::NonZeroUsize,
    sync::{Arc, Weak},
    time::Instant,
};

use lru::LruCache;

use super::{filter::Permits, view::Scope};
use crate::{
    ids::UserKey,
    membrane::{Apps, CachedCatalog, Caller, Catalog},
    protocol::tools::ToolFilter,
    secret::Fingerprint,
};

/// Catalogs remembered; those not used for longest leave first, and are asked for again.
const MAX_CATALOGS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1023);

/// Filtered catalogs remembered. Each may hold a listing of its own, so they are few; making one takes milliseconds.
const MAX_FILTERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);

/// Catalogs by token and apps. See the [module](self).
///
/// The key is the token and not the user, so that the worker that loads catalogs sees each new token, with which it may have to
/// load in the background. The references are weak: the loader drops its own on replacement, invalidation and eviction, which
/// ends what is remembered here at once, on every thread, without a message.
pub struct CatalogCache {
    whole: RefCell<LruCache<(Fingerprint, Apps), Weak<CachedCatalog>>>,
    /// Catalogs as filters let them be seen, with those that they were made of.
    filtered: RefCell<LruCache<(UserKey, Apps, Arc<ToolFilter>), (Weak<Catalog>, Arc<Catalog>)>>,
}

impl Default for CatalogCache {
    fn default() -> Self {
        Self { whole: RefCell::new(LruCache::new(MAX_CATALOGS)), filtered: RefCell::new(LruCache::new(MAX_FILTERED)) }
    }
}

impl CatalogCache {
    /// Returns the tools of a caller, as long as they are fresh and their loader still holds them.
    pub(super) fn catalog(&self, caller: &Caller, apps: &Apps, now: Instant) -> Option<Arc<Catalog>> {
        let mut known = self.whole.borrow_mut();
        let key = (caller.token().fingerprint(), apps.clone());
        let loaded = known.get(&key)?.upgrade().filter(|loaded| loaded.is_fresh(now));
        if loaded.is_none() {
            known.pop(&key);
        }
        loaded.map(|loaded| Arc::clone(loaded.catalog()))
    }

    /// Remembers what was given to a caller.
    pub(super) fn remember(&self, caller: &Caller, apps: Apps, loaded: &Arc<CachedCatalog>, now: Instant) {
        if loaded.is_fresh(now) {
            self.whole.borrow_mut().put((caller.token().fingerprint(), apps), Arc::downgrade(loaded));
        }
    }

    /// Returns the part of a catalog that a filter lets a user see.
    pub(super) fn filtered(&self, user: &UserKey, scope: &Scope, whole: Arc<Catalog>) -> Arc<Catalog> {
        if scope.filter.permits_all() {
            return whole;
        }
        let key = (user.clone(), scope.apps.clone(), Arc::clone(&scope.filter));
        let mut known = self.filtered.borrow_mut();
        if let Some((of, filtered)) = known.get(&key)
            && of.as_ptr() == Arc::as_ptr(&whole)
        {
            return Arc::clone(filtered);
        }
        let permits = Permits::new(&scope.filter);
        let filtered = Arc::new(whole.only(|tool| permits.permit(tool)));
        known.put(key, (Arc::downgrade(&whole), Arc::clone(&filtered)));
        filtered
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
        let loaded = Arc::new(CachedCatalog::new(Arc::default(), now, until));

        let cache = CatalogCache::default();
        let has = |caller, apps, at| cache.catalog(caller, apps, at).is_some();
        cache.remember(&one, apps.clone(), &loaded, until);
        assert!(!has(&one, &apps, now), "it was not fresh any more");
        cache.remember(&one, apps.clone(), &loaded, now);
        assert!(has(&one, &apps, now));
        assert!(!has(&one, &some, now), "other apps");
        assert!(!has(&another, &apps, now), "the worker that loads has to see each token");
        assert!(!has(&one, &apps, until), "its time is over");
        cache.remember(&one, apps.clone(), &loaded, now);
        drop(loaded);
        assert!(!has(&one, &apps, now), "it has been replaced");
    }
}

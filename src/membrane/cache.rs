//! Catalogs that were loaded, and loads that failed, for as long as they count.
//!
//! It belongs to one actor, so it needs no lock, and it must tell fresh from stale and give the old value to the load that
//! replaces it; that is why it is a plain map in order of use rather than a concurrent cache such as `moka`.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use lru::LruCache;
use metrics::gauge;

use super::{
    Apps, Catalog, MembraneError,
    app_tools::{AppTools, Content},
    shared::SharingSwitch,
};
use crate::{config::Settings, ids::UserKey, token::AccessToken, workers::hash};

/// User and apps that a catalog is for.
pub type CatalogKey = (UserKey, Apps);

/// Part of the time for which catalogs are fresh over which they are spread, and the number of steps in it.
const SPREAD: u32 = 5;
const SPREADS: u32 = 256;

/// Bytes of an entry beside its tools, about.
const BYTES_PER_ENTRY: usize = 1024;

/// Catalogs of one worker's users, bounded in bytes. See the [module](self).
pub struct CatalogCache {
    entries: LruCache<CatalogKey, CacheEntry>,
    /// How many entries hold which tools.
    holders: HashMap<Content, usize>,
    bytes: usize,
    max_bytes: usize,
    fresh: Duration,
    stale: Duration,
    negative: Duration,
    sharing: SharingSwitch,
}

#[derive(Default)]
struct CacheEntry {
    loaded: Option<Arc<CachedCatalog>>,
    failed: Option<(MembraneError, Instant)>,
    /// The token with which it was last asked for.
    token: Option<AccessToken>,
}

/// A catalog as it was loaded.
///
/// A holder of a weak reference may serve it without asking the cache while it [is fresh](CachedCatalog::is_fresh). The cache drops
/// its own reference on replacement, invalidation and eviction, which ends all others.
#[derive(Debug)]
pub struct CachedCatalog {
    catalog: Arc<Catalog>,
    at: Instant,
    fresh_until: Instant,
    /// Something is known to have changed since.
    is_outdated: bool,
    /// Sharing of lists, on which it depends where other users have read some of it.
    lender: Option<SharingSwitch>,
}

impl CachedCatalog {
    /// Returns a catalog that was loaded `at` this time.
    #[must_use]
    pub fn new(catalog: Arc<Catalog>, at: Instant, fresh_until: Instant) -> Self {
        Self { catalog, at, fresh_until, is_outdated: false, lender: None }
    }

    /// Returns the catalog that was loaded.
    #[must_use]
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// Returns whether it counts as it is.
    #[must_use]
    pub fn is_fresh(&self, now: Instant) -> bool {
        !self.is_outdated && !self.is_withdrawn() && now < self.fresh_until
    }

    /// Returns whether it holds what other users have read, although that is not to be shared any more. Then it is not served at
    /// all, however fresh it is.
    #[must_use]
    pub fn is_withdrawn(&self) -> bool {
        self.lender.as_ref().is_some_and(|sharing| !sharing.is_on())
    }
}

/// Result of looking a catalog up.
#[derive(Debug)]
pub enum CacheState {
    /// Catalog that counts as it is.
    Fresh(Arc<CachedCatalog>),
    /// The catalog as it was; time to load it anew.
    Stale(Arc<CachedCatalog>),
    /// The catalog as it was; loading it anew has failed just now.
    StaleAfterFailure(Arc<CachedCatalog>),
    /// No catalog, and loading it has failed just now.
    Failed(MembraneError),
    /// No catalog that counts, and no reason not to load it.
    Missing,
}

impl CatalogCache {
    /// Returns an empty cache with the bounds of these settings and constants, of catalogs that depend on `sharing` where tools are lent.
    #[must_use]
    pub fn new(settings: &Settings, sharing: SharingSwitch) -> Self {
        Self {
            entries: LruCache::unbounded(),
            holders: HashMap::new(),
            bytes: 0,
            max_bytes: settings.catalog.max_bytes.get(),
            fresh: settings.catalog.fresh,
            stale: settings.tuning.catalog_stale,
            negative: settings.tuning.catalog_negative,
            sharing,
        }
    }

    /// Looks a catalog up for a use of it.
    pub fn find(&mut self, key: &CatalogKey, now: Instant) -> CacheState {
        self.entries.promote(key);
        let Some(entry) = self.entries.peek(key) else { return CacheState::Missing };
        let is_kept =
            |loaded: &&Arc<CachedCatalog>| now.duration_since(loaded.at) < self.stale && !loaded.is_withdrawn();
        let loaded = entry.loaded.as_ref().filter(is_kept);
        let failed = entry.failed.as_ref().filter(|(_, at)| now.duration_since(*at) < self.negative);
        match (loaded, failed) {
            (Some(loaded), _) if loaded.is_fresh(now) => CacheState::Fresh(Arc::clone(loaded)),
            // An outdated catalog serves here, too: while loads fail, old tools are better than none.
            (Some(loaded), Some(_)) => CacheState::StaleAfterFailure(Arc::clone(loaded)),
            (None, Some((error, _))) => CacheState::Failed(error.clone()),
            (Some(loaded), None) if !loaded.is_outdated => CacheState::Stale(Arc::clone(loaded)),
            // An outdated catalog is known to be wrong, so its caller waits for the next.
            _ => CacheState::Missing,
        }
    }

    /// Returns a catalog that was loaded just now.
    pub fn loaded(&self, key: &CatalogKey, catalog: Arc<Catalog>, now: Instant) -> Arc<CachedCatalog> {
        // A partial catalog is loaded again soon. A whole one is as old as its oldest part, which an earlier, partial
        // load may have brought.
        let fresh_until = match catalog.is_partial() {
            true => now + self.negative,
            false => catalog.since().unwrap_or(now) + self.fresh_for(key),
        };
        let lender = catalog.is_lent().then(|| self.sharing.clone());
        Arc::new(CachedCatalog { lender, ..CachedCatalog::new(catalog, now, fresh_until) })
    }

    /// Returns how long a catalog is fresh: less for some users than for others. Those whose catalogs were loaded together, as
    /// after a restart, would be due together again and again. By the user and not by chance, so that tests can tell.
    fn fresh_for(&self, key: &CatalogKey) -> Duration {
        let part = u32::try_from(hash(key) % u64::from(SPREADS)).unwrap_or(0);
        self.fresh.saturating_sub(self.fresh / SPREAD / SPREADS * part)
    }

    /// Returns a catalog that was kept since before this process started: it is served while it is loaded anew, or can't be.
    pub fn thawed(&self, catalog: Arc<Catalog>, now: Instant) -> Arc<CachedCatalog> {
        let lender = catalog.is_lent().then(|| self.sharing.clone());
        Arc::new(CachedCatalog { lender, ..CachedCatalog::new(catalog, now, now) })
    }

    /// Returns the catalog as it is known, fresh or stale, for a look that is no use of it.
    pub fn peek(&self, key: &CatalogKey, now: Instant) -> Option<Arc<Catalog>> {
        let loaded = self.entries.peek(key)?.loaded.as_ref()?;
        let is_kept = now.duration_since(loaded.at) < self.stale && !loaded.is_withdrawn();
        is_kept.then(|| Arc::clone(&loaded.catalog))
    }

    /// Returns the catalog as it was when it was last loaded, however long ago, unless it has left.
    pub fn before(&self, key: &CatalogKey) -> Option<Arc<Catalog>> {
        Some(Arc::clone(&self.entries.peek(key)?.loaded.as_ref()?.catalog))
    }

    /// Returns the same for a load that replaces it and may take tools from it; and whether its parts may still be as they
    /// were.
    pub fn to_replace(&self, key: &CatalogKey) -> Option<(Arc<Catalog>, bool)> {
        let loaded = self.entries.peek(key)?.loaded.as_ref().filter(|loaded| !loaded.is_withdrawn())?;
        Some((Arc::clone(&loaded.catalog), !loaded.is_outdated))
    }

    /// Notes the token with which a catalog was asked for.
    pub fn note_token(&mut self, key: &CatalogKey, token: &AccessToken) {
        // A change that comes by webhook brings no token, and the last one used is the likeliest to be good.
        let entry = self.entries.get_mut(key);
        let is_new = |known: &AccessToken| known.fingerprint() != token.fingerprint();
        if let Some(entry) = entry.filter(|entry| entry.token.as_ref().is_none_or(is_new)) {
            entry.token = Some(token.clone());
        }
    }

    /// Takes in a catalog that was loaded.
    pub fn put(&mut self, key: CatalogKey, loaded: Arc<CachedCatalog>) {
        // Held before the old ones are released, so that tools of both are never counted as gone.
        for tools in loaded.catalog.held() {
            self.hold(tools);
        }
        self.grow(loaded.catalog.own_bytes());
        let entry = self.entry(key);
        entry.failed = None;
        if let Some(before) = entry.loaded.replace(loaded) {
            self.release(&before.catalog);
        }
        self.make_room();
    }

    /// Takes in that a load has failed.
    pub fn put_failure(&mut self, key: CatalogKey, error: MembraneError, now: Instant) {
        self.entry(key).failed = Some((error, now));
        self.make_room();
    }

    /// Returns the token with which a catalog was last asked for, if it is to be loaded again because it has changed.
    pub fn token_to_reload(&self, key: &CatalogKey) -> Option<AccessToken> {
        let entry = self.entries.peek(key)?;
        entry.token.clone().filter(|_| entry.loaded.as_ref().is_none_or(|loaded| loaded.is_outdated))
    }

    /// Notes that catalogs have changed; gives them.
    pub fn outdate(&mut self, is_about: impl Fn(&UserKey) -> bool) -> Vec<CatalogKey> {
        let mut outdated = Vec::new();
        for (key, entry) in self.entries.iter_mut().filter(|(key, _)| is_about(&key.0)) {
            // A failure before the change says nothing of a load after it.
            entry.failed = None;
            if let Some(loaded) = &mut entry.loaded {
                let (catalog, lender) = (Arc::clone(&loaded.catalog), loaded.lender.clone());
                let (at, fresh_until) = (loaded.at, loaded.fresh_until);
                // A value of its own rather than a flag in the old one: that ends the weak references of workers to it.
                *loaded = Arc::new(CachedCatalog { catalog, at, fresh_until, is_outdated: true, lender });
            }
            outdated.push(key.clone());
        }
        outdated
    }

    fn entry(&mut self, key: CatalogKey) -> &mut CacheEntry {
        if !self.entries.contains(&key) {
            self.grow(BYTES_PER_ENTRY);
        }
        self.entries.get_or_insert_mut(key, CacheEntry::default)
    }

    fn hold(&mut self, tools: &AppTools) {
        let holders = self.holders.entry(*tools.content()).or_default();
        *holders += 1;
        if *holders == 1 {
            self.grow(tools.bytes());
        }
    }

    fn release(&mut self, catalog: &Catalog) {
        self.shrink(catalog.own_bytes());
        for tools in catalog.held() {
            let holders = self.holders.entry(*tools.content()).or_default();
            *holders = holders.saturating_sub(1);
            if *holders == 0 {
                self.holders.remove(tools.content());
                self.shrink(tools.bytes());
            }
        }
    }

    /// Lets the least recently used leave. The last one stays whatever its size, or its user would load it for each request.
    fn make_room(&mut self) {
        while self.bytes > self.max_bytes && self.entries.len() > 1 {
            let Some((_, entry)) = self.entries.pop_lru() else { return };
            self.shrink(BYTES_PER_ENTRY);
            if let Some(loaded) = entry.loaded {
                self.release(&loaded.catalog);
            }
        }
    }

    fn grow(&mut self, bytes: usize) {
        self.bytes += bytes;
        gauge!("mcp_catalog_bytes").increment(as_gauge(bytes));
    }

    fn shrink(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
        gauge!("mcp_catalog_bytes").decrement(as_gauge(bytes));
    }
}

fn as_gauge(bytes: usize) -> f64 {
    f64::from(u32::try_from(bytes).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;

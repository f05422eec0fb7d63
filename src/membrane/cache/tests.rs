//! Tests of the cache of catalogs.

use std::time::SystemTime;

use super::*;
use crate::{
    config::{Sources, load},
    ids::IntegrationKey,
    membrane::{
        app_tools::tests::app,
        catalog::{AppCatalog, FailedApp},
        interner::Interner,
    },
};

fn settings() -> Settings {
    load(&Sources::default()).unwrap()
}

fn key(user: &str) -> CatalogKey {
    (UserKey::new("w", user), Apps::default())
}

fn catalog(tools: &Arc<AppTools>, since: Instant, failed_count: usize) -> Arc<Catalog> {
    let failed = FailedApp { key: IntegrationKey::new("gmail"), name: "Gmail".to_owned(), retry: seconds(5) };
    let failed = std::iter::repeat_n(failed, usize::from(failed_count > 0)).collect();
    Arc::new(Catalog::new(vec![AppCatalog { tools: Arc::clone(tools), since, place: None }], None, failed))
}

fn put(cache: &mut CatalogCache, key: CatalogKey, catalog: Arc<Catalog>, now: Instant) {
    let loaded = cache.loaded(&key, catalog, now);
    cache.put(key, loaded);
}

fn seconds(s: u64) -> Duration {
    Duration::from_secs(s)
}

#[test]
fn a_catalog_is_fresh_then_stale_then_gone() {
    let mut cache = CatalogCache::new(&settings(), SharingSwitch::default());
    let (ann, start) = (key("ann"), Instant::now());
    let tools = Interner::default().share(app("slack", &["a"]));
    assert!(matches!(cache.find(&ann, start), CacheState::Missing));
    put(&mut cache, ann.clone(), catalog(&tools, start, 0), start);
    assert!(matches!(cache.find(&ann, start + seconds(47)), CacheState::Fresh(_)));
    assert!(matches!(cache.find(&ann, start + seconds(60)), CacheState::Stale(_)));
    assert!(matches!(cache.find(&ann, start + seconds(599)), CacheState::Stale(_)));
    assert!(matches!(cache.find(&ann, start + seconds(600)), CacheState::Missing));
    assert!(cache.before(&ann).is_some(), "to compare the next with");
}

#[test]
fn catalogs_that_were_loaded_together_are_not_due_together() {
    let cache = CatalogCache::new(&settings(), SharingSwitch::default());
    let (start, tools) = (Instant::now(), Interner::default().share(app("slack", &["a"])));
    let due = |i: u32, second: u64| {
        let loaded = cache.loaded(&key(&format!("user-{i}")), catalog(&tools, start, 0), start);
        !loaded.is_fresh(start + seconds(second))
    };
    for (second, expected) in [(48, 0..=0), (51, 150..=350), (54, 400..=600), (57, 650..=850), (60, 1000..=1000)] {
        let count = (0..1000).filter(|i| due(*i, second)).count();
        assert!(expected.contains(&count), "{count} of 1000 are due after {second} s");
    }
}

#[test]
fn a_failure_counts_for_a_moment_and_leaves_what_was_there() {
    let mut cache = CatalogCache::new(&settings(), SharingSwitch::default());
    let (ann, start) = (key("ann"), Instant::now());
    let failure = MembraneError::EndlessList("it repeats a cursor");
    cache.put_failure(ann.clone(), failure.clone(), start);
    assert!(matches!(cache.find(&ann, start + seconds(4)), CacheState::Failed(_)));
    assert!(matches!(cache.find(&ann, start + seconds(5)), CacheState::Missing));

    let tools = Interner::default().share(app("slack", &["a"]));
    put(&mut cache, ann.clone(), catalog(&tools, start, 0), start);
    cache.put_failure(ann.clone(), failure, start + seconds(70));
    assert!(matches!(cache.find(&ann, start + seconds(71)), CacheState::StaleAfterFailure(_)));
    assert!(matches!(cache.find(&ann, start + seconds(75)), CacheState::Stale(_)));
    assert!(matches!(cache.find(&ann, start + seconds(601)), CacheState::Missing));
}

#[test]
fn a_catalog_that_lacks_an_app_is_fresh_for_a_moment_only() {
    let mut cache = CatalogCache::new(&settings(), SharingSwitch::default());
    let (ann, start) = (key("ann"), Instant::now());
    let tools = Interner::default().share(app("slack", &["a"]));
    put(&mut cache, ann.clone(), catalog(&tools, start, 1), start);
    assert!(matches!(cache.find(&ann, start + seconds(4)), CacheState::Fresh(_)));
    assert!(matches!(cache.find(&ann, start + seconds(5)), CacheState::Stale(_)));
}

#[test]
fn what_has_changed_is_not_given_out_again() {
    let mut cache = CatalogCache::new(&settings(), SharingSwitch::default());
    let (ann, bob, now) = (key("ann"), key("bob"), Instant::now());
    let tools = Interner::default().share(app("slack", &["a"]));
    let token = AccessToken::parse("pat-of-ann", SystemTime::now()).unwrap();
    for user in [&ann, &bob] {
        put(&mut cache, user.clone(), catalog(&tools, now, 0), now);
    }
    cache.note_token(&ann, &token);
    assert!(cache.token_to_reload(&ann).is_none(), "nothing has changed");
    assert_eq!(cache.outdate(|user| *user == ann.0).as_slice(), std::slice::from_ref(&ann));
    let to_reload = cache.token_to_reload(&ann).map(|token| token.fingerprint());
    assert_eq!(to_reload, Some(token.fingerprint()));
    assert!(matches!(cache.find(&ann, now), CacheState::Missing));
    assert!(matches!(cache.find(&bob, now), CacheState::Fresh(_)));
    cache.put_failure(ann.clone(), MembraneError::EndlessList("it repeats a cursor"), now);
    assert!(matches!(cache.find(&ann, now), CacheState::StaleAfterFailure(_)), "better than nothing");
}

#[test]
fn what_other_users_have_read_is_served_only_while_lists_are_shared() {
    let sharing = SharingSwitch::default();
    let mut cache = CatalogCache::new(&settings(), sharing.clone());
    let (ann, bob, now) = (key("ann"), key("bob"), Instant::now());
    let tools = Interner::default().share(app("slack", &["a"]));
    let lent = Catalog::new(vec![AppCatalog { tools: Arc::clone(&tools), since: now, place: None }], None, Vec::new())
        .lent(true);
    put(&mut cache, ann.clone(), Arc::new(lent), now);
    put(&mut cache, bob.clone(), catalog(&tools, now, 0), now);
    cache.outdate(|user| *user == ann.0);
    assert!(cache.to_replace(&ann).is_some() && cache.peek(&ann, now).is_some());
    sharing.turn_off();
    cache.put_failure(ann.clone(), MembraneError::EndlessList("it repeats a cursor"), now);
    assert!(matches!(cache.find(&ann, now), CacheState::Failed(_)), "nothing is better than what another may see");
    assert!(cache.to_replace(&ann).is_none() && cache.peek(&ann, now).is_none());
    assert!(cache.before(&ann).is_some(), "to compare the next with");
    assert!(matches!(cache.find(&bob, now), CacheState::Fresh(_)), "bob has read it all alone");
}

#[test]
fn equal_tools_are_counted_once_and_the_least_used_leave() {
    let interner = Interner::default();
    let now = Instant::now();
    let shared = interner.share(app("slack", &["a", "b"]));
    let mut settings = settings();
    settings.catalog.max_bytes =
        serde_json::from_str(&(shared.bytes() * 2 + BYTES_PER_ENTRY * 50).to_string()).unwrap();
    let mut cache = CatalogCache::new(&settings, SharingSwitch::default());
    for i in 0..40 {
        put(&mut cache, key(&format!("user-{i}")), catalog(&shared, now, 0), now);
        put(&mut cache, key("user-0"), catalog(&shared, now, 0), now);
    }
    assert_eq!(cache.bytes, shared.bytes() + BYTES_PER_ENTRY * 40);
    assert!(matches!(cache.find(&key("user-0"), now), CacheState::Fresh(_)), "used last");

    let own = interner.share(app("gmail", &["a", "b"]));
    for i in 0..20 {
        put(&mut cache, key(&format!("other-{i}")), catalog(&own, now, 0), now);
    }
    assert!(cache.bytes <= cache.max_bytes);
    assert!(matches!(cache.find(&key("user-1"), now), CacheState::Missing), "used least");
    assert!(matches!(cache.find(&key("user-0"), now), CacheState::Fresh(_)));

    let other = interner.share(app("asana", &["a"]));
    cache.max_bytes = 0;
    put(&mut cache, key("last"), catalog(&other, now, 0), now);
    assert_eq!((cache.entries.len(), cache.holders.len()), (1, 1), "the last one stays");
    assert_eq!(cache.bytes, other.bytes() + BYTES_PER_ENTRY);
}

//! Calls that run once, as each store keeps them.

use futures_util::future::join_all;
use integration_app_mcp_server::store::{
    EmbeddedStore, KeptRun, RunState, SessionStore,
    runs::{Digest, MAX_RESULT, MAX_RUNS},
};

use super::{Servers, WEEK, ann, kept_for, stores};
use crate::files::Folder;

fn done(result: &str) -> RunState {
    RunState::Done { result: Some(result.to_owned()) }
}

#[tokio::test]
async fn of_many_who_claim_a_call_one_gets_it() {
    let servers = Servers::start();
    for (kind, store) in stores(&servers, WEEK) {
        let (key, digest) = (Digest::of(&["key"]), Digest::of(&["send", "{}"]));
        let claims = join_all((0..50).map(|_| store.claim_run(ann(), key, digest))).await;
        let kept: Vec<_> = claims.into_iter().filter_map(Result::unwrap).collect();
        assert_eq!(kept.len(), 49, "{kind}");
        for KeptRun { digest: kept, state } in kept {
            assert_eq!(kept, digest.to_hex(), "{kind}");
            assert!(matches!(state, RunState::Running { .. }), "{kind}: {state:?}");
        }
        store.settle_run(ann(), key, digest, Some(done("{\"é\":1}"))).await.unwrap();
        let kept = store.claim_run(ann(), key, Digest::of(&["other"])).await.unwrap().unwrap();
        assert_eq!(kept, KeptRun { digest: digest.to_hex(), state: done("{\"é\":1}") }, "{kind}");
        let bob = integration_app_mcp_server::ids::UserKey::new("acme", "bob");
        assert_eq!(store.claim_run(bob, key, digest).await, Ok(None), "{kind}: another user's key is another");
    }
}

#[tokio::test]
async fn a_call_that_was_not_run_is_forgotten_and_one_that_ended_stays() {
    let servers = Servers::start();
    for (kind, store) in stores(&servers, WEEK) {
        let (key, digest) = (Digest::of(&["key"]), Digest::of(&["send"]));
        let state = async || store.claim_run(ann(), key, digest).await.unwrap().map(|kept| kept.state);
        assert_eq!(state().await, None, "{kind}");
        store.settle_run(ann(), key, digest, None).await.unwrap();
        assert_eq!(state().await, None, "{kind}: it can be claimed again");
        store.settle_run(ann(), key, digest, Some(RunState::Unknown)).await.unwrap();
        for late in [None, Some(done("{}"))] {
            store.settle_run(ann(), key, digest, late).await.unwrap();
            assert_eq!(state().await, Some(RunState::Unknown), "{kind}: what is settled stays");
        }
    }
}

#[tokio::test]
async fn the_calls_of_a_user_are_bounded_in_number_and_bytes() {
    let servers = Servers::start();
    for (kind, store) in stores(&servers, WEEK) {
        let digest = Digest::of(&["send"]);
        let key = |n: usize| Digest::of(&["key", &n.to_string()]);
        let running = Digest::of(&["the first, which runs all the time"]);
        store.claim_run(ann(), running, digest).await.unwrap();
        for n in 0..MAX_RUNS + 10 {
            store.claim_run(ann(), key(n), digest).await.unwrap();
            store.settle_run(ann(), key(n), digest, Some(done("{}"))).await.unwrap();
        }
        assert!(store.claim_run(ann(), running, digest).await.unwrap().is_some(), "{kind}: one that runs stays");
        assert!(store.claim_run(ann(), key(MAX_RUNS + 9), digest).await.unwrap().is_some(), "{kind}: and the last");
        assert_eq!(store.claim_run(ann(), key(0), digest).await, Ok(None), "{kind}: the oldest has gone");
        store.settle_run(ann(), key(0), digest, Some(done(&"x".repeat(MAX_RESULT + 1)))).await.unwrap();
        let long = store.claim_run(ann(), key(0), digest).await.unwrap().unwrap();
        assert_eq!(
            long.state,
            RunState::Done { result: None },
            "{kind}: a long result is not kept, but that it was run is"
        );
    }
}

#[tokio::test]
async fn a_call_that_ran_when_the_server_ended_is_unknown_after_it() {
    let folder = Folder::new();
    let (key, digest) = (Digest::of(&["key"]), Digest::of(&["send"]));
    let store = EmbeddedStore::open(folder.path(), kept_for(WEEK)).unwrap();
    store.claim_run(ann(), key, digest).await.unwrap();
    drop(store);
    let mut store = EmbeddedStore::open(folder.path(), kept_for(WEEK));
    // The thread of the store before lets go of the file when it has noticed.
    while store.is_err() {
        tokio::task::yield_now().await;
        store = EmbeddedStore::open(folder.path(), kept_for(WEEK));
    }
    let kept = store.unwrap().claim_run(ann(), key, digest).await.unwrap().unwrap();
    assert_eq!(kept.state, RunState::Unknown);
}

//! Notes: short texts that are kept under keys, by any replica.

use std::time::Duration;

use integration_app_mcp_server::store::{SessionStore, runs::Digest};

use super::{Servers, WEEK, kept_for, open_at, stores};

fn key(text: &str) -> Digest {
    Digest::of(&[text])
}

#[tokio::test]
async fn a_note_is_kept_for_its_time_and_the_first_to_claim_it_has_it() {
    let servers = Servers::start();
    let text = |text: &str| text.to_owned();
    for (kind, store) in stores(&servers, WEEK) {
        assert_eq!(store.note(key("a")).await, Ok(None), "{kind}");
        assert_eq!(store.claim_note(key("a"), text("one"), None).await, Ok(None), "{kind}");
        assert_eq!(store.claim_note(key("a"), text("two"), None).await, Ok(Some(text("one"))), "{kind}");
        store.put_note(key("a"), text("three"), Some(WEEK)).await.unwrap();
        assert_eq!(store.note(key("a")).await, Ok(Some(text("three"))), "{kind}");
        assert_eq!(store.note(key("b")).await, Ok(None), "{kind}: another key");

        store.put_note(key("b"), text("short"), Some(Duration::from_millis(1))).await.unwrap();
        while store.note(key("b")).await.unwrap().is_some() {
            tokio::task::yield_now().await;
        }
        assert_eq!(store.claim_note(key("b"), text("next"), Some(WEEK)).await, Ok(None), "{kind}");
        store.expire().await.unwrap();
        assert_eq!(store.note(key("b")).await, Ok(Some(text("next"))), "{kind}");
    }
}

#[tokio::test]
async fn of_replicas_that_claim_a_note_at_once_one_has_it() {
    for (kind, url) in Servers::start().shared() {
        check_claims(kind, &url).await;
    }
}

async fn check_claims(kind: &str, url: &str) {
    let replicas: Vec<_> = (0..4).map(|_| open_at(url, kept_for(WEEK))).collect();
    let claims = replicas.iter().enumerate().map(|(i, store)| store.claim_note(key("key"), i.to_string(), None));
    let claims: Vec<_> = futures_util::future::join_all(claims).await.into_iter().map(Result::unwrap).collect();
    let first: Vec<_> = claims.iter().enumerate().filter(|(_, there)| there.is_none()).map(|(i, _)| i).collect();
    assert_eq!(first.len(), 1, "{kind}: {claims:?}");
    for there in claims.iter().flatten() {
        assert_eq!(*there, first[0].to_string());
    }
}

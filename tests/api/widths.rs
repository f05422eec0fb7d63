//! How many reads go out at once: as many as the upstream takes.

use std::time::{Duration, Instant};

use futures_util::future::join;
use serde_json::json;

use crate::{
    held_upstream::HeldUpstream,
    loading::metric,
    support::{SECRET, Server, claims, sign},
};

/// Number of tools that a user's new session lists.
async fn list(server: &Server, user: &str) -> usize {
    server.client(user).open().await.tools().await.len()
}

#[tokio::test]
async fn a_cold_list_of_twenty_apps_takes_two_rounds() {
    let upstream = HeldUpstream::start(20);
    let server = upstream.server().start();
    let rounds = async {
        // Nothing is answered before all of the round waits.
        for requests in [1, 20] {
            upstream.wait_for(requests).await;
            upstream.answer();
        }
    };
    assert_eq!(join(list(&server, "ann"), rounds).await.0, 20);
    assert_eq!((upstream.seen("/connections", None), upstream.seen("/actions", None)), (1, 20), "that was all");
}

#[tokio::test]
async fn a_user_has_24_reads_in_flight_at_most() {
    let upstream = HeldUpstream::start(60);
    let server = upstream.server().start();
    let rounds = async {
        for requests in [1, 24, 24, 12] {
            upstream.wait_for(requests).await;
            upstream.answer();
        }
    };
    assert_eq!(join(list(&server, "ann"), rounds).await.0, 60);
    assert_eq!(upstream.most(), 24);
}

#[tokio::test]
async fn an_upstream_that_says_429_is_asked_half_as_much_until_it_answers_again() {
    let upstream = HeldUpstream::start(60);
    let server = upstream.server().env("MCP__CATALOG__SHARED", "off").start();
    let rounds = async {
        upstream.wait_for(1).await;
        upstream.answer();
        upstream.wait_for(24).await;
        upstream.refuse(2, None);
        server.wait_for_log("fewer reads go out at once");
        upstream.answer();
        upstream.wait_for(12).await;
        upstream.most();
        upstream.open(true);
    };
    assert_eq!(join(list(&server, "ann"), rounds).await.0, 60, "what was refused was asked again");
    assert_eq!(metric(&server, "mcp_upstream_narrowed_total", r#"reason="limited""#), 1);
    // Twelve rounds of answers, which are 210, and then some.
    for i in 0..5 {
        assert_eq!(list(&server, &format!("user-{i}")).await, 60);
    }
    upstream.open(false);
    let rounds = async {
        for requests in [1, 24] {
            upstream.wait_for(requests).await;
            upstream.answer();
        }
        upstream.open(true);
    };
    assert_eq!(join(list(&server, "bob"), rounds).await.0, 60);
}

#[tokio::test]
async fn a_long_retry_after_holds_back_the_workspace_and_no_other() {
    let upstream = HeldUpstream::start(2);
    let server = upstream.server().start();
    let refused = async {
        upstream.wait_for(1).await;
        upstream.refuse(1, Some(30));
        upstream.open(true);
    };
    let ann = async { server.client("ann").open().await.ask("tools/list", json!({})).await.status };
    assert_eq!(join(ann, refused).await.0, 503);
    let bob = server.client("bob").open().await.ask("tools/list", json!({})).await;
    assert_eq!((bob.status.as_u16(), bob.code()), (503, -32603));
    assert!(bob.text.contains("try again in"), "{bob:?}");
    assert_eq!(upstream.seen("/connections", Some("bob")), 0, "nothing is asked that is sure to be refused");

    let mut claims = claims("eve");
    claims["iss"] = json!("another");
    let eve = server.client_with(&sign(&claims, SECRET)).open().await;
    assert_eq!(eve.tools().await.len(), 2, "another workspace is not concerned");
}

#[tokio::test]
async fn a_short_retry_after_is_waited_for_by_all_of_the_workspace() {
    let upstream = HeldUpstream::start(2);
    let server = upstream.server().start();
    let (ann, bob) = (server.client("ann").open().await, server.client("bob").open().await);
    let bobs = async {
        upstream.wait_for(1).await;
        let refused = Instant::now();
        upstream.refuse(1, Some(2));
        upstream.open(true);
        server.wait_for_log("fewer reads go out at once");
        assert_eq!(bob.tools().await.len(), 2);
        refused.elapsed()
    };
    let (anns, waited) = join(ann.tools(), bobs).await;
    assert_eq!(anns.len(), 2);
    assert!(waited >= Duration::from_secs(2), "{waited:?}");
}

#[tokio::test]
async fn a_token_that_nobody_has_accepted_holds_back_nobody() {
    let upstream = HeldUpstream::start(2);
    let server = upstream.server().start();
    let forged = server.client_with(&sign(&claims("eve"), "the key of somebody else, which is long enough"));
    let refused = async {
        upstream.wait_for(1).await;
        upstream.refuse(1, Some(30));
        upstream.open(true);
    };
    assert_eq!(join(forged.initialize("2025-11-25"), refused).await.0.status, 503);
    assert_eq!(list(&server, "ann").await, 2);
    assert_eq!(metric(&server, "mcp_upstream_narrowed_total", r#"reason="limited""#), 0);
}

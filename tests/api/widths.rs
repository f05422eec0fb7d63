//! How many reads go out at once: as many as the upstream takes.

use std::time::{Duration, Instant};

use futures_util::future::join;
use serde_json::json;

use crate::{
    held_upstream::HeldUpstream,
    loading::metric,
    support::{SECRET, Server, claims, eventually, sign},
};

/// Number of tools that a user's new session lists.
async fn list(server: &Server, user: &str) -> usize {
    server.client(user).open().await.tools().await.len()
}

/// Number of tools that a new session of a user lists for the first so many apps, whose connections are asked for one by one.
async fn list_some(server: &Server, user: &str, apps: usize) -> usize {
    let apps: Vec<_> = (0..apps).map(|i| format!("app-{i:02}")).collect();
    server.client(user).query(&format!("apps={}", apps.join(","))).open().await.tools().await.len()
}

/// Status and text of a user's list.
async fn refused_list(server: &Server, user: &str) -> (u16, String) {
    let reply = server.client(user).open().await.ask("tools/list", json!({})).await;
    (reply.status.as_u16(), reply.text)
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
    for apps in 20..25 {
        assert_eq!(list_some(&server, "ann", apps).await, apps);
    }
    upstream.open(false);
    let rounds = async {
        upstream.wait_for(24).await;
        upstream.open(true);
    };
    assert_eq!(join(list_some(&server, "ann", 30), rounds).await.0, 30);
}

#[tokio::test]
async fn a_user_who_is_refused_again_and_again_holds_back_nobody_else() {
    let upstream = HeldUpstream::start(24);
    let server = upstream.server().start();
    for app in 0..4 {
        let refused = async {
            upstream.wait_for(1).await;
            upstream.refuse(1, None);
            // It is sent again after a while.
            upstream.wait_for(1).await;
            upstream.open(true);
        };
        let eve = server.client("eve").query(&format!("apps=app-{app:02}")).open().await;
        assert_eq!(join(eve.tools(), refused).await.0.len(), 1);
        upstream.open(false);
    }
    let rounds = async {
        for requests in [1, 24] {
            upstream.wait_for(requests).await;
            upstream.answer();
        }
    };
    assert_eq!(join(list(&server, "ann"), rounds).await.0, 24);
}

#[tokio::test]
async fn a_long_retry_after_holds_back_the_user_and_no_other() {
    let upstream = HeldUpstream::start(2);
    let server = upstream.server().start();
    let refused = upstream.refuse_first(1, Some(30));
    assert_eq!(join(refused_list(&server, "eve"), refused).await.0.0, 503);
    let asked = upstream.seen("/connections", Some("eve"));
    let again = server.client("eve").query("apps=app-00").open().await.ask("tools/list", json!({})).await;
    assert_eq!((again.status.as_u16(), again.code()), (503, -32603));
    assert!(again.text.contains("try again in"), "{again:?}");
    assert_eq!(upstream.seen("/connections", Some("eve")), asked, "nothing is asked that is sure to be refused");
    assert_eq!(list(&server, "ann").await, 2, "another user is not concerned");
}

#[tokio::test]
async fn a_long_retry_after_for_two_users_holds_back_the_workspace_and_no_other() {
    let upstream = HeldUpstream::start(2);
    let server = upstream.server().start();
    let refused = upstream.refuse_first(2, Some(30));
    let lists = join(refused_list(&server, "ann"), refused_list(&server, "bob"));
    let ((ann, bob), ()) = join(lists, refused).await;
    assert_eq!((ann.0, bob.0), (503, 503));
    let (status, text) = refused_list(&server, "cid").await;
    assert!(status == 503 && text.contains("try again in"), "{text}");
    assert_eq!(upstream.seen("/connections", Some("cid")), 0, "nothing is asked that is sure to be refused");

    let mut claims = claims("eve");
    claims["iss"] = json!("another");
    let eve = server.client_with(&sign(&claims, SECRET)).open().await;
    assert_eq!(eve.tools().await.len(), 2, "another workspace is not concerned");
}

#[tokio::test]
async fn a_short_retry_after_for_two_users_is_waited_for_by_all_of_the_workspace() {
    let upstream = HeldUpstream::start(2);
    let server = upstream.server().start();
    let cids = async {
        upstream.wait_for(2).await;
        let refused = Instant::now();
        upstream.refuse(2, Some(2));
        upstream.open(true);
        eventually("both are noted", async || {
            metric(&server, "mcp_upstream_narrowed_total", r#"reason="limited""#) == 2
        })
        .await;
        assert_eq!(list(&server, "cid").await, 2);
        refused.elapsed()
    };
    let lists = join(list(&server, "ann"), list(&server, "bob"));
    let (lists, waited) = join(lists, cids).await;
    assert_eq!(lists, (2, 2));
    assert!(waited >= Duration::from_secs(2), "{waited:?}");
}

#[tokio::test]
async fn a_token_that_nobody_has_accepted_holds_back_nobody() {
    let upstream = HeldUpstream::start(2);
    let server = upstream.server().start();
    let forged = server.client_with(&sign(&claims("eve"), "the key of somebody else, which is long enough"));
    let refused = upstream.refuse_first(1, Some(30));
    assert_eq!(join(forged.initialize("2025-11-25"), refused).await.0.status, 503);
    assert_eq!(list(&server, "ann").await, 2);
    assert_eq!(metric(&server, "mcp_upstream_narrowed_total", r#"reason="limited""#), 0);
}

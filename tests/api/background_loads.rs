//! Refreshes for which no request waits: how many go out at once, and for whom.

use futures_util::future::{join, join_all};
use serde_json::json;

use crate::{
    files::Folder,
    held_upstream::HeldUpstream,
    loading::metric,
    support::{Client, Server, ServerBuilder, eventually},
};

/// Loads of one workspace that go on at once while no request waits for them.
const LOADS: usize = 8;

/// The most reads that such loads have in flight.
const READS: usize = 16;

/// Users that come back after a restart, and the apps of each.
const USERS: usize = 40;
const APPS: usize = 6;

fn user(i: usize) -> String {
    format!("user-{i}")
}

/// Has a server that is about to end keep the tools of all users in a folder.
async fn leave_behind(upstream: &HeldUpstream, folder: &Folder, shared: &str) {
    let server = keeping(upstream, folder, shared).start();
    upstream.open(true);
    let puts = || metric(&server, "mcp_store_operations_total", r#"operation="put_bytes",outcome="ok""#);
    // The apps are kept with the first user, so that what is kept after that are the others' catalogs.
    assert_eq!(list(&server, user(0)).await, APPS);
    eventually("the apps are kept", async || puts() == 1 + APPS as u64).await;
    assert_eq!(join_all((1..USERS).map(|i| list(&server, user(i)))).await, [APPS; USERS - 1]);
    eventually("all is kept", async || puts() == (USERS + APPS) as u64).await;
    server.stop();
    upstream.open(false);
    upstream.most();
}

fn keeping(upstream: &HeldUpstream, folder: &Folder, shared: &str) -> ServerBuilder {
    let builder = upstream.server().env("MCP__STORE__PATH", folder.as_str());
    builder.env("MCP__CATALOG__FRESH_S", "3600").env("MCP__CATALOG__SHARED", shared)
}

/// Number of tools that a user's new session lists.
async fn list(server: &Server, user: String) -> usize {
    server.client(&user).open().await.tools().await.len()
}

/// Answers what waits, time and again, until so many users' connections were asked for.
async fn answer_until(upstream: &HeldUpstream, connections: usize) {
    eventually("all are refreshed", async || {
        upstream.answer();
        upstream.seen("/connections", None) == connections && upstream.in_flight() == 0
    })
    .await;
}

#[tokio::test]
async fn users_who_all_come_back_after_a_restart_cost_the_upstream_a_bounded_load() {
    for shared in ["auto", "off"] {
        let (upstream, folder) = (HeldUpstream::start(APPS), Folder::new());
        leave_behind(&upstream, &folder, shared).await;
        let server = keeping(&upstream, &folder, shared).start();
        let lists = join_all((0..USERS).map(|i| list(&server, user(i)))).await;
        assert_eq!(lists, [APPS; USERS], "nobody waits for the upstream");
        upstream.wait_for(LOADS).await;
        answer_until(&upstream, 2 * USERS).await;
        let most = upstream.most();
        assert!((LOADS..=READS).contains(&most), "{shared}: {most} reads in flight");
    }
}

#[tokio::test]
async fn a_user_who_waits_for_a_list_goes_before_all_refreshes() {
    let (upstream, folder) = (HeldUpstream::start(APPS), Folder::new());
    leave_behind(&upstream, &folder, "auto").await;
    let server = keeping(&upstream, &folder, "auto").start();
    join_all((0..USERS).map(|i| list(&server, user(i)))).await;
    upstream.wait_for(LOADS).await;
    let new = async {
        upstream.wait_for(LOADS + 1).await;
        assert_eq!(upstream.seen("/connections", Some("new")), 1);
        upstream.open(true);
    };
    assert_eq!(join(list(&server, "new".to_owned()), new).await.0, APPS);
}

/// A user's session whose tools are to be refreshed, while the refreshes of others of the workspace take all turns.
async fn behind_all_refreshes<'a>(upstream: &HeldUpstream, server: &'a Server) -> Client<'a> {
    upstream.open(true);
    let ann = server.client("ann").open().await;
    ann.tools().await;
    let others = join_all((0..LOADS).map(|i| server.client(&user(i)).open())).await;
    join_all(others.iter().map(Client::tools)).await;
    eventually("all is loaded", async || upstream.in_flight() == 0).await;
    upstream.open(false);
    eventually("they are refreshed", async || {
        join_all(others.iter().map(Client::tools)).await;
        upstream.in_flight() == LOADS
    })
    .await;
    ann
}

#[tokio::test]
async fn a_token_whose_trust_ends_is_asked_about_before_the_turn_of_its_load() {
    // Without apps a load is one request.
    let upstream = HeldUpstream::start(0);
    let server = upstream.server().env("MCP__AUTH__WORKSPACE_KEY", "").env("MCP__AUTH__WORKSPACE_SECRET", "");
    let server = server.env("MCP__AUTH__TRUST_S", "6").env("MCP__CATALOG__FRESH_S", "0").start();
    let ann = behind_all_refreshes(&upstream, &server).await;
    ann.tools().await;
    let ann = server.client_with(&ann.token);
    let asked = eventually("the trust has ended", async || {
        // Once it has, the answer waits for that of the upstream.
        ann.modern_list().await;
        upstream.in_flight() != LOADS
    });
    let answered = async {
        eventually("the token is asked about", async || upstream.in_flight() > LOADS).await;
        upstream.open(true);
    };
    join(asked, answered).await;
}

#[tokio::test]
async fn what_a_user_has_just_connected_is_loaded_before_all_refreshes() {
    const BEARER: &str = "what only Membrane was told";
    for is_queued in [false, true] {
        let upstream = HeldUpstream::start(0);
        let server = upstream.server().env("MCP__WEBHOOKS__SECRET", BEARER).env("MCP__CATALOG__FRESH_S", "0").start();
        let ann = behind_all_refreshes(&upstream, &server).await;
        if is_queued {
            ann.tools().await;
        }
        let body = json!({"event": "connection.created", "data": {"connection": {"user": {"internalId": "ann"}}}});
        let webhook = server.http.post(format!("{}/webhooks/membrane", server.url)).json(&body).bearer_auth(BEARER);
        assert!(webhook.send().await.unwrap().status().is_success());
        upstream.wait_for(LOADS + 1).await;
        upstream.open(true);
    }
}

#[tokio::test]
async fn users_who_do_not_ask_are_not_refreshed() {
    let upstream = HeldUpstream::start(2);
    upstream.open(true);
    let server = upstream.server().env("MCP__CATALOG__FRESH_S", "0").start();
    let users: Vec<_> = (0..10).map(user).collect();
    let sessions = join_all(users.iter().map(|user| server.client(user).open())).await;
    join_all(sessions.iter().map(async |session| assert_eq!(session.tools().await.len(), 2))).await;
    let (one, before) = (&sessions[0], upstream.seen("/connections", Some(&users[0])));
    eventually("the one who asks is refreshed", async || {
        one.tools().await;
        upstream.seen("/connections", Some(&users[0])) >= before + 5
    })
    .await;
    for user in &users[1..] {
        assert_eq!(upstream.seen("/connections", Some(user)), 1, "{user}");
    }
}

#[tokio::test]
async fn two_users_of_a_workspace_cost_one_refresh_of_what_they_share() {
    let upstream = HeldUpstream::start(2);
    upstream.open(true);
    let server = upstream.server().env("MCP__CATALOG__FRESH_S", "0").start();
    let (ann, bob) = (server.client("ann").open().await, server.client("bob").open().await);
    // Once both have read the same lists, they share them.
    for session in [&ann, &bob] {
        assert_eq!(session.tools().await.len(), 2);
    }
    let actions = upstream.seen("/actions", None);
    upstream.open(false);
    for session in [&ann, &bob] {
        assert_eq!(session.ask("tools/list", json!({})).await.result()["tools"].as_array().unwrap().len(), 2);
    }
    // The connections of both, then each list once for both.
    upstream.wait_for(2).await;
    assert_eq!(upstream.seen("/actions", None), actions);
    upstream.answer();
    upstream.wait_for(2).await;
    assert_eq!(upstream.seen("/actions", None), actions + 2);
    upstream.open(true);
    let shared = || metric(&server, "mcp_catalog_lists_total", r#"source="shared""#);
    eventually("the other takes what was read", async || shared() == 2).await;
    assert_eq!(upstream.seen("/actions", None), actions + 2);
}

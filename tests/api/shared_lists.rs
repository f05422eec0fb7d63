//! Lists of actions that users of one workspace share: what they save, and that nothing crosses from one user to another.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use actix_web::{HttpRequest, http::header::AUTHORIZATION};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    catalog::{all_names, token_with},
    loading::{metric, spoil},
    support::{SECRET, Server, ServerBuilder, catalog, claims, eventually, reply_to, sign},
    upstream::Upstream,
};

/// A server with the sandbox on which ann and bob have listed their tools, so that they are shared.
async fn warm(builder: ServerBuilder) -> Server {
    let server = builder.start();
    for user in ["ann", "bob"] {
        assert_eq!(server.client(user).open().await.tool_names().await, all_names());
    }
    server
}

async fn requests(server: &Server) -> (u64, u64) {
    (server.requests("GET /connections").await, server.requests("GET /actions").await)
}

fn is_sharing(server: &Server) -> bool {
    metric(server, "mcp_catalog_sharing", "") == 1
}

/// The user of a request to an upstream of the test's own, as its token names it.
fn user_of(request: &HttpRequest) -> String {
    let token = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let claims = token.split('.').nth(1).and_then(|payload| URL_SAFE_NO_PAD.decode(payload).ok()).unwrap_or_default();
    let claims: Value = serde_json::from_slice(&claims).unwrap_or_default();
    claims["id"].as_str().unwrap_or_default().to_owned()
}

/// An upstream whose app has the actions that `keys` gives for each user.
fn by_user(keys: impl Fn(&str) -> Vec<Value> + Send + Sync + 'static) -> Upstream {
    Upstream::answering(move |request| {
        (request.path() == "/actions").then(|| json!({"items": keys(&user_of(request))}).to_string())
    })
}

fn action(key: &str) -> Value {
    json!({"key": key, "name": key, "integrationId": "i"})
}

/// How many times a user's actions were asked for with the user's own token.
fn reads_of(upstream: &Upstream, token: &str) -> usize {
    upstream.headers("/actions", "authorization").iter().filter(|value| **value == format!("Bearer {token}")).count()
}

#[tokio::test]
async fn a_user_of_a_warm_workspace_costs_one_request() {
    let server = warm(Server::builder().env("MCP__CATALOG__FRESH_S", "3600")).await;
    let apps = catalog().len() as u64;
    assert_eq!(requests(&server).await, (2, 2 * apps), "two users say what there is");
    for (i, user) in ["eve", "joe", "kim"].iter().enumerate() {
        assert_eq!(server.client(user).open().await.tool_names().await, all_names());
        assert_eq!(requests(&server).await, (3 + i as u64, 2 * apps), "{user}");
    }
    assert_eq!(metric(&server, "mcp_catalog_lists_total", r#"source="shared""#), 3 * apps);
    assert_eq!(metric(&server, "mcp_catalog_lists_total", r#"source="read""#), 2 * apps);
    assert!(is_sharing(&server));
    // What is shared is a list of tools: each still runs in its caller's own account.
    server.client("eve").open().await.output("gmail_list-emails", json!({})).await;
}

#[tokio::test]
async fn a_user_sees_nothing_of_shared_apps_that_the_user_has_not_connected() {
    let server = warm(Server::builder().env("MCP__CATALOG__FRESH_S", "3600")).await;
    let (_, actions) = requests(&server).await;
    let names = server.client_with(&token_with("new", &["slack"])).open().await.tool_names().await;
    let expected: Vec<_> = all_names().into_iter().filter(|name| name.starts_with("slack_")).collect();
    assert_eq!(names, expected);
    assert!(server.client_with(&token_with("none", &[])).open().await.tool_names().await.is_empty());
    assert_eq!(requests(&server).await.1, actions);
}

#[tokio::test]
async fn a_token_that_is_not_accepted_is_lent_nothing() {
    let server = warm(Server::builder().env("MCP__CATALOG__FRESH_S", "3600")).await;
    let forged = sign(&claims("eve"), "the key of somebody else, which is long enough");
    assert_eq!(server.client_with(&forged).initialize("2025-11-25").await.status, 401);

    let refused = json!({"type": "bad_request", "key": "not_authenticated", "message": "Revoked"});
    spoil(&server, json!([{"path": "/connections", "status": 401, "body": refused}])).await;
    assert_eq!(server.client("eve").initialize("2025-11-25").await.status, 401);
    spoil(&server, json!([{"path": "/connections", "status": 500}])).await;
    assert_eq!(server.client("joe").initialize("2025-11-25").await.status, 503, "without connections there is no list");
}

#[tokio::test]
async fn users_who_are_told_different_actions_share_nothing_any_more() {
    let upstream = by_user(|user| vec![action("for-all"), action(&format!("of-{user}"))]);
    let server = Server::before(&upstream.url).env("MCP__CATALOG__FRESH_S", "3600").start();
    assert!(is_sharing(&server));
    for user in ["ann", "bob", "eve", "joe"] {
        let token = sign(&claims(user), SECRET);
        let names = server.client_with(&token).open().await.tool_names().await;
        assert_eq!(names, ["app_for-all".to_owned(), format!("app_of-{user}")]);
        if user == "bob" {
            server.wait_for_log("two users of a workspace are told different actions");
        }
        assert!(reads_of(&upstream, &token) >= 1, "{user} reads alone");
    }
    assert!(!is_sharing(&server));
    let refused = metric(&server, "mcp_catalog_lists_total", r#"source="shared""#);
    assert_eq!(refused, 0);
}

#[tokio::test]
async fn what_was_lent_to_a_user_who_is_told_something_else_is_withdrawn() {
    let upstream = by_user(|user| match user {
        "eve" => vec![action("few")],
        _ => vec![action("few"), action("many")],
    });
    let server = Server::before(&upstream.url).env("MCP__CATALOG__FRESH_S", "1").start();
    for user in ["ann", "bob"] {
        assert_eq!(server.client(user).open().await.tool_names().await, ["app_few", "app_many"]);
    }
    let (eve, joe) = (server.client("eve").open().await, server.client("joe").open().await);
    // Whoever reads next finds out; until then she may have been lent what the others agree on.
    eventually("eve has her own", async || eve.tool_names().await == ["app_few"] && !is_sharing(&server)).await;
    assert_eq!(joe.tool_names().await, ["app_few", "app_many"]);
    for _ in 0..3 {
        assert_eq!(eve.tool_names().await, ["app_few"], "for good");
    }
}

#[tokio::test]
async fn a_user_whose_answer_can_not_be_read_agrees_to_nothing() {
    let upstream = Upstream::answering(|request| {
        let is_hidden = request.path() == "/actions" && user_of(request) == "bob";
        is_hidden.then(|| r#"{"no": "list"}"#.to_owned())
    });
    let server = Server::before(&upstream.url).env("MCP__CATALOG__FRESH_S", "3600").start();
    assert_eq!(server.client("ann").open().await.tool_names().await, ["app_do"]);
    assert!(server.client("bob").open().await.tool_names().await.is_empty(), "bob's failure is bob's");
    let eve = sign(&claims("eve"), SECRET);
    assert_eq!(server.client_with(&eve).open().await.tool_names().await, ["app_do"]);
    assert_eq!(reads_of(&upstream, &eve), 1, "bob's answer has not agreed to anything");
}

#[tokio::test]
async fn a_list_with_an_action_of_one_user_is_not_shared() {
    for member in ["connectionId", "userId", "tenantId", "instanceKey"] {
        let upstream = by_user(move |user| {
            let mut own = action(&format!("of-{user}"));
            own[member] = json!(format!("x-{user}"));
            vec![action("for-all"), own]
        });
        let server = Server::before(&upstream.url).env("MCP__CATALOG__FRESH_S", "3600").start();
        for user in ["ann", "bob", "eve"] {
            let names = server.client(user).open().await.tool_names().await;
            assert_eq!(names, ["app_for-all".to_owned(), format!("app_of-{user}")], "{member}");
        }
        assert_eq!(upstream.headers("/actions", "authorization").len(), 3, "{member}: each has read alone");
        assert!(is_sharing(&server), "such actions say nothing of the others");
    }
}

#[tokio::test]
async fn only_users_of_one_workspace_share_and_only_where_it_is_known() {
    let upstream = Upstream::start();
    let server = Server::before(&upstream.url).env("MCP__CATALOG__FRESH_S", "3600").start();
    let token = |user: &str, workspace: &str| {
        let mut claims = claims(user);
        claims["iss"] = json!(workspace);
        sign(&claims, SECRET)
    };
    let asked = || upstream.headers("/actions", "authorization").len();
    for (token, all) in [
        (token("ann", "one"), 1),
        (token("bob", "one"), 2),
        (token("eve", "one"), 2),
        (token("eve", "two"), 3),
        ("pat-first".to_owned(), 4),
        ("pat-second".to_owned(), 4),
    ] {
        assert_eq!(server.client_with(&token).open().await.tool_names().await, ["app_do"]);
        // Both personal tokens are of one customer, whose workspace the upstream does not tell.
        assert_eq!(asked(), all, "{all}");
    }
}

#[tokio::test]
async fn an_app_that_is_named_without_an_id_is_not_shared() {
    let upstream = Upstream::answering(|request| {
        let connection = json!({"id": "c", "integration": {"key": "app", "name": "App"}});
        (request.path() == "/connections").then(|| json!({"items": [connection]}).to_string())
    });
    let server = Server::before(&upstream.url).env("MCP__CATALOG__FRESH_S", "3600").start();
    for user in ["ann", "bob", "eve"] {
        assert_eq!(server.client(user).open().await.tool_names().await, ["app_do"]);
    }
    assert_eq!(upstream.headers("/actions", "authorization").len(), 3);
}

#[tokio::test]
async fn a_list_that_has_changed_for_all_goes_on_being_shared() {
    let version = Arc::new(AtomicUsize::new(0));
    let now = Arc::clone(&version);
    let upstream = by_user(move |_| (0..=now.load(Ordering::SeqCst)).map(|i| action(&format!("a-{i}"))).collect());
    let server = Server::before(&upstream.url).env("MCP__CATALOG__FRESH_S", "0").start();
    let (ann, bob) = (server.client("ann").open().await, server.client("bob").open().await);
    for changes in 1..4 {
        ann.tools().await;
        bob.tools().await;
        version.store(changes, Ordering::SeqCst);
        for client in [&ann, &bob] {
            eventually("the change", async || client.tool_names().await.len() == changes + 1).await;
        }
    }
    assert!(is_sharing(&server));
    assert!(!server.log().contains("two users of a workspace are told different actions"));
}

#[tokio::test]
async fn each_user_reads_alone_where_nothing_is_to_be_shared() {
    let builder = Server::builder().env("MCP__CATALOG__SHARED", "off").env("MCP__CATALOG__FRESH_S", "3600");
    let server = warm(builder).await;
    assert_eq!(server.client("eve").open().await.tool_names().await, all_names());
    assert_eq!(requests(&server).await, (3, 3 * catalog().len() as u64));
    assert!(!is_sharing(&server));
}

#[tokio::test]
async fn an_app_that_can_not_be_read_costs_only_the_users_who_ask_then() {
    let builder = Server::builder().env("MCP__CATALOG__FRESH_S", "3600").env("MCP__TUNING__CATALOG_NEGATIVE_S", "0");
    let server = builder.start();
    spoil(&server, json!([{"path": "/actions", "query": "int-gmail", "status": 500}])).await;
    let ann = server.client("ann").open().await;
    assert!(ann.tool_names().await.iter().all(|name| !name.starts_with("gmail_")));
    spoil(&server, json!([])).await;
    for user in ["bob", "eve"] {
        assert_eq!(server.client(user).open().await.tool_names().await, all_names(), "{user}");
    }
    eventually("ann's comes, too", async || ann.tool_names().await == all_names()).await;
    assert!(is_sharing(&server), "a failure is no difference");
}

#[tokio::test]
async fn shared_lists_are_read_anew_for_a_user_whose_connections_have_changed() {
    const BEARER: &str = "what only Membrane was told";
    let builder = Server::builder().env("MCP__WEBHOOKS__SECRET", BEARER).env("MCP__CATALOG__FRESH_S", "3600");
    let server = warm(builder).await;
    let eve = server.client("eve").open().await;
    assert_eq!(eve.tool_names().await, all_names());
    let (connections, actions) = requests(&server).await;
    server.sandbox(Method::DELETE, "/connections/gmail", "eve", Value::Null).await;
    let body = json!({"eventType": "connection.deleted", "data": {"connection": {"user": {"internalId": "eve"}}}});
    let webhook = server.http.post(format!("{}/webhooks/membrane", server.url)).json(&body);
    assert_eq!(reply_to(webhook.bearer_auth(BEARER)).await.status, 204);
    let is_gone = async || eve.tool_names().await.iter().all(|name| !name.starts_with("gmail_"));
    eventually("gmail is gone", is_gone).await;
    assert_eq!(requests(&server).await, (connections + 1, actions + catalog().len() as u64 - 1));
    // For others nothing has changed, and they are lent what eve has read.
    assert_eq!(server.client("joe").open().await.tool_names().await, all_names());
    assert_eq!(requests(&server).await.1, actions + catalog().len() as u64 - 1);
}

//! Word from Membrane that a user's connections have changed.

use std::time::Instant;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::support::{Client, Reply, SECRET, Server, ServerBuilder, assert_error, claims, eventually, reply_to, sign};

const BEARER: &str = "what only Membrane was told";

/// A server that knows the workspace's secret, lets webhooks in, and would not load anything anew by itself.
fn listening() -> ServerBuilder {
    let builder =
        Server::builder().env("MCP__AUTH__WORKSPACE_KEY", "sandbox").env("MCP__AUTH__WORKSPACE_SECRET", SECRET);
    builder.env("MCP__WEBHOOKS__SECRET", BEARER).env("MCP__CATALOG__FRESH_S", "3600")
}

fn webhook(server: &Server, body: &Value) -> RequestBuilder {
    server.http.post(format!("{}/webhooks/membrane", server.url)).json(body)
}

/// The token by which Membrane shows that it is Membrane.
fn signed(user: &str) -> String {
    let exp = claims(user)["exp"].clone();
    sign(&json!({"iss": "sandbox", "sub": user, "exp": exp, "fields": {}}), SECRET)
}

fn deleted(connection: Value) -> Value {
    json!({"eventType": "connection.deleted", "data": {"connection": connection}})
}

async fn has_gmail(client: &Client<'_>) -> bool {
    client.tool_names().await.iter().any(|name| name.starts_with("gmail_"))
}

#[tokio::test]
async fn a_webhook_lets_the_tools_be_loaded_anew() {
    let server = listening().start();
    let by_id = |user: &str| json!({"id": "c", "user": {"id": "x", "internalId": user}});
    let cases: [(&str, &dyn Fn(RequestBuilder) -> RequestBuilder, Value); 6] = [
        ("ann", &|request| request.header("x-membrane-token", signed("ann")), deleted(by_id("ann"))),
        ("bob", &|request| request.header("x-integration-app-token", signed("bob")), deleted(by_id("bob"))),
        ("cid", &|request| request.header("x-membrane-token", signed("cid")), deleted(json!({"id": "c"}))),
        (
            "dan",
            &|request| request.bearer_auth(BEARER),
            json!({"event": "connection.reconnected", "data": {"connection": by_id("dan")}}),
        ),
        ("eve", &|request| request.bearer_auth(BEARER), deleted(json!({"customerId": "eve"}))),
        (
            "fay",
            &|request| request.bearer_auth(BEARER),
            json!({"event": "connection.disconnected", "eventType": "connection.disconnected", "data": {"connection": by_id("fay")}}),
        ),
    ];
    let other = server.client("other").open().await;
    assert!(has_gmail(&other).await);
    for (user, show, body) in cases {
        let client = server.client(user).open().await;
        assert!(has_gmail(&client).await, "{user}");
        server.sandbox(Method::DELETE, "/connections/gmail", user, Value::Null).await;
        assert!(has_gmail(&client).await, "{user}: nobody has told yet");
        let reply = reply_to(show(webhook(&server, &body))).await;
        assert_eq!((reply.status.as_u16(), reply.text.as_str()), (204, ""), "{user}");
        eventually(user, async || !has_gmail(&client).await).await;
    }
    let loads = server.requests("GET /connections").await;
    other.tools().await;
    assert_eq!(server.requests("GET /connections").await, loads, "the others' tools are still fresh");
}

#[tokio::test]
async fn a_webhook_is_told_to_clients_that_listen() {
    let server = listening().start();
    let fixed = server.client("ann").open().await;
    let dynamic = server.client("ann").query("mode=dynamic").open().await;
    dynamic.call("enable-tools", json!({"tools": ["gmail_list-emails"]})).await.result();
    let other = server.client("ann").query("apps=slack").open().await;
    let mut streams = Vec::new();
    for client in [&fixed, &dynamic] {
        client.tools().await;
        streams.push(client.stream().await);
    }
    streams.push(server.client("ann").subscribe(json!("s")).await);
    other.tools().await;
    let mut of_other = other.stream().await;

    server.sandbox(Method::DELETE, "/connections/gmail", "ann", Value::Null).await;
    let body = deleted(json!({"user": {"internalId": "ann"}}));
    assert_eq!(reply_to(webhook(&server, &body).bearer_auth(BEARER)).await.status, 204);
    for stream in &mut streams {
        assert_eq!(stream.next().await.unwrap()["method"], "notifications/tools/list_changed");
    }
    assert!(!has_gmail(&fixed).await, "without anybody having asked");
    server.terminate();
    assert!(of_other.next().await.is_none(), "its own apps have not changed");
}

#[tokio::test]
async fn what_changes_while_it_is_loaded_is_loaded_again() {
    let slow = listening().env("MCP__TUNING__SANDBOX_LATENCY_MS", "200");
    // As plain JSON, however long it takes.
    let server = slow.env("MCP__TUNING__STREAM_AFTER_MS", "60000").start();
    let client = server.client("ann").open().await;
    let change = async {
        eventually("a load", async || server.requests("GET /connections").await > 0).await;
        server.sandbox(Method::DELETE, "/connections/gmail", "ann", Value::Null).await;
        let body = deleted(json!({"user": {"internalId": "ann"}}));
        assert_eq!(reply_to(webhook(&server, &body).bearer_auth(BEARER)).await.status, 204);
        eventually("the change", async || !has_gmail(&client).await).await;
    };
    let early = client.clone();
    tokio::join!(early.tools(), change);
}

#[tokio::test]
async fn a_forged_webhook_is_refused_and_changes_nothing() {
    let server = listening().start();
    let client = server.client("ann").open().await;
    assert!(has_gmail(&client).await);
    server.sandbox(Method::DELETE, "/connections/gmail", "ann", Value::Null).await;

    let body = deleted(json!({"user": {"internalId": "ann"}}));
    let unsigned = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJzYW5kYm94Iiwic3ViIjoiYW5uIn0.";
    let tokens = [
        ("of another key", sign(&json!({"iss": "sandbox", "sub": "ann"}), "another key")),
        ("of another workspace", sign(&json!({"iss": "other", "sub": "ann"}), SECRET)),
        ("expired", sign(&json!({"iss": "sandbox", "sub": "ann", "exp": 1000}), SECRET)),
        ("not yet good", sign(&json!({"iss": "sandbox", "sub": "ann", "nbf": 99_999_999_999_u64}), SECRET)),
        ("a user's own", sign(&claims("ann"), SECRET)),
        ("an admin's", sign(&json!({"iss": "sandbox", "isAdmin": true}), SECRET)),
        ("unsigned", unsigned.to_owned()),
        ("no token", "x".to_owned()),
        ("the other secret", BEARER.to_owned()),
    ];
    for (case, token) in &tokens {
        for name in ["x-membrane-token", "x-integration-app-token"] {
            refuses(webhook(&server, &body).header(name, token), case).await;
            // One good credential does not make up for a bad one.
            refuses(webhook(&server, &body).header(name, token).bearer_auth(BEARER), case).await;
        }
    }
    for (case, bearer) in
        [("signed", &signed("ann")), ("wrong", &"wrong".to_owned()), ("workspace", &SECRET.to_owned())]
    {
        refuses(webhook(&server, &body).bearer_auth(bearer), case).await;
    }
    refuses(webhook(&server, &body), "nothing at all").await;
    let by_query = server.http.post(format!("{}/webhooks/membrane?token={}", server.url, signed("ann"))).json(&body);
    refuses(by_query, "by query").await;
    assert!(has_gmail(&client).await, "nothing was loaded anew");
}

async fn refuses(request: RequestBuilder, case: &str) {
    let reply = reply_to(request).await;
    assert_eq!(reply.status, 401, "{case}: {reply:?}");
    assert!(reply.header("www-authenticate").is_some_and(|challenge| challenge.starts_with("Bearer ")), "{case}");
}

#[tokio::test]
async fn a_webhook_that_comes_again_or_is_about_something_else_does_no_harm() {
    let server = listening().start();
    server.client("ann").open().await.tools().await;
    let send = async |body: &Value| reply_to(webhook(&server, body).bearer_auth(BEARER)).await;
    let loads = server.requests("GET /connections").await;
    for body in [
        json!({"eventType": "flowRun.completed", "data": {"connection": {"user": {"internalId": "ann"}}}}),
        json!({"eventType": "alert.created"}),
        json!({"eventType": "alert.created", "data": null}),
        json!({"event": "connection.created", "data": {"connection": null}}),
        json!({"event": "connection.created", "data": 7}),
        deleted(json!({})),
        deleted(json!({"user": {"internalId": "somebody else"}})),
    ] {
        assert_eq!(send(&body).await.status, 204, "{body}");
    }
    server.client("ann").open().await.tools().await;
    assert_eq!(server.requests("GET /connections").await, loads, "they say nothing of ann");

    let begun = Instant::now();
    for _ in 0..50 {
        assert_eq!(send(&deleted(json!({"user": {"internalId": "ann"}}))).await.status, 204);
    }
    server.client("ann").open().await.tools().await;
    let all = server.requests("GET /connections").await - loads;
    // One at once, those after it once a second, and one for who asks.
    let most = 3 + begun.elapsed().as_secs();
    assert!(all <= most, "50 words of one change load the tools {all} times");

    let get = server.http.get(format!("{}/webhooks/membrane", server.url)).bearer_auth(BEARER);
    assert_error(&reply_to(get).await, 405, -32000, "GET");
    for body in [json!([]), json!({}), json!({"eventType": 7})] {
        assert_error(&send(&body).await, 400, -32000, body);
    }
}

#[tokio::test]
async fn a_webhook_has_the_limits_of_every_request() {
    let server = listening().env("MCP__TUNING__MAX_BODY_BYTES", "1000").start();
    let long = deleted(json!({"id": "x".repeat(1000)}));
    let reply: Reply = reply_to(webhook(&server, &long).bearer_auth(BEARER)).await;
    assert_error(&reply, 413, -32000, "a long body");
    let foreign = webhook(&server, &json!({})).bearer_auth(BEARER).header("origin", "https://evil.example.com");
    assert_error(&reply_to(foreign).await, 403, -32000, "a web page");
}

#[tokio::test]
async fn without_a_secret_there_are_no_webhooks() {
    let server = Server::start();
    let body = deleted(json!({"user": {"internalId": "ann"}}));
    for request in [
        webhook(&server, &body),
        webhook(&server, &body).bearer_auth(""),
        webhook(&server, &body).header("x-membrane-token", signed("ann")),
    ] {
        assert_error(&reply_to(request).await, 404, -32000, "no secret");
    }
}

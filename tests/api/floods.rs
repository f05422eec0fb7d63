//! One user, or one address, that asks for more than its share.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Client, Reply, Server, assert_error, claims, eventually, reply_to, sign};

/// A token that names a user, which the upstream will refuse.
fn forged(user: &str) -> String {
    sign(&claims(user), "another key")
}

/// Calls until one is turned away, and gives that answer.
async fn flood(mut call: impl AsyncFnMut() -> Reply) -> Value {
    let mut refused = Value::Null;
    eventually("a call is turned away", async || {
        let result = call().await.result();
        let is_error = result["isError"] == true;
        refused = result;
        is_error
    })
    .await;
    refused
}

fn assert_tells_to_wait(result: &Value) {
    let text = result["content"][0]["text"].as_str().unwrap();
    assert!(text.starts_with("Too many calls were made: wait 1 s"), "{text}");
}

#[tokio::test]
async fn a_user_who_calls_too_often_is_told_how_long_to_wait() {
    let server = Server::builder().env("MCP__MEMBRANE__PER_USER_CALLS_PER_S", "1").start();
    let (one, two) = (server.client("ann").open().await, server.client("ann").open().await);
    let refused = flood(async || one.call("sandbox-faults_echo", json!({})).await).await;
    assert_tells_to_wait(&refused);
    // The same user in another session and another era has no share of their own; another user has.
    let refused = flood(async || two.call("sandbox-faults_echo", json!({})).await).await;
    assert_tells_to_wait(&refused);
    let modern = server.client("ann");
    let refused = flood(async || modern.modern_call("sandbox-faults_echo", json!({})).send().await).await;
    assert_tells_to_wait(&refused);
    let other = server.client("bob").open().await;
    assert_eq!(other.output("sandbox-faults_echo", json!({"a": 1})).await, json!({"a": 1}));

    assert!(!one.tools().await.is_empty(), "what is no call is answered");
    let is_taken = async || one.call("sandbox-faults_echo", json!({})).await.result().get("isError").is_none();
    eventually("a call is taken after the wait", is_taken).await;
}

#[tokio::test]
async fn a_user_listens_on_so_many_streams_and_no_more() {
    let server = Server::builder().env("MCP__STREAMS__MAX_PER_USER", "2").start();
    let (one, two) = (server.client("ann").open().await, server.client("ann").open().await);
    let stream = one.stream().await;
    let subscription = server.client("ann").subscribe(json!(7)).await;

    let refused = two.get().await;
    assert_error(&refused, 429, -32000, "GET /mcp");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    assert!(refused.text.contains("at most 2"), "{refused:?}");
    let listen = json!({"notifications": {"toolsListChanged": true}});
    let refused = server.client("ann").modern("subscriptions/listen", listen).send().await;
    assert_error(&refused, 429, -32600, "subscriptions/listen");
    let sse = async |client: &Client<'_>| {
        let request = client.request_at(Method::GET, "/sse").header("accept", "text/event-stream");
        request.send().await.unwrap()
    };
    assert_eq!(sse(&server.client("ann")).await.status(), 429);
    assert_eq!(sse(&server.client("bob")).await.status(), 200, "another user");

    drop((stream, subscription));
    eventually("a stream that was closed makes room", async || sse(&server.client("ann")).await.status() == 200).await;
}

#[tokio::test]
async fn a_user_has_so_many_sessions_and_no_more() {
    let server = Server::builder().env("MCP__SESSIONS__MAX_PER_USER", "2").env("MCP__SESSIONS__MAX", "3").start();
    let one = server.client("ann").open().await;
    let chat = server.client("ann").header("x-chat-id", "one").query("mode=dynamic");
    chat.modern_enable(&["gmail_send-email"]).await;

    let refused = server.client("ann").initialize("2025-11-25").await;
    assert_error(&refused, 429, -32000, "a third session");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    let refused = server.client("ann").header("x-chat-id", "two").modern("tools/list", json!({})).send().await;
    assert_error(&refused, 429, -32600, "a third session for a chat");
    let sse = server.client("ann").request_at(Method::GET, "/sse").header("accept", "text/event-stream");
    assert_eq!(reply_to(sse).await.status, 429);
    chat.modern_enable(&["gmail_send-email"]).await;
    assert!(!server.client("ann").modern_list().await["tools"].as_array().unwrap().is_empty(), "without a session");

    let bob = server.client("bob").open().await;
    let _nobody_is_idle = (one.stream().await, chat.subscribe(json!(7)).await, bob.stream().await);
    let refused = server.client("bob").initialize("2025-11-25").await;
    assert_error(&refused, 503, -32603, "a fourth session of all");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");

    assert_eq!(one.delete().await.status, 200);
    eventually("an ended session makes room", async || {
        server.client("ann").initialize("2025-11-25").await.status == 200
    })
    .await;
}

#[tokio::test]
async fn an_address_whose_tokens_are_refused_has_to_wait() {
    let server =
        Server::builder().env("MCP__TUNING__MAX_TOKEN_FAILURES_PER_MIN", "3").env("MCP__SERVER__PROXIES", "1").start();
    let from = |token: &str, address: &str| server.client_with(token).header("x-forwarded-for", address);
    let known = from(&crate::support::token("ann"), "192.0.2.1").open().await;

    let mut answers = Vec::new();
    eventually("the address is locked out", async || {
        let user = format!("user {}", answers.len());
        answers.push(from(&forged(&user), "192.0.2.1").ask("tools/list", json!({})).await);
        answers.last().unwrap().status == 429
    })
    .await;
    let locked_out = answers.pop().unwrap();
    assert!(answers.len() >= 3 && answers.iter().all(|answer| answer.status == 401), "{answers:?}");
    let wait: u64 = locked_out.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{locked_out:?}");
    assert!(locked_out.text.contains("Too many tokens from this address were refused"), "{locked_out:?}");

    let asked = server.requests("GET /connections").await;
    let reply = from(&forged("one more"), "192.0.2.1").ask("tools/list", json!({})).await;
    assert_eq!(reply.status, 429);
    assert_eq!(server.requests("GET /connections").await, asked, "the upstream is left in peace");
    let reply = from(&crate::support::token("eve"), "192.0.2.1").initialize("2025-11-25").await;
    assert_eq!(reply.status, 429, "a good token that is not known waits, too");
    assert!(!known.tools().await.is_empty(), "one that is trusted does not");
    let reply = from(&crate::support::token("eve"), "192.0.2.2").initialize("2025-11-25").await;
    assert_eq!(reply.status, 200, "from another address");
}

#[tokio::test]
async fn an_address_whose_webhooks_are_refused_has_to_wait() {
    let secret = "what only Membrane was told";
    let server = Server::builder()
        .env("MCP__TUNING__MAX_TOKEN_FAILURES_PER_MIN", "3")
        .env("MCP__SERVER__PROXIES", "1")
        .env("MCP__WEBHOOKS__SECRET", secret)
        .start();
    let webhook = async |token: &str, address: &str| {
        let request = server.http.post(format!("{}/webhooks/membrane", server.url)).bearer_auth(token);
        reply_to(request.header("x-forwarded-for", address).json(&json!({"event": "flow.run"}))).await
    };
    let mut refused = 0;
    eventually("the address is locked out", async || {
        let status = webhook("a guess", "192.0.2.1").await.status.as_u16();
        refused += u64::from(status == 401);
        status == 429
    })
    .await;
    assert!(refused >= 3, "{refused}");
    let reply = server.client("eve").header("x-forwarded-for", "192.0.2.1").initialize("2025-11-25").await;
    assert_eq!(reply.status, 429, "tokens and webhooks are one to guess at");
    assert_eq!(webhook(secret, "192.0.2.1").await.status, 204, "who knows the secret gets in");
    assert_eq!(webhook("a guess", "192.0.2.2").await.status, 401, "another address");
}

#[tokio::test]
async fn a_request_without_a_token_is_no_failure() {
    let server = Server::builder().env("MCP__TUNING__MAX_TOKEN_FAILURES_PER_MIN", "1").start();
    for _ in 0..5 {
        let reply = reply_to(server.client_with("").request(Method::GET)).await;
        assert_eq!(reply.status, 401, "{reply:?}");
    }
    server.client("ann").open().await;
}

//! The HTTP+SSE transport of 2024-11-05: `GET /sse` and `POST /sse/messages`.

use std::time::Instant;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{PATIENCE, Reply, Server, sign, token};

const CHANGED: &str = "notifications/tools/list_changed";

/// H-01, H-09 (MCP 2024-11-05, basic/transports § HTTP with SSE): "When a client connects, the server MUST send an `endpoint`
/// event containing a URI for the client to use for sending messages."
#[tokio::test]
async fn the_endpoint_comes_first() {
    let server = Server::start();
    let by_query = format!("/sse?mode=static&token={}", token("ann"));
    let (header, nobody) = (server.client("ann"), server.client_with(""));
    for (case, client, path, leaks) in [("by header", &header, "/sse", false), ("by query", &nobody, &by_query, true)] {
        let mut session = client.open_sse(path).await;
        let headers = session.events.response.headers();
        assert_eq!(headers["content-type"], "text/event-stream", "{case}");
        assert_eq!(headers["x-accel-buffering"], "no", "{case}");
        assert!(headers["cache-control"].to_str().unwrap().contains("no-cache"), "{case}");
        assert!(session.endpoint.starts_with("/sse/messages?sessionId="), "{case}: {}", session.endpoint);
        assert_eq!(session.endpoint.contains("token="), leaks, "H-09: only if it came by query: {}", session.endpoint);
        session.initialize("2024-11-05").await;
        assert_eq!(session.result(1, "ping", json!({})).await, json!({}), "{case}: the endpoint suffices");
    }
    assert!(!server.log().contains(&token("ann")), "H-10: a token is never logged");
}

#[tokio::test]
async fn the_endpoint_honours_the_public_path() {
    let server = Server::builder().env("MCP__SERVER__PUBLIC_PATH", "/mcp-server").start();
    let session = server.client("ann").open_sse("/sse").await;
    assert!(session.endpoint.starts_with("/mcp-server/sse/messages?sessionId="), "{}", session.endpoint);
}

/// H-03, H-12, L-02 (MCP 2024-11-05, basic/lifecycle § Version Negotiation): the same version where it is supported, else
/// another.
#[tokio::test]
async fn every_session_revision_is_negotiated() {
    let server = Server::start();
    let client = server.client("ann");
    for (asked, answered) in [
        ("2024-11-05", "2024-11-05"),
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
        ("1.0", "2025-11-25"),
    ] {
        let mut session = client.open_sse("/sse").await;
        let result = session.initialize(asked).await;
        assert_eq!(result["protocolVersion"], answered, "{asked}: {result}");
        assert_eq!(result["capabilities"], json!({"tools": {"listChanged": true}}), "{asked}");
        let again = session.ask(json!("again"), "initialize", json!({"protocolVersion": asked})).await;
        assert_eq!(again["error"]["code"], -32600, "L-06, {asked}: {again}");
        assert_eq!(session.result(1, "ping", json!({})).await, json!({}), "{asked}: the session goes on");
    }
}

/// H-02 (MCP 2024-11-05, basic/transports § HTTP with SSE): "Server messages are sent as SSE `message` events".
#[tokio::test]
async fn messages_are_answered_on_the_stream() {
    let server = Server::start();
    let mut session = server.client("ann").open_sse("/sse").await;
    let ping = json!({"jsonrpc": "2.0", "id": "p", "method": "ping"});
    assert_eq!(session.post_text(&ping.to_string()).await.status, 202, "U-01: also before initialize");
    let block = session.events.event().await.unwrap();
    let data = block.strip_prefix("event: message\ndata: ").unwrap_or_else(|| panic!("{block}"));
    assert_eq!(serde_json::from_str::<Value>(data).unwrap(), json!({"jsonrpc": "2.0", "id": "p", "result": {}}));

    session.initialize("2024-11-05").await;
    let list = session.result(1, "tools/list", json!({})).await;
    assert!(list["tools"].as_array().unwrap().iter().any(|tool| tool["name"] == "gmail_send-email"));
    let sent = session.result(2, "tools/call", json!({"name": "slack_list-channels"})).await;
    assert_eq!(sent.get("isError"), None, "{sent}");
    let failed = session.result(3, "tools/call", json!({"name": "sandbox-faults_fail-500"})).await;
    assert_eq!(failed["isError"], true, "{failed}");
    for (method, params, code) in [
        ("tools/call", json!({"name": "no_such"}), -32602),
        ("tools/call", json!({}), -32602),
        ("resources/list", json!({}), -32601),
        ("server/discover", json!({}), -32601),
    ] {
        let answer = session.ask(json!(method), method, params).await;
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(method), &json!(code)), "{answer}");
    }
}

/// H-05: a body that can't be used is the POST's own trouble; the stream survives.
#[tokio::test]
async fn a_broken_body_is_refused_and_the_stream_survives() {
    let server = Server::start();
    let mut session = server.client("ann").open_sse("/sse").await;
    session.initialize("2024-11-05").await;
    for (body, code) in [("{\"jsonrpc\":", -32700), ("", -32700), ("{\"hello\":1}", -32600), ("[]", -32600)] {
        let reply = session.post_text(body).await;
        assert_eq!((reply.status.as_u16(), reply.code()), (400, code), "{body:?}: {reply:?}");
    }
    assert_eq!(session.result(1, "ping", json!({})).await, json!({}));
}

/// H-04, H-07, H-08, S-03: whose session it is, is asked on every POST.
#[tokio::test]
async fn only_its_user_may_post_to_a_session() {
    let server = Server::start();
    let mut session = server.client("ann").open_sse("/sse").await;
    session.initialize("2024-11-05").await;
    let unknown = "/sse/messages?sessionId=00000000-0000-4000-8000-000000000000";
    let (ann, bob, nobody) = (server.client("ann"), server.client("bob"), server.client_with(""));
    let forged = server.client_with(&sign(&crate::support::claims("ann"), "another key"));
    for (case, client, path, status) in [
        ("no token", &nobody, session.endpoint.as_str(), 401),
        ("a forged token", &forged, &session.endpoint, 401),
        ("another user", &bob, &session.endpoint, 404),
        ("no sessionId", &ann, "/sse/messages", 400),
        ("an unknown sessionId", &ann, unknown, 404),
        ("no id at all", &ann, "/sse/messages?sessionId=x", 404),
        ("an empty sessionId", &ann, "/sse/messages?sessionId=", 400),
    ] {
        let request = client.request_at(Method::POST, path).header("content-type", "application/json");
        let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
        let reply = Reply::read(request.body(ping.to_string()).send().await.unwrap()).await;
        assert_eq!(reply.status, status, "{case}: {reply:?}");
    }
    let reply = nobody.request_at(Method::GET, "/sse").send().await.unwrap();
    assert_eq!(reply.status(), 401);
    assert!(reply.headers().contains_key("www-authenticate"));
    let reply = ann.request_at(Method::GET, "/sse").header("accept", "application/json").send().await.unwrap();
    assert_eq!(reply.status(), 406, "T-17");
    // Nothing of all that came through: the next message is the answer to this.
    assert_eq!(session.result(2, "ping", json!({})).await, json!({}));
}

/// H-13, TO-12: `?mode=dynamic` and `?apps=`, with `list_changed` on the stream.
#[tokio::test]
async fn dynamic_mode_tells_of_changes_on_the_stream() {
    let server = Server::start();
    let mut session = server.client("ann").open_sse("/sse?mode=dynamic&apps=slack,gmail").await;
    session.initialize("2025-06-18").await;
    let names = |list: &Value| {
        let tools = list["tools"].as_array().unwrap().iter();
        tools.map(|tool| tool["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&session.result(1, "tools/list", json!({})).await), ["enable-tools"]);
    let arguments = json!({"tools": ["slack_list-users", "notion_create-page"]});
    let enable = json!({"name": "enable-tools", "arguments": arguments});
    let mut messages = vec![session.ask(json!(2), "tools/call", enable).await];
    messages.push(session.events.next().await.unwrap());
    let (changed, answers): (Vec<_>, Vec<_>) = messages.into_iter().partition(|message| message["method"] == CHANGED);
    assert_eq!((changed.len(), answers.len()), (1, 1), "{changed:?} {answers:?}");
    assert_eq!(answers[0]["result"]["content"][0]["text"], "Tools enabled");
    assert_eq!(names(&session.result(3, "tools/list", json!({})).await), ["enable-tools", "slack_list-users"]);

    let mut confined = server.client("ann").open_sse("/sse?apps=slack").await;
    confined.initialize("2024-11-05").await;
    let listed = names(&confined.result(1, "tools/list", json!({})).await);
    assert!(!listed.is_empty() && listed.iter().all(|name| name.starts_with("slack_")), "{listed:?}");
}

/// U-03 (MCP 2025-11-25, basic/utilities/cancellation § Behavior Requirements): stop, and send no response.
#[tokio::test]
async fn a_slow_call_holds_nothing_up_and_can_be_cancelled() {
    let server = Server::start();
    let mut session = server.client("ann").open_sse("/sse").await;
    session.initialize("2024-11-05").await;
    let params = json!({"name": "sandbox-faults_sleep", "arguments": {"ms": 60_000}});
    let call = json!({"jsonrpc": "2.0", "id": "slow", "method": "tools/call", "params": params});
    assert_eq!(session.post_text(&call.to_string()).await.status, 202);
    wait_for(&server, |stats| stats["requests"]["POST /action-instance/run"] == 1).await;
    assert_eq!(session.result(1, "ping", json!({})).await, json!({}));

    let params = json!({"requestId": "slow", "reason": "too slow"});
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params});
    assert_eq!(session.post_text(&cancel.to_string()).await.status, 202);
    wait_for(&server, |stats| stats["abandoned"] == 1).await;
    assert_eq!(session.result(2, "ping", json!({})).await, json!({}), "no response to the cancelled call");
}

/// Polls what the sandbox has seen.
async fn wait_for(server: &Server, holds: impl Fn(&Value) -> bool) {
    let begun = Instant::now();
    loop {
        let stats = server.stats().await;
        if holds(&stats) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{stats}");
    }
}

#[tokio::test]
async fn comments_keep_an_idle_stream_open() {
    let server = Server::builder().env("MCP__TUNING__STREAM_KEEP_ALIVE_S", "1").start();
    let mut session = server.client("ann").open_sse("/sse").await;
    for _ in 0..3 {
        let comment = session.events.block().await.unwrap();
        assert!(comment.starts_with(':'), "{comment}");
    }
}

/// H-11: a session ends with its stream, and none can be come back to.
#[tokio::test]
async fn a_session_lives_as_long_as_its_stream() {
    let server = Server::start();
    let client = server.client("ann");
    let mut session = client.open_sse("/sse").await;
    session.initialize("2024-11-05").await;
    let endpoint = session.endpoint.clone();
    drop(session);
    let begun = Instant::now();
    loop {
        let request = client.request_at(Method::POST, &endpoint).header("content-type", "application/json");
        let reply = request.body("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}").send().await.unwrap();
        if reply.status() == 404 {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "the session outlives its stream: {}", reply.status());
    }
    let id = endpoint.split_once("sessionId=").unwrap().1;
    let path = format!("/sse?sessionId={id}");
    let reply = client.request_at(Method::GET, &path).header("accept", "text/event-stream").send().await.unwrap();
    assert_eq!(reply.status(), 404);
}

#[tokio::test]
async fn a_server_that_stops_ends_the_streams() {
    let server = Server::start();
    let mut session = server.client("ann").open_sse("/sse").await;
    session.initialize("2024-11-05").await;
    let mut events = session.events;
    assert!(tokio::task::spawn_blocking(|| server.stop()).await.unwrap().success());
    assert_eq!(events.next().await, None);
}

/// D-07 (MCP 2026-07-28, basic/versioning § Backward Compatibility): an answer without "a recognized modern error body" makes a
/// newer client fall back to `GET /sse`.
#[tokio::test]
async fn a_post_to_the_stream_sends_newer_clients_back() {
    let server = Server::start();
    let client = server.client("ann");
    let request = client.modern("server/discover", json!({})).request().build().unwrap();
    let body = request.body().unwrap().as_bytes().unwrap().to_vec();
    let headers = request.headers().clone();
    let post = client.request_at(Method::POST, "/sse").headers(headers).body(body);
    let reply = Reply::read(post.send().await.unwrap()).await;
    assert_eq!((reply.status.as_u16(), reply.header("allow")), (405, Some("GET")), "{reply:?}");
    let code = reply.code();
    assert!((-32019..=-32000).contains(&code), "a client would take {code} for a modern error: {reply:?}");
}

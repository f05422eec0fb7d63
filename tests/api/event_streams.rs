//! A client that takes nothing but `text/event-stream` is answered by a stream (MCP 2025-11-25, basic/transports § Sending
//! Messages to the Server).

use reqwest::Method;
use serde_json::json;

use crate::support::{Client, Reply, Server, assert_error};

fn events_only(server: &Server) -> Client<'_> {
    server.client("ann").header("accept", "text/event-stream")
}

/// The only message of a stream that has ended.
fn only_event(reply: &Reply) -> serde_json::Value {
    let head = (reply.status.as_u16(), reply.header("content-type"), reply.header("x-accel-buffering"));
    assert_eq!(head, (200, Some("text/event-stream"), Some("no")), "{reply:?}");
    let mut events = reply.events();
    assert_eq!(events.len(), 1, "{reply:?}");
    events.remove(0)
}

#[tokio::test]
async fn every_request_can_be_answered_by_a_stream() {
    let server = Server::start();
    let reply = events_only(&server).initialize("2025-06-18").await;
    assert_eq!(only_event(&reply)["result"]["protocolVersion"], "2025-06-18");
    let client = events_only(&server).in_session(reply.header("mcp-session-id").expect("a session id"));

    let ping = only_event(&client.ask("ping", json!({})).await);
    assert_eq!(ping, json!({"jsonrpc": "2.0", "id": 1, "result": {}}));

    let listed = only_event(&client.ask("tools/list", json!({})).await);
    assert_eq!(
        listed["result"]["tools"].as_array().unwrap().len(),
        server.client("ann").open().await.tools().await.len()
    );

    let called = only_event(&client.call("sandbox-faults_echo", json!({"text": "two\n\nlines"})).await);
    assert_eq!(called["result"]["content"][0]["text"], r#"{"text":"two\n\nlines"}"#);
}

#[tokio::test]
async fn an_error_that_turns_up_in_the_stream_is_its_event() {
    let server = Server::builder().env("MCP__CATALOG__FRESH_S", "0").env("MCP__TUNING__CATALOG_STALE_S", "0").start();
    let client = events_only(&server).open().await;
    // The tools that opening the session asked for have come, so that the next list asks anew.
    only_event(&client.ask("tools/list", json!({})).await);
    server.sandbox(Method::PUT, "/sandbox/faults", "ann", json!([{"path": "/connections", "status": 500}])).await;
    let error = only_event(&client.ask("tools/list", json!({})).await);
    assert_eq!((&error["id"], &error["error"]["code"]), (&json!(1), &json!(-32603)), "{error}");
}

#[tokio::test]
async fn errors_before_the_stream_are_json_with_their_status() {
    let server = Server::start();
    let client = events_only(&server).open().await;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    assert_error(&client.post_text("{").await, 400, -32700, "no JSON");
    assert_error(&client.post(json!({})).await, 400, -32600, "no message");
    assert_error(&client.post(json!([ping])).await, 400, -32600, "a batch");
    assert_error(&client.initialize("2025-11-25").await, 400, -32600, "a second initialize");
    assert_error(&client.ask("no/such", json!({})).await, 200, -32601, "an unknown method");
    assert_error(&client.ask("tools/list", json!({"cursor": "x"})).await, 200, -32602, "a cursor");
    assert_error(&client.ask("tools/call", json!({})).await, 200, -32602, "no name");
    assert_error(&client.call("no_such-tool", json!({})).await, 200, -32602, "an unknown tool");
    assert_error(&events_only(&server).post(ping.clone()).await, 400, -32000, "no session");
    let elsewhere = client.clone().in_session("00000000-0000-4000-8000-000000000000");
    assert_error(&elsewhere.post(ping.clone()).await, 404, -32000, "an unknown session");
    assert_error(&events_only(&server).ask("initialize", json!({})).await, 200, -32602, "a malformed initialize");
    let strange = client.clone().header("mcp-protocol-version", "1999-01-01");
    assert_error(&strange.post(ping).await, 400, -32000, "an unknown revision");
}

#[tokio::test]
async fn each_answer_of_a_batch_is_an_event() {
    let server = Server::start();
    let client = events_only(&server).open_with("2025-03-26").await;
    let ping = |id| json!({"jsonrpc": "2.0", "id": id, "method": "ping"});
    let reply = client.post(json!([ping(1), ping(2), {"hello": 1}])).await;
    assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, Some("text/event-stream")), "{reply:?}");
    let mut events = reply.events();
    events.sort_by_key(|event| event["id"].as_i64());
    assert_eq!(events[0]["error"]["code"], -32600, "{events:?}");
    assert_eq!(events[0].get("id"), None, "{events:?}");
    assert_eq!(events[1..], [1, 2].map(|id| json!({"jsonrpc": "2.0", "id": id, "result": {}})));
}

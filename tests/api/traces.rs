//! Whether a trace goes through the server, and what a collector is told of it.

use serde_json::json;

#[cfg(feature = "otel")]
mod collector;

use crate::{
    support::{Client, Server, eventually},
    upstream::Upstream,
};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const OTHER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const RUN: &str = "/action-instance/run";

/// Calls the tool with this `_meta`.
async fn call(client: &Client<'_>, meta: serde_json::Value) {
    let reply = client.ask("tools/call", json!({"name": "app_do", "arguments": {}, "_meta": meta})).await;
    assert_eq!(reply.result()["content"][0]["text"], "\"done\"");
}

#[tokio::test]
async fn the_context_of_a_header_goes_on_to_the_upstream() {
    let upstream = Upstream::start();
    let server = Server::before(&upstream.url).start();
    let state = "vendor=1,other=2";
    let ann = server.client("ann").header("traceparent", PARENT).header("tracestate", state).open().await;
    for path in ["/connections", "/actions"] {
        // The session's tools are loaded beside the answer that opens it.
        let what = format!("{path} is asked for in the trace");
        eventually(&what, async || upstream.headers(path, "traceparent") == [PARENT]).await;
    }
    call(&ann, json!({})).await;
    ann.modern_call("app_do", json!({})).send().await.result();
    assert_eq!(upstream.headers(RUN, "traceparent"), [PARENT, PARENT]);
    assert_eq!(upstream.headers(RUN, "tracestate"), [state, state]);
}

#[tokio::test]
async fn the_context_of_a_message_counts_before_that_of_the_header() {
    let upstream = Upstream::start();
    let server = Server::before(&upstream.url).start();
    let ann = server.client("ann").header("traceparent", OTHER).header("tracestate", "of=header").open().await;
    call(&ann, json!({"traceparent": PARENT, "tracestate": "of=message"})).await;
    let modern = ann.modern_call("app_do", json!({}));
    modern.meta("traceparent", json!(PARENT)).send().await.result();
    assert_eq!(upstream.headers(RUN, "traceparent"), [PARENT, PARENT]);
    assert_eq!(upstream.headers(RUN, "tracestate"), ["of=message", ""]);
    // Each message has its own.
    call(&ann, json!({"traceparent": "00-malformed"})).await;
    assert_eq!(upstream.headers(RUN, "traceparent")[2], OTHER);
}

#[tokio::test]
async fn each_message_of_a_batch_and_of_sse_has_its_own_context() {
    let upstream = Upstream::start();
    let server = Server::before(&upstream.url).start();
    let ann = server.client("ann").open_with("2025-03-26").await;
    let call = |id: u32, parent: &str| {
        let params = json!({"name": "app_do", "arguments": {}, "_meta": {"traceparent": parent}});
        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})
    };
    let reply = ann.post(json!([call(1, PARENT), call(2, OTHER)])).await;
    assert_eq!(reply.json().as_array().map(Vec::len), Some(2), "{reply:?}");
    let mut seen = upstream.headers(RUN, "traceparent");
    seen.sort();
    assert_eq!(seen, [PARENT, OTHER]);

    let mut stream = server.client("ann").header("traceparent", OTHER).open_sse("/sse").await;
    stream.initialize("2024-11-05").await;
    for meta in [json!({"traceparent": PARENT}), json!({})] {
        stream.result(3, "tools/call", json!({"name": "app_do", "arguments": {}, "_meta": meta})).await;
    }
    assert_eq!(upstream.headers(RUN, "traceparent")[2..], [PARENT, OTHER]);
}

#[tokio::test]
async fn without_a_sound_context_none_is_made_up() {
    let upstream = Upstream::start();
    let server = Server::before(&upstream.url).start();
    let ann = server.client("ann").open().await;
    call(&ann, json!({})).await;
    call(&ann.clone().header("traceparent", "00-1-2-3"), json!({"traceparent": "no"})).await;
    call(&ann.clone().header("traceparent", PARENT).header("traceparent", OTHER), json!({})).await;
    call(&ann.clone().header("tracestate", "a=1"), json!({"tracestate": "a=1"})).await;
    assert_eq!(upstream.headers(RUN, "traceparent"), [""; 4]);
    assert_eq!(upstream.headers(RUN, "tracestate"), [""; 4]);
}

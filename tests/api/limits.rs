//! What a client may ask for at once, and what becomes of one that does not read.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    sockets::{Event, Wire, call, get, post, post_for_events, sleep, with_progress},
    support::{Server, assert_error, eventually, reply_to},
};

const VERY_LONG_MS: u64 = 60_000;

pub async fn cancel(client: &crate::support::Client<'_>, id: &Value) {
    let params = json!({"requestId": id});
    client.post(json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})).await;
}

#[tokio::test]
async fn a_session_runs_so_many_calls_at_once_and_no_more() {
    let server = Server::builder()
        .env("MCP__TUNING__MAX_CALLS_IN_FLIGHT", "2")
        .env("MCP__TUNING__STREAM_AFTER_MS", "60000")
        .start();
    let client = server.client("ann").open().await;
    let ids = [json!("one"), json!("two")];
    let long = join_all(ids.iter().map(|id| client.post(sleep(id.clone(), VERY_LONG_MS))));
    let (ended, ()) = tokio::join!(long, async {
        eventually("both run", async || server.stats().await["running"] == 2).await;
        let refused = client.call("sandbox-faults_echo", json!({})).await;
        assert_error(&refused, 200, -32603, "a third call");
        let message = refused.json()["error"]["message"].as_str().unwrap().to_lowercase();
        assert!(message.contains("too many calls") && message.contains("at most 2"), "{message}");
        let streamed = call(json!(4), "sandbox-faults_echo", json!({}));
        let streamed = Wire::send(post_for_events(&client, streamed)).await.rest().await;
        assert_eq!(streamed.last().map(|event| event.json()["error"]["code"].clone()), Some(json!(-32603)));

        assert!(!client.tools().await.is_empty(), "what is no call is answered");
        let other = server.client("ann").open().await;
        assert_eq!(other.output("sandbox-faults_echo", json!({"a": 1})).await, json!({"a": 1}), "another session");

        cancel(&client, &ids[0]).await;
        let is_taken = async || client.call("sandbox-faults_echo", json!({})).await.json().get("result").is_some();
        eventually("a call is taken when one has ended", is_taken).await;
        cancel(&client, &ids[1]).await;
    });
    assert!(ended.iter().all(|reply| reply.text.is_empty()), "the calls that were running, cancelled: {ended:?}");
}

#[tokio::test]
async fn calls_without_a_session_are_bounded_by_chat_and_by_user() {
    let server = Server::builder()
        .env("MCP__TUNING__MAX_CALLS_IN_FLIGHT", "2")
        .env("MCP__TUNING__STREAM_AFTER_MS", "60000")
        .start();
    let ann = server.client("ann");
    let (chat, other_chat) = (ann.clone().header("x-chat-id", "one"), ann.clone().header("x-chat-id", "two"));
    for (case, client, other) in [("a chat", &chat, &other_chat), ("no chat", &ann, &chat)] {
        let long = client.modern_call("sandbox-faults_sleep", json!({"ms": VERY_LONG_MS}));
        let mut running: Vec<_> = (0..2).map(|_| Box::pin(long.send())).collect();
        let meanwhile = async {
            eventually("both run", async || server.stats().await["running"] == 2).await;
            let refused = client.modern_call("sandbox-faults_echo", json!({})).send().await;
            assert_error(&refused, 200, -32603, case);
            assert!(refused.text.contains("at most 2"), "{case}: {refused:?}");
            let refused = client.modern_call("enable-tools", json!({"tools": []})).send().await;
            assert!(!refused.text.contains("Tools enabled"), "{case}: {refused:?}");
            other.modern_call("sandbox-faults_echo", json!({})).send().await.result();
            server.client("bob").modern_call("sandbox-faults_echo", json!({})).send().await.result();
            assert!(client.modern_list().await["tools"].is_array(), "{case}: what is no call is answered");
        };
        let (one, two) = (running.remove(0), running.remove(0));
        tokio::select! {
            reply = one => panic!("{case}: it was over first: {reply:?}"),
            reply = two => panic!("{case}: it was over first: {reply:?}"),
            () = meanwhile => {}
        }
        drop(running);
        // Both have been given up by now, each with its connection.
        let is_taken = async || {
            let reply = client.modern_call("sandbox-faults_echo", json!({})).send().await;
            reply.json().get("result").is_some()
        };
        eventually("a call is taken when others were given up", is_taken).await;
        eventually("the upstream sees them go", async || server.stats().await["running"] == 0).await;
    }
}

#[tokio::test]
async fn a_reader_that_stalls_loses_its_stream_and_can_go_on_with_it() {
    let server = Server::builder()
        .env("MCP__TUNING__STREAM_AFTER_MS", "1")
        .env("MCP__TUNING__PROGRESS_MS", "10")
        .env("MCP__TUNING__STREAM_QUEUE_BYTES", "65536")
        .env("MCP__TUNING__STREAM_LOG_EVENTS", "100000")
        .env("MCP__TUNING__STREAM_LOG_BYTES", "1000000000")
        .start();
    let client = server.client("ann").open().await;
    // Each word of progress repeats the token, so that they soon fill what lies between the server and its reader.
    let token = "x".repeat(1 << 17);
    let mut wire = Wire::send(post(&client, with_progress(sleep(json!(1), 6000), &token))).await;
    let first = wire.next().await.unwrap();
    drop(wire);

    let mut stalled = Wire::send_stalling(get(&client, Some(first.id()))).await;
    assert_eq!(stalled.status, 200);
    let has_ended = async || {
        let stats = server.stats().await;
        (&stats["requests"]["POST /action-instance/run"], &stats["running"]) == (&json!(1), &json!(0))
    };
    eventually("the call has ended", has_ended).await;
    assert_eq!(client.ask("ping", json!({})).await.result(), json!({}), "the session lives");

    let mut seen = vec![first];
    while let Some(event) = stalled.next().await {
        seen.push(event);
    }
    assert!(seen[1..].iter().all(|event| event.json()["method"] == "notifications/progress"), "it has been closed");
    let mut rest = Wire::send(get(&client, seen.last().map(Event::id))).await;
    while let Some(event) = rest.next().await {
        seen.push(event);
    }
    let places: Vec<u64> = seen.iter().map(|event| event.id().split('_').nth(1).unwrap().parse().unwrap()).collect();
    assert_eq!(places, (1..=seen.len() as u64).collect::<Vec<_>>(), "each event once, in order");
    let answer = seen.last().unwrap().json();
    assert_eq!(answer["result"]["content"][0]["text"], json!({"sleptMs": 6000}).to_string());
}

#[tokio::test]
async fn a_reader_that_stalls_on_http_sse_loses_its_session() {
    let server = Server::builder().env("MCP__TUNING__STREAM_QUEUE_BYTES", "65536").start();
    let request = server.http.get(format!("{}/sse", server.url)).bearer_auth(crate::support::token("ann"));
    let mut stalled = Wire::send_stalling(request.header("accept", "text/event-stream")).await;
    let endpoint = stalled.next().await.unwrap().data;
    let large = call(json!(1), "sandbox-faults_large-output", json!({}));
    let ask = async || {
        let request = server.http.post(format!("{}{endpoint}", server.url)).bearer_auth(crate::support::token("ann"));
        reply_to(request.json(&large)).await.status
    };
    assert_eq!(ask().await, 202);
    eventually("answers that nobody reads end the session", async || ask().await == 404).await;
}

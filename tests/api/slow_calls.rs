//! Answers that take long: JSON or an event stream, and word of progress. The same in both eras.

use serde_json::{Value, json};

use crate::{
    modern_support::Modern,
    support::{Client, Reply, Server},
};

/// Longer than the server waits in these tests before it streams, by so much that no machine is too slow for it.
const SLOW_MS: u64 = 1500;

#[derive(Debug, Clone, Copy)]
enum Era {
    Session,
    Modern,
}

const ERAS: [Era; 2] = [Era::Session, Era::Modern];

async fn call(server: &Server, era: Era, accept: &str, tool: &str, arguments: Value, token: Option<Value>) -> Reply {
    let meta = token.map_or(json!({}), |token| json!({"progressToken": token}));
    let params = json!({"name": tool, "arguments": arguments, "_meta": meta});
    let client: Client<'_> = server.client("ann");
    match era {
        Era::Session => client.open().await.header("accept", accept).ask("tools/call", params).await,
        Era::Modern => {
            let request: Modern<'_> = client.modern("tools/call", params);
            request.with("accept", accept).send().await
        }
    }
}

const BOTH: &str = "application/json, text/event-stream";
const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

/// T-09 (MCP 2025-11-25, basic/transports § Sending Messages), M-03 (MCP 2026-07-28, basic/transports/streamable-http §
/// Receiving Messages).
#[tokio::test]
async fn a_quick_answer_is_json() {
    let server = Server::builder()
        .env("MCP__TUNING__STREAM_AFTER_MS", "60000")
        .env("MCP__OUTPUTS__MAX_TOKENS", "10000000")
        .start();
    for era in ERAS {
        for token in [None, Some(json!("t"))] {
            let reply = call(&server, era, BOTH, "sandbox-faults_sleep", json!({"ms": 1}), token).await;
            assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, Some(JSON)), "{era:?}: {reply:?}");
            assert_eq!(reply.result()["content"][0]["text"], "{\"sleptMs\":1}", "{era:?}");
        }
        // Python's SDK takes no event beyond a megabyte.
        let reply = call(&server, era, BOTH, "sandbox-faults_large-output", json!({}), Some(json!("t"))).await;
        assert_eq!(reply.header("content-type"), Some(JSON), "{era:?}");
        assert!(reply.text.len() > 1 << 20, "{era:?}");
    }
}

#[tokio::test]
async fn a_list_is_json_however_long_it_takes() {
    let server = Server::builder()
        .env("MCP__TUNING__STREAM_AFTER_MS", "1")
        .env("MCP__TUNING__SANDBOX_LATENCY_MS", "300")
        .start();
    for (user, era) in [("ann", Era::Session), ("bob", Era::Modern)] {
        let client = server.client(user);
        let reply = match era {
            Era::Session => client.open().await.ask("tools/list", json!({"_meta": {"progressToken": 1}})).await,
            Era::Modern => client.modern("tools/list", json!({})).send().await,
        };
        assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, Some(JSON)), "{era:?}: {reply:?}");
        assert!(!reply.result()["tools"].as_array().unwrap().is_empty(), "{era:?}");
    }
}

#[tokio::test]
async fn a_slow_answer_is_a_stream_that_ends_with_it() {
    let server =
        Server::builder().env("MCP__TUNING__STREAM_AFTER_MS", "1").env("MCP__TUNING__PROGRESS_MS", "50").start();
    for era in ERAS {
        let reply = call(&server, era, BOTH, "sandbox-faults_sleep", json!({"ms": SLOW_MS}), None).await;
        assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, Some("text/event-stream")), "{era:?}");
        assert_eq!(reply.header("x-accel-buffering"), Some("no"), "{era:?}: proxies must not hold it back");
        let events = reply.events();
        assert_eq!(events.len(), 1, "U-05: no progress without a token, {era:?}: {events:?}");
        assert_eq!((&events[0]["id"], &events[0]["result"]["isError"]), (&json!(1), &Value::Null), "{era:?}");

        let reply = call(&server, era, JSON, "sandbox-faults_sleep", json!({"ms": SLOW_MS}), Some(json!("t"))).await;
        assert_eq!(reply.header("content-type"), Some(JSON), "a client of JSON alone, {era:?}: {reply:?}");
        assert!(reply.result()["content"].is_array(), "{era:?}");
    }
}

/// U-05, M-17 (MCP 2026-07-28, basic/patterns/progress; MCP 2025-11-25, basic/utilities/progress): "The progress value MUST
/// increase with each notification"; progress notifications "MUST stop after completion".
#[tokio::test]
async fn progress_rises_under_the_clients_token_until_the_response() {
    let server =
        Server::builder().env("MCP__TUNING__STREAM_AFTER_MS", "1").env("MCP__TUNING__PROGRESS_MS", "50").start();
    for era in ERAS {
        for token in [json!("p-1"), json!(7), json!("7")] {
            let case = format!("{era:?} {token}");
            let arguments = json!({"ms": SLOW_MS});
            let reply = call(&server, era, BOTH, "sandbox-faults_sleep", arguments, Some(token.clone())).await;
            assert_eq!(reply.header("content-type"), Some("text/event-stream"), "{case}: {reply:?}");
            let mut events = reply.events();
            let response = events.pop().unwrap();
            assert_eq!(response["id"], 1, "{case}: the response is last: {response}");
            assert!(response["result"]["content"].is_array(), "{case}: {response}");
            assert!(events.len() >= 2, "{case}: {events:?}");
            let mut before = -1.0;
            for event in events {
                assert_eq!(event["method"], "notifications/progress", "{case}: {event}");
                assert_eq!(event["params"]["progressToken"], token, "{case}: with its JSON type: {event}");
                let progress = event["params"]["progress"].as_f64().unwrap();
                assert!(progress > before, "{case}: {progress} after {before}");
                before = progress;
            }
        }
    }
}

#[tokio::test]
async fn a_failure_on_a_stream_is_its_last_event() {
    let server = Server::start();
    for era in ERAS {
        let reply = call(&server, era, EVENTS, "sandbox-faults_fail-500", json!({}), Some(json!("t"))).await;
        let events = reply.events();
        assert_eq!(events.last().unwrap()["result"]["isError"], true, "{era:?}: {reply:?}");
    }
}

#[tokio::test]
async fn a_progress_token_that_is_none_costs_the_progress_alone() {
    let server =
        Server::builder().env("MCP__TUNING__STREAM_AFTER_MS", "1").env("MCP__TUNING__PROGRESS_MS", "50").start();
    for era in ERAS {
        for token in [json!(1.5), json!(true), json!({}), json!([1]), json!(null)] {
            let case = format!("{era:?} {token}");
            let reply = call(&server, era, BOTH, "sandbox-faults_sleep", json!({"ms": 300}), Some(token)).await;
            let events = reply.events();
            assert_eq!(events.len(), 1, "{case}: {events:?}");
            assert!(events[0]["result"]["content"].is_array(), "{case}: {events:?}");
        }
    }
}

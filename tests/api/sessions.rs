//! The life of a session: whose it is, its stream, its calls in flight, and its end.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Client, Reply, Server, assert_error, eventually};

const NO_SESSION: &str = "00000000-0000-4000-8000-000000000000";
/// Longer than any test waits.
const VERY_LONG_MS: u64 = 60_000;

/// A server that answers calls by JSON, however long a busy machine takes for what is done meanwhile.
fn patient() -> Server {
    Server::builder().env("MCP__TUNING__STREAM_AFTER_MS", "60000").start()
}

async fn sleep(client: &Client<'_>, id: Value, ms: u64) -> Reply {
    let params = json!({"name": "sandbox-faults_sleep", "arguments": {"ms": ms}});
    client.post(json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})).await
}

async fn cancel(client: &Client<'_>, params: Value) -> Reply {
    client.post(json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})).await
}

/// Waits until so many runs have reached the sandbox since its start.
async fn runs(server: &Server, count: u64) {
    let what = format!("{count} runs have begun");
    eventually(&what, async || server.requests("POST /action-instance/run").await == count).await;
}

#[tokio::test]
async fn a_foreign_session_looks_like_an_unknown_one() {
    let server = Server::start();
    let anns = server.client("ann").open().await;
    let session = anns.session.clone().unwrap();
    let bob = server.client("bob").open().await;
    let bodies = [
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}),
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "acme_crm_ping"}}),
        json!({"jsonrpc": "2.0", "id": 1, "method": "no/such"}),
        json!({"jsonrpc": "2.0", "id": 1, "result": {}}),
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}),
        json!([{"jsonrpc": "2.0", "id": 1, "method": "ping"}]),
    ];
    let (foreign, unknown) = (bob.clone().in_session(&session), bob.clone().in_session(NO_SESSION));
    for body in bodies {
        let (foreign, unknown) = (foreign.post(body.clone()).await, unknown.post(body.clone()).await);
        assert_error(&foreign, 404, -32000, format!("POST {body}"));
        assert_eq!(foreign.text, unknown.text, "POST {body}");
    }
    for (method, foreign, unknown) in
        [("GET", foreign.get().await, unknown.get().await), ("DELETE", foreign.delete().await, unknown.delete().await)]
    {
        assert_error(&foreign, 404, -32000, method);
        assert_eq!(foreign.text, unknown.text, "{method}");
    }
    assert!(!anns.tools().await.is_empty(), "ann's session goes on");
    assert!(!bob.tools().await.is_empty(), "and so does bob's own");
}

#[tokio::test]
async fn equal_request_ids_of_two_sessions_do_not_mix() {
    let server = patient();
    let [one, two] = [server.client("ann").open().await, server.client("ann").open().await];
    let echo = async |client: &Client<'_>, text: &str| {
        let output = client.output("sandbox-faults_echo", json!({"text": text})).await;
        assert_eq!(output, json!({"text": text}));
    };
    for round in 0..20 {
        let (a, b) = (format!("one {round}"), format!("two {round}"));
        tokio::join!(echo(&one, &a), echo(&two, &b));
    }
    let (asleep, ()) = tokio::join!(sleep(&one, json!(1), VERY_LONG_MS), async {
        runs(&server, 41).await;
        cancel(&two, json!({"requestId": 1})).await;
        assert_eq!(two.ask("ping", json!({})).await.result(), json!({}));
        assert_eq!(server.stats().await["running"], 1, "the other session's call is not the one to cancel");
        cancel(&one, json!({"requestId": 1})).await;
    });
    assert_eq!(asleep.text, "");
}

#[tokio::test]
async fn a_session_answers_before_it_is_initialized() {
    let server = Server::start();
    let client = server.client("ann").open().await;
    assert_eq!(client.ask("ping", json!({})).await.result(), json!({}));
    assert!(!client.tools().await.is_empty());
}

#[tokio::test]
async fn delete_ends_the_stream_and_answers_the_calls_in_flight() {
    let server = patient();
    let client = server.client("ann").open().await;
    let mut events = client.stream().await;
    let (call, ()) = tokio::join!(sleep(&client, json!("call"), VERY_LONG_MS), async {
        runs(&server, 1).await;
        assert_eq!(client.delete().await.status, 200);
    });
    assert_error(&call, 404, -32000, "the call in flight");
    assert_eq!(call.json()["id"], "call");
    assert_eq!(events.next().await, None, "the stream ends");
}

#[tokio::test]
async fn the_stream_is_open_before_anything_happens() {
    let server = Server::builder().env("MCP__TUNING__STREAM_KEEP_ALIVE_S", "1").start();
    let client = server.client("ann").open().await;
    let request = client.request(Method::GET).header("accept", "text/event-stream");
    let mut response = request.send().await.unwrap();
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(response.status(), 200);
    assert_eq!(header("content-type").as_deref(), Some("text/event-stream"));
    assert_eq!(header("x-accel-buffering").as_deref(), Some("no"));
    assert!(header("cache-control").is_some_and(|value| value.contains("no-cache")));

    let mut seen = String::new();
    while seen.lines().filter(|line| line.starts_with(':')).count() < 2 {
        let chunk = tokio::time::timeout(crate::support::PATIENCE, response.chunk()).await.expect("a comment in time");
        seen.push_str(std::str::from_utf8(&chunk.unwrap().expect("the stream stays open")).unwrap());
    }
    assert!(!seen.contains("event:"), "comments, and how to come back: {seen:?}");
}

#[tokio::test]
async fn a_stream_tells_of_changes_to_the_list() {
    let server = Server::start();
    let client = server.client("ann").query("mode=dynamic").open().await;
    let mut events = client.stream().await;
    client.call("enable-tools", json!({"tools": ["gmail_list-emails"]})).await.result();
    let changed = json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"});
    assert_eq!(events.next().await, Some(changed));
    client.delete().await;
    assert_eq!(events.next().await, None, "once");
}

#[tokio::test]
async fn a_second_stream_takes_the_place_of_the_first() {
    let server = Server::start();
    let client = server.client("ann").query("mode=dynamic").open().await;
    let mut first = client.stream().await;
    let mut second = client.stream().await;
    assert_eq!(first.next().await, None, "the first ends");
    client.call("enable-tools", json!({"tools": ["gmail_list-emails"]})).await.result();
    assert_eq!(second.next().await.unwrap()["method"], "notifications/tools/list_changed");
}

#[tokio::test]
async fn a_cancelled_call_is_given_up_and_not_answered() {
    let server = patient();
    for (accept, status) in [("application/json, text/event-stream", 202), ("text/event-stream", 200)] {
        let client = server.client("ann").header("accept", accept).open().await;
        let before = server.stats().await;
        let (begun, abandoned) = (
            before["requests"]["POST /action-instance/run"].as_u64().unwrap_or(0),
            before["abandoned"].as_u64().unwrap(),
        );
        let (call, ()) = tokio::join!(sleep(&client, json!("long"), VERY_LONG_MS), async {
            runs(&server, begun + 1).await;
            let reply = cancel(&client, json!({"requestId": "long", "reason": "changed my mind"})).await;
            assert_eq!((reply.status.as_u16(), reply.text.as_str()), (202, ""), "{accept}");
        });
        assert_eq!((call.status.as_u16(), call.events().len()), (status, 0), "{accept}: {call:?}");
        let given_up = async || server.stats().await["abandoned"] == abandoned + 1;
        eventually("the upstream's run is given up", given_up).await;
        assert_eq!(client.ask("ping", json!({})).await.status, 200, "{accept}: the session goes on");
    }
}

#[tokio::test]
async fn a_cancellation_that_names_no_call_is_ignored() {
    let server = patient();
    let client = server.client("ann").open().await;
    let strange = [
        json!({"requestId": "unknown"}),
        json!({"requestId": 2}),
        json!({"requestId": "1"}),
        json!({"requestId": null}),
        json!({"requestId": [1]}),
        json!({}),
    ];
    let (call, ()) = tokio::join!(sleep(&client, json!(1), VERY_LONG_MS), async {
        runs(&server, 1).await;
        for params in strange {
            let reply = cancel(&client, params.clone()).await;
            assert_eq!((reply.status.as_u16(), reply.text.as_str()), (202, ""), "{params}");
            let stats = server.stats().await;
            assert_eq!((&stats["running"], &stats["abandoned"]), (&json!(1), &json!(0)), "{params}");
        }
        cancel(&client, json!({"requestId": 1})).await;
    });
    assert_eq!(call.status, 202);
    assert_eq!(cancel(&client, json!({"requestId": 1})).await.status, 202, "a call that has ended");
}

#[tokio::test]
async fn two_calls_with_one_id_are_both_answered() {
    let server = Server::start();
    let client = server.client("ann").open().await;
    let (one, two) = tokio::join!(sleep(&client, json!(1), 300), sleep(&client, json!(1), 301));
    for (reply, ms) in [(one, 300), (two, 301)] {
        assert_eq!(reply.json()["id"], 1, "{reply:?}");
        assert_eq!(reply.result()["content"][0]["text"], json!({"sleptMs": ms}).to_string());
    }
}

#[tokio::test]
async fn a_request_that_is_sent_again_while_it_runs_is_the_same_call() {
    let server = Server::start();
    // Answered by JSON alone, however long a busy machine takes.
    let client = server.client("ann").header("accept", "application/json").open().await;
    let ask = || sleep(&client, json!(1), 2000);
    let replies = futures_util::future::join_all((0..5).map(|_| ask())).await;
    for reply in &replies {
        assert_eq!(reply.json(), replies[0].json());
    }
    assert_eq!(server.requests("POST /action-instance/run").await, 1);
    ask().await.result();
    assert_eq!(server.requests("POST /action-instance/run").await, 2, "after its end it is a new call");
    tokio::join!(sleep(&client, json!(2), 300), sleep(&client, json!("2"), 300));
    assert_eq!(server.requests("POST /action-instance/run").await, 4, "other ids are other calls");
}

#[tokio::test]
async fn a_client_that_leaves_does_not_cancel() {
    let server = Server::start();
    for (begun, accept) in [(1, "application/json, text/event-stream"), (2, "text/event-stream")] {
        let client = server.client("ann").header("accept", accept).open().await;
        tokio::select! {
            reply = sleep(&client, json!(1), 2000) => panic!("{accept}: too late to leave: {reply:?}"),
            () = runs(&server, begun) => {}
        }
        eventually("the run ends", async || server.stats().await["running"] == 0).await;
        assert_eq!(server.stats().await["abandoned"], 0, "{accept}: it ends by itself");
    }
}

#[tokio::test]
async fn the_server_stops_in_order_when_told_to() {
    let server = Server::start();
    let client = server.client("ann").open().await;
    let mut events = client.stream().await;
    let status = tokio::task::spawn_blocking(move || server.stop()).await.unwrap();
    assert_eq!(status.code(), Some(0));
    assert_eq!(events.next().await, None, "the stream ends");
}

#[tokio::test]
async fn a_call_in_flight_is_finished_before_the_server_stops() {
    let server = Server::builder().env("MCP__TUNING__STREAM_AFTER_MS", "60000").start();
    let client = server.client("ann").open().await;
    let (call, ()) = tokio::join!(sleep(&client, json!(1), 1000), async {
        runs(&server, 1).await;
        server.terminate();
    });
    assert_eq!(call.result()["content"][0]["text"], json!({"sleptMs": 1000}).to_string());
    drop(client);
    let status = tokio::task::spawn_blocking(move || server.stop()).await.unwrap();
    assert_eq!(status.code(), Some(0));
}

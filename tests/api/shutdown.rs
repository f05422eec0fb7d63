//! The server is told to stop while it is at work.

use std::{process::ExitStatus, time::Duration};

use futures_util::{FutureExt, future::join_all};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::{
    sockets::{Wire, call, get, post, sleep},
    support::{Client, PATIENCE, Server, eventually, reply_to, token},
    upstream::Upstream,
};

/// Long enough for all calls to have begun before the first one ends.
const MS: u64 = 3000;

const MODERN: &str = "2026-07-28";

async fn stop(server: Server) -> ExitStatus {
    tokio::task::spawn_blocking(move || server.stop()).await.unwrap()
}

/// Waits until so many calls have reached the sandbox.
async fn runs(server: &Server, count: u64) {
    eventually("the calls run", async || server.requests("POST /action-instance/run").await == count).await;
}

/// A request of revision 2026-07-28, which stands alone.
fn modern(client: &Client<'_>, mut message: Value) -> RequestBuilder {
    let prefix = "io.modelcontextprotocol";
    message["params"]["_meta"] =
        json!({format!("{prefix}/protocolVersion"): MODERN, format!("{prefix}/clientCapabilities"): {}});
    let mut request = client.request(Method::POST).header("mcp-protocol-version", MODERN);
    request = request.header("mcp-method", message["method"].as_str().unwrap());
    if let Some(name) = message["params"]["name"].as_str() {
        request = request.header("mcp-name", name);
    }
    request.json(&message)
}

/// The answer to a request, whichever way it comes.
async fn answer(request: RequestBuilder) -> Value {
    let reply = reply_to(request).await;
    match reply.header("content-type") {
        Some("text/event-stream") => reply.events().pop().unwrap_or_else(|| panic!("no answer: {reply:?}")),
        _ => reply.json(),
    }
}

/// The stream of a client of HTTP+SSE, and where that client is to POST.
async fn open_sse(server: &Server) -> (Wire, String) {
    let request = server.http.get(format!("{}/sse", server.url)).bearer_auth(token("ann"));
    let mut wire = Wire::send(request.header("accept", "text/event-stream")).await;
    let endpoint = wire.next().await.unwrap().data;
    (wire, format!("{}{endpoint}", server.url))
}

#[tokio::test]
async fn no_call_in_flight_is_lost() {
    // With more workers than calls of a kind, most sessions live on another worker than the connection.
    let builder = Server::builder().env("MCP__SERVER__WORKERS", "4").env("MCP__TUNING__STREAM_AFTER_MS", "500");
    let server = builder.start();
    let (json, events, any) = ("application/json", "text/event-stream", "application/json, text/event-stream");
    let mut calls = Vec::new();
    for (id, revision, accept) in [
        (1, "2025-03-26", json),
        (2, "2025-06-18", events),
        (3, "2025-11-25", json),
        (4, "2025-11-25", any),
        (5, "2025-11-25", events),
    ] {
        let client = server.client("ann").open_with(revision).await;
        calls.push((id, client.request(Method::POST).header("accept", accept).json(&sleep(id.into(), MS))));
    }
    for (id, accept) in [(6, json), (7, any), (8, events)] {
        let request = modern(&server.client("ann"), sleep(id.into(), MS));
        calls.push((id, request.header("accept", accept)));
    }
    let (mut sse, endpoint) = open_sse(&server).await;
    for id in [9, 10] {
        let message = server.http.post(&endpoint).bearer_auth(token("ann")).json(&sleep(id.into(), MS));
        assert_eq!(reply_to(message).await.status, 202);
    }

    let expected = json!({"sleptMs": MS}).to_string();
    let calls = join_all(calls.into_iter().map(|(id, request)| answer(request).map(move |answer| (id, answer))));
    let ((answers, streamed), ()) = tokio::join!(
        async {
            let streamed = async { [sse.next().await, sse.next().await, sse.next().await] };
            tokio::join!(calls, streamed)
        },
        async {
            runs(&server, 10).await;
            server.terminate();
        }
    );
    for (id, answer) in answers {
        assert_eq!(answer["result"]["content"][0]["text"], expected, "{id}: {answer}");
        assert_eq!(answer["id"], id, "{answer}");
    }
    let [one, two, end] = streamed;
    let mut ids: Vec<_> = [one, two].into_iter().flatten().map(|event| event.json()["id"].clone()).collect();
    ids.sort_by_key(Value::as_i64);
    assert_eq!(ids, [9, 10], "HTTP+SSE answers both");
    assert_eq!((end, sse.is_complete), (None, true), "and ends then");
    drop(sse);
    assert_eq!(stop(server).await.code(), Some(0));
}

#[tokio::test]
async fn calls_of_one_http_sse_session_that_end_together_are_all_answered() {
    let server = Server::start();
    let (sse, endpoint) = open_sse(&server).await;
    let ids: Vec<i64> = (1..=30).collect();
    let calls: Vec<_> = ids.iter().map(|id| sleep(json!(id), MS)).collect();
    let post = |call| reply_to(server.http.post(&endpoint).bearer_auth(token("ann")).json(call));
    for reply in join_all(calls.iter().map(post)).await {
        assert_eq!(reply.status, 202);
    }
    runs(&server, 30).await;
    server.terminate();
    let mut answered: Vec<_> = sse.rest().await.iter().filter_map(|event| event.json()["id"].as_i64()).collect();
    answered.sort_unstable();
    assert_eq!(answered, ids);
    assert_eq!(stop(server).await.code(), Some(0));
}

#[tokio::test]
async fn streams_on_which_nothing_is_awaited_end_at_once() {
    let server = Server::start();
    let busy = server.client("ann").open().await;
    let mut call =
        Wire::send(busy.request(Method::POST).header("accept", "text/event-stream").json(&sleep(json!(1), MS))).await;
    let client = server.client("ann").open().await;
    let own = Wire::send(get(&client, None)).await;
    let listen = json!({"jsonrpc": "2.0", "id": "sub", "method": "subscriptions/listen",
        "params": {"notifications": {"toolsListChanged": true}}});
    let anyone = server.client("ann");
    let in_chat = server.client("ann").header("x-chat-id", "chat");
    let mut subscriptions = Vec::new();
    for (case, client) in [("without a chat", &anyone), ("of a chat", &in_chat)] {
        let request = modern(client, listen.clone()).header("accept", "text/event-stream");
        let mut wire = Wire::send(request).await;
        assert_eq!(wire.status, 200, "{case}");
        assert_eq!(wire.next().await.unwrap().json()["method"], "notifications/subscriptions/acknowledged", "{case}");
        subscriptions.push((case, wire));
    }
    let (sse, _) = open_sse(&server).await;
    call.next().await.unwrap();
    server.terminate();

    assert!(own.rest().await.iter().all(|event| event.data.is_empty()), "nothing happened");
    assert_eq!(sse.rest().await, [], "HTTP+SSE");
    for (case, wire) in subscriptions {
        let rest = wire.rest().await;
        assert_eq!(rest.len(), 1, "{case}: {rest:?}");
        let result = rest[0].json();
        assert_eq!((&result["id"], result.get("result").is_some()), (&json!("sub"), true), "{case}: {result}");
    }
    let answer = call.rest().await.pop().unwrap().json();
    assert!(answer.get("result").is_some(), "the call that went on meanwhile: {answer}");
    assert_eq!(stop(server).await.code(), Some(0));
}

#[tokio::test]
async fn a_server_that_stops_takes_no_new_connections() {
    let server = Server::start();
    let client = server.client("ann").open().await;
    let own = Wire::send(get(&client, None)).await;
    let mut call =
        Wire::send(client.request(Method::POST).header("accept", "text/event-stream").json(&sleep(json!(1), MS))).await;
    call.next().await.unwrap();
    server.terminate();
    own.rest().await;
    // The call still runs, so that the process is there.
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let late = Wire::try_send(post(&client, ping), None).await;
    assert!(late.is_err(), "a new connection is answered while the server stops");
    assert_eq!(call.rest().await.len(), 1, "the call is answered");
    assert_eq!(stop(server).await.code(), Some(0));
}

#[tokio::test]
async fn a_call_that_outlasts_the_servers_patience_is_given_up() {
    let server = Server::builder().env("MCP__SERVER__SHUTDOWN_S", "1").start();
    let client = server.client("ann").open().await;
    let very_long = 2 * PATIENCE;
    let ms = u64::try_from(very_long.as_millis()).unwrap();
    let call = client.request(Method::POST).header("accept", "text/event-stream").json(&sleep(json!(1), ms));
    let mut wire = Wire::send(call).await;
    wire.next().await.unwrap();
    assert!(very_long > Duration::from_secs(1) + PATIENCE, "the call would outlast the test's patience, too");
    // To wait for it is to assert that it comes.
    stop(server).await;
    assert_eq!(wire.next().await, None, "there is no answer");
}

/// What a client saw that called again and again until the server was gone.
#[derive(Default)]
struct Seen {
    results: usize,
    last_words: usize,
}

/// Calls again and again on connections that are kept where the server allows, until it is gone.
async fn call_until_gone(client: &Client<'_>, request: impl Fn(&Client<'_>) -> RequestBuilder) -> Seen {
    let mut seen = Seen::default();
    // A connection pool of its own: each client comes back on the connection it has.
    let http = reqwest::Client::new();
    loop {
        let Ok(response) = http.execute(request(client).build().unwrap()).await else { return seen };
        let is_last = response.headers().get("connection").is_some_and(|value| value == "close");
        seen.last_words += usize::from(is_last);
        match response.status().as_u16() {
            200 => {
                let answer = response.text().await.expect("an answer that has begun is completed");
                assert!(answer.contains("result"), "{answer}");
                seen.results += 1;
            }
            // Refused before anything was done.
            503 => assert!(response.headers().contains_key("retry-after") && is_last, "{response:?}"),
            other => panic!("{other}: {response:?}"),
        }
    }
}

#[tokio::test]
async fn steady_traffic_loses_no_call_when_the_server_stops() {
    let upstream = Upstream::start();
    let server = Server::before(&upstream.url).env("MCP__SERVER__WORKERS", "2").env("MCP__LOG__FILTER", "info").start();
    let runs = || upstream.headers("/action-instance/run", "authorization").len();
    let message = || call(json!(1), "app_do", json!({}));
    let mut sessions = Vec::new();
    for _ in 0..4 {
        sessions.push(server.client("ann").open().await);
    }
    let alone = server.client("bob");
    let chat = server.client("bob").header("x-chat-id", "chat");
    let accept = "application/json, text/event-stream";
    let in_session = |client: &Client<'_>| post(client, message());
    let stateless = |client: &Client<'_>| modern(client, message()).header("accept", accept);
    let traffic = async {
        let in_sessions = join_all(sessions.iter().map(|client| call_until_gone(client, in_session)));
        let others = [&alone, &alone, &chat, &chat].map(|client| call_until_gone(client, stateless));
        let (mut seen, others) = tokio::join!(in_sessions, join_all(others));
        seen.extend(others);
        seen
    };
    let order = async {
        eventually("the traffic is steady", async || runs() >= 200).await;
        server.terminate();
    };
    let (seen, ()) = tokio::time::timeout(2 * PATIENCE, async { tokio::join!(traffic, order) })
        .await
        .expect("the server ends although its clients go on");
    let results: usize = seen.iter().map(|seen| seen.results).sum();
    assert_eq!(results, runs(), "each call that was run is answered");
    assert!(seen.iter().all(|seen| seen.last_words > 0), "each connection is told that it ends");
    assert_eq!(stop(server).await.code(), Some(0));
}

#[tokio::test]
async fn a_connection_without_a_request_does_not_delay_the_end() {
    let server = Server::start();
    let client = server.client("ann").open().await;
    // It stays in the pool of the test's client; these say nothing, and too little.
    let silent = crate::oversized::connect(&server);
    let unfinished = crate::oversized::connect(&server);
    unfinished.writable().await.unwrap();
    unfinished.try_write(b"GET / HTTP/1.1\r\n").unwrap();
    assert!(!client.tools().await.is_empty());
    server.terminate();
    server.wait_for_log("stopped");
    drop((silent, unfinished));
    assert!(!server.log().contains("given up"), "{}", server.log());
    assert_eq!(stop(server).await.code(), Some(0));
}

#[tokio::test]
async fn a_hangup_ends_nothing() {
    let server = Server::start();
    let client = server.client("ann").open().await;
    for _ in 0..2 {
        server.hang_up();
    }
    server.wait_for_log("SIGHUP changes nothing");
    assert!(!client.tools().await.is_empty());
    assert_eq!(stop(server).await.code(), Some(0));
}

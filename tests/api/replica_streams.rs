//! Answers that one server began and another goes on with.

use serde_json::{Value, json};

use crate::{
    fleet::Fleet,
    sockets::{Event, Wire, assert_unique, get, post, resume, sleep, with_progress},
    support::{Client, ServerBuilder, assert_error, eventually, reply_to},
};

const SLOW_MS: u64 = 1500;

fn streaming(server: ServerBuilder) -> ServerBuilder {
    server.env("MCP__TUNING__STREAM_AFTER_MS", "1").env("MCP__TUNING__PROGRESS_MS", "200")
}

/// Begins a call, reads the event that names its stream, and loses the connection.
async fn lose(client: &Client<'_>, call: Value) -> Event {
    let mut wire = Wire::send(post(client, call)).await;
    assert_eq!(wire.status, 200);
    wire.next().await.expect("the event that names the stream")
}

fn answers(events: &[Event]) -> Vec<Value> {
    events.iter().map(Event::json).filter(|message| message["method"].is_null()).collect()
}

fn slept(id: &Value, ms: u64) -> Value {
    let text = json!({"sleptMs": ms}).to_string();
    json!({"jsonrpc": "2.0", "id": id, "result": {"content": [{"type": "text", "text": text}]}})
}

#[tokio::test]
async fn a_call_that_one_server_runs_is_answered_by_another() {
    let fleet = Fleet::start_with(2, streaming).await;
    let client = fleet.client("ann").open().await;
    let call = with_progress(sleep(json!("call"), SLOW_MS), "p");
    let first = lose(&client, call).await;
    let there = fleet.at(1, &client);
    let rest = resume(&there, first.id()).await;
    assert_eq!(answers(&rest), [slept(&json!("call"), SLOW_MS)]);
    assert!(rest.len() > 1, "with word of its progress: {rest:?}");
    assert_unique([&first].into_iter().chain(&rest));
    assert_eq!(resume(&there, rest[0].id()).await, rest[1..], "after any of its events");
    assert_eq!(resume(&client, first.id()).await, rest, "and by the server that ran it");
    let after_the_answer = reply_to(get(&there, Some(rest.last().unwrap().id()))).await;
    assert_error(&after_the_answer, 400, -32000, "nothing follows the answer");
    assert_eq!(fleet.front.requests("POST /action-instance/run").await, 1);
}

#[tokio::test]
async fn what_was_answered_outlives_the_server_that_answered() {
    let fleet = Fleet::start_with(2, streaming).await;
    let client = fleet.client("ann").open().await;
    let first = lose(&client, sleep(json!(1), SLOW_MS)).await;
    let rest = resume(&client, first.id()).await;
    assert_eq!(answers(&rest), [slept(&json!(1), SLOW_MS)]);
    // The answer is logged while it is sent.
    let logged = async || fleet.redis.seen().windows(7).filter(|part| part == b"sleptMs").count() > 0;
    eventually("it is logged", logged).await;
    fleet.servers[0].kill();
    assert_eq!(resume(&fleet.at(1, &client), first.id()).await, rest);
}

#[tokio::test]
async fn a_call_that_was_lost_with_its_server_is_answered_by_an_error() {
    let fleet = Fleet::start_with(2, streaming).await;
    let client = fleet.client("ann").query("mode=dynamic").open().await;
    client
        .clone()
        .header("accept", "application/json")
        .call("enable-tools", json!({"tools": ["sandbox-faults_sleep"]}))
        .await;
    let first = lose(&client, sleep(json!("call"), 60_000)).await;
    eventually("the call runs", async || fleet.front.requests("POST /action-instance/run").await > 0).await;
    fleet.servers[0].kill();

    let there = fleet.at(1, &client);
    let rest = resume(&there, first.id()).await;
    let [error] = rest.as_slice() else { panic!("{rest:?}") };
    assert_eq!((&error.json()["id"], &error.json()["error"]["code"]), (&json!("call"), &json!(-32603)));
    let message = error.json()["error"]["message"].to_string();
    assert!(message.contains("has stopped") && message.contains("not known"), "{message}");
    let there = there.header("accept", "application/json");
    assert_eq!(there.tool_names().await, ["enable-tools", "sandbox-faults_sleep"], "the session goes on");
    there.output("sandbox-faults_sleep", json!({"ms": 0})).await;
}

#[tokio::test]
async fn ids_that_name_nothing_are_refused_by_every_server() {
    let fleet = Fleet::start_with(2, streaming).await;
    let client = fleet.client("ann").open().await;
    let first = lose(&client, sleep(json!(1), SLOW_MS)).await;
    let foreign = fleet.client("ann").open().await;
    let there = fleet.at(1, &client);
    let (stream, _) = first.id().split_once('_').unwrap();
    for (case, client, id) in [
        ("of another session", &fleet.at(1, &foreign), first.id().to_owned()),
        ("of a place to come", &there, format!("{stream}_99")),
        ("of no stream", &there, "s99_1".to_owned()),
    ] {
        assert_error(&reply_to(get(client, Some(&id))).await, 400, -32000, case);
    }
    assert_eq!(answers(&resume(&there, first.id()).await).len(), 1, "the stream is still there");
}

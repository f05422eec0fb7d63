//! Calls that run once under the key of their client.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    fleet::Fleet,
    support::{Client, Server, ServerBuilder, eventually},
};

fn mail(subject: &str) -> Value {
    json!({"to": ["bob@example.com"], "subject": subject, "body": "Hello"})
}

async fn send(client: &Client<'_>, key: &str, subject: &str) -> Value {
    let arguments = json!({"name": "gmail_send-email", "arguments": mail(subject), "idempotency_key": key});
    client.call("run-write-tool", arguments).await.result()
}

/// The result without the note that it is a repeat's.
fn bare(mut result: Value) -> Value {
    result.as_object_mut().unwrap().remove("_meta");
    result
}

/// Two servers that take many calls of one user, and answer each as JSON.
async fn start_fleet() -> Fleet {
    let set = |server: ServerBuilder| {
        let server = server.env("MCP__TUNING__MAX_CALLS_IN_FLIGHT", "200").env("MCP__TUNING__STREAM_AFTER_MS", "60000");
        server.env("MCP__MEMBRANE__PER_USER_CALLS_PER_S", "1000")
    };
    Fleet::start_with(2, set).await
}

async fn runs(server: &Server) -> u64 {
    server.requests("POST /action-instance/run").await
}

/// A server that answers as JSON however long it takes.
fn start() -> Server {
    Server::builder().env("MCP__TUNING__STREAM_AFTER_MS", "60000").start()
}

#[tokio::test]
async fn a_repeat_gets_the_result_of_the_first_call() {
    let server = start();
    let client = server.client("ann").query("mode=search").open().await;
    let first = send(&client, "k1", "one").await;
    assert_eq!((&first["isError"], &first["_meta"]), (&Value::Null, &Value::Null), "{first}");
    let again = send(&client, "k1", "one").await;
    assert_eq!(again["_meta"]["replayed"], true, "{again}");
    assert_eq!(bare(again), first);
    assert_eq!(runs(&server).await, 1);
    let arguments = json!({"name": "gmail_send-email", "arguments": mail("one"), "idempotency_key": "k1"});
    let modern =
        server.client("ann").query("mode=search").modern_call("run-write-tool", arguments).send().await.result();
    assert_eq!(modern["_meta"]["replayed"], true, "{modern}");
    assert_eq!(modern["_meta"].get("mended"), None, "nothing was mended: {modern}");
    let other = send(&client, "k1", "another").await;
    assert_eq!(other["isError"], true, "{other}");
    assert!(other["content"][0]["text"].as_str().unwrap().contains("belongs to another call"), "{other}");
    let bob = server.client("bob").query("mode=search").open().await;
    send(&bob, "k1", "one").await;
    send(&client, "k2", "one").await;
    assert_eq!(runs(&server).await, 3, "another user's key is another, and so is another key");
}

#[tokio::test]
async fn a_call_that_was_not_run_can_be_made_again() {
    let server = start();
    let client = server.client("ann").query("mode=search").open().await;
    let wrong = json!({"name": "gmail_send-email", "arguments": {"to": 7}, "idempotency_key": "k"});
    assert_eq!(client.call("run-write-tool", wrong).await.result()["isError"], true);
    assert_eq!(send(&client, "k", "one").await["isError"], Value::Null);
    let refused = json!({"name": "gmail_list-emails", "idempotency_key": "k"});
    assert_eq!(client.call("run-read-tool", refused).await.result()["isError"], true, "reads need no key");
    for key in ["", &"k".repeat(256)] {
        assert_eq!(send(&client, key, "one").await["isError"], true);
    }
    assert_eq!(runs(&server).await, 1);
}

#[tokio::test]
async fn of_a_hundred_calls_under_one_key_at_two_servers_one_runs() {
    let fleet = start_fleet().await;
    let open = fleet.client("ann").query("mode=search").open().await;
    let clients: Vec<_> = (0..100).map(|n| fleet.at(n % 2, &open)).collect();
    // Under ids of their own: a request that is sent again under its id is the same call anyway.
    let calls = clients.iter().enumerate().map(|(id, client)| {
        let params = json!({
            "name": "run-write-tool",
            "arguments": {"name": "gmail_send-email", "arguments": mail("one"), "idempotency_key": "k"}
        });
        client.post(json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}))
    });
    let results: Vec<_> = join_all(calls).await.iter().map(|reply| bare(reply.result())).collect();
    assert!(results.iter().all(|result| *result == results[0]), "{results:?}");
    assert_eq!(results[0]["isError"], Value::Null, "{}", results[0]);
    assert_eq!(fleet.front.requests("POST /action-instance/run").await, 1);
}

#[tokio::test]
async fn a_call_whose_server_died_is_not_run_again() {
    let fleet = start_fleet().await;
    let open = fleet.client("ann").query("mode=search").open().await;
    let there = fleet.at(1, &open);
    let sleep = async |client: &Client<'_>, id: u32| {
        let params = json!({
            "name": "run-write-tool",
            "arguments": {"name": "sandbox-faults_sleep", "arguments": {"ms": 60_000}, "idempotency_key": "k"}
        });
        client.post(json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})).await
    };
    let first = sleep(&open, 1);
    tokio::select! {
        _ = first => panic!("it ended"),
        () = eventually("it runs", async || fleet.front.stats().await["running"] == 1) => {}
    }
    fleet.servers[0].kill();
    let again = sleep(&there, 2).await.result();
    assert_eq!(again["isError"], true, "{again}");
    assert!(again["content"][0]["text"].as_str().unwrap().contains("may have been run"), "{again}");
    assert_eq!(fleet.front.requests("POST /action-instance/run").await, 1);
}

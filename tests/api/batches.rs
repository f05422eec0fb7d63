//! JSON-RPC batches: part of revision 2025-03-26 (basic/index § Batching), gone since 2025-06-18.

use serde_json::{Value, json};

use crate::support::{Server, assert_error};

fn request(id: impl Into<Value>, method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id.into(), "method": method, "params": params})
}

fn notification(method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "method": method, "params": params})
}

/// The answers of a batch in an order of their own: they may come in any.
fn sorted(answers: &Value) -> Vec<String> {
    let outline = |answer: &Value| {
        let id = answer.get("id").map_or_else(|| "no id".to_owned(), Value::to_string);
        let code = answer["error"]["code"].as_i64().map_or_else(|| "result".to_owned(), |code| code.to_string());
        format!("{id}: {code}")
    };
    let mut outlines: Vec<_> = answers.as_array().unwrap_or_else(|| panic!("{answers}")).iter().map(outline).collect();
    outlines.sort();
    outlines
}

#[tokio::test]
async fn each_item_of_a_batch_is_answered_by_itself() {
    let server = Server::start();
    let client = server.client("ann").open_with("2025-03-26").await;
    let call = |id: &str, tool: &str| request(id, "tools/call", json!({"name": tool}));
    let reply = client
        .post(json!([
            notification("notifications/initialized", json!({})),
            request(1, "ping", json!({})),
            request("list", "tools/list", json!({})),
            call("call", "acme_crm_ping"),
            call("unknown", "no_such-tool"),
            request(2, "no/such", json!({})),
            request(Value::Null, "ping", json!({})),
            {"jsonrpc": "2.0", "id": 9, "result": {}},
            {"hello": 1},
            7,
        ]))
        .await;
    assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, Some("application/json")), "{reply:?}");
    let expected = [
        r#""call": result"#,
        r#""list": result"#,
        r#""unknown": -32602"#,
        "1: result",
        "2: -32601",
        "no id: -32600",
        "no id: -32600",
        "no id: -32600",
    ];
    assert_eq!(sorted(&reply.json()), expected);
    assert!(!reply.text.contains(r#""id":null"#), "{reply:?}");
}

#[tokio::test]
async fn a_batch_without_requests_is_accepted_without_a_body() {
    let server = Server::start();
    let client = server.client("ann").open_with("2025-03-26").await;
    let initialized = notification("notifications/initialized", json!({}));
    let cases = [
        json!([initialized]),
        json!([initialized, notification("notifications/cancelled", json!({"requestId": 5}))]),
        json!([{"jsonrpc": "2.0", "id": 1, "result": {}}, {"jsonrpc": "2.0", "id": 2, "result": {}}]),
    ];
    for batch in cases {
        let reply = client.post(batch.clone()).await;
        assert_eq!((reply.status.as_u16(), reply.text.as_str()), (202, ""), "{batch}");
    }
}

#[tokio::test]
async fn initialize_must_not_be_part_of_a_batch() {
    let server = Server::start();
    let client = server.client("ann").open_with("2025-03-26").await;
    let batch =
        json!([request(1, "initialize", json!({"protocolVersion": "2025-03-26"})), request(2, "ping", json!({})),]);
    let reply = client.post(batch.clone()).await;
    assert_eq!(sorted(&reply.json()), ["1: -32600", "2: result"]);
    assert_eq!(reply.header("mcp-session-id"), None);

    let without_session = server.client("ann").post(batch).await;
    assert_error(&without_session, 400, -32000, "a batch without a session");
    assert_eq!(without_session.header("mcp-session-id"), None);
}

#[tokio::test]
async fn a_batch_can_cancel_what_it_asked_for() {
    let server = Server::start();
    let client = server.client("ann").open_with("2025-03-26").await;
    let sleep = json!({"name": "sandbox-faults_sleep", "arguments": {"ms": 60_000}});
    let batch = json!([
        request(1, "tools/call", sleep),
        notification("notifications/cancelled", json!({"requestId": 1})),
        request(2, "ping", json!({})),
    ]);
    assert_eq!(sorted(&client.post(batch).await.json()), ["2: result"]);
}

#[tokio::test]
async fn an_empty_batch_is_an_invalid_request_in_every_revision() {
    let server = Server::start();
    for revision in ["2025-03-26", "2025-06-18", "2025-11-25"] {
        let client = server.client("ann").open_with(revision).await;
        assert_error(&client.post(json!([])).await, 400, -32600, revision);
    }
}

#[tokio::test]
async fn later_revisions_refuse_batches() {
    let server = Server::start();
    for revision in ["2025-06-18", "2025-11-25"] {
        let client = server.client("ann").open_with(revision).await;
        let cases = [
            json!([request(1, "ping", json!({}))]),
            json!([notification("notifications/initialized", json!({}))]),
            json!([{"jsonrpc": "2.0", "id": 1, "result": {}}]),
            json!([7]),
        ];
        for batch in cases {
            let reply = client.post(batch.clone()).await;
            assert_error(&reply, 400, -32600, format!("{batch} in {revision}"));
            // What counts is the session, not what the request says.
            let old = client.clone().header("mcp-protocol-version", "2025-03-26").post(batch.clone()).await;
            assert_error(&old, 400, -32600, format!("{batch} in {revision}, called 2025-03-26"));
        }
    }
}

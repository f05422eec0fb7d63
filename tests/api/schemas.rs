//! Every message of the server is checked against the schema of its revision as the tests read it (see `wire`). Here each
//! revision sends one of every kind.

use serde_json::{Value, json};

use crate::{
    modern_support::{MODERN, conformance_token},
    support::Server,
    wire::faults,
};

/// Requests that have a result in every revision: method, parameters, and whether the tool fails.
fn sound_requests() -> Vec<(&'static str, Value, Value)> {
    let call = |name: &str, arguments: Value| json!({"name": name, "arguments": arguments});
    vec![
        ("tools/list", json!({}), Value::Null),
        ("tools/call", call("slack_list-channels", json!({})), Value::Null),
        ("tools/call", call("sandbox-faults_return-zero", json!({})), Value::Null),
        ("tools/call", call("sandbox-faults_no-output", json!({})), Value::Null),
        ("tools/call", call("sandbox-faults_return-list", json!({})), Value::Null),
        ("tools/call", call("sandbox-faults_large-output", json!({})), Value::Null),
        ("tools/call", call("sandbox-faults_fail-400", json!({})), json!(true)),
        ("tools/call", call("sandbox-faults_fail-action-run", json!({})), json!(true)),
        ("tools/call", call("sandbox-faults_malformed-output", json!({})), json!(true)),
        ("tools/call", call("sandbox-faults_broken-output-schema", json!({})), Value::Null),
        ("tools/call", call("gmail_send-email", json!({"to": 7})), json!(true)),
    ]
}

/// Requests that have none, with their code.
fn unsound_requests() -> Vec<(&'static str, Value, i64)> {
    vec![
        ("tools/call", json!({"name": "no_such"}), -32602),
        ("tools/call", json!({"arguments": {}}), -32602),
        ("tools/list", json!({"cursor": "abc"}), -32602),
        ("resources/list", json!({}), -32601),
    ]
}

const ENABLE: &str = "enable-tools";
const CHANGED: &str = "notifications/tools/list_changed";

#[tokio::test]
async fn streamable_http_sends_what_the_schema_of_each_session_revision_allows() {
    let server = Server::start();
    for revision in ["2025-03-26", "2025-06-18", "2025-11-25"] {
        let client = server.client("ann").open_with(revision).await;
        assert_eq!(client.ask("ping", json!({})).await.result(), json!({}), "{revision}");
        for (method, params, fails) in sound_requests() {
            let result = client.ask(method, params.clone()).await.result();
            assert_eq!(result["isError"], fails, "{revision} {params}: {result}");
        }
        for (method, params, code) in unsound_requests() {
            assert_eq!(client.ask(method, params.clone()).await.code(), code, "{revision} {method} {params}");
        }
        for (body, code) in [("{", -32700), ("{\"hello\":1}", -32600)] {
            assert_eq!(client.post_text(body).await.code(), code, "{revision} {body}");
        }
        let sleep = json!({"name": "sandbox-faults_sleep", "arguments": {"ms": 1}, "_meta": {"progressToken": "t"}});
        let streaming = client.clone().header("accept", "text/event-stream");
        assert_eq!(streaming.ask("tools/call", sleep).await.events().len(), 1, "{revision}");

        let client = server.client("ann").query("mode=dynamic").open_with(revision).await;
        let mut stream = client.stream().await;
        assert_eq!(client.tool_names().await, [ENABLE], "{revision}");
        client.call(ENABLE, json!({"tools": ["gmail_send-email"]})).await.result();
        assert_eq!(stream.next().await.unwrap()["method"], CHANGED, "{revision}");
        assert_eq!(client.tool_names().await, [ENABLE, "gmail_send-email"], "{revision}");

        let odd = server.client_with(&conformance_token("odd")).open_with(revision).await;
        assert!(odd.tools().await.len() > 5, "{revision}: schemas of every kind");
    }
    let client = server.client("ann").open_with("2025-03-26").await;
    let request = |id: u64, method: &str| json!({"jsonrpc": "2.0", "id": id, "method": method});
    let batch = json!([request(1, "ping"), request(2, "tools/list"), request(3, "no/such"), 7]);
    assert_eq!(client.post(batch).await.json().as_array().unwrap().len(), 4, "B-06");
}

#[tokio::test]
async fn http_with_sse_sends_what_the_schema_of_each_session_revision_allows() {
    let server = Server::start();
    let client = server.client("ann");
    for revision in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        let mut session = client.open_sse("/sse").await;
        assert_eq!(session.initialize(revision).await["protocolVersion"], revision);
        assert_eq!(session.result(1, "ping", json!({})).await, json!({}), "{revision}");
        for (id, (method, params, fails)) in (10..).zip(sound_requests()) {
            let result = session.result(id, method, params.clone()).await;
            assert_eq!(result["isError"], fails, "{revision} {params}: {result}");
        }
        for (id, (method, params, code)) in (30..).zip(unsound_requests()) {
            let answer = session.ask(json!(id), method, params.clone()).await;
            assert_eq!(answer["error"]["code"], code, "{revision} {method} {params}: {answer}");
        }
        let mut dynamic = client.open_sse("/sse?mode=dynamic").await;
        dynamic.initialize(revision).await;
        let enable = json!({"name": ENABLE, "arguments": {"tools": ["gmail_send-email"]}});
        let messages = [dynamic.ask(json!(1), "tools/call", enable).await, dynamic.events.next().await.unwrap()];
        assert!(messages.iter().any(|message| message["method"] == CHANGED), "{revision}: {messages:?}");
        let list = dynamic.result(2, "tools/list", json!({})).await;
        assert_eq!(list["tools"].as_array().unwrap().len(), 2, "{revision}");
    }
}

#[tokio::test]
async fn the_modern_era_sends_what_its_schema_allows() {
    let server = Server::builder().env("MCP__TUNING__PROGRESS_MS", "50").start();
    let client = server.client("ann");
    assert_eq!(client.modern("server/discover", json!({})).send().await.status, 200);
    for (method, params, fails) in sound_requests() {
        let result = client.modern(method, params.clone()).send().await.result();
        assert_eq!(result["isError"], fails, "{params}: {result}");
    }
    for (method, params, code) in unsound_requests() {
        assert_eq!(client.modern(method, params.clone()).send().await.code(), code, "{method} {params}");
    }
    for request in [
        client.modern("ping", json!({})),
        client.modern("tools/list", json!({})).version("1900-01-01"),
        client.modern("tools/list", json!({})).without("mcp-method"),
        client.modern("tools/list", json!({})).with("accept", "text/html"),
    ] {
        assert!(request.send().await.code() < 0);
    }
    let sleep = client.modern_call("sandbox-faults_sleep", json!({"ms": 500})).with("accept", "text/event-stream");
    assert!(!sleep.send().await.events().is_empty());
    let odd = server.client_with(&conformance_token("odd"));
    assert!(odd.modern_names().await.len() > 5, "schemas of every kind");

    let stateless = server.client("ann").query("mode=dynamic");
    stateless.modern_enable(&["gmail_send-email"]).await;
    let chat = stateless.header("x-chat-id", "one");
    let mut events = chat.subscribe(json!("s")).await;
    chat.modern_enable(&["gmail_send-email"]).await;
    assert_eq!(events.next().await.unwrap()["method"], CHANGED);
    assert_eq!(chat.modern_names().await, [ENABLE, "gmail_send-email"]);
    assert!(tokio::task::spawn_blocking(|| server.stop()).await.unwrap().success());
    assert_eq!(events.next().await.unwrap()["result"]["resultType"], "complete");
}

/// What checks all others must be able to fail.
#[test]
fn a_message_that_breaks_its_schema_is_noticed() {
    let result = |result: Value| json!({"jsonrpc": "2.0", "id": 1, "result": result});
    let server = json!({"io.modelcontextprotocol/serverInfo": {"name": "n", "version": "1"}});
    let list = json!({"resultType": "complete", "tools": [], "ttlMs": 0, "cacheScope": "private", "_meta": server});
    let with = |member: &str, value: Value| {
        let mut list = list.clone();
        list[member] = value;
        result(list)
    };
    let error = |code: i64| json!({"jsonrpc": "2.0", "error": {"code": code, "message": "m"}});
    let told = |method: &str, params: Value| json!({"jsonrpc": "2.0", "method": method, "params": params});
    let listing = Some("tools/list");
    for (revision, method, message, sound) in [
        (MODERN, listing, result(list.clone()), true),
        (MODERN, listing, with("ttlMs", json!(-1)), false),
        (MODERN, listing, with("ttlMs", json!(1.5)), false),
        (MODERN, listing, with("cacheScope", json!("mine")), false),
        (MODERN, listing, with("_meta", json!({})), false),
        (MODERN, listing, with("resultType", json!("other")), false),
        (MODERN, listing, with("tools", json!([{"name": "t"}])), false),
        (MODERN, listing, result(json!({"tools": []})), false),
        ("2025-11-25", listing, result(json!({"tools": []})), true),
        ("2025-11-25", listing, result(list.clone()), false),
        ("2025-11-25", listing, result(json!({"tools": [{"name": "t", "inputSchema": {"type": "array"}}]})), false),
        ("2024-11-05", Some("tools/call"), result(json!({"content": [{"type": "text"}]})), false),
        ("2024-11-05", Some("ping"), json!({"jsonrpc": "2.0", "result": {}}), false),
        ("2025-03-26", None, error(-32700), true),
        ("2025-03-26", None, json!({"jsonrpc": "2.0", "id": null, "error": {"code": 1, "message": "m"}}), false),
        ("2025-11-25", None, json!({"jsonrpc": "2.0", "id": null, "error": {"code": 1, "message": "m"}}), false),
        (MODERN, None, error(-32020), true),
        (MODERN, None, error(-32022), false),
        (MODERN, None, error(-32000), false),
        ("2025-11-25", None, told(CHANGED, json!({})), true),
        ("2025-11-25", None, told("notifications/message", json!({})), false),
        ("2025-11-25", None, told("notifications/progress", json!({"progress": 1})), false),
        (MODERN, None, told("notifications/subscriptions/acknowledged", json!({})), false),
        (MODERN, None, json!({"jsonrpc": "2.0", "id": 1, "method": CHANGED}), false),
    ] {
        let faults = faults(revision, method, &message);
        assert_eq!(faults.is_empty(), sound, "{revision} {message}: {faults:?}");
    }
}

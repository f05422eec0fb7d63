//! What the revisions of MCP with sessions demand of every server, in the raw. Each test carries the number by which the
//! requirement goes in this folder; the others stand in the modules of their subject.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Server, assert_error, reply_to, token};

const REVISIONS: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

fn notification(method: &str) -> Value {
    json!({"jsonrpc": "2.0", "method": method})
}

/// basic/index § Messages.
#[tokio::test]
async fn b_01_and_b_04_an_answer_is_json_rpc_with_a_result_or_an_error() {
    let server = Server::start();
    for revision in REVISIONS {
        let client = server.client("ann").open_with(revision).await;
        for method in ["ping", "tools/list", "no/such"] {
            let answer = client.ask(method, json!({})).await.json();
            let members: BTreeSet<_> = answer.as_object().unwrap().keys().map(String::as_str).collect();
            let outcome = if method == "no/such" { "error" } else { "result" };
            assert_eq!(members, BTreeSet::from(["id", "jsonrpc", outcome]), "{method} in {revision}");
            assert_eq!(answer["jsonrpc"], "2.0", "{method} in {revision}");
            if outcome == "error" {
                assert!(answer["error"]["code"].is_i64() && answer["error"]["message"].is_string(), "{answer}");
            }
        }
    }
}

/// basic/index § Notifications; basic/transports § Sending Messages to the Server.
#[tokio::test]
async fn b_05_and_t_08_what_needs_no_answer_gets_202_without_a_body() {
    let server = Server::start();
    for revision in REVISIONS {
        let client = server.client("ann").open_with(revision).await;
        for body in [
            notification("notifications/initialized"),
            notification("notifications/unheard-of"),
            json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 404}}),
            json!({"jsonrpc": "2.0", "id": 9, "result": {}}),
        ] {
            let reply = client.post(body.clone()).await;
            assert_eq!((reply.status.as_u16(), reply.text.as_str()), (202, ""), "{body} in {revision}");
        }
    }
}

/// basic/index § JSON Schema Usage.
#[tokio::test]
async fn b_10_a_schema_that_cannot_be_used_is_no_crash() {
    let server = Server::start();
    let client = server.client("ann").open().await;
    let output = client.output("sandbox-faults_bad-schema", json!({"pattern": "anything"})).await;
    assert_eq!(output, json!({"pattern": "anything"}));
    assert!(!client.tools().await.is_empty(), "and goes on");
}

/// basic/transports § Streamable HTTP.
#[tokio::test]
async fn t_01_and_t_16_one_path_takes_messages_and_gives_a_stream() {
    let server = Server::start();
    let client = server.client("ann").open().await;
    assert_eq!(client.ask("ping", json!({})).await.status, 200);
    let stream = client.stream().await;
    assert_eq!(stream.response.headers()["content-type"], "text/event-stream");
}

/// basic/transports § Sending Messages to the Server.
#[tokio::test]
async fn t_05_a_body_is_one_message_but_in_2025_03_26() {
    let server = Server::start();
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    for revision in REVISIONS {
        let client = server.client("ann").open_with(revision).await;
        let reply = client.post(json!([ping])).await;
        if revision == "2025-03-26" {
            assert_eq!(reply.json(), json!([{"jsonrpc": "2.0", "id": 1, "result": {}}]));
        } else {
            assert_error(&reply, 400, -32600, revision);
        }
    }
}

/// basic/transports § Listening for Messages from the Server, § Multiple Connections.
#[tokio::test]
async fn t_18_and_t_20_the_sessions_stream_carries_no_responses_and_each_message_comes_once() {
    let server = Server::start();
    let client = server.client("ann").query("mode=dynamic").open().await;
    let mut first = client.stream().await;
    let mut second = client.stream().await;
    assert_eq!(first.next().await, None, "the later stream is the session's");
    client.call("enable-tools", json!({"tools": ["slack_list-users"]})).await;
    client.ask("ping", json!({})).await;
    client.delete().await;
    let mut seen = Vec::new();
    while let Some(message) = second.next().await {
        seen.push(message["method"].clone());
    }
    assert_eq!(seen, ["notifications/tools/list_changed"]);
}

/// basic/transports § Session Management; Security Best Practices § Session Hijacking.
#[tokio::test]
async fn t_27_and_s_02_session_ids_are_visible_ascii_and_never_the_same() {
    let server = Server::start();
    let mut ids = BTreeSet::new();
    for _ in 0..20 {
        let id = server.client("ann").open().await.session.unwrap();
        assert!(id.len() >= 32 && id.bytes().all(|byte| (0x21..=0x7e).contains(&byte)), "{id}");
        assert!(ids.insert(id), "an id comes twice");
    }
}

/// basic/transports § Session Management.
#[tokio::test]
async fn t_29_and_t_30_an_ended_session_is_not_found() {
    let server = Server::start();
    let client = server.client("ann").open().await;
    assert!(client.delete().await.status.is_success());
    assert_error(&client.ask("ping", json!({})).await, 404, -32000, "POST");
    let get = client.request(Method::GET).header("accept", "text/event-stream");
    assert_error(&reply_to(get).await, 404, -32000, "GET");
    assert_error(&client.delete().await, 404, -32000, "DELETE");
}

/// basic/transports § Protocol Version Header.
#[tokio::test]
async fn t_33_to_t_35_the_version_header_is_checked_against_what_is_spoken() {
    let server = Server::start();
    let client = server.client("ann").open().await;
    let with = |version: &str| client.clone().header("mcp-protocol-version", version);
    assert_error(&with("1999-01-01").ask("ping", json!({})).await, 400, -32000, "an unknown one");
    assert_eq!(client.ask("ping", json!({})).await.status, 200, "none");
    assert_eq!(with("2025-03-26").ask("ping", json!({})).await.status, 200, "another than was negotiated");
}

/// basic/lifecycle § Initialization, § Operation; server/utilities/logging.
#[tokio::test]
async fn l_01_l_04_and_u_06_what_is_offered_is_declared_and_nothing_else_is_there() {
    let server = Server::start();
    for revision in REVISIONS {
        let result = server.client("ann").initialize(revision).await.result();
        assert_eq!(result["protocolVersion"], revision);
        assert_eq!(result["capabilities"], json!({"tools": {"listChanged": true}}), "{revision}");
        assert!(result["serverInfo"]["name"].is_string() && result["serverInfo"]["version"].is_string());
        let client = server.client("ann").open_with(revision).await;
        for method in ["logging/setLevel", "resources/list", "prompts/list", "completion/complete", "tasks/list"] {
            assert_eq!(client.ask(method, json!({})).await.code(), -32601, "{method} in {revision}");
        }
    }
}

/// basic/utilities/tasks § Task Support and Handling.
#[tokio::test]
async fn u_09_task_parameters_change_nothing() {
    let server = Server::start();
    let client = server.client("ann").open().await;
    let params = json!({"name": "acme_crm_ping", "arguments": {}, "task": {"ttl": 60_000}});
    assert_eq!(client.ask("tools/call", params).await.result()["structuredContent"], json!({"ok": true}));
    assert!(client.tools().await.iter().all(|tool| tool.get("execution").is_none()));
}

/// server/tools § Listing Tools, § Tool Names.
#[tokio::test]
async fn to_01_and_to_02_every_tool_has_a_sound_name_and_a_schema_of_an_object() {
    let server = Server::start();
    let mut names = BTreeSet::new();
    for tool in server.client("ann").open().await.tools().await {
        let name = tool["name"].as_str().unwrap().to_owned();
        assert!(name.len() <= 128 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b)), "{name}");
        assert_eq!(tool["inputSchema"]["type"], "object", "{name}");
        assert!(names.insert(name), "{tool}");
    }
}

/// server/tools § Calling Tools, § Error Handling.
#[tokio::test]
async fn to_04_to_05_and_to_06_a_call_gives_content_and_a_wrong_one_an_error() {
    let server = Server::start();
    let client = server.client("ann").open().await;
    let result = client.ask("tools/call", json!({"name": "acme_crm_ping"})).await.result();
    assert_eq!(result["content"][0]["type"], "text", "arguments are optional");
    assert_error(&client.call("no_such-tool", json!({})).await, 200, -32602, "an unknown tool");
    assert_error(&client.ask("tools/call", json!({"arguments": {}})).await, 200, -32602, "no name");
}

/// Security Best Practices § Session Hijacking.
#[tokio::test]
async fn s_01_a_session_id_lets_nobody_in() {
    let server = Server::start();
    let session = server.client("ann").open().await.session;
    for (case, token, status) in [("no token", String::new(), 401), ("another user", token("bob"), 404)] {
        let mut client = server.client_with(&token);
        client.session.clone_from(&session);
        for method in ["ping", "tools/list"] {
            assert_eq!(client.ask(method, json!({})).await.status, status, "{method} with {case}");
        }
    }
}

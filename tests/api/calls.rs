//! Calling tools: arguments on their way up, outputs and failures on their way down.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Client, PATIENCE, Reply, Server, eventually};

/// Calls a tool with arguments as they are written.
async fn call_text(client: &Client<'_>, tool: &str, arguments: &str) -> Reply {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"TOOL","arguments":ARGUMENTS}}"#;
    client.post_text(&body.replace("TOOL", tool).replace("ARGUMENTS", arguments)).await
}

/// The result's only text.
fn text(result: &Value) -> &str {
    let content = result["content"].as_array().unwrap();
    assert_eq!(content.len(), 1, "{result}");
    assert_eq!(content[0]["type"], "text", "{result}");
    content[0]["text"].as_str().unwrap()
}

/// The text of a result that has to be a failure.
fn failure(result: &Value) -> &str {
    assert_eq!(result["isError"], true, "{result}");
    assert_eq!(result["structuredContent"], Value::Null, "{result}");
    result["content"][0]["text"].as_str().unwrap()
}

async fn runs(server: &Server) -> u64 {
    server.requests("POST /action-instance/run").await
}

#[tokio::test]
async fn arguments_reach_the_upstream_exactly_as_sent() {
    let server = Server::builder().env("MCP__OUTPUTS__MAX_TOKENS", "10000000").start();
    let client = server.client("ann").open().await;
    let large = format!(r#"{{"text":"{}"}}"#, "x".repeat(3 << 20));
    let cases = [
        "{}",
        r#"{"price":1.50,"exponent":1E3,"tiny":-0.0}"#,
        r#"{"big":12345678901234567890123456789,"long":9007199254740993}"#,
        r#"{"z":1,"a":{"unknown":{"deep":[[],{},[null]]}},"nothing":null}"#,
        r#"{"text":"\u00e9 é \"\\ \n 😀","":"","__proto__":{"a":1}}"#,
        r#"{"one":1,"one":2}"#,
        &large,
    ];
    for arguments in cases {
        let shown: String = arguments.chars().take(80).collect();
        let result = call_text(&client, "sandbox-faults_echo", arguments).await.result();
        assert!(text(&result) == arguments, "{shown}: {result:.200}");
    }
    let spaced = call_text(&client, "sandbox-faults_echo", "{ \"a b\" : [ 1.50 ,\n null ] }").await.result();
    assert_eq!(text(&spaced), r#"{"a b":[1.50,null]}"#, "texts are compact");
}

#[tokio::test]
async fn missing_arguments_are_an_empty_object() {
    let server = Server::start();
    let client = server.client("ann").open().await;
    let reply = client.ask("tools/call", json!({"name": "sandbox-faults_echo"})).await;
    assert_eq!(text(&reply.result()), "{}");
}

#[tokio::test]
async fn every_output_is_an_answer_but_absence_and_null() {
    let server = Server::start();
    let client = server.client("ann").open().await;
    let cases = [
        ("return-zero", "0"),
        ("return-false", "false"),
        ("return-empty-string", r#""""#),
        ("return-number", "42"),
        ("return-list", r#"["alpha","beta",{"gamma":3}]"#),
        ("return-empty-object", "{}"),
        ("return-null", "No output"),
        ("no-output", "No output"),
    ];
    for (action, expected) in cases {
        let result = client.call(&format!("sandbox-faults_{action}"), json!({})).await.result();
        assert_eq!(result, json!({"content": [{"type": "text", "text": expected}]}), "{action}");
    }
}

#[tokio::test]
async fn a_result_has_a_structured_form_where_the_action_has_an_output_schema() {
    let server = Server::start();
    let client = server.client("ann").open().await;
    let with = client.call("gmail_list-emails", json!({})).await.result();
    let emails: Value = serde_json::from_str(text(&with)).unwrap();
    assert_eq!(with["structuredContent"], emails);
    assert!(!emails["emails"].as_array().unwrap().is_empty());

    for tool in ["slack_list-users", "sandbox-faults_echo"] {
        let without = client.call(tool, json!({})).await.result();
        assert_eq!(without.as_object().unwrap().keys().collect::<Vec<_>>(), ["content"], "{tool}");
    }
}

#[tokio::test]
async fn a_large_output_arrives_whole() {
    let server = Server::builder().env("MCP__OUTPUTS__MAX_TOKENS", "10000000").start();
    let result = server.client("ann").open().await.call("sandbox-faults_large-output", json!({})).await.result();
    let output: String = serde_json::from_str(text(&result)).unwrap();
    assert!(output == "x".repeat(1 << 20), "{} characters", output.len());
}

#[tokio::test]
async fn an_upstream_failure_is_a_result_in_the_upstreams_own_words() {
    for version in ["legacy", "2025-10-21"] {
        let server = Server::builder().env("MCP__MEMBRANE__API_VERSION", version).start();
        let client = server.client("ann").open().await;
        let cases: [(&str, &[&str]); 8] = [
            ("fail-400", &["Field \"email\" is not a valid email address.", r#"{"field":"email"}"#]),
            ("fail-401", &["Access token is expired."]),
            ("fail-403", &["You do not have permission to run this action."]),
            ("fail-429", &["Too many requests. Wait a minute, then try again."]),
            ("fail-500", &["Something went wrong on our side.", "5f0c2b7e-9d41-4c1a-8f63-2a7d90e4b318"]),
            (
                "fail-action-run",
                &["Action run failed", "status code 422", r#""detail":"The record is locked by another user.""#],
            ),
            ("fail-custom-code", &["TypeError: Cannot read properties of undefined (reading 'total')"]),
            ("malformed-output", &["can't be read"]),
        ];
        for (action, parts) in cases {
            let reply = client.call(&format!("sandbox-faults_{action}"), json!({})).await;
            assert_eq!(reply.status, 200, "{version} {action}");
            let result = reply.result();
            let text = failure(&result);
            for part in parts {
                assert!(text.contains(part), "{version} {action}: {part:?} is missing in: {text}");
            }
        }
    }
}

#[tokio::test]
async fn a_token_that_a_run_refused_is_shown_to_the_upstream_again() {
    let server = Server::start();
    let client = server.client("ann").open().await;
    client.tools().await;
    assert_eq!(server.requests("GET /self").await, 0, "the load of the tools was proof enough");

    failure(&client.call("sandbox-faults_fail-401", json!({})).await.result());
    client.tools().await;
    client.tools().await;
    assert_eq!(server.requests("GET /self").await, 1, "asked again, and once");

    let refused = json!({"type": "bad_request", "key": "not_authenticated", "message": "Access token is expired."});
    let fault = json!({"path": "/self", "status": 401, "body": refused});
    server.sandbox(Method::PUT, "/sandbox/faults", "tester", json!([fault])).await;
    assert_eq!(client.ask("tools/list", json!({})).await.status, 200, "nothing has cast doubt on it");
    failure(&client.call("sandbox-faults_fail-401", json!({})).await.result());
    let reply = client.ask("tools/list", json!({})).await;
    assert_eq!(reply.status, 401);
    assert!(reply.text.contains("Access token is expired."), "{reply:?}");
}

#[tokio::test]
async fn arguments_that_break_the_schema_are_named_by_path_and_not_sent() {
    let server = Server::start();
    let client = server.client("ann").open().await;
    let email = json!({"to": ["bob@example.com"], "subject": "Hi", "body": "Hello"});
    let with = |member: &str, value: Value| {
        let mut arguments = email.clone();
        arguments[member] = value;
        arguments
    };
    let cases = [
        ("gmail_send-email", with("to", json!("bob@example.com")), "/to"),
        ("gmail_send-email", with("to", json!(["bob@example.com", 7])), "/to/1"),
        ("gmail_send-email", with("subject", json!(null)), "/subject"),
        ("gmail_send-email", json!({}), "\"to\""),
        ("sandbox-faults_sleep", json!({"ms": "long"}), "/ms"),
        ("sandbox-faults_sleep", json!({"ms": -1}), "/ms"),
        ("sandbox-faults_sleep", json!({"minutes": 1}), "minutes"),
        ("sandbox-faults_array-input", json!({"input": [1, "two"]}), "/input/1"),
        ("sandbox-faults_array-input", json!({}), "\"input\""),
    ];
    for (tool, arguments, path) in cases {
        let result = client.call(tool, arguments.clone()).await.result();
        let text = failure(&result);
        for part in [path, tool] {
            assert!(text.contains(part), "{tool} {arguments}: {part} is missing in: {text}");
        }
    }
    assert_eq!(runs(&server).await, 0);
    client.output("gmail_send-email", email).await;
    assert_eq!(runs(&server).await, 1);
}

#[tokio::test]
async fn arguments_that_are_no_object_are_invalid_parameters() {
    let server = Server::start();
    let client = server.client("ann").open().await;
    for arguments in ["[]", "\"text\"", "7", "true"] {
        let reply = call_text(&client, "sandbox-faults_echo", arguments).await;
        assert_eq!(reply.code(), -32602, "{arguments}");
    }
    assert_eq!(runs(&server).await, 0);
}

#[tokio::test]
async fn a_required_name_that_is_no_property_is_not_asked_for() {
    let server = Server::start();
    let client = server.client("ann").open().await;
    let note = json!({"leadId": "lead_1", "text": "Call back on Monday"});
    let made = client.output("acme_crm_create_lead-note", note).await;
    assert_eq!(made["text"], "Call back on Monday");

    let incomplete = client.call("acme_crm_create_lead-note", json!({"leadId": "lead_1"})).await.result();
    assert!(failure(&incomplete).contains("\"text\""), "what is a property stays required: {incomplete}");
}

#[tokio::test]
async fn a_schema_that_does_not_compile_lets_pass_and_is_logged_once() {
    let server = Server::start();
    let client = server.client("ann").open().await;
    for input in [json!({"pattern": "x"}), json!({"pattern": 7}), json!({})] {
        assert_eq!(client.output("sandbox-faults_bad-schema", input.clone()).await, input);
    }
    // Lines come in order, so what follows the calls' lines has them all before it.
    server.http.get(format!("{}/that-is-all", server.url)).send().await.unwrap();
    server.wait_for_log("/that-is-all");
    let log = server.log();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("does not compile")).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("sandbox-faults_bad-schema"), "{lines:?}");
}

#[tokio::test]
async fn an_action_that_takes_a_list_gets_the_list_itself() {
    let server = Server::start();
    let client = server.client("ann").open().await;
    for input in ["[1,2.50,3]", "[]"] {
        let result =
            call_text(&client, "sandbox-faults_array-input", &format!(r#"{{"input":{input}}}"#)).await.result();
        assert_eq!(text(&result), input);
    }
}

#[tokio::test]
async fn an_output_that_breaks_its_schema_is_a_success_all_the_same() {
    let server = Server::start();
    let client = server.client("ann").open().await;
    let result = client.call("sandbox-faults_broken-output-schema", json!({})).await.result();
    assert_eq!(result, json!({"content": [{"type": "text", "text": r#"{"count":"three"}"#}], "structuredContent": {}}));
}

#[tokio::test]
async fn a_run_that_takes_too_long_is_a_failure_and_is_given_up() {
    let server = Server::builder().env("MCP__TUNING__RUN_TIMEOUT_MS", "200").start();
    let client = server.client("ann").open().await;
    let result = client.call("sandbox-faults_sleep", json!({"ms": 60_000})).await.result();
    assert!(failure(&result).contains("200 ms"), "{result}");
    eventually("the upstream's request is dropped", async || server.stats().await["abandoned"] == 1).await;
    assert_eq!(runs(&server).await, 1, "a run is never sent twice");
    assert_eq!(client.ask("ping", json!({})).await.result(), json!({}));
}

#[tokio::test]
async fn a_tool_is_found_by_its_name_or_the_one_way_to_misspell_it() {
    let server = Server::start();
    let client = server.client("ann").open().await;
    for name in ["gmail_list-emails", "gmail-list-emails"] {
        assert!(client.output(name, json!({})).await["emails"].is_array(), "{name}");
    }
    // With `_` for `-` it could be the name of another action.
    let unknown =
        ["gmail_list_emails", "no-such-tool", "gmail_no-such-action", "gmail", "_", "gmail_", "GMAIL_LIST-EMAILS"];
    for name in unknown.into_iter().chain(["__proto__", ""]) {
        assert_eq!(client.call(name, json!({})).await.code(), -32602, "{name:?}");
    }
    assert_eq!(runs(&server).await, 2);
}

#[tokio::test]
async fn calls_of_one_session_run_side_by_side() {
    let server = Server::start();
    let client = server.client("ann").open().await;
    let sleep = |ms: u32| client.call("sandbox-faults_sleep", json!({"ms": ms}));
    let calls = join_all((0..20).map(|n| sleep(60_000 - n)));
    let end = async {
        eventually("twenty calls run", async || server.stats().await["running"] == 20).await;
        assert_eq!(client.ask("ping", json!({})).await.result(), json!({}), "a call keeps nobody waiting");
        client.delete().await
    };
    let (replies, deleted) = tokio::time::timeout(PATIENCE, async { tokio::join!(calls, end) }).await.unwrap();
    assert_eq!(deleted.status, 200);
    for reply in replies {
        assert_eq!((reply.status.as_u16(), reply.code()), (404, -32000), "the session ended during the call");
    }
    assert_eq!(server.stats().await["maxInFlight"], 20);
}

#[tokio::test]
async fn the_newer_api_runs_actions_by_another_path_and_works_the_same() {
    let server = Server::builder().env("MCP__MEMBRANE__API_VERSION", "2025-10-21").start();
    let client = server.client("ann").open().await;
    let arguments = r#"{"price":1.50,"unknown":[null]}"#;
    let result = call_text(&client, "sandbox-faults_echo", arguments).await.result();
    assert_eq!(text(&result), arguments);
    client.output("acme_crm_create_lead-note", json!({"leadId": "lead_1", "text": "Call back"})).await;
    let result = call_text(&client, "sandbox-faults_array-input", r#"{"input":[1]}"#).await.result();
    assert_eq!(text(&result), "[1]");

    let seen = server.stats().await["requests"].take();
    assert_eq!((&seen["POST /act"], &seen["POST /action-instance/run"]), (&json!(3), &Value::Null));
}

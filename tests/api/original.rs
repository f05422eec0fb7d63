//! What clients of the original server rely on, and what they no longer have to live with.
//!
//! Some of it is tested elsewhere:
//!
//! | line | test |
//! |---|---|
//! | keep: header names | `chats::initialize_ties_a_chat_to_its_session`, `sessions` throughout |
//! | keep: error body with code -32000 for a lost session | `status_codes::a_closed_session_answers_404` |
//! | gone: sessions open to any token | `authentication::a_forged_token_sees_nothing_of_its_victim`, `sessions::a_foreign_session_looks_like_an_unknown_one` |
//! | gone: 500 for a token that the upstream refuses | `authentication::a_token_that_is_no_good_is_refused_with_the_reason` |
//! | gone: streams that hang after a cancellation | `sessions::a_cancelled_call_is_given_up_and_not_answered` |
//! | gone: calls that hang beside one of the same id | `sessions::two_calls_with_one_id_are_both_answered` |
//! | gone: the empty body of `/mcp/sessions` | `chats::a_user_without_chats_has_an_empty_map` |

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    official_client::MENDED,
    support::{Client, SECRET, Server, assert_error, catalog, claims, sign, token},
};

/// A client of a user who has connected these apps alone.
fn client_of<'a>(server: &'a Server, user: &str, apps: &[&str]) -> Client<'a> {
    let mut claims = claims(user);
    claims["fields"] = json!({"connections": apps});
    server.client_with(&sign(&claims, SECRET))
}

async fn enable(client: &Client<'_>, tools: &[&str]) -> Value {
    client.call("enable-tools", json!({"tools": tools})).await.result()["content"].take()
}

/// The names of all tools of the sandbox, app by app.
fn catalog_names() -> BTreeSet<String> {
    let names = catalog().into_iter().flat_map(|app| {
        let integration = app["integration"]["key"].as_str().unwrap().to_owned();
        let actions = app["actions"].as_array().unwrap().clone();
        actions.into_iter().map(move |action| format!("{integration}_{}", action["key"].as_str().unwrap()))
    });
    names.collect()
}

// What is kept.

#[tokio::test]
async fn paths_and_query_parameters_are_those_of_the_original() {
    let server = Server::start();
    let query = format!("token={}&mode=dynamic&apps=gmail,%20slack%20", token("ann"));
    let client = server.client_with("").query(&query).header("x-chat-id", "chat").open().await;
    enable(&client, &["gmail_list-emails", "slack_list-users", "hubspot_list-deals"]).await;
    assert_eq!(client.tool_names().await, ["enable-tools", "gmail_list-emails", "slack_list-users"]);
    let sessions = server.http.get(format!("{}/mcp/sessions?token={}", server.url, token("ann")));
    let chats: Value = sessions.send().await.unwrap().json().await.unwrap();
    assert_eq!(chats, json!({"chat": client.session}));

    let everything = server.client("ann").query("mode=static&apps=").open().await;
    assert_eq!(everything.tool_names().await.len(), catalog_names().len(), "static, and all apps, are the default");
}

#[tokio::test]
async fn tools_are_named_after_integration_and_action() {
    let server = Server::start();
    let names = server.client("ann").open().await.tool_names().await;
    assert_eq!(BTreeSet::from_iter(names), catalog_names());
}

#[tokio::test]
async fn titles_and_descriptions_begin_with_integration_and_action() {
    let server = Server::start();
    for tool in server.client("ann").query("apps=gmail").open().await.tools().await {
        let (title, description) = (tool["title"].as_str().unwrap(), tool["description"].as_str().unwrap());
        assert!(title.starts_with("Gmail: "), "{tool}");
        assert!(description.starts_with(title), "{tool}");
    }
}

#[tokio::test]
async fn enable_tools_replaces_the_set_and_says_so() {
    let server = Server::start();
    let client = server.client("ann").query("mode=dynamic").open().await;
    assert_eq!(client.tool_names().await, ["enable-tools"]);
    let sets: [&[&str]; 4] =
        [&["gmail_send-email", "slack_list-users"], &["slack_list-users"], &[], &["acme_crm_ping"]];
    for set in sets {
        assert_eq!(enable(&client, set).await[0]["text"], "Tools enabled", "{set:?}");
        assert_eq!(client.tool_names().await, [&["enable-tools"], set].concat(), "{set:?}");
    }
    assert_error(&client.call("slack_list-users", json!({})).await, 200, -32602, "a tool no longer enabled");
}

#[tokio::test]
async fn a_result_is_the_compact_json_of_the_output() {
    let server = Server::start();
    let client = server.client("ann").open().await;
    let outputs =
        [("return-list", r#"["alpha","beta",{"gamma":3}]"#), ("return-number", "42"), ("return-empty-object", "{}")];
    for (action, text) in outputs {
        let result = client.call(&format!("sandbox-faults_{action}"), json!({})).await.result();
        assert_eq!(result["content"], json!([{"type": "text", "text": text}]), "{action}");
    }
}

#[tokio::test]
async fn initialize_answers_whatever_the_catalog_holds() {
    let server = Server::start();
    let faults = json!([{"path": "/actions", "status": 500}]);
    server.sandbox(Method::PUT, "/sandbox/faults", "tester", faults).await;
    for (case, client) in [
        ("no connections", client_of(&server, "nobody", &[])),
        ("an unknown app", server.client("ann").query("apps=nope")),
        ("actions that can't be had", server.client("ann")),
        ("no connections in dynamic mode", client_of(&server, "nobody", &[]).query("mode=dynamic")),
    ] {
        let reply = client.initialize("2025-06-18").await;
        assert_eq!(reply.result()["capabilities"]["tools"]["listChanged"], true, "{case}");
    }
}

// What is gone.

#[tokio::test]
async fn connections_of_many_pages_are_each_loaded_once() {
    let server = Server::builder().env("MCP__TUNING__SANDBOX_PAGE_SIZE", "2").start();
    let names = server.client("ann").open().await.tool_names().await;
    assert_eq!(BTreeSet::from_iter(names), catalog_names());
    let pages = catalog().len().div_ceil(2) as u64;
    assert_eq!(server.requests("GET /connections").await, pages);
}

#[tokio::test]
async fn a_second_connection_of_an_app_changes_nothing() {
    let server = Server::start();
    let once = server.client("bob").query("apps=gmail").open().await.tool_names().await;
    server.sandbox(Method::POST, "/connections", "ann", json!({"integrationKey": "gmail"})).await;
    for apps in ["gmail", "gmail,gmail", "gmail,", ",gmail", "gmail&apps=gmail"] {
        let twice = server.client("ann").query(&format!("apps={apps}")).open().await.tool_names().await;
        assert_eq!(twice, once, "{apps}");
    }
    let all = server.client("ann").query("apps=,").open().await.tool_names().await;
    assert_eq!(all.len(), catalog_names().len(), "no app named is every app");
}

#[tokio::test]
async fn arguments_reach_the_upstream_as_they_were_sent() {
    let server = Server::start();
    let client = server.client("ann").open().await;
    let cases = [
        ("sandbox-faults_echo", json!({"a": {"b": [1, {"c": null}]}, "extra": true, "": 0})),
        (
            "notion_create-page",
            json!({
                "parent": {"page_id": "page_1"},
                "title": "Plan",
                "properties": {"Status": "open", "nested": {"x": [1]}},
                "content": [{"type": "to_do", "text": "this", "checked": false}],
            }),
        ),
    ];
    for (tool, arguments) in cases {
        let output = client.output(tool, arguments.clone()).await;
        for (member, value) in arguments.as_object().unwrap() {
            assert_eq!(&output[member], value, "{tool}, {member}");
        }
    }
    let page = client.output("notion_create-page", json!({"parent": {"page_id": "page_1"}, "title": "Plan"})).await;
    let blocks = json!([{"type": "paragraph", "text": "one"}, 2, "three"]);
    let arguments = json!({"pageId": page["id"], "children": blocks});
    assert_eq!(client.output("notion_append_blocks-to-page", arguments).await["children"], blocks);
}

#[tokio::test]
async fn schemas_go_out_as_they_came_in() {
    let server = Server::start();
    let tools = server.client("ann").open().await.tools().await;
    let mut keywords = BTreeSet::new();
    for app in catalog() {
        for action in app["actions"].as_array().unwrap() {
            let name = format!("{}_{}", app["integration"]["key"].as_str().unwrap(), action["key"].as_str().unwrap());
            let listed =
                &tools.iter().find(|tool| tool["name"] == *name).unwrap_or_else(|| panic!("{name}"))["inputSchema"];
            assert_eq!(listed["type"], "object", "{name}");
            let description = action["description"].as_str().unwrap();
            // Those that need a repair are none of the original's losses.
            if !MENDED.contains(&&*name) {
                assert_eq!(listed, &action["inputSchema"], "{name}: {description}");
                let text = listed.to_string();
                let all = ["description", "enum", "format", "default", "minimum", "maxLength", "minLength", "required"];
                keywords.extend(all.into_iter().filter(|keyword| text.contains(&format!("\"{keyword}\":"))));
            }
        }
    }
    assert_eq!(keywords.len(), 8, "the catalog has every keyword that used to be lost: {keywords:?}");
}

#[tokio::test]
async fn only_a_missing_output_is_no_output() {
    let server = Server::start();
    let client = server.client("ann").open().await;
    let cases = [
        ("return-zero", "0"),
        ("return-false", "false"),
        ("return-empty-string", r#""""#),
        ("return-null", "No output"),
        ("no-output", "No output"),
    ];
    for (action, text) in cases {
        let result = client.call(&format!("sandbox-faults_{action}"), json!({})).await.result();
        assert_eq!(result, json!({"content": [{"type": "text", "text": text}]}), "{action}");
    }
    let broken = client.call("sandbox-faults_malformed-output", json!({})).await.result();
    assert_eq!(broken["isError"], true, "an answer that breaks off is no success: {broken}");
    assert_ne!(broken["content"][0]["text"], "No output");
}

#[tokio::test]
async fn an_empty_list_is_a_list() {
    let server = Server::start();
    for (case, client) in [
        ("no connections", client_of(&server, "nobody", &[])),
        ("an unknown app", server.client("ann").query("apps=nope")),
    ] {
        let client = client.open().await;
        assert_eq!(client.ask("tools/list", json!({})).await.result(), json!({"tools": []}), "{case}");
        assert_error(&client.call("gmail_send-email", json!({})).await, 200, -32602, case);
    }
}

#[tokio::test]
async fn a_change_that_nobody_heard_of_is_told_by_the_next_stream() {
    let server = Server::start();
    let client = server.client("ann").query("mode=dynamic").open().await;
    enable(&client, &["gmail_list-emails"]).await;
    let mut stream = client.stream().await;
    assert_eq!(stream.next().await.unwrap()["method"], "notifications/tools/list_changed");
    enable(&client, &[]).await;
    assert_eq!(stream.next().await.unwrap()["method"], "notifications/tools/list_changed", "and goes on");
}

#[tokio::test]
async fn one_change_of_the_set_is_one_notification() {
    let server = Server::start();
    let client = server.client("ann").query("mode=dynamic").open().await;
    let mut stream = client.stream().await;
    enable(&client, &["gmail_list-emails", "gmail_send-email", "slack_list-users"]).await;
    enable(&client, &["slack_list-users", "gmail_send-email", "gmail_list-emails"]).await;
    assert!(stream.next().await.is_some());
    client.delete().await;
    assert_eq!(stream.next().await, None, "the same set again is no change");
}

#[tokio::test]
async fn names_may_hold_underscores_anywhere() {
    let server = Server::start();
    let names = ["acme_crm_create_lead-note", "acme_crm_list-leads", "slack_send_direct-message"];
    for (case, client) in [
        ("connected", server.client("ann")),
        ("not connected", client_of(&server, "nobody", &[])),
        ("one app connected", client_of(&server, "slacker", &["slack"])),
    ] {
        let client = client.query("mode=dynamic").open().await;
        let told = enable(&client, &names).await;
        assert_eq!(told, json!([{"type": "text", "text": "Tools enabled"}]), "{case}");
        assert_eq!(client.tool_names().await, [&["enable-tools"][..], &names].concat(), "{case}");
    }
    let client = server.client("ann").query("apps=acme_crm").open().await;
    assert_eq!(client.output("acme_crm_ping", json!({})).await, json!({"ok": true}));
}

#[tokio::test]
async fn unknown_names_are_told_and_cost_one_request_for_each_integration() {
    let server = Server::start();
    let client = server.client("ann").query("mode=dynamic").open().await;
    client.tools().await;
    let lookups = async || server.requests("GET /action").await + server.requests("GET /actions").await;
    let before = lookups().await;
    let told = enable(&client, &["a_b", "a_c", "a_d", "c_d", "e_f", "non-existent-tool", "gmail_list-emails"]).await;
    assert_eq!(told[0]["text"], "Tools enabled");
    for name in ["a_b", "a_c", "a_d", "c_d", "e_f", "non-existent-tool"] {
        assert!(told[1]["text"].as_str().unwrap().contains(name), "{name}: {told}");
    }
    assert_eq!(lookups().await - before, 3, "a, c and e");
    assert_eq!(client.tool_names().await, ["enable-tools", "gmail_list-emails"], "the known one is enabled");
}

#[tokio::test]
async fn a_catalog_is_loaded_side_by_side_and_once() {
    let server = Server::builder().env("MCP__TUNING__SANDBOX_LATENCY_MS", "200").start();
    let client = server.client("ann");
    let opened = tokio::join!(client.clone().open(), client.clone().open(), client.clone().open());
    for client in [opened.0, opened.1, opened.2] {
        assert_eq!(client.tools().await.len(), catalog_names().len());
    }
    assert_eq!(server.requests("GET /connections").await, 1, "one load for all sessions");
    assert_eq!(server.requests("GET /actions").await, catalog().len() as u64);
    let at_once = server.stats().await["maxInFlight"].as_u64().unwrap();
    assert!(at_once > 1, "integrations are not loaded one after the other");
}

//! Dynamic mode: `enable-tools`, and what a session has by it.

use serde_json::{Value, json};

use crate::support::{Client, SECRET, Server, claims, sign};

const ENABLE: &str = "enable-tools";

/// Enables tools, and gives the texts of the answer.
async fn enable(client: &Client<'_>, names: &[&str]) -> Vec<String> {
    let result = client.call(ENABLE, json!({"tools": names})).await.result();
    assert_eq!(result["isError"], Value::Null, "{names:?}: {result}");
    let texts = result["content"].as_array().unwrap().iter().map(|block| block["text"].as_str().unwrap().to_owned());
    texts.collect()
}

/// A client in dynamic mode of a user who has connected these apps only.
async fn open_with<'a>(server: &'a Server, connections: &[&str]) -> Client<'a> {
    let mut claims = claims("ann");
    claims["fields"] = json!({"connections": connections});
    server.client_with(&sign(&claims, SECRET)).query("mode=dynamic").open().await
}

#[tokio::test]
async fn a_new_session_lists_enable_tools_alone() {
    let server = Server::start();
    let client = server.client("ann").query("mode=dynamic").open().await;
    let tools = client.tools().await;
    assert_eq!(tools.len(), 1);
    assert_eq!(tools[0]["name"], ENABLE);
    let schema = &tools[0]["inputSchema"];
    assert_eq!((&schema["type"], &schema["required"]), (&json!("object"), &json!(["tools"])));
    assert_eq!(schema["properties"]["tools"]["type"], "array");
    assert_eq!(schema["properties"]["tools"]["items"], json!({"type": "string"}));
}

#[tokio::test]
async fn each_call_replaces_what_was_enabled() {
    let server = Server::start();
    let client = server.client("ann").query("mode=dynamic").open().await;
    // The order of a list is the catalog's, whatever the order of the names.
    let rounds: [(&[&str], &[&str]); 7] = [
        (
            &["slack_list-users", "acme_crm_ping", "gmail_list-emails"],
            &["acme_crm_ping", "gmail_list-emails", "slack_list-users"],
        ),
        (&["gmail_send-email"], &["gmail_send-email"]),
        (&["gmail_send-email", "gmail_send-email"], &["gmail_send-email"]),
        (&["gmail-send-email", "gmail_send-email"], &["gmail_send-email"]),
        (&[ENABLE, "acme_crm_create_lead-note"], &["acme_crm_create_lead-note"]),
        (&["gmail-list-emails"], &["gmail_list-emails"]),
        (&[], &[]),
    ];
    for (names, listed) in rounds {
        assert_eq!(enable(&client, names).await, ["Tools enabled"], "{names:?}");
        let expected: Vec<_> = [ENABLE].iter().chain(listed).copied().collect();
        assert_eq!(client.tool_names().await, expected, "{names:?}");
    }
}

#[tokio::test]
async fn an_enabled_tool_is_listed_as_in_static_mode() {
    let server = Server::start();
    let everything = server.client("ann").open().await.tools().await;
    let client = server.client("ann").query("mode=dynamic").open().await;
    let names: Vec<_> = everything.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    enable(&client, &names).await;
    assert_eq!(client.tools().await[1..], everything);
}

#[tokio::test]
async fn names_that_are_no_tools_are_told_and_the_others_enabled() {
    let server = Server::start();
    let client = server.client("ann").query("mode=dynamic").open().await;
    let unknown = ["no-such-tool", "gmail_no-such-action", "nowhere_at_all", "__proto__"];
    let texts = enable(&client, &[&unknown[..], &["gmail_list-emails"]].concat()).await;
    assert_eq!((texts.len(), texts[0].as_str()), (2, "Tools enabled"));
    for name in unknown {
        assert!(texts[1].contains(name), "{name:?} is missing in: {}", texts[1]);
    }
    assert_eq!(client.tool_names().await, [ENABLE, "gmail_list-emails"]);
    let texts = enable(&client, &["gmail_send-emial", "gmail_list-emails"]).await;
    assert!(texts[1].contains("gmail_send-emial (similar: gmail_send-email"), "{}", texts[1]);
    assert_eq!(client.tool_names().await, [ENABLE, "gmail_list-emails"], "a likely name is told, not taken");

    assert_eq!(enable(&client, &["nonsense"]).await.len(), 2);
    assert_eq!(client.tool_names().await, [ENABLE], "nothing known replaces what was enabled by nothing");
}

#[tokio::test]
async fn wrong_arguments_are_a_failure_that_changes_nothing() {
    let server = Server::start();
    let client = server.client("ann").query("mode=dynamic").open().await;
    enable(&client, &["gmail_list-emails"]).await;
    let cases = [
        json!({}),
        json!({"tools": null}),
        json!({"tools": "gmail_send-email"}),
        json!({"tools": ["gmail_send-email", 7]}),
        json!({"tools": {"gmail_send-email": true}}),
        json!({"names": ["gmail_send-email"]}),
    ];
    for arguments in cases {
        let result = client.call(ENABLE, arguments.clone()).await.result();
        assert_eq!(result["isError"], true, "{arguments}: {result}");
        let text = result["content"][0]["text"].as_str().unwrap();
        assert!(text.contains(ENABLE), "{arguments}: {text}");
        assert_eq!(client.tool_names().await, [ENABLE, "gmail_list-emails"], "{arguments}");
    }
}

#[tokio::test]
async fn only_enabled_tools_can_be_called_and_errors_tell_which_way_to_go() {
    let server = Server::start();
    let client = server.client("ann").query("mode=dynamic").open().await;
    enable(&client, &["gmail_list-emails"]).await;
    client.output("gmail_list-emails", json!({})).await;
    client.output("gmail-list-emails", json!({})).await;

    let message = async |name: &str| {
        let reply = client.call(name, json!({})).await;
        assert_eq!(reply.code(), -32602, "{name}");
        reply.json()["error"]["message"].as_str().unwrap().to_owned()
    };
    let disabled = message("slack_list-users").await;
    assert!(disabled.contains("slack_list-users is not enabled") && disabled.contains(ENABLE), "{disabled}");
    let unknown = message("slack_no-such-action").await;
    assert!(unknown.contains("Unknown tool: slack_no-such-action"), "{unknown}");

    enable(&client, &["slack_list-users"]).await;
    message("gmail_list-emails").await;
    assert_eq!(server.requests("POST /action-instance/run").await, 2, "the upstream has seen the allowed calls alone");
}

#[tokio::test]
async fn each_change_is_told_once_and_nothing_else_is() {
    let server = Server::start();
    let client = server.client("ann").query("mode=dynamic").open().await;
    let mut stream = client.stream().await;
    // Whether each call changes what is listed.
    let calls: [(&[&str], bool); 9] = [
        (&[], false),
        (&["gmail_list-emails"], true),
        (&["gmail_list-emails"], false),
        (&["gmail-list-emails", "nonsense"], false),
        (&["gmail_list-emails", "slack_list-users"], true),
        (&["slack_list-users", "gmail_list-emails"], false),
        (&["slack_list-users"], true),
        (&["nonsense"], true),
        (&[ENABLE], false),
    ];
    for (names, changes) in calls {
        enable(&client, names).await;
        client.call(ENABLE, json!({})).await;
        if changes {
            let event = stream.next().await;
            let expected = json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"});
            assert_eq!(event, Some(expected), "{names:?}");
        }
    }
    client.delete().await;
    assert_eq!(stream.next().await, None, "a change was told of that was none");
}

#[tokio::test]
async fn changes_that_nobody_heard_of_are_one_when_the_stream_opens() {
    let server = Server::start();
    for (listed_since, expected) in [(false, 1), (true, 0)] {
        let client = server.client("ann").query("mode=dynamic").open().await;
        enable(&client, &["gmail_list-emails"]).await;
        enable(&client, &["slack_list-users"]).await;
        if listed_since {
            client.tools().await;
        }
        let mut stream = client.stream().await;
        client.delete().await;
        let mut told = 0;
        while stream.next().await.is_some() {
            told += 1;
        }
        assert_eq!(told, expected, "listed since: {listed_since}");
    }
}

#[tokio::test]
async fn one_sessions_tools_are_no_other_sessions() {
    let server = Server::start();
    let one = server.client("ann").query("mode=dynamic").open().await;
    let other = server.client("ann").query("mode=dynamic").open().await;
    let mut stream = other.stream().await;
    enable(&one, &["gmail_list-emails"]).await;
    assert_eq!(other.tool_names().await, [ENABLE]);
    assert_eq!(other.call("gmail_list-emails", json!({})).await.code(), -32602);
    other.delete().await;
    assert_eq!(stream.next().await, None, "the other session's list did not change");
}

#[tokio::test]
async fn tools_of_apps_that_are_not_connected_can_be_enabled_but_not_run() {
    let server = Server::start();
    let client = open_with(&server, &["gmail"]).await;
    let names = ["acme_crm_ping", "gmail_list-emails", "slack_list-users", "slack_send_direct-message"];
    assert_eq!(enable(&client, &names).await, ["Tools enabled"]);
    let tools = client.tools().await;
    let listed: Vec<_> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(listed, [&[ENABLE], &names[..]].concat(), "all in the order of a catalog");
    let connected = server.client("bob").open().await.tools().await;
    assert!(tools[1..].iter().all(|tool| connected.contains(tool)), "they look as they would in a catalog");

    for name in ["acme_crm_ping", "slack_list-users"] {
        let result = client.call(name, json!({})).await.result();
        assert_eq!(result["isError"], true, "{name}: {result}");
        assert!(result["content"][0]["text"].as_str().unwrap().contains("> Connection not found"), "{name}: {result}");
    }
    client.output("gmail_list-emails", json!({})).await;
}

#[tokio::test]
async fn names_beyond_the_catalog_cost_one_request_for_each_app() {
    let cases: [(&str, &[&str], u64, u64); 6] = [
        ("in the catalog", &["gmail_list-emails", "gmail_send-email"], 0, 0),
        ("one name", &["slack_list-users"], 1, 0),
        ("names of one app", &["slack_list-users", "slack_list-channels", "slack_no-such-action"], 0, 1),
        ("one name for each of two apps", &["slack_list-users", "notion_list-databases"], 2, 0),
        // The key may end at either underscore.
        ("an app with an underscore", &["acme_crm_ping"], 2, 0),
        ("no name of any app", &["no-such-tool"], 0, 0),
    ];
    for (case, names, single, lists) in cases {
        let server = Server::start();
        let client = open_with(&server, &["gmail"]).await;
        enable(&client, &[]).await;
        let before = server.requests("GET /actions").await;
        assert_eq!(before, 1, "the catalog itself");
        enable(&client, names).await;
        let seen = (server.requests("GET /action").await, server.requests("GET /actions").await - before);
        assert_eq!(seen, (single, lists), "{case}");
        let known = names.iter().filter(|name| !name.contains("no-such")).count();
        assert_eq!(client.tool_names().await.len(), 1 + known, "{case}");
    }
}

#[tokio::test]
async fn a_connected_apps_key_is_not_cut_elsewhere() {
    let server = Server::start();
    let client = open_with(&server, &["acme_crm"]).await;
    enable(&client, &["acme_crm_no_such-action"]).await;
    assert_eq!(server.requests("GET /action").await, 1, "it can be an action of acme_crm only");
}

#[tokio::test]
async fn a_confined_session_knows_no_other_app() {
    let server = Server::start();
    let client = server.client("ann").query("mode=dynamic&apps=gmail").open().await;
    let texts = enable(&client, &["slack_list-users", "acme_crm_ping", "gmail_list-emails"]).await;
    assert!(texts[1].contains("slack_list-users") && texts[1].contains("acme_crm_ping"), "{texts:?}");
    assert_eq!(client.tool_names().await, [ENABLE, "gmail_list-emails"]);
    for name in ["slack_list-users", "acme_crm_ping"] {
        assert_eq!(client.call(name, json!({})).await.code(), -32602, "{name}");
    }
    client.output("gmail_list-emails", json!({})).await;
    let seen = server.stats().await["requests"].take();
    let expected = json!({"GET /actions": 1, "GET /connections": 1, "POST /action-instance/run": 1});
    assert_eq!(seen, expected, "nothing was asked about the others");
}

#[tokio::test]
async fn static_mode_does_not_know_enable_tools() {
    let server = Server::start();
    for query in ["", "mode=static"] {
        let client = server.client("ann").query(query).open().await;
        assert!(!client.tool_names().await.contains(&ENABLE.to_owned()), "{query:?}");
        let reply = client.call(ENABLE, json!({"tools": ["gmail_list-emails"]})).await;
        assert_eq!(reply.code(), -32602, "{query:?}: {reply:?}");
    }
}

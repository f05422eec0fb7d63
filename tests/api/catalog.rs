//! A user's tools: which there are, what they are called, and what it costs to learn of them.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    files::{Folder, app},
    support::{PATIENCE, SECRET, Server, catalog, claims, sign},
};

/// How many actions each app of the sandbox has.
pub fn actions_per_app() -> Vec<usize> {
    catalog().iter().map(|app| app["actions"].as_array().unwrap().len()).collect()
}

/// The names of all tools, in the order of integration key and action key.
pub fn all_names() -> Vec<String> {
    let mut names = Vec::new();
    for app in catalog() {
        let mut keys: Vec<_> = app["actions"].as_array().unwrap().iter().map(|a| a["key"].as_str().unwrap()).collect();
        keys.sort_unstable();
        let integration = app["integration"]["key"].as_str().unwrap();
        names.extend(keys.iter().map(|key| format!("{integration}_{key}")));
    }
    names
}

/// A token of a user who has connected these apps only.
pub fn token_with(user: &str, connections: &[&str]) -> String {
    let mut claims = claims(user);
    claims["fields"] = json!({"connections": connections});
    sign(&claims, SECRET)
}

/// A server with this many apps, each with three actions.
fn many_apps(count: usize, settings: &[(&str, &str)]) -> (Folder, Server) {
    let files = (0..count)
        .fold(Folder::new(), |folder, i| folder.with(&format!("app-{i}.json"), &app(&format!("app-{i:02}"), 3)));
    let builder = Server::builder().env("MCP__SANDBOX__CATALOG", files.as_str());
    let server = settings.iter().fold(builder, |builder, (name, value)| builder.env(name, value)).start();
    (files, server)
}

#[tokio::test]
async fn the_order_of_tools_never_changes() {
    // Pages of one and answers in any order must not show.
    let server = Server::builder().env("MCP__TUNING__SANDBOX_PAGE_SIZE", "1").env("MCP__CATALOG__FRESH_S", "0").start();
    let client = server.client("ann").open().await;
    let first = client.ask("tools/list", json!({})).await.text;
    for round in 0..3 {
        assert_eq!(client.ask("tools/list", json!({})).await.text, first, "round {round}");
    }
    assert_eq!(client.tool_names().await, all_names());
    assert_eq!(server.client("bob").open().await.tool_names().await, all_names());
}

#[tokio::test]
async fn keys_with_underscores_and_hyphens_are_called_by_their_names() {
    let server = Server::start();
    let client = server.client("ann").open().await;
    let names = client.tool_names().await;
    let cases = [
        ("acme_crm_ping", json!({})),
        ("acme_crm_create_lead-note", json!({"leadId": "lead_1", "text": "Call back"})),
        ("google-calendar_list-events", json!({})),
        ("slack_send_direct-message", json!({"userId": "U02JONAS", "text": "Hi"})),
    ];
    for (name, arguments) in cases {
        assert!(names.iter().any(|listed| listed == name), "{name} is not listed");
        let result = client.call(name, arguments).await.result();
        assert_eq!(result["isError"], Value::Null, "{name}: {result}");
    }
}

#[tokio::test]
async fn two_connections_of_one_app_give_one_set_of_tools() {
    let server = Server::start();
    server.sandbox(Method::POST, "/connections", "ann", json!({"integrationKey": "gmail"})).await;
    for query in ["", "apps=gmail"] {
        let client = server.client("ann").query(query).open().await;
        let gmail =
            |names: Vec<String>| names.into_iter().filter(|name| name.starts_with("gmail_")).collect::<Vec<_>>();
        assert_eq!(gmail(client.tool_names().await), gmail(all_names()), "{query:?}");
        client.output("gmail_list-emails", json!({})).await;
    }
}

#[tokio::test]
async fn a_disconnected_apps_tools_stay_and_a_call_says_what_to_do() {
    let server = Server::start();
    server.sandbox(Method::PATCH, "/connections/gmail", "ann", json!({"disconnected": true})).await;
    let client = server.client("ann").open().await;
    assert_eq!(client.tool_names().await, all_names());

    let result = client.call("gmail_list-emails", json!({})).await.result();
    assert_eq!(result["isError"], true, "{result}");
    let text = result["content"][0]["text"].as_str().unwrap();
    for part in ["Access token is expired", "Gmail", "connect it again"] {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
    let other = client.call("slack_list-users", json!({})).await.result();
    assert_eq!(other["isError"], Value::Null, "another app is not concerned");
}

#[tokio::test]
async fn an_app_with_one_good_connection_of_two_is_connected() {
    let server = Server::start();
    server.sandbox(Method::POST, "/connections", "ann", json!({"integrationKey": "gmail"})).await;
    server.sandbox(Method::PATCH, "/connections/gmail", "ann", json!({"disconnected": true})).await;
    let client = server.client("ann").open().await;
    let text = client.call("gmail_list-emails", json!({})).await.text;
    assert!(!text.contains("connect it again"), "which account the upstream takes is its own choice: {text}");
}

#[tokio::test]
async fn a_user_without_connections_has_an_empty_list() {
    let server = Server::start();
    let client = server.client_with(&token_with("new", &[])).open().await;
    assert_eq!(client.ask("tools/list", json!({})).await.result(), json!({"tools": []}));
    assert_eq!(client.call("gmail_list-emails", json!({})).await.code(), -32602);
    assert_eq!(server.requests("GET /actions").await, 0);
}

#[tokio::test]
async fn a_user_has_the_tools_of_the_connected_apps_only() {
    let server = Server::start();
    let names = server.client_with(&token_with("new", &["acme_crm", "slack"])).open().await.tool_names().await;
    let expected = all_names().into_iter().filter(|name| name.starts_with("acme_crm_") || name.starts_with("slack_"));
    assert_eq!(names, expected.collect::<Vec<_>>());
}

#[tokio::test]
async fn an_app_whose_actions_fail_costs_its_own_tools_only() {
    let server = Server::start();
    let failures = [
        json!({"status": 500, "body": {"type": "internal", "message": "Out of order"}}),
        json!({"status": 403, "body": {"type": "bad_request", "key": "access_denied", "message": "Not yours"}}),
        json!({"status": 200, "body": {"no": "list"}}),
    ];
    for (i, failure) in failures.into_iter().enumerate() {
        let mut fault = failure.clone();
        fault["path"] = json!("/actions");
        fault["query"] = json!("int-slack");
        server.sandbox(Method::PUT, "/sandbox/faults", "tester", json!([fault])).await;
        let names = server.client(&format!("user-{i}")).open().await.tool_names().await;
        let expected: Vec<_> = all_names().into_iter().filter(|name| !name.starts_with("slack_")).collect();
        assert_eq!(names, expected, "{failure}");
    }
    server.wait_for_log("integration=slack");
}

#[tokio::test]
async fn retired_and_strange_actions_cost_themselves_alone() {
    let server = Server::start();
    let gmail = json!({"id": "int-gmail", "key": "gmail", "name": "Gmail"});
    let action = |key: &str, more: Value| {
        let mut action = json!({"key": key, "name": key, "integration": gmail});
        action.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        action
    };
    let items = json!([
        action("sound", json!({})),
        action("twice", json!({})),
        action("twice", json!({"name": "again"})),
        action("archived", json!({"archivedAt": "2026-01-01T00:00:00Z"})),
        action("deactivated", json!({"isDeactivated": true})),
        action("universal", json!({"integration": null})),
        action("", json!({})),
        action(&"x".repeat(200), json!({})),
        action("of another form", json!({"name": {"en": "name"}})),
        action("with blanks", json!({})),
        "no action at all",
    ]);
    let fault = json!({"path": "/actions", "query": "int-gmail", "status": 200, "body": {"items": items}});
    server.sandbox(Method::PUT, "/sandbox/faults", "tester", json!([fault])).await;
    let tools = server.client("ann").query("apps=gmail").open().await.tools().await;
    let named = |tool: &Value| (tool["name"].clone(), tool["title"].clone(), tool["inputSchema"].clone());
    let object = json!({"type": "object", "properties": {}});
    let (long, long_name) = ("x".repeat(200), format!("gmail_{}_be7e86ee9e", "x".repeat(47)));
    let expected = [
        // A name for people that is no text is not needed.
        (json!("gmail_of-another-form_5da0450459"), json!("Gmail: of another form"), object.clone()),
        (json!("gmail_sound"), json!("Gmail: sound"), object.clone()),
        (json!("gmail_twice"), json!("Gmail: twice"), object.clone()),
        (json!("gmail_with-blanks_8025acd9c8"), json!("Gmail: with blanks"), object.clone()),
        (json!(long_name), json!(format!("Gmail: {long}")), object),
    ];
    assert_eq!(tools.iter().map(named).collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn every_page_is_asked_for_exactly_once() {
    let (apps, actions) = (catalog().len(), actions_per_app());
    // Seven is the number of connections, and of some apps' actions: a page that is just full is the last one all the same.
    for (setting, size) in
        [("MCP__TUNING__SANDBOX_PAGE_SIZE", 2), ("MCP__TUNING__SANDBOX_PAGE_SIZE", 3), ("MCP__TUNING__PAGE_SIZE", 7)]
    {
        let server = Server::builder().env(setting, &size.to_string()).start();
        let names = server.client("ann").open().await.tool_names().await;
        assert_eq!(names, all_names(), "{setting}={size}");
        let seen = server.stats().await["requests"].take();
        let pages: usize = actions.iter().map(|count| count.div_ceil(size)).sum();
        let expected = json!({"GET /connections": apps.div_ceil(size), "GET /actions": pages});
        assert_eq!(seen, sorted(expected), "{setting}={size}");
    }
}

/// With its members in the order of their names, as the sandbox gives its counts.
fn sorted(object: Value) -> Value {
    let members: std::collections::BTreeMap<String, Value> = serde_json::from_value(object).unwrap();
    json!(members)
}

#[tokio::test]
async fn a_list_without_an_end_is_given_up() {
    let server = Server::builder().env("MCP__TUNING__CATALOG_NEGATIVE_S", "0").start();
    let endless = json!({"path": "/connections", "status": 200, "body": {"items": [], "cursor": "again"}});
    server.sandbox(Method::PUT, "/sandbox/faults", "tester", json!([endless])).await;
    let client = server.client("ann").open().await;
    let list = client.ask("tools/list", json!({}));
    let reply = tokio::time::timeout(PATIENCE, list).await.expect("an end");
    assert_eq!((reply.status.as_u16(), reply.code()), (503, -32603), "{reply:?}");

    server.sandbox(Method::PUT, "/sandbox/faults", "tester", json!([])).await;
    assert_eq!(client.tool_names().await, all_names(), "the failure was not kept");
}

#[tokio::test]
async fn twenty_apps_cost_a_request_each_and_are_asked_side_by_side() {
    let (_files, server) = many_apps(20, &[("MCP__TUNING__SANDBOX_LATENCY_MS", "100")]);
    let client = server.client("ann").open().await;
    assert_eq!(client.tools().await.len(), 60);
    let stats = server.stats().await;
    assert_eq!(stats["requests"], sorted(json!({"GET /connections": 1, "GET /actions": 20})));
    let most = stats["maxInFlight"].as_u64().unwrap();
    assert!((2..=20).contains(&most), "{most} requests at once");

    client.tools().await;
    server.client("ann").open().await.tools().await;
    assert_eq!(server.requests("GET /actions").await, 20, "what was loaded is used again");
}

#[tokio::test]
async fn pages_of_twenty_apps_are_all_read() {
    let settings = [("MCP__TUNING__SANDBOX_PAGE_SIZE", "2"), ("MCP__TUNING__MAX_READS_PER_USER", "1")];
    let (_files, server) = many_apps(20, &settings);
    assert_eq!(server.client("ann").open().await.tools().await.len(), 60);
    let stats = server.stats().await;
    assert_eq!(stats["requests"], sorted(json!({"GET /connections": 10, "GET /actions": 40})));
    assert_eq!(stats["maxInFlight"], 1, "the setting is the limit");
}

#[tokio::test]
async fn many_sessions_opened_at_once_load_a_users_tools_once() {
    let (_files, server) = many_apps(5, &[("MCP__TUNING__SANDBOX_LATENCY_MS", "50")]);
    let ann = server.client("ann");
    let open = || async { ann.clone().open().await.tools().await.len() };
    let opened = tokio::time::timeout(PATIENCE, join_all((0..30).map(|_| open()))).await.unwrap();
    assert_eq!(opened, [15; 30]);
    let seen = server.stats().await["requests"].take();
    assert_eq!(seen, sorted(json!({"GET /connections": 1, "GET /actions": 5})));
}

#[tokio::test]
async fn sessions_with_tokens_of_their_own_share_a_users_tools_too() {
    let (_files, server) = many_apps(5, &[("MCP__TUNING__SANDBOX_LATENCY_MS", "50")]);
    let token = |i: u32| {
        let mut claims = claims("ann");
        claims["name"] = json!(format!("Ann {i}"));
        sign(&claims, SECRET)
    };
    let open = |i| {
        let client = server.client_with(&token(i));
        async { client.open().await.tools().await.len() }
    };
    assert_eq!(join_all((0..10).map(open)).await, [15; 10]);
    let seen = server.stats().await["requests"].take();
    // One token is shown to the upstream by the load itself.
    assert_eq!(seen, sorted(json!({"GET /connections": 1, "GET /actions": 5, "GET /self": 9})));
}

//! The search mode, the automatic mode, and filters of the URL.

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use crate::{
    files::Folder,
    support::{Client, SECRET, Server, assert_error, claims, sign},
};

const FIVE: [&str; 5] = ["search-tools", "describe-tools", "run-read-tool", "run-write-tool", "connect-app"];

/// Calls one of the server's own tools and reads the JSON of its answer.
async fn ask(client: &Client<'_>, tool: &str, arguments: Value) -> Value {
    let result = client.call(tool, arguments).await.result();
    assert_eq!(result["isError"], Value::Null, "{tool}: {result}");
    serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap()
}

/// Calls a tool that refuses, and gives its words.
async fn refusal(client: &Client<'_>, tool: &str, arguments: Value) -> String {
    let result = client.call(tool, arguments).await.result();
    assert_eq!(result["isError"], true, "{tool}: {result}");
    result["content"][0]["text"].as_str().unwrap().to_owned()
}

fn found(answer: &Value) -> Vec<&str> {
    answer["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect()
}

/// A server that answers as JSON however long it takes: the first search reads tables of words, and outputs here are large.
fn start() -> Server {
    Server::builder().env("MCP__TUNING__STREAM_AFTER_MS", "60000").start()
}

#[tokio::test]
async fn the_search_mode_lists_five_tools_that_are_the_same_for_every_request() {
    let server = start();
    let session = server.client("ann").query("mode=search").open().await;
    assert_eq!(session.tool_names().await, FIVE);
    let again = server.client("ann").query("mode=search").open().await;
    assert_eq!(session.tools().await, again.tools().await);
    let modern = server.client("ann").query("mode=search").modern("tools/list", json!({})).send().await.result();
    assert_eq!(modern["tools"], json!(session.tools().await), "in every revision");
    for tool in session.tools().await {
        let name = tool["name"].as_str().unwrap();
        assert!(tool["description"].as_str().unwrap().len() <= 1_900, "{name}");
        assert_eq!(tool["_meta"]["anthropic/alwaysLoad"], true, "{name}");
        let is_runner = name.starts_with("run-");
        assert_eq!(tool["_meta"]["anthropic/maxResultSizeChars"].is_u64(), is_runner, "{name}");
        for hint in ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"] {
            assert!(tool["annotations"][hint].is_boolean(), "{name} {hint}");
        }
    }
    let description = session.tools().await[0]["description"].as_str().unwrap().to_owned();
    assert!(description.contains("gmail") && description.contains("slack"), "{description}");
}

#[tokio::test]
async fn a_search_finds_a_tool_and_a_runner_runs_it() {
    let server = start();
    let client = server.client("ann").query("mode=search").open().await;
    let answer = ask(&client, "search-tools", json!({"query": "list my mails"})).await;
    assert_eq!(answer["tools"][0]["name"], "gmail_list-emails", "{answer}");
    assert_eq!(answer["tools"][0]["access"], "read");
    assert_eq!(answer["tools"][0]["inputSchema"]["type"], "object", "the best hit has its schema");
    assert_eq!(answer["apps"]["gmail"]["status"], "connected");
    let ran =
        client.call("run-read-tool", json!({"name": "gmail_list-emails", "arguments": {"limit": 1}})).await.result();
    assert_eq!(ran["isError"], Value::Null, "{ran}");
    let direct = client.call("gmail_list-emails", json!({"limit": 1})).await.result();
    assert_eq!(ran, direct, "it can be called by its own name, too");
    server.wait_for_log("tool=gmail_list-emails");
    let metrics = String::from_utf8(server.metrics().unwrap()).unwrap();
    assert!(metrics.contains("mcp_searches_total{outcome=\"hit\"} 1"), "{metrics}");
    assert!(metrics.contains("mcp_search_runs_total{place=\"1\"} 1"), "{metrics}");
}

#[tokio::test]
async fn a_search_can_be_confined_and_asked_in_steps() {
    let server = start();
    let client = server.client("ann").query("mode=search").open().await;
    let answer = ask(&client, "search-tools", json!({"query": "message", "app": "Slack"})).await;
    assert!(found(&answer).iter().all(|name| name.starts_with("slack_")), "{answer}");
    let answer = ask(&client, "search-tools", json!({"query": "mail", "access": "read", "limit": 20})).await;
    assert!(answer["tools"].as_array().unwrap().iter().all(|tool| tool["access"] == "read"), "{answer}");
    let answer = ask(&client, "search-tools", json!({"queries": ["find a contact", "send an email"]})).await;
    assert_eq!(answer["steps"].as_array().unwrap().len(), 2, "{answer}");
    assert_eq!(answer["steps"][1]["tools"][0]["name"], "gmail_send-email", "{answer}");
    let answer = ask(&client, "search-tools", json!({})).await;
    assert_eq!(found(&answer), Vec::<&str>::new());
    assert!(answer["apps"]["notion"].is_object(), "an empty query lists the apps: {answer}");
    let answer = ask(&client, "search-tools", json!({"query": "x", "app": "nowhere"})).await;
    assert!(answer["note"].as_str().unwrap().contains("nowhere") && answer["apps"]["gmail"].is_object(), "{answer}");
    let refused = refusal(&client, "search-tools", json!({"qeury": "x"})).await;
    assert!(refused.contains("qeury"), "{refused}");
}

#[tokio::test]
async fn the_read_runner_refuses_what_writes_and_names_the_other() {
    let server = start();
    let client = server.client("ann").query("mode=search").open().await;
    let refused = refusal(&client, "run-read-tool", json!({"name": "gmail_send-email", "arguments": {}})).await;
    assert!(refused.contains("run-write-tool"), "{refused}");
    assert_eq!(server.requests("POST /action-instance/run").await, 0);
    let mail = json!({"to": ["bob@example.com"], "subject": "Hi", "body": "Hello"});
    let ran = client.call("run-write-tool", json!({"name": "gmail_send-email", "arguments": mail})).await.result();
    assert_eq!(ran["isError"], Value::Null, "{ran}");
    let ran = client.call("run-write-tool", json!({"name": "gmail_list-emails"})).await.result();
    assert_eq!(ran["isError"], Value::Null, "it takes both: {ran}");
}

#[tokio::test]
async fn runners_take_names_and_arguments_as_models_write_them() {
    let server = start();
    let client = server.client("ann").query("mode=search").open().await;
    for name in ["gmail_list-emails", "GMAIL_List-Emails", "gmail.list_emails", "mcp__apps__gmail_list-emails"] {
        let ran = client.call("run-read-tool", json!({"name": name, "arguments": "{\"limit\": 1}"})).await.result();
        assert_eq!(ran["isError"], Value::Null, "{name}: {ran}");
    }
    let refused = refusal(&client, "run-read-tool", json!({"name": "gmail_list-mails"})).await;
    assert!(refused.contains("Unknown tool") && refused.contains("gmail_list-emails"), "{refused}");
    let refused = refusal(&client, "run-read-tool", json!({"name": "gmail_list-emails", "arguments": [1]})).await;
    assert!(refused.contains("object"), "{refused}");
    let refused =
        refusal(&client, "run-read-tool", json!({"name": "gmail_list-emails", "arguments": {"limit": "many"}})).await;
    assert!(refused.contains("limit"), "{refused}");
}

#[tokio::test]
async fn describe_gives_whole_definitions_and_names_like_unknown_ones() {
    let server = start();
    let client = server.client("ann").query("mode=search").open().await;
    let answer = ask(&client, "describe-tools", json!({"names": ["gmail_send-email", "gmail_send-mail"]})).await;
    let [known, unknown] = &answer["tools"].as_array().unwrap()[..] else { panic!("{answer}") };
    assert_eq!((&known["name"], &known["access"]), (&json!("gmail_send-email"), &json!("write")));
    assert_eq!(known["inputSchema"]["type"], "object");
    assert!(unknown["similar"].as_array().unwrap().contains(&json!("gmail_send-email")), "{unknown}");
    refusal(&client, "describe-tools", json!({"names": []})).await;
}

#[tokio::test]
async fn the_automatic_mode_lists_few_tools_and_searches_many() {
    let server = start();
    let mut few = claims("ann");
    few["fields"] = json!({"connections": ["gmail"]});
    let few = server.client_with(&sign(&few, SECRET)).query("mode=auto").open().await;
    assert!(few.tool_names().await.contains(&"gmail_send-email".to_owned()));
    let many = server.client("bob").query("mode=auto").open().await;
    assert_eq!(many.tool_names().await, FIVE);
    ask(&few, "search-tools", json!({"query": "send an email"})).await;
}

#[tokio::test]
async fn filters_of_the_url_hold_on_every_path() {
    let server = start();
    let listed = async |query: &str| server.client("ann").query(query).open().await.tool_names().await;
    assert_eq!(listed("tools=gmail_send-email,slack_list-users").await, ["gmail_send-email", "slack_list-users"]);
    let mails = listed("tools=gmail_*&exclude=*_send-*").await;
    assert!(
        mails.contains(&"gmail_list-emails".to_owned()) && !mails.contains(&"gmail_send-email".to_owned()),
        "{mails:?}"
    );
    let reads = listed("apps=gmail&access=read").await;
    assert!(
        reads.contains(&"gmail_list-emails".to_owned()) && !reads.contains(&"gmail_send-email".to_owned()),
        "{reads:?}"
    );

    let mail = json!({"to": ["bob@example.com"], "subject": "Hi", "body": "Hello"});
    let fixed = server.client("ann").query("access=read").open().await;
    assert_error(&fixed.call("gmail_send-email", mail.clone()).await, 200, -32602, "called by name");
    let modern = server.client("ann").query("access=read").modern_call("gmail_send-email", mail.clone()).send().await;
    assert_error(&modern, 400, -32602, "in 2026-07-28");
    let dynamic = server.client("ann").query("mode=dynamic&access=read").open().await;
    let enabled =
        dynamic.call("enable-tools", json!({"tools": ["gmail_send-email", "gmail_list-emails"]})).await.result();
    assert!(enabled["content"][1]["text"].as_str().unwrap().contains("gmail_send-email"), "{enabled}");
    assert_eq!(dynamic.tool_names().await, ["enable-tools", "gmail_list-emails"]);
    let search = server.client("ann").query("mode=search&access=read").open().await;
    let answer = ask(&search, "search-tools", json!({"query": "send an email", "limit": 20})).await;
    assert!(answer["tools"].as_array().unwrap().iter().all(|tool| tool["access"] == "read"), "{answer}");
    refusal(&search, "run-write-tool", json!({"name": "gmail_send-email", "arguments": mail})).await;
    assert_eq!(server.requests("POST /action-instance/run").await, 0);
}

#[tokio::test]
async fn pinned_tools_stand_beside_the_five() {
    let server = start();
    let client = server.client("ann").query("mode=search&pin=gmail_send-email").open().await;
    let names = client.tool_names().await;
    assert_eq!(names[..5], FIVE);
    assert_eq!(names[5..], ["gmail_send-email"]);
    let too_many = (0..9).map(|i| format!("a_{i}")).collect::<Vec<_>>().join(",");
    assert_error(
        &server.client("ann").query(&format!("pin={too_many}")).initialize("2025-11-25").await,
        400,
        -32000,
        "nine",
    );
}

#[tokio::test]
async fn names_in_the_url_that_there_are_not_are_told() {
    let server = start();
    let url = "apps=gmail,nowhere&tools=gmail_send-email,gmail_nothing";
    server.client("ann").query(url).open().await.tools().await;
    let told = server.client("ann").query(url).initialize("2025-11-25").await.result()["instructions"].to_string();
    assert!(told.contains("nowhere") && told.contains("gmail_nothing") && !told.contains("gmail_send-email"), "{told}");
    server.wait_for_log("a URL names apps or tools that its user does not have");
    for query in ["access=write", "acess=read", "mode=serach"] {
        let refused = server.client("ann").query(query).initialize("2025-11-25").await;
        assert_eq!(refused.status.as_u16(), 400, "{query}");
    }
}

#[tokio::test]
async fn a_filter_outlasts_a_restart() {
    let folder = Folder::new();
    let keeping = || {
        let server = Server::builder().env("MCP__TUNING__STREAM_AFTER_MS", "60000");
        server.env("MCP__STORE__PATH", folder.as_str()).start()
    };
    let before = keeping();
    let session = before.client("ann").query("mode=search&access=read").open().await.session.clone().unwrap();
    before.kill();
    let after = keeping();
    let client = after.client("ann").in_session(&session);
    assert_eq!(client.tool_names().await, FIVE);
    let mail =
        json!({"name": "gmail_send-email", "arguments": {"to": ["b@example.com"], "subject": "Hi", "body": "x"}});
    refusal(&client, "run-write-tool", mail).await;
}

#[tokio::test]
async fn a_thousand_sessions_search_and_run_at_once_in_the_same_memory() {
    const SESSIONS: usize = 1_000;
    let builder = Server::builder().env("MCP__TUNING__STREAM_AFTER_MS", "60000");
    // However long the crowd takes on a busy machine, catalogs stay fresh.
    let server = builder.env("MCP__CATALOG__FRESH_S", "3600").start();
    let open = |n: usize| server.client(&format!("user-{}", n % 20)).query("mode=search").open();
    let sessions = stream::iter((0..SESSIONS).map(open)).buffer_unordered(20).collect::<Vec<_>>().await;
    let round = async || {
        let all = sessions.iter().map(async |client| {
            let found = client.call("search-tools", json!({"query": "put a meeting in my calendar"})).await.result();
            assert!(found["content"][0]["text"].as_str().unwrap().contains("google-calendar_create-event"), "{found}");
            let arguments = json!({"name": "google-calendar_list-events"});
            let listed = client.call("run-read-tool", arguments).await.result();
            assert_eq!(listed["isError"], Value::Null, "{listed}");
        });
        // More at once would try how many connections a test may have, not how sessions share a server.
        stream::iter(all).buffer_unordered(100).collect::<()>().await;
        server.peak_memory()
    };
    let (first, second) = (round().await, round().await);
    assert!(second <= first + (16 << 20), "{first} bytes, then {second}");
    // One catalog each is read for twenty users, however many sessions they have.
    assert_eq!(server.requests("GET /connections").await, 20);
}

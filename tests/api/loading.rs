//! What the upstream is asked, how often, and what becomes of it when it fails: the rows of docs/upstream.md.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    catalog::{all_names, token_with},
    support::{Client, Server, ServerBuilder, catalog, eventually},
};

/// Makes the sandbox do wrong from now on.
pub async fn spoil(server: &Server, faults: Value) {
    server.sandbox(Method::PUT, "/sandbox/faults", "tester", faults).await;
}

/// The value of a metric with these labels, as a scrape has them; nothing is zero.
pub fn metric(server: &Server, name: &str, labels: &str) -> u64 {
    let text = String::from_utf8(server.metrics().unwrap()).unwrap();
    let prefix = if labels.is_empty() { format!("{name} ") } else { format!("{name}{{{labels}}} ") };
    text.lines().find_map(|line| line.strip_prefix(&prefix)?.parse().ok()).unwrap_or(0)
}

/// What a user's first list costs.
fn cold() -> BTreeMap<&'static str, u64> {
    BTreeMap::from([("GET /connections", 1), ("GET /actions", catalog().len() as u64)])
}

async fn seen(server: &Server) -> BTreeMap<String, u64> {
    serde_json::from_value(server.stats().await["requests"].take()).unwrap()
}

fn assert_cost(seen: &BTreeMap<String, u64>, times: u64) {
    let expected: BTreeMap<_, _> = cold().into_iter().map(|(what, count)| (what.to_owned(), count * times)).collect();
    assert_eq!(*seen, expected);
}

/// Tools that are never fresh, so that each list looks for newer ones.
fn never_fresh() -> ServerBuilder {
    Server::builder().env("MCP__CATALOG__FRESH_S", "0").env("MCP__TUNING__CATALOG_NEGATIVE_S", "0")
}

/// A server that answers as plain JSON however long it takes.
fn patient() -> ServerBuilder {
    Server::builder().env("MCP__TUNING__STREAM_AFTER_MS", "60000")
}

fn has_app(names: &[String], app: &str) -> bool {
    names.iter().any(|name| name.starts_with(&format!("{app}_")))
}

#[tokio::test]
async fn a_hundred_opens_of_one_user_cost_one_load() {
    let server = patient().start();
    // So that each comes before the load has ended.
    spoil(&server, json!([{"path": "/actions", "delayMs": 1000}])).await;
    let ann = server.client("ann");
    let lists = join_all((0..100).map(|_| async { ann.clone().open().await.tool_names().await }));
    for names in lists.await {
        assert_eq!(names, all_names());
    }
    assert_cost(&seen(&server).await, 1);
    assert!(metric(&server, "mcp_catalog_lookups_total", r#"result="coalesced""#) >= 1);
}

#[tokio::test]
async fn a_hundred_users_cost_a_hundred_loads_and_then_nothing() {
    let server = patient().start();
    let users: Vec<_> = (0..100).map(|i| server.client(&format!("user-{i}"))).collect();
    let open_all = async || join_all(users.iter().cloned().map(open_and_list)).await;
    let first = open_all().await;
    assert_eq!(first, vec![all_names().len(); 100]);
    // The lists of actions are read by two users for all.
    let cost = BTreeMap::from([("GET /connections", 100), ("GET /actions", 2 * catalog().len() as u64)]);
    let cost: BTreeMap<_, _> = cost.into_iter().map(|(what, count)| (what.to_owned(), count)).collect();
    assert_eq!(seen(&server).await, cost);

    let again = open_all().await;
    assert_eq!(again, first);
    assert_eq!(seen(&server).await, cost);
    assert!(metric(&server, "mcp_catalog_lookups_total", r#"result="fresh""#) >= 100);
}

#[tokio::test]
async fn users_with_the_same_tools_share_them_in_memory() {
    let server = patient().env("MCP__SERVER__WORKERS", "1").start();
    server.client("ann").open().await.tools().await;
    let of_one = metric(&server, "mcp_catalog_bytes", "");
    join_all((0..20).map(|i| open_and_list(server.client(&format!("user-{i}"))))).await;
    let of_all = metric(&server, "mcp_catalog_bytes", "");
    assert!(of_all - of_one <= 20 * 1024, "one user {of_one}, all {of_all}");
    server.client_with(&token_with("one", &["gmail"])).open().await.tools().await;
    let with_a_part = metric(&server, "mcp_catalog_bytes", "");
    assert!(with_a_part - of_all <= 1024, "a part of it costs no more than its entry");
}

/// How many tools a new session lists.
async fn open_and_list(client: Client<'_>) -> usize {
    client.open().await.tools().await.len()
}

#[tokio::test]
async fn tools_that_are_not_fresh_are_listed_at_once_and_loaded_beside_it() {
    let server = never_fresh().start();
    let client = server.client("ann").open().await;
    let mut stream = client.stream().await;
    assert_eq!(client.tool_names().await, all_names());
    server.sandbox(Method::DELETE, "/connections/gmail", "ann", Value::Null).await;
    // While the next load waits, the list comes all the same, as it was.
    spoil(&server, json!([{"path": "/connections", "delayMs": 300}])).await;
    assert!(has_app(&client.tool_names().await, "gmail"));
    assert!(metric(&server, "mcp_catalog_lookups_total", r#"result="stale""#) >= 1);

    // A load that began before the connection was deleted may be the one that the list waits for: the next list begins another.
    eventually("the change is listed", async || !has_app(&client.tool_names().await, "gmail")).await;
    assert_eq!(stream.next().await.unwrap()["method"], "notifications/tools/list_changed");
    assert_eq!(metric(&server, "mcp_catalog_changes_total", ""), 1);
    server.wait_for_log("a user's tools have changed");
}

#[tokio::test]
async fn tools_too_old_are_not_listed() {
    let server = never_fresh().env("MCP__TUNING__CATALOG_STALE_S", "0").start();
    let client = server.client("ann").open().await;
    client.tools().await;
    server.sandbox(Method::DELETE, "/connections/gmail", "ann", Value::Null).await;
    assert!(!has_app(&client.tool_names().await, "gmail"));
}

#[tokio::test]
async fn limits_and_passing_failures_are_waited_out() {
    let in_a_second = jiff::Zoned::now().checked_add(jiff::Span::new().seconds(1)).unwrap();
    let date =
        jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&in_a_second.timestamp()).unwrap();
    let cases = [
        ("seconds", json!({"status": 429, "headers": {"retry-after": "1"}})),
        ("a date", json!({"status": 429, "headers": {"retry-after": date}})),
        ("no word", json!({"status": 429})),
        ("502", json!({"status": 502})),
        ("503", json!({"status": 503})),
        ("504", json!({"status": 504, "text": "<html>Gateway timeout</html>"})),
        ("a reset in the middle of a body", json!({"status": 200, "text": "{\"items\":[", "cut": true})),
    ];
    for path in ["/connections", "/actions"] {
        // So that each user reads each list.
        let server = patient().env("MCP__CATALOG__SHARED", "off").start();
        for (i, (case, fault)) in cases.iter().enumerate() {
            let mut fault = fault.clone();
            fault["path"] = json!(path);
            fault["times"] = json!(1);
            spoil(&server, json!([fault])).await;
            let names = server.client(&format!("user-{i}")).open().await.tool_names().await;
            assert_eq!(names, all_names(), "{path}: {case}");
        }
        let extra = cases.len() as u64;
        let loads = extra;
        let requests = server.requests(&format!("GET {path}")).await;
        let expected = loads * cold()[format!("GET {path}").as_str()] + extra;
        assert_eq!(requests, expected, "{path}: each was sent once more");
        assert_eq!(metric(&server, "mcp_upstream_retries_total", ""), extra);
        server.wait_for_log("a read is sent again");
    }
}

#[tokio::test]
async fn what_will_not_pass_is_not_sent_again() {
    let cases = [
        ("a wait too long", json!({"status": 429, "headers": {"retry-after": "3600"}})),
        ("500", json!({"status": 500})),
        ("truncated JSON", json!({"status": 200, "text": "{\"items\":["})),
        ("another JSON", json!({"status": 200, "body": [1, 2]})),
        ("no JSON", json!({"status": 200, "text": "<html>Welcome</html>"})),
        ("nothing", json!({"status": 200, "text": ""})),
    ];
    let server = Server::builder().env("MCP__TUNING__CATALOG_NEGATIVE_S", "0").start();
    for (i, (case, mut fault)) in cases.into_iter().enumerate() {
        fault["path"] = json!("/connections");
        spoil(&server, json!([fault])).await;
        let client = server.client(&format!("user-{i}"));
        let before = server.requests("GET /connections").await;
        let reply = client.initialize("2025-11-25").await;
        assert_eq!((reply.status.as_u16(), reply.code()), (503, -32603), "{case}: {reply:?}");
        assert_eq!(server.requests("GET /connections").await - before, 1, "{case}");
        spoil(&server, json!([])).await;
        assert_eq!(client.open().await.tool_names().await, all_names(), "{case}: it has passed");
    }
    assert_eq!(metric(&server, "mcp_upstream_retries_total", ""), 0);
    assert!(metric(&server, "mcp_upstream_requests_total", r#"endpoint="connections",outcome="malformed""#) >= 3);
    server.wait_for_log("a user's tools can't be loaded");
}

#[tokio::test]
async fn retries_are_no_more_than_a_fifth() {
    let server = Server::builder()
        .env("MCP__TUNING__BREAKER_FAILURES", "1000000")
        .env("MCP__CATALOG__SHARED", "off")
        .env("MCP__TUNING__STREAM_AFTER_MS", "60000")
        .start();
    // More failures than retries could be had for.
    spoil(&server, json!([{"path": "/actions", "status": 503}])).await;
    let opens = join_all((0..60).map(|i| open_and_list(server.client(&format!("user-{i}")))));
    assert!(opens.await.iter().all(|tools| *tools == 0));
    let retries = metric(&server, "mcp_upstream_retries_total", "");
    let reads = 60 * (1 + catalog().len() as u64);
    assert!((20..=20 + reads / 5).contains(&retries), "{retries} retries of {reads} reads");
}

#[tokio::test]
async fn a_page_of_ten_megabytes_is_read() {
    let server = patient().start();
    let long = "x".repeat(10 * 1024 * 1024);
    let gmail = json!({"id": "int-gmail", "key": "gmail", "name": "Gmail"});
    let items = json!([{"key": "long", "name": "Long", "description": long, "integration": gmail}]);
    spoil(&server, json!([{"path": "/actions", "query": "int-gmail", "status": 200, "body": {"items": items}}])).await;
    let tools = server.client("ann").query("apps=gmail").open().await.tools().await;
    assert!(tools[0]["description"].as_str().unwrap().len() > long.len());
}

#[tokio::test]
async fn an_empty_page_in_the_middle_is_not_the_end() {
    let server = Server::start();
    let action = |key: &str| json!({"key": key, "integrationKey": "gmail", "integration": {"key": "gmail"}});
    let page = |query: &str, items: Value, cursor: Option<&str>| json!({"path": "/actions", "query": query, "status": 200, "body": {"items": items, "cursor": cursor}});
    let pages = json!([
        page("cursor=last", json!([action("b")]), None),
        page("cursor=middle", json!([]), Some("last")),
        page("int-gmail", json!([action("a")]), Some("middle")),
    ]);
    spoil(&server, pages).await;
    let names = server.client("ann").query("apps=gmail").open().await.tool_names().await;
    assert_eq!(names, ["gmail_a", "gmail_b"]);
    assert_eq!(server.requests("GET /actions").await, 3);
}

#[tokio::test]
async fn an_app_that_fails_keeps_its_last_good_tools_for_a_while() {
    let server = never_fresh().start();
    let client = server.client("ann").open().await;
    assert_eq!(client.tool_names().await, all_names());
    let loads = server.requests("GET /connections").await;
    spoil(&server, json!([{"path": "/actions", "query": "int-gmail", "status": 500}])).await;
    let kept = async || {
        client.tools().await;
        metric(&server, "mcp_integrations_failed_total", r#"tools="kept""#) >= 1
    };
    eventually("a load that lacks gmail", kept).await;
    assert!(server.requests("GET /connections").await > loads);
    assert_eq!(client.tool_names().await, all_names(), "gmail's stand in");
    server.wait_for_log("its actions can't be loaded, its tools stay as they were");
    client.output("gmail_list-emails", json!({})).await;

    spoil(&server, json!([])).await;
    eventually("gmail's are loaded again", async || {
        client.tools().await;
        let failed = metric(&server, "mcp_integrations_failed_total", r#"tools="kept""#);
        client.tools().await;
        failed == metric(&server, "mcp_integrations_failed_total", r#"tools="kept""#)
    })
    .await;
}

#[tokio::test]
async fn only_the_app_that_failed_is_asked_again() {
    let server = Server::builder().env("MCP__TUNING__CATALOG_NEGATIVE_S", "0").start();
    spoil(&server, json!([{"path": "/actions", "query": "int-gmail", "status": 500, "times": 1}])).await;
    let client = server.client("ann").open().await;
    let first = client.tool_names().await;
    assert!(!has_app(&first, "gmail") && has_app(&first, "slack"));
    assert_eq!(metric(&server, "mcp_integrations_failed_total", r#"tools="missing""#), 1);
    eventually("gmail comes back", async || client.tool_names().await == all_names()).await;
    assert_eq!(seen(&server).await["GET /actions"], catalog().len() as u64 + 1);
}

#[tokio::test]
async fn lookups_of_unknown_names_go_out_together() {
    let server = Server::builder().env("MCP__TUNING__SANDBOX_LATENCY_MS", "50").start();
    let extra = ["test_simple_text", "test_error_handling", "test_no-such"];
    let open = async || server.client("ann").query("mode=dynamic").open().await;
    let clients = join_all((0..10).map(|_| open())).await;
    join_all(clients.iter().map(Client::tools)).await;
    let enabled = join_all(clients.iter().map(|client| client.call("enable-tools", json!({"tools": extra}))));
    let texts: Vec<_> = enabled.await.into_iter().map(|reply| reply.result()["content"].clone()).collect();
    assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
    let stats = seen(&server).await;
    let asked = stats.get("GET /action").copied().unwrap_or(0) + stats["GET /actions"] - catalog().len() as u64;
    // Of `test`, and of what else the names may begin with: `test_simple` and `test_error`.
    assert_eq!(asked, 3, "each integration once: {stats:?}");
}

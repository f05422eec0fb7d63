//! Rules of revision 2026-07-28 about more than one kind of request: what may be kept, what is told to whom, and what no
//! request has of another.

use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::{
    hygiene::exchange,
    modern_support::{CAPABILITIES, Modern, SUBSCRIPTION, VERSION},
    support::{Client, Server, eventually},
};

/// By which clients say that they know the tasks extension.
const TASKS: &str = "io.modelcontextprotocol/tasks";

fn in_chat<'a>(server: &'a Server, user: &str) -> Client<'a> {
    server.client(user).query("mode=dynamic").header("x-chat-id", "one")
}

/// MCP 2026-07-28, server/utilities/caching § Cacheable Results, § Cacheable Model.
#[tokio::test]
async fn lists_and_discovery_say_how_long_and_for_whom_they_may_be_kept() {
    let server = Server::builder().env("MCP__CATALOG__FRESH_S", "600").env("MCP__TUNING__CATALOG_NEGATIVE_S", "7");
    // Lists that are lent are there as soon as the user is known.
    let server = server.env("MCP__CATALOG__SHARED", "off").start();
    let (partial_ms, fresh_ms, hour_ms) = (7_000, 600_000, 3_600_000);
    let hints = |result: &Value| (result["ttlMs"].clone(), result["cacheScope"].clone());
    // Before anything is known of a user's tools, what is said for want of them is no answer for an hour, nor for others.
    for (user, query, of_discovery, scope) in [
        ("bob", "", hour_ms, "public"),
        ("cid", "mode=dynamic", hour_ms, "public"),
        ("dan", "mode=search", partial_ms, "private"),
        ("eve", "mode=auto", partial_ms, "private"),
        ("fay", "tools=nonesuch", partial_ms, "private"),
    ] {
        let client = server.client(user).query(query);
        let found = client.modern("server/discover", json!({})).send().await.result();
        assert_eq!(hints(&found), (json!(of_discovery), json!(scope)), "?{query}: {}", found["instructions"]);
    }
    let gil = server.client("gil").query("apps=nonesuch");
    let is_known = async || {
        let found = gil.modern("server/discover", json!({})).send().await.result();
        hints(&found) == (json!(fresh_ms), json!("private"))
    };
    eventually("apps that the URL names are known not to be there", is_known).await;
    for (query, chat, of_list, of_discovery, scope_of_discovery) in [
        ("", "", fresh_ms, hour_ms, "public"),
        ("", "one", fresh_ms, hour_ms, "public"),
        // Its instructions name what the user does not have.
        ("apps=slack", "", fresh_ms, fresh_ms, "private"),
        ("apps=slack,nonesuch", "", fresh_ms, fresh_ms, "private"),
        // Nothing can be enabled for a request that names no chat, and anything at any time for one that does.
        ("mode=dynamic", "", hour_ms, hour_ms, "public"),
        ("mode=dynamic", "two", 0, hour_ms, "public"),
        // Its instructions name the apps of the user.
        ("mode=search", "", fresh_ms, fresh_ms, "private"),
        ("mode=search", "three", fresh_ms, fresh_ms, "private"),
    ] {
        let client = server.client("ann").query(query).header("x-chat-id", chat);
        let case = format!("?{query}, chat {chat:?}");
        let list = client.modern_list().await;
        assert_eq!(hints(&list), (json!(of_list), json!("private")), "{case}");
        let found = client.modern("server/discover", json!({})).send().await.result();
        let expected = (json!(of_discovery), json!(scope_of_discovery));
        assert_eq!(hints(&found), expected, "{case}: {}", found["instructions"]);
        let ran = client.modern_call("enable-tools", json!({"tools": []})).send().await.json();
        assert!(ran.pointer("/result/ttlMs").is_none(), "{case}: the result of a call is not to be kept: {ran}");
    }
}

/// MCP 2026-07-28, basic/patterns/subscriptions § Notification Filter, § Acknowledgment.
#[tokio::test]
async fn a_subscription_is_told_what_it_asked_for_and_nothing_else() {
    let server = Server::start();
    let ann = in_chat(&server, "ann");
    let tools = || json!({"toolsListChanged": true});
    let mut streams = Vec::new();
    for (n, (asked, honoured)) in [
        (json!({}), json!({})),
        (json!({"toolsListChanged": false}), json!({})),
        (json!({"promptsListChanged": true, "resourcesListChanged": true}), json!({})),
        (json!({"resourceSubscriptions": ["file:///a"]}), json!({})),
        (json!({"com.example/newsChanged": true}), json!({})),
        (tools(), tools()),
        (json!({"toolsListChanged": true, "promptsListChanged": true, "resourceSubscriptions": []}), tools()),
    ]
    .into_iter()
    .enumerate()
    {
        let listen = ann.modern("subscriptions/listen", json!({"notifications": asked}));
        let mut events = listen.id(json!(n)).open().await;
        let first = events.next().await.unwrap();
        assert_eq!(first["method"], "notifications/subscriptions/acknowledged", "{asked}");
        assert_eq!(
            (&first["params"]["notifications"], &first["params"]["_meta"][SUBSCRIPTION]),
            (&honoured, &json!(n))
        );
        streams.push((asked, honoured, events));
    }
    ann.modern_enable(&["gmail_send-email"]).await;
    assert!(tokio::task::spawn_blocking(|| server.stop()).await.unwrap().success());
    for (n, (asked, honoured, mut events)) in streams.into_iter().enumerate() {
        let mut seen = Vec::new();
        while let Some(message) = events.next().await {
            let id = message["params"]["_meta"].get(SUBSCRIPTION).or(message["result"]["_meta"].get(SUBSCRIPTION));
            assert_eq!(id, Some(&json!(n)), "each message names its subscription: {message}");
            seen.push(message["method"].as_str().map_or("the result", |method| method).to_owned());
        }
        let told = honoured["toolsListChanged"].is_boolean().then_some("notifications/tools/list_changed");
        let expected: Vec<_> = told.into_iter().chain(["the result"]).collect();
        assert_eq!(seen, expected, "{asked}");
    }
}

/// MCP 2026-07-28, basic/transports/streamable-http § Receiving Messages.
#[tokio::test]
async fn comments_keep_an_idle_subscription_open() {
    let server = Server::builder().env("MCP__TUNING__STREAM_KEEP_ALIVE_S", "1").start();
    let mut events = server.client("ann").subscribe(json!("s")).await;
    for _ in 0..2 {
        let comment = events.block().await.unwrap();
        assert!(comment.starts_with(':'), "{comment}");
    }
}

/// MCP 2026-07-28, basic/versioning § Extension Negotiation; docs/extensions/tasks.
#[tokio::test]
async fn tasks_are_not_offered_and_clients_that_know_them_get_results() {
    let server = Server::builder().env("MCP__TUNING__STREAM_AFTER_MS", "1").start();
    let client = server.client("ann");
    let able = json!({"extensions": {TASKS: {}}, "tasks": {"requests": {"tools": {"call": {}}}}});
    let found = client.modern("server/discover", json!({})).meta(CAPABILITIES, able.clone()).send().await.result();
    let members: Vec<_> = found["capabilities"].as_object().unwrap().keys().collect();
    assert_eq!(members, ["tools"], "neither extensions nor tasks: {found}");
    for method in ["tasks/get", "tasks/update", "tasks/cancel", "tasks/result", "tasks/list"] {
        let request = client.modern(method, json!({"taskId": "t"})).meta(CAPABILITIES, able.clone());
        for request in [request.clone(), request.with("mcp-name", "t")] {
            let reply = request.send().await;
            assert_eq!((reply.status.as_u16(), reply.code()), (404, -32601), "{method}: {reply:?}");
        }
    }
    let slow = client.modern_call("sandbox-faults_sleep", json!({"ms": 1500})).meta(CAPABILITIES, able);
    let events = slow.send().await.events();
    let [response] = events.as_slice() else { panic!("one response: {events:?}") };
    assert_eq!(response["result"]["resultType"], "complete", "however long it takes: {response}");
    assert_eq!(response["result"]["content"][0]["text"], "{\"sleptMs\":1500}");
}

/// MCP 2026-07-28, basic/index § `_meta`: what clients say of themselves is "intended for display, logging, and debugging".
#[tokio::test]
async fn what_a_client_calls_itself_changes_nothing() {
    let server = Server::start();
    let client = server.client("ann").query("mode=search");
    // From then on her tools are known.
    client.modern_list().await;
    let mut seen: Vec<Vec<String>> = Vec::new();
    for name in ["claude-ai", "cursor-vscode", "openai-mcp", "é".repeat(10_000).as_str()] {
        let info = json!({"name": name, "version": "1.0", "title": "T", "websiteUrl": "https://example.com/"});
        let mut answers = Vec::new();
        for request in [
            client.modern("server/discover", json!({})),
            client.modern("tools/list", json!({})),
            client.modern_call("gmail_list-emails", json!({"limit": 1})),
        ] {
            answers.push(request.meta("io.modelcontextprotocol/clientInfo", info.clone()).send().await.text);
        }
        seen.push(answers);
    }
    for answers in &seen {
        for (answer, first) in answers.iter().zip(&seen[0]) {
            assert_eq!(answer, first);
        }
    }
}

/// MCP 2026-07-28, server/utilities/logging § Per-request log level: logging is deprecated, and not offered.
#[tokio::test]
async fn no_log_message_is_sent_whatever_level_is_asked_for() {
    let server =
        Server::builder().env("MCP__TUNING__STREAM_AFTER_MS", "1").env("MCP__TUNING__PROGRESS_MS", "50").start();
    let client = server.client("ann");
    for level in [None, Some("debug"), Some("emergency")] {
        for tool in ["sandbox-faults_sleep", "sandbox-faults_fail-500"] {
            let call = client.modern_call(tool, json!({"ms": 500})).meta("progressToken", json!("p"));
            let call = level.into_iter().fold(call, |call, level| {
                call.meta("io.modelcontextprotocol/logLevel", json!(level)).with("accept", "text/event-stream")
            });
            let reply = call.send().await;
            assert!(!reply.text.contains("notifications/message"), "{level:?} {tool}: {reply:?}");
        }
    }
}

/// MCP 2026-07-28, server/tools § x-mcp-header: a call without a header that its tool asks for has to be refused, which would
/// shut out every client that does not repeat arguments.
#[tokio::test]
async fn no_tool_of_the_servers_own_asks_for_headers() {
    let server = Server::start();
    for query in ["mode=dynamic", "mode=search"] {
        let client = server.client("ann").query(query);
        let list = client.modern_list().await;
        assert!(!list["tools"].as_array().unwrap().is_empty(), "{query}");
        assert!(!list.to_string().contains("x-mcp-header"), "{query}: {list}");
    }
    let client = server.client("ann").query("mode=search");
    let arguments = json!({"name": "gmail_list-emails", "arguments": {"limit": 1}});
    let ran = client.modern_call("run-read-tool", arguments).with("mcp-param-name", "another").send().await;
    assert_eq!((ran.status.as_u16(), ran.result().get("isError")), (200, None), "{ran:?}");
}

fn list<'a>(client: &Client<'a>) -> Modern<'a> {
    client.modern("tools/list", json!({}))
}

/// A request as it goes over a connection that is kept.
fn raw(request: RequestBuilder) -> String {
    let request = request.build().unwrap();
    let url = request.url();
    let target = url.query().map_or(url.path().to_owned(), |query| format!("{}?{query}", url.path()));
    let body = std::str::from_utf8(request.body().unwrap().as_bytes().unwrap()).unwrap();
    let headers = request.headers().iter().map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap()));
    let headers: String = headers.collect();
    format!("POST {target} HTTP/1.1\r\nhost: 127.0.0.1\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

/// MCP 2026-07-28, basic/index § Statelessness: servers "MUST NOT rely on prior requests over the same connection".
#[tokio::test]
async fn nothing_of_a_request_holds_for_the_next_on_its_connection() {
    let server = Server::start();
    let ann = in_chat(&server, "ann");
    let without_chat = server.client("ann").query("mode=dynamic");
    let sent = [
        raw(ann.modern_call("enable-tools", json!({"tools": ["gmail_send-email"]})).request()),
        raw(list(&ann).request()),
        raw(list(&without_chat).request()),
        raw(list(&in_chat(&server, "bob")).request()),
        raw(list(&ann).without_meta(CAPABILITIES).request()),
        raw(list(&ann).without_meta(VERSION).request()),
        raw(list(&ann).without("mcp-protocol-version").request()),
        raw(list(&ann).request()),
    ];
    let sent: Vec<_> = sent.iter().map(String::as_str).collect();
    let answered = exchange(&server, &sent).await;
    let answers = answered.split("HTTP/1.1 ").skip(1).map(|answer| {
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let body: Value = serde_json::from_str(body).unwrap();
        let outcome = match body["result"]["tools"].as_array() {
            Some(tools) => json!(tools.iter().map(|tool| tool["name"].clone()).collect::<Vec<_>>()),
            None => body["error"]["code"].clone(),
        };
        (head.split(' ').next().unwrap().to_owned(), outcome)
    });
    let answers: Vec<_> = answers.skip(1).collect();
    let expected = [
        ("200", json!(["enable-tools", "gmail_send-email"])),
        ("200", json!(["enable-tools"])),
        ("200", json!(["enable-tools"])),
        ("400", json!(-32602)),
        ("400", json!(-32602)),
        ("400", json!(-32020)),
        ("200", json!(["enable-tools", "gmail_send-email"])),
    ];
    assert_eq!(answers, expected.map(|(status, outcome)| (status.to_owned(), outcome)), "{answered}");
}

//! An upstream that is out of order, wholly or in part, and what vanishes while it works: the rows of docs/upstream.md.

use std::net::TcpListener;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    catalog::all_names,
    loading::{metric, spoil},
    support::{SECRET, Server, binary, claims, eventually, finish, reply_to, sign},
};

/// What `/readyz` says.
async fn readiness(server: &Server) -> (u16, Value) {
    let reply = reply_to(server.http.get(format!("{}/readyz", server.admin))).await;
    (reply.status.as_u16(), reply.json())
}

async fn all_requests(server: &Server) -> u64 {
    let stats = server.stats().await;
    stats["requests"].as_object().unwrap().values().filter_map(Value::as_u64).sum()
}

#[tokio::test]
async fn an_upstream_that_keeps_failing_is_left_alone() {
    let server = Server::builder()
        .env("MCP__TUNING__BREAKER_PAUSE_S", "3600")
        .env("MCP__CATALOG__FRESH_S", "0")
        .env("MCP__TUNING__CATALOG_NEGATIVE_S", "0")
        .start();
    let client = server.client("ann").open().await;
    assert_eq!(client.tool_names().await, all_names());
    assert_eq!(readiness(&server).await.1["checks"]["upstream"], "ok");

    spoil(&server, json!([{"status": 503}])).await;
    eventually("it has failed often enough", async || {
        assert_eq!(client.tool_names().await, all_names(), "the list comes from what is known");
        metric(&server, "mcp_upstream_breaker_open", "") == 1
    })
    .await;
    server.wait_for_log("times in a row: it is left alone");

    let before = all_requests(&server).await;
    let call = client.call("gmail_list-emails", json!({})).await.result();
    assert_eq!(call["isError"], true, "{call}");
    assert!(call["content"][0]["text"].as_str().unwrap().contains("keeps failing"), "{call}");
    assert_eq!(client.tool_names().await, all_names());
    let stranger = server.client("bob").initialize("2025-11-25").await;
    assert_eq!((stranger.status.as_u16(), stranger.code()), (503, -32603), "{stranger:?}");
    assert_eq!(all_requests(&server).await, before, "nothing was sent");

    let (status, body) = readiness(&server).await;
    assert_eq!((status, &body["ready"]), (200, &json!(true)), "another instance has the same upstream");
    assert!(body["checks"]["upstream"].as_str().unwrap().starts_with("degraded"), "{body}");
}

#[tokio::test]
async fn an_upstream_that_is_back_is_found_by_one_request() {
    let server = Server::builder()
        .env("MCP__TUNING__BREAKER_PAUSE_S", "1")
        .env("MCP__TUNING__BREAKER_FAILURES", "3")
        .env("MCP__TUNING__CATALOG_NEGATIVE_S", "0")
        .start();
    let client = server.client("ann").open().await;
    client.tools().await;
    spoil(&server, json!([{"status": 503}])).await;
    eventually("it has failed often enough", async || {
        client.call("gmail_list-emails", json!({})).await;
        metric(&server, "mcp_upstream_breaker_open", "") == 1
    })
    .await;
    spoil(&server, json!([])).await;
    eventually("calls go through", async || {
        client.call("gmail_list-emails", json!({})).await.result()["isError"] != true
    })
    .await;
    assert_eq!(metric(&server, "mcp_upstream_breaker_open", ""), 0);
    assert_eq!(readiness(&server).await.1["checks"]["upstream"], "ok");
    server.wait_for_log("the upstream answers again");
}

#[tokio::test]
async fn a_run_is_never_sent_twice() {
    let server = Server::start();
    let client = server.client("ann").open().await;
    client.tools().await;
    let faults = [
        json!({"status": 429, "headers": {"retry-after": "0"}}),
        json!({"status": 502}),
        json!({"status": 503}),
        json!({"status": 504}),
        json!({"status": 200, "text": "{\"output\":", "cut": true}),
        json!({"status": 200, "text": "{\"output\":"}),
    ];
    for (i, fault) in faults.into_iter().enumerate() {
        spoil(&server, json!([fault])).await;
        let result = client.call("gmail_list-emails", json!({})).await.result();
        assert_eq!(result["isError"], true, "{fault}: {result}");
        assert_eq!(server.requests("POST /action-instance/run").await, i as u64 + 1, "{fault}");
    }
    assert_eq!(metric(&server, "mcp_upstream_retries_total", ""), 0);
}

#[tokio::test]
async fn an_upstream_that_is_down_leaves_the_lists_that_are_known() {
    let upstream = Server::start();
    let server = Server::before(&upstream.sandbox)
        .env("MCP__CATALOG__FRESH_S", "0")
        .env("MCP__TUNING__BREAKER_FAILURES", "1000000")
        .start();
    let client = server.client("ann").open().await;
    assert_eq!(client.tool_names().await, all_names());
    upstream.kill();
    eventually("it is noticed", async || {
        assert_eq!(client.tool_names().await, all_names());
        metric(&server, "mcp_upstream_requests_total", r#"endpoint="connections",outcome="unreachable""#) >= 1
    })
    .await;
    let result = client.call("gmail_list-emails", json!({})).await.result();
    assert_eq!(
        (&result["isError"], &result["content"][0]["text"]),
        (&json!(true), &json!("the upstream can't be reached\nThe action was not run."))
    );

    let stranger = server.client("bob").initialize("2025-11-25").await;
    assert_eq!((stranger.status.as_u16(), stranger.code()), (503, -32603), "{stranger:?}");
    assert!(stranger.header("retry-after").is_some(), "{stranger:?}");
}

#[tokio::test]
async fn a_load_that_failed_is_not_tried_again_for_a_moment() {
    let server = Server::builder()
        .env("MCP__CATALOG__FRESH_S", "0")
        .env("MCP__TUNING__CATALOG_STALE_S", "0")
        .env("MCP__TUNING__CATALOG_NEGATIVE_S", "3600")
        .start();
    let client = server.client("ann").open().await;
    client.tools().await;
    spoil(&server, json!([{"path": "/connections", "status": 500}])).await;
    let before = server.requests("GET /connections").await;
    for _ in 0..10 {
        let reply = client.ask("tools/list", json!({})).await;
        assert_eq!((reply.status.as_u16(), reply.code()), (503, -32603), "{reply:?}");
    }
    assert_eq!(server.requests("GET /connections").await - before, 1);
    assert!(metric(&server, "mcp_catalog_lookups_total", r#"result="failed""#) >= 9);
    // What fails for one user's token says nothing of another user's.
    spoil(&server, json!([])).await;
    server.client("bob").open().await.tools().await;
}

#[tokio::test]
async fn a_token_refused_in_the_background_counts_no_more() {
    let server = Server::builder().env("MCP__CATALOG__FRESH_S", "0").start();
    let client = server.client("ann").open().await;
    client.tools().await;
    spoil(
        &server,
        json!([{"status": 401, "body": {"type": "bad_request", "key": "not_authenticated", "message": "Revoked"}}]),
    )
    .await;
    eventually("it is refused", async || client.ask("tools/list", json!({})).await.status == 401).await;
}

#[tokio::test]
async fn a_background_load_uses_the_newest_token() {
    let server = Server::builder().env("MCP__CATALOG__FRESH_S", "0").start();
    let mut claims = claims("ann");
    claims["exp"] = json!(claims["exp"].as_u64().unwrap() - 3600 + 3);
    let old = server.client_with(&sign(&claims, SECRET)).open().await;
    old.tools().await;
    eventually("the token expires", async || old.ask("ping", json!({})).await.status == 401).await;
    // The session goes on with a new one.
    let client = server.client("ann").in_session(old.session.as_ref().unwrap());
    client.tools().await;
    server.sandbox(Method::DELETE, "/connections/gmail", "ann", Value::Null).await;
    eventually("gmail has gone", async || !client.tool_names().await.iter().any(|name| name.starts_with("gmail_")))
        .await;
    assert_eq!(metric(&server, "mcp_upstream_requests_total", r#"endpoint="connections",outcome="refused""#), 0);
}

/// A failure that says why the tool is gone, and where its app can be connected again.
fn told_to_connect(result: &Value) {
    assert_eq!(result["isError"], true, "{result}");
    let text = result["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("Gmail was disconnected") && text.contains("/connect/"), "{text}");
}

#[tokio::test]
async fn a_tool_that_vanished_says_so_when_it_is_called() {
    let server = Server::builder().env("MCP__CATALOG__FRESH_S", "0").start();
    let fixed = server.client("ann").open().await;
    let dynamic = server.client("ann").query("mode=dynamic").open().await;
    let tools = json!({"tools": ["gmail_list-emails", "slack_list-users"]});
    dynamic.call("enable-tools", tools).await.result();
    let mut told = dynamic.stream().await;
    dynamic.tools().await;
    server.sandbox(Method::DELETE, "/connections/gmail", "ann", Value::Null).await;
    eventually("gmail has gone", async || !fixed.tool_names().await.iter().any(|name| name.starts_with("gmail_")))
        .await;
    assert_eq!(told.next().await.unwrap()["method"], "notifications/tools/list_changed");

    for client in [&fixed, &dynamic] {
        told_to_connect(&client.call("gmail_list-emails", json!({})).await.result());
    }
    told_to_connect(&fixed.modern_call("gmail_list-emails", json!({})).send().await.result());
    assert_eq!(dynamic.tool_names().await, ["enable-tools", "slack_list-users"]);
}

#[tokio::test]
async fn a_dynamic_session_hears_only_of_tools_that_it_has_enabled() {
    let server = Server::builder().env("MCP__CATALOG__FRESH_S", "0").start();
    let dynamic = server.client("ann").query("mode=dynamic").open().await;
    dynamic.call("enable-tools", json!({"tools": ["slack_list-users"]})).await.result();
    dynamic.tools().await;
    let mut told = dynamic.stream().await;
    let fixed = server.client("ann").open().await;
    let mut told_fixed = fixed.stream().await;
    let mut subscriber = server.client("ann").subscribe(json!(1)).await;
    let mut of_others = server.client("bob").subscribe(json!(2)).await;
    fixed.tools().await;
    for app in ["gmail", "slack"] {
        server.sandbox(Method::DELETE, &format!("/connections/{app}"), "ann", Value::Null).await;
        eventually(app, async || !fixed.tool_names().await.iter().any(|name| name.starts_with(app))).await;
        for stream in [&mut told_fixed, &mut subscriber] {
            assert_eq!(stream.next().await.unwrap()["method"], "notifications/tools/list_changed", "{app}");
        }
    }
    assert_eq!(told.next().await.unwrap()["method"], "notifications/tools/list_changed");
    server.terminate();
    assert!(told.next().await.is_none(), "only slack concerned it");
    let last = of_others.next().await;
    assert!(last.is_none_or(|message| message["method"] != "notifications/tools/list_changed"), "another's");
}

#[tokio::test]
async fn why_there_is_no_connection_is_named() {
    let plain = Server::start();
    let cases = [
        ("http://upstream.invalid", "its name can't be resolved"),
        (&plain.sandbox.replace("http:", "https:"), "no secure connection (TLS)"),
        ("http://127.0.0.1:1", "the upstream can't be reached"),
    ];
    for (url, reason) in cases {
        let server = Server::before(url).env("MCP__TUNING__RETRIES", "0").start();
        let reply = server.client("ann").initialize("2025-11-25").await;
        assert_eq!((reply.status.as_u16(), reply.code()), (503, -32603), "{url}: {reply:?}");
        assert!(!reply.text.contains("resolve") && !reply.text.contains("TLS"), "the log alone tells: {}", reply.text);
        server.wait_for_log(reason);
    }
}

#[tokio::test]
async fn http_2_is_offered_over_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let server = Server::before(&url).env("MCP__TUNING__RETRIES", "0").start();
    let offered = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut acceptor = rustls::server::Acceptor::default();
        let accepted = loop {
            acceptor.read_tls(&mut stream).unwrap();
            if let Some(accepted) = acceptor.accept().map_err(|(error, _)| error).unwrap() {
                break accepted;
            }
        };
        let protocols = accepted.client_hello().alpn().unwrap().map(<[u8]>::to_vec);
        protocols.collect::<Vec<_>>()
    });
    // There is no certificate to show, so that this is all that comes of it.
    assert_eq!(server.client("ann").initialize("2025-11-25").await.status, 503);
    assert_eq!(offered.join().unwrap(), [b"h2".to_vec(), b"http/1.1".to_vec()]);
}

#[test]
fn a_proxy_that_would_be_passed_by_keeps_the_server_from_starting() {
    let run = |env: &[(&str, &str)]| {
        let mut command = binary();
        command.env("PORT", "0").env("MCP__ADMIN__PORT", "0").env("MCP__STORE__PATH", "");
        command.envs(env.iter().copied());
        command
    };
    let output = finish(&mut run(&[("HTTPS_PROXY", "http://user:password@proxy.example.com:3128")]));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("HTTPS_PROXY") && said.contains("NO_PROXY"), "{said}");
    assert!(!said.contains("password"), "{said}");

    let server = Server::builder().env("HTTPS_PROXY", "http://proxy.example.com").env("HTTP_PROXY", "x").start();
    assert!(server.log().contains("listening"), "the sandbox is on this machine");
    let excepted = Server::before("https://upstream.invalid")
        .env("HTTPS_PROXY", "http://proxy.example.com")
        .env("NO_PROXY", ".invalid")
        .start();
    assert!(excepted.log().contains("listening"));
}

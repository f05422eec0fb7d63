//! Every HTTP status and JSON-RPC code of Streamable HTTP (MCP 2025-11-25, basic/transports § Streamable HTTP).

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Client, Reply, Server, assert_error, reply_to, token};

const REVISIONS: [&str; 3] = ["2025-03-26", "2025-06-18", "2025-11-25"];
const NO_SESSION: &str = "00000000-0000-4000-8000-000000000000";

fn ping() -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": "ping"})
}

/// A request to any path, with a good token.
async fn send(server: &Server, method: &str, path: &str) -> Reply {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let request = server.http.request(method, format!("{}{path}", server.url));
    reply_to(request.bearer_auth(token("ann")).header("content-type", "application/json").body(ping().to_string()))
        .await
}

#[tokio::test]
async fn initialize_settles_on_a_revision_and_opens_a_session() {
    let server = Server::start();
    let cases = [
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
        ("1.0", "2025-11-25"),
        ("", "2025-11-25"),
    ];
    for (requested, settled) in cases {
        let reply = server.client("ann").initialize(requested).await;
        assert_eq!(
            (reply.status.as_u16(), reply.header("content-type")),
            (200, Some("application/json")),
            "{requested}"
        );
        let result = reply.result();
        assert_eq!(result["protocolVersion"], settled, "{requested}");
        assert_eq!(result["capabilities"], json!({"tools": {"listChanged": true}}), "{requested}");
        assert!(result["serverInfo"]["name"].is_string() && result["serverInfo"]["version"].is_string(), "{result}");
        let session = reply.header("mcp-session-id").unwrap_or_else(|| panic!("{requested}: no session id"));
        assert!(session.len() >= 32 && session.bytes().all(|byte| byte.is_ascii_graphic()), "{requested}: {session}");
    }
}

#[tokio::test]
async fn a_session_id_is_never_given_twice() {
    let server = Server::start();
    let first = server.client("ann").open().await.session;
    assert_ne!(first, server.client("ann").open().await.session);
}

#[tokio::test]
async fn notifications_and_responses_are_accepted_without_a_body() {
    let server = Server::start();
    let messages = [
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        json!({"jsonrpc": "2.0", "method": "notifications/roots/list_changed", "params": {}}),
        json!({"jsonrpc": "2.0", "method": "notifications/nobody-knows"}),
        json!({"jsonrpc": "2.0", "id": 7, "result": {}}),
        json!({"jsonrpc": "2.0", "id": "a", "error": {"code": -32601, "message": "no"}}),
    ];
    for revision in REVISIONS {
        let client = server.client("ann").open_with(revision).await;
        for message in &messages {
            let reply = client.post(message.clone()).await;
            assert_eq!((reply.status.as_u16(), reply.text.as_str()), (202, ""), "{revision} {message}");
        }
    }
}

#[tokio::test]
async fn a_request_without_its_session_id_is_400() {
    let server = Server::start();
    let client = server.client("ann");
    let bodies = [
        ping(),
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}),
        json!({"jsonrpc": "2.0", "id": 1, "method": "no/such"}),
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        json!({"jsonrpc": "2.0", "id": 1, "result": {}}),
        json!([ping()]),
    ];
    for body in bodies {
        assert_error(&client.post(body.clone()).await, 400, -32000, &body);
    }
    assert_error(&client.delete().await, 400, -32000, "DELETE");
    assert_error(&client.get().await, 400, -32000, "GET");
}

#[tokio::test]
async fn an_unknown_session_answers_404() {
    let server = Server::start();
    for session in [NO_SESSION, "no-uuid", "1"] {
        everything_is_404(&server.client("ann").in_session(session), session).await;
    }
}

#[tokio::test]
async fn a_closed_session_answers_404() {
    let server = Server::start();
    for revision in REVISIONS {
        let client = server.client("ann").open_with(revision).await;
        let closed = client.delete().await;
        assert!(closed.status.is_success() && closed.text.is_empty(), "{closed:?}");
        everything_is_404(&client, revision).await;
    }
}

async fn everything_is_404(client: &Client<'_>, case: &str) {
    let bodies = [
        ping(),
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}),
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "acme_crm_ping"}}),
        json!({"jsonrpc": "2.0", "id": 1, "method": "no/such"}),
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        json!({"jsonrpc": "2.0", "id": 1, "result": {}}),
        json!([ping()]),
    ];
    for body in bodies {
        assert_error(&client.post(body.clone()).await, 404, -32000, format!("{case} {body}"));
    }
    assert_error(&client.get().await, 404, -32000, format!("{case} GET"));
    assert_error(&client.delete().await, 404, -32000, format!("{case} DELETE"));
}

#[tokio::test]
async fn a_method_that_a_path_lacks_is_405_and_names_those_it_has() {
    let server = Server::start();
    let cases = [
        ("PUT", "/mcp", "GET, POST, DELETE"),
        ("PATCH", "/mcp", "GET, POST, DELETE"),
        ("POST", "/mcp/sessions", "GET, HEAD"),
        ("DELETE", "/mcp/sessions", "GET, HEAD"),
        ("POST", "/healthz", "GET, HEAD"),
        ("POST", "/", "GET, HEAD"),
    ];
    for (method, path, allowed) in cases {
        let reply = send(&server, method, path).await;
        assert_error(&reply, 405, -32000, format!("{method} {path}"));
        assert_eq!(reply.header("allow"), Some(allowed), "{method} {path}");
    }
}

#[tokio::test]
async fn a_path_that_does_not_exist_is_404() {
    let server = Server::start();
    for path in ["/mcp&integrationKey=gmail", "/mcp/other", "/mcpx", "/nowhere"] {
        assert_error(&send(&server, "POST", path).await, 404, -32000, path);
        assert_eq!(send(&server, "GET", path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_client_that_accepts_nothing_of_ours_gets_406() {
    let server = Server::start();
    for revision in REVISIONS {
        let client = server.client("ann").open_with(revision).await;
        for accept in ["text/html", "application/xml, text/plain", "application/json;q=0"] {
            let picky = client.clone().header("accept", accept);
            assert_error(&picky.post(ping()).await, 406, -32000, format!("POST {accept} in {revision}"));
            if accept != "text/html" {
                assert_error(&picky.get().await, 406, -32000, format!("GET {accept} in {revision}"));
            }
        }
        let json_only = client.clone().header("accept", "application/json");
        assert_error(&json_only.get().await, 406, -32000, "GET as JSON");
        for accept in ["application/json", "*/*", "APPLICATION/JSON; charset=utf-8", "application/*"] {
            let reply = client.clone().header("accept", accept).post(ping()).await;
            assert_eq!(
                (reply.status.as_u16(), reply.header("content-type")),
                (200, Some("application/json")),
                "{accept}"
            );
        }
    }
}

#[tokio::test]
async fn a_body_that_is_not_declared_as_json_is_415() {
    let server = Server::start();
    for revision in REVISIONS {
        let client = server.client("ann").open_with(revision).await;
        for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp"] {
            let reply = client.clone().header("content-type", content_type).post(ping()).await;
            assert_error(&reply, 415, -32000, format!("{content_type} in {revision}"));
        }
        for content_type in ["application/json; charset=utf-8", "Application/JSON"] {
            let reply = client.clone().header("content-type", content_type).post(ping()).await;
            assert_eq!(reply.status, 200, "{content_type}");
        }
    }
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_413() {
    let server = Server::builder().env("MCP__TUNING__MAX_BODY_BYTES", "1000").start();
    let client = server.client("ann").open().await;
    let padded = |length: usize| {
        let body = ping().to_string();
        format!("{body}{}", " ".repeat(length - body.len()))
    };
    assert_eq!(client.post_text(&padded(1000)).await.status, 200, "the limit itself");
    assert_error(&client.post_text(&padded(1001)).await, 413, -32000, "one byte more");
    assert_eq!(client.post(ping()).await.status, 200, "the server goes on");
}

#[tokio::test]
async fn a_body_that_is_no_json_is_a_parse_error() {
    let server = Server::start();
    for revision in REVISIONS {
        let client = server.client("ann").open_with(revision).await;
        for body in ["", "{", "nonsense", r#"{"jsonrpc":"2.0","id":1,"method":"ping""#, "[1,", r#"{"a":1}{"b":2}"#] {
            assert_error(&client.post_text(body).await, 400, -32700, format!("{body} in {revision}"));
            let without_session = server.client("ann").post_text(body).await;
            assert_error(&without_session, 400, -32700, format!("{body}, without a session"));
        }
    }
}

#[tokio::test]
async fn a_body_that_is_no_message_is_an_invalid_request() {
    let server = Server::start();
    for revision in REVISIONS {
        let client = server.client("ann").open_with(revision).await;
        let cases = [
            ("{}", None),
            ("1", None),
            ("null", None),
            (r#""ping""#, None),
            (r#"{"hello":1}"#, None),
            (r#"{"id":1,"method":"ping"}"#, Some(json!(1))),
            (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, Some(json!(1))),
            (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, None),
            (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, None),
            (r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, None),
            (r#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#, None),
            (r#"{"jsonrpc":"2.0","id":"a"}"#, Some(json!("a"))),
            (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, Some(json!(1))),
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}"#, Some(json!(1))),
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":"x"}"#, Some(json!(1))),
            (r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":""}}"#, Some(json!(1))),
            ("[]", None),
        ];
        for (body, id) in cases {
            let reply = client.post_text(body).await;
            assert_error(&reply, 400, -32600, format!("{body} in {revision}"));
            assert_eq!(reply.json().get("id"), id.as_ref(), "{body}");
        }
    }
}

#[tokio::test]
async fn an_id_is_echoed_as_it_came() {
    let server = Server::start();
    let client = server.client("ann").open().await;
    for id in [json!(0), json!(-1), json!(i64::MIN), json!(u64::MAX), json!(""), json!("1"), json!("ä\n")] {
        for method in ["ping", "no/such"] {
            let reply = client.post(json!({"jsonrpc": "2.0", "id": id, "method": method})).await;
            assert_eq!(reply.json()["id"], id, "{method}");
        }
    }
}

#[tokio::test]
async fn a_method_that_was_not_declared_is_not_found() {
    let server = Server::start();
    let methods =
        ["resources/list", "prompts/list", "logging/setLevel", "completion/complete", "tasks/list", "", "Ping"];
    for revision in REVISIONS {
        let client = server.client("ann").open_with(revision).await;
        for method in methods {
            assert_error(&client.ask(method, json!({})).await, 200, -32601, format!("{revision} {method}"));
        }
    }
}

#[tokio::test]
async fn parameters_that_make_no_sense_are_invalid() {
    let server = Server::start();
    for revision in REVISIONS {
        let client = server.client("ann").open_with(revision).await;
        let cases = [
            ("tools/call", json!({"name": "no-such-tool"})),
            ("tools/call", json!({"name": "gmail_no-such-tool", "arguments": {}})),
            ("tools/call", json!({"name": "enable-tools", "arguments": {"tools": []}})),
            ("tools/call", json!({"name": "__proto__"})),
            ("tools/call", json!({"name": ""})),
            ("tools/call", json!({"name": 1})),
            ("tools/call", json!({"arguments": {}})),
            ("tools/call", json!({"name": "acme_crm_ping", "arguments": []})),
            ("tools/call", json!({"name": "acme_crm_ping", "arguments": "x"})),
            ("tools/list", json!({"cursor": "2"})),
            ("tools/list", json!({"cursor": 2})),
        ];
        for (method, params) in cases {
            assert_error(
                &client.ask(method, params.clone()).await,
                200,
                -32602,
                format!("{method} {params} in {revision}"),
            );
        }
        let bare = client.post(json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call"})).await;
        assert_error(&bare, 200, -32602, "tools/call without params");
    }
}

#[tokio::test]
async fn a_list_is_one_page() {
    let server = Server::start();
    let client = server.client("ann").open().await;
    for params in [json!({}), json!({"cursor": null}), json!({"_meta": {"progressToken": 1}})] {
        let result = client.ask("tools/list", params.clone()).await.result();
        assert!(!result["tools"].as_array().unwrap().is_empty(), "{params}");
        assert_eq!(result.get("nextCursor"), None, "{params}");
    }
}

#[tokio::test]
async fn the_protocol_version_header_must_name_a_supported_revision() {
    let server = Server::start();
    for revision in REVISIONS {
        let client = server.client("ann").open_with(revision).await;
        for version in ["1999-01-01", "2026-07-28", "latest"] {
            let stranger = client.clone().header("mcp-protocol-version", version);
            let case = format!("{version:?} in {revision}");
            // A POST that names the modern era is answered in that.
            let code = if version == "2026-07-28" { -32602 } else { -32000 };
            assert_error(&stranger.post(ping()).await, 400, code, format!("POST {case}"));
            assert_error(&stranger.get().await, 400, -32000, format!("GET {case}"));
            assert_error(&stranger.delete().await, 400, -32000, format!("DELETE {case}"));
        }
        for version in REVISIONS {
            let reply = client.clone().header("mcp-protocol-version", version).post(ping()).await;
            assert_eq!(reply.status, 200, "{version} in {revision}");
        }
        assert_eq!(client.post(ping()).await.status, 200, "no version in {revision}");
    }
}

#[tokio::test]
async fn a_second_initialize_is_refused() {
    let server = Server::start();
    for revision in REVISIONS {
        let client = server.client("ann").open_with(revision).await;
        let again = client.initialize(revision).await;
        assert_error(&again, 400, -32600, revision);
        assert_eq!(again.header("mcp-session-id"), None, "{revision}");
        assert_eq!(client.post(ping()).await.status, 200, "the session goes on in {revision}");
    }
}

#[tokio::test]
async fn a_malformed_initialize_opens_no_session() {
    let server = Server::start();
    let cases = [None, Some(json!({})), Some(json!({"protocolVersion": 7})), Some(json!({"protocolVersion": null}))];
    for params in cases {
        let mut body = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize"});
        if let Some(params) = &params {
            body["params"] = params.clone();
        }
        let reply = server.client("ann").header("x-chat-id", "chat").post(body).await;
        assert_error(&reply, 200, -32602, format!("{params:?}"));
        assert_eq!(reply.header("mcp-session-id"), None, "{params:?}");
    }
    let notification = json!({"jsonrpc": "2.0", "method": "initialize", "params": {"protocolVersion": "2025-11-25"}});
    assert_error(&server.client("ann").post(notification).await, 400, -32000, "a notification");
    assert_eq!(server.client("ann").chats().await.json(), json!({}), "and no chat");
}

#[tokio::test]
async fn an_unknown_mode_is_refused_with_the_modes_there_are() {
    let server = Server::start();
    for mode in ["bogus", "Dynamic", "static,dynamic"] {
        let reply = server.client("ann").query(&format!("mode={mode}")).initialize("2025-11-25").await;
        assert_error(&reply, 400, -32000, mode);
        let message = reply.json()["error"]["message"].to_string();
        assert!(message.contains("static") && message.contains("dynamic"), "{mode}: {message}");
        assert_eq!(reply.header("mcp-session-id"), None, "{mode}");
    }
}

#[tokio::test]
async fn a_trailing_slash_makes_no_difference() {
    let server = Server::start();
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25"}});
    let post = server.http.post(format!("{}/mcp/?mode=dynamic", server.url)).bearer_auth(token("ann")).json(&body);
    let reply = reply_to(post).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let client = server.client("ann").in_session(reply.header("mcp-session-id").unwrap());
    assert_eq!(client.tool_names().await, ["enable-tools"], "the query counts too");
    assert_eq!(send(&server, "GET", "/mcp/sessions/").await.status, 200);
}

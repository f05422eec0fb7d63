//! The headers of revision 2026-07-28, and who is let in at all.

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    modern_support::{MODERN, Modern, conformance_token},
    support::{Server, sign, token},
};

fn sentinel(text: &str) -> String {
    format!("=?base64?{}?=", STANDARD.encode(text))
}

async fn assert_mismatch(case: &str, request: Modern<'_>) {
    let reply = request.id(json!("h")).send().await;
    assert_eq!((reply.status.as_u16(), reply.code()), (400, -32020), "§ Server Validation, {case}: {reply:?}");
    assert_eq!(reply.json()["id"], "h", "M-12, {case}");
}

/// M-06, M-07, M-08 (MCP 2026-07-28, basic/transports/streamable-http § Server Validation): "Servers that process the request
/// body MUST reject requests where the values specified in the headers do not match the corresponding values in the request
/// body."
#[tokio::test]
async fn version_and_method_headers_must_say_what_the_body_says() {
    let server = Server::start();
    let client = server.client("ann");
    for method in ["server/discover", "tools/list", "no/such-method"] {
        let sound = || client.modern(method, json!({}));
        for (case, request) in [
            ("no version", sound().without("mcp-protocol-version")),
            ("an older version", sound().with("mcp-protocol-version", "2025-11-25")),
            ("an unknown version", sound().with("mcp-protocol-version", "1900-01-01")),
            ("an empty version", sound().with("mcp-protocol-version", "")),
            ("two versions", sound().and("mcp-protocol-version", "2025-11-25")),
            (
                "an older version and this",
                sound().with("mcp-protocol-version", "2025-11-25").and("mcp-protocol-version", MODERN),
            ),
            ("no method", sound().without("mcp-method")),
            ("another method", sound().with("mcp-method", "tools/call")),
            ("the method in capitals", sound().with("mcp-method", &method.to_uppercase())),
            ("an empty method", sound().with("mcp-method", "")),
            ("two methods", sound().and("mcp-method", "tools/call")),
            ("the method in quotes", sound().with("mcp-method", &format!("\"{method}\""))),
            ("a sentinel, which is for names", sound().with("mcp-method", &sentinel(method))),
            ("no ASCII", sound().with("mcp-method", "tools/lïst")),
        ] {
            assert_mismatch(&format!("{method}: {case}"), request).await;
        }
    }
    let spaced = client.modern("tools/list", json!({})).with("mcp-method", " tools/list\t");
    assert_eq!(
        spaced.with("MCP-PROTOCOL-VERSION", "  2026-07-28 ").send().await.status,
        200,
        "OWS is no part of a value"
    );
}

/// M-09 (MCP 2026-07-28, basic/transports/streamable-http § Standard Request Headers, § Value Encoding): "servers MUST decode an
/// encoded `Mcp-Name` … before comparing it".
#[tokio::test]
async fn the_name_header_must_say_what_the_body_says() {
    let server = Server::start();
    let client = server.client("ann");
    let name = "gmail_list-emails";
    let sound = || client.modern_call(name, json!({}));
    for (case, request) in [
        ("as it is", sound()),
        ("spaces around", sound().with("Mcp-Name", &format!(" \t{name} "))),
        ("encoded", sound().with("MCP-NAME", &sentinel(name))),
        ("encoded, spaces around", sound().with("mcp-name", &format!("  {} ", sentinel(name)))),
        ("twice", sound().and("mcp-name", name)),
        ("the method twice", sound().and("mcp-method", "tools/call")),
        ("the version twice", sound().and("mcp-protocol-version", MODERN)),
    ] {
        let reply = request.send().await;
        assert_eq!(reply.status, 200, "{case}: {reply:?}");
    }
    let encoded = STANDARD.encode(name);
    for (case, request) in [
        ("missing", sound().without("mcp-name")),
        ("empty", sound().with("mcp-name", "")),
        ("another", sound().with("mcp-name", "gmail_send-email")),
        ("other case", sound().with("mcp-name", "Gmail_list-emails")),
        ("a part", sound().with("mcp-name", "gmail_list")),
        ("two", sound().and("mcp-name", "gmail_send-email")),
        ("another, encoded", sound().with("mcp-name", &sentinel("gmail_send-email"))),
        ("capital markers", sound().with("mcp-name", &format!("=?BASE64?{encoded}?="))),
        ("no end marker", sound().with("mcp-name", &format!("=?base64?{encoded}"))),
        ("no base64", sound().with("mcp-name", "=?base64?!!!?=")),
        (
            "base64 without padding",
            sound().with("mcp-name", &format!("=?base64?{}?=", STANDARD.encode("ab").trim_end_matches('='))),
        ),
        ("base64 of no UTF-8", sound().with("mcp-name", &format!("=?base64?{}?=", STANDARD.encode([0xff, 0xfe])))),
        ("base64 alone", sound().with("mcp-name", &encoded)),
        ("bytes beyond ASCII", sound().with("mcp-name", "gmail_list-emaïls")),
    ] {
        assert_mismatch(case, request).await;
    }

    // What a plain header can't carry is compared once decoded; the tool is unknown only then.
    for name in ["käse", " padded ", "=?base64?literal?=", ""] {
        let call = client.modern_call(name, json!({})).with("mcp-name", &sentinel(name)).send().await;
        assert_eq!((call.status.as_u16(), call.code()), (400, -32602), "{name:?}: {call:?}");
    }
    for (method, params) in [("prompts/get", json!({"name": "p"})), ("resources/read", json!({"uri": "file:///p"}))] {
        assert_mismatch(method, client.modern(method, params).with("mcp-name", "q")).await;
    }
    let other = client.modern("tools/list", json!({})).with("mcp-name", "whatever").send().await;
    assert_eq!(other.status, 200, "Mcp-Name is for calls: {other:?}");
}

/// The order of checks (D-01): envelope, header against claim, version, method header, name header, method.
#[tokio::test]
async fn the_first_fault_is_the_one_that_is_told() {
    let server = Server::start();
    let client = server.client("ann");
    let unsupported = || client.modern("no/such", json!({})).version("1900-01-01");
    for (case, request, code) in [
        ("no capabilities, other header", unsupported().without_meta(crate::modern_support::CAPABILITIES), -32602),
        ("other header, unsupported", unsupported().with("mcp-protocol-version", MODERN), -32020),
        ("unsupported, no method header", unsupported().without("mcp-method"), -32022),
        ("no method header, unknown method", client.modern("no/such", json!({})).without("mcp-method"), -32020),
        (
            "no name header, unknown method",
            client.modern("prompts/get", json!({"name": "p"})).without("mcp-name"),
            -32020,
        ),
        ("no name header, unknown tool", client.modern_call("no_such", json!({})).without("mcp-name"), -32020),
    ] {
        assert_eq!(request.send().await.code(), code, "{case}");
    }
}

/// M-23b (MCP 2026-07-28, basic/transports/streamable-http § Server Behavior for Custom Headers).
#[tokio::test]
async fn argument_headers_must_say_what_the_arguments_say() {
    let server = Server::start();
    let client = server.client_with(&conformance_token("ann"));
    let all = |region: &str, priority: &str, dry_run: &str| {
        [("Mcp-Param-Region", region), ("Mcp-Param-Priority", priority), ("mcp-param-dry-run", dry_run)]
            .into_iter()
            .filter(|(_, value)| *value != "-")
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect::<Vec<_>>()
    };
    let world = sentinel("Hello, 世界");
    let cases = [
        (json!({}), all("-", "-", "-"), true),
        (json!({"note": "n"}), all("-", "-", "-"), true),
        (json!({"region": "us-west1", "priority": 42, "dry_run": true}), all("us-west1", "42", "true"), true),
        (json!({"region": "us-west1"}), all(" us-west1 ", "-", "-"), true),
        (json!({"region": "us-west1"}), all(&sentinel("us-west1"), "-", "-"), true),
        (json!({"region": "Hello, 世界"}), all(&world, "-", "-"), true),
        (json!({"region": " padded "}), all(&sentinel(" padded "), "-", "-"), true),
        (json!({"region": "=?base64?literal?="}), all(&sentinel("=?base64?literal?="), "-", "-"), true),
        (json!({"priority": 42}), all("-", "42.0", "-"), true),
        (json!({"priority": -7}), all("-", "-7", "-"), true),
        (json!({"priority": 42}), all("-", &sentinel("42"), "-"), true),
        (json!({"dry_run": false}), all("-", "-", "false"), true),
        (json!({"region": "us-west1"}), all("-", "-", "-"), false),
        (json!({"region": "us-west1"}), all("us-east1", "-", "-"), false),
        (json!({"region": "us-west1"}), all("US-WEST1", "-", "-"), false),
        (json!({"region": "a"}), all("=?base64?!!?=", "-", "-"), false),
        (json!({"region": "käse"}), all("käse", "-", "-"), false),
        (json!({"priority": 42}), all("-", "43", "-"), false),
        (json!({"priority": 42}), all("-", "forty-two", "-"), false),
        (json!({"priority": 9_007_199_254_740_993_i64}), all("-", "9007199254740992", "-"), false),
        (json!({"dry_run": true}), all("-", "-", "True"), false),
        (json!({"dry_run": true}), all("-", "-", "1"), false),
        (json!({"region": "us-west1", "priority": 42}), all("us-west1", "-", "-"), false),
        (json!({"region": null}), all("null", "-", "-"), false),
    ];
    for (arguments, headers, agree) in cases {
        for events_at_once in [false, true] {
            let call = client.modern_call("test_custom_headers", arguments.clone());
            let call = headers.iter().fold(call, |call, (name, value)| call.with(name, value));
            let call = if events_at_once { call.with("accept", "text/event-stream") } else { call };
            let case = format!("{arguments} {headers:?}, as events: {events_at_once}");
            if agree {
                let reply = call.send().await;
                assert_eq!(reply.status, 200, "{case}: {reply:?}");
                let message = if events_at_once { reply.events().pop().unwrap() } else { reply.json() };
                let text = message["result"]["content"][0]["text"].as_str().unwrap();
                let echoed: Value = serde_json::from_str(text).unwrap();
                assert_eq!(echoed, arguments, "{case}: arguments stay as they are");
            } else {
                assert_mismatch(&case, call).await;
            }
        }
    }
    let null = client.modern_call("test_custom_headers", json!({"region": null})).send().await;
    assert_eq!(null.status, 200, "no header is expected for null: {null:?}");
    let stray = client.modern_call("test_custom_headers", json!({"note": "n"})).with("mcp-param-note", "other");
    assert_eq!(stray.send().await.status, 200, "a header that is not recognized is ignored");
    let twice = client.modern_call("test_custom_headers", json!({"region": "a"})).with("mcp-param-region", "a");
    assert_mismatch("twice", twice.and("mcp-param-region", "a")).await;

    let legacy = server.client_with(&conformance_token("ann")).open().await;
    let arguments = json!({"region": "us-west1", "priority": 42});
    assert_eq!(legacy.output("test_custom_headers", arguments.clone()).await, arguments, "no rule of the session era");
}

/// M-23a (MCP 2026-07-28, basic/transports/streamable-http § Schema Extension): clients "MUST reject tool definitions where any
/// `x-mcp-header` value violates these constraints", so none is sent.
#[tokio::test]
async fn broken_header_annotations_are_taken_out_and_sound_ones_stay() {
    let server = Server::start();
    let client = server.client_with(&conformance_token("ann"));
    let list = client.modern_list().await;
    let tool = |name: &str| {
        let tools = list["tools"].as_array().unwrap();
        tools.iter().find(|tool| tool["name"] == name).unwrap_or_else(|| panic!("{name} is missing")).clone()
    };
    let sound = &tool("test_custom_headers")["inputSchema"]["properties"];
    let annotations = ["region", "priority", "dry_run", "note"].map(|name| sound[name]["x-mcp-header"].clone());
    assert_eq!(annotations, [json!("Region"), json!("Priority"), json!("Dry-Run"), Value::Null]);

    let broken = tool("test_broken_headers");
    assert!(!broken.to_string().contains("x-mcp-header"), "{broken}");
    let properties = &broken["inputSchema"]["properties"];
    assert_eq!(properties["amount"], json!({"type": "number"}), "the rest of the schema stays");
    let call = client.modern_call("test_broken_headers", json!({"amount": 1.5, "list": ["a"], "spaced": "b"}));
    assert_eq!(call.send().await.status, 200);
}

/// What an outsider may try, as a request without token, Origin and Host of its own.
fn doors(server: &Server) -> Vec<(&'static str, reqwest::RequestBuilder)> {
    let nobody = server.client_with("");
    let with_session =
        |method: Method| nobody.request(method).header("mcp-session-id", "00000000-0000-4000-8000-000000000000");
    let json = |request: reqwest::RequestBuilder| {
        let accept = "application/json, text/event-stream";
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
        request.header("content-type", "application/json").header("accept", accept).body(body.to_string())
    };
    vec![
        ("modern POST /mcp", nobody.modern("tools/list", json!({})).request()),
        ("POST /mcp", json(nobody.request(Method::POST))),
        ("POST /mcp in a session", json(with_session(Method::POST))),
        ("GET /mcp", with_session(Method::GET).header("accept", "text/event-stream")),
        ("DELETE /mcp", with_session(Method::DELETE)),
        ("GET /mcp/sessions", nobody.request_at(Method::GET, "/mcp/sessions")),
        ("GET /sse", nobody.request_at(Method::GET, "/sse").header("accept", "text/event-stream")),
        (
            "POST /sse/messages",
            json(nobody.request_at(Method::POST, "/sse/messages?sessionId=00000000-0000-4000-8000-000000000000")),
        ),
    ]
}

/// M-27, AU-01, H-07 (MCP 2026-07-28, basic/authorization): every request is authorised by itself.
#[tokio::test]
async fn no_door_opens_without_a_good_token() {
    let server = Server::start();
    let mut expired = crate::support::claims("ann");
    expired["exp"] = json!(1_000_000_000);
    let expired = sign(&expired, crate::support::SECRET);
    let forged = sign(&crate::support::claims("ann"), "another key");
    for token in [None, Some("no-jwt"), Some(expired.as_str()), Some(forged.as_str())] {
        for (door, request) in doors(&server) {
            let request = token.iter().fold(request, reqwest::RequestBuilder::bearer_auth);
            let reply = request.send().await.unwrap();
            assert_eq!(reply.status(), 401, "{door} with {token:?}");
            let challenge = reply.headers()["www-authenticate"].to_str().unwrap().to_owned();
            assert!(challenge.starts_with("Bearer"), "RFC 6750, {door}: {challenge}");
            let body: Value = reply.json().await.unwrap();
            assert_eq!(body["error"]["code"], -32600, "D-07: 401 must look like neither era, {door}: {body}");
        }
    }
}

/// T-02, M-27, H-06 (MCP 2026-07-28, basic/transports/streamable-http § Security & Endpoint): "Servers MUST validate the
/// `Origin` header on all incoming connections".
#[tokio::test]
async fn foreign_pages_and_names_get_nowhere() {
    let server = Server::start();
    let port = server.url.rsplit(':').next().unwrap().to_owned();
    let open_doors = |server: &Server| {
        let anyone = server.client_with("");
        let mut doors = doors(server);
        doors.push(("GET /", anyone.request_at(Method::GET, "/")));
        doors.push(("GET /healthz", anyone.request_at(Method::GET, "/healthz")));
        doors.push(("POST /sse", anyone.request_at(Method::POST, "/sse")));
        doors.push(("GET /no/such/path", anyone.request_at(Method::GET, "/no/such/path")));
        doors
    };
    let (localhost, loopback) = (format!("localhost:{port}"), format!("[::1]:{port}"));
    for (header, value, passes) in [
        ("origin", "https://evil.example.com", false),
        ("origin", "null", false),
        ("origin", "", false),
        ("origin", "http://localhost.evil.example.com", false),
        ("origin", "http://127.0.0.1.evil.example.com", false),
        ("origin", "https://evil.example.com/localhost", false),
        ("origin", "http://localhost:5173", true),
        ("origin", "http://127.0.0.1", true),
        ("origin", "http://[::1]:8080", true),
        ("host", "evil.example.com", false),
        ("host", "localhost.evil.example.com", false),
        ("host", localhost.as_str(), true),
        ("host", loopback.as_str(), true),
    ] {
        for (door, request) in open_doors(&server) {
            let reply = request.bearer_auth(token("ann")).header(header, value).send().await.unwrap();
            // Who looks after the process may ask by any name.
            let passes = passes || (door.ends_with("/healthz") && header == "host");
            assert_eq!(reply.status() != 403, passes, "{door} with {header}: {value} says {}", reply.status());
            if !passes && let Ok(body) = reply.json::<Value>().await {
                assert!(body["id"].is_null(), "an error without id, {door}: {body}");
                let is_modern = door.starts_with("modern");
                let is_old = (-32019..=-32000).contains(&body["error"]["code"].as_i64().unwrap());
                assert!(!(is_modern && is_old), "B-09, {door}: {body}");
            }
        }
    }
}

//! HTTP as proxies, frameworks and people speak it, where that differs from what the official clients send.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    modern_support::MODERN,
    sockets::{Wire, get},
    support::{Client, PATIENCE, Reply, Server, assert_error, reply_to, token},
};

const REVISIONS: [&str; 3] = ["2025-03-26", "2025-06-18", "2025-11-25"];

fn ping() -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": "ping"})
}

fn initialize() -> Value {
    let client = json!({"name": "test", "version": "1"});
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client});
    json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params})
}

/// Sends requests as they are on one connection, each after the answer before, and gives all that was answered.
pub async fn exchange(server: &Server, requests: &[&str]) -> String {
    let mut stream = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).await.unwrap();
    let mut seen = Vec::new();
    for (n, request) in requests.iter().enumerate() {
        stream.write_all(request.as_bytes()).await.unwrap();
        let is_answered = |seen: &[u8]| {
            let text = String::from_utf8_lossy(seen);
            text.ends_with('}') && text.matches("\"jsonrpc\"").count() > n
        };
        while !is_answered(&seen) {
            let read = timeout(PATIENCE, stream.read_buf(&mut seen)).await.expect("an answer").unwrap();
            if read == 0 {
                break;
            }
        }
    }
    String::from_utf8_lossy(&seen).into_owned()
}

fn raw(target: &str, headers: &str, body: &str) -> String {
    let (token, length) = (token("ann"), body.len());
    format!(
        "POST {target} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         accept: application/json\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
}

#[tokio::test]
async fn an_offer_of_another_protocol_is_ignored() {
    let server = Server::start();
    let body = initialize().to_string();
    for offer in [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
        "Upgrade: websocket\r\n",
        "connection: keep-alive, upgrade\r\nupgrade: TLS/1.0\r\n",
    ] {
        let request = raw("/mcp", offer, &body);
        let answers = exchange(&server, &[&request, &request]).await;
        assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{offer}: {answers}");
        assert!(!answers.to_lowercase().contains("\r\nconnection:"), "{offer}: {answers}");
    }
    // HTTP/2 without asking is no HTTP/1.1, which the client has to learn at once.
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let answer = exchange(&server, &[preface]).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
}

/// RFC 9112 § 6.1: "A server MUST NOT send a response containing Transfer-Encoding unless the corresponding request
/// indicates HTTP/1.1 (or later minor revisions)."
#[tokio::test]
async fn a_stream_for_http_1_0_has_no_chunks_and_ends_with_its_connection() {
    let server = Server::start();
    for connection in ["", "connection: close\r\n", "connection: keep-alive\r\n"] {
        let request = raw("/mcp", connection, &initialize().to_string())
            .replace("HTTP/1.1", "HTTP/1.0")
            .replace("accept: application/json\r\n", "accept: text/event-stream\r\n");
        let mut stream = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("an end").unwrap();
        let (head, events) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.0 200 OK\r\n"), "{connection}: {head}");
        assert!(!head.contains("transfer-encoding") && !head.contains("keep-alive"), "{connection}: {head}");
        assert!(events.contains("data: {"), "{connection}: {events}");
        assert!(events.lines().all(|line| line.is_empty() || line.contains(':')), "a chunk's length: {events}");
    }
}

#[tokio::test]
async fn an_expectation_and_an_absolute_target_are_met() {
    let server = Server::start();
    let body = initialize().to_string();
    let answer = exchange(&server, &[&raw("/mcp", "Expect: 100-continue\r\n", &body)]).await;
    assert!(answer.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK"), "{answer}");
    let answer = exchange(&server, &[&raw(&format!("{}/mcp?mode=dynamic", server.url), "", &body)]).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("enable-tools"), "{answer}");
    let answer = exchange(&server, &[&raw("http://evil.example.com/mcp", "", &body)]).await;
    assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("evil.example.com"), "{answer}");
}

#[tokio::test]
async fn head_is_answered_as_get_without_a_body() {
    let server = Server::builder().env("MCP__OAUTH__ENABLED", "true").start();
    let paths = [
        "/",
        "/healthz",
        "/readyz",
        "/me",
        "/icon.svg",
        "/mcp/sessions",
        "/mcp/server-card",
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/mcp",
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
        "/.well-known/jwks.json",
        "/nowhere",
    ];
    let urls = paths.iter().map(|path| format!("{}{path}", server.url));
    for url in urls.chain(["/healthz", "/readyz", "/metrics"].iter().map(|path| format!("{}{path}", server.admin))) {
        let ask = async |method: Method| reply_to(server.http.request(method, &url).bearer_auth(token("ann"))).await;
        let (got, head) = (ask(Method::GET).await, ask(Method::HEAD).await);
        assert_eq!((head.status, head.text.as_str()), (got.status, ""), "{url}");
        assert_eq!(head.header("content-type"), got.header("content-type"), "{url}");
        assert!(head.header("content-length").is_some_and(|length| length != "0"), "{url}: {head:?}");
    }
    let head = reply_to(server.http.head(format!("{}/mcp", server.url)).bearer_auth(token("ann"))).await;
    assert_eq!((head.status.as_u16(), head.header("allow")), (405, Some("GET, POST, DELETE")), "a stream has no head");
}

/// A POST with headers as they are, some of them more than once.
async fn post(client: &Client<'_>, headers: &[(&str, &str)], body: &Value) -> Reply {
    let request = client.request(Method::POST).header("accept", "application/json, text/event-stream").json(body);
    reply_to(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
}

#[tokio::test]
async fn equal_headers_are_one_and_differing_ones_are_refused() {
    let server = Server::start();
    for revision in REVISIONS {
        let client = server.client("ann").open_with(revision).await;
        let session = client.session.clone().unwrap();
        let other = server.client("ann").open_with(revision).await.session.unwrap();
        let bare = server.client("ann");
        let (own, others) = (format!("Bearer {}", client.token), format!("Bearer {}", token("bob")));
        let twice = |value: &str| format!("{value}, {value}");
        let cases: [(&Client<'_>, &[(&str, &str)], u16); 12] = [
            (&bare, &[("mcp-session-id", &session), ("mcp-session-id", &session)], 200),
            (&bare, &[("mcp-session-id", &twice(&session))], 200),
            (&bare, &[("mcp-session-id", &session), ("mcp-session-id", &other)], 400),
            (&bare, &[("mcp-session-id", &format!("{session},{other}"))], 400),
            (&client, &[("mcp-protocol-version", &twice(revision))], 200),
            (&client, &[("mcp-protocol-version", "2025-03-26, 2024-11-05")], 400),
            (&client, &[("x-chat-id", "a"), ("x-chat-id", "a")], 200),
            (&client, &[("x-chat-id", "a, b")], 200),
            (&client, &[("x-chat-id", "a"), ("x-chat-id", "b")], 400),
            (&client, &[("authorization", &own)], 200),
            (&client, &[("authorization", &others)], 400),
            (&client, &[("x-chat-id", "")], 200),
        ];
        for (client, headers, status) in cases {
            let reply = post(client, headers, &ping()).await;
            assert_eq!(reply.status, status, "{revision} {headers:?}: {reply:?}");
            if status == 400 {
                assert_error(&reply, 400, -32000, format!("{revision} {headers:?}"));
            }
        }
        let last = Wire::send(get(&client, Some("")).header("last-event-id", "")).await;
        assert_eq!(last.status, 200, "{revision}");
    }
    let anonymous = server.client_with("");
    for (query, status) in [
        (format!("token={}&token={}", token("ann"), token("ann")), 200),
        (format!("token={}&token={}", token("ann"), token("bob")), 400),
        (format!("token={}&mode=static&mode=dynamic", token("ann")), 400),
        (format!("token={}&mode=dynamic&mode=dynamic", token("ann")), 200),
        (format!("token={}&access=read&access=any", token("ann")), 400),
    ] {
        let reply = anonymous.clone().query(&query).initialize("2025-11-25").await;
        assert_eq!(reply.status, status, "{reply:?}");
    }
    let modern = server.client("ann").modern("tools/list", json!({}));
    let version = [("mcp-protocol-version", MODERN), ("mcp-protocol-version", MODERN), ("mcp-method", "tools/list")];
    assert_eq!(post(&server.client("ann"), &version, &modern.body).await.status, 200, "2026-07-28, twice");
    let version =
        [("mcp-protocol-version", MODERN), ("mcp-protocol-version", "2025-11-25"), ("mcp-method", "tools/list")];
    assert_eq!(post(&server.client("ann"), &version, &modern.body).await.status, 400, "two revisions");
}

#[tokio::test]
async fn initialize_is_negotiated_by_its_body_whatever_the_headers_say() {
    let server = Server::start();
    let client = server.client("ann");
    let living = client.clone().open().await.session.unwrap();
    let cases = [
        ("mcp-protocol-version", MODERN),
        ("mcp-protocol-version", "2027-03-03"),
        ("mcp-protocol-version", ""),
        ("mcp-session-id", ""),
        ("mcp-session-id", "null"),
        ("mcp-session-id", "undefined"),
        ("mcp-session-id", "00000000-0000-4000-8000-000000000000"),
    ];
    for (name, value) in cases {
        let reply = post(&client, &[(name, value)], &initialize()).await;
        assert_eq!(reply.status, 200, "{name}: {value:?}: {reply:?}");
        assert_eq!(reply.result()["protocolVersion"], "2025-11-25", "{name}: {value:?}");
        let session = reply.header("mcp-session-id").unwrap_or_else(|| panic!("{name}: {value:?}: {reply:?}"));
        assert_ne!(session, living, "{name}: {value:?}");
        assert_eq!(client.clone().in_session(session).post(ping()).await.status, 200, "{name}: {value:?}");
    }
    let again = post(&client, &[("mcp-session-id", &living)], &initialize()).await;
    assert_error(&again, 400, -32600, "a session that lives is not opened again");
    let thief = post(&server.client("bob"), &[("mcp-session-id", &living)], &initialize()).await;
    assert_eq!(thief.status, 200, "another user's session is none: {thief:?}");
    assert_ne!(thief.header("mcp-session-id"), Some(&living[..]));
    let unknown = post(&client, &[("mcp-session-id", "")], &ping()).await;
    assert_error(&unknown, 400, -32000, "what needs a session says that it is missing");
}

#[tokio::test]
async fn a_refusal_names_the_header_or_the_setting() {
    let server = Server::builder().env("MCP__SERVER__ALLOWED_HOSTS", "mcp.example.com").start();
    let client = server.client("ann").open().await;
    let anonymous = server.client_with("");
    let all = ["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];
    let cases: [(&str, &Client<'_>, &[(&str, &str)], u16, &[&str]); 10] = [
        ("a coding", &client, &[("content-encoding", "gzip")], 415, &["Content-Encoding"]),
        ("a charset", &client, &[("content-type", "application/json; charset=UTF-16LE")], 415, &["UTF-8"]),
        ("a type", &client, &[("content-type", "text/plain")], 415, &["Content-Type", "application/json"]),
        ("an answer", &client, &[("accept", "image/png")], 406, &["Accept", "application/json, text/event-stream"]),
        ("a revision", &client, &[("mcp-protocol-version", "2027-03-03")], 400, &all),
        ("a bare token", &anonymous, &[("authorization", &token("ann"))], 401, &["Bearer TOKEN"]),
        ("a scheme", &anonymous, &[("authorization", "Basic YTpi")], 401, &["Bearer TOKEN"]),
        ("no token", &anonymous, &[], 401, &["Authorization: Bearer TOKEN", "?token=TOKEN"]),
        ("a host", &client, &[("host", "evil.example.com")], 403, &["server.allowed_hosts", "evil.example.com"]),
        ("a page", &client, &[("origin", "https://evil.com")], 403, &["server.allowed_origins", "https://evil.com"]),
    ];
    for (case, client, headers, status, named) in cases {
        let mut request = client.request(Method::POST).body(ping().to_string());
        let has = |name| headers.iter().any(|(other, _)| *other == name);
        let usual = [("accept", "application/json"), ("content-type", "application/json")];
        for (name, value) in headers.iter().chain(usual.iter().filter(|(name, _)| !has(*name))) {
            request = request.header(*name, *value);
        }
        let id = format!("hygiene-{}", case.replace(' ', "-"));
        let reply = reply_to(request.header("x-request-id", &id)).await;
        assert_eq!(reply.status, status, "{case}: {reply:?}");
        let message = reply.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(named.iter().all(|named| message.contains(named)), "{case}: {message}");
        server.wait_for_log(&id);
        let log = server.log();
        let line = log.lines().find(|line| line.contains(&id) && line.contains("status=")).unwrap_or_default();
        assert!(line.contains("address=127.0.0.1") && line.contains("reason="), "{case}: {line}");
        match case {
            "a coding" => assert_eq!(reply.header("accept-encoding"), Some("identity")),
            "a type" | "a charset" => assert_eq!(reply.header("accept"), Some("application/json")),
            _ => {}
        }
    }
    for content_type in ["application/json;charset=UTF-8", "application/json; charset=iso-8859-1"] {
        let request = client.request(Method::POST).header("content-type", content_type).body(ping().to_string());
        assert_eq!(reply_to(request.header("content-encoding", "identity")).await.status, 200, "{content_type}");
    }
    let marked = format!("\u{feff}{}", ping());
    let request = client.request(Method::POST).header("content-type", "application/json").body(marked);
    assert_eq!(reply_to(request).await.result(), json!({}), "a byte order mark");
}

/// What clients do with the body of a refusal. Python's SDK 2 shows the message of a JSON-RPC error with an `id` member, be it
/// null; it takes a 404 for the end of the session, on which Google's ADK opens another, only if that is not typed as JSON.
/// Agents built on the TypeScript SDK look for the code in the text.
#[tokio::test]
async fn clients_can_show_a_refusal_and_act_on_a_lost_session() {
    let server = Server::start();
    for (headers, status) in
        [(&[][..], 401), (&[("origin", "https://evil.com")], 403), (&[("accept", "image/png")], 406)]
    {
        let client = if status == 401 { server.client_with("") } else { server.client("ann") };
        let request = client.request(Method::POST).json(&initialize());
        let reply =
            reply_to(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await;
        assert_eq!(
            (reply.status.as_u16(), reply.header("content-type")),
            (status, Some("application/json")),
            "{reply:?}"
        );
        let body = reply.json();
        assert_eq!((&body["jsonrpc"], body.get("id")), (&json!("2.0"), Some(&Value::Null)), "{reply:?}");
        assert!(body["error"]["message"].is_string(), "{reply:?}");
        assert!(status != 401 || body["error"]["code"] != -32000, "no new session helps: {reply:?}");
    }
    let lost = server.client("ann").in_session("00000000-0000-4000-8000-000000000000").post(ping()).await;
    assert_eq!((lost.status.as_u16(), lost.header("content-type")), (404, Some("text/plain; charset=utf-8")));
    let text = format!("Error POSTing to endpoint: {}", lost.text);
    let found: Value = serde_json::from_str(&text[text.find('{').unwrap()..]).unwrap();
    assert_eq!((&found["error"]["code"], &found["id"]), (&json!(-32000), &json!(1)));
}

#[tokio::test]
async fn a_browser_at_an_endpoint_gets_a_page() {
    let server = Server::start();
    for path in ["/mcp", "/mcp?token=secret", "/sse"] {
        let request = server.http.get(format!("{}{path}", server.url));
        let page = reply_to(request.header("accept", "text/html,application/xhtml+xml,*/*;q=0.8")).await;
        assert_eq!(
            (page.status.as_u16(), page.header("content-type")),
            (200, Some("text/html; charset=utf-8")),
            "{path}"
        );
        assert!(page.text.contains("This address is for MCP clients"), "{path}");
        assert_eq!(page.header("cache-control"), Some("no-store"), "{path}");
        assert!(page.header("vary").is_some_and(|vary| vary.split(", ").any(|name| name == "accept")), "{path}");
        assert!(page.header("content-security-policy").is_some_and(|policy| policy.contains("default-src 'none'")));
    }
    let script = reply_to(server.http.get(format!("{}/mcp", server.url)).header("accept", "*/*")).await;
    assert_eq!(script.status, 401, "{script:?}");
}

//! Requests that are too large, too deep, or too slow.

use std::net::TcpStream as StdStream;

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::{Client, PATIENCE, Server, assert_error, token};

/// A connection that says what the test says.
pub fn connect(server: &Server) -> TcpStream {
    let address = server.url.strip_prefix("http://").unwrap();
    let stream = StdStream::connect(address).unwrap();
    stream.set_nonblocking(true).unwrap();
    TcpStream::from_std(stream).unwrap()
}

/// What comes until the server closes the connection.
pub async fn until_closed(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A connection that is reset is closed, too.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the connection is cut");
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn heads_have_a_size() {
    let server = Server::builder()
        .env("MCP__TUNING__MAX_HEADER_BYTES", "4096")
        .env("MCP__TUNING__MAX_URL_BYTES", "1024")
        .start();
    let client = server.client("ann").open().await;
    let with = |bytes: usize| client.clone().header("x-padding", &"x".repeat(bytes));
    assert!(!with(1000).tools().await.is_empty());
    let refused = with(4096).ask("tools/list", json!({})).await;
    assert_error(&refused, 431, -32000, "large headers");
    assert!(refused.text.contains("at most 4096 bytes"), "{refused:?}");

    let at = |bytes: usize| Client { session: None, ..client.clone() }.query(&format!("apps={}", "y".repeat(bytes)));
    assert_eq!(at(900).initialize("2025-11-25").await.status, 200);
    let refused = at(1024).initialize("2025-11-25").await;
    assert_error(&refused, 414, -32000, "a long URL");
    assert!(refused.text.contains("at most 1024 bytes"), "{refused:?}");

    let unknown = server.client_with("").header("x-padding", &"x".repeat(4096)).ask("tools/list", json!({})).await;
    assert_eq!(unknown.status, 431, "before it is asked who comes");
}

#[tokio::test]
async fn a_head_of_any_size_is_refused() {
    let server = Server::start();
    let mut stream = connect(&server);
    let head = format!("GET /mcp HTTP/1.1\r\nhost: localhost\r\nx-padding: {}", "x".repeat(200_000));
    // It may be cut off before all of it is sent.
    let _ = stream.write_all(head.as_bytes()).await;
    let answer = until_closed(&mut stream).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    server.client("ann").open().await;
}

#[tokio::test]
async fn json_has_a_depth() {
    let server = Server::start();
    let client = server.client("ann").open().await;
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let call = |depth: usize| {
        let arguments = format!(r#"{{"a":{}}}"#, nested(depth));
        let params = format!(r#"{{"name":"sandbox-faults_echo","arguments":{arguments}}}"#);
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#)
    };
    // The message, its params and its arguments are three more.
    let reply = client.post_text(&call(100)).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let refused = client.post_text(&call(126)).await;
    assert_error(&refused, 400, -32600, "deep arguments");
    assert!(refused.text.contains("more than 128 deep"), "{refused:?}");
    let refused = client.post_text(&nested(1_000_000)).await;
    assert_error(&refused, 400, -32600, "a very deep body");
}

#[tokio::test]
async fn apps_have_a_number() {
    let server = Server::builder().env("MCP__TUNING__MAX_APPS", "2").start();
    let client = |apps: &str| server.client("ann").query(&format!("apps={apps}"));
    assert!(!client("gmail,slack").open().await.tools().await.is_empty());
    let asked = server.stats().await["requests"].clone();
    for reply in [
        client("gmail,slack,hubspot").initialize("2025-11-25").await,
        client("gmail,slack,hubspot").modern("tools/list", json!({})).send().await,
    ] {
        assert_eq!(reply.status, 400, "{reply:?}");
        assert!(reply.text.contains("more than 2 apps"), "{reply:?}");
    }
    let sse = client("").request_at(reqwest::Method::GET, "/sse?apps=gmail,slack,hubspot");
    assert_eq!(sse.header("accept", "text/event-stream").send().await.unwrap().status(), 400);
    let now = server.stats().await["requests"].clone();
    assert_eq!(now, asked, "the upstream is not asked");
}

/// The time that a head takes is bounded for the first of a connection alone.
#[tokio::test]
async fn only_who_is_let_in_keeps_a_connection() {
    let server = Server::start();
    let get = |path: &str, token: &str| {
        format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n")
    };
    for (path, token) in [("/", String::new()), ("/mcp/sessions", "no-token".repeat(3)), ("/nowhere", token("ann"))] {
        let mut connection = connect(&server);
        connection.write_all(get(path, &token).as_bytes()).await.unwrap();
        let answer = until_closed(&mut connection).await;
        assert!(answer.starts_with("HTTP/1.1 ") && answer.contains("connection: close"), "{path}: {answer}");
    }
    let mut connection = connect(&server);
    let asked = get("/mcp/sessions", &token("ann"));
    for _ in 0..2 {
        connection.write_all(asked.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"{}") {
            assert_ne!(connection.read_buf(&mut answer).await.unwrap(), 0, "{}", String::from_utf8_lossy(&answer));
        }
    }
}

#[tokio::test]
async fn a_request_that_dribbles_is_cut() {
    let server = Server::builder().env("MCP__TUNING__REQUEST_S", "1").start();
    let head = |length: usize| {
        let token = token("ann");
        format!(
            "POST /mcp HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
             accept: application/json, text/event-stream\r\ncontent-length: {length}\r\n\r\n"
        )
    };
    let mut slow_body = connect(&server);
    slow_body.write_all(head(1000).as_bytes()).await.unwrap();
    slow_body.write_all(b"{").await.unwrap();
    let answer = until_closed(&mut slow_body).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("did not arrive in time"), "{answer}");

    let mut slow_head = connect(&server);
    slow_head.write_all(b"POST /mcp HTTP/1.1\r\nhost: local").await.unwrap();
    let answer = until_closed(&mut slow_head).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");

    server.client("ann").open().await;
}

//! Clients that send, read or go on too slowly, or not at all.

use std::{io, time::Duration};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use crate::{
    metrics::{scrape, total},
    oversized::{connect, until_closed},
    sockets::{Wire, call, get},
    support::{PATIENCE, Server, ServerBuilder, eventually, reply_to, token},
};

/// A server whose patience ends soon.
fn impatient() -> ServerBuilder {
    Server::builder().env("MCP__TUNING__REQUEST_S", "1").env("MCP__SERVER__KEEP_ALIVE_S", "1")
}

/// A request's head, with a good token unless `headers` says otherwise.
fn head(request: &str, headers: &str) -> String {
    let token = if headers.contains("authorization") { String::new() } else { good_token() };
    format!("{request} HTTP/1.1\r\nhost: localhost\r\n{token}{headers}\r\n")
}

fn good_token() -> String {
    format!("authorization: Bearer {}\r\n", token("ann"))
}

const CHUNKED: &str = "transfer-encoding: chunked\r\n";
const NOBODY: &str = "authorization: none\r\n";
const JSON: &str = "content-type: application/json\r\naccept: application/json, text/event-stream\r\n";

/// Behaviour of a slow client after its first bytes.
#[derive(Clone, Copy)]
enum Then {
    /// Stays, and sends no more.
    Waits,
    /// Sends this again and again, one byte at a time.
    Dribbles(&'static str),
    /// Closes its half of the connection.
    Closes,
}

async fn open_connections(server: &Server) -> f64 {
    total(&scrape(server).await, "mcp_connections", &[])
}

async fn closed(server: &Server, reason: &str) -> f64 {
    total(&scrape(server).await, "mcp_connections_closed_total", &[("reason", reason)])
}

/// Sends the first bytes, goes on as it will, and gives what comes until the server closes the connection.
async fn slow(mut stream: TcpStream, first: &str, then: Then) -> String {
    stream.write_all(first.as_bytes()).await.unwrap();
    let dribble = match then {
        Then::Waits => return until_closed(&mut stream).await,
        Then::Closes => {
            stream.shutdown().await.unwrap();
            return until_closed(&mut stream).await;
        }
        Then::Dribbles(text) => text,
    };
    let (mut from_server, mut to_server) = stream.into_split();
    let dribbling = tokio::spawn(async move {
        for byte in dribble.bytes().cycle() {
            tokio::time::sleep(Duration::from_millis(50)).await;
            to_server.write_all(&[byte]).await?;
        }
        Ok::<_, io::Error>(())
    });
    let mut answer = Vec::new();
    let _reset = timeout(PATIENCE, from_server.read_to_end(&mut answer)).await.expect("the connection is cut");
    dribbling.abort();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn every_phase_of_a_connection_has_an_end() {
    let server = impatient().env("MCP__TUNING__MAX_BODY_BYTES", "1000").start();
    let chunk = "3e8\r\n".to_owned() + &"x".repeat(1000) + "\r\n";
    let sized = "content-length: 900\r\n";
    let cases = [
        ("says nothing", String::new(), Then::Waits, "408"),
        ("speaks TLS", "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}".to_owned(), Then::Waits, "400"),
        ("stops in the first head", "POST /mcp HTTP/1.1\r\nho".to_owned(), Then::Waits, "408"),
        ("dribbles the first head", "GET / HTTP/1.1\r\n".to_owned(), Then::Dribbles("x: y\r\n"), "408"),
        ("half-closes in the first head", "GET / HTTP/1.1\r\n".to_owned(), Then::Closes, ""),
        ("stays after an answer", head("GET /mcp/sessions", ""), Then::Waits, "200"),
        ("half-closes after a request", head("GET /mcp/sessions", ""), Then::Closes, ""),
        ("dribbles a second head", head("GET /mcp/sessions", ""), Then::Dribbles("x"), "200"),
        ("pipelines part of a head", head("GET /mcp/sessions", "") + "GET /mcp/sessions HTT", Then::Waits, "200"),
        ("pipelines a hundred requests", head("GET /mcp/sessions", "").repeat(100), Then::Waits, "200"),
        ("chunked body after 401", head("POST /mcp", &(NOBODY.to_owned() + CHUNKED)), Then::Waits, "401"),
        (
            "chunked body after 401, dribbled",
            head("POST /mcp", &(NOBODY.to_owned() + CHUNKED)),
            Then::Dribbles("1\r\nx\r\n"),
            "401",
        ),
        (
            "chunked body after 403",
            head("POST /mcp", &format!("origin: https://evil.example\r\n{CHUNKED}")),
            Then::Waits,
            "403",
        ),
        ("chunked body after 405", head("PUT /mcp", CHUNKED), Then::Dribbles("1\r\nx\r\n"), "405"),
        (
            "chunked body after 413",
            head("POST /mcp", &format!("{JSON}{CHUNKED}")) + &chunk.repeat(2),
            Then::Waits,
            "413",
        ),
        ("chunked body after 200", head("GET /mcp/sessions", CHUNKED), Then::Waits, "200"),
        ("chunked body after 200, dribbled", head("GET /", CHUNKED), Then::Dribbles("1\r\nx\r\n"), "200"),
        ("chunked body, never ended", head("POST /mcp", &format!("{JSON}{CHUNKED}")), Then::Waits, "408"),
        ("sized body after 401", head("POST /mcp", &(NOBODY.to_owned() + sized)), Then::Waits, "401"),
        ("sized body, never ended", head("POST /mcp", &format!("{JSON}{sized}")), Then::Waits, "408"),
        ("sized body, dribbled", head("POST /mcp", &format!("{JSON}{sized}")), Then::Dribbles(" "), "408"),
        (
            "body announced, never sent",
            head("POST /mcp", &format!("{JSON}expect: 100-continue\r\n{sized}")),
            Then::Waits,
            "100",
        ),
    ];
    let clients = cases.map(|(case, first, then, status)| {
        let stream = connect(&server);
        async move { (case, slow(stream, &first, then).await, status) }
    });
    let answers = join_all(clients).await;
    let wrong = answers.iter().filter(|(_, answer, status)| answer.split(' ').nth(1).unwrap_or_default() != *status);
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    eventually("no connection is left", async || open_connections(&server).await == 0.0).await;
    server.client("ann").open().await;
}

#[tokio::test]
async fn who_was_not_let_in_gets_one_answer_however_many_requests_it_sends() {
    let server = impatient().start();
    for (case, request) in [
        ("no token", head("GET /mcp", NOBODY)),
        ("a bad token", head("GET /mcp/sessions", "authorization: Bearer no-token-at-all\r\n")),
        ("a path of nobody's", head("GET /nowhere", NOBODY)),
        ("a body", head("POST /mcp", &format!("{NOBODY}{JSON}content-length: 2\r\n")) + "{}"),
    ] {
        let mut stream = connect(&server);
        // Those that follow have a good token.
        let others = head("GET /mcp/sessions", "").repeat(20);
        stream.write_all((request + &others).as_bytes()).await.unwrap();
        let answer = until_closed(&mut stream).await;
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{case}: {answer}");
        assert!(answer.contains("connection: close"), "{case}: {answer}");
    }
    let mut stream = connect(&server);
    stream.write_all(head("GET /mcp/sessions", "").repeat(20).as_bytes()).await.unwrap();
    let answer = until_closed(&mut stream).await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 20, "a user may: {answer}");
    eventually("no connection is left", async || open_connections(&server).await == 0.0).await;
}

/// A client that takes in next to nothing.
async fn deaf(server: &Server, request: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let address = server.url.strip_prefix("http://").unwrap().parse().unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut() {
    let server = impatient().env("MCP__OUTPUTS__MAX_TOKENS", "10000000").start();
    let client = server.client("ann").open().await;
    let session = client.session.clone().unwrap();
    // More than any socket keeps for a reader.
    let text = "x".repeat(9_000_000);
    let body = call(json!(1), "sandbox-faults_echo", json!({"text": text})).to_string();
    let ask = |accept: &str| {
        let headers = format!(
            "mcp-session-id: {session}\r\ncontent-type: application/json\r\naccept: {accept}\r\ncontent-length: {}\r\n",
            body.len()
        );
        head("POST /mcp", &headers) + &body
    };
    let _json = deaf(&server, &ask("application/json")).await;
    let _events = deaf(&server, &ask("text/event-stream")).await;
    eventually("both are cut", async || closed(&server, "unread").await >= 2.0).await;
    eventually("no connection is left", async || open_connections(&server).await == 0.0).await;
}

#[tokio::test]
async fn a_stream_outlives_all_deadlines() {
    let server = impatient().start();
    let client = server.client("ann").query("mode=dynamic").open().await;
    let mut stream = Wire::send(get(&client, None)).await;
    let mut idle = Vec::new();
    for _ in 0..3 {
        // Each of them takes as long as a request may.
        idle.push(slow(connect(&server), "GET / HTTP/1.1\r\n", Then::Waits).await);
    }
    assert!(idle.iter().all(|answer| answer.starts_with("HTTP/1.1 408")), "{idle:?}");
    client.call("enable-tools", json!({"tools": ["gmail_send-email"]})).await;
    let changed = async {
        loop {
            let event = stream.next().await.expect("the stream goes on");
            if event.data.contains("list_changed") {
                break;
            }
        }
    };
    timeout(PATIENCE, changed).await.expect("a notification");
}

#[tokio::test]
async fn ten_thousand_slow_clients_keep_nobody_out() {
    // As many as this process may open, too.
    let files = rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let count = usize::try_from(files / 2).unwrap_or(usize::MAX).min(10_000);
    let server = Server::builder().env("MCP__LOG__FILTER", "info").limit("-n 4096").start();
    let honest = server.client("ann").open().await;
    let kinds = [
        String::new(),
        "GET / HTTP/1.1\r\nhost: loc".to_owned(),
        head("POST /mcp", &(NOBODY.to_owned() + CHUNKED)),
        head("GET /", NOBODY) + "GET / HT",
    ];
    let flood = async {
        let mut held = Vec::with_capacity(count);
        while held.len() < count {
            let clients = kinds.iter().cycle().take(100).map(async |first| {
                let stream = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).await?;
                // The server may have closed it already.
                let _ = stream.try_write(first.as_bytes());
                Ok::<_, io::Error>(stream)
            });
            held.extend(join_all(clients).await.into_iter().map(|stream| stream.expect("the server listens")));
        }
        held
    };
    let mut flood = Box::pin(flood);
    let mut asked = 0;
    let held = loop {
        // One on a connection that is kept, and one on a new one.
        let new = reqwest::Client::new();
        let request = new.get(format!("{}/mcp/sessions", server.url)).bearer_auth(&honest.token);
        let requests = async {
            assert!(!honest.tools().await.is_empty());
            assert_eq!(reply_to(request).await.status, 200);
        };
        asked += 1;
        tokio::select! {
            // A machine that connects them all before the first answer has to ask again.
            held = &mut flood, if asked > 1 => break held,
            () = requests => {}
        }
    };
    assert!(asked > 1, "{asked}");
    for _ in 0..20 {
        server.client("bob").open().await;
    }
    assert!(!honest.tools().await.is_empty());
    if held.len() > 4096 {
        assert!(closed(&server, "room").await > 0.0, "places were made");
    }
    assert!(closed(&server, "full").await < 1.0, "nobody is turned away");
    assert!(!server.log().contains("Error accepting connection"), "files ran out");
    drop(held);
}

#[tokio::test]
async fn a_user_who_sends_many_bodies_at_once_is_told_and_others_are_served() {
    const MB: usize = 1 << 20;
    let server = Server::builder()
        .env("MCP__TUNING__MAX_BODY_BYTES", &MB.to_string())
        .env("MCP__TUNING__MAX_PENDING_BODY_BYTES", &(8 * MB).to_string())
        .start();
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}).to_string();
    let ann = server.client("ann").open().await;
    let session = format!("mcp-session-id: {}\r\n", ann.session.clone().unwrap());
    let request = head("POST /mcp", &format!("{session}{JSON}content-length: {MB}\r\n"))
        + &ping
        + &" ".repeat(MB - 1 - ping.len());
    let mut bodies = Vec::new();
    for _ in 0..20 {
        let mut stream = connect(&server);
        // What is refused is not taken in to its end.
        let _ = stream.write_all(request.as_bytes()).await;
        bodies.push(stream);
    }
    let refused = async || total(&scrape(&server).await, "mcp_limited_total", &[("limit", "body_bytes")]);
    eventually("all but two are refused", async || refused().await >= 18.0).await;

    let bob = server.client("bob").open().await;
    let padded = ping.clone() + &" ".repeat(MB - ping.len());
    assert_eq!(bob.post_text(&padded).await.result(), json!({}), "another user");
    let reply = ann.post_text(&padded).await;
    assert_eq!(reply.status, 429, "{reply:?}");
    assert!(reply.header("retry-after").is_some() && reply.text.contains("one after another"), "{reply:?}");
    assert_eq!(ann.post_text(&ping).await.result(), json!({}), "small ones are taken");

    for stream in &mut bodies {
        let _refused = stream.write_all(b" ").await;
    }
    let mut answers = Vec::new();
    for mut stream in bodies {
        let mut answer = Vec::new();
        let _reset = timeout(PATIENCE, stream.read_buf(&mut answer)).await.expect("an answer");
        answers.push(String::from_utf8(answer).unwrap());
    }
    let answered = answers.iter().filter(|answer| answer.starts_with("HTTP/1.1 200")).count();
    assert_eq!(answered, 2, "{answers:?}");
    eventually("what has arrived makes room", async || ann.post_text(&padded).await.status == 200).await;
}

#[tokio::test]
async fn the_limit_of_open_files_is_raised_to_what_the_system_allows() {
    let server = Server::builder().limit("-S -n 256").start();
    let files = total(&scrape(&server).await, "process_max_fds", &[]);
    assert!(files > 256.0, "{files}");
    assert_eq!(server.client("ann").request_at(Method::GET, "/healthz").send().await.unwrap().status(), 200);
}

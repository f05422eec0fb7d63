//! Two minutes of what an hour brings: sessions open, call, lose their streams, resume and end. Prints how much memory the
//! server holds meanwhile, and how much a thousand readers cost that never read. Asserts nothing.
//!
//! ```text
//! cargo bench --bench soak [-- floods]
//! ```
//!
//! With `floods` alone what large and hostile messages cost: see `floods`.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "what goes wrong ends the run")]

mod beside;
#[path = "../api/files.rs"]
#[expect(dead_code, reason = "tests use the rest")]
mod files;
mod floods;
mod hostile;
mod process;

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use process::{Process, token};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    sync::{Semaphore, mpsc},
    time::{interval, timeout},
};

const SESSIONS: usize = 2_000;
const STALLED: usize = 1_000;
const TTL: Duration = Duration::from_secs(120);
const INTERVAL: Duration = Duration::from_secs(10);
/// Rounds begun in a second.
const RATE: u32 = 100;
/// Rounds running at once at most.
const AT_ONCE: usize = 64;
/// More than either side has open at once.
const MIN_FILES: u64 = 8_192;
/// For any single answer.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    // `cargo test --all-targets` comes by, too.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    if std::env::args().any(|argument| argument == "floods") {
        runtime.block_on(floods::floods_in_turn());
        return ExitCode::SUCCESS;
    }
    let files = files_allowed();
    if files < MIN_FILES {
        eprintln!(
            "only {files} files may be open at once, and the soak needs {MIN_FILES}: run `ulimit -n {MIN_FILES}` before it"
        );
        return ExitCode::FAILURE;
    }
    runtime.block_on(soak());
    ExitCode::SUCCESS
}

fn files_allowed() -> u64 {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap_or_default();
    line.split_whitespace().nth(3).map_or(0, |soft| soft.parse().unwrap_or(u64::MAX))
}

/// The server, and a client of it.
struct Server {
    process: Process,
    token: String,
    http: Client,
}

impl Server {
    fn start() -> Self {
        let settings = [
            ("MCP__TUNING__STREAM_AFTER_MS", "1"),
            ("MCP__TUNING__PROGRESS_MS", "10"),
            // An hour in two minutes: what lasts five minutes otherwise lasts ten seconds here.
            ("MCP__TUNING__STREAM_LOG_S", "10"),
            ("MCP__LOG__FILTER", "warn,integration_app_mcp_server=info"),
        ];
        Self { process: Process::start(&["--sandbox"], &settings), token: token("soak"), http: Client::new() }
    }

    /// Resident memory, in KiB.
    fn memory(&self) -> u64 {
        self.process.memory() / 1024
    }

    fn request(&self, request: RequestBuilder, session: Option<&str>) -> RequestBuilder {
        let request = request.bearer_auth(&self.token).header("accept", "application/json, text/event-stream");
        session.into_iter().fold(request, |request, session| request.header("mcp-session-id", session))
    }

    async fn post(&self, session: Option<&str>, message: &Value) -> Response {
        let request = self.request(self.http.post(format!("{}/mcp", self.process.url)), session).json(message);
        let response = timeout(PATIENCE, request.send()).await.expect("an answer in time").unwrap();
        assert!(response.status().is_success(), "{message}: {}", response.status());
        response
    }

    async fn open_session(&self) -> String {
        let client = json!({"name": "soak", "version": "1"});
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client});
        let response =
            self.post(None, &json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params})).await;
        response.headers().get("mcp-session-id").and_then(|id| id.to_str().ok()).expect("a session").to_owned()
    }

    /// Opens the session's own stream, or goes on with one, on a connection of its own that takes in little.
    async fn stream(&self, session: &str, last: Option<&str>) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let address = self.process.url.trim_start_matches("http://");
        let mut stream = socket.connect(address.parse().unwrap()).await.unwrap();
        let last = last.map(|last| format!("last-event-id: {last}\r\n")).unwrap_or_default();
        let head = format!(
            "GET /mcp HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\nmcp-session-id: {session}\r\n\
             accept: text/event-stream\r\n{last}\r\n",
            self.token
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut begin = [0; 12];
        timeout(PATIENCE, stream.read_exact(&mut begin)).await.expect("an answer in time").unwrap();
        assert_eq!(&begin, b"HTTP/1.1 200");
        stream
    }

    /// A call that is answered by a stream, up to the event that names it. Then the connection is lost.
    async fn call_and_lose(&self, session: &str, ms: u64, token: &str) -> String {
        let params =
            json!({"name": "sandbox-faults_sleep", "arguments": {"ms": ms}, "_meta": {"progressToken": token}});
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        let mut response = self.post(Some(session), &message).await;
        let mut seen = String::new();
        loop {
            let id = seen.split_once("id: ").and_then(|(_, rest)| rest.split_once('\n'));
            if let Some((id, _)) = id {
                return id.to_owned();
            }
            let part = timeout(PATIENCE, response.chunk()).await.expect("an event in time").unwrap().expect("an event");
            seen.push_str(&String::from_utf8_lossy(&part));
        }
    }

    async fn read_to_end(mut stream: TcpStream) -> String {
        let mut text = Vec::new();
        let read = async { while !text.ends_with(b"0\r\n\r\n") && stream.read_buf(&mut text).await.unwrap() > 0 {} };
        timeout(PATIENCE, read).await.expect("the end of the stream in time");
        String::from_utf8_lossy(&text).into_owned()
    }

    async fn end_session(&self, session: &str) {
        let request = self.request(self.http.delete(format!("{}/mcp", self.process.url)), Some(session));
        timeout(PATIENCE, request.send()).await.expect("an answer in time").unwrap();
    }

    /// Calls, loses the stream, gets the answer on another, and drops and opens the session's own; now and then a new session
    /// takes the place of the old one.
    async fn round(&self, number: u64, mut session: String, own: TcpStream) -> (String, TcpStream) {
        let last = self.call_and_lose(&session, 50, "t").await;
        let text = Self::read_to_end(self.stream(&session, Some(&last)).await).await;
        assert!(text.contains("sleptMs"), "the answer: {text}");
        drop(own);
        if number.is_multiple_of(10) {
            self.end_session(&session).await;
            session = self.open_session().await;
        }
        let own = self.stream(&session, None).await;
        (session, own)
    }
}

async fn soak() {
    let server = Arc::new(Server::start());
    println!("{:>8}  {:>9}  {:>7}  {:>10}", "seconds", "resident", "rounds", "sessions");
    let line = |begun: Instant, rounds: u64| {
        let kib = server.memory();
        println!("{:>8}  {:>5} MiB  {rounds:>7}  {SESSIONS:>10}", begun.elapsed().as_secs(), kib / 1024);
        kib
    };
    println!("{:>8}  {:>5} MiB  {:>7}  {:>10}", "idle", server.memory() / 1024, 0, 0);

    let (pool, mut idle) = mpsc::channel(SESSIONS);
    for _ in 0..SESSIONS {
        let session = server.open_session().await;
        let own = server.stream(&session, None).await;
        pool.try_send((session, own)).expect("room for every session");
    }

    let begun = Instant::now();
    let rounds = Arc::new(AtomicU64::new(0));
    let at_once = Arc::new(Semaphore::new(AT_ONCE));
    let mut rate = interval(Duration::from_secs(1) / RATE);
    let mut reports = interval(INTERVAL);
    let (mut after_a_minute, mut number) = (None, 0);
    while begun.elapsed() < TTL {
        tokio::select! {
            _ = reports.tick() => {
                let kib = line(begun, rounds.load(Ordering::Relaxed));
                if begun.elapsed() >= TTL / 2 && after_a_minute.is_none() {
                    after_a_minute = Some(kib);
                }
            }
            _ = rate.tick() => {
                let Ok(permit) = Arc::clone(&at_once).try_acquire_owned() else { continue };
                let Ok((session, own)) = idle.try_recv() else { continue };
                let (server, pool, rounds) = (Arc::clone(&server), pool.clone(), Arc::clone(&rounds));
                number += 1;
                tokio::spawn(async move {
                    let next = server.round(number, session, own).await;
                    rounds.fetch_add(1, Ordering::Relaxed);
                    drop(permit);
                    pool.try_send(next).expect("room for every session");
                });
            }
        }
    }
    // All rounds have ended when all permits are back.
    let _all = timeout(PATIENCE, at_once.acquire_many(u32::try_from(AT_ONCE).unwrap())).await.expect("an end").unwrap();
    let at_the_end = line(begun, rounds.load(Ordering::Relaxed));
    if let Some(before) = after_a_minute {
        println!("at the end {}% of what it was after the first minute", at_the_end * 100 / before.max(1));
    }

    // Each stalled reader has a stream that is told of its progress at length, far beyond what a connection takes in.
    let mut stalled = Vec::new();
    while let Ok((session, own)) = idle.try_recv() {
        if stalled.len() == STALLED {
            break;
        }
        let last = server.call_and_lose(&session, 2_000, &"x".repeat(8192)).await;
        stalled.push((server.stream(&session, Some(&last)).await, own));
    }
    // A call begun after the others, and longer than they are, ends after them.
    let session = server.open_session().await;
    let last = server.call_and_lose(&session, 3_000, "t").await;
    Server::read_to_end(server.stream(&session, Some(&last)).await).await;
    let kib = server.memory();
    let each = kib.saturating_sub(at_the_end) / (stalled.len() as u64).max(1);
    println!("with {} readers that never read: {} MiB, {each} KiB more for each", stalled.len(), kib / 1024);
}

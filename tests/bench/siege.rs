//! Ten minutes of attacks in turn, beside 50 users who only want to work. Prints for each attack how many of their requests
//! failed, how long the slowest hundredth took against the time before, and how much memory the server holds. Asserts nothing.
//!
//! ```text
//! ulimit -n 8192; cargo bench --bench siege [-- --seconds 600]
//! ```

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "what goes wrong ends the run")]

#[path = "../api/files.rs"]
#[expect(dead_code, reason = "tests use the rest")]
mod files;
mod hostile;
mod process;

use std::{
    fs,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use files::Folder;
use hdrhistogram::Histogram;
use process::{Process, token};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};

const HONEST: usize = 50;
/// Time between two requests of an honest user.
const PACE: Duration = Duration::from_millis(200);
/// An honest request that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);
const DEFAULT_SECONDS: u64 = 600;

fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    // `cargo test --all-targets` comes by, too.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let seconds = arguments.iter().position(|argument| argument == "--seconds");
    let seconds = seconds.and_then(|at| arguments.get(at + 1)?.parse().ok()).unwrap_or(DEFAULT_SECONDS);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(siege(Duration::from_secs(seconds)));
}

/// The server, and the files that it works with, which go after it.
struct Server {
    process: Process,
    _files: [Folder; 2],
}

impl Server {
    fn start() -> Self {
        let mut catalog = Folder::new().with("hostile.json", &hostile::app().to_string());
        for app in ["gmail.json", "slack.json"] {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/sandbox").join(app);
            catalog = catalog.with(app, &fs::read_to_string(file).unwrap());
        }
        let data = Folder::new();
        let settings = [
            ("MCP__STORE__PATH", data.as_str()),
            ("MCP__SANDBOX__CATALOG", catalog.as_str()),
            ("MCP__TUNING__REQUEST_S", "5"),
        ];
        Self { process: Process::start(&["--sandbox"], &settings), _files: [catalog, data] }
    }

    /// Resident memory, in MiB.
    fn memory(&self) -> u64 {
        self.process.memory() >> 20
    }
}

/// A client of the server, with a token.
#[derive(Clone)]
struct Caller {
    url: String,
    token: String,
    http: Client,
}

impl Caller {
    fn new(server: &Server, token: String) -> Self {
        Self { url: server.process.url.clone(), token, http: Client::new() }
    }

    async fn post(
        &self,
        query: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> reqwest::Result<(StatusCode, Option<String>, String)> {
        let request = self.http.post(format!("{}/mcp{query}", self.url)).bearer_auth(&self.token);
        let request =
            request.header("accept", "application/json, text/event-stream").header("content-type", "application/json");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let response = request.body(body).send().await?;
        let session = response.headers().get("mcp-session-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
        Ok((response.status(), session, response.text().await?))
    }

    async fn initialize(&self, query: &str, headers: &[(&str, &str)], client: &str) -> Option<String> {
        let client = json!({"name": client, "version": "1"});
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client});
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params});
        self.post(query, headers, message.to_string()).await.ok()?.1
    }

    async fn call(&self, session: &str, tool: &str, arguments: &Value) -> Option<String> {
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}});
        let (status, _, text) = self.post("", &[("mcp-session-id", session)], message.to_string()).await.ok()?;
        (status == StatusCode::OK).then_some(text)
    }
}

/// What honest users saw since it was last asked.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Duration>>>, Arc<AtomicU64>);

impl Seen {
    /// Requests, failures, and the time of the slowest hundredth in milliseconds.
    fn take(&self) -> (usize, u64, f64) {
        let times = std::mem::take(&mut *self.0.lock().unwrap());
        let mut histogram = Histogram::<u64>::new(3).unwrap();
        for time in &times {
            histogram.record(u64::try_from(time.as_micros()).unwrap()).unwrap();
        }
        let slowest = Duration::from_micros(histogram.value_at_quantile(0.99));
        (times.len(), self.1.swap(0, Ordering::Relaxed), slowest.as_secs_f64() * 1000.0)
    }
}

async fn be_honest(caller: Caller, number: usize, seen: Seen) {
    sleep(PACE * u32::try_from(number).unwrap() / u32::try_from(HONEST).unwrap()).await;
    let session = caller.initialize("?apps=gmail,slack", &[], "honest").await.expect("a session");
    let list = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"}).to_string();
    for round in 0_u64.. {
        let begun = Instant::now();
        let is_good = async {
            if round % 2 == 0 {
                let answer = caller.post("", &[("mcp-session-id", &session)], list.clone()).await;
                answer.is_ok_and(|(status, _, text)| status == StatusCode::OK && text.contains("gmail_send-email"))
            } else {
                let answer = caller.call(&session, "slack_list-channels", &json!({})).await;
                answer.is_some_and(|text| text.contains("channels") && !text.contains("isError"))
            }
        };
        let is_good = timeout(PATIENCE, is_good).await.unwrap_or(false);
        seen.0.lock().unwrap().push(begun.elapsed());
        seen.1.fetch_add(u64::from(!is_good), Ordering::Relaxed);
        sleep(PACE.saturating_sub(begun.elapsed())).await;
    }
}

const ATTACKS: [&str; 11] = [
    "10 MB of wrong arguments",
    "schemas that expand",
    "unfinished bodies",
    "bodies after a 401",
    "dribbled heads",
    "readers that never read",
    "guessed tokens",
    "chats without end",
    "clients with long names",
    "lists of many apps",
    "names that are made up",
];

/// One attacker's next move.
async fn attack(kind: usize, caller: &Caller, number: u64) {
    let address = caller.url.trim_start_matches("http://").to_owned();
    let head = |token: &str, rest: &str| {
        format!(
            "POST /mcp HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream\r\n{rest}\r\n"
        )
    };
    let connect = async || TcpStream::connect(&address).await.ok();
    match kind {
        0 => {
            let Some(session) = caller.initialize("", &[], "x").await else { return };
            let wrong = format!("[{}1]", "1,".repeat(5_000_000));
            let body = format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"gmail_send-email","arguments":{{"cc":{wrong}}}}}}}"#
            );
            let _ = caller.post("", &[("mcp-session-id", &session)], body).await;
        }
        1 => {
            let Some(session) = caller.initialize("?apps=hostile", &[], "x").await else { return };
            let nested = (0..26).fold(json!("x"), |inner, _| json!([inner]));
            for (tool, value) in [
                ("doubling", json!("x")),
                ("nested", nested),
                ("required", json!(1)),
                ("lookahead", json!("a".repeat(5_000) + "!")),
            ] {
                caller.call(&session, &format!("hostile_{tool}"), &json!({"value": value})).await;
            }
        }
        2 => {
            let Some(mut stream) = connect().await else { return };
            let _ = stream.write_all(head(&caller.token, "content-length: 9900000\r\n").as_bytes()).await;
            let _ = timeout(Duration::from_secs(2), stream.write_all(&vec![b' '; 9_899_999])).await;
            sleep(Duration::from_secs(3)).await;
        }
        3 => {
            let Some(mut stream) = connect().await else { return };
            let _ = stream.write_all(head("a.b.c", "transfer-encoding: chunked\r\n").as_bytes()).await;
            for _ in 0..30 {
                if stream.write_all(b"1\r\n \r\n").await.is_err() {
                    return;
                }
                sleep(Duration::from_millis(200)).await;
            }
        }
        4 => {
            let Some(mut stream) = connect().await else { return };
            for byte in head(&caller.token, "content-length: 0\r\n").bytes().take(40) {
                if stream.write_all(&[byte]).await.is_err() {
                    return;
                }
                sleep(Duration::from_millis(200)).await;
            }
        }
        5 => {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_recv_buffer_size(4096).unwrap();
            let Ok(mut stream) = socket.connect(address.parse().unwrap()).await else { return };
            let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
            let request = head(&caller.token, &format!("content-length: {}\r\n", list.len())) + list;
            for _ in 0..50 {
                if timeout(Duration::from_secs(1), stream.write_all(request.as_bytes())).await.is_err() {
                    break;
                }
            }
            sleep(Duration::from_secs(3)).await;
        }
        6 => {
            let claims = format!(r#"{{"id":"honest-{}","iss":"sandbox","n":{number}}}"#, number % 50);
            let forged = format!("eyJhbGciOiJIUzI1NiJ9.{}.c2ln{number}", base64url(claims.as_bytes()));
            let guess = Caller { token: forged, ..caller.clone() };
            guess.initialize("", &[], "x").await;
        }
        7 => {
            caller.initialize("?mode=dynamic", &[("x-chat-id", &format!("chat {number}"))], "x").await;
        }
        8 => {
            caller.initialize("", &[], &"x".repeat(5_000_000)).await;
        }
        9 => {
            let apps: Vec<_> = (0..60).map(|app| format!("app{app}-{number}")).collect();
            caller.initialize(&format!("?apps={}", apps.join(",")), &[], "x").await;
        }
        _ => {
            let Some(session) = caller.initialize("?mode=dynamic", &[], "x").await else { return };
            let names: Vec<_> = (0..200).map(|name| format!("a_{number}_b_{name}_c")).collect();
            caller.call(&session, "enable-tools", &json!({"tools": names})).await;
        }
    }
}

fn base64url(bytes: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Attackers at once, by kind: as many as one machine can be without being the bottleneck itself.
const AT_ONCE: [usize; 11] = [2, 2, 60, 400, 400, 100, 8, 4, 2, 4, 2];

async fn siege(length: Duration) {
    let server = Server::start();
    let seen = Seen::default();
    let mut honest = JoinSet::new();
    for number in 0..HONEST {
        let caller = Caller::new(&server, token(&format!("honest-{number}")));
        honest.spawn(be_honest(caller, number, seen.clone()));
    }
    let turns = u32::try_from(ATTACKS.len()).unwrap() + 2;
    let each = length / turns;
    println!("{:<26}  {:>8}  {:>6}  {:>9}  {:>5}  {:>9}", "attack", "requests", "failed", "p99", "x", "resident");
    // Opening the sessions is no part of it.
    sleep(Duration::from_secs(2)).await;
    seen.take();
    let mut unloaded = 0.0;
    let line = |name: &str, unloaded: &mut f64| {
        let (requests, failed, p99) = seen.take();
        if *unloaded == 0.0 {
            *unloaded = p99;
        }
        println!(
            "{name:<26}  {requests:>8}  {failed:>6}  {p99:>6.1} ms  {:>5.1}  {:>5} MiB",
            p99 / *unloaded,
            server.memory()
        );
    };
    sleep(each).await;
    line("none", &mut unloaded);
    for (kind, name) in ATTACKS.into_iter().enumerate() {
        let is_over = Arc::new(AtomicBool::new(false));
        let mut attackers = JoinSet::new();
        for attacker in 0..AT_ONCE[kind] {
            // Two users, so that it is not one user's share alone that ends it.
            let caller = Caller::new(&server, token(&format!("mallory-{}", attacker % 2)));
            let is_over = Arc::clone(&is_over);
            attackers.spawn(async move {
                for number in 0_u64.. {
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    attack(kind, &caller, number * 1000 + attacker as u64).await;
                }
            });
        }
        sleep(each).await;
        is_over.store(true, Ordering::Relaxed);
        line(name, &mut unloaded);
        attackers.abort_all();
    }
    sleep(each).await;
    line("none, after all of them", &mut unloaded);
    honest.abort_all();
}

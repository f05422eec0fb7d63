//! Cost of the streams that clients listen on: memory, a change that all of them are told of, and all coming back at
//! once after a restart.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use reqwest::Client;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    sync::Notify,
    time::sleep,
};

use crate::{
    AT_ONCE, Caller,
    files::Folder,
    process::{Process, token},
    upstream,
};

/// Streams that are wanted. Each is a file of the server and one of the benchmark, whose limit may allow fewer.
const STREAMS: usize = 50_000;

/// Files that a server keeps from its clients for the upstream and the rest, and then some.
const OTHER_FILES: usize = 2_000;

/// Streams of a user.
const EACH: usize = 95;

/// Streams from one loopback address. A port of it serves one connection to the server.
const FROM_ONE: usize = 20_000;

/// Time within which all come back after a restart, each at a moment of its own.
const COMING_BACK: Duration = Duration::from_secs(10);

const WEBHOOK: &str = "what only the upstream was told";

/// Session of a user, by which its stream is opened.
#[derive(Clone)]
struct Session {
    token: Arc<str>,
    id: String,
}

/// Counts what has come on all streams.
#[derive(Default)]
struct Told {
    count: AtomicUsize,
    one_more: Notify,
}

impl Told {
    async fn wait_for(&self, count: usize) {
        while self.count.load(Ordering::Relaxed) < count {
            self.one_more.notified().await;
        }
    }
}

/// Measures them, and prints what it finds.
pub async fn streams() {
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1024);
    let count = STREAMS.min(usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(OTHER_FILES)) / EACH * EACH;
    println!("{count} streams of {} users ({STREAMS} wanted; {limit} files are allowed)", count / EACH);
    let (upstream, _catalog) = upstream(20);
    let folder = Folder::new();
    let settings = [
        ("MCP__MEMBRANE__BASE_URL", upstream.upstream.as_str()),
        ("MCP__STORE__PATH", folder.as_str()),
        ("MCP__WEBHOOKS__SECRET", WEBHOOK),
        // It keeps files for each of them.
        ("MCP__TUNING__MAX_CALLS_PER_WORKER", "64"),
        ("MCP__TUNING__MAX_READS", "64"),
        ("MCP__CATALOG__FRESH_S", "3600"),
        ("MCP__LOG__FILTER", "warn,integration_app_mcp_server=info"),
    ];
    let server = Process::start(&[], &settings);
    let http = Client::new();
    let opened = (0..count).map(async |i| {
        let caller = Caller { http: http.clone(), token: token(&format!("user-{}", i / EACH)) };
        let id = caller.open(&server, "").await;
        if i % EACH == 0 {
            caller.repeat(std::slice::from_ref(&server), 1, &id, "tools/list", &json!({})).await;
        }
        Session { token: caller.token.into(), id }
    });
    let sessions: Vec<_> = stream::iter(opened).buffered(AT_ONCE).collect().await;
    let (idle, kernel) = (server.memory(), kernel_memory());

    let told = Arc::new(Told::default());
    let start = Instant::now();
    let open = sessions.iter().enumerate().map(|(i, session)| listen(&server, i, session.clone(), &told));
    let streams: Vec<_> = stream::iter(open).buffered(AT_ONCE).filter_map(async |stream| stream).collect().await;
    assert_eq!(streams.len(), count, "all are open");
    let each = |after: u64, before: u64| after.saturating_sub(before) / count as u64;
    println!("  opened in {:.1} s", start.elapsed().as_secs_f64());
    println!(
        "  each: {} bytes of the server's memory, {} bytes of the kernel's for both ends",
        each(server.memory(), idle),
        each(kernel_memory(), kernel)
    );
    let before = server.processor();
    sleep(Duration::from_secs(60)).await;
    println!("  a minute of comments that keep them open: {} ms of a processor", (server.processor() - before) / 1000);

    let (before, start) = (server.processor(), Instant::now());
    let change = (0..count / EACH).map(|user| change(&http, &server, &upstream, format!("user-{user}")));
    stream::iter(change).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await;
    told.wait_for(count).await;
    println!(
        "  all are told of a change in {:.2} s, {} µs of a processor each",
        start.elapsed().as_secs_f64(),
        each(server.processor(), before)
    );

    drop(streams);
    let port = server.url.rsplit(':').next().unwrap().to_owned();
    drop(server);
    let server = Process::start(&[], &[&settings[..], &[("PORT", &port)]].concat());
    let start = Instant::now();
    let every = COMING_BACK / u32::try_from(count).unwrap();
    let refused = AtomicUsize::new(0);
    let back = sessions.iter().enumerate().map(|(i, session)| {
        let (server, told, refused) = (&server, &told, &refused);
        async move {
            sleep(every * u32::try_from(i).unwrap()).await;
            loop {
                match listen(server, i, session.clone(), told).await {
                    Some(stream) => return stream,
                    None => refused.fetch_add(1, Ordering::Relaxed),
                };
                sleep(Duration::from_secs(1)).await;
            }
        }
    });
    let streams: Vec<_> = stream::iter(back).buffer_unordered(count).collect().await;
    println!(
        "  all come back after a restart, within {} s: the last is open after {:.1} s, {} attempts were refused, {} µs of a processor each",
        COMING_BACK.as_secs(),
        start.elapsed().as_secs_f64(),
        refused.load(Ordering::Relaxed),
        server.processor() / count as u64
    );
    println!("  memory then: {} MB", server.memory() / 1_000_000);
    drop(streams);
}

/// A stream on which a client listens. Dropped, it is closed.
struct Listening(tokio::task::JoinHandle<()>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Opens the stream of a session, by as little of a client as will do. None where the server does not let it in.
async fn listen(server: &Process, number: usize, session: Session, told: &Arc<Told>) -> Option<Listening> {
    let address: SocketAddr = server.url.strip_prefix("http://").unwrap().parse().unwrap();
    let from = Ipv4Addr::new(127, 0, 0, u8::try_from(2 + number / FROM_ONE).unwrap());
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    let mut stream = socket.connect(address).await.ok()?;
    let Session { token, id } = session;
    let head = format!(
        "GET /mcp HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\nmcp-session-id: {id}\r\n\
         mcp-protocol-version: 2025-11-25\r\naccept: text/event-stream\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    let mut text = Vec::new();
    // The first event follows the head.
    while !contains(&text, b"id: ") {
        if stream.read_buf(&mut text).await.ok()? == 0 || (text.len() > 12 && !text.starts_with(b"HTTP/1.1 200")) {
            return None;
        }
    }
    Some(Listening(tokio::spawn(hear(stream, Arc::clone(told)))))
}

/// Counts the changes that are told on a stream.
async fn hear(mut stream: TcpStream, told: Arc<Told>) {
    let mut buffer = [0; 1024];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        if contains(&buffer[..read], b"list_changed") {
            told.count.fetch_add(1, Ordering::Relaxed);
            told.one_more.notify_one();
        }
    }
}

fn contains(text: &[u8], what: &[u8]) -> bool {
    text.windows(what.len()).any(|part| part == what)
}

/// Takes a user's only app away, and tells the server so as Membrane does.
async fn change(http: &Client, server: &Process, upstream: &Process, user: String) {
    let connection = format!("{}/connections/app", upstream.upstream);
    let gone = http.delete(connection).bearer_auth(token(&user)).send().await.unwrap();
    assert!(gone.status().is_success(), "{}", gone.status());
    let body = json!({"eventType": "connection.deleted", "data": {"connection": {"customerId": user}}});
    let webhook = http.post(format!("{}/webhooks/membrane", server.url)).bearer_auth(WEBHOOK).json(&body);
    assert!(webhook.send().await.unwrap().status().is_success());
}

/// Memory of the kernel for TCP, in bytes.
fn kernel_memory() -> u64 {
    let told = std::fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    let pages =
        told.lines().find_map(|line| line.strip_prefix("TCP: ")?.rsplit_once("mem ")?.1.trim().parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

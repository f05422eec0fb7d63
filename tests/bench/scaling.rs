//! What sessions, tools, users and servers cost: processor time and memory of servers and of Redis, as `docs/scaling.md` tells
//! them. Processor time is counted by the system, so that it matters little what else the machine does. Asserts nothing.
//!
//! ```text
//! cargo bench --bench scaling                 # all of it
//! cargo bench --bench scaling -- streams      # streams that clients listen on alone
//! cargo bench --bench scaling -- refreshes    # requests to the upstream alone, as docs/upstream.md tells them
//! ```

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what goes wrong ends the run"
)]
#![expect(clippy::cast_precision_loss, reason = "numbers for people")]

#[path = "../api/files.rs"]
#[expect(dead_code, reason = "tests use the rest")]
mod files;
mod process;
#[path = "../api/redis.rs"]
#[expect(dead_code, reason = "tests use the rest")]
mod redis;
mod refreshes;
mod streams;

use std::{
    io::{BufRead, Write},
    process::ExitCode,
};

use files::{Folder, app};
use futures_util::{StreamExt, stream};
use process::{Process, token};
use redis::Redis;
use reqwest::{Client, Response};
use serde_json::{Value, json};

/// Requests in flight.
const AT_ONCE: usize = 16;
/// Requests of each kind.
const REQUESTS: usize = 10_000;
/// Sessions that are opened.
const SESSIONS: usize = 5_000;
const USERS: usize = 500;

fn main() -> ExitCode {
    // `cargo test --all-targets` comes by, too.
    if std::env::args().any(|argument| argument == "--bench") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let is_alone = |part: &str| std::env::args().any(|argument| argument == part);
        runtime.block_on(async {
            if is_alone("streams") {
                return streams::streams().await;
            }
            if is_alone("refreshes") {
                return refreshes::refreshes().await;
            }
            by_store().await;
            by_tools().await;
            by_users().await;
            streams::streams().await;
            refreshes::refreshes().await;
        });
    }
    ExitCode::SUCCESS
}

/// An upstream with one app of so many actions, for all users.
fn upstream(actions: usize) -> (Process, Folder) {
    let folder = Folder::new().with("app.json", &app("app", actions));
    let process = Process::start(&["--sandbox"], &[("MCP__SANDBOX__CATALOG", folder.as_str())]);
    (process, folder)
}

/// A user's client.
struct Caller {
    http: Client,
    token: String,
}

impl Caller {
    fn new(user: &str) -> Self {
        Self { http: Client::new(), token: token(user) }
    }

    async fn ask(&self, server: &Process, query: &str, session: Option<&str>, method: &str, params: Value) -> Response {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let request = self.http.post(format!("{}/mcp{query}", server.url)).bearer_auth(&self.token);
        let request = request.header("accept", "application/json, text/event-stream").json(&body);
        let request = session.into_iter().fold(request, |request, session| request.header("mcp-session-id", session));
        let response = request.send().await.unwrap();
        assert!(response.status().is_success(), "{method}: {}", response.status());
        response
    }

    async fn open(&self, server: &Process, query: &str) -> String {
        let params =
            json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "b", "version": "1"}});
        let response = self.ask(server, query, None, "initialize", params).await;
        response.headers().get("mcp-session-id").and_then(|id| id.to_str().ok()).expect("a session").to_owned()
    }

    /// Asks the servers by turns, and gives the bytes of an answer.
    async fn repeat(&self, servers: &[Process], count: usize, session: &str, method: &str, params: &Value) -> usize {
        let asked = (0..count).zip(servers.iter().cycle()).map(async |(_, server)| {
            self.ask(server, "", Some(session), method, params.clone()).await.bytes().await.unwrap().len()
        });
        stream::iter(asked).buffer_unordered(AT_ONCE).fold(0, async |_, bytes| bytes).await
    }
}

fn sum(servers: &[Process], what: impl Fn(&Process) -> u64) -> u64 {
    servers.iter().map(what).sum()
}

/// A number that Redis tells of itself; seconds as microseconds.
fn info(redis: Option<&Redis>, name: &str) -> u64 {
    let Some(redis) = redis else { return 0 };
    let mut told = redis.connect().expect("Redis answers");
    told.get_mut().write_all(b"INFO\r\n").unwrap();
    let wanted = format!("{name}:");
    let value = told.lines().map_while(Result::ok).find_map(|line| line.strip_prefix(&wanted).map(str::to_owned));
    let value = value.expect("it is told");
    let (whole, part) = value.split_once('.').unwrap_or((&value, ""));
    let whole: u64 = whole.parse().unwrap();
    if part.is_empty() { whole } else { whole * 1_000_000 + part.parse::<u64>().unwrap() }
}

/// Runs something, and prints what each of `count` took of the servers and of Redis.
async fn cost(what: &str, count: usize, servers: &[Process], redis: Option<&Redis>, run: impl Future<Output = usize>) {
    let processor = || (sum(servers, Process::processor), info(redis, "used_cpu_user") + info(redis, "used_cpu_sys"));
    let ((before, redis_before), commands) = (processor(), info(redis, "total_commands_processed"));
    let bytes = run.await;
    let ((after, redis_after), commands) = (processor(), info(redis, "total_commands_processed") - commands);
    let each = |total: u64| total as f64 / count as f64;
    println!(
        "  {what:<34} {:>6.0} µs  Redis {:>4.0} µs, {:>4.1} commands  {bytes:>8} bytes",
        each(after - before),
        each(redis_after - redis_before),
        each(commands)
    );
}

async fn by_store() {
    let (upstream, _folder) = upstream(20);
    for (name, count, is_shared) in [("file", 1, false), ("Redis", 1, true), ("Redis", 2, true)] {
        let (redis, folder) = (is_shared.then(|| Redis::start_unwatched(None)), Folder::new());
        let url = redis.as_ref().map(Redis::url).unwrap_or_default();
        let settings = [
            ("MCP__MEMBRANE__BASE_URL", upstream.upstream.as_str()),
            ("MCP__STORE__URL", &url),
            ("MCP__STORE__PATH", folder.as_str()),
            ("MCP__MEMBRANE__PER_USER_CALLS_PER_S", "1000000"),
            ("MCP__LOG__FILTER", "warn,integration_app_mcp_server=info"),
        ];
        let servers: Vec<_> = (0..count).map(|_| Process::start(&[], &settings)).collect();
        let (servers, redis) = (&servers[..], redis.as_ref());
        let caller = Caller::new("ann");
        println!("{count} with {name}, 20 tools: processor time of each request");
        let fixed = caller.open(&servers[0], "").await;
        let dynamic = caller.open(&servers[0], "?mode=dynamic").await;
        let (none, names) = (json!({}), ["app_do-0", "app_do-1"]);
        let enable = json!({"name": "enable-tools", "arguments": {"tools": names}});
        // What is loaded once is loaded before.
        for session in [&fixed, &dynamic] {
            caller.repeat(servers, 200, session, "tools/list", &none).await;
        }
        let run = |session, method, params| caller.repeat(servers, REQUESTS, session, method, params);
        cost("ping", REQUESTS, servers, redis, run(&fixed, "ping", &none)).await;
        cost("tools/list, static", REQUESTS, servers, redis, run(&fixed, "tools/list", &none)).await;
        cost("enable-tools", REQUESTS, servers, redis, run(&dynamic, "tools/call", &enable)).await;
        cost("tools/list, dynamic, 2 enabled", REQUESTS, servers, redis, run(&dynamic, "tools/list", &none)).await;
        let call = json!({"name": "app_do-0", "arguments": {}});
        cost("tools/call", REQUESTS, servers, redis, run(&fixed, "tools/call", &call)).await;

        let (memory, kept) = (sum(servers, Process::memory), info(redis, "used_memory"));
        let open = async {
            let opened = (0..SESSIONS).zip(servers.iter().cycle()).map(async |(_, server)| {
                caller.open(server, "?mode=dynamic").await;
            });
            stream::iter(opened).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await.len()
        };
        cost("initialize", SESSIONS, servers, redis, open).await;
        let each = |before: u64, after: u64| after.saturating_sub(before) / SESSIONS as u64;
        println!(
            "  each session: {} bytes in memory, {} bytes in Redis",
            each(memory, sum(servers, Process::memory)),
            each(kept, info(redis, "used_memory"))
        );
    }
}

async fn by_tools() {
    println!("one server, by the number of tools");
    for tools in [10, 100, 1_000, 5_000] {
        let (upstream, _folder) = upstream(tools);
        let settings = [
            ("MCP__MEMBRANE__BASE_URL", upstream.upstream.as_str()),
            ("MCP__LOG__FILTER", "warn,integration_app_mcp_server=info"),
        ];
        let servers = [Process::start(&[], &settings)];
        let caller = Caller::new("ann");
        let session = caller.open(&servers[0], "").await;
        let count = (200_000 / tools).clamp(200, REQUESTS);
        caller.repeat(&servers, 10, &session, "tools/list", &json!({})).await;
        let none = json!({});
        let run = caller.repeat(&servers, count, &session, "tools/list", &none);
        cost(&format!("tools/list of {tools}"), count, &servers, None, run).await;
    }
}

async fn by_users() {
    println!("one server, by the number of users");
    for tools in [20, 100] {
        let (upstream, _folder) = upstream(tools);
        let settings = [
            ("MCP__MEMBRANE__BASE_URL", upstream.upstream.as_str()),
            ("MCP__LOG__FILTER", "warn,integration_app_mcp_server=info"),
        ];
        let servers = [Process::start(&[], &settings)];
        let http = Client::new();
        let list = async |user: String| {
            let caller = Caller { http: http.clone(), token: token(&user) };
            let session = caller.open(&servers[0], "").await;
            caller.repeat(&servers, 1, &session, "tools/list", &json!({})).await
        };
        for i in 0..50 {
            list(format!("early-{i}")).await;
        }
        let before = servers[0].memory();
        let all = async {
            let lists = (0..USERS).map(|i| list(format!("user-{i}")));
            stream::iter(lists).buffer_unordered(AT_ONCE).fold(0, async |_, bytes| bytes).await
        };
        cost(&format!("first list of a user, {tools} tools"), USERS, &servers, None, all).await;
        let each = servers[0].memory().saturating_sub(before) / USERS as u64;
        println!("  each user with {tools} tools and a session: {each} bytes in memory");
    }
}

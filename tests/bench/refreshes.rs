//! Requests to the upstream: those of users who are active for an hour, and those of all users who come back after a restart.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, future::join_all, stream};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::time::{sleep, sleep_until};

use crate::{
    AT_ONCE, Caller,
    files::{Folder, app},
    process::{Process, SECRET, token},
};

/// Users who are active, of one workspace, and apps of each.
const ACTIVE: usize = 1_000;
const APPS: usize = 20;

/// Minutes that are measured, of each of which a second is made.
const MINUTES: u64 = 20;

/// Users who come back after a restart, and the time in which they do.
const LIVE: usize = 2_000;
const COMING_BACK: Duration = Duration::from_secs(10);

/// Requests that the upstream has got, by path.
type Requests = BTreeMap<String, u64>;

/// Measures them, and prints what it finds.
pub async fn refreshes() {
    println!("requests to the upstream of {ACTIVE} active users of a workspace with {APPS} apps, in an hour");
    println!(
        "  a second stands for a minute in all settings and in the upstream's latency; {MINUTES} minutes are measured"
    );
    for (every, shared, is_signed) in
        [(1, "auto", true), (1, "auto", false), (10, "auto", true), (10, "auto", false), (10, "off", true)]
    {
        active(every, shared, is_signed).await;
    }
    for is_signed in [true, false] {
        after_a_restart(is_signed).await;
    }
}

fn catalog() -> Folder {
    let with_app = |folder: Folder, i| folder.with(&format!("{i}.json"), &app(&format!("app-{i}"), 3));
    (0..APPS).fold(Folder::new(), with_app)
}

/// A server that knows the secret of the workspace, or asks the upstream about tokens.
fn server(upstream: &str, is_signed: bool, settings: &[(&str, &str)]) -> Process {
    let (key, secret) = if is_signed { ("sandbox", SECRET) } else { ("", "") };
    let own = [
        ("MCP__MEMBRANE__BASE_URL", upstream),
        ("MCP__AUTH__WORKSPACE_KEY", key),
        ("MCP__AUTH__WORKSPACE_SECRET", secret),
        ("MCP__OAUTH__ENABLED", "false"),
        ("MCP__LOG__FILTER", "warn,integration_app_mcp_server=info"),
    ];
    Process::start(&[], &[&own[..], settings].concat())
}

/// Has users list their tools every so many minutes.
async fn active(every: u64, shared: &str, is_signed: bool) {
    let catalog = catalog();
    let settings = [("MCP__SANDBOX__CATALOG", catalog.as_str()), ("MCP__TUNING__SANDBOX_LATENCY_MS", "2")];
    let upstream = Process::start(&["--sandbox"], &settings);
    // A minute, ten minutes and five minutes, as by default.
    let settings = [
        ("MCP__CATALOG__FRESH_S", "1"),
        ("MCP__TUNING__CATALOG_STALE_S", "10"),
        ("MCP__AUTH__TRUST_S", "5"),
        ("MCP__CATALOG__SHARED", shared),
    ];
    let server = server(&upstream.upstream, is_signed, &settings);
    let sessions = open_all(&server, ACTIVE).await;
    let (before, start) = (stats(&upstream).await, Instant::now());
    let end = start + Duration::from_secs(MINUTES);
    let every_s = Duration::from_secs(every);
    let ask = sessions.iter().enumerate().map(|(i, (caller, session))| {
        let server = &server;
        async move {
            // Spread over the time, as people are.
            let mut next = start + every_s.mul_f64(i as f64 / ACTIVE as f64);
            let mut asked = 0_u64;
            while next < end {
                sleep_until(next.into()).await;
                caller.ask(server, "", Some(session), "tools/list", json!({})).await.bytes().await.unwrap();
                (asked, next) = (asked + 1, (next + every_s).max(Instant::now()));
            }
            asked
        }
    });
    let asked: u64 = join_all(ask).await.iter().sum();
    let after = stats(&upstream).await;
    let an_hour = |count: u64| count * 60 / MINUTES;
    let requests = |path: &str| an_hour(count(&after, path) - count(&before, path));
    println!(
        "  a list every {every} min, catalog.shared {shared}, tokens known by {}: {} lists; {} /connections, {} /actions, {} /self",
        if is_signed { "signature" } else { "asking" },
        an_hour(asked),
        requests("GET /connections"),
        requests("GET /actions"),
        requests("GET /self"),
    );
}

/// Has all users come back to a server that was started anew and has kept their tools.
async fn after_a_restart(is_signed: bool) {
    let (catalog, folder) = (catalog(), Folder::new());
    let sandbox = |port: &str| {
        let settings = [
            ("MCP__SANDBOX__CATALOG", catalog.as_str()),
            ("MCP__TUNING__SANDBOX_LATENCY_MS", "100"),
            ("MCP__SANDBOX__PORT", port),
        ];
        Process::start(&["--sandbox"], &settings)
    };
    let first = sandbox("0");
    let (url, port) = (first.upstream.clone(), first.upstream.rsplit(':').next().unwrap().to_owned());
    let settings = [("MCP__STORE__PATH", folder.as_str()), ("MCP__CATALOG__FRESH_S", "3600")];
    let before = server(&url, is_signed, &settings);
    let sessions = open_all(&before, LIVE).await;
    // What is kept is written behind.
    sleep(Duration::from_secs(5)).await;
    drop((before, first));

    // At the same address, as Membrane would be; it has counted nothing yet.
    let upstream = sandbox(&port);
    let server = server(&url, is_signed, &settings);
    let start = Instant::now();
    let back = sessions.iter().enumerate().map(|(i, (caller, session))| {
        let server = &server;
        async move {
            sleep(COMING_BACK.mul_f64(i as f64 / LIVE as f64)).await;
            let asked = Instant::now();
            caller.ask(server, "", Some(session), "tools/list", json!({})).await.bytes().await.unwrap();
            asked.elapsed()
        }
    });
    let mut waited = join_all(back).await;
    waited.sort_unstable();
    let is_over = async || {
        let stats = told(&upstream).await;
        (stats["inFlight"].as_u64() <= Some(1) && count(&requests(&stats), "GET /connections") >= LIVE as u64)
            .then_some(stats)
    };
    let stats = loop {
        match is_over().await {
            Some(stats) => break stats,
            None if start.elapsed() > Duration::from_secs(300) => break told(&upstream).await,
            None => sleep(Duration::from_millis(100)).await,
        }
    };
    let of = |path: &str| count(&requests(&stats), path);
    println!(
        "{LIVE} users who list within {} s after a restart, upstream of 100 ms, tokens known by {}",
        COMING_BACK.as_secs(),
        if is_signed { "signature" } else { "asking" }
    );
    println!(
        "  {} /connections, {} /actions, {} /self, at most {} at once, the last after {:.0} s; lists took {:.0} ms (median), {:.0} ms (99 %)",
        of("GET /connections"),
        of("GET /actions"),
        of("GET /self"),
        stats["maxInFlight"],
        start.elapsed().as_secs_f64(),
        waited[LIVE / 2].as_secs_f64() * 1e3,
        waited[LIVE * 99 / 100].as_secs_f64() * 1e3,
    );
}

/// Opens a session for each of so many users, and lists its tools.
async fn open_all(server: &Process, count: usize) -> Vec<(Caller, String)> {
    let http = Client::new();
    let open = (0..count).map(async |i| {
        let caller = Caller { http: http.clone(), token: token(&format!("user-{i}")) };
        let session = caller.open(server, "").await;
        caller.ask(server, "", Some(&session), "tools/list", json!({})).await.bytes().await.unwrap();
        (caller, session)
    });
    stream::iter(open).buffered(AT_ONCE).collect().await
}

/// Counts of the sandbox, this request included.
async fn told(upstream: &Process) -> Value {
    let request = Client::new().get(format!("{}/sandbox/stats", upstream.upstream)).bearer_auth(token("tester"));
    serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap()
}

async fn stats(upstream: &Process) -> Requests {
    requests(&told(upstream).await)
}

fn requests(stats: &Value) -> Requests {
    serde_json::from_value(stats["requests"].clone()).unwrap()
}

fn count(requests: &Requests, path: &str) -> u64 {
    requests.get(path).copied().unwrap_or(0)
}

//! An answer of 30 MB that is shortened: what it costs, and how long it keeps other requests of the server waiting.
//!
//! ```text
//! cargo bench --bench outputs
//! ```

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what goes wrong ends the run, and numbers are small"
)]

mod process;

use std::{
    hint::black_box,
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use integration_app_mcp_server::tools::output::{Asked, Limit, NotePlace, govern};
use process::{Process, token};
use reqwest::Client;
use serde_json::{Value, json};

/// Bytes of the answer: the most that Membrane sends.
const BYTES: usize = 29 << 20;

/// Answers that are shortened while others ask.
const ANSWERS: usize = 20;

/// Times that the shortening alone is measured. The least counts: other processes share the processor.
const RUNS: usize = 5;

fn main() -> ExitCode {
    // `cargo test --all-targets` comes by, too.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    measure_shortening();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(measure_waiting());
    ExitCode::SUCCESS
}

/// Records as a CRM has them.
fn output() -> String {
    let record = |n: usize| {
        json!({"id": format!("00Q{n:08}"), "name": format!("Contact {n}"), "email": format!("contact{n}@example.com"),
               "notes": "Spoke on the phone; wants an offer by Friday. ".repeat(3), "score": n % 100, "tags": ["a", "b"], "owner": null})
    };
    let mut json = String::from("{\"records\":[");
    let mut number = 0;
    while json.len() < BYTES {
        if number > 0 {
            json.push(',');
        }
        json.push_str(&record(number).to_string());
        number += 1;
    }
    json.push_str("],\"cursor\":\"next\"}");
    json
}

fn measure_shortening() {
    let output = output();
    let least = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            let cut =
                govern(black_box(&output), &Asked::default(), Limit::from_tokens(20_000), None, NotePlace::Within);
            assert!(cut.json.len() <= 70_000);
            start.elapsed()
        })
        .min();
    println!("an answer of {} MB is shortened in {:.0} ms", output.len() >> 20, milliseconds(least.unwrap()));
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A server with one worker, and a client of it.
struct Server {
    process: Process,
    token: String,
    http: Client,
}

impl Server {
    fn start(upstream: &str) -> Self {
        let settings =
            [("MCP__SERVER__WORKERS", "1"), ("MCP__STREAMS__AFTER_MS", "60000"), ("MCP__MEMBRANE__BASE_URL", upstream)];
        Self { process: Process::start(&[], &settings), token: token("outputs"), http: Client::new() }
    }

    async fn ask(&self, method: &str, params: Value) -> Value {
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let mut params = params;
        params["_meta"] = meta;
        let request = self.http.post(format!("{}/mcp", self.process.url)).bearer_auth(&self.token);
        let mut request = request
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", method);
        if let Some(name) = params["name"].as_str() {
            request = request.header("mcp-name", name);
        }
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let answer = request.json(&body).send().await.unwrap();
        let text = answer.text().await.unwrap();
        serde_json::from_str(&text).unwrap_or_else(|_| json!({"text": text}))
    }

    async fn call(&self) {
        let answer = self.ask("tools/call", json!({"name": "gmail_list-emails", "arguments": {}})).await;
        let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_default();
        assert!(text.contains("_shortened"), "{}", answer.to_string().chars().take(300).collect::<String>());
    }

    /// Asks again and again until told to end; gives how long each answer took.
    async fn ask_on(&self, is_over: &AtomicBool) -> Vec<f64> {
        let mut times = Vec::new();
        while !is_over.load(Ordering::Relaxed) {
            let start = Instant::now();
            self.ask("ping", json!({})).await;
            times.push(milliseconds(start.elapsed()));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        times.sort_by(f64::total_cmp);
        times
    }
}

async fn measure_waiting() {
    let sandbox = Process::start(&["--sandbox"], &[]);
    let server = Server::start(&sandbox.upstream);
    server.ask("tools/list", json!({})).await;
    let faults =
        json!([{"path": "/action-instance/run", "status": 200, "text": format!("{{\"output\":{}}}", output())}]);
    let set =
        server.http.put(format!("{}/sandbox/faults", server.process.upstream)).bearer_auth(&server.token).json(&faults);
    assert!(set.send().await.unwrap().status().is_success());
    let over = AtomicBool::new(false);
    let quiet = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        over.store(true, Ordering::Relaxed);
    };
    let (alone, ()) = tokio::join!(server.ask_on(&over), quiet);
    let before = server.process.memory();
    over.store(false, Ordering::Relaxed);
    let busy = async {
        for _ in 0..ANSWERS {
            server.call().await;
        }
        over.store(true, Ordering::Relaxed);
    };
    let (beside, ()) = tokio::join!(server.ask_on(&over), busy);
    let at = |times: &[f64], share: f64| times[((times.len() - 1) as f64 * share) as usize];
    for (what, times) in [("alone", &alone), ("beside", &beside)] {
        println!(
            "other requests {what}: median {:.1} ms, p99 {:.1} ms, most {:.1} ms of {}",
            at(times, 0.5),
            at(times, 0.99),
            at(times, 1.0),
            times.len()
        );
    }
    println!("memory: {} MB before, {} MB at most", before >> 20, server.process.peak_memory() >> 20);
}

//! Cost of large requests for the others of a server with one worker.

#![expect(
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "there is a time at each place, and numbers are small"
)]

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use reqwest::Client;
use serde_json::{Value, json};

use super::process::{Process, token};

/// Time for which the others are alone, to compare with.
pub const QUIET: Duration = Duration::from_secs(3);

/// The server, and a client of it.
pub struct Server {
    process: Process,
    token: String,
    http: Client,
}

/// A request, written beforehand: what its client does with a large one would keep the others of this process waiting.
pub struct Message {
    method: &'static str,
    tool: Option<&'static str>,
    body: Bytes,
}

impl Message {
    fn new(method: &'static str, tool: Option<&'static str>, params: &str) -> Self {
        let meta = r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{"_meta":{meta}{params}}}}}"#);
        Self { method, tool, body: body.into() }
    }

    /// A call with arguments, which are JSON.
    pub fn call(tool: &'static str, arguments: &str) -> Self {
        Self::new("tools/call", Some(tool), &format!(r#","name":"{tool}","arguments":{arguments}"#))
    }
}

/// How long the answers of other requests took, the shortest first, in milliseconds.
pub struct Times(Vec<f64>);

/// Measurement beside large requests. Memory is resident, in bytes.
pub struct Cost {
    pub alone: Times,
    pub beside: Times,
    pub before: u64,
    pub peak: u64,
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |share: f64| self.0[((self.0.len() - 1) as f64 * share) as usize];
        let (median, p99, most) = (at(0.5), at(0.99), at(1.0));
        write!(f, "median {median:.1} ms, p99 {p99:.1} ms, most {most:.1} ms of {}", self.0.len())
    }
}

impl Server {
    /// Starts a server of an upstream, which has the user's tools loaded.
    pub async fn start(upstream: &str) -> Self {
        let settings = [
            ("MCP__SERVER__WORKERS", "1"),
            ("MCP__TUNING__STREAM_AFTER_MS", "60000"),
            ("MCP__MEMBRANE__BASE_URL", upstream),
        ];
        let server = Self { process: Process::start(&[], &settings), token: token("beside"), http: Client::new() };
        server.send(&Message::new("tools/list", None, "")).await;
        server
    }

    /// Makes the sandbox answer all runs with this output.
    pub async fn answer_runs_with(&self, output: &str) {
        let text = format!("{{\"output\":{output}}}");
        let faults = json!([{"path": "/action-instance/run", "status": 200, "text": text}]);
        let set = self.http.put(format!("{}/sandbox/faults", self.process.upstream)).bearer_auth(&self.token);
        assert!(set.json(&faults).send().await.unwrap().status().is_success());
    }

    pub async fn send(&self, Message { method, tool, body }: &Message) -> Value {
        let request = self.http.post(format!("{}/mcp", self.process.url)).bearer_auth(&self.token);
        let mut request = request
            .header("accept", "application/json, text/event-stream")
            .header("content-type", "application/json")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", *method);
        if let Some(tool) = tool {
            request = request.header("mcp-name", *tool);
        }
        let text = request.body(body.clone()).send().await.unwrap().text().await.unwrap();
        serde_json::from_str(&text).unwrap_or_else(|_| json!({"text": text}))
    }

    /// Pings again and again until told to end.
    async fn ping_on(&self, is_over: &AtomicBool) -> Times {
        let (mut times, ping) = (Vec::new(), Message::new("ping", None, ""));
        while !is_over.load(Ordering::Relaxed) {
            let start = Instant::now();
            self.send(&ping).await;
            times.push(start.elapsed().as_secs_f64() * 1e3);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        times.sort_by(f64::total_cmp);
        Times(times)
    }

    /// Makes so many large requests, one after the other.
    pub async fn beside(&self, count: usize, request: impl AsyncFn()) -> Cost {
        let is_over = AtomicBool::new(false);
        let quiet = async {
            tokio::time::sleep(QUIET).await;
            is_over.store(true, Ordering::Relaxed);
        };
        let (alone, ()) = tokio::join!(self.ping_on(&is_over), quiet);
        let before = self.process.memory();
        is_over.store(false, Ordering::Relaxed);
        let busy = async {
            for _ in 0..count {
                request().await;
            }
            is_over.store(true, Ordering::Relaxed);
        };
        let (beside, ()) = tokio::join!(self.ping_on(&is_over), busy);
        Cost { alone, beside, before, peak: self.process.peak_memory() }
    }
}

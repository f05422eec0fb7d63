//! The server of a benchmark as a process of its own, and tokens for its sandbox.

#![allow(dead_code, reason = "each benchmark uses a part")]

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;

/// Key of the sandbox.
pub const SECRET: &str = "the key of the bench's sandbox";

/// Returns a token of a user that is good for hours. Unlike those that the sandbox mints itself, it lets its faults be seen.
pub fn token(user: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({"id": user, "name": user, "iss": "sandbox", "exp": now + 36_000});
    integration_app_mcp_server::signing::install();
    encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

/// The binary at work. Dropped, it is killed.
pub struct Process {
    child: Child,
    pub url: String,
    /// Membrane's API, or the sandbox's.
    pub upstream: String,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// Starts it on free ports, with sessions in memory unless `settings` say otherwise.
    pub fn start(arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_integration-app-mcp-server"))
            .args(arguments)
            .env_clear()
            .envs([
                ("PORT", "0"),
                ("MCP__ADMIN__PORT", "0"),
                ("MCP__STORE__PATH", ""),
                ("MCP__SANDBOX__SECRET", SECRET),
            ])
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let found = log.find_map(|line| {
            let (_, rest) = line.split_once("listening on ")?;
            let (_, upstream) = rest.split_once("upstream=")?;
            Some((rest.split(' ').next()?.to_owned(), upstream.split(' ').next()?.to_owned()))
        });
        // Nobody reads on; what is written must not wait for that.
        std::thread::spawn(move || log.for_each(drop));
        let (url, upstream) = found.expect("an address");
        Self { child, url, upstream }
    }

    /// Resident memory, in bytes.
    pub fn memory(&self) -> u64 {
        self.bytes("VmRSS:")
    }

    /// The most memory that was ever resident, in bytes.
    pub fn peak_memory(&self) -> u64 {
        self.bytes("VmHWM:")
    }

    fn bytes(&self, what: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap_or_default();
        line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
    }

    /// Processor time used so far, in microseconds.
    pub fn processor(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it runs");
        // The name of the program, which comes before, is in parentheses.
        let (_, rest) = stat.rsplit_once(')').expect("a name");
        let ticks: u64 = rest.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        // Linux counts hundredths of a second here, whatever its clock does.
        ticks * 10_000
    }
}

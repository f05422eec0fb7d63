//! An answer of 30 MB that is shortened: what it costs, and how long it keeps other requests of the server waiting.
//!
//! ```text
//! cargo bench --bench outputs
//! ```

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "what goes wrong ends the run")]

mod beside;
mod process;

use std::{hint::black_box, process::ExitCode, time::Instant};

use beside::{Message, Server};

use integration_app_mcp_server::tools::output::{Asked, Limit, NotePlace, govern};
use process::Process;
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
    println!("an answer of {} MB is shortened in {} ms", output.len() >> 20, least.unwrap().as_millis());
}

async fn measure_waiting() {
    let sandbox = Process::start(&["--sandbox"], &[]);
    let server = Server::start(&sandbox.upstream).await;
    server.answer_runs_with(&output()).await;
    let message = Message::call("gmail_list-emails", "{}");
    let list_emails = async || {
        let answer = server.send(&message).await;
        let text = answer.pointer("/result/content/0/text").and_then(Value::as_str).unwrap_or_default();
        assert!(text.contains("_shortened"), "{}", answer.to_string().chars().take(300).collect::<String>());
    };
    let cost = server.beside(ANSWERS, list_emails).await;
    println!("other requests alone:  {}\nother requests beside: {}", cost.alone, cost.beside);
    println!("memory: {} MB before, {} MB at most", cost.before >> 20, cost.peak >> 20);
}

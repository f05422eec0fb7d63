//! Large and hostile messages, one after the other: what each adds to the server's memory, and how long others wait meanwhile.

#![expect(clippy::cast_precision_loss, reason = "numbers are small")]

use std::{fs, path::Path, time::Instant};

use serde_json::{Value, json};

use super::{
    beside::{self, Message, Server},
    files::Folder,
    hostile,
    process::Process,
};

/// Bytes of all messages of a kind, and how many small ones there are.
const ALL_BYTES: usize = 320 << 20;
const MOST: usize = 500;

/// A kind of message.
struct Flood {
    what: &'static str,
    tool: &'static str,
    arguments: String,
    /// Output of each run; the sandbox's own without it.
    output: Option<String>,
}

/// JSON arrays nested so deep around a number, which no schema here allows.
fn nested(depth: usize) -> Value {
    (0..depth).fold(json!(1), |inner, _| json!([inner]))
}

fn floods() -> Vec<Flood> {
    let value = |value: Value| json!({"value": value}).to_string();
    let ones = |bytes: usize| format!("[{}1]", "1,".repeat(bytes / 2));
    // The most that a request and Membrane's answer may have, but for what is around it.
    let (request, answer) = ((10 << 20) - 4096, (32 << 20) - 4096);
    let email = format!(r#"{{"to":{},"subject":"s","body":"b"}}"#, ones(request));
    let flood = |what, tool, arguments, output| Flood { what, tool, arguments, output };
    vec![
        flood("a schema that doubles 26 times", "hostile_doubling", value(json!("x")), None),
        flood("arrays nested 26 deep, checked against a schema as deep", "hostile_nested", value(nested(26)), None),
        flood("100,000 required names", "hostile_required", "{}".to_owned(), None),
        // The sandbox would give the argument back as the record that it has made.
        flood("an argument of 10 MB of wrong items", "gmail_send-email", email, Some("{\"id\":\"1\"}".to_owned())),
        flood(
            "an output of 32 MB of wrong items",
            "gmail_list-emails",
            "{}".to_owned(),
            Some(format!("{{\"emails\":{}}}", ones(answer))),
        ),
    ]
}

/// Measures each kind at a server of its own.
pub async fn floods_in_turn() {
    let mut catalog = Folder::new().with("hostile.json", &hostile::app().to_string());
    let gmail = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/sandbox/gmail.json");
    catalog = catalog.with("gmail.json", &fs::read_to_string(gmail).unwrap());
    for Flood { what, tool, arguments, output } in floods() {
        let sandbox = Process::start(&["--sandbox"], &[("MCP__SANDBOX__CATALOG", catalog.as_str())]);
        let server = Server::start(&sandbox.upstream).await;
        if let Some(output) = &output {
            server.answer_runs_with(output).await;
        }
        let bytes = arguments.len().max(output.as_ref().map_or(0, String::len));
        let (message, count) = (Message::call(tool, &arguments), (ALL_BYTES / bytes).min(MOST));
        let start = Instant::now();
        let cost = server
            .beside(count, async || {
                let answer = server.send(&message).await;
                let is_there = ["result", "error"].iter().any(|name| answer.get(name).is_some_and(Value::is_object));
                assert!(is_there, "{what}: {answer}");
            })
            .await;
        let (grown, kib) = (cost.peak.saturating_sub(cost.before), bytes >> 10);
        println!(
            "\n{what}: {count} messages of {kib} KiB in {:.1} s",
            start.elapsed().as_secs_f64() - beside::QUIET.as_secs_f64()
        );
        let times = if bytes > 1 << 20 {
            format!(", {:.1} times the message", grown as f64 / bytes as f64)
        } else {
            String::new()
        };
        println!("memory: {} MB before, {} MB more at most{times}", cost.before >> 20, grown >> 20);
        println!("others alone:  {}\nothers beside: {}", cost.alone, cost.beside);
    }
}

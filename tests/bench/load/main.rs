//! How fast the server is, and what it holds, against what the same bytes cost at least. Starts everything itself, and writes
//! what it has measured to `docs/benchmarks.md`.
//!
//! ```text
//! cargo bench --bench load
//! cargo bench --bench load -- --quick            # shorter, and only prints
//! cargo bench --bench load -- --only lists,calls # of lists, calls, sessions, cold, memory, growth; only prints
//! cargo bench --bench load -- --only lists-1000  # lists of one size
//! ```

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_docs_in_private_items,
    reason = "what goes wrong ends the run"
)]

mod bare;
mod field;
mod generator;
mod growth;
mod http;
mod measure;
mod memory;
mod official;
mod plot;
mod process;
mod report;
mod speed;
mod upstream;
mod work;

use std::{path::Path, time::Duration};

use field::Field;
use speed::Plan;

const COMMAND: &str = "cargo bench --bench load";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, role, rest @ ..] = arguments.as_slice()
        && flag == "--role"
    {
        return match role.as_str() {
            "upstream" => upstream::run(rest),
            "bare" => bare::run(rest),
            "official" => official::run(rest),
            unknown => panic!("no such role: {unknown}"),
        };
    }
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    // `cargo test --all-targets` comes by, too.
    if has("--bench") {
        let only = arguments.iter().position(|argument| argument == "--only").and_then(|i| arguments.get(i + 1));
        measure(has("--quick"), only.map(String::as_str));
    }
}

fn measure(is_quick: bool, only: Option<&str>) {
    rlimit::increase_nofile_limit(u64::MAX).expect("open files");
    let (rounds, ttl) = if is_quick { (3, Duration::from_millis(500)) } else { (5, Duration::from_millis(1_500)) };
    let plan = Plan { rounds, ttl };
    let wants = |part: &str| only.is_none_or(|only| only.split(',').any(|wanted| wanted == part));
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let writes = !is_quick && only.is_none();

    let field = Field::start();
    let mut rows = Vec::new();
    rows.extend(speed::lists(&field, plan, |tools| wants("lists") || wants(&format!("lists-{tools}"))));
    if wants("calls") {
        rows.extend(speed::calls(&field, plan));
    }
    if wants("sessions") {
        rows.extend(speed::sessions(&field, plan));
    }
    if wants("cold") {
        rows.extend(speed::cold(&field, plan));
    }
    if wants("memory") {
        rows.extend(memory::memory(&field, plan, is_quick));
    }
    let pictures = if writes { docs.join("benchmarks") } else { std::env::temp_dir().join("mcp-bench-pictures") };
    let growth = if wants("growth") { growth::growth(&field, plan, &pictures) } else { String::new() };

    let circumstances = report::circumstances(COMMAND, rounds, ttl.as_secs_f64());
    let text = format!("{circumstances}\n{}\n### Growth\n{growth}", report::table(&rows));
    if writes {
        report::write(&docs.join("benchmarks.md"), &text);
    } else {
        println!("\n{text}");
    }
}

//! A log that nobody reads.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
};

use crate::support::{binary, reply_to};

/// Requests after which lines must have been lost: at the level `trace`, each is told of in several.
const MAX_REQUESTS: usize = 20_000;

/// A process that is killed when the test ends.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(command: &mut Command) -> Process {
    Process(command.stdout(Stdio::null()).spawn().unwrap())
}

#[tokio::test]
async fn a_log_that_nobody_reads_costs_lines_and_no_service() {
    let mut command = binary();
    command.arg("--sandbox").env("PORT", "0").env("MCP__ADMIN__PORT", "0").env("MCP__STORE__PATH", "");
    let mut process = start(command.env("MCP__LOG__FILTER", "trace"));
    let mut stderr = BufReader::new(process.0.stderr.take().unwrap());
    let mut address_after = |text: &str| {
        let mut line = String::new();
        while stderr.read_line(&mut line).unwrap() > 0 {
            if let Some((_, rest)) = line.split_once(text) {
                return rest.split_whitespace().next().unwrap().to_owned();
            }
            line.clear();
        }
        panic!("{text:?} is not logged");
    };
    let (url, admin) = (address_after("listening on "), address_after("metrics and health on "));

    // From here on nobody reads. A pipe takes 64 KiB.
    let http = reqwest::Client::new();
    let dropped = async || {
        let metrics = reply_to(http.get(format!("{admin}/metrics"))).await.text;
        let line = metrics.lines().find(|line| line.starts_with("mcp_log_lines_dropped_total ")).unwrap().to_owned();
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(dropped().await, 0);
    let mut sent = 0;
    while dropped().await == 0 {
        assert!(sent < MAX_REQUESTS, "no line was lost");
        for _ in 0..100 {
            assert_eq!(reply_to(http.get(&url)).await.status, 200, "request {sent}");
            sent += 1;
        }
    }
    let lost = dropped().await;

    // The reader is back.
    let reading = std::thread::spawn(move || {
        let mut log = Vec::new();
        // To the end of the process.
        let _ = stderr.read_to_end(&mut log);
        String::from_utf8_lossy(&log).into_owned()
    });
    for _ in 0..100 {
        assert_eq!(reply_to(http.get(&url)).await.status, 200);
    }
    assert!(Command::new("kill").args(["-TERM", &process.0.id().to_string()]).status().unwrap().success());
    process.0.wait().unwrap();
    let log = reading.join().unwrap();
    let told: Vec<_> = log.lines().filter(|line| line.contains("lines of this log were lost")).collect();
    let lines: u64 = told.iter().map(|line| line.rsplit_once("lines=").unwrap().1.trim().parse::<u64>().unwrap()).sum();
    assert!(lines >= lost, "{told:?}: {lost} were lost by then");
    // Connections that are closed after that are traced, too.
    assert!(log.lines().rev().take(10).any(|line| line.ends_with("stopped")), "the log goes on to the end");
}

//! What Prometheus is told, read with a parser that is not ours.

use std::{collections::BTreeSet, path::PathBuf};

use integration_app_mcp_server::metrics::METRICS;
use prometheus_parse::{Scrape, Value};
use reqwest::Method;
use serde_json::json;

use crate::{
    client::reply_to,
    support::{Server, eventually},
};

/// What `GET /metrics` says.
pub async fn scrape(server: &Server) -> Scrape {
    let reply = reply_to(server.http.get(format!("{}/metrics", server.admin))).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    Scrape::parse(reply.text.lines().map(|line| Ok(line.to_owned()))).unwrap()
}

/// The sum of a metric over all samples with these labels. A histogram counts what it measured.
pub fn total(scrape: &Scrape, metric: &str, labels: &[(&str, &str)]) -> f64 {
    let count = format!("{metric}_count");
    let samples = scrape.samples.iter().filter(|sample| sample.metric == metric || sample.metric == count);
    let samples = samples.filter(|sample| labels.iter().all(|(name, value)| sample.labels.get(name) == Some(value)));
    let values = samples.map(|sample| match &sample.value {
        Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) => *value,
        Value::Histogram(_) | Value::Summary(_) => 0.0,
    });
    values.sum()
}

fn assert_total(scrape: &Scrape, metric: &str, labels: &[(&str, &str)], expected: f64) {
    let found = total(scrape, metric, labels);
    assert!((found - expected).abs() < 1e-9, "{metric} {labels:?} is {found}, not {expected}");
}

#[tokio::test]
async fn what_clients_do_is_counted() {
    let server = Server::start();
    let ann = server.client("ann").open().await;
    ann.tools().await;
    ann.output("slack_list-channels", json!({})).await;
    ann.output("slack_list-channels", json!({})).await;
    // Refused by the schema.
    ann.call("gmail_send-email", json!({})).await;
    ann.call("no_such-tool", json!({})).await;
    ann.ask("no/such/method", json!({})).await;
    ann.in_session("00000000-0000-4000-8000-000000000000").ask("ping", json!({})).await;
    reply_to(server.http.get(format!("{}/a/path/of/nobody", server.url))).await;

    let scrape = scrape(&server).await;
    let legacy = [("method", "POST"), ("route", "/mcp"), ("era", "legacy")];
    let with_status = |status| [legacy.as_slice(), &[("status", status)]].concat();
    assert_total(&scrape, "mcp_http_requests_total", &with_status("200"), 7.0);
    assert_total(&scrape, "mcp_http_requests_total", &with_status("404"), 1.0);
    assert_total(&scrape, "mcp_http_requests_total", &[("route", "other"), ("status", "404")], 1.0);
    assert_total(&scrape, "mcp_http_request_duration_seconds", &[("route", "/mcp")], 8.0);
    for (method, count) in
        [("initialize", 1.0), ("tools/list", 1.0), ("tools/call", 4.0), ("ping", 1.0), ("other", 1.0)]
    {
        assert_total(&scrape, "mcp_messages_total", &[("method", method)], count);
    }
    let of = |integration, outcome| [("integration", integration), ("outcome", outcome)];
    assert_total(&scrape, "mcp_tool_calls_total", &of("slack", "success"), 2.0);
    assert_total(&scrape, "mcp_tool_calls_total", &of("gmail", "error"), 1.0);
    assert_total(&scrape, "mcp_tool_call_duration_seconds", &[("integration", "slack")], 2.0);
    assert_total(&scrape, "mcp_sessions", &[("state", "live")], 1.0);
    assert_total(&scrape, "mcp_shards_silent", &[], 0.0);
    assert_total(&scrape, "mcp_panics_total", &[], 0.0);
    assert!(total(&scrape, "mcp_shard_delay_seconds", &[]) >= 1.0);
    assert_total(&scrape, "mcp_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    for metric in ["process_resident_memory_bytes", "process_open_fds", "process_start_time_seconds"] {
        assert!(total(&scrape, metric, &[]) > 0.0, "{metric}");
    }
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_counts_as_cancelled() {
    let server = Server::builder().env("MCP__TUNING__SANDBOX_LATENCY_MS", "0").start();
    let ann = server.client("ann").open().await;
    let slow = json!({"name": "sandbox-faults_sleep", "arguments": {"ms": 60_000}, "_meta": {"progressToken": 1}});
    let call = json!({"jsonrpc": "2.0", "id": "slow", "method": "tools/call", "params": slow});
    let request = ann.request(Method::POST).header("accept", "application/json, text/event-stream");
    let answer = request.json(&call).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    eventually("the stream is open", async || total(&scrape(&server).await, "mcp_streams_open", &[]) > 0.5).await;
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "slow"}});
    ann.post(cancel).await;
    let cancelled = [("outcome", "cancelled")];
    eventually("the call is counted", async || total(&scrape(&server).await, "mcp_tool_calls_total", &cancelled) > 0.5)
        .await;
    drop(answer);
    eventually("the stream is closed", async || total(&scrape(&server).await, "mcp_streams_open", &[]) < 0.5).await;
}

#[tokio::test]
async fn a_session_that_leaves_memory_is_passive() {
    let server = Server::builder().env("MCP__TUNING__SESSION_IDLE_S", "1").start();
    let ann = server.client("ann").open().await;
    let sessions = async |state| total(&scrape(&server).await, "mcp_sessions", &[("state", state)]);
    eventually("it is passive", async || sessions("passive").await > 0.5 && sessions("live").await < 0.5).await;
    let _listening = ann.stream().await;
    eventually("it is back", async || sessions("passive").await < 0.5 && sessions("live").await > 0.5).await;
}

#[tokio::test]
async fn no_label_names_a_person_a_tool_or_a_path() {
    let server = Server::start();
    let ann = server.client("ann-the-user").header("x-chat-id", "the-chat-of-ann").open().await;
    ann.output("slack_list-channels", json!({})).await;
    reply_to(server.http.get(format!("{}/secret-path", server.url))).await;
    reply_to(ann.request_at(Method::from_bytes(b"SECRETS").unwrap(), "/mcp")).await;
    ann.ask("secret/method", json!({})).await;
    let text = reply_to(server.http.get(format!("{}/metrics", server.admin))).await.text;
    let session = ann.session.as_deref().unwrap();
    for private in ["ann-the-user", "the-chat-of-ann", session, "list-channels", "ecret", "SECRETS", &ann.token] {
        assert!(!text.contains(private), "{private} stands in:\n{text}");
    }
}

#[tokio::test]
async fn metrics_are_for_operators_alone() {
    let server = Server::start();
    let reply = reply_to(server.http.get(format!("{}/metrics", server.url))).await;
    assert_eq!(reply.status, 404, "{reply:?}");
    let reply = reply_to(server.http.get(format!("{}/mcp", server.admin))).await;
    assert_eq!(reply.status, 404, "{reply:?}");
}

/// The names of metrics in a text, without what Prometheus appends to those of a histogram.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let names = words.filter(|word| word.starts_with("mcp_") || word.starts_with("process_")).map(|word| {
        let base = ["_bucket", "_sum", "_count"].into_iter().find_map(|end| word.strip_suffix(end));
        base.filter(|base| base.ends_with("_seconds")).unwrap_or(word).to_owned()
    });
    names.collect()
}

/// What an operator reads and imports is about what the server really counts, all of it.
#[tokio::test]
async fn the_documents_of_operators_name_the_metrics_that_there_are() {
    let server = Server::start();
    let ann = server.client("ann").open().await;
    ann.output("slack_list-channels", json!({})).await;
    let text = reply_to(server.http.get(format!("{}/metrics", server.admin))).await.text;
    let scraped = names(&text);
    let described: BTreeSet<_> = METRICS.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(described.difference(&scraped).collect::<Vec<_>>(), Vec::<&String>::new(), "missing in a scrape");
    let all = ["docs/operations.md", "deploy/grafana.json"];
    for file in all.into_iter().chain(["deploy/alerts.yaml", "deploy/kubernetes/optional/autoscaler.yaml"]) {
        let text = std::fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        let named = names(&text);
        assert!(!named.is_empty(), "{file} names metrics");
        assert_eq!(
            named.difference(&scraped).collect::<Vec<_>>(),
            Vec::<&String>::new(),
            "{file} names what is not there"
        );
        if all.contains(&file) {
            let missing: Vec<_> = described.difference(&named).collect();
            assert_eq!(missing, Vec::<&String>::new(), "missing in {file}");
        }
    }
}

#[test]
fn every_alert_has_its_place_in_the_runbook() {
    let read = |file| std::fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let (alerts, operations) = (read("deploy/alerts.yaml"), read("docs/operations.md"));
    let runbook = operations.split_once("\n## Runbook\n").unwrap().1;
    for rule in alerts.split("- alert: ").skip(1) {
        let alert = rule.lines().next().unwrap();
        let name = format!("\nAlert `{alert}`");
        assert_eq!(runbook.matches(&name).count(), 1, "{alert} has one section of the runbook");
        for metric in names(rule) {
            assert!(runbook.contains(&metric), "{alert} is about {metric}, of which the runbook says nothing");
        }
    }
}

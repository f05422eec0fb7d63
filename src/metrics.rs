//! The metrics: which there are, how they are counted where it must be cheap, and how Prometheus gets them.
//!
//! What is counted seldom is counted on the spot by the `metrics` crate's macros, under a name that stands in [`METRICS`].
//! What is counted with each request goes by the functions here, which look a handle up once for each thread and set of
//! labels. No label names a user, a chat, a session, a tool or a token, and each has a bounded number of values.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    hash::Hash,
    sync::{PoisonError, RwLock},
    time::{Duration, Instant},
};

use metrics::{Counter, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// Kind of a metric, as Prometheus tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// A number that only grows.
    Counter,
    /// A number as it is now.
    Gauge,
    /// How often something took how long.
    Histogram,
}
use MetricKind::{Counter as C, Gauge as G, Histogram as H};

// Names are texts, as the macros of `metrics` want them where they keep a handle for each place; a test holds them to this table.
/// Every metric of ours with what it counts; those of the process come from `metrics-process`.
#[rustfmt::skip]
pub const METRICS: &[(&str, MetricKind, &str)] = &[
    ("mcp_build_info", G, "1, with the version of the server as a label"),
    ("mcp_http_requests_total", C, "HTTP requests answered, by method, route, era of the protocol and status"),
    ("mcp_http_request_duration_seconds", H, "Time until the answer to an HTTP request begins, by method and route"),
    ("mcp_connections", G, "Connections of clients that are open"),
    ("mcp_connections_closed_total", C, "Connections of clients closed early, by reason: late, unread, room, full"),
    ("mcp_messages_total", C, "JSON-RPC messages of clients, by method"),
    ("mcp_tool_calls_total", C, "Actions run for calls of tools, by integration and outcome"),
    ("mcp_outputs_shortened_total", C, "Outputs of which a part was left out"),
    ("mcp_outputs_shortened_bytes_total", C, "Bytes of those outputs, and of the answers made of them, by what they are of"),
    ("mcp_runs_replayed_total", C, "Calls under an idempotency key that was used before, which were not run again"),
    ("mcp_connect_links_total", C, "Users asked to connect an account of an app, by the way: result, error, text"),
    ("mcp_connect_waits_total", C, "Waits for an account that a user was asked to connect, by outcome: connected, declined, failed, pending"),
    ("mcp_searches_total", C, "Searches for tools, by outcome: hit, no_hit"),
    ("mcp_search_answer_tokens_total", C, "Tokens of the answers to searches, estimated"),
    ("mcp_search_runs_total", C, "Tools run after a search that found them, by place among the hits: 1, 2-5, 6-"),
    ("mcp_tool_call_duration_seconds", H, "Time that an action took, by integration"),
    ("mcp_upstream_requests_total", C, "Requests sent to the upstream, by endpoint and outcome"),
    ("mcp_upstream_request_duration_seconds", H, "Time until the upstream's answer was whole, by endpoint"),
    ("mcp_upstream_retries_total", C, "Reads that were sent to the upstream once more"),
    ("mcp_upstream_narrowed_total", C, "Times that the number of reads in flight was halved, by reason: limited, late"),
    ("mcp_upstream_breaker_open", G, "1 while the upstream keeps failing and is left alone, else 0"),
    ("mcp_upstream_connections_refused_total", C, "Connections to the upstream closed because what came on them answered no request, or not unambiguously"),
    ("mcp_catalog_lookups_total", C, "Lookups of a user's tools, by result: fresh, stale, coalesced, loaded, kept, failed"),
    ("mcp_catalog_bytes", G, "Memory that the tools of all users take, each set of equal ones counted once for each worker, and once as a shared list"),
    ("mcp_catalog_lists_total", C, "Lists of an app's actions that loads have taken, by source: read, shared"),
    ("mcp_catalog_sharing", G, "1 while the users of a workspace share lists of actions, 0 where that is off or two of them were told different ones"),
    ("mcp_catalog_changes_total", C, "Loads that found a user's tools changed"),
    ("mcp_integrations_failed_total", C, "Integrations whose actions could not be loaded, by what became of their tools: kept, missing"),
    ("mcp_unchecked_values_total", C, "Arguments that passed without a check against their schema, by reason: schema, steps, size, form, busy"),
    ("mcp_limited_total", C, "Requests refused because a limit was reached, by limit"),
    ("mcp_sessions", G, "Sessions, by state"),
    ("mcp_sessions_passivated_total", C, "Sessions that left memory because they were idle"),
    ("mcp_sessions_revived_total", C, "Sessions that came back from the store"),
    ("mcp_store_operations_total", C, "What the store was asked to do, by operation and outcome"),
    ("mcp_store_operation_duration_seconds", H, "Time until the store had done what it was asked, by operation"),
    ("mcp_streams_open", G, "Event streams that are open"),
    ("mcp_stream_events_dropped_total", C, "Events that left a session's log because it was full, and can't be resumed from"),
    ("mcp_streams_closed_slow_total", C, "Event streams closed because their reader was too slow"),
    ("mcp_shards_silent", G, "Shards that did not answer in time when last asked"),
    ("mcp_shard_delay_seconds", H, "Time that a message to a shard waited for its answer"),
    ("mcp_panics_total", C, "Panics, each of which costs what was being done"),
    ("mcp_actors_gone", G, "Actors that have ended although the server needs them, when last asked"),
    ("mcp_store_up", G, "1 while the store takes what it is given, else 0"),
    ("mcp_log_lines_dropped_total", C, "Log lines lost because standard error was not read"),
];

/// Counters with a label whose values are known beforehand.
#[rustfmt::skip]
const LABELLED: &[(&str, &str, &[&str])] = &[
    ("mcp_outputs_shortened_bytes_total", "of", &["output", "answer"]),
    ("mcp_searches_total", "outcome", &["hit", "no_hit"]),
    ("mcp_search_runs_total", "place", &["1", "2-5", "6-"]),
    ("mcp_connect_links_total", "by", &["result", "error", "text"]),
    ("mcp_connect_waits_total", "outcome", &["connected", "declined", "failed", "pending"]),
    ("mcp_integrations_failed_total", "tools", &["kept", "missing"]),
    ("mcp_catalog_lists_total", "source", &["read", "shared"]),
    ("mcp_upstream_narrowed_total", "reason", &["limited", "late"]),
    ("mcp_limited_total", "limit", &["calls", "streams", "sessions", "all_sessions", "links", "body_bytes", "failed_authentications", "questions", "upstream"]),
    ("mcp_connections_closed_total", "reason", &["late", "unread", "room", "full"]),
    ("mcp_unchecked_values_total", "reason", &["schema", "steps", "size", "form", "busy"]),
];

/// Upper bounds in seconds, from a cached answer to the longest run of an action.
const BUCKETS: [f64; 15] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 65.0];

/// Integrations that have a label of their own, in the order in which they are first called; the others share one.
const MAX_INTEGRATIONS: usize = 100;

/// Recorder of the metrics, with the text that Prometheus reads.
#[derive(Clone)]
pub struct MetricsExporter {
    prometheus: PrometheusHandle,
    process: metrics_process::Collector,
}

impl MetricsExporter {
    /// Begins to count. What was counted before is lost, so this comes first.
    ///
    /// # Errors
    /// Where counting has begun before.
    pub fn install() -> Result<Self, BuildError> {
        let prometheus = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BUCKETS)?
            .install_recorder()?;
        for &(name, kind, help) in METRICS {
            match kind {
                C => describe_counter!(name, help),
                G => describe_gauge!(name, help),
                H => describe_histogram!(name, help),
            }
        }
        let process = metrics_process::Collector::default();
        process.describe();
        gauge!("mcp_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1);
        // An alert on growth needs to see what something grows from.
        for name in [
            "mcp_sessions_passivated_total",
            "mcp_sessions_revived_total",
            "mcp_stream_events_dropped_total",
            "mcp_streams_closed_slow_total",
            "mcp_panics_total",
            "mcp_log_lines_dropped_total",
            "mcp_upstream_retries_total",
            "mcp_upstream_connections_refused_total",
            "mcp_catalog_changes_total",
            "mcp_search_answer_tokens_total",
            "mcp_outputs_shortened_total",
            "mcp_runs_replayed_total",
        ] {
            counter!(name).absolute(0);
        }
        for (name, label, values) in LABELLED {
            for value in *values {
                counter!(*name, *label => *value).absolute(0);
            }
        }
        gauge!("mcp_streams_open").set(0);
        Ok(Self { prometheus, process })
    }

    /// Returns all metrics, in the text format of Prometheus.
    #[must_use]
    pub fn render(&self) -> String {
        self.process.collect();
        self.prometheus.render()
    }

    /// Sorts what was measured into its buckets. Until then each measurement takes memory, so this must be called often.
    pub fn tidy_up(&self) {
        self.prometheus.run_upkeep();
    }
}

/// A cache of handles for one thread.
type Handles<K, V> = RefCell<HashMap<K, V>>;

/// Does something with the handles of a set of labels, which are made when they are first wanted.
fn with<K: Hash + Eq, V>(handles: &Handles<K, V>, key: K, make: impl FnOnce(&K) -> V, act: impl FnOnce(&V)) {
    let mut handles = handles.borrow_mut();
    if let Some(known) = handles.get(&key) {
        return act(known);
    }
    let made = make(&key);
    act(handles.entry(key).or_insert(made));
}

/// An HTTP request that was answered. Labels are static texts: whoever counts has to choose from what it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AnsweredRequest {
    /// HTTP method of the request, as a label.
    pub method: &'static str,
    /// Pattern of the route, as a label.
    pub route: &'static str,
    /// The era of the protocol, where the request is of one.
    pub era: &'static str,
    /// HTTP status of the answer.
    pub status: u16,
}

impl AnsweredRequest {
    /// Counts the request, whose answer began after `time`.
    pub fn count(self, time: Duration) {
        thread_local! { static HANDLES: Handles<AnsweredRequest, (Counter, Histogram)> = RefCell::default(); }
        let make = |&Self { method, route, era, status }: &Self| {
            let status = status.to_string();
            (
                counter!("mcp_http_requests_total", "method" => method, "route" => route, "era" => era, "status" => status),
                histogram!("mcp_http_request_duration_seconds", "method" => method, "route" => route),
            )
        };
        let count = |(requests, durations): &(Counter, Histogram)| {
            requests.increment(1);
            durations.record(time);
        };
        HANDLES.with(|handles| with(handles, self, make, count));
    }
}

/// Returns the method of a message as far as it is known here.
#[must_use]
pub fn known_method(method: &str) -> &'static str {
    const KNOWN: [&str; 11] = [
        "initialize",
        "ping",
        "tools/list",
        "tools/call",
        "notifications/initialized",
        "notifications/cancelled",
        "notifications/progress",
        "notifications/roots/list_changed",
        "server/discover",
        "subscriptions/listen",
        "response",
    ];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or("other")
}

/// Counts a message of a client, by its method.
pub fn count_message(method: &str) {
    thread_local! { static HANDLES: Handles<&'static str, Counter> = RefCell::default(); }
    let method = known_method(method);
    let make = |method: &&'static str| counter!("mcp_messages_total", "method" => *method);
    HANDLES.with(|handles| with(handles, method, make, |messages| messages.increment(1)));
}

/// A request to the upstream. Dropped before its end is known, it counts as given up.
#[derive(Debug)]
pub struct UpstreamRequest {
    endpoint: &'static str,
    begun: Instant,
    outcome: &'static str,
}

impl UpstreamRequest {
    /// Begins the measurement of a request to the upstream.
    #[must_use]
    pub fn begin(endpoint: &'static str) -> Self {
        Self { endpoint, begun: Instant::now(), outcome: "cancelled" }
    }

    /// Ends the measurement with the outcome of the request.
    pub fn end(mut self, outcome: &'static str) {
        self.outcome = outcome;
    }
}

impl Drop for UpstreamRequest {
    fn drop(&mut self) {
        thread_local! { static HANDLES: Handles<(&'static str, &'static str), (Counter, Histogram)> = RefCell::default(); }
        let make = |&(endpoint, outcome): &(&'static str, &'static str)| {
            (
                counter!("mcp_upstream_requests_total", "endpoint" => endpoint, "outcome" => outcome),
                histogram!("mcp_upstream_request_duration_seconds", "endpoint" => endpoint),
            )
        };
        let count = |(requests, durations): &(Counter, Histogram)| {
            requests.increment(1);
            durations.record(self.begun.elapsed());
        };
        HANDLES.with(|handles| with(handles, (self.endpoint, self.outcome), make, count));
    }
}

/// Counts something that the store was asked to do, and took `time` for.
pub fn count_store(operation: &'static str, is_done: bool, time: Duration) {
    thread_local! { static HANDLES: Handles<(&'static str, bool), (Counter, Histogram)> = RefCell::default(); }
    let make = |&(operation, is_done): &(&'static str, bool)| {
        let outcome = if is_done { "ok" } else { "failed" };
        (
            counter!("mcp_store_operations_total", "operation" => operation, "outcome" => outcome),
            histogram!("mcp_store_operation_duration_seconds", "operation" => operation),
        )
    };
    let count = |(operations, durations): &(Counter, Histogram)| {
        operations.increment(1);
        durations.record(time);
    };
    HANDLES.with(|handles| with(handles, (operation, is_done), make, count));
}

/// Counts a lookup of a user's tools.
pub fn count_lookup(result: &'static str) {
    thread_local! { static HANDLES: Handles<&'static str, Counter> = RefCell::default(); }
    let make = |result: &&'static str| counter!("mcp_catalog_lookups_total", "result" => *result);
    HANDLES.with(|handles| with(handles, result, make, |lookups| lookups.increment(1)));
}

/// Outcome of a call of a tool, as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The run has given a result.
    Success,
    /// Its result says what went wrong.
    Error,
    /// Nobody waited for its result any more.
    Cancelled,
}

impl Outcome {
    /// As labels and log lines have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Error => "error",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The run of an action. Dropped before its end is known, it counts as cancelled.
#[derive(Debug)]
pub struct Run<'a> {
    integration: &'a str,
    begun: Instant,
    outcome: Outcome,
}

impl<'a> Run<'a> {
    /// Begins the measurement of a run.
    #[must_use]
    pub fn begin(integration: &'a str) -> Self {
        Self { integration, begun: Instant::now(), outcome: Outcome::Cancelled }
    }

    /// Ends the measurement with the outcome of the run.
    pub fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        count_call(self.integration, self.outcome, self.begun.elapsed());
    }
}

fn count_call(integration: &str, outcome: Outcome, time: Duration) {
    thread_local! { static HANDLES: Handles<(String, Outcome), (Counter, Histogram)> = RefCell::default(); }
    let make = |(integration, outcome): &(String, Outcome)| {
        let label = integration.clone();
        (
            counter!("mcp_tool_calls_total", "integration" => label.clone(), "outcome" => outcome.as_str()),
            histogram!("mcp_tool_call_duration_seconds", "integration" => label),
        )
    };
    let count = |(calls, durations): &(Counter, Histogram)| {
        calls.increment(1);
        durations.record(time);
    };
    let label = label_of(integration);
    HANDLES.with(|handles| with(handles, (label.to_owned(), outcome), make, count));
}

/// Returns the label of an integration. Workspaces make integrations of their own, so their number is not ours to
/// bound.
fn label_of(integration: &str) -> &str {
    static KNOWN: RwLock<Option<HashSet<String>>> = RwLock::new(None);
    // Nothing panics while the lock is held.
    let is_known = |known: &Option<HashSet<String>>| known.as_ref().map(|k| (k.contains(integration), k.len()));
    match is_known(&KNOWN.read().unwrap_or_else(PoisonError::into_inner)) {
        Some((true, _)) => return integration,
        Some((false, MAX_INTEGRATIONS..)) => return "other",
        Some((false, _)) | None => {}
    }
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    let known = known.get_or_insert_default();
    if known.len() < MAX_INTEGRATIONS || known.contains(integration) {
        known.insert(integration.to_owned());
        return integration;
    }
    "other"
}

#[cfg(test)]
mod tests;

//! Constants of the server that no operator has a reason to turn, each with its unit and its reason.

use std::time::Duration;

use serde::Deserialize;

use super::values::{millis, seconds};

/// Constants of the server. Builds with the feature `lab` take other values as the section `[tuning]`, such as
/// `MCP__TUNING__RETRIES=0`, so that a test reaches a bound within seconds; other builds know no such section.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tuning {
    /// Largest request body, in bytes. The upstream takes 10 MB at most.
    pub max_body_bytes: usize,
    /// Bytes that bodies may take while they arrive, all together. Those of one user take a quarter at most, and less the more
    /// is taken by others, so it is at least four times the largest body.
    pub max_pending_body_bytes: usize,
    /// Largest head of a request, in bytes: several times what clients and proxies send. Heads beyond 128 KiB are cut in any case.
    pub max_header_bytes: usize,
    /// Longest URL, in bytes: room for a token and for long lists of apps and tools.
    pub max_url_bytes: usize,
    /// Seconds within which a request must have arrived, head and body each, and within which a client must take some of its
    /// answer. Slow networks manage that, and a client that dawdles on purpose is soon gone.
    #[serde(rename = "request_s", with = "seconds")]
    pub request: Duration,

    /// Milliseconds to wait for a connection to the upstream: two lost packets are sent again within this time.
    #[serde(rename = "connect_timeout_ms", with = "millis")]
    pub connect_timeout: Duration,
    /// Milliseconds to wait for a page of a list, or another read.
    #[serde(rename = "read_timeout_ms", with = "millis")]
    pub read_timeout: Duration,
    /// Milliseconds to wait for an action. The upstream gives up after 60 s.
    #[serde(rename = "run_timeout_ms", with = "millis")]
    pub run_timeout: Duration,
    /// Items to ask for in a page. The upstream allows no more, and fewer would take more requests.
    pub page_size: usize,
    /// Requests in flight at most for one user's lists and lookups, whichever sessions and workers they are for. The more, the
    /// sooner a user who has many apps gets the first list: each round of requests takes as long as the upstream does. Where the
    /// upstream answers 429, the user has half as many as they had, and one more with each round of answers.
    pub max_reads_per_user: usize,
    /// The same for all users together, who take turns where more wait; each workspace begins with as many, and has fewer where the
    /// upstream refuses two of its users. Calls of tools don't count.
    pub max_reads: usize,
    /// Calls of tools that one worker makes at once at most, each on a connection of its own; more wait until one has ended. One
    /// user gets as many as stay free for others, which is half where nobody else calls. Lists have connections besides.
    pub max_calls_per_worker: usize,
    /// Largest answer taken from the upstream, in bytes. It sends 30 MB at most.
    pub max_response_bytes: usize,
    /// Number of times that a read is sent again that found no connection or got a 429, 502, 503 or 504, while all these together
    /// make no more than a fifth of extra load. A call of a tool is never sent twice.
    pub retries: usize,
    /// Milliseconds to wait at most before that. A `Retry-After` of more than this is not waited for: a longer wait is
    /// for the client to decide about.
    #[serde(rename = "max_retry_wait_ms", with = "millis")]
    pub max_retry_wait: Duration,
    /// Failures in a row, over a second or more, after which the upstream is left alone. Fewer could be chance.
    pub breaker_failures: u32,
    /// Seconds until one request tries whether the upstream is back. It is no load, and users should not wait long after it is.
    #[serde(rename = "breaker_pause_s", with = "seconds")]
    pub breaker_pause: Duration,

    /// Seconds for which a user's tools that are no longer fresh are given out while they are loaded anew, or can't be: short
    /// outages of the upstream go unnoticed, and nobody is shown tools that are long gone.
    #[serde(rename = "catalog_stale_s", with = "seconds")]
    pub catalog_stale: Duration,
    /// Seconds after which a load that failed is tried again. Users who ask meanwhile cost the upstream nothing.
    #[serde(rename = "catalog_negative_s", with = "seconds")]
    pub catalog_negative: Duration,
    /// Seconds for which a user's tools are kept in the store, so that a server that has just started lists them at once while it
    /// loads them anew. Given only to a token that was accepted since the start. A day, as most users come back within one.
    #[serde(rename = "catalog_keep_s", with = "seconds")]
    pub catalog_keep: Duration,
    /// Apps that `?apps=` may name. Each is a request upstream.
    pub max_apps: usize,

    /// Tokens that one worker remembers at most; the least recently used leave first, and cost a request upstream if they return.
    pub max_trusted_tokens: usize,
    /// Tokens that the upstream may refuse in a minute from one address before new ones from there have to wait, and fifty times
    /// as many from all addresses together. Tokens that were accepted before never wait, so that users who share an address are not
    /// locked out by a guesser among them.
    pub max_token_failures_per_min: u32,

    /// Seconds without a request after which a session leaves memory, if nothing goes on in it. It comes back when it is asked for,
    /// at the cost of one read of the store.
    #[serde(rename = "session_idle_s", with = "seconds")]
    pub session_idle: Duration,
    /// Chats that one user may have in the store. A new one beyond that takes the place of the oldest.
    pub max_chats_per_user: usize,
    /// Calls that may run at once in a session or chat, and for each user outside of any: more than models make in parallel.
    pub max_calls_in_flight: usize,

    /// Milliseconds within which the answer to a call is sent as plain JSON; one that takes longer becomes an event stream. Some
    /// clients take no event beyond a megabyte, and proxies give up on answers that do not begin.
    #[serde(rename = "stream_after_ms", with = "millis")]
    pub stream_after: Duration,
    /// Milliseconds between the progress notifications of a running call, for clients that ask for them. Well below the 60 s
    /// after which clients give up on a silent call.
    #[serde(rename = "progress_ms", with = "millis")]
    pub progress: Duration,
    /// Bytes that may wait for the reader of a stream; one that is slower is disconnected, and can come back.
    pub stream_queue_bytes: usize,
    /// Events that a session keeps for clients that lose a stream; then the oldest go.
    pub stream_log_events: usize,
    /// Bytes of those events.
    pub stream_log_bytes: usize,
    /// Seconds for which an answered stream can still be resumed: a laptop that sleeps for a moment, a network that changes.
    #[serde(rename = "stream_log_s", with = "seconds")]
    pub stream_log: Duration,
    /// Milliseconds after which a client that lost a stream should come back for it.
    #[serde(rename = "stream_retry_ms", with = "millis")]
    pub stream_retry: Duration,
    /// Seconds between the comments that keep an idle event stream open. Proxies close what is silent, many of them after 30 s.
    #[serde(rename = "stream_keep_alive_s", with = "seconds")]
    pub stream_keep_alive: Duration,

    /// Items in a page of the sandbox's lists at most, as many as upstream.
    pub sandbox_page_size: usize,
    /// Milliseconds that the sandbox takes for each answer, in builds with the feature `lab`.
    #[serde(rename = "sandbox_latency_ms", with = "millis")]
    pub sandbox_latency: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            max_body_bytes: 10 << 20,
            max_pending_body_bytes: 256 << 20,
            max_header_bytes: 64 << 10,
            max_url_bytes: 16 << 10,
            request: Duration::from_secs(30),

            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(30),
            run_timeout: Duration::from_secs(65),
            page_size: 1000,
            max_reads_per_user: 24,
            max_reads: 256,
            max_calls_per_worker: 1024,
            max_response_bytes: 32 << 20,
            retries: 2,
            max_retry_wait: Duration::from_secs(5),
            breaker_failures: 10,
            breaker_pause: Duration::from_secs(10),

            catalog_stale: Duration::from_secs(600),
            catalog_negative: Duration::from_secs(5),
            catalog_keep: Duration::from_secs(24 * 60 * 60),
            max_apps: 64,

            max_trusted_tokens: 100_000,
            max_token_failures_per_min: 60,

            session_idle: Duration::from_secs(15 * 60),
            max_chats_per_user: 10_000,
            max_calls_in_flight: 32,

            stream_after: Duration::from_secs(1),
            progress: Duration::from_secs(10),
            stream_queue_bytes: 1 << 20,
            stream_log_events: 256,
            stream_log_bytes: 1 << 20,
            stream_log: Duration::from_secs(5 * 60),
            stream_retry: Duration::from_secs(1),
            stream_keep_alive: Duration::from_secs(15),

            sandbox_page_size: 1000,
            sandbox_latency: Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_may_send_the_largest_body() {
        let tuning = Tuning::default();
        assert!(tuning.max_pending_body_bytes / 4 >= tuning.max_body_bytes);
    }
}

//! Counters of the sandbox for tests, and faults that tests ask for.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use actix_web::{
    Error, HttpResponse,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{Method, StatusCode},
    middleware::Next,
};
use bytes::Bytes;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Counts requests and spoils those that it was told to.
#[derive(Debug, Default)]
pub struct Observer(Mutex<Observed>);

#[derive(Debug, Default)]
struct Observed {
    stats: Stats,
    faults: Vec<Fault>,
}

/// Requests and faults that were seen since the start.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// Number of requests, by method and path.
    requests: BTreeMap<String, u64>,
    /// Requests that wait for their answer.
    in_flight: u64,
    /// Runs of actions among them.
    running: u64,
    /// The most that ever waited at once.
    max_in_flight: u64,
    /// Requests whose client left before the answer.
    abandoned: u64,
}

/// Fault that requests are answered with, as a test orders it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// On requests for this path; for all where this is missing.
    #[serde(default)]
    path: Option<String>,
    /// Text that the query of a request has to hold.
    #[serde(default)]
    query: String,
    /// Answer with this status; as ever where this is missing.
    #[serde(default)]
    status: Option<u16>,
    /// Body of the faulty answer.
    #[serde(default)]
    body: Value,
    /// Or this one, as it is.
    #[serde(default)]
    text: Option<String>,
    /// Headers of the faulty answer.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// But hang up before the end of the body.
    #[serde(default)]
    cut: bool,
    /// And take your time, in milliseconds.
    #[serde(default)]
    delay_ms: u64,
    /// So many times; always where this is missing.
    #[serde(default)]
    times: Option<u64>,
}

impl Fault {
    fn concerns(&self, path: &str, query: &str) -> bool {
        self.path.as_ref().is_none_or(|own| own == path) && query.contains(&self.query) && self.times != Some(0)
    }

    fn answer(self, status: u16) -> HttpResponse {
        let mut response =
            HttpResponse::build(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
        for header in &self.headers {
            response.insert_header((header.0.as_str(), header.1.as_str()));
        }
        response.content_type("application/json");
        let body = self.text.unwrap_or_else(|| self.body.to_string());
        if !self.cut {
            return response.body(body);
        }
        response.no_chunking(body.len() as u64 + 1);
        let broken = std::io::Error::other("hung up, as it was told to");
        response.streaming(stream::iter([Ok(Bytes::from(body)), Err(broken)]))
    }
}

impl Observer {
    fn observed(&self) -> MutexGuard<'_, Observed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the numbers of requests so far.
    pub fn stats(&self) -> Stats {
        self.observed().stats.clone()
    }

    /// Sets what to do wrong from now on.
    pub fn set_faults(&self, faults: Vec<Fault>) {
        self.observed().faults = faults;
    }

    /// Takes the fault that is ordered for a request, if there is one.
    fn fault(&self, path: &str, query: &str) -> Option<Fault> {
        let mut observed = self.observed();
        let fault = observed.faults.iter_mut().find(|fault| fault.concerns(path, query))?;
        fault.times = fault.times.map(|times| times - 1);
        Some(fault.clone())
    }

    /// Passes a request on after a time, unless it is to be spoilt.
    ///
    /// # Errors
    /// Errors of the service around which it stands.
    pub async fn stand_around<B: MessageBody>(
        &self,
        latency: Duration,
        request: ServiceRequest,
        next: Next<B>,
    ) -> Result<ServiceResponse<EitherBody<B>>, Error> {
        let mut in_flight = self.begin(request.method(), request.path());
        tokio::time::sleep(latency).await;
        let fault = self.fault(request.path(), request.query_string());
        if let Some(fault) = &fault {
            tokio::time::sleep(Duration::from_millis(fault.delay_ms)).await;
        }
        let response = match fault.and_then(|fault| Some((fault.status?, fault))) {
            None => next.call(request).await.map(ServiceResponse::map_into_left_body),
            Some((status, fault)) => Ok(request.into_response(fault.answer(status)).map_into_right_body()),
        };
        in_flight.answered = true;
        response
    }

    fn begin(&self, method: &Method, path: &str) -> InFlight<'_> {
        let stats = &mut self.observed().stats;
        *stats.requests.entry(format!("{method} {path}")).or_default() += 1;
        let runs = u64::from(path == "/act" || path.ends_with("/run"));
        stats.in_flight += 1;
        stats.running += runs;
        stats.max_in_flight = stats.max_in_flight.max(stats.in_flight);
        InFlight { observer: self, runs, answered: false }
    }
}

/// A request that waits for its answer. Dropped before it has one: its client has left.
struct InFlight<'a> {
    observer: &'a Observer,
    /// Runs of actions that it is: one or none.
    runs: u64,
    answered: bool,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let stats = &mut self.observer.observed().stats;
        stats.in_flight -= 1;
        stats.running -= self.runs;
        stats.abandoned += u64::from(!self.answered);
    }
}

//! Counters of the sandbox, for tests.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::Method,
    middleware::Next,
};
use serde::Serialize;

/// Counts requests as they come, wait and are answered.
#[derive(Debug, Default)]
pub struct Observer(Mutex<Stats>);

/// Requests that were seen since the start.
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

impl Observer {
    fn observed(&self) -> MutexGuard<'_, Stats> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the numbers of requests so far.
    pub fn stats(&self) -> Stats {
        self.observed().clone()
    }

    /// Passes a request on, which counts as in flight until it is answered or its client has left.
    ///
    /// # Errors
    /// Errors of the service around which it stands.
    pub async fn stand_around<B: MessageBody>(
        &self,
        request: ServiceRequest,
        next: Next<B>,
    ) -> Result<ServiceResponse<B>, Error> {
        let mut in_flight = self.begin(request.method(), request.path());
        let response = next.call(request).await;
        in_flight.answered = true;
        response
    }

    fn begin(&self, method: &Method, path: &str) -> InFlight<'_> {
        let mut stats = self.observed();
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
        let mut stats = self.observer.observed();
        stats.in_flight -= 1;
        stats.running -= self.runs;
        stats.abandoned += u64::from(!self.answered);
    }
}

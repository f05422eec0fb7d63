//! Faults that tests order from the sandbox, and the time that it takes. Builds without the feature `lab` have neither.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use actix_web::{
    Error, HttpResponse,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::StatusCode,
    middleware::Next,
    web::{Data, Json},
};
use bytes::Bytes;
use futures_util::stream;
use serde::Deserialize;
use serde_json::Value;

use super::shared::Shared;

/// Faults that are ordered for requests to come.
#[derive(Debug, Default)]
pub struct Faults(Mutex<Vec<Fault>>);

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

impl Faults {
    fn ordered(&self) -> MutexGuard<'_, Vec<Fault>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the fault that is ordered for a request, if there is one.
    fn take(&self, path: &str, query: &str) -> Option<Fault> {
        let mut ordered = self.ordered();
        let fault = ordered.iter_mut().find(|fault| fault.concerns(path, query))?;
        fault.times = fault.times.map(|times| times - 1);
        Some(fault.clone())
    }
}

/// `PUT /sandbox/faults`: sets what to do wrong from now on.
pub async fn order(faults: Data<Faults>, ordered: Json<Vec<Fault>>) -> HttpResponse {
    *faults.ordered() = ordered.into_inner();
    HttpResponse::NoContent().finish()
}

/// Passes a request to the API on after a time, unless it is to be spoilt.
pub async fn spoil<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let shared = request.app_data::<Data<Shared>>().filter(|_| !request.path().starts_with("/sandbox/"));
    let Some(latency) = shared.map(|shared| shared.tuning.sandbox_latency) else {
        return next.call(request).await.map(ServiceResponse::map_into_left_body);
    };
    tokio::time::sleep(latency).await;
    let faults = request.app_data::<Data<Faults>>();
    let fault = faults.and_then(|faults| faults.take(request.path(), request.query_string()));
    if let Some(fault) = &fault {
        tokio::time::sleep(Duration::from_millis(fault.delay_ms)).await;
    }
    match fault.and_then(|fault| Some((fault.status?, fault))) {
        None => next.call(request).await.map(ServiceResponse::map_into_left_body),
        Some((status, fault)) => Ok(request.into_response(fault.answer(status)).map_into_right_body()),
    }
}

//! Whether the server is alive, and whether it should be sent requests.

use std::{collections::BTreeMap, time::Duration};

use actix_web::{HttpResponse, http::StatusCode};
use serde::Serialize;

use crate::session::{
    Runtime,
    health::{check_health, loss},
};

/// How long a shard may take to answer: in all that time its thread would have served nobody.
pub(super) const TIMEOUT: Duration = Duration::from_secs(2);

/// State of each part that a request may need.
#[derive(Debug, Serialize)]
pub(super) struct Readiness {
    ready: bool,
    checks: BTreeMap<&'static str, String>,
}

const OK: &str = "ok";

/// `GET /healthz`: whether all actors live and the loop of every shard turns. If not, only a restart helps.
pub(super) async fn alive(runtime: &Runtime) -> HttpResponse {
    let health = check_health(runtime, TIMEOUT).await;
    let (status, text) = match (loss(runtime, health), health.silent) {
        (Some(loss), _) => (StatusCode::SERVICE_UNAVAILABLE, format!("{loss}: the server ends itself\n")),
        (None, 0) => (StatusCode::OK, "ok\n".to_owned()),
        (None, silent) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("{silent} of {} shards don't answer\n", health.workers))
        }
    };
    HttpResponse::build(status).content_type("text/plain; charset=utf-8").body(text)
}

impl Readiness {
    /// Returns the status that says it to a load balancer.
    pub(super) fn status(&self) -> StatusCode {
        if self.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
    }

    /// Returns whether every part is as it should be.
    pub(super) fn is_whole(&self) -> bool {
        self.checks.values().all(|state| state == OK)
    }

    /// Returns the state in a few words, for people.
    pub(super) fn summary(&self) -> String {
        match self.checks.iter().find(|(_, state)| *state != OK) {
            None => "Ready".to_owned(),
            Some((part, state)) if self.ready => format!("Ready, {part} {state}"),
            Some((part, state)) => format!("Not ready: {part}: {state}"),
        }
    }
}

/// `GET /readyz`: whether requests should come here, and if not, why.
pub(super) async fn ready(runtime: &Runtime) -> HttpResponse {
    let readiness = readiness(runtime).await;
    HttpResponse::build(readiness.status()).json(readiness)
}

/// Asks every part that a request may need how it is.
pub(super) async fn readiness(runtime: &Runtime) -> Readiness {
    let mut checks = BTreeMap::new();
    let mut check = |part, fault: Option<String>| checks.insert(part, fault.unwrap_or_else(|| OK.to_owned()));
    check("server", runtime.is_draining().then(|| "it is stopping".to_owned()));
    let health = check_health(runtime, TIMEOUT).await;
    check("shards", (health.silent > 0).then(|| format!("{} of {} don't answer", health.silent, health.workers)));
    // Only what another instance may do better is a reason to send requests there. Without a store that all share, or an
    // upstream that all have, each of them still serves what needs neither.
    let store = runtime.store_trouble();
    let degraded = store.filter(|trouble| trouble.is_everybodys()).map(|trouble| format!("degraded: {trouble}"));
    check("store", store.filter(|_| degraded.is_none()).map(|trouble| trouble.to_string()));
    let ready = checks.values().all(|state| state == OK);
    if let Some(degraded) = degraded {
        checks.insert("store", degraded);
    }
    let is_breaker_open = runtime.upstream().is_breaker_open();
    checks.insert(
        "upstream",
        if is_breaker_open { "degraded: it keeps failing, and is left alone for a while" } else { OK }.to_owned(),
    );
    Readiness { ready, checks }
}

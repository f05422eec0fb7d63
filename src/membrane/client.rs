//! Membrane's HTTP API: one method a call. Reads are sent again where that may help, runs never; nothing is sent to an
//! upstream that keeps failing. No cache: that is the [`MembraneActor`](super::MembraneActor)'s.

mod body;
pub mod connect;
mod discovery;
mod exchange;
pub mod lists;
pub mod sign_in;

use std::{
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use awc::http::Method;
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use url::{Url, form_urlencoded};

use self::{
    exchange::{OutgoingRequest, http_client},
    lists::Reader,
};
use super::{
    Caller,
    error::MembraneError,
    model::{Action, Customer},
    reading,
    retry::Retries,
    turns::{NoTurn, Party, Share, Turn, Turns},
    upstream::Upstream,
    wire,
};
use crate::{
    config::{ApiVersion, Settings, Tuning},
    ids::{ActionKey, IntegrationKey},
    metrics::UpstreamRequest,
    token::AccessToken,
};

/// A client of the Membrane API. It lives on one thread, with its own connections.
pub struct MembraneClient {
    pub(super) reads: awc::Client,
    /// Apart from the reads, so that actions that take their time leave these a connection.
    runs: awc::Client,
    /// One for each connection of `runs`, so that a run that has its turn never waits for another user's to end.
    run_turns: Arc<Turns>,
    pub(super) connector: wire::Connector,
    api_version: ApiVersion,
    pub(super) tuning: Tuning,
    pub(super) upstream: Arc<Upstream>,
}

/// Pairs of a URL's query.
pub(super) type Query<'a> = [(&'static str, &'a str)];

impl MembraneClient {
    /// Returns a client for the API at `membrane.base_url`, of which others may know something already.
    #[must_use]
    pub fn new(settings: &Settings, upstream: Arc<Upstream>) -> Self {
        let connector = wire::Connector::new(upstream.tls.clone());
        // Reads wait for their turn before they ask for a connection.
        let (api_version, tuning) = (settings.membrane.api_version, settings.tuning.clone());
        let reads = http_client(settings, &connector, tuning.max_reads);
        let runs = http_client(settings, &connector, tuning.max_calls_per_worker);
        let run_turns = Turns::new(tuning.max_calls_per_worker, Share::AsManyAsAreFree);
        Self { reads, runs, run_turns, connector, api_version, tuning, upstream }
    }

    /// Returns the HTTP client of all requests but runs.
    pub(super) fn reads(&self) -> &awc::Client {
        &self.reads
    }

    /// Returns what all workers know of the upstream.
    #[must_use]
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// `GET /self`: the customer that the token speaks for.
    ///
    /// # Errors
    /// [`MembraneError`].
    pub async fn customer(&self, token: &AccessToken) -> Result<Customer, MembraneError> {
        // Charged to the token: whose it is, this request is to find out.
        self.get(token, &Party::unknown(token), "/self", &[]).await
    }

    /// `GET /action`: one action by its key, or nothing where there is none.
    ///
    /// # Errors
    /// [`MembraneError`].
    pub async fn action(
        &self,
        reader: &Reader,
        integration: &IntegrationKey,
        action: &ActionKey,
    ) -> Result<Option<Action>, MembraneError> {
        let query = [("integrationKey", integration.as_str()), ("key", action.as_str())];
        match self.get(reader.token(), &reader.party(), "/action", &query).await {
            Ok(action) => Ok(Some(action)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Runs an action with `input` exactly as it is: by the connection with this id, else by the one that the upstream takes for
    /// the integration. Gives its output: nothing where that is absent or null.
    ///
    /// # Errors
    /// [`MembraneError`].
    pub async fn run(
        &self,
        caller: &Caller,
        integration: &IntegrationKey,
        action: &ActionKey,
        connection: Option<&str>,
        input: Box<RawValue>,
    ) -> Result<Option<Box<RawValue>>, MembraneError> {
        #[derive(Deserialize)]
        struct Run {
            #[serde(default)]
            output: Option<Box<RawValue>>,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Act<'a> {
            key: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            integration_key: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            connection_id: Option<&'a str>,
            input: &'a RawValue,
        }
        let (token, integration, action) = (caller.token(), integration.as_str(), action.as_str());
        let (path, body) = match (self.api_version, connection) {
            (ApiVersion::Legacy, Some(connection)) => {
                let path = path_of(&["connections", connection, "actions", action, "run"])?;
                (path, String::from(Box::<str>::from(input)))
            }
            (ApiVersion::Legacy, None) => {
                let query = [("autoCreate", "true"), ("integrationKey", integration), ("parentKey", action)];
                (with_query("/action-instance/run", &query), String::from(Box::<str>::from(input)))
            }
            (ApiVersion::V2025_10_21, connection) => {
                // A connection is of one integration: naming both would only give them a way to disagree.
                let integration_key = Some(integration).filter(|_| connection.is_none());
                let act = Act { key: action, integration_key, connection_id: connection, input: &input };
                ("/act".to_owned(), crate::protocol::json::to_string(&act))
            }
        };
        let party = Party::User(caller.user().clone());
        let turn = self.run_turns.take(&party, self.tuning.run_timeout).await;
        // Held until the answer is read, as the connection is taken for as long.
        let _turn = turn.map_err(|none| no_turn(none, self.tuning.run_timeout))?;
        let request = OutgoingRequest { http: &self.runs, method: Method::POST, path: &path, body: body.into() };
        let exchange = self.exchange(request, token, self.tuning.run_timeout);
        let answer = Box::pin(async {
            match exchange.await? {
                empty if reading::is_empty(&empty) => Ok(None),
                // `serde` would take its elements for the members of a run.
                list if list.trim_ascii_start().starts_with(b"[") => {
                    Err(MembraneError::Malformed("it is a list".to_owned()))
                }
                bytes => {
                    let run = reading::read::<Option<Run>>(&self.upstream.pool, bytes).await?;
                    Ok(run.and_then(|run| run.output))
                }
            }
        });
        let outcome = self.observe("run", answer).await;
        // How long an action takes is its own affair.
        self.note(&outcome, !matches!(&outcome, Err(MembraneError::Timeout { .. })));
        outcome
    }

    /// Items to ask for in a page.
    pub(super) fn page_size(&self) -> usize {
        self.tuning.page_size.max(1)
    }

    /// Reads something, once it is `party`'s turn.
    pub(super) async fn get<T: DeserializeOwned + Send + 'static>(
        &self,
        token: &AccessToken,
        party: &Party,
        path: &'static str,
        query: &Query<'_>,
    ) -> Result<T, MembraneError> {
        self.get_at(path, token, party, path, query).await
    }

    /// Reads something at a path that is one of many alike, which are counted under one name.
    pub(super) async fn get_at<T: DeserializeOwned + Send + 'static>(
        &self,
        endpoint: &'static str,
        token: &AccessToken,
        party: &Party,
        path: &str,
        query: &Query<'_>,
    ) -> Result<T, MembraneError> {
        let url = with_query(path, query);
        let mut retries = Retries::new(&self.upstream.budget, self.tuning.retries, self.tuning.max_retry_wait);
        loop {
            let turn = self.turn(party).await?;
            let sent = Instant::now();
            let request = OutgoingRequest { http: &self.reads, method: Method::GET, path: &url, body: Bytes::new() };
            let exchange = self.exchange(request, token, self.tuning.read_timeout);
            let answer = Box::pin(async { reading::read(&self.upstream.pool, exchange.await?).await });
            let outcome = self.observe(endpoint.trim_start_matches('/'), answer).await;
            self.note(&outcome, true);
            match &outcome {
                Ok(_) | Err(MembraneError::Timeout { .. }) => turn.note_answer(endpoint, sent),
                // What refuses for now may say for how long, whatever its status.
                Err(error) if error.is_passing() => turn.note_refusal(error.is_limit(), error.retry_after(), sent),
                Err(_) => {}
            }
            let wait = outcome.as_ref().err().and_then(|error| retries.wait_after(error));
            let Some(wait) = wait else { return outcome };
            metrics::counter!("mcp_upstream_retries_total").increment(1);
            log::debug!(endpoint; "a read is sent again in {} ms", wait.as_millis());
            // Others take the turn while this read waits to be sent again.
            drop(turn);
            tokio::time::sleep(wait).await;
        }
    }

    /// Waits for a turn to read.
    pub(super) async fn turn(&self, party: &Party) -> Result<Turn, MembraneError> {
        let timeout = self.tuning.read_timeout;
        self.upstream.reads.take(party, timeout).await.map_err(|none| no_turn(none, timeout))
    }

    /// Sends a request, if the breaker lets it, and counts its outcome. The exchange is on the heap, so that the futures of all
    /// that ask the upstream have no room for it.
    pub(super) async fn observe<T>(
        &self,
        endpoint: &'static str,
        exchange: Pin<Box<impl Future<Output = Result<T, MembraneError>>>>,
    ) -> Result<T, MembraneError> {
        // Asked when the turn has come: the breaker may have opened while the request waited for it.
        self.upstream.breaker.admit(Instant::now()).map_err(|wait| MembraneError::BreakerOpen { wait })?;
        let request = UpstreamRequest::begin(endpoint);
        let outcome = exchange.await;
        request.end(outcome.as_ref().err().map_or("success", MembraneError::label));
        outcome
    }

    /// Tells the breaker whether the upstream works, where the outcome shows it.
    pub(super) fn note<T>(&self, outcome: &Result<T, MembraneError>, shows_it: bool) {
        match outcome {
            Err(MembraneError::BreakerOpen { .. }) => {}
            Err(error) if error.is_trouble() && shows_it => self.upstream.breaker.fail(Instant::now()),
            Err(error) if error.is_trouble() => {}
            // A refusal is an answer, too: the upstream works.
            _ => self.upstream.breaker.succeed(),
        }
    }
}

/// Returns the error of a request that had no turn, for which it has waited so long at most.
fn no_turn(none: NoTurn, timeout: Duration) -> MembraneError {
    metrics::counter!("mcp_limited_total", "limit" => "upstream").increment(1);
    match none {
        NoTurn::Busy => MembraneError::Busy { after_ms: timeout.as_millis() },
        NoTurn::HeldBack(wait) => MembraneError::Limited { wait },
    }
}

/// Returns the path of these segments, each of which may hold any character.
fn path_of(segments: &[&str]) -> Result<String, MembraneError> {
    // `Url` takes `.` and `..` for steps, however they are written.
    let odd = segments.iter().find(|segment| segment.is_empty() || matches!(**segment, "." | ".."));
    let url = Url::parse("http://upstream").ok().filter(|_| odd.is_none());
    let path = url.and_then(|mut url| {
        url.path_segments_mut().ok()?.clear().extend(segments);
        Some(url.path().to_owned())
    });
    path.ok_or_else(|| MembraneError::Unreachable("no path can name its connection or action".to_owned()))
}

fn with_query(path: &str, query: &Query<'_>) -> String {
    if query.is_empty() {
        return path.to_owned();
    }
    let url = [path, "?"].concat();
    let start = url.len();
    form_urlencoded::Serializer::for_suffix(url, start).extend_pairs(query).finish()
}

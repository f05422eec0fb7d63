//! Membrane's HTTP API: one method a call. Reads are sent again where that may help, runs never; nothing is sent to an
//! upstream that keeps failing. No cache: that is the [`MembraneActor`](super::MembraneActor)'s.

use std::{
    collections::HashSet,
    io,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use actix_tls::connect::ConnectError as ConnectFailure;
use awc::{
    ClientRequest, Connector,
    error::{ConnectError, PayloadError, SendRequestError},
    http::{
        Method, StatusCode,
        header::{self, HeaderValue},
    },
};
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::{
    error::{MembraneError, Refusal},
    model::{Action, Connection, Customer, Page},
    retry::{Retries, read_retry_after},
    upstream::Upstream,
    wire,
};
use crate::{
    config::{ApiVersion, Membrane as Settings},
    ids::{ActionKey, IntegrationKey},
    metrics::UpstreamRequest,
    token::AccessToken,
    trace::{Context, Kind, Span},
};

/// A client of the Membrane API. It lives on one thread, with its own connections.
pub struct MembraneClient {
    reads: awc::Client,
    /// Apart from the reads, so that actions that take their time leave these a connection.
    runs: awc::Client,
    connector: wire::Connector,
    settings: Settings,
    upstream: Arc<Upstream>,
}

/// Which actions a list is asked for.
#[derive(Debug, Clone)]
pub enum ActionsOf {
    /// Those of the integration with this id.
    IntegrationId(String),
    /// Those of the integration with this key.
    IntegrationKey(IntegrationKey),
}

type Query<'a> = [(&'static str, &'a str)];

/// Header by which requests are named, as many servers and proxies repeat it.
const REQUEST_ID: &str = "x-request-id";

/// Request to be sent.
struct Request<'a> {
    http: &'a awc::Client,
    method: Method,
    /// With its query.
    path: &'a str,
    /// JSON, or nothing.
    body: Bytes,
}

impl MembraneClient {
    /// A client for the API at `settings.base_url`, of which others may know something already.
    #[must_use]
    pub fn new(settings: &Settings, upstream: Arc<Upstream>) -> Self {
        let connector = wire::Connector::new(upstream.tls.clone());
        // Reads wait for their turn before they ask for a connection.
        let reads = http_client(settings, &connector, settings.concurrency.get());
        let runs = http_client(settings, &connector, settings.max_connections.get());
        Self { reads, runs, connector, settings: settings.clone(), upstream }
    }

    /// What is known of the upstream.
    #[must_use]
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// `GET /self`: the customer that the token speaks for.
    ///
    /// # Errors
    /// [`MembraneError`].
    pub async fn customer(&self, token: &AccessToken) -> Result<Customer, MembraneError> {
        self.get(token, "/self", &[]).await
    }

    /// `GET /connections`, all pages. `on_page` is told of each page, so that a caller learns at the first that the token
    /// was accepted.
    ///
    /// # Errors
    /// [`MembraneError`].
    pub async fn connections(
        &self,
        token: &AccessToken,
        integration: Option<&IntegrationKey>,
        on_page: impl Fn(),
    ) -> Result<Vec<Connection>, MembraneError> {
        let filter: Vec<_> = integration.iter().map(|key| ("integrationKey", key.as_str())).collect();
        self.pages(token, "/connections", &filter, on_page).await
    }

    /// `GET /actions` of an integration, all pages.
    ///
    /// # Errors
    /// [`MembraneError`].
    pub async fn actions(&self, token: &AccessToken, of: &ActionsOf) -> Result<Vec<Action>, MembraneError> {
        let filter = match of {
            ActionsOf::IntegrationId(id) => ("integrationId", id.as_str()),
            ActionsOf::IntegrationKey(key) => ("integrationKey", key.as_str()),
        };
        self.pages(token, "/actions", &[filter], || ()).await
    }

    /// `GET /action`: one action by its key, or nothing where there is none.
    ///
    /// # Errors
    /// [`MembraneError`].
    pub async fn action(
        &self,
        token: &AccessToken,
        integration: &IntegrationKey,
        action: &ActionKey,
    ) -> Result<Option<Action>, MembraneError> {
        let query = [("integrationKey", integration.as_str()), ("key", action.as_str())];
        match self.get(token, "/action", &query).await {
            Ok(action) => Ok(Some(action)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Runs an action with `input` exactly as it is. Gives its output: nothing where that is absent or null.
    ///
    /// # Errors
    /// [`MembraneError`].
    pub async fn run(
        &self,
        token: &AccessToken,
        integration: &IntegrationKey,
        action: &ActionKey,
        input: &RawValue,
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
            integration_key: &'a str,
            input: &'a RawValue,
        }
        let (integration, action) = (integration.as_str(), action.as_str());
        let (path, body) = match self.settings.api_version {
            ApiVersion::Legacy => {
                let query = [("autoCreate", "true"), ("integrationKey", integration), ("parentKey", action)];
                (with_query("/action-instance/run", &query), input.get().to_owned())
            }
            ApiVersion::V2025_10_21 => {
                let act = Act { key: action, integration_key: integration, input };
                ("/act".to_owned(), crate::protocol::json::to_string(&act))
            }
        };
        let read_output = |bytes: &Bytes| match bytes.is_empty() {
            true => Ok(None),
            false => read::<Run>(bytes).map(|run| run.output),
        };
        let request = Request { http: &self.runs, method: Method::POST, path: &path, body: body.into() };
        let exchange = self.exchange(request, token, self.settings.run_timeout);
        let outcome = self.observe("run", async { read_output(&exchange.await?) }).await;
        // How long an action takes is its own affair.
        self.note(&outcome, !matches!(&outcome, Err(MembraneError::Timeout { .. })));
        outcome
    }

    /// Walks a list to its end.
    async fn pages<T: DeserializeOwned>(
        &self,
        token: &AccessToken,
        path: &'static str,
        filter: &Query<'_>,
        on_page: impl Fn(),
    ) -> Result<Vec<T>, MembraneError> {
        let limit = self.settings.page_size.get().to_string();
        let mut items = Vec::new();
        let mut seen = HashSet::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut query = filter.to_vec();
            query.push(("limit", &limit));
            if let Some(cursor) = &cursor {
                query.push(("cursor", cursor));
            }
            let page: Page = self.get(token, path, &query).await?;
            on_page();
            items.extend(page.items.iter().filter_map(|item| {
                crate::protocol::json::read(item)
                    .inspect_err(|error| log::warn!(path; "skipped an item of a list: {error}"))
                    .ok()
            }));
            cursor = page.cursor.filter(|cursor| !cursor.is_empty());
            match &cursor {
                None => return Ok(items),
                Some(cursor) if !seen.insert(cursor.clone()) => return Err(MembraneError::EndlessList),
                Some(_) => {}
            }
        }
    }

    async fn get<T: DeserializeOwned>(
        &self,
        token: &AccessToken,
        path: &'static str,
        query: &Query<'_>,
    ) -> Result<T, MembraneError> {
        let url = with_query(path, query);
        let mut retries =
            Retries::new(&self.upstream.budget, self.settings.retries.get(), self.settings.max_retry_wait);
        loop {
            // Closed never: whoever waits gets its turn.
            let turn = self.upstream.reads.acquire().await;
            let request = Request { http: &self.reads, method: Method::GET, path: &url, body: Bytes::new() };
            let exchange = self.exchange(request, token, self.settings.read_timeout);
            let outcome = self.observe(path.trim_start_matches('/'), async { read(&exchange.await?) }).await;
            self.note(&outcome, true);
            let wait = outcome.as_ref().err().and_then(|error| retries.wait_after(error));
            let Some(wait) = wait else { return outcome };
            metrics::counter!("mcp_upstream_retries_total").increment(1);
            log::debug!(path; "a read is sent again in {} ms", wait.as_millis());
            drop(turn);
            tokio::time::sleep(wait).await;
        }
    }

    /// Sends a request, if the breaker lets it, and counts what comes of it.
    async fn observe<T>(
        &self,
        endpoint: &'static str,
        exchange: impl Future<Output = Result<T, MembraneError>>,
    ) -> Result<T, MembraneError> {
        self.upstream.breaker.admit(Instant::now()).map_err(|wait| MembraneError::Paused { wait })?;
        let request = UpstreamRequest::begin(endpoint);
        let outcome = exchange.await;
        request.end(outcome.as_ref().err().map_or("success", MembraneError::label));
        outcome
    }

    /// Tells the breaker how the upstream is, as far as an outcome shows it.
    fn note<T>(&self, outcome: &Result<T, MembraneError>, shows_it: bool) {
        match outcome {
            Err(MembraneError::Paused { .. }) => {}
            Err(error) if error.is_trouble() && shows_it => self.upstream.breaker.fail(Instant::now()),
            Err(error) if error.is_trouble() => {}
            _ => self.upstream.breaker.succeed(),
        }
    }

    /// Sends a request and reads the whole answer, all within `deadline`.
    async fn exchange(
        &self,
        request: Request<'_>,
        token: &AccessToken,
        deadline: Duration,
    ) -> Result<Bytes, MembraneError> {
        let path = request.path.split_once('?').map_or(request.path, |(path, _)| path);
        let mut span = Span::begin(Kind::Client, Context::current(), format_args!("{} {path}", request.method));
        span.note("http.request.method", &request.method);
        span.note("server.address", self.upstream.url.host().unwrap_or_default());
        let outcome = tokio::time::timeout(deadline, self.send(request, token, &mut span)).await;
        let outcome = outcome.unwrap_or(Err(MembraneError::Timeout { after_ms: deadline.as_millis() }));
        match &outcome {
            Ok(_) => {}
            Err(MembraneError::Refused(refusal)) => span.fail(refusal.status),
            Err(_) => span.fail("no_answer"),
        }
        outcome
    }

    async fn send(&self, request: Request<'_>, token: &AccessToken, span: &mut Span) -> Result<Bytes, MembraneError> {
        let tag = self.upstream.tags.next();
        let (http, body) = self.prepare(request, token, &tag).await?;
        let http = span.context().headers().fold(http, ClientRequest::insert_header);
        let mut response = http.send_body(body).await.map_err(|error| not_sent(&error))?;
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        if header(REQUEST_ID).is_some_and(|id| self.upstream.tags.is_of_another(id, &tag)) {
            // Dropped before its body is read, its connection is closed.
            return Err(MembraneError::Broken("it answers another request".to_owned()));
        }
        let status = response.status();
        let retry_after = header(header::RETRY_AFTER.as_str());
        let retry_after = retry_after.and_then(|value| read_retry_after(value, SystemTime::now()));
        let limit = self.settings.max_response_bytes.get();
        let bytes = response.body().limit(limit).await.map_err(|error| match error {
            PayloadError::Overflow => MembraneError::TooLarge { limit },
            other => MembraneError::Broken(other.to_string()),
        })?;
        span.count("http.response.status_code", status.as_u16().into());
        if status.is_success() && (status == StatusCode::NO_CONTENT || !bytes.is_empty()) {
            Ok(bytes)
        } else if status.is_success() {
            Err(MembraneError::Malformed("it is empty".to_owned()))
        } else {
            // What it says of a token is told on and logged; the token is not.
            let text = String::from_utf8_lossy(&bytes);
            let text = token.secret().hide_in(&text);
            let refusal = Refusal { retry_after, ..Refusal::read(status.as_u16(), text.as_bytes()) };
            Err(MembraneError::Refused(refusal.into()))
        }
    }

    /// Writes the head of a request in the version of HTTP that the upstream speaks. `tag` names the request, for an upstream
    /// that repeats it.
    async fn prepare(
        &self,
        request: Request<'_>,
        token: &AccessToken,
        tag: &str,
    ) -> Result<(ClientRequest, Bytes), MembraneError> {
        let learnt = tokio::time::timeout(self.settings.connect_timeout, self.connector.protocol(&self.upstream.url));
        let learnt = learnt.await.unwrap_or(Err(ConnectFailure::Io(io::ErrorKind::TimedOut.into())));
        let protocol = learnt.map_err(|error| not_connected(&error.into()))?;
        let Request { http, method, path, body } = request;
        let http = http.request(method, self.upstream.address(protocol, path));
        let http = match body.is_empty() {
            true => http,
            false => http.content_type("application/json"),
        };
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.secret().reveal()))
            // A token has no characters that a header can't have.
            .unwrap_or(HeaderValue::from_static(""));
        // HTTP libraries log the heads that they send.
        bearer.set_sensitive(true);
        let http =
            http.insert_header((header::AUTHORIZATION, bearer)).insert_header((header::ACCEPT, "application/json"));
        Ok((http.insert_header((REQUEST_ID, tag)), body))
    }
}

fn http_client(settings: &Settings, connector: &wire::Connector, max_connections: usize) -> awc::Client {
    let connector = Connector::new()
        .connector(connector.clone())
        .timeout(settings.connect_timeout)
        .limit(max_connections)
        // Shorter than servers keep theirs, which is 5 s with some: a connection must not be used as it is closed.
        .conn_keep_alive(Duration::from_secs(4));
    let mut builder = awc::Client::builder()
        .connector(connector)
        // Each call has one deadline for head and body, see `exchange`.
        .disable_timeout()
        // A redirect could carry the token to another host.
        .disable_redirects()
        .add_default_header((header::USER_AGENT, concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"))));
    if settings.api_version == ApiVersion::V2025_10_21 {
        builder = builder.add_default_header(("membrane-api-version", "2025-10-21"));
    }
    builder.finish()
}

fn with_query(path: &str, query: &Query<'_>) -> String {
    // Pairs of texts always encode.
    let query = serde_urlencoded::to_string(query).unwrap_or_default();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, MembraneError> {
    serde_json::from_slice(bytes).map_err(|error| MembraneError::Malformed(error.to_string()))
}

fn not_sent(error: &SendRequestError) -> MembraneError {
    match error {
        SendRequestError::Connect(error) => not_connected(error),
        SendRequestError::Url(error) => MembraneError::Unreachable(error.to_string()),
        other => MembraneError::Broken(other.to_string()),
    }
}

fn not_connected(error: &ConnectError) -> MembraneError {
    MembraneError::Unreachable(match error {
        ConnectError::Timeout => "no connection in time".to_owned(),
        ConnectError::Io(error) if error.kind() == io::ErrorKind::TimedOut => "no connection in time".to_owned(),
        ConnectError::Resolver(error) => format!("its name can't be resolved: {error}"),
        ConnectError::NoRecords => "its name can't be resolved: it has no address".to_owned(),
        ConnectError::Io(error) if wire::is_of_tls(error) => format!("no secure connection (TLS): {error}"),
        other => other.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::config::{Sources, load};

    #[actix::test]
    async fn a_request_that_is_logged_does_not_show_its_token() {
        let settings = load(&Sources::default()).unwrap();
        let token = AccessToken::parse("pat-of-a-user", SystemTime::now()).unwrap();
        let upstream =
            Upstream::new(&Settings { base_url: "http://127.0.0.1".to_owned(), ..settings.membrane.clone() });
        let client = MembraneClient::new(&settings.membrane, Arc::new(upstream.unwrap()));
        let request = Request { http: &client.reads, method: Method::GET, path: "/self", body: Bytes::new() };
        let (request, _) = client.prepare(request, &token, "tag").await.unwrap();
        assert_eq!(request.headers().get(header::AUTHORIZATION).unwrap(), "Bearer pat-of-a-user");
        assert!(!format!("{:?}", request.headers()).contains("pat-"), "{:?}", request.headers());
    }
}

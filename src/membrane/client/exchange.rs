//! One request to the upstream and its answer: written, tagged, sent, and read within its bounds.

use std::{
    convert::Infallible,
    io, iter,
    time::{Duration, SystemTime},
};

use actix_tls::connect::ConnectError as ConnectFailure;
use awc::{
    ClientRequest, Connector,
    body::SizedStream,
    error::{ConnectError, SendRequestError},
    http::{
        Method,
        header::{self, HeaderName, HeaderValue},
    },
};
use bytes::Bytes;
use futures_util::stream;

use super::{MembraneClient, body};
use crate::{
    config::{ApiVersion, Settings},
    membrane::{
        error::{MembraneError, Refusal},
        retry::read_retry_after,
        wire::{self, Protocol},
    },
    token::AccessToken,
    trace::{Context, Span, SpanKind},
};

/// Header by which requests are named, as many servers and proxies repeat it.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Media type of requests and responses.
const JSON: &str = "application/json";

/// Bytes of a body that are handed to the connection at once. awc copies what it is handed, so that a large body at once would be
/// in memory twice.
const PART_BYTES: usize = 256 << 10;

/// Request that is to be sent to the upstream.
pub(super) struct OutgoingRequest<'a> {
    pub http: &'a awc::Client,
    pub method: Method,
    /// Path below the upstream's URL, with its query.
    pub path: &'a str,
    /// JSON, or empty where the method has no body.
    pub body: Bytes,
}

impl MembraneClient {
    /// Sends a request and reads the whole answer, all within `deadline`.
    pub(super) async fn exchange(
        &self,
        request: OutgoingRequest<'_>,
        token: &AccessToken,
        deadline: Duration,
    ) -> Result<Bytes, MembraneError> {
        let path = request.path.split_once('?').map_or(request.path, |(path, _)| path);
        let mut span = Span::begin(SpanKind::Client, Context::current(), format_args!("{} {path}", request.method));
        span.note("http.request.method", &request.method);
        span.note("server.address", self.upstream.url.host().unwrap_or_default());
        // On the heap: it is some kilobytes, which would be moved into each future around it.
        let sent = Box::pin(self.send(request, token, &mut span));
        // By a local of the task, as awc hands its connector nothing but the URL.
        let sent = wire::Connector::with_token(token.fingerprint(), sent);
        let outcome = tokio::time::timeout(deadline, sent).await;
        let outcome = outcome.unwrap_or(Err(MembraneError::Timeout { after_ms: deadline.as_millis() }));
        match &outcome {
            Ok(_) => {}
            Err(MembraneError::Refused(refusal)) => span.fail(refusal.status),
            Err(_) => span.fail("no_answer"),
        }
        outcome
    }

    async fn send(
        &self,
        request: OutgoingRequest<'_>,
        token: &AccessToken,
        span: &mut Span,
    ) -> Result<Bytes, MembraneError> {
        let tag = self.upstream.tags.next();
        let (http, body) = self.prepare(request, token, &tag).await?;
        let http = span.context().headers().fold(http, ClientRequest::insert_header);
        let sent = match body.len() {
            ..=PART_BYTES => http.send_body(body),
            length => http.send_body(SizedStream::new(length as u64, stream::iter(parts(body)))),
        };
        let response = sent.await.map_err(|error| not_sent(&error))?;
        let header = |name: HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
        if header(REQUEST_ID).is_some_and(|id| self.upstream.tags.is_of_another(id, &tag)) {
            // Dropped before its body is read, its connection is closed.
            return Err(MembraneError::Broken("it answers another request".to_owned()));
        }
        let status = response.status();
        let retry_after = header(header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| read_retry_after(value, SystemTime::now()));
        let announced = header(header::CONTENT_LENGTH).and_then(|value| value.parse().ok());
        let limit = self.tuning.max_response_bytes;
        let bytes = body::read(response, announced, limit).await?;
        span.count("http.response.status_code", status.as_u16().into());
        let length = bytes.len();
        if status.is_success() {
            return Ok(bytes);
        }
        let (status, secret) = (status.as_u16(), token.secret().clone());
        let read = move || {
            // The words of a refusal are told on and logged, and may quote the token.
            let text = String::from_utf8_lossy(&bytes);
            Refusal::read(status, secret.hide_in(&text).as_bytes())
        };
        let refusal = self.upstream.pool.run(length, read).await.unwrap_or_else(|| Refusal::read(status, b""));
        Err(MembraneError::Refused(Refusal { retry_after, ..refusal }.into()))
    }

    /// Returns a request to a path of the upstream's host, without a token.
    pub(super) async fn anonymous(&self, method: Method, path: &str) -> Result<ClientRequest, MembraneError> {
        let protocol = self.protocol().await?;
        Ok(self.reads.request(method, self.upstream.address_of_host(protocol, path)))
    }

    /// Returns which HTTP the upstream speaks.
    async fn protocol(&self) -> Result<Protocol, MembraneError> {
        match self.connector.known_protocol() {
            Some(protocol) => Ok(protocol),
            None => self.learn_protocol().await,
        }
    }

    /// Finds out which HTTP the upstream speaks, in the time that connecting may take.
    async fn learn_protocol(&self) -> Result<Protocol, MembraneError> {
        let learnt = tokio::time::timeout(self.tuning.connect_timeout, self.connector.protocol(&self.upstream.url));
        let learnt = learnt.await.unwrap_or(Err(ConnectFailure::Io(io::ErrorKind::TimedOut.into())));
        learnt.map_err(|error| not_connected(&error.into()))
    }

    /// Writes the head of a request in the version of HTTP that the upstream speaks. `tag` names the request, for an upstream
    /// that repeats it.
    async fn prepare(
        &self,
        request: OutgoingRequest<'_>,
        token: &AccessToken,
        tag: &str,
    ) -> Result<(ClientRequest, Bytes), MembraneError> {
        let protocol = self.protocol().await?;
        let OutgoingRequest { http, method, path, body } = request;
        let mut http = http.request(method, self.upstream.address(protocol, path));
        let bearer = Bytes::from(["Bearer ", token.secret().reveal()].concat());
        // A token has no characters that a header can't have.
        let mut bearer = HeaderValue::from_maybe_shared(bearer).unwrap_or(HeaderValue::from_static(""));
        // HTTP libraries log the heads that they send.
        bearer.set_sensitive(true);
        // A tag is digits and letters.
        let tag = HeaderValue::from_str(tag).unwrap_or(HeaderValue::from_static(""));
        // Written one by one: each step of the builder would move the request, which is large.
        let headers = http.headers_mut();
        if !body.is_empty() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
        }
        headers.insert(header::ACCEPT, HeaderValue::from_static(JSON));
        headers.insert(header::AUTHORIZATION, bearer);
        headers.insert(REQUEST_ID, tag);
        Ok((http, body))
    }
}

/// Returns the parts of a body, which share its bytes.
fn parts(mut body: Bytes) -> impl Iterator<Item = Result<Bytes, Infallible>> {
    iter::from_fn(move || {
        let part = body.split_to(body.len().min(PART_BYTES));
        (!part.is_empty()).then_some(Ok(part))
    })
}

/// Returns an HTTP client that opens at most so many connections.
pub(super) fn http_client(settings: &Settings, connector: &wire::Connector, max_connections: usize) -> awc::Client {
    let connector = Connector::new()
        .connector(connector.clone())
        .timeout(settings.tuning.connect_timeout)
        .limit(max_connections)
        // Of HTTP/2, shorter than servers keep theirs, which is 5 s with some: a connection must not be used as it is closed.
        .conn_keep_alive(Duration::from_secs(4));
    let mut builder = awc::Client::builder()
        .connector(connector)
        // Each call has one deadline for head and body, see `exchange`.
        .disable_timeout()
        // A redirect could carry the token to another host.
        .disable_redirects()
        .add_default_header((header::USER_AGENT, concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"))));
    if settings.membrane.api_version == ApiVersion::V2025_10_21 {
        builder = builder.add_default_header(("membrane-api-version", "2025-10-21"));
    }
    builder.finish()
}

pub(super) fn not_sent(error: &SendRequestError) -> MembraneError {
    match error {
        // `awc` calls it so when the connection is closed while an answer is awaited: the request had been sent.
        SendRequestError::Connect(ConnectError::Disconnected) => {
            MembraneError::Broken("the connection was closed before an answer".to_owned())
        }
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
    use std::sync::Arc;

    use super::*;
    use crate::{
        config::{Sources, load},
        membrane::Upstream,
    };

    #[test]
    fn the_parts_of_a_body_are_all_of_it_and_share_its_bytes() {
        for length in [0, 1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES] {
            let body = Bytes::from((0..=250).cycle().take(length).collect::<Vec<u8>>());
            let parts: Vec<_> = parts(body.clone()).map(Result::unwrap).collect();
            assert_eq!(parts.concat(), body, "{length}");
            assert!(parts.iter().all(|part| part.len() <= PART_BYTES && body.as_ptr_range().contains(&part.as_ptr())));
        }
    }

    #[actix::test]
    async fn a_request_that_is_logged_does_not_show_its_token() {
        let mut settings = load(&Sources::default()).unwrap();
        "http://127.0.0.1".clone_into(&mut settings.membrane.base_url);
        let token = AccessToken::parse("pat-of-a-user", SystemTime::now()).unwrap();
        let upstream = Upstream::new(&settings);
        let client = MembraneClient::new(&settings, Arc::new(upstream.unwrap()));
        let http = awc::Client::builder().finish();
        let request = OutgoingRequest { http: &http, method: Method::GET, path: "/self", body: Bytes::new() };
        let (request, _) = client.prepare(request, &token, "tag").await.unwrap();
        assert_eq!(request.headers().get(header::AUTHORIZATION).unwrap(), "Bearer pat-of-a-user");
        assert!(!format!("{:?}", request.headers()).contains("pat-"), "{:?}", request.headers());
    }
}

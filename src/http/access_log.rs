//! One log line for each request: method, path without query, status, milliseconds until the answer begins, and who asked
//! for what. The metrics learn of the same request by its route.

use std::{borrow::Cow, cell::Cell, fmt, time::Instant};

use actix_web::{
    Error, HttpMessage, HttpRequest,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{
        ConnectionType, Method,
        header::{HeaderName, HeaderValue},
    },
    middleware::Next,
};
use bytes::Bytes;
use log::kv::Value;
use uuid::Uuid;

use super::spans;
use crate::{
    ids::{ChatId, SessionId, UserKey},
    metrics,
    protocol::revision::Era,
};

/// By which a request can be found in the log. Taken from the client where that is sane, and returned.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id taken from a client, in bytes.
const MAX_REQUEST_ID: usize = 128;

/// The id of a request: visible ASCII.
#[derive(Debug, Clone)]
pub struct RequestTag(HeaderValue);

impl RequestTag {
    /// Returns the client's own id, where that can stand in a log line, else a new one.
    fn of(request: &ServiceRequest) -> Self {
        let visible = |value: &HeaderValue| {
            let bytes = value.as_bytes();
            (1..=MAX_REQUEST_ID).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
        };
        let sent = request.headers().get(REQUEST_ID).filter(|value| visible(value));
        // Digits are a sound value.
        let drawn = || HeaderValue::from_maybe_shared(Bytes::from(draw())).unwrap_or(HeaderValue::from_static("-"));
        Self(sent.cloned().unwrap_or_else(drawn))
    }
}

/// Returns a new id: a number drawn once for each thread, and how many came before on it.
fn draw() -> String {
    thread_local! { static NEXT: Cell<(u64, u64)> = Cell::new((Uuid::new_v4().as_u64_pair().0, 0)); }
    let (thread, number) = NEXT.get();
    NEXT.set((thread, number + 1));
    format!("{thread:016x}-{number}")
}

impl RequestTag {
    /// Returns the id that a request was given.
    pub fn given(request: &HttpRequest) -> Self {
        // Each request passed [`log_requests`].
        request.extensions().get().map_or(Self(HeaderValue::from_static("-")), |line: &Line| line.id.clone())
    }
}

impl fmt::Display for RequestTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.to_str().unwrap_or("-"))
    }
}

/// The line of a request, with what handlers add to it.
#[derive(Debug)]
pub struct Line {
    id: RequestTag,
    /// User of the token, once authentication has found it out.
    pub user: Option<UserKey>,
    /// Chat that the request names, if any.
    pub chat: Option<ChatId>,
    /// Session of the request, once it is known.
    pub session: Option<SessionId>,
    /// JSON-RPC method, as the client wrote it.
    pub rpc: Option<Cow<'static, str>>,
    /// The era in which it was asked.
    pub era: Option<Era>,
}

impl Line {
    fn new(id: RequestTag) -> Self {
        Self { id, user: None, chat: None, session: None, rpc: None, era: None }
    }
}

/// Adds to the line of a request.
pub fn note(request: &HttpRequest, add: impl FnOnce(&mut Line)) {
    if let Some(line) = request.extensions_mut().get_mut() {
        add(line);
    }
}

/// Counts the request and writes the line when the answer begins.
///
/// # Errors
/// Those of the service around which it stands.
pub async fn log_requests<B: MessageBody>(request: ServiceRequest, next: Next<B>) -> Result<ServiceResponse<B>, Error> {
    let begin = Instant::now();
    let id = RequestTag::of(&request);
    request.extensions_mut().insert(Line::new(id.clone()));
    let mut span = spans::of_request(&request, method(request.method()), route(request.path()));
    let mut response = span.context().around(next.call(request)).await?;
    response.headers_mut().insert(REQUEST_ID, id.0.clone());
    let (request, status, time) = (response.request(), response.status().as_u16(), begin.elapsed());
    let line = request.extensions_mut().remove().unwrap_or_else(|| Line::new(id.clone()));
    let era = line.era.map_or("none", Era::as_str);
    span.count("http.response.status_code", status.into());
    span.note("http.response.header.x-request-id", &id);
    if status >= 500 {
        span.fail(status);
    }
    metrics::Request { method: method(request.method()), route: route(request.path()), era, status }.count(time);
    log::info!(
        target: "access",
        method = request.method().as_str(),
        path = request.path(),
        status,
        ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
        request:% = id,
        user = line.user.as_ref().map(Value::from_display),
        chat = line.chat.as_ref().map(ChatId::as_str),
        session = line.session.as_ref().map(Value::from_display),
        rpc = line.rpc.as_deref();
        "request"
    );
    if line.user.is_none() {
        // How long a head takes is bounded for the first of a connection alone. Only who was let in may send a second.
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    Ok(response)
}

/// Returns the label of an HTTP method; unknown ones share one.
fn method(method: &Method) -> &'static str {
    let known = [Method::GET, Method::POST, Method::DELETE, Method::HEAD, Method::OPTIONS];
    let labels = ["GET", "POST", "DELETE", "HEAD", "OPTIONS"];
    known.iter().zip(labels).find(|(known, _)| *known == method).map_or("other", |(_, label)| label)
}

/// Returns the route of a path as a label: what anybody may put into a URL is none.
fn route(path: &str) -> &'static str {
    const ROUTES: [&str; 9] = [
        "/mcp",
        "/mcp/sessions",
        "/sse",
        "/sse/messages",
        "/webhooks/membrane",
        "/oauth/authorize",
        "/healthz",
        "/readyz",
        "/",
    ];
    let known = ROUTES.into_iter().find(|route| *route == path);
    known.unwrap_or_else(|| if path.starts_with("/.well-known/") { "/.well-known/*" } else { "other" })
}

//! One log line for each request: method, path without query, status, milliseconds until the answer begins, and who asked
//! for what; of a refused one also the reason and the client's address. The metrics learn of the same request by its route.

use std::{borrow::Cow, cell::Cell, time::Instant};

use actix_web::{
    Error, HttpMessage, HttpRequest,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{
        ConnectionType, Method,
        header::{HeaderName, HeaderValue},
    },
    middleware::Next,
    web::Data,
};
use bytes::Bytes;
use log::kv::Value;
use percent_encoding::percent_decode_str;
use uuid::Uuid;

use super::{address, connect, reply::Reason, spans, worker::Worker};
use crate::{
    ids::{ChatId, ClientAddress, RequestTag, SessionId, UserKey},
    metrics,
    protocol::revision::Era,
};

/// By which a request can be found in the log. Taken from the client where that is sane, and returned.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Route of pages on which users connect accounts.
const CONNECT: &str = "/connect/*";

/// Characters of a reason in a line: it may repeat what the client sent.
const MAX_REASON_CHARS: usize = 512;

/// Returns the client's own id of a request, where that can stand in a log line, else a new one.
fn tag(request: &ServiceRequest) -> RequestTag {
    let sent = request.headers().get(REQUEST_ID).map(|value| Bytes::copy_from_slice(value.as_bytes()));
    // Digits and a hyphen are a sound id.
    sent.and_then(RequestTag::parse).or_else(|| RequestTag::parse(draw().into())).unwrap_or(RequestTag::NONE)
}

/// Returns a new id: a number drawn once for each thread, and how many came before on it.
fn draw() -> String {
    thread_local! {
        static THREAD: String = format!("{:016x}-", Uuid::new_v4().as_u64_pair().0);
        static NEXT: Cell<u64> = const { Cell::new(0) };
    }
    let number = NEXT.replace(NEXT.get() + 1).to_string();
    THREAD.with(|thread| [thread.as_str(), &number].concat())
}

/// Returns the id that a request was given.
pub fn tag_of(request: &HttpRequest) -> RequestTag {
    // Each request passed [`log_requests`].
    request.extensions().get().map_or(RequestTag::NONE, |line: &Line| line.id.clone())
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
    let id = tag(&request);
    request.extensions_mut().insert(Line::new(id.clone()));
    let mut span = spans::of_request(&request, method(request.method()), route(request.path()));
    let mut response = span.context().around(next.call(request)).await?;
    if let Ok(value) = HeaderValue::from_maybe_shared(id.bytes().clone()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let (request, status, time) = (response.request(), response.status().as_u16(), begin.elapsed());
    let line = request.extensions_mut().remove().unwrap_or_else(|| Line::new(id.clone()));
    let era = line.era.map_or("none", Era::as_str);
    let reason = (status >= 400).then(|| reason(&response)).flatten();
    let address = (status >= 400).then(|| address(request)).flatten();
    span.count("http.response.status_code", status.into());
    span.note("http.response.header.x-request-id", &id);
    if status >= 500 {
        span.fail(status);
    }
    metrics::AnsweredRequest { method: method(request.method()), route: route(request.path()), era, status }
        .count(time);
    log::info!(
        target: "access",
        method = request.method().as_str(),
        path = shown(request.path()),
        status,
        ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
        request:% = id,
        user = line.user.as_ref().map(Value::from_display),
        chat = line.chat.as_ref().map(ChatId::as_str),
        session = line.session.as_ref().map(Value::from_display),
        rpc = line.rpc.as_deref(),
        address = address.as_ref().map(Value::from_display),
        reason = reason.as_deref();
        "request"
    );
    if line.user.is_none() {
        // How long a head takes is bounded for the first of a connection alone. Only who was let in may send a second.
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    Ok(response)
}

/// Returns why a request was refused, as far as a log line needs it.
fn reason<B>(response: &ServiceResponse<B>) -> Option<String> {
    let extensions = response.response().extensions();
    extensions.get().map(|Reason(text)| text.chars().take(MAX_REASON_CHARS).collect())
}

/// Returns where a request came from.
fn address(request: &HttpRequest) -> Option<ClientAddress> {
    let worker = request.app_data::<Data<Worker>>()?;
    Some(address::of(request, worker.settings.server.proxies.get()))
}

/// Returns the label of an HTTP method; unknown ones share one.
fn method(method: &Method) -> &'static str {
    let known = [Method::GET, Method::POST, Method::DELETE, Method::HEAD, Method::OPTIONS];
    let labels = ["GET", "POST", "DELETE", "HEAD", "OPTIONS"];
    known.iter().zip(labels).find(|(known, _)| *known == method).map_or("other", |(_, label)| label)
}

/// Returns the route of a path as a label: what anybody may put into a URL is none.
// actix-web's `match_pattern` knows no route of a request that a middleware has refused before routing, which are those that an
// operator looks for, and writes a new text for each of the others.
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
    known.unwrap_or_else(|| match path {
        path if path.starts_with("/.well-known/") => "/.well-known/*",
        path if path.starts_with(connect::PREFIX) => CONNECT,
        _ => "other",
    })
}

/// Returns a path as the log shows it: one that is a link leads whoever knows it on.
pub(super) fn shown(path: &str) -> &str {
    // Wherever it stands, and however it is written: with doubled slashes and escapes the path leads to the same page.
    let plain = percent_decode_str(path).decode_utf8_lossy();
    if plain.contains(connect::PREFIX) { CONNECT } else { path }
}

//! Answers as HTTP responses: JSON, events, and errors with the headers that belong to them.

use std::time::Duration;

use actix_web::{
    HttpRequest, HttpResponse,
    body::MessageBody,
    http::{
        Method, StatusCode,
        header::{
            ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue,
            RETRY_AFTER, VARY, WWW_AUTHENTICATE,
        },
    },
    web,
};
use actix_web_lab::sse;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use metrics::gauge;
use serde::Serialize;

use super::{body::ChunkedBody, headers::Accepts};
use crate::{
    chunks::{Chunk, gzip, into_bytes},
    config::Tuning,
    error::Error,
    http::error::HttpError,
    protocol::{
        json,
        jsonrpc::{self, RequestId},
        revision::Era,
    },
    session::event_log::Logged,
    token::TokenProblem,
};

/// Seconds after which a client may try again when the upstream could not be asked.
const RETRY_AFTER_S: &str = "5";

/// Characters of a reason in a header: clients refuse heads that are too long.
const MAX_DESCRIPTION_CHARS: usize = 256;

/// Size below which nothing is compressed: that fits into a packet or two in any case.
const MIN_COMPRESSED_BYTES: usize = 2048;

/// Proxies must not hold events back.
const NO_BUFFERING: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));

/// Reason why a request was refused, for the log. It is among the extensions of the response.
#[derive(Debug)]
pub struct Reason(pub String);

/// Returns an error as a response, with the status of its era.
#[must_use]
pub fn error(id: Option<&RequestId>, error: &HttpError, era: Era) -> HttpResponse {
    let status = error.status(era);
    let mut response = HttpResponse::build(status);
    match error {
        // A cancelled request is not answered (MCP 2025-11-25, basic/utilities/cancellation).
        HttpError::Other(Error::Cancelled) => return response.finish(),
        HttpError::Other(Error::Unauthenticated(problem)) => {
            response.insert_header((WWW_AUTHENTICATE, challenge(problem)));
        }
        HttpError::UnsupportedMediaType => {
            response.insert_header((ACCEPT, "application/json"));
        }
        HttpError::UnsupportedCoding => {
            response.insert_header((ACCEPT_ENCODING, "identity"));
        }
        HttpError::Busy
        | HttpError::TooManyBytes
        | HttpError::Other(
            Error::UpstreamUnavailable(_)
            | Error::StoreUnavailable
            | Error::Full
            | Error::Stopping
            | Error::TooMany { .. },
        ) => {
            response.insert_header((RETRY_AFTER, RETRY_AFTER_S));
        }
        HttpError::Other(Error::TooManyFailures { wait }) => {
            response.insert_header((RETRY_AFTER, wait.as_secs() + 1));
        }
        // What is left of the request is not waited for.
        HttpError::TooSlow => {
            response.force_close();
        }
        _ => {}
    }
    let body = match id {
        // A request that was refused by its head has an id that was not read: `null` (JSON-RPC 2.0 § 5). Python's SDK shows
        // the message of no other error. Of a body that could not be read, MCP wants no id at all.
        None if !matches!(status, StatusCode::OK | StatusCode::BAD_REQUEST) => jsonrpc::refusal(&error.object(era)),
        id => jsonrpc::error_response(id, &error.object(era)),
    };
    let content_type = match error {
        // Python's SDK takes JSON for the answer to the request, and any other 404 for the end of the session, on which
        // Google's ADK and others open a new one. Agents that look for -32000 read the text.
        HttpError::Other(Error::SessionNotFound) => "text/plain; charset=utf-8",
        _ => "application/json",
    };
    let mut response = response.content_type(content_type).body(body);
    response.extensions_mut().insert(Reason(error.to_string()));
    response
}

/// Returns the `WWW-Authenticate` challenge (RFC 6750 § 3). Without a token, or with another scheme, there is no error to
/// name.
fn challenge(problem: &TokenProblem) -> String {
    if matches!(problem, TokenProblem::Missing | TokenProblem::NotBearer) {
        return "Bearer realm=\"mcp\"".to_owned();
    }
    let quotable = |c: &char| matches!(c, ' '..='~') && !matches!(c, '"' | '\\');
    let description: String = problem.to_string().chars().filter(quotable).take(MAX_DESCRIPTION_CHARS).collect();
    format!("Bearer realm=\"mcp\", error=\"invalid_token\", error_description=\"{description}\"")
}

/// Returns a message in pieces. What lists are made of is sent compressed to whoever takes that, and compressed when
/// that first happens.
pub async fn answer(message: Vec<Chunk>, accepts: Accepts) -> HttpResponse {
    let listings = || message.iter().filter_map(Chunk::listing);
    if listings().map(|listing| listing.json().len()).sum::<usize>() < MIN_COMPRESSED_BYTES {
        return json(into_bytes(message));
    }
    let mut response = if accepts.gzip { compressed(message).await } else { json(into_bytes(message)) };
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept-encoding"));
    response
}

async fn compressed(message: Vec<Chunk>) -> HttpResponse {
    let listings = || message.iter().filter_map(Chunk::listing);
    let to_do: Vec<_> = listings().filter(|listing| !listing.is_deflated()).cloned().collect();
    if !to_do.is_empty() {
        // It takes longer than a worker may be kept. What can't be done then is sent as it is.
        let _ = web::block(move || to_do.iter().for_each(|listing| listing.deflate())).await;
    }
    match gzip(&message) {
        Some(compressed) => {
            let mut response = json(compressed);
            response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            response
        }
        None => json(into_bytes(message)),
    }
}

/// Returns JSON in pieces as a response.
#[must_use]
pub fn json(chunks: Vec<Bytes>) -> HttpResponse {
    let mut response = HttpResponse::with_body(StatusCode::OK, ChunkedBody::new(chunks)).map_into_boxed_body();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Returns any value as a JSON response.
#[must_use]
pub fn json_value<T: Serialize>(value: &T) -> HttpResponse {
    json(vec![json::to_string(value).into()])
}

/// Returns a JSON-RPC message as an event.
pub fn message(chunks: &[Bytes]) -> sse::Event {
    // Our messages are JSON, which is text; should one not be, the client sees where.
    let text = String::from_utf8(chunks.concat()).unwrap_or_else(|error| error.to_string());
    sse::Event::Data(sse::Data::new(json::on_one_line(text)).event("message"))
}

/// Returns an event of a stream that can be resumed.
fn logged(event: &Logged) -> sse::Event {
    let (id, message) = (event.name().to_string(), &event.message);
    match message.is_empty() {
        // An event without data tells its id and nothing else.
        true => sse::Event::Data(sse::Data::new("").id(id)),
        false => match self::message(message) {
            sse::Event::Data(data) => sse::Event::Data(data.id(id)),
            comment @ sse::Event::Comment(_) => comment,
        },
    }
}

/// Returns a stream of events, with comments that keep it open.
pub fn events(events: impl Stream<Item = sse::Event> + 'static, keep_alive: Duration) -> HttpResponse {
    stream(sse::Sse::from_infallible_stream(Open::count(events)).with_keep_alive(keep_alive))
}

/// Returns a stream that can be resumed. It begins by saying how soon to come back for it.
pub fn resumable(events: impl Stream<Item = Logged> + 'static, tuning: &Tuning) -> HttpResponse {
    let events = events.map(|event| logged(&event));
    let stream = sse::Sse::from_infallible_stream(Open::count(events));
    self::stream(stream.with_keep_alive(tuning.stream_keep_alive).with_retry_duration(tuning.stream_retry))
}

/// A stream that counts as open as long as it is kept.
struct Open;

impl Open {
    fn count<S: Stream>(stream: S) -> impl Stream<Item = S::Item> {
        gauge!("mcp_streams_open").increment(1);
        let open = Self;
        stream.inspect(move |_| {
            let _with_the_stream = &open;
        })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        gauge!("mcp_streams_open").decrement(1);
    }
}

fn stream<S>(body: sse::Sse<S>) -> HttpResponse
where
    sse::Sse<S>: MessageBody + 'static,
{
    HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((CACHE_CONTROL, "no-cache, no-transform"))
        .insert_header(NO_BUFFERING)
        .body(body)
}

/// Answers a request for a path that there is not.
pub(super) async fn no_such_path(request: HttpRequest) -> HttpResponse {
    // A browser's own requests, such as for an icon, are no mistake of anybody's.
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return HttpResponse::NotFound().content_type("text/plain").body("Not Found\n");
    }
    error(None, &HttpError::NoSuchPath, Era::Legacy)
}

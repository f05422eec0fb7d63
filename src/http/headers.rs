//! The headers that MCP uses, read into types.

use actix_web::{
    HttpMessage, HttpRequest,
    http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue},
};

use super::param_headers;
use crate::{
    error::Error,
    http::error::HttpError,
    ids::{ChatId, SessionId},
    protocol::revision::{Era, MODERN, Revision},
    session::event_log::EventName,
    token::TokenProblem,
};

/// The id of a session (MCP 2025-11-25, basic/transports § Session Management).
pub const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
/// The revision that is spoken (MCP 2025-11-25, basic/transports § Protocol Version Header).
pub const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// The method of the body (MCP 2026-07-28, basic/transports/streamable-http § Standard Request Headers).
pub const METHOD: HeaderName = HeaderName::from_static("mcp-method");
/// The name of what the body is about, as above.
pub const NAME: HeaderName = HeaderName::from_static("mcp-name");
/// The last event that a client has seen of a stream (MCP 2025-11-25, basic/transports § Resumability and Redelivery).
pub const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// The caller's own name for a conversation.
pub const CHAT_ID: HeaderName = HeaderName::from_static("x-chat-id");

/// Media types that a client takes for an answer, by its `Accept` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepts {
    /// `application/json`, for a single message.
    pub json: bool,
    /// `text/event-stream`, for a stream of messages.
    pub events: bool,
    /// Either compressed by gzip (RFC 9110 § 8.4.1.3).
    pub gzip: bool,
}

impl Accepts {
    /// Reads the `Accept` headers; without one, everything is taken (RFC 9110 § 12.5.1). Without `Accept-Encoding` nothing is
    /// compressed, which would be allowed, but is not expected (RFC 9110 § 12.5.3).
    #[must_use]
    pub fn of(request: &HttpRequest) -> Self {
        let of = |name| request.headers().get_all(name).filter_map(|header| header.to_str().ok());
        let types = request.headers().contains_key(ACCEPT).then(|| of(ACCEPT));
        Self::parse(types, of(ACCEPT_ENCODING))
    }

    // By hand: actix-web's `Accept` and `AcceptEncoding` lose a media type whose weight has more than three digits and the coding
    // `x-gzip`, and lists on the heap took 3.1 µs where this takes 0.8, of some 15 for a small list of tools.
    fn parse<'a>(types: Option<impl Iterator<Item = &'a str>>, encodings: impl Iterator<Item = &'a str>) -> Self {
        let is_one_of = |text: &str, names: &[&str]| names.iter().any(|name| text.eq_ignore_ascii_case(name));
        let gzip = wanted(encodings).any(|coding| is_one_of(coding, &["gzip", "x-gzip"]));
        let Some(types) = types else { return Self { json: true, events: true, gzip } };
        let mut accepts = Self { json: false, events: false, gzip };
        for range in wanted(types) {
            accepts.json |= is_one_of(range, &["application/json", "application/*", "*/*"]);
            accepts.events |= is_one_of(range, &["text/event-stream", "text/*", "*/*"]);
        }
        accepts
    }
}

/// Returns the members of lists like that of `Accept`, but for those that are refused (RFC 9110 § 12.4.2).
fn wanted<'a>(headers: impl Iterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
    const NEVER: [&str; 4] = ["q=0", "q=0.0", "q=0.00", "q=0.000"];
    headers.flat_map(|header| header.split(',')).filter_map(|item| {
        let mut parts = item.split(';').map(str::trim);
        let name = parts.next()?;
        let is_never = |parameter: &str| NEVER.iter().any(|never| parameter.eq_ignore_ascii_case(never));
        (!parts.any(is_never)).then_some(name)
    })
}

/// Returns the value of a header that has one value. Proxies and clients repeat such headers, on lines of their own or as a
/// list (RFC 9110 § 5.3): equal values are one. An empty value is none, as clients send it for a variable without content.
///
/// # Errors
/// [`HttpError::BadRequest`] where the values differ.
pub fn single<'a>(request: &'a HttpRequest, name: &HeaderName) -> Result<Option<&'a [u8]>, HttpError> {
    let lines = request.headers().get_all(name).map(HeaderValue::as_bytes);
    one_of(name, lines.flat_map(|line| line.split(|byte| *byte == b',')))
}

fn one_of<'a>(name: &HeaderName, values: impl Iterator<Item = &'a [u8]>) -> Result<Option<&'a [u8]>, HttpError> {
    let mut values = values.map(<[u8]>::trim_ascii).filter(|value| !value.is_empty());
    let first = values.next();
    match values.all(|other| Some(other) == first) {
        true => Ok(first),
        false => Err(HttpError::BadRequest(format!("{name} is there more than once, with different values"))),
    }
}

/// Returns the token of the `Authorization` header, the scheme `Bearer` in any case (RFC 9110 § 11.1).
///
/// # Errors
/// [`Error::Unauthenticated`] for another scheme, [`HttpError::BadRequest`] for two tokens.
pub fn bearer(request: &HttpRequest) -> Result<Option<&str>, HttpError> {
    let lines = request.headers().get_all(AUTHORIZATION).map(HeaderValue::as_bytes);
    let mut found = None;
    // No token holds a comma (RFC 6750 § 2.1), so a list is one of repeated headers.
    for credentials in lines.flat_map(|line| line.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii) {
        let text = std::str::from_utf8(credentials).map_err(|_binary| TokenProblem::NotBearer)?;
        let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
        if !scheme.is_empty() && !scheme.eq_ignore_ascii_case("bearer") {
            return Err(TokenProblem::NotBearer.into());
        }
        let token = token.trim_ascii();
        if !token.is_empty() && found.replace(token).is_some_and(|other| other != token) {
            return Err(HttpError::BadRequest("two Authorization headers carry different tokens".to_owned()));
        }
    }
    Ok(found)
}

/// Returns whether the body is JSON as it is, neither compressed nor in an encoding other than UTF-8.
///
/// # Errors
/// [`HttpError::UnsupportedMediaType`], [`HttpError::UnsupportedCoding`].
pub fn require_json(request: &HttpRequest) -> Result<(), HttpError> {
    let codings =
        request.headers().get_all(CONTENT_ENCODING).flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let is_coded = |coding: &[u8]| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity");
    if codings.map(<[u8]>::trim_ascii).any(is_coded) {
        return Err(HttpError::UnsupportedCoding);
    }
    let declared = request.headers().get(CONTENT_TYPE).and_then(|declared| declared.to_str().ok()).unwrap_or_default();
    // A charset means nothing for JSON (RFC 8259 § 11), and clients name several that ASCII is a part of. These it is not.
    let is_wide = declared.to_ascii_lowercase().split(';').skip(1).any(|parameter| {
        let charset = parameter.trim().strip_prefix("charset=").unwrap_or_default().trim_matches('"');
        charset.starts_with("utf-16") || charset.starts_with("utf-32")
    });
    if is_wide || !request.content_type().eq_ignore_ascii_case("application/json") {
        return Err(HttpError::UnsupportedMediaType);
    }
    Ok(())
}

/// Returns the session id, if there is one. A text that is no id of ours is that of a session that is unknown here.
///
/// # Errors
/// [`Error::SessionNotFound`]; [`HttpError::BadRequest`] for two ids.
pub fn session_id(request: &HttpRequest) -> Result<Option<SessionId>, HttpError> {
    let Some(value) = single(request, &SESSION_ID)? else { return Ok(None) };
    let id = std::str::from_utf8(value).ok().and_then(SessionId::parse);
    Ok(Some(id.ok_or(Error::SessionNotFound)?))
}

/// Returns the event after which a stream is to go on, if the client names one.
///
/// # Errors
/// [`Error::EventUnknown`]; [`HttpError::BadRequest`] for two ids.
pub fn last_event_id(request: &HttpRequest) -> Result<Option<EventName>, HttpError> {
    let Some(value) = single(request, &LAST_EVENT_ID)? else { return Ok(None) };
    let id = std::str::from_utf8(value).ok().and_then(EventName::parse);
    Ok(Some(id.ok_or(Error::EventUnknown)?))
}

/// Returns the chat id, if there is one.
///
/// # Errors
/// [`HttpError::BadRequest`].
pub fn chat_id(request: &HttpRequest) -> Result<Option<ChatId>, HttpError> {
    let lines = request.headers().get_all(CHAT_ID).map(HeaderValue::as_bytes);
    // A chat's id may hold a comma, so only a list of equal values is taken for a repeated header.
    let Some(value) = single(request, &CHAT_ID).or_else(|_differ| one_of(&CHAT_ID, lines))? else { return Ok(None) };
    let text = std::str::from_utf8(value).ok();
    let chat = text.and_then(ChatId::parse).ok_or_else(|| {
        HttpError::BadRequest(format!("x-chat-id must be 1 to {} bytes without control characters", ChatId::MAX_BYTES))
    })?;
    Ok(Some(chat))
}

/// Returns the era that the headers speak of.
#[must_use]
pub fn era(request: &HttpRequest) -> Era {
    match single(request, &PROTOCOL_VERSION) {
        Ok(Some(value)) if value == MODERN.as_bytes() => Era::Modern,
        _ => Era::Legacy,
    }
}

/// Sees to it that `MCP-Protocol-Version`, if there, names a revision that is spoken here. It need not be the one that was
/// negotiated (MCP 2025-11-25, basic/transports § Protocol Version Header).
///
/// # Errors
/// [`Error::RevisionUnsupported`]; [`HttpError::BadRequest`] for two revisions.
pub fn require_known_revision(request: &HttpRequest) -> Result<(), HttpError> {
    let Some(value) = single(request, &PROTOCOL_VERSION)? else { return Ok(()) };
    match std::str::from_utf8(value).ok().and_then(Revision::parse) {
        Some(_) => Ok(()),
        None => Err(Error::RevisionUnsupported {
            requested: String::from_utf8_lossy(value).into_owned(),
            supported: Revision::supported(),
        }
        .into()),
    }
}

/// Sees to it that a header is there and says `wanted`, after decoding where it may be encoded
/// (MCP 2026-07-28, basic/transports/streamable-http § Server Validation).
///
/// # Errors
/// [`HttpError::HeaderMismatch`].
pub fn require_agreement(
    request: &HttpRequest,
    name: &HeaderName,
    wanted: &str,
    is_encoded: bool,
) -> Result<(), HttpError> {
    let lines = request.headers().get_all(name).map(HeaderValue::as_bytes);
    // What is encoded may hold a comma.
    let value = if is_encoded { one_of(name, lines) } else { single(request, name) };
    let text = match value.map_err(|differ| HttpError::HeaderMismatch(differ.to_string()))? {
        Some(value) if is_encoded => param_headers::decode(value),
        Some(value) => std::str::from_utf8(value).ok().map(ToOwned::to_owned),
        None => return Err(HttpError::HeaderMismatch(format!("{name} is missing"))),
    };
    match text {
        Some(text) if text == wanted => Ok(()),
        Some(text) => Err(HttpError::HeaderMismatch(format!("{name} is {text:?}, but the body says {wanted:?}"))),
        None => Err(HttpError::HeaderMismatch(format!("{name} is malformed"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_takes_is_read_leniently() {
        let cases: [(&[&str], (bool, bool)); 9] = [
            (&["application/json, text/event-stream"], (true, true)),
            (&["Application/JSON;charset=utf-8", "text/event-stream;q=0.5"], (true, true)),
            (&["*/*"], (true, true)),
            (&["application/*"], (true, false)),
            (&["text/event-stream"], (false, true)),
            (&["application/json"], (true, false)),
            (&["application/json;q=0, text/event-stream"], (false, true)),
            (&["text/html"], (false, false)),
            (&[""], (false, false)),
        ];
        for (headers, (json, events)) in cases {
            let accepts = Accepts::parse(Some(headers.iter().copied()), [].into_iter());
            assert_eq!(accepts, Accepts { json, events, gzip: false }, "{headers:?}");
        }
    }

    #[test]
    fn only_who_says_so_takes_gzip() {
        let cases: [(&[&str], bool); 8] = [
            (&[], false),
            (&["gzip"], true),
            (&["gzip, deflate, br"], true),
            (&["br;q=1.0", "GZIP;q=0.5"], true),
            (&["x-gzip"], true),
            (&["identity"], false),
            (&["gzip;q=0, *"], false),
            (&["gzipped"], false),
        ];
        for (encodings, gzip) in cases {
            let accepts = Accepts::parse(None::<std::iter::Empty<&str>>, encodings.iter().copied());
            assert_eq!(accepts, Accepts { json: true, events: true, gzip }, "{encodings:?}");
        }
    }
}

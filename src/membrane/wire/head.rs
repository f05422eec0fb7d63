//! Head of a response: whether it is final, and how its body ends (RFC 9112 §§ 4 and 6).

use std::mem::MaybeUninit;

use httparse::{ParserConfig, Response, Status};

use super::{chunks::Chunks, violation::Violation};

/// Headers of a response. `awc` reads 96.
const MAX_HEADERS: usize = 96;

/// Body of a response, by how its end is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// Length of the body, or what is left of it, in bytes.
    Sized(u64),
    /// Position within the chunks of the body.
    Chunked(Chunks),
    /// To the end of the connection.
    ToTheEnd,
}

/// Returns whether an empty line stands in `bytes`.
pub(super) fn ends_head(bytes: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', bytes).any(|at| {
        let rest = bytes.get(at + 1..).unwrap_or_default();
        rest.starts_with(b"\n") || rest.starts_with(b"\r\n")
    })
}

/// First head that stands in some bytes.
pub(super) enum Parsed {
    /// Not all of it has come.
    Partial,
    /// Head of an interim response, to be skipped.
    Interim { length: usize },
    /// Head of a final response, with how its body ends, and whether the connection ends with it.
    Final { length: usize, body: Body, is_last: bool },
}

/// Reads the first head in `bytes`.
///
/// # Errors
/// [`Violation`].
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, Violation> {
    let mut headers = [MaybeUninit::uninit(); MAX_HEADERS];
    let mut response = Response::new(&mut []);
    let parsed = ParserConfig::default().parse_response_with_uninit_headers(&mut response, bytes, &mut headers);
    let Status::Complete(length) = parsed.map_err(|_unreadable| Violation::Head)? else { return Ok(Parsed::Partial) };
    match response.code.unwrap_or_default() {
        // No request asks to switch protocols (RFC 9110 § 15.2.2).
        101 => Err(Violation::Switched),
        100..=199 => Ok(Parsed::Interim { length }),
        code => {
            // HTTP/1.0 goes on by an option alone (RFC 9112 § 9.3), which is not looked for.
            let is_last = response.version != Some(1) || closes(response.headers);
            Ok(Parsed::Final { length, body: body(code, response.version, response.headers)?, is_last })
        }
    }
}

/// Returns whether the upstream says that it closes the connection (RFC 9112 § 9.6).
fn closes(headers: &[httparse::Header<'_>]) -> bool {
    let lines = headers.iter().filter(|header| header.name.eq_ignore_ascii_case("connection"));
    lines
        .flat_map(|line| line.value.split(|byte| *byte == b','))
        .any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
}

/// Returns how the body of a final response ends (RFC 9112 § 6.3). Stricter than that where readers are known to differ: a
/// response that gives two answers is refused.
fn body(code: u16, version: Option<u8>, headers: &[httparse::Header<'_>]) -> Result<Body, Violation> {
    let values = |name: &str| -> Result<Option<&[u8]>, Violation> {
        let mut found = headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
        let Some(header) = found.next() else { return Ok(None) };
        // RFC 9112 § 6.3 lets equal lengths pass that are repeated. Proxies differ in that, so they are refused.
        if found.next().is_some() {
            return Err(Violation::Ambiguous);
        }
        Ok(Some(header.value.trim_ascii()))
    };
    let (length, coding) = (values("content-length")?, values("transfer-encoding")?);
    let length = match length {
        Some(digits) if digits.iter().all(u8::is_ascii_digit) => {
            let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
            // Without a digit, or with too many.
            Some(number.ok_or(Violation::Ambiguous)?)
        }
        Some(_) => return Err(Violation::Ambiguous),
        None => None,
    };
    let is_chunked = coding.is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked"));
    let has_none = matches!(code, 204 | 304);
    match (coding, length) {
        (None, None | Some(0)) if has_none => Ok(Body::Sized(0)),
        // These have no body whatever the head says. An upstream that announces one may send it, too.
        _ if has_none => Err(Violation::Ambiguous),
        // HTTP/1.0 has no chunks (RFC 9112 § 6.1). With a length beside them readers differ, which is how responses are
        // smuggled.
        (Some(_), None) if is_chunked && version == Some(1) => Ok(Body::Chunked(Chunks::new())),
        (Some(_), _) => Err(Violation::Ambiguous),
        (None, Some(length)) => Ok(Body::Sized(length)),
        (None, None) => Ok(Body::ToTheEnd),
    }
}

/// Makes a response say HTTP/1.0. `awc` takes one of HTTP/1.1 that has neither a length nor chunks for an empty one, and one
/// of HTTP/1.0 rightly for one that ends with its connection.
pub(super) fn end_with_connection(response: &mut [u8]) {
    const VERSION: &[u8] = b"HTTP/1.1";
    let at = response.windows(VERSION.len()).position(|window| window == VERSION);
    if let Some(minor) = at.and_then(|at| response.get_mut(at + VERSION.len() - 1)) {
        *minor = b'0';
    }
}

//! The one table of JSON-RPC error codes.

use crate::error::ErrorKind;

/// The JSON-RPC code of an error kind (JSON-RPC 2.0 § 5.1; -32000 is what clients know for a lost session and for
/// transport errors).
#[must_use]
pub fn code(kind: ErrorKind) -> i32 {
    match kind {
        ErrorKind::Parse => -32700,
        ErrorKind::InvalidRequest => -32600,
        ErrorKind::MethodNotFound => -32601,
        ErrorKind::InvalidParams => -32602,
        ErrorKind::Cancelled
        | ErrorKind::SessionIdMissing
        | ErrorKind::SessionNotFound
        | ErrorKind::RevisionUnsupported
        | ErrorKind::BadRequest
        | ErrorKind::NotAcceptable
        | ErrorKind::UnsupportedMediaType
        | ErrorKind::BodyTooLarge
        | ErrorKind::MethodNotAllowed
        | ErrorKind::NoSuchPath
        | ErrorKind::Unauthenticated => -32000,
        ErrorKind::UpstreamUnavailable | ErrorKind::Internal => -32603,
    }
}

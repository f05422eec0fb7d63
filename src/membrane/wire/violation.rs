//! Breaches of HTTP/1.1 that end a connection to the upstream.

/// Longest head of a response, in bytes.
pub(super) const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Interim responses to one request. A proxy sends one or two; more than this would only keep a worker busy.
pub(super) const MAX_INTERIM: usize = 64;

/// Breach of HTTP/1.1 after which a connection can't be used any more, because a byte on it may belong to no request or to
/// another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Bytes without a request that they answer.
    #[error("the upstream sent bytes that no request had asked for")]
    Unasked,
    /// A request on a connection whose last response is not read to its end.
    #[error("the last response on this connection was not read to its end")]
    Unfinished,
    /// A head that is no HTTP.
    #[error("the head of the response can't be read")]
    Head,
    /// A head, or more of them, without end.
    #[error("the head of the response is larger than {MAX_HEAD_BYTES} bytes")]
    HeadTooLarge,
    /// More interim responses to one request than any proxy sends.
    #[error("the upstream sent more than {MAX_INTERIM} interim responses to one request")]
    TooManyInterim,
    /// A switch to a protocol that nothing asked for.
    #[error("the upstream switched protocols without being asked to")]
    Switched,
    /// A body whose end two readers could see in different places (RFC 9112 § 6.3).
    #[error("the response does not say unambiguously where its body ends")]
    Ambiguous,
    /// A chunked body that is no such.
    #[error("the chunks of the response can't be read")]
    Chunk,
}

//! Reasons why a request gets no result, as HTTP has them: the one table of statuses.

use actix_web::http::StatusCode;

use crate::{
    error::{Error, ErrorKind},
    protocol::{error_object::ErrorObject, revision::Era},
    token::TokenProblem,
};

/// Why a request is not answered with a result: a condition of HTTP, or any other [`Error`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// A request that needs a session came without `Mcp-Session-Id`.
    #[error("Bad Request: Mcp-Session-Id header is required")]
    SessionIdMissing,
    /// A header is missing, malformed, or does not say what the body says.
    #[error("Header mismatch: {0}")]
    HeaderMismatch(String),
    /// The page that sent the request, or the name it used for this server, is not one that may.
    #[error("Forbidden: {0}")]
    OriginRefused(String),
    /// A query parameter or header with a value that can't be used.
    #[error("Bad Request: {0}")]
    BadRequest(String),
    /// The client accepts nothing that can be sent.
    #[error("Not Acceptable: Client must accept {0}, by the header Accept")]
    NotAcceptable(&'static str),
    /// The body is not declared as JSON.
    #[error("Unsupported Media Type: Content-Type must be application/json, in UTF-8")]
    UnsupportedMediaType,
    /// The body is compressed.
    #[error("Unsupported Media Type: the body must not be compressed; send it without Content-Encoding")]
    UnsupportedCoding,
    /// The body is larger than any may be.
    #[error("Payload Too Large: at most {limit} bytes are accepted")]
    BodyTooLarge {
        /// Size of the largest body, in bytes.
        limit: usize,
    },
    /// The head of the request is larger than any may be.
    #[error("Request Header Fields Too Large: at most {limit} bytes are accepted")]
    HeadersTooLarge {
        /// Size of the largest head, in bytes.
        limit: usize,
    },
    /// The URL is longer than any may be.
    #[error("URI Too Long: at most {limit} bytes are accepted")]
    UrlTooLong {
        /// Length of the longest URL, in bytes.
        limit: usize,
    },
    /// The body did not arrive in the time that it may take.
    #[error("Request Timeout: the request did not arrive in time")]
    TooSlow,
    /// Requests of the user that are still arriving are too large together.
    #[error("Too many bytes of your requests are arriving at once: send large requests one after another")]
    TooManyBytes,
    /// Requests of all users that are still arriving are too large together.
    #[error("Service Unavailable: too many bytes of requests are arriving at once; try again later")]
    Busy,
    /// The resource has no such method.
    #[error("Method Not Allowed: the header Allow names those that are")]
    MethodNotAllowed,
    /// No resource has the path of the request.
    #[error("Not Found: MCP is at /mcp, or at /sse for clients of HTTP+SSE")]
    NoSuchPath,
    /// Any other than those of HTTP.
    #[error(transparent)]
    Other(#[from] Error),
}

impl From<TokenProblem> for HttpError {
    fn from(problem: TokenProblem) -> Self {
        Self::Other(problem.into())
    }
}

impl HttpError {
    /// Returns the HTTP status (MCP 2025-11-25, basic/transports; MCP 2026-07-28, basic/transports/streamable-http; the rest as HTTP
    /// has it). In the legacy era an error that is the answer to a sound request is an answer: 200.
    #[must_use]
    pub fn status(&self, era: Era) -> StatusCode {
        match self {
            Self::SessionIdMissing | Self::HeaderMismatch(_) | Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::OriginRefused(_) => StatusCode::FORBIDDEN,
            Self::NotAcceptable(_) => StatusCode::NOT_ACCEPTABLE,
            Self::UnsupportedMediaType | Self::UnsupportedCoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::HeadersTooLarge { .. } => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::UrlTooLong { .. } => StatusCode::URI_TOO_LONG,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::TooManyBytes => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoSuchPath => StatusCode::NOT_FOUND,
            Self::Other(error) => status(error, era),
        }
    }

    /// Returns the error object of a response.
    #[must_use]
    pub fn object(&self, era: Era) -> ErrorObject {
        let kind = match self {
            Self::Other(error) => return ErrorObject::of(error, era),
            Self::HeaderMismatch(_) => ErrorKind::HeaderMismatch,
            Self::Busy => ErrorKind::Internal,
            _ => ErrorKind::Transport,
        };
        ErrorObject::new(kind, self.to_string(), era)
    }
}

fn status(error: &Error, era: Era) -> StatusCode {
    // An answer of the legacy era.
    let in_modern = |status| if era == Era::Modern { status } else { StatusCode::OK };
    match error {
        Error::MethodNotFound(_) => in_modern(StatusCode::NOT_FOUND),
        Error::InvalidParams(_)
        | Error::UnknownTool(_)
        | Error::ToolGone { .. }
        | Error::ToolUnavailable { .. }
        | Error::ToolNotEnabled(_) => in_modern(StatusCode::BAD_REQUEST),
        Error::TooManyCalls { .. } | Error::PageRequired(_) => StatusCode::OK,
        Error::Cancelled => StatusCode::ACCEPTED,
        Error::Parse(_)
        | Error::InvalidRequest(_)
        | Error::AlreadyInitialized
        | Error::EventUnknown
        | Error::RevisionUnsupported { .. } => StatusCode::BAD_REQUEST,
        Error::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
        Error::AccessDenied(_) => StatusCode::FORBIDDEN,
        Error::SessionNotFound => StatusCode::NOT_FOUND,
        Error::TooMany { .. } | Error::TooManyFailures { .. } => StatusCode::TOO_MANY_REQUESTS,
        Error::UpstreamUnavailable(_) | Error::StoreUnavailable | Error::Full | Error::Stopping => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Error::ServerLost | Error::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

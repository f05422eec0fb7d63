//! Everything that can keep a request from being answered with a result.
//!
//! An [`Error`] is a condition: it knows neither request ids nor numbers. `protocol::codes` picks the JSON-RPC code by its
//! [`ErrorKind`], and `http::error`, which adds the conditions of HTTP, the status.
//! A tool that fails upstream is no error here but a result with `isError: true`.

use std::time::Duration;

use crate::{ids::ToolName, token::TokenProblem};

/// Page that a user is asked to open, through the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Id by which the client knows the question.
    pub id: String,
    /// Address of the page.
    pub url: String,
    /// Reason for the user, in one sentence.
    pub message: String,
}

/// Why a request was not answered with a result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The body is not JSON.
    #[error("Parse error: {0}")]
    Parse(String),
    /// The body is JSON but no JSON-RPC message that is allowed here.
    #[error("Invalid Request: {0}")]
    InvalidRequest(String),
    /// A second `initialize` within one session.
    #[error("Invalid Request: Server already initialized")]
    AlreadyInitialized,
    /// A method that this server does not offer.
    #[error("Method not found: {0}")]
    MethodNotFound(String),
    /// The method's parameters are missing or of the wrong form.
    #[error("Invalid params: {0}")]
    InvalidParams(String),
    /// No tool of that name can be seen by the caller.
    #[error("Unknown tool: {0}")]
    UnknownTool(ToolName),
    /// The tool was there, and is no more.
    #[error("Tool {name} is gone: {why}")]
    ToolGone {
        /// Name of the tool, as it was listed.
        name: ToolName,
        /// Fate of the tool, for the model.
        why: String,
    },
    /// The tool may well be there, but its app can't be asked.
    #[error("Tool {name} can't be found: the tools of {app} can't be loaded right now, try again {when}")]
    ToolUnavailable {
        /// Name of the tool that was asked for.
        name: ToolName,
        /// App that the tool would belong to.
        app: String,
        /// Time to try again, such as `in 5 s`.
        when: String,
    },
    /// In dynamic mode: the tool has not been enabled.
    #[error("Tool {0} is not enabled: enable it with enable-tools first")]
    ToolNotEnabled(ToolName),
    /// The call can be made once the user has done something on a page.
    #[error("{}", .0.message)]
    PageRequired(Box<Page>),
    /// The client cancelled the request: there is nothing to answer.
    #[error("the request was cancelled")]
    Cancelled,

    /// The session is unknown, ended, or somebody else's: the three look alike on purpose.
    #[error(
        "Session not found: it has ended, or is somebody else's; send initialize without Mcp-Session-Id to open another"
    )]
    SessionNotFound,
    /// `Last-Event-ID` names no event of the session, or one after which events have been lost.
    #[error("Bad Request: the stream can't be resumed after this event: it is unknown, or too long ago")]
    EventUnknown,
    /// The session has as many calls running as it may, or the user outside of any session.
    #[error("Too many calls are running: at most {limit} may at once; try again when one has ended")]
    TooManyCalls {
        /// Calls that may run at once.
        limit: usize,
    },
    /// The user has as much of something as they may.
    #[error("Too many {what} are open: at most {limit} may ({what}.max_per_user); close one")]
    TooMany {
        /// Kind of thing that is limited, such as `streams`.
        what: &'static str,
        /// Value of the setting, such as `streams.max_per_user`.
        limit: usize,
    },
    /// All users together have as many sessions as they may.
    #[error("Service Unavailable: no more sessions can be opened here (sessions.max); try again later")]
    Full,
    /// The server stops, and does nothing for the request.
    #[error("Service Unavailable: the server is stopping; send the request again")]
    Stopping,
    /// Too many tokens from the client's address were refused.
    #[error("Too many tokens from this address were refused: try again in {} s", .wait.as_secs() + 1)]
    TooManyFailures {
        /// How long none is looked at.
        wait: Duration,
    },
    /// A request for a revision that is not spoken here.
    #[error("Bad Request: Unsupported protocol version: {requested} (supported versions: {})", .supported.join(", "))]
    RevisionUnsupported {
        /// Revision that the client asked for.
        requested: String,
        /// Revisions that the client can have.
        supported: Vec<&'static str>,
    },

    /// The caller has not shown who they are.
    #[error("Unauthorized: {0}")]
    Unauthenticated(#[from] TokenProblem),
    /// The upstream knows the caller, and does not let them in.
    #[error("Forbidden: {0}")]
    AccessDenied(String),
    /// The upstream could not be asked.
    #[error("Service Unavailable: {0}")]
    UpstreamUnavailable(String),
    /// The store can't be read or written just now.
    #[error("Service Unavailable: sessions can't be kept at the moment; try again later")]
    StoreUnavailable,
    /// The server that had begun to answer has stopped, or its answer was not fetched in time.
    #[error(
        "The answer is lost: the server that ran this call has stopped, or no longer keeps it; whether the call was done is not known"
    )]
    ServerLost,
    /// Something here is broken; details are in the log alone.
    #[error("Internal server error")]
    Internal,
}

/// Kinds of errors, by which `protocol::codes` picks the JSON-RPC code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// A body that is no JSON.
    Parse,
    /// JSON that is no request which may be made here, or not by this caller.
    InvalidRequest,
    /// A method that is not offered.
    MethodNotFound,
    /// Parameters that are wrong, the name of a tool among them.
    InvalidParams,
    /// A page that has to be opened first.
    PageRequired,
    /// A header that is missing, or differs from the body.
    HeaderMismatch,
    /// A revision that is not spoken here.
    RevisionUnsupported,
    /// Conditions of the transport, of sessions, and of what a user may have.
    Transport,
    /// Conditions of the server, and of what it needs.
    Internal,
}

impl Error {
    /// Returns the kind of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Parse(_) => ErrorKind::Parse,
            // With a new session the caller would be refused, too, so agents that open one on a code of the transport must not
            // see that.
            Self::InvalidRequest(_) | Self::AlreadyInitialized | Self::Unauthenticated(_) => ErrorKind::InvalidRequest,
            Self::MethodNotFound(_) => ErrorKind::MethodNotFound,
            Self::InvalidParams(_)
            | Self::UnknownTool(_)
            | Self::ToolGone { .. }
            | Self::ToolUnavailable { .. }
            | Self::ToolNotEnabled(_) => ErrorKind::InvalidParams,
            Self::PageRequired(_) => ErrorKind::PageRequired,
            Self::RevisionUnsupported { .. } => ErrorKind::RevisionUnsupported,
            Self::Cancelled
            | Self::SessionNotFound
            | Self::EventUnknown
            | Self::AccessDenied(_)
            | Self::TooMany { .. }
            | Self::TooManyFailures { .. } => ErrorKind::Transport,
            Self::TooManyCalls { .. }
            | Self::Full
            | Self::Stopping
            | Self::UpstreamUnavailable(_)
            | Self::StoreUnavailable
            | Self::ServerLost
            | Self::Internal => ErrorKind::Internal,
        }
    }
}

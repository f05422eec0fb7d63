//! What servers that share a store tell each other. It is told once and not repeated: who was away is told that it missed
//! something, and looks for itself.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    ids::{SessionId, UserKey},
    protocol::jsonrpc::RequestId,
    secret::Fingerprint,
};

/// What has happened at another server.
#[derive(Debug, Serialize, Deserialize)]
pub enum News {
    /// What is kept of a session is not what it was.
    Changed(SessionId),
    /// A session has ended.
    Closed(SessionId),
    /// The client of a session listens to its stream at the server that tells so.
    Listens(SessionId),
    /// A chat that one session had is now another's.
    Moved {
        /// The session that had it.
        from: SessionId,
        /// The session that has it.
        to: SessionId,
        /// Whose both are.
        owner: UserKey,
    },
    /// A client no longer wants the answer to a request.
    Cancelled {
        /// The session of both.
        session: SessionId,
        /// The request.
        request: RequestId,
    },
    /// A message for the stream of an HTTP+SSE session, which the server has that is told so.
    Pushed {
        /// The session.
        session: SessionId,
        /// The message.
        message: Box<RawValue>,
    },
    /// The upstream has refused a token that it accepted before.
    Distrusted(Fingerprint),
    /// Users' connections have changed.
    Connections {
        /// In this workspace, where that is known.
        workspace: Option<String>,
        /// By any of their ids.
        users: Vec<String>,
    },
    /// Some of the others may not have been heard.
    Missed,
}

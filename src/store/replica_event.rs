//! News that servers which share a store tell each other, once and not repeated: a server that was away is told that it missed
//! something, and looks for itself.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    ids::{SessionId, UserKey},
    protocol::jsonrpc::RequestId,
    secret::Fingerprint,
};

/// Event at one server that concerns the others.
#[derive(Debug, Serialize, Deserialize)]
pub enum ReplicaEvent {
    /// The record of a session in the store has changed.
    Changed(SessionId),
    /// A session has ended, wherever it was in memory.
    Closed(SessionId),
    /// The client of a session listens to its stream at the server that tells so.
    Listens(SessionId),
    /// A chat that one session had is now another's.
    Moved {
        /// Session that had the chat.
        from: SessionId,
        /// Session that has taken the chat over.
        to: SessionId,
        /// User that both sessions belong to.
        owner: UserKey,
    },
    /// A client no longer wants the answer to a request.
    Cancelled {
        /// Session in which the request was made.
        session: SessionId,
        /// Id of the request that is cancelled.
        request: RequestId,
    },
    /// A message for the stream of an HTTP+SSE session, which the server has that is told so.
    Pushed {
        /// Session whose stream the message is for.
        session: SessionId,
        /// Message, as JSON, for the session's stream.
        message: Box<RawValue>,
    },
    /// The upstream has refused a token that it accepted before. The wire has the word of 0.1.0, which may share the store.
    #[serde(rename = "Distrusted")]
    Revoked(Fingerprint),
    /// Connections of some users have changed, by a webhook.
    Connections {
        /// In this workspace, where that is known.
        workspace: Option<String>,
        /// Ids of the users: their own, or the upstream's.
        users: Vec<String>,
    },
    /// Some of the others may not have been heard.
    Missed,
}

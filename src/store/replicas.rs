//! The other servers that share a store: news for them and from them, and what was sent on the streams of sessions, so that
//! one server can go on with what another began.

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{ReplicaEvent, StoreFuture};
use crate::{
    ids::{SessionId, UserKey},
    protocol::jsonrpc::RequestId,
};

/// Bus to the other servers that share the store.
pub trait ReplicaBus: Send + Sync {
    /// Returns the name of this server among them, a new one at each start.
    fn replica(&self) -> &str;

    /// Returns whether a server has given a sign of life lately.
    fn is_alive(&self, replica: &str) -> StoreFuture<bool>;

    /// Publishes an event to all other servers. It is sent even if the future is dropped.
    fn tell(&self, news: &ReplicaEvent) -> StoreFuture<()>;

    /// Publishes an event to one other server. It is sent even if the future is dropped.
    fn tell_one(&self, replica: &str, news: &ReplicaEvent) -> StoreFuture<()>;

    /// Returns what the others publish from now on, and [`ReplicaEvent::Missed`] wherever some of it may be lost.
    fn hear(&self) -> mpsc::Receiver<ReplicaEvent>;
}

/// Log of the events on sessions' streams, which all servers that share the store can read.
pub trait SharedEventLog: Send + Sync {
    /// Logs an event in a session of `owner`, for clients that lose the stream and come back elsewhere.
    fn append(&self, session: SessionId, owner: &UserKey, event: SentEvent) -> StoreFuture<()>;

    /// Returns the events of the streams of a session of `owner` since the last read, oldest first, and the position to read on
    /// from.
    fn read(&self, session: SessionId, owner: &UserKey, since: Cursor) -> StoreFuture<(Vec<SentEvent>, Cursor)>;
}

/// Event on the stream that answers a request, as other servers read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentEvent {
    /// Number of the stream within its session.
    pub stream: u64,
    /// Place of the event on its stream, from 1.
    pub place: u64,
    /// The server that answers the request.
    pub replica: String,
    /// Id of the request that the stream answers.
    pub request: RequestId,
    /// The message; none in an event that only tells its place.
    pub message: Bytes,
    /// Marks the end of the stream, and is no event itself.
    pub is_end: bool,
}

/// How far the events of a session were read: the place of the last one in the words of the store, none at the beginning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cursor(pub(super) Option<String>);

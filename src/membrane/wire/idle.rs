//! Connections between two requests, each kept for the token whose request it has carried.
//!
//! HTTP/1.1 responses do not name their requests. A response that the upstream sends too late or twice can't be told from the
//! right one, and reaches the next request on the connection. So that must be one with the same token: a response reaches only
//! the user for whom it was made.

use std::{
    cell::RefCell,
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use tokio::io::{AsyncRead, ReadBuf};

use super::{responses::Responses, tls::Stream};
use crate::secret::Fingerprint;

/// Longest time between two requests. Servers keep idle connections for 5 s and more, and one must not be used as it is
/// closed.
const MAX_IDLE: Duration = Duration::from_secs(4);

/// Longest life of a connection, after which names are resolved anew.
const MAX_AGE: Duration = Duration::from_secs(75);

/// Idle connections of a worker. Beyond them, the one that has been idle for longest is closed.
const MAX_CONNECTIONS: usize = 256;

/// HTTP/1.1 connection with its position in the responses.
pub(super) struct Connection {
    pub stream: Stream,
    pub responses: Responses,
    /// Token whose requests it carries, and no other's.
    pub token: Fingerprint,
    pub opened: Instant,
}

/// Idle connections of one worker, the one used last at the end.
#[derive(Default)]
pub(super) struct IdleConnections(RefCell<VecDeque<(Instant, Connection)>>);

impl IdleConnections {
    /// Keeps a connection on which no request is unanswered.
    pub(super) fn put(&self, connection: Connection) {
        let now = Instant::now();
        if now.duration_since(connection.opened) < MAX_AGE {
            let mut idle = self.0.borrow_mut();
            if idle.len() >= MAX_CONNECTIONS {
                idle.pop_front();
            }
            idle.push_back((now, connection));
        }
    }

    /// Takes a connection that carries requests with this token. One on which anything has come meanwhile is closed: bytes that
    /// nothing asked for, or its end.
    pub(super) fn take(&self, token: Fingerprint) -> Option<Connection> {
        self.close_old();
        let mut idle = self.0.borrow_mut();
        loop {
            // The one used last, which is the least likely to be closed soon.
            let at = idle.iter().rposition(|(_, connection)| connection.token == token)?;
            let (_, mut connection) = idle.remove(at)?;
            if is_quiet(&mut connection.stream) {
                return Some(connection);
            }
        }
    }

    /// Closes the connections that have been idle for too long.
    pub(super) fn close_old(&self) {
        let mut idle = self.0.borrow_mut();
        let is_young = |(since, _): &(Instant, Connection)| since.elapsed() < MAX_IDLE;
        // In the order in which they came back, so that the old ones stand in front.
        let old = idle.iter().position(is_young).unwrap_or(idle.len());
        idle.drain(..old);
    }
}

/// Returns whether nothing has come on an idle connection, without waiting.
fn is_quiet(stream: &mut Stream) -> bool {
    let mut byte = [0; 1];
    let mut unasked = ReadBuf::new(&mut byte);
    // A look for which nothing waits, so nothing has to be woken.
    let read = Pin::new(stream).poll_read(&mut Context::from_waker(Waker::noop()), &mut unasked);
    if matches!(read, Poll::Ready(Ok(()))) && !unasked.filled().is_empty() {
        metrics::counter!("mcp_upstream_connections_refused_total").increment(1);
        log::warn!("a connection to the upstream is closed: it sent bytes that no request had asked for");
    }
    // Pending means that nothing has come: no byte, and no end of the connection.
    read.is_pending()
}

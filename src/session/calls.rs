//! The calls that a session has in flight, and how they are cancelled.

use tokio::sync::oneshot;

use crate::{error::Error, protocol::jsonrpc::RequestId};

/// Calls in flight. Ids should be unique (MCP 2025-11-25, basic/index § Requests), but two calls under one id are both
/// answered all the same.
#[derive(Debug, Default)]
pub struct Calls {
    in_flight: Vec<(Ticket, RequestId, oneshot::Sender<Error>)>,
    next: Ticket,
}

/// Number of a call within its session.
pub type Ticket = u64;

/// Resolves when a call is to stop.
#[derive(Debug)]
pub struct Stop(oneshot::Receiver<Error>);

impl Stop {
    /// Waits until the call is to stop, and tells why.
    pub async fn requested(self) -> Error {
        self.0.await.unwrap_or(Error::SessionNotFound)
    }
}

impl Calls {
    /// Returns the number of calls in flight.
    #[must_use]
    pub fn count(&self) -> usize {
        self.in_flight.len()
    }

    /// Notes a call that begins; returns how it is told to stop.
    pub fn begin(&mut self, id: RequestId) -> (Ticket, Stop) {
        let (stop, stopped) = oneshot::channel();
        self.next += 1;
        self.in_flight.push((self.next, id, stop));
        (self.next, Stop(stopped))
    }

    /// Notes that a call has ended.
    pub fn finish(&mut self, ticket: Ticket) {
        self.in_flight.retain(|(other, ..)| *other != ticket);
    }

    /// Stops all calls, because the session has crashed.
    pub fn fail(&mut self) {
        for (.., stop) in self.in_flight.drain(..) {
            let _ = stop.send(Error::Internal);
        }
    }

    /// Stops the calls under an id, and tells whether there was any.
    pub fn cancel(&mut self, id: &RequestId) -> bool {
        let of_id = self.in_flight.extract_if(.., |(_, other, _)| other == id);
        let mut was_there = false;
        for (.., stop) in of_id {
            // A call that ended by itself needs no word.
            let _ = stop.send(Error::Cancelled);
            was_there = true;
        }
        was_there
    }
}

//! The calls that a session has in flight, how they are cancelled, and how a repeat finds the one that it repeats.

use futures_util::future::{LocalBoxFuture, Shared, WeakShared};
use tokio::sync::oneshot;

use crate::{
    error::Error,
    protocol::{jsonrpc::RequestId, request::CallTool, tools::CallToolResult},
    workers::hash,
};

/// Result of a call to come, shared by all requests that wait for it.
pub type Outcome = Shared<LocalBoxFuture<'static, Result<CallToolResult, Error>>>;

/// Calls in flight. Ids should be unique (MCP 2025-11-25, basic/index § Requests), but two different calls under one id are both
/// run and answered all the same.
#[derive(Default)]
pub struct Calls {
    in_flight: Vec<InFlight>,
    next: Ticket,
}

struct InFlight {
    ticket: Ticket,
    id: RequestId,
    /// Hash of name and arguments, which tells a repeat from another call under the same id.
    what: u64,
    /// Carries the reason with it, which a `CancellationToken` could not.
    stop: oneshot::Sender<Error>,
    /// Weak, so that the result is copied only where a repeat waits for it.
    outcome: Option<WeakShared<LocalBoxFuture<'static, Result<CallToolResult, Error>>>>,
}

/// Number of a call within its session.
pub type Ticket = u64;

/// Resolves when a call is to stop.
#[derive(Debug)]
pub struct Stop(oneshot::Receiver<Error>);

impl Stop {
    /// Waits until the call is to stop, and tells why.
    pub async fn requested(self) -> Error {
        // The sender is dropped with the session, so the session has ended.
        self.0.await.unwrap_or(Error::SessionNotFound)
    }
}

impl Calls {
    /// Returns the number of calls in flight.
    #[must_use]
    pub fn count(&self) -> usize {
        self.in_flight.len()
    }

    /// Returns the outcome of the call that this one repeats: of the same id, tool and arguments. A client that lost a connection
    /// sends its request again, and the action must not run twice for that.
    #[must_use]
    pub fn repeated(&self, id: &RequestId, call: &CallTool) -> Option<Outcome> {
        let mut of_id = self.in_flight.iter().filter(|running| running.id == *id).peekable();
        // Hashed only where there is such an id: arguments can be large.
        of_id.peek()?;
        let what = what(call);
        // Without an outcome the call has ended, of which word is still in the mailbox.
        of_id.find(|running| running.what == what)?.outcome.as_ref()?.upgrade()
    }

    /// Notes a call that begins; returns how it is told to stop.
    pub fn begin(&mut self, id: RequestId, call: &CallTool) -> (Ticket, Stop) {
        let (stop, stopped) = oneshot::channel();
        // A ticket and not the id: two different calls may have one id, and each ends by itself.
        self.next += 1;
        self.in_flight.push(InFlight { ticket: self.next, id, what: what(call), stop, outcome: None });
        (self.next, Stop(stopped))
    }

    /// Notes where the outcome of a call comes from, for its repeats.
    pub fn share(&mut self, ticket: Ticket, outcome: &Outcome) {
        if let Some(running) = self.in_flight.iter_mut().find(|running| running.ticket == ticket) {
            running.outcome = outcome.downgrade();
        }
    }

    /// Notes that a call has ended.
    pub fn finish(&mut self, ticket: Ticket) {
        self.in_flight.retain(|running| running.ticket != ticket);
    }

    /// Stops all calls, because the session has crashed.
    pub fn fail(&mut self) {
        for InFlight { stop, .. } in self.in_flight.drain(..) {
            // A dropped sender would tell that the session was ended on purpose.
            let _ = stop.send(Error::Internal);
        }
    }

    /// Stops the calls under an id, and tells whether there was any.
    pub fn cancel(&mut self, id: &RequestId) -> bool {
        // The notification names the id alone, so all calls under it are meant.
        let of_id = self.in_flight.extract_if(.., |running| running.id == *id);
        let mut was_there = false;
        for InFlight { stop, .. } in of_id {
            // A call that ended by itself needs no word.
            let _ = stop.send(Error::Cancelled);
            was_there = true;
        }
        was_there
    }
}

fn what(call: &CallTool) -> u64 {
    hash(&(&call.name, call.arguments.get()))
}

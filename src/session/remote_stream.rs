//! Streams of calls that run at another replica, for a client that has lost its connection there: first the events that the
//! replica has logged, then those that it goes on to log. And what is left of streams that are lost where there are no other servers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::time::sleep;

use super::{
    event_log::{EventId, EventName, Logged, nameable},
    persistence::Persistence,
    queue::{self, ByteSize, Capacity, Sender},
    streams::ROOM,
};
use crate::{
    error::Error,
    ids::{SessionId, UserKey},
    protocol::{
        error_object::ErrorObject,
        jsonrpc::{self, Body, Message, RequestId},
        revision::Era,
    },
    store::{Cursor, ReplicaBus, SentEvent, SessionStore, SharedEventLog, StoreFuture},
};

/// Time between two reads of the log.
const EVERY: Duration = Duration::from_millis(250);

/// Reads of the log for each look at the session and at the replica that runs the call.
const POLLS_PER_CHECK: u32 = 4;

/// Looks in a row that must find the replica dead. After an outage of Redis all replicas seem dead until their next beat.
const MISSED_HEARTBEATS: u32 = 3;

/// Session in a store that other servers share, with what they tell and log by it.
pub(super) struct Replicas {
    session: SessionId,
    owner: UserKey,
    store: Arc<dyn SessionStore>,
    bus: Arc<dyn ReplicaBus>,
    log: Arc<dyn SharedEventLog>,
}

impl Replicas {
    /// Returns a session as other servers have it that use its store, where others can.
    pub(super) fn of(Persistence { session, owner, store, .. }: &Persistence) -> Option<Self> {
        let (bus, log) = (Arc::clone(store.bus()?), Arc::clone(store.event_log()?));
        Some(Self { session: *session, owner: owner.clone(), store: Arc::clone(store), bus, log })
    }

    fn read(&self, since: Cursor) -> StoreFuture<(Vec<SentEvent>, Cursor)> {
        self.log.read(self.session, &self.owner, since)
    }

    fn version(&self) -> StoreFuture<Option<u64>> {
        self.store.version(self.session, &self.owner)
    }
}

/// Stream of a call that runs on another server.
struct Followed {
    replicas: Replicas,
    /// Set when this server stops.
    is_draining: Arc<AtomicBool>,
    cursor: Cursor,
    /// The last event that was sent.
    last: SentEvent,
    reader: Sender<Logged>,
}

/// Goes on with a stream after an event.
///
/// # Errors
/// [`Error::EventUnknown`] where no such event was logged, or not what followed; [`Error::StoreUnavailable`].
pub(super) async fn resume(
    replicas: Replicas,
    is_draining: Arc<AtomicBool>,
    after: EventId,
    queue_bytes: usize,
) -> Result<queue::Receiver<Logged>, Error> {
    let (mut sent, cursor) = replicas.read(Cursor::default()).await?;
    sent.retain(|event| event.stream == after.stream);
    let is_over = sent.last().is_some_and(is_last);
    // The mark of the end tells only that nothing follows: it is no event, and has no place that a client could name.
    sent.retain(|event| !event.is_end);
    let (Some(first), Some(last)) = (sent.first(), sent.last().cloned()) else { return Err(Error::EventUnknown) };
    // An ended stream must have something left to send: a client that is given nothing would ask again.
    // The log drops its oldest events. A client that goes on behind a gap would miss messages without knowing.
    let is_known = first.place <= after.place.saturating_add(1) && after.place <= last.place;
    if !is_known || (is_over && after.place == last.place) {
        return Err(Error::EventUnknown);
    }
    let missed: Vec<_> = sent.into_iter().filter(|event| event.place > after.place).map(logged).collect();
    let bytes: usize = missed.iter().map(ByteSize::bytes).sum();
    let (reader, events) = queue::queue(Capacity { items: missed.len() + ROOM, bytes: bytes + queue_bytes });
    for event in missed {
        // There is room for all of them.
        let _ = reader.try_send(event);
    }
    if !is_over {
        actix::spawn(Followed { replicas, is_draining, cursor, last, reader }.follow());
    }
    Ok(events)
}

/// Returns the answer to a request whose result can't be had any more.
fn unknown_outcome(request: &RequestId) -> Bytes {
    jsonrpc::error_response(Some(request), &ErrorObject::of(&Error::ServerLost, Era::Legacy))
}

/// Returns the rest of a call's stream of which nothing is known but what the name of an event tells: that the outcome of the call
/// is not known. A client that was refused would wait for its answer for ever.
///
/// # Errors
/// [`Error::EventUnknown`] where the name does not tell the request.
pub(super) fn lost(after: EventName) -> Result<queue::Receiver<Logged>, Error> {
    let EventName { id: EventId { stream, place }, request: Some(request) } = after else {
        return Err(Error::EventUnknown);
    };
    let message = unknown_outcome(&request);
    let (reader, events) = queue::queue(Capacity { items: 1, bytes: message.len() });
    // Its name tells no request: some clients come back even after an error, and must learn that this was the end.
    let error =
        Logged { id: EventId { stream, place: place.saturating_add(1) }, request: None, message: vec![message] };
    // There is room for it. The stream ends behind it, as the sender goes.
    let _ = reader.try_send(error);
    Ok(events)
}

/// Returns whether nothing follows: the stream has ended, or would have, had its server not gone before it could say
/// so.
fn is_last(event: &SentEvent) -> bool {
    event.is_end || matches!(jsonrpc::parse(&event.message), Ok(Body::Single(Message::Response)))
}

fn logged(event: SentEvent) -> Logged {
    let id = EventId { stream: event.stream, place: event.place };
    let message = if event.message.is_empty() { Vec::new() } else { vec![event.message] };
    Logged { id, request: nameable(event.request), message }
}

impl Followed {
    /// Sends what is logged until the stream ends, the reader goes, or this server stops.
    async fn follow(mut self) {
        let (mut polls, mut missed_heartbeats) = (0, 0);
        while !self.reader.is_gone() && !self.is_draining.load(Ordering::Relaxed) {
            // Polled: commands share one connection, and a blocking XREAD would need one of its own for each stream.
            sleep(EVERY).await;
            polls += 1;
            // Without the store nothing is known of the call, so this is no sign of a dead replica.
            let Ok((mut sent, cursor)) = self.replicas.read(self.cursor.clone()).await else { continue };
            self.cursor = cursor;
            sent.retain(|event| event.stream == self.last.stream);
            for event in sent {
                let is_last = is_last(&event);
                if event.is_end || !self.try_send(event) || is_last {
                    return;
                }
            }
            if polls % POLLS_PER_CHECK == 0 {
                match self.replicas.version().await {
                    Ok(None) => return,
                    Ok(Some(_)) => {}
                    Err(_) => continue,
                }
                match self.replicas.bus.is_alive(&self.last.replica).await {
                    Ok(true) => missed_heartbeats = 0,
                    Ok(false) => missed_heartbeats += 1,
                    Err(_) => {}
                }
            }
            if missed_heartbeats == MISSED_HEARTBEATS {
                log::warn!(session:% = self.replicas.session; "a call was lost with the server that ran it");
                let error = unknown_outcome(&self.last.request);
                // The dead replica logs no more, so the next place is free.
                self.try_send(SentEvent { place: self.last.place + 1, message: error, ..self.last.clone() });
                return;
            }
        }
    }

    /// Sends an event; tells whether the reader is still there.
    fn try_send(&mut self, event: SentEvent) -> bool {
        self.last = event.clone();
        self.reader.try_send(logged(event)).inspect_err(queue::SendError::count_if_slow).is_ok()
    }
}

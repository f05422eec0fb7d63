//! The streams of a session: its own, those that answer POSTs, those of subscribers, and the one of HTTP+SSE.
//!
//! The first two can be resumed, so their events have ids and are logged. A reader is a bounded queue: one that is full is
//! closed, nothing piles up, and its client comes back for the rest.

use std::{collections::BTreeMap, time::Instant};

use bytes::Bytes;
use metrics::counter;
use uuid::Uuid;

use super::{
    event_log::{EventId, EventLog, Limits, Logged, StreamId, nameable},
    messages::Event,
    queue::{self, ByteSize, Capacity, Receiver, SendError, Sender},
};
use crate::{
    error::Error,
    protocol::jsonrpc::{self, RequestId},
};

/// Events that may wait for the reader of a stream.
pub(super) const ROOM: usize = 16;

/// Messages that may wait in the stream of HTTP+SSE.
const OUTBOX_ROOM: usize = 256;

/// The room of a stream of changes. One place is enough: a change that waits there stands for all that follow.
pub const CHANGES: Capacity = Capacity { items: 1, bytes: 0 };

/// Streams of one session with their log. See the [module](self).
#[derive(Debug)]
pub struct Streams {
    resumable: BTreeMap<StreamId, State>,
    /// High bits of every number, by which the session knows its streams of other servers and earlier processes.
    mark: StreamId,
    /// Number of the session's own stream, on which it is told of changes.
    own: StreamId,
    next: StreamId,
    log: EventLog,
    /// Bytes that may wait for a reader.
    queue_bytes: usize,
    subscribers: Vec<Sender<Event>>,
    sse: Option<Sender<Event>>,
    /// The list changed while the session's client had no stream.
    pending_list_changed: bool,
    /// The list changed and has not been asked for since.
    is_unseen: bool,
}

/// A stream that can be resumed.
#[derive(Debug, Default)]
struct State {
    /// The place of its last event.
    last: u64,
    /// The place of the last event that the log no longer holds.
    lost: u64,
    reader: Option<Sender<Logged>>,
    ended: Option<Instant>,
    /// Request that the stream answers; none for the session's own.
    request: Option<RequestId>,
}

/// Bits of a stream's number below the mark of its session: room for any number of streams that a session can open.
const NUMBER_BITS: u32 = 40;

impl Streams {
    /// Returns no streams yet. Their log will have these limits, and `queue_bytes` may wait for a reader. The low bits of
    /// `mark` tell the event ids of one session from those of others.
    #[must_use]
    pub fn new(limits: Limits, queue_bytes: usize, mark: u64) -> Self {
        let mark = mark << NUMBER_BITS;
        Self {
            resumable: BTreeMap::new(),
            mark,
            own: mark,
            next: mark + 1,
            log: EventLog::new(limits),
            queue_bytes,
            subscribers: Vec::new(),
            sse: None,
            pending_list_changed: false,
            is_unseen: false,
        }
    }

    /// Numbers the streams so that no event has the id of one that was sent in another process, or before.
    pub fn number_apart(&mut self) {
        let (drawn, _) = Uuid::new_v4().as_u64_pair();
        // The highest bit stays free: beyond the drawn number there is room for more streams than a session can open.
        // Even, as replies have odd numbers: an id tells which kind of stream it was on.
        let number = (drawn >> (u64::BITS - NUMBER_BITS + 1)) & !1;
        self.own = self.mark | number;
        self.next = self.own + 1;
    }

    /// Notes that changes may have been missed, so that the session's own stream says so when it is opened next. Subscribers are
    /// not told: they have missed nothing.
    pub fn note_list_changed(&mut self) {
        self.pending_list_changed = true;
        self.is_unseen = true;
    }

    /// Returns whether an event may have been sent on the session's own stream, by this server or another, in this process
    /// or one before. Streams that answer calls have odd numbers.
    #[must_use]
    pub fn was_own(&self, event: EventId) -> bool {
        let last = self.resumable.get(&self.own).map_or(0, |state| state.last);
        let is_to_come = event.stream == self.own && event.place > last;
        self.is_of_session(event) && event.stream.is_multiple_of(2) && !is_to_come
    }

    /// Returns whether an event may have been sent on the stream of a call whose answer is not here: it went by another server, in
    /// a process before this one, too long ago, or the log has lost it.
    #[must_use]
    pub fn was_reply(&self, event: EventId) -> bool {
        let state = self.resumable.get(&event.stream);
        let is_lost = state.is_none_or(|state| state.ended.is_some() && event.place < state.lost);
        self.is_of_session(event) && !event.stream.is_multiple_of(2) && is_lost
    }

    fn is_of_session(&self, event: EventId) -> bool {
        event.stream >> NUMBER_BITS == self.mark >> NUMBER_BITS
    }

    /// Opens the session's own stream; the reader before ends. What is owed is sent at once. A primed stream begins with an
    /// event that tells its id, so that it can be resumed from there.
    pub fn open(&mut self, is_primed: bool) -> Receiver<Logged> {
        let events = self.begin(self.own, is_primed);
        // A client that opens anew never asks for earlier events, and a change among them may have gone into a dead
        // connection.
        if self.is_unseen {
            self.tell_own();
        }
        events
    }

    /// Opens a stream for the answer to a request.
    pub fn open_reply(&mut self, request: RequestId, is_primed: bool) -> (StreamId, Receiver<Logged>) {
        self.forget_past();
        let stream = self.next;
        self.next += 2;
        self.resumable.entry(stream).or_default().request = nameable(request);
        (stream, self.begin(stream, is_primed))
    }

    fn begin(&mut self, stream: StreamId, is_primed: bool) -> Receiver<Logged> {
        let events = self.attach(stream, Vec::new());
        if is_primed {
            // An event without a message tells an id before anything can be lost (MCP 2025-11-25, basic/transports
            // § Sending Messages to the Server).
            self.record(stream, Vec::new());
        }
        events
    }

    /// Goes on with a stream after an event.
    ///
    /// # Errors
    /// [`Error::EventUnknown`] where there was no such event, or the log no longer holds what followed.
    pub fn resume(&mut self, after: EventId) -> Result<Receiver<Logged>, Error> {
        self.forget_past();
        let state = self.resumable.get(&after.stream).ok_or(Error::EventUnknown)?;
        // Of a stream that has ended there must be something left to send: a client that was given nothing would ask
        // again.
        let is_over = state.ended.is_some() && after.place == state.last;
        if after.place > state.last || after.place < state.lost || is_over {
            return Err(Error::EventUnknown);
        }
        let missed = self.log.after(after).cloned().collect();
        let events = self.attach(after.stream, missed);
        if after.stream == self.own && self.pending_list_changed {
            self.tell_own();
        }
        Ok(events)
    }

    /// Gives a stream a new reader, which finds `missed` waiting.
    fn attach(&mut self, stream: StreamId, missed: Vec<Logged>) -> Receiver<Logged> {
        let missed_bytes: usize = missed.iter().map(ByteSize::bytes).sum();
        let room = Capacity { items: missed.len() + ROOM, bytes: missed_bytes + self.queue_bytes };
        let (reader, events) = queue::queue(room);
        for event in missed {
            // There is room for all of them.
            let _ = reader.try_send(event);
        }
        let state = self.resumable.entry(stream).or_default();
        // Without a sender the reader of an ended stream gets what it missed, and then the end.
        state.reader = state.ended.is_none().then_some(reader);
        events
    }

    /// Sends a message on a stream, and logs it; gives the id of the event.
    pub fn record(&mut self, stream: StreamId, message: Vec<Bytes>) -> Option<EventId> {
        let state = self.resumable.get_mut(&stream)?;
        state.last += 1;
        let id = EventId { stream, place: state.last };
        let event = Logged { id, request: state.request.clone(), message };
        let try_send =
            |reader: &Sender<_>| reader.try_send(event.clone()).inspect_err(SendError::count_if_slow).is_err();
        // A reader that is too slow is closed, not waited for. Its client comes back with the last id and gets the rest
        // from the log.
        if state.reader.as_ref().is_some_and(try_send) {
            state.reader = None;
        }
        for gone in self.log.append(event) {
            counter!("mcp_stream_events_dropped_total").increment(1);
            if let Some(state) = self.resumable.get_mut(&gone.stream) {
                state.lost = gone.place;
            }
        }
        Some(id)
    }

    /// Ends the stream of a POST: its reader gets what waits, and then no more. Gives the id of its last event.
    pub fn end_reply(&mut self, stream: StreamId) -> Option<EventId> {
        let state = self.resumable.get_mut(&stream)?;
        state.reader = None;
        state.ended = Some(Instant::now());
        Some(EventId { stream, place: state.last })
    }

    /// Returns whether the answer to a POST is still to come on one of the streams.
    #[must_use]
    pub fn await_answers(&self) -> bool {
        self.resumable.iter().any(|(stream, state)| *stream != self.own && state.ended.is_none())
    }

    /// Returns whether a client reads a stream, or could still come back for one.
    #[must_use]
    pub fn are_in_use(&mut self) -> bool {
        self.forget_past();
        self.subscribers.retain(|subscriber| !subscriber.is_gone());
        let is_read = |state: &State| state.reader.as_ref().is_some_and(|reader| !reader.is_gone());
        // A reply counts after its end, too: its events leave with the session, and its client may still come for them.
        let in_use = |(stream, state): (&StreamId, &State)| *stream != self.own || is_read(state);
        self.sse.is_some() || !self.subscribers.is_empty() || self.resumable.iter().any(in_use)
    }

    /// Forgets the streams that ended too long ago to be resumed.
    pub fn forget_past(&mut self) {
        let log = &self.log;
        let past = |state: &State| state.ended.is_some_and(|end| log.is_past(end));
        let streams: Vec<_> = self.resumable.iter().filter(|(_, state)| past(state)).map(|(id, _)| *id).collect();
        for stream in streams {
            self.resumable.remove(&stream);
            self.log.forget(stream);
        }
    }

    /// Opens a stream for a subscriber.
    pub fn subscribe(&mut self) -> Receiver<Event> {
        let (sender, events) = queue::queue(CHANGES);
        self.subscribers.retain(|subscriber| !subscriber.is_gone());
        self.subscribers.push(sender);
        events
    }

    /// Opens the one stream of an HTTP+SSE session.
    pub fn open_outbox(&mut self) -> Receiver<Event> {
        let (sender, events) = queue::queue(Capacity { items: OUTBOX_ROOM, bytes: self.queue_bytes });
        self.sse = Some(sender);
        events
    }

    /// Sends a message by the HTTP+SSE stream, if there is one.
    ///
    /// # Errors
    /// [`SendError`] where its reader is too slow or gone. It can't come back for what it misses, so that is the end.
    pub fn push(&mut self, message: Vec<Bytes>) -> Result<(), SendError> {
        let sent = self.sse.as_ref().map_or(Ok(()), |sse| sse.try_send(Event::Message(message)));
        if let Err(refused) = &sent {
            refused.count_if_slow();
            self.sse = None;
        }
        sent
    }

    /// Returns all subscribers, and forgets them here.
    pub fn take_subscribers(&mut self) -> Vec<Sender<Event>> {
        std::mem::take(&mut self.subscribers)
    }

    /// Takes on the subscribers of another session.
    pub fn adopt(&mut self, mut subscribers: Vec<Sender<Event>>) {
        self.subscribers.append(&mut subscribers);
    }

    /// Tells all readers that the list changed: now, or when the session's stream opens. Several changes before a client has
    /// heard of one are told once.
    pub fn tell_change(&mut self) {
        self.subscribers.retain(|subscriber| is_told(subscriber.try_send(Event::ToolsChanged)));
        match &self.sse {
            Some(sse) => {
                if sse.try_send(Event::ToolsChanged).is_err() {
                    self.sse = None;
                }
            }
            None => self.tell_own(),
        }
    }

    fn tell_own(&mut self) {
        let reader = self.resumable.get(&self.own).and_then(|state| state.reader.as_ref());
        let reader = reader.filter(|reader| !reader.is_gone());
        // A client that resumes misses only what had no reader (`pending_list_changed`). One that opens anew may miss anything
        // since its last list (`is_unseen`).
        self.pending_list_changed = reader.is_none();
        self.is_unseen = true;
        // A message that waits is a change that waits: no other comes on this stream.
        if reader.is_some_and(Sender::is_read) {
            let message = jsonrpc::notification("notifications/tools/list_changed");
            self.record(self.own, vec![message.into()]);
        }
    }

    /// Notes that the client has seen the list as it is.
    pub fn note_list_seen(&mut self) {
        self.pending_list_changed = false;
        self.is_unseen = false;
    }

    /// Ends the streams on which nothing is awaited: the session's own, and the subscribers'.
    pub fn close_listening(&mut self) {
        self.subscribers.clear();
        self.close_own();
    }

    /// Ends the session's own stream, if it is open.
    pub fn close_own(&mut self) {
        if let Some(state) = self.resumable.get_mut(&self.own) {
            state.reader = None;
        }
    }

    /// Ends the one stream of an HTTP+SSE session.
    pub fn close_outbox(&mut self) {
        self.sse = None;
    }
}

/// Returns true unless the reader is gone. A full queue counts as told: its reader lists again after draining it.
fn is_told(sent: Result<(), SendError>) -> bool {
    sent != Err(SendError::Gone)
}

#[cfg(test)]
mod tests;

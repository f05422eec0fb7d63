//! The streams of a session: its own, those that answer POSTs, those of subscribers, and the outbox of HTTP+SSE.
//!
//! The first two can be resumed, so their events have ids and are logged. A reader is a bounded queue: one that is full is
//! closed, nothing piles up, and its client comes back for the rest.

use std::{collections::BTreeMap, time::Instant};

use bytes::Bytes;
use tokio::sync::mpsc::{self, error::TrySendError};

use super::{
    event_log::{EventId, EventLog, Limits, Logged, StreamId},
    messages::Event,
};
use crate::{error::Error, protocol::jsonrpc};

/// Events that may wait for the reader of a stream.
const ROOM: usize = 16;

/// The session's own stream.
const OWN: StreamId = 0;

/// See the [module](self).
#[derive(Debug)]
pub struct Streams {
    resumable: BTreeMap<StreamId, State>,
    next: StreamId,
    log: EventLog,
    subscribers: Vec<mpsc::Sender<Event>>,
    outbox: Option<mpsc::Sender<Event>>,
    /// The list changed while the session's client had no stream.
    owes_change: bool,
}

/// A stream that can be resumed.
#[derive(Debug, Default)]
struct State {
    /// The place of its last event.
    last: u64,
    /// The place of the last event that the log no longer holds.
    lost: u64,
    reader: Option<mpsc::Sender<Logged>>,
    ended: Option<Instant>,
}

impl Streams {
    /// No streams, and a log with these limits for those to come.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            resumable: BTreeMap::new(),
            next: OWN + 1,
            log: EventLog::new(limits),
            subscribers: Vec::new(),
            outbox: None,
            owes_change: false,
        }
    }

    /// Opens the session's own stream; the reader before ends. What is owed is sent at once. A primed stream begins with an
    /// event that tells its id, so that it can be resumed from there.
    pub fn open(&mut self, is_primed: bool) -> mpsc::Receiver<Logged> {
        let events = self.attach(OWN, Vec::new());
        if is_primed {
            self.record(OWN, Vec::new());
        }
        if self.owes_change {
            self.tell_own();
        }
        events
    }

    /// Opens a stream for the answer to a POST.
    pub fn open_reply(&mut self, is_primed: bool) -> (StreamId, mpsc::Receiver<Logged>) {
        self.forget_past();
        let stream = self.next;
        self.next += 1;
        let events = self.attach(stream, Vec::new());
        if is_primed {
            self.record(stream, Vec::new());
        }
        (stream, events)
    }

    /// Goes on with a stream after an event.
    ///
    /// # Errors
    /// [`Error::EventUnknown`] where there was no such event, or the log no longer holds what followed.
    pub fn resume(&mut self, after: EventId) -> Result<mpsc::Receiver<Logged>, Error> {
        self.forget_past();
        let state = self.resumable.get(&after.stream).ok_or(Error::EventUnknown)?;
        if after.place > state.last || after.place < state.lost {
            return Err(Error::EventUnknown);
        }
        let missed = self.log.after(after).cloned().collect();
        let events = self.attach(after.stream, missed);
        if after.stream == OWN && self.owes_change {
            self.tell_own();
        }
        Ok(events)
    }

    /// Gives a stream a new reader, which finds `missed` waiting.
    fn attach(&mut self, stream: StreamId, missed: Vec<Logged>) -> mpsc::Receiver<Logged> {
        let (reader, events) = mpsc::channel(missed.len() + ROOM);
        for event in missed {
            // There is room for all of them.
            let _ = reader.try_send(event);
        }
        let state = self.resumable.entry(stream).or_default();
        state.reader = state.ended.is_none().then_some(reader);
        events
    }

    /// Sends a message on a stream, and logs it.
    pub fn record(&mut self, stream: StreamId, message: Vec<Bytes>) {
        let Some(state) = self.resumable.get_mut(&stream) else { return };
        state.last += 1;
        let event = Logged { id: EventId { stream, place: state.last }, message };
        if state.reader.as_ref().is_some_and(|reader| reader.try_send(event.clone()).is_err()) {
            state.reader = None;
        }
        for gone in self.log.append(event) {
            if let Some(state) = self.resumable.get_mut(&gone.stream) {
                state.lost = gone.place;
            }
        }
    }

    /// Ends the stream of a POST: its reader gets what waits, and then no more.
    pub fn end_reply(&mut self, stream: StreamId) {
        if let Some(state) = self.resumable.get_mut(&stream) {
            state.reader = None;
            state.ended = Some(Instant::now());
        }
    }

    fn forget_past(&mut self) {
        let log = &self.log;
        let past = |state: &State| state.ended.is_some_and(|end| log.is_past(end));
        let streams: Vec<_> = self.resumable.iter().filter(|(_, state)| past(state)).map(|(id, _)| *id).collect();
        for stream in streams {
            self.resumable.remove(&stream);
            self.log.forget(stream);
        }
    }

    /// Opens a stream for a subscriber. One place is enough: a change that waits there stands for all that follow.
    pub fn subscribe(&mut self) -> mpsc::Receiver<Event> {
        let (sender, events) = mpsc::channel(1);
        self.subscribers.push(sender);
        events
    }

    /// Opens the outbox of HTTP+SSE, in which up to `room` messages may wait.
    pub fn open_outbox(&mut self, room: usize) -> mpsc::Receiver<Event> {
        let (sender, events) = mpsc::channel(room);
        self.outbox = Some(sender);
        events
    }

    /// Sends a message by the outbox. A reader too slow for it loses it, and thereby the session.
    pub fn push(&mut self, message: Vec<Bytes>) {
        if self.outbox.as_ref().is_some_and(|outbox| outbox.try_send(Event::Message(message)).is_err()) {
            self.outbox = None;
        }
    }

    /// Tells everybody that the list changed: now, or when the session's stream opens. Changes that a client has not heard
    /// of yet are one.
    pub fn tell_change(&mut self) {
        self.subscribers.retain(|subscriber| is_told(&subscriber.try_send(Event::ToolsChanged)));
        match &self.outbox {
            Some(outbox) => {
                let _ = outbox.try_send(Event::ToolsChanged);
            }
            None => self.tell_own(),
        }
    }

    fn tell_own(&mut self) {
        let reader = self.resumable.get(&OWN).and_then(|state| state.reader.as_ref());
        let reader = reader.filter(|reader| !reader.is_closed());
        self.owes_change = reader.is_none();
        // A reader with something waiting has a change waiting: nothing else comes on this stream.
        if reader.is_some_and(|reader| reader.capacity() == reader.max_capacity() || self.is_only_primed()) {
            let message = jsonrpc::notification("notifications/tools/list_changed");
            self.record(OWN, vec![message.into()]);
        }
    }

    /// Whether the last event of the session's own stream told nothing but its id.
    fn is_only_primed(&self) -> bool {
        let last = self.resumable.get(&OWN).map_or(0, |state| state.last);
        let before = EventId { stream: OWN, place: last.saturating_sub(1) };
        self.log.after(before).last().is_some_and(|event| event.message.is_empty())
    }

    /// Notes that the client has seen the list as it is.
    pub fn settle(&mut self) {
        self.owes_change = false;
    }

    /// Ends the streams on which nothing is awaited: the session's own, and the subscribers'.
    pub fn close_listening(&mut self) {
        self.subscribers.clear();
        if let Some(state) = self.resumable.get_mut(&OWN) {
            state.reader = None;
        }
    }

    /// Ends the outbox of HTTP+SSE.
    pub fn close_outbox(&mut self) {
        self.outbox = None;
    }
}

/// Whether the reader knows, or will: a full stream has events waiting, and its reader will look at the list after them.
fn is_told(sent: &Result<(), TrySendError<Event>>) -> bool {
    !matches!(sent, Err(TrySendError::Closed(_)))
}

#[cfg(test)]
mod tests;

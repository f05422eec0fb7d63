//! Events that were sent on a session's streams, kept for clients that lose their connection
//! (MCP 2025-11-25, basic/transports § Resumability and Redelivery).

use std::{
    collections::VecDeque,
    fmt,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;

use super::queue::ByteSize;
use crate::protocol::jsonrpc::RequestId;

/// Bytes up to which a request's id is told in the names of events. Clients count from 0; the name goes with each event.
const MAX_REQUEST_BYTES: usize = 64;

/// The place of an event in its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventId {
    /// Stream of the session on which the event was sent.
    pub stream: StreamId,
    /// Place of the event on its stream, from 1.
    pub place: u64,
}

/// The number of a stream in its session.
pub type StreamId = u64;

/// The name by which a client knows an event. Unique in the session.
///
/// On the stream of a call it tells the request as well. A process that has never heard of the stream, as the one that ran the
/// call is gone, can answer the request by it; the store would have to keep a note of each stream otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventName {
    /// Place of the event.
    pub id: EventId,
    /// Request that the stream answers, unless its id is too long for a name.
    pub request: Option<RequestId>,
}

impl EventName {
    /// Reads a name as this server writes it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (stream, rest) = text.strip_prefix('s')?.split_once('_')?;
        let (place, request) = rest.split_once('_').map_or((rest, None), |(place, request)| (place, Some(request)));
        let id = EventId { stream: stream.parse().ok()?, place: place.parse().ok()? };
        let request = match request {
            Some(request) => Some(nameable(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(request).ok()?).ok()?)?),
            None => None,
        };
        let name = Self { id, request };
        // One spelling each: no signs, no leading zeros.
        (name.to_string() == text).then_some(name)
    }
}

/// Returns the id of a request if it is short enough to be told in the names of events. Longer ones are not kept: an id may be as
/// long as a body, and a stream and its events outlive the request.
#[must_use]
pub fn nameable(request: RequestId) -> Option<RequestId> {
    (request.to_string().len() <= MAX_REQUEST_BYTES).then_some(request)
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.id)?;
        match &self.request {
            Some(request) => write!(f, "_{}", URL_SAFE_NO_PAD.encode(request.to_string())),
            None => Ok(()),
        }
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}_{}", self.stream, self.place)
    }
}

/// An event on a stream that can be resumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// Place of the event.
    pub id: EventId,
    /// Request that the stream answers, if its id is [short enough](nameable); none on the session's own.
    pub request: Option<RequestId>,
    /// The message in pieces; none in an event that only tells its id.
    pub message: Vec<Bytes>,
}

impl Logged {
    /// Returns the name of the event, for `Last-Event-ID`.
    #[must_use]
    pub fn name(&self) -> EventName {
        EventName { id: self.id, request: self.request.clone() }
    }
}

/// Bounds of a log, past which the oldest events go.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Number of events, over all streams.
    pub events: usize,
    /// Bytes of their messages, over all streams.
    pub bytes: usize,
    /// How long after its end a stream is kept.
    pub ttl: Duration,
}

/// The latest events of all streams of a session, oldest first.
#[derive(Debug)]
pub struct EventLog {
    events: VecDeque<Logged>,
    bytes: usize,
    limits: Limits,
}

impl EventLog {
    /// Returns an empty log with these bounds.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { events: VecDeque::new(), bytes: 0, limits }
    }

    /// Appends an event, and gives the ids of those that had to go for it; it may be among them.
    pub fn append(&mut self, event: Logged) -> Vec<EventId> {
        if event.bytes() > self.limits.bytes {
            // Kept, it would push out all others and then have to go as well.
            return vec![event.id];
        }
        self.bytes += event.bytes();
        self.events.push_back(event);
        let mut gone = Vec::new();
        // The limits hold for the session. An answer on one stream may push out events of another.
        while self.events.len() > self.limits.events || self.bytes > self.limits.bytes {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= oldest.bytes();
            gone.push(oldest.id);
        }
        gone
    }

    /// Returns the events of a stream after a place.
    pub fn after(&self, id: EventId) -> impl Iterator<Item = &Logged> {
        self.events.iter().filter(move |event| event.id.stream == id.stream && event.id.place > id.place)
    }

    /// Forgets a stream with all its events.
    pub fn forget(&mut self, stream: StreamId) {
        self.events.retain(|event| event.id.stream != stream);
        self.bytes = self.events.iter().map(Logged::bytes).sum();
    }

    /// Returns whether a stream that ended at `end` is past its time.
    #[must_use]
    pub fn is_past(&self, end: Instant) -> bool {
        end.elapsed() >= self.limits.ttl
    }
}

impl ByteSize for Logged {
    fn bytes(&self) -> usize {
        self.message.iter().map(Bytes::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_spelling() {
        let id = EventId { stream: 3, place: 14 };
        let requests = [RequestId::Signed(-7), RequestId::Text("a \"b\" ü".into()), RequestId::Unsigned(u64::MAX)];
        for request in requests.into_iter().map(Some).chain([None]) {
            let name = EventName { id, request };
            assert_eq!(EventName::parse(&name.to_string()), Some(name));
        }
        let long = RequestId::Text("x".repeat(MAX_REQUEST_BYTES).into());
        assert_eq!(nameable(long.clone()), None, "it goes with each event");
        assert_eq!(EventName::parse(&EventName { id, request: Some(long) }.to_string()), None, "it is never told");
        let unnumbered = ["", "s", "s1", "1_2", "s1_", "s_2", "s01_2", "s1_+2", "s-1_2", "s99999999999999999999_1"];
        // `3`, `NQ==` and `MDU` are no base64 of a number without padding and leading zeros, `e30` is `{}`.
        for text in unnumbered.into_iter().chain(["s1_2_", "s1_2_3", "s1_2_NQ==", "s1_2_MDU", "s1_2_e30", "s1_2_NQ_NQ"])
        {
            assert_eq!(EventName::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_oldest_go_when_there_is_no_room() {
        let event = |stream, place, size| Logged {
            id: EventId { stream, place },
            request: None,
            message: vec![Bytes::from(vec![b'x'; size])],
        };
        let mut log = EventLog::new(Limits { events: 3, bytes: 100, ttl: Duration::ZERO });
        for place in 1..=3 {
            assert_eq!(log.append(event(0, place, 10)), []);
        }
        assert_eq!(log.append(event(1, 1, 10)), [EventId { stream: 0, place: 1 }], "by number");
        assert_eq!(log.append(event(1, 2, 85)).len(), 2, "by size");
        let kept: Vec<_> = log.after(EventId { stream: 1, place: 0 }).map(|event| event.id.place).collect();
        assert_eq!(kept, [1, 2]);
        assert_eq!(
            log.append(event(2, 1, 101)),
            [EventId { stream: 2, place: 1 }],
            "what is too large alone is not kept"
        );
        assert_eq!((log.events.len(), log.bytes), (2, 95));
    }
}

//! What holds for the streams of a session, whatever happens in whatever order.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::{
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use futures_util::StreamExt;
use integration_app_mcp_server::{
    protocol::jsonrpc::RequestId,
    session::{
        event_log::{EventId, Limits, Logged, StreamId},
        queue::Receiver,
        streams::Streams,
    },
};
use proptest::{collection::vec, prelude::*};

/// More than any run sends, so that nothing is ever behind the tail.
const LIMITS: Limits = Limits { events: 1000, bytes: 1 << 20, ttl: Duration::from_secs(3600) };

/// Few enough bytes for readers to be closed as too slow.
const QUEUE_BYTES: usize = 40;

/// What may happen; stream 0 is the session's own, the others are those of POSTs.
#[derive(Debug, Clone)]
enum Step {
    /// A POST is answered by a stream.
    OpenReply,
    /// A message comes on the stream of a POST.
    Send(usize),
    /// It ends.
    End(usize),
    /// The list changes.
    Change,
    /// The client reads so many events, if they are there.
    Read(usize, usize),
    /// Its connection is lost, and all that it has not read.
    Lose(usize),
    /// It comes back.
    Resume(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let stream = 0..4_usize;
    prop_oneof![
        1 => Just(Step::OpenReply),
        4 => stream.clone().prop_map(Step::Send),
        1 => stream.clone().prop_map(Step::End),
        3 => Just(Step::Change),
        4 => (stream.clone(), 1..4_usize).prop_map(|(stream, count)| Step::Read(stream, count)),
        2 => stream.clone().prop_map(Step::Lose),
        3 => stream.prop_map(Step::Resume),
    ]
}

/// What a client has of a stream.
#[derive(Default)]
struct Side {
    events: Option<Receiver<Logged>>,
    last: Option<EventId>,
}

impl Side {
    /// Reads up to `count` events that are there, and gives their messages.
    fn read(&mut self, count: usize) -> Vec<String> {
        let mut messages = Vec::new();
        while let (Some(events), true) = (&mut self.events, messages.len() < count) {
            match events.poll_next_unpin(&mut Context::from_waker(Waker::noop())) {
                Poll::Pending => break,
                Poll::Ready(None) => self.events = None,
                Poll::Ready(Some(Logged { id, message, .. })) => {
                    assert!(self.last < Some(id), "{id} came after {:?}", self.last);
                    self.last = Some(id);
                    messages.extend((!message.is_empty()).then(|| String::from_utf8(message.concat()).unwrap()));
                }
            }
        }
        messages
    }
}

/// The stream of a POST.
struct Reply {
    stream: StreamId,
    side: Side,
    sent: Vec<String>,
    read: Vec<String>,
    has_ended: bool,
}

/// A session and its client, which comes back by the id of the last event, as the protocol has it.
struct Run {
    streams: Streams,
    replies: Vec<Reply>,
    own: Side,
    /// The list has changed, and the client does not know.
    is_behind: bool,
}

impl Run {
    fn new() -> Self {
        Self {
            streams: Streams::new(LIMITS, QUEUE_BYTES, 0),
            replies: Vec::new(),
            own: Side::default(),
            is_behind: false,
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::OpenReply => {
                let (stream, events) = self.streams.open_reply(RequestId::Signed(1), true);
                let side = Side { events: Some(events), last: None };
                self.replies.push(Reply { stream, side, sent: Vec::new(), read: Vec::new(), has_ended: false });
            }
            Step::Send(stream) => {
                let reply = stream.checked_sub(1).and_then(|i| self.replies.get_mut(i));
                if let Some(reply) = reply.filter(|reply| !reply.has_ended) {
                    let message = format!("message {} of {stream}", reply.sent.len());
                    self.streams.record(reply.stream, vec![Bytes::from(message.clone())]);
                    reply.sent.push(message);
                }
            }
            Step::End(stream) => {
                if let Some(reply) = stream.checked_sub(1).and_then(|i| self.replies.get_mut(i)) {
                    self.streams.end_reply(reply.stream);
                    reply.has_ended = true;
                }
            }
            Step::Change => {
                self.streams.tell_change();
                self.is_behind = true;
            }
            Step::Read(stream, count) => self.read(stream, count),
            Step::Lose(stream) => self.lose(stream),
            Step::Resume(stream) => {
                self.lose(stream);
                self.resume(stream);
            }
        }
    }

    fn read(&mut self, stream: usize, count: usize) {
        match stream.checked_sub(1).map(|i| self.replies.get_mut(i)) {
            None => {
                for message in self.own.read(count) {
                    assert!(message.contains("list_changed"), "{message}");
                    assert!(self.is_behind, "a change is told that the client knows of");
                    self.is_behind = false;
                }
            }
            Some(Some(reply)) => reply.read.extend(reply.side.read(count)),
            Some(None) => {}
        }
    }

    fn lose(&mut self, stream: usize) {
        match stream.checked_sub(1).map(|i| self.replies.get_mut(i)) {
            None => self.own.events = None,
            Some(Some(reply)) => reply.side.events = None,
            Some(None) => {}
        }
    }

    fn resume(&mut self, stream: usize) {
        match stream.checked_sub(1).map(|i| self.replies.get_mut(i)) {
            None => {
                self.own.events = Some(match self.own.last {
                    Some(last) => self.streams.resume(last).unwrap(),
                    None => self.streams.open(true),
                });
            }
            Some(Some(reply)) => {
                let last = reply.side.last.unwrap_or(EventId { stream: reply.stream, place: 0 });
                reply.side.events = self.streams.resume(last).ok();
                // A stream that has ended is gone for a client that has it whole.
                let is_whole = reply.has_ended && reply.read == reply.sent;
                assert!(reply.side.events.is_some() || is_whole, "{last} can't be resumed");
            }
            Some(None) => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_event_is_delivered_once_and_in_order_and_every_change_is_told_once(steps in vec(step(), 0..60)) {
        let mut run = Run::new();
        for step in &steps {
            run.take(step);
        }
        for stream in 0..=run.replies.len() {
            run.take(&Step::Resume(stream));
            run.take(&Step::Read(stream, usize::MAX));
        }
        prop_assert!(!run.is_behind, "the client is never told of a change");
        for reply in &run.replies {
            prop_assert_eq!(&reply.read, &reply.sent);
            prop_assert_eq!(reply.side.events.is_none(), reply.has_ended, "a stream ends where it does");
        }
    }
}

use std::{
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_util::StreamExt;

use super::*;

fn streams() -> Streams {
    Streams::new(Limits { events: 8, bytes: 1024, ttl: Duration::from_secs(60) }, 1 << 20, 0)
}

/// Returns what a reader gets without waiting.
fn now<T: ByteSize>(events: &mut Receiver<T>) -> Poll<Option<T>> {
    events.poll_next_unpin(&mut Context::from_waker(Waker::noop()))
}

/// Returns the events that wait for a reader, as `place:message`.
fn waiting(events: &mut Receiver<Logged>) -> Vec<String> {
    let event = || match now(events) {
        Poll::Ready(event) => event,
        Poll::Pending => None,
    };
    std::iter::from_fn(event)
        .map(|event| format!("{}:{}", event.id.place, String::from_utf8_lossy(&event.message.concat())))
        .collect()
}

fn id(stream: StreamId, place: u64) -> EventId {
    EventId { stream, place }
}

#[test]
fn a_change_is_told_once_to_each_and_owed_to_who_is_away() {
    let mut streams = streams();
    streams.tell_change();
    streams.tell_change();
    let mut own = streams.open(true);
    let mut other = streams.subscribe();
    assert_eq!(waiting(&mut own).len(), 2, "the id, and once what was owed");
    assert_eq!(now(&mut other), Poll::Pending);

    streams.tell_change();
    streams.tell_change();
    assert_eq!(waiting(&mut own).len(), 1);
    assert_eq!(now(&mut other), Poll::Ready(Some(Event::ToolsChanged)));
    assert_eq!(now(&mut other), Poll::Pending);

    drop((own, other));
    streams.tell_change();
    assert!(streams.subscribers.is_empty());
    streams.note_list_seen();
    assert_eq!(waiting(&mut streams.open(false)), [""; 0], "a client that has seen the list is owed nothing");
}

#[test]
fn a_second_reader_replaces_the_first() {
    let mut streams = streams();
    let mut first = streams.open(false);
    let mut second = streams.open(false);
    streams.tell_change();
    assert_eq!(now(&mut first), Poll::Ready(None));
    assert_eq!(waiting(&mut second).len(), 1);
}

#[test]
fn a_stream_goes_on_after_the_event_that_came_last() {
    let mut streams = streams();
    let (stream, events) = streams.open_reply(RequestId::Signed(1), true);
    let (other, mut others) = streams.open_reply(RequestId::Signed(1), true);
    drop(events);
    streams.record(stream, vec!["a".into()]);
    streams.record(other, vec!["not yours".into()]);
    let mut events = streams.resume(id(stream, 1)).unwrap();
    streams.record(stream, vec!["b".into()]);
    assert_eq!(waiting(&mut events), ["2:a", "3:b"]);
    assert_eq!(waiting(&mut others), ["1:", "2:not yours"]);

    streams.end_reply(stream);
    let mut again = streams.resume(id(stream, 2)).unwrap();
    assert_eq!(waiting(&mut again), ["3:b"]);
    assert_eq!(now(&mut again), Poll::Ready(None), "it has ended");
}

#[test]
fn what_cannot_be_resumed_is_refused() {
    let mut streams = streams();
    let (stream, _events) = streams.open_reply(RequestId::Signed(1), true);
    for wrong in [id(stream, 2), id(stream + 1, 1), id(0, 0)] {
        assert!(streams.resume(wrong).is_err(), "{wrong}");
    }
    for _ in 0..8 {
        streams.record(stream, vec!["x".into()]);
    }
    assert!(streams.resume(id(stream, 0)).is_err(), "behind the tail");
    assert!(streams.resume(id(stream, 1)).is_ok(), "the first that is lost is the one that was seen");
}

#[test]
fn an_ended_stream_is_forgotten_after_its_time() {
    let mut streams = Streams::new(Limits { events: 8, bytes: 1024, ttl: Duration::ZERO }, 1 << 20, 0);
    let (stream, _events) = streams.open_reply(RequestId::Signed(1), true);
    streams.end_reply(stream);
    assert!(streams.resume(id(stream, 1)).is_err());
    assert!(streams.resumable.is_empty());
}

#[test]
fn a_reader_too_slow_is_closed_and_can_come_back() {
    let mut streams = Streams::new(Limits { events: 256, bytes: 1 << 20, ttl: Duration::from_secs(60) }, 1 << 20, 0);
    let (stream, mut events) = streams.open_reply(RequestId::Signed(1), false);
    for _ in 0..=ROOM {
        streams.record(stream, vec!["m".into()]);
    }
    assert_eq!(waiting(&mut events).len(), ROOM);
    assert_eq!(now(&mut events), Poll::Ready(None));
    let mut events = streams.resume(id(stream, ROOM as u64)).unwrap();
    assert_eq!(waiting(&mut events).len(), 1);
}

#[test]
fn an_outbox_too_slow_is_closed() {
    let mut streams = streams();
    let mut events = streams.open_outbox();
    let half = || vec![Bytes::from(vec![b'm'; (1 << 19) + 1])];
    assert_eq!((streams.push(half()), streams.push(half())), (Ok(()), Err(SendError::Full)));
    assert!(matches!(now(&mut events), Poll::Ready(Some(_))));
    assert_eq!(now(&mut events), Poll::Ready(None));
}

#[test]
fn a_session_knows_its_own_stream_of_another_process_and_none_of_another_session() {
    let process = |mark| {
        let mut streams = Streams::new(Limits { events: 8, bytes: 1024, ttl: Duration::ZERO }, 1 << 20, mark);
        streams.number_apart();
        streams
    };
    let (before, mut now, other) = (process(7), process(7), process(8));
    assert!(now.was_own(id(before.own, 3)) && !other.was_own(id(before.own, 3)));
    assert!(!now.was_own(id(before.next, 3)), "what a call was answered on is no stream to listen on");
    let own = now.own;
    assert!(!now.was_own(id(own, 1)), "it is to come");
    drop(now.open(true));
    assert!(now.was_own(id(own, 1)) && !now.was_own(id(own, 2)));
}

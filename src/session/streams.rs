//! The streams on which a session tells its clients of changes.

use tokio::sync::mpsc::{self, error::TrySendError};

use super::messages::Event;

/// The session's own stream, and those of subscribers.
#[derive(Debug, Default)]
pub struct Streams {
    own: Option<mpsc::Sender<Event>>,
    subscribers: Vec<mpsc::Sender<Event>>,
    /// The list changed while the session's client had no stream.
    owes_change: bool,
}

impl Streams {
    /// Opens the session's own stream; the one before ends. What is owed is sent at once.
    pub fn open(&mut self, room: usize) -> mpsc::Receiver<Event> {
        let (sender, events) = mpsc::channel(room);
        self.own = Some(sender);
        if self.owes_change {
            self.tell_own();
        }
        events
    }

    /// Opens a stream for a subscriber. One place is enough: a change that waits there stands for all that follow.
    pub fn subscribe(&mut self) -> mpsc::Receiver<Event> {
        let (sender, events) = mpsc::channel(1);
        self.subscribers.push(sender);
        events
    }

    /// Gives all subscribers away.
    pub fn take_subscribers(&mut self) -> Vec<mpsc::Sender<Event>> {
        std::mem::take(&mut self.subscribers)
    }

    /// Takes on the subscribers of another session.
    pub fn adopt(&mut self, mut subscribers: Vec<mpsc::Sender<Event>>) {
        self.subscribers.append(&mut subscribers);
    }

    /// Tells everybody that the list changed: now, or when the session's stream opens. Changes that a client has not heard
    /// of yet are one.
    pub fn tell_change(&mut self) {
        self.tell_own();
        self.subscribers.retain(|subscriber| is_told(&subscriber.try_send(Event::ToolsChanged)));
    }

    fn tell_own(&mut self) {
        let own = self.own.as_ref();
        let told = own.is_some_and(|own| is_told(&own.try_send(Event::ToolsChanged)));
        self.owes_change = !told;
    }

    /// Sends a message on the session's own stream. A reader too slow for it loses the stream: nothing may pile up.
    pub fn send(&mut self, event: Event) {
        if self.own.as_ref().is_some_and(|own| own.try_send(event).is_err()) {
            self.own = None;
        }
    }

    /// Notes that the client has seen the list as it is.
    pub fn settle(&mut self) {
        self.owes_change = false;
    }
}

/// Whether the reader knows, or will: a full stream has events waiting, and its reader will look at the list after them.
fn is_told(sent: &Result<(), TrySendError<Event>>) -> bool {
    !matches!(sent, Err(TrySendError::Closed(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_once_to_each_and_owed_to_who_is_away() {
        let mut streams = Streams::default();
        streams.tell_change();
        streams.tell_change();
        let mut own = streams.open(1);
        let mut other = streams.subscribe();
        assert_eq!(own.try_recv(), Ok(Event::ToolsChanged), "what was owed, once");
        assert!(own.try_recv().is_err() && other.try_recv().is_err());

        streams.tell_change();
        streams.tell_change();
        for stream in [&mut own, &mut other] {
            assert_eq!(stream.try_recv(), Ok(Event::ToolsChanged));
            assert!(stream.try_recv().is_err());
        }

        drop((own, other));
        streams.tell_change();
        assert!(streams.subscribers.is_empty());
        streams.settle();
        assert!(streams.open(1).try_recv().is_err(), "a client that has seen the list is owed nothing");
    }

    #[test]
    fn a_reader_too_slow_for_a_message_loses_the_stream() {
        let mut streams = Streams::default();
        let mut events = streams.open(1);
        let message = || Event::Message(vec!["m".into()]);
        streams.send(message());
        streams.send(message());
        assert_eq!(events.try_recv(), Ok(message()));
        assert_eq!(events.try_recv(), Err(mpsc::error::TryRecvError::Disconnected));
    }
}

//! Queue of events for the reader of a stream: bounded in events and in bytes, so that a reader that stalls costs little.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::Stream;
use tokio::sync::mpsc::{self, error::TrySendError};

/// Item whose size counts against a queue's room.
pub trait ByteSize {
    /// Returns the size of the item, in bytes.
    fn bytes(&self) -> usize;
}

/// Room of a queue, in items and in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Capacity {
    /// Items that may wait at once.
    pub items: usize,
    /// Bytes; an item of any size fits where nothing else waits.
    pub bytes: usize,
}

/// Sending end of a queue, which never waits.
#[derive(Debug)]
pub struct Sender<T> {
    items: mpsc::Sender<T>,
    waiting: Arc<AtomicUsize>,
    max_bytes: usize,
}

/// Receiving end of a queue, a stream of its items.
#[derive(Debug)]
pub struct Receiver<T> {
    items: mpsc::Receiver<T>,
    waiting: Arc<AtomicUsize>,
}

/// Why an item was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendError {
    /// The reader is behind, and there is no room left.
    Full,
    /// The receiving end was dropped.
    Gone,
}

impl SendError {
    /// Counts a stream that ends for this, where its reader was too slow.
    pub fn count_if_slow(&self) {
        if matches!(self, Self::Full) {
            metrics::counter!("mcp_streams_closed_slow_total").increment(1);
        }
    }
}

/// Returns both ends of an empty queue with this room.
#[must_use]
pub fn queue<T>(room: Capacity) -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = mpsc::channel(room.items.max(1));
    let waiting = Arc::new(AtomicUsize::new(0));
    let sender = Sender { items: sender, waiting: Arc::clone(&waiting), max_bytes: room.bytes };
    (sender, Receiver { items: receiver, waiting })
}

impl<T: ByteSize> Sender<T> {
    /// Puts an item at the end.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn try_send(&self, item: T) -> Result<(), SendError> {
        let bytes = item.bytes();
        // One sender fills the queue and the reader only drains it, so an outdated number is too high and lets in too
        // little.
        let waiting = self.waiting.load(Ordering::Relaxed);
        // An item of any size may wait alone, or a large answer could never be sent.
        if waiting > 0 && waiting + bytes > self.max_bytes {
            return Err(if self.items.is_closed() { SendError::Gone } else { SendError::Full });
        }
        // Counted before it is sent: the reader may take it and subtract its size before the next line runs.
        self.waiting.fetch_add(bytes, Ordering::Relaxed);
        self.items.try_send(item).map_err(|error| {
            self.waiting.fetch_sub(bytes, Ordering::Relaxed);
            match error {
                TrySendError::Full(_) => SendError::Full,
                TrySendError::Closed(_) => SendError::Gone,
            }
        })
    }

    /// Returns whether the receiving end was dropped.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.items.is_closed()
    }

    /// Returns whether the reader has taken all items that have a size. Items left behind by a dropped reader count as unread.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) == 0
    }
}

/// Ends when the sending end was dropped and the queue is empty.
impl<T: ByteSize> Stream for Receiver<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let item = std::task::ready!(self.items.poll_recv(cx));
        if let Some(item) = &item {
            self.waiting.fetch_sub(item.bytes(), Ordering::Relaxed);
        }
        Poll::Ready(item)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    impl ByteSize for &'static str {
        fn bytes(&self) -> usize {
            self.len()
        }
    }

    #[actix::test]
    async fn a_queue_is_full_by_number_and_by_size() {
        let (sender, mut receiver) = queue(Capacity { items: 2, bytes: 4 });
        assert!(sender.is_read());
        assert_eq!(sender.try_send("larger"), Ok(()), "alone, of any size");
        assert_eq!(sender.try_send("x"), Err(SendError::Full), "by size");
        assert_eq!(receiver.next().await, Some("larger"));
        assert_eq!((sender.try_send("x"), sender.try_send("y")), (Ok(()), Ok(())));
        assert_eq!(sender.try_send("z"), Err(SendError::Full), "by number");
        drop(receiver);
        assert!(!sender.is_read());
        assert_eq!(sender.try_send("x"), Err(SendError::Gone));
    }

    #[actix::test]
    async fn what_waits_is_read_after_the_sender_has_gone() {
        let (sender, mut receiver) = queue(Capacity { items: 2, bytes: 4 });
        assert_eq!(sender.try_send("x"), Ok(()));
        drop(sender);
        assert_eq!((receiver.next().await, receiver.next().await), (Some("x"), None));
    }
}

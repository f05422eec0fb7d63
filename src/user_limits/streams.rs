//! Streams of one user at all servers that share a store.
//!
//! Each server has a part of the limit to itself, and notes in the store how many streams a user has here beyond it. So users with
//! few streams cost the store nothing. What is noted is the whole number and not a change, so that a note that was lost, or comes
//! twice, does no harm once the next one is there.

use std::sync::Arc;

use tokio::sync::Mutex;

use super::{
    counter::Counter,
    fleet::{FleetLimits, Split},
};
use crate::ids::UserKey;

/// Streams of one user, as the servers count them together.
#[derive(Debug)]
pub(super) struct FleetStreams {
    fleet: Arc<dyn FleetLimits>,
    user: UserKey,
    /// Streams that are noted for this server, if that is known. Held while it is changed, so that a note does not overtake a
    /// later one.
    noted: Mutex<Option<usize>>,
}

impl FleetStreams {
    /// Returns the streams of a user who has none yet.
    pub(super) fn new(fleet: Arc<dyn FleetLimits>, user: UserKey) -> Self {
        Self { fleet, user, noted: Mutex::new(Some(0)) }
    }

    fn split(&self, counter: &Counter) -> Split {
        Split::new(counter.limit, self.fleet.servers())
    }

    /// Returns how many streams the other servers have to know of.
    fn beyond(&self, counter: &Counter) -> usize {
        counter.count().saturating_sub(self.split(counter).own)
    }

    /// Lets in a stream that has just been counted, unless all servers together have too many. Without an answer it is let in. What
    /// holds its place is dropped where it is refused, so that the next one to ask does not count it.
    pub(super) async fn let_in<P>(&self, counter: &Counter, place: P) -> Option<P> {
        if self.beyond(counter) == 0 {
            return Some(place);
        }
        let mut noted = self.noted.lock().await;
        let (beyond, before) = (self.beyond(counter), *noted);
        // A note that came at the same time may have told of this one, too.
        if before.is_some_and(|before| before >= beyond) {
            return Some(place);
        }
        // Not known where this future is dropped before the answer.
        *noted = None;
        match self.fleet.note_streams(&self.user, beyond, Some(self.split(counter).shared)).await {
            Some(true) => *noted = Some(beyond),
            Some(false) => {
                *noted = before;
                drop(place);
                return None;
            }
            None => {}
        }
        Some(place)
    }

    /// Returns whether the other servers have known of the last stream that has ended, so that they have to be told.
    pub(super) fn has_shrunk(&self, counter: &Counter) -> bool {
        counter.count() >= self.split(counter).own
    }

    /// Notes how many streams there are here by now, where that is not noted yet; with `again` also where it is, as notes expire.
    pub(super) async fn note(&self, counter: &Counter, again: bool) {
        let mut noted = self.noted.lock().await;
        let beyond = self.beyond(counter);
        if *noted == Some(beyond) && !(again && beyond > 0) {
            return;
        }
        *noted = None;
        if self.fleet.note_streams(&self.user, beyond, None).await.is_some() {
            *noted = Some(beyond);
        }
    }
}

//! Calls and streams of users, as the servers at one Redis count them together.

use std::{
    fmt,
    sync::{Arc, LazyLock},
    time::Duration,
};

use super::{link::Link, script::Script};
use crate::{
    ids::UserKey,
    user_limits::fleet::{FleetFuture, FleetLimits, Lot, Taken},
};

// The crate that limits calls at one server, `governor`, keeps its state in the process. Crates that keep it in Redis make
// connections of their own, and mostly count windows, where twice the limit may come about the end of one.
static TAKE_CALLS: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/take_calls.lua")));
static NOTE_STREAMS: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/note_streams.lua")));

/// How long a note of streams lasts. It is made anew more often than that, so that one ends that nobody was left to take back.
const NOTE_TTL: Duration = Duration::from_secs(180);

/// Limits that the servers at one Redis hold together.
pub(super) struct SharedLimits {
    link: Link,
}

impl SharedLimits {
    pub(super) fn new(link: Link) -> Self {
        Self { link }
    }
}

impl fmt::Debug for SharedLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedLimits").field("servers", &self.link.count()).finish_non_exhaustive()
    }
}

impl FleetLimits for SharedLimits {
    fn servers(&self) -> usize {
        self.link.count()
    }

    fn take_calls(&self, user: &UserKey, Lot { calls, per_s }: Lot) -> FleetFuture<Taken> {
        let arguments = [per_s, calls].map(|number| number.to_string().into_bytes()).to_vec();
        let taken =
            self.link.run::<(usize, u64)>("take_calls", &TAKE_CALLS, vec![self.link.keys().calls(user)], arguments);
        Box::pin(async {
            // A store that is away must not stop calls. Its trouble is logged and counted where it is found.
            let (calls, wait_ms) = taken.await.ok()?;
            Some(Taken { calls, wait: Duration::from_millis(wait_ms) })
        })
    }

    fn note_streams(&self, user: &UserKey, streams: usize, most: Option<usize>) -> FleetFuture<bool> {
        let most = most.map(|most| most.to_string()).unwrap_or_default();
        let arguments = [self.link.replica().to_owned(), streams.to_string(), most, NOTE_TTL.as_millis().to_string()];
        // Those that live are given with it: on a cluster their signs of life are in another slot than the user's keys.
        let replicas: Arc<[String]> = self.link.replicas();
        let arguments = arguments.into_iter().chain(replicas.iter().cloned()).map(String::into_bytes).collect();
        let noted =
            self.link.run::<bool>("note_streams", &NOTE_STREAMS, vec![self.link.keys().streams(user)], arguments);
        Box::pin(async { noted.await.ok() })
    }
}

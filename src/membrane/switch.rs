//! Whether the upstream has connection requests, as far as is known.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Path of connection requests, and the name under which they are counted.
pub(super) const PATH: &str = "/connection-requests";

/// How long an upstream that knows no connection requests is not asked for one again. It may be a newer one after that.
const OFF: Duration = Duration::from_secs(600);

/// Time until which an upstream is taken to have no connection requests, in seconds since 1970.
#[derive(Debug, Default)]
pub struct Switch(AtomicU64);

impl Switch {
    pub(super) fn is_off(&self) -> bool {
        seconds(SystemTime::now()) < self.0.load(Ordering::Relaxed)
    }

    pub(super) fn turn_off(&self) {
        if !self.is_off() {
            log::warn!(
                "users can't connect apps from here: the upstream answers POST {PATH} as a path that it does not have"
            );
        }
        self.0.store(seconds(SystemTime::now() + OFF), Ordering::Relaxed);
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

//! Where sessions and chats are kept, so that they outlive this process.
//!
//! What a session needs to go on is a [`SessionRecord`]; a token is never among it. What a [`SessionStore`] has answered
//! survives the end of the process, however it comes.

pub mod embedded;
pub mod outputs;
pub mod record;
pub mod redis;
pub mod replica_event;
pub mod replicas;
pub mod runs;
pub mod session_store;
pub mod trouble;
mod wall_clock;

use std::sync::Arc;

pub use embedded::EmbeddedStore;
pub use record::{EnabledTool, SessionRecord};
pub use redis::RedisStore;
pub use replica_event::ReplicaEvent;
pub use replicas::{Cursor, ReplicaBus, SentEvent, SharedEventLog};
pub use runs::{KeptRun, RunState};
pub use session_store::{Bounds, Entered, Opened, SessionStore};
pub use trouble::{StoreError, StoreFuture, Trouble};

use crate::config::Settings;

/// Returns the store that the settings ask for.
///
/// # Errors
/// [`StoreError`], where it can't be used.
pub fn open(settings: &Settings) -> Result<Arc<dyn SessionStore>, StoreError> {
    let store = &settings.store;
    let bounds = Bounds {
        retention: settings.sessions.retention,
        sessions_per_user: settings.sessions.max_per_user.get(),
        chats_per_user: settings.tuning.max_chats_per_user,
    };
    if store.url.is_empty() {
        return Ok(Arc::new(EmbeddedStore::open(&store.path, bounds)?));
    }
    let tuning = &settings.tuning;
    // The last event of a stream may be as far from the one before as an action takes.
    let ttl = tuning.stream_log + tuning.run_timeout;
    let room = redis::LogLimits { events: tuning.stream_log_events, bytes: tuning.stream_log_bytes, ttl };
    let [authorities, certificate, key] = [&store.ca_file, &store.cert_file, &store.key_file]
        .map(|file| (!file.as_os_str().is_empty()).then_some(file.as_path()));
    let client = certificate.zip(key).map(|(certificate, key)| [certificate, key]);
    let files = redis::TlsFiles { authorities, client };
    Ok(Arc::new(RedisStore::open(store.url.reveal(), files, store.timeout, bounds, room)?))
}

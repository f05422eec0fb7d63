//! Names of keys and channels in Redis. `docs/scaling.md` tells operators what each holds.

use crate::{
    ids::{SessionId, UserKey},
    store::{outputs::OutputId, runs::Digest},
};

/// The format of all the others.
pub(super) const FORMAT: &str = "mcp:format";

/// Returns the key of a session, a hash. Scripts make this name, too.
pub(super) fn session(session: SessionId) -> String {
    format!("mcp:session:{session}")
}

/// Returns the key of the events on a session's streams, a Redis stream.
pub(super) fn events(session: SessionId) -> String {
    format!("mcp:events:{session}")
}

/// Returns the key of a user's chats with their sessions, a hash. Scripts make this name, too, and two alike:
/// `mcp:sessions:…`, the sessions of a user by their last use, and `mcp:chat-ages:…`, the chats of a user by the time they were
/// bound. Both are sorted sets.
pub(super) fn chats(owner: &UserKey) -> String {
    format!("mcp:chats:{}", of_user(owner))
}

/// Returns the end of names of what is a user's. The length keeps apart what a separator could not.
fn of_user(owner: &UserKey) -> String {
    format!("{}:{}:{}", owner.workspace().len(), owner.workspace(), owner.user())
}

/// Returns the key of a call that runs once, a hash, and that of all such calls of its user, a sorted set by their begin.
pub(super) fn run(owner: &UserKey, key: Digest) -> [String; 2] {
    let of_user = of_user(owner);
    [format!("mcp:run:{of_user}:{}", key.to_hex()), format!("mcp:runs:{of_user}")]
}

/// Returns the key of a kept output, a hash, and that of all such outputs of its user, a list from the newest.
pub(super) fn output(owner: &UserKey, id: OutputId) -> [String; 2] {
    let of_user = of_user(owner);
    [format!("mcp:output:{of_user}:{id}"), format!("mcp:outputs:{of_user}")]
}

/// Returns the key of a note.
pub(super) fn note(key: Digest) -> String {
    format!("mcp:note:{}", key.to_hex())
}

/// Returns the key of bytes.
pub(super) fn bytes(key: Digest) -> String {
    format!("mcp:bytes:{}", key.to_hex())
}

/// There as long as a server lives.
pub(super) fn replica(replica: &str) -> String {
    format!("mcp:replica:{replica}")
}

/// Returns the channel of news for all servers. Channels are the same in all databases of a Redis.
pub(super) fn news(database: i64) -> String {
    format!("mcp:{database}:news")
}

/// Returns the channel of news for one server.
pub(super) fn news_for(database: i64, replica: &str) -> String {
    format!("mcp:{database}:news:{replica}")
}

//! Sessions of other workers, as the one that opens a session has to deal with them: those that end to make room, and the one
//! whose chat it takes over.

use super::Sessions;
use crate::{
    error::Error,
    ids::{ChatId, SessionId, UserKey},
    session::{
        left_tools::left_to,
        messages::{ChatState, OnReplicaEvent, ReleaseChat},
        storage::Storage,
    },
    store::ReplicaEvent,
};

/// Ends sessions of a user that are no longer kept, wherever they are in memory.
pub fn end_everywhere(sessions: &Sessions, storage: &Storage, user: &UserKey, ended: Vec<SessionId>) {
    for session in ended {
        log::info!(target: "session", session:%, user:%; "session ended: its user has opened too many others since");
        if let Some(bus) = storage.store().bus() {
            // The command runs on without its future. A replica that misses the news finds no session in the store
            // at the next request.
            drop(bus.tell(&ReplicaEvent::Closed(session)));
        }
        storage.note_end();
        // A worker that is gone has no sessions.
        if let Ok(registry) = sessions.registry_of(session) {
            registry.do_send(OnReplicaEvent(ReplicaEvent::Closed(session)));
        }
    }
}

/// Returns what the session `heir` takes over with a chat: from the session `before` that has it, or what the last one left.
pub(super) async fn chat_state(
    sessions: &Sessions,
    storage: &Storage,
    before: Option<SessionId>,
    heir: SessionId,
    user: &UserKey,
    chat: Option<ChatId>,
) -> Result<Option<ChatState>, Error> {
    let store = storage.store();
    let Some(before) = before else {
        let Some(chat) = chat else { return Ok(None) };
        return left_to(&**store, user, &chat).await;
    };
    // Another replica may have enabled tools in it since it was last used here.
    match sessions.refresh(before, user).await {
        Err(Error::SessionNotFound) => return Ok(None),
        outcome => outcome?,
    }
    // A session that ended meanwhile has nothing to leave.
    let Ok(chat_state) = sessions.deliver(before, user.clone(), None, ReleaseChat).await else { return Ok(None) };
    // Listeners of the chat may be at other replicas, which pass them on when they hear of the move.
    if let Some(bus) = store.bus() {
        drop(bus.tell(&ReplicaEvent::Moved { from: before, to: heir, owner: user.clone() }));
    }
    Ok(Some(chat_state))
}

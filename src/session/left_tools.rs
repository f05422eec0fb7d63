//! Enabled tools of chats whose session was ended. A chat outlives its sessions: some clients open and end one for each request,
//! and the next one begins with the tools of the one before.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::messages::ChatState;
use crate::{
    error::Error,
    ids::{ChatId, SessionId, UserKey},
    protocol::json,
    store::{EnabledTool, SessionStore, runs::Digest},
    tools::EnabledTools,
};

/// Hexadecimal digits of a place. A user has 4,096 places, and chats that share one keep the tools of the last that was left:
/// without a bound, a user could fill the store by chats that have no session.
const PLACE_DIGITS: usize = 3;

/// Bytes of tools that are kept for a chat, at most.
const MAX_BYTES: usize = 16 << 10;

/// Chats of one session that keep its tools, at most. One has mostly one.
const MAX_CHATS: usize = 16;

/// Tools of a chat without a session, as the store keeps them.
#[derive(Serialize, Deserialize)]
struct LeftTools {
    /// Chat that they belong to, since others may have the same place.
    chat: String,
    tools: Vec<EnabledTool>,
}

/// Key of the place in the store where a chat's tools are left.
fn place(user: &UserKey, chat: &ChatId) -> Digest {
    let digits: String = Digest::of(&[chat.as_str()]).to_hex().chars().take(PLACE_DIGITS).collect();
    Digest::of(&["left-tools", user.workspace(), user.user(), &digits])
}

/// Leaves the tools of a session of `user` to its chats for a time, before it is ended.
pub(super) async fn leave_tools(
    store: &dyn SessionStore,
    ttl: Duration,
    session: SessionId,
    user: &UserKey,
) -> Result<(), Error> {
    let record = store.load(session, user).await?;
    let Some(state) = record.map(|record| record.state).filter(|state| state.mode.lists_enabled()) else {
        return Ok(());
    };
    let chats = store.chats(user.clone()).await?.into_iter().filter(|(_, serving)| *serving == session);
    for (chat, _) in chats.take(MAX_CHATS) {
        let left = |tools| json::to_string(&LeftTools { chat: chat.as_str().to_owned(), tools });
        let mut text = left(state.tools.clone());
        if text.len() > MAX_BYTES {
            // In place of what an earlier session has left, which no longer holds.
            text = left(Vec::new());
        }
        store.put_note(place(user, &chat), text, Some(ttl)).await?;
    }
    Ok(())
}

/// Returns what the last session of a chat has left, if that was ended and is not forgotten.
pub(super) async fn left_to(
    store: &dyn SessionStore,
    user: &UserKey,
    chat: &ChatId,
) -> Result<Option<ChatState>, Error> {
    let text = store.note(place(user, chat)).await?;
    // Only this server writes it; what can't be read all the same is as good as gone.
    let left = text.and_then(|text| serde_json::from_str::<LeftTools>(&text).ok());
    let left = left.filter(|left| left.chat == chat.as_str() && !left.tools.is_empty());
    Ok(left.map(|left| ChatState { enabled: Some(EnabledTools::of(&left.tools)), subscribers: Vec::new() }))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn chats_of_a_user_share_a_bounded_number_of_places() {
        let places = |user: &str| -> HashSet<Digest> {
            let user = UserKey::new("acme", user);
            (0..20_000).filter_map(|n| ChatId::parse(&format!("chat {n}"))).map(|chat| place(&user, &chat)).collect()
        };
        let (anns, bobs) = (places("ann"), places("bob"));
        assert!((4_000..=4_096).contains(&anns.len()), "{}", anns.len());
        assert!(anns.is_disjoint(&bobs), "a user's places are their own");
    }
}

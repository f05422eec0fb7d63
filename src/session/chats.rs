//! Which session serves which chat.

use std::collections::{BTreeMap, HashMap};

use crate::ids::{ChatId, SessionId, UserKey};

/// The chats of some users, each with its session. An entry lives exactly as long as its session.
#[derive(Debug, Default)]
pub struct ChatMap(HashMap<UserKey, BTreeMap<ChatId, SessionId>>);

impl ChatMap {
    /// Gives the chat this session, and tells which it had.
    pub fn take(&mut self, user: UserKey, chat: ChatId, session: SessionId) -> Option<SessionId> {
        self.0.entry(user).or_default().insert(chat, session)
    }

    /// Gives the chat this session unless it has one, and tells whether it has this one now.
    pub fn bind(&mut self, user: UserKey, chat: ChatId, session: SessionId) -> bool {
        *self.0.entry(user).or_default().entry(chat).or_insert(session) == session
    }

    /// Forgets the chats of a session that has ended.
    pub fn release(&mut self, user: &UserKey, session: SessionId) {
        if let Some(chats) = self.0.get_mut(user) {
            chats.retain(|_, serving| *serving != session);
            if chats.is_empty() {
                self.0.remove(user);
            }
        }
    }

    /// The user's chats.
    #[must_use]
    pub fn of(&self, user: &UserKey) -> BTreeMap<ChatId, SessionId> {
        self.0.get(user).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chat_has_the_session_that_took_it_last() {
        let (ann, bob) = (UserKey::new("w", "ann"), UserKey::new("w", "bob"));
        let chat = |text| ChatId::parse(text).unwrap();
        let [first, second] = [SessionId::draw(), SessionId::draw()];
        let mut chats = ChatMap::default();

        assert_eq!(chats.take(ann.clone(), chat("1"), first), None);
        assert!(!chats.bind(ann.clone(), chat("1"), second));
        assert!(chats.bind(ann.clone(), chat("2"), second));
        assert_eq!(chats.of(&ann), BTreeMap::from([(chat("1"), first), (chat("2"), second)]));
        assert_eq!(chats.of(&bob), BTreeMap::new());

        assert_eq!(chats.take(ann.clone(), chat("1"), second), Some(first));
        chats.release(&ann, first);
        assert_eq!(chats.of(&ann).len(), 2, "what the ended session had lost stays");
        chats.release(&ann, second);
        assert!(chats.0.is_empty(), "nothing is kept of a user without chats");
    }
}

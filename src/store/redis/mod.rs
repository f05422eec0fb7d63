//! The store of servers that share one: Redis, or Valkey. Any of them serves any session at any time.
//!
//! What has to happen as a whole is a script. What is not used for the retention period goes by itself, since each key
//! expires. A user's chats name sessions; one that names a session which is gone counts as free.

mod keys;
mod link;
mod peers;

use std::{
    collections::{BTreeMap, HashMap},
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use redis::{Cmd, Script};

use self::link::Link;
pub use self::peers::{Cursor, Peers, Room, SentEvent};

use crate::{
    ids::{ChatId, SessionId, UserKey},
    protocol::json,
    store::{News, SessionRecord, SessionStore, StoreError, StoreFuture, from_millis, millis},
};

/// Declares scripts that begin with what they have in common.
macro_rules! scripts {
    ($($name:ident = $file:literal),+) => {
        $(static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(concat!(include_str!("scripts/common.lua"), include_str!($file))));)+
    };
}
scripts!(
    OPEN = "scripts/open.lua",
    ENTER_CHAT = "scripts/enter_chat.lua",
    BIND_CHAT = "scripts/bind_chat.lua",
    CHATS = "scripts/chats.lua",
    SAVE = "scripts/save.lua",
    TOUCH = "scripts/touch.lua",
    CLOSE = "scripts/close.lua"
);

/// See the [module](self).
pub struct RedisStore {
    link: Link,
    retention: Duration,
    peers: Peers,
}

impl RedisStore {
    /// Opens the store at a URL, which is given so much time for an answer. Redis need not be there yet.
    ///
    /// # Errors
    /// [`StoreError::Open`] for a URL that can't be used.
    pub fn open(url: &str, patience: Duration, retention: Duration, room: Room) -> Result<Self, StoreError> {
        let link = Link::open(url, patience)?;
        let peers = Peers::new(link.clone(), room);
        Ok(Self { link, retention, peers })
    }

    fn retention_ms(&self) -> String {
        self.retention.as_millis().to_string()
    }

    /// A record as scripts insert it.
    fn inserted(&self, session: SessionId, record: &SessionRecord) -> [String; 6] {
        let (workspace, user) = (record.owner.workspace().to_owned(), record.owner.user().to_owned());
        let (opened, state) = (millis(record.opened).to_string(), json::to_string(&record.state));
        [session.to_string(), workspace, user, opened, state, self.retention_ms()]
    }
}

fn bytes(texts: impl IntoIterator<Item = String>) -> Vec<Vec<u8>> {
    texts.into_iter().map(String::into_bytes).collect()
}

/// A session's id as scripts give it.
fn read_id(answer: StoreFuture<Option<String>>) -> StoreFuture<Option<SessionId>> {
    Box::pin(async { Ok(answer.await?.and_then(|id| SessionId::parse(&id))) })
}

fn record(fields: &HashMap<String, String>) -> Option<SessionRecord> {
    Some(SessionRecord {
        owner: UserKey::new(fields.get("workspace")?, fields.get("user")?),
        opened: from_millis(fields.get("opened")?.parse().ok()?),
        version: fields.get("version")?.parse().ok()?,
        // Only servers like this one write it; what can't be read all the same is as good as gone.
        state: serde_json::from_str(fields.get("state")?).ok()?,
    })
}

impl SessionStore for RedisStore {
    fn open(&self, session: SessionId, record: SessionRecord, chat: Option<ChatId>) -> StoreFuture<Option<SessionId>> {
        let keys = [keys::session(session), keys::chats(&record.owner)];
        let arguments = self.inserted(session, &record).into_iter().chain(chat.map(|chat| chat.as_str().to_owned()));
        read_id(self.link.run("open", &OPEN, &keys, bytes(arguments)))
    }

    fn enter_chat(
        &self,
        owner: UserKey,
        chat: ChatId,
        new: Option<(SessionId, SessionRecord)>,
    ) -> StoreFuture<Option<SessionId>> {
        let mut keys = vec![keys::chats(&owner)];
        let mut arguments = vec![chat.as_str().to_owned()];
        if let Some((session, record)) = new {
            keys.push(keys::session(session));
            arguments.extend(self.inserted(session, &record));
        }
        read_id(self.link.run("enter_chat", &ENTER_CHAT, &keys, bytes(arguments)))
    }

    fn bind_chat(&self, owner: UserKey, chat: ChatId, session: SessionId) -> StoreFuture<()> {
        let arguments = [chat.as_str().to_owned(), session.to_string(), self.retention_ms()];
        self.link.run("bind_chat", &BIND_CHAT, &[keys::chats(&owner)], bytes(arguments))
    }

    fn chats(&self, owner: UserKey) -> StoreFuture<BTreeMap<ChatId, SessionId>> {
        let found: StoreFuture<Vec<(String, String)>> =
            self.link.run("chats", &CHATS, &[keys::chats(&owner)], Vec::new());
        Box::pin(async {
            let entries = found.await?.into_iter();
            Ok(entries.filter_map(|(chat, session)| ChatId::parse(&chat).zip(SessionId::parse(&session))).collect())
        })
    }

    fn load(&self, session: SessionId) -> StoreFuture<Option<SessionRecord>> {
        let fields: StoreFuture<HashMap<String, String>> =
            self.link.command("load", Cmd::hgetall(keys::session(session)));
        Box::pin(async { Ok(record(&fields.await?)) })
    }

    fn version(&self, session: SessionId) -> StoreFuture<Option<u64>> {
        self.link.command("version", Cmd::hget(keys::session(session), "version"))
    }

    fn save(&self, session: SessionId, record: SessionRecord, over: Option<u64>) -> StoreFuture<Option<u64>> {
        let (channel, news) = self.peers.letter(&News::Changed(session));
        let arguments = [json::to_string(&record.state), self.retention_ms(), channel, news];
        let arguments = arguments.into_iter().chain(over.map(|version| version.to_string()));
        self.link.run("save", &SAVE, &[keys::session(session)], bytes(arguments))
    }

    fn touch(&self, used: Vec<(SessionId, SystemTime)>) -> StoreFuture<()> {
        let keys: Vec<_> = used.iter().map(|(session, _)| keys::session(*session)).collect();
        let lasting = used.iter().map(|(_, used)| {
            let left = self.retention.saturating_sub(used.elapsed().unwrap_or_default());
            left.as_millis().to_string()
        });
        self.link.run("touch", &TOUCH, &keys, bytes(lasting))
    }

    fn close(&self, session: SessionId, owner: UserKey) -> StoreFuture<bool> {
        let (channel, news) = self.peers.letter(&News::Closed(session));
        let arguments = [owner.workspace().to_owned(), owner.user().to_owned(), channel, news];
        self.link.run("close", &CLOSE, &[keys::session(session), keys::events(session)], bytes(arguments))
    }

    fn expire(&self) -> StoreFuture<usize> {
        // Keys expire by themselves.
        Box::pin(async { Ok(0) })
    }

    fn trouble(&self) -> Option<String> {
        self.link.trouble()
    }

    fn peers(&self) -> Option<Peers> {
        Some(self.peers.clone())
    }
}

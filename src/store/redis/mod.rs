//! The store of servers that share one: Redis, or Valkey, alone, behind Sentinels or as a cluster. Any of the servers serves any
//! session at any time.
//!
//! What has to happen as a whole is a script. What is not used for the retention period goes by itself, since each key
//! expires. A user's chats name sessions; one that names a session which is gone counts as free.
//!
//! **On a cluster** all keys of a user are in one slot, by a tag in their names (see `keys`), so that the scripts are the same:
//! opening a session with its chat, the bounds of a user, a change of a record over its version, a claim of a call, an event in
//! the log of a session happen as a whole there, too. For this each operation names the user. What the fleet has in common, format
//! and signs of life, is in one slot, news in another; notes and bytes are anywhere, since each stands alone.
//!
//! Three things are not atomic on a cluster. *News of a change* are told after the change and not with it: a server that ends in
//! between leaves others without them, which compare the version before they serve the next request of the session; a channel
//! that fails loses its subscribers, which look at all that they serve when they are back. *Times of last use* of several users
//! are noted by a script each. *A failover* may lose what the old master had acknowledged and not passed on, as Redis says.
//!
//! **A request is sent again** within its time while a replica takes over (`READONLY`, `MOVED`, `CLUSTERDOWN`, `LOADING`, a
//! connection that breaks), so that one may be carried out twice whose answer was lost. Each script bears that: a repeat of opening,
//! claiming, logging or keeping an output is known by what the first has left. A claimed note whose answer is lost is as good as
//! another's; whoever claimed it asks again. Calls of a user that are taken twice are lost to the user for a moment.

mod address;
mod cluster;
mod connection;
mod keys;
mod limits;
mod link;
mod peers;
mod script;
mod subscription;
mod tls;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, LazyLock},
    time::{Duration, SystemTime},
};

use futures_util::{StreamExt, TryStreamExt, stream};
use redis::{Cmd, FromRedisValue};
use uuid::Uuid;

use self::{keys::Keys, limits::SharedLimits, link::Link, peers::Peers, script::Script};
pub use self::{peers::LogLimits, tls::TlsFiles};

use crate::{
    ids::{ChatId, SessionId, UserKey},
    protocol::json,
    store::{
        Bounds, Entered, KeptRun, Opened, ReplicaBus, ReplicaEvent, RunState, SessionRecord, SessionStore,
        SharedEventLog, StoreError, StoreFuture, Trouble,
        outputs::{self, KeptOutput, OutputId},
        runs::{self, Digest},
        wall_clock::{from_millis, millis},
    },
    user_limits::fleet::FleetLimits,
};

/// Declares scripts on what a user has, which begin with what they have in common.
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

static CLAIM_RUN: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/claim_run.lua")));
static SETTLE_RUN: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/settle_run.lua")));
static KEEP_OUTPUT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/keep_output.lua")));

/// Users whose times of use are noted at once.
const TOUCHES: usize = 32;

/// The cursor of a hash's first page, which Redis gives again after the last (HSCAN).
const FIRST_PAGE: &str = "0";

/// Store that any number of servers share. See the [module](self).
pub struct RedisStore {
    link: Link,
    bounds: Bounds,
    peers: Arc<Peers>,
    bus: Arc<dyn ReplicaBus>,
    event_log: Arc<dyn SharedEventLog>,
    limits: Arc<dyn FleetLimits>,
}

impl RedisStore {
    /// Opens the store at a URL, which is given so much time for an answer. Redis need not be there yet. Over TLS it is
    /// trusted, and this server shows itself, by files.
    ///
    /// # Errors
    /// [`StoreError::Open`] for a URL that can't be used, [`StoreError::TlsFile`] for a file.
    pub fn open(
        url: &str,
        files: TlsFiles<'_>,
        timeout: Duration,
        bounds: Bounds,
        room: LogLimits,
    ) -> Result<Self, StoreError> {
        let link = Link::open(url, files, timeout)?;
        let peers = Arc::new(Peers::new(link.clone(), room));
        let (bus, event_log) = (Arc::<Peers>::clone(&peers), Arc::<Peers>::clone(&peers));
        let limits = Arc::new(SharedLimits::new(link.clone()));
        Ok(Self { link, bounds, peers, bus, event_log, limits })
    }

    fn keys(&self) -> Keys {
        self.link.keys()
    }

    /// Has Redis run a script on what a user has. Its first argument is the user's name, of which it makes names of keys.
    fn run<T: FromRedisValue + Send + 'static>(
        &self,
        operation: &'static str,
        script: &'static Script,
        owner: &UserKey,
        keys: Vec<String>,
        arguments: impl IntoIterator<Item = String>,
    ) -> StoreFuture<T> {
        let arguments = [self.keys().owner(owner)].into_iter().chain(arguments);
        self.link.run(operation, script, keys, bytes(arguments))
    }

    fn retention_ms(&self) -> String {
        self.bounds.retention.as_millis().to_string()
    }

    /// Returns the chats that a user may have, and after it the sessions, as scripts read them.
    fn most(&self) -> [String; 2] {
        [self.bounds.chats_per_user.to_string(), self.bounds.sessions_per_user.to_string()]
    }

    /// Returns a record as scripts insert it.
    fn inserted(&self, session: SessionId, record: &SessionRecord) -> [String; 6] {
        let (workspace, user) = (record.owner.workspace().to_owned(), record.owner.user().to_owned());
        let (opened, state) = (millis(record.opened).to_string(), json::to_string(&record.state));
        [session.to_string(), workspace, user, opened, state, self.retention_ms()]
    }
}

fn bytes(texts: impl IntoIterator<Item = String>) -> Vec<Vec<u8>> {
    texts.into_iter().map(String::into_bytes).collect()
}

/// Returns the command that keeps a note.
fn put_note(key: Digest, text: &str, ttl: Option<Duration>) -> Cmd {
    let mut put = Cmd::set(keys::note(key), text);
    if let Some(ttl) = ttl {
        put.arg("PX").arg(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
    }
    put
}

/// Reads a session's id, if there is one, and those of sessions that have ended.
fn read_ids(answer: (Option<String>, Vec<String>)) -> (Option<SessionId>, Vec<SessionId>) {
    let (id, ended) = answer;
    (id.and_then(|id| SessionId::parse(&id)), ended.iter().filter_map(|id| SessionId::parse(id)).collect())
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
    fn open(&self, session: SessionId, record: SessionRecord, chat: Option<ChatId>) -> StoreFuture<Opened> {
        // One script: two replicas that open sessions for one chat at once must not both take it over from the same
        // one.
        let chat = chat.map(|chat| chat.as_str().to_owned());
        let arguments = self.most().into_iter().chain(self.inserted(session, &record)).chain(chat);
        let keys = vec![self.keys().chats(&record.owner)];
        let opened = self.run("open", &OPEN, &record.owner, keys, arguments);
        Box::pin(async {
            let (before, ended) = read_ids(opened.await?);
            Ok(Opened { before, ended })
        })
    }

    fn enter_chat(
        &self,
        owner: UserKey,
        chat: ChatId,
        new: Option<(SessionId, SessionRecord)>,
    ) -> StoreFuture<Entered> {
        let mut arguments = vec![chat.as_str().to_owned()];
        arguments.extend(self.most());
        if let Some((session, record)) = new {
            arguments.extend(self.inserted(session, &record));
        }
        let keys = vec![self.keys().chats(&owner)];
        let entered = self.run("enter_chat", &ENTER_CHAT, &owner, keys, arguments);
        Box::pin(async {
            let (session, ended) = read_ids(entered.await?);
            Ok(Entered { session, ended })
        })
    }

    fn bind_chat(&self, owner: UserKey, chat: ChatId, session: SessionId) -> StoreFuture<()> {
        let [most, _] = self.most();
        let arguments = [chat.as_str().to_owned(), session.to_string(), self.retention_ms(), most];
        self.run("bind_chat", &BIND_CHAT, &owner, vec![self.keys().chats(&owner)], arguments)
    }

    fn chats(&self, owner: UserKey) -> StoreFuture<BTreeMap<ChatId, SessionId>> {
        let (link, keys, name) = (self.link.clone(), self.keys().chats(&owner), self.keys().owner(&owner));
        Box::pin(async move {
            let (mut chats, mut cursor) = (BTreeMap::new(), FIRST_PAGE.to_owned());
            loop {
                let page = link.run("chats", &CHATS, vec![keys.clone()], bytes([name.clone(), cursor]));
                let (next, entries): (String, Vec<(String, String)>) = page.await?;
                let entries = entries.iter();
                // HSCAN may give an entry twice, which a map makes one.
                chats.extend(entries.filter_map(|(chat, session)| ChatId::parse(chat).zip(SessionId::parse(session))));
                if next == FIRST_PAGE {
                    return Ok(chats);
                }
                cursor = next;
            }
        })
    }

    fn load(&self, session: SessionId, owner: &UserKey) -> StoreFuture<Option<SessionRecord>> {
        let owner = owner.clone();
        let fields: StoreFuture<HashMap<String, String>> =
            self.link.command("load", Cmd::hgetall(self.keys().session(&owner, session)));
        Box::pin(async move { Ok(record(&fields.await?).filter(|record| record.owner == owner)) })
    }

    fn version(&self, session: SessionId, owner: &UserKey) -> StoreFuture<Option<u64>> {
        self.link.command("version", Cmd::hget(self.keys().session(owner, session), "version"))
    }

    fn save(&self, session: SessionId, record: SessionRecord, over: Option<u64>) -> StoreFuture<Option<u64>> {
        // Where it can, the script tells the news in the same step. This server may end before the answer, and a change
        // would be kept that nobody hears of.
        let news = ReplicaEvent::Changed(session);
        let [channel, text] = self.peers.published(&news);
        let state = json::to_string(&record.state);
        let arguments = [session.to_string(), state, self.retention_ms(), channel, text];
        let arguments = arguments.into_iter().chain(over.map(|version| version.to_string()));
        let keys = vec![self.keys().session(&record.owner, session)];
        let saved = self.run("save", &SAVE, &record.owner, keys, arguments);
        self.peers.announce(news, saved, Option::is_some)
    }

    fn touch(&self, used: Vec<(UserKey, SessionId, SystemTime)>) -> StoreFuture<()> {
        let mut by_owner = HashMap::<UserKey, Vec<String>>::new();
        for (owner, session, used) in used {
            // The time that is left, not a time of day: the clocks of servers and of Redis may differ.
            let left = self.bounds.retention.saturating_sub(used.elapsed().unwrap_or_default());
            by_owner.entry(owner).or_default().extend([session.to_string(), left.as_millis().to_string()]);
        }
        let (link, retention) = (self.link.clone(), self.retention_ms());
        // Each is a script of its own: on a cluster users are in different slots, and elsewhere one script for thousands would
        // keep all others waiting.
        Box::pin(stream::iter(by_owner).map(Ok).try_for_each_concurrent(TOUCHES, move |(owner, sessions)| {
            let keys = link.keys();
            let arguments = [keys.owner(&owner), retention.clone()].into_iter().chain(sessions);
            link.run("touch", &TOUCH, vec![keys.chats(&owner)], bytes(arguments))
        }))
    }

    fn close(&self, session: SessionId, owner: UserKey) -> StoreFuture<bool> {
        let news = ReplicaEvent::Closed(session);
        let [channel, text] = self.peers.published(&news);
        let arguments = [session.to_string(), owner.workspace().to_owned(), owner.user().to_owned(), channel, text];
        let keys = vec![self.keys().session(&owner, session), self.keys().events(&owner, session)];
        let closed = self.run("close", &CLOSE, &owner, keys, arguments);
        self.peers.announce(news, closed, |was_there| *was_there)
    }

    fn claim_run(&self, owner: UserKey, key: Digest, digest: Digest) -> StoreFuture<Option<KeptRun>> {
        // The name lets a repeat find out whether the replica that runs the call still lives.
        let (state, replica) = RunState::Running { replica: self.peers.replica().to_owned() }.to_parts();
        let (kept_for, most) = (runs::KEPT_FOR.as_millis().to_string(), runs::MAX_RUNS.to_string());
        let arguments = [digest.to_hex(), state.to_owned(), replica, kept_for, most, Uuid::new_v4().to_string()];
        let keys = self.keys().run(&owner, key).to_vec();
        let kept = self.link.run::<Vec<String>>("claim_run", &CLAIM_RUN, keys, bytes(arguments));
        Box::pin(async {
            let kept = <[String; 3]>::try_from(kept.await?).ok();
            Ok(kept.map(|[digest, state, rest]| KeptRun { digest, state: RunState::from_parts(&state, rest) }))
        })
    }

    fn settle_run(&self, owner: UserKey, key: Digest, digest: Digest, state: Option<RunState>) -> StoreFuture<()> {
        let parts = state.map(|state| state.to_parts());
        let parts = parts.into_iter().flat_map(|(state, rest)| [state.to_owned(), rest]);
        let arguments = [digest.to_hex()].into_iter().chain(parts);
        self.link.run("settle_run", &SETTLE_RUN, self.keys().run(&owner, key).to_vec(), bytes(arguments))
    }

    fn keep_output(&self, owner: UserKey, id: OutputId, output: KeptOutput, ttl: Duration) -> StoreFuture<()> {
        let KeptOutput { tool, json } = output;
        let (ttl, most) = (ttl.as_millis().to_string(), outputs::MAX_OF_USER.to_string());
        let arguments = vec![tool.into_bytes(), json, ttl.into_bytes(), most.into_bytes()];
        self.link.run("keep_output", &KEEP_OUTPUT, self.keys().output(&owner, id).to_vec(), arguments)
    }

    fn kept_output(&self, owner: UserKey, id: OutputId) -> StoreFuture<Option<KeptOutput>> {
        let [key, _] = self.keys().output(&owner, id);
        let mut ask = Cmd::new();
        ask.arg("HMGET").arg(key).arg("tool").arg("json");
        let kept = self.link.command::<(Option<String>, Option<Vec<u8>>)>("kept_output", ask);
        Box::pin(async {
            let (tool, json) = kept.await?;
            Ok(tool.zip(json).map(|(tool, json)| KeptOutput { tool, json }))
        })
    }

    fn note(&self, key: Digest) -> StoreFuture<Option<String>> {
        self.link.command("note", Cmd::get(keys::note(key)))
    }

    fn put_note(&self, key: Digest, text: String, ttl: Option<Duration>) -> StoreFuture<()> {
        self.link.command("put_note", put_note(key, &text, ttl))
    }

    fn claim_note(&self, key: Digest, text: String, ttl: Option<Duration>) -> StoreFuture<Option<String>> {
        let mut claim = put_note(key, &text, ttl);
        claim.arg("NX");
        let (claimed, there) = (self.link.command::<Option<String>>("claim_note", claim), self.link.clone());
        Box::pin(async move {
            match claimed.await? {
                Some(_ok) => Ok(None),
                // Should it have expired meanwhile, then its time was over as the claim came.
                None => there.command("note", Cmd::get(keys::note(key))).await,
            }
        })
    }

    fn put_bytes(&self, key: Digest, bytes: Vec<u8>, ttl: Duration) -> StoreFuture<()> {
        let mut put = Cmd::set(keys::bytes(key), bytes);
        put.arg("PX").arg(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
        self.link.command("put_bytes", put)
    }

    fn get_bytes(&self, key: Digest) -> StoreFuture<Option<Vec<u8>>> {
        self.link.command("get_bytes", Cmd::get(keys::bytes(key)))
    }

    fn expire(&self) -> StoreFuture<usize> {
        // Keys expire by themselves.
        Box::pin(async { Ok(0) })
    }

    fn check(&self) -> StoreFuture<()> {
        self.link.check()
    }

    fn trouble(&self) -> Option<Trouble> {
        self.link.trouble()
    }

    fn details(&self) -> Option<String> {
        self.link.details()
    }

    fn bus(&self) -> Option<&Arc<dyn ReplicaBus>> {
        Some(&self.bus)
    }

    fn event_log(&self) -> Option<&Arc<dyn SharedEventLog>> {
        Some(&self.event_log)
    }

    fn fleet_limits(&self) -> Option<&Arc<dyn FleetLimits>> {
        Some(&self.limits)
    }
}

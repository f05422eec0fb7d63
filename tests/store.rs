//! What a store promises, of each there is: the file, and Redis.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by a panic"
)]

#[path = "store/bounds.rs"]
mod bounds;
#[path = "store/bytes.rs"]
mod bytes;
#[path = "store/failover.rs"]
mod failover;
#[path = "api/files.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod files;
#[path = "store/limits.rs"]
mod limits;
#[path = "store/notes.rs"]
mod notes;
#[path = "store/outputs.rs"]
mod outputs;
#[path = "api/redis.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod redis;
#[path = "api/redis_cluster.rs"]
mod redis_cluster;
#[path = "store/runs.rs"]
mod runs;
#[path = "store/shared.rs"]
mod shared;

use std::{
    path::Path,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use integration_app_mcp_server::{
    ids::{ChatId, SessionId, ToolName, UserKey},
    protocol::{
        revision::Revision,
        tools::{ToolFilter, ToolMode},
    },
    store::{
        Bounds, EmbeddedStore, EnabledTool, Entered, Opened, RedisStore, ReplicaEvent, SessionRecord, SessionStore,
        record::SessionState,
        redis::{LogLimits, TlsFiles},
    },
};
use redis::Redis;
use redis_cluster::Cluster;

const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// Generous: only a failing test ever waits so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// More than any test needs but those that are about it.
fn kept_for(retention: Duration) -> Bounds {
    Bounds { retention, sessions_per_user: 1000, chats_per_user: 1000 }
}

const ROOM: LogLimits = LogLimits { events: 4, bytes: 100, ttl: Duration::from_secs(60) };

/// The command that `docs/hosting.md` has for a user of least rights.
fn least_rights() -> &'static str {
    let lines = include_str!("../docs/hosting.md").lines();
    lines.map(str::trim).find(|line| line.starts_with("ACL SETUSER mcp ")).expect("the command is documented")
}

/// Password in the command.
const DOCUMENTED_PASSWORD: &str = "a-long-random-password";

/// A Redis of the test's own, and a cluster that tests use one after the other.
struct Servers {
    redis: Redis,
    cluster: MutexGuard<'static, Cluster>,
}

impl Servers {
    fn start() -> Self {
        static CLUSTER: LazyLock<Mutex<Cluster>> = LazyLock::new(|| {
            let cluster = Cluster::start(0);
            let granted = cluster.ask_all(&least_rights().split(' ').collect::<Vec<_>>());
            assert_eq!(granted, ["OK"; 3]);
            Mutex::new(cluster)
        });
        let redis = Redis::start();
        let cluster = CLUSTER.lock().unwrap_or_else(PoisonError::into_inner);
        cluster.clear();
        Self { redis, cluster }
    }

    /// Where stores are that servers share.
    fn shared(&self) -> [(&'static str, String); 2] {
        let cluster = self.cluster.url("redis-cluster", &format!("mcp:{DOCUMENTED_PASSWORD}@"));
        [("redis", self.redis.url()), ("cluster", cluster)]
    }
}

fn open_at(url: &str, bounds: Bounds) -> RedisStore {
    RedisStore::open(url, TlsFiles::default(), PATIENCE, bounds, ROOM).unwrap()
}

fn open_redis(redis: &Redis, bounds: Bounds) -> RedisStore {
    open_at(&redis.url(), bounds)
}

/// One store of each kind, where sessions are kept so long.
fn stores(servers: &Servers, retention: Duration) -> [(&'static str, Arc<dyn SessionStore>); 3] {
    bounded_stores(servers, kept_for(retention))
}

/// One store of each kind, within bounds.
fn bounded_stores(servers: &Servers, bounds: Bounds) -> [(&'static str, Arc<dyn SessionStore>); 3] {
    let [redis, cluster] = servers.shared().map(|(kind, url)| (kind, Arc::new(open_at(&url, bounds)) as _));
    [("embedded", Arc::new(EmbeddedStore::open(Path::new(""), bounds).unwrap())), redis, cluster]
}

/// What opening comes to where nothing was there before.
fn opened() -> Opened {
    Opened::default()
}

/// What entering a chat comes to where it has this session.
fn entered(session: SessionId) -> Entered {
    Entered { session: Some(session), ended: Vec::new() }
}

fn ann() -> UserKey {
    UserKey::new("acme", "ann")
}

fn chat(name: &str) -> ChatId {
    ChatId::parse(name).unwrap()
}

fn record(owner: &UserKey, tools: &[&str]) -> SessionRecord {
    let tools = tools.iter().map(|name| EnabledTool { name: ToolName::new(name), beyond: name.contains("beyond") });
    let state = SessionState {
        opens_pages: true,
        revision: Some(Revision::LATEST),
        client: None,
        mode: ToolMode::Dynamic,
        filter: ToolFilter { reads_only: true, ..ToolFilter::default() },
        output_tokens: Some(5_000),
        apps: None,
        tools: tools.collect(),
        home: None,
    };
    // The store has milliseconds.
    let opened = SystemTime::UNIX_EPOCH + Duration::from_millis(1_790_000_000_123);
    SessionRecord { owner: owner.clone(), opened, version: 0, state }
}

#[tokio::test]
async fn a_record_comes_back_as_it_went_and_its_version_grows() {
    let servers = Servers::start();
    for (kind, store) in stores(&servers, WEEK) {
        let session = SessionId::draw();
        assert_eq!(store.load(session, &ann()).await, Ok(None), "{kind}");
        assert_eq!(store.version(session, &ann()).await, Ok(None), "{kind}");
        assert_eq!(store.open(session, record(&ann(), &[]), None).await, Ok(opened()), "{kind}");
        assert_eq!(store.load(session, &ann()).await, Ok(Some(record(&ann(), &[]))), "{kind}");
        let changed = record(&ann(), &["gmail_send-email", "beyond_é\u{1f600}\"\\"]);
        assert_eq!(store.save(session, changed.clone(), None).await, Ok(Some(1)), "{kind}");
        assert_eq!(store.load(session, &ann()).await, Ok(Some(SessionRecord { version: 1, ..changed })), "{kind}");
        assert_eq!(store.version(session, &ann()).await, Ok(Some(1)), "{kind}");
    }
}

#[tokio::test]
async fn a_change_over_another_version_is_none() {
    let servers = Servers::start();
    for (kind, store) in stores(&servers, WEEK) {
        let session = SessionId::draw();
        let tools = async || store.load(session, &ann()).await.unwrap().map(|record| record.state.tools.len());
        store.open(session, record(&ann(), &[]), None).await.unwrap();
        assert_eq!(store.save(session, record(&ann(), &["a"]), Some(0)).await, Ok(Some(1)), "{kind}");
        assert_eq!(store.save(session, record(&ann(), &["a", "b"]), Some(0)).await, Ok(None), "{kind}");
        assert_eq!(tools().await, Some(1), "{kind}");
        assert_eq!(store.save(session, record(&ann(), &["a", "b"]), None).await, Ok(Some(2)), "{kind}");
        assert_eq!(tools().await, Some(2), "{kind}");
    }
}

#[tokio::test]
async fn of_many_changes_at_once_each_has_a_version_of_its_own() {
    let servers = Servers::start();
    for (kind, store) in stores(&servers, WEEK) {
        let session = SessionId::draw();
        store.open(session, record(&ann(), &[]), None).await.unwrap();
        let names: Vec<_> = (0..100).map(|i| format!("tool-{i}")).collect();
        let saves = names.iter().map(|name| store.save(session, record(&ann(), &[name]), None));
        let mut versions: Vec<_> =
            futures_util::future::join_all(saves).await.into_iter().map(|version| version.unwrap().unwrap()).collect();
        let last = versions.iter().position(|version| *version == 100).unwrap();
        versions.sort_unstable();
        assert_eq!(versions, (1..=100).collect::<Vec<_>>(), "{kind}");
        let kept = store.load(session, &ann()).await.unwrap().unwrap();
        assert_eq!(kept.state.tools[0].name.as_str(), names[last], "{kind}");
    }
}

#[tokio::test]
async fn a_chat_has_one_session_at_a_time() {
    let servers = Servers::start();
    for (kind, store) in stores(&servers, WEEK) {
        let [first, second, third] = [(); 3].map(|()| SessionId::draw());
        let (monday, ann, new) = (chat("monday"), ann(), record(&ann(), &[]));
        assert_eq!(store.enter_chat(ann.clone(), monday.clone(), None).await, Ok(Entered::default()), "{kind}");
        let found = store.enter_chat(ann.clone(), monday.clone(), Some((first, new.clone()))).await;
        assert_eq!(found, Ok(entered(first)), "{kind}: it is opened");
        let found = store.enter_chat(ann.clone(), monday.clone(), Some((second, new.clone()))).await;
        assert_eq!(found, Ok(entered(first)), "{kind}: it is found");
        assert_eq!(store.load(second, &ann).await, Ok(None), "{kind}: nothing else is opened");

        let taken = store.open(second, new.clone(), Some(monday.clone())).await;
        assert_eq!(taken, Ok(Opened { before: Some(first), ended: vec![] }), "{kind}: it is taken over");
        assert_eq!(store.chats(ann.clone()).await.unwrap(), [(monday.clone(), second)].into(), "{kind}");
        store.bind_chat(ann.clone(), monday.clone(), first).await.unwrap();
        assert_eq!(store.chats(ann.clone()).await.unwrap(), [(monday.clone(), second)].into(), "{kind}: it has one");

        assert_eq!(store.close(second, ann.clone()).await, Ok(true), "{kind}");
        assert_eq!(store.chats(ann.clone()).await.unwrap(), [].into(), "{kind}: it is free");
        store.bind_chat(ann.clone(), monday.clone(), third).await.unwrap();
        assert_eq!(store.chats(ann.clone()).await.unwrap(), [].into(), "{kind}: of no use to one that is not there");
        store.bind_chat(ann.clone(), monday.clone(), first).await.unwrap();
        store.bind_chat(ann.clone(), chat("tuesday"), first).await.unwrap();
        let both = [(monday, first), (chat("tuesday"), first)].into();
        assert_eq!(store.chats(ann).await.unwrap(), both, "{kind}");
    }
}

#[tokio::test]
async fn users_are_kept_apart() {
    let servers = Servers::start();
    for (kind, store) in stores(&servers, WEEK) {
        // Whatever separates the parts of a name may be part of one.
        let owners = [("a:1", "b"), ("a", "1:b"), ("", "a:1:b"), ("acme", "ann"), ("acme", "bob"), ("other", "ann")];
        let owners = owners.map(|(workspace, user)| (UserKey::new(workspace, user), SessionId::draw()));
        for (owner, session) in &owners {
            store.open(*session, record(owner, &[]), Some(chat("monday"))).await.unwrap();
        }
        for (owner, session) in &owners {
            assert_eq!(
                store.chats(owner.clone()).await.unwrap(),
                [(chat("monday"), *session)].into(),
                "{kind} {owner}"
            );
            assert_eq!(&store.load(*session, owner).await.unwrap().unwrap().owner, owner, "{kind}");
        }
        let (thief, own) = (&owners[4].0, owners[3].1);
        assert_eq!(store.load(own, thief).await, Ok(None), "{kind}");
        assert_eq!(store.close(own, thief.clone()).await, Ok(false), "{kind}");
        assert!(store.load(own, &ann()).await.unwrap().is_some(), "{kind}");
    }
}

#[tokio::test]
async fn what_has_ended_stays_so() {
    let servers = Servers::start();
    for (kind, store) in stores(&servers, WEEK) {
        let session = SessionId::draw();
        store.open(session, record(&ann(), &[]), None).await.unwrap();
        assert_eq!(store.close(session, ann()).await, Ok(true), "{kind}");
        assert_eq!(store.close(session, ann()).await, Ok(false), "{kind}");
        assert_eq!(store.save(session, record(&ann(), &["a"]), None).await, Ok(None), "{kind}");
        store.touch(vec![(ann(), session, SystemTime::now())]).await.unwrap();
        assert_eq!(store.load(session, &ann()).await, Ok(None), "{kind}");
    }
}

#[tokio::test]
async fn retention_begins_with_the_last_use() {
    let servers = Servers::start();
    for (kind, store) in stores(&servers, Duration::from_secs(2)) {
        let [used, changed, idle] = [(); 3].map(|()| SessionId::draw());
        for session in [used, changed, idle] {
            store.open(session, record(&ann(), &[]), Some(chat(&session.to_string()))).await.unwrap();
        }
        let begun = SystemTime::now();
        while store.load(idle, &ann()).await.unwrap().is_some() {
            assert!(begun.elapsed().unwrap() < Duration::from_secs(30), "{kind}: it never goes");
            store.touch(vec![(ann(), used, SystemTime::now())]).await.unwrap();
            store.save(changed, record(&ann(), &[]), None).await.unwrap();
        }
        assert!(begun.elapsed().unwrap() > Duration::from_secs(1), "{kind}: it goes too early");
        store.expire().await.unwrap();
        let chats = store.chats(ann()).await.unwrap();
        assert_eq!(chats.into_values().collect::<std::collections::BTreeSet<_>>(), [used, changed].into(), "{kind}");
        assert_eq!(store.version(idle, &ann()).await, Ok(None), "{kind}");
    }
}

/// Takes back what formats since the first have brought.
const TO_FIRST_FORMAT: &str = "
    BEGIN;
    DROP TRIGGER session_opened; DROP TRIGGER session_ended; DROP TRIGGER chat_bound; DROP TRIGGER chat_freed;
    DROP TABLE owners;
    DROP INDEX chats_by_age; ALTER TABLE chats DROP COLUMN bound;
    DROP INDEX sessions_by_owner; ALTER TABLE sessions DROP COLUMN version;
    DROP TABLE runs; DROP TABLE outputs; DROP TABLE notes;
    PRAGMA user_version = 1;
    COMMIT;
";

#[tokio::test]
async fn a_file_of_an_older_server_is_brought_up_to_date() {
    let folder = std::env::temp_dir().join(format!("mcp-server-store-{}", std::process::id()));
    let session = SessionId::draw();
    let open = || EmbeddedStore::open(&folder, kept_for(WEEK)).unwrap();
    open().open(session, record(&ann(), &["gmail_send-email"]), Some(chat("monday"))).await.unwrap();
    let connect = || rusqlite::Connection::open(folder.join("sessions.db")).unwrap();
    // The thread that has the file ends by itself.
    while connect().execute_batch(TO_FIRST_FORMAT).is_err() {
        std::thread::yield_now();
    }
    assert_eq!(open().load(session, &ann()).await, Ok(Some(record(&ann(), &["gmail_send-email"]))));
    let format: i64 = loop {
        if let Ok(format) = connect().pragma_query_value(None, "user_version", |row| row.get(0)) {
            break format;
        }
    };
    assert_eq!(format, 6);
    std::fs::remove_dir_all(&folder).unwrap();
}

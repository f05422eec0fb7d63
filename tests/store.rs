//! What a store promises, of each there is: the file, and Redis.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

#[path = "store/bounds.rs"]
mod bounds;
#[path = "store/bytes.rs"]
mod bytes;
#[path = "api/files.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod files;
#[path = "store/notes.rs"]
mod notes;
#[path = "store/outputs.rs"]
mod outputs;
#[path = "api/redis.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod redis;
#[path = "store/runs.rs"]
mod runs;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use integration_app_mcp_server::{
    ids::{ChatId, SessionId, ToolName, UserKey},
    protocol::{
        jsonrpc::RequestId,
        revision::Revision,
        tools::{ToolFilter, ToolMode},
    },
    secret::Secret,
    store::{
        Bounds, Cursor, EmbeddedStore, EnabledTool, Entered, Opened, RedisStore, ReplicaEvent, SentEvent,
        SessionRecord, SessionStore, SharedEventLog, record::SessionState, redis::LogLimits,
    },
};
use redis::Redis;

const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// Generous: only a failing test ever waits so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// More than any test needs but those that are about it.
fn kept_for(retention: Duration) -> Bounds {
    Bounds { retention, sessions_per_user: 1000, chats_per_user: 1000 }
}

const ROOM: LogLimits = LogLimits { events: 4, bytes: 100, ttl: Duration::from_secs(60) };

fn open_redis(redis: &Redis, bounds: Bounds) -> RedisStore {
    RedisStore::open(&redis.url(), None, PATIENCE, bounds, ROOM).unwrap()
}

/// One store of each kind, where sessions are kept so long.
fn stores(redis: &Redis, retention: Duration) -> [(&'static str, Arc<dyn SessionStore>); 2] {
    let bounds = kept_for(retention);
    [
        ("embedded", Arc::new(EmbeddedStore::open(Path::new(""), bounds).unwrap())),
        ("redis", Arc::new(open_redis(redis, bounds))),
    ]
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
    let redis = Redis::start();
    for (kind, store) in stores(&redis, WEEK) {
        let session = SessionId::draw();
        assert_eq!(store.load(session).await, Ok(None), "{kind}");
        assert_eq!(store.version(session).await, Ok(None), "{kind}");
        assert_eq!(store.open(session, record(&ann(), &[]), None).await, Ok(opened()), "{kind}");
        assert_eq!(store.load(session).await, Ok(Some(record(&ann(), &[]))), "{kind}");
        let changed = record(&ann(), &["gmail_send-email", "beyond_é\u{1f600}\"\\"]);
        assert_eq!(store.save(session, changed.clone(), None).await, Ok(Some(1)), "{kind}");
        assert_eq!(store.load(session).await, Ok(Some(SessionRecord { version: 1, ..changed })), "{kind}");
        assert_eq!(store.version(session).await, Ok(Some(1)), "{kind}");
    }
}

#[tokio::test]
async fn a_change_over_another_version_is_none() {
    let redis = Redis::start();
    for (kind, store) in stores(&redis, WEEK) {
        let session = SessionId::draw();
        let tools = async || store.load(session).await.unwrap().map(|record| record.state.tools.len());
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
    let redis = Redis::start();
    for (kind, store) in stores(&redis, WEEK) {
        let session = SessionId::draw();
        store.open(session, record(&ann(), &[]), None).await.unwrap();
        let names: Vec<_> = (0..100).map(|i| format!("tool-{i}")).collect();
        let saves = names.iter().map(|name| store.save(session, record(&ann(), &[name]), None));
        let mut versions: Vec<_> =
            futures_util::future::join_all(saves).await.into_iter().map(|version| version.unwrap().unwrap()).collect();
        let last = versions.iter().position(|version| *version == 100).unwrap();
        versions.sort_unstable();
        assert_eq!(versions, (1..=100).collect::<Vec<_>>(), "{kind}");
        let kept = store.load(session).await.unwrap().unwrap();
        assert_eq!(kept.state.tools[0].name.as_str(), names[last], "{kind}");
    }
}

#[tokio::test]
async fn a_chat_has_one_session_at_a_time() {
    let redis = Redis::start();
    for (kind, store) in stores(&redis, WEEK) {
        let [first, second, third] = [(); 3].map(|()| SessionId::draw());
        let (monday, ann, new) = (chat("monday"), ann(), record(&ann(), &[]));
        assert_eq!(store.enter_chat(ann.clone(), monday.clone(), None).await, Ok(Entered::default()), "{kind}");
        let found = store.enter_chat(ann.clone(), monday.clone(), Some((first, new.clone()))).await;
        assert_eq!(found, Ok(entered(first)), "{kind}: it is opened");
        let found = store.enter_chat(ann.clone(), monday.clone(), Some((second, new.clone()))).await;
        assert_eq!(found, Ok(entered(first)), "{kind}: it is found");
        assert_eq!(store.load(second).await, Ok(None), "{kind}: nothing else is opened");

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
    let redis = Redis::start();
    for (kind, store) in stores(&redis, WEEK) {
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
            assert_eq!(&store.load(*session).await.unwrap().unwrap().owner, owner, "{kind}");
        }
        let (thief, own) = (&owners[4].0, owners[3].1);
        assert_eq!(store.close(own, thief.clone()).await, Ok(false), "{kind}");
        assert!(store.load(own).await.unwrap().is_some(), "{kind}");
    }
}

#[tokio::test]
async fn what_has_ended_stays_so() {
    let redis = Redis::start();
    for (kind, store) in stores(&redis, WEEK) {
        let session = SessionId::draw();
        store.open(session, record(&ann(), &[]), None).await.unwrap();
        assert_eq!(store.close(session, ann()).await, Ok(true), "{kind}");
        assert_eq!(store.close(session, ann()).await, Ok(false), "{kind}");
        assert_eq!(store.save(session, record(&ann(), &["a"]), None).await, Ok(None), "{kind}");
        store.touch(vec![(session, SystemTime::now())]).await.unwrap();
        assert_eq!(store.load(session).await, Ok(None), "{kind}");
    }
}

#[tokio::test]
async fn retention_begins_with_the_last_use() {
    let redis = Redis::start();
    for (kind, store) in stores(&redis, Duration::from_secs(2)) {
        let [used, changed, idle] = [(); 3].map(|()| SessionId::draw());
        for session in [used, changed, idle] {
            store.open(session, record(&ann(), &[]), Some(chat(&session.to_string()))).await.unwrap();
        }
        let begun = SystemTime::now();
        while store.load(idle).await.unwrap().is_some() {
            assert!(begun.elapsed().unwrap() < Duration::from_secs(30), "{kind}: it never goes");
            store.touch(vec![(used, SystemTime::now())]).await.unwrap();
            store.save(changed, record(&ann(), &[]), None).await.unwrap();
        }
        assert!(begun.elapsed().unwrap() > Duration::from_secs(1), "{kind}: it goes too early");
        store.expire().await.unwrap();
        let chats = store.chats(ann()).await.unwrap();
        assert_eq!(chats.into_values().collect::<std::collections::BTreeSet<_>>(), [used, changed].into(), "{kind}");
        assert_eq!(store.version(idle).await, Ok(None), "{kind}");
    }
}

#[tokio::test]
async fn everything_in_redis_expires_but_its_format() {
    let redis = Redis::start();
    let store = open_redis(&redis, kept_for(WEEK));
    let session = SessionId::draw();
    store.open(session, record(&ann(), &[]), Some(chat("monday"))).await.unwrap();
    store.event_log().unwrap().append(session, event(1, 1, b"x")).await.unwrap();
    let keys = redis.lines("KEYS *");
    let ttl: Vec<_> = keys.iter().filter(|key| redis.command(&format!("PTTL {key}")).unwrap() == ":-1").collect();
    assert_eq!(ttl, ["mcp:format"], "of {keys:?}");
    let mut kinds: Vec<_> = keys.iter().map(|key| key.splitn(3, ':').take(2).collect::<Vec<_>>().join(":")).collect();
    kinds.sort_unstable();
    let expected = ["chat-ages", "chats", "events", "format", "replica", "session", "sessions"];
    assert_eq!(kinds, expected.map(|kind| format!("mcp:{kind}")));
}

#[tokio::test]
async fn redis_of_a_newer_server_is_refused() {
    let redis = Redis::start();
    redis.command("SET mcp:format 99").unwrap();
    let store = open_redis(&redis, kept_for(WEEK));
    let trouble = store.details().unwrap();
    assert!(trouble.contains("has format 99, and this server knows 1 at most"), "{trouble}");
    let refused = store.open(SessionId::draw(), record(&ann(), &[]), None).await;
    assert!(refused.is_err());
    assert_eq!(redis.lines("KEYS *"), ["mcp:format"], "nothing was changed");
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
    assert_eq!(open().load(session).await, Ok(Some(record(&ann(), &["gmail_send-email"]))));
    let format: i64 = loop {
        if let Ok(format) = connect().pragma_query_value(None, "user_version", |row| row.get(0)) {
            break format;
        }
    };
    assert_eq!(format, 6);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn what_is_wrong_with_redis_is_told_without_the_password() {
    let redis = Redis::start_with(Some("right-password"));
    let store = RedisStore::open(&redis.url(), None, PATIENCE, kept_for(WEEK), ROOM).unwrap();
    assert_eq!(store.trouble(), None);
    let wrong = redis.url().replace("right", "wrong");
    let store = RedisStore::open(&wrong, None, PATIENCE, kept_for(WEEK), ROOM).unwrap();
    let trouble = store.details().unwrap();
    assert!(trouble.contains("WRONGPASS") || trouble.contains("uthentication"), "{trouble}");
    assert!(!trouble.contains("wrong-password"), "{trouble}");
    let opened = RedisStore::open("redis://:secret-word@[", None, PATIENCE, kept_for(WEEK), ROOM);
    let Err(error) = opened else { panic!("that is no URL") };
    assert!(!error.to_string().contains("secret-word"), "{error}");
}

fn event(stream: u64, place: u64, message: &[u8]) -> SentEvent {
    SentEvent {
        stream,
        place,
        replica: "one".to_owned(),
        request: RequestId::Text("call".into()),
        message: message.to_vec().into(),
        is_end: false,
    }
}

/// What was sent, as stream, place and length.
async fn sent(log: &Arc<dyn SharedEventLog>, session: SessionId) -> Vec<(u64, u64, usize)> {
    let (events, _) = log.read(session, Cursor::default()).await.unwrap();
    events.iter().map(|event| (event.stream, event.place, event.message.len())).collect()
}

#[tokio::test]
async fn events_are_kept_for_other_servers_within_bounds() {
    let redis = Redis::start();
    let (store, other) = (open_redis(&redis, kept_for(WEEK)), open_redis(&redis, kept_for(WEEK)));
    let (log, others, session) = (store.event_log().unwrap(), other.event_log().unwrap(), SessionId::draw());
    log.append(session, event(1, 1, b"x")).await.unwrap();
    assert_eq!(sent(others, session).await, [], "of a session that is not there");
    store.open(session, record(&ann(), &[]), None).await.unwrap();

    let odd = event(1, 1, "\0\r\n\u{1f600}".as_bytes());
    log.append(session, odd.clone()).await.unwrap();
    let end = SentEvent { is_end: true, ..event(1, 1, b"") };
    log.append(session, end.clone()).await.unwrap();
    let (events, cursor) = others.read(session, Cursor::default()).await.unwrap();
    assert_eq!(events, [odd, end]);
    log.append(session, event(2, 1, b"y")).await.unwrap();
    let (events, cursor) = others.read(session, cursor).await.unwrap();
    assert_eq!(events, [event(2, 1, b"y")]);
    assert_eq!(others.read(session, cursor.clone()).await, Ok((vec![], cursor)));

    log.append(session, event(2, 2, b"y")).await.unwrap();
    log.append(session, event(2, 3, b"y")).await.unwrap();
    assert_eq!(sent(others, session).await, [(1, 1, 0), (2, 1, 1), (2, 2, 1), (2, 3, 1)], "by number");
    log.append(session, event(3, 1, &[b'x'; 99])).await.unwrap();
    assert_eq!(sent(others, session).await, [(2, 3, 1), (3, 1, 99)], "by size");
    log.append(session, event(4, 1, &[b'x'; 101])).await.unwrap();
    assert_eq!(sent(others, session).await, [(2, 3, 1), (3, 1, 99)], "what is too large alone is not kept");

    let (mine, other_bus) = (store.bus().unwrap(), other.bus().unwrap());
    assert_eq!(other_bus.is_alive(mine.replica()).await, Ok(true));
    assert_eq!(other_bus.is_alive("somebody").await, Ok(false));
    store.close(session, ann()).await.unwrap();
    assert_eq!(sent(others, session).await, []);
}

#[tokio::test]
async fn news_come_to_all_the_others_or_to_one() {
    let redis = Redis::start();
    let stores = [(); 3].map(|()| open_redis(&redis, kept_for(WEEK)));
    let [mine, other, third] = stores.each_ref().map(|store| store.bus().unwrap());
    let mut heard = [mine, other, third].map(|bus| bus.hear());
    for news in &mut heard {
        assert!(matches!(news.recv().await, Some(ReplicaEvent::Missed)), "whatever was told before");
    }
    let token = Secret::new("token").fingerprint();
    let session = SessionId::draw();
    mine.tell_one(other.replica(), &ReplicaEvent::Changed(session)).await.unwrap();
    mine.tell(&ReplicaEvent::Revoked(token)).await.unwrap();
    stores[2].open(session, record(&ann(), &[]), None).await.unwrap();
    stores[2].save(session, record(&ann(), &["a"]), None).await.unwrap();
    stores[2].close(session, ann()).await.unwrap();

    let [mine, other, third] = &mut heard;
    assert!(matches!(other.recv().await, Some(ReplicaEvent::Changed(changed)) if changed == session));
    for news in [&mut *other, third] {
        assert!(matches!(news.recv().await, Some(ReplicaEvent::Revoked(told)) if told == token));
    }
    for news in [mine, other] {
        assert!(matches!(news.recv().await, Some(ReplicaEvent::Changed(changed)) if changed == session));
        assert!(matches!(news.recv().await, Some(ReplicaEvent::Closed(closed)) if closed == session));
    }
}

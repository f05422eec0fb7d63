//! Stores that servers share, and the servers that share one.

use integration_app_mcp_server::{
    protocol::jsonrpc::RequestId,
    secret::Secret,
    store::{Cursor, SentEvent, SharedEventLog},
    user_limits::fleet::Lot,
};

use super::*;

#[tokio::test]
async fn everything_in_redis_expires_but_its_format() {
    let redis = Redis::start();
    let store = open_redis(&redis, kept_for(WEEK));
    let session = SessionId::draw();
    store.open(session, record(&ann(), &[]), Some(chat("monday"))).await.unwrap();
    store.event_log().unwrap().append(session, &ann(), event(1, 1, b"x")).await.unwrap();
    let limits = store.fleet_limits().unwrap();
    // So slow a rate that its key lasts.
    assert!(limits.take_calls(&ann(), Lot { calls: 1, per_s: 1 }).await.is_some());
    assert_eq!(limits.note_streams(&ann(), 1, None).await, Some(true));
    let keys = redis.lines("KEYS *");
    let ttl: Vec<_> = keys.iter().filter(|key| redis.command(&format!("PTTL {key}")).unwrap() == ":-1").collect();
    assert_eq!(ttl, ["mcp:format"], "of {keys:?}");
    let mut kinds: Vec<_> = keys.iter().map(|key| key.splitn(3, ':').take(2).collect::<Vec<_>>().join(":")).collect();
    kinds.sort_unstable();
    let expected =
        ["calls", "chat-ages", "chats", "events", "format", "replica", "replicas", "session", "sessions", "streams"];
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

#[tokio::test]
async fn what_is_wrong_with_redis_is_told_without_the_password() {
    let redis = Redis::start_with(Some("right-password"));
    let store = open_redis(&redis, kept_for(WEEK));
    assert_eq!(store.trouble(), None);
    let wrong = redis.url().replace("right", "wrong");
    let store = open_at(&wrong, kept_for(WEEK));
    let trouble = store.details().unwrap();
    assert!(trouble.contains("WRONGPASS") || trouble.contains("uthentication"), "{trouble}");
    assert!(!trouble.contains("wrong-password"), "{trouble}");
    let urls = ["redis://:secret-word@[", "redis-cluster://:secret-word@a:b,c", "redis-sentinel://:secret-word@a"];
    for url in urls {
        let opened = RedisStore::open(url, TlsFiles::default(), PATIENCE, kept_for(WEEK), ROOM);
        let Err(error) = opened else { panic!("{url} can't be used") };
        assert!(!error.to_string().contains("secret-word"), "{error}");
    }
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

/// Events that were sent, as stream, place and length.
async fn sent(log: &Arc<dyn SharedEventLog>, session: SessionId) -> Vec<(u64, u64, usize)> {
    let (events, _) = log.read(session, &ann(), Cursor::default()).await.unwrap();
    events.iter().map(|event| (event.stream, event.place, event.message.len())).collect()
}

#[tokio::test]
async fn events_are_kept_for_other_servers_within_bounds() {
    for (kind, url) in Servers::start().shared() {
        check_events(kind, &url).await;
    }
}

async fn check_events(kind: &str, url: &str) {
    let (store, other) = (open_at(url, kept_for(WEEK)), open_at(url, kept_for(WEEK)));
    let (log, others, session) = (store.event_log().unwrap(), other.event_log().unwrap(), SessionId::draw());
    log.append(session, &ann(), event(1, 1, b"x")).await.unwrap();
    assert_eq!(sent(others, session).await, [], "{kind}: of a session that is not there");
    store.open(session, record(&ann(), &[]), None).await.unwrap();

    let odd = event(1, 1, "\0\r\n\u{1f600}".as_bytes());
    log.append(session, &ann(), odd.clone()).await.unwrap();
    let end = SentEvent { is_end: true, ..event(1, 1, b"") };
    log.append(session, &ann(), end.clone()).await.unwrap();
    let (events, cursor) = others.read(session, &ann(), Cursor::default()).await.unwrap();
    assert_eq!(events, [odd, end]);
    log.append(session, &ann(), event(2, 1, b"y")).await.unwrap();
    let (events, cursor) = others.read(session, &ann(), cursor).await.unwrap();
    assert_eq!(events, [event(2, 1, b"y")]);
    assert_eq!(others.read(session, &ann(), cursor.clone()).await, Ok((vec![], cursor)));

    for _ in 0..2 {
        // A repeat, as it is sent where the first answer was lost.
        log.append(session, &ann(), event(2, 2, b"y")).await.unwrap();
    }
    log.append(session, &ann(), event(2, 3, b"y")).await.unwrap();
    assert_eq!(sent(others, session).await, [(1, 1, 0), (2, 1, 1), (2, 2, 1), (2, 3, 1)], "{kind}: by number");
    log.append(session, &ann(), event(3, 1, &[b'x'; 87])).await.unwrap();
    assert_eq!(sent(others, session).await, [(2, 3, 1), (3, 1, 87)], "{kind}: by size, the id of the request included");
    let long = SentEvent { request: RequestId::Text("x".repeat(99).into()), ..event(4, 1, b"") };
    for large in [event(4, 1, &[b'x'; 95]), long] {
        log.append(session, &ann(), large).await.unwrap();
        assert_eq!(sent(others, session).await, [(2, 3, 1), (3, 1, 87)], "{kind}: what is too large alone is not kept");
    }

    let (mine, other_bus) = (store.bus().unwrap(), other.bus().unwrap());
    assert_eq!(other_bus.is_alive(mine.replica()).await, Ok(true));
    assert_eq!(other_bus.is_alive("somebody").await, Ok(false));
    store.close(session, ann()).await.unwrap();
    assert_eq!(sent(others, session).await, []);
}

#[tokio::test]
async fn news_come_to_all_the_others_or_to_one() {
    for (_, url) in Servers::start().shared() {
        check_news(&url).await;
    }
}

async fn check_news(url: &str) {
    let stores = [(); 3].map(|()| open_at(url, kept_for(WEEK)));
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

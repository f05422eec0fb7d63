//! How much a store keeps of one user, and that nobody waits for another's.

use super::*;

#[tokio::test]
async fn a_user_has_so_many_sessions_and_the_one_not_used_for_longest_goes() {
    let servers = Servers::start();
    let bounds = Bounds { sessions_per_user: 3, ..kept_for(WEEK) };
    for (kind, store) in bounded_stores(&servers, bounds) {
        let sessions: Vec<_> = (0..5).map(|_| SessionId::draw()).collect();
        let bobs = SessionId::draw();
        store.open(bobs, record(&UserKey::new("acme", "bob"), &[]), None).await.unwrap();
        for session in &sessions[..3] {
            let opened = store.open(*session, record(&ann(), &[]), Some(chat(&session.to_string()))).await;
            assert_eq!(opened, Ok(Opened::default()), "{kind}");
        }
        // Redis has the order of these, the file has their times.
        let touch = async |session, s| {
            store.touch(vec![(ann(), session, SystemTime::now() + Duration::from_secs(s))]).await.unwrap();
        };
        // The first was used last, however long ago it was opened.
        for (i, s) in [(1, 10), (2, 20), (0, 30)] {
            touch(sessions[i], s).await;
        }
        let opened = store.open(sessions[3], record(&ann(), &[]), None).await;
        assert_eq!(opened, Ok(Opened { before: None, ended: vec![sessions[1]] }), "{kind}");
        assert_eq!(store.load(sessions[1], &ann()).await, Ok(None), "{kind}");
        assert_eq!(store.close(sessions[3], ann()).await, Ok(true), "{kind}: an ended one makes room");
        let entered = store.enter_chat(ann(), chat("new"), Some((sessions[4], record(&ann(), &[])))).await;
        assert_eq!(entered, Ok(Entered { session: Some(sessions[4]), ended: vec![] }), "{kind}");
        touch(sessions[4], 40).await;
        let last = SessionId::draw();
        let entered = store.enter_chat(ann(), chat("newest"), Some((last, record(&ann(), &[])))).await;
        assert_eq!(entered.unwrap().ended, [sessions[2]], "{kind}");

        let left = [sessions[0], sessions[4], last];
        assert!(store.load(bobs, &UserKey::new("acme", "bob")).await.unwrap().is_some(), "{kind}");
        for session in left {
            assert!(store.load(session, &ann()).await.unwrap().is_some(), "{kind}: {session}");
        }
        let chats: Vec<_> = store.chats(ann()).await.unwrap().into_values().collect();
        assert_eq!(chats.len(), 3, "{kind}: chats go with their sessions, {chats:?}");
        assert!(chats.iter().all(|session| left.contains(session)), "{kind}");
    }
}

#[tokio::test]
async fn a_user_has_so_many_chats_and_the_oldest_is_forgotten() {
    let servers = Servers::start();
    let bounds = Bounds { chats_per_user: 3, ..kept_for(WEEK) };
    for (kind, store) in bounded_stores(&servers, bounds) {
        let session = SessionId::draw();
        store.open(session, record(&ann(), &[]), Some(chat("b"))).await.unwrap();
        let names = async || {
            let chats = store.chats(ann()).await.unwrap();
            chats.keys().map(|chat| chat.as_str().to_owned()).collect::<Vec<_>>()
        };
        for name in ["c", "a"] {
            store.bind_chat(ann(), chat(name), session).await.unwrap();
        }
        assert_eq!(names().await, ["a", "b", "c"], "{kind}");
        // One that is taken over is new again.
        store.open(SessionId::draw(), record(&ann(), &[]), Some(chat("b"))).await.unwrap();
        store.bind_chat(ann(), chat("d"), session).await.unwrap();
        assert_eq!(names().await, ["a", "b", "d"], "{kind}");
        store.enter_chat(ann(), chat("e"), Some((SessionId::draw(), record(&ann(), &[])))).await.unwrap();
        assert_eq!(names().await, ["b", "d", "e"], "{kind}");
        assert!(store.load(session, &ann()).await.unwrap().is_some(), "{kind}: no session goes with them");
    }
}

#[tokio::test]
async fn chats_are_read_in_pages() {
    let servers = Servers::start();
    let bounds = Bounds { chats_per_user: 3000, ..kept_for(WEEK) };
    for (kind, store) in bounded_stores(&servers, bounds) {
        let session = SessionId::draw();
        store.open(session, record(&ann(), &[]), None).await.unwrap();
        let binds = (0..2500).map(|i| store.bind_chat(ann(), chat(&format!("chat {i}")), session));
        futures_util::future::join_all(binds).await;
        let chats = store.chats(ann()).await.unwrap();
        assert_eq!(chats.len(), 2500, "{kind}");
        assert!(chats.values().all(|of| *of == session), "{kind}");
        store.close(session, ann()).await.unwrap();
        assert_eq!(store.chats(ann()).await.unwrap(), [].into(), "{kind}");
    }
    // What Redis was asked is told some time after it was.
    let begun = Instant::now();
    while String::from_utf8_lossy(&servers.redis.seen()).matches("\"HSCAN\"").count() < 5 {
        assert!(begun.elapsed() < PATIENCE, "they are read in too few pages");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn chats_of_an_earlier_server_are_the_oldest() {
    let redis = Redis::start();
    let store = open_redis(&redis, Bounds { chats_per_user: 2, ..kept_for(WEEK) });
    let session = SessionId::draw();
    store.open(session, record(&ann(), &[]), Some(chat("new"))).await.unwrap();
    redis.command(&format!("HSET mcp:chats:4:acme:ann old {session}")).unwrap();
    store.bind_chat(ann(), chat("newest"), session).await.unwrap();
    let chats: Vec<_> = store.chats(ann()).await.unwrap().into_keys().collect();
    assert_eq!(chats, [chat("new"), chat("newest")]);
}

#[tokio::test]
async fn chats_whose_sessions_are_gone_do_not_pile_up() {
    let redis = Redis::start();
    let store = open_redis(&redis, kept_for(WEEK));
    for i in 0..300 {
        let session = SessionId::draw();
        store.open(session, record(&ann(), &[]), Some(chat(&format!("chat-{i}")))).await.unwrap();
        store.close(session, ann()).await.unwrap();
    }
    let left: usize = redis.command("HLEN mcp:chats:4:acme:ann").unwrap()[1..].parse().unwrap();
    assert!(left < 100, "{left} of 300 chats are left, though none has a session");
}

#[tokio::test]
async fn chats_leave_the_file_with_their_sessions() {
    let folder = std::env::temp_dir().join(format!("mcp-store-{}", SessionId::draw()));
    let store = EmbeddedStore::open(&folder, kept_for(Duration::from_secs(3))).unwrap();
    let [ended, expired] = [SessionId::draw(), SessionId::draw()];
    store.open(ended, record(&ann(), &[]), Some(chat("ended"))).await.unwrap();
    store.close(ended, ann()).await.unwrap();
    store.open(expired, record(&ann(), &[]), Some(chat("expired"))).await.unwrap();
    let begun = Instant::now();
    while store.expire().await.unwrap() == 0 {
        assert!(begun.elapsed() < PATIENCE, "it does not expire");
        tokio::task::yield_now().await;
    }
    drop(store);
    // The store's thread lets go of the file when it has ended.
    let file = rusqlite::Connection::open(folder.join("sessions.db")).unwrap();
    file.busy_timeout(PATIENCE).unwrap();
    for table in ["sessions", "chats"] {
        let left: i64 = file.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
        assert_eq!(left, 0, "{table}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

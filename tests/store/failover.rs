//! A replica that takes over from its master while servers use the store.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::future::join_all;
use integration_app_mcp_server::store::{
    outputs::{KeptOutput, MAX_OUTPUT, OutputId},
    runs::Digest,
};

use tokio::task::spawn_blocking;

use super::{redis_cluster::Sentinel, *};

/// Users whose slots are anywhere on a cluster.
const USERS: u64 = 24;

fn user(number: u64) -> UserKey {
    UserKey::new("acme", &format!("user-{number}"))
}

/// Sessions of users that are opened, changed and read all the time.
struct Traffic<'a> {
    store: &'a RedisStore,
    is_over: AtomicBool,
    /// Rounds of all users that went well.
    rounds: AtomicU64,
}

impl Traffic<'_> {
    /// Uses the sessions of one user, and gives them with the changes made to each.
    async fn of_user(&self, owner: UserKey) -> Vec<(UserKey, SessionId, u64)> {
        let mut sessions = Vec::new();
        while !self.is_over.load(Ordering::Relaxed) {
            let session = SessionId::draw();
            let opened = self.store.open(session, record(&owner, &[]), Some(chat(&session.to_string()))).await;
            assert_eq!(opened, Ok(Opened::default()), "{owner}");
            for tool in ["a", "b"] {
                self.store.save(session, record(&owner, &[tool]), None).await.unwrap().unwrap();
            }
            let key = Digest::of(&[&session.to_string()]);
            assert_eq!(
                self.store.claim_run(owner.clone(), key, key).await,
                Ok(None),
                "a claim that is repeated is its own"
            );
            assert!(self.store.load(session, &owner).await.unwrap().is_some(), "{session} of {owner} is lost");
            self.rounds.fetch_add(1, Ordering::Relaxed);
            sessions.push((owner.clone(), session, 2));
        }
        sessions
    }

    /// Waits until each user may have had another round.
    async fn go_on(&self) {
        let rounds = self.rounds.load(Ordering::Relaxed) + 2 * USERS;
        let begun = Instant::now();
        while self.rounds.load(Ordering::Relaxed) < rounds {
            assert!(begun.elapsed() < 2 * PATIENCE, "requests go on");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Waits for news that a session has changed.
async fn hears(news: &mut tokio::sync::mpsc::Receiver<ReplicaEvent>, session: SessionId) -> bool {
    while let Some(event) = news.recv().await {
        match event {
            ReplicaEvent::Changed(changed) if changed == session => return true,
            ReplicaEvent::Missed => return false,
            _ => {}
        }
    }
    panic!("no more news")
}

/// Changes a session until the other server hears of a change, which may have to subscribe first.
async fn assert_told(store: &RedisStore, news: &mut tokio::sync::mpsc::Receiver<ReplicaEvent>) {
    let session = SessionId::draw();
    store.open(session, record(&ann(), &[]), None).await.unwrap();
    let changes = async {
        loop {
            store.save(session, record(&ann(), &["a"]), None).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let heard = async { while !hears(news, session).await {} };
    tokio::select! {
        () = changes => {}
        heard = tokio::time::timeout(2 * PATIENCE, heard) => heard.expect("news come after a failover"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_and_no_session_is_lost_while_replicas_of_a_cluster_take_over() {
    let cluster = Arc::new(Cluster::start(1));
    let url = cluster.url("redis-cluster", "");
    // A request at a server that hangs is given up after half of its time, and sent to the one that has taken over.
    let open = || RedisStore::open(&url, TlsFiles::default(), Duration::from_secs(10), kept_for(WEEK), ROOM).unwrap();
    let (store, other) = (open(), open());
    let mut news = other.bus().unwrap().hear();
    assert!(matches!(news.recv().await, Some(ReplicaEvent::Missed)));
    let traffic = Traffic { store: &store, is_over: AtomicBool::new(false), rounds: AtomicU64::new(0) };
    let failures = async {
        traffic.go_on().await;
        // The slot of the news and of the signs of life, and two of users, each at another of the masters.
        let keys = ["mcp:{news}", "mcp:format:{servers}", "mcp:chats:{4:acme:ann}", "a", "b", "c"];
        let [first, second, third] = cluster.apart(&keys);
        // By command, by a death, and by a server that no longer answers but keeps its connections.
        // Beside this task, whose users go on meanwhile.
        let beside = async |work: fn(&Cluster, &str), key| {
            let cluster = Arc::clone(&cluster);
            spawn_blocking(move || work(&cluster, key)).await.unwrap();
        };
        beside(Cluster::fail_over, first).await;
        traffic.go_on().await;
        beside(|cluster, key| cluster.lose(key, "-KILL"), second).await;
        traffic.go_on().await;
        beside(|cluster, key| cluster.lose(key, "-STOP"), third).await;
        traffic.go_on().await;
        traffic.is_over.store(true, Ordering::Relaxed);
    };
    let (sessions, ()) = tokio::join!(join_all((0..USERS).map(|number| traffic.of_user(user(number)))), failures);
    for (owner, session, changes) in sessions.into_iter().flatten() {
        let kept = other.load(session, &owner).await.unwrap().expect("no session is lost");
        assert!(kept.version >= changes, "{session} of {owner} has lost a change");
        assert_eq!(other.chats(owner).await.unwrap().get(&chat(&session.to_string())), Some(&session));
    }
    assert_told(&store, &mut news).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_master_that_sentinels_name_is_found_also_after_a_failover() {
    let sentinel = Sentinel::start();
    let url = sentinel.url();
    let [store, other] = [(); 2].map(|()| open_at(&url, kept_for(WEEK)));
    let mut news = other.bus().unwrap().hear();
    assert!(matches!(news.recv().await, Some(ReplicaEvent::Missed)));
    let before = SessionId::draw();
    store.open(before, record(&ann(), &[]), None).await.unwrap();
    tokio::task::block_in_place(|| sentinel.fail_over());
    assert!(store.load(before, &ann()).await.unwrap().is_some());
    let after = SessionId::draw();
    store.open(after, record(&ann(), &[]), None).await.unwrap();
    assert!(other.load(after, &ann()).await.unwrap().is_some());
    assert_told(&store, &mut news).await;
}

#[tokio::test]
async fn a_server_that_takes_no_writes_for_a_moment_is_asked_again() {
    let redis = Redis::start();
    let store = open_redis(&redis, kept_for(WEEK));
    let seen = |text: &str| String::from_utf8_lossy(&redis.seen()).matches(text).count();
    redis.command("REPLICAOF 127.0.0.1 1").unwrap();
    let session = SessionId::draw();
    let opened = store.open(session, record(&ann(), &[]), None);
    let begun = Instant::now();
    while seen(&session.to_string()) < 3 {
        assert!(begun.elapsed() < PATIENCE, "it is not asked again");
        tokio::task::yield_now().await;
    }
    redis.command("REPLICAOF NO ONE").unwrap();
    assert_eq!(opened.await, Ok(Opened::default()));
    assert!(store.load(session, &ann()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_repeat_of_what_was_done_does_it_no_second_time() {
    for (kind, url) in Servers::start().shared() {
        let store = open_at(&url, kept_for(WEEK));
        let [first, second] = [(); 2].map(|()| SessionId::draw());
        store.open(first, record(&ann(), &[]), Some(chat("monday"))).await.unwrap();
        for _ in 0..2 {
            let opened = store.open(second, record(&ann(), &[]), Some(chat("monday"))).await;
            assert_eq!(opened, Ok(Opened { before: Some(first), ended: vec![] }), "{kind}");
        }
        let output = KeptOutput { tool: "one".to_owned(), json: vec![0xff; MAX_OUTPUT] };
        let [one, two] = [(); 2].map(|()| OutputId::draw());
        for id in [one, two, two] {
            store.keep_output(ann(), id, output.clone(), WEEK).await.unwrap();
        }
        assert!(store.kept_output(ann(), one).await.unwrap().is_some(), "{kind}: a repeat takes no room");
    }
}

//! Calls and streams of users, as servers at one store count them together.

use integration_app_mcp_server::user_limits::fleet::{FleetLimits, Lot, Taken};

use super::*;

/// Two servers that know of each other, each of which counts what the other one notes. At the cluster there are those of other
/// tests, so their number tells nothing.
async fn two(url: &str) -> [RedisStore; 2] {
    let stores = [(); 2].map(|()| open_at(url, kept_for(WEEK)));
    let user = UserKey::new("acme", "the one who looks");
    let note = async |at: usize, streams, most| limits(&stores[at]).note_streams(&user, streams, most).await;
    for (one, other) in [(0, 1), (1, 0)] {
        note(one, 1, None).await;
        while note(other, 1, Some(1)).await == Some(true) {
            note(other, 0, None).await;
        }
        note(one, 0, None).await;
    }
    stores
}

fn limits(store: &RedisStore) -> &dyn FleetLimits {
    &**store.fleet_limits().unwrap()
}

#[tokio::test]
async fn a_second_has_so_many_calls_for_all_servers() {
    let servers = Servers::start();
    for (kind, url) in servers.shared() {
        let stores = two(&url).await;
        let begun = Instant::now();
        let lots = (0..200).map(|number| limits(&stores[number % 2]).take_calls(&ann(), Lot { calls: 3, per_s: 100 }));
        let taken: Vec<_> = futures_util::future::join_all(lots).await.into_iter().map(Option::unwrap).collect();
        let all: usize = taken.iter().map(|taken| taken.calls).sum();
        let refill = usize::try_from(begun.elapsed().as_millis() / 10).unwrap() + 1;
        assert!((100..=100 + refill).contains(&all), "{kind}: {all}, {refill}");
        assert!(
            taken.iter().all(|taken| taken.calls <= 3 && taken.wait <= Duration::from_millis(31)),
            "{kind}: {taken:?}"
        );
        let bob = limits(&stores[0]).take_calls(&UserKey::new("acme", "bob"), Lot { calls: 3, per_s: 100 }).await;
        assert_eq!(bob, Some(Taken { calls: 3, wait: Duration::ZERO }), "{kind}: another user");
    }
}

#[tokio::test]
async fn what_is_left_of_a_second_is_given_and_comes_back() {
    let servers = Servers::start();
    for (kind, url) in servers.shared() {
        let store = open_at(&url, kept_for(WEEK));
        let take = async |calls| limits(&store).take_calls(&ann(), Lot { calls, per_s: 7 }).await.unwrap();
        let first = take(5).await;
        assert_eq!(first, Taken { calls: 5, wait: Duration::ZERO }, "{kind}");
        let rest = take(5).await.calls;
        assert!((2..=5).contains(&rest), "{kind}: {rest}");
        let deadline = Instant::now() + PATIENCE;
        while take(1).await.calls == 0 {
            assert!(Instant::now() < deadline, "{kind}: no more come");
        }
    }
}

#[tokio::test]
async fn streams_of_a_user_are_so_many_at_all_servers() {
    let servers = Servers::start();
    for (kind, url) in servers.shared() {
        let stores = two(&url).await;
        let note = async |at: usize, streams, most| limits(&stores[at]).note_streams(&ann(), streams, most).await;
        assert_eq!(note(0, 3, Some(5)).await, Some(true), "{kind}");
        assert_eq!(note(1, 3, Some(5)).await, Some(false), "{kind}");
        assert_eq!(note(1, 2, Some(5)).await, Some(true), "{kind}: what was refused is not noted");
        assert_eq!(note(0, 4, Some(5)).await, Some(false), "{kind}");
        assert_eq!(note(0, 3, Some(5)).await, Some(true), "{kind}: a repeat");
        assert_eq!(note(0, 9, None).await, Some(true), "{kind}: they are there, whatever the limit");
        assert_eq!(note(1, 1, Some(5)).await, Some(false), "{kind}");
        assert_eq!(note(0, 0, None).await, Some(true), "{kind}");
        assert_eq!(note(1, 5, Some(5)).await, Some(true), "{kind}");
        assert_eq!(
            limits(&stores[0]).note_streams(&UserKey::new("acme", "bob"), 5, Some(5)).await,
            Some(true),
            "{kind}"
        );
    }
}

#[tokio::test]
async fn streams_of_servers_that_are_gone_do_not_count() {
    let redis = Redis::start();
    let store = open_redis(&redis, kept_for(WEEK));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    let key = "mcp:streams:4:acme:ann";
    redis.command(&format!(
        "EVAL \"return redis.call('HSET', KEYS[1], 'gone', '7 {now}', 'long-gone', '7 1', 'odd', 'x')\" 1 {key}"
    ));
    assert_eq!(limits(&store).note_streams(&ann(), 5, Some(5)).await, Some(true));
    let mut noted = redis.lines(&format!("HKEYS {key}"));
    noted.retain(|server| server.len() < 36);
    assert_eq!(noted, ["gone"], "it may only be new, and the others have expired");
}

#[tokio::test]
async fn servers_that_live_are_counted() {
    let redis = Redis::start();
    redis.command("ZADD mcp:replicas 1 gone");
    // Redis counts as gone only after this time.
    let timeout = Duration::from_secs(3);
    let open = || RedisStore::open(&redis.url(), TlsFiles::default(), timeout, kept_for(WEEK), ROOM).unwrap();
    let store = open();
    assert_eq!(limits(&store).servers(), 1);
    let other = open();
    assert_eq!(limits(&other).servers(), 2, "from the first request on");
    redis.kill();
    let is_soon = async |servers| {
        let deadline = Instant::now() + PATIENCE;
        while limits(&store).servers() != servers {
            assert!(Instant::now() < deadline, "never {servers}");
            tokio::task::yield_now().await;
        }
    };
    is_soon(1).await;
    assert_eq!(limits(&store).take_calls(&ann(), Lot { calls: 1, per_s: 1 }).await, None);
    redis.restart();
    is_soon(2).await;
}

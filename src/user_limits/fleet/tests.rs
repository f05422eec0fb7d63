//! Limits of servers that share a store, which is a map in memory here.

use std::time::Instant;

use futures_util::future::join_all;

use super::*;
use crate::user_limits::*;

/// Counts that servers have in common.
#[derive(Debug)]
struct Common {
    servers: usize,
    is_away: bool,
    /// Calls that all may still make. No time brings more.
    calls: usize,
    asked: usize,
    /// Streams noted by each server.
    streams: HashMap<usize, usize>,
}

#[derive(Debug, Clone)]
struct Fleet {
    number: usize,
    common: Arc<Mutex<Common>>,
}

impl Fleet {
    /// Servers with nothing in common yet but so many calls.
    fn start(servers: usize, calls: usize) -> Vec<Self> {
        let common = Common { servers, is_away: false, calls, asked: 0, streams: HashMap::new() };
        let common = Arc::new(Mutex::new(common));
        (0..servers).map(|number| Self { number, common: Arc::clone(&common) }).collect()
    }

    /// Ann's limits at this server.
    fn ann(&self, calls_per_s: u32, streams: usize) -> Arc<UserLimits> {
        let calls_per_s = NonZeroU32::new(calls_per_s).unwrap();
        let allowed = LimitSettings { calls_per_s, calls_at_once: 1, streams, sessions: 1, all_sessions: 1 };
        LimitsOfUsers::new(allowed, Some(Arc::new(self.clone()))).of(&UserKey::new("w", "ann"))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Common) -> T) -> T {
        change(&mut self.common.lock().unwrap())
    }

    fn noted(&self) -> usize {
        self.change(|common| common.streams.get(&self.number).copied().unwrap_or(0))
    }
}

impl FleetLimits for Fleet {
    fn servers(&self) -> usize {
        self.change(|common| common.servers)
    }

    fn take_calls(&self, _: &UserKey, lot: Lot) -> FleetFuture<Taken> {
        let taken = self.change(|common| {
            common.asked += 1;
            let calls = common.calls.min(lot.calls);
            common.calls -= calls;
            (!common.is_away).then_some(Taken { calls, wait: Duration::from_secs(3600) })
        });
        // Given later, as by a store.
        Box::pin(async move {
            tokio::task::yield_now().await;
            taken
        })
    }

    fn note_streams(&self, _: &UserKey, streams: usize, most: Option<usize>) -> FleetFuture<bool> {
        let noted = self.change(|common| {
            if common.is_away {
                return None;
            }
            let others: usize =
                common.streams.iter().filter(|(at, _)| **at != self.number).map(|(_, count)| count).sum();
            let is_fine = most.is_none_or(|most| others + streams <= most);
            if is_fine {
                common.streams.insert(self.number, streams);
            }
            Some(is_fine)
        });
        Box::pin(async move {
            tokio::task::yield_now().await;
            noted
        })
    }
}

/// Takes one call, whoever has to be asked.
async fn call(user: &UserLimits) -> Result<(), u64> {
    match user.call() {
        Some(taken) => taken,
        None => user.call_of_fleet().await,
    }
}

/// Calls until one is refused, and tells how many were taken.
async fn flood(user: &UserLimits) -> usize {
    let mut taken = 0;
    while call(user).await.is_ok() {
        taken += 1;
    }
    taken
}

#[tokio::test]
async fn servers_take_calls_of_the_same_limit_in_lots() {
    let servers = Fleet::start(2, 1900);
    let [one, two] = [&servers[0], &servers[1]].map(|server| server.ann(2000, 1));
    let begun = Instant::now();
    for _ in 0..50 {
        assert_eq!(one.call(), Some(Ok(())), "its own part asks nobody");
    }
    let taken = 50 + flood(&one).await + flood(&two).await;
    // Each server's part comes again within a second.
    let parts = 100 + begun.elapsed().as_millis() / 10 + 1;
    assert!((2000..=1900 + parts).contains(&u128::try_from(taken).unwrap()), "{taken}");
    assert!(servers[0].change(|common| common.asked) <= 1900 / 50 + 2, "a lot at a time");
    while one.call() == Some(Ok(())) {}
    assert!(one.call().is_some_and(|taken| taken.is_err_and(|wait| wait > 3000)), "it is known that there are none");
}

#[tokio::test]
async fn calls_at_once_of_a_small_limit_are_exact() {
    let servers = Fleet::start(3, 10);
    let users: Vec<_> = servers.iter().map(|server| server.ann(10, 1)).collect();
    let taken = join_all((0..60).map(|number| call(&users[number % 3]))).await;
    assert_eq!(taken.iter().filter(|taken| taken.is_ok()).count(), 10);
    assert!(servers[0].change(|common| common.asked) <= 13, "what is refused once is not asked again");
}

#[tokio::test]
async fn a_server_that_gets_no_answer_counts_alone() {
    let servers = Fleet::start(2, 0);
    let ann = servers[0].ann(10, 2);
    servers[0].change(|common| common.is_away = true);
    let taken = (flood(&ann).await, ann.stream().await.is_ok());
    assert!(taken.0 >= 10 && taken.1, "{taken:?}");
    assert!(servers[0].change(|common| common.asked) <= 2, "it does not ask for each");
    servers[0].change(|common| common.servers = 1);
    let ann = servers[0].ann(10, 2);
    assert!(flood(&ann).await >= 10 && ann.stream().await.is_ok());
}

#[tokio::test]
async fn streams_are_counted_at_all_servers() {
    let servers = Fleet::start(2, 0);
    let [one, two] = [&servers[0], &servers[1]].map(|server| server.ann(1, 4));
    let mut here = vec![one.stream().await.unwrap(), one.stream().await.unwrap()];
    let there = [two.stream().await.unwrap(), two.stream().await.unwrap()];
    for user in [&one, &two] {
        assert_eq!(user.stream().await.err(), Some(Error::TooMany { what: "streams", limit: 4 }));
    }
    here.pop();
    while servers[0].noted() != 1 {
        tokio::task::yield_now().await;
    }
    let _third = two.stream().await.unwrap();
    assert!(one.stream().await.is_err());
    drop((here, there));
    while servers[0].noted() != 0 || servers[1].noted() != 1 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn streams_at_once_take_all_places_and_no_more() {
    let servers = Fleet::start(3, 0);
    let users: Vec<_> = servers.iter().map(|server| server.ann(1, 10)).collect();
    let held = join_all((0..30).map(|number| users[number % 3].stream())).await;
    assert_eq!(held.iter().filter(|held| held.is_ok()).count(), 10);
}

#[tokio::test]
async fn few_streams_are_no_business_of_other_servers() {
    let servers = Fleet::start(2, 0);
    let ann = servers[0].ann(1, 80);
    let mut held = vec![ann.stream().await.unwrap(), ann.stream().await.unwrap()];
    assert!(servers[0].change(|common| common.streams.is_empty()), "its own part is two");
    held.push(ann.stream().await.unwrap());
    assert_eq!(servers[0].noted(), 1);
    // With twenty servers none has a part of its own.
    servers[0].change(|common| common.servers = 20);
    ann.note_streams(true).await;
    assert_eq!(servers[0].noted(), 3);
}

#[tokio::test]
async fn what_was_forgotten_is_noted_again() {
    let servers = Fleet::start(2, 0);
    let allowed =
        LimitSettings { calls_per_s: NonZeroU32::MIN, calls_at_once: 1, streams: 9, sessions: 1, all_sessions: 1 };
    let limits = LimitsOfUsers::new(allowed, Some(Arc::new(servers[0].clone())));
    let _stream = limits.of(&UserKey::new("w", "ann")).stream().await.unwrap();
    servers[0].change(|common| common.streams.clear());
    let noted = async {
        while servers[0].noted() != 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = limits.clone().keep_noted() => {}
        () = noted => {}
    }
}

#[test]
fn the_parts_of_a_limit_make_it_up() {
    assert_eq!(Split::new(2000, 1), Split { own: 2000, shared: 0 }, "a server alone asks nobody");
    assert_eq!(Split::new(2000, 2), Split { own: 50, shared: 1900 });
    assert_eq!(Split::new(2000, 10), Split { own: 10, shared: 1900 });
    assert_eq!(Split::new(10, 3), Split { own: 0, shared: 10 }, "a small one is counted together");
    for (limit, servers) in [(1, 2), (59, 3), (119, 3), (1999, 7), (usize::MAX, 5), (7, usize::MAX)] {
        let Split { own, shared } = Split::new(limit, servers);
        assert_eq!(own * servers + shared, limit, "{limit} {servers}");
        assert!(shared >= limit - limit / 20, "{limit} {servers}");
    }
}

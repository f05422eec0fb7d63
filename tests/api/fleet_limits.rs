//! Limits of a user that hold for all servers at one Redis together.

use std::time::Instant;

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::json;

use crate::{
    fleet::Fleet,
    support::{Client, Server, assert_error, eventually},
};

/// Waits until each server knows of all.
pub fn know_each_other(servers: &[Server]) {
    for server in servers {
        server.wait_for_log(&format!("servers that share the limits of users: {}", servers.len()));
    }
}

/// Makes calls one after the other, and tells how many were taken. The others are told to wait.
async fn call(client: &Client<'_>, times: usize) -> u32 {
    let mut taken = 0;
    for _ in 0..times {
        let result = client.modern_call("sandbox-faults_echo", json!({})).send().await.result();
        if result["isError"] == true {
            let text = result["content"][0]["text"].as_str().unwrap();
            assert!(text.starts_with("Too many calls were made: wait 1 s"), "{text}");
        } else {
            taken += 1;
        }
    }
    taken
}

/// Makes calls at servers at once, many more than a user may make in a second, and checks how many are taken.
pub async fn assert_calls_are_limited(servers: &[Server], user: &str, per_s: f64) {
    let begun = Instant::now();
    let taken = join_all(servers.iter().map(|server| async { call(&server.client(user), 120).await })).await;
    let (taken, seconds) = (f64::from(taken.iter().sum::<u32>()), begun.elapsed().as_secs_f64());
    assert!(taken >= 0.9 * per_s, "{taken} calls in {seconds} s");
    // A second's calls may come at once, and more as time passes.
    assert!(taken <= 1.1 * per_s * (1.0 + seconds), "{taken} calls in {seconds} s");
}

/// The status of a request for a stream, which is closed at once if there is one.
async fn listens(server: &Server, user: &str) -> StatusCode {
    let listen = server.client(user).modern("subscriptions/listen", json!({"notifications": {}}));
    listen.request().send().await.unwrap().status()
}

/// Opens ten streams at servers, which are all that a user may have, and checks that there is no other.
pub async fn assert_streams_are_limited(servers: &[Server], user: &str) {
    let mut streams = Vec::new();
    for number in 0..10 {
        streams.push(servers[number % servers.len()].client(user).subscribe(json!(number)).await);
    }
    for server in servers {
        // A stream would have no end to read to.
        assert_eq!(listens(server, user).await, 429);
        let listen = server.client(user).modern("subscriptions/listen", json!({"notifications": {}}));
        let refused = listen.send().await;
        assert_error(&refused, 429, -32600, "one stream more");
        assert!(refused.header("retry-after").is_some() && refused.text.contains("at most 10"), "{refused:?}");
    }
    assert_eq!(listens(&servers[0], "another").await, 200, "another user");
    // The second server has the last one.
    drop(streams.swap_remove(1));
    eventually("one that has ended makes room elsewhere", async || listens(&servers[0], user).await == 200).await;
}

#[tokio::test]
async fn a_user_makes_as_many_calls_at_several_servers_as_at_one() {
    let fleet = Fleet::start_with(3, |server| server.env("MCP__MEMBRANE__PER_USER_CALLS_PER_S", "20")).await;
    know_each_other(&fleet.servers);
    assert_calls_are_limited(&fleet.servers, "ann", 20.0).await;
    assert_calls_are_limited(&fleet.servers[..1], "bob", 20.0).await;
}

#[tokio::test]
async fn a_user_who_makes_few_calls_and_has_few_streams_costs_redis_nothing() {
    let fleet = Fleet::start(2).await;
    know_each_other(&fleet.servers);
    for server in &fleet.servers {
        assert_eq!(call(&server.client("ann"), 40).await, 40);
        let _streams = join_all((0..20).map(async |id| server.client("ann").subscribe(json!(id)).await)).await;
    }
    let seen = String::from_utf8_lossy(&fleet.redis.seen()).into_owned();
    assert!(!seen.contains("mcp:calls:") && !seen.contains("mcp:streams:"), "{seen}");
}

#[tokio::test]
async fn a_user_has_as_many_streams_at_several_servers_as_at_one() {
    let fleet = Fleet::start_with(3, |server| server.env("MCP__STREAMS__MAX_PER_USER", "10")).await;
    know_each_other(&fleet.servers);
    assert_streams_are_limited(&fleet.servers, "ann").await;

    let mut streams = Vec::new();
    for number in 0..10 {
        streams.push(fleet.servers[number % 2].client("bob").subscribe(json!(number)).await);
    }
    assert_eq!(listens(&fleet.servers[2], "bob").await, 429);
    fleet.servers[1].kill();
    let mut more = 0;
    eventually("streams of a server that is gone do not count", async || {
        if listens(&fleet.servers[2], "bob").await == 200 {
            streams.push(fleet.servers[2].client("bob").subscribe(json!(more)).await);
            more += 1;
        }
        more == 5
    })
    .await;
    assert_eq!(listens(&fleet.servers[0], "bob").await, 429, "those of the others do");
}

#[tokio::test]
async fn a_user_has_as_many_sessions_at_several_servers_as_at_one() {
    let fleet = Fleet::start_with(3, |server| server.env("MCP__SESSIONS__MAX_PER_USER", "4")).await;
    let mut sessions = Vec::new();
    for number in 0..6 {
        sessions.push(fleet.at(number % 3, &fleet.client("ann")).open().await);
    }
    for (number, session) in sessions.iter().enumerate() {
        for server in 0..3 {
            let status = fleet.at(server, session).ask("ping", json!({})).await.status;
            assert_eq!(status, if number < 2 { 404 } else { 200 }, "session {number}, server {server}");
        }
    }
    let kept = fleet.redis.lines("KEYS mcp:sessions:*");
    assert_eq!(fleet.redis.command(&format!("ZCARD {}", kept[0])).unwrap(), ":4", "{kept:?}");
}

#[tokio::test]
async fn without_redis_each_server_holds_the_limits_alone() {
    let fleet = Fleet::start_with(2, |server| {
        let server = server.env("MCP__STORE__TIMEOUT_MS", "1000").env("MCP__STREAMS__MAX_PER_USER", "10");
        server.env("MCP__MEMBRANE__PER_USER_CALLS_PER_S", "20")
    })
    .await;
    know_each_other(&fleet.servers);
    assert_calls_are_limited(&fleet.servers, "ann", 20.0).await;
    let before = fleet.servers[1].client("bob").subscribe(json!(1)).await;
    fleet.redis.kill();
    for server in &fleet.servers {
        assert_calls_are_limited(std::slice::from_ref(server), "cid", 20.0).await;
    }
    let mut streams = Vec::new();
    for number in 0..10 {
        streams.push(fleet.servers[0].client("bob").subscribe(json!(number)).await);
    }
    assert_eq!(listens(&fleet.servers[0], "bob").await, 429);

    fleet.redis.restart();
    eventually("what Redis had forgotten is counted again", async || {
        let noted = fleet.redis.lines("KEYS mcp:streams:*");
        noted.first().is_some_and(|key| fleet.redis.command(&format!("HLEN {key}")).unwrap() == ":2")
    })
    .await;
    drop(before);
    assert_eq!(listens(&fleet.servers[1], "bob").await, 429, "there are ten at the other server");
    assert_calls_are_limited(&fleet.servers, "dan", 20.0).await;
}

//! Many at once: clients that come back together, and calls that keep the upstream busy.

use std::net::{SocketAddr, TcpStream};

use serde_json::json;

use crate::support::{PATIENCE, Server, eventually};

/// More than a listener takes that was made without a thought of it.
const CLIENTS: usize = 200;

#[test]
fn clients_that_come_back_at_once_find_room_before_they_are_accepted() {
    let most = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    let clients = CLIENTS.min(most.trim().parse().unwrap());
    let server = Server::start();
    let address: SocketAddr = server.url.strip_prefix("http://").unwrap().parse().unwrap();
    // Nobody accepts anything now, as when all workers are busy: who finds no room would have to try again after a second.
    server.pause();
    let connect = |n| TcpStream::connect_timeout(&address, PATIENCE).unwrap_or_else(|error| panic!("{n}: {error}"));
    let connections: Vec<_> = (0..clients).map(connect).collect();
    assert_eq!(connections.len(), clients);
    server.go_on();
}

#[tokio::test]
async fn calls_that_take_their_time_leave_lists_a_connection() {
    let server = Server::builder()
        .env("MCP__TUNING__MAX_CALLS_PER_WORKER", "1")
        .env("MCP__SERVER__WORKERS", "1")
        .env("MCP__TUNING__STREAM_AFTER_MS", "60000")
        .start();
    let ann = server.client("ann").open().await;
    let ttl = ann.call("sandbox-faults_sleep", json!({"ms": 60_000}));
    let meanwhile = async {
        eventually("the call runs", async || server.requests("POST /action-instance/run").await == 1).await;
        server.client("bob").open().await.tools().await
    };
    tokio::select! {
        reply = ttl => panic!("the call was over first: {reply:?}"),
        tools = meanwhile => assert!(!tools.is_empty()),
    }
}

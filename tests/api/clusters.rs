//! Servers that share a Redis Cluster, also while one of its replicas takes over.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::{
    fleet_limits::{assert_calls_are_limited, assert_streams_are_limited, know_each_other},
    leaks,
    redis_cluster::Cluster,
    sockets::{Wire, post, resume, sleep},
    support::{Client, Reply, Server, eventually},
    tls_support::Authority,
};

/// Servers, the sandbox that they share, and their cluster.
struct Clustered {
    servers: Vec<Server>,
    front: Server,
    cluster: Arc<Cluster>,
}

impl Clustered {
    fn start(count: usize) -> Self {
        let (cluster, front) = (Arc::new(Cluster::start(1)), Server::start());
        let url = cluster.url("redis-cluster", "");
        // A failover of these clusters takes some two seconds, and longer on a busy machine.
        let server =
            || Server::before(&front.sandbox).env("MCP__STORE__URL", &url).env("MCP__STORE__TIMEOUT_MS", "20000");
        let servers = (0..count).map(|_| server().env("MCP__TUNING__STREAM_AFTER_MS", "1").start()).collect();
        Self { servers, front, cluster }
    }

    fn at<'a>(&'a self, number: usize, client: &Client<'_>) -> Client<'a> {
        Client { server: &self.servers[number % self.servers.len()], ..client.clone() }
    }
}

/// The result in a reply, which comes by a stream where it took long.
fn result(reply: &Reply) -> Value {
    let message = if reply.text.starts_with('{') { reply.json() } else { reply.events().pop().unwrap() };
    message["result"].clone()
}

async fn enable(client: &Client<'_>, tools: &[&str]) {
    let result = result(&client.call("enable-tools", json!({"tools": tools})).await);
    assert_eq!(result["content"], json!([{"type": "text", "text": "Tools enabled"}]), "{result}");
}

/// Changes what a session lists until who listens to it at another server is told.
async fn assert_told(fleet: &Clustered, client: &Client<'_>) {
    let mut listener = fleet.at(1, client).stream().await;
    let changes = async {
        for round in 0.. {
            enable(client, if round % 2 == 0 { &["gmail_send-email"] } else { &[] }).await;
        }
    };
    tokio::select! {
        () = changes => {}
        message = listener.next() => assert_eq!(message.unwrap()["method"], "notifications/tools/list_changed"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_share_a_cluster_are_one_server_while_its_replicas_take_over() {
    let fleet = Clustered::start(3);
    let dynamic = |user: &str| fleet.servers[0].client(user).query("mode=dynamic").header("x-chat-id", "monday");
    let ann = dynamic("ann").open().await;
    assert_told(&fleet, &ann).await;
    // A call that one server runs is answered by another, by the log that they share.
    let bob = fleet.servers[0].client("bob").open().await;
    let first = Wire::send(post(&bob, sleep(json!("call"), 500))).await.next().await.expect("the stream's first event");
    let rest = resume(&fleet.at(2, &bob), first.id()).await;
    assert!(rest.last().unwrap().json()["result"]["content"].is_array(), "{rest:?}");

    let users: Vec<_> = (0..8).map(|number| format!("user-{number}")).collect();
    let clients = join_all(users.iter().map(|user| async { dynamic(user).open().await })).await;
    let (is_over, rounds) = (AtomicBool::new(false), AtomicUsize::new(0));
    let traffic = clients.iter().map(|client| async {
        let mut round = 0;
        while !is_over.load(Ordering::Relaxed) {
            let tools: &[&str] = if round % 2 == 0 { &["gmail_send-email"] } else { &["slack_list-users"] };
            enable(&fleet.at(round, client), tools).await;
            let listed = result(&fleet.at(round + 1, client).ask("tools/list", json!({})).await);
            assert_eq!(listed["tools"][1]["name"], tools[0], "{listed}");
            round += 1;
            rounds.fetch_add(1, Ordering::Relaxed);
        }
    });
    let failures = async {
        let go_on = async || {
            let until = rounds.load(Ordering::Relaxed) + 2 * clients.len();
            eventually("calls go on", async || rounds.load(Ordering::Relaxed) >= until).await;
        };
        go_on().await;
        let [first, second, _] = fleet.cluster.apart(&["mcp:{news}", "mcp:format:{servers}", "a", "b", "c", "d"]);
        // Beside this task, whose clients go on meanwhile.
        let cluster = Arc::clone(&fleet.cluster);
        spawn_blocking(move || cluster.fail_over(first)).await.unwrap();
        go_on().await;
        let cluster = Arc::clone(&fleet.cluster);
        spawn_blocking(move || cluster.lose(second, "-KILL")).await.unwrap();
        go_on().await;
        is_over.store(true, Ordering::Relaxed);
    };
    tokio::join!(join_all(traffic), failures);
    for client in clients.iter().chain([&ann]) {
        for number in 0..3 {
            let there = fleet.at(number, client);
            assert_eq!(there.chats().await.json(), json!({"monday": client.session}), "server {number}");
        }
    }
    assert_told(&fleet, &ann).await;
    for server in &fleet.servers {
        assert!(!server.log().contains("panicked"), "{}", server.log());
        assert!(!server.log().contains("WARN redis"), "its client has nothing to say: {}", server.log());
    }
    for kept in fleet.cluster.ask_all(&["--scan"]) {
        leaks::assert_none(kept.as_bytes(), "names of keys");
    }
    assert!(fleet.front.requests("POST /action-instance/run").await > 0);
}

#[tokio::test]
async fn limits_of_a_user_hold_for_all_servers_at_a_cluster() {
    let (cluster, front) = (Cluster::start(0), Server::start());
    let url = cluster.url("redis-cluster", "");
    let server = || {
        let server = Server::before(&front.sandbox).env("MCP__STORE__URL", &url).env("MCP__STORE__TIMEOUT_MS", "20000");
        server.env("MCP__MEMBRANE__PER_USER_CALLS_PER_S", "20").env("MCP__STREAMS__MAX_PER_USER", "10").start()
    };
    let servers = [server(), server()];
    know_each_other(&servers);
    assert_calls_are_limited(&servers, "ann", 20.0).await;
    assert_streams_are_limited(&servers, "ann").await;
}

async fn is_ready(server: &Server) -> bool {
    server.http.get(format!("{}/readyz", server.url)).send().await.unwrap().status() == 200
}

#[tokio::test]
async fn a_cluster_by_tls_is_shown_a_certificate() {
    let authority = Authority::new();
    let ca = authority.file();
    let [certificate, key] = authority.issue("redis");
    let files = |ca: &'static str, certificate: &'static str, key: &'static str| [ca, certificate, key];
    let servers = files("--tls-ca-cert-file", "--tls-cert-file", "--tls-key-file");
    let cli = files("--cacert", "--cert", "--key");
    let with = |options: [&'static str; 3]| options.into_iter().zip([&*ca, &*certificate, &*key]);
    let servers = with(servers).flat_map(|(option, file)| [option, file]);
    let servers = ["--tls-cluster", "yes", "--tls-replication", "yes"].into_iter().chain(servers).collect::<Vec<_>>();
    let cli = ["--tls"].into_iter().chain(with(cli).flat_map(|(option, file)| [option, file])).collect::<Vec<_>>();
    let cluster = Cluster::start_with(0, &servers, &cli);
    let url = cluster.url("rediss-cluster", "");
    let builder = || Server::builder().env("MCP__STORE__URL", &url).env("MCP__STORE__CA_FILE", &ca);
    let [own, own_key] = authority.issue("server");
    let server = builder().env("MCP__STORE__CERT_FILE", &own).env("MCP__STORE__KEY_FILE", &own_key).start();
    eventually("it is ready", async || is_ready(&server).await).await;
    let ann = server.client("ann").header("x-chat-id", "monday").open().await;
    assert_eq!(ann.chats().await.json()["monday"], ann.session.clone().unwrap());
    let stranger = builder().start();
    stranger.wait_for_log("redis cluster at 127.0.0.1:");
    assert!(!is_ready(&stranger).await, "without a certificate");
}

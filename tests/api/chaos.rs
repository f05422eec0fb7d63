//! A fleet in its worst ten minutes: each server is replaced in turn, one is killed, and the cluster that they share fails over.

use std::{
    env,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::{
    redis_cluster::Cluster,
    support::{PATIENCE, Server, eventually, token},
};

/// Seconds that it lasts at least. Each server is replaced once in any case.
const SECONDS: &str = "CHAOS_SECONDS";

const USERS: usize = 12;

/// Keys of each of the three masters, and then some.
const KEYS: [&str; 6] = ["mcp:{news}", "mcp:format:{servers}", "a", "b", "c", "d"];

/// Places behind a load balancer, each with the server that is there now.
struct Fleet {
    places: Vec<RwLock<Arc<Server>>>,
    front: Server,
    cluster: Cluster,
}

impl Fleet {
    fn start() -> Self {
        let (cluster, front) = (Cluster::start(1), Server::start());
        let mut fleet = Self { places: Vec::new(), front, cluster };
        fleet.places = (0..3).map(|_| RwLock::new(Arc::new(fleet.server()))).collect();
        fleet
    }

    fn server(&self) -> Server {
        let url = self.cluster.url("redis-cluster", "");
        // A failover takes some two seconds, and longer on a busy machine.
        let server = Server::before(&self.front.sandbox).env("MCP__STORE__URL", &url);
        server.env("MCP__STORE__TIMEOUT_MS", "20000").start()
    }

    fn at(&self, number: usize) -> Arc<Server> {
        let place = &self.places[number % self.places.len()];
        Arc::clone(&place.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts a new server in a place, and gives the one that was there.
    fn replace(&self, number: usize) -> Arc<Server> {
        let mut new = Arc::new(self.server());
        std::mem::swap(&mut *self.places[number % self.places.len()].write().unwrap(), &mut new);
        new
    }
}

/// A user's client, which sends each request to any of the servers, and again where HTTP lets it.
struct User<'a> {
    fleet: &'a Fleet,
    token: String,
    chat: String,
    session: Option<String>,
    sent: AtomicUsize,
    repeated: &'a AtomicUsize,
}

impl User<'_> {
    async fn try_ask(&self, server: &Server, method: &str, params: &Value) -> Option<(Value, Option<String>)> {
        let url = format!("{}/mcp?mode=dynamic", server.url);
        let mut request = server.http.post(url).bearer_auth(&self.token).header("x-chat-id", &self.chat);
        if let Some(session) = &self.session {
            request = request.header("mcp-session-id", session).header("mcp-protocol-version", "2025-11-25");
        }
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let response = request.header("accept", "application/json, text/event-stream").json(&body).send().await.ok()?;
        let status = response.status().as_u16();
        let session = response.headers().get("mcp-session-id").map(|id| id.to_str().unwrap().to_owned());
        let text = response.text().await.ok()?;
        if status == 503 {
            return None;
        }
        assert_eq!(status, 200, "{method}: {text}");
        let message = text.lines().filter_map(|line| line.strip_prefix("data: ")).next_back().unwrap_or(&text);
        let message: Value = serde_json::from_str(message).ok()?;
        assert!(message["result"].is_object(), "{method}: {message}");
        Some((message["result"].clone(), session))
    }

    /// Sends a request until it is answered: to another server where one is gone, breaks off, or can't serve just now. All that is
    /// sent here may be repeated.
    async fn ask(&self, method: &str, params: Value) -> (Value, Option<String>) {
        let deadline = Instant::now() + 2 * PATIENCE;
        loop {
            let server = self.fleet.at(self.sent.fetch_add(1, Ordering::Relaxed));
            if let Some(answer) = self.try_ask(&server, method, &params).await {
                return answer;
            }
            assert!(Instant::now() < deadline, "{method} of {} is not answered", self.chat);
            self.repeated.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn open(&mut self) {
        let params =
            json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}});
        self.session = self.ask("initialize", params).await.1;
    }

    /// Enables a tool, sees that exactly that is listed, and that a call gets its own answer.
    async fn work(&self, round: usize) {
        let tool = if round.is_multiple_of(2) { "sandbox-faults_echo" } else { "slack_list-users" };
        self.ask("tools/call", json!({"name": "enable-tools", "arguments": {"tools": [tool]}})).await;
        let (listed, _) = self.ask("tools/list", json!({})).await;
        assert_eq!(listed["tools"][1]["name"], tool, "{}: {listed}", self.chat);
        if round.is_multiple_of(2) {
            let own = format!("{} in round {round}", self.chat);
            let (answer, _) = self.ask("tools/call", json!({"name": tool, "arguments": {"own": own}})).await;
            assert_eq!(answer["content"][0]["text"], json!({"own": own}).to_string(), "{answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_servers_are_replaced_and_their_cluster_fails_over() {
    let lasts = env::var(SECONDS).map_or(0, |seconds| seconds.parse().expect("a number of seconds"));
    let until = Instant::now() + Duration::from_secs(lasts);
    let (fleet, is_over, rounds, repeated) =
        (Arc::new(Fleet::start()), AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let users = (0..USERS).map(async |number| {
        let (token, chat) = (token(&format!("user-{number}")), format!("chat of {number}"));
        let sent = AtomicUsize::new(number);
        let mut user = User { fleet: &fleet, token, chat, session: None, sent, repeated: &repeated };
        user.open().await;
        user
    });
    let users = join_all(users).await;
    let traffic = users.iter().map(async |user| {
        for round in 0.. {
            user.work(round).await;
            rounds.fetch_add(1, Ordering::Relaxed);
            if is_over.load(Ordering::Relaxed) {
                break;
            }
        }
    });
    let mut replaced = 0;
    let chaos = async {
        let go_on = async || {
            let next = rounds.load(Ordering::Relaxed) + USERS;
            eventually("work goes on", async || rounds.load(Ordering::Relaxed) >= next).await;
        };
        go_on().await;
        let keys = fleet.cluster.apart(&KEYS);
        while replaced < fleet.places.len() || Instant::now() < until {
            // One in three is killed before there is another; the others stop once their place is taken, as in a roll-out.
            let (there, number) = (Arc::clone(&fleet), replaced);
            let old = spawn_blocking(move || {
                if number.is_multiple_of(3) {
                    there.at(number).kill();
                }
                there.replace(number)
            });
            let old = old.await.unwrap();
            old.terminate();
            go_on().await;
            let there = Arc::clone(&fleet);
            spawn_blocking(move || there.cluster.fail_over(keys[number % keys.len()])).await.unwrap();
            go_on().await;
            assert!(!old.log().contains("panicked"), "{}", old.log());
            replaced += 1;
        }
        is_over.store(true, Ordering::Relaxed);
    };
    let ((), _) = tokio::join!(chaos, join_all(traffic));
    for user in &users {
        let there = fleet.at(0);
        let chats =
            there.http.get(format!("{}/mcp/sessions", there.url)).bearer_auth(&user.token).send().await.unwrap();
        let chats: Value = chats.json().await.unwrap();
        assert_eq!(chats, json!({ &user.chat: user.session }), "the session of its beginning");
    }
    println!(
        "{} rounds of work, {replaced} servers replaced, {replaced} failovers, {} requests sent again",
        rounds.load(Ordering::Relaxed),
        repeated.load(Ordering::Relaxed)
    );
    assert!(repeated.load(Ordering::Relaxed) > 0, "servers were killed, and somebody noticed");
}

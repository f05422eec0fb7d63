//! What users and strangers leave for each other: turns at the upstream, room in memory, and budgets of guesses.

use futures_util::future::{join, join_all};
use serde_json::{Value, json};

use crate::{
    limits::cancel,
    loading::spoil,
    sockets::sleep,
    support::{Client, SECRET, Server, ServerBuilder, assert_error, claims, eventually, sign, token},
};

/// Longer than any test waits.
const VERY_LONG_MS: u64 = 60_000;

/// Refused tokens that replenish while a test runs on a busy machine.
const REPLENISHED: u64 = 3;

/// A token that names a user, which the upstream will refuse.
fn forged(user: &str) -> String {
    sign(&claims(user), "another key")
}

/// A good token of `user` that is not the one of other tests.
fn another_token(user: &str) -> String {
    let mut claims = claims(user);
    claims["name"] = json!("another token");
    sign(&claims, SECRET)
}

/// A server that lets the upstream refuse so many tokens of an address, and believes what a proxy says of addresses.
fn guessed_at(failures: u32) -> ServerBuilder {
    Server::builder()
        .env("MCP__TUNING__MAX_TOKEN_FAILURES_PER_MIN", &failures.to_string())
        .env("MCP__SERVER__PROXIES", "1")
        .env("MCP__TUNING__STREAM_AFTER_MS", "60000")
}

fn from<'a>(server: &'a Server, token: &str, address: &str) -> Client<'a> {
    server.client_with(token).header("x-forwarded-for", address)
}

async fn status(client: Client<'_>) -> u16 {
    client.initialize("2025-11-25").await.status.as_u16()
}

/// Questions that the upstream was asked about tokens.
async fn asked(server: &Server) -> u64 {
    server.requests("GET /connections").await + server.requests("GET /self").await
}

/// Uses up what an address may guess.
async fn exhaust(server: &Server, address: &str) {
    let guess = async |n: u32| status(from(server, &forged(&format!("nobody {n}")), address)).await;
    let mut n = 0;
    eventually("the address is locked out", async || {
        n += 1;
        guess(n).await == 429
    })
    .await;
}

#[tokio::test]
async fn guesses_that_come_at_once_cost_no_more_than_one_by_one() {
    let server = guessed_at(5).start();
    // So that all have come before the first is answered.
    spoil(&server, json!([{"path": "/connections", "delayMs": 300}])).await;
    let guesses = (0..100).map(|n| {
        let client = from(&server, &forged(&format!("user {n}")), "192.0.2.1");
        status(client.query("apps=gmail,slack,hubspot,notion"))
    });
    let answers = join_all(guesses).await;
    let refused = answers.iter().filter(|status| **status == 401).count() as u64;
    assert!((5..=5 + REPLENISHED).contains(&refused), "{answers:?}");
    assert_eq!(answers.iter().filter(|status| **status == 429).count() as u64, 100 - refused, "{answers:?}");
    assert_eq!(asked(&server).await, refused, "a guess is one request, however many apps it names");
}

#[tokio::test]
async fn a_guess_whose_client_leaves_is_charged_all_the_same() {
    let server = guessed_at(2).start();
    spoil(&server, json!([{"path": "/connections", "delayMs": 300}])).await;
    for n in 0..10 {
        let client = from(&server, &forged(&format!("user {n}")), "192.0.2.1");
        let before = asked(&server).await;
        tokio::select! {
            _ = client.initialize("2025-11-25") => {}
            () = eventually("it is asked about", async || asked(&server).await > before) => {}
        }
    }
    let guesses = asked(&server).await;
    assert!((2..=2 + REPLENISHED).contains(&guesses), "{guesses} of 10 were asked about");
}

#[tokio::test]
async fn a_crowd_of_good_tokens_from_one_address_is_let_in() {
    let server = guessed_at(2).start();
    spoil(&server, json!([{"path": "/connections", "delayMs": 20}])).await;
    let crowd = (0..40).map(|n| status(from(&server, &token(&format!("user {n}")), "192.0.2.1")));
    let answers = join_all(crowd).await;
    assert!(answers.iter().all(|status| *status == 200), "{answers:?}");
}

#[tokio::test]
async fn guesses_from_everywhere_are_limited_together_and_keep_no_known_user_out() {
    let server = guessed_at(1).start();
    let ann = from(&server, &token("ann"), "198.51.100.1").open().await;
    let known = asked(&server).await;
    let guesses = (0..200).map(|n| status(from(&server, &forged(&format!("user {n}")), &format!("192.0.2.{n}"))));
    let answers = join_all(guesses).await;
    let refused = answers.iter().filter(|status| **status == 401).count() as u64;
    // A minute's fifty come back in a minute.
    assert!((50..=80).contains(&refused), "{refused} of 200 were asked about: {answers:?}");
    assert_eq!(asked(&server).await - known, refused);
    assert!(!ann.tools().await.is_empty());
    assert_eq!(status(from(&server, &another_token("ann"), "198.51.100.2")).await, 200, "a known user's new token");
}

#[tokio::test]
async fn who_was_let_in_before_is_asked_about_whatever_others_guess() {
    let server = guessed_at(3).env("MCP__AUTH__TRUST_S", "1").start();
    let ann = from(&server, &token("ann"), "192.0.2.1").open().await;
    exhaust(&server, "192.0.2.1").await;
    let before = server.requests("GET /self").await;
    eventually("the trust has ended, and is there again", async || {
        assert!(!ann.tools().await.is_empty(), "the session goes on");
        server.requests("GET /self").await > before
    })
    .await;

    exhaust(&server, "192.0.2.1").await;
    let bob = from(&server, &token("bob"), "192.0.2.1").initialize("2025-11-25").await;
    assert_eq!(bob.status, 429, "nobody knows bob");
    assert_eq!(status(from(&server, &another_token("ann"), "192.0.2.1")).await, 200, "but ann, whose token is new");
    // Whoever claims to be ann may not go on guessing by that.
    let guesses = join_all((0..20).map(|n| {
        let mut claims = claims("ann");
        claims["name"] = json!(n);
        status(from(&server, &sign(&claims, "another key"), "192.0.2.1"))
    }));
    let guesses = guesses.await;
    let refused = guesses.iter().filter(|status| **status == 401).count() as u64;
    assert!((5..=5 + REPLENISHED).contains(&refused), "{guesses:?}");
    assert!(!ann.tools().await.is_empty());
}

#[tokio::test]
async fn a_users_loads_share_the_users_turns() {
    let server = Server::builder()
        .env("MCP__TUNING__MAX_READS_PER_USER", "2")
        .env("MCP__TUNING__SANDBOX_LATENCY_MS", "20")
        .env("MCP__TUNING__STREAM_AFTER_MS", "60000")
        .start();
    let open = async |apps: &str| server.client("ann").query(&format!("apps={apps}")).open().await.tools().await.len();
    let apps = ["gmail", "slack", "hubspot", "gmail,slack", "slack,hubspot", "gmail,hubspot", "notion", "gmail,notion"];
    let counts = join_all(apps.iter().map(|apps| open(apps))).await;
    assert!(counts[..6].iter().all(|tools| *tools > 0), "{counts:?}");
    assert_eq!(server.stats().await["maxInFlight"], 2);
}

#[tokio::test]
async fn a_user_who_asks_for_much_does_not_keep_another_waiting() {
    let server = Server::builder()
        .env("MCP__TUNING__MAX_READS", "2")
        .env("MCP__TUNING__MAX_READS_PER_USER", "2")
        .env("MCP__TUNING__STREAM_AFTER_MS", "60000")
        .start();
    let ann = server.client("ann").open().await;
    spoil(&server, json!([{"path": "/actions", "delayMs": 50}])).await;
    let keys: Vec<String> = (0..40).map(|n| format!("gmail,no-such-app-{n}")).collect();
    let anns = async {
        let list = async |apps| server.client("ann").query(&format!("apps={apps}")).open().await.tools().await;
        join_all(keys.iter().map(list)).await.len()
    };
    let bobs = async {
        eventually("ann's loads are on their way", async || server.requests("GET /actions").await > 15).await;
        let before = server.requests("GET /actions").await;
        assert!(!server.client("bob").query("apps=slack").open().await.tools().await.is_empty());
        server.requests("GET /actions").await - before
    };
    let meanwhile = tokio::select! {
        all = anns => panic!("all {all} of ann's loads came first"),
        meanwhile = bobs => meanwhile,
    };
    assert!(meanwhile < 20, "{meanwhile} of ann's requests went before bob's");
    drop(ann);
}

#[tokio::test]
async fn a_user_whose_calls_take_their_time_leaves_others_a_connection() {
    let server = Server::builder()
        .env("MCP__TUNING__MAX_CALLS_PER_WORKER", "4")
        .env("MCP__SERVER__WORKERS", "1")
        .env("MCP__TUNING__STREAM_AFTER_MS", "60000")
        .start();
    let (ann, bob) = (server.client("ann").open().await, server.client("bob").open().await);
    bob.tools().await;
    // The call that will be cancelled has to be one that runs, so it comes before those that may have to wait.
    let calls = join(ann.post(sleep(json!(0), VERY_LONG_MS)), async {
        eventually("the first runs", async || server.stats().await["running"] == 1).await;
        join_all((1..10).map(|id| ann.post(sleep(json!(id), VERY_LONG_MS)))).await
    });
    let others = async {
        eventually("some run", async || server.stats().await["running"] == 2).await;
        assert_eq!(bob.output("sandbox-faults_echo", json!({"a": 1})).await, json!({"a": 1}));
        assert_eq!(server.requests("POST /action-instance/run").await, 3, "ann's others wait");
        cancel(&ann, &json!(0)).await;
        eventually("the next runs", async || server.requests("POST /action-instance/run").await == 4).await;
    };
    tokio::select! {
        replies = calls => panic!("they were over first: {replies:?}"),
        () = others => {}
    }
}

#[tokio::test]
async fn idle_sessions_leave_memory_for_others_and_come_back_whatever_is_full() {
    let server = Server::builder().env("MCP__SESSIONS__MAX", "2").start();
    let ann = server.client("ann").query("mode=dynamic").open().await;
    ann.call("enable-tools", json!({"tools": ["gmail_send-email"]})).await.result();
    let bob = server.client("bob").open().await;
    let eve = server.client("eve").open().await;
    server.wait_for_log("session passivated");
    // Nobody is idle now.
    let (bobs, _eves) = (bob.stream().await, eve.stream().await);
    let refused = server.client("joe").initialize("2025-11-25").await;
    assert_error(&refused, 503, -32603, "a new session");
    assert_eq!(
        ann.tool_names().await,
        ["enable-tools", "gmail_send-email"],
        "one that is kept comes back all the same"
    );
    server.wait_for_log("session revived");
    assert_eq!(bob.ask("ping", json!({})).await.result(), json!({}));
    let chat = async |user: &str| {
        let client = server.client(user).header("x-chat-id", "one");
        client.modern("tools/list", json!({})).send().await.status.as_u16()
    };
    drop(bobs);
    eventually("a chat finds room when bob is idle", async || chat("joe").await == 200).await;
}

#[tokio::test]
async fn a_user_keeps_so_many_sessions_and_the_one_not_used_for_longest_ends() {
    let server =
        Server::builder().env("MCP__SESSIONS__MAX_PER_USER", "2").env("MCP__TUNING__SESSION_IDLE_S", "1").start();
    let (first, second) = (server.client("ann").open().await, server.client("ann").open().await);
    let mut third = None;
    eventually("an idle session has left memory", async || {
        let reply = server.client("ann").initialize("2025-11-25").await;
        third = reply.header("mcp-session-id").map(str::to_owned);
        third.is_some()
    })
    .await;
    assert_error(&first.ask("ping", json!({})).await, 404, -32000, "the first");
    let third = server.client("ann").in_session(&third.unwrap());
    for session in [second, third] {
        eventually("it is there, or comes back", async || session.ask("ping", json!({})).await.status == 200).await;
    }
}

#[tokio::test]
async fn a_user_has_so_many_chats_and_the_oldest_goes() {
    let server = Server::builder().env("MCP__TUNING__MAX_CHATS_PER_USER", "3").start();
    let session = server.client("ann").open().await;
    for chat in ["e", "d", "c", "b", "a"] {
        session.clone().header("x-chat-id", chat).ask("ping", json!({})).await.result();
    }
    let chats: Value = session.chats().await.json();
    let session = json!(session.session.unwrap());
    assert_eq!(chats, json!({"a": session, "b": session, "c": session}));
}

#[tokio::test]
async fn little_is_kept_of_how_a_client_calls_itself() {
    let server = Server::start();
    let long = "x".repeat(1 << 20);
    for name in ["name", "version", "title", "anything"] {
        let mut client = json!({"name": "n", "version": "1"});
        client[name] = json!(long);
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client});
        assert_eq!(server.client("ann").ask("initialize", params).await.status, 200);
    }
    let kept: usize = server.kept().iter().map(Vec::len).sum();
    assert!(kept < 1 << 20, "{kept} bytes are kept");
}

#[tokio::test]
async fn other_workspaces_are_refused_where_some_are_named() {
    let workspaces = |names: &str| Server::builder().env("MCP__AUTH__WORKSPACES", names).start();
    let server = workspaces("acme, other");
    let opaque = format!("pat-{}", token("ann"));
    for (case, token, questions) in [("a JWT", token("ann"), 0), ("an opaque token", opaque.clone(), 1)] {
        let before = asked(&server).await;
        let reply = server.client_with(&token).initialize("2025-11-25").await;
        assert_error(&reply, 403, -32000, case);
        assert!(reply.text.contains("does not serve your workspace") && !reply.text.contains("auth."), "{reply:?}");
        let reply = server.client_with(&token).chats().await;
        assert_eq!(reply.status, 403, "{case}");
        assert_eq!(asked(&server).await - before, questions * 2, "{case}: the upstream is asked where it must be");
    }
    server.wait_for_log("auth.workspaces does not hold its workspace");

    let server = workspaces("acme,sandbox");
    for token in [token("ann"), opaque] {
        server.client_with(&token).open().await;
    }
    let server = Server::builder()
        .env("MCP__AUTH__WORKSPACES", "sandbox")
        .env("MCP__AUTH__WORKSPACE_KEY", "sandbox")
        .env("MCP__AUTH__WORKSPACE_SECRET", SECRET)
        .start();
    server.client("ann").open().await;
    let elsewhere = sign(&json!({"id": "ann", "iss": "acme"}), SECRET);
    assert_eq!(status(server.client_with(&elsewhere)).await, 403);
}

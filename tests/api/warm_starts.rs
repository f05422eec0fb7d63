//! Tools that outlive the process: a server that has just started lists at once what was last good.

use std::sync::{
    Arc, Condvar, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    catalog::all_names,
    files::Folder,
    loading::{metric, spoil},
    redis::Redis,
    support::{PATIENCE, SECRET, Server, ServerBuilder, claims, eventually, sign},
    upstream::Upstream,
};

/// An upstream that outlives servers, with an app of as many actions as it is told.
struct Lasting {
    upstream: Upstream,
    actions: Arc<AtomicUsize>,
    is_down: Arc<AtomicBool>,
    /// Whether every other request is told one action more.
    differs: Arc<AtomicBool>,
    /// Whether requests for actions wait.
    is_held: Arc<(Mutex<bool>, Condvar)>,
}

impl Lasting {
    fn start() -> Self {
        let (actions, is_down) = (Arc::new(AtomicUsize::new(1)), Arc::<AtomicBool>::default());
        let is_held = Arc::<(Mutex<bool>, Condvar)>::default();
        let (count, down, held) = (Arc::clone(&actions), Arc::clone(&is_down), Arc::clone(&is_held));
        let (differs, asked) = (Arc::<AtomicBool>::default(), AtomicUsize::new(0));
        let is_odd = Arc::clone(&differs);
        let upstream = Upstream::answering(move |request| {
            if down.load(Ordering::SeqCst) {
                return Some("<html>Down for maintenance</html>".to_owned());
            }
            (request.path() == "/actions").then(|| {
                let (is_held, let_go) = &*held;
                drop(let_go.wait_while(is_held.lock().unwrap(), |is_held| *is_held).unwrap());
                let action = |i| json!({"key": format!("a-{i}"), "name": "A", "integrationId": "i"});
                let odd = usize::from(is_odd.load(Ordering::SeqCst)) * (asked.fetch_add(1, Ordering::SeqCst) % 2);
                json!({"items": (0..count.load(Ordering::SeqCst) + odd).map(action).collect::<Vec<_>>()}).to_string()
            })
        });
        Self { upstream, actions, is_down, differs, is_held }
    }

    fn hold(&self, is_held: bool) {
        *self.is_held.0.lock().unwrap() = is_held;
        self.is_held.1.notify_all();
    }

    /// A server that keeps what it has in this folder, and knows the workspace's secret.
    fn server(&self, folder: &Folder) -> ServerBuilder {
        Server::before(&self.upstream.url)
            .env("MCP__STORE__PATH", folder.as_str())
            .env("MCP__AUTH__WORKSPACE_KEY", "sandbox")
            .env("MCP__AUTH__WORKSPACE_SECRET", SECRET)
            .env("MCP__CATALOG__FRESH_S", "3600")
    }
}

fn kept_lookups(server: &Server) -> u64 {
    metric(server, "mcp_catalog_lookups_total", r#"result="kept""#)
}

/// Waits until a server has kept so many apps and catalogs.
async fn has_kept(server: &Server, count: u64) {
    let puts = || metric(server, "mcp_store_operations_total", r#"operation="put_bytes",outcome="ok""#);
    eventually("it is kept", async || puts() >= count).await;
}

/// Has a server that is about to end keep the tools of some users.
async fn leave_behind(builder: ServerBuilder, users: &[&str]) {
    let server = builder.start();
    for user in users {
        assert_eq!(server.client(user).open().await.tool_names().await, ["app_a-0"]);
    }
    // The app once for all of them, and each one's catalog.
    has_kept(&server, 1 + users.len() as u64).await;
    server.kill();
}

#[tokio::test]
async fn a_server_that_has_just_started_lists_what_was_last_good_while_it_asks_again() {
    let (upstream, folder) = (Lasting::start(), Folder::new());
    leave_behind(upstream.server(&folder), &["ann", "bob"]).await;
    upstream.actions.store(2, Ordering::SeqCst);
    upstream.hold(true);
    let server = upstream.server(&folder).start();
    let ann = server.client("ann").open().await;
    let names = tokio::time::timeout(PATIENCE, ann.tool_names()).await.expect("nobody waits for the upstream");
    assert_eq!(names, ["app_a-0"]);
    assert_eq!(kept_lookups(&server), 1);
    let mut stream = ann.stream().await;
    upstream.hold(false);
    assert_eq!(stream.next().await.unwrap()["method"], "notifications/tools/list_changed");
    assert_eq!(ann.tool_names().await, ["app_a-0", "app_a-1"]);
    assert_eq!(server.client("eve").open().await.tool_names().await, ["app_a-0", "app_a-1"], "nothing was kept of eve");
    assert_eq!(kept_lookups(&server), 1);
}

#[tokio::test]
async fn lists_come_although_the_upstream_is_down_when_a_server_starts() {
    let (upstream, folder) = (Lasting::start(), Folder::new());
    leave_behind(upstream.server(&folder), &["ann"]).await;
    upstream.is_down.store(true, Ordering::SeqCst);
    let server = upstream.server(&folder).env("MCP__TUNING__CATALOG_NEGATIVE_S", "0").start();
    let ann = server.client("ann").open().await;
    for _ in 0..3 {
        assert_eq!(ann.tool_names().await, ["app_a-0"]);
    }
    let eve = server.client("eve").open().await;
    assert_eq!(eve.ask("tools/list", json!({})).await.status, 503, "nothing was kept of eve");
    upstream.is_down.store(false, Ordering::SeqCst);
    upstream.actions.store(2, Ordering::SeqCst);
    eventually("it is back", async || ann.tool_names().await.len() == 2).await;
}

#[tokio::test]
async fn what_was_kept_is_for_tokens_that_were_accepted_since() {
    let folder = Folder::new();
    let first = Server::builder().env("MCP__STORE__PATH", folder.as_str()).start();
    assert_eq!(first.client("ann").open().await.tool_names().await, all_names());
    has_kept(&first, 2).await;
    let port = first.sandbox.rsplit_once(':').unwrap().1.to_owned();
    first.kill();

    // At the same address, as Membrane would be.
    let builder = Server::builder().env("MCP__STORE__PATH", folder.as_str()).env("MCP__SANDBOX__PORT", &port);
    let server = builder.env("MCP__TUNING__CATALOG_NEGATIVE_S", "0").start();
    let forged = sign(&claims("ann"), "the key of somebody else, which is long enough");
    assert_eq!(server.client_with(&forged).initialize("2025-11-25").await.status, 401);
    spoil(&server, json!([{"path": "/connections", "status": 500}, {"path": "/self", "status": 500}])).await;
    let reply = server.client("ann").initialize("2025-11-25").await;
    assert_eq!(reply.status, 503, "nobody knows whether the token is still good");
    assert_eq!(kept_lookups(&server), 0);

    spoil(&server, json!([{"path": "/actions", "status": 500}])).await;
    let ann = server.client("ann").open().await;
    assert_eq!(ann.tool_names().await, all_names(), "the connections were proof enough");
    assert_eq!(ann.tool_names().await, all_names(), "and what can't be read stays as it was");
    spoil(&server, json!([])).await;
    server.sandbox(Method::DELETE, "/connections/gmail", "bob", Value::Null).await;
    let bobs = server.client("bob").open().await.tool_names().await;
    assert!(bobs.iter().all(|name| !name.starts_with("gmail_")), "what ann has is not bob's");
}

#[tokio::test]
async fn nothing_is_kept_where_nothing_is_to_be_kept() {
    let (upstream, folder) = (Lasting::start(), Folder::new());
    let builder = || upstream.server(&folder).env("MCP__TUNING__CATALOG_KEEP_S", "0");
    let first = builder().start();
    assert_eq!(first.client("ann").open().await.tool_names().await, ["app_a-0"]);
    first.kill();
    upstream.actions.store(2, Ordering::SeqCst);
    let server = builder().start();
    assert_eq!(server.client("ann").open().await.tool_names().await, ["app_a-0", "app_a-1"]);
    assert_eq!(kept_lookups(&server), 0);
}

#[tokio::test]
async fn a_replica_lists_what_another_one_has_kept() {
    let (upstream, redis, folder) = (Lasting::start(), Redis::start(), Folder::new());
    let builder = || upstream.server(&folder).env("MCP__STORE__URL", &redis.url());
    let first = builder().start();
    assert_eq!(first.client("ann").open().await.tool_names().await, ["app_a-0"]);
    has_kept(&first, 2).await;
    upstream.hold(true);
    let second = builder().start();
    let names = tokio::time::timeout(PATIENCE, async { second.client("ann").open().await.tool_names().await });
    assert_eq!(names.await.expect("nobody waits for the upstream"), ["app_a-0"]);
    upstream.hold(false);
    assert_eq!(kept_lookups(&second), 1);
}

#[tokio::test]
async fn what_was_lent_is_not_kept_past_the_end_of_sharing() {
    let (upstream, folder) = (Lasting::start(), Folder::new());
    // Ann and bob read the list, and joe is lent it.
    leave_behind(upstream.server(&folder), &["ann", "bob", "joe"]).await;
    let second = upstream.server(&folder).env("MCP__CATALOG__FRESH_S", "0").start();
    upstream.differs.store(true, Ordering::SeqCst);
    let users = [second.client("eve").open().await, second.client("kim").open().await];
    let has_ended = async || {
        for user in &users {
            user.tools().await;
        }
        metric(&second, "mcp_catalog_sharing", "") == 0
    };
    eventually("the users are told different actions", has_ended).await;
    // Both users' catalogs, both lists, and that sharing has ended.
    has_kept(&second, 5).await;
    second.stop();

    upstream.is_down.store(true, Ordering::SeqCst);
    let third = upstream.server(&folder).start();
    let (ann, joe) = (third.client("ann").open().await, third.client("joe").open().await);
    assert_eq!(ann.tool_names().await, ["app_a-0"], "ann had read it herself");
    assert_eq!(joe.ask("tools/list", json!({})).await.status, 503, "others had read it for joe");
}

//! Waiting for an account that is connected: by whatever way that comes, and only once it can be used.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    connecting::{again, asking, page_of},
    connecting_support::{Person, answered, first_text, linked},
    support::{Client, Server, ServerBuilder},
    upstream::Upstream,
};

/// A server that tells of the progress of a call at once.
fn telling(builder: ServerBuilder) -> Server {
    builder.env("MCP__TUNING__STREAM_AFTER_MS", "0").env("MCP__TUNING__PROGRESS_MS", "20").start()
}

/// Connects an app for a user apart from any link.
async fn connect(server: &Server, ann: &Person<'_>, app: &str) {
    let url = format!("{}/connections", server.sandbox);
    let request = server.http.post(url).bearer_auth(&ann.token).json(&json!({"integrationKey": app}));
    assert_eq!(request.send().await.unwrap().status(), 201);
}

/// Sends a call of connect-app that waits, does `meanwhile` once it does, and gives the result.
async fn while_waiting(client: &Client<'_>, app: &str, meanwhile: impl AsyncFnOnce()) -> Value {
    let arguments = json!({"app": app, "wait_s": 50});
    let params = json!({"name": "connect-app", "arguments": arguments, "_meta": {"progressToken": "p"}});
    let mut events = client.modern("tools/call", params).open().await;
    let first = events.next().await.unwrap();
    assert_eq!(first["method"], "notifications/progress", "it does not wait: {first}");
    meanwhile().await;
    loop {
        let message = events.next().await.unwrap();
        if message.get("result").is_some() {
            return message["result"].clone();
        }
    }
}

#[tokio::test]
async fn a_call_goes_on_with_an_account_that_was_connected_by_another_way() {
    let server = Server::start();
    for (user, before) in [("ann", "nothing"), ("bob", "opened"), ("eve", "denied")] {
        let person = Person::of(&server, user, &["gmail"]);
        let client = person.client().query("mode=search");
        let call = asking(&client, "connect-app", json!({"app": "notion"}));
        let asked = call.answer().await;
        match before {
            "opened" => drop(person.go_on(&page_of(&asked)).await),
            "denied" => person.deny(&page_of(&asked)).await,
            _ => {}
        }
        connect(&server, &person, "notion").await;
        let result = again(&call, &asked, "accept").answer().await;
        assert_eq!(result["resultType"], "complete", "{before}: {result}");
        assert!(first_text(&result).starts_with("Notion is connected."), "{before}: {result}");
    }
    // Without a word on what the user has decided, it is not asked for again either.
    let kim = Person::of(&server, "kim", &["gmail"]);
    let client = kim.client().query("mode=search");
    let call = asking(&client, "connect-app", json!({"app": "notion"}));
    let mut without = again(&call, &call.answer().await, "accept");
    without.body["params"].as_object_mut().unwrap().remove("inputResponses");
    connect(&server, &kim, "notion").await;
    let result = without.answer().await;
    assert!(first_text(&result).starts_with("Notion is connected."), "{result}");
}

#[tokio::test]
async fn a_call_that_waits_notices_an_account_that_is_connected_by_another_way() {
    let server = telling(Server::builder());
    let ann = Person::of(&server, "ann", &["gmail"]);
    let client = ann.client().query("mode=search");
    let told = answered(&client.modern_call("connect-app", json!({"app": "notion"})).send().await);
    linked(first_text(&told), "connect-app");
    let result = while_waiting(&client, "notion", async || connect(&server, &ann, "notion").await).await;
    assert!(first_text(&result).starts_with("Notion is connected."), "{result}");
}

#[tokio::test]
async fn calls_that_ask_at_once_share_one_link() {
    let server = Server::start();
    // Each is one of another user: calls that are too late to share may use up half of what a user has.
    for (user, app) in [("ann", "notion"), ("bob", "slack")] {
        let ann = Person::of(&server, user, &["gmail", "slack"]);
        if app == "slack" {
            ann.lose(app).await;
        }
        let client = ann.client().query("mode=search");
        let call = asking(&client, "connect-app", json!({"app": app}));
        let at_once = async || {
            let asked = join_all((0..6).map(|_| call.answer())).await;
            let mut pages: Vec<_> = asked.iter().map(page_of).collect();
            pages.dedup();
            assert_eq!(pages.len(), 1, "{pages:?}");
            (asked, pages.remove(0))
        };
        let (asked, page) = at_once().await;
        // A "No" is over for the ones that have asked; the next ones get another link, one again.
        assert_eq!(ann.answer(&page, "no").await.0, 200);
        let declined = again(&call, &asked[0], "accept").answer().await;
        assert!(first_text(&declined).starts_with("The user does not want to connect"), "{declined}");
        let (asked, other) = at_once().await;
        assert_ne!(page, other);
        ann.allow(&other).await;
        let results = asked.iter().map(|asked| again(&call, asked, "accept"));
        for result in join_all(results.map(async |call| call.answer().await)).await {
            assert!(first_text(&result).contains("is connected."), "{result}");
        }
    }
}

#[tokio::test]
async fn an_account_that_is_lost_is_waited_for_and_a_no_is_heard() {
    let server = telling(Server::builder());
    let ann = Person::of(&server, "ann", &["gmail", "slack"]);
    let client = ann.client().query("mode=search");
    let tell = async || answered(&client.modern_call("connect-app", json!({"app": "slack"})).send().await);
    ann.lose("slack").await;
    let page = linked(first_text(&tell().await), "connect-app");
    assert_eq!(linked(first_text(&tell().await), "connect-app"), page, "it was not used");
    assert_eq!(ann.answer(&page, "no").await.0, 200);
    let told = tell().await;
    assert!(first_text(&told).starts_with("The user does not want to connect Slack."), "{told}");
    let other = linked(first_text(&tell().await), "connect-app");
    assert_ne!(other, page);

    let result = while_waiting(&client, "slack", async || ann.allow(&other).await).await;
    assert!(first_text(&result).starts_with("Slack is connected."), "{result}");
    // Lost once more, the link of before is over.
    ann.lose("slack").await;
    assert_ne!(linked(first_text(&tell().await), "connect-app"), other);
}

/// An upstream whose one connection is in a state, and which takes requests for connections.
fn upstream_of(state: impl Fn() -> &'static str + Send + Sync + 'static) -> Upstream {
    Upstream::answering(move |request| match (request.method().as_str(), request.path()) {
        ("GET", "/connections") => {
            let integration = json!({"id": "i", "key": "app", "name": "App"});
            Some(json!({"items": [{"id": "c", "state": state(), "integration": integration}]}).to_string())
        }
        ("POST", "/connection-requests") => Some(json!({"requestId": "r", "url": "https://m.example/r"}).to_string()),
        ("GET", "/connection-requests/r") => Some(json!({"requestId": "r", "status": "pending"}).to_string()),
        _ => None,
    })
}

#[tokio::test]
async fn an_account_is_connected_only_where_it_can_be_used() {
    for (state, expected) in [
        ("READY", "App is connected."),
        ("BUILDING", "App is being set up."),
        ("SETTING_UP", "App is being set up."),
        ("SETUP_FAILED", "App has to be connected again."),
        ("CONFIGURATION_ERROR", "App has to be connected again."),
        ("DISCONNECTING", "App has to be connected again."),
        ("CLIENT_ACTION_REQUIRED", "App has to be connected again."),
    ] {
        let upstream = upstream_of(move || state);
        let server = Server::before(&upstream.url).start();
        let client = server.client("ann").query("mode=search");
        for arguments in [json!({"app": "app"}), json!({"app": "app", "account": "c"})] {
            let told = answered(&client.modern_call("connect-app", arguments).send().await);
            assert!(first_text(&told).starts_with(expected), "{state}: {told}");
        }
        let call = asking(&client, "connect-app", json!({"app": "app"}));
        let asked = call.answer().await;
        if expected.contains("again") {
            page_of(&asked);
        } else {
            assert!(first_text(&asked).starts_with(expected), "{state}: {asked}");
        }
    }
}

#[tokio::test]
async fn an_account_that_is_being_set_up_is_waited_for() {
    let is_ready = Arc::new(AtomicBool::new(false));
    let state = Arc::clone(&is_ready);
    let upstream = upstream_of(move || if state.load(Ordering::SeqCst) { "READY" } else { "BUILDING" });
    let server = telling(Server::before(&upstream.url));
    let client = server.client("ann").query("mode=search");
    let result = while_waiting(&client, "app", async || is_ready.store(true, Ordering::SeqCst)).await;
    assert!(first_text(&result).starts_with("App is connected."), "{result}");
    assert!(upstream.body_bytes("/connection-requests").is_empty(), "nobody was asked");
}

#[tokio::test]
async fn a_sign_in_that_is_done_waits_for_the_account_to_be_set_up() {
    let is_asked = Arc::new(AtomicBool::new(false));
    let after = Arc::clone(&is_asked);
    // Lost at first; the sign-in is done at once, and the account takes its time after that.
    let upstream = Upstream::answering(move |request| match (request.method().as_str(), request.path()) {
        ("GET", "/connections") => {
            let state = if after.load(Ordering::SeqCst) { "BUILDING" } else { "SETUP_FAILED" };
            let integration = json!({"id": "i", "key": "app", "name": "App"});
            Some(json!({"items": [{"id": "c", "state": state, "integration": integration}]}).to_string())
        }
        ("POST", "/connection-requests") => {
            after.store(true, Ordering::SeqCst);
            Some(json!({"requestId": "r", "url": "https://m.example/r"}).to_string())
        }
        ("GET", "/connection-requests/r") => Some(json!({"requestId": "r", "status": "success"}).to_string()),
        _ => None,
    });
    let server = Server::before(&upstream.url).start();
    let client = server.client("ann").query("mode=search");
    let call = asking(&client, "connect-app", json!({"app": "app"}));
    let asked = call.answer().await;
    page_of(&asked);
    assert!(is_asked.load(Ordering::SeqCst));
    let mut without = again(&call, &asked, "accept");
    without.body["params"].as_object_mut().unwrap().remove("inputResponses");
    let told = without.answer().await;
    assert!(first_text(&told).starts_with("App is being set up."), "{told}");
}

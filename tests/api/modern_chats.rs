//! Dynamic mode in revision 2026-07-28: state is what the request names, by `x-chat-id`, or nothing
//! (MCP 2026-07-28, basic/index § Statelessness).

use std::time::Instant;

use serde_json::{Value, json};

use crate::{
    modern_support::{Modern, SUBSCRIPTION, names},
    support::{Client, Events, PATIENCE, Server},
};

const SLOW: u64 = 60_000;

fn chat<'a>(server: &'a Server, user: &str, chat: &str) -> Client<'a> {
    server.client(user).query("mode=dynamic").header("x-chat-id", chat)
}

async fn assert_told(events: &mut Events, id: &Value) {
    let told = events.next().await.unwrap_or_else(|| panic!("{id}: the stream has ended"));
    assert_eq!(told["method"], "notifications/tools/list_changed", "{told}");
    assert_eq!(told["params"]["_meta"][SUBSCRIPTION], *id, "M-16b: {told}");
}

/// M-16g (MCP 2026-07-28, basic/patterns/subscriptions § Graceful Closure): the result of the request, then the end.
async fn assert_ended(mut events: Events, id: &Value) {
    let last = events.next().await.unwrap_or_else(|| panic!("{id}: no result"));
    assert_eq!(last["id"], *id, "{last}");
    assert_eq!(last["result"]["resultType"], "complete", "{last}");
    assert_eq!(last["result"]["_meta"][SUBSCRIPTION], *id, "{last}");
    assert_eq!(events.next().await, None, "{id}: something follows the result");
}

/// Stops the server while its streams are read.
async fn stop(server: Server) {
    assert!(tokio::task::spawn_blocking(|| server.stop()).await.unwrap().success());
}

/// M-02c (MCP 2026-07-28, server/tools § Capabilities): the list may vary by what each request names.
#[tokio::test]
async fn a_chat_lists_exactly_what_it_enabled() {
    let server = Server::start();
    let ann = chat(&server, "ann", "one");
    assert_eq!(ann.modern_names().await, ["enable-tools"]);
    for tools in [&["slack_list-users", "gmail_send-email"][..], &["notion_create-page"], &[]] {
        ann.modern_enable(tools).await;
        let list = ann.modern_list().await;
        let mut expected = vec!["enable-tools".to_owned()];
        let mut sorted = tools.to_vec();
        sorted.sort_unstable();
        expected.extend(sorted.into_iter().map(str::to_owned));
        assert_eq!(names(&list), expected, "each call replaces the set");
        assert_eq!(list["ttlMs"], 0, "it may change at any moment");
    }
    ann.modern_enable(&["slack_list-users"]).await;
    let called = ann.modern_call("slack_list-users", json!({})).send().await;
    assert_eq!(called.status, 200, "{called:?}");
    for tool in ["slack_list-channels", "no_such"] {
        let reply = ann.modern_call(tool, json!({})).send().await;
        assert_eq!((reply.status.as_u16(), reply.code()), (400, -32602), "{tool} is not enabled: {reply:?}");
    }
    let reply = ann.modern_call("enable-tools", json!({"tools": ["gmail_list-emails", "no_such"]})).send().await;
    assert!(reply.result()["content"][1]["text"].as_str().unwrap().contains("no_such"), "{reply:?}");
    let wrong = ann.modern_call("enable-tools", json!({"tools": "gmail"})).send().await.result();
    assert_eq!(wrong["isError"], true, "{wrong}");
    assert_eq!(ann.modern_names().await, ["enable-tools", "gmail_list-emails"]);

    for other in [chat(&server, "ann", "two"), chat(&server, "bob", "one")] {
        assert_eq!(other.modern_names().await, ["enable-tools"], "another chat is another state");
    }
    let confined = ann.query("mode=dynamic&apps=slack");
    confined.modern_enable(&["slack_list-users", "gmail_list-emails"]).await;
    assert_eq!(confined.modern_names().await, ["enable-tools", "slack_list-users"], "nothing outside the apps");
}

/// M-16a, M-16b, M-16f (MCP 2026-07-28, basic/patterns/subscriptions § Acknowledgment, § Receiving Notifications): the
/// acknowledgement comes first; each notification names its subscription.
#[tokio::test]
async fn subscribers_of_a_chat_are_told_of_each_change_once() {
    let server = Server::start();
    let ann = chat(&server, "ann", "one");
    let (text, number) = (json!("listen-1"), json!(7));
    let mut first = ann.subscribe(text.clone()).await;
    let mut second = ann.subscribe(number.clone()).await;
    let strangers = [
        (json!(1), chat(&server, "ann", "two").subscribe(json!(1)).await),
        (json!(2), chat(&server, "bob", "one").subscribe(json!(2)).await),
        (json!(3), server.client("ann").query("mode=dynamic").subscribe(json!(3)).await),
    ];
    let filter = json!({"notifications": {"promptsListChanged": true, "resourceSubscriptions": ["file:///a"]}});
    let mut deaf = ann.modern("subscriptions/listen", filter).id(json!(4)).open().await;
    let acknowledged = deaf.next().await.unwrap();
    assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(acknowledged["params"]["_meta"][SUBSCRIPTION], 4, "its JSON type, too");
    assert_eq!(acknowledged["params"]["notifications"], json!({}), "what is not offered is left out");

    for tools in [&["gmail_send-email"][..], &["gmail_send-email", "slack_list-users"], &[]] {
        ann.modern_enable(tools).await;
        assert_told(&mut first, &text).await;
        assert_told(&mut second, &number).await;
        ann.modern_enable(tools).await;
    }
    // Whatever else had been sent would stand before the end.
    stop(server).await;
    assert_ended(first, &text).await;
    assert_ended(second, &number).await;
    assert_ended(deaf, &json!(4)).await;
    for (id, stranger) in strangers {
        assert_ended(stranger, &id).await;
    }
}

/// M-16e (MCP 2026-07-28, basic/patterns/subscriptions § Cancellation): a client ends a subscription by closing its stream.
#[tokio::test]
async fn a_subscriber_that_leaves_is_not_missed() {
    let server = Server::start();
    let ann = chat(&server, "ann", "one");
    let gone = ann.subscribe(json!("gone")).await;
    let mut stays = ann.subscribe(json!("stays")).await;
    drop(gone);
    for tools in [["gmail_send-email"], ["slack_list-users"]] {
        ann.modern_enable(&tools).await;
        assert_told(&mut stays, &json!("stays")).await;
    }
}

#[tokio::test]
async fn a_chat_begun_without_a_session_goes_on_in_one() {
    let server = Server::start();
    let modern = chat(&server, "ann", "one");
    modern.modern_enable(&["slack_list-users"]).await;
    let chats = modern.chats().await.json();
    let session = chats["one"].as_str().unwrap_or_else(|| panic!("{chats}")).to_owned();
    assert_eq!(server.client("bob").chats().await.json(), json!({}));

    let legacy = server.client("ann").within(Some(session));
    assert_eq!(legacy.tool_names().await, ["enable-tools", "slack_list-users"]);
    legacy.output("slack_list-users", json!({})).await;

    let mut subscriber = modern.subscribe(json!("s")).await;
    let mut stream = legacy.stream().await;
    assert!(legacy.call("enable-tools", json!({"tools": ["gmail_list-emails"]})).await.status.is_success());
    assert_told(&mut subscriber, &json!("s")).await;
    assert_eq!(stream.next().await.unwrap()["method"], "notifications/tools/list_changed");
    assert_eq!(modern.modern_names().await, ["enable-tools", "gmail_list-emails"]);

    assert!(legacy.delete().await.status.is_success());
    assert_ended(subscriber, &json!("s")).await;
    assert_eq!(modern.chats().await.json(), json!({}));
    assert_eq!(modern.modern_names().await, ["enable-tools", "gmail_list-emails"], "the chat outlives its session");
}

#[tokio::test]
async fn a_chat_begun_in_a_session_goes_on_without() {
    let server = Server::start();
    let legacy = chat(&server, "ann", "one").open().await;
    legacy.call("enable-tools", json!({"tools": ["slack_list-users"]})).await.result();

    let modern = chat(&server, "ann", "one");
    assert_eq!(modern.modern_names().await, ["enable-tools", "slack_list-users"]);
    assert_eq!(modern.modern_call("slack_list-users", json!({})).send().await.status, 200);
    let mut stream = legacy.stream().await;
    modern.modern_enable(&["notion_create-page"]).await;
    assert_eq!(stream.next().await.unwrap()["method"], "notifications/tools/list_changed");
    assert_eq!(legacy.tool_names().await, ["enable-tools", "notion_create-page"]);
    let chats = modern.chats().await.json();
    assert_eq!(chats["one"].as_str(), legacy.session.as_deref(), "one chat, one session");
}

/// M-16f: who listens to a chat listens to it in whatever session it goes on.
#[tokio::test]
async fn subscribers_stay_with_a_chat_that_gets_a_new_session() {
    let server = Server::start();
    let modern = chat(&server, "ann", "one");
    modern.modern_enable(&["slack_list-users"]).await;
    let mut subscriber = modern.subscribe(json!("s")).await;
    let legacy = chat(&server, "ann", "one").open().await;
    assert_eq!(legacy.tool_names().await, ["enable-tools", "slack_list-users"], "the tools go along");
    for tools in [["gmail_list-emails"], ["notion_create-page"]] {
        legacy.call("enable-tools", json!({"tools": tools})).await.result();
        assert_told(&mut subscriber, &json!("s")).await;
        assert_eq!(modern.modern_names().await, ["enable-tools", tools[0]]);
    }
}

/// M-02c (MCP 2026-07-28, basic/index § Statelessness): without a handle nothing is remembered.
#[tokio::test]
async fn without_a_chat_nothing_is_kept_and_any_tool_may_be_called() {
    let server = Server::start();
    let client = server.client("ann").query("mode=dynamic");
    let before = client.modern_list().await;
    assert_eq!(names(&before), ["enable-tools"]);
    assert!(before["ttlMs"].as_u64().unwrap() > 0, "it never changes: {before}");

    let wanted = ["gmail_send-email", "slack_list-users"];
    let enabled = client.modern_enable(&wanted).await;
    assert_eq!(names(&enabled["structuredContent"]), wanted, "what the list will not show");
    let all = server.client("ann").modern_list().await;
    let all = all["tools"].as_array().unwrap();
    for definition in enabled["structuredContent"]["tools"].as_array().unwrap() {
        assert!(all.contains(definition), "not the full definition: {definition}");
    }
    assert_eq!(client.modern_list().await, before);

    for tool in ["gmail_list-emails", "notion_list-databases"] {
        let reply = client.modern_call(tool, json!({})).send().await;
        assert_eq!(reply.status, 200, "{tool} was never enabled, and needs not be: {reply:?}");
    }
    for tool in ["no_such", "gmail_no-such", "gmail"] {
        let reply = client.modern_call(tool, json!({})).send().await;
        assert_eq!((reply.status.as_u16(), reply.code()), (400, -32602), "{tool}: {reply:?}");
    }
    assert_eq!(client.chats().await.json(), json!({}), "no session either");
}

#[tokio::test]
async fn tools_of_apps_that_are_not_connected_are_found_by_name() {
    let server = Server::start();
    let outside = "test_simple_text";
    for client in [server.client("ann").query("mode=dynamic"), chat(&server, "bob", "one")] {
        client.modern_enable(&[outside]).await;
        let result = client.modern_call(outside, json!({})).send().await.result();
        assert_eq!(result["isError"], true, "it is found, but not connected: {result}");
    }
    assert_eq!(chat(&server, "bob", "one").modern_names().await, ["enable-tools", outside]);
    let reply = server.client("ann").modern_call(outside, json!({})).send().await;
    assert_eq!(reply.status, 400, "static mode has the connected apps alone: {reply:?}");
}

/// M-19 (MCP 2026-07-28, basic/transports/streamable-http § Cancellation): "Closing the SSE response stream MUST be treated by
/// the server as cancellation of that request."
#[tokio::test]
async fn closing_the_connection_cancels_the_call() {
    let server = Server::start();
    let plain = server.client("ann");
    let in_chat = server.client("ann").header("x-chat-id", "one");
    let arguments = json!({"ms": SLOW});
    let calls: [(&str, Modern<'_>); 4] = [
        ("before any answer", plain.modern_call("sandbox-faults_sleep", arguments.clone())),
        ("before any answer, in a chat", in_chat.modern_call("sandbox-faults_sleep", arguments.clone())),
        ("on a stream", plain.modern_call("sandbox-faults_sleep", arguments.clone()).meta("progressToken", json!(1))),
        (
            "on a stream, in a chat",
            in_chat.modern_call("sandbox-faults_sleep", arguments).meta("progressToken", json!(1)),
        ),
    ];
    for (n, (case, call)) in calls.iter().enumerate() {
        let answer = tokio::spawn(call.request().send());
        wait_for(&server, case, |stats| stats["requests"]["POST /action-instance/run"] == n + 1).await;
        answer.abort();
        drop(answer);
        wait_for(&server, case, |stats| stats["inFlight"] == 0 && stats["abandoned"] == n + 1).await;
    }
}

/// Polls what the sandbox has seen.
async fn wait_for(server: &Server, case: &str, holds: impl Fn(&Value) -> bool) {
    let begun = Instant::now();
    loop {
        let stats = server.stats().await;
        if holds(&stats) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "M-19, {case}: {stats}");
    }
}

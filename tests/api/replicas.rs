//! Servers that share a Redis are one server: any of them takes any request of any session.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    fleet::Fleet,
    sockets::{Wire, get, post, sleep},
    support::{Client, assert_error, eventually, reply_to, token},
};

async fn enable(client: &Client<'_>, tools: &[&str]) {
    let result = client.call("enable-tools", json!({"tools": tools})).await.result();
    assert_eq!(result["content"], json!([{"type": "text", "text": "Tools enabled"}]), "{result}");
}

fn listed(tools: &[&str]) -> Vec<String> {
    ["enable-tools"].iter().chain(tools).map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn what_one_server_is_told_the_others_know() {
    let fleet = Fleet::start(3).await;
    let client = fleet.client("ann").query("mode=dynamic").header("x-chat-id", "monday").open().await;
    let sets: [&[&str]; 4] =
        [&["gmail_send-email"], &["gmail_list-emails", "slack_list-users"], &[], &["test_simple_text"]];
    for round in 0..12 {
        let tools = sets[round % sets.len()];
        enable(&fleet.at(round % 3, &client), tools).await;
        for number in 0..3 {
            assert_eq!(fleet.at(number, &client).tool_names().await, listed(tools), "round {round}, server {number}");
        }
    }
    enable(&client, &["gmail_list-emails"]).await;
    fleet.at(1, &client).output("gmail_list-emails", json!({})).await;
    let modern = fleet.at(2, &fleet.client("ann").query("mode=dynamic").header("x-chat-id", "monday"));
    assert_eq!(modern.modern_names().await, listed(&["gmail_list-emails"]), "the chat in 2026-07-28");
    let chats = json!({"monday": client.session});
    for number in 0..3 {
        assert_eq!(fleet.at(number, &client).chats().await.json(), chats, "server {number}");
    }
    let thief = Client { token: token("bob"), ..fleet.at(1, &client) };
    assert_error(&thief.ask("tools/list", json!({})).await, 404, -32000, "another user's session");

    assert_eq!(fleet.at(1, &client).delete().await.status, 200);
    for number in 0..3 {
        let client = fleet.at(number, &client);
        assert_error(&client.ask("tools/list", json!({})).await, 404, -32000, format!("server {number}"));
        assert_eq!(client.chats().await.json(), json!({}), "server {number}");
    }
}

#[tokio::test]
async fn a_chat_taken_over_takes_its_tools_and_its_listeners_along() {
    let fleet = Fleet::start(2).await;
    let opening = fleet.client("ann").query("mode=dynamic").header("x-chat-id", "monday");
    let before = opening.clone().open().await;
    enable(&before, &["gmail_send-email"]).await;
    let mut listener = fleet.at(1, &opening).subscribe(json!(7)).await;
    let after = fleet.at(1, &opening).open().await;
    assert_eq!(after.tool_names().await, listed(&["gmail_send-email"]));
    let third = opening.open().await;
    assert_eq!(third.tool_names().await, listed(&["gmail_send-email"]));
    // Who listens at the other server is told by news, which take a moment.
    let told = async {
        for round in 0.. {
            enable(&third, if round % 2 == 0 { &[] } else { &["slack_list-users"] }).await;
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = told => {}
        message = listener.next() => {
            assert_eq!(message.unwrap()["method"], "notifications/tools/list_changed");
        }
    }
}

#[tokio::test]
async fn a_chat_taken_over_brings_what_another_server_has_enabled() {
    let fleet = Fleet::start(2).await;
    let opening = fleet.client("ann").query("mode=dynamic").header("x-chat-id", "monday");
    let before = opening.clone().open().await;
    // The session is in the memory of both servers, and only one of them enables tools.
    let there = fleet.at(1, &before);
    assert_eq!(there.tool_names().await, listed(&[]));
    enable(&before, &["gmail_send-email"]).await;
    let after = fleet.at(1, &opening).open().await;
    assert_eq!(after.tool_names().await, listed(&["gmail_send-email"]));
}

#[tokio::test]
async fn changes_reach_who_listens_at_another_server() {
    let fleet = Fleet::start(2).await;
    let client = fleet.client("ann").query("mode=dynamic").header("x-chat-id", "monday").open().await;
    let there = fleet.at(1, &client);
    there.tools().await;
    let mut own = there.stream().await;
    let mut subscription =
        fleet.at(1, &fleet.client("ann").query("mode=dynamic").header("x-chat-id", "monday")).subscribe(json!(7)).await;
    for tools in [&["gmail_send-email"][..], &[], &["slack_list-users"]] {
        enable(&client, tools).await;
        for stream in [&mut own, &mut subscription] {
            assert_eq!(stream.next().await.unwrap()["method"], "notifications/tools/list_changed", "{tools:?}");
        }
    }
    enable(&client, &["slack_list-users"]).await;
    fleet.at(0, &client).delete().await;
    assert_eq!(own.next().await, None, "nothing else was told, and the end of the session is");
}

#[tokio::test]
async fn a_session_has_one_stream_of_its_own_wherever_that_is() {
    let fleet = Fleet::start(2).await;
    let client = fleet.client("ann").query("mode=dynamic").open().await;
    let mut first = Wire::send(get(&client, None)).await;
    let id = first.next().await.unwrap().id().to_owned();
    let there = fleet.at(1, &client);
    let mut second = Wire::send(get(&there, Some(&id))).await;
    assert_eq!(second.status, 200, "it goes on at another server");
    assert!(first.rest().await.iter().all(|event| event.data.is_empty()), "the first has ended");
    let mut events = vec![second.next().await.unwrap()];
    while events.last().unwrap().data.is_empty() {
        events.push(second.next().await.unwrap());
    }
    assert!(events.iter().all(|event| event.id() != id), "ids are unique in the session: {events:?}");
    enable(&client, &["gmail_send-email"]).await;
    assert_eq!(second.next().await.unwrap().json()["method"], "notifications/tools/list_changed");
}

#[tokio::test]
async fn a_call_is_cancelled_by_way_of_another_server() {
    let fleet = Fleet::start_with(2, |server| server.env("MCP__TUNING__STREAM_AFTER_MS", "1")).await;
    let client = fleet.client("ann").open().await;
    let request = post(&client, sleep(json!("call"), 60_000));
    let call = tokio::spawn(async { Wire::send(request).await.rest().await });
    eventually("the call runs", async || fleet.front.requests("POST /action-instance/run").await > 0).await;
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "call"}});
    assert_eq!(fleet.at(1, &client).post(cancel).await.status, 202);
    let events = call.await.unwrap();
    assert!(events.iter().all(|event| event.data.is_empty()), "a call that was cancelled is not answered: {events:?}");
}

#[tokio::test]
async fn a_stream_of_http_sse_takes_the_answers_of_all_servers() {
    let fleet = Fleet::start(2).await;
    let opened = fleet.client("ann").open_sse("/sse?mode=dynamic").await;
    let mut session = opened.at(&fleet.servers[1]);
    session.initialize("2024-11-05").await;
    let names = |result: Value| crate::modern_support::names(&result);
    assert_eq!(names(session.result(1, "tools/list", json!({})).await), listed(&[]));
    let mut session = session.at(&fleet.servers[0]);
    let changed = session.ask(json!(2), "tools/call", enabling(&["gmail_list-emails"])).await;
    assert_eq!(changed["method"], "notifications/tools/list_changed", "{changed}");
    assert_eq!(session.events.next().await.unwrap()["id"], 2);
    let mut session = session.at(&fleet.servers[1]);
    assert_eq!(names(session.result(3, "tools/list", json!({})).await), listed(&["gmail_list-emails"]));
    let called = session.result(4, "tools/call", json!({"name": "gmail_list-emails", "arguments": {}})).await;
    assert_eq!(called["isError"], Value::Null, "{called}");
    // The order of an answer and of word from another server is anybody's guess.
    let request = json!({"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": enabling(&[])}).to_string();
    session.events.wire.expect(&serde_json::from_str(&request).unwrap());
    assert_eq!(session.post_text(&request).await.status, 202);
    let told = [session.events.next().await.unwrap(), session.events.next().await.unwrap()];
    assert!(told.iter().any(|message| message["id"] == 5), "{told:?}");
    assert!(told.iter().any(|message| message["method"] == "notifications/tools/list_changed"), "{told:?}");

    let endpoint = session.endpoint.clone();
    drop(session);
    let there = fleet.at(1, &fleet.client("ann"));
    let ping = || there.request_at(Method::POST, &endpoint).json(&json!({"jsonrpc": "2.0", "id": 6, "method": "ping"}));
    eventually("the session ends with its stream", async || reply_to(ping()).await.status == 404).await;
}

fn enabling(tools: &[&str]) -> Value {
    json!({"name": "enable-tools", "arguments": {"tools": tools}})
}

#[tokio::test]
async fn a_token_that_is_refused_at_one_server_is_trusted_by_none() {
    let fleet = Fleet::start(2).await;
    let client = fleet.client("ann").open().await;
    let there = fleet.at(1, &client);
    there.tools().await;
    there.ask("ping", json!({})).await;
    let asked = fleet.front.requests("GET /self").await;
    there.ask("ping", json!({})).await;
    assert_eq!(fleet.front.requests("GET /self").await, asked, "it is trusted there");
    client.call("sandbox-faults_fail-401", json!({})).await;
    let is_asked = async || {
        there.ask("ping", json!({})).await;
        fleet.front.requests("GET /self").await > asked
    };
    eventually("the other server asks again", is_asked).await;
}

#[tokio::test]
async fn word_of_a_users_connections_reaches_all_servers() {
    let secret = "what only Membrane was told";
    let set = |server: crate::support::ServerBuilder| {
        server.env("MCP__WEBHOOKS__SECRET", secret).env("MCP__CATALOG__FRESH_S", "3600")
    };
    let fleet = Fleet::start_with(2, set).await;
    let client = fleet.client("ann").open().await;
    let there = fleet.at(1, &client);
    let has_gmail = async || there.tool_names().await.iter().any(|name| name.starts_with("gmail_"));
    assert!(has_gmail().await);
    fleet.front.sandbox(Method::DELETE, "/connections/gmail", "ann", Value::Null).await;
    assert!(has_gmail().await, "the server there has no reason to look");
    let body = json!({"eventType": "connection.deleted", "data": {"connection": {"user": {"internalId": "ann"}}}});
    let webhook = fleet.servers[0].http.post(format!("{}/webhooks/membrane", fleet.servers[0].url));
    assert_eq!(webhook.bearer_auth(secret).json(&body).send().await.unwrap().status(), 204);
    eventually("the other server looks again", async || !has_gmail().await).await;
}

#[tokio::test]
async fn a_thousand_changes_at_once_come_to_what_one_order_explains() {
    let set = |server: crate::support::ServerBuilder| {
        // All answers as JSON, however long they take.
        server.env("MCP__TUNING__MAX_CALLS_IN_FLIGHT", "1000").env("MCP__TUNING__STREAM_AFTER_MS", "60000")
    };
    let fleet = Fleet::start_with(2, set).await;
    let client = fleet.client("ann").query("mode=dynamic").header("x-chat-id", "monday").open().await;
    let mut all: Vec<_> = fleet.client("ann").open().await.tool_names().await;
    all.retain(|name| !name.starts_with("test_"));
    all.truncate(10);
    assert_eq!(all.len(), 10);
    // Each number from 0 to 999 is a set of tools of its own, by its bits.
    let set_of = |number: usize| -> Vec<&str> {
        (0..10).filter(|bit| number >> bit & 1 == 1).map(|bit| all[bit].as_str()).collect()
    };
    let change = async |number: usize| {
        let client = fleet.at(number % 2, &client);
        enable(&client, &set_of(number)).await;
        // Whatever it is by now, it is what one of the changes made.
        client.tool_names().await.into_iter().collect::<BTreeSet<_>>()
    };
    let seen = join_all((0..1000).map(change)).await;
    let possible: BTreeSet<BTreeSet<String>> =
        (0..1000).map(|number| listed(&set_of(number)).into_iter().collect()).collect();
    assert_eq!(possible.len(), 1000);
    for set in seen {
        assert!(possible.contains(&set), "no change made this: {set:?}");
    }
    let last: Vec<BTreeSet<String>> = join_all(
        [0, 1].map(async |number| fleet.at(number, &client).tool_names().await.into_iter().collect::<BTreeSet<_>>()),
    )
    .await;
    assert_eq!(last[0], last[1], "both servers have the same");
    assert!(possible.contains(&last[0]), "which one of the changes made: {:?}", last[0]);
    let session = client.session.as_ref().unwrap();
    let version = fleet.redis.lines(&format!("HMGET mcp:session:{session} version"));
    assert_eq!(version, ["1000"], "and each change counted once");
}

#[tokio::test]
async fn clients_behind_a_balancer_need_not_know_how_many_servers_there_are() {
    let fleet = Fleet::start(3).await;
    let client = fleet.behind(&fleet.client("ann")).query("mode=dynamic").header("x-chat-id", "monday").open().await;
    for round in 0..10 {
        let tools: &[&str] =
            if round % 2 == 0 { &["gmail_list-emails"] } else { &["gmail_list-emails", "slack_list-users"] };
        enable(&client, tools).await;
        assert_eq!(client.tool_names().await, listed(tools), "round {round}");
        client.output("gmail_list-emails", json!({})).await;
    }
    fleet.servers[1].kill();
    for round in 0..6 {
        assert_eq!(client.tool_names().await, listed(&["gmail_list-emails", "slack_list-users"]), "round {round}");
    }
    assert_eq!(client.delete().await.status, 200);
    assert_error(&client.ask("ping", json!({})).await, 404, -32000, "an ended session");
}

//! Streams that outlive their connections (MCP 2025-11-25, basic/transports § Resumability and Redelivery).

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    files::Folder,
    sockets::{
        Event, Wire, assert_unique, call, cutting_proxy, get, post, post_for_events, resume, sleep, with_progress,
    },
    support::{Client, Server, assert_error, eventually, reply_to},
};

/// Long enough for a connection to be lost in the middle of it.
const SLOW_MS: u64 = 1500;

/// A server that answers by a stream at once, though it leaves time for what is refused.
fn streaming() -> crate::support::ServerBuilder {
    Server::builder().env("MCP__TUNING__STREAM_AFTER_MS", "1")
}

fn slept(id: &Value) -> Value {
    let text = json!({"sleptMs": SLOW_MS}).to_string();
    json!({"jsonrpc": "2.0", "id": id, "result": {"content": [{"type": "text", "text": text}]}})
}

/// Begins a slow call, reads the event that names its stream, and loses the connection.
async fn lose(client: &Client<'_>, id: Value) -> Event {
    let mut wire = Wire::send(post(client, sleep(id, SLOW_MS))).await;
    assert_eq!(wire.status, 200);
    wire.next().await.expect("the event that names the stream")
}

/// Changes the list of tools to one tool or none.
async fn change(client: &Client<'_>, tools: &[&str]) {
    // As plain JSON, so that the session has no streams but those that a test opens.
    let client = client.clone().header("accept", "application/json");
    client.call("enable-tools", json!({"tools": tools})).await.result();
}

fn is_change(event: &Event) -> bool {
    !event.data.is_empty() && event.json()["method"] == "notifications/tools/list_changed"
}

#[tokio::test]
async fn a_call_whose_connection_is_lost_is_answered_on_another() {
    let server = streaming().env("MCP__TUNING__STREAM_RETRY_MS", "1234").start();
    let client = server.client("ann").open().await;
    let mut wire = Wire::send(post(&client, sleep(json!("call"), SLOW_MS))).await;
    let first = wire.next().await.unwrap();
    assert_eq!(first.data, "", "the first event only names the stream");
    assert_eq!(wire.retry, Some(1234), "and when to come back is said by then");
    drop(wire);

    let rest = resume(&client, first.id()).await;
    assert_eq!(rest.iter().map(Event::json).collect::<Vec<_>>(), [slept(&json!("call"))]);
    assert_unique([&first, &rest[0]]);
    for time in ["first", "second"] {
        assert_eq!(resume(&client, first.id()).await, rest, "redelivered the {time} time");
    }
    let after_the_answer = reply_to(get(&client, Some(rest[0].id()))).await;
    assert_error(&after_the_answer, 400, -32000, "nothing follows the answer");
    assert_eq!(server.stats().await["requests"]["POST /action-instance/run"], 1);
}

#[tokio::test]
async fn who_comes_back_last_has_the_stream() {
    let server = streaming().start();
    let client = server.client("ann").open().await;
    let first = lose(&client, json!(1)).await;
    let earlier = Wire::send(get(&client, Some(first.id()))).await;
    let later = Wire::send(get(&client, Some(first.id()))).await;
    assert_eq!(earlier.rest().await, [], "it ends without an answer");
    let answers = later.rest().await;
    assert_eq!(answers.iter().map(Event::json).collect::<Vec<_>>(), [slept(&json!(1))]);
}

#[tokio::test]
async fn only_the_latest_session_revision_begins_a_stream_with_an_empty_event() {
    let server = streaming().start();
    for (revision, is_primed) in [("2025-03-26", false), ("2025-06-18", false), ("2025-11-25", true)] {
        let client = server.client("ann").query("mode=dynamic").open_with(revision).await;
        change(&client, &["sandbox-faults_sleep"]).await;
        let mut answer = Wire::send(post(&client, sleep(json!(1), SLOW_MS))).await;
        let mut own = Wire::send(get(&client, None)).await;
        change(&client, &[]).await;
        for (stream, wire) in [("a call's", &mut answer), ("the session's", &mut own)] {
            let first = wire.next().await.unwrap_or_else(|| panic!("{revision}: {stream}"));
            assert_eq!(first.data.is_empty(), is_primed, "{revision}: {stream}: {first:?}");
            assert!(first.id.is_some(), "{revision}: {stream}: {first:?}");
        }
    }
}

#[tokio::test]
async fn t_23_and_t_25_a_resumed_stream_carries_nothing_of_another() {
    let server = streaming().start();
    let client = server.client("ann").query("mode=dynamic").open().await;
    change(&client, &["sandbox-faults_sleep"]).await;
    let mut own = Wire::send(get(&client, None)).await;
    let mut seen = Vec::new();
    while !seen.last().is_some_and(is_change) {
        // The first change was made before there was a stream to tell it on.
        seen.push(own.next().await.unwrap());
    }
    drop(own);
    let ids = [json!(1), json!("two"), json!(3)];
    let firsts = join_all(ids.iter().map(|id| lose(&client, id.clone()))).await;
    change(&client, &[]).await;

    let rests = join_all(firsts.iter().map(|first| resume(&client, first.id()))).await;
    for (id, rest) in ids.iter().zip(&rests) {
        assert_eq!(rest.iter().map(Event::json).collect::<Vec<_>>(), [slept(id)]);
    }
    let last = seen.last().unwrap().id().to_owned();
    let mut own = Wire::send(get(&client, Some(&last))).await;
    let missed = own.next().await.unwrap();
    assert!(is_change(&missed), "{missed:?}");
    client.delete().await;
    assert_eq!(own.rest().await, [], "the change comes once");
    assert_unique(seen.iter().chain(&firsts).chain(rests.iter().flatten()).chain([&missed]));
}

#[tokio::test]
async fn changes_before_there_is_a_stream_are_told_once_on_it() {
    let server = Server::start();
    for revision in ["2025-06-18", "2025-11-25"] {
        let client = server.client("ann").query("mode=dynamic").open_with(revision).await;
        for tools in [&["gmail_list-emails"][..], &[], &["acme_crm_ping"]] {
            change(&client, tools).await;
        }
        let mut own = Wire::send(get(&client, None)).await;
        let first = loop {
            let event = own.next().await.unwrap();
            if !event.data.is_empty() {
                break event;
            }
        };
        assert!(is_change(&first), "{revision}: {first:?}");
        client.delete().await;
        assert_eq!(own.rest().await, [], "{revision}: once");
    }
}

#[tokio::test]
async fn an_id_that_names_nothing_of_the_session_is_refused() {
    let server = streaming().start();
    let client = server.client("ann").open().await;
    let other = server.client("ann").open().await;
    let first = lose(&client, json!(1)).await;
    lose(&other, json!(1)).await;
    let foreign = lose(&other, json!(2)).await;
    let [stream, place, request] = first.id().split('_').collect::<Vec<_>>().try_into().unwrap();
    let cases = [
        ("of another session", foreign.id().to_owned()),
        ("of a place to come", format!("{stream}_{}", place.parse::<u64>().unwrap() + 5)),
        ("of no stream", format!("s99_{place}")),
        ("of no stream, with a request", format!("s99_{place}_{request}")),
        ("with no request", format!("{stream}_{place}_{request}x")),
        ("spelled otherwise", format!("{stream}_0{place}")),
        ("without a place", stream.to_owned()),
        ("beyond numbers", format!("{stream}_99999999999999999999999")),
        ("no id", "hello".to_owned()),
    ];
    for (case, id) in cases {
        let reply = reply_to(get(&client, Some(&id))).await;
        assert_error(&reply, 400, -32000, format!("{case}: {id:?}"));
    }
    assert_eq!(resume(&client, first.id()).await.len(), 1, "the stream is still there");
}

#[tokio::test]
async fn a_call_that_was_lost_with_the_server_is_answered_by_an_error_after_a_restart() {
    let folder = Folder::new();
    let keeping = || streaming().env("MCP__STORE__PATH", folder.as_str()).start();
    let before = keeping();
    let client = before.client("ann").open().await;
    let ids = [json!(1), json!("two"), json!(u64::MAX)];
    let firsts = join_all(ids.iter().map(|id| lose(&client, id.clone()))).await;
    let long = lose(&client, json!("x".repeat(100))).await;
    let session = client.session.clone().unwrap();
    before.kill();

    let after = keeping();
    let client = after.client("ann").in_session(&session);
    for (id, first) in ids.iter().zip(&firsts) {
        for time in ["first", "second"] {
            let rest = resume(&client, first.id()).await;
            let [error] = rest.as_slice() else { panic!("{id}, the {time} time: {rest:?}") };
            assert_eq!((&error.json()["id"], &error.json()["error"]["code"]), (id, &json!(-32603)));
            let message = error.json()["error"]["message"].to_string();
            assert!(message.contains("has stopped") && message.contains("not known"), "{message}");
            assert_unique([first, error]);
            assert_error(&reply_to(get(&client, Some(error.id()))).await, 400, -32000, "nothing follows the error");
        }
    }
    assert_error(&reply_to(get(&client, Some(long.id()))).await, 400, -32000, "an id that is too long for a name");
    let other = after.client("ann").open().await;
    assert_error(&reply_to(get(&other, Some(firsts[0].id()))).await, 400, -32000, "another session's");
    let thief = after.client("bob").in_session(&session);
    assert_error(&reply_to(get(&thief, Some(firsts[0].id()))).await, 404, -32000, "another user's");
    assert_eq!(resume(&client, lose(&client, json!(4)).await.id()).await.len(), 1, "the session goes on");
}

#[tokio::test]
async fn another_user_gets_nothing_by_an_id() {
    let server = streaming().start();
    let client = server.client("ann").open().await;
    let first = lose(&client, json!(1)).await;
    let thief = server.client("bob").in_session(client.session.as_deref().unwrap());
    assert_error(&reply_to(get(&thief, Some(first.id()))).await, 404, -32000, "another user");
    assert_eq!(resume(&client, first.id()).await.len(), 1, "the owner gets it");
}

#[tokio::test]
async fn an_answer_that_the_log_no_longer_holds_is_told_to_be_lost() {
    let server = streaming().env("MCP__TUNING__STREAM_LOG_EVENTS", "2").start();
    let client = server.client("ann").open().await;
    let first = lose(&client, json!(1)).await;
    let answer = resume(&client, first.id()).await.remove(0);
    let other = Wire::send(post_for_events(&client, sleep(json!(2), 0))).await.rest().await;
    assert_eq!(other.len(), 2, "enough to fill the log: {other:?}");
    let [lost] = resume(&client, first.id()).await.try_into().unwrap();
    assert_eq!((&lost.json()["id"], &lost.json()["error"]["code"]), (&json!(1), &json!(-32603)));
    assert_error(&reply_to(get(&client, Some(answer.id()))).await, 400, -32000, "who has the answer misses nothing");
    assert_eq!(resume(&client, other[0].id()).await, other[1..], "what came last is there");
}

#[tokio::test]
async fn an_answer_too_large_for_the_log_is_delivered_but_not_again() {
    let server =
        streaming().env("MCP__TUNING__STREAM_LOG_BYTES", "1000").env("MCP__OUTPUTS__MAX_TOKENS", "10000000").start();
    let client = server.client("ann").open().await;
    let large = call(json!(1), "sandbox-faults_large-output", json!({}));
    let events = Wire::send(post_for_events(&client, large)).await.rest().await;
    let [first, answer] = events.as_slice() else { panic!("{} events", events.len()) };
    let text = answer.json()["result"]["content"][0]["text"].as_str().map(str::len);
    assert_eq!(text, Some((1 << 20) + 2), "a megabyte between its quotes");
    let [lost] = resume(&client, first.id()).await.try_into().unwrap();
    assert_eq!((&lost.json()["id"], &lost.json()["error"]["code"]), (&json!(1), &json!(-32603)), "it is not kept");
}

#[tokio::test]
async fn an_answered_stream_is_forgotten_after_its_time() {
    let server = streaming().env("MCP__TUNING__STREAM_LOG_S", "1").start();
    let client = server.client("ann").open().await;
    let first = lose(&client, json!(1)).await;
    assert_eq!(resume(&client, first.id()).await.len(), 1, "its time begins with the answer");
    let is_lost = async || resume(&client, first.id()).await[0].json()["error"]["code"] == -32603;
    eventually("the stream is forgotten", is_lost).await;
    let [error] = resume(&client, first.id()).await.try_into().unwrap();
    assert_eq!(error.json()["id"], 1, "for good");
}

#[tokio::test]
async fn an_error_on_a_stream_ends_it_and_is_redelivered() {
    let server = Server::builder().env("MCP__TUNING__MAX_CALLS_IN_FLIGHT", "1").start();
    let client = server.client("ann").open().await;
    let running = Wire::send(post(&client, with_progress(sleep(json!(6), 60_000), "s"))).await;
    // The stream may be there before the call has begun.
    eventually("the call runs", async || server.requests("POST /action-instance/run").await > 0).await;
    let events = Wire::send(post_for_events(&client, sleep(json!(7), 0))).await.rest().await;
    let [first, error] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((&error.json()["id"], &error.json()["error"]["code"]), (&json!(7), &json!(-32603)));
    assert_eq!(resume(&client, first.id()).await, events[1..]);
    // Some clients come back after an error, too, as long as its event has an id; they must learn that this is the end.
    assert_error(&reply_to(get(&client, Some(error.id()))).await, 400, -32000, "nothing follows the error");
    drop(running);
}

/// How long a connection lasts.
const CUT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn a_call_outlives_a_proxy_that_cuts_every_connection() {
    let server = streaming().start();
    let client = server.client("ann").open().await;
    let proxy = Some(cutting_proxy(&server.url, CUT).await);
    let (mut last, mut answers, mut connections) = (None::<String>, Vec::new(), 0);
    loop {
        let request = match &last {
            Some(last) => get(&client, Some(last)),
            // Until the stream has a name, there is nothing to come back to.
            None => post(&client, sleep(json!(connections), 2000)),
        };
        connections += 1;
        let Ok(mut wire) = Wire::try_send(request, proxy).await else { continue };
        assert_eq!(wire.status, 200);
        while let Some(event) = wire.next().await {
            last = event.id.clone();
            answers.extend((!event.data.is_empty()).then_some(event));
        }
        if wire.is_complete {
            break;
        }
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(answers[0].json()["result"]["content"][0]["text"], json!({"sleptMs": 2000}).to_string());
    assert!(connections > 2, "the proxy has cut the call's connections");
}

#[tokio::test]
async fn the_sessions_stream_misses_no_change_behind_a_proxy_that_cuts_every_connection() {
    let server = Server::start();
    let client = server.client("ann").query("mode=dynamic").open().await;
    let proxy = Some(cutting_proxy(&server.url, CUT).await);
    let mut wire = Wire::send(get(&client, None)).await;
    let mut last = wire.next().await.unwrap().id().to_owned();
    drop(wire);

    let (mut changes, mut told, mut cuts) = (0, 0, 0);
    while changes < 8 || cuts < 4 {
        let Ok(mut wire) = Wire::try_send(get(&client, Some(&last)), proxy).await else { continue };
        assert_eq!(wire.status, 200);
        loop {
            // Told of one change, the list changes again, whatever has become of the connection.
            if told == changes {
                change(&client, if changes % 2 == 0 { &["acme_crm_ping"] } else { &[] }).await;
                changes += 1;
            }
            let Some(event) = wire.next().await else { break };
            assert!(is_change(&event), "{event:?}");
            last = event.id().to_owned();
            told += 1;
            assert!(told <= changes, "change {changes} is told twice");
        }
        cuts += 1;
    }
}

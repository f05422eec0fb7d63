//! Listening streams that come back by themselves, whatever became of the server or of its memory meanwhile (MCP 2025-11-25,
//! basic/transports § Resumability and Redelivery).

use serde_json::json;

use crate::{
    files::Folder,
    fleet::Fleet,
    sockets::{Event, Wire, get},
    support::{Client, Server, ServerBuilder, assert_error, eventually, reply_to},
};

const REVISIONS: [&str; 3] = ["2025-03-26", "2025-06-18", "2025-11-25"];

/// Changes the list of tools to these.
async fn change(client: &Client<'_>, tools: &[&str]) {
    client.call("enable-tools", json!({"tools": tools})).await.result();
}

/// Reads on to the next word of a change.
async fn next_change(wire: &mut Wire) -> Event {
    loop {
        let event = wire.next().await.expect("word of a change");
        if !event.data.is_empty() {
            assert_eq!(event.json()["method"], "notifications/tools/list_changed", "{event:?}");
            return event;
        }
    }
}

/// Opens a session, and listens until it has heard of a change: gives the id of that event, after which it asks no more.
async fn listen<'a>(server: &'a Server, revision: &str) -> (Client<'a>, String) {
    let client = server.client("ann").query("mode=dynamic").open_with(revision).await;
    let mut wire = Wire::send(get(&client, None)).await;
    change(&client, &["acme_crm_ping"]).await;
    let last = next_change(&mut wire).await.id().to_owned();
    assert_eq!(client.tools().await.len(), 2);
    (client, last)
}

/// Comes back after an event of another time, and is told of what may have changed since, once.
async fn come_back(client: &Client<'_>, last: &str, case: &str) -> String {
    let mut wire = Wire::send(get(client, Some(last))).await;
    assert_eq!(wire.status, 200, "{case}");
    let told = next_change(&mut wire).await;
    assert_eq!(client.tools().await.len(), 2, "{case}: the session is the same");
    change(client, &[]).await;
    next_change(&mut wire).await;
    change(client, &["acme_crm_ping"]).await;
    let last = next_change(&mut wire).await;
    assert_ne!(told.id, last.id, "{case}");
    client.tools().await;
    last.id().to_owned()
}

#[tokio::test]
async fn a_listening_stream_comes_back_after_restarts() {
    let folder = Folder::new();
    let keeping = || Server::builder().env("MCP__STORE__PATH", folder.as_str()).start();
    let before = keeping();
    let mut listeners = Vec::new();
    for revision in REVISIONS {
        let (client, last) = listen(&before, revision).await;
        listeners.push((client.session.unwrap(), last, revision));
    }
    before.kill();
    for restart in ["first", "second"] {
        let server = keeping();
        for (session, last, revision) in &mut listeners {
            let client = server.client("ann").query("mode=dynamic").in_session(session);
            *last = come_back(&client, last, &format!("{restart} restart, {revision}")).await;
        }
        server.kill();
    }
}

#[tokio::test]
async fn a_listening_stream_comes_back_after_its_session_was_idle() {
    let server = Server::builder().env("MCP__TUNING__SESSION_IDLE_S", "1").start();
    for revision in REVISIONS {
        let (client, last) = listen(&server, revision).await;
        let session = client.session.clone().unwrap();
        let has_left = async || {
            let log = server.log();
            log.lines().any(|line| line.contains("session passivated") && line.contains(&session))
        };
        eventually("the session leaves memory", has_left).await;
        come_back(&client, &last, revision).await;
    }
}

#[tokio::test]
async fn a_listening_stream_comes_back_at_another_server() {
    let fleet = Fleet::start(2).await;
    for revision in REVISIONS {
        let (client, last) = listen(&fleet.servers[0], revision).await;
        let last = come_back(&fleet.at(1, &client), &last, revision).await;
        come_back(&client, &last, &format!("{revision}, back again")).await;
    }
}

#[tokio::test]
async fn a_listening_stream_comes_back_though_the_log_has_lost_what_followed() {
    let server = Server::builder().env("MCP__TUNING__STREAM_LOG_EVENTS", "1").start();
    let (client, last) = listen(&server, "2025-11-25").await;
    let mut wire = Wire::send(get(&client, None)).await;
    for tools in [&[][..], &["acme_crm_ping"]] {
        change(&client, tools).await;
        next_change(&mut wire).await;
    }
    drop(wire);
    come_back(&client, &last, "behind the log").await;
}

#[tokio::test]
async fn only_an_event_that_was_never_the_sessions_is_refused() {
    let folder = Folder::new();
    let keeping = |server: ServerBuilder| server.env("MCP__STORE__PATH", folder.as_str()).start();
    let before = keeping(Server::builder());
    let (client, last) = listen(&before, "2025-11-25").await;
    let (_, foreign) = listen(&before, "2025-11-25").await;
    let (stream, _) = last.split_once('_').unwrap();
    let number: u64 = stream.strip_prefix('s').unwrap().parse().unwrap();
    let wrong = [
        ("of another session", foreign),
        ("of a place to come", format!("{stream}_99")),
        ("of a call that was never made", format!("s{}_1", number + 1)),
        ("of no session", "s2_1".to_owned()),
        ("malformed", "2".to_owned()),
    ];
    for (case, id) in &wrong {
        assert_error(&reply_to(get(&client, Some(id))).await, 400, -32000, case);
    }
    let session = client.session.clone().unwrap();
    before.kill();
    let after = keeping(Server::builder());
    let client = after.client("ann").in_session(&session);
    for (case, id) in wrong.iter().filter(|(case, _)| *case != "of a place to come") {
        assert_error(&reply_to(get(&client, Some(id))).await, 400, -32000, format!("{case}, after a restart"));
    }
    let thief = after.client("bob").in_session(&session);
    assert_error(&reply_to(get(&thief, Some(&last))).await, 404, -32000, "another user");
    assert_eq!(Wire::send(get(&client, Some(""))).await.status, 200, "an empty id is none");
}

//! Streams outlive the request that opened them, but not the token that they are listened to with.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::{
    loading::spoil,
    support::{Client, Events, SECRET, Server, claims, eventually, sign},
};

/// Seconds for which a token of these tests is good: enough to open what is to end.
const LIFE: u64 = 8;

/// A token of `user` that ends soon.
fn short_lived(user: &str) -> String {
    let mut claims = claims(user);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    claims["exp"] = json!(now + LIFE);
    sign(&claims, SECRET)
}

/// Reads a stream to its end.
async fn drain(stream: &mut Events) {
    while stream.next().await.is_some() {}
}

#[tokio::test]
async fn streams_end_with_the_token_that_they_were_opened_with() {
    let server = Server::start();
    let client = server.client_with(&short_lived("ann"));
    let session = client.clone().open().await;
    let mut own = session.stream().await;
    let mut of_chat = client.clone().header("x-chat-id", "monday").subscribe(json!(1)).await;
    let mut of_nobody = client.subscribe(json!(2)).await;
    let sse = client.open_sse("/sse").await;
    for stream in [&mut own, &mut of_chat, &mut of_nobody, &mut { sse }.events] {
        drain(stream).await;
    }
    assert_eq!(session.ask("ping", json!({})).await.status, 401, "the token has ended");

    // The client comes back with a token that is good.
    let again = server.client("ann").in_session(session.session.as_ref().unwrap());
    let mut own = again.stream().await;
    assert_eq!(again.ask("ping", json!({})).await.status, 200);
    server.terminate();
    drain(&mut own).await;
}

/// Opens a dynamic session and its stream, with a token that ends soon.
async fn listening(server: &Server) -> (Client<'_>, Events) {
    let client = server.client_with(&short_lived("ann")).query("mode=dynamic").open().await;
    let stream = client.stream().await;
    (client, stream)
}

#[tokio::test]
async fn a_stream_goes_on_where_a_newer_token_was_shown() {
    let server = Server::start();
    let (renewed, mut told) = listening(&server).await;
    let renewed = server.client("ann").query("mode=dynamic").in_session(renewed.session.as_ref().unwrap());
    assert_eq!(renewed.ask("ping", json!({})).await.status, 200);
    // Another session of the same user shows nothing for this one, whose stream ends and tells that the time has come.
    let (_, mut forgotten) = listening(&server).await;
    drain(&mut forgotten).await;
    renewed.call("enable-tools", json!({"tools": ["gmail_list-emails"]})).await.result();
    assert_eq!(told.next().await.unwrap()["method"], "notifications/tools/list_changed");
}

#[tokio::test]
async fn streams_end_when_their_token_is_revoked() {
    let server = Server::builder().env("MCP__CATALOG__FRESH_S", "0").start();
    let ann = server.client("ann").open().await;
    ann.tools().await;
    let mut own = ann.stream().await;
    let mut subscribed = server.client_with(&ann.token).subscribe(json!(1)).await;
    let mut bobs = server.client("bob").subscribe(json!(2)).await;
    let revoked = json!({"type": "bad_request", "key": "not_authenticated", "message": "Revoked"});
    spoil(&server, json!([{"status": 401, "body": revoked}])).await;
    eventually("it is refused", async || ann.ask("tools/list", json!({})).await.status == 401).await;
    drain(&mut own).await;
    drain(&mut subscribed).await;
    spoil(&server, json!([])).await;
    server.terminate();
    let last: Option<Value> = bobs.next().await;
    assert!(last.is_some(), "another's stream is there until the server says that it ends");
}

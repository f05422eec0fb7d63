//! No token may show where it does not belong. Every token of every test is remembered here; the log, the metrics and the
//! files of each server are searched for them when it ends, and every error as it comes.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use reqwest::Method;
use serde_json::json;

use crate::support::{SECRET, Server, eventually, token};

/// The parts of tokens that are theirs alone: their signatures, or all of one that has none.
static USED: Mutex<Option<HashSet<Vec<u8>>>> = Mutex::new(None);

/// Remembers a token.
pub fn remember(token: &str) {
    let own = token.rsplit('.').find(|part| !part.is_empty()).unwrap_or(token);
    let mut used = USED.lock().unwrap_or_else(PoisonError::into_inner);
    used.get_or_insert_default().insert(own.as_bytes().to_vec());
}

/// What shows a token, or the key that signs them.
pub fn find(text: &[u8]) -> Option<String> {
    let used = USED.lock().unwrap_or_else(PoisonError::into_inner);
    let used = used.as_ref()?;
    text.split(|byte| *byte == b'\n').find_map(|line| {
        let mut words = line.split(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')));
        let shows = words.any(|word| word.len() > 16 && used.contains(word));
        let line = String::from_utf8_lossy(line);
        (shows || line.contains(SECRET)).then(|| line.into_owned())
    })
}

/// Asserts that a text shows none, unless the test fails anyway.
pub fn assert_none(text: &[u8], place: &str) {
    if !std::thread::panicking() {
        assert_eq!(find(text), None, "a token shows in {place}");
    }
}

#[test]
fn a_token_that_shows_is_found() {
    let shown = token("shown");
    for text in [
        format!("authorization: Bearer {shown}"),
        format!("{{\"token\":\"pat-{shown}\"}}"),
        format!("first line\nGET /mcp?token={shown}&mode=static"),
        format!("key {SECRET}"),
    ] {
        assert!(find(text.as_bytes()).is_some(), "{text}");
    }
    assert_eq!(find(b"authorization: Bearer eyJhbGciOiJIUzI1NiJ9.e30.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), None);
}

#[tokio::test]
async fn what_is_searched_is_there() {
    let server = Server::start();
    let session = server.client("ann").open().await.session.unwrap();
    let is_kept = async || server.kept().iter().any(|file| !file.is_empty());
    eventually(&format!("the session {session} is kept"), is_kept).await;
    let metrics = server.metrics().unwrap();
    assert!(String::from_utf8_lossy(&metrics).contains("mcp_"), "the metrics");
    assert!(server.log().contains(" TRACE actix"), "a log of everything, libraries included");
}

#[tokio::test]
async fn an_upstream_that_repeats_a_token_does_not_make_it_show() {
    let server = Server::start();
    let ann = token("ann");
    let repeat = async |status: u16, token: &str| {
        let body = json!({"type": "access_denied", "message": format!("Access token {token} is revoked."),
            "causedByError": {"message": format!("for {token}"), "data": {"token": token}}});
        let fault = |path: &str| json!({"path": path, "status": status, "body": body});
        let faults = json!(["/self", "/connections", "/action-instance/run"].map(fault));
        server.sandbox(Method::PUT, "/sandbox/faults", "tester", faults).await;
    };
    let client = server.client_with(&ann).open().await;
    for status in [400, 401, 500] {
        repeat(status, &ann).await;
        let called = client.call("gmail_list-emails", json!({})).await;
        assert_none(called.text.as_bytes(), "the answer to a call");
        // An error is searched as it comes, and the log when the server ends.
        client.initialize("2025-11-25").await;
        let new = token(&format!("user-{status}"));
        repeat(status, &new).await;
        server.client_with(&new).chats().await;
    }
}

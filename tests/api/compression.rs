//! Lists come compressed to clients that take that.

use serde_json::json;

use crate::support::{Client, Reply, Server};

/// No list is so slow that it would come as a stream.
fn start() -> Server {
    Server::builder().env("MCP__TUNING__STREAM_AFTER_MS", "60000").start()
}

fn encoding(reply: &Reply) -> Option<&str> {
    assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, Some("application/json")), "{reply:?}");
    reply.header("content-encoding")
}

fn zipping<'a>(client: &Client<'a>) -> Client<'a> {
    client.clone().header("accept-encoding", "gzip, deflate, br")
}

#[tokio::test]
async fn a_list_is_compressed_for_those_who_take_that_and_says_the_same() {
    let server = start();
    let client = server.client("ann").open().await;
    let as_it_is = client.ask("tools/list", json!({})).await;
    assert_eq!(encoding(&as_it_is), None);
    for round in 0..2 {
        let compressed = zipping(&client).ask("tools/list", json!({})).await;
        assert_eq!(encoding(&compressed), Some("gzip"), "{round}");
        assert!(compressed.header("vary").is_some_and(|vary| vary.contains("accept-encoding")), "{compressed:?}");
        assert_eq!(compressed.text, as_it_is.text, "{round}");
        assert!(compressed.sent * 3 < as_it_is.sent, "{} of {}", compressed.sent, as_it_is.sent);
        // One of another session and of another user is the same.
        let other = zipping(&server.client("bob").open().await).ask("tools/list", json!({})).await;
        assert_eq!((encoding(&other), &other.text), (Some("gzip"), &as_it_is.text), "{round}");
    }
    let refusing = client.clone().header("accept-encoding", "gzip;q=0");
    assert_eq!(encoding(&refusing.ask("tools/list", json!({})).await), None);
}

#[tokio::test]
async fn a_list_without_a_session_is_compressed_too() {
    let server = start();
    let client = server.client("ann");
    let as_it_is = client.modern("tools/list", json!({})).send().await;
    let compressed = client.modern("tools/list", json!({})).with("accept-encoding", "gzip").send().await;
    assert_eq!((encoding(&as_it_is), encoding(&compressed)), (None, Some("gzip")));
    assert_eq!(compressed.result()["tools"], as_it_is.result()["tools"]);
}

#[tokio::test]
async fn what_is_small_or_made_for_one_request_is_sent_as_it_is() {
    let server = start();
    let client = zipping(&server.client("ann").query("mode=dynamic").open().await);
    let enabled = client.call("enable-tools", json!({"tools": ["gmail_send-email"]})).await;
    assert_eq!(encoding(&enabled), None);
    assert_eq!(encoding(&client.ask("tools/list", json!({})).await), None);
    assert_eq!(encoding(&client.ask("ping", json!({})).await), None);
}

#[tokio::test]
async fn a_list_that_is_sent_as_an_event_is_not_compressed() {
    let server = start();
    let client = zipping(&server.client("ann").open().await).header("accept", "text/event-stream");
    let reply = client.ask("tools/list", json!({})).await;
    let seen = (reply.header("content-type"), reply.header("content-encoding"));
    assert_eq!(seen, (Some("text/event-stream"), None));
    assert!(reply.events().iter().any(|event| event["result"]["tools"].is_array()), "{reply:?}");
}

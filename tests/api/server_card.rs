//! The server card: what clients and registries may know of the server before they connect.

use serde_json::{Value, json};

use crate::support::{Reply, Server, eventually, reply_to};

async fn card(server: &Server, headers: &[(&str, &str)]) -> Reply {
    let request = server.http.get(format!("{}/mcp/server-card", server.url));
    reply_to(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
}

#[tokio::test]
async fn the_card_is_sound_and_agrees_with_the_server() {
    let server = Server::start();
    let reply = card(&server, &[("accept", "application/mcp-server-card+json")]).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("application/mcp-server-card+json"));
    let card = reply.json();
    let schema: Value = serde_json::from_str(include_str!("../schema/server-card.json")).unwrap();
    let of_a_card = json!({"$ref": "#/$defs/ServerCard", "$defs": schema["$defs"]});
    let validator = jsonschema::validator_for(&of_a_card).unwrap();
    let faults: Vec<_> = validator.iter_errors(&card).map(|fault| fault.to_string()).collect();
    assert!(faults.is_empty(), "{faults:?} in {card}");
    assert!(card.get("tools").is_none(), "tools are listed by the protocol");

    let client = server.client("ann");
    let discovered = client.modern("server/discover", json!({})).send().await.result();
    let info = &discovered["_meta"]["io.modelcontextprotocol/serverInfo"];
    for member in ["version", "title", "description"] {
        assert_eq!(card[member], info[member], "{member}: {discovered}");
    }
    // The example for a registry says the same.
    let example: Value = serde_json::from_str(include_str!("../../docs/examples/server.json")).unwrap();
    for member in ["name", "title", "description", "version"] {
        assert_eq!(example[member], card[member], "{member}");
    }
    let [streamable, sse] = card["remotes"].as_array().unwrap().as_slice() else { panic!("two remotes: {card}") };
    assert_eq!(streamable["url"], format!("{}/mcp", server.url));
    assert_eq!(sse["url"], format!("{}/sse", server.url));
    for revision in streamable["supportedProtocolVersions"].as_array().unwrap() {
        let revision = revision.as_str().unwrap();
        let is_spoken = match revision {
            "2026-07-28" => true,
            revision => {
                let opened = server.client("ann").initialize(revision).await.json();
                opened["result"]["protocolVersion"] == revision
            }
        };
        assert!(is_spoken, "{revision}");
    }
    assert_eq!(streamable["headers"][0]["isRequired"], true, "nobody gives a token to who has none");
    let icon = reply_to(server.http.get(card["icons"][0]["src"].as_str().unwrap())).await;
    assert_eq!((icon.status.as_u16(), icon.header("content-type")), (200, Some("image/svg+xml")));
}

#[tokio::test]
async fn a_card_that_is_known_is_not_sent_again() {
    let server = Server::start();
    let first = card(&server, &[]).await;
    let tag = first.header("etag").unwrap();
    for (known, status) in [
        (tag.to_owned(), 304),
        (format!("W/{tag}"), 304),
        (format!("\"other\", {tag}"), 304),
        ("*".to_owned(), 304),
        ("\"other\"".to_owned(), 200),
    ] {
        let again = card(&server, &[("if-none-match", &known)]).await;
        assert_eq!((again.status.as_u16(), again.text.is_empty()), (status, status == 304), "{known}");
        assert_eq!((again.header("etag"), again.header("cache-control")), (Some(tag), Some("public, max-age=3600")));
    }
    let elsewhere = card(&server, &[("host", "other.localhost")]).await;
    assert_ne!(elsewhere.header("etag"), Some(tag), "it names other addresses");
    assert_eq!(elsewhere.json()["remotes"][0]["url"], "http://other.localhost/mcp");
}

#[tokio::test]
async fn every_page_may_read_the_card() {
    let server = Server::start();
    for origin in ["https://registry.example.com", "null", "http://localhost:6274"] {
        let reply = card(&server, &[("origin", origin)]).await;
        assert_eq!(reply.status, 200, "{origin}: {reply:?}");
        let allowed = reply.header("access-control-allow-origin").unwrap();
        assert!(allowed == "*" || allowed == origin, "{origin}: {allowed}");
        assert!(reply.header("access-control-expose-headers").unwrap().to_lowercase().contains("etag"), "{reply:?}");
    }
    let rebound = card(&server, &[("host", "evil.example.com"), ("origin", "http://evil.example.com")]).await;
    assert_eq!(rebound.status, 403);
}

#[tokio::test]
async fn a_card_asks_for_no_token_where_users_can_sign_in() {
    let server = Server::builder().env("MCP__OAUTH__ENABLED", "auto").start();
    eventually("the upstream's metadata is read", async || {
        card(&server, &[]).await.json()["remotes"][0]["headers"][0]["isRequired"] == false
    })
    .await;
}

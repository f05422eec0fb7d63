//! Chats: the caller's own names for conversations, and the sessions that serve them.

use serde_json::json;

use crate::{
    files::Folder,
    fleet::Fleet,
    support::{Client, SECRET, Server, assert_error, claims, sign},
};

const CHAT: &str = "x-chat-id";

fn id(client: &Client<'_>) -> String {
    client.session.clone().unwrap()
}

async fn enable(client: &Client<'_>, tool: &str) {
    client.call("enable-tools", json!({"tools": [tool]})).await.result();
}

#[tokio::test]
async fn a_user_without_chats_has_an_empty_map() {
    let server = Server::start();
    let client = server.client("ann");
    for _ in ["before any session", "with one that has no chat"] {
        let reply = client.chats().await;
        let head = (reply.status.as_u16(), reply.header("content-type"), reply.text.as_str());
        assert_eq!(head, (200, Some("application/json"), "{}"));
        client.clone().open().await;
    }
}

#[tokio::test]
async fn initialize_ties_a_chat_to_its_session() {
    let server = Server::start();
    let one = server.client("ann").header(CHAT, "one").open().await;
    let two = server.client("ann").header(CHAT, "zwei – 2").open_with("2025-03-26").await;
    let bobs = server.client("bob").header(CHAT, "one").open().await;
    assert_eq!(one.chats().await.json(), json!({"one": id(&one), "zwei – 2": id(&two)}));
    assert_eq!(bobs.chats().await.json(), json!({"one": id(&bobs)}), "each user's chats are apart");
    assert_eq!(server.client("eve").chats().await.json(), json!({}));
}

#[tokio::test]
async fn a_later_request_ties_a_chat_that_is_free() {
    let server = Server::start();
    let client = server.client("ann").open().await;
    for (chat, method) in [("one", "ping"), ("two", "tools/list"), ("three", "no/such")] {
        client.clone().header(CHAT, chat).ask(method, json!({})).await;
    }
    let notification = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    client.clone().header(CHAT, "four").post(notification).await;
    drop(client.clone().header(CHAT, "five").stream().await);
    let session = id(&client);
    let expected = json!({"one": session, "two": session, "three": session, "four": session, "five": session});
    assert_eq!(client.chats().await.json(), expected);
}

#[tokio::test]
async fn a_later_request_does_not_take_a_chat_that_is_taken() {
    let server = Server::start();
    let owner = server.client("ann").header(CHAT, "chat").open().await;
    let other = server.client("ann").open().await.header(CHAT, "chat");
    assert_eq!(other.ask("ping", json!({})).await.status, 200);
    assert_eq!(owner.chats().await.json(), json!({"chat": id(&owner)}));

    owner.delete().await;
    assert_eq!(other.chats().await.json(), json!({}));
    assert_eq!(other.ask("ping", json!({})).await.status, 200);
    assert_eq!(other.chats().await.json(), json!({"chat": id(&other)}), "until it is free");
}

#[tokio::test]
async fn a_session_that_lost_its_chat_gets_it_back_when_it_is_free() {
    let server = Server::start();
    let client = server.client("ann").header(CHAT, "chat");
    let first = client.clone().open().await;
    let second = client.clone().open().await;
    assert_eq!(first.ask("ping", json!({})).await.status, 200, "it lives on");
    assert_eq!(client.chats().await.json(), json!({"chat": id(&second)}));
    second.delete().await;
    assert_eq!(first.ask("ping", json!({})).await.status, 200);
    assert_eq!(client.chats().await.json(), json!({"chat": id(&first)}));
}

#[tokio::test]
async fn nobody_ties_a_chat_to_a_session_that_is_not_there() {
    let server = Server::start();
    let anns = server.client("ann").open().await;
    let bob = server.client("bob").in_session(&id(&anns)).header(CHAT, "chat");
    assert_error(&bob.ask("ping", json!({})).await, 404, -32000, "a foreign session");
    assert_eq!(bob.chats().await.json(), json!({}));
    assert_eq!(anns.chats().await.json(), json!({}));
}

#[tokio::test]
async fn a_later_initialize_takes_the_chat_over() {
    let server = Server::start();
    let client = server.client("ann").header(CHAT, "chat");
    let first = client.clone().open().await;
    let second = client.clone().open().await;
    assert_ne!(id(&first), id(&second));
    assert_eq!(client.chats().await.json(), json!({"chat": id(&second)}));
    first.delete().await;
    assert_eq!(
        client.chats().await.json(),
        json!({"chat": id(&second)}),
        "the former session has nothing to take away"
    );
}

#[tokio::test]
async fn enabled_tools_pass_to_the_session_that_takes_the_chat_over() {
    let server = Server::start();
    let cases = [
        ("mode=dynamic", "mode=dynamic", true),
        ("mode=dynamic&apps=gmail", "mode=dynamic", true),
        ("mode=dynamic", "mode=static&apps=acme_crm", false),
        ("mode=static", "mode=dynamic", false),
    ];
    for (chat, (before, after, inherits)) in cases.into_iter().enumerate() {
        let client = server.client("ann").header(CHAT, &format!("chat {chat}"));
        let first = client.clone().query(before).open().await;
        if before.contains("dynamic") {
            enable(&first, "gmail_send-email").await;
        }
        let listed = client.clone().query(after).open().await.tool_names().await;
        assert_eq!(listed.contains(&"gmail_send-email".to_owned()), inherits, "{before}, then {after}: {listed:?}");
        assert_eq!(listed.contains(&"enable-tools".to_owned()), after.contains("dynamic"), "{before}, then {after}");
    }
}

#[tokio::test]
async fn what_was_inherited_goes_its_own_way() {
    let server = Server::start();
    let client = server.client("ann").query("mode=dynamic").header(CHAT, "chat");
    let first = client.clone().open().await;
    enable(&first, "gmail_send-email").await;
    let second = client.clone().open().await;
    enable(&second, "slack_list-users").await;
    assert_eq!(first.tool_names().await, ["enable-tools", "gmail_send-email"]);
    assert_eq!(second.tool_names().await, ["enable-tools", "slack_list-users"]);

    second.delete().await;
    let third = client.clone().open().await;
    assert_eq!(third.tool_names().await, ["enable-tools", "slack_list-users"], "what the chat had last");
}

/// Opens a session for each list and call, and ends it, as some frameworks do.
#[tokio::test]
async fn enabled_tools_outlive_the_sessions_that_a_chat_ends() {
    let folder = Folder::new();
    let keeping = || Server::builder().env("MCP__STORE__PATH", folder.as_str()).start();
    let server = keeping();
    let of_chat = |user: &str, chat: &str| server.client(user).query("mode=dynamic").header(CHAT, chat);
    let beyond = "test_simple_text";
    let first = of_chat("ann", "one").open().await;
    first.call("enable-tools", json!({"tools": ["gmail_list-emails", beyond]})).await.result();
    assert_eq!(first.delete().await.status, 200);
    for attempt in 0..2 {
        let next = of_chat("ann", "one").open().await;
        assert_eq!(next.tool_names().await, ["enable-tools", "gmail_list-emails", beyond], "{attempt}");
        next.output("gmail_list-emails", json!({"limit": 1})).await;
        next.delete().await;
        assert_eq!(next.chats().await.json(), json!({}), "{attempt}: the session is gone");
    }
    for (case, other) in [
        ("another chat", of_chat("ann", "two")),
        ("another user", of_chat("bob", "one")),
        ("no chat", server.client("ann").query("mode=dynamic")),
    ] {
        assert_eq!(other.open().await.tool_names().await, ["enable-tools"], "{case}");
    }
    let confined = of_chat("ann", "one").query("mode=dynamic&apps=gmail").open().await;
    assert_eq!(confined.tool_names().await, ["enable-tools", "gmail_list-emails"], "nothing outside its apps");
    server.kill();

    let server = keeping();
    let ann = || server.client("ann").query("mode=dynamic").header(CHAT, "one");
    let last = ann().open().await;
    assert!(last.tool_names().await.contains(&"gmail_list-emails".to_owned()), "after a restart, too");
    last.call("enable-tools", json!({"tools": []})).await.result();
    last.delete().await;
    assert_eq!(ann().open().await.tool_names().await, ["enable-tools"], "an empty list is how a chat begins anew");
}

#[tokio::test]
async fn tools_that_a_chat_leaves_at_one_server_are_found_at_another() {
    let fleet = Fleet::start(2).await;
    let client = fleet.servers[0].client("ann").query("mode=dynamic").header(CHAT, "one");
    let first = client.clone().open().await;
    enable(&first, "gmail_send-email").await;
    fleet.at(1, &first).delete().await;
    let next = fleet.at(1, &client).open().await;
    assert_eq!(next.tool_names().await, ["enable-tools", "gmail_send-email"]);
    assert_eq!(fleet.at(0, &next).delete().await.status, 200);
    assert_eq!(fleet.at(0, &client).modern_names().await, ["enable-tools", "gmail_send-email"]);
}

#[tokio::test]
async fn enabled_tools_outside_the_apps_are_not_inherited() {
    let server = Server::start();
    let mut claims = claims("ann");
    claims["fields"] = json!({"connections": ["gmail", "slack"]});
    for (case, tool) in [("connected", "slack_list-users"), ("not connected", "hubspot_list-deals")] {
        let client = server.client_with(&sign(&claims, SECRET)).header(CHAT, case);
        let before = client.clone().query("mode=dynamic").open().await;
        enable(&before, tool).await;
        assert_eq!(before.tool_names().await, ["enable-tools", tool], "{case}");
        let confined = client.query("mode=dynamic&apps=gmail").open().await;
        assert_eq!(confined.tool_names().await, ["enable-tools"], "{case}");
        assert_error(&confined.call(tool, json!({})).await, 200, -32602, case);
    }
}

#[tokio::test]
async fn delete_frees_the_chat_with_or_without_its_header() {
    let server = Server::start();
    for chats in [&["one"][..], &["one", "two"]] {
        let client = server.client("ann").header(CHAT, "one").open().await;
        for chat in chats {
            server.client("ann").in_session(&id(&client)).header(CHAT, chat).ask("ping", json!({})).await;
        }
        assert_eq!(client.chats().await.json().as_object().unwrap().len(), chats.len());
        assert_eq!(server.client("ann").in_session(&id(&client)).delete().await.status, 200);
        assert_eq!(client.chats().await.json(), json!({}), "{chats:?}");
    }
    let client = server.client("ann").header(CHAT, "one").open().await;
    assert_eq!(client.delete().await.status, 200);
    assert_eq!(client.chats().await.json(), json!({}));
}

#[tokio::test]
async fn a_chat_id_has_bounds() {
    let server = Server::start();
    let longest = "x".repeat(256);
    let client = server.client("ann").open().await;
    for chat in ["tab\tinside", &format!("{longest}x")] {
        let strange = client.clone().header(CHAT, chat);
        let case = format!("chat id {chat:?}");
        assert_error(&strange.ask("ping", json!({})).await, 400, -32000, &case);
        assert_error(&strange.get().await, 400, -32000, &case);
        assert_error(&strange.delete().await, 400, -32000, &case);
        let opened = server.client("ann").header(CHAT, chat).initialize("2025-11-25").await;
        assert_error(&opened, 400, -32000, &case);
        assert_eq!(opened.header("mcp-session-id"), None, "{case}");
    }
    for none in ["", "   "] {
        server.client("ann").header(CHAT, none).open().await;
    }
    assert_eq!(client.chats().await.json(), json!({}));
    let long = server.client("ann").header(CHAT, &longest).open().await;
    assert_eq!(long.chats().await.json(), json!({longest: id(&long)}));
}

/// What an agent's back end does with each message of a chat: look for the session, go on with it, and open another when
/// that is lost.
#[tokio::test]
async fn an_agent_finds_its_session_again_and_replaces_a_lost_one() {
    let server = Server::start();
    let agent = server.client("ann").query("mode=dynamic").header(CHAT, "chat");
    let opened = agent.clone().open().await;
    enable(&opened, "gmail_list-emails").await;

    let known = async || agent.chats().await.json()["chat"].as_str().map(str::to_owned);
    let resumed = agent.clone().in_session(&known().await.expect("the chat's session"));
    assert_eq!(resumed.tool_names().await, ["enable-tools", "gmail_list-emails"]);

    opened.delete().await;
    let lost = resumed.ask("tools/list", json!({})).await;
    assert_eq!(lost.json()["error"]["code"], -32000, "the sign to begin again");
    assert_eq!(known().await, None);
    let replaced = agent.clone().open().await;
    assert_eq!(known().await, Some(id(&replaced)));
    assert_eq!(replaced.ask("ping", json!({})).await.result(), json!({}));
}

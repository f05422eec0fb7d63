//! `?apps=`: a session that is confined to some apps.

use reqwest::Method;
use serde_json::json;

use crate::{
    client::reply_to,
    loading::spoil,
    support::{Server, catalog, token},
};

/// The sandbox's apps that a list of tools holds.
fn apps_of(names: &[String]) -> Vec<String> {
    let apps = catalog();
    let keys = apps.iter().map(|app| app["integration"]["key"].as_str().unwrap());
    let listed = keys.filter(|key| names.iter().any(|name| name.starts_with(&format!("{key}_"))));
    listed.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_session_lists_the_apps_it_asked_for() {
    let server = Server::start();
    let every = ["acme_crm", "gmail", "google-calendar", "hubspot", "notion", "sandbox-faults", "slack"];
    let both = ["gmail", "slack"];
    let cases: [(&str, &[&str]); 16] = [
        ("", &every),
        ("apps=", &every),
        ("apps=,", &every),
        ("apps=%20,%20", &every),
        ("apps=gmail", &["gmail"]),
        ("apps=acme_crm", &["acme_crm"]),
        ("apps=acme", &[]),
        ("apps=gmail,slack", &both),
        ("apps=slack,gmail", &both),
        ("apps=%20gmail%20,+slack+", &both),
        ("apps=gmail,,slack,", &both),
        ("apps=gmail,gmail", &["gmail"]),
        ("apps=gmail&apps=slack", &both),
        ("apps=gmail&apps=", &["gmail"]),
        ("apps=gmail,no-such-app", &["gmail"]),
        // Keys are compared as they are.
        ("apps=GMAIL", &[]),
    ];
    for (query, expected) in cases {
        let names = server.client("ann").query(query).open().await.tool_names().await;
        assert_eq!(apps_of(&names), expected, "{query:?}");
    }
}

#[tokio::test]
async fn a_session_without_a_known_app_has_an_empty_list() {
    let server = Server::start();
    let client = server.client("ann").query("apps=no-such-app").open().await;
    let reply = client.ask("tools/list", serde_json::json!({})).await;
    assert_eq!(reply.result(), serde_json::json!({"tools": []}), "an empty list is an answer, not an error");
}

#[tokio::test]
async fn only_the_connections_of_the_named_apps_are_asked_for() {
    let server = Server::start();
    server.client("ann").query("apps=gmail,gmail,%20slack").open().await.tools().await;
    assert_eq!(server.requests("GET /connections").await, 2, "one request for each app");
    assert_eq!(server.requests("GET /actions").await, 2, "no other app's actions are of use");
}

#[tokio::test]
async fn a_tool_of_another_app_cannot_be_called() {
    let server = Server::start();
    let client = server.client("ann").query("apps=gmail").open().await;
    for name in ["slack_list-users", "slack-list-users", "acme_crm_ping"] {
        let reply = client.call(name, serde_json::json!({})).await;
        assert_eq!(reply.code(), -32602, "{name}: {reply:?}");
    }
    client.output("gmail_list-emails", serde_json::json!({})).await;
    assert_eq!(server.requests("POST /action-instance/run").await, 1, "the upstream has seen the last call alone");
}

#[tokio::test]
async fn sessions_of_one_user_are_confined_each_by_itself() {
    let server = Server::start();
    let confined = server.client("ann").query("apps=gmail").open().await;
    let other = server.client("ann").query("apps=slack").open().await;
    let free = server.client("ann").open().await;
    assert_eq!(apps_of(&confined.tool_names().await), ["gmail"]);
    assert_eq!(apps_of(&other.tool_names().await), ["slack"]);
    assert_eq!(apps_of(&free.tool_names().await).len(), catalog().len());

    // What opened a session confines it; the query of a later request changes nothing.
    let widened = confined.clone().query("apps=slack&mode=dynamic");
    assert_eq!(apps_of(&widened.tool_names().await), ["gmail"]);
}

#[tokio::test]
async fn a_list_that_lacks_apps_is_kept_for_a_moment_and_calls_say_why() {
    let server = Server::start();
    let broken = |query: &str| json!([{"path": "/actions", "query": query, "status": 500}]);
    spoil(&server, broken("")).await;
    let client = server.client("ann");
    let list = client.modern_list().await;
    assert_eq!((&list["tools"], &list["ttlMs"]), (&json!([]), &json!(5000)), "{list}");
    let in_chat = client.clone().header("x-chat-id", "monday").modern_list().await;
    assert_eq!(in_chat["ttlMs"], 5000, "{in_chat}");

    let said = client.clone().initialize("2025-11-25").await.result()["instructions"].to_string();
    assert!(said.contains("can't be loaded right now") && said.contains("Gmail") && said.contains("Slack"), "{said}");
    let fixed = client.clone().open().await;
    let dynamic = client.clone().query("mode=dynamic").open().await;
    for asked in [&fixed, &dynamic] {
        let reply = asked.call("gmail_list-emails", json!({})).await;
        let message = reply.json()["error"]["message"].as_str().unwrap().to_owned();
        assert_eq!(reply.code(), -32602);
        let expected =
            "Tool gmail_list-emails can't be found: the tools of Gmail can't be loaded right now, try again in 5 s";
        assert!(message.contains(expected), "{message}");
    }
    let modern = client.modern_call("gmail_list-emails", json!({})).send().await;
    assert!(modern.text.contains("can't be loaded right now"), "{modern:?}");
    let nothing = fixed.call("nothing_to-do", json!({})).await;
    assert!(nothing.text.contains("Unknown tool"), "no app begins like that: {nothing:?}");
    let enabled = dynamic.call("enable-tools", json!({"tools": ["gmail_no-such-action"]})).await.result();
    assert!(enabled["content"].to_string().contains("The tools of Gmail can't be loaded right now"), "{enabled}");

    // One app alone is as good a reason to ask again soon.
    spoil(&server, broken("int-gmail")).await;
    let partial = server.client("bob").modern_list().await;
    assert_eq!(partial["ttlMs"], 5000, "{}", partial["ttlMs"]);
    assert!(!partial["tools"].as_array().unwrap().is_empty());
    spoil(&server, json!([])).await;
    assert_eq!(server.client("eve").modern_list().await["ttlMs"], 60_000);
}

#[tokio::test]
async fn a_query_parameter_that_there_is_not_is_refused_by_name() {
    let server = Server::start();
    let refused = [
        ("app=gmail", "\"app\""),
        ("mode=dynamic&Apps=gmail", "\"Apps\""),
        ("apps[]=gmail", "\"apps[]\""),
        // A token without its name must not show.
        (&token("ann"), "unknown query parameter: "),
    ];
    for (query, named) in refused {
        let client = server.client("ann").query(query);
        for reply in [client.initialize("2025-11-25").await, client.modern("tools/list", json!({})).send().await] {
            assert_eq!(reply.status, 400, "{query}: {reply:?}");
            let message = reply.json()["error"]["message"].as_str().unwrap().to_owned();
            assert!(
                message.contains(named)
                    && message.contains("token, mode, apps, tools, exclude, access, pin and output"),
                "{query}: {message}"
            );
        }
        let sse = client.request_at(Method::GET, &format!("/sse?{query}")).header("accept", "text/event-stream");
        assert_eq!(reply_to(sse).await.status, 400, "{query}");
    }
}

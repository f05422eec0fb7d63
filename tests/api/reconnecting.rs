//! Calls of tools that are gone with their app: the user may connect it again, and the call goes on.

use serde_json::{Value, json};

use crate::{
    connecting::{again, asking, page_of},
    connecting_support::{Person, answered, first_text, linked},
    support::{Server, eventually},
};

const SECRET: &str = "the secret of this test's webhooks";

/// Disconnects an app, and waits until the server knows it.
async fn disconnect(server: &Server, ann: &Person<'_>, app: &str) {
    let url = format!("{}/connections/{app}", server.sandbox);
    server.http.delete(url).bearer_auth(&ann.token).send().await.unwrap();
    let told = json!({"eventType": "connection.deleted", "data": {"connection": {"user": {"internalId": "ann"}}}});
    let webhook = server.http.post(format!("{}/webhooks/membrane", server.url)).bearer_auth(SECRET).json(&told);
    assert_eq!(webhook.send().await.unwrap().status(), 204);
    let prefix = format!("{app}_");
    eventually("the tools are gone", async || {
        !ann.client().modern_names().await.iter().any(|name| name.starts_with(&prefix))
    })
    .await;
}

#[tokio::test]
async fn a_tool_that_is_gone_with_its_app_runs_once_the_app_is_connected_again() {
    let server = Server::builder().env("MCP__WEBHOOKS__SECRET", SECRET).start();
    let ann = Person::of(&server, "ann", &["gmail", "notion"]);
    assert!(ann.client().modern_names().await.contains(&"notion_search-pages".to_owned()));
    for (query, tool, arguments) in [
        ("", "notion_search-pages", json!({"query": "a"})),
        ("mode=search", "run-read-tool", json!({"name": "notion_search-pages", "arguments": {"query": "a"}})),
    ] {
        let client = ann.client().query(query);
        // So that the URL's own catalog has had the tool.
        client.modern_call("search-tools", json!({"query": ""})).send().await;
        disconnect(&server, &ann, "notion").await;
        let told = client.modern_call(tool, arguments.clone()).answer().await;
        assert_eq!(told["isError"], true, "{told}");
        linked(first_text(&told), "notion_search-pages");

        let call = asking(&client, tool, arguments);
        let asked = call.answer().await;
        ann.allow(&page_of(&asked)).await;
        let result = again(&call, &asked, "accept").answer().await;
        assert_eq!(result["isError"], Value::Null, "{result}");
    }
    // In a session it is a failure with the link, not an error of the protocol.
    let session = ann.client().open().await;
    disconnect(&server, &ann, "notion").await;
    let told = answered(&session.call("notion_search-pages", json!({"query": "a"})).await);
    linked(first_text(&told), "notion_search-pages");
}

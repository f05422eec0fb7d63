//! Apps of the workspace that a user has not connected, in searches.

use serde_json::{Value, json};

use crate::{
    accounts::{builder, open, used},
    loading::spoil,
};

#[tokio::test]
async fn a_search_names_apps_of_the_workspace_that_are_not_connected() {
    let server = builder().start();
    let client = open(&server, "ann", &["gmail", "slack"], "mode=search").await;
    let (named, _) = used(&client, "search-tools", json!({"query": "create a page in Notion"})).await;
    assert_eq!(named["apps"]["notion"], json!({"status": "not_connected", "name": "Notion"}), "{named}");
    assert!(named["note"].as_str().unwrap().contains("Notion is not connected"), "{named}");
    let (asked, _) = used(&client, "search-tools", json!({"query": "create a page", "app": "notion"})).await;
    assert_eq!((&asked["apps"]["notion"]["status"], &asked["tools"]), (&json!("not_connected"), &json!([])), "{asked}");
    let (all, _) = used(&client, "search-tools", json!({})).await;
    assert_eq!(
        (&all["apps"]["gmail"]["status"], &all["apps"]["notion"]["status"]),
        (&json!("connected"), &json!("not_connected"))
    );
    let (other, _) = used(&client, "search-tools", json!({"query": "send an email"})).await;
    assert_eq!(other["apps"]["notion"], Value::Null, "{other}");
    assert_eq!(server.requests("GET /integrations").await, 1, "once for all searches of a user");

    let confined = open(&server, "ann", &["gmail", "slack"], "mode=search&apps=gmail").await;
    let (none, _) = used(&confined, "search-tools", json!({"query": "create a page in Notion"})).await;
    assert_eq!(none["apps"]["notion"], Value::Null, "the URL does not let it be seen: {none}");
}

#[tokio::test]
async fn an_upstream_without_a_list_of_apps_is_not_asked_again() {
    for (status, users) in [(404, 1), (405, 1), (403, 2)] {
        let server = builder().env("MCP__SERVER__WORKERS", "1").start();
        spoil(&server, json!([{"path": "/integrations", "status": status, "body": {}}])).await;
        for user in ["ann", "ann", "bob", "bob"] {
            let client = open(&server, user, &["gmail"], "mode=search").await;
            let (answer, _) = used(&client, "search-tools", json!({"query": "send an email"})).await;
            assert_eq!(answer["apps"]["gmail"]["status"], "connected", "{status}: {answer}");
        }
        assert_eq!(server.requests("GET /integrations").await, users, "{status}");
    }
}

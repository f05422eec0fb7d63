//! Lists with odd values and bytes that are no Unicode: they cost themselves, never an app, a tool or a user.

use serde_json::{Value, json};

use crate::{
    odd_upstream::{OddUpstream, call, first_text},
    support::{Server, claims, sign},
};

const CONNECTIONS: &str = r#"{"items":[{"id":"c","integration":{"id":"i","key":"app","name":"App"}}]}"#;

fn names(tools: &[Value]) -> Vec<&str> {
    tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn what_is_no_unicode_in_an_action_is_replaced_and_all_else_kept() {
    let cases: [(&[u8], &str); 4] = [
        (br"cut \ud83d", "cut \u{fffd}"),
        (br"\ude00\ud83dx", "\u{fffd}\u{fffd}x"),
        (b"\xff\xfe", "\u{fffd}\u{fffd}"),
        (b"\xed\xa0\xbd", "\u{fffd}\u{fffd}\u{fffd}"),
    ];
    for (odd, shown) in cases {
        let member = |name: &str| [format!("\"{name}\":\"").as_bytes(), odd, b"\","].concat();
        let schema = [
            br#"{"type":"object","properties":{"a":{"type":"string",""#.as_slice(),
            br#"description":""#,
            odd,
            br#""}}}"#,
        ]
        .concat();
        let page = [
            b"\xef\xbb\xbf{\"items\":[{\"key\":\"do\",\"integrationId\":\"i\",".as_slice(),
            &member("name"),
            &member("description"),
            b"\"inputSchema\":",
            &schema,
            b",\"outputSchema\":",
            &schema,
            b"},{\"key\":\"other\",\"name\":\"Other\",\"integrationId\":\"i\"}]}",
        ]
        .concat();
        let upstream = OddUpstream::answering("/actions", page);
        let server = upstream.server();
        let client = server.client("ann").open().await;
        let tools = client.tools().await;
        assert_eq!(names(&tools), ["app_do", "app_other"], "{shown}");
        assert!(tools[0]["title"].as_str().unwrap().ends_with(shown), "{}", tools[0]);
        assert!(tools[0]["description"].as_str().unwrap().contains(shown), "{}", tools[0]);
        for side in ["inputSchema", "outputSchema"] {
            assert_eq!(tools[0][side]["properties"]["a"]["description"], shown, "{}", tools[0]);
        }
        upstream.run_is(200, "", &[b"\xef\xbb\xbf{\"output\":{\"a\":\"".as_slice(), odd, b"\",\"b\":1}}"].concat());
        let result = call(&client, "app_do", "{}").await;
        let expected = json!({"a": shown, "b": 1});
        assert_eq!(result["structuredContent"], expected, "{result}");
        assert_eq!(serde_json::from_str::<Value>(first_text(&result)).unwrap(), expected, "{result}");
    }
}

#[tokio::test]
async fn what_is_no_unicode_in_connections_is_replaced() {
    for odd in [&b"Ap\\ud83d"[..], b"Ap\xff"] {
        let page = [
            br#"{"items":[{"name":""#.as_slice(),
            odd,
            br#"","integration":{"id":"i","key":"app","name":""#,
            odd,
            br#""}}]}"#,
        ]
        .concat();
        let upstream = OddUpstream::answering("/connections", page);
        let server = upstream.server();
        let tools = server.client("ann").open().await.tools().await;
        assert!(tools[0]["title"].as_str().unwrap().starts_with("Ap\u{fffd}: "), "{}", tools[0]);
    }
}

#[tokio::test]
async fn odd_values_in_connections_cost_nothing() {
    for odd in [
        r#"{"items":[{"id":7,"disconnected":0,"isDeactivated":"no","archivedAt":false,"state":{},"connected":"x","integration":{"id":9,"key":"app","name":5,"logoUri":{},"isDeactivated":0,"archivedAt":""}}],"cursor":null}"#,
        r#"{"items":[{"integration":{"id":{},"key":"app","name":{},"logoUri":1e400}},{"integration":"app"},{"integration":7},[],7,null],"cursor":""}"#,
        r#"{"items":[{"integration":{"key":"app","name":[[]]}}],"cursor":{}}"#,
    ] {
        let upstream = OddUpstream::answering("/connections", odd.as_bytes().to_vec());
        let server = upstream.server();
        let tools = server.client("ann").open().await.tools().await;
        assert_eq!(names(&tools), ["app_do"], "{odd}");
        assert_eq!(tools[0].get("icons"), None, "{odd}");
    }
}

#[tokio::test]
async fn odd_values_in_actions_cost_nothing() {
    let page = r#"{"items":[
        {"key":"a","name":5,"description":6,"type":{},"integrationId":7,"isDeactivated":0,"archivedAt":0},
        {"key":8,"name":null,"description":["x"],"type":9,"integrationKey":{},"integration":{"id":1e400}},
        {"key":"c","integration":{"key":"app"},"inputSchema":7,"outputSchema":"x"},
        {"key":{},"name":"no key","integrationId":"i"},
        {"key":"e","integrationId":"i","archivedAt":"2026-01-01"}]}"#;
    let upstream = OddUpstream::answering("/actions", page.as_bytes().to_vec());
    let server = upstream.server();
    let tools = server.client("ann").open().await.tools().await;
    assert_eq!(names(&tools), ["app_8", "app_a", "app_c"]);
    assert!(tools[1]["description"].as_str().unwrap().contains('6'), "numbers read as text: {}", tools[1]);
}

#[tokio::test]
async fn numbers_name_users_as_texts_do() {
    let odd = r#"{"id":12345678901234567890,"internalId":42,"workspaceKey":7,"name":{},"fields":[1e400]}"#;
    let upstream = OddUpstream::answering("/self", odd.as_bytes().to_vec());
    let server = upstream.server();
    let mut payload = claims("42");
    payload["id"] = json!(42);
    payload["iss"] = json!(7);
    let token = sign(&payload, "key");
    let session = server.client_with(&token).open().await;
    // A session's request has the token shown to `/self`.
    assert_eq!(session.ask("ping", json!({})).await.result(), json!({}));
    let opaque = server.client_with("pat-42").in_session(session.session.as_deref().unwrap());
    assert_eq!(opaque.ask("ping", json!({})).await.result(), json!({}), "it is the same user");
}

#[tokio::test]
async fn a_connection_that_needs_its_user_says_so_in_whatever_member() {
    for (members, is_lost) in [
        (r#""disconnected":true"#, true),
        (r#""disconnected":1"#, true),
        (r#""connected":false"#, true),
        (r#""connected":"false""#, true),
        (r#""state":"CLIENT_ACTION_REQUIRED""#, true),
        (r#""connected":true,"state":"READY""#, false),
        (r#""connected":null,"disconnected":false"#, false),
        (r#""state":"BUILDING""#, false),
    ] {
        let page = CONNECTIONS.replacen("\"id\":\"c\"", members, 1);
        let upstream = OddUpstream::answering("/connections", page.into_bytes());
        let server = upstream.server();
        let client = server.client("ann").open().await;
        upstream.run_is(400, "", br#"{"message":"no"}"#);
        let result = call(&client, "app_do", "{}").await;
        assert_eq!(first_text(&result).contains("App is disconnected"), is_lost, "{members}: {result}");
    }
}

#[tokio::test]
async fn a_webhook_may_name_its_user_by_a_number() {
    let upstream = OddUpstream::answering("/self", br#"{"id":1}"#.to_vec());
    let server = Server::before(&upstream.raw.url).env("MCP__WEBHOOKS__SECRET", "the secret of the hooks").start();
    let client = server.client("42").open().await;
    client.tools().await;
    let loads = || upstream.raw.asked().iter().filter(|asked| asked.path == "/connections").count();
    let before = loads();
    let hook = r#"{"eventType":"connection.created","data":{"connection":{"userId":42,"name":"\ud83d"}}}"#;
    let request = server.http.post(format!("{}/webhooks/membrane", server.url)).bearer_auth("the secret of the hooks");
    let status = request.header("content-type", "application/json").body(hook).send().await.unwrap().status();
    assert!(status.is_success(), "{status}");
    crate::support::eventually("the user's tools are loaded again", async || loads() > before).await;
}

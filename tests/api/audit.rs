//! What the log says of a request and of a call of a tool.

use serde_json::{Value, json};

use crate::{
    client::reply_to,
    support::{Client, Server, eventually},
};

/// A server that logs in JSON.
fn start(arguments: &str) -> Server {
    Server::builder().env("MCP__LOG__FORMAT", "json").env("MCP__LOG__ARGUMENTS", arguments).start()
}

/// The lines on a target, once there are so many.
async fn lines(server: &Server, target: &str, count: usize) -> Vec<Value> {
    let lines = || -> Vec<Value> {
        let log = server.log();
        // A line is there when the next one has begun.
        let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines = whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["target"] == target).collect()
    };
    eventually("the lines are there", async || lines().len() >= count).await;
    lines()
}

fn told(line: &Value, fields: &[&str]) -> Value {
    fields.iter().map(|field| line[*field].clone()).collect()
}

const WHO_AND_WHAT: [&str; 5] = ["user", "chat", "session", "tool", "outcome"];

async fn calls(client: &Client<'_>) {
    client.output("slack_list-channels", json!({})).await;
    client.call("gmail_send-email", json!({"to": 1})).await;
    client.call("no_such-tool", json!({})).await;
}

#[tokio::test]
async fn each_call_of_a_session_has_a_line() {
    let server = start("false");
    let ann = server.client("ann").header("x-chat-id", "chat-1").header("x-request-id", "from-afar").open().await;
    calls(&ann).await;
    let lines = lines(&server, "audit", 3).await;
    let session = ann.session.as_deref();
    let expected = [("slack_list-channels", "success"), ("gmail_send-email", "error"), ("no_such-tool", "refused")];
    for (line, (tool, outcome)) in lines.iter().zip(expected) {
        let who_and_what = json!(["sandbox/ann", "chat-1", session, tool, outcome]);
        assert_eq!(told(line, &WHO_AND_WHAT), who_and_what, "{line}");
        assert_eq!(told(line, &["level", "request", "arguments"]), json!(["info", "from-afar", null]), "{line}");
        assert!(line["ms"].is_u64(), "{line}");
    }
    assert_eq!(told(&lines[0], &["bytes_in"]), json!([2]));
    let bytes_out = |line: &Value| line["bytes_out"].as_u64().unwrap();
    assert!(bytes_out(&lines[0]) > 2 && bytes_out(&lines[1]) > 2 && bytes_out(&lines[2]) == 0, "{lines:?}");
    assert!(!server.log().contains(&ann.token), "no token stands in the log");
}

#[tokio::test]
async fn each_call_of_the_modern_era_has_a_line() {
    let server = start("true");
    let ann = server.client("ann");
    ann.modern_call("slack_list-channels", json!({"limit": 7})).send().await;
    ann.modern_call("no_such-tool", json!({})).send().await;
    let in_chat = ann.clone().header("x-chat-id", "chat-2");
    in_chat.modern_call("slack_list-channels", json!({})).send().await;
    let session = ann.chats().await.json()["chat-2"].take();
    let lines = lines(&server, "audit", 3).await;
    let expected = [
        json!(["sandbox/ann", null, null, "slack_list-channels", "success"]),
        json!(["sandbox/ann", null, null, "no_such-tool", "refused"]),
        json!(["sandbox/ann", "chat-2", session, "slack_list-channels", "success"]),
    ];
    for (line, expected) in lines.iter().zip(expected) {
        assert_eq!(told(line, &WHO_AND_WHAT), expected, "{line}");
    }
    assert_eq!(lines[0]["arguments"], json!(r#"{"limit":7}"#));
}

#[tokio::test]
async fn a_call_that_is_cancelled_or_left_has_a_line() {
    let server = start("false");
    let sleep = json!({"ms": 60_000});
    let ann = server.client("ann");
    let left = ann.modern_call("sandbox-faults_sleep", sleep.clone()).request().send().await.unwrap();
    drop(left);
    assert_eq!(lines(&server, "audit", 1).await[0]["outcome"], "cancelled");

    let ann = ann.open().await;
    let params = json!({"name": "sandbox-faults_sleep", "arguments": sleep, "_meta": {"progressToken": 1}});
    let call = json!({"jsonrpc": "2.0", "id": "slow", "method": "tools/call", "params": params});
    let request = ann.request(reqwest::Method::POST).header("accept", "application/json, text/event-stream");
    let answer = request.json(&call).send().await.unwrap();
    eventually("the call runs", async || server.requests("POST /action-instance/run").await == 2).await;
    ann.post(json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "slow"}})).await;
    assert_eq!(lines(&server, "audit", 2).await[1]["outcome"], "cancelled");
    drop(answer);
}

#[tokio::test]
async fn a_request_id_is_taken_where_sane_and_returned() {
    let server = start("false");
    let ids = [Some("a-1:b/c"), None, Some("two words"), Some("é"), Some("")];
    let too_long = "x".repeat(129);
    let mut seen = Vec::new();
    for id in ids.into_iter().chain([Some(too_long.as_str())]) {
        let mut request = server.http.get(format!("{}/", server.url));
        if let Some(id) = id {
            request = request.header("x-request-id", id.as_bytes());
        }
        let reply = reply_to(request).await;
        let given = reply.header("x-request-id").unwrap().to_owned();
        assert_eq!(Some(given.as_str()) == id, id == Some("a-1:b/c"), "{id:?} became {given}");
        assert!(given.bytes().all(|byte| byte.is_ascii_graphic()) && given.len() < 64, "{given}");
        assert!(!seen.contains(&given), "{given} is given twice");
        seen.push(given);
    }
    let lines = lines(&server, "access", seen.len()).await;
    let logged: Vec<_> = lines.iter().map(|line| line["request"].as_str().unwrap()).collect();
    assert_eq!(logged, seen, "in the log as in the answers");
}

#[tokio::test]
async fn a_session_has_a_line_at_either_end() {
    let server = start("false");
    let ann = server.client("ann").open().await;
    ann.delete().await;
    let said = async |message: &str| {
        let module = lines(&server, "session", 2).await;
        module
            .into_iter()
            .find(|line| line["message"] == message)
            .unwrap_or_else(|| panic!("{message:?} is not logged"))
    };
    for message in ["session opened", "session closed"] {
        let line = said(message).await;
        assert_eq!(told(&line, &["user", "session"]), json!(["sandbox/ann", ann.session]), "{line}");
    }
}

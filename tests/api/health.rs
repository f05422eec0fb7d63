//! Whether the server says rightly how it is.

use serde_json::{Value, json};

use crate::{
    client::reply_to,
    support::{Server, eventually},
};

/// The status and body of `/readyz` on one of the listeners.
async fn readiness(server: &Server, listener: &str) -> (u16, Value) {
    let reply = reply_to(server.http.get(format!("{listener}/readyz"))).await;
    (reply.status.as_u16(), reply.json())
}

#[tokio::test]
async fn a_server_that_runs_is_alive_and_ready_on_both_listeners() {
    let server = Server::start();
    for listener in [&server.url, &server.admin] {
        let alive = reply_to(server.http.get(format!("{listener}/healthz"))).await;
        assert_eq!((alive.status.as_u16(), alive.text.as_str()), (200, "ok\n"), "{listener}");
        let (status, body) = readiness(&server, listener).await;
        assert_eq!((status, &body["ready"]), (200, &json!(true)), "{listener}: {body}");
        let checks = body["checks"].as_object().unwrap();
        assert!(checks.values().all(|state| state == "ok"), "{listener}: {body}");
        for part in ["server", "shards", "store"] {
            assert!(checks.contains_key(part), "{listener}: {body}");
        }
    }
}

#[tokio::test]
async fn a_server_that_stops_is_alive_but_not_ready() {
    let server = Server::start();
    let ann = server.client("ann").open().await;
    // Keeps the server from having stopped before it can be asked.
    let slow = tokio::spawn({
        let request = ann.request(reqwest::Method::POST).header("accept", "application/json, text/event-stream");
        let params = json!({"name": "sandbox-faults_sleep", "arguments": {"ms": 60_000}});
        request.json(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})).send()
    });
    eventually("the call runs", async || server.requests("POST /action-instance/run").await > 0).await;
    server.terminate();
    eventually("it says that it stops", async || readiness(&server, &server.admin).await.0 == 503).await;
    let (_, body) = readiness(&server, &server.admin).await;
    assert_eq!((&body["ready"], &body["checks"]["server"]), (&json!(false), &json!("it is stopping")), "{body}");
    let alive = reply_to(server.http.get(format!("{}/healthz", server.admin))).await;
    assert_eq!(alive.status, 200);
    slow.abort();
}

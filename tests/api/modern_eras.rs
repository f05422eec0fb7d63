//! One endpoint for both eras: which of them serves a request, and what each gets to see
//! (MCP 2026-07-28, basic/versioning § Backward Compatibility).

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    modern_support::{CAPABILITIES, MODERN, conformance_token},
    support::{Client, Server},
};

/// TO-08 (MCP 2025-11-25, server/tools § Output Schema wants an object; MCP 2026-07-28 takes any schema).
#[tokio::test]
async fn an_output_schema_of_a_list_is_for_the_modern_era_alone() {
    let server = Server::start();
    let token = conformance_token("ann");
    let tool = |tools: &[Value]| tools.iter().find(|tool| tool["name"] == "test_list_output").unwrap().clone();

    let modern = server.client_with(&token);
    let list = modern.modern_list().await;
    assert_eq!(tool(list["tools"].as_array().unwrap())["outputSchema"]["type"], "array");
    let result = modern.modern_call("test_list_output", json!({})).send().await.result();
    assert_eq!(result["structuredContent"], json!([1, 2, 3]), "{result}");
    assert_eq!(result["content"][0]["text"], "[1,2,3]", "{result}");

    for revision in ["2025-03-26", "2025-06-18", "2025-11-25"] {
        let legacy = server.client_with(&token).open_with(revision).await;
        assert_eq!(tool(&legacy.tools().await).get("outputSchema"), None, "{revision}");
        let result = legacy.call("test_list_output", json!({})).await.result();
        assert_eq!(result.get("structuredContent"), None, "{revision}: {result}");
        assert_eq!(result["content"][0]["text"], "[1,2,3]", "{revision}");
    }
}

/// D-01 to D-06 (MCP 2026-07-28, basic/versioning § Backward Compatibility): which era serves a request.
#[tokio::test]
async fn each_request_chooses_its_era() {
    let server = Server::start();
    let client = server.client("ann");
    let session = server.client("ann").open().await;

    // D-03: `initialize` "selects legacy semantics".
    let reply = client.initialize(MODERN).await;
    assert_eq!(reply.result()["protocolVersion"], "2025-11-25", "{reply:?}");
    assert!(reply.header("mcp-session-id").is_some());

    // D-05 and D-06: what has no claim is the session's, whose results keep their shape.
    let reply = session.ask("server/discover", json!({})).await;
    assert_eq!((reply.status.as_u16(), reply.code()), (200, -32601), "{reply:?}");
    assert_eq!(session.ask("ping", json!({})).await.result(), json!({}));
    let list = session.ask("tools/list", json!({})).await.result();
    assert_eq!(list.as_object().unwrap().keys().collect::<Vec<_>>(), ["tools"]);
    let meta = json!({"_meta": {"progressToken": "p", CAPABILITIES: {}}});
    assert_eq!(session.ask("ping", meta).await.result(), json!({}), "no version, no claim");

    // D-04: a claim wins over the session.
    let listed = session.modern("tools/list", json!({})).send().await.result();
    assert_eq!(listed["resultType"], "complete");

    // A batch with a claim is of neither era; without a session no request but `initialize` is served (T-28).
    let claim = client.modern("tools/list", json!({})).body;
    let ping = json!({"jsonrpc": "2.0", "id": 2, "method": "ping"});
    for batch in [json!([claim]), json!([ping, claim])] {
        let reply = session.post(batch).await;
        assert_eq!((reply.status.as_u16(), reply.code()), (400, -32600), "{reply:?}");
    }
    assert_eq!(client.post(ping).await.status, 400);
    // M-06, M-07: a claim needs its header.
    let reply = session.post(claim).await;
    assert_eq!((reply.status.as_u16(), reply.code()), (400, -32020), "{reply:?}");
}

/// D-02, M-05a: the header alone names the modern era.
#[tokio::test]
async fn a_modern_header_without_a_claim_is_refused() {
    let server = Server::start();
    let client: Client<'_> = server.client("ann").header("MCP-Protocol-Version", MODERN);
    let in_session = client.clone().within(server.client("ann").open().await.session);
    for client in [client, in_session] {
        for method in ["tools/list", "ping", "server/discover", "no/such"] {
            let reply = client.ask(method, json!({})).await;
            assert_eq!((reply.status.as_u16(), reply.code()), (400, -32602), "{method}: {reply:?}");
            assert_eq!(reply.json()["id"], 1, "{method}");
        }
        let reply = client.post(json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
        assert_eq!((reply.status.as_u16(), reply.text.as_str()), (202, ""), "{reply:?}");
    }
}

/// M-15 (MCP 2026-07-28, basic/transports/streamable-http § Earlier Streamable HTTP Revisions): GET and DELETE stay the
/// sessions'.
#[tokio::test]
async fn get_and_delete_serve_the_session_era() {
    let server = Server::start();
    let session = server.client("ann").open().await;
    let mut stream = session.stream().await;
    let bare = server.client("ann");
    for method in [Method::GET, Method::DELETE] {
        let reply = bare.request(method.clone()).header("accept", "text/event-stream").send().await.unwrap();
        assert_eq!(reply.status(), 400, "T-31: {method} without a session");
    }
    for method in [Method::PUT, Method::PATCH, Method::OPTIONS] {
        let reply = bare.request(method.clone()).send().await.unwrap();
        assert_eq!(reply.status(), 405, "T-32: {method}");
        assert_eq!(reply.headers()["allow"], "GET, POST, DELETE", "T-32: {method}");
    }
    assert!(session.delete().await.status.is_success());
    assert_eq!(stream.next().await, None);
}

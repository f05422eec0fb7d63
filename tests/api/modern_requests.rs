//! Requests of revision 2026-07-28 on `POST /mcp`, each by itself.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    modern_support::{CAPABILITIES, MODERN, VERSION, names},
    support::Server,
};

/// The text that `sandbox-faults_echo` gives back.
fn echoed(result: &Value) -> Value {
    serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap()
}

/// M-01, M-01b, M-02 (MCP 2026-07-28, server/discover): servers MUST implement `server/discover`.
#[tokio::test]
async fn discover_tells_versions_capabilities_and_who_answers() {
    let server = Server::start();
    for query in ["", "mode=dynamic"] {
        let reply = server.client("ann").query(query).modern("server/discover", json!({})).send().await;
        assert_eq!(reply.status, 200, "{query}: {reply:?}");
        let result = reply.result();
        assert_eq!(result["supportedVersions"][0], MODERN, "{query}: {result}");
        assert_eq!(result["capabilities"], json!({"tools": {"listChanged": true}}), "{query}: only what is offered");
        assert_eq!(result["cacheScope"], "public", "{query}: the same for everybody");
        assert!(result["ttlMs"].as_u64().unwrap() > 0, "{query}: {result}");
        assert!(result["instructions"].is_string(), "{query}: {result}");
        assert_eq!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "Integration App MCP Server");
    }
}

/// M-02, M-02c (MCP 2026-07-28, server/utilities/caching): a per-user list is private.
#[tokio::test]
async fn tools_are_listed_and_called_without_a_session() {
    let server = Server::start();
    let client = server.client("ann");
    let reply = client.modern("tools/list", json!({})).send().await;
    let list = reply.result();
    assert_eq!((&list["resultType"], &list["cacheScope"]), (&json!("complete"), &json!("private")));
    assert!(list["ttlMs"].is_u64(), "ttlMs must be an integer: {list}");
    assert_eq!(reply.header("mcp-session-id"), None);
    assert!(names(&list).contains(&"gmail_send-email".to_owned()));
    assert_eq!(list["tools"], client.modern_list().await["tools"], "§ Tools: a deterministic order");

    let apps = server.client("ann").query("apps=slack, notion").modern_names().await;
    assert!(!apps.is_empty() && apps.iter().all(|name| name.starts_with("slack_") || name.starts_with("notion_")));

    let reply = client.modern_call("slack_list-channels", json!({})).send().await;
    let result = reply.result();
    assert_eq!(result["resultType"], "complete", "{result}");
    assert_eq!(echoed(&result), result["structuredContent"], "{result}");
    assert_eq!(reply.header("mcp-session-id"), None);

    let failed = client.modern_call("sandbox-faults_fail-400", json!({})).send().await;
    assert_eq!((failed.status.as_u16(), &failed.result()["isError"]), (200, &json!(true)), "M-22: {failed:?}");
    let invalid = client.modern_call("gmail_send-email", json!({"to": 7})).send().await;
    assert_eq!((invalid.status.as_u16(), &invalid.result()["isError"]), (200, &json!(true)), "M-22: {invalid:?}");
}

/// M-05 (MCP 2026-07-28, basic/index § `_meta`): a request without its required fields is malformed.
#[tokio::test]
async fn an_envelope_that_is_not_whole_is_refused() {
    let server = Server::start();
    let client = server.client("ann");
    let sound = || client.modern("tools/list", json!({}));
    let bare = |params: Value| {
        let mut request = sound();
        request.body["params"] = params;
        request
    };
    let cases = [
        ("no clientCapabilities", sound().without_meta(CAPABILITIES)),
        ("clientCapabilities that are no object", sound().meta(CAPABILITIES, json!([]))),
        ("no protocolVersion", sound().without_meta(VERSION)),
        ("a protocolVersion that is no text", sound().meta(VERSION, json!(20_260_728))),
        ("a clientInfo without version", sound().meta("io.modelcontextprotocol/clientInfo", json!({"name": "n"}))),
        ("a logLevel that there is not", sound().meta("io.modelcontextprotocol/logLevel", json!("loud"))),
        ("no _meta", bare(json!({}))),
        ("a _meta that is no object", bare(json!({"_meta": 7}))),
    ];
    for (case, request) in cases {
        let reply = request.id(json!("e")).send().await;
        assert_eq!((reply.status.as_u16(), reply.code()), (400, -32602), "{case}: {reply:?}");
        assert_eq!(reply.json()["id"], "e", "{case}");
    }
    let mut request = sound();
    request.body.as_object_mut().unwrap().remove("params");
    let reply = request.send().await;
    assert_eq!((reply.status.as_u16(), reply.code()), (400, -32602), "no params: {reply:?}");

    let lean = sound().without_meta("io.modelcontextprotocol/clientInfo").meta("com.example/unknown", json!([1]));
    assert_eq!(lean.send().await.status, 200, "clientInfo is optional, unknown keys are nobody's business (B-11)");
}

/// M-10 (MCP 2026-07-28, basic/transports/streamable-http § Protocol Version Header): an `UnsupportedProtocolVersionError`
/// lists the supported versions.
#[tokio::test]
async fn a_version_that_is_not_spoken_is_refused_with_those_that_are() {
    let server = Server::start();
    let client = server.client("ann");
    let discovered = client.modern("server/discover", json!({})).send().await.result();
    let discovered = discovered["supportedVersions"].as_array().unwrap().clone();
    for version in ["1900-01-01", "2027-01-01", "DRAFT-2026-v1", "2025-11-25", "2024-11-05"] {
        for method in ["tools/list", "server/discover", "no/such-method"] {
            let reply = client.modern(method, json!({})).version(version).send().await;
            assert_eq!((reply.status.as_u16(), reply.code()), (400, -32022), "{version} {method}: {reply:?}");
            let data = reply.json()["error"]["data"].take();
            assert_eq!(data["requested"], version, "{method}: {data}");
            let supported = data["supported"].as_array().unwrap();
            assert!(supported.contains(&json!(MODERN)), "{version} {method}: {data}");
            assert!(supported.iter().all(|one| discovered.contains(one)), "{version}: not as discover says: {data}");
        }
    }
}

/// M-11, M-12 (MCP 2026-07-28, basic/transports/streamable-http § Protocol Version Header): "it MUST respond with `404 Not
/// Found` and a JSON-RPC error with code `-32601`".
#[tokio::test]
async fn unknown_and_removed_methods_are_not_found() {
    let server = Server::start();
    let client = server.client("ann").open().await;
    for method in [
        "initialize",
        "ping",
        "logging/setLevel",
        "notifications/initialized",
        "notifications/roots/list_changed",
        "resources/list",
        "resources/read",
        "resources/templates/list",
        "resources/subscribe",
        "resources/unsubscribe",
        "prompts/list",
        "prompts/get",
        "completion/complete",
        "tasks/get",
        "tasks/list",
        "roots/list",
        "sampling/createMessage",
        "tools/List",
        "tools",
    ] {
        let params = json!({"name": "n", "uri": "file:///n", "protocolVersion": MODERN, "level": "info"});
        let reply = client.modern(method, params).id(json!("m")).send().await;
        assert_eq!((reply.status.as_u16(), reply.code()), (404, -32601), "{method}: {reply:?}");
        assert_eq!(reply.json()["id"], "m", "{method}");
    }
}

/// M-12, B-03 (MCP 2026-07-28, basic/index § Responses): a response carries the id of its request.
#[tokio::test]
async fn ids_come_back_with_their_json_type() {
    let server = Server::start();
    let client = server.client("ann");
    for id in [json!(7), json!("7"), json!(0), json!(-1), json!(""), json!(9_007_199_254_740_993_i64), json!("ü\"\\")]
    {
        let found = client.modern("server/discover", json!({})).id(id.clone()).send().await;
        assert_eq!((found.status.as_u16(), &found.json()["id"]), (200, &id));
        for (case, request) in [
            ("unknown method", client.modern("no/such", json!({}))),
            ("unknown tool", client.modern_call("no_such", json!({}))),
            ("header mismatch", client.modern("tools/list", json!({})).with("mcp-method", "tools/call")),
            ("version", client.modern("tools/list", json!({})).version("1900-01-01")),
            ("envelope", client.modern("tools/list", json!({})).without_meta(CAPABILITIES)),
        ] {
            let reply = request.id(id.clone()).send().await;
            assert!(reply.code() < 0);
            assert_eq!(reply.json()["id"], id, "{case}: {reply:?}");
        }
    }
    // B-02: the id "MUST NOT be null".
    for id in [json!(null), json!(1.5), json!([1]), json!({}), json!(true)] {
        let reply = client.modern("tools/list", json!({})).id(id.clone()).send().await;
        assert_eq!((reply.status.as_u16(), reply.code()), (400, -32600), "{id}: {reply:?}");
        assert_eq!(reply.json().get("id"), None, "B-07: {id}");
    }
}

/// M-20 to M-22 (MCP 2026-07-28, server/tools § Error Handling): what is wrong with a request itself is a protocol error.
#[tokio::test]
async fn wrong_parameters_are_invalid_params() {
    let server = Server::start();
    let client = server.client("ann");
    for (case, method, params) in [
        ("unknown tool", "tools/call", json!({"name": "gmail_no-such"})),
        ("enable-tools in static mode", "tools/call", json!({"name": "enable-tools", "arguments": {"tools": []}})),
        ("arguments that are no object", "tools/call", json!({"name": "gmail_list-emails", "arguments": [1]})),
        ("a cursor that nobody gave", "tools/list", json!({"cursor": "abc"})),
        ("a listen without filter", "subscriptions/listen", json!({})),
        ("a filter that is no object", "subscriptions/listen", json!({"notifications": 1})),
    ] {
        let reply = client.modern(method, params).send().await;
        assert_eq!((reply.status.as_u16(), reply.code()), (400, -32602), "{case}: {reply:?}");
    }
    let nameless = client.modern("tools/call", json!({"arguments": {}})).send().await;
    assert_eq!((nameless.status.as_u16(), nameless.code()), (400, -32602), "no name: {nameless:?}");
    let stray = json!({"name": "gmail_list-emails", "inputResponses": {"x": {"action": "accept"}}, "task": {}});
    assert_eq!(
        client.modern("tools/call", stray).send().await.status,
        200,
        "they answer nothing, and tasks are none of ours"
    );
    for (member, value) in [("requestState", json!("s")), ("requestState", json!(7)), ("inputResponses", json!([]))] {
        let mut call = client.modern("tools/call", json!({"name": "gmail_list-emails"}));
        call.body["params"][member] = value;
        let reply = call.send().await;
        assert_eq!((reply.status.as_u16(), reply.code()), (400, -32602), "{member}: {reply:?}");
    }
}

/// B-09, M-29 (MCP 2026-07-28, basic/index § Error Codes): nothing new "in the range -32000 to -32019"; what `wire` checks in
/// every other reply, here where the transport itself refuses.
#[tokio::test]
async fn what_the_transport_refuses_has_no_code_of_the_old_era() {
    let server = Server::builder().env("MCP__TUNING__MAX_BODY_BYTES", "4096").start();
    let client = server.client("ann");
    let sound = || client.modern("tools/list", json!({}));
    let body = sound().body.to_string();
    let huge = client.modern_call("sandbox-faults_echo", json!({"text": "x".repeat(5000)}));
    for (case, request, body, status) in [
        ("M-24: accepts nothing of ours", sound().with("accept", "text/html"), body.as_str(), 406),
        ("T-07: no JSON", sound().with("content-type", "text/plain"), &body, 415),
        ("B-08: too large", huge.clone(), &huge.body.to_string(), 413),
        ("B-08: broken JSON", sound(), "{\"jsonrpc\":", 400),
        ("B-08: nothing", sound(), "", 400),
        ("B-08: no JSON-RPC", sound(), "{\"hello\":1}", 400),
        ("an empty array", sound(), "[]", 400),
        ("a chat id that is none", sound().with("x-chat-id", &"x".repeat(300)), &body, 400),
    ] {
        let reply = request.send_text(body).await;
        assert_eq!(reply.status, status, "{case}: {reply:?}");
        assert!(!(-32019..=-32000).contains(&reply.code()), "{case}: {reply:?}");
    }
    assert_eq!(sound().send_text("{").await.code(), -32700);
    assert_eq!(sound().send_text("{\"hello\":1}").await.code(), -32600);
    let reply = server.client("ann").query("mode=other").modern("tools/list", json!({})).send().await;
    assert_eq!(reply.status, 400, "a mode that there is not: {reply:?}");
}

/// M-13, M-14 (MCP 2026-07-28, basic/transports/streamable-http § Sending Messages): "a single JSON-RPC request or
/// notification".
#[tokio::test]
async fn a_body_is_one_request_or_notification() {
    let server = Server::start();
    let client = server.client("ann");
    let sound = client.modern("tools/list", json!({}));
    for (case, body) in [
        ("an array", json!([sound.body])),
        ("two requests", json!([sound.body, sound.body])),
        ("a result", json!({"jsonrpc": "2.0", "id": 1, "result": {}})),
        ("an error", json!({"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": "m"}})),
    ] {
        let reply = sound.send_text(&body.to_string()).await;
        assert_eq!((reply.status.as_u16(), reply.code()), (400, -32600), "{case}: {reply:?}");
    }
    for (case, params) in [
        ("with a claim", json!({"requestId": 1, "_meta": {VERSION: MODERN, CAPABILITIES: {}}})),
        ("without", json!({"requestId": 1})),
    ] {
        for request in [sound.clone(), sound.clone().without("mcp-method")] {
            let notification = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params});
            let reply = request.send_text(&notification.to_string()).await;
            assert_eq!((reply.status.as_u16(), reply.text.as_str()), (202, ""), "{case}: {reply:?}");
        }
    }
}

/// M-04, D-04 (MCP 2026-07-28, basic/transports/streamable-http § Backward Compatibility): session ids of earlier revisions
/// mean nothing here.
#[tokio::test]
async fn session_and_event_ids_are_ignored() {
    let server = Server::start();
    let bobs = server.client("bob").open().await.session.unwrap();
    let client = server.client("ann");
    for id in [bobs.as_str(), "00000000-0000-4000-8000-000000000000", "not-an-id"] {
        for method in ["server/discover", "tools/list"] {
            let request = client.modern(method, json!({})).with("mcp-session-id", id).with("last-event-id", "s1_1");
            let reply = request.send().await;
            assert_eq!((reply.status.as_u16(), reply.header("mcp-session-id")), (200, None), "{id} {method}");
        }
    }
    assert_eq!(client.chats().await.json(), json!({}), "nothing is opened");
}

/// M-03 (MCP 2026-07-28, basic/transports/streamable-http § Receiving Messages): the final response SHOULD terminate the
/// stream; no event ids, since there is no resumption.
#[tokio::test]
async fn a_client_of_event_streams_alone_gets_one() {
    let server = Server::start();
    let client = server.client("ann");
    for request in [
        client.modern("server/discover", json!({})),
        client.modern("tools/list", json!({})),
        client.modern_call("gmail_list-emails", json!({})),
    ] {
        let mut events = request.with("accept", "text/event-stream").id(json!("s")).open().await;
        let block = events.event().await.unwrap();
        assert!(block.contains("data: ") && !block.contains("id: "), "{block}");
        let message: Value = serde_json::from_str(block.split_once("data: ").unwrap().1).unwrap();
        events.wire.check(&message);
        assert_eq!(message["id"], "s");
        assert_eq!(events.next().await, None, "the response ends the stream");
    }
    let json_alone = client.modern("subscriptions/listen", json!({"notifications": {}}));
    let reply = json_alone.with("accept", "application/json").send().await;
    assert_eq!(reply.status, 406, "a subscription is a stream: {reply:?}");
}

/// M-33 (MCP 2026-07-28, basic/index § Statelessness): each request stands alone.
#[tokio::test]
async fn equal_ids_in_parallel_do_not_mix() {
    let server = Server::start();
    let calls = (0..32).map(|n| {
        let client = server.client(if n % 2 == 0 { "ann" } else { "bob" });
        async move {
            let call = client.modern_call("sandbox-faults_echo", json!({"n": n}));
            let call = if n % 3 == 0 { call.with("x-chat-id", "one") } else { call };
            (n, call.id(json!("same")).send().await.result())
        }
    });
    for (n, result) in join_all(calls).await {
        assert_eq!(echoed(&result), json!({"n": n}));
    }
}

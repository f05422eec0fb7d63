//! Who is let in, with which token, and what the others are told (MCP 2025-11-25, basic/authorization § Access Token Usage).

use reqwest::Method;
use serde_json::json;

use crate::support::{Client, Reply, SECRET, Server, assert_error, base64url, claims, reply_to, sign, token, unsigned};
use crate::upstream::Upstream;

/// Asserts a 401 that says why (RFC 6750 § 3).
fn assert_refused(reply: &Reply, why: &str, case: &str) {
    assert_eq!(
        (reply.status.as_u16(), reply.header("content-type")),
        (401, Some("application/json")),
        "{case}: {reply:?}"
    );
    assert_error(reply, 401, -32600, case);
    assert!(reply.json()["error"]["message"].as_str().is_some_and(|text| text.contains(why)), "{case}: {reply:?}");
    let challenge = reply.header("www-authenticate").unwrap_or_default();
    assert!(challenge.starts_with("Bearer "), "{case}: {challenge:?}");
}

async fn every_route(client: &Client<'_>) -> Vec<(&'static str, Reply)> {
    let mut no_session = client.clone();
    no_session.session = None;
    vec![
        ("POST initialize", no_session.initialize("2025-11-25").await),
        ("POST tools/list", client.ask("tools/list", json!({})).await),
        ("POST tools/call", client.call("acme_crm_ping", json!({})).await),
        ("POST notification", client.post(json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await),
        ("GET", client.get().await),
        ("DELETE", client.delete().await),
        ("GET /mcp/sessions", client.chats().await),
    ]
}

#[tokio::test]
async fn a_token_comes_by_header_or_query() {
    let server = Server::start();
    let ann = token("ann");
    let initialize =
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25"}});
    let cases = [
        (Some(format!("Bearer {ann}")), String::new()),
        (Some(format!("bearer {ann}")), String::new()),
        (Some(format!("BEARER {ann}")), String::new()),
        (None, format!("?token={ann}")),
        (None, format!("?mode=dynamic&token={ann}&apps=gmail")),
        (Some(format!("Bearer {ann}")), format!("?token={ann}")),
        (Some("Basic YW5uOg==".to_owned()), format!("?token={ann}")),
    ];
    for (header, query) in cases {
        let mut request = server.http.post(format!("{}/mcp{query}", server.url)).json(&initialize);
        if let Some(header) = &header {
            request = request.header("authorization", header);
        }
        assert_eq!(reply_to(request).await.status, 200, "{header:?} {query}");
    }
}

#[tokio::test]
async fn two_tokens_that_differ_are_a_bad_request() {
    let server = Server::start();
    let client = server.client("ann").query(&format!("token={}", token("bob")));
    for (route, reply) in every_route(&client).await.into_iter().filter(|(route, _)| !route.ends_with("/sessions")) {
        assert_error(&reply, 400, -32000, route);
    }
    let sessions = server.http.get(format!("{}/mcp/sessions?token={}", server.url, token("bob")));
    assert_error(&reply_to(sessions.bearer_auth(token("ann"))).await, 400, -32000, "GET /mcp/sessions");
}

#[tokio::test]
async fn a_token_that_is_no_good_is_refused_with_the_reason() {
    let server = Server::start();
    let cases = [
        (String::new(), "No token provided"),
        ("two words".to_owned(), "Invalid token format"),
        ("a.!.c".to_owned(), "Invalid token format"),
        ("a.bm8ganNvbg.c".to_owned(), "Invalid token format"),
        (sign(&json!({"isAdmin": true, "iss": "sandbox"}), SECRET), "names no user"),
        (sign(&json!({"id": "", "iss": "sandbox"}), SECRET), "names no user"),
        (sign(&json!({"id": "ann"}), SECRET), "refused"),
        (sign(&json!({"id": "ann", "iss": "sandbox", "exp": 1000}), SECRET), "has expired"),
        (sign(&json!({"id": "ann", "iss": "another-workspace"}), SECRET), "refused"),
        (sign(&claims("ann"), "another key"), "refused"),
        (unsigned(&claims("ann")), "refused"),
        ("pat-nobody".to_owned(), "refused"),
        ("not-a-jwt".to_owned(), "refused"),
    ];
    for (token, why) in cases {
        for (route, reply) in every_route(&server.client_with(&token)).await {
            assert_refused(&reply, why, &format!("{route} with {token:?}"));
            let names_error = reply.header("www-authenticate").unwrap().contains("error=\"invalid_token\"");
            assert_eq!(names_error, !token.is_empty(), "{route} with {token:?}: without a token there is no error");
        }
    }
}

#[tokio::test]
async fn another_scheme_is_no_token() {
    let server = Server::start();
    for (header, why) in [
        ("Basic YW5uOg==", "must be Bearer TOKEN"),
        (&token("ann"), "must be Bearer TOKEN"),
        ("Bearer", "No token provided"),
        ("Bearer ", "No token provided"),
    ] {
        let request = server.http.get(format!("{}/mcp/sessions", server.url)).header("authorization", header);
        assert_refused(&reply_to(request).await, why, header);
    }
}

#[tokio::test]
async fn a_forged_token_sees_nothing_of_its_victim() {
    let server = Server::start();
    let victim = server.client("ann").header("x-chat-id", "secret-chat").open().await;
    assert!(!victim.tools().await.is_empty(), "the victim's tools are loaded");
    let session = victim.session.clone().unwrap();

    let bobs = sign(&claims("bob"), SECRET);
    let (head, signature) = (bobs.split('.').next().unwrap(), bobs.rsplit('.').next().unwrap());
    let forgeries = [
        ("signed with another key", sign(&claims("ann"), "another key")),
        ("unsigned", unsigned(&claims("ann"))),
        ("with bob's signature", format!("{head}.{}.{signature}", base64url(claims("ann").to_string().as_bytes()))),
        ("with the victim's id alone", unsigned(&json!({"id": "ann", "iss": "sandbox"}))),
        ("opaque and unsigned", format!("pat-{}", unsigned(&claims("ann")))),
    ];
    for (case, forged) in forgeries {
        let thief = server.client_with(&forged).in_session(&session);
        for (route, reply) in every_route(&thief).await {
            assert_refused(&reply, "refused", &format!("{route}, {case}"));
            assert_eq!(reply.header("mcp-session-id"), None, "{route}, {case}");
            for secret in [session.as_str(), "secret-chat", "gmail"] {
                assert!(!reply.text.contains(secret), "{route}, {case}: {reply:?}");
            }
        }
    }
    assert!(!victim.tools().await.is_empty(), "the session goes on");
    assert_eq!(victim.chats().await.json(), json!({"secret-chat": session}));
}

#[tokio::test]
async fn every_form_of_token_is_the_same_user() {
    let server = Server::start();
    let old = server.client("ann").header("x-chat-id", "chat").open().await;
    let session = old.session.clone().unwrap();
    let newer = sign(&json!({"tenantKey": "ann", "workspaceKey": "sandbox"}), SECRET);
    let cases = [
        ("newer claims", newer.clone()),
        ("an opaque token", format!("pat-{}", token("ann"))),
        ("an opaque token of newer claims", format!("pat-{newer}")),
        ("no end", sign(&json!({"id": "ann", "iss": "sandbox"}), SECRET)),
    ];
    for (case, token) in cases {
        let client = server.client_with(&token).in_session(&session);
        assert!(!client.tools().await.is_empty(), "{case}");
        assert_eq!(client.chats().await.json(), json!({"chat": session}), "{case}");
        let own = server.client_with(&token).open().await;
        assert_eq!(old.clone().in_session(own.session.as_deref().unwrap()).delete().await.status, 200, "{case}");
    }
}

#[tokio::test]
async fn each_request_acts_with_its_own_token() {
    let upstream = Upstream::start();
    let server = Server::before(&upstream.url).start();
    let tokens = [1, 2].map(|hours| {
        let mut claims = claims("ann");
        claims["exp"] = json!(claims["exp"].as_u64().unwrap() + hours * 3600);
        sign(&claims, SECRET)
    });
    let first = server.client_with(&tokens[0]).open().await;
    let second = server.client_with(&tokens[1]).in_session(first.session.as_deref().unwrap());
    for client in [&first, &second, &first] {
        assert_eq!(client.output("app_do", json!({})).await, json!("done"));
    }
    let runs = upstream.headers("/action-instance/run", "authorization");
    assert_eq!(runs, [&tokens[0], &tokens[1], &tokens[0]].map(|token| format!("Bearer {token}")));
}

#[tokio::test]
async fn a_token_is_never_logged() {
    let server = Server::builder().env("MCP__LOG__FILTER", "trace").start();
    let (ann, bob) = (token("ann"), token("bob"));
    let forged = sign(&claims("ann"), "another key");
    let by_header = server.client_with(&ann);
    let by_query = server.client_with("").query(&format!("token={bob}&mode=dynamic"));
    for client in [by_header, by_query] {
        let client = client.open().await;
        let output = json!({"tools": ["gmail_list-emails"]});
        client.call("enable-tools", output).await;
        client.call("gmail_list-emails", json!({})).await;
        client.call("sandbox-faults_fail-401", json!({})).await;
        drop(client.stream().await);
        client.delete().await;
    }
    server.client_with(&forged).initialize("2025-11-25").await;
    server.client_with("").query(&format!("token={forged}")).initialize("2025-11-25").await;
    server.client_with("no.token.atall").initialize("2025-11-25").await;
    reply_to(server.http.get(format!("{}/nowhere?token={ann}", server.url))).await;
    server.wait_for_log("path=/nowhere");

    let log = server.log();
    assert!(log.contains(" TRACE "), "the log tells everything");
    for token in [ann, bob, forged] {
        let signature = token.rsplit('.').next().unwrap();
        let line = log.lines().find(|line| line.contains(signature));
        assert_eq!(line, None, "a token is in the log");
    }
}

#[tokio::test]
async fn an_upstream_that_cannot_be_asked_is_503() {
    // Nobody listens where somebody just left.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = Server::before(&format!("http://{closed}")).start();
    for token in [token("ann"), "pat-ann".to_owned()] {
        let client = server.client_with(&token);
        let reply = client.initialize("2025-11-25").await;
        assert_error(&reply, 503, -32603, "initialize");
        assert!(reply.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok()), "{reply:?}");
        assert_eq!(reply.header("mcp-session-id"), None);
        assert_error(&client.chats().await, 503, -32603, "GET /mcp/sessions");
    }
}

#[tokio::test]
async fn an_upstream_that_fails_is_503_and_not_for_ever() {
    let server = Server::start();
    let faults = json!([{"path": "/self", "status": 500}, {"path": "/connections", "status": 500}]);
    server.sandbox(Method::PUT, "/sandbox/faults", "tester", faults).await;
    for token in [token("ann"), format!("pat-{}", token("ann"))] {
        let reply = server.client_with(&token).initialize("2025-11-25").await;
        assert_error(&reply, 503, -32603, "initialize");
        assert!(reply.header("retry-after").is_some(), "{reply:?}");
        assert_error(&server.client_with(&token).chats().await, 503, -32603, "GET /mcp/sessions");
    }
    server.sandbox(Method::PUT, "/sandbox/faults", "tester", json!([])).await;
    assert!(!server.client("ann").open().await.tools().await.is_empty());
}

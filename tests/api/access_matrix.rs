//! Which token opens which door: every route with every kind of token, in every mode and era.

use std::{collections::BTreeSet, fmt::Write as _, path::PathBuf};

use reqwest::{Method, RequestBuilder, redirect::Policy};
use serde_json::{Value, json};

use crate::{
    modern_support::MODERN,
    sockets,
    support::{Client, Reply, SECRET, Server, ServerBuilder, claims, sign, token, unsigned},
};

/// The status of each request, by whose token it comes with. Sessions, chats and streams are ann's: *own* is her token, *other's*
/// a good one of bob's. *forged* names ann and is signed with another key, *unsigned* names her and is not signed at all; both
/// come while everything of hers is cached.
const MATRIX: &str = "
                                              | none | malformed | expired | forged | unsigned | other's | own
POST /mcp initialize                          | 401  | 401       | 401     | 401    | 401      | 200     | 200
POST /mcp ping                                | 401  | 401       | 401     | 401    | 401      | 404     | 200
POST /mcp tools/list                          | 401  | 401       | 401     | 401    | 401      | 404     | 200
POST /mcp tools/call                          | 401  | 401       | 401     | 401    | 401      | 404     | 200
POST /mcp notifications/initialized           | 401  | 401       | 401     | 401    | 401      | 404     | 202
POST /mcp notifications/cancelled             | 401  | 401       | 401     | 401    | 401      | 404     | 202
POST /mcp a batch                             | 401  | 401       | 401     | 401    | 401      | 404     | 200
POST /mcp no JSON                             | 401  | 401       | 401     | 401    | 401      | 400     | 400
POST /mcp modern server/discover              | 401  | 401       | 401     | 401    | 401      | 200     | 200
POST /mcp modern tools/list                   | 401  | 401       | 401     | 401    | 401      | 200     | 200
POST /mcp modern tools/call                   | 401  | 401       | 401     | 401    | 401      | 200     | 200
POST /mcp modern subscriptions/listen         | 401  | 401       | 401     | 401    | 401      | 200     | 200
POST /mcp modern notification                 | 401  | 401       | 401     | 401    | 401      | 202     | 202
GET /mcp a stream                             | 401  | 401       | 401     | 401    | 401      | 404     | 200
GET /mcp after an event                       | 401  | 401       | 401     | 401    | 401      | 404     | 400
DELETE /mcp                                   | 401  | 401       | 401     | 401    | 401      | 404     | 200
GET /mcp/sessions                             | 401  | 401       | 401     | 401    | 401      | 200     | 200
GET /sse                                      | 401  | 401       | 401     | 401    | 401      | 200     | 200
POST /sse/messages                            | 401  | 401       | 401     | 401    | 401      | 404     | 202
POST /webhooks/membrane                       | 401  | 401       | 401     | 401    | 401      | 401     | 401
GET /                                         | 200  | 200       | 200     | 200    | 200      | 200     | 200
GET /me                                       | 200  | 200       | 200     | 200    | 200      | 200     | 200
GET /icon.svg                                 | 200  | 200       | 200     | 200    | 200      | 200     | 200
GET /mcp/server-card                          | 200  | 200       | 200     | 200    | 200      | 200     | 200
GET /connect/AAAAAAAAAAAAAAAAAAAAAA           | 404  | 404       | 404     | 404    | 404      | 404     | 404
GET /connect/signed-in                        | 403  | 403       | 403     | 403    | 403      | 403     | 403
POST /connect/AAAAAAAAAAAAAAAAAAAAAA          | 404  | 404       | 404     | 404    | 404      | 404     | 404
GET /healthz                                  | 200  | 200       | 200     | 200    | 200      | 200     | 200
GET /readyz                                   | 200  | 200       | 200     | 200    | 200      | 200     | 200
GET /.well-known/oauth-protected-resource     | 200  | 200       | 200     | 200    | 200      | 200     | 200
GET /.well-known/oauth-protected-resource/mcp | 200  | 200       | 200     | 200    | 200      | 200     | 200
GET /.well-known/oauth-authorization-server   | 200  | 200       | 200     | 200    | 200      | 200     | 200
GET /.well-known/openid-configuration         | 200  | 200       | 200     | 200    | 200      | 200     | 200
GET /.well-known/jwks.json                    | 200  | 200       | 200     | 200    | 200      | 200     | 200
GET /oauth/authorize                          | 302  | 302       | 302     | 302    | 302      | 302     | 302
GET /nowhere                                  | 404  | 404       | 404     | 404    | 404      | 404     | 404
";

/// Link that nobody was given.
const LINK: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// How a token is sent.
#[derive(Debug, Clone, Copy)]
enum Way {
    Header,
    Query,
}

/// What is ann's.
struct Victim {
    session: String,
    with_batches: String,
    endpoint: String,
}

fn builder() -> ServerBuilder {
    let builder =
        Server::builder().env("MCP__OAUTH__ENABLED", "true").env("MCP__WEBHOOKS__SECRET", "of webhooks alone");
    // All that is refused comes from one address.
    builder.env("MCP__TUNING__MAX_TOKEN_FAILURES_PER_MIN", "1000000").env("MCP__CATALOG__FRESH_S", "3600")
}

/// A request of a row, without a token.
fn request(row: &str, client: &Client<'_>, victim: &Victim) -> RequestBuilder {
    let (method, rest) = row.split_once(' ').unwrap();
    let (path, what) = rest.split_once(' ').unwrap_or((rest, ""));
    let mut client = client.clone();
    let message = |method: &str, params: Value| json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let initialize =
        json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    if path == "/mcp" && what != "initialize" && !what.starts_with("modern") {
        let session = if what == "a batch" { &victim.with_batches } else { &victim.session };
        client = client.in_session(session);
    }
    match (method, path, what) {
        ("POST", "/mcp", "initialize") => sockets::post(&client, message("initialize", initialize)),
        ("POST", "/mcp", "a batch") => sockets::post(&client, json!([message("ping", json!({}))])),
        ("POST", "/mcp", "no JSON") => sockets::post(&client, Value::Null).body("{"),
        ("POST", "/mcp", "tools/call") => {
            sockets::post(&client, sockets::call(json!(1), "gmail_list-emails", json!({})))
        }
        ("POST", "/mcp", "modern notification") => {
            let version = [("mcp-protocol-version", MODERN), ("mcp-method", "notifications/initialized")];
            let body = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
            version.iter().fold(sockets::post(&client, body), |request, (name, value)| request.header(*name, *value))
        }
        ("POST", "/mcp", modern) if modern.starts_with("modern ") => {
            let method = modern.strip_prefix("modern ").unwrap();
            let params = match method {
                // In dynamic mode nothing else is enabled.
                "tools/call" if client.query == "mode=dynamic" => {
                    json!({"name": "enable-tools", "arguments": {"tools": []}})
                }
                "tools/call" => json!({"name": "gmail_list-emails", "arguments": {}}),
                "subscriptions/listen" => json!({"notifications": {"toolsListChanged": true}}),
                _ => json!({}),
            };
            client.modern(method, params).request()
        }
        ("POST", "/mcp", notification) if notification.starts_with("notifications/") => {
            let params = json!({"requestId": 7});
            sockets::post(&client, json!({"jsonrpc": "2.0", "method": notification, "params": params}))
        }
        ("POST", "/mcp", method) => sockets::post(&client, message(method, json!({}))),
        ("GET", "/mcp", what) => sockets::get(&client, what.strip_prefix("after an event").map(|_| "s7_7")),
        ("POST", "/sse/messages", _) => {
            client.request_at(Method::POST, &victim.endpoint).json(&message("ping", json!({})))
        }
        ("POST", "/webhooks/membrane", _) => {
            client.request_at(Method::POST, path).json(&json!({"event": "connection.deleted"}))
        }
        ("POST", path, _) if path.starts_with("/connect/") => client.request_at(Method::POST, path).body("answer=go"),
        (method, path, _) => client.request_at(method.parse().unwrap(), path),
    }
}

fn show(request: RequestBuilder, way: Way, token: &str) -> reqwest::Request {
    let mut request = request.build().unwrap();
    match way {
        _ if token.is_empty() => {}
        Way::Header => {
            request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        Way::Query => {
            request.url_mut().query_pairs_mut().append_pair("token", token);
        }
    }
    request
}

/// The rows of the matrix without their head.
fn rows() -> Vec<(String, Vec<u16>)> {
    let rows = MATRIX.lines().filter(|line| !line.starts_with(' ') && !line.is_empty());
    rows.map(|row| {
        let mut cells = row.split('|').map(str::trim);
        let name = cells.next().unwrap().to_owned();
        (name, cells.map(|cell| cell.parse().unwrap()).collect())
    })
    .collect()
}

async fn assert_matrix(server: Server, mode: &str, way: Way) {
    let mut expired = claims("ann");
    expired["exp"] = json!(1000);
    let callers = [
        ("none", String::new()),
        ("malformed", "a.!.c".to_owned()),
        ("expired", sign(&expired, SECRET)),
        ("forged", sign(&claims("ann"), "another key")),
        ("unsigned", unsigned(&claims("ann"))),
        ("other's", token("bob")),
        ("own", token("ann")),
    ];
    let http = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
    let ann = server.client("ann").header("x-chat-id", "a chat of ann's");
    let listening = server.client("ann").open_sse("/sse").await;
    let mut wrong = String::new();
    for (row, statuses) in rows() {
        let open = ann.clone().query(&format!("mode={mode}")).open().await;
        open.tools().await;
        let victim = Victim {
            session: open.session.unwrap(),
            with_batches: ann.clone().open_with("2025-03-26").await.session.unwrap(),
            endpoint: listening.endpoint.clone(),
        };
        let nobody = server.client_with("").query(&format!("mode={mode}")).header("x-chat-id", "a chat of ann's");
        assert_eq!(statuses.len(), callers.len(), "{row}: a status for each token");
        for ((caller, token), expected) in callers.iter().zip(statuses) {
            let response = http.execute(show(request(&row, &nobody, &victim), way, token)).await.unwrap();
            let status = response.status().as_u16();
            if status != expected {
                let _ = writeln!(wrong, "{row}, {caller}: {status}, not {expected}");
            }
            if status == 401 {
                let reply = Reply::read(response).await;
                let challenge = reply.header("www-authenticate").unwrap_or_default();
                let points = challenge.starts_with("Bearer ") && challenge.contains("resource_metadata=");
                let secrets = ["gmail", "a chat of ann's", "result", &victim.session];
                if !points || secrets.iter().any(|secret| reply.text.contains(secret)) {
                    let _ = writeln!(wrong, "{row}, {caller}: {reply:?}");
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{mode}, token by {way:?}:\n{wrong}");
}

#[tokio::test]
async fn each_token_opens_its_own_doors_where_the_upstream_is_asked() {
    for (mode, way) in [("static", Way::Header), ("dynamic", Way::Query)] {
        assert_matrix(builder().start(), mode, way).await;
    }
}

#[tokio::test]
async fn each_token_opens_its_own_doors_where_signatures_are_checked_here() {
    for (mode, way) in [("dynamic", Way::Header), ("static", Way::Query)] {
        let builder = builder().env("MCP__AUTH__WORKSPACE_KEY", "sandbox").env("MCP__AUTH__WORKSPACE_SECRET", SECRET);
        assert_matrix(builder.start(), mode, way).await;
    }
}

#[test]
fn every_route_stands_in_the_matrix() {
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/http/mod.rs");
    let source = std::fs::read_to_string(source).unwrap();
    let literals = source.split("(\"/").skip(1).filter_map(|rest| rest.split('"').next());
    let paths: BTreeSet<_> = literals
        .map(|path| format!("/{}", path.replace("{endpoint:mcp|sse}", "mcp").replace("{link}", LINK)))
        .collect();
    assert!(paths.contains("/mcp"), "the routes are found: {paths:?}");
    let rows = rows();
    for path in paths {
        let is_there = rows.iter().any(|(row, _)| row.split(' ').nth(1) == Some(path.as_str()));
        assert!(is_there, "{path} is missing in the matrix of this file");
    }
}

//! Every method at every path, in every state that a client can be in.

use std::fmt::Write as _;

use reqwest::{Method, redirect::Policy};
use serde_json::json;

use crate::support::{Reply, Server, token};

/// The status of each request: of a client without a token, with one, in a session that lives, and in one that is lost.
const TABLE: &str = "
                                            | none | token | session | lost
GET     /mcp                                | 401  | 400   | 200     | 404
HEAD    /mcp                                | 405  | 405   | 405     | 405
POST    /mcp                                | 401  | 400   | 200     | 404
PUT     /mcp                                | 405  | 405   | 405     | 405
PATCH   /mcp                                | 405  | 405   | 405     | 405
OPTIONS /mcp                                | 405  | 405   | 405     | 405
GET     /mcp/sessions                       | 401  | 200   | 200     | 200
HEAD    /mcp/sessions                       | 401  | 200   | 200     | 200
POST    /mcp/sessions                       | 405  | 405   | 405     | 405
DELETE  /mcp/sessions                       | 405  | 405   | 405     | 405
GET     /sse                                | 401  | 200   | 200     | 200
HEAD    /sse                                | 405  | 405   | 405     | 405
POST    /sse                                | 405  | 405   | 405     | 405
GET     /sse/messages                       | 405  | 405   | 405     | 405
HEAD    /sse/messages                       | 405  | 405   | 405     | 405
POST    /sse/messages                       | 401  | 400   | 400     | 400
DELETE  /sse/messages                       | 405  | 405   | 405     | 405
GET     /webhooks/membrane                  | 405  | 405   | 405     | 405
POST    /webhooks/membrane                  | 404  | 404   | 404     | 404
GET     /                                   | 200  | 200   | 200     | 200
HEAD    /                                   | 200  | 200   | 200     | 200
POST    /                                   | 405  | 405   | 405     | 405
OPTIONS /                                   | 405  | 405   | 405     | 405
GET     /me                                 | 200  | 200   | 200     | 200
HEAD    /me                                 | 200  | 200   | 200     | 200
POST    /me                                 | 405  | 405   | 405     | 405
GET     /icon.svg                           | 200  | 200   | 200     | 200
GET     /mcp/server-card                    | 200  | 200   | 200     | 200
HEAD    /mcp/server-card                    | 200  | 200   | 200     | 200
POST    /mcp/server-card                    | 405  | 405   | 405     | 405
GET     /healthz                            | 200  | 200   | 200     | 200
HEAD    /healthz                            | 200  | 200   | 200     | 200
POST    /healthz                            | 405  | 405   | 405     | 405
GET     /readyz                             | 200  | 200   | 200     | 200
HEAD    /readyz                             | 200  | 200   | 200     | 200
PUT     /readyz                             | 405  | 405   | 405     | 405
GET     /.well-known/openid-configuration   | 200  | 200   | 200     | 200
HEAD    /.well-known/openid-configuration   | 200  | 200   | 200     | 200
POST    /.well-known/openid-configuration   | 405  | 405   | 405     | 405
GET     /oauth/authorize                    | 302  | 302   | 302     | 302
HEAD    /oauth/authorize                    | 302  | 302   | 302     | 302
POST    /oauth/authorize                    | 405  | 405   | 405     | 405
GET     /.well-known/nothing                | 404  | 404   | 404     | 404
GET     /nowhere                            | 404  | 404   | 404     | 404
HEAD    /nowhere                            | 404  | 404   | 404     | 404
POST    /nowhere                            | 404  | 404   | 404     | 404
DELETE  /nowhere                            | 404  | 404   | 404     | 404
DELETE  /mcp                                | 401  | 400   | 200     | 404
";

/// Checks what all answers of a status have in common.
fn faults(method: &Method, reply: &Reply) -> Vec<&'static str> {
    let head = *method == Method::HEAD;
    let checks = [
        (head && !reply.text.is_empty(), "HEAD has a body"),
        ((reply.status == 405) != reply.header("allow").is_some(), "405, and nothing else, names what is allowed"),
        ((reply.status == 401) != reply.header("www-authenticate").is_some(), "401, and nothing else, has a challenge"),
        (reply.header("x-request-id").is_none(), "an answer without an id"),
        (reply.header("content-type").is_none() && !reply.text.is_empty(), "a body without a type"),
        (reply.header("server").is_some() || reply.header("x-powered-by").is_some(), "the software is named"),
        (reply.status.as_u16() >= 400 && !head && reply.text.is_empty(), "a refusal that says nothing"),
    ];
    checks.into_iter().filter(|(is_so, _)| *is_so).map(|(_, fault)| fault).collect()
}

#[tokio::test]
async fn each_method_at_each_path_has_its_answer_in_each_state() {
    let server = Server::builder().env("MCP__OAUTH__ENABLED", "true").start();
    let http = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
    let living = server.client("ann").open().await.session.unwrap();
    let states = [
        (None, None),
        (Some(token("ann")), None),
        (Some(token("ann")), Some(living.as_str())),
        (Some(token("ann")), Some("00000000-0000-4000-8000-000000000000")),
    ];
    let mut wrong = String::new();
    for row in TABLE.lines().filter(|line| !line.starts_with(' ') && !line.is_empty()) {
        let mut cells = row.split('|').map(str::trim);
        let (method, path) = cells.next().unwrap().split_once(' ').unwrap();
        let (method, path) = (Method::from_bytes(method.as_bytes()).unwrap(), path.trim());
        for ((token, session), expected) in states.iter().zip(cells.by_ref()) {
            let mut request = http.request(method.clone(), format!("{}{path}", server.url));
            request = request.header("accept", if method == Method::POST { "application/json" } else { "*/*" });
            if method == Method::POST {
                request = request.json(&json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}));
            }
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            if let Some(session) = session {
                request = request.header("mcp-session-id", *session);
            }
            let response = request.send().await.unwrap();
            let (status, kind) = (response.status().to_string(), response.headers().get("content-type").cloned());
            if !status.starts_with(expected) {
                let _ = writeln!(wrong, "{method} {path}, {session:?}: {status}, not {expected}");
            }
            // A stream has no end to read to.
            if kind.is_none_or(|kind| kind != "text/event-stream") {
                let reply = Reply::read(response).await;
                for fault in faults(&method, &reply) {
                    let _ = writeln!(wrong, "{method} {path}, {session:?}: {fault}: {reply:?}");
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

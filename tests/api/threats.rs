//! What an attacker tries, where no other module has it as its subject; `docs/SECURITY.md` names the test of each threat.

use std::net::SocketAddr;

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{Method, redirect::Policy};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};

use crate::{
    files::Folder,
    support::{Reply, SECRET, Server, claims, eventually, reply_to, sign, token},
};

/// A place that nobody should ask for anything; tells the first line of each request that it gets, and answers as it is told.
async fn trap(answer: String) -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, asked) = mpsc::channel(100);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![0; 8192];
            let length = stream.read(&mut head).await.unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..length]).into_owned();
            let _ = tell.try_send(head.lines().next().unwrap_or_default().to_owned());
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (address, asked)
}

#[tokio::test]
async fn a_revoked_token_stops_working_when_its_trust_ends() {
    let server = Server::builder().env("MCP__AUTH__TRUST_S", "1").start();
    let client = server.client("ann").open().await;
    assert!(!client.tools().await.is_empty());
    let revoked = json!({"type": "access_denied", "key": "not_authenticated", "message": "Access token is revoked."});
    let fault = |path: &str| json!({"path": path, "status": 401, "body": revoked});
    server.sandbox(Method::PUT, "/sandbox/faults", "tester", json!(["/self", "/connections"].map(fault))).await;
    eventually("the token is refused", async || client.chats().await.status == 401).await;
    for reply in [client.ask("tools/list", json!({})).await, client.initialize("2025-11-25").await] {
        assert_eq!(reply.status, 401, "what is cached is not for it: {reply:?}");
    }
}

#[tokio::test]
async fn a_foreign_chat_is_one_that_does_not_exist() {
    let server = Server::start();
    let chat = |user: &str| server.client(user).query("mode=dynamic").header("x-chat-id", "the very same");
    let ann = chat("ann").open().await;
    ann.call("enable-tools", json!({"tools": ["gmail_list-emails"]})).await.result();
    assert_eq!(chat("bob").chats().await.json(), json!({}));
    assert_eq!(chat("bob").modern_names().await, ["enable-tools"], "nothing of hers is enabled");
    let bob = chat("bob").open().await;
    assert_ne!(bob.session, ann.session);
    assert_eq!(bob.tool_names().await, ["enable-tools"], "nothing of hers is inherited");
    assert_eq!(chat("ann").chats().await.json(), json!({"the very same": ann.session}), "nothing of hers is taken");
}

#[tokio::test]
async fn what_clients_send_forges_no_line_of_the_log() {
    let nasty =
        "x\r\n2026-01-01T00:00:00.000Z INFO  access: request status=200\u{1b}[31m\u{2028}\u{202e} user=\"root\"";
    for format in ["text", "json"] {
        let server = Server::builder().env("MCP__LOG__FORMAT", format).env("MCP__LOG__FILTER", "debug").start();
        let mut claims = claims(nasty);
        claims["iss"] = json!("sandbox");
        let client = server.client_with(&sign(&claims, SECRET));
        client.ask(nasty, json!({})).await;
        client.initialize(nasty).await;
        client.ask(&"long".repeat(100_000), json!({})).await;
        let opened = client.clone().header("x-chat-id", "a chat status=500 user=root").open().await;
        opened.call(nasty, json!({ nasty: nasty })).await;
        opened.call("sandbox-faults_echo", json!({ nasty: nasty })).await;
        client.clone().query("mode=%0d%0aforged").initialize("2025-11-25").await;
        reply_to(server.http.get(format!("{}/no%0d%0awhere%1b%5b31m", server.url))).await;
        server.wait_for_log("where");

        for line in server.log().lines() {
            let odd = line.chars().find(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{202e}'));
            assert_eq!(odd, None, "{line:?}");
            assert!(line.len() < 100_000, "a line of {} bytes", line.len());
            if format == "json" {
                assert!(serde_json::from_str::<Value>(line).is_ok_and(|line| line.is_object()), "{line:?}");
            } else {
                assert!(line.starts_with("20") && !line.starts_with("2026-01-01"), "{line:?}");
                assert!(!line.contains(" status=500 user=root ") || line.contains("\"a chat "), "{line:?}");
            }
        }
    }
}

#[tokio::test]
async fn names_that_are_made_up_do_not_flood_the_upstream() {
    let server = Server::start();
    let client = server.client("ann").query("mode=dynamic").open().await;
    let made_up = (0..511).map(|i| format!("a{i}_b_c_d_e"));
    let names: Vec<_> = made_up.chain(["gmail_list-emails".to_owned()]).collect();
    let result = client.call("enable-tools", json!({ "tools": names })).await.result();
    assert_eq!(result["content"][0]["text"], "Tools enabled", "{result}");
    assert!(client.tool_names().await.contains(&"gmail_list-emails".to_owned()), "what exists is enabled all the same");
    let asked = server.requests("GET /action").await + server.requests("GET /actions").await;
    assert!((64..128).contains(&asked), "2044 ways to read the names cost {asked} requests");
}

#[tokio::test]
async fn an_address_that_a_catalog_names_is_never_asked() {
    let (address, mut asked) = trap(String::new()).await;
    let at = |path: &str| format!("http://{address}/{path}");
    let action = json!({"key": "do", "name": "Do", "description": "Does it.", "type": "http-request", "run": {"do": "list", "records": "things", "as": "things"}, "inputSchema": {"type": "object", "properties": {
        "a": {"$ref": at("schema.json")}}, "$schema": at("dialect.json")}, "outputSchema": {"$ref": at("out.json")}});
    let app = json!({"integration": {"key": "trap", "name": "Trap", "logoUri": at("logo.png")},
        "records": {"things": []}, "actions": [action]});
    let folder = Folder::new().with("trap.json", &app.to_string());
    let server = Server::builder().env("MCP__SANDBOX__CATALOG", folder.as_str()).start();
    let client = server.client("ann").open().await;
    let tools = json!(client.tools().await).to_string();
    assert!(tools.contains("trap_do") && !tools.contains("logo.png"), "no client is told to ask there: {tools}");
    client.call("trap_do", json!({"a": at("argument")})).await;
    server.client("ann").modern_call("trap_do", json!({"a": 1})).send().await;
    assert!(asked.try_recv().is_err(), "somebody asked");
}

#[tokio::test]
async fn a_redirect_of_the_upstream_takes_no_token_elsewhere() {
    let (elsewhere, mut asked) = trap(String::new()).await;
    let redirect = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://{elsewhere}/self\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    let (upstream, mut seen) = trap(redirect).await;
    let server = Server::before(&format!("http://{upstream}")).start();
    for token in [token("ann"), "pat-of-ann".to_owned()] {
        assert_eq!(server.client_with(&token).initialize("2025-11-25").await.status, 503);
    }
    assert!(seen.try_recv().is_ok(), "the upstream itself was asked");
    assert!(asked.try_recv().is_err(), "and nobody else");
}

#[tokio::test]
async fn the_way_to_a_token_leads_to_the_upstream_alone() {
    let server = Server::builder().env("MCP__OAUTH__ENABLED", "true").start();
    let http = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
    let evil = "https%3A%2F%2Fevil.example.com";
    for query in [
        String::new(),
        format!("redirect_uri={evil}&client_id=c&scope=tenant"),
        format!("{evil}&@evil.example.com&host={evil}"),
        "x=%0d%0aset-cookie:%20a=b&y=%23%3f".to_owned(),
    ] {
        let response = http.get(format!("{}/oauth/authorize?{query}", server.url)).send().await.unwrap();
        let reply = Reply::read(response).await;
        let location = reply.header("location").unwrap();
        assert!(location.starts_with(&format!("{}/oauth/authorize?", server.sandbox)), "{query}: {location}");
        assert_eq!(reply.header("set-cookie"), None, "{query}");
    }
    for header in ["x-forwarded-host", "forwarded", "x-original-url", "x-forwarded-prefix"] {
        let value = if header == "forwarded" { "host=evil.example.com" } else { "evil.example.com" };
        let path = format!("{}/.well-known/oauth-protected-resource", server.url);
        let document = reply_to(server.http.get(path).header(header, value)).await;
        assert!(!document.text.contains("evil.example.com"), "{header}: {document:?}");
        let refused = server.client_with("").header(header, value).initialize("2025-11-25").await;
        assert!(!refused.header("www-authenticate").unwrap().contains("evil"), "{header}: {refused:?}");
    }
}

#[tokio::test]
async fn a_page_runs_its_own_script_alone_and_is_framed_nowhere() {
    let server = Server::start();
    for path in ["/", "/me", "/mcp", "/sse", "/?token=%3Cscript%3E&x=%22%3E%3Cscript%3E"] {
        let page = reply_to(server.http.get(format!("{}{path}", server.url)).header("accept", "text/html")).await;
        let policy = page.header("content-security-policy").unwrap();
        for rule in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"] {
            assert!(policy.contains(rule), "{path}: {rule} is missing in {policy}");
        }
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        for (tag, directive) in [("style", "style-src"), ("script", "script-src")] {
            let parts: Vec<_> = page.text.split(&format!("<{tag}>")).collect();
            assert_eq!(parts.len(), 2, "{path} has one {tag}");
            let text = parts[1].split(&format!("</{tag}>")).next().unwrap();
            let hash = STANDARD.encode(Sha256::digest(text));
            assert!(policy.contains(&format!("{directive} 'sha256-{hash}';")), "{path}: {policy}");
        }
        // What would run or load past those two.
        for other in ["<script ", " style=", " onclick=", " onload=", "src=\"http", "@import", "url("] {
            assert!(!page.text.contains(other), "{path}: {other}");
        }
        let headers =
            [("x-content-type-options", "nosniff"), ("x-frame-options", "DENY"), ("referrer-policy", "no-referrer")];
        for (header, value) in headers {
            assert_eq!(page.header(header), Some(value), "{path}: {header}");
        }
    }
}

#[tokio::test]
async fn a_name_in_a_request_is_no_markup_of_a_page() {
    let server = Server::builder().env("HOST", "0.0.0.0").start();
    let port = server.url.rsplit(':').next().unwrap();
    for host in [format!("\"><b>:{port}"), "a&lt;\"'".to_owned(), "{{token}}".to_owned()] {
        let request = server.http.get(format!("http://127.0.0.1:{port}/")).header("accept", "text/html");
        let page = reply_to(request.header("host", &host)).await;
        let is_page = page.header("content-type").is_some_and(|kind| kind.starts_with("text/html"));
        assert!(!is_page || (page.status == 200 && !page.text.contains("\"><b>")), "{host}: {page:?}");
    }
}

#[tokio::test]
async fn an_error_tells_nothing_of_how_things_are_inside() {
    // Nobody listens where somebody just left.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = Server::before(&format!("http://{closed}")).start();
    let (broken, _asked) = trap("no HTTP at all\r\n\r\n".to_owned()).await;
    let other = Server::before(&format!("http://{broken}")).start();
    for (server, upstream) in [(&server, closed), (&other, broken)] {
        for reply in [
            server.client("ann").initialize("2025-11-25").await,
            server.client("ann").modern("tools/list", json!({})).send().await,
            server.client("ann").chats().await,
        ] {
            assert_eq!(reply.status, 503, "{reply:?}");
            for inside in ["os error", "refused", &upstream.port().to_string(), "src/", "panicked", "ParseError"] {
                assert!(!reply.text.contains(inside), "{inside:?} is told: {reply:?}");
            }
        }
        server.wait_for_log("upstream");
    }
}

//! The front page, and requests from web pages: which are taken, and what pages may read of the answers.

use reqwest::Method;
use serde_json::json;

use crate::support::{Reply, Server, reply_to, token};

const PAGE: &str = "https://app.example.com";

fn server() -> Server {
    Server::builder().env("MCP__SERVER__ALLOWED_ORIGINS", PAGE).start()
}

fn exposed(reply: &Reply) -> Vec<String> {
    let headers = reply.header("access-control-expose-headers").unwrap_or_default();
    headers.split(',').map(|header| header.trim().to_ascii_lowercase()).collect()
}

#[tokio::test]
async fn a_page_that_may_ask_is_told_so_before_it_does() {
    let server = server();
    let wanted = "authorization,content-type,mcp-session-id,mcp-protocol-version,mcp-method,mcp-name,mcp-param-region,\
                  last-event-id,x-chat-id";
    for (path, method) in [("/mcp", "POST"), ("/mcp", "GET"), ("/mcp", "DELETE"), ("/sse/messages", "POST")] {
        let request = server.http.request(Method::OPTIONS, format!("{}{path}", server.url)).header("origin", PAGE);
        let request = request.header("access-control-request-method", method);
        let reply = reply_to(request.header("access-control-request-headers", wanted)).await;
        assert_eq!(reply.status, 200, "{method} {path}: {reply:?}");
        assert_eq!(reply.header("access-control-allow-origin"), Some(PAGE), "{method} {path}");
        let allowed = reply.header("access-control-allow-headers").unwrap().to_ascii_lowercase();
        for header in wanted.split(',') {
            assert!(allowed.split(',').any(|other| other.trim() == header), "{header} on {method} {path}: {allowed}");
        }
    }
}

#[tokio::test]
async fn a_page_that_may_ask_can_read_answers_and_errors() {
    let server = server();
    let client = server.client("ann").header("origin", PAGE);
    let anonymous = server.client_with("").header("origin", PAGE);
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    for (case, reply, status) in [
        ("an answer", client.initialize("2025-11-25").await, 200),
        ("no session", client.post(body.clone()).await, 400),
        ("no token", anonymous.post(body).await, 401),
        ("a long URL", anonymous.query(&"x".repeat(20_000)).get().await, 414),
        ("no such path", reply_to(client.request_at(Method::POST, "/nowhere")).await, 404),
    ] {
        assert_eq!(reply.status, status, "{case}");
        assert_eq!(reply.header("access-control-allow-origin"), Some(PAGE), "{case}");
        for header in ["mcp-session-id", "x-request-id", "www-authenticate", "retry-after"] {
            assert!(exposed(&reply).contains(&header.to_owned()), "{header} of {case}: {reply:?}");
        }
    }
}

#[tokio::test]
async fn a_page_that_may_not_ask_is_refused_before_anything_else() {
    let server = server();
    for origin in ["https://evil.example.com", "null", "https://app.example.com.evil.example.com"] {
        for (method, path) in [("OPTIONS", "/mcp"), ("POST", "/mcp"), ("GET", "/mcp/sessions"), ("GET", "/sse")] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let request = server.http.request(method.clone(), format!("{}{path}", server.url)).header("origin", origin);
            let reply = reply_to(request.bearer_auth(token("ann"))).await;
            assert_eq!(reply.status, 403, "{method} {path} from {origin}: {reply:?}");
            assert_eq!(reply.header("access-control-allow-origin"), None, "{method} {path} from {origin}");
        }
    }
}

#[tokio::test]
async fn a_page_of_this_machine_may_ask() {
    let server = Server::start();
    let client = server.client("ann").header("origin", "http://localhost:6274");
    assert_eq!(client.initialize("2025-11-25").await.status, 200);
}

#[tokio::test]
async fn the_front_page_suits_its_reader() {
    let server = Server::start();
    let get = async |accept| reply_to(server.http.get(format!("{}/", server.url)).header("accept", accept)).await;
    let page = get("text/html,application/xhtml+xml,*/*;q=0.8").await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.text.contains("<html"), "{page:?}");
    for accept in ["*/*", "text/plain", "application/json"] {
        let text = get(accept).await;
        assert_eq!(text.header("content-type"), Some("text/plain; charset=utf-8"), "{accept}");
        assert_eq!(text.text.lines().count(), 2, "{accept}: {text:?}");
    }
}

#[tokio::test]
async fn the_front_page_says_what_runs_and_how_it_is() {
    let server = Server::start();
    let page = reply_to(server.http.get(&server.url).header("accept", "text/html")).await;
    for part in
        [concat!("Version ", env!("CARGO_PKG_VERSION")), "Ready", &format!("{}/mcp", server.url), "class=\"sandbox"]
    {
        assert!(page.text.contains(part), "{part}");
    }
    let real = Server::before(&server.sandbox).start();
    let page = reply_to(real.http.get(&real.url).header("accept", "text/html")).await;
    assert!(page.text.contains("class=\"membrane tokens\"") && page.text.contains("Bearer <span data-token>TOKEN"));
}

/// Token on the front page, as it is shown to a browser that asks by this name.
async fn token_on_the_page(server: &Server, host: &str) -> Option<String> {
    let port = server.url.rsplit(':').next().unwrap();
    let request = server.http.get(format!("http://127.0.0.1:{port}/")).header("accept", "text/html");
    let page = reply_to(request.header("host", format!("{host}:{port}"))).await;
    let value = page.text.split_once("id=\"token\" type=\"text\" value=\"")?.1.split('"').next()?.to_owned();
    Some(value).filter(|token| !token.is_empty())
}

#[tokio::test]
async fn the_sandboxs_token_is_for_browsers_of_this_machine() {
    let server = Server::builder().env("HOST", "0.0.0.0").start();
    for host in ["127.0.0.1", "localhost", "my.localhost"] {
        let token = token_on_the_page(&server, host).await.unwrap();
        assert!(!server.client_with(&token).open().await.tools().await.is_empty(), "{host}");
    }
    for host in ["192.0.2.1", "sandbox.example.com", "127.0.0.1.evil.com"] {
        assert_eq!(token_on_the_page(&server, host).await, None, "{host}");
    }
    let real = Server::before("http://127.0.0.1:9").start();
    assert_eq!(token_on_the_page(&real, "localhost").await, None);
}

#[tokio::test]
async fn the_servers_own_pages_may_ask_where_the_settings_name_it() {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let ask = async |server: &Server, host: &str, origin: &str| {
        let client = server.client("ann").header("host", host).header("origin", origin);
        client.post(body.clone()).await.status.as_u16()
    };
    let named = Server::builder().env("HOST", "0.0.0.0").env("MCP__SERVER__ALLOWED_HOSTS", "mcp.example.com").start();
    let any = Server::builder().env("HOST", "0.0.0.0").start();
    let public = Server::builder().env("MCP__OAUTH__PUBLIC_URL", "https://mcp.example.com/gw").start();
    // 400: it is let in, and asked for a session.
    for (server, host, origin, status) in [
        (&named, "mcp.example.com", "https://mcp.example.com", 400),
        (&named, "mcp.example.com:8443", "http://mcp.example.com:8443", 400),
        (&named, "mcp.example.com", "https://mcp.example.com.evil.com", 403),
        (&named, "mcp.example.com", "https://evil.com", 403),
        (&named, "evil.com", "https://evil.com", 403),
        // A rebound name looks like one of the server's own.
        (&any, "evil.com", "http://evil.com", 403),
        (&public, "mcp.example.com", "https://mcp.example.com", 400),
        // A proxy asks by another name than clients do.
        (&public, "localhost", "https://mcp.example.com", 400),
        (&public, "localhost", "https://evil.com", 403),
        (&public, "evil.com", "https://evil.com", 403),
    ] {
        assert_eq!(ask(server, host, origin).await, status, "{host} {origin}");
    }
}

#[tokio::test]
async fn metrics_are_not_for_pages_whatever_name_leads_to_them() {
    let server = Server::start();
    let ask = async |path: &str, header: &str, value: &str| {
        let request = server.http.get(format!("{}{path}", server.admin)).header(header, value);
        reply_to(request).await.status.as_u16()
    };
    let cases = [
        ("/metrics", "host", "localhost:9464", 200),
        ("/metrics", "host", "192.0.2.1:9464", 200),
        ("/metrics", "host", "rebound.evil.com:9464", 403),
        ("/metrics", "host", "127.0.0.1.evil.com", 403),
        ("/metrics", "origin", "http://evil.com", 403),
        ("/metrics", "origin", "http://[::1].evil.com", 403),
        ("/healthz", "host", "pod-7.cluster.local", 200),
        ("/readyz", "host", "pod-7.cluster.local", 200),
    ];
    for (path, header, value, status) in cases {
        assert_eq!(ask(path, header, value).await, status, "{path} {header}: {value}");
    }
    let named = Server::builder().env("MCP__ADMIN__ALLOWED_HOSTS", "metrics.example.com").start();
    let request = named.http.get(format!("{}/metrics", named.admin)).header("host", "metrics.example.com:9464");
    assert_eq!(reply_to(request).await.status, 200);
}

//! The page between a chat and the upstream's page on which a user connects an account.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::{
    connecting_support::{Person, answered, first_text, linked},
    support::Server,
    upstream::Upstream,
};

/// A link that a user is given.
async fn link(ann: &Person<'_>, app: &str) -> String {
    let client = ann.client().query("mode=search").open().await;
    let told = answered(&client.call("connect-app", json!({"app": app})).await);
    linked(first_text(&told), "connect-app")
}

#[tokio::test]
async fn the_page_tells_for_whom_an_account_is_connected_and_can_do_nothing_else() {
    let server = Server::start();
    let ann = Person::of(&server, "<b>ann</b>", &["gmail"]);
    let page = link(&ann, "notion").await;
    let response = ann.browser.get(&page).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let headers = response.headers().clone();
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default();
    let policy = header("content-security-policy");
    for part in ["default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "style-src 'sha256-"] {
        assert!(policy.contains(part), "{part} is missing in: {policy}");
    }
    assert!(policy.contains("form-action 'self' https: http://127.0.0.1:"), "{policy}");
    assert!(!policy.contains("script-src") && !policy.contains("unsafe"), "{policy}");
    assert_eq!((header("referrer-policy"), header("x-frame-options")), ("no-referrer", "DENY"));
    assert_eq!((header("cache-control"), header("x-content-type-options")), ("no-store", "nosniff"));
    assert_eq!(header("set-cookie"), "");
    let text = response.text().await.unwrap();
    for part in
        ["Connect Notion", "&lt;b&gt;ann&lt;/b&gt;", "sandbox", "method=\"post\"", "value=\"go\"", "value=\"no\""]
    {
        assert!(text.contains(part), "{part} is missing in: {text}");
    }
    assert!(!text.contains("<script") && !text.contains("<b>ann") && !text.contains(&ann.token), "{text}");
    assert!(!text.contains("/sign-in/"), "the upstream's page is only told at the press of a button: {text}");
    // The link tells nothing of the user, and is short enough for a model to copy.
    let name = page.rsplit('/').next().unwrap();
    assert_eq!(name.len(), 22, "{page}");
    assert!(!server.log().lines().any(|line| line.contains("request=") && line.contains(name)), "a link is in the log");
}

#[tokio::test]
async fn programs_that_look_at_a_link_use_it_up_as_little_as_its_user_does() {
    let server = Server::start();
    let ann = Person::of(&server, "ann", &["gmail"]);
    let page = link(&ann, "notion").await;
    for method in [Method::GET, Method::HEAD, Method::GET] {
        let look = ann.browser.request(method, &page).header("user-agent", "Slackbot-LinkExpanding 1.0");
        assert_eq!(look.send().await.unwrap().status(), 200);
    }
    for query in ["?answer=go", "?answer=no"] {
        assert_eq!(ann.show(&format!("{page}{query}")).await.0, 200);
    }
    for method in [Method::PUT, Method::DELETE, Method::OPTIONS] {
        assert_eq!(ann.browser.request(method.clone(), &page).send().await.unwrap().status(), 405, "{method}");
    }
    let upstream = ann.go_on(&page).await;
    assert!(upstream.starts_with(&server.sandbox), "{upstream}");
    assert_eq!(server.requests("POST /sign-in/{id}").await, 0);
}

#[tokio::test]
async fn a_link_works_once() {
    let server = Server::start();
    let ann = Person::of(&server, "ann", &["gmail"]);
    let page = link(&ann, "notion").await;
    ann.go_on(&page).await;
    assert_eq!(ann.show(&page).await.0, StatusCode::GONE);
    for answer in ["go", "no"] {
        let (status, text) = ann.answer(&page, answer).await;
        assert!(status == StatusCode::GONE && text.contains("This link was used"), "{status} {text}");
    }
    let declined = link(&ann, "slack").await;
    assert_eq!(ann.answer(&declined, "no").await.0, 200);
    let (status, text) = ann.answer(&declined, "go").await;
    assert!(status == StatusCode::GONE && text.contains("Nothing is connected"), "{status} {text}");
}

#[tokio::test]
async fn links_that_never_were_lead_nowhere() {
    let server = Server::start();
    let ann = Person::of(&server, "ann", &["gmail"]);
    let page = link(&ann, "notion").await;
    let (cut, changed) = (&page[..page.len() - 1], page.replace("/connect/", "/connect/A"));
    for wrong in
        [cut, &changed, &format!("{}/connect/x", server.url), &format!("{}/connect/{}", server.url, "A".repeat(22))]
    {
        assert_eq!(ann.show(wrong).await.0, 404, "{wrong}");
        assert_eq!(ann.answer(wrong, "go").await.0, 404, "{wrong}");
    }
    let traversal = format!("{}/connect/..%2f..%2fmcp", server.url);
    assert_eq!(ann.show(&traversal).await.0, 404);
    let off = Server::builder().env("MCP__CONNECT__INTERSTITIAL", "false").start();
    let ann = Person::of(&off, "ann", &["gmail"]);
    let straight = link(&ann, "notion").await;
    assert!(straight.starts_with(&off.sandbox), "without the page, links lead to the upstream's: {straight}");
}

#[tokio::test]
async fn another_page_can_not_press_the_button() {
    let server = Server::start();
    let ann = Person::of(&server, "ann", &["gmail"]);
    let page = link(&ann, "notion").await;
    for site in ["cross-site", "same-site", "none"] {
        let form = ann.browser.post(&page).header("sec-fetch-site", site).header("origin", "https://evil.example");
        let form = form.header("content-type", "application/x-www-form-urlencoded").body("answer=go");
        let response = form.send().await.unwrap();
        assert_eq!((response.status(), response.headers().get("location")), (StatusCode::FORBIDDEN, None), "{site}");
    }
    for body in ["", "answer=maybe", "answer", "{\"answer\":\"go\"}"] {
        let response = ann.form(&page, "").body(body).send().await.unwrap();
        assert_eq!(response.status(), 400, "{body}");
    }
    ann.go_on(&page).await;
}

#[tokio::test]
async fn a_page_that_is_not_secure_is_given_to_nobody() {
    for url in [
        "http://evil.example/sign-in",
        "javascript:alert(1)",
        "//evil.example",
        "https://user@evil.example/",
        "data:text/html,x",
        "",
    ] {
        let answer = json!({"requestId": "r-1", "url": url, "status": "pending"}).to_string();
        let upstream = Upstream::answering(move |request| match (request.path(), request.method().as_str()) {
            ("/connection-requests", "POST") => Some(answer.clone()),
            ("/connections", _) if request.query_string().contains("integrationKey") => {
                Some(r#"{"items":[]}"#.to_owned())
            }
            _ => None,
        });
        let server = Server::before(&upstream.url).start();
        let client = server.client("ann").query("mode=search").open().await;
        let told = answered(&client.call("connect-app", json!({"app": "notion"})).await);
        let text = first_text(&told);
        assert!(!text.contains("evil") && !text.contains("javascript") && !text.contains("/connect/"), "{url}: {text}");
    }
}

#[tokio::test]
async fn links_name_the_server_as_the_settings_do() {
    let public = "https://mcp.example.com/below";
    let server = Server::builder().env("MCP__OAUTH__PUBLIC_URL", public).start();
    let ann = Person::of(&server, "ann", &["gmail"]);
    let page = link(&ann, "notion").await;
    assert!(page.starts_with(&format!("{public}/connect/")), "{page}");
}

#[tokio::test]
async fn a_form_is_read_only_for_a_link_that_there_is_and_only_as_far_as_forms_are_long() {
    let server = Server::start();
    let ann = Person::of(&server, "ann", &["gmail"]);
    let page = link(&ann, "notion").await;
    let send = async |page: &str, body: String| {
        let form = ann.browser.post(page).header("content-type", "application/x-www-form-urlencoded").body(body);
        form.send().await.unwrap().status()
    };
    let none = format!("{}/connect/{}", server.url, "A".repeat(22));
    assert_eq!(send(&none, "answer=go".to_owned()).await, 404);
    assert_eq!(send(&page, format!("answer=go&{}", "a&".repeat(10_000))).await, 400);
    // Nothing was used up by that.
    ann.go_on(&page).await;
}

#[tokio::test]
async fn another_sites_page_does_not_press_the_button() {
    let server = Server::start();
    let ann = Person::of(&server, "ann", &["gmail"]);
    let page = link(&ann, "notion").await;
    let press = async |name: &str, value: &str| {
        let form = ann.browser.post(&page).header(name, value);
        let form = form.header("content-type", "application/x-www-form-urlencoded").body("answer=no");
        form.send().await.unwrap().status()
    };
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("origin", "http://127.0.0.1"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        assert_eq!(press(name, value).await, 403, "{name}: {value}");
    }
    assert_eq!(press("origin", "null").await, 200, "which is what browsers send for a page without referrer");
}

#[tokio::test]
async fn a_link_is_not_logged_however_it_is_written() {
    let server = Server::start();
    let ann = Person::of(&server, "ann", &["gmail"]);
    let page = link(&ann, "notion").await;
    let name = page.rsplit('/').next().unwrap();
    for path in ["/connect/", "/%63onnect/", "//connect/"] {
        ann.browser.get(format!("{}{path}{name}", server.url)).send().await.unwrap();
    }
    let log = server.log();
    assert!(!log.lines().any(|line| line.contains("access") && line.contains(name)), "a link is in the log");
}

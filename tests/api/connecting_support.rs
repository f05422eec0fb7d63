//! Users who connect apps: with a browser's requests, on the server's page and the sandbox's.

use reqwest::{Client as Http, Method, RequestBuilder, StatusCode, redirect::Policy};
use serde_json::{Value, json};

use crate::{
    modern_support::Modern,
    support::{Client, Reply, SECRET, Server, claims, sign},
};

/// A user of the sandbox, who has connected some apps at first.
pub struct Person<'a> {
    server: &'a Server,
    pub token: String,
    /// Follows no redirects by itself.
    pub browser: Http,
}

impl<'a> Person<'a> {
    pub fn of(server: &'a Server, user: &str, connections: &[&str]) -> Self {
        let mut claims = claims(user);
        claims["fields"] = json!({"connections": connections});
        let browser = Http::builder().redirect(Policy::none()).build().unwrap();
        Self { server, token: sign(&claims, SECRET), browser }
    }

    pub fn client(&self) -> Client<'a> {
        self.server.client_with(&self.token)
    }

    /// Has an account lose its credentials.
    pub async fn lose(&self, app: &str) {
        let url = format!("{}/connections/{app}", self.server.sandbox);
        let request = self.server.http.patch(url).bearer_auth(&self.token).json(&json!({"disconnected": true}));
        assert!(request.send().await.unwrap().status().is_success());
    }

    /// Looks at a page.
    pub async fn show(&self, page: &str) -> (StatusCode, String) {
        read(self.browser.get(page)).await
    }

    /// The form of the server's page, sent as a browser does.
    pub fn form(&self, page: &str, answer: &str) -> RequestBuilder {
        let form = self.browser.request(Method::POST, page).body(format!("answer={answer}"));
        let form = form.header("content-type", "application/x-www-form-urlencoded");
        form.header("origin", "null").header("sec-fetch-site", "same-origin").header("sec-fetch-mode", "navigate")
    }

    /// Presses a button on the server's page.
    pub async fn answer(&self, page: &str, answer: &str) -> (StatusCode, String) {
        read(self.form(page, answer)).await
    }

    /// Goes on from the server's page, and gives the address of the upstream's.
    pub async fn go_on(&self, page: &str) -> String {
        assert_eq!(self.show(page).await.0, 200, "{page}");
        let response = self.form(page, "go").send().await.unwrap();
        assert_eq!(response.status(), 303, "{page}");
        assert_eq!(response.headers()["referrer-policy"], "no-referrer");
        response.headers()["location"].to_str().unwrap().to_owned()
    }

    /// Connects the account that a page asks for.
    pub async fn allow(&self, page: &str) {
        self.sign_in(page, "account=0&answer=allow").await;
    }

    /// Says no on the upstream's page.
    pub async fn deny(&self, page: &str) {
        self.sign_in(page, "account=0&answer=deny").await;
    }

    async fn sign_in(&self, page: &str, form: &str) {
        let sign_in = self.go_on(page).await;
        assert!(sign_in.contains("/sign-in/"), "{sign_in}");
        let request = self.browser.post(&sign_in).header("content-type", "application/x-www-form-urlencoded");
        assert_eq!(request.body(form.to_owned()).send().await.unwrap().status(), 303);
    }
}

async fn read(request: RequestBuilder) -> (StatusCode, String) {
    let response = request.send().await.unwrap();
    (response.status(), response.text().await.unwrap())
}

/// The first text of a result.
pub fn first_text(result: &Value) -> &str {
    result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text: {result}"))
}

/// The result of a reply, whether that is JSON or a stream.
pub fn answered(reply: &Reply) -> Value {
    if reply.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream")) {
        return reply.events().into_iter().find_map(|message| message.get("result").cloned()).unwrap();
    }
    reply.result()
}

impl Modern<'_> {
    /// Sends it, and gives the result, whether that comes as JSON or on a stream.
    pub async fn answer(&self) -> Value {
        answered(&self.send().await)
    }
}

/// Asserts that a text holds a link on a line of its own, and says what to do after it. Gives the link.
pub fn linked(text: &str, again: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    let links: Vec<_> = lines.iter().filter(|line| line.contains("://")).collect();
    assert_eq!(links.len(), 1, "{text}");
    assert!(links[0].starts_with("http") && !links[0].contains(' '), "{text}");
    assert_eq!(lines.last(), Some(&&*format!("After signing in, call {again} again.")), "{text}");
    (*links[0]).to_owned()
}

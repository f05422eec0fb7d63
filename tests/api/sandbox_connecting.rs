//! Connecting apps in the sandbox: requests, the page behind their links, lost credentials, two accounts.

use reqwest::{Method, StatusCode, redirect::Policy};
use serde_json::{Value, json};

use crate::{
    catalog::token_with,
    support::{SECRET, Server, eventually},
};

/// A user of the sandbox's API.
struct User<'a> {
    server: &'a Server,
    token: String,
}

impl<'a> User<'a> {
    fn new(server: &'a Server, user: &str, connections: &[&str]) -> Self {
        Self { server, token: token_with(user, connections) }
    }

    async fn send(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        let request = self.server.http.request(method, format!("{}{path}", self.server.sandbox)).json(&body);
        let response = request.bearer_auth(&self.token).send().await.unwrap();
        let status = response.status();
        (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default())
    }

    async fn get(&self, path: &str) -> Value {
        self.send(Method::GET, path, Value::Null).await.1
    }

    /// Asks for a link, and gives the id of the request and the link.
    async fn ask(&self, selector: Value) -> (String, String) {
        let (status, made) = self.send(Method::POST, "/connection-requests", selector).await;
        assert_eq!((status.as_u16(), &made["status"]), (201, &json!("pending")), "{made}");
        (made["requestId"].as_str().unwrap().to_owned(), made["url"].as_str().unwrap().to_owned())
    }

    async fn status(&self, id: &str) -> Value {
        self.get(&format!("/connection-requests/{id}")).await
    }

    async fn connections(&self) -> Vec<Value> {
        self.get("/connections").await["items"].as_array().unwrap().clone()
    }
}

/// Sends the form of a sign-in page, and gives the page that it leads to.
async fn answer(url: &str, form: &str) -> (StatusCode, String) {
    let http = reqwest::Client::builder().redirect(Policy::limited(1)).build().unwrap();
    let request = http.post(url).header("content-type", "application/x-www-form-urlencoded").body(form.to_owned());
    let response = request.send().await.unwrap();
    (response.status(), response.text().await.unwrap())
}

#[tokio::test]
async fn a_user_who_allows_it_on_the_page_has_connected_the_app() {
    let server = Server::start();
    let ann = User::new(&server, "ann", &["gmail"]);
    let (id, url) = ann.ask(json!({"integrationKey": "notion"})).await;
    assert!(url.starts_with(&server.sandbox), "{url}");

    let page = server.http.get(&url).send().await.unwrap().text().await.unwrap();
    for part in ["Connect Notion", "ann@work.example", "ann@home.example", "method=\"post\""] {
        assert!(page.contains(part), "{part:?} is missing in: {page}");
    }
    let (status, page) = answer(&url, "account=1&answer=allow").await;
    assert_eq!(status, 200);
    assert!(page.contains("Notion is connected") && page.contains("ann@home.example"), "{page}");

    let told = ann.status(&id).await;
    assert_eq!(told["status"], "success", "{told}");
    let connections = ann.connections().await;
    let notion = connections.iter().find(|connection| connection["integration"]["key"] == "notion").unwrap();
    assert_eq!(notion["id"], told["resultConnectionId"]);
    assert_eq!((&notion["key"], &notion["name"]), (&json!("notion-home"), &json!("ann@home.example")));
    assert_eq!((&notion["state"], &notion["disconnected"]), (&json!("READY"), &json!(false)));
}

#[tokio::test]
async fn looking_at_a_link_changes_nothing_and_the_first_answer_counts() {
    let server = Server::start();
    let ann = User::new(&server, "ann", &[]);
    let (id, url) = ann.ask(json!({"integrationId": "int-notion"})).await;
    for query in ["", "?answer=allow&account=0"] {
        let looked = server.http.get(format!("{url}{query}")).send().await.unwrap();
        assert_eq!(looked.status(), 200);
        assert_eq!(ann.status(&id).await["status"], "pending", "{query:?}");
    }
    assert_eq!(answer(&url, "answer=allow").await.0, 400, "no account");
    assert_eq!(answer(&url, "answer=allow&account=7").await.0, 400, "an account that the user does not have");
    assert_eq!(answer(&url, "answer=maybe&account=0").await.0, 400);
    assert_eq!(ann.status(&id).await["status"], "pending");

    assert!(answer(&url, "answer=deny&account=0").await.1.contains("Notion was not connected"));
    assert!(answer(&url, "answer=allow&account=0").await.1.contains("Notion was not connected"), "it was denied");
    assert_eq!(ann.status(&id).await["status"], "cancelled");
    assert!(ann.connections().await.is_empty());
}

#[tokio::test]
async fn the_page_has_no_script_and_stays_by_itself() {
    let server = Server::start();
    let ann = User::new(&server, "<b>ann</b>", &[]);
    let (_, url) = ann.ask(json!({"integrationKey": "notion"})).await;
    for url in [url, format!("{}/sign-in/unknown", server.sandbox)] {
        let response = server.http.get(&url).send().await.unwrap();
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        let policy = header("content-security-policy");
        for part in ["default-src 'none'", "style-src 'sha256-", "form-action 'self'", "frame-ancestors 'none'"] {
            assert!(policy.contains(part), "{part} is missing in: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!((header("referrer-policy").as_str(), header("cache-control").as_str()), ("no-referrer", "no-store"));
        assert_eq!(header("x-frame-options"), "DENY");
        assert!(response.headers().get("set-cookie").is_none());
        let page = response.text().await.unwrap();
        assert!(!page.contains("<script") && !page.contains("<b>") && !page.contains(&ann.token), "{page}");
    }
}

#[tokio::test]
async fn a_request_is_told_to_the_user_who_made_it_alone() {
    let server = Server::start();
    let ann = User::new(&server, "ann", &[]);
    let (id, _) = ann.ask(json!({"integrationKey": "notion"})).await;
    let path = format!("/connection-requests/{id}");
    let (status, error) = User::new(&server, "bob", &[]).send(Method::GET, &path, Value::Null).await;
    assert_eq!((status.as_u16(), &error["key"]), (404, &json!("not_found")));
    for selector in [json!({}), json!({"integrationKey": "unknown"}), json!({"connectionId": "unknown"})] {
        let (status, error) = ann.send(Method::POST, "/connection-requests", selector.clone()).await;
        assert_eq!((status.as_u16(), &error["key"]), (404, &json!("not_found")), "{selector}");
    }
}

#[tokio::test]
async fn an_account_that_loses_its_credentials_says_where_to_sign_in_again() {
    let server = Server::start();
    let ann = User::new(&server, "ann", &["gmail", "gmail", "slack"]);
    ann.send(Method::PATCH, "/connections/gmail-home", json!({"disconnected": true})).await;
    let home = ann.get("/connections/gmail-home").await;
    assert_eq!((&home["disconnected"], &home["state"]), (&json!(true), &json!("CLIENT_ACTION_REQUIRED")), "{home}");
    assert_eq!(home["clientAction"]["type"], "connect");
    let url = home["clientAction"]["uiUrl"].as_str().unwrap();

    let run = format!("/connections/{}/actions/list-emails/run", home["id"].as_str().unwrap());
    let (status, error) = ann.send(Method::POST, &run, json!({})).await;
    assert_eq!(
        (status.as_u16(), &error["type"], &error["key"]),
        (400, &json!("connection"), &json!("access_token_expired"))
    );
    assert_eq!(error["data"]["connectionId"], home["id"]);
    let act =
        json!({"key": "list-emails", "connectionId": ann.get("/connections/gmail-work").await["id"], "input": {}});
    assert_eq!(ann.send(Method::POST, "/act", act).await.0, 200, "the other account is well");

    let page = server.http.get(url).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("ann@home.example") && !page.contains("ann@work.example"), "{page}");
    answer(url, "answer=allow").await;
    let again = ann.get("/connections/gmail-home").await;
    assert_eq!((&again["id"], &again["state"], &again["clientAction"]), (&home["id"], &json!("READY"), &Value::Null));
    assert_eq!(ann.send(Method::POST, &run, json!({})).await.0, 200);
}

#[tokio::test]
async fn two_accounts_of_an_app_hold_records_of_their_own() {
    let server = Server::start();
    let ann = User::new(&server, "ann", &["gmail", "gmail"]);
    let emails = async |connection: &str| {
        let path = format!("/connections/{connection}/actions/list-emails/run");
        let (status, output) = ann.send(Method::POST, &path, json!({})).await;
        assert_eq!(status, 200, "{output}");
        output["output"].as_object().unwrap().values().find_map(|value| value.as_array().map(Vec::len)).unwrap()
    };
    let (work, home) = (emails("gmail-work").await, emails("gmail-home").await);
    assert!(work > 0 && home == 0, "{work} and {home}");
    let mail = json!({"to": ["bob@example.com"], "subject": "Hi", "body": "Hi"});
    let (status, _) = ann.send(Method::POST, "/connections/gmail-home/actions/send-email/run", mail).await;
    assert_eq!(status, 200);
    assert_eq!((emails("gmail-work").await, emails("gmail").await), (work, work), "the oldest stands for the app");
}

#[tokio::test]
async fn a_second_sign_in_adds_an_account_or_renews_the_same() {
    let server = Server::start();
    let ann = User::new(&server, "ann", &["gmail"]);
    for (account, number) in [("0", 1), ("1", 2), ("1", 2)] {
        let (_, url) = ann.ask(json!({"integrationKey": "gmail"})).await;
        answer(&url, &format!("answer=allow&account={account}")).await;
        assert_eq!(ann.connections().await.len(), number, "{account}");
    }
}

#[tokio::test]
async fn the_workspace_lists_its_apps_whether_connected_or_not() {
    let server = Server::start();
    let listed = async |user: &User<'_>| -> Vec<String> {
        let list = user.get("/integrations?limit=1000").await;
        let items = list["items"].as_array().unwrap().iter();
        items.map(|item| item["key"].as_str().unwrap().to_owned()).collect()
    };
    let none = listed(&User::new(&server, "ann", &[])).await;
    assert!(none.contains(&"notion".to_owned()) && !none.contains(&"test".to_owned()), "{none:?}");
    assert!(listed(&User::new(&server, "bob", &["test"])).await.contains(&"test".to_owned()));
}

#[tokio::test]
async fn a_webhook_tells_the_server_of_what_the_user_connects() {
    for secret in [Some("what only the sandbox was told"), None] {
        let mut builder = Server::builder().env("MCP__CATALOG__FRESH_S", "3600");
        builder = match secret {
            Some(secret) => builder.env("MCP__WEBHOOKS__SECRET", secret),
            None => builder.env("MCP__AUTH__WORKSPACE_KEY", "sandbox").env("MCP__AUTH__WORKSPACE_SECRET", SECRET),
        };
        let server = builder.start();
        let ann = User::new(&server, "ann", &["gmail"]);
        let webhook = json!({"url": format!("{}/webhooks/membrane", server.url), "secret": secret});
        ann.send(Method::PUT, "/sandbox/webhook", webhook).await;
        let client = server.client_with(&ann.token).open().await;
        let has_notion = async || client.tool_names().await.iter().any(|name| name.starts_with("notion_"));
        assert!(!has_notion().await);
        let (_, url) = ann.ask(json!({"integrationKey": "notion"})).await;
        answer(&url, "answer=allow&account=0").await;
        eventually("the webhook", has_notion).await;
    }
}

#[tokio::test]
async fn a_minted_token_leaves_an_app_to_connect() {
    let server = Server::start();
    let banner = server.printed("Another user");
    assert!(banner.contains("have it connect Notion"), "{banner}");
    let token = banner.split_once("TOKEN=").unwrap().1.split_whitespace().next().unwrap();
    let names = server.client_with(token).open().await.tool_names().await;
    assert!(
        names.iter().any(|name| name.starts_with("gmail_")) && !names.iter().any(|name| name.starts_with("notion_"))
    );
}

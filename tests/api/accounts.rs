//! Users with several accounts of one app: which of them a call acts on, and what is told of them.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    catalog::token_with,
    files::Folder,
    loading::metric,
    support::{Client, Server, ServerBuilder, eventually},
    upstream::Upstream,
};

const BOTH: [&str; 3] = ["gmail", "gmail", "slack"];

/// A server whose catalogs are loaded anew for each list, and that answers as JSON however long it takes.
pub fn builder() -> ServerBuilder {
    Server::builder().env("MCP__CATALOG__FRESH_S", "0").env("MCP__TUNING__STREAM_AFTER_MS", "60000")
}

/// A client of a user who has connected these apps, each as often as it is named.
pub async fn open<'a>(server: &'a Server, user: &str, connections: &[&str], query: &str) -> Client<'a> {
    server.client_with(&token_with(user, connections)).query(query).open().await
}

fn mail(subject: &str) -> Value {
    json!({"to": ["bob@example.com"], "subject": subject, "body": "Hi"})
}

fn with(mut arguments: Value, name: &str, value: &str) -> Value {
    arguments[name] = json!(value);
    arguments
}

fn text(result: &Value) -> &str {
    result["content"][0]["text"].as_str().unwrap()
}

/// Calls a tool that must succeed, and gives its output and the account that was used.
pub async fn used(client: &Client<'_>, tool: &str, arguments: Value) -> (Value, Value) {
    let result = client.call(tool, arguments).await.result();
    assert_eq!(result["isError"], Value::Null, "{tool}: {result}");
    (serde_json::from_str(text(&result)).unwrap_or_default(), result["_meta"]["account"].clone())
}

/// Calls a tool that must refuse, and gives its words.
async fn refusal(client: &Client<'_>, tool: &str, arguments: Value) -> String {
    let result = client.call(tool, arguments).await.result();
    assert_eq!(result["isError"], true, "{tool}: {result}");
    text(&result).to_owned()
}

/// How many emails an account holds, by the sandbox's own word.
async fn emails(client: &Client<'_>, connection: &str) -> usize {
    let path = format!("/connections/{connection}/actions/list-emails/run");
    let request = client.server.http.post(format!("{}{path}", client.server.sandbox)).bearer_auth(&client.token);
    let output: Value = request.json(&json!({})).send().await.unwrap().json().await.unwrap();
    output["output"]["emails"].as_array().unwrap_or_else(|| panic!("{output}")).len()
}

async fn change(client: &Client<'_>, method: Method, path: &str, body: Value) {
    let request = client.server.http.request(method, format!("{}{path}", client.server.sandbox));
    let response = request.bearer_auth(&client.token).json(&body).send().await.unwrap();
    assert!(response.status().is_success(), "{path}: {}", response.status());
}

fn tool<'a>(tools: &'a [Value], name: &str) -> &'a Value {
    tools.iter().find(|tool| tool["name"] == name).unwrap_or_else(|| panic!("{name} is not listed"))
}

async fn runs(server: &Server) -> u64 {
    let stats = server.stats().await;
    let requests = stats["requests"].as_object().unwrap().iter();
    let of_runs = requests.filter(|(what, _)| what.ends_with("run") || what.ends_with("/act"));
    of_runs.map(|(_, count)| count.as_u64().unwrap()).sum()
}

#[tokio::test]
async fn users_with_one_account_have_the_same_bytes_and_share_them() {
    let server = Server::builder().env("MCP__SERVER__WORKERS", "1").start();
    let list = async |user: &str, connections: &[&str]| {
        let client = open(&server, user, connections, "").await;
        client.ask("tools/list", json!({})).await.text
    };
    let ann = list("ann", &["gmail", "slack"]).await;
    let of_one = metric(&server, "mcp_catalog_bytes", "");
    assert!(!ann.contains("account"), "nothing is told of accounts");
    for i in 0..10 {
        assert_eq!(list(&format!("user-{i}"), &["gmail", "slack"]).await, ann);
    }
    let of_all = metric(&server, "mcp_catalog_bytes", "");
    assert_eq!(of_all - of_one, 10 * 1024, "they share all but their entries");

    let both = list("bob", &BOTH).await;
    let with_both = metric(&server, "mcp_catalog_bytes", "") - of_all;
    let gmail = ann.len();
    assert!(with_both > 1024 && with_both < 1024 + 3 * gmail as u64, "{with_both} bytes beside lists of {gmail}");
    let slack = |list: &str| list[list.find(r#"{"name":"slack_"#).unwrap()..].to_owned();
    assert_eq!(slack(&both), slack(&ann), "the tools of the other app are the same");
    assert_eq!(list("cid", &["gmail", "slack"]).await, ann);
}

#[tokio::test]
async fn several_accounts_stand_in_the_schemas_of_their_app_alone() {
    let server = builder().start();
    let fixed = open(&server, "ann", &BOTH, "").await;
    let dynamic = open(&server, "ann", &BOTH, "mode=dynamic").await;
    let pinned = open(&server, "ann", &BOTH, "mode=search&pin=gmail_send-email,slack_list-users").await;
    dynamic.call("enable-tools", json!({"tools": ["gmail_send-email", "slack_list-users"]})).await.result();
    let modern = fixed.modern("tools/list", json!({})).send().await.result()["tools"].as_array().unwrap().clone();
    for tools in [fixed.tools().await, dynamic.tools().await, pinned.tools().await, modern] {
        let account = &tool(&tools, "gmail_send-email")["inputSchema"]["properties"]["account"];
        assert_eq!(account["enum"], json!(["gmail-work", "gmail-home"]), "{account}");
        let description = account["description"].as_str().unwrap();
        assert!(description.contains("ann@work.example") && description.contains("Gmail"), "{description}");
        let other = &tool(&tools, "slack_list-users")["inputSchema"]["properties"];
        assert_eq!(other["account"], Value::Null, "{other}");
    }
    let stateless = server.client_with(&fixed.token).query("mode=dynamic").modern_enable(&["gmail_send-email"]).await;
    let told = &stateless["structuredContent"]["tools"][0]["inputSchema"]["properties"]["account"];
    assert!(told["enum"].is_array(), "{stateless}");
}

#[tokio::test]
async fn a_call_acts_on_the_account_that_it_names_in_both_versions_of_the_api() {
    for (version, path) in [("legacy", "POST /connections/con-2/actions/send-email/run"), ("2025-10-21", "POST /act")] {
        let server = builder().env("MCP__MEMBRANE__API_VERSION", version).start();
        let client = open(&server, "ann", &BOTH, "").await;
        let (work, home) = (emails(&client, "gmail-work").await, emails(&client, "gmail-home").await);
        let (_, account) = used(&client, "gmail_send-email", with(mail("direct"), "account", "gmail-home")).await;
        assert_eq!(account, "gmail-home");
        assert_eq!(server.requests(path).await, 1, "{version}");
        let search = open(&server, "ann", &BOTH, "mode=search").await;
        for name in ["gmail-home", "con-2", "ann@home.example"] {
            let run = json!({"name": "gmail_send-email", "arguments": mail(name), "account": name});
            assert_eq!(used(&search, "run-write-tool", run).await.1, "gmail-home", "{name}");
        }
        // A model that takes the runner's argument for one of the tool.
        let run = json!({"name": "gmail_send-email", "arguments": with(mail("within"), "account", "gmail-home")});
        assert_eq!(used(&search, "run-write-tool", run).await.1, "gmail-home");
        let now = (emails(&client, "gmail-work").await, emails(&client, "gmail-home").await);
        assert_eq!(now, (work, home + 5), "{version}");
        let (listed, _) = used(&client, "gmail_list-emails", json!({"account": "gmail-home"})).await;
        let record = listed["emails"].as_array().unwrap().last().unwrap().to_string();
        assert!(record.contains("within") && !record.contains("account"), "the action knows nothing of it: {record}");
    }
}

#[tokio::test]
async fn a_write_that_names_no_account_is_refused_with_the_list_and_a_read_says_which_it_used() {
    let server = builder().start();
    let client = open(&server, "ann", &BOTH, "").await;
    let search = open(&server, "ann", &BOTH, "mode=search").await;
    let before = runs(&server).await;
    let run = json!({"name": "gmail_send-email", "arguments": mail("x")});
    for words in [
        refusal(&client, "gmail_send-email", mail("x")).await,
        refusal(&search, "run-write-tool", run).await,
        refusal(&client, "gmail_send-email", with(mail("x"), "account", "gmail-other")).await,
        refusal(&client, "gmail_send-email", json!({"account": 7})).await,
    ] {
        for part in ["gmail-work", "ann@home.example", "was not run"] {
            assert!(words.contains(part), "{part:?} is missing in: {words}");
        }
    }
    assert_eq!(runs(&server).await, before, "nothing was run");
    assert_eq!(used(&client, "gmail_list-emails", json!({})).await.1, "gmail-work");
    assert_eq!(used(&client, "gmail_list-emails", json!({"account": null})).await.1, "gmail-work");
    let run = json!({"name": "gmail_list-emails"});
    assert_eq!(used(&search, "run-read-tool", run).await.1, "gmail-work");
    assert_eq!(used(&client, "slack_list-users", json!({})).await.1, Value::Null, "it has one");

    change(&client, Method::PATCH, "/connections/gmail-work", json!({"disconnected": true})).await;
    eventually("the first that is connected", async || {
        client.tools().await;
        used_by(&client).await == "gmail-home"
    })
    .await;
}

/// The account that a read uses.
async fn used_by(client: &Client<'_>) -> Value {
    client.call("gmail_list-emails", json!({})).await.result()["_meta"]["account"].clone()
}

#[tokio::test]
async fn a_server_can_be_told_to_write_by_default() {
    let server = builder().env("MCP__ACCOUNTS__ON_AMBIGUOUS", "default").start();
    let client = open(&server, "ann", &BOTH, "").await;
    assert_eq!(used(&client, "gmail_send-email", mail("x")).await.1, "gmail-work");
}

#[tokio::test]
async fn a_user_with_one_account_may_name_it_and_no_other() {
    let server = builder().start();
    let search = open(&server, "ann", &["gmail"], "mode=search").await;
    let run = |account: &str| json!({"name": "gmail_send-email", "arguments": mail(account), "account": account});
    for name in ["gmail-work", "con-1", "ann@work.example"] {
        assert_eq!(used(&search, "run-write-tool", run(name)).await.1, Value::Null, "{name}");
    }
    assert_eq!(server.requests("POST /action-instance/run").await, 3, "as ever");
    for name in ["gmail-home", "", "Gmail"] {
        let words = refusal(&search, "run-write-tool", run(name)).await;
        assert!(words.contains("gmail-work") && words.contains("was not run"), "{words}");
    }
    assert_eq!(runs(&server).await, 3);
}

#[tokio::test]
async fn an_argument_of_the_actions_own_keeps_its_name() {
    let action = |key: &str, r#type: &str, properties: Value| {
        json!({"key": key, "name": key, "description": "", "type": r#type, "run": {"do": "echo"},
            "inputSchema": {"type": "object", "properties": properties}})
    };
    let text = json!({"type": "string"});
    let app = json!({
        "integration": {"key": "crm", "name": "CRM", "logoUri": "https://static.example.com/logo.svg"},
        "actions": [
            action("taken", "search-data-record", json!({"account": text})),
            action("both", "search-data-record", json!({"account": text, "account_": text})),
            action("free", "search-data-record", json!({"name": text})),
        ],
    });
    let folder = Folder::new().with("crm.json", &app.to_string());
    let server = builder().env("MCP__SANDBOX__CATALOG", folder.as_str()).start();
    let client = open(&server, "ann", &["crm", "crm"], "").await;
    let tools = client.tools().await;
    for (name, argument) in [("crm_taken", "account_"), ("crm_both", "account__"), ("crm_free", "account")] {
        let properties = &tool(&tools, name)["inputSchema"]["properties"];
        assert_eq!(properties[argument]["enum"], json!(["crm-work", "crm-home"]), "{name}: {properties}");
        let own = json!({"name": "x", "n": 1.5});
        let own = if argument == "account" { own } else { with(own, "account", "ACME") };
        let (echo, account) = used(&client, name, with(own.clone(), argument, "crm-home")).await;
        assert_eq!((echo, account), (own, json!("crm-home")), "{name}");
    }
    let (echo, account) = used(&client, "crm_taken", json!({"account": "crm-home"})).await;
    assert_eq!((echo, account), (json!({"account": "crm-home"}), json!("crm-work")), "the action's own");

    let one = open(&server, "bob", &["crm"], "").await;
    let result = one.call("crm_free", json!({"account": "crm-work", "n": 1})).await.result();
    assert_eq!(text_of_echo(&result), json!({"account": "crm-work", "n": 1}), "with one account it means nothing");
}

fn text_of_echo(result: &Value) -> Value {
    serde_json::from_str(text(result)).unwrap()
}

#[tokio::test]
async fn one_key_is_one_call_on_one_account() {
    let server = builder().start();
    let client = open(&server, "ann", &BOTH, "mode=search").await;
    let send = async |account: &str| {
        let arguments =
            json!({"name": "gmail_send-email", "arguments": mail("x"), "account": account, "idempotency_key": "k"});
        client.call("run-write-tool", arguments).await.result()
    };
    let first = send("gmail-home").await;
    assert_eq!(first["_meta"], json!({"account": "gmail-home"}), "{first}");
    let again = send("con-2").await;
    assert_eq!(again["_meta"], json!({"account": "gmail-home", "replayed": true}), "the same by another name: {again}");
    assert!(text(&send("gmail-work").await).contains("belongs to another call"));
    assert_eq!(emails(&client, "gmail-home").await, 1);
}

#[tokio::test]
async fn a_search_tells_the_state_of_apps_and_accounts_where_there_are_several() {
    let server = builder().start();
    let client = server.client_with(&token_with("ann", &BOTH)).query("mode=search");
    change(&client, Method::PATCH, "/connections/slack", json!({"disconnected": true})).await;
    change(&client, Method::PATCH, "/connections/gmail-home", json!({"disconnected": true})).await;
    let client = client.open().await;
    let (answer, _) = used(&client, "search-tools", json!({"query": "send an email"})).await;
    let (all, _) = used(&client, "search-tools", json!({})).await;
    let again = server.client_with(&client.token).query("mode=search").initialize("2025-11-25").await.result();
    let told = again["instructions"].as_str().unwrap();
    assert!(told.contains("To be connected again: Slack. Connected: Gmail."), "{told}");
    let gmail = &answer["apps"]["gmail"];
    assert_eq!(gmail["status"], "connected", "one of two is enough: {gmail}");
    let accounts = json!([
        {"account": "gmail-work", "name": "ann@work.example", "default": true},
        {"account": "gmail-home", "name": "ann@home.example", "status": "reconnect"},
    ]);
    assert_eq!(gmail["accounts"], accounts, "{gmail}");
    let slack = &all["apps"]["slack"];
    assert_eq!((&slack["status"], &slack["accounts"]), (&json!("reconnect"), &Value::Null), "{slack}");
    assert!(slack["reason"].as_str().unwrap().contains("Sign in to Slack"), "{slack}");
    let names = json!({"names": ["gmail_send-email", "slack_list-users"]});
    let (described, _) = used(&client, "describe-tools", names).await;
    assert_eq!(described["tools"][0]["accounts"], accounts, "{described}");
    assert_eq!(
        (&described["tools"][0]["status"], &described["tools"][1]["status"]),
        (&Value::Null, &json!("reconnect"))
    );
}

#[tokio::test]
async fn apps_that_are_being_set_up_or_could_not_be_say_so() {
    for (members, status) in [
        (r#""state":"BUILDING""#, "building"),
        (r#""state":"SETUP_FAILED""#, "failed"),
        (r#""state":"CONFIGURATION_ERROR""#, "failed"),
        (r#""state":"CLIENT_ACTION_REQUIRED""#, "reconnect"),
        (r#""connected":false"#, "reconnect"),
        (r#""state":"READY""#, "connected"),
        (r#""state":7"#, "connected"),
    ] {
        let connections =
            format!(r#"{{"items":[{{"id":"c",{members},"integration":{{"id":"i","key":"app","name":"App"}}}}]}}"#);
        let upstream =
            Upstream::answering(move |request| (request.path() == "/connections").then(|| connections.clone()));
        let server = Server::before(&upstream.url).env("MCP__TUNING__STREAM_AFTER_MS", "60000").start();
        let client = server.client("ann").query("mode=search").open().await;
        let (answer, _) = used(&client, "search-tools", json!({})).await;
        assert_eq!(answer["apps"]["app"]["status"], status, "{members}: {answer}");
    }
}

#[tokio::test]
async fn an_account_that_is_lost_says_so_in_its_tools_and_in_the_error_of_a_call() {
    let server = builder().start();
    let one = open(&server, "bob", &["gmail"], "").await;
    let two = open(&server, "ann", &BOTH, "").await;
    let plain = one.tools().await;
    for (client, connection) in [(&one, "gmail"), (&two, "gmail-home")] {
        change(client, Method::PATCH, &format!("/connections/{connection}"), json!({"disconnected": true})).await;
    }
    eventually("the description says so", async || {
        let description = tool(&one.tools().await, "gmail_send-email")["description"].clone();
        description.as_str().unwrap().ends_with("Gmail is disconnected: the user has to connect it again.")
    })
    .await;
    eventually("the argument says so", async || {
        let tools = two.tools().await;
        let described = &tool(&tools, "gmail_send-email")["inputSchema"]["properties"]["account"]["description"];
        let expected = "gmail-home (ann@home.example, has to be connected again)";
        described.as_str().unwrap().contains(expected)
            && !tool(&tools, "gmail_send-email")["description"].as_str().unwrap().contains("disconnected")
    })
    .await;
    let words = refusal(&two, "gmail_send-email", with(mail("x"), "account", "gmail-home")).await;
    for part in ["Access token is expired", "gmail-home", "connect it again"] {
        assert!(words.contains(part), "{part:?} is missing in: {words}");
    }
    assert!(refusal(&one, "gmail_list-emails", json!({})).await.contains("Gmail is disconnected"));

    change(&one, Method::PATCH, "/connections/gmail", json!({"disconnected": false})).await;
    eventually("all is as before", async || one.tools().await == plain).await;
}

#[tokio::test]
async fn a_call_for_an_account_that_is_gone_runs_in_no_other() {
    let server = builder().start();
    let client = open(&server, "ann", &BOTH, "").await;
    let search = open(&server, "ann", &BOTH, "mode=search").await;
    client.tools().await;
    change(&client, Method::DELETE, "/connections/gmail-home", Value::Null).await;
    eventually("the list has one account", async || {
        tool(&client.tools().await, "gmail_send-email")["inputSchema"]["properties"]["account"].is_null()
    })
    .await;
    let before = runs(&server).await;
    let words = refusal(&client, "gmail_send-email", with(mail("x"), "account", "gmail-home")).await;
    assert!(words.contains("no longer connected") && words.contains("was not run"), "{words}");
    let run = json!({"name": "gmail_send-email", "arguments": mail("x"), "account": "gmail-home"});
    assert!(refusal(&search, "run-write-tool", run).await.contains("was not run"));
    assert_eq!(runs(&server).await, before);
    // By the name of the account that is left, as a client whose list is old may call it.
    let sent = used(&client, "gmail_send-email", with(mail("left"), "account", "gmail-work")).await;
    assert!(!sent.0.to_string().contains("account"), "{sent:?}");
}

#[tokio::test]
async fn a_second_account_is_told_to_clients_that_listen() {
    let server = builder().start();
    let client = open(&server, "ann", &["gmail"], "").await;
    let dynamic = open(&server, "ann", &["gmail"], "mode=dynamic").await;
    dynamic.call("enable-tools", json!({"tools": ["gmail_send-email"]})).await.result();
    client.tools().await;
    dynamic.tools().await;
    let mut streams = [client.stream().await, dynamic.stream().await];
    change(&client, Method::POST, "/connections", json!({"integrationKey": "gmail"})).await;
    eventually("the account is listed", async || {
        tool(&client.tools().await, "gmail_send-email")["inputSchema"]["properties"]["account"].is_object()
    })
    .await;
    for stream in &mut streams {
        assert_eq!(stream.next().await.unwrap()["method"], "notifications/tools/list_changed");
    }
}

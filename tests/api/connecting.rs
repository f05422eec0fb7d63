//! Connecting apps from the chat: a client's user is asked in the way that the client has, signs in, and the call goes on.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    connecting_support::{Person, answered, first_text, linked},
    fleet::Fleet,
    modern_support::{CAPABILITIES, Modern},
    support::{Client, Server, eventually},
};

/// Capabilities of a client that opens pages.
fn opens_pages() -> Value {
    json!({"elicitation": {"form": {}, "url": {}}})
}

/// A call of a client that opens pages.
pub fn asking<'a>(client: &Client<'a>, tool: &str, arguments: Value) -> Modern<'a> {
    client.modern_call(tool, arguments).meta(CAPABILITIES, opens_pages())
}

/// The same call with what a client sends once its user has decided.
pub fn again<'a>(call: &Modern<'a>, asked: &Value, decision: &str) -> Modern<'a> {
    let mut call = call.clone().id(json!(2));
    call.body["params"]["requestState"] = asked["requestState"].clone();
    call.body["params"]["inputResponses"] = json!({"connect": {"action": decision}});
    call
}

/// Asserts that a result asks for a page, and gives its address.
pub fn page_of(asked: &Value) -> String {
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let request = &asked["inputRequests"]["connect"];
    assert_eq!(request["method"], "elicitation/create", "{asked}");
    assert_eq!(request["params"]["mode"], "url", "{asked}");
    assert!(asked["requestState"].is_string(), "{asked}");
    request["params"]["url"].as_str().unwrap().to_owned()
}

/// Opens a session of a client that opens pages.
async fn open_asking<'a>(client: Client<'a>, revision: &str) -> Client<'a> {
    let info = json!({"name": "test", "version": "1"});
    let params = json!({"protocolVersion": revision, "capabilities": opens_pages(), "clientInfo": info});
    let reply = client.ask("initialize", params).await;
    Client { session: reply.header("mcp-session-id").map(str::to_owned), ..client }
}

#[tokio::test]
async fn a_client_that_sends_its_call_again_gets_the_app_and_the_answer() {
    let server = Server::start();
    let ann = Person::of(&server, "ann", &["gmail"]);
    let client = ann.client().query("mode=search");
    let call = asking(&client, "connect-app", json!({"app": "Notion"}));
    let asked = call.answer().await;
    let page = page_of(&asked);
    assert!(page.starts_with(&format!("{}/connect/", server.url)), "{page}");
    let message = asked["inputRequests"]["connect"]["params"]["message"].as_str().unwrap();
    assert!(message.contains("Notion") && message.contains("sandbox"), "{message}");

    ann.allow(&page).await;
    let connected = again(&call, &asked, "accept").answer().await;
    assert_eq!(connected["resultType"], "complete", "{connected}");
    assert_eq!(first_text(&connected), "Notion is connected. Its tools can be found and run.");
    let run = client.modern_call("run-read-tool", json!({"name": "notion_search-pages", "arguments": {"query": "a"}}));
    assert_eq!(run.answer().await["isError"], Value::Null);
    let told = asking(&client, "connect-app", json!({"app": "notion"})).answer().await;
    assert_eq!(first_text(&told), first_text(&connected), "it is connected already");
}

#[tokio::test]
async fn a_run_on_a_lost_account_goes_on_after_the_sign_in() {
    let server = Server::start();
    let ann = Person::of(&server, "ann", &["gmail"]);
    ann.lose("gmail").await;
    for (query, tool, arguments) in [
        ("", "gmail_send-email", json!({"to": ["bob@x.example"], "subject": "one", "body": "b"})),
        (
            "mode=search",
            "run-write-tool",
            json!({"name": "gmail_send-email", "arguments": {"to": ["bob@x.example"], "subject": "two", "body": "b"}, "idempotency_key": "k"}),
        ),
    ] {
        ann.lose("gmail").await;
        let client = ann.client().query(query);
        let call = asking(&client, tool, arguments);
        let asked = call.answer().await;
        let page = page_of(&asked);
        assert!(asked["inputRequests"]["connect"]["params"]["message"].as_str().unwrap().contains("again"), "{asked}");
        let shown = ann.show(&page).await.1;
        assert!(shown.contains("Connect Gmail again"), "{shown}");

        ann.allow(&page).await;
        let result = again(&call, &asked, "accept").answer().await;
        assert_eq!(result["isError"], Value::Null, "{result}");
        let sent: Value = serde_json::from_str(first_text(&result)).unwrap();
        assert!(sent["id"].is_string(), "{result}");
    }
    let requests = server.requests("POST /connection-requests").await;
    assert_eq!(requests, 0, "the page that the connection names itself was used");
}

#[tokio::test]
async fn a_client_of_sessions_is_told_by_an_error() {
    let server = Server::start();
    let ann = Person::of(&server, "ann", &["gmail"]);
    ann.lose("gmail").await;
    let client = open_asking(ann.client(), "2025-11-25").await;
    let reply = client.call("gmail_list-emails", json!({})).await;
    assert_eq!((reply.status, reply.code()), (StatusCode::OK, -32042), "{reply:?}");
    let elicitations = reply.json()["error"]["data"]["elicitations"].take();
    assert_eq!(elicitations.as_array().unwrap().len(), 1, "{elicitations}");
    let asked = &elicitations[0];
    assert_eq!(asked["mode"], "url", "{asked}");
    assert!(asked["elicitationId"].is_string() && asked["message"].as_str().unwrap().contains("Gmail"), "{asked}");

    ann.allow(asked["url"].as_str().unwrap()).await;
    assert!(client.output("gmail_list-emails", json!({})).await.is_object());
}

#[tokio::test]
async fn everybody_else_gets_a_text_with_the_link_on_a_line_of_its_own() {
    let server = Server::start();
    let ann = Person::of(&server, "ann", &["gmail"]);
    ann.lose("gmail").await;
    let sessions = [
        ann.client().open().await,
        open_asking(ann.client(), "2025-06-18").await,
        open_asking(ann.client(), "2024-11-05").await,
    ];
    for client in sessions {
        let result = answered(&client.call("gmail_list-emails", json!({})).await);
        assert_eq!(result["isError"], true, "{result}");
        linked(first_text(&result), "gmail_list-emails");
    }
    let modern = ann.client().modern_call("gmail_list-emails", json!({}));
    let form_alone = modern.clone().meta(CAPABILITIES, json!({"elicitation": {"form": {}}}));
    let empty = modern.clone().meta(CAPABILITIES, json!({"elicitation": {}}));
    for call in [modern, form_alone, empty] {
        let result = call.answer().await;
        linked(first_text(&result), "gmail_list-emails");
    }
    let client = ann.client().query("mode=search").open().await;
    let told = answered(&client.call("connect-app", json!({"app": "notion"})).await);
    assert_eq!(told["isError"], Value::Null, "{told}");
    let page = linked(first_text(&told), "connect-app");
    ann.allow(&page).await;
    let told = answered(&client.call("connect-app", json!({"app": "notion"})).await);
    assert!(first_text(&told).starts_with("Notion is connected."), "{told}");
    let searched = answered(&client.call("search-tools", json!({"query": "search pages"})).await);
    assert!(first_text(&searched).contains("notion_search-pages"), "{searched}");
}

#[tokio::test]
async fn a_call_that_waits_notices_the_sign_in_and_tells_of_its_progress() {
    let server =
        Server::builder().env("MCP__TUNING__STREAM_AFTER_MS", "0").env("MCP__TUNING__PROGRESS_MS", "20").start();
    let ann = Person::of(&server, "ann", &["gmail"]);
    let client = ann.client().query("mode=search");
    let told = client.modern_call("connect-app", json!({"app": "notion", "wait_s": 50})).send().await;
    let page = linked(first_text(&answered(&told)), "connect-app");
    let listening = ann.client().open().await;
    let before = listening.tool_names().await;
    let mut changes = listening.stream().await;

    let params =
        json!({"name": "connect-app", "arguments": {"app": "notion", "wait_s": 50}, "_meta": {"progressToken": "p"}});
    let mut events = client.modern("tools/call", params).open().await;
    let first = events.next().await.unwrap();
    assert_eq!(first["method"], "notifications/progress", "{first}");
    ann.allow(&page).await;
    let result = loop {
        let message = events.next().await.unwrap();
        if message.get("result").is_some() {
            break message["result"].clone();
        }
    };
    assert!(first_text(&result).starts_with("Notion is connected."), "{result}");
    assert_eq!(changes.next().await.unwrap()["method"], "notifications/tools/list_changed");
    assert!(listening.tool_names().await.len() > before.len());
}

#[tokio::test]
async fn a_call_that_waits_learns_of_a_sign_in_by_a_webhook() {
    let secret = "the secret of this test's webhooks";
    let server = Server::builder().env("MCP__WEBHOOKS__SECRET", secret).start();
    let url = format!("{}/webhooks/membrane", server.url);
    server.sandbox(Method::PUT, "/sandbox/webhook", "tester", json!({"url": url, "secret": secret})).await;
    let ann = Person::of(&server, "ann", &["gmail"]);
    let client = ann.client().query("mode=search").open().await;
    let told = answered(&client.call("connect-app", json!({"app": "notion"})).await);
    let page = linked(first_text(&told), "connect-app");
    let (told, ()) = tokio::join!(client.call("connect-app", json!({"app": "notion", "wait_s": 50})), ann.allow(&page));
    assert!(first_text(&answered(&told)).starts_with("Notion is connected."), "{told:?}");
    eventually("the webhook came", async || server.log().contains("path=/webhooks/membrane status=204")).await;
}

#[tokio::test]
async fn any_replica_goes_on_with_what_another_has_asked() {
    let fleet = Fleet::start(2).await;
    let ann = Person::of(&fleet.front, "ann", &["gmail"]);
    let client = Client { token: ann.token.clone(), ..fleet.client("ann") }.query("mode=search");
    let call = asking(&client, "connect-app", json!({"app": "notion"}));
    let asked = call.answer().await;
    // The page is at the one, and is served by the other.
    let page = page_of(&asked).replace(&fleet.servers[0].url, &fleet.servers[1].url);
    ann.allow(&page).await;

    let other = fleet.at(1, &client);
    let call = asking(&other, "connect-app", json!({"app": "notion"}));
    let result = again(&call, &asked, "accept").answer().await;
    assert!(first_text(&result).starts_with("Notion is connected."), "{result}");
    let run = json!({"name": "notion_search-pages", "arguments": {"query": "a"}});
    eventually("the first replica has loaded the tools anew", async || {
        client.modern_call("run-read-tool", run.clone()).answer().await["isError"].is_null()
    })
    .await;

    // Of a session, the client's capabilities are known everywhere.
    ann.lose("gmail").await;
    let session = open_asking(client.clone().query(""), "2025-11-25").await;
    let reply = fleet.at(1, &session).call("gmail_list-emails", json!({})).await;
    assert_eq!(reply.code(), -32042, "{reply:?}");
}

#[tokio::test]
async fn a_user_who_says_no_is_not_waited_for() {
    let server = Server::start();
    let ann = Person::of(&server, "ann", &["gmail"]);
    ann.lose("gmail").await;
    let client = ann.client();
    let call = asking(&client, "gmail_list-emails", json!({}));
    for decision in ["decline", "cancel"] {
        let asked = call.answer().await;
        let result = again(&call, &asked, decision).answer().await;
        assert_eq!(result["isError"], true, "{result}");
        assert!(first_text(&result).ends_with("The action was not run."), "{result}");
    }
    // On the page, where the client knows nothing of it.
    let asked = call.answer().await;
    let (status, shown) = ann.answer(&page_of(&asked), "no").await;
    assert_eq!(status, 200);
    assert!(shown.contains("Nothing is connected"), "{shown}");
    let result = again(&call, &asked, "accept").answer().await;
    assert!(first_text(&result).starts_with("The user does not want to connect Gmail."), "{result}");

    // On the upstream's page, and told by a text.
    let client = ann.client().query("mode=search").open().await;
    let told = answered(&client.call("connect-app", json!({"app": "notion"})).await);
    let page = linked(first_text(&told), "connect-app");
    ann.deny(&page).await;
    let told = answered(&client.call("connect-app", json!({"app": "notion"})).await);
    assert!(first_text(&told).starts_with("The user does not want to connect Notion."), "{told}");
    let told = answered(&client.call("connect-app", json!({"app": "notion"})).await);
    assert_ne!(linked(first_text(&told), "connect-app"), page, "another link");
}

#[tokio::test]
async fn a_sign_in_that_is_not_finished_is_asked_for_again() {
    let server = Server::start();
    let ann = Person::of(&server, "ann", &["gmail"]);
    let client = ann.client().query("mode=search");
    let call = asking(&client, "connect-app", json!({"app": "notion"}));
    let asked = call.answer().await;
    // Without a word on what the user has decided, the same question comes again.
    let mut without = again(&call, &asked, "accept");
    without.body["params"].as_object_mut().unwrap().remove("inputResponses");
    let asked_again = without.answer().await;
    assert_eq!(page_of(&asked_again), page_of(&asked), "the link was not used");
    assert_eq!(server.requests("POST /connection-requests").await, 1);
    // A link that was used leads nowhere any more, so there is another one.
    ann.answer(&page_of(&asked), "go").await;
    assert_ne!(page_of(&without.answer().await), page_of(&asked));
    assert_eq!(server.requests("POST /connection-requests").await, 2);
}

#[tokio::test]
async fn a_state_is_good_for_its_user_and_call_alone_and_all_others_look_alike() {
    let server = Server::start();
    let [ann, bob] = ["ann", "bob"].map(|user| Person::of(&server, user, &["gmail"]));
    let client = ann.client().query("mode=search");
    let call = asking(&client, "connect-app", json!({"app": "notion"}));
    let asked = call.answer().await;
    ann.allow(&page_of(&asked)).await;
    let state = asked["requestState"].as_str().unwrap().to_owned();
    let with = |state: &str| json!({"requestState": state});
    let mut changed = state.clone().into_bytes();
    changed[40] = if changed[40] == b'A' { b'B' } else { b'A' };
    let theirs = bob.client().query("mode=search");
    let cases = [
        ("another user's", again(&asking(&theirs, "connect-app", json!({"app": "notion"})), &asked, "accept")),
        ("another call's", again(&asking(&client, "connect-app", json!({"app": "slack"})), &asked, "accept")),
        ("another tool's", again(&asking(&client, "search-tools", json!({"app": "notion"})), &asked, "accept")),
        ("changed", again(&call, &with(&String::from_utf8(changed).unwrap()), "accept")),
        ("cut", again(&call, &with(&state[..state.len() - 1]), "accept")),
        ("made up", again(&call, &with("e30"), "accept")),
        ("empty", again(&call, &with(""), "accept")),
    ];
    let mut messages = Vec::new();
    for (case, call) in cases {
        let reply = call.send().await;
        assert_eq!((reply.status.as_u16(), reply.code()), (400, -32602), "{case}: {reply:?}");
        messages.push(reply.json()["error"]["message"].as_str().unwrap().to_owned());
    }
    messages.dedup();
    assert_eq!(messages.len(), 1, "{messages:?}");
    // Its own call goes on, and a replay of that does no more than the call itself.
    for _ in 0..2 {
        let result = again(&call, &asked, "accept").answer().await;
        assert!(first_text(&result).starts_with("Notion is connected."), "{result}");
    }
    // Members of the modern era mean nothing in a session.
    let session = client.clone().open().await;
    let params = json!({"name": "connect-app", "arguments": {"app": "notion"}, "requestState": 7, "inputResponses": 7});
    assert!(first_text(&answered(&session.ask("tools/call", params).await)).starts_with("Notion is connected."));
}

#[tokio::test]
async fn an_app_that_was_disconnected_is_offered_and_its_call_goes_on() {
    let server = Server::start();
    let ann = Person::of(&server, "ann", &["gmail", "notion"]);
    let client = ann.client();
    assert!(client.modern_names().await.contains(&"notion_search-pages".to_owned()));
    server.http.delete(format!("{}/connections/notion", server.sandbox)).bearer_auth(&ann.token).send().await.unwrap();
    let call = asking(&client, "notion_search-pages", json!({"query": "a"}));
    // Known to be there still, the tool is run, and the upstream says that there is no account.
    let asked = call.answer().await;
    ann.allow(&page_of(&asked)).await;
    let result = again(&call, &asked, "accept").answer().await;
    assert_eq!(result["isError"], Value::Null, "{result}");
}

#[tokio::test]
async fn an_upstream_without_connection_requests_is_told_of_in_words() {
    for fault in [
        json!({"path": "/connection-requests", "status": 404, "body": {"message": "Cannot POST /connection-requests", "statusCode": 404}}),
        json!({"path": "/connection-requests", "status": 405, "text": ""}),
    ] {
        let server = Server::start();
        server.sandbox(Method::PUT, "/sandbox/faults", "tester", json!([fault])).await;
        let ann = Person::of(&server, "ann", &["gmail"]);
        let client = ann.client().query("mode=search").open().await;
        for _ in 0..2 {
            let told = answered(&client.call("connect-app", json!({"app": "notion"})).await);
            assert!(first_text(&told).starts_with("Notion can't be connected from here"), "{told}");
        }
        assert_eq!(server.requests("POST /connection-requests").await, 1, "{fault}");
        server.wait_for_log("users can't connect apps from here");
    }
}

#[tokio::test]
async fn an_app_that_the_workspace_does_not_have_is_no_reason_to_stop_asking() {
    let server = Server::start();
    let ann = Person::of(&server, "ann", &["gmail"]);
    let client = ann.client().query("mode=search").open().await;
    let told = answered(&client.call("connect-app", json!({"app": "No Such App"})).await);
    assert!(first_text(&told).starts_with("There is no app"), "{told}");
    let told = answered(&client.call("connect-app", json!({"app": "Google Calendar"})).await);
    assert!(first_text(&told).starts_with("Google Calendar is not connected."), "{told}");
    let confined = ann.client().query("mode=search&apps=gmail").open().await;
    let told = answered(&confined.call("connect-app", json!({"app": "notion"})).await);
    assert!(first_text(&told).contains("?apps="), "{told}");
}

#[tokio::test]
async fn of_two_accounts_the_one_that_is_lost_is_connected_again() {
    let server = Server::start();
    let ann = Person::of(&server, "ann", &["gmail", "gmail"]);
    let client = ann.client().query("mode=search");
    let described = client.modern_call("search-tools", json!({"query": ""})).answer().await;
    assert!(first_text(&described).contains("gmail-home"), "{described}");
    ann.lose("gmail-home").await;

    let of_account = |account: &str| {
        let arguments = json!({"to": ["bob@x.example"], "subject": account, "body": "b"});
        asking(
            &client,
            "run-write-tool",
            json!({"name": "gmail_send-email", "account": account, "arguments": arguments}),
        )
    };
    let sent = of_account("gmail-work").answer().await;
    assert_eq!(sent["isError"], Value::Null, "the other account is not lost: {sent}");
    let asked = of_account("gmail-home").answer().await;
    ann.allow(&page_of(&asked)).await;
    let result = again(&of_account("gmail-home"), &asked, "accept").answer().await;
    assert_eq!(result["isError"], Value::Null, "{result}");

    ann.lose("gmail-home").await;
    let connect = |account: &str| client.modern_call("connect-app", json!({"app": "gmail", "account": account}));
    let told = connect("gmail-work").answer().await;
    assert!(first_text(&told).starts_with("Gmail is connected."), "{told}");
    let page = linked(first_text(&connect("gmail-home").answer().await), "connect-app");
    ann.allow(&page).await;
    let told = connect("gmail-home").answer().await;
    assert!(first_text(&told).starts_with("Gmail is connected."), "{told}");
    let told = connect("gmail-none").answer().await;
    assert!(first_text(&told).starts_with("The user has no account"), "{told}");
}

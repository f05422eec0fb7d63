//! What a newcomer does first: the official Rust client against the sandbox.

use std::collections::HashMap;

use integration_app_mcp_server::protocol::{loosen::loosen, schema::InputSchema};
use reqwest::header::{HeaderName, HeaderValue};
use rmcp::{
    ClientHandler, RoleClient, ServiceExt,
    model::{CallToolRequestParams, CallToolResult, ClientConfig, ErrorCode},
    service::{NotificationContext, RunningService, ServiceError},
    transport::{StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig},
};
use serde_json::{Value, json, value::RawValue};
use tokio::sync::mpsc;

use crate::support::{PATIENCE, Server, catalog, eventually, token};

type Connected<H> = RunningService<RoleClient, H>;

/// Tells of each change of the list that it hears of.
struct Listener(mpsc::Sender<()>);

impl ClientHandler for Listener {
    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.0.send(()).await.unwrap();
    }
}

/// Connects to the server, with a query such as `?mode=dynamic` and for a chat.
async fn connect<H: ClientHandler>(
    server: &Server,
    user: &str,
    query: &str,
    chat: Option<&'static str>,
    handler: H,
) -> Connected<H> {
    let chat = chat.map(|chat| (HeaderName::from_static("x-chat-id"), HeaderValue::from_static(chat)));
    let config = StreamableHttpClientTransportConfig::with_uri(format!("{}/mcp{query}", server.url))
        .auth_header(token(user))
        .custom_headers(chat.into_iter().collect::<HashMap<_, _>>());
    handler.serve(StreamableHttpClientTransport::from_config(config)).await.unwrap()
}

async fn call<H: ClientHandler>(
    client: &Connected<H>,
    tool: &'static str,
    arguments: Value,
) -> Result<CallToolResult, ServiceError> {
    let arguments = arguments.as_object().cloned().unwrap();
    client.call_tool(CallToolRequestParams::new(tool).with_arguments(arguments)).await
}

async fn names<H: ClientHandler>(client: &Connected<H>) -> Vec<String> {
    client.list_all_tools().await.unwrap().into_iter().map(|tool| tool.name.into_owned()).collect()
}

/// The summaries of the events in a user's calendar.
async fn events<H: ClientHandler>(client: &Connected<H>) -> Vec<String> {
    let listed = call(client, "google-calendar_list-events", json!({})).await.unwrap().structured_content.unwrap();
    let events = listed["events"].as_array().unwrap();
    events.iter().map(|event| event["summary"].as_str().unwrap().to_owned()).collect()
}

fn assert_unknown(outcome: Result<CallToolResult, ServiceError>) {
    match outcome {
        Err(ServiceError::McpError(error)) => assert_eq!(error.code, ErrorCode::INVALID_PARAMS, "{error:?}"),
        other => panic!("the tool can be called: {other:?}"),
    }
}

/// An action's tool as it has to stand on the wire.
fn definition(integration: &Value, action: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let name = format!("{}_{}", text(&integration["key"]), text(&action["key"]));
    let title = format!("{}: {}", text(&integration["name"]), text(&action["name"]));
    let description = format!("{title}\n{}", text(&action["description"]));
    let schema = input_schema(&name, &action["inputSchema"].to_string());

    let output = match &action["outputSchema"] {
        Value::Null => String::new(),
        schema => {
            let own = RawValue::from_string(schema.to_string()).unwrap();
            format!(r#","outputSchema":{}"#, loosen(&own).unwrap())
        }
    };
    let hints = match action["type"].as_str().unwrap() {
        "list-data-records" | "find-data-record-by-id" | "search-data-record" => {
            r#""readOnlyHint":true,"destructiveHint":false,"idempotentHint":true,"#
        }
        "create-data-record" => r#""readOnlyHint":false,"destructiveHint":false,"idempotentHint":false,"#,
        "find-or-create-data-record" => r#""readOnlyHint":false,"destructiveHint":false,"idempotentHint":true,"#,
        "update-data-record" | "delete-data-record" => {
            r#""readOnlyHint":false,"destructiveHint":true,"idempotentHint":true,"#
        }
        // Whatever its type does not tell could be.
        _ => r#""readOnlyHint":false,"destructiveHint":true,"idempotentHint":false,"#,
    };
    let annotations = format!(r#","annotations":{{{hints}"openWorldHint":true}}"#);
    let (name, title, description, logo) = (json!(name), json!(title), json!(description), &integration["logoUri"]);
    format!(
        r#"{{"name":{name},"title":{title},"description":{description},"inputSchema":{schema}{output}{annotations},"icons":[{{"src":{logo}}}],"_meta":{{"anthropic/maxResultSizeChars":150000}}}}"#
    )
}

/// Tools whose schemas vendors would refuse, so that they go out in another form (see `tests/vendors`).
pub const MENDED: [&str; 17] = [
    "acme_crm_create_lead-note",
    "acme_crm_export-leads",
    "acme_crm_ping",
    "gmail_create_draft-reply",
    "gmail_send-email",
    "hubspot_create-contact",
    "hubspot_create-deal",
    "hubspot_find-or-create-contact",
    "hubspot_update_contact-properties",
    "notion_append_blocks-to-page",
    "notion_create-page",
    "notion_update-page",
    "sandbox-faults_array-input",
    "sandbox-faults_bad-schema",
    "sandbox-faults_echo",
    "slack_send-channel-message",
    "slack_update-message",
];

/// An action's schema as it has to go out.
fn input_schema(name: &str, own: &str) -> String {
    if !MENDED.contains(&name) {
        return own.to_owned();
    }
    let own = (own != "null").then(|| RawValue::from_string(own.to_owned()).unwrap());
    let published = InputSchema::of(own.as_deref()).published.get().to_owned();
    assert_ne!(Some(&*published), own.as_deref().map(RawValue::get), "{name} is published as it is");
    published
}

/// The definitions of all tools of the sandbox, in the order of integration key and action key.
fn definitions() -> Vec<String> {
    let mut all = Vec::new();
    for app in catalog() {
        let mut actions = app["actions"].as_array().unwrap().clone();
        actions.sort_by_key(|action| action["key"].as_str().unwrap().to_owned());
        all.extend(actions.iter().map(|action| definition(&app["integration"], action)));
    }
    all
}

#[tokio::test]
async fn static_mode_lists_every_action_byte_for_byte() {
    let server = Server::start();
    let expected = definitions();
    let list = server.client("ann").open().await.ask("tools/list", json!({})).await;
    for definition in &expected {
        assert!(list.text.contains(definition), "not on the wire: {definition}");
    }
    let whole = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{}]}}}}"#, expected.join(","));
    assert_eq!(list.text, whole);

    let client = connect(&server, "ann", "", None, ClientConfig::default()).await;
    let tools = client.list_all_tools().await.unwrap();
    assert_eq!(tools.len(), expected.len());
    for (tool, expected) in tools.iter().zip(&expected) {
        let expected: Value = serde_json::from_str(expected).unwrap();
        assert_eq!(serde_json::to_value(tool).unwrap(), expected, "{}", tool.name);
    }
    client.cancel().await.unwrap();
}

#[tokio::test]
async fn an_event_that_was_created_is_found_by_its_user_alone() {
    let server = Server::start();
    let ann = connect(&server, "ann", "", None, ClientConfig::default()).await;
    let bob = connect(&server, "bob", "", None, ClientConfig::default()).await;
    let event = json!({
        "summary": "Tea with Bob",
        "start": {"dateTime": "2026-12-01T16:00:00Z"},
        "end": {"dateTime": "2026-12-01T16:30:00Z"},
    });
    let created = call(&ann, "google-calendar_create-event", event).await.unwrap().structured_content.unwrap();
    assert_eq!(created["summary"], "Tea with Bob");

    assert!(events(&ann).await.contains(&"Tea with Bob".to_owned()));
    assert!(!events(&bob).await.contains(&"Tea with Bob".to_owned()));
    for client in [ann, bob] {
        client.cancel().await.unwrap();
    }
}

#[tokio::test]
async fn dynamic_mode_lists_what_was_enabled_and_tells_of_each_change() {
    let server = Server::start();
    let (sender, mut changes) = mpsc::channel(8);
    let client = connect(&server, "ann", "?mode=dynamic", None, Listener(sender)).await;
    assert_eq!(names(&client).await, ["enable-tools"]);
    assert_unknown(call(&client, "gmail_list-emails", json!({})).await);

    let rounds: [(&[&str], &[&str]); 3] = [
        (&["slack_list-users", "gmail_list-emails"], &["enable-tools", "gmail_list-emails", "slack_list-users"]),
        (&["acme_crm_ping"], &["enable-tools", "acme_crm_ping"]),
        (&[], &["enable-tools"]),
    ];
    for (enabled, listed) in rounds {
        let result = call(&client, "enable-tools", json!({"tools": enabled})).await.unwrap();
        assert_eq!(result.content[0].as_text().unwrap().text, "Tools enabled");
        let change = tokio::time::timeout(PATIENCE, changes.recv()).await;
        assert_eq!(change, Ok(Some(())), "no word of {enabled:?}");
        assert_eq!(names(&client).await, listed);
        for tool in ["gmail_list-emails", "acme_crm_ping"] {
            let outcome = call(&client, tool, json!({})).await;
            match enabled.contains(&tool) {
                true => assert_eq!(outcome.unwrap().is_error, None, "{tool} of {enabled:?}"),
                false => assert_unknown(outcome),
            }
        }
    }
    client.cancel().await.unwrap();
    assert_eq!(changes.recv().await, None, "a change was told of that was none");
}

#[tokio::test]
async fn a_session_of_one_app_shows_and_allows_that_app_only() {
    let server = Server::start();
    let client = connect(&server, "ann", "?apps=gmail", None, ClientConfig::default()).await;
    let gmail: Vec<_> = definitions().into_iter().filter(|tool| tool.starts_with(r#"{"name":"gmail_"#)).collect();
    let names = names(&client).await;
    assert_eq!(names.len(), gmail.len());
    assert!(names.iter().all(|name| name.starts_with("gmail_")), "{names:?}");

    assert_eq!(call(&client, "gmail_list-emails", json!({})).await.unwrap().is_error, None);
    assert_unknown(call(&client, "slack_list-users", json!({})).await);
    client.cancel().await.unwrap();
}

#[tokio::test]
async fn a_chat_leads_to_its_session_until_the_client_leaves() {
    let server = Server::start();
    let client = connect(&server, "ann", "", Some("chat-1"), ClientConfig::default()).await;
    let mut raw = server.client("ann");
    let chats = raw.chats().await.json();
    assert_eq!(chats.as_object().unwrap().len(), 1, "{chats}");
    raw.session = Some(chats["chat-1"].as_str().unwrap().to_owned());
    assert_eq!(raw.ask("ping", json!({})).await.result(), json!({}), "the map names the client's own session");

    let mut stranger = server.client("bob");
    assert_eq!(stranger.chats().await.json(), json!({}));
    stranger.session.clone_from(&raw.session);
    assert_eq!(stranger.ask("ping", json!({})).await.status, 404);

    client.cancel().await.unwrap();
    eventually("the chat has no session", async || raw.chats().await.json() == json!({})).await;
    let reply = raw.ask("ping", json!({})).await;
    assert_eq!((reply.status.as_u16(), reply.code()), (404, -32000));
}

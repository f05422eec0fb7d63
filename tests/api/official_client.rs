//! What a newcomer does first: the official Rust client against the sandbox.

use rmcp::{
    ServiceExt,
    model::{CallToolRequestParams, ClientConfig},
    transport::{StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig},
};
use serde_json::{Value, json};

use crate::support::{Server, token};

#[tokio::test]
async fn the_official_client_lists_and_calls_tools() {
    let server = Server::start();
    let config = StreamableHttpClientTransportConfig::with_uri(format!("{}/mcp", server.url)).auth_header(token("ann"));
    let transport = StreamableHttpClientTransport::from_config(config);
    let client = ClientConfig::default().serve(transport).await.unwrap();

    let tools = client.list_all_tools().await.unwrap();
    assert!(tools.iter().any(|tool| tool.name == "google-calendar_create-event"));

    let event = json!({
        "summary": "Tea with Bob",
        "start": {"dateTime": "2026-12-01T16:00:00Z"},
        "end": {"dateTime": "2026-12-01T16:30:00Z"},
    });
    let call = |name: &'static str, arguments: Value| {
        let arguments = arguments.as_object().cloned().unwrap();
        client.call_tool(CallToolRequestParams::new(name).with_arguments(arguments))
    };
    call("google-calendar_create-event", event).await.unwrap();
    let listed = call("google-calendar_list-events", json!({})).await.unwrap();
    let events = listed.structured_content.unwrap();
    assert!(events["events"].as_array().unwrap().iter().any(|event| event["summary"] == "Tea with Bob"));

    client.cancel().await.unwrap();
}

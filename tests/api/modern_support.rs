//! Requests of revision 2026-07-28: each brings its own envelope and headers.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::{
    support::{Client, Events, Reply, SECRET, claims, sign},
    wire::Wire,
};

/// The revision without sessions.
pub const MODERN: &str = "2026-07-28";
/// The member of `_meta` that makes a request one of the modern era.
pub const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// The member of `_meta` with what the client can do.
pub const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// The member of `_meta` that ties a notification to its subscription.
pub const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// A request that is sound until something is changed.
#[derive(Clone)]
pub struct Modern<'a> {
    client: Client<'a>,
    /// What is sent.
    pub body: Value,
    headers: Vec<(String, String)>,
}

impl<'a> Client<'a> {
    /// Enters a session that another client has opened.
    pub fn within(mut self, session: Option<String>) -> Self {
        self.session = session;
        self
    }

    /// A request with the id 1, its envelope and its headers.
    pub fn modern(&self, method: &str, mut params: Value) -> Modern<'a> {
        params["_meta"][VERSION] = json!(MODERN);
        params["_meta"][CAPABILITIES] = json!({});
        params["_meta"]["io.modelcontextprotocol/clientInfo"] = json!({"name": "test", "version": "1"});
        let name = match method {
            "tools/call" | "prompts/get" => params["name"].as_str(),
            "resources/read" => params["uri"].as_str(),
            _ => None,
        };
        let mut headers = vec![
            ("content-type".to_owned(), "application/json".to_owned()),
            ("accept".to_owned(), "application/json, text/event-stream".to_owned()),
            ("mcp-protocol-version".to_owned(), MODERN.to_owned()),
            ("mcp-method".to_owned(), method.to_owned()),
        ];
        headers.extend(name.map(|name| ("mcp-name".to_owned(), name.to_owned())));
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        Modern { client: self.clone(), body, headers }
    }

    pub fn modern_call(&self, tool: &str, arguments: Value) -> Modern<'a> {
        self.modern("tools/call", json!({"name": tool, "arguments": arguments}))
    }

    /// A subscription to changes of the list of tools.
    pub async fn subscribe(&self, id: Value) -> Events {
        let listen = self.modern("subscriptions/listen", json!({"notifications": {"toolsListChanged": true}}));
        let mut events = listen.id(id.clone()).open().await;
        let first = events.next().await.unwrap();
        assert_eq!(first["method"], "notifications/subscriptions/acknowledged", "{first}");
        assert_eq!(first["params"]["_meta"][SUBSCRIPTION], id, "{first}");
        events
    }

    /// Enables tools, which must succeed.
    pub async fn modern_enable(&self, tools: &[&str]) -> Value {
        let result = self.modern_call("enable-tools", json!({"tools": tools})).send().await.result();
        let text = result["content"][0]["text"].as_str().unwrap();
        assert!(text.starts_with("Tools enabled"), "{result}");
        // What nothing is kept for, its list won't show.
        let has_chat = self.headers.iter().any(|(name, _)| name == "x-chat-id");
        let says_how = ["by name", tools.first().unwrap_or(&""), "?mode=search", "x-chat-id"];
        assert!(has_chat || tools.is_empty() || says_how.iter().all(|part| text.contains(part)), "{result}");
        assert!(!has_chat || text == "Tools enabled", "{result}");
        result
    }

    /// The result of `tools/list`.
    pub async fn modern_list(&self) -> Value {
        self.modern("tools/list", json!({})).send().await.result()
    }

    pub async fn modern_names(&self) -> Vec<String> {
        names(&self.modern_list().await)
    }
}

/// The names of the tools that a result lists.
pub fn names(result: &Value) -> Vec<String> {
    let tools = result["tools"].as_array().unwrap_or_else(|| panic!("no list: {result}"));
    tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

impl Modern<'_> {
    pub fn id(mut self, id: Value) -> Self {
        self.body["id"] = id;
        self
    }

    /// Sets a member of `_meta`.
    pub fn meta(mut self, member: &str, value: Value) -> Self {
        self.body["params"]["_meta"][member] = value;
        self
    }

    /// Takes a member of `_meta` out.
    pub fn without_meta(mut self, member: &str) -> Self {
        self.body["params"]["_meta"].as_object_mut().unwrap().remove(member);
        self
    }

    /// Names a revision in the envelope and the header.
    pub fn version(self, version: &str) -> Self {
        self.meta(VERSION, json!(version)).with("mcp-protocol-version", version)
    }

    /// Sets a header.
    pub fn with(self, name: &str, value: &str) -> Self {
        self.without(name).and(name, value)
    }

    /// Adds a header to those of its name.
    pub fn and(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Takes a header out.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self
    }

    /// The HTTP request, which owns all it needs.
    pub fn request(&self) -> RequestBuilder {
        let request = self.client.request(Method::POST).body(self.body.to_string());
        self.headers.iter().fold(request, |request, (name, value)| request.header(name, value.as_bytes()))
    }

    /// Sends it with another body.
    pub async fn send_text(&self, body: &str) -> Reply {
        let reply = Reply::read(self.request().body(body.to_owned()).send().await.unwrap()).await;
        Wire::new(MODERN, body).check_reply(&reply);
        reply
    }

    pub async fn send(&self) -> Reply {
        self.send_text(&self.body.to_string()).await
    }

    /// Sends it, and gives the stream that must be the answer.
    pub async fn open(&self) -> Events {
        let response = self.request().send().await.unwrap();
        let kind = response.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
        assert_eq!((response.status().as_u16(), kind.as_deref()), (200, Some("text/event-stream")), "{}", self.body);
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        Events::new(response, Wire::new(MODERN, &self.body.to_string()))
    }
}

/// A token of a user who has connected the apps of the conformance suite alone.
pub fn conformance_token(user: &str) -> String {
    let mut claims = claims(user);
    claims["fields"] = json!({"connections": ["test", "json"]});
    sign(&claims, SECRET)
}

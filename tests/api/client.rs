//! Clients of the server under test, which hide nothing of what goes over the wire.

use std::{fmt::Display, io::Read};

use flate2::read::GzDecoder;
use reqwest::{Method, RequestBuilder, Response, StatusCode, header::HeaderMap};
use serde_json::{Value, json};

use crate::{
    leaks,
    support::{PATIENCE, Server},
    wire::Wire,
};

/// An MCP client that hides nothing: one call, one HTTP request.
#[derive(Clone)]
pub struct Client<'a> {
    pub server: &'a Server,
    pub token: String,
    pub query: String,
    /// The session that requests name.
    pub session: Option<String>,
    pub headers: Vec<(String, String)>,
}

/// A response, read to its end.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
    /// Bytes of the body, as they were sent.
    pub sent: usize,
}

impl Reply {
    pub async fn read(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.unwrap();
        let mut text = Vec::new();
        match headers.get("content-encoding") {
            Some(coding) if coding == "gzip" => GzDecoder::new(&body[..]).read_to_end(&mut text).unwrap(),
            _ => (&body[..]).read_to_end(&mut text).unwrap(),
        };
        let text = String::from_utf8_lossy(&text).into_owned();
        let reply = Self { status, headers, text, sent: body.len() };
        if reply.status.is_client_error() || reply.status.is_server_error() {
            leaks::assert_none(format!("{reply:?}").as_bytes(), "an error");
        }
        reply
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The `result` of the JSON-RPC response.
    pub fn result(&self) -> Value {
        let result = self.json()["result"].take();
        assert!(!result.is_null(), "no result: {self:?}");
        result
    }

    /// The code of the JSON-RPC error.
    pub fn code(&self) -> i64 {
        self.json()["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error: {self:?}"))
    }

    /// The messages of an event stream that has ended.
    pub fn events(&self) -> Vec<Value> {
        let data = self.text.lines().filter_map(|line| line.strip_prefix("data: "));
        // An event that only tells its id has no data.
        data.filter(|data| !data.is_empty()).map(|data| serde_json::from_str(data).unwrap()).collect()
    }
}

impl Client<'_> {
    /// Adds a query, such as `mode=dynamic`.
    pub fn query(mut self, query: &str) -> Self {
        query.clone_into(&mut self.query);
        self
    }

    /// Enters a session.
    pub fn in_session(mut self, session: &str) -> Self {
        self.session = Some(session.to_owned());
        self
    }

    /// Adds a header to every request.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A request with the client's token, session and headers, to be changed further.
    pub fn request(&self, method: Method) -> RequestBuilder {
        match self.query.as_str() {
            "" => self.request_at(method, "/mcp"),
            query => self.request_at(method, &format!("/mcp?{query}")),
        }
    }

    /// The same at another path.
    pub fn request_at(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.server.url);
        let mut request = self.server.http.request(method, url);
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        if let Some(session) = &self.session {
            request = request.header("mcp-session-id", session);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request
    }

    /// POSTs a text as JSON, accepting all that a client should.
    pub async fn post_text(&self, body: &str) -> Reply {
        let accept = "application/json, text/event-stream";
        let has = |name: &str| self.headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
        let mut request = self.request(Method::POST).body(body.to_owned());
        if !has("accept") {
            request = request.header("accept", accept);
        }
        if !has("content-type") {
            request = request.header("content-type", "application/json");
        }
        let reply = Reply::read(request.send().await.unwrap()).await;
        self.check(body, &reply);
        reply
    }

    /// Checks a reply against the schema of its revision.
    fn check(&self, sent: &str, reply: &Reply) {
        let version = self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("mcp-protocol-version"));
        let wire = match version {
            Some((_, version)) if version == crate::modern_support::MODERN => Wire::new(version, sent),
            _ => Wire::new(&self.revision(), sent),
        };
        let negotiated = wire.check_reply(reply);
        if let (Some(revision), Some(session)) = (negotiated, reply.header("mcp-session-id")) {
            self.server.revisions.lock().unwrap().insert(session.to_owned(), revision);
        }
    }

    /// The revision that the session speaks; a chat begun without `initialize` has the newest.
    fn revision(&self) -> String {
        let revisions = self.server.revisions.lock().unwrap();
        let negotiated = self.session.as_ref().and_then(|session| revisions.get(session));
        negotiated.map_or("2025-11-25", String::as_str).to_owned()
    }

    pub async fn post(&self, body: Value) -> Reply {
        self.post_text(&body.to_string()).await
    }

    /// Sends a request with the id 1.
    pub async fn ask(&self, method: &str, params: Value) -> Reply {
        self.post(json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})).await
    }

    /// A GET that is to be refused: a stream would not be waited for.
    pub async fn get(&self) -> Reply {
        let mut request = self.request(Method::GET);
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("accept")) {
            request = request.header("accept", "text/event-stream");
        }
        tokio::time::timeout(PATIENCE, reply_to(request)).await.expect("a refusal, not a stream")
    }

    pub async fn delete(&self) -> Reply {
        Reply::read(self.request(Method::DELETE).send().await.unwrap()).await
    }

    /// `GET /mcp/sessions`.
    pub async fn chats(&self) -> Reply {
        let request = self.server.http.get(format!("{}/mcp/sessions", self.server.url));
        Reply::read(request.bearer_auth(&self.token).send().await.unwrap()).await
    }

    /// `initialize` with a revision; the session is not entered.
    pub async fn initialize(&self, revision: &str) -> Reply {
        let client = json!({"name": "test", "version": "1"});
        let params = json!({"protocolVersion": revision, "capabilities": {}, "clientInfo": client});
        self.ask("initialize", params).await
    }

    /// Opens a session and enters it.
    pub async fn open(self) -> Self {
        self.open_with("2025-11-25").await
    }

    pub async fn open_with(mut self, revision: &str) -> Self {
        let reply = self.initialize(revision).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        self.session = reply.header("mcp-session-id").map(str::to_owned);
        assert!(self.session.is_some(), "{reply:?}");
        self
    }

    /// The listed tools.
    pub async fn tools(&self) -> Vec<Value> {
        let reply = self.ask("tools/list", json!({})).await;
        reply.result()["tools"].as_array().unwrap_or_else(|| panic!("{reply:?}")).clone()
    }

    /// The names of the listed tools.
    pub async fn tool_names(&self) -> Vec<String> {
        self.tools().await.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
    }

    pub async fn call(&self, tool: &str, arguments: Value) -> Reply {
        self.ask("tools/call", json!({"name": tool, "arguments": arguments})).await
    }

    /// Calls a tool that must succeed, and gives its output: the first text as JSON.
    pub async fn output(&self, tool: &str, arguments: Value) -> Value {
        let result = self.call(tool, arguments).await.result();
        assert_eq!(result["isError"], Value::Null, "{result}");
        serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap()
    }

    /// Opens the session's stream.
    pub async fn stream(&self) -> Events {
        let request = self.request(Method::GET).header("accept", "text/event-stream");
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        Events::new(response, Wire::new(&self.revision(), ""))
    }
}

/// Sends a request and reads the response to its end.
pub async fn reply_to(request: RequestBuilder) -> Reply {
    Reply::read(request.send().await.unwrap()).await
}

/// Asserts a JSON-RPC error, which is plain JSON with its own status. Its id is null where a request was refused unread, and
/// missing where none could be read.
pub fn assert_error(reply: &Reply, status: u16, code: i64, case: impl Display) {
    let seen = (reply.status.as_u16(), reply.header("content-type"), reply.code());
    let body = reply.json();
    let is_lost = body["error"]["message"].as_str().is_some_and(|message| message.starts_with("Session not found"));
    // What is typed as JSON, Python's SDK takes for an answer within the session.
    let content_type = if is_lost { "text/plain; charset=utf-8" } else { "application/json" };
    assert_eq!(seen, (status, Some(content_type), code), "{case}: {reply:?}");
    assert_eq!(body["jsonrpc"], "2.0", "{case}: {reply:?}");
    let has_no_id = body.get("id") == Some(&Value::Null);
    assert!(!has_no_id || !matches!(status, 200 | 400), "{case}: its body was read: {reply:?}");
    assert!(body["error"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{case}: {reply:?}");
}

/// An event stream that is open.
pub struct Events {
    pub response: Response,
    buffer: String,
    /// What its messages are checked against.
    pub wire: Wire,
}

impl Events {
    pub fn new(response: Response, wire: Wire) -> Self {
        Self { response, buffer: String::new(), wire }
    }

    /// The next message; nothing where the stream has ended.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            let event = self.event().await?;
            // An event that only tells its id has no data.
            if let Some(data) =
                event.lines().find_map(|line| line.strip_prefix("data: ")).filter(|data| !data.is_empty())
            {
                let message = serde_json::from_str(data).unwrap();
                self.wire.check(&message);
                return Some(message);
            }
        }
    }

    /// The next event as it came. Comments that keep the stream open don't keep a test waiting.
    pub async fn event(&mut self) -> Option<String> {
        let event = async {
            loop {
                let block = self.block().await?;
                if !block.starts_with(':') {
                    return Some(block);
                }
            }
        };
        tokio::time::timeout(PATIENCE, event).await.expect("an event in time")
    }

    /// The next event or comment as it came.
    pub async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.buffer.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.buffer = rest;
                return Some(block);
            }
            let part =
                tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("an event in time").unwrap()?;
            self.buffer.push_str(std::str::from_utf8(&part).unwrap());
        }
    }
}

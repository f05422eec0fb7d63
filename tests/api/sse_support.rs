//! A client of the HTTP+SSE transport of 2024-11-05.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    support::{Client, Events, Reply, Server},
    wire::Wire,
};

/// A session, which lives as long as its stream.
pub struct SseSession<'a> {
    client: Client<'a>,
    pub events: Events,
    /// The path to POST to, as the server named it.
    pub endpoint: String,
}

impl<'a> Client<'a> {
    /// Opens a stream at `/sse`, such as `/sse?mode=dynamic`, and reads the event that comes first.
    pub async fn open_sse(&self, path: &str) -> SseSession<'a> {
        let response = self.request_at(Method::GET, path).header("accept", "text/event-stream").send().await.unwrap();
        assert_eq!(response.status(), 200);
        let mut events = Events::new(response, Wire::new("2024-11-05", ""));
        let first = events.block().await.unwrap();
        let endpoint =
            first.strip_prefix("event: endpoint\ndata: ").unwrap_or_else(|| panic!("H-01: {first}")).to_owned();
        SseSession { client: self.clone(), events, endpoint }
    }
}

impl SseSession<'_> {
    /// The same session, whose messages go to another server.
    pub fn at(self, server: &Server) -> SseSession<'_> {
        SseSession { client: Client { server, ..self.client.clone() }, events: self.events, endpoint: self.endpoint }
    }

    /// POSTs a body; the answer comes on the stream.
    pub async fn post_text(&self, body: &str) -> Reply {
        let request = self.client.request_at(Method::POST, &self.endpoint).header("content-type", "application/json");
        Reply::read(request.body(body.to_owned()).send().await.unwrap()).await
    }

    /// Sends a request, and gives the message that comes next on the stream.
    pub async fn ask(&mut self, id: Value, method: &str, params: Value) -> Value {
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.events.wire.expect(&request);
        let reply = self.post_text(&request.to_string()).await;
        assert_eq!(reply.status, 202, "H-02, {method}: {reply:?}");
        self.events.next().await.unwrap_or_else(|| panic!("{method}: the stream has ended"))
    }

    /// `initialize`, and what is spoken from now on.
    pub async fn initialize(&mut self, revision: &str) -> Value {
        let client = json!({"name": "test", "version": "1"});
        let params = json!({"protocolVersion": revision, "capabilities": {}, "clientInfo": client});
        let answer = self.ask(json!(0), "initialize", params).await;
        self.events.wire.speak(answer["result"]["protocolVersion"].as_str().unwrap_or_else(|| panic!("{answer}")));
        let reply = self.post_text(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string()).await;
        assert_eq!(reply.status, 202);
        answer["result"].clone()
    }

    pub async fn result(&mut self, id: u64, method: &str, params: Value) -> Value {
        let answer = self.ask(json!(id), method, params).await;
        assert_eq!(answer["id"], id, "{answer}");
        answer.get("result").unwrap_or_else(|| panic!("{method}: {answer}")).clone()
    }
}

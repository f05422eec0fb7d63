//! What is asked of the contenders: the same messages, in each one's own address and era.

use std::{io::Result, net::SocketAddr};

use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

use super::http::{Connection, Reply, request};

/// Numbers of tools that there are lists of.
pub const SIZES: [usize; 4] = [20, 200, 1_000, 5_000];
/// The key of the tokens.
pub const SECRET: &[u8] = b"of no worth beyond this benchmark";
/// Seconds since 1970 at which the tokens end.
const END: u64 = 4_000_000_000;
const LATEST: &str = "2025-11-25";
const IN_LATEST: [(&str, &str); 1] = [("mcp-protocol-version", LATEST)];
const MODERN: &str = "2026-07-28";

/// Mints the token of user `number` with so many tools in so many apps.
fn token(tools: usize, apps: usize, number: usize) -> String {
    let claims = json!({"id": format!("t{tools}-a{apps}-{number}"), "iss": "bench", "exp": END});
    integration_app_mcp_server::signing::install();
    jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET)).expect("a token")
}

/// So many apps have so many tools, if nothing else is said.
pub fn apps(tools: usize) -> usize {
    tools.div_ceil(50)
}

/// How a contender is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    /// Sessions, which begin with `initialize`.
    Sessions,
    /// Each request alone, in the newest revision.
    Modern,
}

/// A client of a contender.
#[derive(Debug, Clone)]
pub struct Client {
    pub address: SocketAddr,
    pub path: String,
    pub era: Era,
    pub token: String,
    /// It takes answers that are compressed, as the official SDKs do.
    pub takes_gzip: bool,
}

impl Client {
    /// User `number` of the server at `address`, with so many tools in so many apps.
    pub fn new(address: SocketAddr, era: Era, (tools, apps): (usize, usize), number: usize) -> Self {
        Self { address, path: "/mcp".to_owned(), era, token: token(tools, apps, number), takes_gzip: false }
    }

    /// A request with the headers that all have.
    fn request(&self, method: &str, session: Option<&str>, more: &[(&str, &str)], body: &str) -> Vec<u8> {
        let bearer = format!("Bearer {}", self.token);
        let mut headers = vec![
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
        ];
        headers.extend(self.takes_gzip.then_some(("accept-encoding", "gzip, deflate")));
        headers.extend(session.map(|session| ("mcp-session-id", session)));
        headers.extend(more);
        request(method, &self.path, &headers, body)
    }

    fn post(&self, session: Option<&str>, version: Option<&str>, message: &Value) -> Vec<u8> {
        let mut headers: Vec<_> = version.iter().map(|version| ("mcp-protocol-version", *version)).collect();
        let method = message["method"].as_str().unwrap_or_default();
        if version == Some(MODERN) {
            headers.push(("mcp-method", method));
            headers.extend(message["params"]["name"].as_str().map(|name| ("mcp-name", name)));
        }
        self.request("POST", session, &headers, &message.to_string())
    }

    /// A request that needs its session, where there are such.
    fn ask(&self, session: Option<&str>, method: &str, mut params: Value) -> Vec<u8> {
        let version = match self.era {
            Era::Sessions => LATEST,
            Era::Modern => {
                params["_meta"] = json!({
                    "io.modelcontextprotocol/protocolVersion": MODERN,
                    "io.modelcontextprotocol/clientCapabilities": {},
                    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
                });
                MODERN
            }
        };
        self.post(session, Some(version), &json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))
    }

    /// `tools/list`.
    pub fn list(&self, session: Option<&str>) -> Vec<u8> {
        self.ask(session, "tools/list", json!({}))
    }

    /// `tools/call` of the user's first tool.
    pub fn call(&self, session: Option<&str>) -> Vec<u8> {
        let arguments = json!({"to": "someone@example.com", "subject": "Hello", "body": "z".repeat(200), "count": 3});
        self.ask(session, "tools/call", json!({"name": "app000_do-000", "arguments": arguments}))
    }

    fn initialize(&self) -> Vec<u8> {
        let info = json!({"name": "bench", "version": "1"});
        let params = json!({"protocolVersion": LATEST, "capabilities": {}, "clientInfo": info});
        self.post(None, None, &json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}))
    }

    /// Opens a session.
    pub async fn open(&self, connection: &mut Connection) -> Result<Option<String>> {
        let reply = connection.exchange(&self.initialize()).await?;
        expect(&reply);
        let session = reply.session;
        let message = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        expect(&connection.exchange(&self.post(session.as_deref(), Some(LATEST), &message)).await?);
        Ok(session)
    }

    /// Opens the session's own stream, on a connection of its own.
    pub async fn stream(&self, session: Option<&str>) -> Result<Connection> {
        let mut connection = Connection::open(self.address).await?;
        let status = connection.begin_stream(&self.request("GET", session, &IN_LATEST, "")).await?;
        assert_eq!(status, 200, "a stream of {self:?}");
        Ok(connection)
    }

    /// Ends a session. A server without sessions may say that there is nothing to end.
    pub async fn close(&self, connection: &mut Connection, session: Option<&str>) -> Result<()> {
        connection.exchange(&self.request("DELETE", session, &IN_LATEST, "")).await?;
        Ok(())
    }

    /// The result of a request, for a look at it.
    pub async fn result(&self, request: impl Fn(&Self, Option<&str>) -> Vec<u8>) -> Result<String> {
        let mut connection = Connection::open(self.address).await?;
        let session = match self.era {
            Era::Sessions => self.open(&mut connection).await?,
            Era::Modern => None,
        };
        connection.keeps_body = true;
        expect(&connection.exchange(&request(self, session.as_deref())).await?);
        let text = String::from_utf8_lossy(&connection.body).into_owned();
        self.close(&mut connection, session.as_deref()).await?;
        Ok(text)
    }
}

/// A benchmark of errors would be a fast one. Gives the size of a good answer.
pub fn expect(reply: &Reply) -> usize {
    assert!((200..300).contains(&reply.status), "{reply:?}");
    reply.bytes
}

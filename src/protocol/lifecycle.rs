//! `initialize` (MCP 2025-11-25, basic/lifecycle).

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::{elicitation::ClientCapabilities, json, revision::Revision};

/// The parameters of `initialize` that matter here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InitializeParams {
    /// The revision the client would like to speak.
    pub protocol_version: String,
    /// Name and version of the client, as far as they are kept; nothing where they are malformed, which harms nobody.
    #[serde(default, deserialize_with = "if_sound")]
    pub client_info: Option<ClientInfo>,
    /// Capabilities of the client; none where they are malformed.
    #[serde(default, deserialize_with = "capabilities")]
    pub capabilities: ClientCapabilities,
}

/// Name and version of a client, as it gives them. Sessions and their records keep this much of `clientInfo` and no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientInfo {
    /// Name for programs, at most [`MAX_CLIENT_TEXT`] bytes of it.
    #[serde(deserialize_with = "shortened")]
    pub name: String,
    /// Version, at most [`MAX_CLIENT_TEXT`] bytes of it.
    #[serde(default, deserialize_with = "shortened")]
    pub version: String,
    /// Name for people, at most [`MAX_CLIENT_TEXT`] bytes of it.
    #[serde(default, deserialize_with = "shortened_title", skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}

/// Bytes kept of each text of `clientInfo`. A user may hold thousands of sessions, and each holds these texts.
pub const MAX_CLIENT_TEXT: usize = 256;

fn if_sound<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ClientInfo>, D::Error> {
    let raw = Box::<RawValue>::deserialize(deserializer)?;
    Ok(json::read(&raw).ok())
}

fn capabilities<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ClientCapabilities, D::Error> {
    let raw = Box::<RawValue>::deserialize(deserializer)?;
    Ok(json::read(&raw).unwrap_or_default())
}

fn shortened<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    String::deserialize(deserializer).map(|text| shorten(&text))
}

fn shortened_title<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(|text| shorten(&text)))
}

/// Copies the first bytes of a text, cut between characters. The copy holds no memory of the rest.
fn shorten(text: &str) -> String {
    let ends = text.char_indices().map(|(start, char)| start + char.len_utf8());
    let end = ends.take_while(|end| *end <= MAX_CLIENT_TEXT).last().unwrap_or(0);
    text.get(..end).unwrap_or_default().to_owned()
}

/// Result of `initialize`, for revisions with sessions.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InitializeResult {
    protocol_version: &'static str,
    capabilities: Capabilities,
    server_info: ServerInfo,
    instructions: String,
}

/// Capabilities of the server: tools, and notifications of their change.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Capabilities {
    tools: ToolsCapability,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolsCapability {
    list_changed: bool,
}

/// Name and version of the server, for clients.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct ServerInfo {
    /// Name for programs.
    pub name: &'static str,
    /// Name for people, in the lists of clients.
    pub title: &'static str,
    /// Version of this program.
    pub version: &'static str,
    /// Purpose of the server, in one line.
    pub description: &'static str,
}

/// Capabilities that every session has.
pub const CAPABILITIES: Capabilities = Capabilities { tools: ToolsCapability { list_changed: true } };

/// Name and version of this server.
pub const SERVER_INFO: ServerInfo = ServerInfo {
    name: "Integration App MCP Server",
    title: "Integration App",
    version: env!("CARGO_PKG_VERSION"),
    description: "The actions of a user's connected apps as tools",
};

impl InitializeResult {
    /// Returns the answer to a client that will speak `revision`.
    #[must_use]
    pub fn new(revision: Revision, instructions: String) -> Self {
        Self { protocol_version: revision.as_str(), capabilities: CAPABILITIES, server_info: SERVER_INFO, instructions }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_client_three_short_texts_are_kept() {
        let long = "é".repeat(1000);
        let params = serde_json::json!({
            "protocolVersion": "2025-11-25",
            "clientInfo": {"name": long, "version": format!("x{long}"), "title": long, "icons": [long], "websiteUrl": long}
        });
        let client = serde_json::from_value::<InitializeParams>(params).unwrap().client_info.unwrap();
        assert_eq!(client.name, "é".repeat(128));
        assert_eq!(client.version, format!("x{}", "é".repeat(127)), "a character that would be cut is left out");
        assert_eq!(client.title, Some("é".repeat(128)));
        assert!(client.name.capacity() <= MAX_CLIENT_TEXT);
        let short = serde_json::from_str::<ClientInfo>(r#"{"name":"n","version":"1"}"#).unwrap();
        assert_eq!(short, ClientInfo { name: "n".to_owned(), version: "1".to_owned(), title: None });
    }
}

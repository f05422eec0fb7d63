//! `initialize` (MCP 2025-11-25, basic/lifecycle).

use serde::{Deserialize, Serialize};

use super::{revision::Revision, tools::ToolMode};

/// The parameters of `initialize` that matter here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InitializeParams {
    /// The revision the client would like to speak.
    pub protocol_version: String,
    /// What the client calls itself.
    #[serde(default)]
    pub client_info: Option<ClientInfo>,
}

/// What a client calls itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientInfo {
    /// Its name.
    pub name: String,
    /// Its version.
    #[serde(default)]
    pub version: String,
}

/// The result of `initialize`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InitializeResult {
    protocol_version: &'static str,
    capabilities: Capabilities,
    server_info: ServerInfo,
    instructions: &'static str,
}

/// What this server can do: tools, and word of their change.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Capabilities {
    tools: ToolsCapability,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolsCapability {
    list_changed: bool,
}

/// What this server calls itself.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct ServerInfo {
    name: &'static str,
    title: &'static str,
    version: &'static str,
    description: &'static str,
}

/// The capabilities of every session.
pub const CAPABILITIES: Capabilities = Capabilities { tools: ToolsCapability { list_changed: true } };

/// This server's name and version.
pub const SERVER_INFO: ServerInfo = ServerInfo {
    name: "Integration App MCP Server",
    title: "Integration App",
    version: env!("CARGO_PKG_VERSION"),
    description: "The actions of a user's connected apps as tools",
};

/// What a model should know before it uses the tools.
#[must_use]
pub fn instructions(mode: ToolMode) -> &'static str {
    match mode {
        ToolMode::Static => {
            "Each tool is an action of one of the user's connected apps, and acts on the user's real account."
        }
        ToolMode::Dynamic => {
            "Each tool is an action of one of the user's connected apps, and acts on the user's real account. Tools must be \
             enabled before they are listed: call enable-tools with the names you need, such as gmail_send-email. Each call \
             replaces the set enabled before."
        }
    }
}

impl InitializeResult {
    /// The answer to a client that will speak `revision`.
    #[must_use]
    pub fn new(revision: Revision, mode: ToolMode) -> Self {
        Self {
            protocol_version: revision.as_str(),
            capabilities: CAPABILITIES,
            server_info: SERVER_INFO,
            instructions: instructions(mode),
        }
    }
}

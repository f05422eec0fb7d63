//! Record of a session, as the store keeps it.

use std::{collections::BTreeSet, time::SystemTime};

use serde::{Deserialize, Serialize};

use crate::{
    ids::{IntegrationKey, ToolName, UserKey},
    protocol::{
        lifecycle::ClientInfo,
        revision::Revision,
        tools::{ToolFilter, ToolMode},
    },
};

/// Session as the store keeps it: its owner, how it was opened, and what it has enabled. Never a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRecord {
    /// User that the session belongs to.
    pub owner: UserKey,
    /// Time at which the session was opened.
    pub opened: SystemTime,
    /// Count of replacements of the state, by which replicas see that theirs is outdated.
    pub version: u64,
    /// State of the session, which changes by requests.
    pub state: SessionState,
}

/// The part of a [`SessionRecord`] that only this server reads. Members that are added later need a default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionState {
    /// The revision that was negotiated; a session of HTTP+SSE opens before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// Name and version of the client, as it introduced itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientInfo>,
    /// Whether the client asks its user to open pages.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub opens_pages: bool,
    /// Whether tools must be enabled first.
    pub mode: ToolMode,
    /// The integrations that it is confined to, or all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apps: Option<BTreeSet<IntegrationKey>>,
    /// Tools that its URL lets it see.
    #[serde(default, skip_serializing_if = "ToolFilter::is_default")]
    pub filter: ToolFilter,
    /// Tokens of an output at most, where its URL says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<usize>,
    /// Tools that the session has enabled, in dynamic mode.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<EnabledTool>,
    /// The server that has its stream, if it is a session of HTTP+SSE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<String>,
}

/// A tool that a session has enabled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnabledTool {
    /// Name of the tool, as it is listed.
    pub name: ToolName,
    /// True where the tool is not in the user's catalog, but was looked up beyond it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub beyond: bool,
}

//! What is kept of a session.

use std::{collections::BTreeSet, time::SystemTime};

use serde::{Deserialize, Serialize};

use crate::{
    ids::{IntegrationKey, ToolName, UserKey},
    protocol::{lifecycle::ClientInfo, revision::Revision, tools::ToolMode},
};

/// What a session needs to go on: whose it is, how it was opened, and what it has enabled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRecord {
    /// Whose it is.
    pub owner: UserKey,
    /// When it was opened.
    pub opened: SystemTime,
    /// How often its state has been replaced.
    pub version: u64,
    /// What is kept besides.
    pub state: SessionState,
}

/// The part of a [`SessionRecord`] that only this server reads. Members that are added later need a default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionState {
    /// The revision that was negotiated; a session of HTTP+SSE opens before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// What the client calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientInfo>,
    /// Whether tools must be enabled first.
    pub mode: ToolMode,
    /// The integrations that it is confined to, or all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apps: Option<BTreeSet<IntegrationKey>>,
    /// What it has enabled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<EnabledTool>,
    /// The server that has its stream, if it is a session of HTTP+SSE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<String>,
}

/// A tool that a session has enabled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnabledTool {
    /// Its name.
    pub name: ToolName,
    /// It is not in the user's catalog, but was looked up beyond it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub beyond: bool,
}

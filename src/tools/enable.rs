//! `enable-tools`: from the names in a call to tools.

use std::{collections::BTreeSet, sync::Arc};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Builtin, EnabledTools, similar::similar_names};
use crate::{
    ids::ToolName,
    membrane::{Apps, Catalog},
    protocol::{json, revision::Era, tools::CallToolResult},
};

/// Names in a call at most: each that is unknown is looked up.
const MAX_NAMES: usize = 512;

/// Names like an unknown one that are told.
const SIMILAR: usize = 3;

/// Unknown names for which similar ones are told: each is compared with all tools.
const MAX_COMPARED: usize = 8;

/// Outcome of a call of `enable-tools`.
#[derive(Debug)]
pub struct Selection {
    /// Tools to enable, in place of those before.
    pub tools: EnabledTools,
    /// Names that no tool has.
    pub(super) unknown: Vec<ToolName>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) apps: Apps,
}

impl Selection {
    /// Returns the result for the client.
    #[must_use]
    pub fn result(&self) -> CallToolResult {
        self.result_with("Tools enabled".to_owned())
    }

    fn result_with(&self, text: String) -> CallToolResult {
        let enabled = CallToolResult::text(text);
        if self.unknown.is_empty() {
            return enabled;
        }
        let names: Vec<_> = self.unknown.iter().enumerate().map(|(i, name)| self.told(i, name)).collect();
        let enabled = enabled.and_text(format!("Unknown tools, not enabled: {}", names.join(", ")));
        match self.unknown.iter().find_map(|name| self.catalog.failed_app_of(name)) {
            None => enabled,
            Some(app) => enabled.and_text(format!(
                "The tools of {} can't be loaded right now: try again {}",
                app.name,
                app.when()
            )),
        }
    }

    /// Returns an unknown name with the names that may be meant.
    fn told(&self, place: usize, name: &ToolName) -> String {
        let name = name.as_str();
        let similar = if place < MAX_COMPARED { similar_names(&self.catalog, name, SIMILAR) } else { Vec::new() };
        if similar.is_empty() { name.to_owned() } else { format!("{name} (similar: {})", similar.join(", ")) }
    }

    /// Returns the result for a client for which nothing is kept: it holds the definitions that the list will not.
    #[must_use]
    pub fn result_with_definitions(&self) -> CallToolResult {
        let tools = self.tools.in_order(&self.catalog, &self.apps);
        let definitions: Vec<_> = tools.iter().map(|tool| self.catalog.definition(tool, Era::Modern)).collect();
        let text = [&b"{\"tools\":["[..], &definitions.join(&b','), b"]}"].concat();
        // Many clients take the first text alone, and call no tool that they have not listed.
        let result = self.result_with(match tools.first() {
            None => "Tools enabled".to_owned(),
            Some(tool) => format!(
                "Tools enabled for calls by name, such as {}, with the arguments that structuredContent describes. They are \
                 not listed, because this client names no chat. If it calls listed tools alone, it has to connect with \
                 ?mode=search or ?mode=static in the server's URL, or to send the header x-chat-id with each request.",
                tool.name()
            ),
        });
        match serde_json::from_slice(&text) {
            Ok(content) => result.and_structured(content),
            // Definitions are JSON.
            Err(_) => result,
        }
    }
}

/// Reads the arguments of `enable-tools`.
///
/// # Errors
/// A result that tells what is wrong with them.
pub(super) fn read_names(arguments: &RawValue) -> Result<BTreeSet<ToolName>, CallToolResult> {
    #[derive(Deserialize)]
    struct Arguments {
        tools: Vec<String>,
    }
    let name = Builtin::EnableTools.name();
    let refused = |what: String| CallToolResult::failure(format!("Invalid arguments for tool {name}: {what}"));
    let Arguments { tools } = json::read(arguments).map_err(|error| refused(error.to_string()))?;
    if tools.len() > MAX_NAMES {
        return Err(refused(format!("at most {MAX_NAMES} tools can be enabled at once")));
    }
    let names = tools.iter().filter(|tool| *tool != name);
    Ok(names.map(|tool| ToolName::new(tool)).collect())
}

//! Finds a tool by its name, or tells why there is none.

use std::sync::Arc;

use super::{EnabledTools, similar::similar_names};
use crate::{
    error::Error,
    ids::ToolName,
    membrane::{Apps, Catalog, Tool},
    protocol::tools::CallToolResult,
};

/// Names that are suggested for one that no tool has.
const SUGGESTIONS: usize = 3;

/// Finds a tool in a catalog or, given what is enabled, among the enabled tools of it and beyond it.
///
/// # Errors
/// [`Error::ToolNotEnabled`], and those of [`no_such_tool`].
pub(super) fn find(
    catalog: &Catalog,
    enabled: Option<&EnabledTools>,
    name: ToolName,
    apps: &Apps,
) -> Result<Arc<Tool>, Error> {
    let known = catalog.find(&name);
    let tool = match enabled {
        None => known,
        Some(enabled) => enabled.find(&name, catalog, apps),
    };
    match (tool, known) {
        (Some(tool), _) => Ok(Arc::clone(tool)),
        (None, Some(_)) => Err(Error::ToolNotEnabled(name)),
        (None, None) => Err(no_such_tool(catalog, name, enabled)),
    }
}

/// Finds a tool by a name that a model wrote: in another case, with `-`, `_` and `.` mixed, or behind a client's own prefix
/// `mcp__server__`, where exactly one tool is meant.
pub(super) fn find_forgiving<'a>(catalog: &'a Catalog, name: &str) -> Option<&'a Arc<Tool>> {
    let bare = name.strip_prefix("mcp__").and_then(|rest| rest.split_once("__")).map_or(name, |(_, bare)| bare);
    let exact = [name, bare].into_iter().find_map(|name| catalog.find(&ToolName::new(name.trim())));
    if exact.is_some() {
        return exact;
    }
    let letter = |c: char| if matches!(c, '_' | '.') { '-' } else { c.to_ascii_lowercase() };
    let is_meant = |tool: &&'a Arc<Tool>| tool.name().as_str().chars().map(letter).eq(bare.trim().chars().map(letter));
    let mut meant = catalog.parts().flat_map(|part| part.tools()).filter(is_meant);
    meant.next().filter(|_| meant.next().is_none())
}

/// Returns why there is no such tool: it can't be known whether there is, it never was, or it was there, by the catalog or
/// what is enabled, and is no more.
pub(super) fn no_such_tool(catalog: &Catalog, name: ToolName, enabled: Option<&EnabledTools>) -> Error {
    if let Some(app) = catalog.failed_app_of(&name) {
        return Error::ToolUnavailable { name, app: app.name.clone(), when: app.when() };
    }
    match catalog.why_gone(&name) {
        Some(gone) => Error::ToolGone { name, why: gone.to_string() },
        None if enabled.is_some_and(|enabled| enabled.has_by_name(&name)) => {
            let why = "its app was disconnected, or no longer has this action".to_owned();
            Error::ToolGone { name, why }
        }
        None => Error::UnknownTool(name),
    }
}

/// Returns the result for a name that no tool has.
pub(super) fn unknown_tool(catalog: &Catalog, name: &str) -> CallToolResult {
    let why = no_such_tool(catalog, ToolName::new(name), None);
    let similar = similar_names(catalog, name, SUGGESTIONS);
    let hint = match similar.is_empty() {
        true => "search-tools finds tools by what they do.".to_owned(),
        false => format!("Similar: {}.", similar.join(", ")),
    };
    CallToolResult::failure(format!("{why}. {hint}"))
}

//! Finds a tool by its name, or tells why there is none.

use std::sync::Arc;

use super::EnabledTools;
use crate::{
    error::Error,
    ids::ToolName,
    membrane::{Apps, Catalog, Tool},
};

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

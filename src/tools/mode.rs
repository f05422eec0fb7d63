//! Meaning of each mode of tools.

use super::Builtin;
use crate::{ids::ToolName, membrane::Catalog, protocol::tools::ToolMode};

/// Returns the server's own tools that can be called in a mode, in the order in which they are listed.
#[must_use]
pub fn builtins(mode: ToolMode) -> &'static [Builtin] {
    match mode {
        ToolMode::Static => &[],
        ToolMode::Dynamic => &[Builtin::EnableTools],
        ToolMode::Search | ToolMode::Auto => &Builtin::SEARCH,
    }
}

/// Returns the server's own tool of that name, where the mode has it. An action's tool of the same name is seen in modes
/// that don't.
#[must_use]
pub fn builtin(mode: ToolMode, name: &ToolName) -> Option<Builtin> {
    builtins(mode).iter().copied().find(|builtin| builtin.name() == name.as_str())
}

/// Returns how a catalog is listed: `auto` becomes one of the others.
#[must_use]
pub fn of_catalog(mode: ToolMode, catalog: &Catalog) -> ToolMode {
    match mode {
        ToolMode::Auto if catalog.is_large() => ToolMode::Search,
        ToolMode::Auto => ToolMode::Static,
        other => other,
    }
}

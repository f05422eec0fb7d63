//! Meaning of each mode of tools.

use super::Builtin;
use crate::{ids::ToolName, membrane::Catalog, protocol::tools::ToolMode};

impl ToolMode {
    /// Returns the server's own tools that can be called, in the order in which they are listed.
    #[must_use]
    pub fn builtins(self) -> &'static [Builtin] {
        match self {
            Self::Static => &[],
            Self::Dynamic => &[Builtin::EnableTools],
            Self::Search | Self::Auto => &Builtin::SEARCH,
        }
    }

    /// Returns the server's own tool of that name, where the mode has it. An action's tool of the same name is seen in modes
    /// that don't.
    #[must_use]
    pub fn builtin(self, name: &ToolName) -> Option<Builtin> {
        self.builtins().iter().copied().find(|builtin| builtin.name() == name.as_str())
    }

    /// Returns whether the list has what a session has enabled, and so depends on the session. Else it depends on user and URL
    /// alone, so that it is the same for every request.
    #[must_use]
    pub fn lists_enabled(self) -> bool {
        self == Self::Dynamic
    }

    /// Returns how a catalog is listed: `auto` becomes one of the others.
    #[must_use]
    pub fn of_catalog(self, catalog: &Catalog) -> Self {
        match self {
            Self::Auto if catalog.is_large() => Self::Search,
            Self::Auto => Self::Static,
            other => other,
        }
    }
}

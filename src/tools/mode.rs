//! What each mode of tools means.

use super::Builtin;
use crate::{ids::ToolName, protocol::tools::ToolMode};

impl ToolMode {
    /// Returns the server's own tools that the mode lists, in their order.
    #[must_use]
    pub fn builtins(self) -> &'static [Builtin] {
        match self {
            Self::Static => &[],
            Self::Dynamic => &[Builtin::EnableTools],
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

    /// Returns whether the list has all tools of the catalog.
    #[must_use]
    pub fn lists_catalog(self) -> bool {
        self == Self::Static
    }
}

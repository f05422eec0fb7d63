//! The tools that a request sees, and on whose behalf it looks.

use std::sync::Arc;

use super::{EnabledTools, mode};
use crate::{
    ids::ToolName,
    membrane::{Apps, Caller, Catalog},
    protocol::{
        revision::Era,
        tools::{ToolFilter, ToolMode},
    },
};

/// Which tools a request or session sees, as its URL says.
#[derive(Debug, Clone)]
pub struct Scope {
    /// Whether tools must be enabled first.
    pub mode: ToolMode,
    /// The integrations it is confined to.
    pub apps: Apps,
    /// Tools of those that may be seen.
    pub filter: Arc<ToolFilter>,
    /// Tokens of an output at most, where the URL says so.
    pub output_tokens: Option<usize>,
}

impl Scope {
    /// Returns whether the list is another one by a catalog than by the one before; a session tells what it has enabled. A change
    /// of tools that a filter hides counts as well: to look would take as long as a load.
    #[must_use]
    pub fn lists_otherwise(&self, before: &Catalog, now: &Catalog, enabled: Option<&EnabledTools>) -> bool {
        match (mode::of_catalog(self.mode, before), mode::of_catalog(self.mode, now)) {
            (ToolMode::Dynamic, _) => enabled.is_some_and(|enabled| enabled.lists_otherwise(before, now)),
            (ToolMode::Search, ToolMode::Search) => {
                let definition = |catalog: &Catalog, name: &ToolName| {
                    catalog.find(name).map(|tool| catalog.definition(tool, Era::Modern))
                };
                let is_changed = |name: &ToolName| definition(before, name) != definition(now, name);
                // The description of search-tools names the apps.
                !before.connected().eq(now.connected()) || self.filter.pins.iter().any(is_changed)
            }
            _ => true,
        }
    }
}

/// Everything that decides which tools a request sees.
#[derive(Debug, Clone)]
pub struct View {
    /// User who asks, with today's token.
    pub caller: Caller,
    /// Tools that the URL lets them see.
    pub scope: Scope,
    /// Tools that are enabled, where the mode asks for that.
    pub enabled: Enabled,
}

/// Enabled tools, as far as the request has any.
#[derive(Debug, Clone)]
pub enum Enabled {
    /// The request stands alone, so nothing can be enabled: each tool that could be, can be called.
    Stateless,
    /// Tools that the session has enabled.
    InSession(EnabledTools),
}

//! Tools that a URL lets be seen: `tools`, `exclude` and `access`.

use wildmatch::WildMatch;

use crate::{membrane::Tool, protocol::tools::ToolFilter, search::Access};

/// A filter, ready to be asked about many tools.
pub(super) struct Permits {
    tools: Vec<WildMatch>,
    exclude: Vec<WildMatch>,
    reads_only: bool,
}

impl Permits {
    /// Reads the patterns of a filter, in which `*` stands for any characters.
    pub(super) fn new(filter: &ToolFilter) -> Self {
        let read = |patterns: &[String]| patterns.iter().map(|pattern| WildMatch::new(pattern)).collect();
        Self { tools: read(&filter.tools), exclude: read(&filter.exclude), reads_only: filter.reads_only }
    }

    /// Returns whether a tool may be seen. Its name counts, and what stands for its keys where the name does not hold them.
    pub(super) fn permit(&self, tool: &Tool) -> bool {
        let keys = format!("{}_{}", tool.integration(), tool.action());
        let any = |patterns: &[WildMatch]| {
            patterns.iter().any(|pattern| pattern.matches(tool.name().as_str()) || pattern.matches(&keys))
        };
        (self.tools.is_empty() || any(&self.tools))
            && !any(&self.exclude)
            && (!self.reads_only || tool.access() == Access::Read)
    }
}

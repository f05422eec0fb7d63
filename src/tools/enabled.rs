//! The tools that a session in dynamic mode has enabled.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    ids::ToolName,
    membrane::{Apps, Catalog, Tool},
    protocol::revision::Era,
    store::EnabledTool,
};

/// Enabled tools. Those of the user's catalog are held by name, so that they are always the current ones; those that were
/// looked up beyond it are held themselves. Cheap to clone, as each request of the session takes a copy.
#[derive(Debug, Clone, Default)]
pub struct EnabledTools(Arc<BTreeMap<ToolName, ToolSource>>);

#[derive(Debug, Clone)]
enum ToolSource {
    /// Found in the user's catalog by its name.
    ByName,
    /// Looked up beyond the catalog, and held here.
    Itself(Arc<Tool>),
    /// Beyond it, and to be looked up again since the session was revived.
    Unresolved,
}

impl EnabledTools {
    /// Returns the tools that were enabled when a session was kept.
    #[must_use]
    pub fn of(tools: &[EnabledTool]) -> Self {
        let held = |tool: &EnabledTool| if tool.beyond { ToolSource::Unresolved } else { ToolSource::ByName };
        Self(Arc::new(tools.iter().map(|tool| (tool.name.clone(), held(tool))).collect()))
    }

    /// Returns the tools that are enabled now that another server has changed that. What was looked up here need not be
    /// again.
    #[must_use]
    pub fn renewed(&self, tools: &[EnabledTool]) -> Self {
        let mut renewed = Self::of(tools);
        for (name, held) in renewed.tools_mut() {
            if let (ToolSource::Unresolved, Some(ToolSource::Itself(tool))) = (&held, self.0.get(name)) {
                *held = ToolSource::Itself(Arc::clone(tool));
            }
        }
        renewed
    }

    /// Returns the names to keep in the store.
    #[must_use]
    pub fn names(&self) -> Vec<EnabledTool> {
        let name = |(name, held): (&ToolName, &ToolSource)| EnabledTool {
            name: name.clone(),
            beyond: !matches!(held, ToolSource::ByName),
        };
        self.0.iter().map(name).collect()
    }

    /// Enables a tool of the catalog.
    pub fn add(&mut self, name: &ToolName) {
        self.tools_mut().insert(name.clone(), ToolSource::ByName);
    }

    /// Enables a tool that is not in the catalog.
    pub fn add_beyond(&mut self, tool: Arc<Tool>) {
        self.tools_mut().insert(tool.name().clone(), ToolSource::Itself(tool));
    }

    /// Returns whether no tool has to be looked up again.
    #[must_use]
    pub fn is_resolved(&self) -> bool {
        !self.0.values().any(|held| matches!(held, ToolSource::Unresolved))
    }

    /// Returns the tools that have to be looked up again.
    #[must_use]
    pub fn unresolved(&self) -> Vec<ToolName> {
        let unresolved = self.0.iter().filter(|(_, held)| matches!(held, ToolSource::Unresolved));
        unresolved.map(|(name, _)| name.clone()).collect()
    }

    /// Takes on tools that were looked up again; the others are still to be found.
    pub fn resolve(&mut self, found: BTreeMap<ToolName, Arc<Tool>>) {
        for (name, tool) in found {
            self.tools_mut().entry(name).and_modify(|held| *held = ToolSource::Itself(tool));
        }
    }

    /// Without the tools that lie outside the given apps. Those of the catalog are confined by the catalog.
    #[must_use]
    pub fn within(mut self, apps: &Apps) -> Self {
        self.tools_mut().retain(|_, held| match held {
            ToolSource::Itself(tool) => apps.include(tool.integration()),
            ToolSource::ByName | ToolSource::Unresolved => true,
        });
        self
    }

    /// Returns whether no tool is enabled.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether both enable the same tools.
    #[must_use]
    pub fn lists_the_same(&self, other: &Self) -> bool {
        self.0.keys().eq(other.0.keys())
    }

    /// Returns whether the enabled tools are other ones in one catalog than in another.
    #[must_use]
    pub fn lists_otherwise(&self, before: &Catalog, now: &Catalog) -> bool {
        let definition = |catalog: &Catalog, name| catalog.find(name).map(|tool| catalog.definition(tool, Era::Modern));
        let mut by_name = self.0.iter().filter(|(_, held)| matches!(held, ToolSource::ByName));
        by_name.any(|(name, _)| definition(before, name) != definition(now, name))
    }

    /// Returns whether a tool is enabled that was in the catalog then.
    #[must_use]
    pub fn has_by_name(&self, name: &ToolName) -> bool {
        matches!(self.0.get(name), Some(ToolSource::ByName))
    }

    /// Finds an enabled tool of the given apps, whose catalog is at hand.
    #[must_use]
    pub fn find<'a>(&'a self, name: &ToolName, catalog: &'a Catalog, apps: &Apps) -> Option<&'a Arc<Tool>> {
        match catalog.find(name) {
            Some(tool) => self.0.contains_key(tool.name()).then_some(tool),
            None => match self.0.get(name)? {
                ToolSource::Itself(tool) => Some(tool).filter(|tool| apps.include(tool.integration())),
                ToolSource::ByName | ToolSource::Unresolved => None,
            },
        }
    }

    /// Returns the enabled tools in the order of a catalog.
    #[must_use]
    pub fn in_order<'a>(&'a self, catalog: &'a Catalog, apps: &Apps) -> Vec<&'a Arc<Tool>> {
        let mut tools: Vec<_> = self.0.keys().filter_map(|name| self.find(name, catalog, apps)).collect();
        tools.sort_by(|a, b| (a.integration(), a.action()).cmp(&(b.integration(), b.action())));
        tools
    }

    fn tools_mut(&mut self) -> &mut BTreeMap<ToolName, ToolSource> {
        Arc::make_mut(&mut self.0)
    }
}

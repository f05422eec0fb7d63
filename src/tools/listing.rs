//! The list of tools that a request gets.

use super::{
    filter::Permits,
    view::{Enabled, Scope},
};
use crate::{
    membrane::{Catalog, Tool},
    protocol::{answer::ToolList, revision::Era, tools::ToolMode},
};

/// Returns the list that a catalog gives.
pub(super) fn listed(catalog: &Catalog, scope: &Scope, enabled: &Enabled, era: Era) -> ToolList {
    let mut list = ToolList::default();
    let mode = scope.mode.of_catalog(catalog);
    for builtin in mode.builtins() {
        list.push(builtin.definition(catalog));
    }
    match (mode, enabled) {
        (ToolMode::Static, _) => catalog.list_into(&mut list, era),
        (ToolMode::Dynamic, Enabled::InSession(enabled)) => {
            for tool in enabled.in_order(catalog, &scope.apps).into_iter().filter(|tool| may_be_seen(scope, tool)) {
                list.push(tool.definition(era).clone());
            }
        }
        (ToolMode::Dynamic, Enabled::Stateless) => {}
        (ToolMode::Search | ToolMode::Auto, _) => {
            for tool in scope.filter.pins.iter().filter_map(|name| catalog.find(name)) {
                list.push(tool.definition(era).clone());
            }
        }
    }
    if catalog.is_partial() {
        list.mark_partial();
    }
    list
}

/// Returns whether the URL lets a tool be seen that is not of a filtered catalog.
pub(super) fn may_be_seen(scope: &Scope, tool: &Tool) -> bool {
    scope.filter.permits_all() || Permits::new(&scope.filter).permit(tool)
}

//! The list of tools that a request gets.

use super::{
    filter::Permits,
    mode,
    view::{Enabled, Scope},
};
use crate::{
    membrane::{Catalog, Tool},
    protocol::{answer::ToolList, revision::Era, tools::ToolMode},
};

/// Returns the list that a catalog gives.
pub(super) fn listed(catalog: &Catalog, scope: &Scope, enabled: &Enabled, era: Era) -> ToolList {
    let mut list = ToolList::default();
    let mode = mode::of_catalog(scope.mode, catalog);
    for builtin in mode::builtins(mode) {
        list.push(builtin.definition(catalog));
    }
    match (mode, enabled) {
        (ToolMode::Static, _) => catalog.list_into(&mut list, era),
        (ToolMode::Dynamic, Enabled::InSession(enabled)) => {
            let is_seen = seen_by(scope);
            for tool in enabled.in_order(catalog, &scope.apps).into_iter().filter(|tool| is_seen(tool)) {
                list.push(catalog.definition(tool, era));
            }
        }
        (ToolMode::Dynamic, Enabled::Stateless) => {}
        (ToolMode::Search | ToolMode::Auto, _) => {
            for tool in scope.filter.pins.iter().filter_map(|name| catalog.find(name)) {
                list.push(catalog.definition(tool, era));
            }
        }
    }
    if catalog.is_partial() {
        list.mark_partial();
    }
    list
}

/// Returns whether the URL lets tools be seen that are not of a filtered catalog. The patterns are read once for all of them.
pub(super) fn seen_by(scope: &Scope) -> impl Fn(&Tool) -> bool + use<> {
    let permits = (!scope.filter.permits_all()).then(|| Permits::new(&scope.filter));
    move |tool| permits.as_ref().is_none_or(|permits| permits.permit(tool))
}

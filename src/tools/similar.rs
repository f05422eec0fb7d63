//! Names like one that no tool has.

use crate::{membrane::Catalog, search};

/// Returns the names of tools that are most like a name, in a catalog whose index is built.
pub(super) fn similar_names(catalog: &Catalog, name: &str, count: usize) -> Vec<String> {
    let parts: Vec<_> = catalog.parts().collect();
    let indexes: Vec<_> = parts.iter().map(|part| part.index()).collect();
    // Some of the index may not be seen, so more are asked for.
    let similar = search::similar_names(&indexes, name, 4 * count).into_iter();
    let seen = similar.filter_map(|similar| parts.get(similar.app)?.indexed(similar.tool));
    seen.take(count).map(|tool| tool.name().as_str().to_owned()).collect()
}

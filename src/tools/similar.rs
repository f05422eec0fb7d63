//! Names like one that no tool has.

use crate::{
    membrane::Catalog,
    search::{self, Keys},
};

/// Returns the names of tools that are most like a name.
pub(super) fn similar_names(catalog: &Catalog, name: &str, count: usize) -> Vec<String> {
    let parts: Vec<_> = catalog.parts().collect();
    let keys: Vec<_> = parts
        .iter()
        .map(|part| Keys {
            app: part.integration().as_str(),
            tools: part.tools().iter().map(|tool| tool.action().as_str()).collect(),
        })
        .collect();
    let similar = search::similar_names(&keys, name, count).into_iter();
    similar
        .filter_map(|similar| parts.get(similar.app)?.tools().get(similar.tool))
        .map(|tool| tool.name().as_str().to_owned())
        .collect()
}

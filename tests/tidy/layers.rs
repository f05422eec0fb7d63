//! Which part of the code may need which other: modules import downwards, and within a module no files need each other.

use std::collections::BTreeSet;

use crate::{
    Broken,
    graph::Graph,
    source::{imports, paths, sources},
};

/// Which module may import which, lowest first. A module stands below all that import it, so there can be no cycle; one
/// that is missing here may be imported by nobody.
const LAYERS: [(&str, &[&str]); 30] = [
    ("secret", &[]),
    ("signing", &[]),
    ("seal", &["secret"]),
    ("metrics", &[]),
    ("chunks", &[]),
    ("gathering", &[]),
    ("pem", &[]),
    ("trace", &[]),
    ("ids", &[]),
    ("token", &["ids", "secret"]),
    ("error", &["token", "ids", "secret"]),
    ("user_limits", &["error", "ids"]),
    ("workers", &["error"]),
    ("search", &[]),
    ("protocol", &["chunks", "error", "token", "ids", "secret"]),
    ("config", &["secret"]),
    (
        "membrane",
        &[
            "workers",
            "user_limits",
            "config",
            "search",
            "chunks",
            "gathering",
            "pem",
            "protocol",
            "error",
            "token",
            "ids",
            "secret",
            "signing",
            "metrics",
            "trace",
        ],
    ),
    ("store", &["user_limits", "config", "pem", "protocol", "error", "ids", "secret", "metrics"]),
    ("auth", &["store", "membrane", "workers", "config", "error", "token", "ids", "secret", "trace"]),
    (
        "tools",
        &[
            "auth",
            "store",
            "membrane",
            "workers",
            "user_limits",
            "config",
            "search",
            "protocol",
            "error",
            "token",
            "ids",
            "seal",
            "secret",
            "metrics",
        ],
    ),
    (
        "session",
        &[
            "tools",
            "auth",
            "workers",
            "store",
            "membrane",
            "user_limits",
            "config",
            "protocol",
            "error",
            "token",
            "ids",
            "secret",
            "metrics",
            "trace",
        ],
    ),
    (
        "http",
        &[
            "session",
            "tools",
            "auth",
            "membrane",
            "user_limits",
            "config",
            "chunks",
            "gathering",
            "protocol",
            "error",
            "token",
            "ids",
            "secret",
            "metrics",
            "trace",
        ],
    ),
    ("server", &["http", "session", "membrane", "store", "config", "secret", "metrics"]),
    ("logging", &["config"]),
    ("sandbox", &["config", "protocol", "secret", "signing"]),
    ("banner", &["config", "sandbox", "secret"]),
    ("healthcheck", &["config"]),
    ("doctor", &["healthcheck", "store", "membrane", "config", "token", "secret"]),
    ("cli", &["banner", "config", "doctor", "healthcheck", "logging", "sandbox", "secret", "server", "trace"]),
    ("main", &["cli"]),
];

/// Files that are one with the folder of their name, and why they are not one file. What stands in the folder may use the file,
/// and the file what stands in the folder.
const UNITS: [(&str, &str); 7] = [
    ("membrane/actor", "the handlers of one actor"),
    ("membrane/client", "the methods of one client"),
    ("protocol/outline", "the type, and how it is read from a schema"),
    ("protocol/publish/mend", "one walk through a schema, with objects apart"),
    ("session/actor", "the handlers of one actor"),
    ("session/registry", "the handlers of one actor"),
    ("tools/service", "the methods of one service"),
];

#[test]
fn layers_import_downwards_only() {
    let mut broken = Broken::default();
    for source in sources() {
        let allowed = LAYERS.iter().find(|(layer, _)| *layer == source.layer()).map(|(_, below)| *below);
        for (line, module) in imports(&source.tokens()) {
            let fine = module == source.layer() || allowed.is_some_and(|below| below.contains(&module.as_str()));
            broken.add_unless(fine, &source, line, &format!("{} imports {module}", source.layer()));
        }
        // A path that climbs to the root would escape the check above.
        let is_root = !source.path.contains('/') || source.path.ends_with("/mod.rs");
        for (line, path) in paths(&source.product_tokens()) {
            let climbs = path.starts_with("super::super::") || (is_root && path.starts_with("super::"));
            broken.add_unless(!climbs, &source, line, "other layers are named by crate::");
        }
    }
    broken.report();
}

#[test]
fn the_layers_have_no_cycle_and_are_those_of_the_library() {
    for (i, (layer, below)) in LAYERS.iter().enumerate() {
        for module in *below {
            let lower = LAYERS.iter().take(i).any(|(other, _)| other == module);
            assert!(lower, "{layer} may import {module}, which does not stand below it");
        }
    }
    let known: BTreeSet<_> = LAYERS.iter().map(|(layer, _)| (*layer).to_owned()).collect();
    let found: BTreeSet<_> = sources().iter().map(|source| source.layer().to_owned()).filter(|l| l != "lib").collect();
    assert_eq!(found, known, "the modules below src (left) and the layers of this file (right)");
}

/// Returns the unit that a file belongs to, as it looks from within a folder: the outermost there.
fn unit_within<'a>(folder: &str, file: &'a str) -> Option<&'a str> {
    if !file.starts_with(folder) {
        return None;
    }
    let units = UNITS.iter().map(|(unit, _)| *unit).filter(|unit| unit.len() > folder.len());
    let mut within = units.filter(|unit| file.strip_prefix(unit).is_some_and(|rest| rest.starts_with(['/', '.'])));
    Some(within.next().map_or(file, |unit| &file[..unit.len()]))
}

#[test]
fn no_files_of_a_module_need_each_other() {
    let sources: Vec<_> = sources().into_iter().filter(|source| source.path != "main.rs").collect();
    let graph = Graph::new(&sources);
    assert!(graph.edges.len() > 2000, "only {} names are followed to their files", graph.edges.len());
    let mut broken = Broken::default();
    // A name that can't be followed could hide a circle.
    for (file, line, path) in &graph.unresolved {
        broken.add_file_unless(false, &format!("src/{file}"), *line, &format!("{path} leads to no file"));
    }
    let folders = UNITS.iter().map(|(unit, _)| format!("{unit}/"));
    for folder in [String::new()].into_iter().chain(folders) {
        for circle in graph.circles(|file| unit_within(&folder, file)) {
            // One line for each two files tells enough.
            let mut told = BTreeSet::new();
            for edge in circle.edges.into_iter().filter(|edge| told.insert((&edge.from, &edge.to))) {
                let what = format!("{} needs {} of {} in a circle", edge.from, edge.name, edge.to);
                broken.add_file_unless(false, &format!("src/{}", edge.file), edge.line, &what);
            }
        }
    }
    for (unit, _) in UNITS {
        let is_one = graph.circles(Some).iter().any(|circle| {
            let mut units = circle.units.iter();
            circle.units.contains(format!("{unit}.rs").as_str())
                && units.any(|file| file.starts_with(&format!("{unit}/")))
        });
        broken.add_file_unless(is_one, &format!("src/{unit}.rs"), 1, "needs not be one with its folder");
    }
    broken.report();
}

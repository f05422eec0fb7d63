//! The files of the code and what they need of each other.

use std::collections::{BTreeMap, BTreeSet};

/// A file that needs another, with the line that says so and the name that it uses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    pub from: String,
    pub to: String,
    /// The place of it, which is in `to` where that implements methods for a type of `from`.
    pub file: String,
    pub line: usize,
    pub name: String,
}

/// Needs of the files of each other, and the paths of this crate that lead nowhere.
#[derive(Debug, Default)]
pub struct Graph {
    pub edges: BTreeSet<Edge>,
    pub unresolved: Vec<(String, usize, String)>,
}

/// Units that need each other, directly or by others among them.
pub struct Circle<'a> {
    pub units: BTreeSet<&'a str>,
    pub edges: Vec<&'a Edge>,
}

impl Graph {
    /// Returns the groups of units that need each other, each with the lines by which they do. `unit` names the unit that a
    /// file belongs to, if it belongs to any.
    pub fn circles<'a>(&'a self, unit: impl Fn(&'a str) -> Option<&'a str>) -> Vec<Circle<'a>> {
        let mut needs: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let edges = self.edges.iter().filter_map(|edge| Some((unit(&edge.from)?, unit(&edge.to)?, edge)));
        let edges: Vec<_> = edges.filter(|(from, to, _)| from != to).collect();
        for (from, to, _) in &edges {
            needs.entry(from).or_default().insert(to);
        }
        let reach = |from: &'a str| {
            let (mut reached, mut open) = (BTreeSet::new(), vec![from]);
            while let Some(unit) = open.pop() {
                open.extend(needs.get(unit).into_iter().flatten().filter(|next| reached.insert(**next)));
            }
            reached
        };
        let reached: BTreeMap<&str, BTreeSet<&str>> = needs.keys().map(|unit| (*unit, reach(unit))).collect();
        let reaches = |from: &str, to: &str| reached.get(from).is_some_and(|reached| reached.contains(to));
        let group = |unit: &str| -> BTreeSet<&str> {
            needs.keys().copied().filter(|other| reaches(unit, other) && reaches(other, unit)).collect()
        };
        let groups: BTreeSet<_> = needs.keys().map(|unit| group(unit)).filter(|group| !group.is_empty()).collect();
        let circle = |units: BTreeSet<&'a str>| {
            let within = edges.iter().filter(|(from, to, _)| units.contains(from) && units.contains(to));
            let edges = within.map(|(.., edge)| *edge).collect();
            Circle { units, edges }
        };
        groups.into_iter().map(circle).collect()
    }
}

//! Projection of an answer to the members that were asked for.
//!
//! Values stay as they are written and in their order; others are left out:
//! - A list on a path stands for all its elements. An element without the member is an empty object, so that the elements
//!   keep their places; one that can't have members is left out.
//! - `null` on a path is kept: it tells why there is nothing below.
//! - A path that leads to no value anywhere is unknown. What lies below `null` or an empty list can't be known, so such a path
//!   is not.

use super::{
    path::FieldPath,
    scan::{Scanner, ValueKind},
    strings,
};

/// Part of an answer that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Projected {
    /// The part as JSON text, its values as they were written.
    pub json: String,
    /// Paths that lead to nothing, as they were written.
    pub unknown: Vec<String>,
}

/// Returns what lies at the given paths of an answer, which is valid JSON. A root that can't have members stays.
#[must_use]
pub fn project(json: &str, paths: &[FieldPath]) -> Projected {
    let mut scanner = Scanner::new(json);
    let is_root_list = scanner.kind(0) == ValueKind::Array;
    let mut wanted = Wanted { nodes: vec![Node::default()], is_found: vec![false; paths.len()] };
    for (path, given) in paths.iter().enumerate() {
        wanted.add(path, given.names(is_root_list));
    }
    let mut projection = Projection { scanner, out: String::new(), wanted };
    if !projection.value(ROOT, 0) {
        projection.out.push_str(json);
    }
    let is_found = projection.wanted.is_found;
    let unknown = paths.iter().zip(is_found).filter(|(_, is_found)| !is_found).map(|(path, _)| path.text().to_owned());
    Projected { json: projection.out, unknown: unknown.collect() }
}

const ROOT: usize = 0;

/// Paths as a tree: one node for all that begin with the same names.
struct Wanted {
    nodes: Vec<Node>,
    /// Paths that led to a value.
    is_found: Vec<bool>,
}

#[derive(Default)]
struct Node {
    /// Next names, and the indices of their nodes.
    members: Vec<(String, usize)>,
    /// Paths that end here.
    ends: Vec<usize>,
}

impl Wanted {
    fn add(&mut self, path: usize, names: &[String]) {
        let mut at = ROOT;
        for name in names {
            let next = self.nodes.len();
            let Some(node) = self.nodes.get_mut(at) else { return };
            if let Some((_, known)) = node.members.iter().find(|(known, _)| known == name) {
                at = *known;
            } else {
                node.members.push((name.clone(), next));
                self.nodes.push(Node::default());
                at = next;
            }
        }
        if let Some(node) = self.nodes.get_mut(at) {
            node.ends.push(path);
        }
    }

    /// Returns the node of a member by its name as it is written.
    fn member(&self, node: usize, name: &str) -> Option<usize> {
        let members = &self.nodes.get(node)?.members;
        members.iter().find(|(wanted, _)| strings::is(name, wanted)).map(|(_, next)| *next)
    }

    /// Returns whether a path ends at a node, so that all there is wanted.
    fn is_end(&self, node: usize) -> bool {
        self.nodes.get(node).is_some_and(|node| !node.ends.is_empty())
    }

    /// Notes that the paths that end at a node lead to a value.
    fn found(&mut self, node: usize) {
        for path in self.nodes.get(node).map(|node| node.ends.as_slice()).unwrap_or_default() {
            if let Some(is_found) = self.is_found.get_mut(*path) {
                *is_found = true;
            }
        }
    }

    /// Notes that all paths through a node may lead to a value.
    fn found_below(&mut self, node: usize) {
        self.found(node);
        // Paths have few names, so few calls lie in each other.
        let members = self.nodes.get(node).map(|node| node.members.as_slice()).unwrap_or_default();
        for next in members.iter().map(|(_, next)| *next).collect::<Vec<_>>() {
            self.found_below(next);
        }
    }
}

struct Projection<'a> {
    scanner: Scanner<'a>,
    out: String,
    wanted: Wanted,
}

impl Projection<'_> {
    /// Writes what is wanted of a value. Returns whether there can be any.
    fn value(&mut self, node: usize, depth: usize) -> bool {
        match self.scanner.kind(depth) {
            // A longer path leads to what is there already.
            _ if self.wanted.is_end(node) => {
                self.out.push_str(self.scanner.value());
                self.wanted.found_below(node);
                true
            }
            ValueKind::Object => self.object(node, depth),
            ValueKind::Array => self.array(node, depth),
            ValueKind::Text | ValueKind::Word => {
                let is_null = self.scanner.value() == "null";
                if is_null {
                    self.out.push_str("null");
                    self.wanted.found_below(node);
                }
                is_null
            }
        }
    }

    fn object(&mut self, node: usize, depth: usize) -> bool {
        self.scanner.open();
        self.out.push('{');
        let mut is_first = true;
        while self.scanner.more() {
            let name = self.scanner.value();
            let begin = self.out.len();
            let is_written = if let Some(next) = self.wanted.member(node, name) {
                self.out.push_str(if is_first { "" } else { "," });
                self.out.push_str(name);
                self.out.push(':');
                self.value(next, depth + 1)
            } else {
                self.scanner.value();
                false
            };
            if is_written {
                is_first = false;
            } else {
                self.out.truncate(begin);
            }
        }
        self.out.push('}');
        true
    }

    fn array(&mut self, node: usize, depth: usize) -> bool {
        self.scanner.open();
        self.out.push('[');
        let (mut is_first, mut is_empty) = (true, true);
        while self.scanner.more() {
            is_empty = false;
            let begin = self.out.len();
            self.out.push_str(if is_first { "" } else { "," });
            if self.value(node, depth + 1) {
                is_first = false;
            } else {
                self.out.truncate(begin);
            }
        }
        if is_empty {
            self.wanted.found_below(node);
        }
        self.out.push(']');
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn projected(json: &str, paths: &[&str]) -> (String, Vec<String>) {
        let paths: Vec<_> = paths.iter().map(|path| FieldPath::parse(path).unwrap()).collect();
        let projected = project(json, &paths);
        (projected.json, projected.unknown)
    }

    #[test]
    fn members_keep_their_order_and_their_text() {
        let json =
            r#"{"z": 1.0, "items":[{"id":1e3,"body":"x","\u0061":2}, {"id" : "2","from":{"name":"n","mail":"m"}}]}"#;
        let cases: [(&[&str], &str); 6] = [
            (&["items[].id"], r#"{"items":[{"id":1e3},{"id":"2"}]}"#),
            (&["items.a", "z"], r#"{"z":1.0,"items":[{"a":2},{}]}"#),
            (&["items[].from.mail", "items[].id"], r#"{"items":[{"id":1e3},{"id":"2","from":{"mail":"m"}}]}"#),
            (&["items[].from"], r#"{"items":[{},{"from":{"name":"n","mail":"m"}}]}"#),
            (&["z", "z.deeper"], r#"{"z":1.0}"#),
            (&["items[].from", "items[].from.mail"], r#"{"items":[{},{"from":{"name":"n","mail":"m"}}]}"#),
        ];
        for (paths, expected) in cases {
            let (found, unknown) = projected(json, paths);
            assert_eq!((found.replace("\\u0061", "a").as_str(), unknown.len()), (expected, 0), "{paths:?}");
        }
    }

    #[test]
    fn unknown_paths_are_named_as_they_were_written() {
        let json = r#"{"a":{"b":1},"none":null,"empty":[],"list":[1,null,{"x":2}]}"#;
        let paths = ["a.c", "b", "none.x", "empty[].y", "a.b.c", "list[].x", "list[].z"];
        let (found, unknown) = projected(json, &paths);
        assert_eq!(unknown, ["a.c", "b", "a.b.c"]);
        assert_eq!(found, r#"{"a":{},"none":null,"empty":[],"list":[null,{"x":2}]}"#);
    }

    #[test]
    fn a_list_at_the_root_stands_for_its_elements() {
        let json = r#"[{"id":1,"value":{"id":2}},{"id":3}]"#;
        for path in ["[].id", "id", "value[].id", "value.id"] {
            assert_eq!(projected(json, &[path]).0, r#"[{"id":1},{"id":3}]"#, "{path}");
        }
        assert_eq!(projected(json, &["[].value.id"]).0, r#"[{"value":{"id":2}},{}]"#);
        assert_eq!(projected(json, &["value"]).0, json);
    }

    #[test]
    fn a_root_without_members_stays() {
        assert_eq!(projected("\"text\"", &["a"]), ("\"text\"".to_owned(), vec!["a".to_owned()]));
        assert_eq!(projected("null", &["a"]), ("null".to_owned(), Vec::new()));
    }

    #[test]
    fn lists_deeper_than_any_stack_are_left_out() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert!(projected(&deep, &["a.b"]).0.len() < 1_000);
    }
}

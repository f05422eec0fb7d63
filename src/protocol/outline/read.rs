//! Reading of a schema's sub-schemas and references.

use std::collections::{HashMap, hash_map::Entry};

use serde_json::{Map, Value};

use super::{Id, Node, Outline};
use crate::protocol::pattern;

/// Sub-schemas of one schema.
pub(super) const MAX_SCHEMAS: usize = 10_000;
/// Sub-schemas within each other.
pub(super) const MAX_DEPTH: usize = 64;
/// Bytes of the paths of all keywords, each of which is kept as a text of its own.
const MAX_PATH_BYTES: usize = 4 << 20;
/// Times that the schemas beside `unevaluatedProperties` and `unevaluatedItems` are visited.
const REPEATS: u32 = 3;

/// A sub-schema that is still to be read.
struct Open<'a> {
    id: Id,
    schema: &'a Value,
    depth: usize,
    path_bytes: usize,
}

/// The reading of a schema.
pub(super) struct Builder<'a> {
    root: &'a Value,
    outline: Outline,
    /// Sub-schemas by their addresses.
    ids: HashMap<*const Value, Id>,
    anchors: HashMap<&'a str, Id>,
    references: Vec<(Id, &'a str)>,
    open: Vec<Open<'a>>,
    path_bytes: usize,
    /// A sub-schema has an `id`, which is one in draft 4 only.
    has_id: bool,
    is_draft_4: bool,
}

impl<'a> Builder<'a> {
    /// Begins with the root.
    pub(super) fn new(root: &'a Value) -> Self {
        let outline = Outline { nodes: Vec::new(), has_branches: false, patterns: 0 };
        let (ids, anchors) = (HashMap::new(), HashMap::new());
        let (references, open) = (Vec::new(), Vec::new());
        Self { root, outline, ids, anchors, references, open, path_bytes: 0, has_id: false, is_draft_4: false }
    }

    /// Reads all of it, and what it refers to.
    ///
    /// # Errors
    /// Why it is too large, or where a reference is not followed.
    pub(super) fn build(mut self) -> Result<Outline, String> {
        self.id(self.root, 0, 0)?;
        self.read_open()?;
        // What is referred to may stand where no keyword leads, and refer to more.
        while let Some((from, reference)) = self.references.pop() {
            let target = self.target(reference)?;
            self.read_open()?;
            if let Some(node) = self.outline.nodes.get_mut(from) {
                node.in_place.push(target);
            }
        }
        if self.has_id && self.is_draft_4 {
            return Err("a sub-schema of it has an id of its own".to_owned());
        }
        Ok(self.outline)
    }

    fn read_open(&mut self) -> Result<(), String> {
        while let Some(open) = self.open.pop() {
            let node = match open.schema {
                Value::Object(members) => self.read(&open, members)?,
                // `true`, `false`, and what `jsonschema` won't compile.
                _ => Node { own: 1, ..Node::default() },
            };
            if let Some(place) = self.outline.nodes.get_mut(open.id) {
                *place = node;
            }
        }
        Ok(())
    }

    /// Returns the id of a sub-schema, which is read later if it is new.
    fn id(&mut self, schema: &'a Value, depth: usize, path_bytes: usize) -> Result<Id, String> {
        let next = self.outline.nodes.len();
        let Entry::Vacant(vacant) = self.ids.entry(std::ptr::from_ref(schema)) else {
            return Ok(self.ids.get(&std::ptr::from_ref(schema)).copied().unwrap_or_default());
        };
        vacant.insert(next);
        self.outline.nodes.push(Node::default());
        self.open.push(Open { id: next, schema, depth, path_bytes });
        let keywords = schema.as_object().map_or(0, Map::len);
        self.path_bytes = self.path_bytes.saturating_add(path_bytes.saturating_mul(keywords + 1));
        if next >= MAX_SCHEMAS {
            return Err(format!("it has more than {MAX_SCHEMAS} sub-schemas"));
        }
        if depth > MAX_DEPTH {
            return Err(format!("its sub-schemas lie more than {MAX_DEPTH} deep in each other"));
        }
        if self.path_bytes > MAX_PATH_BYTES {
            return Err("the paths in it are too long".to_owned());
        }
        Ok(next)
    }

    fn read(&mut self, open: &Open<'a>, members: &'a Map<String, Value>) -> Result<Node, String> {
        let mut node = Node { repeats: 1, ..Node::default() };
        node.own = count(members.len().max(1));
        for (keyword, value) in members {
            let path = open.path_bytes + keyword.len() + 1;
            let mut one = |schema: &'a Value, key: &str| self.id(schema, open.depth + 1, path + key.len() + 1);
            match (keyword.as_str(), value) {
                ("allOf" | "anyOf" | "oneOf", Value::Array(schemas)) => {
                    for schema in schemas {
                        node.in_place.push(one(schema, "")?);
                    }
                    self.outline.has_branches |= keyword != "allOf";
                }
                ("not" | "if" | "then" | "else", schema) => node.in_place.push(one(schema, "")?),
                ("dependentSchemas" | "dependencies", Value::Object(schemas)) => {
                    for (key, schema) in schemas {
                        match schema {
                            Value::Array(names) => node.own += count(names.len()),
                            schema => node.in_place.push(one(schema, key)?),
                        }
                    }
                }
                ("properties", Value::Object(schemas)) => {
                    for (key, schema) in schemas {
                        node.properties.insert(key.clone(), one(schema, key)?);
                    }
                }
                ("patternProperties", Value::Object(schemas)) => {
                    for (key, schema) in schemas {
                        node.members.push(one(schema, key)?);
                        node.key_places = node.key_places.saturating_add(pattern::places(key));
                    }
                    self.outline.patterns += schemas.len();
                }
                ("additionalProperties", schema) => node.members.push(one(schema, "")?),
                ("unevaluatedProperties", schema) => {
                    node.members.push(one(schema, "")?);
                    node.repeats = REPEATS;
                }
                ("propertyNames", schema) => node.names.push(one(schema, "")?),
                ("prefixItems" | "items", Value::Array(schemas)) => {
                    for schema in schemas {
                        node.prefix.push(one(schema, "")?);
                    }
                }
                ("items" | "additionalItems" | "contains", schema) => node.items.push(one(schema, "")?),
                ("unevaluatedItems", schema) => {
                    node.items.push(one(schema, "")?);
                    node.repeats = REPEATS;
                }
                // They are compiled when something refers to them, but all are checked to be schemas.
                ("$defs" | "definitions", Value::Object(schemas)) => {
                    for (key, schema) in schemas {
                        one(schema, key)?;
                    }
                }
                ("$ref" | "$dynamicRef" | "$recursiveRef", Value::String(reference)) => {
                    self.references.push((open.id, reference));
                }
                ("$anchor" | "$dynamicAnchor", Value::String(name)) => {
                    self.anchors.insert(name, open.id);
                }
                // Within it, references mean something else.
                ("$id", Value::String(_)) if open.id != 0 => {
                    return Err("a sub-schema of it has an $id of its own".to_owned());
                }
                ("id", Value::String(_)) => self.has_id |= open.id != 0,
                ("$schema", Value::String(dialect)) => self.is_draft_4 |= dialect.contains("draft-04"),
                ("enum" | "const" | "required" | "dependentRequired", value) => node.own += values(value),
                ("pattern", Value::String(text)) => {
                    node.places = pattern::places(text);
                    self.outline.patterns += 1;
                }
                // Checked by reading the text once, or a few times.
                ("format" | "minLength" | "maxLength" | "contentEncoding", _) => node.places += 1,
                _ => {}
            }
        }
        Ok(node)
    }

    /// Returns the sub-schema that a reference leads to.
    fn target(&mut self, reference: &str) -> Result<Id, String> {
        let own = self.root.get("$id").or_else(|| self.root.get("id")).and_then(Value::as_str);
        let own = own.map(|id| id.trim_end_matches('#')).and_then(|id| reference.strip_prefix(id));
        let found = match own.unwrap_or(reference).strip_prefix('#') {
            Some("") => Some(0),
            Some(pointer) if pointer.starts_with('/') => {
                let schema = self.root.pointer(pointer);
                schema.map(|schema| self.id(schema, 0, pointer.len())).transpose()?
            }
            Some(anchor) => self.anchors.get(anchor).copied(),
            None => None,
        };
        found.ok_or_else(|| {
            let shown: String = reference.chars().take(100).collect();
            format!("the reference {shown:?} is not followed")
        })
    }
}

/// Returns the number of values in a value, itself included.
fn values(value: &Value) -> u64 {
    match value {
        Value::Array(elements) => elements.iter().map(values).fold(1, u64::saturating_add),
        Value::Object(members) => members.values().map(values).fold(1, u64::saturating_add),
        _ => 1,
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

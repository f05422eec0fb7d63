//! Finding out that a schema is published as it is, without writing another: most are, and there may be thousands.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::{
    keywords::{self, MANY_NAMES},
    mend::{MAX_DEPTH, MAX_LISTED},
    unions::is_array,
};
use crate::protocol::aliases;

/// Alternatives that are compared with each other here.
const MAX_COMPARED: usize = 8;

/// Reading of a schema, with the number of values that it may still list.
pub(super) struct Reading {
    values_left: usize,
}

impl Reading {
    pub(super) fn new() -> Self {
        Self { values_left: MAX_LISTED }
    }

    /// Returns whether the schema of a root has the form of a published one. False where that takes more to know.
    pub(super) fn is_sound(&mut self, root: &Value) -> bool {
        root.as_object()
            .is_some_and(|root| root.get("type").is_some_and(|t| t == "object") && self.typed(root, 0, true))
    }

    fn schema(&mut self, schema: &Value, depth: usize) -> bool {
        let Value::Object(members) = schema else { return false };
        if depth >= MAX_DEPTH {
            return false;
        }
        match members.get("anyOf") {
            Some(Value::Array(branches)) => members.len() == 1 && self.branches(branches, depth + 1),
            Some(_) => false,
            None => self.typed(members, depth, false),
        }
    }

    fn branches(&mut self, branches: &[Value], depth: usize) -> bool {
        let is_list =
            |branch: &&Value| branch.get("enum").is_some() && branch.as_object().is_some_and(|b| b.len() == 2);
        let mut rest = branches;
        while let Some((first, others)) = rest.split_first() {
            if others.contains(first) {
                return false;
            }
            rest = others;
        }
        (2..=MAX_COMPARED).contains(&branches.len())
            && branches.iter().filter(is_list).count() <= 1
            && branches.last().is_some_and(|branch| !is_array(branch))
            && branches.iter().all(|branch| branch.get("anyOf").is_none() && self.schema(branch, depth))
    }

    fn typed(&mut self, members: &Map<String, Value>, depth: usize, is_root: bool) -> bool {
        let Some(r#type) = members.get("type").and_then(Value::as_str) else { return false };
        let is_whole = match r#type {
            "object" => members.get("properties").and_then(Value::as_object).is_some_and(|properties| {
                is_root || !properties.is_empty() || members.contains_key("additionalProperties")
            }),
            "array" => members.contains_key("items"),
            "string" | "number" | "integer" | "boolean" => true,
            _ => false,
        };
        is_whole
            && members.iter().all(|(keyword, value)| match (r#type, keyword.as_str(), value) {
                (_, "type", _) | ("object", "additionalProperties", Value::Bool(_)) => true,
                (_, "title" | "description", value) => value.is_string(),
                (_, "default", value) => !value.is_null(),
                (_, "examples", value) => value.is_array(),
                ("string", "enum", Value::Array(names)) => self.names(names),
                ("array", "items", items) => self.schema(items, depth + 1),
                ("object", "properties", Value::Object(properties)) => {
                    properties.iter().all(|(name, schema)| aliases::is_fine(name) && self.schema(schema, depth + 1))
                }
                ("object", "required", Value::Array(names)) => are_properties(names, members),
                ("object", "additionalProperties", Value::Object(others)) => {
                    !others.is_empty() && self.schema(value, depth + 1)
                }
                (r#type, keyword, value) => keywords::is_told(r#type, keyword, value),
            })
    }

    fn names(&mut self, names: &[Value]) -> bool {
        let Some(left) = self.values_left.checked_sub(names.len()) else { return false };
        self.values_left = left;
        let mut seen = HashSet::new();
        let is_new_text =
            |name: &Value| name.as_str().is_some_and(|name| !name.is_empty() && seen.insert(name.to_owned()));
        (1..=MANY_NAMES).contains(&names.len()) && names.iter().all(is_new_text)
    }
}

/// Returns whether all names are properties, each once.
fn are_properties(names: &[Value], members: &Map<String, Value>) -> bool {
    let mut seen = HashSet::new();
    let properties = members.get("properties").and_then(Value::as_object);
    let is_property = |name: &str| properties.is_some_and(|properties| properties.contains_key(name));
    names.iter().filter_map(Value::as_str).filter(|name| is_property(name) && seen.insert(*name)).count() == names.len()
}

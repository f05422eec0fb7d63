//! Writing of the published schema, place by place.

mod objects;

use std::collections::{BTreeSet, HashSet};

use serde_json::{Map, Value, json};

use super::{
    keywords::{self, Values, Words},
    references::{Place, References},
    unions::{any, any_scalar, either},
};
use crate::protocol::{aliases::Names, param_headers};

/// Sub-schemas within each other, above which any value is told: with what [`any`] itself needs there are 32.
pub(super) const MAX_DEPTH: usize = 28;
/// Values that a whole schema lists (`OpenAI`, Structured Outputs § Limitations).
pub(super) const MAX_LISTED: usize = 1_000;
/// Places for any value that are told in full.
const MAX_ANY: usize = 100;

/// Names of JSON's types.
const TYPES: [&str; 7] = ["object", "array", "string", "number", "integer", "boolean", "null"];

/// Keywords that only schemas of a type have.
const TELLING: [(&str, &[&str]); 4] = [
    ("object", &["properties", "additionalProperties", "patternProperties", "minProperties", "maxProperties"]),
    ("array", &["items", "prefixItems", "minItems", "maxItems", "uniqueItems", "contains"]),
    ("string", &["pattern", "minLength", "maxLength", "format", "contentEncoding"]),
    ("number", &["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"]),
];

/// The writing of one published schema.
pub(super) struct Mend<'a> {
    root: &'a Value,
    names: &'a Names<'a>,
    references: References<'a>,
    faults: BTreeSet<&'static str>,
    values_left: usize,
    any_left: usize,
}

impl<'a> Mend<'a> {
    pub(super) fn new(root: &'a Value, names: &'a Names<'a>) -> Self {
        let (references, faults) = (References::new(root), BTreeSet::new());
        Self { root, names, references, faults, values_left: MAX_LISTED, any_left: MAX_ANY }
    }

    pub(super) fn into_faults(self) -> BTreeSet<&'static str> {
        self.faults
    }

    /// Writes the schema of an object that the root is, whatever it says.
    pub(super) fn root(&mut self) -> Map<String, Value> {
        let place = self.references.enter(&[self.root]);
        self.note(&place);
        let mut schema = self.typed(&place, "object", 0, true);
        self.finish(&place, &mut schema);
        self.references.leave(&place);
        schema
    }

    /// Writes the schema of a place to which all of these apply. `fallback` are the types of a place that names none.
    fn schema(&mut self, schemas: &[&'a Value], fallback: &[&'static str], depth: usize) -> Map<String, Value> {
        if depth >= MAX_DEPTH {
            self.faults.insert("sub-schemas lie too deep in each other");
            return any();
        }
        let place = self.references.enter(schemas);
        self.note(&place);
        let mut schema = self.place(&place, fallback, depth);
        self.finish(&place, &mut schema);
        self.references.leave(&place);
        schema
    }

    fn place(&mut self, place: &Place<'a>, fallback: &[&'static str], depth: usize) -> Map<String, Value> {
        let own = self.types(place);
        let has_structure = place.has_any(&["properties", "items", "prefixItems", "enum", "const"]);
        if !has_structure && let Some(branches) = alternatives(place) {
            let types = if own.is_empty() { fallback } else { &own };
            let branches = branches.iter().map(|branch| self.schema(&[branch], types, depth + 1)).collect();
            return either(branches).unwrap_or_else(|| self.any());
        }
        let mut types = if own.is_empty() { implied(place) } else { own };
        if types.is_empty() {
            types = fallback.to_vec();
        }
        match types.as_slice() {
            [] => self.any(),
            [one] => self.typed(place, one, depth, false),
            many => {
                let branches = many.iter().map(|r#type| self.typed(place, r#type, depth + 1, false)).collect();
                either(branches).unwrap_or_else(|| self.any())
            }
        }
    }

    /// Returns the types that a place names, null only where there is no other.
    fn types(&mut self, place: &Place<'a>) -> Vec<&'static str> {
        let claims = place.all("type").chain(place.cut.iter().filter_map(|cut| cut.get("type")));
        for claim in claims {
            let names: Vec<&Value> = match claim {
                Value::Array(names) => names.iter().collect(),
                one => vec![one],
            };
            let known = |name: &Value| TYPES.into_iter().find(|known| name.as_str() == Some(known));
            let mut types: Vec<&'static str> = names.iter().filter_map(|name| known(name)).collect();
            if types.len() < names.len() || names.is_empty() {
                self.faults.insert("a type is none of JSON's");
                // Beside types that are known, any other may be meant.
                continue;
            }
            if types.iter().any(|r#type| *r#type != "null") {
                types.retain(|r#type| *r#type != "null");
            }
            if types.contains(&"number") {
                types.retain(|r#type| *r#type != "integer");
            }
            let mut seen = HashSet::new();
            types.retain(|r#type| seen.insert(*r#type));
            return types;
        }
        Vec::new()
    }

    /// Writes the schema of a place for values of one type.
    fn typed(&mut self, place: &Place<'a>, r#type: &'static str, depth: usize, is_root: bool) -> Map<String, Value> {
        let mut schema = Map::from_iter([("type".to_owned(), json!(r#type))]);
        let mut words = Words::new();
        Values::of(place).list(r#type, &mut self.values_left, &mut schema, &mut words);
        if keywords::copy(place, r#type, &mut schema, &mut words) {
            self.faults.insert("a keyword has a value that it can't have");
        }
        match r#type {
            "object" => self.object(place, &mut schema, depth, is_root),
            "array" => {
                let items = self.items(place, depth);
                schema.insert("items".to_owned(), items.into());
            }
            _ => {}
        }
        if let Some(header) = place.first(param_headers::ANNOTATION) {
            schema.insert(param_headers::ANNOTATION.to_owned(), header.clone());
        }
        if !words.is_empty() {
            let description = place.first("description").and_then(Value::as_str);
            let description = keywords::describe(description, &words);
            schema.insert("description".to_owned(), json!(description));
        }
        schema
    }

    /// Writes the schema of all elements of an array, whether they have one schema or each its own.
    fn items(&mut self, place: &Place<'a>, depth: usize) -> Map<String, Value> {
        let mut own = Vec::new();
        let mut by_place = Vec::new();
        for keyword in ["prefixItems", "items"] {
            for items in place.all(keyword) {
                match items {
                    Value::Object(_) => own.push(items),
                    Value::Array(items) => by_place.extend(items),
                    Value::Bool(_) => {}
                    _ => drop(self.faults.insert("items is no schema")),
                }
            }
        }
        if by_place.is_empty() {
            return if own.is_empty() { self.any() } else { self.schema(&own, &[], depth + 1) };
        }
        by_place.extend(own);
        self.variants(&by_place, depth + 1)
    }

    fn any(&mut self) -> Map<String, Value> {
        match self.any_left.checked_sub(1) {
            Some(left) => {
                self.any_left = left;
                any()
            }
            None => any_scalar(),
        }
    }

    fn note(&mut self, place: &Place<'a>) {
        self.faults.extend(place.faults.iter().copied());
    }

    /// Adds what a place says of itself, and puts keywords in the order of the place's own.
    fn finish(&mut self, place: &Place<'a>, schema: &mut Map<String, Value>) {
        for keyword in ["title", "description", "default", "examples"] {
            let Some(value) = place.first(keyword).or_else(|| place.cut.iter().find_map(|cut| cut.get(keyword))) else {
                continue;
            };
            let is_fine = match keyword {
                "title" | "description" => value.is_string(),
                "default" => !value.is_null(),
                _ => value.is_array(),
            };
            if !is_fine {
                if keyword != "default" {
                    self.faults.insert("a keyword has a value that it can't have");
                }
            } else if let Some(Value::Array(branches)) = schema.get_mut("anyOf") {
                tell_branch(branches, keyword, value);
            } else if !schema.contains_key(keyword) {
                schema.insert(keyword.to_owned(), value.clone());
            }
        }
        // By what was told in them, branches may have become equal.
        if schema.contains_key("anyOf")
            && let Some(joined) = either(vec![std::mem::take(schema)])
        {
            *schema = joined;
        }
        let Some(own) = place.parts.first() else { return };
        let mut ordered = Map::new();
        for keyword in own.keys() {
            if let Some((keyword, value)) = schema.shift_remove_entry(keyword) {
                ordered.insert(keyword, value);
            }
        }
        ordered.append(schema);
        *schema = ordered;
    }
}

/// Says in a branch what the schema around it may not say, since Gemini takes nothing beside `anyOf`.
fn tell_branch(branches: &mut [Value], keyword: &str, value: &Value) {
    let mut objects: Vec<_> = branches.iter_mut().filter_map(Value::as_object_mut).collect();
    if keyword == "description" {
        let lacking = objects.iter().position(|branch| !branch.contains_key(keyword));
        let Some(branch) = objects.get_mut(lacking.unwrap_or_default()) else { return };
        let own = branch.get(keyword).and_then(Value::as_str).map(str::to_owned);
        let text = keywords::describe(value.as_str(), &own.into_iter().collect());
        branch.insert(keyword.to_owned(), json!(text));
    }
    let fits = |branch: &Map<String, Value>| is_of_type(value, branch.get("type").and_then(Value::as_str));
    if keyword == "default"
        && let Some(branch) = objects.iter_mut().find(|branch| !branch.contains_key(keyword) && fits(branch))
    {
        branch.insert(keyword.to_owned(), value.clone());
    }
}

fn is_of_type(value: &Value, r#type: Option<&str>) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(_) => r#type == Some("boolean"),
        Value::Number(number) => r#type == Some("number") || (!number.is_f64() && r#type == Some("integer")),
        Value::String(_) => r#type == Some("string"),
        Value::Array(_) => r#type == Some("array"),
        Value::Object(_) => r#type == Some("object"),
    }
}

/// Returns the first list of alternatives at a place.
fn alternatives<'a>(place: &Place<'a>) -> Option<&'a [Value]> {
    let lists = place.parts.iter().flat_map(|part| [part.get("anyOf"), part.get("oneOf")]).flatten();
    lists.filter_map(Value::as_array).find(|branches| !branches.is_empty()).map(Vec::as_slice)
}

/// Returns the types that a place without `type` can only mean.
fn implied(place: &Place<'_>) -> Vec<&'static str> {
    let mut types = Values::of(place).types();
    if types.contains(&"number") {
        types.retain(|r#type| *r#type != "integer");
    }
    if types.is_empty() && place.all("required").any(Value::is_array) {
        types.push("object");
    }
    if types.is_empty() {
        types.extend(TELLING.iter().find(|(_, keywords)| place.has_any(keywords)).map(|(r#type, _)| *r#type));
    }
    types
}

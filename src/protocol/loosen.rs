//! Output schemas as they are published: loosened, so that what apps really send conforms (see [`conform`](super::conform)).
//!
//! Apps send null for a declared string, new enum values, dates of another form, and leave members out. A client that checks
//! results would take a good run for a failure, and its model would run the action again. So a published output schema says
//! which members there may be and of which type, and nothing else: no `required`, `enum`, `format`, pattern or bound, null
//! beside every type, and members of other names allowed.
//!
//! The schema has no `$ref`, `$id`, `$schema`, `anyOf`, `oneOf` or `allOf` either: local references are put in place, branches become
//! the union of what they allow, and what can't be read is left out. Its root is of type `object`, or of type `array`, which
//! clients of the legacy era are not shown.

use indexmap::{IndexMap, map::Entry};
use serde_json::{Map, Value, json, value::RawValue};

use super::{
    aliases,
    json::{self, to_raw},
    types::{self, ARRAY, NULL, OBJECT},
};

/// Memory that a schema takes at most while it is loosened. A larger one is not published.
const MAX_TREE_BYTES: usize = 8 << 20;
/// Sub-schemas of a published schema within each other.
const MAX_DEPTH: usize = 30;
/// Sub-schemas that are read of one schema, each as often as references lead to it.
const MAX_VISITS: usize = 5_000;
/// Bytes of all names, titles and descriptions of a published schema.
const MAX_TEXT_BYTES: usize = 256 << 10;

/// Returns the output schema to publish for an action's own. Nothing where that says nothing, describes values that are
/// neither objects nor arrays, or is no schema.
#[must_use]
pub fn loosen(schema: &RawValue) -> Option<Box<RawValue>> {
    if !schema.get().starts_with('{') || json::is_tree_larger_than(schema.get().as_bytes(), MAX_TREE_BYTES) {
        return None;
    }
    let schema: Value = json::read(schema).ok()?;
    let mut reading =
        Reading { root: &schema, visits_left: MAX_VISITS, bytes_left: MAX_TEXT_BYTES, references: Vec::new() };
    let mut root = reading.read(&schema, 0);
    root.types = match root.types {
        Some(types) if types & OBJECT != 0 => Some(OBJECT),
        Some(types) if types & ARRAY != 0 => Some(ARRAY),
        Some(_) => return None,
        None if root.properties.is_empty() && root.others.is_none() => return None,
        None => Some(OBJECT),
    };
    let mut published = root.publish();
    // Clients want one type of a root. What is no value of it is wrapped, see `conform`.
    let is_object = root.types == Some(OBJECT);
    published.insert("type".to_owned(), json!(if is_object { "object" } else { "array" }));
    Some(to_raw(&published))
}

/// Claims of a schema that are published.
#[derive(Debug, Clone, Default)]
struct Loose {
    title: Option<String>,
    description: Option<String>,
    /// Bits of the types, null apart; nothing where any value will do.
    types: Option<u8>,
    properties: IndexMap<String, Loose>,
    items: Option<Box<Loose>>,
    /// Schema of members without a schema of their own.
    others: Option<Box<Loose>>,
}

/// Reading of a schema, within what one may cost.
struct Reading<'a> {
    root: &'a Value,
    visits_left: usize,
    bytes_left: usize,
    /// References that lead to where the reading is. One that comes again has no end, and is cut.
    references: Vec<&'a str>,
}

impl<'a> Reading<'a> {
    fn read(&mut self, schema: &'a Value, depth: usize) -> Loose {
        let (Value::Object(members), true) = (schema, depth <= MAX_DEPTH && self.visits_left > 0) else {
            return Loose::default();
        };
        self.visits_left -= 1;
        let mut loose = Loose {
            title: self.text(members.get("title")),
            description: self.text(members.get("description")),
            // Null alone says nothing of what else may come.
            types: types::own(members).map(|types| types & !NULL).filter(|types| *types != 0),
            ..Loose::default()
        };
        if let Some(Value::Object(properties)) = members.get("properties") {
            // A validator in JavaScript finds such a property in every object, and its value to be no value of the schema.
            for (name, schema) in properties.iter().filter(|(name, _)| !aliases::is_on_every_object(name)) {
                if self.visits_left == 0 || !self.spend(name) {
                    break;
                }
                let property = self.read(schema, depth + 1);
                loose.properties.insert(name.clone(), property);
            }
        }
        // Items by position, in any of the forms that drafts have for them, are any.
        if let (Some(items @ Value::Object(_)), None) = (members.get("items"), members.get("prefixItems")) {
            loose.items = Some(self.read(items, depth + 1).into());
        }
        // Names by pattern are others, too, so that these have no one schema.
        if let (Some(others @ Value::Object(_)), None) =
            (members.get("additionalProperties"), members.get("patternProperties"))
        {
            loose.others = Some(self.read(others, depth + 1).into());
        }
        if let Some(Value::String(reference)) = members.get("$ref") {
            loose = loose.and(self.follow(reference, depth));
        }
        if let Some(Value::Array(schemas)) = members.get("allOf") {
            for schema in schemas {
                loose = loose.and(self.read(schema, depth + 1));
            }
        }
        for keyword in ["anyOf", "oneOf"] {
            let Some(Value::Array(schemas)) = members.get(keyword) else { continue };
            let mut branches: Vec<Loose> = Vec::new();
            for schema in schemas.iter().filter(|schema| !is_null(schema)) {
                branches.push(self.read(schema, depth + 1));
            }
            if let Some(either) = branches.into_iter().reduce(Loose::or) {
                // What one branch is called is not what all of them are.
                loose = loose.and(Loose { title: None, description: None, ..either });
            }
        }
        loose
    }

    /// Reads what a reference within the schema leads to. One that leads elsewhere, or to itself, may be anything.
    fn follow(&mut self, reference: &'a str, depth: usize) -> Loose {
        let target = match reference.strip_prefix('#') {
            Some("") => Some(self.root),
            Some(pointer) => self.root.pointer(pointer),
            None => None,
        };
        let Some(target) = target.filter(|_| !self.references.contains(&reference)) else { return Loose::default() };
        self.references.push(reference);
        let read = self.read(target, depth + 1);
        self.references.pop();
        read
    }

    fn text(&mut self, text: Option<&Value>) -> Option<String> {
        text.and_then(Value::as_str).filter(|text| self.spend(text)).map(str::to_owned)
    }

    /// Takes the bytes of a text from those that may be published.
    fn spend(&mut self, text: &str) -> bool {
        let left = self.bytes_left.checked_sub(text.len());
        self.bytes_left = left.unwrap_or(self.bytes_left);
        left.is_some()
    }
}

fn is_null(schema: &Value) -> bool {
    schema.get("type").is_some_and(|r#type| r#type == "null")
}

impl Loose {
    /// Returns what two schemas allow together.
    fn and(self, other: Self) -> Self {
        let types = match (self.types, other.types) {
            (Some(one), Some(two)) => Some(types::both(one, two)).filter(|types| *types != 0),
            (one, two) => one.or(two),
        };
        // Of two schemas for other members, each may well mean the properties of its neighbour.
        let others = match (self.others, other.others) {
            (Some(_), Some(_)) => None,
            (one, two) => one.or(two),
        };
        let items = match (self.items, other.items) {
            (Some(one), Some(two)) => Some(Box::new(one.and(*two))),
            (one, two) => one.or(two),
        };
        Self {
            title: self.title.or(other.title),
            description: self.description.or(other.description),
            types,
            properties: merge(self.properties, other.properties, Self::and),
            items,
            others,
        }
    }

    /// Returns what either of two schemas allows. A property that only one of them has keeps its schema: it is that one's.
    fn or(self, other: Self) -> Self {
        let may_be = |loose: &Self, bit: u8| loose.types.is_none_or(|types| types & bit != 0);
        let items = match (self.items.is_some(), other.items.is_some()) {
            (true, false) if may_be(&other, ARRAY) => None,
            (false, true) if may_be(&self, ARRAY) => None,
            _ => either(self.items, other.items),
        };
        let others =
            if self.others.is_some() && other.others.is_some() { either(self.others, other.others) } else { None };
        Self {
            title: self.title.filter(|title| other.title.as_ref() == Some(title)),
            description: self.description.filter(|text| other.description.as_ref() == Some(text)),
            types: self.types.zip(other.types).map(|(one, two)| one | two),
            properties: merge(self.properties, other.properties, Self::or),
            items,
            others,
        }
    }

    fn publish(&self) -> Map<String, Value> {
        let mut schema = Map::new();
        for (keyword, text) in [("title", &self.title), ("description", &self.description)] {
            if let Some(text) = text {
                schema.insert(keyword.to_owned(), json!(text));
            }
        }
        if let Some(types) = self.types {
            schema.insert("type".to_owned(), types::names(types | NULL).collect());
        }
        if !self.properties.is_empty() {
            let properties = self.properties.iter().map(|(name, property)| (name.clone(), property.publish().into()));
            schema.insert("properties".to_owned(), Value::Object(properties.collect()));
        }
        match &self.items {
            Some(items) => drop(schema.insert("items".to_owned(), items.publish().into())),
            // Some readers of schemas take an array without them for a mistake.
            None if self.types.is_some_and(|types| types & ARRAY != 0) => {
                schema.insert("items".to_owned(), json!({}));
            }
            None => {}
        }
        if let Some(others) = &self.others {
            schema.insert("additionalProperties".to_owned(), others.publish().into());
        }
        schema
    }
}

fn either(one: Option<Box<Loose>>, two: Option<Box<Loose>>) -> Option<Box<Loose>> {
    match (one, two) {
        (Some(one), Some(two)) => Some(Box::new(one.or(*two))),
        (one, two) => one.or(two),
    }
}

fn merge(
    mut one: IndexMap<String, Loose>,
    two: IndexMap<String, Loose>,
    join: impl Fn(Loose, Loose) -> Loose,
) -> IndexMap<String, Loose> {
    for (name, property) in two {
        match one.entry(name) {
            Entry::Occupied(mut known) => {
                let before = std::mem::take(known.get_mut());
                *known.get_mut() = join(before, property);
            }
            Entry::Vacant(vacant) => drop(vacant.insert(property)),
        }
    }
    one
}

#[cfg(test)]
mod tests;

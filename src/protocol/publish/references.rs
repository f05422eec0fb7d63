//! Reading of what applies at one place: a schema, what it refers to, and all of its `allOf`.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

/// Bytes of a schema that references may add to it. Without a bound, a few hundred bytes multiply to gigabytes.
const MAX_INLINED_BYTES: usize = 64 << 10;
/// Schemas that apply at one place.
const MAX_PARTS: usize = 64;
/// Bytes of a value beside its text, about.
const BYTES_PER_VALUE: usize = 8;

/// The references of a schema, as far as they are followed.
pub(super) struct References<'a> {
    root: &'a Value,
    /// Schemas by their anchors, once one is asked for.
    anchors: Option<HashMap<&'a str, &'a Value>>,
    /// Targets that the reading is within. One that comes again has no end.
    within: Vec<*const Value>,
    /// Targets for which no room is left.
    too_large: HashSet<*const Value>,
    bytes_left: usize,
}

/// Schemas that apply at one place of a value together.
#[derive(Default)]
pub(super) struct Place<'a> {
    /// Schemas, the place's own first.
    pub parts: Vec<&'a Map<String, Value>>,
    /// Targets of references that are not read here, since they have no end or are too large.
    pub cut: Vec<&'a Map<String, Value>>,
    /// Faults on the way.
    pub faults: Vec<&'static str>,
    /// References that were followed.
    followed: usize,
}

impl<'a> Place<'a> {
    /// Returns the values of a keyword.
    pub(super) fn all<'s>(&'s self, keyword: &'s str) -> impl Iterator<Item = &'a Value> + 's {
        self.parts.iter().filter_map(move |part| part.get(keyword))
    }

    /// Returns the first value of a keyword: of several, one is told, which makes the published schema no stricter.
    pub(super) fn first(&self, keyword: &str) -> Option<&'a Value> {
        self.parts.iter().find_map(|part| part.get(keyword))
    }

    /// Returns whether any of these keywords is there.
    pub(super) fn has_any(&self, keywords: &[&str]) -> bool {
        self.parts.iter().any(|part| keywords.iter().any(|keyword| part.contains_key(*keyword)))
    }
}

impl<'a> References<'a> {
    pub(super) fn new(root: &'a Value) -> Self {
        let (within, too_large) = (vec![std::ptr::from_ref(root)], HashSet::new());
        Self { root, anchors: None, within, too_large, bytes_left: MAX_INLINED_BYTES }
    }

    /// Reads what applies at a place. The references that were followed count as open until [`Self::leave`].
    pub(super) fn enter(&mut self, schemas: &[&'a Value]) -> Place<'a> {
        let mut place = Place::default();
        let mut open: Vec<&'a Value> = schemas.iter().rev().copied().collect();
        while let Some(schema) = open.pop() {
            let members = match schema {
                Value::Object(members) => members,
                Value::Bool(_) => continue,
                _ => {
                    place.faults.push("a sub-schema is neither an object nor true or false");
                    continue;
                }
            };
            if place.parts.len() >= MAX_PARTS {
                place.faults.push("too many schemas apply at one place");
                break;
            }
            place.parts.push(members);
            match members.get("allOf") {
                Some(Value::Array(all)) => open.extend(all.iter().rev()),
                Some(_) => place.faults.push("allOf is no list of schemas"),
                None => {}
            }
            match members.get("$ref").map(|reference| self.follow(reference)) {
                Some(Target::Read(target)) => {
                    self.within.push(std::ptr::from_ref(target));
                    place.followed += 1;
                    open.push(target);
                }
                Some(Target::Cut(target)) => place.cut.extend(target.as_object()),
                Some(Target::Missing) => place.faults.push("a reference leads nowhere"),
                None => {}
            }
        }
        place
    }

    /// Closes the references that were followed for a place.
    pub(super) fn leave(&mut self, place: &Place<'a>) {
        self.within.truncate(self.within.len().saturating_sub(place.followed));
    }

    fn follow(&mut self, reference: &Value) -> Target<'a> {
        let Some(target) = reference.as_str().and_then(|reference| self.target(reference)) else {
            return Target::Missing;
        };
        let address = std::ptr::from_ref(target);
        if self.within.contains(&address) || self.too_large.contains(&address) {
            return Target::Cut(target);
        }
        let Some(left) = self.bytes_left.checked_sub(1).and_then(|left| left_after(target, left)) else {
            self.too_large.insert(address);
            return Target::Cut(target);
        };
        self.bytes_left = left;
        Target::Read(target)
    }

    fn target(&mut self, reference: &str) -> Option<&'a Value> {
        let root = self.root;
        let own = root.get("$id").or_else(|| root.get("id")).and_then(Value::as_str);
        let own = own.map(|id| id.trim_end_matches('#')).and_then(|id| reference.strip_prefix(id));
        match own.unwrap_or(reference).strip_prefix('#')? {
            "" => Some(root),
            pointer if pointer.starts_with('/') => root.pointer(pointer),
            anchor => {
                let anchors = self.anchors.get_or_insert_with(|| {
                    let mut anchors = HashMap::new();
                    collect_anchors(root, &mut anchors);
                    anchors
                });
                anchors.get(anchor).copied()
            }
        }
    }
}

/// Outcome of following a reference.
enum Target<'a> {
    Read(&'a Value),
    Cut(&'a Value),
    Missing,
}

/// Returns what is left of so many bytes after those of a value; nothing where it has more.
fn left_after(value: &Value, left: usize) -> Option<usize> {
    let left = left.checked_sub(BYTES_PER_VALUE)?;
    match value {
        Value::String(text) => left.checked_sub(text.len()),
        Value::Array(elements) => elements.iter().try_fold(left, |left, element| left_after(element, left)),
        Value::Object(members) => {
            members.iter().try_fold(left, |left, (name, member)| left_after(member, left.checked_sub(name.len())?))
        }
        _ => Some(left),
    }
}

fn collect_anchors<'a>(value: &'a Value, anchors: &mut HashMap<&'a str, &'a Value>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(name)) = members.get("$anchor") {
                anchors.entry(name).or_insert(value);
            }
            members.values().for_each(|member| collect_anchors(member, anchors));
        }
        Value::Array(elements) => elements.iter().for_each(|element| collect_anchors(element, anchors)),
        _ => {}
    }
}

//! Objects: their properties, and those of their alternatives.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

use super::{MAX_DEPTH, Mend, alternatives};
use crate::protocol::publish::{references::Place, unions::either};

/// Schemas of one property in different alternatives.
const MAX_VARIANTS: usize = 32;

/// Properties of a place, by name, each with the schemas that apply to it.
#[derive(Default)]
struct Properties<'a> {
    all: Vec<(&'a str, Vec<&'a Value>)>,
    places: HashMap<&'a str, usize>,
}

impl<'a> Properties<'a> {
    fn add(&mut self, name: &'a str, schema: &'a Value) {
        let next = self.all.len();
        let place = *self.places.entry(name).or_insert(next);
        match self.all.get_mut(place) {
            Some((_, schemas)) => schemas.push(schema),
            None => self.all.push((name, vec![schema])),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }
}

impl<'a> Mend<'a> {
    pub(super) fn object(&mut self, place: &Place<'a>, schema: &mut Map<String, Value>, depth: usize, is_root: bool) {
        let mut own = Properties::default();
        let mut required = self.add_properties(place, &mut own);
        let mut variants = Properties::default();
        let mut entered = Vec::new();
        if (is_root || !own.all.is_empty())
            && let Some(branches) = alternatives(place)
        {
            required.extend(self.add_branches(branches, &mut variants, &mut entered, depth));
        }
        let mut properties = Map::new();
        let mut published = HashMap::new();
        for (name, schemas) in own.all.iter().filter(|(_, schemas)| !is_never(schemas)) {
            let written = self.schema(schemas, &[], depth + 1);
            self.add(name, written, &mut properties, &mut published);
        }
        for (name, schemas) in variants.all.iter().filter(|(name, _)| !own.has(name)) {
            let written = self.variants(schemas, depth + 1);
            self.add(name, written, &mut properties, &mut published);
        }
        entered.iter().rev().for_each(|place| self.references.leave(place));

        let mut seen = HashSet::new();
        let required = required.into_iter().filter(|name| seen.insert(*name));
        let required: Vec<Value> = required.filter_map(|name| published.get(name).map(|name| json!(name))).collect();
        let is_open = properties.is_empty() && !is_root;
        schema.insert("properties".to_owned(), properties.into());
        // An empty list says nothing, but need not make a sound schema another.
        if !required.is_empty() || place.first("required").is_some_and(|own| own == &json!([])) {
            schema.insert("required".to_owned(), required.into());
        }
        let others = match place.first("additionalProperties") {
            // Names by pattern are others to a reader that knows none.
            Some(Value::Bool(false)) if place.has_any(&["patternProperties"]) => None,
            Some(Value::Bool(others)) => Some(json!(others)),
            Some(Value::Object(others)) if others.is_empty() => Some(json!(true)),
            Some(others @ Value::Object(_)) => Some(self.schema(&[others], &[], depth + 1).into()),
            Some(_) => {
                self.faults.insert("additionalProperties is no schema");
                None
            }
            None => None,
        };
        // Some clients take an object without properties for one that has no members.
        if let Some(others) = others.or_else(|| is_open.then(|| json!(true))) {
            schema.insert("additionalProperties".to_owned(), others);
        }
    }

    fn add(
        &mut self,
        name: &'a str,
        written: Map<String, Value>,
        properties: &mut Map<String, Value>,
        published: &mut HashMap<&'a str, &'a str>,
    ) {
        let Some(alias) = self.names.published(name) else {
            self.faults.insert("a property has a name without a usable form");
            return;
        };
        properties.insert(alias.to_owned(), written.into());
        published.insert(name, alias);
    }

    /// Adds the properties of a place, and returns the names that it requires.
    fn add_properties(&mut self, place: &Place<'a>, to: &mut Properties<'a>) -> Vec<&'a str> {
        let mut required = Vec::new();
        for part in &place.parts {
            match part.get("properties") {
                Some(Value::Object(properties)) => properties.iter().for_each(|(name, schema)| to.add(name, schema)),
                Some(_) => drop(self.faults.insert("properties is no object")),
                None => {}
            }
            match part.get("required") {
                Some(Value::Array(names)) => required.extend(names.iter().filter_map(Value::as_str)),
                // Draft 3 has it in the property.
                Some(Value::Bool(_)) | None => {}
                Some(_) => drop(self.faults.insert("required is no list of names")),
            }
        }
        required
    }

    /// Adds the properties of alternatives, and returns the names that all of them require.
    fn add_branches(
        &mut self,
        branches: &'a [Value],
        to: &mut Properties<'a>,
        entered: &mut Vec<Place<'a>>,
        depth: usize,
    ) -> Vec<&'a str> {
        let mut in_all: Option<Vec<&'a str>> = None;
        for branch in branches {
            if depth >= MAX_DEPTH {
                return Vec::new();
            }
            let place = self.references.enter(&[branch]);
            self.note(&place);
            let types = self.types(&place);
            if types.is_empty() || types.contains(&"object") {
                let mut required = self.add_properties(&place, to);
                if let Some(branches) = alternatives(&place) {
                    required.extend(self.add_branches(branches, to, entered, depth + 1));
                }
                let required: HashSet<&str> = required.into_iter().collect();
                match &mut in_all {
                    Some(names) => names.retain(|name| required.contains(name)),
                    None => in_all = Some(sorted(required)),
                }
            }
            // Its references stay open until its properties are written, so that a circle is known.
            entered.push(place);
        }
        in_all.unwrap_or_default()
    }

    /// Writes the schema of a property that has one in each of several alternatives.
    pub(super) fn variants(&mut self, schemas: &[&'a Value], depth: usize) -> Map<String, Value> {
        let mut distinct: Vec<&'a Value> = Vec::new();
        for schema in schemas.iter().filter(|schema| !is_never(&[**schema])) {
            if distinct.len() <= MAX_VARIANTS && !distinct.contains(schema) {
                distinct.push(schema);
            }
        }
        match distinct.as_slice() {
            [one] => self.schema(&[one], &[], depth),
            many if many.len() <= MAX_VARIANTS => {
                let written = many.iter().map(|schema| self.schema(&[schema], &[], depth + 1)).collect();
                either(written).unwrap_or_else(|| self.any())
            }
            _ => self.any(),
        }
    }
}

/// Returns whether no value fits, so that the member must not be there.
fn is_never(schemas: &[&Value]) -> bool {
    schemas.contains(&&Value::Bool(false))
}

fn sorted(names: HashSet<&str>) -> Vec<&str> {
    let mut names: Vec<_> = names.into_iter().collect();
    names.sort_unstable();
    names
}

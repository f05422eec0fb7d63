//! The schema that arguments are checked against: an action's own, read as Membrane means it.
//!
//! Workspaces write schemas by hand and by generators. Read to the letter, some would refuse what the app takes:
//! - `required` names that are no property can't be known to a model, and are not asked for;
//! - `nullable` is null beside the type, and `allowCustom` takes other values than those of `enum` (Membrane's own keywords).

use std::collections::HashSet;

use serde_json::{Value, json};

use super::keywords::subschemas;

/// Sub-schemas that are visited for the names of properties.
const MAX_VISITS: usize = 20_000;
/// References and branches within each other that are followed for them.
const MAX_DEPTH: usize = 16;

/// Keywords whose schemas describe the same value as the schema around them.
const IN_PLACE: [&str; 7] = ["allOf", "anyOf", "oneOf", "if", "then", "else", "dependentSchemas"];

/// Returns the schema to check against.
#[must_use]
pub fn checked(mut root: Value) -> Value {
    let mut reading = Reading { whole: root.clone(), visits_left: MAX_VISITS, is_negating: false };
    reading.is_negating = negates(&root);
    reading.relax_level(&mut root);
    root
}

/// Returns whether something is valid in a schema because something else is not, so that to relax the one is to tighten
/// the other.
fn negates(schema: &Value) -> bool {
    match schema {
        Value::Object(members) => {
            ["not", "oneOf", "if"].iter().any(|keyword| members.contains_key(*keyword)) || members.values().any(negates)
        }
        Value::Array(elements) => elements.iter().any(negates),
        _ => false,
    }
}

struct Reading {
    whole: Value,
    visits_left: usize,
    is_negating: bool,
}

impl Reading {
    /// Relaxes a schema that stands by itself, with all that describes the same value.
    fn relax_level(&mut self, schema: &mut Value) {
        let mut names = HashSet::new();
        // Most objects have no branch and no reference, and their names are looked up as they stand.
        let is_plain = schema.as_object().is_none_or(|members| {
            !members.contains_key("$ref") && !IN_PLACE.iter().any(|keyword| members.contains_key(*keyword))
        });
        if !is_plain {
            let whole = std::mem::take(&mut self.whole);
            collect(schema, &whole, &mut names, &mut self.visits_left, 0);
            self.whole = whole;
        }
        self.relax(schema, (!is_plain).then_some(&names));
    }

    /// Relaxes a schema. `names` are the properties of the value that it describes, where they are not its own alone.
    fn relax(&mut self, schema: &mut Value, names: Option<&HashSet<String>>) {
        let Value::Object(members) = schema else { return };
        if let Some(required) = members.get_mut("required") {
            let required = std::mem::take(required);
            let own = members.get("properties").and_then(Value::as_object);
            let is_known = |name: &str| match names {
                Some(names) => names.contains(name),
                None => own.is_some_and(|own| own.contains_key(name)),
            };
            let mut names = match required {
                Value::Array(names) => names,
                _ => Vec::new(),
            };
            names.retain(|name| name.as_str().is_some_and(is_known));
            members.insert("required".to_owned(), Value::Array(names));
        }
        if members.get("allowCustom") == Some(&Value::Bool(true)) {
            members.shift_remove("enum");
            if let Some(Value::Object(items)) = members.get_mut("items") {
                items.shift_remove("enum");
            }
        }
        for (keyword, value) in members.iter_mut() {
            match keyword.as_str() {
                "allOf" | "anyOf" | "then" | "else" | "dependentSchemas" => {
                    for schema in subschemas(keyword, value) {
                        self.relax(schema, names);
                    }
                }
                // By a reference it may stand within a negation.
                "$defs" | "definitions" if self.is_negating => {}
                "oneOf" | "not" | "if" => {}
                _ => subschemas(keyword, value).into_iter().for_each(|schema| self.relax_level(schema)),
            }
        }
        if members.get("nullable") == Some(&Value::Bool(true)) {
            members.shift_remove("nullable");
            let is_plain = !members.contains_key("$ref")
                && !members.contains_key("const")
                && !IN_PLACE.iter().any(|keyword| members.contains_key(*keyword));
            if is_plain {
                add_null(members);
            } else {
                *schema = json!({"anyOf": [std::mem::take(schema), {"type": "null"}]});
            }
        }
    }
}

/// Lets a schema without branches take null, too.
fn add_null(members: &mut serde_json::Map<String, Value>) {
    match members.get_mut("type") {
        Some(Value::Array(types)) => types.push(json!("null")),
        Some(one @ Value::String(_)) => *one = json!([one.take(), "null"]),
        _ => {}
    }
    if let Some(Value::Array(types)) = members.get_mut("type") {
        // A type must not stand there twice.
        let mut seen = HashSet::new();
        types.retain(|one| seen.insert(one.to_string()));
    }
    if let Some(Value::Array(values)) = members.get_mut("enum")
        && !values.contains(&Value::Null)
    {
        values.push(Value::Null);
    }
}

/// Collects the names of the properties that a value may have by a schema and all that describes the same value.
fn collect(schema: &Value, whole: &Value, names: &mut HashSet<String>, visits_left: &mut usize, depth: usize) {
    let (Value::Object(members), true) = (schema, depth <= MAX_DEPTH && *visits_left > 0) else { return };
    *visits_left -= 1;
    if let Some(Value::Object(properties)) = members.get("properties") {
        names.extend(properties.keys().cloned());
    }
    if let Some(pointer) = members.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'))
        && let Some(target) = whole.pointer(pointer)
    {
        collect(target, whole, names, visits_left, depth + 1);
    }
    for keyword in IN_PLACE {
        match members.get(keyword) {
            Some(Value::Array(schemas)) => {
                for schema in schemas {
                    collect(schema, whole, names, visits_left, depth + 1);
                }
            }
            Some(Value::Object(schemas)) if keyword == "dependentSchemas" => {
                for schema in schemas.values() {
                    collect(schema, whole, names, visits_left, depth + 1);
                }
            }
            Some(schema) => collect(schema, whole, names, visits_left, depth + 1),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_required_names_that_can_be_given_are_asked_for() {
        let a = json!({"type": "string"});
        let cases = [
            (json!({"properties": {"a": a}, "required": ["a", "ghost", 7]}), "/required", json!(["a"])),
            (json!({"properties": {"a": {"required": ["x"]}}}), "/properties/a/required", json!([])),
            (json!({"items": {"required": ["x"]}}), "/items/required", json!([])),
            (json!({"required": true}), "/required", json!([])),
            (json!({"required": null, "properties": {"a": a}}), "/required", json!([])),
            (
                json!({"$defs": {"d": {"properties": {"a": a}, "required": ["a", "x"]}}}),
                "/$defs/d/required",
                json!(["a"]),
            ),
            (json!({"properties": {"a": a}, "allOf": [{"required": ["a", "x"]}]}), "/allOf/0/required", json!(["a"])),
            (json!({"allOf": [{"properties": {"a": a}}], "required": ["a", "x"]}), "/required", json!(["a"])),
            (json!({"allOf": [{"properties": {"a": a}}, {"required": ["a", "x"]}]}), "/allOf/1/required", json!(["a"])),
            (
                json!({"$ref": "#/$defs/d", "required": ["a", "x"], "$defs": {"d": {"properties": {"a": a}}}}),
                "/required",
                json!(["a"]),
            ),
            (json!({"properties": {"a": a}, "anyOf": [{"required": ["a"]}]}), "/anyOf/0/required", json!(["a"])),
            // Relaxed, these would refuse what they took.
            (json!({"not": {"required": ["x"]}}), "/not/required", json!(["x"])),
            (json!({"oneOf": [{"required": ["x"]}]}), "/oneOf/0/required", json!(["x"])),
            (
                json!({"not": {"$ref": "#/$defs/d"}, "$defs": {"d": {"required": ["x"]}}}),
                "/$defs/d/required",
                json!(["x"]),
            ),
        ];
        for (schema, place, expected) in cases {
            assert_eq!(checked(schema.clone()).pointer(place), Some(&expected), "{schema}");
        }
    }

    #[test]
    fn membranes_own_keywords_are_honoured() {
        let cases = [
            (
                json!({"type": "string", "enum": ["a"], "allowCustom": true}),
                json!({"type": "string", "allowCustom": true}),
            ),
            (json!({"enum": ["a"], "allowCustom": false}), json!({"enum": ["a"], "allowCustom": false})),
            (
                json!({"type": "array", "items": {"type": "string", "enum": ["a"]}, "allowCustom": true}),
                json!({"type": "array", "items": {"type": "string"}, "allowCustom": true}),
            ),
            (json!({"type": "string", "nullable": true}), json!({"type": ["string", "null"]})),
            (json!({"type": ["string", "null"], "nullable": true}), json!({"type": ["string", "null"]})),
            (
                json!({"type": "string", "enum": ["a"], "nullable": true}),
                json!({"type": ["string", "null"], "enum": ["a", null]}),
            ),
            (json!({"type": "string", "nullable": false}), json!({"type": "string", "nullable": false})),
            (json!({"$ref": "#/x", "nullable": true}), json!({"anyOf": [{"$ref": "#/x"}, {"type": "null"}]})),
        ];
        for (schema, expected) in cases {
            assert_eq!(checked(schema.clone()), expected);
            let within = json!({"properties": {"p": {"anyOf": [{"items": schema}]}}});
            assert_eq!(checked(within)["properties"]["p"]["anyOf"][0]["items"], expected);
        }
    }

    #[test]
    fn names_are_collected_in_bounded_time() {
        let mut schema = json!({"$ref": "#/$defs/a0", "required": ["x"], "$defs": {}});
        for i in 0..26 {
            let next = json!({"$ref": format!("#/$defs/a{}", i + 1)});
            schema["$defs"][format!("a{i}")] = json!({"anyOf": [next, next], "required": ["y"]});
        }
        assert_eq!(checked(schema)["required"], json!([]));
        let names: Vec<String> = (0..40_000).map(|i| format!("n{i}")).collect();
        let properties: serde_json::Map<String, Value> =
            names.iter().skip(1).map(|name| (name.clone(), json!(true))).collect();
        let relaxed = checked(json!({"required": names, "properties": properties}));
        assert_eq!(relaxed["required"].as_array().unwrap().len(), names.len() - 1);
    }
}

//! Alternatives: sub-schemas of which one applies.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

/// Alternatives that are told one by one.
const MAX_ALTERNATIVES: usize = 64;

/// Returns a schema for any value. One without a type is refused by some vendors, and one of a type by some clients that
/// check arguments, so it names every type but null.
pub(super) fn any() -> Map<String, Value> {
    let simple = || {
        let object = json!({"type": "object", "properties": {}, "additionalProperties": true});
        vec![json!({"type": "string"}), json!({"type": "number"}), json!({"type": "boolean"}), object]
    };
    let mut all = simple();
    all.push(json!({"type": "array", "items": {"anyOf": simple()}}));
    end_with_no_array(&mut all);
    Map::from_iter([("anyOf".to_owned(), Value::Array(all))])
}

/// Returns whether a schema is that of an array.
pub(super) fn is_array(schema: &Value) -> bool {
    schema.get("type").is_some_and(|r#type| r#type == "array")
}

/// Puts another alternative than an array last, where there is one. `LangChain` tells Gemini of the last one's type alone, and
/// an array without its items costs the whole request.
fn end_with_no_array(alternatives: &mut [Value]) {
    if let Some(at) = alternatives.iter().rposition(|schema| !is_array(schema))
        && let Some(end) = alternatives.get_mut(at..)
    {
        end.rotate_left(1);
    }
}

/// Returns a shorter schema for any value, for a schema that has many such.
pub(super) fn any_scalar() -> Map<String, Value> {
    let types = ["string", "number", "boolean"].map(|name| json!({"type": name}));
    Map::from_iter([("anyOf".to_owned(), Value::Array(types.into()))])
}

/// Joins alternatives, each either of one type or `anyOf` alone: one that stands alone is the schema itself. Nothing where
/// there are none, or too many.
pub(super) fn either(alternatives: Vec<Map<String, Value>>) -> Option<Map<String, Value>> {
    let mut seen = HashSet::new();
    let mut all: Vec<Map<String, Value>> = Vec::new();
    for mut alternative in alternatives {
        let inner = match alternative.shift_remove("anyOf") {
            Some(Value::Array(inner)) => inner,
            _ => vec![Value::Object(alternative)],
        };
        for schema in inner {
            if seen.insert(schema.to_string())
                && let Value::Object(schema) = schema
            {
                all.push(schema);
            }
        }
    }
    if all.iter().any(|schema| schema.get("type").is_some_and(|r#type| r#type != "null")) {
        all.retain(|schema| schema.get("type").is_none_or(|r#type| r#type != "null"));
    }
    let all = join_names(all);
    match all.len() {
        0 => None,
        1 => all.into_iter().next(),
        2..=MAX_ALTERNATIVES => {
            let mut all: Vec<Value> = all.into_iter().map(Value::Object).collect();
            end_with_no_array(&mut all);
            if all.iter().all(is_array) {
                return one_array(all);
            }
            Some(Map::from_iter([("anyOf".to_owned(), Value::Array(all))]))
        }
        _ => None,
    }
}

/// Joins arrays to one, whose items are those of any of them.
fn one_array(arrays: Vec<Value>) -> Option<Map<String, Value>> {
    let items = arrays.into_iter().filter_map(|mut array| match array.get_mut("items").map(Value::take) {
        Some(Value::Object(items)) => Some(items),
        _ => None,
    });
    let items = either(items.collect())?;
    Some(Map::from_iter([("type".to_owned(), json!("array")), ("items".to_owned(), items.into())]))
}

/// Joins alternatives that are lists of texts and no more to one such.
fn join_names(all: Vec<Map<String, Value>>) -> Vec<Map<String, Value>> {
    let mut joined: Vec<Map<String, Value>> = Vec::new();
    let is_list = |schema: &Map<String, Value>| schema.len() == 2 && schema.contains_key("enum");
    for schema in all {
        let before = joined.iter_mut().find(|before| is_list(before)).filter(|_| is_list(&schema));
        match (before.and_then(|before| before.get_mut("enum")), schema.get("enum")) {
            (Some(Value::Array(names)), Some(Value::Array(more))) => {
                let new: Vec<_> = more.iter().filter(|name| !names.contains(name)).cloned().collect();
                names.extend(new);
            }
            _ => joined.push(schema),
        }
    }
    joined
}

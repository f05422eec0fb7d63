//! Schemas in refusals: a model that is told the schema corrects its arguments in one turn.

use serde_json::{Map, Value, json, value::RawValue};

use super::json;

/// Bytes of a schema in a refusal.
const MAX_BYTES: usize = 4000;

/// Keywords that a model can do without, the first to be left out.
const ANNOTATIONS: [&str; 7] = ["title", "description", "default", "examples", "example", "$comment", "deprecated"];

/// Returns a schema as it fits into a refusal: whole, else without annotations, else the types of its properties. Nothing
/// where there is no room even for these.
#[must_use]
pub fn schema_in_short(schema: &RawValue) -> Option<String> {
    let whole = json::compact(schema.to_owned());
    if whole.len() <= MAX_BYTES {
        return Some(whole);
    }
    if json::is_tree_larger_than(whole.as_bytes(), 8 << 20) {
        return None;
    }
    let mut schema: Value = json::read(schema).ok()?;
    leave_out_annotations(&mut schema);
    let bare = json::to_string(&schema);
    if bare.len() <= MAX_BYTES {
        return Some(bare);
    }
    let types: Map<String, Value> = schema
        .get("properties")?
        .as_object()?
        .iter()
        .map(|(name, property)| {
            let r#type = property.get("type").map_or(json!({}), |r#type| json!({"type": r#type}));
            (name.clone(), r#type)
        })
        .collect();
    let required = schema.get("required").cloned().unwrap_or(json!([]));
    let outline = json::to_string(&json!({"properties": types, "required": required}));
    (outline.len() <= MAX_BYTES).then_some(outline)
}

fn leave_out_annotations(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            // A property of that name has a schema, an annotation has none.
            members.retain(|keyword, value| !ANNOTATIONS.contains(&keyword.as_str()) || value.is_object());
            members.values_mut().for_each(leave_out_annotations);
        }
        Value::Array(elements) => elements.iter_mut().for_each(leave_out_annotations),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(schema: &Value) -> Option<String> {
        schema_in_short(&json::to_raw(schema))
    }

    #[test]
    fn a_schema_is_told_as_far_as_there_is_room() {
        let property = |text: &str| json!({"type": "string", "description": text, "enum": ["a"]});
        let schema = |text: &str, count: usize| {
            let properties: Map<String, Value> = (0..count).map(|i| (format!("p{i}"), property(text))).collect();
            json!({"type": "object", "properties": properties, "required": ["p0"]})
        };
        assert_eq!(short(&schema("short", 3)).unwrap(), schema("short", 3).to_string());
        let bare = short(&schema(&"long ".repeat(200), 20)).unwrap();
        assert!(!bare.contains("long") && bare.contains("enum"), "{bare}");
        let types = short(&schema("x", 120)).unwrap();
        assert!(
            types.len() <= MAX_BYTES && types.contains(r#""p119":{"type":"string"}"#) && types.contains("p0"),
            "{types}"
        );
        assert_eq!(short(&schema("x", 2000)), None);
        let named = json!({"properties": {"title": {"type": "string"}, "description": {"type": "number"}}, "x": "y".repeat(MAX_BYTES - 100)});
        assert_eq!(short(&named).unwrap(), named.to_string());
    }
}

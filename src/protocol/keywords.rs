//! Keywords of JSON Schema whose values are schemas or hold some.

use serde_json::Value;

/// Returns the schemas within a keyword's value. Values such as those of `enum`, `default` or `examples` are data.
pub(super) fn subschemas<'a>(keyword: &str, value: &'a mut Value) -> Vec<&'a mut Value> {
    match (keyword, value) {
        ("properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas", Value::Object(schemas)) => {
            schemas.values_mut().collect()
        }
        ("allOf" | "anyOf" | "oneOf" | "prefixItems" | "items", Value::Array(schemas)) => schemas.iter_mut().collect(),
        (
            "items"
            | "additionalProperties"
            | "additionalItems"
            | "contains"
            | "not"
            | "if"
            | "then"
            | "else"
            | "propertyNames"
            | "unevaluatedItems"
            | "unevaluatedProperties",
            schema,
        ) => vec![schema],
        _ => Vec::new(),
    }
}

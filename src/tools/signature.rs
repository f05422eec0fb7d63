//! The parameters of a tool in one line, as `to*: string[], subject*: string, cc: string[]`.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

use crate::protocol::json;

/// Parameters in a line; those that a call must have come first.
const MAX_PARAMETERS: usize = 16;

/// Bytes of a line at most.
const MAX_BYTES: usize = 400;

/// Values of an enum that stand in a line in place of its type.
const MAX_VALUES: usize = 4;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Schema {
    properties: Map<String, Value>,
    required: Vec<String>,
}

/// Returns the line of an input schema. A `*` marks what a call must have.
pub(super) fn signature(schema: &RawValue) -> String {
    let Schema { properties, required } = json::read(schema).unwrap_or_default();
    let is_required = |name: &str| required.iter().any(|other| other == name);
    let mut names: Vec<_> = properties.iter().collect();
    // A stable sort: the schema's own order counts among equals.
    names.sort_by_key(|(name, _)| !is_required(name));
    let mut line = String::new();
    for (i, (name, schema)) in names.iter().enumerate() {
        let star = if is_required(name) { "*" } else { "" };
        let before = if i == 0 { "" } else { ", " };
        let parameter = format!("{before}{name}{star}: {}", kind(schema));
        if i == MAX_PARAMETERS || line.len() + parameter.len() > MAX_BYTES {
            let _ = write!(line, "{before}… {} more", names.len() - i);
            break;
        }
        line.push_str(&parameter);
    }
    line
}

/// Returns the type of a parameter, in words that a model knows from TypeScript.
fn kind(schema: &Value) -> String {
    if let Some(values) = schema.get("enum").and_then(Value::as_array)
        && values.len() <= MAX_VALUES
    {
        return values.iter().map(Value::to_string).collect::<Vec<_>>().join("|");
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("array") => format!("{}[]", schema.get("items").map_or_else(|| "any".to_owned(), kind)),
        Some(kind) => kind.to_owned(),
        None => "any".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(schema: &Value) -> String {
        signature(&json::to_raw(schema))
    }

    #[test]
    fn a_line_names_what_must_be_given_first() {
        let schema = serde_json::json!({
            "type": "object",
            "properties": {
                "cc": {"type": "array", "items": {"type": "string"}},
                "to": {"type": "string"},
                "kind": {"enum": ["a", "b"]},
                "any": {}
            },
            "required": ["to"]
        });
        assert_eq!(line(&schema), r#"to*: string, cc: string[], kind: "a"|"b", any: any"#);
        assert_eq!(line(&serde_json::json!({"type": "object"})), "");
    }

    #[test]
    fn a_line_is_bounded() {
        let properties: Map<_, _> =
            (0..100).map(|i| (format!("p{i:03}"), serde_json::json!({"type": "string"}))).collect();
        let line = line(&serde_json::json!({"type": "object", "properties": properties}));
        assert!(line.len() <= MAX_BYTES + 16, "{line}");
        assert!(line.ends_with("… 84 more"), "{line}");
    }
}

//! JSON Schemas of actions: what is published as a tool's schema, and what its arguments are checked against.
//!
//! A schema goes out as it came in, byte for byte, but for two repairs without which clients refuse the whole list:
//! the root must be a schema of an object (MCP 2025-11-25, schema `Tool.inputSchema`), and an array without `items`
//! gets `{"type":"string"}`. Annotations that would make clients drop the tool are taken out (see `param_headers`).

use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};

use super::{
    json::{self, to_raw},
    param_headers::{self, ParamHeader},
};

/// The member under which a root that is no object is wrapped.
pub const WRAPPED: &str = "input";

/// Memory that a schema takes at most while it is repaired.
const MAX_TREE_BYTES: usize = 8 << 20;
/// Arrays and objects within each other that `serde_json` reads.
const MAX_DEPTH: usize = 127;

/// The input schema of a tool.
#[derive(Debug)]
pub struct InputSchema {
    /// Schema that `tools/list` shows.
    pub published: Box<RawValue>,
    /// Schema that arguments are checked against: the action's own, without the repair of arrays and without required
    /// names that are no property.
    pub checked: Box<RawValue>,
    /// The action takes no object: what it takes stands in the member [`WRAPPED`] of the arguments.
    pub wrapped: bool,
    /// The arguments that stand in headers, too.
    pub headers: Vec<ParamHeader>,
}

impl InputSchema {
    /// Makes the tool's schema from the action's, which may be missing.
    #[must_use]
    pub fn of(action: Option<&RawValue>) -> Self {
        let Some(raw) = action else { return Self::anything() };
        if json::is_tree_larger_than(raw.get().as_bytes(), MAX_TREE_BYTES) {
            return Self::as_it_is(raw);
        }
        let Ok(Value::Object(root)) = json::read(raw) else { return Self::anything() };
        let wrapped = is_no_object(&root);
        let root = if wrapped { wrap(&root) } else { root };

        let mut published = Value::Object(root.clone());
        let typed = declare_object(&mut published);
        let completed = complete_arrays(&mut published);
        let (headers, stripped) = param_headers::vouch(&mut published);
        let untouched = !(wrapped || typed || completed || stripped);

        let published = if untouched { raw.to_owned() } else { to_raw(&published) };
        let mut checked = Value::Object(root);
        relax_required(&mut checked);
        Self { published, checked: to_raw(&checked), wrapped, headers }
    }

    /// Returns a schema that is too large to be read, let alone repaired. What would cost the whole list is not
    /// published.
    fn as_it_is(raw: &RawValue) -> Self {
        if !is_object_schema(raw) || raw.get().contains(param_headers::ANNOTATION) {
            return Self::anything();
        }
        Self { published: raw.to_owned(), checked: raw.to_owned(), wrapped: false, headers: Vec::new() }
    }

    fn anything() -> Self {
        let schema = json!({"type": "object"});
        Self { published: to_raw(&schema), checked: to_raw(&schema), wrapped: false, headers: Vec::new() }
    }
}

/// Returns whether a schema describes objects, by its root.
#[must_use]
pub fn is_object_schema(raw: &RawValue) -> bool {
    /// No more than the type is kept, whatever the size of the schema.
    #[derive(Deserialize)]
    struct Root<'a> {
        #[serde(borrow)]
        r#type: Option<&'a RawValue>,
    }
    raw.get().starts_with('{')
        && !json::is_deeper_than(raw.get().as_bytes(), MAX_DEPTH)
        && serde_json::from_str::<Root<'_>>(raw.get())
            .ok()
            .and_then(|root| serde_json::from_str::<String>(root.r#type?.get()).ok())
            .is_some_and(|r#type| r#type == "object")
}

fn has_type(schema: &Map<String, Value>, wanted: &str) -> bool {
    match schema.get("type") {
        Some(Value::String(one)) => one == wanted,
        Some(Value::Array(many)) => many.iter().any(|one| one == wanted),
        _ => false,
    }
}

fn is_no_object(root: &Map<String, Value>) -> bool {
    root.contains_key("type") && !has_type(root, "object") && !root.contains_key("properties")
}

fn wrap(root: &Map<String, Value>) -> Map<String, Value> {
    let mut outer = Map::new();
    // The dialect is the root's to declare.
    if let Some(dialect) = root.get("$schema") {
        outer.insert("$schema".to_owned(), dialect.clone());
    }
    outer.insert("type".to_owned(), json!("object"));
    outer.insert("properties".to_owned(), json!({WRAPPED: root}));
    outer.insert("required".to_owned(), json!([WRAPPED]));
    outer
}

/// Makes the root say `"type": "object"`, and tells whether that was news.
fn declare_object(root: &mut Value) -> bool {
    if root["type"] == "object" {
        return false;
    }
    root["type"] = json!("object");
    true
}

/// Gives each array without `items` items of type string, and tells whether there was one.
fn complete_arrays(schema: &mut Value) -> bool {
    let Value::Object(members) = schema else {
        return false;
    };
    let mut changed = false;
    if has_type(members, "array") && !members.contains_key("items") && !members.contains_key("prefixItems") {
        members.insert("items".to_owned(), json!({"type": "string"}));
        changed = true;
    }
    for (keyword, value) in members.iter_mut() {
        for schema in subschemas(keyword, value) {
            changed |= complete_arrays(schema);
        }
    }
    changed
}

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

/// Takes names that are no property out of `required`: they are the schema's fault, not the caller's.
///
/// Only where a schema stands by itself. Within `anyOf`, `if`, `not` and the like, `required` speaks of the properties
/// of the schema around it.
fn relax_required(schema: &mut Value) {
    let Value::Object(members) = schema else {
        return;
    };
    if let Some(Value::Array(required)) = members.get_mut("required") {
        let mut names = std::mem::take(required);
        let known = members.get("properties").and_then(Value::as_object);
        let is_known = |name: &str| known.is_some_and(|properties| properties.contains_key(name));
        names.retain(|name| name.as_str().is_some_and(is_known));
        members.insert("required".to_owned(), Value::Array(names));
    }
    for (keyword, value) in members.iter_mut() {
        if matches!(keyword.as_str(), "properties" | "items" | "additionalProperties") {
            subschemas(keyword, value).into_iter().for_each(relax_required);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(schema: &str) -> String {
        let raw: &RawValue = serde_json::from_str(schema).unwrap();
        InputSchema::of(Some(raw)).published.get().to_owned()
    }

    #[test]
    fn a_sound_schema_goes_out_byte_for_byte() {
        let sound = [
            r#"{"type":"object"}"#,
            r#"{ "type" : "object", "properties": {"a": {"type":"number","minimum": 1.0e2}}, "required":["b"] }"#,
            r##"{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","$defs":{"a":{"$anchor":"x"}},"properties":{"p":{"$ref":"#x"}},"allOf":[{"if":{},"then":{}}]}"##,
            r#"{"type":"object","properties":{"list":{"type":"array","prefixItems":[{}]}},"default":{"type":"array"},"examples":[{"type":"array"}]}"#,
        ];
        for schema in sound {
            assert_eq!(published(schema), schema);
        }
    }

    #[test]
    fn a_root_that_is_no_object_schema_is_made_one() {
        let cases = [
            ("null", r#"{"type":"object"}"#),
            ("true", r#"{"type":"object"}"#),
            ("7", r#"{"type":"object"}"#),
            ("{}", r#"{"type":"object"}"#),
            (r#"{"properties":{"a":{}}}"#, r#"{"properties":{"a":{}},"type":"object"}"#),
            (r#"{"type":["object","null"]}"#, r#"{"type":"object"}"#),
            (
                r#"{"type":"array","items":{"type":"number"}}"#,
                r#"{"type":"object","properties":{"input":{"type":"array","items":{"type":"number"}}},"required":["input"]}"#,
            ),
        ];
        for (schema, expected) in cases {
            assert_eq!(published(schema), expected, "{schema}");
        }
        assert_eq!(InputSchema::of(None).published.get(), r#"{"type":"object"}"#);
    }

    #[test]
    fn an_array_without_items_gets_strings_wherever_it_stands() {
        let bare = r#"{"type":"array"}"#;
        let full = r#"{"type":"array","items":{"type":"string"}}"#;
        for template in [
            r#"{"type":"object","properties":{"a":@}}"#,
            r#"{"type":"object","additionalProperties":@}"#,
            r#"{"type":"object","properties":{"a":{"anyOf":[@,{"items":@}]}}}"#,
            r#"{"type":"object","$defs":{"a":@},"if":{"properties":{"items":@}}}"#,
        ] {
            assert_eq!(published(&template.replace('@', bare)), template.replace('@', full));
        }
    }

    #[test]
    fn only_required_names_that_can_be_given_are_asked_for() {
        let raw: &RawValue = serde_json::from_str(
            r#"{"type":"object","properties":{"a":{"type":"object","required":["x"]}},"required":["a","ghost"],
                "anyOf":[{"required":["a"]}]}"#,
        )
        .unwrap();
        let checked: Value = json::read(&InputSchema::of(Some(raw)).checked).unwrap();
        assert_eq!(checked["required"], json!(["a"]));
        assert_eq!(checked["properties"]["a"]["required"], json!([]));
        assert_eq!(checked["anyOf"], json!([{"required": ["a"]}]));
    }

    #[test]
    fn a_schema_of_any_size_is_published() {
        let required: Vec<String> = (0..200_000).map(|i| format!("name-{i}")).collect();
        let properties: Map<String, Value> = (0..1000).map(|i| (format!("name-{i}"), json!({}))).collect();
        let schema = json!({"type": "object", "properties": properties, "required": required}).to_string();
        assert_eq!(published(&schema), schema);
        let annotated = schema.replacen("{}", r#"{"type":"string","x-mcp-header":"a b"}"#, 1);
        for schema in [annotated, schema.replacen("object", "array", 1)] {
            assert_eq!(published(&schema), r#"{"type":"object"}"#);
        }
        let deep = |depth: usize| r#"{"type":"object","items":"#.repeat(depth) + "{}" + &"}".repeat(depth);
        assert_eq!(published(&deep(100)), deep(100));
        assert_eq!(published(&deep(200)), r#"{"type":"object"}"#);
    }

    #[test]
    fn required_names_are_relaxed_in_one_pass() {
        let names: Vec<String> = (0..40_000).map(|i| format!("n{i}")).collect();
        let properties: Map<String, Value> = names.iter().skip(1).map(|name| (name.clone(), json!(true))).collect();
        let mut schema = json!({"required": names, "properties": properties});
        relax_required(&mut schema);
        assert_eq!(schema["required"].as_array().unwrap().len(), names.len() - 1);
    }

    #[test]
    fn only_a_schema_of_objects_is_one() {
        let deep = format!(r#"{{"type":"object","a":{}{}}}"#, "[".repeat(200), "]".repeat(200));
        for (schema, expected) in [
            (r#"{"type":"object"}"#, true),
            (r#" {"a":[{"type":"array"}],"type":"\u006fbject"}"#.trim(), true),
            (r#"{"type":["object"]}"#, false),
            (r#"{"type":7}"#, false),
            (r#"{"properties":{"type":"object"}}"#, false),
            (r#"["object"]"#, false),
            ("true", false),
            (deep.as_str(), false),
        ] {
            assert_eq!(is_object_schema(serde_json::from_str(schema).unwrap()), expected, "{schema}");
        }
    }
}

//! JSON Schemas of actions: what is published as a tool's schema, and what its arguments are checked against.
//!
//! A schema that every vendor takes goes out as it came in, byte for byte; any other is published as [`publish`] writes it,
//! and one whose root is no schema of an object is wrapped before (MCP 2025-11-25, schema `Tool.inputSchema`). Annotations
//! that would make clients drop the tool are taken out (see `param_headers`). Arguments are checked against the action's own.

use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};

use super::{
    aliases::Aliases,
    checked::checked,
    json::{self, to_raw},
    param_headers::{self, ParamHeader},
    publish::{self, Published},
};

/// The member under which a root that is no object is wrapped.
pub const WRAPPED: &str = "input";

/// Memory that a schema takes at most while it is repaired.
const MAX_TREE_BYTES: usize = 8 << 20;
/// Arrays and objects within each other that `serde_json` reads.
const MAX_DEPTH: usize = 127;
/// Bytes of a published schema that is longer than the action's own.
const MAX_GROWN_BYTES: usize = 1 << 20;

/// The input schema of a tool.
#[derive(Debug)]
pub struct InputSchema {
    /// Schema that `tools/list` shows.
    pub published: Box<RawValue>,
    /// Schema that arguments are checked against: the action's own, as Membrane means it (see [`checked`](super::checked)).
    pub checked: Box<RawValue>,
    /// The action takes no object: what it takes stands in the member [`WRAPPED`] of the arguments.
    pub wrapped: bool,
    /// The arguments that stand in headers, too.
    pub headers: Vec<ParamHeader>,
    /// Names of arguments that differ from those of the action.
    pub aliases: Aliases,
    /// Faults of the action's schema, for which it is published in part.
    pub faults: Vec<&'static str>,
}

impl InputSchema {
    /// Makes the tool's schema from the action's, which may be missing.
    #[must_use]
    pub fn of(action: Option<&RawValue>) -> Self {
        let Some(raw) = action else { return Self::anything(None, None) };
        if json::is_tree_larger_than(raw.get().as_bytes(), MAX_TREE_BYTES) {
            return Self::anything(Some(raw), Some("it is too large to be published"));
        }
        let root = match json::read(raw) {
            Ok(Value::Object(root)) => root,
            Ok(Value::Null | Value::Bool(true)) => return Self::anything(None, None),
            Ok(_) => return Self::anything(None, Some("it is no schema")),
            Err(_) => return Self::anything(None, Some("it lies too deep in itself to be read")),
        };
        let wrapped = is_no_object(&root);
        let own = Value::Object(if wrapped { wrap(&root) } else { root });

        if !wrapped && publish::is_sound(&own) {
            let meant = checked(own.clone());
            let checked = if meant == own { raw.to_owned() } else { to_raw(&meant) };
            return Self { published: raw.to_owned(), checked, ..Self::anything(None, None) };
        }
        let Published { mut schema, aliases, faults } = publish::publish(&own);
        let (headers, _) = param_headers::sanitize_annotations(&mut schema);
        let is_as_it_was = !wrapped && schema == own;
        let published = if is_as_it_was { raw.to_owned() } else { to_raw(&schema) };
        if published.get().len() > MAX_GROWN_BYTES.max(raw.get().len()) {
            return Self::anything(Some(raw), Some("it is too large to be published"));
        }
        let faults = faults.into_iter().collect();
        Self { published, checked: to_raw(&checked(own)), wrapped, headers, aliases, faults }
    }

    /// Returns a schema of any object. Arguments are checked against the action's own where there is one.
    fn anything(own: Option<&RawValue>, fault: Option<&'static str>) -> Self {
        let checked = own.map_or_else(|| to_raw(&json!({"type": "object"})), ToOwned::to_owned);
        Self {
            published: to_raw(&json!({"type": "object", "properties": {}})),
            checked,
            wrapped: false,
            headers: Vec::new(),
            aliases: Aliases::default(),
            faults: fault.into_iter().collect(),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn published(schema: &str) -> String {
        let raw: &RawValue = serde_json::from_str(schema).unwrap();
        InputSchema::of(Some(raw)).published.get().to_owned()
    }

    /// Published schema of an action whose input is not known.
    const ANYTHING: &str = r#"{"type":"object","properties":{}}"#;

    #[test]
    fn a_sound_schema_goes_out_byte_for_byte() {
        let sound = [
            ANYTHING,
            r#"{ "type" : "object", "properties": {"a": {"type":"number","minimum": 1.0e2}}, "required":["a"] }"#,
            r#"{"properties":{"l":{"items":{"type":"string"},"type":"array","minItems":1}},"required":[],"type":"object","additionalProperties":false,"description":"d"}"#,
            r#"{"type":"object","properties":{"u":{"anyOf":[{"type":"string","format":"date"},{"type":"integer"}]}},"default":{"type":"array"},"examples":[{"type":["array"]}]}"#,
        ];
        for schema in sound {
            assert_eq!(published(schema), schema);
        }
    }

    #[test]
    fn a_root_that_is_no_object_schema_is_made_one() {
        let cases = [
            ("null", ANYTHING),
            ("true", ANYTHING),
            ("7", ANYTHING),
            ("{}", r#"{"type":"object","properties":{}}"#),
            (r#"{"properties":{"a":{"type":"string"}}}"#, r#"{"properties":{"a":{"type":"string"}},"type":"object"}"#),
            (r#"{"type":["object","null"]}"#, ANYTHING),
            (
                r#"{"type":"array","items":{"type":"number"}}"#,
                r#"{"type":"object","properties":{"input":{"type":"array","items":{"type":"number"}}},"required":["input"]}"#,
            ),
        ];
        for (schema, expected) in cases {
            assert_eq!(published(schema), expected, "{schema}");
        }
        assert_eq!(InputSchema::of(None).published.get(), ANYTHING);
    }

    #[test]
    fn arguments_are_checked_against_the_actions_own_schema() {
        let own = r#"{"$schema":"http://json-schema.org/draft-07/schema#","anyOf":[{"required":["a b"]}],"properties":{"a b":{"type":["string","null"]}}}"#;
        let schema = InputSchema::of(Some(serde_json::from_str(own).unwrap()));
        assert_eq!(schema.checked.get(), own);
        assert_ne!(schema.published.get(), own);
        assert!(!schema.aliases.is_empty() && schema.faults.is_empty());
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
    fn a_schema_of_any_size_has_something_to_publish() {
        let properties: Map<String, Value> =
            (0..9_000).map(|i| (format!("name-{i}"), json!({"type": "string"}))).collect();
        let schema = json!({"type": "object", "properties": properties}).to_string();
        assert_eq!(published(&schema), schema);
        let required: Vec<String> = (0..200_000).map(|i| format!("name-{i}")).collect();
        let large = json!({"type": "object", "properties": properties, "required": required}).to_string();
        assert_eq!(published(&large), ANYTHING);
        let wide: Map<String, Value> = (0..30_000).map(|i| (format!("name-{i}"), json!({}))).collect();
        assert_eq!(
            published(&json!({"type": "object", "properties": wide}).to_string()),
            ANYTHING,
            "it grows too much"
        );
        let deep = |depth: usize| r#"{"type":"object","items":"#.repeat(depth) + "{}" + &"}".repeat(depth);
        assert_eq!(published(&deep(100)), ANYTHING);
        assert_eq!(published(&deep(200)), ANYTHING);
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

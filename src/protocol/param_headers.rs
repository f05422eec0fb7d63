//! `x-mcp-header`: arguments that clients repeat in `Mcp-Param-*` headers
//! (MCP 2026-07-28, basic/transports/streamable-http § Custom Headers from Tool Parameters).
//!
//! An annotation that breaks a rule makes clients drop the tool, so those that come from upstream and do are taken out.

use std::{borrow::Cow, collections::BTreeSet, fmt};

use serde::{
    Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value, value::RawValue};

use super::keywords::subschemas;

pub(super) const ANNOTATION: &str = "x-mcp-header";

/// Arguments of one tool that stand in headers: a request has no room for more.
const MAX_HEADERS: usize = 64;
/// Bytes of the names that lead to such an argument.
const MAX_PATH_BYTES: usize = 4096;

/// An argument that stands in a header, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamHeader {
    /// The header's name, in lower case.
    name: String,
    /// The properties that lead to the argument.
    path: Vec<String>,
}

impl ParamHeader {
    /// Returns the header's name, in lower case.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the properties that lead to the argument, as a person writes them.
    #[must_use]
    pub fn path(&self) -> String {
        self.path.join(".")
    }

    /// Returns the argument, if there is one.
    #[must_use]
    pub fn argument<'a>(&self, arguments: &'a Value) -> Option<&'a Value> {
        self.path.iter().try_fold(arguments, |value, member| value.get(member))
    }
}

/// Takes the annotations that break a rule out of a schema, and gives those that are sound. Tells whether one was taken
/// out.
#[must_use]
pub fn sanitize_annotations(schema: &mut Value) -> (Vec<ParamHeader>, bool) {
    let mut walk = Walk::default();
    walk.visit(schema, Some(&mut Vec::new()));
    (walk.sound, walk.has_removed)
}

#[derive(Default)]
struct Walk {
    sound: Vec<ParamHeader>,
    names: BTreeSet<String>,
    has_removed: bool,
}

impl Walk {
    fn has_room_for(&self, path: &[String]) -> bool {
        let bytes: usize = path.iter().map(String::len).sum();
        !path.is_empty() && bytes <= MAX_PATH_BYTES && self.sound.len() < MAX_HEADERS
    }

    /// `path` is there as long as `properties` alone lead here.
    fn visit(&mut self, schema: &mut Value, mut path: Option<&mut Vec<String>>) {
        let Value::Object(members) = schema else { return };
        if let Some(annotation) = members.get(ANNOTATION) {
            let is_primitive = members
                .get("type")
                .is_some_and(|r#type| matches!(r#type.as_str(), Some("string" | "integer" | "boolean")));
            match (header_name(annotation), path.as_deref()) {
                (Some(name), Some(path))
                    if is_primitive && self.has_room_for(path) && self.names.insert(name.clone()) =>
                {
                    self.sound.push(ParamHeader { name, path: path.clone() });
                }
                _ => {
                    members.shift_remove(ANNOTATION);
                    self.has_removed = true;
                }
            }
        }
        for (keyword, value) in members.iter_mut() {
            match (keyword.as_str(), &mut path) {
                ("properties", Some(path)) => {
                    for (property, schema) in value.as_object_mut().into_iter().flatten() {
                        path.push(property.clone());
                        self.visit(schema, Some(path));
                        path.pop();
                    }
                }
                _ => subschemas(keyword, value).into_iter().for_each(|schema| self.visit(schema, None)),
            }
        }
    }
}

/// `mcp-param-<name>`, if the annotation is a token (RFC 9110 § 5.6.2).
fn header_name(annotation: &Value) -> Option<String> {
    let name = annotation.as_str()?;
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    (!name.is_empty() && name.chars().all(is_token)).then(|| format!("mcp-param-{}", name.to_ascii_lowercase()))
}

/// Reads of arguments, which may be large, no more than stands in headers.
///
/// # Errors
/// Where they are no JSON that can be read.
pub fn pick(headers: &[ParamHeader], arguments: &RawValue) -> serde_json::Result<Value> {
    let paths = headers.iter().map(|header| header.path.as_slice()).collect();
    Pick(paths).deserialize(&mut serde_json::Deserializer::from_str(arguments.get()))
}

/// The members to which these paths lead. Nothing else is kept, and nothing of an array.
struct Pick<'a>(Vec<&'a [String]>);

impl<'de> DeserializeSeed<'de> for Pick<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Pick<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Array(Vec::new()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut picked = Map::new();
        while let Some(name) = members.next_key::<Cow<'de, str>>()? {
            let here = self.0.iter().filter_map(|path| path.split_first());
            let inner: Vec<&[String]> = here.filter(|(first, _)| **first == name).map(|(_, rest)| rest).collect();
            if inner.is_empty() {
                members.next_value::<IgnoredAny>()?;
            } else {
                let value = members.next_value_seed(Pick(inner))?;
                picked.insert(name.into_owned(), value);
            }
        }
        Ok(Value::Object(picked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_sound_annotations_stay() {
        let sound = json!({"type": "object", "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "nested": {"type": "object", "properties": {"n": {"type": "integer", "x-mcp-header": "N"}}},
        }});
        let mut schema = sound.clone();
        let (headers, removed) = sanitize_annotations(&mut schema);
        assert_eq!((schema, removed), (sound, false));
        let outline: Vec<_> = headers.iter().map(|h| (h.name.as_str(), h.path.join("/"))).collect();
        assert_eq!(outline, [("mcp-param-region", "region".to_owned()), ("mcp-param-n", "nested/n".to_owned())]);

        let string = json!({"type": "string", "x-mcp-header": "A"});
        for broken in [
            json!({"type": "object", "x-mcp-header": "A"}),
            json!({"properties": {"a": {"type": "number", "x-mcp-header": "A"}}}),
            json!({"properties": {"a": {"type": "string", "x-mcp-header": ""}}}),
            json!({"properties": {"a": {"type": "string", "x-mcp-header": "two words"}}}),
            json!({"properties": {"a": {"type": "string", "x-mcp-header": 7}}}),
            json!({"properties": {"a": {"type": "array", "items": string}}}),
            json!({"properties": {"a": {"anyOf": [string]}}}),
            json!({"$defs": {"a": string}}),
            json!({"anyOf": [{"properties": {"a": string}}]}),
        ] {
            let mut schema = broken.clone();
            let (headers, removed) = sanitize_annotations(&mut schema);
            assert!(headers.is_empty() && removed, "{broken}");
            assert!(!schema.to_string().contains(ANNOTATION), "{schema}");
        }
        let mut twice = json!({"properties": {"a": string, "b": {"type": "string", "x-mcp-header": "a"}}});
        assert_eq!(sanitize_annotations(&mut twice).0.len(), 1);
    }

    #[test]
    fn a_tool_has_no_more_headers_than_a_request() {
        let properties: Map<String, Value> =
            (0..100).map(|i| (format!("a{i}"), json!({"type": "string", "x-mcp-header": format!("A{i}")}))).collect();
        let (headers, removed) = sanitize_annotations(&mut json!({"properties": properties}));
        assert!(removed && headers.len() == MAX_HEADERS, "{}", headers.len());
        let long = json!({"properties": {"k".repeat(MAX_PATH_BYTES + 1): {"type": "string", "x-mcp-header": "A"}}});
        assert!(sanitize_annotations(&mut long.clone()).0.is_empty());
    }

    #[test]
    fn no_more_is_read_of_arguments_than_stands_in_headers() {
        let header = |path: &[&str]| ParamHeader {
            name: "mcp-param-x".into(),
            path: path.iter().map(|p| (*p).into()).collect(),
        };
        let headers = [header(&["a"]), header(&["b", "c"]), header(&["b", "d"]), header(&["e"]), header(&["f"])];
        let arguments = r#"{"a":[[1],2],"b":{"c":-1,"x":[0],"\u0064":"D"},"e":{"a":true},"x":{"a":1},"f":1.5}"#;
        let picked = pick(&headers, serde_json::from_str(arguments).unwrap()).unwrap();
        assert_eq!(picked, json!({"a": [], "b": {"c": -1, "d": "D"}, "e": {}, "f": 1.5}));
        assert_eq!(pick(&headers, serde_json::from_str("null").unwrap()).unwrap(), Value::Null);
    }
}

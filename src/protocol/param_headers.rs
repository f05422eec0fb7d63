//! `x-mcp-header`: arguments that clients repeat in `Mcp-Param-*` headers
//! (MCP 2026-07-28, basic/transports/streamable-http § Custom Headers from Tool Parameters).
//!
//! An annotation that breaks a rule makes clients drop the tool, so those that come from upstream and do are taken out.

use std::collections::BTreeSet;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::schema::subschemas;
use crate::error::Error;

const ANNOTATION: &str = "x-mcp-header";

/// An argument that stands in a header, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamHeader {
    /// The header's name, in lower case.
    name: String,
    /// The properties that lead to the argument.
    path: Vec<String>,
}

/// Takes the annotations that break a rule out of a schema, and gives those that are sound. Tells whether one was taken
/// out.
#[must_use]
pub fn vouch(schema: &mut Value) -> (Vec<ParamHeader>, bool) {
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
    /// `path` is there as long as `properties` alone lead here.
    fn visit(&mut self, schema: &mut Value, mut path: Option<&mut Vec<String>>) {
        let Value::Object(members) = schema else { return };
        if let Some(annotation) = members.get(ANNOTATION) {
            let is_primitive = members
                .get("type")
                .is_some_and(|r#type| matches!(r#type.as_str(), Some("string" | "integer" | "boolean")));
            match (header_name(annotation), path.as_deref()) {
                (Some(name), Some(path)) if is_primitive && !path.is_empty() && self.names.insert(name.clone()) => {
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

/// Sees to it that the headers say what the arguments say. `header` gives the values of a header, as they came.
///
/// # Errors
/// [`Error::HeaderMismatch`].
pub fn check<'a, V>(headers: &[ParamHeader], arguments: &Value, header: impl Fn(&str) -> V) -> Result<(), Error>
where
    V: IntoIterator<Item = &'a [u8]>,
{
    for ParamHeader { name, path } in headers {
        let argument = path.iter().try_fold(arguments, |value, member| value.get(member));
        let mut values = header(name).into_iter();
        let agrees = match (argument, values.next(), values.next()) {
            (None | Some(Value::Null), None, _) => true,
            (Some(argument), Some(value), None) => decode(value).is_some_and(|text| says(&text, argument)),
            _ => false,
        };
        if !agrees {
            return Err(Error::HeaderMismatch(format!(
                "{name} does not say what the argument {} says",
                path.join(".")
            )));
        }
    }
    Ok(())
}

/// Whether a header's text stands for an argument. Numbers are compared as such: `42.0` is 42.
fn says(text: &str, argument: &Value) -> bool {
    match argument {
        Value::String(argument) => text == argument,
        Value::Bool(argument) => text == if *argument { "true" } else { "false" },
        Value::Number(argument) => match (argument.as_i64(), text.parse::<i64>()) {
            (Some(argument), Ok(number)) => argument == number,
            _ => argument.as_f64().is_some_and(|argument| text.parse() == Ok(argument)),
        },
        _ => false,
    }
}

/// A header's value, decoded where it is `=?base64?…?=`; nothing where it is malformed
/// (MCP 2026-07-28, basic/transports/streamable-http § Value Encoding).
#[must_use]
pub fn decode(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?.trim_matches([' ', '\t']);
    if !text.chars().all(|c| matches!(c, ' '..='~' | '\t')) {
        return None;
    }
    match text.strip_prefix("=?base64?").and_then(|text| text.strip_suffix("?=")) {
        Some(encoded) => String::from_utf8(STANDARD.decode(encoded).ok()?).ok(),
        None => Some(text.to_owned()),
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
        let (headers, removed) = vouch(&mut schema);
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
            let (headers, removed) = vouch(&mut schema);
            assert!(headers.is_empty() && removed, "{broken}");
            assert!(!schema.to_string().contains(ANNOTATION), "{schema}");
        }
        let mut twice = json!({"properties": {"a": string, "b": {"type": "string", "x-mcp-header": "a"}}});
        assert_eq!(vouch(&mut twice).0.len(), 1);
    }

    #[test]
    fn headers_must_say_what_the_arguments_say() {
        let header = |path: &str| vec![ParamHeader { name: "mcp-param-x".into(), path: vec![path.into()] }];
        let cases: [(Value, &[&str], bool); 15] = [
            (json!({"x": "us-west1"}), &["us-west1"], true),
            (json!({"x": "us-west1"}), &[" us-west1\t"], true),
            (json!({"x": "us-west1"}), &["US-west1"], false),
            (json!({"x": "Hello, 世界"}), &["=?base64?SGVsbG8sIOS4lueVjA==?="], true),
            (json!({"x": "a"}), &["=?base64?!!?="], false),
            (json!({"x": "a"}), &["=?BASE64?YQ==?="], false),
            (json!({"x": 42}), &["42"], true),
            (json!({"x": 42}), &["42.0"], true),
            (json!({"x": 42}), &["43"], false),
            (json!({"x": true}), &["true"], true),
            (json!({"x": "a"}), &[], false),
            (json!({"x": "a"}), &["a", "a"], false),
            (json!({"x": null}), &[], true),
            (json!({}), &[], true),
            (json!({}), &["a"], false),
        ];
        for (arguments, values, agree) in cases {
            let bytes = |_: &str| values.iter().map(|value| value.as_bytes()).collect::<Vec<_>>();
            assert_eq!(check(&header("x"), &arguments, bytes).is_ok(), agree, "{arguments} {values:?}");
        }
    }
}

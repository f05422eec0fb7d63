//! `Mcp-Param-*` headers, which repeat arguments of a call
//! (MCP 2026-07-28, basic/transports/streamable-http § Custom Headers from Tool Parameters).

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use crate::{http::error::HttpError, protocol::param_headers::ParamHeader};

/// Sees to it that the headers say what the arguments say. `header` gives the values of a header, as they came.
///
/// # Errors
/// [`HttpError::HeaderMismatch`].
pub fn check<'a, V>(headers: &[ParamHeader], arguments: &Value, header: impl Fn(&str) -> V) -> Result<(), HttpError>
where
    V: IntoIterator<Item = &'a [u8]>,
{
    for param in headers {
        let mut values = header(param.name()).into_iter();
        let agrees = match (param.argument(arguments), values.next(), values.next()) {
            (None | Some(Value::Null), None, _) => true,
            (Some(argument), Some(value), None) => decode(value).is_some_and(|text| says(&text, argument)),
            _ => false,
        };
        if !agrees {
            let (name, path) = (param.name(), param.path());
            return Err(HttpError::HeaderMismatch(format!("{name} does not say what the argument {path} says")));
        }
    }
    Ok(())
}

/// Returns whether a header's text stands for an argument. Numbers are compared as such: `42.0` is 42.
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

/// Returns a header's value, decoded where it is `=?base64?…?=`; nothing where it is malformed (MCP 2026-07-28,
/// basic/transports/streamable-http § Value Encoding).
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
    use serde_json::json;

    use super::*;
    use crate::protocol::param_headers::sanitize_annotations;

    #[test]
    fn headers_must_say_what_the_arguments_say() {
        let (headers, _) =
            sanitize_annotations(&mut json!({"properties": {"x": {"type": "string", "x-mcp-header": "X"}}}));
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
            assert_eq!(check(&headers, &arguments, bytes).is_ok(), agree, "{arguments} {values:?}");
        }
    }
}

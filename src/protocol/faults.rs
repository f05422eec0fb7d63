//! Faults of values in words, by which a model can correct them: where, and what would be right.

use std::fmt::{self, Display, Write};

use jsonschema::{
    ValidationError,
    error::{TypeKind, ValidationErrorKind},
};
use serde_json::Value;

/// Characters shown of one fault, which may quote the value.
const MAX_FAULT_CHARS: usize = 300;
/// Values of an enumeration that are named.
const MAX_VALUES: usize = 20;
/// Characters shown of one of them, and of the value that is none of them.
const MAX_VALUE_CHARS: usize = 60;
/// Branches of which the faults are told.
const MAX_BRANCHES: usize = 5;

/// Returns a fault with its path.
#[must_use]
pub fn explain(error: &ValidationError<'_>) -> String {
    let path = shorten(error.instance_path());
    let place = if path.is_empty() { "/" } else { path.as_str() };
    format!("{place}: {}", words(error))
}

fn words(error: &ValidationError<'_>) -> String {
    match error.kind() {
        ValidationErrorKind::Enum { .. } | ValidationErrorKind::Constant { .. } => {
            values_of(error).map_or_else(|| shorten(error), |values| none_of(error, &values))
        }
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            let values = context.iter().map(|branch| match branch.as_slice() {
                [fault] if fault.instance_path() == error.instance_path() => values_of(fault),
                _ => None,
            });
            match values.collect::<Option<Vec<_>>>() {
                Some(values) => none_of(error, &values.concat()),
                None => none_fits(error, context),
            }
        }
        _ => shorten(error),
    }
}

/// Returns the values of which a fault wants one.
fn values_of<'a>(error: &'a ValidationError<'_>) -> Option<Vec<&'a Value>> {
    match error.kind() {
        ValidationErrorKind::Enum { options } => options.as_array().map(|values| values.iter().collect()),
        ValidationErrorKind::Constant { expected_value } => Some(vec![expected_value]),
        ValidationErrorKind::Type { kind: TypeKind::Single(jsonschema::JsonType::Null) } => Some(vec![&Value::Null]),
        _ => None,
    }
}

fn none_of(error: &ValidationError<'_>, values: &[&Value]) -> String {
    let named: Vec<_> = values.iter().take(MAX_VALUES).map(|value| shorten_to(value, MAX_VALUE_CHARS)).collect();
    let (named, given) = (named.join(", "), shorten_to(error.instance(), MAX_VALUE_CHARS));
    match values {
        [_] => format!("{given} is not {named}"),
        _ if values.len() > MAX_VALUES => format!("{given} is not one of these {}: {named}, …", values.len()),
        _ => format!("{given} is not one of {named}"),
    }
}

/// Tells for each branch what it would take, as far as its first fault shows it.
fn none_fits(error: &ValidationError<'_>, branches: &[Vec<ValidationError<'static>>]) -> String {
    let first = |branch: &Vec<ValidationError<'static>>| {
        let fault = branch.first()?;
        let inner = shorten_to(fault.instance_path(), MAX_VALUE_CHARS);
        let is_here = fault.instance_path() == error.instance_path();
        let words = match values_of(fault) {
            Some(values) => none_of(fault, &values),
            None => shorten_to(fault, 2 * MAX_VALUE_CHARS),
        };
        Some(if is_here { words } else { format!("{inner}: {words}") })
    };
    let told: Vec<_> = branches.iter().take(MAX_BRANCHES).filter_map(first).collect();
    let more = if branches.len() > MAX_BRANCHES { "; …" } else { "" };
    let given = shorten_to(error.instance(), MAX_VALUE_CHARS);
    format!("{given} fits none of {} forms ({}{more})", branches.len(), told.join("; "))
}

/// Returns the beginning of a text; no more of it is made.
pub(super) fn shorten(text: &impl Display) -> String {
    shorten_to(text, MAX_FAULT_CHARS)
}

fn shorten_to(text: &impl Display, max_chars: usize) -> String {
    struct Short(String, usize);
    impl Write for Short {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            for c in text.chars() {
                self.1 = self.1.checked_sub(1).ok_or(fmt::Error)?;
                self.0.push(c);
            }
            Ok(())
        }
    }
    let mut short = Short(String::new(), max_chars);
    match write!(short, "{text}") {
        Ok(()) => short.0,
        Err(_) => short.0 + "…",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fault(schema: &Value, value: &Value) -> String {
        let validator = jsonschema::validator_for(schema).unwrap();
        let error = validator.iter_errors(value).next().unwrap();
        explain(&error)
    }

    #[test]
    fn the_values_that_would_do_are_named() {
        let many: Vec<_> = (0..37).map(|i| format!("v{i}")).collect();
        let cases = [
            (json!({"enum": ["a", "b", "c", "d", 5]}), r#"/: "x" is not one of "a", "b", "c", "d", 5"#),
            (json!({"const": "a"}), r#"/: "x" is not "a""#),
            (json!({"oneOf": [{"const": "a"}, {"const": "b"}]}), r#"/: "x" is not one of "a", "b""#),
            (json!({"anyOf": [{"enum": ["a"]}, {"type": "null"}]}), r#"/: "x" is not one of "a", null"#),
            (json!({"type": "integer"}), r#"/: "x" is not of type "integer""#),
            (
                json!({"anyOf": [{"type": "integer"}, {"type": "array"}]}),
                r#"/: "x" fits none of 2 forms ("x" is not of type "integer"; "x" is not of type "array")"#,
            ),
        ];
        for (schema, expected) in cases {
            assert_eq!(fault(&schema, &json!("x")), expected);
        }
        let told = fault(&json!({"enum": many}), &json!("x"));
        assert!(
            told.starts_with("/: \"x\" is not one of these 37: \"v0\", ") && told.ends_with("\"v19\", …"),
            "{told}"
        );
        let inner = json!({"items": {"anyOf": [{"properties": {"a": {"const": 1}}}, {"required": ["b"]}]}});
        let told = fault(&inner, &json!([{"a": 2}]));
        assert_eq!(told, r#"/0: {"a":2} fits none of 2 forms (/0/a: 2 is not 1; "b" is a required property)"#);
    }

    #[test]
    fn a_fault_of_any_length_is_told_in_short() {
        let long = "v".repeat(100_000);
        let values: Vec<_> = (0..100).map(|i| format!("{i}{long}")).collect();
        assert!(fault(&json!({"enum": values}), &json!(long)).chars().count() < 25 * MAX_VALUE_CHARS);
        let branches: Vec<_> = values.iter().map(|value| json!({"required": [value]})).collect();
        assert!(fault(&json!({"anyOf": branches}), &json!({})).chars().count() < 20 * MAX_VALUE_CHARS);
    }
}

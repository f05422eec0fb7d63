//! Values against JSON Schemas (dialect 2020-12 unless `$schema` says otherwise; MCP 2025-11-25, basic/index § JSON Schema
//! Usage). References are never fetched: a schema that has some elsewhere does not compile.

use jsonschema::{PatternOptions, error::ValidationErrorKind};
use serde_json::Value;

/// Faults named in one message.
const MAX_FAULTS: usize = 5;
/// Characters shown of one fault, which may quote the value.
const MAX_FAULT_CHARS: usize = 300;

/// Bytes that a compiled pattern takes.
const MAX_PATTERN_BYTES: usize = 1 << 20;
/// Steps back that are taken in matching one text.
const MAX_BACKTRACKS: usize = 10_000;

/// A compiled schema.
#[derive(Debug)]
pub struct Validator(jsonschema::Validator);

impl Validator {
    /// Compiles a schema.
    ///
    /// # Errors
    /// What keeps it from compiling.
    pub fn compile(schema: &Value) -> Result<Self, String> {
        let linear = PatternOptions::regex().size_limit(MAX_PATTERN_BYTES);
        let backtracking = PatternOptions::fancy_regex().backtrack_limit(MAX_BACKTRACKS).size_limit(MAX_PATTERN_BYTES);
        // A text must not keep the thread, whatever the pattern: only one that looks around or back is tried in steps.
        jsonschema::options()
            .with_pattern_options(linear)
            .build(schema)
            .or_else(|_other| jsonschema::options().with_pattern_options(backtracking).build(schema))
            .map(Self)
            .map_err(|error| shorten(&error.to_string()))
    }

    /// Checks a value.
    ///
    /// # Errors
    /// What is wrong, each fault with its path.
    pub fn check(&self, value: &Value) -> Result<(), String> {
        let faults: Vec<String> = self
            .0
            .iter_errors(value)
            // Nobody knows then whether it matches; the upstream will say.
            .filter(|error| !matches!(error.kind(), ValidationErrorKind::BacktrackLimitExceeded { .. }))
            .take(MAX_FAULTS)
            .map(|error| {
                let path = error.instance_path().to_string();
                let place = if path.is_empty() { "/" } else { path.as_str() };
                format!("{place}: {}", shorten(&error.to_string()))
            })
            .collect();
        if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(MAX_FAULT_CHARS) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.split_at(end).0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_fault_is_named_with_its_path() {
        let schema = json!({"type": "object", "properties": {"to": {"type": "array", "items": {"type": "string"}}}, "required": ["to"]});
        let validator = Validator::compile(&schema).unwrap();
        assert_eq!(validator.check(&json!({"to": ["a"]})), Ok(()));
        assert!(validator.check(&json!({"to": ["a", 1]})).unwrap_err().starts_with("/to/1: "));
        assert!(validator.check(&json!({})).unwrap_err().starts_with("/: \"to\""));
    }

    #[test]
    fn a_pattern_takes_no_longer_than_it_should() {
        let text = "a".repeat(100_000) + "!";
        // Each tries every way to cut the text, of which there are more than anyone can wait for.
        for (pattern, refused) in [("^(a+)+$", true), ("^(a|aa)+$", true), ("^((?=a)a+)+$", false)] {
            let validator = Validator::compile(&json!({"pattern": pattern})).unwrap();
            assert_eq!(validator.check(&json!(text)).is_err(), refused, "{pattern}");
            assert_eq!(validator.check(&json!("aaa")), Ok(()), "{pattern}");
        }
    }

    #[test]
    fn a_reference_elsewhere_is_not_fetched() {
        let schema = json!({"$ref": "http://127.0.0.1:9/schema.json"});
        assert!(Validator::compile(&schema).is_err());
    }
}

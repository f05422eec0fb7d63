//! Values against JSON Schemas (dialect 2020-12 unless `$schema` says otherwise; MCP 2025-11-25, basic/index § JSON Schema
//! Usage). References are never fetched: a schema that has some elsewhere does not compile.
//!
//! Schemas and values come from outside, so the work is bounded in advance (see [`outline`](super::outline)): what would cost
//! too much is not checked. `docs/decisions/bounded-schema-checks.md` has the reasons and the measurements.

use jsonschema::PatternOptions;
use serde_json::{Value, value::RawValue};

use super::{
    faults::{explain, shorten},
    json,
    keywords::subschemas,
    outline::Outline,
    pattern,
};

/// Bytes of a schema that is compiled.
const MAX_SCHEMA_BYTES: usize = 256 << 10;
/// Steps of one check, each of which takes 10 to 30 ns.
const MAX_STEPS: u64 = 1_000_000;
/// Visits of a check whose faults are gathered: each may be one, of half a kilobyte.
const MAX_EXPLAINED_VISITS: u64 = 10_000;

/// Faults named in one message.
const MAX_FAULTS: usize = 5;
/// Bytes that one compiled pattern takes.
const MAX_PATTERN_BYTES: usize = 1 << 20;
/// Bytes that all compiled patterns of a schema take.
const MAX_PATTERNS_BYTES: usize = 2 << 20;
/// Bytes that a compiled sub-schema takes, about.
const BYTES_PER_SCHEMA: usize = 2 << 10;

/// A compiled schema.
#[derive(Debug)]
pub struct Validator {
    schema: jsonschema::Validator,
    outline: Outline,
    bytes: usize,
}

/// Outcome of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The value is what the schema says.
    Valid,
    /// The value does not conform, for these faults, each with its path.
    Invalid(String),
    /// To check it would take too long.
    TooCostly,
}

impl Validator {
    /// Compiles a schema.
    ///
    /// # Errors
    /// Why it does not compile, or can't be checked against in bounded time.
    pub fn compile(schema: &RawValue) -> Result<Self, String> {
        let text_bytes = schema.get().len();
        if text_bytes > MAX_SCHEMA_BYTES {
            return Err(format!("it has {text_bytes} bytes, of at most {MAX_SCHEMA_BYTES}"));
        }
        let mut schema: Value = json::read(schema).map_err(|error| error.to_string())?;
        leave_out_patterns(&mut schema)?;
        let outline = Outline::of(&schema)?;
        let pattern_bytes = (MAX_PATTERNS_BYTES / outline.patterns().max(1)).min(MAX_PATTERN_BYTES);
        let compiled = jsonschema::options()
            .with_pattern_options(PatternOptions::regex().size_limit(pattern_bytes).dfa_size_limit(pattern_bytes))
            // Apps take dates and addresses in more forms than any standard has.
            .should_validate_formats(false)
            // It would read a text of JSON into a tree, whatever its size.
            .without_content_media_type_support("application/json")
            .build(&schema)
            .map_err(|error| shorten(&error))?;
        let bytes =
            text_bytes + outline.schemas() * BYTES_PER_SCHEMA + outline.patterns() * pattern_bytes.min(32 << 10);
        Ok(Self { schema: compiled, outline, bytes })
    }

    /// Memory that it takes, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Checks a value.
    #[must_use]
    pub fn check(&self, value: &Value) -> Verdict {
        let Some(cost) = self.outline.cost(value, MAX_STEPS) else { return Verdict::TooCostly };
        // Most values are valid, and this takes no memory: faults are gathered only where there are some.
        if self.schema.is_valid(value) {
            return Verdict::Valid;
        }
        if cost.visits <= MAX_EXPLAINED_VISITS && cost.steps() <= 10 * MAX_EXPLAINED_VISITS {
            let faults: Vec<String> = self.schema.iter_errors(value).take(MAX_FAULTS).map(|e| explain(&e)).collect();
            return if faults.is_empty() { Verdict::Valid } else { Verdict::Invalid(faults.join("; ")) };
        }
        // The first fault of an `anyOf` holds those of all its branches, which may be as many as the value has elements.
        let first = if self.outline.has_branches() { None } else { self.schema.validate(value).err() };
        Verdict::Invalid(first.map_or_else(
            || "/: it is not what the schema says, and too large to tell where".to_owned(),
            |error| explain(&error),
        ))
    }
}

/// Takes the patterns that look around out of a schema: a check without them is less strict, but takes no longer than its text.
///
/// # Errors
/// Where it would be stricter.
fn leave_out_patterns(schema: &mut Value) -> Result<(), String> {
    let mut found = Surroundings::default();
    found.look(schema);
    if found.is_looking_around && (found.is_negating || found.is_in_keys) {
        return Err("a pattern of it looks around, which makes other keywords depend on it".to_owned());
    }
    Ok(())
}

#[derive(Default)]
struct Surroundings {
    is_looking_around: bool,
    /// In the name of a member, where it decides which other schemas count.
    is_in_keys: bool,
    /// Something is valid because something else is not.
    is_negating: bool,
}

impl Surroundings {
    fn look(&mut self, schema: &mut Value) {
        let Value::Object(members) = schema else { return };
        if members.get("pattern").and_then(Value::as_str).is_some_and(pattern::looks_around) {
            members.shift_remove("pattern");
            self.is_looking_around = true;
        }
        self.is_negating |= ["not", "oneOf", "if", "maxContains"].iter().any(|keyword| members.contains_key(*keyword));
        if let Some(Value::Object(keys)) = members.get("patternProperties")
            && keys.keys().any(|key| pattern::looks_around(key))
        {
            (self.is_looking_around, self.is_in_keys) = (true, true);
        }
        for (keyword, value) in members.iter_mut() {
            for schema in subschemas(keyword, value) {
                self.look(schema);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn compile(schema: &Value) -> Result<Validator, String> {
        Validator::compile(&json::to_raw(schema))
    }

    fn faults(validator: &Validator, value: &Value) -> String {
        match validator.check(value) {
            Verdict::Invalid(faults) => faults,
            other => panic!("{other:?}"),
        }
    }

    /// `$defs` of which each refers to the next twice.
    fn doubling(keyword: &str, leaf: &Value) -> Value {
        let mut schema = json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/a0"}}, "$defs": {"a26": leaf}});
        for i in 0..26 {
            let next = json!({"$ref": format!("#/$defs/a{}", i + 1)});
            schema["$defs"][format!("a{i}")] = json!({keyword: [next, next]});
        }
        schema
    }

    #[test]
    fn a_fault_is_named_with_its_path() {
        let schema = json!({"type": "object", "properties": {"to": {"type": "array", "items": {"type": "string"}}}, "required": ["to"]});
        let validator = compile(&schema).unwrap();
        assert_eq!(validator.check(&json!({"to": ["a"]})), Verdict::Valid);
        assert!(faults(&validator, &json!({"to": ["a", 1]})).starts_with("/to/1: "));
        assert!(faults(&validator, &json!({})).starts_with("/: \"to\""));
    }

    #[test]
    fn a_format_is_advice() {
        for dialect in [
            "http://json-schema.org/draft-04/schema#",
            "http://json-schema.org/draft-07/schema#",
            "https://json-schema.org/draft/2020-12/schema",
        ] {
            for format in ["date-time", "email", "uri", "uuid", "ipv4", "unheard-of"] {
                let validator = compile(&json!({"$schema": dialect, "type": "string", "format": format})).unwrap();
                assert_eq!(validator.check(&json!("2026-11-26T07:00:00")), Verdict::Valid, "{dialect} {format}");
            }
        }
    }

    #[test]
    fn a_schema_is_read_in_the_dialect_that_it_names() {
        let is_valid = |schema: &Value, value: Value| compile(schema).unwrap().check(&value) == Verdict::Valid;
        let pair = json!([{"type": "integer"}, {"type": "string"}]);
        for dialect in [
            "http://json-schema.org/draft-04/schema#",
            "http://json-schema.org/draft-06/schema#",
            "http://json-schema.org/draft-07/schema#",
            "https://json-schema.org/draft/2019-09/schema",
        ] {
            let schema = json!({"$schema": dialect, "items": pair});
            assert!(is_valid(&schema, json!([1, "a"])) && !is_valid(&schema, json!(["a", 1])), "{dialect}");
        }
        for schema in [
            json!({"prefixItems": pair}),
            json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "prefixItems": pair}),
        ] {
            assert!(is_valid(&schema, json!([1, "a"])) && !is_valid(&schema, json!(["a", 1])), "{schema}");
        }
        let unknown = compile(&json!({"$schema": "https://example.com/dialect", "type": "string"}));
        assert!(unknown.is_err(), "a dialect that is not known is not taken for another");
    }

    #[test]
    fn a_pattern_takes_no_longer_than_it_should() {
        let text = "a".repeat(100_000) + "!";
        // Each tries every way to cut the text, of which there are more than anyone can wait for.
        for (pattern, refused) in [("^(a+)+$", true), ("^(a|aa)+$", true), ("^((?=a)a+)+$", false)] {
            let validator = compile(&json!({"pattern": pattern})).unwrap();
            let verdict = validator.check(&json!(text));
            assert_eq!(matches!(verdict, Verdict::Invalid(_)), refused, "{pattern}");
            assert_eq!(validator.check(&json!("aaa")), Verdict::Valid, "{pattern}");
        }
        let costly = compile(&json!({"items": {"pattern": "[01]*1[01]{900}x"}})).unwrap();
        assert_eq!(costly.check(&json!(vec!["01".repeat(50_000); 10])), Verdict::TooCostly);
        assert_ne!(costly.check(&json!(vec!["01".repeat(1_000); 3])), Verdict::TooCostly);
    }

    #[test]
    fn a_pattern_that_looks_around_is_left_out_where_that_is_less_strict() {
        let password = json!({"type": "string", "pattern": "^(?=.*[0-9]).+$"});
        let validator = compile(&json!({"properties": {"a": password, "b": {"type": "integer"}}})).unwrap();
        assert_eq!(validator.check(&json!({"a": "no digit"})), Verdict::Valid);
        assert!(faults(&validator, &json!({"a": 1, "b": "c"})).contains("/b: "));
        for schema in [
            json!({"not": password}),
            json!({"oneOf": [password, {"minLength": 3}]}),
            json!({"properties": {"a": {"if": password, "then": {"maxLength": 1}}}}),
            json!({"patternProperties": {"^(?!x-)": {"type": "string"}}, "additionalProperties": false}),
        ] {
            assert!(compile(&schema).unwrap_err().contains("looks around"), "{schema}");
        }
    }

    #[test]
    fn a_reference_elsewhere_is_not_fetched() {
        let schema = json!({"$ref": "http://127.0.0.1:9/schema.json"});
        assert!(compile(&schema).is_err());
    }

    #[test]
    fn a_schema_that_expands_to_too_much_does_not_compile() {
        for keyword in ["anyOf", "allOf", "oneOf"] {
            let schema = doubling(keyword, &json!({"type": "string"}));
            let error = compile(&schema).unwrap_err();
            assert!(error.contains("expands"), "{keyword}: {error}");
        }
        let many: Vec<String> = (0..200_000).map(|i| format!("name-{i}")).collect();
        assert!(compile(&json!({"required": many})).unwrap_err().contains("bytes"));
        let circle = json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"anyOf": [{"$ref": "#/$defs/a"}]}}});
        assert!(compile(&circle).unwrap_err().contains("lead to each other"));
    }

    #[test]
    fn a_value_on_which_a_schema_multiplies_is_not_checked() {
        let schema =
            json!({"anyOf": [{"type": "string"}, {"items": {"$ref": "#"}}, {"items": {"anyOf": [{"$ref": "#"}]}}]});
        let validator = compile(&schema).unwrap();
        let nested = |depth: usize| (0..depth).fold(json!(1), |value, _| json!([value]));
        assert_eq!(validator.check(&nested(5)), Verdict::Valid);
        assert_eq!(validator.check(&nested(26)), Verdict::TooCostly);
    }

    #[test]
    fn faults_of_a_large_value_are_not_gathered() {
        let rows = json!({"rows": vec![1; 100_000]});
        let plain = compile(&json!({"properties": {"rows": {"items": {"type": "string"}}}})).unwrap();
        assert_eq!(faults(&plain, &rows), "/rows/0: 1 is not of type \"string\"");
        let either = json!({"anyOf": [{"type": "string"}, {"type": "object"}]});
        let branching = compile(&json!({"properties": {"rows": {"items": either}}})).unwrap();
        assert!(faults(&branching, &rows).contains("too large to tell where"));
        assert!(faults(&branching, &json!({"rows": ["a", 1]})).starts_with("/rows/1: "));
    }

    #[test]
    fn a_fault_of_any_length_is_told_in_short() {
        let validator = compile(&json!({"additionalProperties": {"type": "integer"}})).unwrap();
        let told = faults(&validator, &json!({"k".repeat(1_000_000): "v".repeat(1_000_000)}));
        assert!(told.chars().count() < 1_000, "{} characters", told.len());
    }

    #[test]
    fn the_stack_is_large_enough_for_what_is_checked() {
        let schema = json!({"anyOf": [{"type": "string"}, {"allOf": [{"type": "array", "items": {"$ref": "#"}}]}]});
        let validator = compile(&schema).unwrap();
        let nested = |depth: usize, leaf: Value| (0..depth).fold(leaf, |value, _| json!([value]));
        let deepest =
            (1..127).take_while(|depth| validator.check(&nested(*depth, json!("a"))) == Verdict::Valid).last();
        let deepest = deepest.unwrap();
        assert!((40..126).contains(&deepest), "{deepest}");
        assert!(!faults(&validator, &nested(deepest, json!(1))).is_empty());
        let wide = json!({"a": vec![json!("a"); 20_000], "b": nested(60, json!({}))});
        let any = json!({"additionalProperties": {"$ref": "#"}, "items": {"$ref": "#"}, "maxProperties": 9});
        assert_eq!(compile(&any).unwrap().check(&wide), Verdict::Valid);
    }

    #[test]
    fn the_deepest_schema_compiles_on_a_workers_stack() {
        let schema = (0..60).fold(json!({"type": "string"}), |schema, _| json!({"items": schema}));
        assert!(compile(&schema).is_ok());
        let schema = (0..60).fold(json!({"type": "string"}), |schema, _| json!({"properties": {"a": schema}}));
        assert!(compile(&schema).is_ok());
    }
}

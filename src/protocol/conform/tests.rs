use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::protocol::{json::to_raw, loosen::loosen};

fn conformed(schema: &Value, output: &str) -> String {
    let published = loosen(&to_raw(schema)).unwrap();
    let output: &RawValue = serde_json::from_str(output).unwrap();
    conform(Some(&json::compact(output.to_owned())), &published).get().to_owned()
}

#[test]
fn what_conforms_stays_as_it_is_written() {
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}, "s": {"type": "string"}}});
    for (output, expected) in [
        ("{ \"n\" : 1.0,\n \"s\":\"\\u00e9 ,\", \"x\": [ -0, {} ] }", "{\"n\":1.0,\"s\":\"\\u00e9 ,\",\"x\":[-0,{}]}"),
        (r#"{"n":1e3,"s":null}"#, r#"{"n":1e3,"s":null}"#),
        (r#"{"n":12345678901234567890123}"#, r#"{"n":12345678901234567890123}"#),
        ("{}", "{}"),
        (r#"{"s":"{","n":2}"#, r#"{"s":"{","n":2}"#),
        (r#"{"x":["[",1],"y":{"a":"{","b":1}}"#, r#"{"x":["[",1],"y":{"a":"{","b":1}}"#),
    ] {
        assert_eq!(conformed(&schema, output), expected);
    }
}

#[test]
fn a_wrong_type_within_is_left_out() {
    let schema = json!({"type": "object", "properties": {
        "n": {"type": "integer"}, "list": {"type": "array", "items": {"type": "string"}},
        "o": {"type": "object", "properties": {"b": {"type": "boolean"}}, "additionalProperties": {"type": "number"}},
    }});
    for (output, expected) in [
        (r#"{"n":1.5,"list":"a"}"#, "{}"),
        (r#"{"n":"1","list":["a",1,null,[["b"]],"c"]}"#, r#"{"list":["a",null,"c"]}"#),
        (r#"{"o":{"b":"true","x":1,"y":"z"},"n":2}"#, r#"{"o":{"x":1},"n":2}"#),
        (r#"{"o":[1],"\u006e":"x","n":3}"#, r#"{"n":3}"#),
        (r#"{"list":[1,2,"a",3,4,"b",5],"n":true,"o":{"x":"a","y":"b","z":1}}"#, r#"{"list":["a","b"],"o":{"z":1}}"#),
        (r#"{"n":1e400,"free":[1e400,-1e999,5],"list":null}"#, r#"{"free":[5],"list":null}"#),
    ] {
        assert_eq!(conformed(&schema, output), expected, "{output}");
    }
}

#[test]
fn an_output_of_another_type_is_wrapped() {
    let object = json!({"type": "object", "properties": {"id": {"type": "string"}}});
    let value = json!({"type": "object", "properties": {"value": {"type": "string"}}});
    let numbers = json!({"type": "object", "additionalProperties": {"type": "number"}});
    let list = json!({"type": "array", "items": {"type": "integer"}});
    for (schema, output, expected) in [
        (&object, "[1,{\"id\":5}]", "{\"value\":[1,{\"id\":5}]}"),
        (&object, "\"text\"", "{\"value\":\"text\"}"),
        (&object, "0", "{\"value\":0}"),
        (&object, "null", "{}"),
        (&value, "[1]", "{}"),
        (&value, "\"x\"", "{\"value\":\"x\"}"),
        (&numbers, "true", "{}"),
        (&list, "[1,\"a\",2]", "[1,2]"),
        (&list, "7", "[7]"),
        (&list, "{\"a\":1}", "[]"),
        (&list, "null", "[]"),
    ] {
        assert_eq!(conformed(schema, output), expected, "{schema} {output}");
    }
    let published = loosen(&to_raw(&object)).unwrap();
    assert_eq!(conform(None, &published).get(), "{}");
}

#[test]
fn a_value_that_is_nested_too_deep_is_left_out() {
    let schema = json!({"type": "object"});
    let deep = |depth: usize| format!(r#"{{"a":{}{},"b":1}}"#, "[".repeat(depth), "]".repeat(depth));
    assert_eq!(conformed(&schema, &deep(MAX_DEPTH - 1)), deep(MAX_DEPTH - 1));
    let cut = conformed(&schema, &deep(100_000));
    assert_eq!(cut, deep(MAX_DEPTH - 1));
}

/// Any JSON, with names and types that schemas speak of.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<f32>().prop_map(Value::from),
        "[a-c{\\[,\"\\\\é]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(name(), inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c", "value", "\"", "é"]).prop_map(str::to_owned)
}

/// Schemas of every form, good and bad.
fn schema() -> impl Strategy<Value = Value> {
    let types = prop::sample::select(vec![
        json!("object"),
        json!("array"),
        json!("string"),
        json!("number"),
        json!("integer"),
        json!("boolean"),
        json!("null"),
        json!("any"),
        json!(["string", "null"]),
        json!(["array", "object"]),
        json!(7),
        json!(null),
    ]);
    let odd = prop::sample::select(vec![
        json!(true),
        json!(null),
        json!({}),
        json!({"$ref": "#"}),
        json!({"$ref": "#/properties/a"}),
        json!({"enum": ["a", 1, null]}),
        json!({"const": {"a": 1}}),
        json!({"type": "string", "format": "date-time"}),
    ]);
    let leaf = prop_oneof![odd, types.clone().prop_map(|types| json!({"type": types, "minLength": 3, "minimum": 7}))];
    leaf.prop_recursive(3, 30, 4, move |inner| {
        let properties = prop::collection::btree_map(name(), inner.clone(), 0..4);
        let branches = prop::collection::vec(inner.clone(), 0..3);
        let keyword = prop::sample::select(vec!["anyOf", "oneOf", "allOf"]);
        (types.clone(), properties, inner, branches, keyword, any::<[bool; 4]>()).prop_map(
            |(types, properties, inner, branches, keyword, [has_type, has_items, has_others, has_branches])| {
                let names: Vec<_> = properties.keys().cloned().chain(["ghost".to_owned()]).collect();
                let mut schema = json!({"properties": properties, "required": names});
                let members = [
                    ("type", has_type, types),
                    ("items", has_items, inner.clone()),
                    ("additionalProperties", has_others, inner),
                    (keyword, has_branches, json!(branches)),
                ];
                for (name, _, value) in members.into_iter().filter(|(_, is_there, _)| *is_there) {
                    schema[name] = value;
                }
                schema
            },
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_output_has_a_form_that_is_valid_by_the_published_schema(schema in schema(), output in value()) {
        let Some(published) = loosen(&to_raw(&schema)) else { return Ok(()) };
        let read: Value = json::read(&published).unwrap();
        prop_assert!(jsonschema::meta::is_valid(&read), "{read}");
        let validator = jsonschema::validator_for(&read).unwrap();
        let structured = conform(Some(&output.to_string()), &published);
        let structured: Value = json::read(&structured).unwrap();
        prop_assert!(validator.is_valid(&structured), "{read} {output} {structured}");
        prop_assert_eq!(validator.is_valid(&output), structured == output, "nothing is left out that conforms");
    }
}

//! Schemas as nobody should write them.

use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Map, Value, json};

/// Any schema, or what stands in the place of one.
pub fn any() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        4 => select(leaves()),
        1 => select(odd()),
    ];
    leaf.prop_recursive(6, 64, 5, |inner| {
        let names = select(vec![
            "a",
            "b",
            "First Name",
            "$filter",
            "ids[]",
            "创建",
            "",
            "x.y-z",
            "toString",
            "$ref",
            "type",
            "enum",
        ]);
        let properties = vec((names.clone(), inner.clone()), 0..5)
            .prop_map(|all| Value::Object(all.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()));
        let list = vec(inner.clone(), 0..4).prop_map(Value::Array);
        let required = vec(names, 0..4).prop_map(|names| json!(names));
        let member = prop_oneof![
            4 => properties.prop_map(|value| ("properties", value)),
            2 => required.prop_map(|value| ("required", value)),
            2 => inner.clone().prop_map(|value| ("items", value)),
            1 => list.clone().prop_map(|value| ("items", value)),
            1 => list.clone().prop_map(|value| ("prefixItems", value)),
            1 => inner.clone().prop_map(|value| ("additionalProperties", value)),
            2 => list.clone().prop_map(|value| ("anyOf", value)),
            1 => list.clone().prop_map(|value| ("oneOf", value)),
            1 => list.prop_map(|value| ("allOf", value)),
            1 => inner.clone().prop_map(|value| ("not", value)),
            1 => inner.prop_map(|value| ("$defs", json!({"a": value}))),
            4 => select(members()),
        ];
        vec(member, 0..6).prop_map(|all| {
            Value::Object(all.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>())
        })
    })
}

fn leaves() -> Vec<Value> {
    vec![
        json!({"type": "string"}),
        json!({"type": "object"}),
        json!({"type": "array"}),
        json!({"type": ["integer", "null"], "default": 1}),
        json!({"enum": ["a", "", 1, null, {"b": []}]}),
        json!({"const": "a", "description": "D"}),
        json!({"$ref": "#"}),
        json!({"$ref": "#/$defs/a"}),
        json!({"$ref": "#/properties/a"}),
        json!({}),
    ]
}

fn odd() -> Vec<Value> {
    vec![json!(true), json!(false), json!(null), json!(7), json!("string"), json!([]), json!({"type": "any"})]
}

fn members() -> Vec<(&'static str, Value)> {
    let values = json!({
        "type": ["string", "object", "array", "number", "null", ["string", "null"], ["object", "array"], [], 7, "any", null],
        "enum": [["a", "b"], [1, 2], [], null, ["a", 1.5, true, null]],
        "const": ["a", 1, null, true],
        "pattern": ["^a+$", "^(?=a)", "[", "\\p{L}", 7],
        "format": ["date-time", "uri", 7],
        "minimum": [1, "1", true],
        "exclusiveMinimum": [true, false, 0],
        "minLength": [1, -1, 1.5],
        "multipleOf": [0, 2],
        "required": [true, null, "a", ["a", 7]],
        "properties": [null, [], true],
        "items": [null, true, 7],
        "anyOf": [null, {}, []],
        "allOf": [null, 7],
        "additionalProperties": [false, true, null, 7],
        "title": ["T", 7],
        "description": ["D", null],
        "default": [null, "a", [1], {"type": ["x"]}],
        "examples": [["a"], "a"],
        "$id": ["https://x/y"],
        "$schema": ["http://json-schema.org/draft-04/schema#", "https://x/y", 7],
        "$anchor": ["n"],
        "$ref": ["#n", "https://x/y", "#/nowhere", 7],
        "nullable": [true],
        "allowCustom": [true],
        "x-mcp-header": ["A", "a b", 7],
        "if": [{"required": ["a"]}],
        "patternProperties": [{"^(?=a)": {"type": "string"}}, null],
        "unevaluatedProperties": [false],
        "readOnly": [true, "yes"],
    });
    let members = values.as_object().unwrap().iter().flat_map(|(keyword, values)| {
        let keyword: &'static str = keyword.clone().leak();
        values.as_array().unwrap().iter().map(move |value| (keyword, value.clone()))
    });
    members.collect()
}

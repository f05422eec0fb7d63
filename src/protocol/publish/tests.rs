#![expect(clippy::needless_pass_by_value, reason = "values are made on the spot, by json!")]

use serde_json::{Map, Value, json};

use super::{is_sound, publish, unions::any};

fn published(own: &Value) -> Value {
    let once = publish(own).schema;
    assert_eq!(publish(&once).schema, once, "publishing twice changes it again");
    assert!(!is_sound(own) || once == *own, "{own} would go out as it came");
    once
}

/// Returns the published form of a property of this schema.
fn property(own: Value) -> Value {
    published(&json!({"type": "object", "properties": {"a": own}}))["properties"]["a"].take()
}

fn faults(own: Value) -> usize {
    publish(&json!({"type": "object", "properties": {"a": own}})).faults.len()
}

fn anything() -> Value {
    any().into()
}

fn free_object() -> Value {
    json!({"type": "object", "properties": {}, "additionalProperties": true})
}

#[test]
fn branches_that_come_to_say_the_same_are_one() {
    let texts = json!([{"type": "string"}, {"type": "string", "default": "x"}, {"type": "boolean"}]);
    let told = property(json!({"anyOf": texts, "default": "x"}));
    assert_eq!(told, json!({"anyOf": [{"type": "string", "default": "x"}, {"type": "boolean"}]}));
}

#[test]
fn alternatives_end_with_another_than_an_array() {
    let (text, number) = (json!({"type": "string"}), json!({"type": "number"}));
    let list = |items: &Value| json!({"type": "array", "items": items});
    for (own, expected) in [
        (json!([text, list(&text)]), json!({"anyOf": [list(&text), text]})),
        (
            json!([number, text, list(&text), list(&number)]),
            json!({"anyOf": [number, list(&text), list(&number), text]}),
        ),
        (json!([list(&text), number]), json!({"anyOf": [list(&text), number]})),
        (json!([list(&text), list(&number)]), list(&json!({"anyOf": [text, number]}))),
        (json!([list(&list(&text)), list(&text)]), list(&json!({"anyOf": [list(&text), text]}))),
    ] {
        assert_eq!(property(json!({"anyOf": own})), expected, "{own}");
        assert_eq!(property(list(&json!({"oneOf": own}))), list(&expected), "{own}");
    }
    assert_eq!(property(json!({"type": ["string", "array"], "items": text})), json!({"anyOf": [list(&text), text]}));
    assert_eq!(anything()["anyOf"].as_array().unwrap().last(), Some(&free_object()));
}

#[test]
fn every_place_has_one_type() {
    for (own, expected) in [
        (json!({"type": ["string", "null"], "nullable": true}), json!({"type": "string"})),
        (json!({"type": ["number", "integer"]}), json!({"type": "number"})),
        (
            json!({"type": ["string", "number"], "minimum": 1, "maxLength": 2, "description": "D"}),
            json!({"anyOf": [{"type": "string", "maxLength": 2, "description": "D"}, {"type": "number", "minimum": 1}]}),
        ),
        (json!({"enum": ["a", "b", null]}), json!({"enum": ["a", "b"], "type": "string"})),
        (json!({"const": "a"}), json!({"type": "string", "enum": ["a"]})),
        (json!({"const": true}), json!({"type": "boolean", "description": "One of: true."})),
        (
            json!({"type": "integer", "enum": [1, 2, 2], "description": "Level"}),
            json!({"type": "integer", "description": "Level. One of: 1, 2."}),
        ),
        (
            json!({"enum": ["a", 1]}),
            json!({"anyOf": [{"type": "string", "enum": ["a"]}, {"type": "integer", "description": "One of: 1."}]}),
        ),
        (
            json!({"type": "string", "enum": ["a"], "allowCustom": true}),
            json!({"type": "string", "description": "Such as: \"a\"."}),
        ),
        (json!({"items": {"type": "string"}}), json!({"items": {"type": "string"}, "type": "array"})),
        (json!({"properties": {}}), free_object()),
        (json!({"type": "object"}), free_object()),
        (json!({"pattern": "^a$"}), json!({"pattern": "^a$", "type": "string"})),
        (json!({"maximum": 3}), json!({"maximum": 3, "type": "number"})),
        (json!({}), anything()),
        (json!({"type": "array"}), json!({"type": "array", "items": anything()})),
    ] {
        assert_eq!(property(own.clone()), expected, "{own}");
        assert_eq!(faults(own.clone()), 0, "{own}");
    }
}

#[test]
fn what_is_no_schema_is_mended_or_left_out() {
    for (own, expected) in [
        (json!(null), anything()),
        (json!(7), anything()),
        (json!({"type": "any"}), anything()),
        (json!({"type": 7, "enum": ["a"]}), json!({"type": "string", "enum": ["a"]})),
        (json!({"type": "string", "pattern": 7, "minLength": -1, "title": 7}), json!({"type": "string"})),
        (json!({"type": "object", "properties": null, "required": true}), free_object()),
        (json!({"type": "object", "required": null}), free_object()),
        (json!({"type": "array", "items": null}), json!({"type": "array", "items": anything()})),
        (json!({"$ref": "#/$defs/none"}), anything()),
        (json!({"$ref": "https://x/y", "type": "string"}), json!({"type": "string"})),
        (json!({"type": "object", "additionalProperties": 1}), free_object()),
        (json!({"allOf": {}, "type": "string"}), json!({"type": "string"})),
    ] {
        assert_eq!(property(own.clone()), expected, "{own}");
        // `required: true` was right once.
        assert_eq!(faults(own.clone()), 1, "{own}");
    }
    assert_eq!(property(json!(true)), anything());
    assert_eq!(
        published(&json!({"properties": {"a": false, "b": {"type": "string"}}, "required": ["a"]})),
        json!({"properties": {"b": {"type": "string"}}, "type": "object"})
    );
}

#[test]
fn keywords_of_older_drafts_are_told_in_those_of_the_newest() {
    for (own, expected) in [
        (
            json!({"type": "number", "minimum": 0, "exclusiveMinimum": true}),
            json!({"type": "number", "exclusiveMinimum": 0}),
        ),
        (json!({"type": "number", "maximum": 9, "exclusiveMaximum": false}), json!({"type": "number", "maximum": 9})),
        (
            json!({"type": "array", "items": [{"type": "string"}, {"type": "number"}], "additionalItems": false}),
            json!({"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "number"}]}}),
        ),
        (
            json!({"type": "array", "prefixItems": [{"type": "string"}], "items": false}),
            json!({"type": "array", "items": {"type": "string"}}),
        ),
        (json!({"type": "string", "required": true, "id": "x", "$comment": "c"}), json!({"type": "string"})),
    ] {
        assert_eq!(property(own.clone()), expected, "{own}");
        assert_eq!(faults(own.clone()), 0, "{own}");
    }
    let root = json!({"$schema": "http://json-schema.org/draft-04/schema#", "$id": "https://x/y", "id": "z", "type": "object"});
    assert_eq!(published(&root), json!({"type": "object", "properties": {}}));
}

#[test]
fn patterns_and_formats_that_some_do_not_know_are_left_out() {
    for pattern in ["^(?=.*a)", "[", r"\p{L}", "(?<!a)b"] {
        assert_eq!(property(json!({"type": "string", "pattern": pattern})), json!({"type": "string"}), "{pattern}");
    }
    assert_eq!(
        property(json!({"type": "string", "format": "date-time"})),
        json!({"type": "string", "format": "date-time"})
    );
    assert_eq!(
        property(json!({"type": "string", "format": "uri"})),
        json!({"type": "string", "description": "Format: uri."})
    );
    let described = json!({"type": "string", "format": "uri", "description": "Site"});
    assert_eq!(property(described), json!({"type": "string", "description": "Site. Format: uri."}));
}

#[test]
fn alternatives_of_the_root_become_the_union_of_properties() {
    let string = json!({"type": "string"});
    let by_id = json!({"properties": {"kind": {"const": "id"}, "id": string}, "required": ["kind", "id"]});
    let by_name = json!({"properties": {"kind": {"const": "name"}, "name": string, "id": {"type": "number"}}, "required": ["kind", "name"]});
    let kinds = json!({"type": "string", "enum": ["id", "name"]});
    let ids = json!({"anyOf": [string, {"type": "number"}]});
    for keyword in ["anyOf", "oneOf"] {
        let mut root = json!({"type": "object"});
        root[keyword] = json!([by_id, by_name]);
        let expected =
            json!({"type": "object", "properties": {"kind": kinds, "id": ids, "name": string}, "required": ["kind"]});
        assert_eq!(published(&root), expected);
    }
    let either = json!({"type": "object", "properties": {"a": string, "b": string}, "required": ["a"],
        "anyOf": [{"required": ["a"]}, {"required": ["b"]}]});
    assert_eq!(
        published(&either),
        json!({"type": "object", "properties": {"a": string, "b": string}, "required": ["a"]})
    );
    let all = json!({"allOf": [{"properties": {"a": string}, "required": ["a"]}, {"properties": {"b": string}, "required": ["b"]}]});
    assert_eq!(
        published(&all),
        json!({"type": "object", "properties": {"a": string, "b": string}, "required": ["a", "b"]})
    );
    let nested = json!({"anyOf": [{"oneOf": [by_id, by_name]}, {"type": "null"}, {"type": "string"}]});
    assert_eq!(published(&nested)["required"], json!(["kind"]));
    let conditional = json!({"type": "object", "properties": {"a": string}, "if": {"required": ["a"]}, "then": {"required": ["b"]}, "not": {}});
    assert_eq!(published(&conditional), json!({"type": "object", "properties": {"a": string}}));
}

#[test]
fn alternatives_within_stand_alone_and_null_is_none_of_them() {
    let string = json!({"type": "string"});
    for (own, expected) in [
        (
            json!({"anyOf": [string, {"type": "null"}], "description": "D"}),
            json!({"description": "D", "type": "string"}),
        ),
        (
            json!({"oneOf": [string, {"type": "integer"}], "title": "T", "default": 5}),
            json!({"anyOf": [string, {"type": "integer", "default": 5}]}),
        ),
        (
            json!({"anyOf": [{"const": "a"}, {"const": "b"}, {"enum": ["b", "c"]}]}),
            json!({"type": "string", "enum": ["a", "b", "c"]}),
        ),
        (
            json!({"type": "string", "anyOf": [{"format": "date"}, {"format": "time"}]}),
            json!({"anyOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "time"}]}),
        ),
        (
            json!({"anyOf": [{"type": "string", "description": "S"}, {"type": "number", "description": "N"}], "description": "D"}),
            json!({"anyOf": [{"type": "string", "description": "D. S"}, {"type": "number", "description": "N"}]}),
        ),
        (
            json!({"anyOf": [string, {"anyOf": [{"type": "number"}, string]}]}),
            json!({"anyOf": [string, {"type": "number"}]}),
        ),
        (
            json!({"type": "object", "properties": {"x": string}, "oneOf": [{"required": ["x"]}, {"properties": {"y": string}}]}),
            json!({"type": "object", "properties": {"x": string, "y": string}}),
        ),
    ] {
        assert_eq!(property(own.clone()), expected, "{own}");
    }
}

#[test]
fn references_are_put_in_place_and_circles_cut() {
    let own = json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/a", "description": "D"}, "x": {"$ref": "#named"}},
        "$defs": {"a": {"type": "object", "properties": {"next": {"$ref": "#/$defs/a"}, "name": {"$ref": "#/$defs/name"}}},
            "name": {"type": "string", "$anchor": "named"}}});
    let expected = json!({"type": "object", "properties": {
        "a": {"description": "D", "type": "object", "properties": {"next": free_object(), "name": {"type": "string"}}},
        "x": {"type": "string"},
    }});
    assert_eq!(published(&own), expected);
    assert_eq!(property(json!({"$ref": "#"})), free_object());

    let mut doubling =
        json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/a0"}}, "$defs": {"a26": {"type": "string"}}});
    for i in 0..26 {
        let next = json!({"$ref": format!("#/$defs/a{}", i + 1)});
        doubling["$defs"][format!("a{i}")] = json!({"type": "object", "properties": {"x": next, "y": next}});
    }
    assert!(published(&doubling).to_string().len() < 512 << 10);
}

#[test]
fn the_depth_has_an_end() {
    fn depth(schema: &Value) -> usize {
        let within = |schema: &Value| 1 + depth(schema);
        let lists = ["properties", "items", "additionalProperties"].iter().filter_map(|keyword| schema.get(*keyword));
        let schemas = lists.flat_map(|value| match value {
            Value::Object(members) if !members.contains_key("type") && !members.contains_key("anyOf") => {
                members.values().collect()
            }
            value => vec![value],
        });
        let branches = schema.get("anyOf").and_then(Value::as_array).into_iter().flatten();
        schemas.chain(branches).map(within).max().unwrap_or(0)
    }
    let string = json!({"type": "string"});
    let lists = (0..70).fold(string.clone(), |schema, _| json!({"type": "array", "items": schema}));
    let objects = (0..70).fold(string.clone(), |schema, _| json!({"type": "object", "properties": {"a": schema}}));
    let unions =
        (0..70).fold(string, |schema, _| json!({"anyOf": [{"type": "array", "items": schema}, {"type": "number"}]}));
    for own in [lists, objects, unions] {
        let published = published(&json!({"type": "object", "properties": {"a": own}}));
        assert!((20..=32).contains(&depth(&published)), "{}", depth(&published));
        assert_eq!(faults(own), 1);
    }
}

#[test]
fn lists_of_values_have_the_room_that_vendors_give_them() {
    let names = |count: usize, bytes: usize| (0..count).map(|i| format!("{i:0>bytes$}")).collect::<Vec<_>>();
    assert_eq!(property(json!({"type": "string", "enum": names(200, 4)}))["enum"].as_array().unwrap().len(), 200);
    assert!(property(json!({"type": "string", "enum": names(300, 100)})).get("enum").is_none());
    let many: Map<String, Value> =
        (0..9).map(|i| (format!("p{i}"), json!({"type": "string", "enum": names(240, 4)}))).collect();
    let published = published(&json!({"type": "object", "properties": many}));
    let listed =
        published["properties"].as_object().unwrap().values().filter(|property| property.get("enum").is_some());
    assert_eq!(listed.count(), 4);
    assert!(published["properties"]["p8"]["description"].as_str().unwrap().starts_with("One of: \"0000\", \"0001\""));
}

#[test]
fn a_sound_schema_is_known_without_writing_another() {
    let sound = json!({"type": "object", "description": "D", "properties": {
        "a": {"type": "string", "enum": ["x", "y"], "default": "x"},
        "b": {"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "string", "pattern": "^a$"}]}, "minItems": 1},
        "c": {"type": "object", "properties": {}, "additionalProperties": {"type": "number", "exclusiveMinimum": 0}},
    }, "required": ["a"], "additionalProperties": false});
    assert!(is_sound(&sound));
    assert_eq!(published(&sound), sound);
    for (pointer, value) in [
        ("/properties/a", json!({})),
        ("/properties/a/enum", json!(["x", "x"])),
        ("/properties/a/format", json!("uri")),
        ("/properties/b/items/anyOf", json!([{"type": "integer"}, {"type": "integer"}])),
        ("/properties/b/items/title", json!("T")),
        ("/properties/c", json!({"type": "object"})),
        ("/properties/d e", json!({"type": "string"})),
        ("/required", json!(["a", "a"])),
        ("/required", json!(["ghost"])),
        ("/anyOf", json!([])),
        ("/$id", json!("x")),
    ] {
        let mut own = sound.clone();
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        own.pointer_mut(parent).unwrap()[member] = value;
        assert!(!is_sound(&own) && published(&own) != own, "{own}");
    }
}

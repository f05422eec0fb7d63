use super::*;

fn loosened(schema: &Value) -> Value {
    loosen(&to_raw(schema)).map_or(Value::Null, |schema| json::read(&schema).unwrap())
}

/// Returns the published form of a property of this schema.
fn property(schema: &Value) -> Value {
    loosened(&json!({"type": "object", "properties": {"a": schema}}))["properties"]["a"].clone()
}

#[test]
fn types_and_names_stay_and_null_comes_beside_every_type() {
    let strict = json!({
        "$schema": "http://json-schema.org/draft-04/schema#", "$id": "https://x/y", "type": "object", "title": "T",
        "properties": {
            "id": {"type": "string", "format": "uuid", "pattern": "^(?=x)", "minLength": 1, "description": "Its id"},
            "state": {"enum": ["open", "closed"]},
            "size": {"type": ["integer", "null"], "exclusiveMinimum": true, "default": 7},
            "tags": {"type": "array", "items": {"type": "string", "nullable": false}, "uniqueItems": true},
            "map": {"type": "object", "additionalProperties": {"type": "number"}},
        },
        "required": ["id", "ghost"], "additionalProperties": false, "if": {}, "x-mcp-header": "A",
    });
    let expected = json!({
        "title": "T",
        "type": "object",
        "properties": {
            "id": {"description": "Its id", "type": ["string", "null"]},
            "state": {"type": ["string", "null"]},
            "size": {"type": ["integer", "null"]},
            "tags": {"type": ["array", "null"], "items": {"type": ["string", "null"]}},
            "map": {"type": ["object", "null"], "additionalProperties": {"type": ["number", "null"]}},
        },
    });
    assert_eq!(loosened(&strict), expected);
}

#[test]
fn names_that_every_object_of_javascript_has_are_left_out() {
    let inner = json!({"type": "object", "properties": {"valueOf": {"type": "number"}, "b": {"type": "number"}}});
    let own = json!({"type": "object", "properties": {"toString": {"type": "string"}, "constructor": {}, "a": inner}});
    let numbers = json!({"b": {"type": ["number", "null"]}});
    assert_eq!(loosened(&own)["properties"], json!({"a": {"type": ["object", "null"], "properties": numbers}}));
    assert_eq!(loosened(&json!({"properties": {"toString": {"type": "string"}}})), Value::Null, "nothing is left");
}

#[test]
fn what_is_no_schema_is_anything() {
    for odd in [
        json!(true),
        json!(false),
        json!(null),
        json!(7),
        json!({}),
        json!({"type": "any"}),
        json!({"type": 7}),
        json!({"type": ["string", "any"]}),
        json!({"type": []}),
        json!({"enum": null}),
        json!({"enum": []}),
        json!({"type": "null"}),
        json!({"$ref": "#/$defs/none"}),
        json!({"$ref": "https://x/y"}),
        json!({"$ref": 7}),
        json!({"properties": null}),
        json!({"anyOf": "x"}),
        json!({"anyOf": [{}, {"type": "string"}]}),
    ] {
        assert_eq!(property(&odd), json!({}), "{odd}");
    }
    let any_items = json!({"type": ["array", "null"], "items": {}});
    for items in [json!(null), json!(true), json!([{"type": "string"}]), json!([])] {
        assert_eq!(property(&json!({"type": "array", "items": items})), any_items, "{items}");
    }
    assert_eq!(property(&json!({"type": "array", "prefixItems": [{}], "items": {"type": "string"}})), any_items);
}

#[test]
fn references_and_branches_become_what_they_allow() {
    let string = json!({"type": "string"});
    let schema = json!({
        "type": "object",
        "properties": {
            "ref": {"$ref": "#/$defs/a%"}, "both": {"allOf": [{"type": ["number", "string"]}, {"type": "integer"}]},
            "either": {"description": "D", "oneOf": [string, {"type": "null"}, {"type": "array", "items": string}]},
            "kinds": {"anyOf": [
                {"properties": {"kind": {"const": "x"}, "x": string}, "type": "object"},
                {"properties": {"kind": {"const": 1}, "y": {"type": "boolean"}}, "type": "object"},
            ]},
            "again": {"$ref": "#"},
        },
        "$defs": {"a%": {"type": "object", "title": "A", "properties": {"next": {"$ref": "#/$defs/a%"}}}},
    });
    let properties = loosened(&schema)["properties"].clone();
    assert_eq!(properties["ref"], json!({"title": "A", "type": ["object", "null"], "properties": {"next": {}}}));
    assert_eq!(properties["both"], json!({"type": ["integer", "null"]}));
    let either =
        json!({"description": "D", "type": ["array", "string", "null"], "items": {"type": ["string", "null"]}});
    assert_eq!(properties["either"], either);
    let kinds = json!({"kind": {"type": ["string", "integer", "null"]}, "x": {"type": ["string", "null"]}, "y": {"type": ["boolean", "null"]}});
    assert_eq!(properties["kinds"], json!({"type": ["object", "null"], "properties": kinds}));
    assert_eq!(properties["again"]["properties"]["again"], json!({}), "a schema within itself is cut");
}

#[test]
fn a_root_is_an_object_or_an_array() {
    let string = json!({"type": "string"});
    for (schema, expected) in [
        (json!({}), Value::Null),
        (json!({"description": "says nothing"}), Value::Null),
        (json!({"type": "string"}), Value::Null),
        (json!({"enum": [1, 2]}), Value::Null),
        (json!([]), Value::Null),
        (json!(true), Value::Null),
        (json!({"type": "object"}), json!({"type": "object"})),
        (json!({"type": ["array", "object", "null"]}), json!({"type": "object"})),
        (
            json!({"properties": {"a": string}}),
            json!({"type": "object", "properties": {"a": {"type": ["string", "null"]}}}),
        ),
        (json!({"anyOf": [{"type": "object"}, string]}), json!({"type": "object"})),
        (json!({"type": "array", "items": string}), json!({"type": "array", "items": {"type": ["string", "null"]}})),
        (json!({"type": ["array", "null"]}), json!({"type": "array", "items": {}})),
        (json!({"$ref": "#/a", "a": {"type": "object"}}), json!({"type": "object"})),
    ] {
        assert_eq!(loosened(&schema), expected, "{schema}");
    }
}

#[test]
fn a_schema_that_multiplies_is_cut() {
    let mut schema =
        json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/a0"}}, "$defs": {"a26": {"type": "string"}}});
    for i in 0..26 {
        let next = json!({"$ref": format!("#/$defs/a{}", i + 1)});
        schema["$defs"][format!("a{i}")] = json!({"properties": {"x": next, "y": next}, "anyOf": [next, next]});
    }
    assert!(loosened(&schema).to_string().len() < 1 << 20);
    let deep = (0..50).fold(json!({}), |schema, _| json!({"type": "object", "properties": {"a": schema}}));
    let text = loosened(&deep).to_string();
    assert_eq!(text.matches("properties").count(), MAX_DEPTH + 1);
    let long =
        json!({"type": "object", "properties": {"a": {"type": "string", "description": "x".repeat(MAX_TEXT_BYTES)}}});
    assert_eq!(loosened(&long)["properties"]["a"], json!({"type": ["string", "null"]}));
    let many: Map<String, Value> = (0..100_000).map(|i| (format!("name-{i}"), json!({}))).collect();
    assert_eq!(loosened(&json!({"type": "object", "properties": many})), Value::Null, "it is too large to be read");
}

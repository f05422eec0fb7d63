//! An app of the sandbox whose schemas are attacks.

use serde_json::{Value, json};

/// An app whose schemas cost whoever compiles or expands them more than they are worth.
pub fn app() -> Value {
    let mut doubling = serde_json::Map::new();
    for level in 0..26 {
        let next = json!({"$ref": format!("#/$defs/a{}", level + 1)});
        doubling.insert(format!("a{level}"), json!({"anyOf": [next, next]}));
    }
    doubling.insert("a26".to_owned(), json!({"type": "integer"}));
    let nested = (0..26).fold(
        json!({"type": "string"}),
        |inner, _| json!({"anyOf": [{"type": "array", "items": inner}, {"type": "null"}]}),
    );
    let required: Vec<_> = (0..100_000).map(|number| format!("name{number}")).collect();
    let action = |key: &str, input: Value| {
        json!({"key": key, "name": key, "description": "Costs more than it is worth.", "type": "connector-operation", "inputSchema": input,
            "run": {"do": "output", "value": "done"}})
    };
    let object = |value: Value| json!({"type": "object", "properties": {"value": value}});
    json!({
        "integration": {"key": "hostile", "name": "Hostile", "logoUri": "https://static.example.com/h.svg"},
        "actions": [
            action("doubling", json!({"type": "object", "$defs": doubling, "properties": {"value": {"$ref": "#/$defs/a0"}}})),
            action("nested", object(nested)),
            action("required", json!({"type": "object", "required": required})),
            action("lookahead", object(json!({"type": "string", "pattern": "^((?=a)a+)+$"}))),
        ],
    })
}

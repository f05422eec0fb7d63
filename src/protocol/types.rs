//! Types of JSON Schema as bits of a byte, for those who read what a schema allows without compiling it.

use serde_json::{Map, Value};

/// Types by name, in the order in which they are published.
const TYPES: [(&str, u8); 7] = [
    ("object", OBJECT),
    ("array", ARRAY),
    ("string", STRING),
    ("number", NUMBER),
    ("integer", INTEGER),
    ("boolean", BOOLEAN),
    ("null", NULL),
];

/// Bit of the type `object`.
pub const OBJECT: u8 = 1;
/// Bit of the type `array`.
pub const ARRAY: u8 = 2;
/// Bit of the type `string`.
pub const STRING: u8 = 4;
/// Bit of the type `number`, which includes integers.
pub const NUMBER: u8 = 8;
/// Bit of the type `integer`.
pub const INTEGER: u8 = 16;
/// Bit of the type `boolean`.
pub const BOOLEAN: u8 = 32;
/// Bit of the type `null`.
pub const NULL: u8 = 64;

/// Returns the types that a schema itself names: by `type`, or by the values of `enum` or `const`. Nothing where it names
/// none, or one that JSON does not have.
#[must_use]
pub fn own(members: &Map<String, Value>) -> Option<u8> {
    let union = |bits: Vec<Option<u8>>| {
        let union: Option<Vec<u8>> = bits.into_iter().collect();
        union.map(|bits| bits.into_iter().fold(0, |union, bit| union | bit)).filter(|union| *union != 0)
    };
    match (members.get("type"), members.get("enum"), members.get("const")) {
        (Some(Value::String(name)), ..) => bit(name),
        (Some(Value::Array(names)), ..) => union(names.iter().map(|name| bit(name.as_str()?)).collect()),
        (_, Some(Value::Array(values)), _) => union(values.iter().map(|value| Some(of_value(value))).collect()),
        (_, _, Some(value)) => Some(of_value(value)),
        _ => None,
    }
}

/// Returns the bit of a type by its name.
#[must_use]
pub fn bit(name: &str) -> Option<u8> {
    TYPES.iter().find(|(known, _)| *known == name).map(|(_, bit)| *bit)
}

fn of_value(value: &Value) -> u8 {
    match value {
        Value::Null => NULL,
        Value::Object(_) => OBJECT,
        Value::Array(_) => ARRAY,
        Value::String(_) => STRING,
        Value::Number(number) if number.is_f64() => NUMBER,
        Value::Number(_) => INTEGER,
        Value::Bool(_) => BOOLEAN,
    }
}

/// Returns the types that two sets have in common: an integer is a number, too.
#[must_use]
pub fn both(one: u8, two: u8) -> u8 {
    let widened = |types: u8| if types & NUMBER != 0 { types | INTEGER } else { types };
    widened(one) & widened(two)
}

/// Returns the names of the types of a set.
pub fn names(types: u8) -> impl Iterator<Item = &'static str> {
    TYPES.iter().filter(move |(_, bit)| types & bit != 0).map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_names_types_by_name_or_by_value() {
        for (schema, expected) in [
            (json!({"type": "string"}), Some(STRING)),
            (json!({"type": ["integer", "null"]}), Some(INTEGER | NULL)),
            (json!({"enum": ["a", 1, 1.5, null]}), Some(STRING | INTEGER | NUMBER | NULL)),
            (json!({"const": {}}), Some(OBJECT)),
            (json!({"type": "any"}), None),
            (json!({"type": []}), None),
            (json!({"type": ["string", 7]}), None),
            (json!({"enum": null}), None),
            (json!({}), None),
        ] {
            assert_eq!(own(schema.as_object().unwrap()), expected, "{schema}");
        }
        assert_eq!(both(NUMBER | STRING, INTEGER), INTEGER);
        assert_eq!(names(NULL | STRING).collect::<Vec<_>>(), ["string", "null"]);
    }
}

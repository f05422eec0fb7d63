//! Repair of arguments that break their schema in a way that leaves no doubt of what is meant. Models and clients make
//! these faults by themselves, and a refusal costs a turn each time:
//! - null for a property that need not be there, which the strict mode of `OpenAI` sends for each, is left out;
//! - a text of JSON where an object or array is declared is read;
//! - `"5"` and `"true"` where a number or boolean is declared become 5 and true.
//!
//! The result is written from token to token: what is not repaired stays as it was sent, digit for digit. Whether the outcome is
//! valid is for a check to say.

use std::cell::Cell;

use serde_json::{Value, value::RawValue};

use super::{
    clean::{beginning, clean},
    json,
    tokens::{Token, Tokens},
    types::{self, ARRAY, BOOLEAN, INTEGER, NULL, NUMBER, OBJECT, STRING},
};

/// Schemas that describe one value in place of each other or together.
const MAX_BRANCHES: usize = 64;
/// References and branches within each other that are followed.
const MAX_DEPTH: usize = 8;
/// Sub-schemas that are looked at in all. Beyond them, any type is taken to do.
const MAX_VISITS: usize = 500_000;
/// Arrays and objects within each other, as many as a check takes.
const MAX_NESTING: usize = 127;
/// Repairs that are told of. More are made all the same.
const MAX_NOTES: usize = 20;
/// Bytes of a path in a note.
const MAX_PATH_BYTES: usize = 100;

/// Arguments that were repaired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mended {
    /// Arguments as they are now.
    pub json: String,
    /// Notes of the repairs, each with its path.
    pub notes: Vec<String>,
}

/// Repairs arguments by the schema that they are checked against. Returns nothing where there is nothing to repair.
#[must_use]
pub fn mend(schema: &RawValue, arguments: &RawValue) -> Option<Mended> {
    let root: Value = json::read(schema).ok()?;
    let mut mending = Mending {
        root: &root,
        visits_left: Cell::new(MAX_VISITS),
        json: String::with_capacity(arguments.get().len()),
        notes: Vec::new(),
    };
    let place = mending.place([&root]);
    mending.value(&mut Tokens::new(arguments.get()), &place, &Path::Root, 0);
    let Mending { json, notes, .. } = mending;
    (!notes.is_empty()).then_some(Mended { json, notes })
}

/// Schemas that describe a value, together or in place of each other, and the types that they leave it.
#[derive(Default)]
struct Place<'a> {
    schemas: Vec<&'a Value>,
    /// Types of the value, or none where any will do.
    types: Option<u8>,
}

/// Way from the root to a value, for notes.
enum Path<'a> {
    Root,
    Member(&'a Path<'a>, &'a str),
    Element(&'a Path<'a>, usize),
}

impl Path<'_> {
    fn write(&self, text: &mut String) {
        match self {
            Path::Root => {}
            Path::Member(parent, name) => {
                parent.write(text);
                text.push('/');
                text.push_str(name);
            }
            Path::Element(parent, index) => {
                parent.write(text);
                text.extend(["/", &index.to_string()]);
            }
        }
    }
}

struct Mending<'a> {
    root: &'a Value,
    visits_left: Cell<usize>,
    json: String,
    notes: Vec<String>,
}

impl<'a> Mending<'a> {
    /// Gathers all that schemas say of one value.
    fn place(&self, schemas: impl IntoIterator<Item = &'a Value>) -> Place<'a> {
        let mut place = Place::default();
        let mut types: Vec<Option<u8>> = Vec::new();
        for schema in schemas {
            types.push(self.types(schema, 0));
            self.gather(schema, &mut place.schemas, 0);
        }
        // Of several schemas, each may be the one that counts.
        place.types = types.into_iter().reduce(|one, two| Some(one? | two?)).flatten();
        place
    }

    fn gather(&self, schema: &'a Value, found: &mut Vec<&'a Value>, depth: usize) {
        if depth > MAX_DEPTH || found.len() >= MAX_BRANCHES || !self.visit() {
            return;
        }
        found.push(schema);
        if let Some(target) = self.target(schema) {
            self.gather(target, found, depth + 1);
        }
        for keyword in ["allOf", "anyOf", "oneOf"] {
            for schema in branches(schema, keyword) {
                self.gather(schema, found, depth + 1);
            }
        }
    }

    /// Returns the types that a schema leaves a value; nothing where any will do.
    fn types(&self, schema: &Value, depth: usize) -> Option<u8> {
        if depth > MAX_DEPTH || !self.visit() {
            return None;
        }
        let both = |one: Option<u8>, two: Option<u8>| match (one, two) {
            (Some(one), Some(two)) => Some(types::both(one, two)),
            (one, two) => one.or(two),
        };
        let mut types = schema.as_object().and_then(types::own);
        if let Some(target) = self.target(schema) {
            types = both(types, self.types(target, depth + 1));
        }
        for schema in branches(schema, "allOf").take(MAX_BRANCHES) {
            types = both(types, self.types(schema, depth + 1));
        }
        for keyword in ["anyOf", "oneOf"] {
            let either = branches(schema, keyword).take(MAX_BRANCHES).map(|schema| self.types(schema, depth + 1));
            types = both(types, either.reduce(|one, two| Some(one? | two?)).flatten());
        }
        types
    }

    /// Counts a sub-schema that is looked at, if it may be.
    fn visit(&self) -> bool {
        let left = self.visits_left.get().checked_sub(1);
        self.visits_left.set(left.unwrap_or_default());
        left.is_some()
    }

    /// Returns what a reference within the schema leads to.
    fn target(&self, schema: &Value) -> Option<&'a Value> {
        self.root.pointer(schema.get("$ref")?.as_str()?.strip_prefix('#')?)
    }

    /// Takes a value, and writes it as repaired.
    fn value(&mut self, tokens: &mut Tokens<'_>, place: &Place<'a>, path: &Path<'_>, depth: usize) {
        match tokens.peek() {
            Some(Token::Open('{')) if depth < MAX_NESTING => self.object(tokens, place, path, depth),
            Some(Token::Open('[')) if depth < MAX_NESTING => self.array(tokens, place, path, depth),
            Some(Token::Text(text)) => {
                tokens.next();
                let types = place.types.filter(|types| types & STRING == 0);
                match types.and_then(|types| read_text(text, types)) {
                    Some((json, what)) => {
                        self.note(path, &format!("a text was read as {what}"));
                        if what == JSON {
                            self.value(&mut Tokens::new(&json), place, path, depth);
                        } else {
                            self.json.push_str(&json);
                        }
                    }
                    None => self.json.push_str(text),
                }
            }
            _ => self.json.push_str(tokens.value()),
        }
    }

    fn object(&mut self, tokens: &mut Tokens<'_>, place: &Place<'a>, path: &Path<'_>, depth: usize) {
        tokens.next();
        self.json.push('{');
        while let Some(Token::Text(written)) = tokens.next() {
            tokens.take_if(Token::Colon);
            let name: String = serde_json::from_str(written).unwrap_or_default();
            let properties = place.schemas.iter().filter_map(|schema| schema.get("properties")?.get(&name));
            let property = self.place(properties);
            let path = Path::Member(path, &name);
            let is_null = tokens.peek() == Some(Token::Word("null"));
            let is_refused = property.types.is_some_and(|types| types & NULL == 0);
            let is_required = || place.schemas.iter().any(|schema| requires(schema, &name));
            if is_null && is_refused && !is_required() {
                tokens.next();
                self.note(&path, "null was left out");
            } else {
                if !self.json.ends_with('{') {
                    self.json.push(',');
                }
                self.json.push_str(written);
                self.json.push(':');
                self.value(tokens, &property, &path, depth + 1);
            }
            if !tokens.take_if(Token::Comma) {
                tokens.next();
                break;
            }
        }
        self.json.push('}');
    }

    fn array(&mut self, tokens: &mut Tokens<'_>, place: &Place<'a>, path: &Path<'_>, depth: usize) {
        let items = place.schemas.iter().filter_map(|schema| schema.get("items").filter(|items| items.is_object()));
        let items = self.place(items);
        tokens.next();
        self.json.push('[');
        let mut index = 0;
        while !matches!(tokens.peek(), None | Some(Token::Close(_))) {
            if index > 0 {
                self.json.push(',');
            }
            self.value(tokens, &items, &Path::Element(path, index), depth + 1);
            tokens.take_if(Token::Comma);
            index += 1;
        }
        tokens.next();
        self.json.push(']');
    }

    fn note(&mut self, path: &Path<'_>, what: &str) {
        if self.notes.len() < MAX_NOTES {
            let mut place = String::new();
            path.write(&mut place);
            if place.len() > MAX_PATH_BYTES {
                place = format!("{}…", beginning(&place, MAX_PATH_BYTES));
            }
            self.notes.push(format!("{}: {what}", if place.is_empty() { "/" } else { &place }));
        }
    }
}

fn branches<'a>(schema: &'a Value, keyword: &str) -> impl Iterator<Item = &'a Value> {
    schema.get(keyword).and_then(Value::as_array).into_iter().flatten()
}

fn requires(schema: &Value, name: &str) -> bool {
    branches(schema, "required").any(|required| required == name)
}

/// How a text of an object or array is called in a note.
const JSON: &str = "JSON";

/// Reads a text, with its quotes, as a value of one of these types: exactly what it says, or nothing.
fn read_text(text: &str, types: u8) -> Option<(String, &'static str)> {
    let text: String = serde_json::from_str(text).ok()?;
    let has = |bit: u8| types & bit != 0;
    let first = text.trim_start().chars().next()?;
    if (first == '{' && has(OBJECT)) || (first == '[' && has(ARRAY)) {
        let json: Box<RawValue> = serde_json::from_str(&clean(text.as_bytes())).ok()?;
        // What it holds is checked, and so it must be possible to read it.
        return json::read::<Value>(&json).is_ok().then(|| (json.get().to_owned(), JSON));
    }
    if has(BOOLEAN) && matches!(text.as_str(), "true" | "false") {
        return Some((text, "a boolean"));
    }
    let is_number = matches!(first, '-' | '0'..='9') && serde_json::from_str::<serde_json::Number>(&text).is_ok();
    let is_plain = is_number && text.trim().len() == text.len();
    let is_integer = is_plain && !text.contains(['.', 'e', 'E']);
    ((is_integer && has(INTEGER)) || (is_plain && has(NUMBER))).then_some((text, "a number"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::protocol::json::to_raw;

    fn mended(schema: &Value, arguments: &str) -> Option<(String, String)> {
        let mended = mend(&to_raw(schema), serde_json::from_str(arguments).unwrap())?;
        Some((mended.json, mended.notes.join("; ")))
    }

    /// Returns the published form of a property `a` with this schema.
    fn property(schema: &Value, value: &str) -> Option<String> {
        let object = json!({"type": "object", "properties": {"a": schema, "b": {}}, "required": ["b"]});
        mended(&object, &format!(r#"{{"a":{value},"b":1.50}}"#)).map(|(json, _)| json)
    }

    #[expect(clippy::unnecessary_wraps, reason = "it is compared with what may be nothing")]
    fn some(value: &str) -> Option<String> {
        Some(format!(r#"{{"a":{value},"b":1.50}}"#))
    }

    #[test]
    fn a_text_becomes_what_is_declared_and_nothing_else_does() {
        let (integer, number) = (json!({"type": "integer"}), json!({"type": "number"}));
        let (boolean, list) = (json!({"type": "boolean"}), json!({"type": "array", "items": {"type": "integer"}}));
        let object = json!({"type": "object", "properties": {"n": {"type": "integer"}}});
        for (schema, value, expected) in [
            (&integer, r#""5""#, some("5")),
            (&integer, r#""-12345678901234567890123""#, some("-12345678901234567890123")),
            (&integer, r#""5.0""#, None),
            (&integer, r#"" 5""#, None),
            (&integer, r#""5 apples""#, None),
            (&integer, r#""05""#, None),
            (&integer, r#""0x5""#, None),
            (&integer, r#""""#, None),
            (&integer, r#""true""#, None),
            (&number, r#""1.50""#, some("1.50")),
            (&number, r#""1e400""#, None),
            (&number, r#""NaN""#, None),
            (&boolean, r#""true""#, some("true")),
            (&boolean, r#""True""#, None),
            (&boolean, r#""1""#, None),
            (&boolean, "1", None),
            (&list, r#""[1, 2]""#, some("[1,2]")),
            (&list, r#""[\"3\"]""#, some("[3]")),
            (&list, r#""1,2""#, None),
            (&list, r#""[1""#, None),
            (&list, r#""{}""#, None),
            (&list, r#"["7",8]"#, some("[7,8]")),
            (&object, r#""{\"n\": 1.0, \"x\": \"\\ud83d\"}""#, some(r#"{"n":1.0,"x":"\ufffd"}"#)),
            (&object, r#"{"n":"1"}"#, some(r#"{"n":1}"#)),
            (&object, r#""[1]""#, None),
            (&json!({"type": ["string", "integer"]}), r#""5""#, None),
            (&json!({"type": "string"}), "5", None),
            (&json!({}), r#""5""#, None),
            (&json!({"enum": [1, 5]}), r#""5""#, some("5")),
            (&json!({"anyOf": [{"type": "integer"}, {"type": "null"}]}), r#""5""#, some("5")),
            (&json!({"anyOf": [{"type": "integer"}, {"type": "string"}]}), r#""5""#, None),
            (&json!({"anyOf": [{"type": "integer"}, {}]}), r#""5""#, None),
            (&json!({"allOf": [{"minimum": 1}, {"type": "integer"}]}), r#""5""#, some("5")),
        ] {
            assert_eq!(property(schema, value), expected, "{schema} {value}");
        }
    }

    #[test]
    fn null_for_what_need_not_be_there_is_left_out() {
        let schema = json!({
            "type": "object",
            "properties": {
                "to": {"type": "string"}, "cc": {"type": "array", "items": {"type": "string"}}, "any": {},
                "maybe": {"type": ["string", "null"]}, "of": {"$ref": "#/$defs/of"}, "e": {"enum": ["a"]},
            },
            "required": ["to"],
            "$defs": {"of": {"type": "object", "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}}, "required": ["y"]}},
        });
        let (json, notes) = mended(
            &schema,
            r#"{"to":null,"cc":null,"any":null,"maybe":null,"e":null,"new":null,"of":{"x":null,"y":null}}"#,
        )
        .unwrap();
        assert_eq!(json, r#"{"to":null,"any":null,"maybe":null,"new":null,"of":{"y":null}}"#);
        assert_eq!(notes, "/cc: null was left out; /e: null was left out; /of/x: null was left out");
        assert_eq!(mended(&schema, r#"{"cc":[null,"a"]}"#), None, "an element is no property");
        assert_eq!(mended(&schema, r#"{ "of" : null }"#).unwrap().0, "{}");
    }

    #[test]
    fn what_is_not_repaired_stays_as_it_was_sent() {
        let schema = json!({"properties": {"n": {"type": "integer"}}});
        let (json, notes) = mended(
            &schema,
            "{ \"big\": 12345678901234567890.10, \"s\": \"\\u00e9\", \"s\": [ {} , [] ], \"n\": \"1\" }",
        )
        .unwrap();
        assert_eq!(json, "{\"big\":12345678901234567890.10,\"s\":\"\\u00e9\",\"s\":[{},[]],\"n\":1}");
        assert_eq!(notes, "/n: a text was read as a number");
        for sound in ["{}", "{\"n\":1}", "[]", "{\"n\":[\"1\"]}"] {
            assert_eq!(mended(&schema, sound), None);
        }
    }

    #[test]
    fn repair_takes_bounded_time_and_tells_in_short() {
        let mut schema = json!({"properties": {"a": {"$ref": "#/$defs/a0"}}, "$defs": {"a26": {"type": "integer"}}});
        for i in 0..26 {
            let next = json!({"$ref": format!("#/$defs/a{}", i + 1)});
            schema["$defs"][format!("a{i}")] = json!({"anyOf": [next, next]});
        }
        assert_eq!(mended(&schema, r#"{"a":"1"}"#), None);
        let list = json!({"type": "array", "items": {"type": "integer"}});
        let many = json!(vec!["1"; 50_000]).to_string();
        let mended = mend(&to_raw(&list), serde_json::from_str(&many).unwrap()).unwrap();
        assert_eq!((mended.json.len(), mended.notes.len()), (100_001, MAX_NOTES));
        let recursive =
            json!({"type": "object", "properties": {"k".repeat(50): {"$ref": "#"}, "n": {"type": "integer"}}});
        let deep = (0..60).fold(r#"{"n":"1"}"#.to_owned(), |inner, _| format!(r#"{{"{}":{inner}}}"#, "k".repeat(50)));
        assert!(self::mended(&recursive, &deep).unwrap().1.len() < 2 * MAX_PATH_BYTES);
    }
}

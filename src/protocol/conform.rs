//! Structured results: outputs of actions as they conform to the output schema that was published (MCP 2025-11-25,
//! server/tools § Output Schema), which is a loosened one (see [`loosen`](super::loosen)).
//!
//! Every output has such a form. Values are never changed, only left out:
//! - no output is an empty object, or an empty array where the schema is of arrays;
//! - an output of another type than the schema's root is wrapped, as `{"value": …}` or `[…]`;
//! - a member or element of a wrong type is left out, and so is a value that many clients can't read: one nested too deep,
//!   and a number beyond every float.
//!
//! The work is one walk over the text, which is copied but for what is left out: an output of any size takes linear time and no
//! tree.

use std::{borrow::Cow, collections::HashMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    json,
    types::{self, ARRAY, BOOLEAN, INTEGER, NULL, NUMBER, OBJECT, STRING},
};

/// Member under which an output stands that is no object, where the schema is of objects.
const WRAPPED: &str = "value";

/// Arrays and objects of a structured result within each other. Many JSON parsers take 128, envelopes included.
const MAX_DEPTH: usize = 100;

/// Digits of which every number without an exponent is a float.
const MAX_DIGITS: usize = 300;

/// The part of a published output schema that results conform to.
#[derive(Debug, Default, Deserialize)]
struct Shape<'a> {
    #[serde(default, rename = "type")]
    types: Types,
    #[serde(default, borrow)]
    properties: HashMap<Name<'a>, Shape<'a>>,
    #[serde(default, borrow)]
    items: Option<Box<Shape<'a>>>,
    /// Schema of members without a schema of their own.
    #[serde(default, borrow, rename = "additionalProperties")]
    others: Option<Box<Shape<'a>>>,
}

/// Name of a property, which is seldom escaped.
#[derive(Debug, PartialEq, Eq, Hash, Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl std::borrow::Borrow<str> for Name<'_> {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Bits of the types that a schema allows. None of them allows all.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Types(u8);

impl<'de> Deserialize<'de> for Types {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Types;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a type or a list of types")
            }

            fn visit_str<E>(self, name: &str) -> Result<Types, E> {
                Ok(Types(types::bit(name).unwrap_or_default()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Types, A::Error> {
                let mut types = 0;
                while let Some(Name(name)) = names.next_element()? {
                    types |= types::bit(&name).unwrap_or_default();
                }
                Ok(Types(types))
            }
        }
        deserializer.deserialize_any(Names)
    }
}

/// Types of a number that many clients can't read: none, though any will do.
const NOT_READABLE: u8 = 0;

impl Types {
    /// Returns whether a value of these types is allowed.
    fn has_any_of(self, types: u8) -> bool {
        types != NOT_READABLE && (self.0 == 0 || self.0 & types != 0)
    }
}

/// Returns the structured form of an output, which is JSON without white space, for a published output schema.
#[must_use]
pub fn conform(output: Option<&str>, published: &RawValue) -> Box<RawValue> {
    // The schema is one that `loosen` wrote.
    let shape: Shape<'_> = serde_json::from_str(published.get()).unwrap_or_default();
    let output = output.filter(|output| !output.is_empty() && *output != "null");
    let structured = match (shape.types.0 == ARRAY, output) {
        (true, None) => "[]".to_owned(),
        (false, None) => "{}".to_owned(),
        (true, Some(output)) if output.starts_with('[') => walk(output, Some(&shape), 0).unwrap_or_default(),
        (false, Some(output)) if output.starts_with('{') => walk(output, Some(&shape), 0).unwrap_or_default(),
        (true, Some(output)) => format!("[{}]", walk(output, shape.items.as_deref(), 1).unwrap_or_default()),
        (false, Some(output)) => {
            let member = shape.properties.get(WRAPPED).or(shape.others.as_deref());
            let value = walk(output, member, 1);
            value.map_or_else(|| "{}".to_owned(), |value| format!("{{\"{WRAPPED}\":{value}}}"))
        }
    };
    // Whole values of a valid text make a valid one.
    RawValue::from_string(structured).unwrap_or_else(|_never| json::to_raw(&serde_json::Map::new()))
}

/// Returns as much of a value as conforms. Nothing where it is of a wrong type itself.
fn walk(output: &str, shape: Option<&Shape<'_>>, depth: usize) -> Option<String> {
    // Mostly all of it conforms. A text that grew would take up to thrice its bytes while it is moved.
    let mut walk = Walk { text: output, at: 0, copied: 0, out: String::with_capacity(output.len()) };
    if !walk.value(shape, depth) {
        return None;
    }
    walk.cut(output.len()..output.len());
    Some(walk.out)
}

/// A walk over JSON without white space.
struct Walk<'a> {
    text: &'a str,
    /// Place of the walk.
    at: usize,
    /// End of the text that was copied or left out.
    copied: usize,
    out: String,
}

impl Walk<'_> {
    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    /// Leaves out a part of the text, and copies all before it. Whether a value is left out shows by its first byte, so parts
    /// come in their order, and none within another.
    fn cut(&mut self, part: std::ops::Range<usize>) {
        self.out.push_str(self.text.get(self.copied..part.start).unwrap_or_default());
        self.copied = part.end;
    }

    /// Walks over a value. Returns whether it may stay.
    fn value(&mut self, shape: Option<&Shape<'_>>, depth: usize) -> bool {
        let types = shape.map_or(Types::default(), |shape| shape.types);
        match self.byte(self.at) {
            Some(open @ (b'{' | b'[')) => {
                let r#type = if open == b'{' { OBJECT } else { ARRAY };
                if depth >= MAX_DEPTH || !types.has_any_of(r#type) {
                    self.skip();
                    return false;
                }
                self.at += 1;
                match open {
                    b'{' => self.members(shape, depth + 1),
                    _ => self.elements(shape, depth + 1),
                }
                true
            }
            Some(b'"') => {
                self.string();
                types.has_any_of(STRING)
            }
            Some(_) => types.has_any_of(self.word()),
            None => false,
        }
    }

    fn members(&mut self, shape: Option<&Shape<'_>>, depth: usize) {
        let mut has_kept = false;
        while let Some(b'"') = self.byte(self.at) {
            let begin = self.at;
            let name = self.string();
            let property = shape.and_then(|shape| shape.of_member(self.text.get(name).unwrap_or_default()));
            self.at += 1;
            let stays = self.value(property, depth);
            self.end_item(begin, stays, &mut has_kept);
        }
        self.at += 1;
    }

    fn elements(&mut self, shape: Option<&Shape<'_>>, depth: usize) {
        let items = shape.and_then(|shape| shape.items.as_deref());
        let mut has_kept = false;
        while !matches!(self.byte(self.at), None | Some(b']')) {
            let begin = self.at;
            let stays = self.value(items, depth);
            self.end_item(begin, stays, &mut has_kept);
        }
        self.at += 1;
    }

    /// Walks over the comma behind an item that began at `begin`, and leaves out the item with one of its commas if it may
    /// not stay: with that before it if one has stayed, else with that behind it.
    fn end_item(&mut self, begin: usize, stays: bool, has_kept: &mut bool) {
        let end = self.at;
        let has_next = self.byte(end) == Some(b',');
        self.at += usize::from(has_next);
        match (stays, *has_kept) {
            (true, _) => *has_kept = true,
            (false, true) => self.cut(begin - 1..end),
            (false, false) => self.cut(begin..self.at),
        }
    }

    /// Walks over a string, and returns where it stands without its quotes.
    fn string(&mut self) -> std::ops::Range<usize> {
        let begin = self.at + 1;
        self.at += json::string_bytes(self.text.as_bytes().get(self.at..).unwrap_or_default());
        begin..self.at - 1
    }

    /// Walks over a number, `true`, `false` or `null`, and returns its types: none of a number beyond every float.
    fn word(&mut self) -> u8 {
        let begin = self.at;
        let mut is_plain = true;
        while let Some(byte) = self.byte(self.at)
            && !matches!(byte, b',' | b']' | b'}')
        {
            is_plain &= matches!(byte, b'0'..=b'9' | b'-');
            self.at += 1;
        }
        match self.byte(begin) {
            Some(b't' | b'f') => BOOLEAN,
            Some(b'n') => NULL,
            _ if is_plain && self.at - begin <= MAX_DIGITS => NUMBER | INTEGER,
            _ => match self.text.get(begin..self.at).and_then(|word| word.parse::<f64>().ok()) {
                // As JSON Schema has it, 1.0 is an integer.
                Some(number) if number.is_finite() && number.fract() == 0.0 => NUMBER | INTEGER,
                Some(number) if number.is_finite() => NUMBER,
                _ => NOT_READABLE,
            },
        }
    }

    /// Walks over an array or object that is left out, however deep it is.
    fn skip(&mut self) {
        let mut depth = 0_usize;
        while let Some(byte) = self.byte(self.at) {
            match byte {
                b'"' => {
                    self.string();
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                break;
            }
        }
    }
}

impl Shape<'_> {
    /// Returns the schema of a member by its name, as that is written.
    fn of_member(&self, name: &str) -> Option<&Self> {
        if self.properties.is_empty() {
            return self.others.as_deref();
        }
        let known = if name.contains('\\') {
            let name = serde_json::from_str::<String>(&format!("\"{name}\"")).ok();
            name.and_then(|name| self.properties.get(name.as_str()))
        } else {
            self.properties.get(name)
        };
        known.or(self.others.as_deref())
    }
}

#[cfg(test)]
mod tests;

//! Members of JSON objects whose values stay as they were written.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::json;

/// Members of an object in their order, with repeated ones.
#[derive(Debug, Default)]
pub struct Members<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    /// Reads the members of a value; nothing where it is no object.
    #[must_use]
    pub fn read(value: &'a RawValue) -> Option<Self> {
        serde_json::from_str(value.get()).ok()
    }

    /// Returns the value of the first member of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| *value)
    }

    /// Sets the value of a member, in its place where there is one, else at the end.
    pub fn set(&mut self, name: &'a str, value: &'a RawValue) {
        match self.0.iter_mut().find(|(other, _)| other == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.into(), value)),
        }
    }

    /// Takes all members of this name away, and returns the value of the last, which counts for most parsers.
    pub fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        let taken = self.0.iter().rev().find(|(other, _)| other == name).map(|(_, value)| *value);
        self.0.retain(|(other, _)| other != name);
        taken
    }

    /// Writes the object.
    #[must_use]
    pub fn to_json(&self) -> String {
        let members = self.0.iter().map(|(name, value)| [&json::to_string(&**name), ":", value.get()].concat());
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    }

    /// Writes the object as raw JSON.
    #[must_use]
    pub fn to_raw(&self) -> Box<RawValue> {
        // Names that were read and values that are JSON make JSON.
        RawValue::from_string(self.to_json()).unwrap_or_else(|_never| RawValue::NULL.to_owned())
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some(member) = members.next_entry()? {
                    all.push(member);
                }
                Ok(Members(all))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> &RawValue {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_member_is_taken_and_every_other_value_stays_as_it_was_written() {
        let mut members = Members::read(raw(r#"{ "a": 1.50, "b":"x", "a": [ 1e400 ] , "\u0063":2}"#)).unwrap();
        assert_eq!(members.take("b").map(RawValue::get), Some(r#""x""#));
        assert_eq!(members.take("missing").map(RawValue::get), None);
        assert_eq!(members.to_json(), r#"{"a":1.50,"a":[ 1e400 ],"c":2}"#);
        assert_eq!(members.take("a").map(RawValue::get), Some("[ 1e400 ]"), "the last one counts");
        assert_eq!(members.to_json(), r#"{"c":2}"#);
        assert!(Members::read(raw("[1]")).is_none());
    }

    #[test]
    fn a_member_is_set_in_its_place_or_at_the_end() {
        let mut members = Members::read(raw(r#"{"a":1,"b":2}"#)).unwrap();
        members.set("a", raw("3"));
        members.set("c", raw("4"));
        assert_eq!(members.to_raw().get(), r#"{"a":3,"b":2,"c":4}"#);
        assert_eq!(members.get("b").map(RawValue::get), Some("2"));
    }
}

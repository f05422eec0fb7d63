//! Names of properties that vendors refuse, such as `First Name` or `$filter`, under others; and the way back.
//!
//! Anthropic takes letters, digits, `_`, `.` and `-`, at most 64 of them. Arguments come in under the published names and go
//! to the action under its own, with every other byte as it was.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    ops::Range,
};

use serde_json::{Value, value::RawValue};
use sha2::{Digest, Sha256};

use super::{json, members::Members};

/// Longest name of a property (Anthropic, Define tools).
const MAX_NAME_CHARS: usize = 64;
/// Characters of a hash that tells two names apart.
const HASH_CHARS: usize = 8;

/// Published names of a schema's properties.
#[derive(Debug, Default)]
pub struct Names<'a> {
    /// Published names of those that can't be published themselves. One without any is left out.
    changed: BTreeMap<&'a str, Option<String>>,
}

impl<'a> Names<'a> {
    /// Finds the names that need another, and one for each. It is the same wherever the name stands, and no property of the
    /// schema has it.
    #[must_use]
    pub fn of(schema: &'a Value) -> Self {
        let (mut fine, mut odd) = (BTreeSet::new(), BTreeSet::new());
        collect(schema, &mut fine, &mut odd);
        let mut users: HashMap<String, usize> = HashMap::new();
        for name in &odd {
            *users.entry(readable(name)).or_default() += 1;
        }
        let mut taken: BTreeSet<String> = fine.iter().map(|name| (*name).to_owned()).collect();
        let alone = |alias: &String| users.get(alias) == Some(&1) && !fine.contains(alias.as_str());
        taken.extend(users.keys().filter(|alias| alone(alias)).cloned());
        let alias = |name: &'a str| {
            let readable = readable(name);
            if alone(&readable) && is_fine(&readable) {
                return (name, Some(readable));
            }
            let with_hash = with_hash(&readable, name);
            (name, taken.insert(with_hash.clone()).then_some(with_hash))
        };
        Self { changed: odd.into_iter().map(alias).collect() }
    }

    /// Returns the name under which a property is published.
    #[must_use]
    pub fn published<'n>(&'n self, name: &'n str) -> Option<&'n str> {
        match self.changed.get(name) {
            Some(alias) => alias.as_deref(),
            None => Some(name),
        }
    }

    /// Returns the way back from a published schema that has these names.
    #[must_use]
    pub fn aliases(&self, published: &Value) -> Aliases {
        let changed = self.changed.iter().filter_map(|(name, alias)| Some((alias.as_deref()?, *name)));
        let originals: HashMap<&str, &str> = changed.collect();
        if originals.is_empty() { Aliases::default() } else { Aliases::of(published, &originals) }
    }
}

/// Sorts the names of all properties into those that can be published and others.
fn collect<'a>(schema: &'a Value, fine: &mut BTreeSet<&'a str>, odd: &mut BTreeSet<&'a str>) {
    match schema {
        Value::Object(members) => {
            for (keyword, value) in members {
                if let ("properties", Value::Object(properties)) = (keyword.as_str(), value) {
                    for name in properties.keys() {
                        if is_fine(name) {
                            fine.insert(name)
                        } else {
                            odd.insert(name)
                        };
                    }
                }
                collect(value, fine, odd);
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| collect(element, fine, odd)),
        _ => {}
    }
}

/// Returns whether a name can be published itself.
pub(super) fn is_fine(name: &str) -> bool {
    (1..=MAX_NAME_CHARS).contains(&name.len()) && name.bytes().all(is_plain) && !is_on_every_object(name)
}

/// Returns whether each object of `JavaScript` has such a member. The validators of its clients take that for the property, and
/// refuse every value that has no such property.
pub(super) fn is_on_every_object(name: &str) -> bool {
    matches!(
        name,
        "constructor"
            | "hasOwnProperty"
            | "isPrototypeOf"
            | "propertyIsEnumerable"
            | "toLocaleString"
            | "toString"
            | "valueOf"
            | "__defineGetter__"
            | "__defineSetter__"
            | "__lookupGetter__"
            | "__lookupSetter__"
            | "__proto__"
    )
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
}

/// Returns what can be read of a name: `_` for each run of other characters, none at the ends.
fn readable(name: &str) -> String {
    let plain = |c: char| u8::try_from(c).is_ok_and(is_plain);
    let words: Vec<&str> = name.split(|c| !plain(c)).filter(|word| !word.is_empty()).collect();
    let mut readable = words.join("_");
    readable.truncate(MAX_NAME_CHARS);
    readable
}

fn with_hash(readable: &str, name: &str) -> String {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or_default();
    let digits = Sha256::digest(name);
    let digits = digits.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let hash: String = digits.take(HASH_CHARS).map(digit).collect();
    let start = readable.get(..MAX_NAME_CHARS - HASH_CHARS - 1).unwrap_or(readable);
    let lead = if start.is_empty() { "field" } else { start };
    format!("{lead}_{hash}")
}

/// Members of arguments that have another name in the action's schema, by where they stand.
#[derive(Debug, Default, Clone)]
pub struct Aliases {
    /// Members by their published names.
    members: HashMap<String, Member>,
    /// Published names by the action's own, of members that have two.
    published: HashMap<String, String>,
    items: Option<Box<Aliases>>,
    /// Members without a schema of their own.
    others: Option<Box<Aliases>>,
}

#[derive(Debug, Default, Clone)]
struct Member {
    original: Option<String>,
    within: Aliases,
}

/// Text to put in place of a part of another.
type Edit = (Range<usize>, String);

impl Aliases {
    fn of(schema: &Value, originals: &HashMap<&str, &str>) -> Self {
        let mut aliases = Self::default();
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let original = originals.get(name.as_str()).map(|original| (*original).to_owned());
            let member = Member { original, within: Self::of(property, originals) };
            if let Some(original) = &member.original {
                aliases.published.insert(original.clone(), name.clone());
            }
            if member.original.is_some() || !member.within.is_empty() {
                aliases.members.insert(name.clone(), member);
            }
        }
        let within = |keyword: &str| {
            let within = schema.get(keyword).map(|schema| Self::of(schema, originals));
            within.filter(|within| !within.is_empty()).map(Box::new)
        };
        (aliases.items, aliases.others) = (within("items"), within("additionalProperties"));
        for branch in schema.get("anyOf").and_then(Value::as_array).into_iter().flatten() {
            aliases.merge(Self::of(branch, originals));
        }
        aliases
    }

    fn merge(&mut self, other: Self) {
        self.published.extend(other.published);
        for (name, member) in other.members {
            let known = self.members.entry(name).or_default();
            known.original = known.original.take().or(member.original);
            known.within.merge(member.within);
        }
        for (own, other) in [(&mut self.items, other.items), (&mut self.others, other.others)] {
            match (own, other) {
                (Some(own), Some(other)) => own.merge(*other),
                (own, other) => *own = own.take().or(other),
            }
        }
    }

    /// Returns whether all names are the action's own.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty() && self.items.is_none() && self.others.is_none()
    }

    /// Returns arguments with the action's own names; nothing where they have them already.
    #[must_use]
    pub fn restore(&self, arguments: &RawValue) -> Option<Box<RawValue>> {
        let (text, mut edits) = (arguments.get(), Vec::new());
        self.edit(arguments, text, &mut edits);
        if edits.is_empty() {
            return None;
        }
        let (mut restored, mut end) = (String::with_capacity(text.len()), 0);
        for (range, name) in edits {
            restored.push_str(text.get(end..range.start)?);
            restored.push_str(&name);
            end = range.end;
        }
        restored.push_str(text.get(end..)?);
        RawValue::from_string(restored).ok()
    }

    /// Adds the edits of a value within `text`, in the order of their places.
    fn edit(&self, value: &RawValue, text: &str, edits: &mut Vec<Edit>) {
        if self.is_empty() {
            return;
        }
        if value.get().starts_with('[') {
            if let (Some(items), Ok(elements)) = (&self.items, serde_json::from_str::<Vec<&RawValue>>(value.get())) {
                for element in elements {
                    items.edit(element, text, edits);
                }
            }
            return;
        }
        let Ok(Members(members)) = serde_json::from_str::<Members<'_>>(value.get()) else { return };
        let has_renamed = self.members.values().any(|member| member.original.is_some());
        let names: HashSet<&str> = members.iter().filter(|_| has_renamed).map(|(name, _)| &**name).collect();
        let place = |part: &str| part.as_ptr().addr() - text.as_ptr().addr();
        let mut end = place(value.get());
        for (name, member) in &members {
            let start = place(member.get());
            let known = self.members.get(&**name);
            let known = known.or_else(|| self.members.get(self.published.get(&**name)?));
            // Arguments that have the action's own name, too, mean that.
            if let Some(original) = known.and_then(|member| member.original.as_deref())
                && !names.contains(original)
                && let Some(name) = name_in(text, end..start)
            {
                edits.push((name, json::to_string(original)));
            }
            end = start + member.get().len();
            if let Some(within) = known.map(|member| &member.within).or(self.others.as_deref()) {
                within.edit(member, text, edits);
            }
        }
    }
}

/// Returns where the name of a member stands, between the value before and its own.
fn name_in(text: &str, between: Range<usize>) -> Option<Range<usize>> {
    let start = between.start + text.get(between.clone())?.find('"')?;
    let length = json::string_bytes(text.get(start..between.end)?.as_bytes());
    Some(start..start + length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn published(keys: &[&str]) -> Vec<Option<String>> {
        let properties: serde_json::Map<String, Value> =
            keys.iter().map(|key| ((*key).to_owned(), json!({}))).collect();
        let schema = json!({"properties": properties});
        let names = Names::of(&schema);
        keys.iter().map(|key| names.published(key).map(str::to_owned)).collect()
    }

    #[test]
    fn names_that_vendors_refuse_get_readable_ones() {
        let names = published(&["a.b-c_d", "$filter", "First Name", "ids[]", &"x".repeat(65)]);
        let names: Vec<_> = names.iter().flatten().map(String::as_str).collect();
        assert_eq!(names, ["a.b-c_d", "filter", "First_Name", "ids", "x".repeat(64).as_str()]);
    }

    #[test]
    fn names_that_every_object_of_javascript_has_get_a_hash() {
        let names = published(&["toString", "$valueOf", "__proto__", "to_string"]);
        let names: Vec<_> = names.iter().flatten().map(String::as_str).collect();
        assert!(names.iter().all(|name| is_fine(name)), "{names:?}");
        let begins = ["toString_", "valueOf_", "__proto___", "to_string"];
        assert!(names.iter().zip(begins).all(|(name, begin)| name.starts_with(begin)), "{names:?}");
    }

    #[test]
    fn names_that_would_be_one_are_told_apart_by_a_hash() {
        let names: Vec<_> = published(&["id", "$id", "a b", "a/b", "创建", "删除", ""]).into_iter().flatten().collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), 7, "{names:?}");
        assert!(names.iter().all(|name| is_fine(name)), "{names:?}");
        assert_eq!(names.first().map(String::as_str), Some("id"));
        let other_order: Vec<_> =
            published(&["", "删除", "创建", "a/b", "a b", "$id", "id"]).into_iter().flatten().collect();
        assert_eq!(names, other_order.into_iter().rev().collect::<Vec<_>>(), "whatever the order");
    }

    fn restored(own: &Value, arguments: &str) -> String {
        let published = crate::protocol::publish::publish(own);
        let raw: &RawValue = serde_json::from_str(arguments).unwrap();
        published.aliases.restore(raw).map_or_else(|| arguments.to_owned(), |raw| raw.get().to_owned())
    }

    #[test]
    fn arguments_get_the_names_of_the_action_and_keep_every_other_byte() {
        let own = json!({"type": "object", "properties": {
            "First Name": {"type": "string"},
            "rows": {"type": "array", "items": {"type": "object", "properties": {"$id": {"type": "integer"}}}},
            "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"a b": {"type": "string"}}}},
            "either": {"anyOf": [{"type": "string"}, {"type": "object", "properties": {"c d": {"type": "string"}}}]},
            "free": {"type": "object"},
            "own list": {"type": "array", "items": {"type": "object", "properties": {"$id": {"type": "integer"}}}},
        }});
        for (arguments, expected) in [
            (r#"{ "First_Name" : "a\u00e9" , "x" : 1.0e2 }"#, r#"{ "First Name" : "a\u00e9" , "x" : 1.0e2 }"#),
            (r#"{"\u0046irst_Name":"F"}"#, r#"{"First Name":"F"}"#),
            (r#"{"rows":[{"id":1},{"id":{"id":2}},3]}"#, r#"{"rows":[{"$id":1},{"$id":{"id":2}},3]}"#),
            (r#"{"map":{"k":{"a_b":"1"},"a_b":"2"}}"#, r#"{"map":{"k":{"a b":"1"},"a_b":"2"}}"#),
            (r#"{"either":{"c_d":"1"}}"#, r#"{"either":{"c d":"1"}}"#),
            (r#"{"free":{"First_Name":1},"id":1}"#, r#"{"free":{"First_Name":1},"id":1}"#),
            (r#"{"First_Name":1,"First Name":2}"#, r#"{"First_Name":1,"First Name":2}"#),
            (r#"{"own list":[{"id":1}]}"#, r#"{"own list":[{"$id":1}]}"#),
            ("[]", "[]"),
            ("null", "null"),
        ] {
            assert_eq!(restored(&own, arguments), expected);
        }
    }
}

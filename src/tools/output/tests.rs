//! Properties of governed answers, whatever the answer and the limit: checked against plain functions over trees.

use std::fmt::Write as _;

use proptest::{collection::vec, prelude::*};
use serde_json::{Map, Value, json};

use super::*;

/// Name of the note.
const NOTE: &str = "_shortened";

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => proptest::sample::select(vec!["a", "b", "c", "d", "items", "é", "x.y", "q\"[]", "value"]).prop_map(str::to_owned),
        2 => "[a-z]{1,12}",
    ]
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        2 => prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from)],
        3 => any::<i64>().prop_map(Value::from),
        1 => any::<i32>().prop_map(|eighths| (f64::from(eighths) / 8.0).into()),
        4 => "[ -~éü語😀\\\\\"\n]{0,40}".prop_map(Value::from),
        1 => ("[a-zé😀\"\n]{1,6}", 1..2_000_usize).prop_map(|(text, times)| text.repeat(times).into()),
    ]
}

/// Answers of up to some hundred kilobytes: lists, records, and objects of very many members.
fn answer() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(6, 300, 12, |inner| {
        prop_oneof![
            3 => vec(inner.clone(), 0..12).prop_map(Value::Array),
            3 => vec((key(), inner.clone()), 0..8).prop_map(|members| Value::Object(members.into_iter().collect())),
            // Many of the same, as real answers are.
            1 => (inner.clone(), 1..400_usize).prop_map(|(value, times)| {
                let bytes = value.to_string().len();
                Value::Array(vec![value; times.min(1 + 40_000 / (bytes + 1))])
            }),
            1 => (inner, 1..400_usize).prop_map(|(value, times)| {
                let times = times.min(1 + 40_000 / (value.to_string().len() + 1));
                Value::Object((0..times).map(|i| (format!("k{i}"), value.clone())).collect())
            }),
        ]
    })
}

/// Ways to write the same JSON.
#[derive(Debug, Clone, Copy)]
enum Style {
    Compact,
    Pretty,
    Escaped,
}

fn style() -> impl Strategy<Value = Style> {
    prop_oneof![3 => Just(Style::Compact), 1 => Just(Style::Pretty), 1 => Just(Style::Escaped)]
}

fn write(value: &Value, style: Style) -> String {
    match style {
        Style::Compact => value.to_string(),
        Style::Pretty => serde_json::to_string_pretty(value).unwrap(),
        Style::Escaped => {
            let mut text = String::new();
            for unit in value.to_string().encode_utf16() {
                match u8::try_from(unit) {
                    Ok(byte) if byte.is_ascii() => text.push(byte.into()),
                    _ => write!(text, "\\u{unit:04X}").unwrap(),
                }
            }
            text
        }
    }
}

/// Kinds of what is missing in an answer.
#[derive(Debug, Default, PartialEq, Eq)]
struct Missing {
    elements: bool,
    characters: bool,
    members: bool,
}

/// Compares a shortened answer with the whole one, and tells what is missing.
fn compare(whole: &Value, short: &Value, missing: &mut Missing) {
    match (whole, short) {
        (Value::Array(whole), Value::Array(short)) => {
            assert!(short.len() <= whole.len());
            missing.elements |= short.len() < whole.len();
            for (whole, short) in whole.iter().zip(short) {
                compare(whole, short, missing);
            }
        }
        (Value::Object(whole), Value::Object(short)) => {
            missing.members |= short.len() < whole.len();
            let mut rest = whole.iter();
            for (name, short) in short {
                let (_, whole) = rest.find(|(known, _)| *known == name).expect("a member in its place");
                compare(whole, short, missing);
            }
        }
        (Value::String(whole), Value::String(short)) if whole != short => {
            missing.characters = true;
            let (kept, mark) = short.rsplit_once('[').expect("a mark");
            let kept = kept.strip_suffix("… ").unwrap_or(kept);
            let count: usize = mark.strip_suffix(" more characters]").unwrap().parse().unwrap();
            assert!(whole.starts_with(kept), "{short}");
            assert_eq!(whole.chars().count(), kept.chars().count() + count);
        }
        (whole, short) => assert_eq!(whole, short),
    }
}

/// Takes the note out of a shortened answer.
fn without_note(mut short: Value, is_whole_object: bool) -> (Option<Value>, Value) {
    let note = short.as_object_mut().and_then(|members| members.shift_remove(NOTE)).expect("a note");
    if is_whole_object { (Some(short), note) } else { (short.as_object_mut().unwrap().remove("value"), note) }
}

fn within(answer: &str, tokens: usize) -> Shortened<'_> {
    shorten(answer, Limit::from_tokens(tokens), &Hints::of_whole(answer, Some("fields")))
}

/// Keeps of a value what is asked for, by the same rules over a tree.
fn project_tree(value: &Value, paths: &[(usize, &[String])], found: &mut [bool]) -> Option<Value> {
    let is_end = paths.iter().any(|(_, names)| names.is_empty());
    if is_end || value.is_null() || value.as_array().is_some_and(Vec::is_empty) {
        for (path, _) in paths {
            found[*path] = true;
        }
        return Some(value.clone());
    }
    match value {
        Value::Array(elements) => {
            Some(elements.iter().filter_map(|element| project_tree(element, paths, found)).collect())
        }
        Value::Object(members) => {
            let mut kept = Map::new();
            for (name, member) in members {
                let below: Vec<_> = paths
                    .iter()
                    .filter(|(_, names)| names[0] == *name)
                    .map(|(path, names)| (*path, &names[1..]))
                    .collect();
                if !below.is_empty()
                    && let Some(member) = project_tree(member, &below, found)
                {
                    kept.insert(name.clone(), member);
                }
            }
            Some(Value::Object(kept))
        }
        _ => None,
    }
}

/// Returns the longest list that lies in no other, as a pointer and its length.
fn longest_list(value: &Value, pointer: &str) -> Option<(String, usize)> {
    match value {
        Value::Array(elements) => Some((pointer.to_owned(), elements.len())),
        Value::Object(members) => members
            .iter()
            .filter_map(|(name, member)| {
                longest_list(member, &format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1")))
            })
            .reduce(|longest, list| if list.1 > longest.1 { list } else { longest }),
        _ => None,
    }
}

/// A schema that says no more than types, to which a value conforms.
fn loosened(value: &Value) -> Value {
    match value {
        Value::Null => json!({}),
        Value::Bool(_) => json!({"type": ["boolean", "null"]}),
        Value::Number(_) => json!({"type": ["number", "null"]}),
        Value::String(_) => json!({"type": ["string", "null"]}),
        Value::Array(elements) => {
            let schemas: Vec<_> = elements.iter().map(loosened).collect();
            let is_one = schemas.windows(2).all(|pair| pair[0] == pair[1]);
            json!({"type": ["array", "null"], "items": schemas.into_iter().next().filter(|_| is_one).unwrap_or(json!({}))})
        }
        Value::Object(members) => {
            let properties: Map<_, _> = members.iter().map(|(name, member)| (name.clone(), loosened(member))).collect();
            json!({"type": ["object", "null"], "properties": properties})
        }
    }
}

fn conforms(value: &Value, schema: &Value) -> bool {
    let name = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let is_of_type = schema.get("type").is_none_or(|types| types.as_array().unwrap().contains(&name.into()));
    let items = value.as_array().zip(schema.get("items"));
    let properties = value.as_object().zip(schema.get("properties"));
    is_of_type
        && items.is_none_or(|(elements, items)| elements.iter().all(|element| conforms(element, items)))
        && properties.is_none_or(|(members, properties)| {
            members.iter().all(|(name, member)| properties.get(name).is_none_or(|schema| conforms(member, schema)))
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn a_shortened_answer_is_valid_within_the_limit_and_only_lacks_what_its_note_tells(
        whole in answer(), style in style(), tokens in 300..3_000_usize,
    ) {
        let text = write(&whole, style);
        let limit = Limit::from_tokens(tokens);
        let short = within(&text, tokens);
        prop_assert!(short.json.len() <= limit.bytes());
        if text.len() <= limit.bytes() {
            prop_assert!(matches!(short.json, Cow::Borrowed(_)) && short.json == text);
            return Ok(());
        }
        let json: Value = serde_json::from_str(&short.json).unwrap();
        if short.note.is_none() {
            prop_assert_eq!(json, whole);
            return Ok(());
        }
        let (kept, note) = without_note(json, whole.is_object());
        let mut missing = Missing::default();
        compare(&whole, &kept.unwrap(), &mut missing);
        let tells = |name: &str| note.get(name).is_some();
        let told = Missing { elements: tells("lists"), characters: tells("clipped"), members: tells("left_out") };
        prop_assert_eq!(missing, told);
        prop_assert_eq!(&note["tokens"], &json!(limit::tokens(text.len())));
        // What has been shortened is small.
        prop_assert!(matches!(within(&short.json, tokens).json, Cow::Borrowed(_)));
    }

    #[test]
    fn a_projection_is_that_of_the_tree(
        whole in answer(), style in style(), paths in vec(vec(key(), 1..4), 1..5),
    ) {
        let mut given = Vec::new();
        for names in &paths {
            let quoted: Vec<_> = names.iter().map(|name| format!("[{}]", Value::from(name.as_str()))).collect();
            given.push(FieldPath::parse(&quoted.concat()).unwrap());
        }
        let projected = fields::project(&write(&whole, style), &given);
        let mut found = vec![false; given.len()];
        let wanted: Vec<_> = given.iter().map(|path| path.names(whole.is_array())).enumerate().collect();
        let expected = project_tree(&whole, &wanted, &mut found).unwrap_or_else(|| whole.clone());
        prop_assert_eq!(serde_json::from_str::<Value>(&projected.json).unwrap().to_string(), expected.to_string());
        let unknown: Vec<_> = given.iter().zip(found).filter(|(_, found)| !found).map(|(path, _)| path.text()).collect();
        prop_assert_eq!(projected.unknown, unknown);
    }

    #[test]
    fn a_range_is_that_of_the_tree(
        whole in answer(), style in style(), first in 1..30_usize, more in 0..30_usize,
    ) {
        let text = write(&whole, style);
        let cut = range::cut(&text, Range::parse(&format!("{first}-{}", first + more)).unwrap());
        let Some((pointer, total)) = longest_list(&whole, "") else {
            prop_assert_eq!(cut, None);
            return Ok(());
        };
        let (json, ranged) = cut.unwrap();
        let last = total.min(first + more).max(first - 1);
        prop_assert_eq!((ranged.first, ranged.last, ranged.total), (first, last, total));
        let mut expected = whole;
        let list = expected.pointer_mut(&pointer).unwrap().as_array_mut().unwrap();
        *list = list.iter().skip(first - 1).take(more + 1).cloned().collect();
        prop_assert_eq!(serde_json::from_str::<Value>(&json).unwrap().to_string(), expected.to_string());
    }

    #[test]
    fn what_is_asked_for_comes_within_the_limit(
        whole in answer(), style in style(), tokens in 300..3_000_usize, name in key(), first in 1..9_usize,
    ) {
        let text = write(&whole, style);
        let range = Range::parse(&format!("{first}-")).ok();
        let fields = FieldPath::parse(&name).into_iter().collect();
        let next = next_words(RunnerInputs::FieldsAndRange, &["cursor"]);
        let limit = Limit::from_tokens(tokens);
        let part = govern(&text, &Asked { fields, range }, limit, next.as_deref(), NotePlace::Within);
        prop_assert!(part.json.len() <= limit.bytes());
        let json: Value = serde_json::from_str(&part.json).unwrap();
        prop_assert!(json.get(NOTE).is_some());
    }

    #[test]
    fn structured_content_conforms_to_a_loosened_schema_when_it_is_shortened(
        whole in answer(), style in style(), tokens in 300..3_000_usize,
    ) {
        let schema = loosened(&whole);
        prop_assert!(conforms(&whole, &schema));
        let text = write(&whole, style);
        for place in [NotePlace::Within, NotePlace::Apart] {
            let hints = Hints { place, ..Hints::of_whole(&text, None) };
            let short = shorten(&text, Limit::from_tokens(tokens), &hints);
            let json: Value = serde_json::from_str(&short.json).unwrap();
            prop_assert!(json.get(NOTE).is_none() || place == NotePlace::Within);
            if whole.is_object() || place == NotePlace::Apart {
                prop_assert!(conforms(&json, &schema));
            }
        }
    }
}

//! Small pieces for JSON that is passed through without being understood.

use memchr::memchr2;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

/// Returns the same JSON without the white space between its tokens; every number and string stays as it was written.
#[must_use]
pub fn compact(raw: Box<RawValue>) -> String {
    let text = String::from(Box::<str>::from(raw));
    // Most servers write none, and a copy would take the memory of a large output twice.
    if parts(&text).all(|(outside, _)| !outside.contains(|c: char| c.is_ascii_whitespace())) {
        return text;
    }
    let mut compact = String::with_capacity(text.len());
    for (outside, string) in parts(&text) {
        compact.extend(outside.split_ascii_whitespace());
        compact.push_str(string);
    }
    compact
}

/// Returns JSON in parts: what is outside of strings, each with the string after it.
fn parts(json: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = json;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (outside, string) = rest.split_at(rest.find('"').unwrap_or(rest.len()));
        let (string, after) = string.split_at(string_bytes(string.as_bytes()));
        rest = after;
        Some((outside, string))
    })
}

/// Returns how long the string is with which JSON begins, its quotes included; all there is, where it does not end.
pub(super) fn string_bytes(json: &[u8]) -> usize {
    let mut at = 1;
    while let Some(rest) = json.get(at..)
        && let Some(found) = memchr2(b'"', b'\\', rest)
    {
        at += found + 1;
        match rest.get(found) {
            // What is escaped does not end it.
            Some(b'\\') => at += 1,
            _ => return at,
        }
    }
    json.len()
}

/// Returns JSON as one line, whatever counts as the end of one. Readers of event streams end lines at line breaks, and some
/// at all that Unicode has for them, in which case the rest of the message is lost.
#[must_use]
pub fn on_one_line(json: String) -> String {
    let breaks = |c: char| matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}');
    let rare = json.as_bytes().iter().any(|byte| matches!(byte, b'\n' | b'\r' | 0xC2 | 0xE2));
    if !rare || !json.contains(breaks) {
        return json;
    }
    let mut line = String::with_capacity(json.len() + 64);
    for c in json.chars() {
        match c {
            // Such a one stands between tokens: a string has it escaped.
            '\n' | '\r' => line.push(' '),
            // In a string, where an escape means the same.
            '\u{85}' => line.push_str("\\u0085"),
            '\u{2028}' => line.push_str("\\u2028"),
            '\u{2029}' => line.push_str("\\u2029"),
            c => line.push(c),
        }
    }
    line
}

/// Serialises a value whose serialisation has no way to fail: our own types with text keys.
#[must_use]
pub fn to_string<T: Serialize + ?Sized>(value: &T) -> String {
    // serde_json fails only on maps with non-text keys and on failing Serialize impls; we pass neither.
    serde_json::to_string(value).unwrap_or_default()
}

/// Returns a value as raw JSON.
#[must_use]
pub fn to_raw<T: Serialize + ?Sized>(value: &T) -> Box<RawValue> {
    // As above: our own types always serialise.
    serde_json::value::to_raw_value(value).unwrap_or_else(|_never| RawValue::NULL.to_owned())
}

/// Reads raw JSON as a type.
///
/// # Errors
/// Where the JSON does not have the form of `T`.
pub fn read<T: DeserializeOwned>(raw: &RawValue) -> serde_json::Result<T> {
    serde_json::from_str(raw.get())
}

/// Returns whether a value is null or an empty array, by which some languages write that there is none.
#[must_use]
pub fn is_none(raw: &RawValue) -> bool {
    let inner = raw.get().strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    raw.get() == "null" || inner.is_some_and(|inner| inner.trim_ascii().is_empty())
}

/// Returns whether arrays and objects lie in each other more than `max` deep. JSON that is none is for the parser to
/// refuse.
#[must_use]
pub fn is_deeper_than(json: &[u8], max: usize) -> bool {
    let (mut depth, mut rest) = (0_usize, json);
    while let Some((byte, after)) = rest.split_first() {
        match byte {
            b'"' => {
                rest = rest.get(string_bytes(rest)..).unwrap_or_default();
                continue;
            }
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > max {
            return true;
        }
        rest = after;
    }
    false
}

/// Bytes that an element of an array takes in a tree, and a member of an object beside its texts.
const BYTES_PER_ELEMENT: usize = 96;
const BYTES_PER_MEMBER: usize = 200;

/// Returns whether JSON takes more than `max` bytes as a [`serde_json::Value`], about. Ends where that is clear.
#[must_use]
pub fn is_tree_larger_than(json: &[u8], max: usize) -> bool {
    // No byte stands for more than a member does.
    if json.len() <= max / BYTES_PER_MEMBER {
        return false;
    }
    let (mut bytes, mut rest) = (0_usize, json);
    while let Some((byte, after)) = rest.split_first() {
        if bytes > max {
            return true;
        }
        match byte {
            b'"' => {
                let length = string_bytes(rest);
                bytes += length;
                rest = rest.get(length..).unwrap_or_default();
                continue;
            }
            b',' | b'[' => bytes += BYTES_PER_ELEMENT,
            b'{' | b':' => bytes += BYTES_PER_MEMBER - BYTES_PER_ELEMENT,
            _ => {}
        }
        rest = after;
    }
    bytes > max
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compacting_touches_white_space_alone() {
        let cases = [
            ("{ \"a\" : [ 1.0 , 1e3 ,\n null ] }", "{\"a\":[1.0,1e3,null]}"),
            (r#"" a \" b \\" "#, r#"" a \" b \\""#),
            (r#"["\\", " "]"#, r#"["\\"," "]"#),
            ("12345678901234567890.10", "12345678901234567890.10"),
            ("\"é \\u0022 \\\\\" ", "\"é \\u0022 \\\\\""),
            (" true ", "true"),
        ];
        for (text, expected) in cases {
            let raw: Box<RawValue> = serde_json::from_str(text).unwrap();
            assert_eq!(compact(raw), expected, "{text}");
            let raw = RawValue::from_string(expected.to_owned()).unwrap();
            assert_eq!(compact(raw), expected, "compact already");
        }
    }

    #[test]
    fn one_line_is_one_for_every_reader() {
        let text = "{\"a\":\r\n\"x\u{2028}y\u{2029}z\u{85}é\"\n}".to_owned();
        let line = on_one_line(text.clone());
        assert_eq!(line, "{\"a\":  \"x\\u2028y\\u2029z\\u0085é\" }");
        let read = |json: &str| serde_json::from_str::<serde_json::Value>(json).unwrap();
        assert_eq!(read(&line), read(&text));
        assert_eq!(on_one_line("{\"é\":1}".to_owned()), "{\"é\":1}");
    }

    #[test]
    fn null_and_an_empty_list_are_none() {
        for (json, expected) in
            [("null", true), ("[]", true), ("[ \n]", true), ("[0]", false), ("{}", false), ("0", false)]
        {
            assert_eq!(is_none(serde_json::from_str(json).unwrap()), expected, "{json}");
        }
    }

    #[test]
    fn only_arrays_and_objects_make_json_deep() {
        let cases = [
            ("1", 0),
            ("[]", 1),
            (r#"{"a":[{}]}"#, 3),
            ("[[],[],[]]", 2),
            (r#"["[[[[", "\"[[[", "\\", [1]]"#, 2),
            ("]]][", 1),
            (r#"["\"#, 1),
            (r#"[["[[["#, 2),
        ];
        for (json, depth) in cases {
            assert!(!is_deeper_than(json.as_bytes(), depth), "{json}");
            assert!(depth == 0 || is_deeper_than(json.as_bytes(), depth - 1), "{json}");
        }
    }

    #[test]
    fn the_size_of_a_tree_is_known_from_its_text() {
        assert!(size_of::<serde_json::Value>() <= BYTES_PER_ELEMENT);
        assert!(size_of::<(u64, String, serde_json::Value)>() <= BYTES_PER_MEMBER - 64, "with its text and its index");
        let list = |length: usize| format!("[1{}]", ",1".repeat(length - 1));
        let object = |length: usize| format!(r#"{{"":1{}}}"#, r#","a":1"#.repeat(length - 1));
        for (text, bytes) in [
            (list(1000), 1000 * BYTES_PER_ELEMENT),
            (object(1000), 1000 * BYTES_PER_MEMBER),
            (format!(r#"["{}"]"#, "[,{:".repeat(1000)), 4000),
        ] {
            assert!(is_tree_larger_than(text.as_bytes(), bytes - 1), "{bytes}");
            assert!(!is_tree_larger_than(text.as_bytes(), bytes + 8 * 1000), "{bytes}");
        }
        assert!(!is_tree_larger_than(br#"{"a":1}"#, 4 * BYTES_PER_MEMBER));
    }
}

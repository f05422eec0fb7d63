//! Shortening of an answer to a limit.
//!
//! # Structured content
//! A shortened answer still conforms to a schema that says no more than types of members and elements, with `null` and other
//! members allowed everywhere, no member required, and lists and strings of any length: members and elements are only left
//! out, and a clipped string is a string. Where such a schema allows no member `_shortened` at the root, or the root is a list
//! there, the note has to stay apart: [`NotePlace::Apart`].

use std::borrow::Cow;

use super::{
    limit::Limit,
    note::{Head, NAME, Note},
    path::ROOT_NAME,
    range::Ranged,
    write::Writer,
};

/// Bytes beside the note for its name, commas, the root's braces and the name of a root that is wrapped.
const AROUND_NOTE_BYTES: usize = "{\"value\":,\"_shortened\":}".len();

/// Words for a range of an answer that has no list.
const NO_LIST: &str = "not taken: the answer has no list";

/// Place of the note that says what is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotePlace {
    /// Member `_shortened` of the root. A root that is no object becomes `{"value": …, "_shortened": …}`.
    Within,
    /// Beside the answer, which keeps its form.
    Apart,
}

/// Circumstances of a shortening, which decide on the note.
#[derive(Debug, Clone, Copy)]
pub struct Hints<'a> {
    /// Bytes of the answer before a range was taken.
    pub whole_bytes: usize,
    /// Ways to get what is left out, see [`next_words`](super::paging::next_words).
    pub next: Option<&'a str>,
    /// Part of a list that was taken before.
    pub ranged: Option<&'a Ranged>,
    /// A range was asked for, and there was no list.
    pub has_no_list: bool,
    /// Paths that were asked for and lead to nothing.
    pub unknown: &'a [String],
    /// Place where the note is to stand.
    pub place: NotePlace,
}

impl<'a> Hints<'a> {
    /// Returns the circumstances of a whole answer.
    #[must_use]
    pub fn of_whole(answer: &str, next: Option<&'a str>) -> Self {
        let (whole_bytes, place) = (answer.len(), NotePlace::Within);
        Self { whole_bytes, next, ranged: None, has_no_list: false, unknown: &[], place }
    }

    /// Returns whether there is something to say even of an answer that is not shortened.
    fn tells(&self) -> bool {
        self.ranged.is_some() || self.has_no_list || !self.unknown.is_empty()
    }
}

/// Answer within the limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortened<'a> {
    /// Answer as JSON text; the one that was given where nothing was left out and there is nothing to say.
    pub json: Cow<'a, str>,
    /// Note as JSON text; nothing where there is nothing to say.
    pub note: Option<String>,
}

impl Shortened<'_> {
    /// Copies the answer, so that it outlives the text it was made of.
    #[must_use]
    pub fn into_owned(self) -> Shortened<'static> {
        Shortened { json: Cow::Owned(self.json.into_owned()), note: self.note }
    }
}

/// Returns an answer, which is valid JSON, in at most the bytes of the limit, the note included.
///
/// Left out are, in this order and as far as it takes: white space, ends of long strings, ends of the longest lists, the
/// largest members.
#[must_use]
pub fn shorten<'a>(answer: &'a str, limit: Limit, hints: &Hints<'_>) -> Shortened<'a> {
    if answer.len() <= limit.bytes() && !hints.tells() {
        return Shortened { json: Cow::Borrowed(answer), note: None };
    }
    let writer = Writer::new(answer, Note::new(hints.ranged));
    let is_root_object = writer.is_root_object();
    let (mut json, note) = writer.write(limit.room());
    // Leaving out white space may have been enough.
    if note.is_empty() && !json.is_empty() && !hints.tells() {
        return Shortened { json: Cow::Owned(json), note: None };
    }
    let head = Head {
        bytes: hints.whole_bytes,
        limit,
        unknown_fields: hints.unknown,
        range: hints.has_no_list.then_some(NO_LIST),
        next: hints.next.filter(|_| json.is_empty() || !note.is_empty()),
    };
    let note = note.json(&head, limit.note_bytes().saturating_sub(AROUND_NOTE_BYTES));
    match hints.place {
        NotePlace::Within => add_note(&mut json, &note, is_root_object),
        // No part of a number is one, so of a root that is too long a number nothing is kept.
        NotePlace::Apart if json.is_empty() => json.push_str("null"),
        NotePlace::Apart => {}
    }
    Shortened { json: Cow::Owned(json), note: Some(note) }
}

/// Adds the note to a root, which becomes an object if it is none.
fn add_note(json: &mut String, note: &str, is_object: bool) {
    if is_object {
        json.pop();
    } else if json.is_empty() {
        json.push('{');
    } else {
        json.insert_str(0, &format!("{{\"{ROOT_NAME}\":"));
    }
    if json.len() > 1 {
        json.push(',');
    }
    for part in ["\"", NAME, "\":", note, "}"] {
        json.push_str(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shortened(answer: &str, tokens: usize) -> String {
        let hints = Hints::of_whole(answer, Some("fields or range"));
        shorten(answer, Limit::from_tokens(tokens), &hints).json.into_owned()
    }

    fn list(count: usize, element: &str) -> String {
        format!("[{}]", vec![element; count].join(","))
    }

    #[test]
    fn an_answer_within_the_limit_is_not_even_copied() {
        let answer = format!("{{ \"items\" : {} }}", list(10, " 1.0 "));
        let shortened = shorten(&answer, Limit::from_tokens(2_000), &Hints::of_whole(&answer, None));
        assert!(matches!(shortened.json, Cow::Borrowed(json) if std::ptr::eq(json, answer.as_str())));
        assert_eq!(shortened.note, None);
    }

    #[test]
    fn a_list_is_cut_from_its_end_and_the_note_says_so() {
        let answer = format!("{{\"items\":{},\"nextCursor\":\"abc\"}}", list(250, &format!("\"{}\"", "x".repeat(97))));
        let items = list(60, &format!("\"{}\"", "x".repeat(97)));
        let note = r#"{"tokens":7152,"limit":2000,"lists":{"items":"1-60 of 250"},"next":"fields or range"}"#;
        assert_eq!(
            shortened(&answer, 2_000),
            format!("{{\"items\":{items},\"nextCursor\":\"abc\",\"_shortened\":{note}}}")
        );
    }

    #[test]
    fn white_space_is_left_out_first() {
        let answer = list(1_000, &format!("{}1", " ".repeat(20)));
        assert_eq!(shortened(&answer, 2_000), list(1_000, "1"));
    }

    #[test]
    fn a_long_string_is_as_long_as_may_be_and_lists_stay_whole() {
        let answer = format!("{{\"text\":\"{}\",\"tags\":{}}}", "x".repeat(100_000), list(300, "1"));
        let json = shortened(&answer, 2_000);
        assert!(json.contains(&format!("\"tags\":{},", list(300, "1"))), "{json}");
        assert!(json.contains("\"clipped\":[\"text\"]") && json.len() > 6_100 && json.len() <= 7_000, "{}", json.len());
    }

    #[test]
    fn of_large_members_the_small_ones_beside_them_stay() {
        let map: Vec<_> = (0..1_000).map(|i| format!("\"{i:03}\":\"{}\"", "y".repeat(30))).collect();
        let answer = format!("{{\"id\":7,\"map\":{{{}}},\"cursor\":\"c\"}}", map.join(","));
        let json = shortened(&answer, 2_000);
        assert!(
            json.starts_with("{\"id\":7,\"map\":{\"000\":") && json.contains("},\"cursor\":\"c\",\"_shortened\":"),
            "{json}"
        );
        assert!(json.contains("\"left_out\":[\"map.") && json.contains(" more\"]") && json.len() > 6_000, "{json}");
    }

    #[test]
    fn a_large_object_beside_a_list_takes_no_more_than_its_share() {
        let map: Vec<_> = (0..1_000).map(|i| format!("\"{i:03}\":\"{}\"", "y".repeat(30))).collect();
        let answer = format!("{{\"items\":{},\"map\":{{{}}}}}", list(1_000, "123456789"), map.join(","));
        let json = shortened(&answer, 2_000);
        assert!(json.contains("\"lists\":{\"items\":\"1-3") && json.contains("\"left_out\":[\"map."), "{json}");
    }

    #[test]
    fn a_root_that_is_no_object_is_wrapped() {
        let json = shortened(&list(10_000, "1"), 2_000);
        assert!(json.starts_with("{\"value\":[1,1,") && json.contains("\"lists\":{\"value\":\"1-"), "{json}");
        let json = shortened(&format!("\"{}\"", "x".repeat(10_000)), 2_000);
        assert!(json.starts_with("{\"value\":\"xxx") && json.contains("\"clipped\":[\"value\"]"), "{json}");
        assert!(shortened(&"1".repeat(10_000), 2_000).starts_with("{\"_shortened\":"));
    }

    #[test]
    fn a_note_apart_leaves_the_root_as_it_is() {
        let answer = list(10_000, "1");
        let hints = Hints { place: NotePlace::Apart, ..Hints::of_whole(&answer, None) };
        let shortened = shorten(&answer, Limit::from_tokens(2_000), &hints);
        assert!(shortened.json.ends_with(",1]") && shortened.note.unwrap().contains("\"value\":\"1-"));
        let number = "1".repeat(10_000);
        assert_eq!(shorten(&number, Limit::from_tokens(2_000), &hints).json, "null");
    }

    #[test]
    fn an_answer_that_has_a_note_gets_no_second_one() {
        let answer = format!("{{\"\\u005fshortened\":1,\"a\":{}}}", list(10_000, "1"));
        let json = shortened(&answer, 2_000);
        assert!(json.starts_with("{\"a\":[1,") && json.contains("\"left_out\":[\"_shortened\"]"), "{json}");
    }

    #[test]
    fn depth_costs_neither_stack_nor_validity() {
        for (open, inner, close) in [("[", "", "]"), ("{\"a\":", "1", "}"), ("[{\"a\":[0,1],\"b\":", "1", "}]")] {
            let answer = format!("{}{inner}{}", open.repeat(300_000), close.repeat(300_000));
            let json = shortened(&answer, 2_000);
            assert!(json.len() <= 7_000, "{}", json.len());
            let _: &serde_json::value::RawValue = serde_json::from_str(&json).unwrap();
        }
    }
}

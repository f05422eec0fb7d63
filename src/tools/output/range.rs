//! Range of a list: some of an answer's elements, by their places.

use thiserror::Error;

use super::{
    path::{Path, Step},
    scan::{Scanner, ValueKind},
};

/// Places of elements, counted from 1 as in "1-40 of 250".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    first: usize,
    last: usize,
}

/// Reason why a text is no range.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no range: write the first and the last place, counted from 1, such as 41-80")]
pub struct RangeError(String);

/// Part of a list that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranged {
    /// Path of the list, as notes show it.
    pub path: String,
    /// Place of the first element that is shown.
    pub first: usize,
    /// Place of the last element that is shown; the one before the first, where there are none.
    pub last: usize,
    /// Elements that the whole list has.
    pub total: usize,
}

impl Range {
    /// Reads a range such as `20-39`; `20-` goes on to the end.
    ///
    /// # Errors
    /// [`RangeError`], whose message says what to write instead.
    pub fn parse(text: &str) -> Result<Self, RangeError> {
        // A sign is no digit, so `parse` alone would take too much.
        let place = |text: &str| {
            let text = text.trim();
            text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
        };
        let range = text.split_once('-').and_then(|(first, last)| {
            let last = if last.trim().is_empty() { usize::MAX } else { place(last)? };
            Some(Self { first: place(first)?, last })
        });
        let is_good = |range: &Self| 1 <= range.first && range.first <= range.last;
        // The text is a caller's, and may be long.
        range.filter(is_good).ok_or_else(|| RangeError(text.chars().take(40).collect()))
    }
}

/// Cuts the list of an answer, which is valid JSON, to a range. The list is the longest of those that lie in no other one, the
/// first of them where several are. Nothing, where there is no list.
#[must_use]
pub fn cut(json: &str, range: Range) -> Option<(String, Ranged)> {
    let mut scanner = Scanner::new(json);
    let path = Path::new(scanner.kind(0) == ValueKind::Object);
    let mut search = Search { scanner, path, longest: None };
    search.value(0);
    let list = search.longest?;

    let mut scanner = Scanner::starting_at(json, list.begin);
    let elements = range.first..=range.last.min(list.total);
    let (mut place, mut begin, mut end) = (0, list.begin, list.begin);
    // The last element is followed by nothing that is kept, so the reading ends there.
    while place < *elements.end() && scanner.more() {
        place += 1;
        let before = scanner.at();
        scanner.value();
        if place == *elements.start() {
            begin = before;
        }
        end = scanner.at();
    }
    let kept = if elements.is_empty() { "" } else { json.get(begin..end).unwrap_or_default() };
    let parts = [json.get(..list.begin).unwrap_or_default(), kept, json.get(list.end..).unwrap_or_default()];
    let last = if elements.is_empty() { range.first - 1 } else { *elements.end() };
    Some((parts.concat(), Ranged { path: list.path, first: range.first, last, total: list.total }))
}

/// List that lies in no other one.
struct List {
    path: String,
    /// Offset of the first byte behind the opening bracket.
    begin: usize,
    /// Offset of the closing bracket.
    end: usize,
    total: usize,
}

struct Search<'a> {
    scanner: Scanner<'a>,
    path: Path<'a>,
    longest: Option<List>,
}

impl Search<'_> {
    fn value(&mut self, depth: usize) {
        match self.scanner.kind(depth) {
            ValueKind::Object => {
                self.scanner.open();
                while self.scanner.more() {
                    let name = self.scanner.value();
                    self.path.push(Step::Member(name));
                    self.value(depth + 1);
                    self.path.pop();
                }
            }
            ValueKind::Array => {
                self.scanner.open();
                let begin = self.scanner.at();
                let total = if self.scanner.more() { self.scanner.rest() } else { 0 };
                let end = self.scanner.at() - "]".len();
                if self.longest.as_ref().is_none_or(|longest| longest.total < total) {
                    self.longest = Some(List { path: self.path.shown(), begin, end, total });
                }
            }
            ValueKind::Text | ValueKind::Word => {
                self.scanner.value();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranged(json: &str, range: &str) -> String {
        match cut(json, Range::parse(range).unwrap()) {
            Some((json, Ranged { path, first, last, total })) => format!("{json} {path}: {first}-{last} of {total}"),
            None => "no list".to_owned(),
        }
    }

    #[test]
    fn the_elements_of_a_range_are_kept() {
        let json = r#"{"few":[1], "items":[10,"2,0",[30], {"a":40} ,50], "next":"n"}"#;
        let cases = [
            ("2-3", r#""2,0",[30]"#, "2-3"),
            ("4-", r#"{"a":40} ,50"#, "4-5"),
            ("1-1", "10", "1-1"),
            ("5-900", "50", "5-5"),
            ("6-9", "", "6-5"),
        ];
        for (range, items, told) in cases {
            let expected = format!(r#"{{"few":[1], "items":[{items}], "next":"n"}} items: {told} of 5"#);
            assert_eq!(ranged(json, range), expected);
        }
    }

    #[test]
    fn the_list_is_the_longest_that_lies_in_no_other() {
        assert_eq!(ranged("[1,2,[3,4,5,6]]", "2-2"), "[2] value: 2-2 of 3");
        let json = r#"{"errors":[],"data":{"a":[1,2],"b":[3,4]}}"#;
        assert_eq!(ranged(json, "2-2"), r#"{"errors":[],"data":{"a":[2],"b":[3,4]}} data.a: 2-2 of 2"#);
        assert_eq!(ranged("[ ]", "1-2"), "[] value: 1-0 of 0");
        assert_eq!(ranged(r#"{"a":1}"#, "1-2"), "no list");
        assert_eq!(ranged("\"[1]\"", "1-2"), "no list");
    }

    #[test]
    fn what_is_no_range_is_refused_with_an_example() {
        assert_eq!(Range::parse(" 20 - 39 "), Ok(Range { first: 20, last: 39 }));
        for text in ["", "20", "-", "-5", "0-5", "5-4", "a-b", "1-2-3", "+1-2", "99999999999999999999-", "1–2"] {
            let error = Range::parse(text).unwrap_err().to_string();
            assert!(error.contains("such as 41-80"), "{text}: {error}");
        }
    }
}

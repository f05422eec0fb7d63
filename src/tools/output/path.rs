//! Paths of members, as `fields` takes them and as the note on an answer gives them: `items[].id`, `a.b`, `["odd.name"]`.
//!
//! A path leads through lists to all their elements: `[]` may be written for that, and may be left out.

use thiserror::Error;

use super::strings;
use crate::protocol::clean::beginning;

/// Bytes of a path at most.
const MAX_BYTES: usize = 500;
/// Members of a path at most.
const MAX_STEPS: usize = 32;
/// Bytes of a path in a note. A longer one is cut, and ends in `…`.
const MAX_SHOWN_BYTES: usize = 100;

/// Path of members whose values are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPath {
    text: String,
    names: Vec<String>,
    /// The path begins with `[]`, so the root is a list, and the first name is one of its elements'.
    from_elements: bool,
}

/// Reason why a text is no path.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PathError {
    /// No name stands in the text.
    #[error("the path is empty: write a member's name, such as items[].id")]
    Empty,
    /// The text or its names are more than a path may have.
    #[error("the path has more than {MAX_BYTES} bytes or {MAX_STEPS} names")]
    TooLong,
    /// A name is missing before, between or behind dots.
    #[error("the path {0:?} has a dot with no name beside it: write a.b")]
    NoName(String),
    /// Brackets hold a number, as if for one element.
    #[error("the path {0:?} has a place in brackets: write [] for all elements, and use range for some")]
    Place(String),
    /// Brackets hold something else, or are not closed.
    #[error(
        "the path {0:?} has wrong brackets: write [] for the elements of a list, or [\"a.b\"] for a name with dots"
    )]
    Brackets(String),
}

impl FieldPath {
    /// Reads a path.
    ///
    /// # Errors
    /// [`PathError`], whose message says what to write instead.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let text = text.trim();
        if text.len() > MAX_BYTES {
            return Err(PathError::TooLong);
        }
        let mut path = Self { text: text.to_owned(), names: Vec::new(), from_elements: text.starts_with("[]") };
        let mut rest = text;
        // A name without brackets follows: at the beginning, and behind a dot.
        let mut is_name_due = !text.starts_with('[');
        while is_name_due || !rest.is_empty() {
            if is_name_due && !rest.starts_with('[') {
                let (name, after) = rest.split_at(rest.find(['.', '[', ']']).unwrap_or(rest.len()));
                if name.is_empty() {
                    return Err(if text.is_empty() { PathError::Empty } else { PathError::NoName(text.to_owned()) });
                }
                path.names.push(name.to_owned());
                (rest, is_name_due) = (after, false);
            } else if let Some(after) = rest.strip_prefix("[]") {
                if is_name_due && !path.names.is_empty() {
                    return Err(PathError::NoName(text.to_owned()));
                }
                (rest, is_name_due) = (after, false);
            } else if rest.starts_with("[\"") {
                let (name, after) = quoted(rest).ok_or_else(|| PathError::Brackets(text.to_owned()))?;
                path.names.push(name);
                (rest, is_name_due) = (after, false);
            } else if let Some(after) = rest.strip_prefix('.') {
                (rest, is_name_due) = (after, true);
            } else {
                let is_place =
                    rest.strip_prefix('[').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
                let text = text.to_owned();
                return Err(if is_place { PathError::Place(text) } else { PathError::Brackets(text) });
            }
        }
        match path.names.len() {
            0 => Err(PathError::Empty),
            1..=MAX_STEPS => Ok(path),
            _ => Err(PathError::TooLong),
        }
    }

    /// Returns the path as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the names from the root on. Where the root is a list, a first `value` is the name under which a shortened
    /// answer shows the list, and is no name within it.
    pub(super) fn names(&self, is_root_list: bool) -> &[String] {
        match self.names.split_first() {
            Some((first, rest)) if is_root_list && !self.from_elements && first == ROOT_NAME => rest,
            _ => &self.names,
        }
    }
}

/// Takes `["name"]` from the front of a text.
fn quoted(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('[')?;
    let mut names = serde_json::Deserializer::from_str(inner).into_iter::<String>();
    let name = names.next()?.ok()?;
    let after = inner.get(names.byte_offset()..)?.strip_prefix(']')?;
    Some((name, after))
}

/// Name under which an answer stands that is no object, where it is shortened.
pub(super) const ROOT_NAME: &str = "value";

/// Step from a value to one within it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step<'a> {
    /// To a member, by its name as it is written.
    Member(&'a str),
    /// To the elements of a list.
    Elements,
}

/// Path of the value that is being read.
#[derive(Debug)]
pub(super) struct Path<'a> {
    steps: Vec<Step<'a>>,
    is_root_object: bool,
}

impl<'a> Path<'a> {
    /// Begins at the root, whose kind decides on the first name.
    pub(super) fn new(is_root_object: bool) -> Self {
        Self { steps: Vec::new(), is_root_object }
    }

    /// Returns whether the root is an object.
    pub(super) fn is_root_object(&self) -> bool {
        self.is_root_object
    }

    /// Goes a step down, to a value within this one.
    pub(super) fn push(&mut self, step: Step<'a>) {
        self.steps.push(step);
    }

    /// Goes a step up, to the value around this one.
    pub(super) fn pop(&mut self) {
        self.steps.pop();
    }

    /// Returns the path for people and models to read.
    pub(super) fn shown(&self) -> String {
        let mut text = if self.is_root_object { String::new() } else { ROOT_NAME.to_owned() };
        for step in &self.steps {
            match step {
                Step::Elements => text.push_str("[]"),
                Step::Member(name) => push_name(&mut text, &strings::decoded(name)),
            }
            if text.len() > MAX_SHOWN_BYTES {
                text.truncate(beginning(&text, MAX_SHOWN_BYTES).len());
                text.push('…');
                break;
            }
        }
        text
    }
}

fn push_name(path: &mut String, name: &str) {
    let is_plain = !name.is_empty() && !name.contains(|c: char| matches!(c, '.' | '[' | ']') || c.is_control());
    if is_plain && name.trim() == name {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(name);
    } else {
        path.push('[');
        path.push_str(&serde_json::Value::from(name).to_string());
        path.push(']');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        FieldPath::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).names
    }

    #[test]
    fn paths_lead_through_members_and_lists() {
        let cases: [(&str, &[&str]); 9] = [
            ("a", &["a"]),
            (" a.b ", &["a", "b"]),
            ("items[].id", &["items", "id"]),
            ("items.id", &["items", "id"]),
            ("rows[][].id", &["rows", "id"]),
            ("[].id", &["id"]),
            ("items[]", &["items"]),
            (r#"a["b.c"][].d"#, &["a", "b.c", "d"]),
            (r#"["x y"].é ü"#, &["x y", "é ü"]),
        ];
        for (text, expected) in cases {
            assert_eq!(names(text), expected, "{text}");
        }
    }

    #[test]
    fn errors_say_what_to_write() {
        let cases = [
            ("", "the path is empty"),
            ("[]", "the path is empty"),
            ("a..b", "a dot with no name"),
            (".a", "a dot with no name"),
            ("a.", "a dot with no name"),
            ("a.[]", "a dot with no name"),
            ("items[0].id", "write [] for all elements"),
            ("items[*]", "wrong brackets"),
            ("items[", "wrong brackets"),
            ("items]", "wrong brackets"),
            (r#"["a"#, "wrong brackets"),
            (&"a.".repeat(40), "a dot with no name"),
            (&["a"; 40].join("."), "more than"),
            (&"a".repeat(501), "more than"),
        ];
        for (text, expected) in cases {
            let error = FieldPath::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_list_at_the_root_may_be_called_by_the_name_it_is_shown_under() {
        let first = |text: &str, is_list| FieldPath::parse(text).unwrap().names(is_list).to_vec();
        assert_eq!(first("value[].id", true), ["id"]);
        assert_eq!(first("value[].id", false), ["value", "id"]);
        assert_eq!(first("[].value", true), ["value"]);
    }

    #[test]
    fn shown_paths_can_be_given_back() {
        let keys = [r#""items""#, r#""a.b""#, r#""\u0061[]""#, r#""""#, r#"" x""#, r#""\n""#];
        for key in keys {
            let steps = vec![Step::Member("\"a\""), Step::Elements, Step::Member(key), Step::Member("\"id\"")];
            let shown = Path { steps, is_root_object: true }.shown();
            assert_eq!(names(&shown), ["a", &strings::decoded(key), "id"], "{shown}");
        }
        let steps = vec![Step::Elements, Step::Member("\"id\"")];
        assert_eq!(Path { steps, is_root_object: false }.shown(), "value[].id");
        let long = format!("\"{}\"", "é".repeat(200));
        let steps = vec![Step::Member(&long)];
        assert!(Path { steps, is_root_object: true }.shown().len() <= MAX_SHOWN_BYTES + 3);
    }
}

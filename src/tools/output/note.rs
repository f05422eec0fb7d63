//! The note on an answer, its member `_shortened`: what was left out, and how to get it.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    limit::{self, Limit},
    path::Path,
    range::Ranged,
};

/// Name of the note in an answer.
pub(super) const NAME: &str = "_shortened";

/// Lists, and paths of each kind, that are named at most. Others are counted.
const MAX_NAMED: usize = 16;

/// Key under which lists are counted that are not named.
const MORE: &str = "…";

/// Account of what is left out of an answer.
#[derive(Debug, Default)]
pub(super) struct Note {
    /// Lists by their paths. Lists of several elements may have the same.
    lists: Vec<(String, Shown)>,
    other_lists: usize,
    clipped: Paths,
    left_out: Paths,
}

/// Elements of a list that are shown.
#[derive(Debug, Clone, Copy)]
struct Shown {
    first: usize,
    last: usize,
    total: usize,
    origin: Origin,
}

/// Origin of the places of shown elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// A single list that was cut.
    One,
    /// Several lists of the same path, the longest of them being told.
    Several,
    /// One list of which a range was asked for.
    Range,
}

impl Shown {
    fn text(&self) -> String {
        let Self { first, last, total, .. } = self;
        let up_to = if self.origin == Origin::Several { "up to " } else { "" };
        if last < first { format!("none of {up_to}{total}") } else { format!("{first}-{last} of {up_to}{total}") }
    }
}

/// Paths that are told for one reason.
#[derive(Debug, Default)]
struct Paths {
    named: Vec<String>,
    others: usize,
}

impl Paths {
    /// Adds a path, if it is not there yet.
    fn add(&mut self, path: String) {
        if self.named.contains(&path) {
            return;
        }
        if self.named.len() < MAX_NAMED {
            self.named.push(path);
        } else {
            self.others += 1;
        }
    }

    /// Returns the first so many paths, and how many others there are.
    fn texts(&self, count: usize) -> Vec<String> {
        let mut texts: Vec<_> = self.named.iter().take(count).cloned().collect();
        let others = self.named.len() - texts.len() + self.others;
        if others > 0 {
            texts.push(format!("and {others} more"));
        }
        texts
    }
}

/// Note as it is written.
#[derive(Serialize)]
struct Written<'a> {
    tokens: usize,
    limit: usize,
    #[serde(skip_serializing_if = "Map::is_empty")]
    lists: Map<String, Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    clipped: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left_out: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unknown_fields: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    range: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<&'a str>,
}

/// Facts of a note that are known before the answer is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head<'a> {
    /// Bytes of the answer before anything was left out.
    pub(super) bytes: usize,
    pub(super) limit: Limit,
    /// Paths that were asked for and are not there.
    pub(super) unknown_fields: &'a [String],
    /// Reason why a range that was asked for is not taken.
    pub(super) range: Option<&'a str>,
    /// Ways to get what is left out.
    pub(super) next: Option<&'a str>,
}

impl Note {
    /// Begins with the part of a list that was asked for.
    pub(super) fn new(ranged: Option<&Ranged>) -> Self {
        let shown = |ranged: &Ranged| {
            let Ranged { first, last, total, .. } = *ranged;
            (ranged.path.clone(), Shown { first, last, total, origin: Origin::Range })
        };
        Self { lists: ranged.map(shown).into_iter().collect(), ..Self::default() }
    }

    /// Notes that a list keeps only its first elements, less than all.
    pub(super) fn list(&mut self, path: &Path<'_>, kept: usize, total: usize) {
        let path = path.shown();
        let has_place = self.lists.len() < MAX_NAMED;
        match self.lists.iter_mut().find(|(known, _)| *known == path) {
            // The places are those in the list that the range is of.
            Some((_, shown)) if shown.origin == Origin::Range => shown.last = shown.first + kept - 1,
            Some((_, shown)) => {
                let (last, total) = (shown.last.max(kept), shown.total.max(total));
                *shown = Shown { first: 1, last, total, origin: Origin::Several };
            }
            None if has_place => {
                self.lists.push((path, Shown { first: 1, last: kept, total, origin: Origin::One }));
            }
            None => self.other_lists += 1,
        }
    }

    /// Notes that a string is clipped.
    pub(super) fn clipped(&mut self, path: &Path<'_>) {
        self.clipped.add(path.shown());
    }

    /// Notes that a member is left out.
    pub(super) fn left_out(&mut self, path: &Path<'_>) {
        // There may be millions, each with a path of its own: members are left out only where lists have one element.
        if self.left_out.named.len() < MAX_NAMED {
            self.left_out.named.push(path.shown());
        } else {
            self.left_out.others += 1;
        }
    }

    /// Returns whether all of the answer is there.
    pub(super) fn is_empty(&self) -> bool {
        self.lists.is_empty() && self.clipped.named.is_empty() && self.left_out.named.is_empty()
    }

    /// Writes the note in at most so many bytes, naming fewer lists and paths where it has to.
    pub(super) fn json(&self, head: &Head<'_>, bytes: usize) -> String {
        let counts = (0..=MAX_NAMED).rev().map(|count| (count, head.next)).chain([(0, None)]);
        let written = counts.map(|(count, next)| self.naming(count, next, head));
        let mut last = String::new();
        for text in written {
            last = text;
            if last.len() <= bytes {
                break;
            }
        }
        last
    }

    /// Writes the note, naming so many lists and paths of each kind at most.
    fn naming(&self, count: usize, next: Option<&str>, head: &Head<'_>) -> String {
        let mut lists: Map<_, _> =
            self.lists.iter().take(count).map(|(path, shown)| (path.clone(), shown.text().into())).collect();
        let others = self.lists.len() - lists.len() + self.other_lists;
        if others > 0 {
            lists.insert(MORE.to_owned(), format!("and {others} more lists").into());
        }
        let note = Written {
            tokens: limit::tokens(head.bytes),
            limit: head.limit.tokens(),
            lists,
            clipped: self.clipped.texts(count),
            left_out: self.left_out.texts(count),
            unknown_fields: Paths { named: head.unknown_fields.to_vec(), others: 0 }.texts(count),
            range: head.range,
            next,
        };
        // Texts and numbers always serialise.
        serde_json::to_string(&note).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::output::path::Step;

    fn head(unknown_fields: &[String]) -> Head<'_> {
        let limit = Limit::from_tokens(20_000);
        Head { bytes: 168_000, limit, unknown_fields, range: None, next: Some("fields or range") }
    }

    fn path<'a>(names: &[&'a str]) -> Path<'a> {
        let mut path = Path::new(true);
        for name in names {
            path.push(if name.is_empty() { Step::Elements } else { Step::Member(name) });
        }
        path
    }

    #[test]
    fn a_note_tells_what_is_left_out_and_how_to_get_it() {
        let mut note = Note::default();
        assert!(note.is_empty());
        note.list(&path(&["\"items\""]), 40, 250);
        for _ in 0..2 {
            note.clipped(&path(&["\"items\"", "", "\"body\""]));
        }
        note.left_out(&path(&["\"raw\""]));
        let expected = r#"{"tokens":48000,"limit":20000,"lists":{"items":"1-40 of 250"},"clipped":["items[].body"],"left_out":["raw"],"unknown_fields":["x"],"next":"fields or range"}"#;
        assert_eq!(note.json(&head(&["x".to_owned()]), 1_000), expected);
    }

    #[test]
    fn lists_of_the_same_path_are_told_together() {
        let mut note = Note::default();
        let tags = path(&["\"items\"", "", "\"tags\""]);
        note.list(&tags, 5, 9);
        note.list(&tags, 5, 12);
        note.list(&tags, 5, 7);
        assert!(note.json(&head(&[]), 1_000).contains(r#"{"items[].tags":"1-5 of up to 12"}"#));
    }

    #[test]
    fn places_are_those_in_the_list_that_a_range_is_of() {
        let ranged = Ranged { path: "items".to_owned(), first: 20, last: 39, total: 250 };
        let mut note = Note::new(Some(&ranged));
        assert!(note.json(&head(&[]), 1_000).contains(r#"{"items":"20-39 of 250"}"#));
        note.list(&path(&["\"items\""]), 7, 20);
        assert!(note.json(&head(&[]), 1_000).contains(r#"{"items":"20-26 of 250"}"#));
        note.list(&path(&["\"items\""]), 0, 20);
        assert!(note.json(&head(&[]), 1_000).contains(r#"{"items":"none of 250"}"#));
    }

    #[test]
    fn a_note_names_only_as_much_as_it_has_place_for() {
        let names: Vec<_> = (0..50).map(|i| format!("\"{i}{}\"", "x".repeat(90))).collect();
        let mut note = Note::default();
        for name in &names {
            note.list(&path(&[name]), 1, 2);
            note.clipped(&path(&[name]));
            note.left_out(&path(&[name]));
        }
        for bytes in [480, 800, 2_000, 10_000] {
            let json = note.json(&head(&names), bytes);
            assert!(json.len() <= bytes, "{bytes}: {json}");
            serde_json::from_str::<Value>(&json).unwrap();
        }
        let json = note.json(&head(&[]), 480);
        assert!(json.contains("and 49 more lists") && json.contains("and 49 more\""), "{json}");
    }
}

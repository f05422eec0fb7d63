//! Answers that fit: what a tool answers is cut to what was asked for and to what a client can take.
//!
//! Pure functions over JSON text. An answer may have tens of megabytes, so there is no tree of it: each step reads the text
//! a few times from front to back, and holds little more than what it writes.
//!
//! 1. [`fields::project`] keeps the members that were asked for.
//! 2. [`range::cut`] keeps the elements of its longest list that were asked for.
//! 3. [`shorten::shorten`] cuts what is still over the limit, and adds the member `_shortened`, which says what is missing.
//!
//! [`govern`] does all of it. An answer within the limit, of which no part was asked for, stays as it is, byte for byte. In
//! every other one values are left out, and long strings clipped; none is changed or moved.
//!
//! All of it takes time in proportion to the answer, some milliseconds a megabyte: see [`LARGE_BYTES`]. Memory beside the
//! answer is what [`fields`] and [`range`] keep of it, the limit's bytes, and at worst as much as the answer has, where one
//! object consists of nothing but very small members.

use std::borrow::Cow;

pub mod fields;
pub mod limit;
mod measure;
mod members;
mod note;
pub mod paging;
pub mod path;
pub mod range;
mod scan;
pub mod shorten;
mod strings;
mod write;

pub use limit::Limit;
pub use paging::{RunnerInputs, next_words, paging_inputs};
pub use path::FieldPath;
pub use range::Range;
pub use shorten::{Hints, NotePlace, Shortened, shorten};

/// Bytes from which an answer is to be worked on outside the thread that serves requests, which it would keep for some
/// milliseconds.
pub const LARGE_BYTES: usize = 1 << 20;

/// Part of an answer that a caller asks for.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Paths of the members that are asked for; none, where all are.
    pub fields: Vec<FieldPath>,
    /// Elements of the longest list that are asked for.
    pub range: Option<Range>,
}

/// Returns what was asked for of an answer, as far as it is within the limit. The answer is valid JSON.
#[must_use]
pub fn govern<'a>(answer: &'a str, asked: &Asked, limit: Limit, next: Option<&str>, place: NotePlace) -> Shortened<'a> {
    let mut json = Cow::Borrowed(answer);
    let mut unknown = Vec::new();
    if !asked.fields.is_empty() {
        let projected = fields::project(&json, &asked.fields);
        (json, unknown) = (projected.json.into(), projected.unknown);
    }
    let whole_bytes = json.len();
    let mut ranged = None;
    if let Some((part, list)) = asked.range.and_then(|range| range::cut(&json, range)) {
        (json, ranged) = (part.into(), Some(list));
    }
    let has_no_list = asked.range.is_some() && ranged.is_none();
    let hints = Hints { whole_bytes, next, ranged: ranged.as_ref(), has_no_list, unknown: &unknown, place };
    match json {
        Cow::Borrowed(json) => shorten(json, limit, &hints),
        Cow::Owned(json) => shorten(&json, limit, &hints).into_owned(),
    }
}

#[cfg(test)]
mod tests;

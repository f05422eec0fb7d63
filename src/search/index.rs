//! Inverted index of one app's tools: built once for a content, immutable, shared by all users who have that content.

use super::{access::Access, calls::Calls, spelling::Spellings, tables::Class};

/// Steps to a unit of weight in a posting.
const STEPS: f32 = 128.0;

const WEIGHT_BITS: u32 = 11;
const WEIGHT_MASK: u32 = (1 << WEIGHT_BITS) - 1;

/// Highest weight, in steps: all bits set.
const MAX_WEIGHT: f32 = 2047.0;

/// Occurrence of a term in a tool: 20 bits of tool, one bit for its name, eleven bits of weight.
#[derive(Debug, Clone, Copy)]
pub(super) struct Posting(u32);

impl Posting {
    /// Packs a posting; weights end at sixteen.
    pub(super) fn new(tool: u32, weight: f32, in_name: bool) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to eleven bits first")]
        let steps = (weight * STEPS).round().clamp(1.0, MAX_WEIGHT) as u32;
        Self(tool << (WEIGHT_BITS + 1) | u32::from(in_name) << WEIGHT_BITS | steps)
    }

    /// Position of the tool within its app.
    pub(super) fn tool(self) -> usize {
        (self.0 >> (WEIGHT_BITS + 1)) as usize
    }

    /// Term stands in the tool's name.
    pub(super) fn in_name(self) -> bool {
        self.0 >> WEIGHT_BITS & 1 == 1
    }

    /// Weighted and length-normalised count of the term, over all fields.
    pub(super) fn weight(self) -> f32 {
        #[expect(clippy::cast_precision_loss, reason = "eleven bits fit a float")]
        let steps = (self.0 & WEIGHT_MASK) as f32;
        steps / STEPS
    }
}

/// Facts about a tool that ranking needs besides its terms.
#[derive(Debug, Clone, Copy)]
pub(super) struct ToolEntry {
    /// End of the tool's key among all keys of the app.
    pub(super) key_end: u32,
    /// Action that the name tells.
    pub(super) class: Option<Class>,
    /// Whether the tool reads or writes.
    pub(super) access: Access,
    /// Words of name and key, each counted once.
    pub(super) name_words: u8,
}

/// Searchable tools of one app.
#[derive(Debug)]
pub struct AppIndex {
    pub(super) key: Box<str>,
    pub(super) name: Box<str>,
    pub(super) calls: Calls,
    /// Hashes of all terms, ascending.
    pub(super) terms: Box<[u32]>,
    /// Ends of the terms' postings.
    pub(super) ends: Box<[u32]>,
    pub(super) postings: Box<[Posting]>,
    pub(super) tools: Box<[ToolEntry]>,
    /// Keys of all tools, one behind the other.
    pub(super) keys: Box<str>,
    pub(super) spellings: Spellings,
}

impl AppIndex {
    /// Key of the app.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Name of the app, for people.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number of tools in the index.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tools.len()
    }

    /// Tells an app without tools.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tools.is_empty()
    }

    /// Key of a tool, by its position in the order of building.
    #[must_use]
    pub fn tool_key(&self, tool: usize) -> Option<&str> {
        let end = self.tools.get(tool)?.key_end as usize;
        let start =
            tool.checked_sub(1).and_then(|before| self.tools.get(before)).map_or(0, |before| before.key_end as usize);
        self.keys.get(start..end)
    }

    /// Whether a tool reads or writes.
    #[must_use]
    pub fn access(&self, tool: usize) -> Option<Access> {
        self.tools.get(tool).map(|tool| tool.access)
    }

    /// Bytes that the index holds, its own heap blocks included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.key.len()
            + self.name.len()
            + self.keys.len()
            + size_of_val(&*self.terms)
            + size_of_val(&*self.ends)
            + size_of_val(&*self.postings)
            + size_of_val(&*self.tools)
            + self.calls.heap_bytes()
            + self.spellings.heap_bytes()
    }

    /// Occurrences of a term, given by its hash.
    pub(super) fn postings(&self, term: u32) -> &[Posting] {
        let Ok(at) = self.terms.binary_search(&term) else { return &[] };
        let end = self.ends.get(at).map_or(0, |end| *end as usize);
        let start = at.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |end| *end as usize);
        self.postings.get(start..end).unwrap_or_default()
    }

    /// Facts about all tools, in the order of building.
    pub(super) fn tools(&self) -> &[ToolEntry] {
        &self.tools
    }

    /// Words by which the app is called.
    pub(super) fn calls(&self) -> &Calls {
        &self.calls
    }

    /// Words as they are written, for the correction of misspelt ones.
    pub(super) fn spellings(&self) -> &Spellings {
        &self.spellings
    }
}

//! The results this server gives, and their bytes.

use bytes::Bytes;

use super::{elicitation::InputRequired, json, lifecycle::InitializeResult, tools::CallToolResult};
use crate::chunks::Chunk;

/// Result of a request, ready to be written.
#[derive(Debug, Clone)]
pub enum ServerResult {
    /// Result of `initialize`: the revision and what is offered.
    Initialize(InitializeResult),
    /// Result of `ping`, an empty object.
    Empty,
    /// Result of `tools/list`: one page with all tools.
    Tools(ToolList),
    /// Result of `tools/call`, a failure of the tool included.
    Call(CallToolResult),
    /// Question to the user that comes before the result of `tools/call`; of the modern era alone.
    InputRequired(InputRequired),
}

/// The tools of a `tools/list` result: pieces of JSON, each one or more definitions joined by commas. They are shared
/// with the catalog that made them, so a list costs no copy.
#[derive(Debug, Clone, Default)]
pub struct ToolList {
    chunks: Vec<Chunk>,
    /// Some tools are missing that may be had soon.
    is_partial: bool,
}

impl ToolList {
    /// Returns a list of the given definitions.
    #[must_use]
    pub fn of(definitions: impl Into<Chunk>) -> Self {
        let mut list = Self::default();
        list.push(definitions);
        list
    }

    /// Appends definitions; an empty piece adds nothing.
    pub fn push(&mut self, definitions: impl Into<Chunk>) {
        let definitions = definitions.into();
        if !definitions.json().is_empty() {
            self.chunks.push(definitions);
        }
    }

    /// Notes that some tools are missing that may be had soon.
    pub fn mark_partial(&mut self) {
        self.is_partial = true;
    }

    /// Returns whether some tools are missing that may be had soon.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.is_partial
    }
}

impl ServerResult {
    /// Returns the JSON of the result in pieces that are to be sent one after the other.
    #[must_use]
    pub fn into_chunks(self) -> Vec<Chunk> {
        match self {
            Self::Initialize(result) => vec![json::to_string(&result).into()],
            Self::Empty => vec![Bytes::from_static(b"{}").into()],
            Self::Tools(list) => {
                let mut chunks = Vec::with_capacity(2 * list.chunks.len() + 2);
                let mut before = Bytes::from_static(b"{\"tools\":[");
                for definitions in list.chunks {
                    chunks.extend([before.into(), definitions]);
                    before = Bytes::from_static(b",");
                }
                if chunks.is_empty() {
                    chunks.push(before.into());
                }
                chunks.push(Bytes::from_static(b"]}").into());
                chunks
            }
            Self::Call(result) => vec![json::to_string(&result).into()],
            Self::InputRequired(asked) => vec![json::to_string(&asked.to_json()).into()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunks::into_bytes;

    #[test]
    fn a_list_joins_its_pieces() {
        let cases: [(&[&str], &str); 4] = [
            (&[], r#"{"tools":[]}"#),
            (&["", ""], r#"{"tools":[]}"#),
            (&["1"], r#"{"tools":[1]}"#),
            (&["1,2", "", "3"], r#"{"tools":[1,2,3]}"#),
        ];
        for (definitions, expected) in cases {
            let mut list = ToolList::default();
            for text in definitions {
                list.push(Bytes::copy_from_slice(text.as_bytes()));
            }
            let json = into_bytes(ServerResult::Tools(list).into_chunks()).concat();
            assert_eq!(String::from_utf8_lossy(&json), expected);
        }
    }
}

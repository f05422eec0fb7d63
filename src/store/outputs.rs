//! Outputs that were too long for an answer, kept for a while so that their owner can read on without running the action again.

use std::fmt;

use uuid::Uuid;

/// Bytes of one kept output. Longer ones are not kept. Outputs are kept compressed, to a fifth or a tenth of their size.
pub const MAX_OUTPUT: usize = 4 << 20;

/// Bytes of a user's kept outputs. Beyond them the oldest goes.
pub const MAX_OF_USER: usize = 8 << 20;

/// Name of a kept output: `output-` and a random UUID v4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputId(Uuid);

impl OutputId {
    const PREFIX: &str = "output-";

    /// Draws a new name from the operating system's random source.
    #[must_use]
    pub fn draw() -> Self {
        Self(Uuid::new_v4())
    }

    /// Reads a name as this server writes it. Anything else names no output.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let id = text.strip_prefix(Self::PREFIX)?;
        // One spelling for each: `try_parse` takes hyphens, braces and URNs, too.
        Uuid::try_parse(id).ok().filter(|_| id.len() == uuid::fmt::Simple::LENGTH).map(Self)
    }
}

impl fmt::Display for OutputId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", Self::PREFIX, self.0.simple())
    }
}

/// Output as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptOutput {
    /// Name of the tool that gave it.
    pub tool: String,
    /// Its JSON, compressed.
    pub json: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written() {
        let id = OutputId::draw();
        assert_eq!(OutputId::parse(&id.to_string()), Some(id));
        for other in ["", "output-", "output-1", "gmail_send-email", &id.to_string()[7..], &format!("{id}0")] {
            assert_eq!(OutputId::parse(other), None, "{other}");
        }
    }
}

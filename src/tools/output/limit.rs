//! Size of answers in tokens, which is estimated from their bytes: JSON takes about 3.5 bytes a token.

/// Bytes of two tokens.
const BYTES_PER_TWO_TOKENS: usize = 7;

/// Smallest limit in tokens. Below it there would be no place for the note that says what was left out.
const MIN_TOKENS: usize = 300;

/// Bytes kept free for the note that says what was left out.
const MIN_NOTE_BYTES: usize = 512;
const MAX_NOTE_BYTES: usize = 2_048;

/// Size that an answer may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    tokens: usize,
}

impl Limit {
    /// Returns a limit of so many tokens, of 300 at least.
    #[must_use]
    pub fn from_tokens(tokens: usize) -> Self {
        Self { tokens: tokens.max(MIN_TOKENS) }
    }

    /// Returns the limit in tokens, as notes tell it.
    #[must_use]
    pub fn tokens(self) -> usize {
        self.tokens
    }

    /// Returns the limit in bytes, the note included.
    #[must_use]
    pub fn bytes(self) -> usize {
        self.tokens.saturating_mul(BYTES_PER_TWO_TOKENS) / 2
    }

    /// Returns the bytes that the note takes at most, its name, the comma before it and the root's braces included.
    pub(super) fn note_bytes(self) -> usize {
        (self.bytes() / 8).clamp(MIN_NOTE_BYTES, MAX_NOTE_BYTES)
    }

    /// Returns the bytes that are there for the answer beside the note.
    pub(super) fn room(self) -> usize {
        self.bytes().saturating_sub(self.note_bytes())
    }
}

/// Returns the tokens that a text of so many bytes takes, rounded up.
#[must_use]
pub fn tokens(bytes: usize) -> usize {
    bytes.saturating_mul(2).div_ceil(BYTES_PER_TWO_TOKENS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_takes_three_and_a_half_bytes() {
        assert_eq!([0, 1, 7, 8, 70_000].map(tokens), [0, 1, 2, 3, 20_000]);
        assert_eq!([2_000, 20_000].map(|tokens| Limit::from_tokens(tokens).bytes()), [7_000, 70_000]);
    }

    #[test]
    fn every_limit_has_place_for_the_note_and_an_answer() {
        for given in [0, 1, 300, 2_000, 20_000, 100_000, usize::MAX] {
            let limit = Limit::from_tokens(given);
            assert!(limit.note_bytes() >= MIN_NOTE_BYTES && limit.room() >= MIN_NOTE_BYTES, "{given}");
            assert_eq!(limit.room() + limit.note_bytes(), limit.bytes(), "{given}");
        }
    }
}

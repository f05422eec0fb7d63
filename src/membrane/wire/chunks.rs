//! The end of a chunked body (RFC 9112 § 7.1).

use super::violation::Violation;

/// Longest chunk header or trailer section, in bytes.
const MAX_LINE_BYTES: usize = 16 * 1024;

/// Position within a chunked body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunks {
    /// In the hexadecimal size of a chunk, with its value so far and the digits read.
    Size { value: u64, digits: usize },
    /// Behind the size, in what is ignored up to the end of the line.
    Extension { value: u64, length: usize },
    /// In the data of a chunk, with the bytes that are left.
    Data(u64),
    /// Behind the data, before its line break.
    DataEnd { after_cr: bool },
    /// In the trailer section, with the length of the current line and of all of them.
    Trailer { line: usize, length: usize },
    /// Behind the last line break.
    End,
}

impl Chunks {
    /// Returns the position before the first chunk.
    pub(super) const fn new() -> Self {
        Self::Size { value: 0, digits: 0 }
    }

    /// Moves on by as much of `bytes` as belongs to the body, and returns how much that is.
    ///
    /// # Errors
    /// [`Violation::Chunk`].
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Result<usize, Violation> {
        let mut rest = bytes;
        while *self != Self::End
            && let Some((&byte, after)) = rest.split_first()
        {
            // Data is passed over at once: bodies have megabytes, and only what frames them is looked at byte by byte.
            if let Self::Data(left) = self {
                let taken = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= taken as u64;
                rest = rest.get(taken..).unwrap_or_default();
                if *left == 0 {
                    *self = Self::DataEnd { after_cr: false };
                }
                continue;
            }
            *self = self.step(byte)?;
            rest = after;
        }
        Ok(bytes.len() - rest.len())
    }

    fn step(self, byte: u8) -> Result<Self, Violation> {
        Ok(match self {
            // No sign, no `0x` and no empty size: other readers take some of these, and would end the body elsewhere.
            Self::Size { value, digits } => match (char::from(byte).to_digit(16), byte) {
                // 15 digits are more than any body has, and can't overflow.
                (Some(digit), _) if digits < 15 => {
                    Self::Size { value: value * 16 + u64::from(digit), digits: digits + 1 }
                }
                (None, b'\r' | b';' | b' ' | b'\t') if digits > 0 => Self::Extension { value, length: 0 },
                _ => return Err(Violation::Chunk),
            },
            Self::Extension { value: 0, .. } if byte == b'\n' => Self::Trailer { line: 0, length: 0 },
            Self::Extension { value, .. } if byte == b'\n' => Self::Data(value),
            Self::Extension { value, length } if length < MAX_LINE_BYTES => {
                Self::Extension { value, length: length + 1 }
            }
            Self::DataEnd { after_cr: false } if byte == b'\r' => Self::DataEnd { after_cr: true },
            Self::DataEnd { after_cr: true } if byte == b'\n' => Self::new(),
            Self::Trailer { line: 0, .. } if byte == b'\n' => Self::End,
            // The length goes on over the lines, so that many short ones are bounded as one long one is.
            Self::Trailer { length, .. } if byte == b'\n' => Self::Trailer { line: 0, length },
            Self::Trailer { line: 0, length } if byte == b'\r' => Self::Trailer { line: 0, length },
            Self::Trailer { line, length } if length < MAX_LINE_BYTES => {
                Self::Trailer { line: line + 1, length: length + 1 }
            }
            Self::Extension { .. } | Self::DataEnd { .. } | Self::Trailer { .. } | Self::Data(_) | Self::End => {
                return Err(Violation::Chunk);
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns how many bytes of `text` are the body, fed in pieces of `size` bytes.
    fn body(text: &str, size: usize) -> Result<usize, Violation> {
        let (mut chunks, mut taken) = (Chunks::new(), 0);
        for piece in text.as_bytes().chunks(size) {
            taken += chunks.advance(piece)?;
        }
        if chunks == Chunks::End { Ok(taken) } else { Err(Violation::Unfinished) }
    }

    #[test]
    fn the_end_of_a_chunked_body_is_found_however_it_is_cut() {
        let whole = [
            "0\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            "a;name=value\r\n0123456789\r\n0\r\n\r\n",
            "1 \r\nx\r\n00\r\nTrailer: x\r\nOther: y\r\n\r\n",
            "2\r\n\r\n\r\n0\r\n\r\n",
        ];
        for text in whole {
            for size in 1..=text.len() {
                assert_eq!(body(text, size), Ok(text.len()), "{text:?} in pieces of {size}");
                let more = format!("{text}HTTP/1.1 200 OK");
                assert_eq!(body(&more, size), Ok(text.len()), "{more:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn a_body_that_is_not_chunked_as_it_should_be_is_refused() {
        let long = format!("1;{}\r\n", "x".repeat(MAX_LINE_BYTES + 1));
        let many = format!("0\r\n{}", "a: b\r\n".repeat(MAX_LINE_BYTES));
        for text in
            ["\r\n", "x\r\n", "-1\r\n", "1\r\nab\r\n", "1\r\na\n0\r\n\r\n", "1234567890abcdef\r\n", &long, &many]
        {
            assert_eq!(body(text, 7), Err(Violation::Chunk), "{text:.20?}");
        }
    }
}

//! Reading of JSON text that is known to be valid, value by value. It builds no tree and makes no number of a number, so a
//! value that is only stepped over costs a look at its bytes.
//!
//! Commas and colons are treated like white space: in valid JSON they say nothing that the brackets don't. Of text that is
//! no JSON some values are read, and the reading ends all the same.

use memchr::memchr2;

/// Arrays and objects in each other that are opened. A deeper one is taken as one piece, kept whole or left out, so that
/// functions may call themselves for what lies within. Many JSON parsers take no more than 128.
pub(super) const MAX_DEPTH: usize = 100;

/// Kind of a value, by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ValueKind {
    Object,
    Array,
    /// String, read with its quotes.
    Text,
    /// Number, `true`, `false` or `null`.
    Word,
}

/// Place in a JSON text up to which it has been read.
#[derive(Debug, Clone)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    /// Begins before the root of a text.
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Begins within the text, before a value or a closing bracket.
    pub(super) fn starting_at(text: &'a str, at: usize) -> Self {
        Self { text, at }
    }

    /// Returns the place as an offset in bytes.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Goes on to a place further behind, which is as [`Scanner::starting_at`] takes it.
    pub(super) fn go_to(&mut self, at: usize) {
        self.at = self.at.max(at);
    }

    /// Returns how many bytes are still to be read.
    pub(super) fn bytes_left(&self) -> usize {
        self.text.len().saturating_sub(self.at)
    }

    /// Returns the kind of the next value, which is not taken yet; a value too deep to be opened is of kind `Word`.
    pub(super) fn kind(&mut self, depth: usize) -> ValueKind {
        match self.next_byte() {
            Some(b'{') if depth < MAX_DEPTH => ValueKind::Object,
            Some(b'[') if depth < MAX_DEPTH => ValueKind::Array,
            Some(b'"') => ValueKind::Text,
            _ => ValueKind::Word,
        }
    }

    /// Takes the bracket with which an object or array begins.
    pub(super) fn open(&mut self) {
        self.next_byte();
        self.at += 1;
    }

    /// Returns whether the open object or array goes on; else takes the bracket with which it ends.
    pub(super) fn more(&mut self) -> bool {
        match self.next_byte() {
            Some(b'}' | b']') => {
                self.at += 1;
                false
            }
            Some(_) => true,
            None => false,
        }
    }

    /// Takes the next value whole, the name of a member included, and returns it as it is written.
    pub(super) fn value(&mut self) -> &'a str {
        let first = self.next_byte();
        let begin = self.at;
        match first {
            Some(b'"') => self.at = string_end(self.text.as_bytes(), begin),
            Some(b'{' | b'[') => {
                self.at += 1;
                self.rest();
            }
            Some(_) => {
                let rest = self.text.as_bytes().get(begin + 1..).unwrap_or_default();
                self.at += 1 + rest.iter().position(|byte| is_end_of_word(*byte)).unwrap_or(rest.len());
            }
            None => {}
        }
        self.text.get(begin..self.at).unwrap_or_default()
    }

    /// Takes the rest of the open object or array, its last bracket included. Returns how many values that was, where the
    /// place is before a value.
    pub(super) fn rest(&mut self) -> usize {
        let bytes = self.text.as_bytes();
        let (mut values, mut depth) = (1, 0_usize);
        while let Some(byte) = bytes.get(self.at) {
            self.at += 1;
            match byte {
                b'"' => self.at = string_end(bytes, self.at - 1),
                b'{' | b'[' => depth += 1,
                b'}' | b']' if depth == 0 => break,
                b'}' | b']' => depth -= 1,
                b',' if depth == 0 => values += 1,
                _ => {}
            }
        }
        values
    }

    /// Returns the byte with which the next value or the closing bracket begins.
    fn next_byte(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.at)? {
                b' ' | b'\t' | b'\n' | b'\r' | b',' | b':' => self.at += 1,
                byte => return Some(*byte),
            }
        }
    }
}

fn is_end_of_word(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b',' | b':' | b'}' | b']' | b'{' | b'[' | b'"')
}

/// Returns where the string ends whose first quote stands at `begin`; the end of the text, where it has no last quote.
fn string_end(bytes: &[u8], begin: usize) -> usize {
    let mut at = begin + 1;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found + 1;
        if bytes.get(at - 1) == Some(&b'"') {
            return at;
        }
        // An escaped quote does not end the string.
        at += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_as_they_are_written() {
        let mut scanner = Scanner::new(" { \"a\\\"\" : [ -1.50e3 ,null, {\"b\":[]} ], \"é\":\"[{\" } ");
        assert_eq!(scanner.kind(0), ValueKind::Object);
        scanner.open();
        assert!(scanner.more());
        assert_eq!((scanner.value(), scanner.kind(1)), (r#""a\"""#, ValueKind::Array));
        scanner.open();
        assert!(scanner.more());
        assert_eq!((scanner.kind(2), scanner.value(), scanner.value()), (ValueKind::Word, "-1.50e3", "null"));
        assert_eq!((scanner.kind(2), scanner.value(), scanner.more()), (ValueKind::Object, "{\"b\":[]}", false));
        assert_eq!((scanner.value(), scanner.kind(1), scanner.value()), ("\"é\"", ValueKind::Text, "\"[{\""));
        assert!(!scanner.more());
    }

    #[test]
    fn the_rest_of_a_list_is_counted() {
        for (text, values) in [("[1]", 1), ("[1,[2,3],{\"a\":4,\"b\":5}]", 3), (r#"[ "]," , "\"," ]"#, 2)] {
            let text = format!("{text} 7");
            let mut scanner = Scanner::new(&text);
            scanner.open();
            assert_eq!((scanner.rest(), scanner.value()), (values, "7"), "{text}");
        }
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
        assert_eq!(Scanner::new(&deep).value(), deep);
        assert_eq!(Scanner::new(&deep).kind(MAX_DEPTH), ValueKind::Word);
    }

    #[test]
    fn text_that_is_no_json_ends() {
        for text in ["", "\"", "\"\\", "]]", "{\"a\"", "é", "\"é", "{]", "[}1", ":", "[1,,", "{\"a\\"] {
            let mut scanner = Scanner::new(text);
            let mut values = 0;
            while scanner.more() && values < 100 {
                scanner.value();
                values += 1;
            }
            assert!(values <= text.len(), "{text}");
        }
    }
}

//! Tokens of JSON text that is known to be valid. Reading them needs no tree, no recursion and no number type, so that a
//! value of any size and depth is walked in linear time and little memory.

use super::json::string_bytes;

/// Smallest piece of JSON text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token<'a> {
    /// `{` or `[`.
    Open(char),
    /// `}` or `]`.
    Close(char),
    /// The comma between elements or members.
    Comma,
    /// The colon behind the name of a member.
    Colon,
    /// A string as it is written, its quotes included.
    Text(&'a str),
    /// A number, `true`, `false` or `null`, as it is written.
    Word(&'a str),
}

/// Tokens of a JSON text, without the white space between them.
#[derive(Debug, Clone)]
pub struct Tokens<'a> {
    /// Text behind the next token.
    rest: &'a str,
    /// Next token, with the text that begins with it.
    next: Option<(Token<'a>, &'a str)>,
}

impl<'a> Tokens<'a> {
    /// Returns the tokens of valid JSON. Of other text it returns some tokens, and ends all the same.
    #[must_use]
    pub fn new(json: &'a str) -> Self {
        let mut tokens = Self { rest: json, next: None };
        tokens.advance();
        tokens
    }

    /// Returns the next token without taking it.
    #[must_use]
    pub fn peek(&self) -> Option<Token<'a>> {
        self.next.map(|(token, _)| token)
    }

    /// Takes the next token if it is this one.
    pub fn take_if(&mut self, token: Token<'_>) -> bool {
        let is_next = self.peek() == Some(token);
        if is_next {
            self.advance();
        }
        is_next
    }

    /// Takes a whole value, and returns it as it is written.
    pub fn value(&mut self) -> &'a str {
        let Some((first, begin)) = self.next else { return "" };
        let mut after = self.rest;
        self.advance();
        let mut depth = usize::from(matches!(first, Token::Open(_)));
        while depth > 0
            && let Some((token, _)) = self.next
        {
            match token {
                Token::Open(_) => depth += 1,
                Token::Close(_) => depth -= 1,
                _ => {}
            }
            after = self.rest;
            self.advance();
        }
        begin.get(..begin.len() - after.len()).unwrap_or_default()
    }

    /// Reads the next token.
    fn advance(&mut self) {
        let bytes = self.rest.as_bytes();
        let begin = bytes.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(bytes.len());
        let text = self.rest.get(begin..).unwrap_or_default();
        let bytes = text.as_bytes();
        let length = match bytes.first() {
            None => {
                (self.rest, self.next) = ("", None);
                return;
            }
            Some(b'"') => string_bytes(bytes),
            Some(b'{' | b'[' | b'}' | b']' | b',' | b':') => 1,
            Some(_) => {
                let is_end = |byte: &u8| {
                    matches!(byte, b',' | b']' | b'}' | b':' | b'"' | b'[' | b'{') || byte.is_ascii_whitespace()
                };
                bytes.iter().position(is_end).unwrap_or(bytes.len())
            }
        };
        // Every token ends before an ASCII character, so that this is no cut within one.
        let (token, rest) = text.split_at_checked(length).unwrap_or((text, ""));
        let token = match bytes.first() {
            Some(b'"') => Token::Text(token),
            Some(b'{') => Token::Open('{'),
            Some(b'[') => Token::Open('['),
            Some(b'}') => Token::Close('}'),
            Some(b']') => Token::Close(']'),
            Some(b',') => Token::Comma,
            Some(b':') => Token::Colon,
            _ => Token::Word(token),
        };
        (self.rest, self.next) = (rest, Some((token, text)));
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let token = self.peek();
        self.advance();
        token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_as_they_are_written() {
        use Token::{Close, Colon, Comma, Open, Text, Word};
        let json = " { \"a\\\"\" : [ -1.50e3 ,null ], \"é\":\"[{\" } ";
        let tokens: Vec<_> = Tokens::new(json).collect();
        let list = [Open('['), Word("-1.50e3"), Comma, Word("null"), Close(']')];
        let expected = [
            &[Open('{'), Text(r#""a\"""#), Colon],
            &list[..],
            &[Comma, Text("\"é\""), Colon, Text("\"[{\""), Close('}')],
        ];
        assert_eq!(tokens, expected.concat());
    }

    #[test]
    fn a_value_is_taken_whole() {
        for value in ["1", "\"a]\"", "[1, {\"a\": [2]}]", "{}", "null"] {
            let json = format!(" {value} , 7");
            let mut tokens = Tokens::new(&json);
            assert_eq!(tokens.value(), value);
            assert!(tokens.take_if(Token::Comma) && !tokens.take_if(Token::Colon), "{value}");
            assert_eq!((tokens.value(), tokens.next()), ("7", None));
        }
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert_eq!(Tokens::new(&deep).value(), deep);
    }

    #[test]
    fn text_that_is_no_json_ends() {
        for text in ["", "\"", "\"\\", "]]", "{\"a\"", "é", "\"é"] {
            assert!(Tokens::new(text).count() <= text.len(), "{text}");
            assert!(text.contains(Tokens::new(text).value()), "{text}");
        }
    }
}

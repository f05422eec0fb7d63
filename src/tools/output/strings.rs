//! Clipping of long strings: the beginning is kept, and a mark says how much is missing.

use memchr::memchr;

/// Characters up to which a string is not long. Strings are clipped to fewer only where nothing else is left to leave out.
pub(super) const LONG_CHARACTERS: usize = 4_000;

/// Bytes that the quotes and the mark take at most.
pub(super) const MARK_BYTES: usize = 2 + "… [18446744073709551615 more characters]".len();

/// Returns the bytes a string is clipped to where strings are to be as short as may be; all it has, if it is not long.
pub(super) fn clipped_bytes(text: &str) -> usize {
    // A character takes at least a byte.
    if text.len() <= LONG_CHARACTERS {
        return text.len();
    }
    let beginning: usize = Characters(inner(text)).take(LONG_CHARACTERS).sum();
    text.len().min(beginning + MARK_BYTES)
}

/// Appends a string in at most so many bytes, which are to be as many as the mark takes at least. Returns whether it was
/// clipped.
pub(super) fn push_clipped(out: &mut String, text: &str, bytes: usize) -> bool {
    if text.len() <= bytes {
        out.push_str(text);
        return false;
    }
    let inner = inner(text);
    let mut end = 0;
    for length in Characters(inner) {
        if end + length > bytes.saturating_sub(MARK_BYTES) {
            break;
        }
        end += length;
    }
    let (kept, missing) = inner.split_at_checked(end).unwrap_or((inner, ""));
    out.push('"');
    out.push_str(kept);
    out.push_str(if kept.is_empty() { "[" } else { "… [" });
    out.push_str(&count(missing).to_string());
    out.push_str(" more characters]\"");
    true
}

/// Returns the text that a JSON string stands for. Half a surrogate pair, which no text can hold, is replaced.
pub(super) fn decoded(text: &str) -> String {
    serde_json::from_str(text).unwrap_or_else(|_lone_surrogate| inner(text).to_owned())
}

/// Returns whether a JSON string stands for this text.
pub(super) fn is(text: &str, expected: &str) -> bool {
    // Nearly all names are written without an escape.
    if text.contains('\\') { decoded(text) == expected } else { inner(text) == expected }
}

fn inner(text: &str) -> &str {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

/// Lengths in bytes of the characters of a JSON string. An escape is one character, a pair of surrogates too.
struct Characters<'a>(&'a str);

impl Iterator for Characters<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let length = match self.0.as_bytes() {
            [] => return None,
            escape @ [b'\\', ..] => escape_bytes(escape),
            [0..=0x7f, ..] => 1,
            [0..=0xdf, ..] => 2,
            [0..=0xef, ..] => 3,
            _ => 4,
        };
        // Less is left only in text that is no JSON.
        let (_, rest) = self.0.split_at_checked(length).unwrap_or((self.0, ""));
        let taken = self.0.len() - rest.len();
        self.0 = rest;
        Some(taken)
    }
}

/// Returns how many characters there are, as [`Characters`] does, but many at a time.
fn count(mut text: &str) -> usize {
    let mut count = 0;
    while let Some(at) = memchr(b'\\', text.as_bytes()) {
        let (plain, escaped) = text.split_at(at);
        count += plain.chars().count() + 1;
        text = escaped.get(escape_bytes(escaped.as_bytes())..).unwrap_or_default();
    }
    count + text.chars().count()
}

/// Returns the bytes of the escape with which a text begins.
fn escape_bytes(text: &[u8]) -> usize {
    let is_high = matches!(text, [_, b'u', b'd' | b'D', b'8' | b'9' | b'a' | b'b' | b'A' | b'B', ..]);
    let is_low_next = || matches!(text.get(6..), Some([b'\\', b'u', b'd' | b'D', b'c'..=b'f' | b'C'..=b'F', ..]));
    match text {
        _ if is_high && is_low_next() => 12,
        [_, b'u', ..] => 6,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clip(text: &str, bytes: usize) -> String {
        let mut out = String::new();
        push_clipped(&mut out, text, bytes);
        out
    }

    #[test]
    fn a_clipped_string_says_how_much_is_missing() {
        let text = serde_json::to_string(&"x".repeat(5_000)).unwrap();
        let clipped = clip(&text, clipped_bytes(&text));
        assert_eq!(clipped, format!("\"{}… [1000 more characters]\"", "x".repeat(4_000)));
        assert_eq!(clip(&text, 5_002), text);
        assert_eq!(clip(&text, MARK_BYTES), "\"[5000 more characters]\"");
    }

    #[test]
    fn strings_up_to_the_bound_are_not_long_whatever_their_characters_take() {
        for character in ["x", "é", "語", "😀", "\\n", "\\u00e9", "\\ud83d\\ude00"] {
            let text = format!("\"{}\"", character.repeat(LONG_CHARACTERS));
            assert_eq!(clipped_bytes(&text), text.len(), "{character}");
            let longer = format!("\"{}\"", character.repeat(2 * LONG_CHARACTERS));
            let clipped = clip(&longer, clipped_bytes(&longer));
            let expected = format!("\"{}… [4000 more characters]\"", character.repeat(LONG_CHARACTERS));
            assert!(clipped.contains(&character.repeat(LONG_CHARACTERS)) && clipped.len() <= clipped_bytes(&longer));
            assert!(clipped == expected || clipped.ends_with("more characters]\""), "{character}");
        }
    }

    #[test]
    fn neither_a_character_nor_an_escape_is_cut_in_two() {
        let text = format!("\"{}\"", r#"aé語😀\n\"\\\u00e9\ud83d\ude00\ud83d."#.repeat(20));
        for bytes in MARK_BYTES..text.len() {
            let clipped = clip(&text, bytes);
            assert!(clipped.len() <= bytes, "{clipped}");
            let kept = clipped.get(1..clipped.rfind('[').unwrap()).unwrap().trim_end_matches("… ");
            let lengths: Vec<_> = Characters(kept).collect();
            assert_eq!(lengths, Characters(inner(&text)).take(lengths.len()).collect::<Vec<_>>(), "{clipped}");
            let missing = Characters(inner(&text)).count() - lengths.len();
            assert_eq!(count(inner(&text)), Characters(inner(&text)).count());
            assert!(clipped.ends_with(&format!("[{missing} more characters]\"")), "{clipped}");
        }
    }

    #[test]
    fn names_are_compared_by_what_they_stand_for() {
        assert!(is(r#""a""#, "a") && is(r#""\u0061""#, "a") && is(r#""a\"b""#, "a\"b"));
        assert!(!is(r#""a""#, "b") && !is(r#""\ud800""#, "a"));
    }
}

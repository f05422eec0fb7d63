//! JSON as bytes from outside, mended so that it can be read: what is no Unicode costs a character, not the message.

use std::borrow::Cow;

use memchr::memmem;

/// Byte order mark, which some systems put before their JSON (RFC 8259 § 8.1 lets a reader skip it).
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Escape of U+FFFD, as long as the escape that it replaces.
const REPLACEMENT: &[u8] = b"\\ufffd";

/// Returns JSON as text: without a byte order mark, and with U+FFFD for bytes that are no UTF-8 and for escapes of half
/// a surrogate pair, such as `"\ud83d"`. JSON that needs none of that is not copied.
///
/// Half a pair comes from texts cut between two UTF-16 units. `serde_json` refuses it, and so do most clients.
#[must_use]
pub fn clean(json: &[u8]) -> Cow<'_, str> {
    let json = json.strip_prefix(BYTE_ORDER_MARK).unwrap_or(json);
    // Asked first because it goes by words, where the lossy reading goes by bytes.
    let text = str::from_utf8(json).map_or_else(|_broken| String::from_utf8_lossy(json), Cow::Borrowed);
    if may_have_half(json) { Cow::Owned(mend_escapes(text.into_owned())) } else { text }
}

/// Returns whether there is an escape that may be half a pair; most JSON has no escape of a surrogate, and much has none at all.
fn may_have_half(json: &[u8]) -> bool {
    let escapes = memchr::memchr(b'\\', json).and_then(|first| json.get(first..)).unwrap_or_default();
    memmem::find_iter(escapes, "\\u").any(|at| matches!(escapes.get(at + 2), Some(b'd' | b'D')))
}

/// Part of a surrogate pair that an escape stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    High,
    Low,
    Neither,
}

fn mend_escapes(text: String) -> String {
    let mut bytes = text.into_bytes();
    let mut at = 0;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr(b'\\', rest)) {
        at += found;
        if bytes.get(at + 1) != Some(&b'u') {
            // Also `\\`, behind which a `u` begins no escape.
            at += 2;
            continue;
        }
        match (half(&bytes, at), half(&bytes, at + 6)) {
            (Half::High, Half::Low) => at += 12,
            (Half::High | Half::Low, _) => {
                if let Some(escape) = bytes.get_mut(at..at + 6) {
                    escape.copy_from_slice(REPLACEMENT);
                }
                at += 6;
            }
            (Half::Neither, _) => at += 6,
        }
    }
    // Only ASCII was replaced, by ASCII.
    String::from_utf8(bytes).unwrap_or_default()
}

/// Returns the half of a pair for which the escape at this place stands.
fn half(json: &[u8], at: usize) -> Half {
    let digits = json.get(at..at + 6).and_then(|escape| escape.strip_prefix(b"\\u"));
    let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
    match digits.and_then(|digits| u16::from_str_radix(digits, 16).ok()) {
        Some(0xD800..=0xDBFF) => Half::High,
        Some(0xDC00..=0xDFFF) => Half::Low,
        _ => Half::Neither,
    }
}

/// Returns the beginning of a text of at most so many bytes, cut between characters.
#[must_use]
pub fn beginning(text: &str, max_bytes: usize) -> &str {
    let end = (0..=max_bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
}

/// Returns whether a character is for machines: a control but for line breaks and tabs, or one that turns the direction of text or
/// shows nothing at all.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\u{ad}'
        | '\u{61c}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{180e}'
        | '\u{200b}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{2064}'
        | '\u{2066}'..='\u{2069}'
        | '\u{3164}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{e0000}'..='\u{e007f}' => true,
        c => c.is_control(),
    }
}

/// Returns a text on one line, without characters that show nothing.
#[must_use]
pub fn one_line(text: &str) -> String {
    printable(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns a text without characters that are for machines: controls but for line breaks and tabs, and those that turn
/// the direction of text or show nothing at all, by which a text can say one thing to people and another to a model.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return text.into();
    }
    let shown = text.chars().filter_map(|c| match c {
        '\u{2028}' | '\u{2029}' | '\u{85}' => Some('\n'),
        c => (!is_hidden(c)).then_some(c),
    });
    shown.collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn sound_json_is_not_copied() {
        for json in [r#"{"a":"é\u00e9 \ud83d\ude00 \\ud83d"}"#, "", "[1e400]", r#""\uD83D\uDE00""#] {
            let cleaned = clean(json.as_bytes());
            assert_eq!(cleaned, json);
            assert!(json.contains("\\u") || matches!(cleaned, Cow::Borrowed(_)), "{json}");
        }
    }

    #[test]
    fn what_is_no_unicode_is_replaced() {
        let cases: [(&[u8], &str); 10] = [
            (b"\"cut \\ud83d\"", "\"cut \\ufffd\""),
            (b"\"\\ude00 \\ud83d\"", "\"\\ufffd \\ufffd\""),
            (b"\"\\ud83d\\ud83d\\ude00\"", "\"\\ufffd\\ud83d\\ude00\""),
            (b"\"\\\\ud83d\\\\\\ud83d\"", "\"\\\\ud83d\\\\\\ufffd\""),
            (b"\"\\uDEAD\\n\"", "\"\\ufffd\\n\""),
            (b"\"\\ud8\"", "\"\\ud8\""),
            (b"\"\xff\xc3\"", "\"\u{fffd}\u{fffd}\""),
            (b"\"\xed\xa0\xbd\"", "\"\u{fffd}\u{fffd}\u{fffd}\""),
            (b"\xef\xbb\xbf{}", "{}"),
            (b"\\", "\\"),
        ];
        for (json, expected) in cases {
            assert_eq!(clean(json), expected, "{:?}", String::from_utf8_lossy(json));
        }
    }

    #[test]
    fn hidden_characters_are_not_shown() {
        assert_eq!(printable("a\tb\nc é 😀"), "a\tb\nc é 😀");
        assert_eq!(printable("a\u{1b}[31mb\r\n\u{7f}\u{9b}\0c"), "a[31mb\nc");
        assert_eq!((beginning("aéb", 2), beginning("aéb", 3), beginning("aéb", 9)), ("a", "aé", "aéb"));
        assert_eq!(printable("\u{202e}a\u{e0041}b\u{200b}\u{2028}c"), "ab\nc");
    }

    proptest! {
        #[test]
        fn every_string_with_any_escapes_can_be_read(units in prop::collection::vec(any::<u16>(), 0..20)) {
            let escapes: Vec<_> = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
            let json = format!("\"{}\"", escapes.concat());
            let read: Value = serde_json::from_str(&clean(json.as_bytes())).unwrap();
            prop_assert_eq!(read, Value::String(String::from_utf16_lossy(&units)));
        }
    }
}

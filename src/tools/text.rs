//! Texts that must not be longer than their place, and texts however they are written.

use std::borrow::Cow;

use crate::protocol::clean::beginning;

/// Returns a text of at most so many bytes; one that was cut ends in `…`.
pub(super) fn cut(text: &str, max_bytes: usize) -> Cow<'_, str> {
    if text.len() <= max_bytes {
        return text.into();
    }
    let room = max_bytes.saturating_sub('…'.len_utf8());
    format!("{}…", beginning(text, room)).into()
}

/// Returns what a name has beside the ways to write it.
pub(super) fn letters(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("ééééé", 8), "éé…");
        assert_eq!(cut("abc", 0), "…");
    }
}

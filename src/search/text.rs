//! Words of a text, by one set of rules for tools and queries.

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// Longest word kept, in bytes. Base64 or a whole URL without a separator says nothing about a tool.
const MAX_WORD_BYTES: usize = 48;

/// Endings of the names of files that people write about.
const EXTENSIONS: [&str; 14] =
    ["pdf", "png", "jpg", "jpeg", "gif", "csv", "txt", "doc", "docx", "xls", "xlsx", "pptx", "zip", "json"];

/// A word of a text, with the signs of how it was written.
#[expect(clippy::struct_excessive_bools, reason = "independent signs, each read by its name")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    /// Lower case, without accents.
    pub(super) text: String,
    /// First letter of the word as written is a capital.
    pub(super) capital: bool,
    /// Separator of clauses between this word and the one before.
    pub(super) breaks: bool,
    /// Colon directly behind the word, as in `Slack: post a message`.
    pub(super) colon: bool,
    /// Stands between quotes, or in an address, so that it is a value rather than a description.
    pub(super) quoted: bool,
    /// Continues the written word before it, as `Hub` and `Spot` of `HubSpot`.
    pub(super) joined: bool,
}

/// Kinds of characters between which a word ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CharKind {
    Lower,
    Upper,
    Digit,
    Cjk,
    Other,
}

fn kind(c: char) -> CharKind {
    match c {
        _ if is_cjk(c) => CharKind::Cjk,
        _ if c.is_uppercase() => CharKind::Upper,
        _ if c.is_alphabetic() => CharKind::Lower,
        _ if c.is_numeric() => CharKind::Digit,
        _ => CharKind::Other,
    }
}

/// Tells characters of Japanese and Chinese, which are written without blanks between words.
pub(super) fn is_cjk(c: char) -> bool {
    matches!(c, '\u{3005}'..='\u{3007}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}')
}

/// Text in one form: compatibility characters unified, accents dropped. Upper case stays, as it parts words.
pub(super) fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_owned();
    }
    // A sharp s has no decomposition, but is written as ss wherever it cannot be typed.
    text.nfkd()
        .filter(|c| !is_combining_mark(*c))
        .flat_map(|c| if c == 'ß' { ['s', 's'] } else { [c, '\0'] })
        .filter(|c| *c != '\0')
        .collect()
}

/// Splits a text at blanks, punctuation, camelCase, changes of script, and where digits meet a word.
pub(super) fn words(text: &str) -> Vec<Word> {
    let folded: Vec<char> = fold(text).chars().collect();
    let mut found: Vec<Word> = Vec::new();
    let mut signs = Signs::default();
    let mut last_end = 0;
    scan(&folded, |start, end| {
        for at in last_end..start {
            let before = at.checked_sub(1).and_then(|at| folded.get(at)).copied();
            signs.separate(folded.get(at).copied().unwrap_or_default(), folded.get(at + 1).copied(), before);
        }
        signs.joined = start == last_end && start > 0;
        last_end = end;
        let word = folded.get(start..end).unwrap_or_default();
        let text: String = word.iter().flat_map(|c| c.to_lowercase()).collect();
        if text.len() <= MAX_WORD_BYTES {
            found.push(Word {
                text,
                capital: word.first().is_some_and(|c| c.is_uppercase()),
                breaks: std::mem::take(&mut signs.breaks),
                colon: folded.get(end) == Some(&':'),
                quoted: signs.quoted || in_address(&folded, start, end),
                joined: signs.joined,
            });
        }
    });
    found
}

/// Tells a part of an e-mail address, a URL or the name of a file.
fn in_address(text: &[char], start: usize, end: usize) -> bool {
    let before = text.get(..start).unwrap_or_default().iter().rposition(|c| c.is_whitespace()).map_or(0, |at| at + 1);
    let after = text.iter().skip(end).position(|c| c.is_whitespace()).map_or(text.len(), |at| end + at);
    let chunk = text.get(before..after).unwrap_or_default();
    let at_sign = chunk
        .iter()
        .position(|c| *c == '@')
        .is_some_and(|at| at > 0 && chunk.get(at - 1).is_some_and(|c| c.is_alphanumeric()));
    let written: String = chunk.iter().collect::<String>().to_lowercase();
    let file = || {
        written
            .trim_end_matches(['.', ',', '?', '!', ')'])
            .rsplit_once('.')
            .is_some_and(|(_, end)| EXTENSIONS.contains(&end))
    };
    at_sign || written.contains("://") || file()
}

/// Hands out where each word of a text begins and ends.
fn scan(text: &[char], mut take: impl FnMut(usize, usize)) {
    let mut start = 0;
    for i in 0..=text.len() {
        let separator = text.get(i).is_none_or(|c| kind(*c) == CharKind::Other);
        if separator || i > start && splits(text, start, i) {
            if i > start {
                take(start, i);
            }
            start = if separator { i + 1 } else { i };
        }
    }
}

/// Tells a boundary within a run of letters and digits.
fn splits(text: &[char], start: usize, i: usize) -> bool {
    let at = |i: usize| text.get(i).copied().map_or(CharKind::Other, kind);
    let run = |kind: CharKind, from: usize| text.iter().skip(from).take_while(|c| self::kind(**c) == kind).count();
    match (at(i - 1), at(i)) {
        // The last capital of HTTPServer begins the next word, but a plural s does not: URLs.
        (CharKind::Upper, CharKind::Upper) => {
            at(i + 1) == CharKind::Lower && (text.get(i + 1) != Some(&'s') || at(i + 2) == CharKind::Lower)
        }
        (CharKind::Cjk, CharKind::Cjk) => false,
        (CharKind::Cjk, _) | (_, CharKind::Cjk) | (CharKind::Lower, CharKind::Upper) => true,
        // s3, v2 and ga4 are words of their own; address2 and 30min are two.
        (CharKind::Lower | CharKind::Upper, CharKind::Digit) => i - start >= 4,
        (CharKind::Digit, CharKind::Lower) => {
            run(CharKind::Lower, i) >= 3 && (start..i).all(|i| at(i) == CharKind::Digit)
        }
        _ => false,
    }
}

/// Signs met since the last word.
#[derive(Debug, Default)]
struct Signs {
    breaks: bool,
    quoted: bool,
    joined: bool,
}

impl Signs {
    fn separate(&mut self, c: char, next: Option<char>, before: Option<char>) {
        match c {
            '"' | '“' | '”' | '„' | '«' | '»' | '「' | '」' => self.quoted = !self.quoted,
            // An apostrophe within a word is no quote.
            '\'' | '‘' | '’'
                if !before.is_some_and(char::is_alphanumeric) || !next.is_some_and(char::is_alphanumeric) =>
            {
                self.quoted = (!self.quoted && next.is_some_and(char::is_alphanumeric)) && c != '’';
            }
            ',' | ';' | ':' | '、' | '。' | '!' | '?' | '+' | '→' | '>' | '\n' => self.breaks = true,
            '.' if next.is_none_or(char::is_whitespace) => self.breaks = true,
            _ => {}
        }
    }
}

/// Hands out the words of a tool's text for the index: a run of Japanese becomes pairs of characters.
pub(super) fn each_word(text: &str, mut take: impl FnMut(&str)) {
    let folded: Vec<char> = if text.is_ascii() { text.chars().collect() } else { fold(text).chars().collect() };
    let mut word = String::new();
    scan(&folded, |start, end| {
        word.clear();
        word.extend(folded.get(start..end).unwrap_or_default().iter().flat_map(|c| c.to_lowercase()));
        if word.len() <= MAX_WORD_BYTES {
            each_part(&word, &mut take);
        }
    });
}

/// Parts of a word under which the index knows it: itself, or the pairs of characters of Japanese.
pub(super) fn each_part(word: &str, take: &mut impl FnMut(&str)) {
    if !word.chars().next().is_some_and(is_cjk) {
        return take(word);
    }
    let chars: Vec<char> = word.chars().collect();
    if chars.len() < 2 {
        return take(word);
    }
    for pair in chars.windows(2) {
        take(&pair.iter().collect::<String>());
    }
}

/// Key under which a term is looked up. A collision within an app only mixes the ranking of two words.
pub(super) fn hash(term: &str) -> u32 {
    crc32fast::hash(term.as_bytes())
}

/// Letters and digits of a name in lower case, so that `Hub Spot`, `hub-spot` and `HubSpot` are one.
pub(super) fn squash(text: &str) -> String {
    fold(text).chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        words(text).into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn words_end_at_separators_cases_digits_and_scripts() {
        assert_eq!(texts("gmail_send-email.v2"), ["gmail", "send", "email", "v2"]);
        assert_eq!(texts("getHTTPServerURLs"), ["get", "http", "server", "urls"]);
        assert_eq!(texts("address2 30min 3pm s3"), ["address", "2", "30", "min", "3pm", "s3"]);
        assert_eq!(texts("Notionのページを更新"), ["notion", "のヘーシを更新"]);
        assert_eq!(texts("Größe café"), ["grosse", "cafe"]);
        assert_eq!(texts(""), Vec::<String>::new());
    }

    #[test]
    fn a_word_keeps_the_signs_of_how_it_was_written() {
        let found = words("Slack: tell 'the team', HubSpot");
        assert!(found[0].capital && found[0].colon && !found[0].quoted);
        assert!(found[1].breaks && !found[1].quoted);
        assert!(found[2].quoted && found[3].quoted);
        assert!(found[4].breaks && !found[4].quoted && !found[4].joined);
        assert!(found[5].joined);
    }

    #[test]
    fn japanese_is_indexed_by_pairs_of_characters() {
        let mut parts = Vec::new();
        each_word("請求書 a", |part| parts.push(part.to_owned()));
        assert_eq!(parts, ["請求", "求書", "a"]);
    }

    #[test]
    fn names_are_one_however_they_are_written() {
        assert_eq!(squash("Hub-Spot"), squash("HubSpot"));
    }
}

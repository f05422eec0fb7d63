//! Spellings: the written words that a misspelt one may stand for.

use super::text::is_cjk;

/// Corrections handed out for a word, where several are equally near.
const MAX_CORRECTIONS: usize = 3;

/// Shortest word that is corrected: of three letters, any is near to any.
const MIN_CHARS: usize = 4;

/// Longest word that may be wrong in one place only.
const ONE_EDIT_CHARS: usize = 5;

/// Certainty of a correction by one edit and by two.
const BY_EDITS: [f32; 3] = [1.0, 0.9, 0.7];

/// Words in ascending order in one block of memory, each with a mask of its letters that rules most of them out at once.
#[derive(Debug, Default)]
pub(super) struct Spellings {
    text: Box<str>,
    words: Box<[WordEntry]>,
}

#[derive(Debug, Clone, Copy)]
struct WordEntry {
    end: u32,
    mask: u32,
}

impl Spellings {
    /// Takes words of which only those of Latin letters can be misspelt.
    pub(super) fn new(words: impl Iterator<Item = String>) -> Self {
        let able = |word: &String| {
            word.len() >= MIN_CHARS - 1 && word.is_ascii() && word.contains(|c: char| c.is_ascii_alphabetic())
        };
        let mut words: Vec<String> = words.filter(able).collect();
        words.sort_unstable();
        words.dedup();
        let mut text = String::new();
        let entries = words.iter().map(|word| {
            text.push_str(word);
            WordEntry { end: u32::try_from(text.len()).unwrap_or(u32::MAX), mask: mask(word) }
        });
        let words = entries.collect();
        Self { text: text.into(), words }
    }

    fn get(&self, at: usize) -> &str {
        let end = |at: usize| self.words.get(at).map_or(0, |entry| entry.end as usize);
        self.text.get(at.checked_sub(1).map_or(0, end)..end(at)).unwrap_or_default()
    }

    /// Tells a word that is spelt so somewhere.
    pub(super) fn contains(&self, word: &str) -> bool {
        let mut range = 0..self.words.len();
        while !range.is_empty() {
            let middle = range.start.midpoint(range.end);
            match self.get(middle).cmp(word) {
                std::cmp::Ordering::Equal => return true,
                std::cmp::Ordering::Less => range.start = middle + 1,
                std::cmp::Ordering::Greater => range.end = middle,
            }
        }
        false
    }

    /// Bytes of the blocks that the words take.
    pub(super) fn heap_bytes(&self) -> usize {
        self.text.len() + size_of_val(&*self.words)
    }

    /// Hands out the words within some edits, with the number of edits.
    fn near(&self, word: &str, most: usize, mut take: impl FnMut(&str, usize)) {
        let (wanted, first) = (mask(word), word.bytes().next());
        let mut start = 0;
        for entry in &self.words {
            let (from, end) = (start, entry.end as usize);
            start = end;
            // An edit changes at most two letters of the mask, so most words are ruled out without being read.
            let letters = (entry.mask ^ wanted).count_ones() as usize;
            if (end - from).abs_diff(word.len()) > most || letters > 2 * most {
                continue;
            }
            let candidate = self.text.get(from..end).unwrap_or_default();
            // The first letter is seldom mistyped together with another one.
            let most = if candidate.bytes().next() == first { most } else { 1 };
            if letters <= 2 * most && candidate.len().abs_diff(word.len()) <= most {
                let edits = strsim::osa_distance(word, candidate);
                if edits <= most {
                    take(candidate, edits);
                }
            }
        }
    }
}

/// Letters of a word as bits.
fn mask(word: &str) -> u32 {
    word.bytes().fold(0, |mask, byte| mask | if byte.is_ascii_lowercase() { 1 << (byte - b'a') } else { 1 << 26 })
}

/// Tells a word that is worth correcting if no tool and no table knows it.
pub(super) fn is_correctable(word: &str) -> bool {
    word.len() >= MIN_CHARS && word.is_ascii() && !word.contains(|c: char| c.is_ascii_digit() || is_cjk(c))
}

/// Words nearest to an unknown one, each with the certainty that it is meant. Empty where none is near.
pub(super) fn correct<'a>(word: &str, pools: impl Iterator<Item = &'a Spellings>) -> Vec<(String, f32)> {
    let most = if word.len() <= ONE_EDIT_CHARS { 1 } else { 2 };
    // Edits, whether the first letter differs (it seldom is mistyped), and in how few pools the word occurs.
    let mut found: Vec<(usize, bool, usize, String)> = Vec::new();
    for pool in pools {
        pool.near(word, most, |candidate, edits| match found.iter_mut().find(|known| known.3 == candidate) {
            Some(known) => known.2 -= 1,
            None => {
                found.push((edits, candidate.bytes().next() != word.bytes().next(), usize::MAX, candidate.to_owned()));
            }
        });
    }
    found.sort_unstable();
    let Some(best) = found.first().map(|first| (first.0, first.1)) else { return Vec::new() };
    let certainty = BY_EDITS.get(best.0).copied().unwrap_or_default();
    let nearest = found.into_iter().take_while(|known| (known.0, known.1) == best);
    nearest.take(MAX_CORRECTIONS).map(|known| (known.3, certainty)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(words: &[&str]) -> Spellings {
        Spellings::new(words.iter().map(|word| (*word).to_owned()))
    }

    fn corrected(word: &str, words: &[&str]) -> Vec<String> {
        correct(word, [&pool(words)].into_iter()).into_iter().map(|(word, _)| word).collect()
    }

    #[test]
    fn a_misspelt_word_is_found_by_few_edits() {
        assert_eq!(corrected("mesage", &["message", "massage", "page"]), ["message"]);
        assert_eq!(corrected("lsit", &["list", "last"]), ["list"]);
        assert_eq!(corrected("calander", &["calendar", "colander"]), ["colander"]);
        assert_eq!(corrected("zzzzzz", &["message"]), Vec::<String>::new());
    }

    #[test]
    fn a_word_of_more_apps_comes_first_among_equals() {
        let (one, two) = (pool(&["cart", "card"]), pool(&["card"]));
        assert_eq!(correct("carx", [&one, &two].into_iter()).first().map(|found| found.0.as_str()), Some("card"));
    }

    #[test]
    fn words_are_found_where_they_are() {
        let words = pool(&["beta", "alpha", "gamma", "日本"]);
        assert!(["alpha", "beta", "gamma"].iter().all(|word| words.contains(word)));
        assert!(!words.contains("delta") && !words.contains("日本") && !pool(&[]).contains("a"));
    }

    #[test]
    fn numbers_and_short_words_are_left_alone() {
        assert!(is_correctable("slak"));
        assert!(!is_correctable("abc") && !is_correctable("order1") && !is_correctable("請求書です"));
    }
}

//! Names most like one that does not exist.

use super::text::squash;

/// Bits of the set of letter pairs by which names are compared.
const PAIR_BITS: usize = 4096;

/// Names whose spelling is compared letter by letter, for each one that is asked for.
const CANDIDATES: usize = 12;

/// Likeness below which a name is no suggestion.
const MIN_LIKENESS: f64 = 0.35;

/// Keys of an app and of its tools, of which names are made.
#[derive(Debug, Clone)]
pub struct Keys<'a> {
    /// Key of the app.
    pub app: &'a str,
    /// Keys of its tools.
    pub tools: Vec<&'a str>,
}

/// A tool whose name is like the one asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SimilarName {
    /// Position of the app among those searched.
    pub app: usize,
    /// Position of the tool in its app.
    pub tool: usize,
    /// Likeness, from 0 to 1 for the same letters.
    pub likeness: f64,
}

/// Pairs of neighbouring letters of a name.
struct Pairs {
    set: Vec<u64>,
    count: usize,
}

impl Pairs {
    fn new(letters: &[u8]) -> Self {
        let mut pairs = Self { set: vec![0; PAIR_BITS / 64], count: 0 };
        for bit in pair_bits(letters) {
            if let Some(word) = pairs.set.get_mut(bit / 64) {
                *word |= 1 << (bit % 64);
            }
            pairs.count += 1;
        }
        pairs
    }

    /// Dice's coefficient of shared pairs.
    #[expect(clippy::cast_precision_loss, reason = "names have far fewer letters than a float counts exactly")]
    fn likeness(&self, letters: &[u8]) -> f64 {
        let (mut all, mut shared) = (0, 0);
        for bit in pair_bits(letters) {
            all += 1;
            shared += self.set.get(bit / 64).map_or(0, |word| (word >> (bit % 64) & 1) as usize);
        }
        2.0 * shared as f64 / (self.count + all).max(1) as f64
    }
}

fn pair_bits(letters: &[u8]) -> impl Iterator<Item = usize> {
    let pairs = letters.iter().zip(letters.iter().skip(1));
    pairs.map(|(a, b)| (usize::from(*a) * 61 + usize::from(*b) * 7) % PAIR_BITS)
}

/// Finds the tools whose names are most like a name, the likest first. Names are `app_action`; case and separators do not
/// count, nor does an `mcp__server__` before the name.
#[must_use]
pub fn similar_names(apps: &[Keys<'_>], name: &str, k: usize) -> Vec<SimilarName> {
    let name = name.strip_prefix("mcp__").and_then(|rest| rest.split_once("__")).map_or(name, |(_, rest)| rest);
    let wanted = squash(name);
    let pairs = Pairs::new(wanted.as_bytes());
    let mut found: Vec<(f64, usize, usize)> = Vec::new();
    let mut letters = String::new();
    for (at, app) in apps.iter().enumerate() {
        let key = squash(app.app);
        for (tool, action) in app.tools.iter().enumerate() {
            letters.clear();
            letters.push_str(&key);
            letters.extend(action.chars().filter(|c| c.is_alphanumeric()).map(|c| c.to_ascii_lowercase()));
            // A name without the app's key is a common slip.
            let likeness = pairs.likeness(letters.as_bytes());
            let bare = letters.get(key.len()..).map_or(0.0, |bare| pairs.likeness(bare.as_bytes()));
            found.push((likeness.max(bare * 0.95), at, tool));
        }
    }
    let keys = |app: usize, tool: usize| apps.get(app).and_then(|app| Some((app.app, *app.tools.get(tool)?)));
    let order = |a: &(f64, usize, usize), b: &(f64, usize, usize)| {
        b.0.total_cmp(&a.0).then_with(|| keys(a.1, a.2).cmp(&keys(b.1, b.2)))
    };
    let enough = k.saturating_mul(CANDIDATES);
    if enough > 0 && enough < found.len() {
        found.select_nth_unstable_by(enough, order);
        found.truncate(enough);
    }
    for (likeness, app, tool) in &mut found {
        let Some((key, action)) = keys(*app, *tool) else { continue };
        let full = strsim::normalized_damerau_levenshtein(&wanted, &squash(&format!("{key}{action}")));
        let bare = strsim::normalized_damerau_levenshtein(&wanted, &squash(action));
        *likeness = f64::midpoint(*likeness, full.max(bare * 0.95));
    }
    found.sort_unstable_by(order);
    let found = found.into_iter().filter(|(likeness, ..)| *likeness >= MIN_LIKENESS).take(k);
    found.map(|(likeness, app, tool)| SimilarName { app, tool, likeness }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys<'a>(app: &'a str, tools: &[&'a str]) -> Keys<'a> {
        Keys { app, tools: tools.to_vec() }
    }

    #[test]
    fn the_nearest_names_come_first() {
        let apps = [keys("gmail", &["send-email", "list-messages"]), keys("slack", &["send-message", "list-users"])];
        let best = |name: &str| similar_names(&apps, name, 3).first().map(|found| (found.app, found.tool));
        assert_eq!(best("gmail_sendEmial"), Some((0, 0)));
        assert_eq!(best("slack.list_user"), Some((1, 1)));
        assert_eq!(best("mcp__server__gmail_list_mesages"), Some((0, 1)));
        assert_eq!(best("send-mesage"), Some((1, 0)));
        assert_eq!(best("zzzzzz"), None);
    }

    #[test]
    fn no_more_are_found_than_asked_for() {
        let slack = [keys("slack", &["send-message", "send-messages", "send-a-message"])];
        assert_eq!(similar_names(&slack, "slack_send-message", 2).len(), 2);
        assert_eq!(similar_names(&slack, "slack_send-message", 0).len(), 0);
        assert_eq!(similar_names(&[], "x", 3).len(), 0);
    }
}

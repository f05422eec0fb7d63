//! Words and names that a user's apps know, together: what the reading of a query asks of them.

use std::sync::LazyLock;

use super::{
    calls::{Calls, Certainty, known_apps, spelt_names},
    index::AppIndex,
    spelling::Spellings,
    stem::stem,
    tables::{Alternative, TABLES},
    text::{Word, hash},
};

/// Shortest word that is taken apart into two.
const MIN_SPLIT_CHARS: usize = 7;

/// Names of apps that are days of the week, and the words after which the app is meant.
const DATES: [&str; 1] = ["monday"];
const BEFORE_DATE_NAMES: [&str; 7] = ["in", "into", "using", "via", "within", "inside", "through"];

/// Shortest part of a word that is taken apart.
const MIN_PART_CHARS: usize = 3;

/// Apps that the tables know, for queries that name an app which neither user nor workspace has.
static KNOWN_APPS: LazyLock<AppNames> =
    LazyLock::new(|| AppNames::collect(known_apps().iter().map(|name| (name.as_str(), name.as_str())), false));

/// Words of the tables that a misspelt one may stand for.
static TABLE_SPELLINGS: LazyLock<Spellings> = LazyLock::new(|| Spellings::new(TABLES.spellings.iter().cloned()));

/// Names of apps that are not among the searched ones, such as those of a workspace that a user has not connected.
#[derive(Debug, Default)]
pub struct AppNames {
    keys: Box<[Box<str>]>,
    /// Names by the hash of their letters, with the position of the app, ascending.
    names: Box<[(u32, u32, Certainty)]>,
    spellings: Spellings,
}

impl AppNames {
    /// Takes the keys and names of apps.
    #[must_use]
    pub fn new<'a>(apps: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self::collect(apps, true)
    }

    fn collect<'a>(apps: impl IntoIterator<Item = (&'a str, &'a str)>, by_word: bool) -> Self {
        let (mut keys, mut names, mut spelt) = (Vec::new(), Vec::new(), Vec::new());
        for (app, (key, name)) in (0_u32..).zip(apps) {
            keys.push(Box::from(key));
            names.extend(
                Calls::new(key, name, by_word).names().iter().map(|(name, certainty)| (*name, app, *certainty)),
            );
            spelt.extend(spelt_names(key, name));
        }
        names.sort_unstable();
        Self { keys: keys.into(), names: names.into(), spellings: Spellings::new(spelt.into_iter()) }
    }

    /// Key of an app, by its position in the order of building.
    #[must_use]
    pub fn key(&self, app: usize) -> Option<&str> {
        self.keys.get(app).map(|key| &**key)
    }

    /// Number of apps.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Tells a list without apps.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Bytes that the names take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let keys = self.keys.iter().map(|key| key.len() + size_of::<Box<str>>());
        size_of::<Self>() + keys.sum::<usize>() + size_of_val(&*self.names) + self.spellings.heap_bytes()
    }

    /// Apps that a hash of letters names.
    fn named(&self, name: u32) -> impl Iterator<Item = (usize, Certainty)> {
        let first = self.names.partition_point(|known| known.0 < name);
        let same = self.names.iter().skip(first).take_while(move |known| known.0 == name);
        same.map(|(_, app, certainty)| (*app as usize, *certainty))
    }
}

/// Apps that some words name.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Named {
    /// Positions among the searched apps, in the order of naming.
    pub(super) apps: Vec<usize>,
    /// Searched apps that some words name alone, without another app of that name.
    pub(super) single: Vec<usize>,
    /// Searched apps that a word hints at.
    pub(super) hinted: Vec<usize>,
    /// Positions among the other apps.
    pub(super) others: Vec<usize>,
    /// Positions among the apps that the tables know, of which neither list has one.
    pub(super) unknown: Vec<usize>,
}

impl Named {
    /// Tells words that name no app of any kind.
    pub(super) fn is_empty(&self) -> bool {
        self.apps.is_empty() && self.others.is_empty() && self.unknown.is_empty()
    }
}

/// Apps named in a query, with the words that name them.
#[derive(Debug, Default)]
pub(super) struct Naming {
    found: Vec<Mention>,
}

#[derive(Debug, Clone)]
struct Mention {
    start: usize,
    end: usize,
    named: Named,
}

impl Naming {
    /// Tells a word that is part of an app's name, hints not counted.
    pub(super) fn covers(&self, at: usize) -> bool {
        self.found.iter().any(|mention| (mention.start..mention.end).contains(&at) && !mention.named.is_empty())
    }

    /// Apps named by a range of words.
    pub(super) fn within(&self, start: usize, end: usize) -> Named {
        let mut all = Named::default();
        for mention in self.found.iter().filter(|mention| mention.start >= start && mention.end <= end) {
            if let [only] = *mention.named.apps
                && !all.single.contains(&only)
            {
                all.single.push(only);
            }
            let lists = [(&mut all.apps, &mention.named.apps), (&mut all.hinted, &mention.named.hinted)];
            let more = [(&mut all.others, &mention.named.others), (&mut all.unknown, &mention.named.unknown)];
            for (into, from) in lists.into_iter().chain(more) {
                let new: Vec<usize> = from.iter().copied().filter(|app| !into.contains(app)).collect();
                into.extend(new);
            }
        }
        all
    }
}

/// Words and names of the searched apps and of those beside them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lexicon<'a> {
    apps: &'a [&'a AppIndex],
    others: Option<&'a AppNames>,
}

/// Name of an app of the tables, by its position among them.
pub(super) fn known_app(app: usize) -> Option<&'static str> {
    KNOWN_APPS.key(app)
}

/// Place of a possible name in a query: hash of its letters, first word, words.
type Candidate = (u32, usize, usize);

impl<'a> Lexicon<'a> {
    /// Joins the searched apps and the names of others.
    pub(super) fn new(apps: &'a [&'a AppIndex], others: Option<&'a AppNames>) -> Self {
        Self { apps, others }
    }

    /// Tells a term that some tool has.
    pub(super) fn has_term(&self, term: u32) -> bool {
        self.apps.iter().any(|app| !app.postings(term).is_empty())
    }

    /// Tells a word that is spelt right: a tool, a table or an app has it.
    pub(super) fn knows(&self, word: &str) -> bool {
        let stem = hash(&stem(word));
        TABLES.knows(stem)
            || self.has_term(stem)
            || self.apps.iter().any(|app| app.spellings().contains(word))
            || self.others.is_some_and(|others| others.spellings.contains(word))
            || KNOWN_APPS.spellings.contains(word)
    }

    /// Things that are usually made or read in a searched app.
    pub(super) fn items(&self, app: usize) -> &'a [Alternative] {
        self.apps.get(app).map_or(&[], |app| app.calls().items())
    }

    /// All words that a misspelt one may stand for.
    pub(super) fn spellings(&self) -> impl Iterator<Item = &'a Spellings> {
        let apps = self.apps.iter().map(|app| app.spellings());
        let others = self.others.into_iter().map(|others| &others.spellings);
        apps.chain(others).chain([&*TABLE_SPELLINGS, &KNOWN_APPS.spellings])
    }

    /// Terms of the two words of the tools that a word is written together from.
    pub(super) fn split(&self, word: &str) -> Option<Box<[u32]>> {
        if word.len() < MIN_SPLIT_CHARS || !word.is_ascii() {
            return None;
        }
        let mut splits = (MIN_PART_CHARS..=word.len() - MIN_PART_CHARS).map(|at| word.split_at(at));
        let part = |part: &str| {
            let term = hash(&stem(part));
            (self.has_term(term) && (part.len() > MIN_PART_CHARS || TABLES.knows(term))).then_some(term)
        };
        splits.find_map(|(first, last)| Some(Box::from([part(first)?, part(last)?])))
    }

    /// Finds the apps that words name, the longest names first.
    pub(super) fn name(&self, words: &[(&str, &Word)], longest: usize) -> Naming {
        let mut candidates: Vec<Candidate> = Vec::new();
        for start in 0..words.len() {
            let mut joined = String::new();
            for (n, (text, _)) in words.iter().skip(start).take(longest).enumerate() {
                joined.push_str(text);
                candidates.push((hash(&joined), start, n + 1));
            }
        }
        candidates.sort_unstable();
        let mut mentions = Vec::new();
        for (app, index) in self.apps.iter().enumerate() {
            for (name, certainty) in index.calls().names() {
                let first = candidates.partition_point(|candidate| candidate.0 < *name);
                for (_, start, n) in candidates.iter().skip(first).take_while(|candidate| candidate.0 == *name) {
                    note(*certainty, words, *start, *n, &mut mentions, |named, hint| {
                        if hint { named.hinted.push(app) } else { named.apps.push(app) }
                    });
                }
            }
        }
        for (name, start, n) in &candidates {
            for (app, certainty) in self.others.iter().flat_map(|others| others.named(*name)) {
                note(certainty, words, *start, *n, &mut mentions, |named, hint| {
                    named.others.extend((!hint).then_some(app));
                });
            }
            for (app, certainty) in KNOWN_APPS.named(*name) {
                note(certainty, words, *start, *n, &mut mentions, |named, hint| {
                    named.unknown.extend((!hint).then_some(app));
                });
            }
        }
        Naming { found: longest_first(mentions) }
    }
}

/// Notes a name of an app, unless it is an everyday word that does not read as a name.
fn note(
    certainty: Certainty,
    words: &[(&str, &Word)],
    start: usize,
    n: usize,
    into: &mut Vec<Mention>,
    add: impl Fn(&mut Named, bool),
) {
    let quoted = words.get(start).is_some_and(|(_, word)| word.quoted);
    if quoted || n == 1 && certainty == Certainty::Everyday && !reads_as_name(words, start) {
        return;
    }
    let mut named = Named::default();
    add(&mut named, certainty == Certainty::Hint);
    if named != Named::default() {
        into.push(Mention { start, end: start + n, named });
    }
}

/// Tells whether an everyday word is meant as a name: by a capital, a colon, or a word after which apps are named.
fn reads_as_name(words: &[(&str, &Word)], at: usize) -> bool {
    let Some((text, word)) = words.get(at) else { return false };
    let before = at.checked_sub(1).and_then(|before| words.get(before));
    let verb = TABLES.verb(hash(&stem(text))).is_some();
    if DATES.contains(text) {
        // Weekdays are written with a capital, too, and follow most prepositions.
        return word.colon || before.is_some_and(|(before, _)| BEFORE_DATE_NAMES.contains(before));
    }
    match before {
        None => word.colon || word.capital && words.len() > 1 && !verb,
        Some((before, _)) => word.colon || word.capital || TABLES.is_before_app(before),
    }
}

/// Joins mentions of the same words and drops those within longer ones. Apps that the tables know count only where no app of
/// the user or the workspace is meant.
fn longest_first(mut mentions: Vec<Mention>) -> Vec<Mention> {
    mentions.sort_by(|a, b| a.start.cmp(&b.start).then(b.end.cmp(&a.end)));
    let mut found: Vec<Mention> = Vec::new();
    for mention in mentions {
        match found.last_mut() {
            Some(last) if last.start == mention.start && last.end == mention.end => {
                last.named.apps.extend(mention.named.apps);
                last.named.hinted.extend(mention.named.hinted);
                last.named.others.extend(mention.named.others);
                last.named.unknown.extend(mention.named.unknown);
            }
            Some(last) if mention.start < last.end => {}
            _ => found.push(mention),
        }
    }
    for mention in &mut found {
        if !mention.named.apps.is_empty() {
            mention.named.others.clear();
            mention.named.hinted.clear();
        }
        if !mention.named.apps.is_empty() || !mention.named.others.is_empty() {
            mention.named.unknown.clear();
        }
    }
    found
}

//! Word lists that ranking rests on, read once from the files of `tables/`.
//!
//! The files are compiled in and a test reads each, so a table that cannot be parsed never ships; if one did, its list would
//! be empty and the search would do without.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

use serde::{Deserialize, de::DeserializeOwned};

use super::{
    stem::stem,
    text::{hash, words},
};

/// Strength of a word that means the same as the user's.
const SAME: f32 = 0.9;

/// Strength of a word that tools about the same thing often have.
const NEAR: f32 = 0.45;

/// Action that a query asks for, or a tool carries out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Class {
    /// Many records, in pages or all.
    List,
    /// Records that match.
    Search,
    /// One record, mostly by its id.
    Get,
    /// A new record.
    Create,
    /// A message or publication, which is a new record, too.
    Send,
    /// A change of a record.
    Update,
    /// A process that is set going.
    Run,
    /// A record that is to go.
    Delete,
}

impl Class {
    /// Tells the classes that leave everything as it is.
    pub(super) fn reads(self) -> bool {
        matches!(self, Self::List | Self::Search | Self::Get)
    }
}

/// A verb of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verb {
    /// Action that the verb names.
    pub(super) class: Class,
    /// Often a noun, so that it is a verb only where a command begins.
    pub(super) noun: bool,
    /// Known to nearly every app, so that it says little.
    pub(super) generic: bool,
    /// Has the receiver for its object, so that the verb itself names the thing.
    pub(super) giving: bool,
}

/// One way to say a thing, by one word or several.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Alternative {
    /// Hashes of the words' stems.
    pub(super) terms: Box<[u32]>,
    /// Strength, at most 1.
    pub(super) weight: f32,
    /// Counts only where all the words are in the name.
    pub(super) whole: bool,
}

impl Alternative {
    /// Takes words of which also some say a part of the thing.
    pub(super) fn of(terms: Box<[u32]>, weight: f32) -> Self {
        Self { terms, weight, whole: false }
    }

    /// Takes the words of a phrase.
    pub(super) fn new(phrase: &str, weight: f32) -> Self {
        Self::of(phrase_key(phrase).split(' ').map(hash).collect(), weight)
    }
}

/// Other ways in which tools say what a user says.
#[derive(Debug, Default)]
pub(super) struct Expansion {
    /// The ways, in the order of the table.
    pub(super) alternatives: Vec<Alternative>,
    /// The user's own words say something else taken one by one, so they are looked for in names, as a whole.
    pub(super) idiom: bool,
}

/// Words that begin a query, and the action that they ask for.
#[derive(Debug)]
pub(super) struct Opening {
    /// Words, or `*` for a few of any.
    pub(super) pattern: Vec<String>,
    /// Action asked for.
    pub(super) class: Class,
}

/// Lists about English.
#[derive(Debug, Default)]
pub(super) struct Tables {
    /// Verbs by the hash of their stem.
    verbs: HashMap<u32, Verb>,
    /// Openings of a query, the longest first.
    pub(super) openings: Vec<Opening>,
    /// Openings that ask for nothing by themselves, the longest first.
    pub(super) polite: Vec<Vec<String>>,
    stop: HashSet<String>,
    prepositions: HashSet<String>,
    before_app: HashSet<String>,
    /// Other ways to say a phrase, by its stems.
    synonyms: HashMap<String, Expansion>,
    /// Things that are put into a container, by the hash of its stem.
    containers: HashMap<u32, Vec<Alternative>>,
    /// Words of the longest phrase with synonyms.
    pub(super) longest_phrase: usize,
    /// Stems of all words of the tables.
    stems: HashSet<u32>,
    /// English words that are never taken for a misspelt one.
    english: HashSet<String>,
    /// Words that a misspelt one may stand for, besides those of the tools.
    pub(super) spellings: Vec<String>,
}

/// The tables of English.
pub(super) static TABLES: LazyLock<Tables> = LazyLock::new(Tables::load);

#[derive(Debug, Default, Deserialize)]
struct VerbRow {
    #[serde(default)]
    verbs: String,
    #[serde(default)]
    nouns: String,
}

#[derive(Debug, Default, Deserialize)]
struct VerbFile {
    kinds: VerbKinds,
    #[serde(flatten)]
    classes: HashMap<Class, VerbRow>,
}

#[derive(Debug, Default, Deserialize)]
struct VerbKinds {
    generic: String,
    giving: String,
}

#[derive(Debug, Default, Deserialize)]
struct IntentFile {
    polite: Vec<String>,
    #[serde(flatten)]
    openings: HashMap<Class, Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
struct StopFile {
    english: String,
    prepositions: String,
    before_app: String,
}

#[derive(Debug, Default, Deserialize)]
struct SynonymFile {
    concepts: Vec<Concept>,
    containers: HashMap<String, String>,
}

/// A row of synonyms: phrases are parted by commas.
#[derive(Debug, Default, Deserialize)]
struct Concept {
    /// Phrases that mean each other.
    #[serde(default)]
    all: String,
    /// Phrases of users.
    #[serde(default)]
    say: String,
    /// Phrases of tools that mean the same.
    #[serde(default)]
    same: String,
    /// Phrases of tools that are about it.
    #[serde(default)]
    near: String,
    #[serde(default)]
    idiom: bool,
}

#[derive(Debug, Default, Deserialize)]
struct EnglishFile {
    words: String,
}

/// Reads a table that is compiled in.
pub(super) fn parse<T: DeserializeOwned + Default>(text: &str) -> T {
    toml::from_str(text).unwrap_or_default()
}

/// Stems of a phrase, joined by blanks, as the key of a table.
pub(super) fn phrase_key(phrase: &str) -> String {
    words(phrase).iter().map(|word| stem(&word.text)).collect::<Vec<_>>().join(" ")
}

/// Key of a phrase in the table of synonyms. A noun in -ing has a key of its own, as it seldom means what its verb does: an
/// opening is a job, and a mailing a campaign.
fn own_key(phrase: &str) -> String {
    let phrase = phrase.strip_suffix('s').filter(|one| one.ends_with("ing")).unwrap_or(phrase);
    let is_noun = phrase.ends_with("ing") && phrase.chars().all(|c| c.is_ascii_lowercase());
    if is_noun { format!("={phrase}") } else { phrase_key(phrase) }
}

/// Phrases of a list that is parted by commas.
pub(super) fn phrases(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|phrase| !phrase.is_empty())
}

fn set(list: &str) -> HashSet<String> {
    list.split_whitespace().map(str::to_owned).collect()
}

impl Tables {
    fn load() -> Self {
        let stop: StopFile = parse(include_str!("tables/stopwords.toml"));
        let english: EnglishFile = parse(include_str!("tables/english.toml"));
        let mut tables = Self {
            stop: set(&stop.english),
            prepositions: set(&stop.prepositions),
            before_app: set(&stop.before_app),
            english: set(&english.words),
            ..Self::default()
        };
        tables.add_verbs(&parse(include_str!("tables/verbs.toml")));
        tables.add_openings(&parse(include_str!("tables/intents.toml")));
        tables.add_synonyms(parse(include_str!("tables/synonyms.toml")));
        tables.stems = tables.spellings.iter().map(|word| hash(&stem(word))).collect();
        tables.spellings.sort_unstable();
        tables.spellings.dedup();
        tables
    }

    fn add_verbs(&mut self, file: &VerbFile) {
        let stems = |list: &str| -> HashSet<u32> { list.split_whitespace().map(|word| hash(&stem(word))).collect() };
        let (generic, giving) = (stems(&file.kinds.generic), stems(&file.kinds.giving));
        let rows = || file.classes.iter();
        let sure = rows().flat_map(|(class, row)| row.verbs.split_whitespace().map(move |word| (word, *class, false)));
        let unsure = rows().flat_map(|(class, row)| row.nouns.split_whitespace().map(move |word| (word, *class, true)));
        for (word, class, noun) in sure.chain(unsure) {
            let stem = hash(&stem(word));
            let verb = Verb { class, noun, generic: generic.contains(&stem), giving: giving.contains(&stem) };
            self.verbs.entry(stem).or_insert(verb);
            self.spellings.push(word.to_owned());
        }
    }

    fn add_openings(&mut self, file: &IntentFile) {
        let split = |pattern: &String| -> Vec<String> { pattern.split_whitespace().map(str::to_owned).collect() };
        for (class, patterns) in &file.openings {
            self.openings.extend(patterns.iter().map(|pattern| Opening { pattern: split(pattern), class: *class }));
        }
        self.openings.sort_by(|a, b| b.pattern.len().cmp(&a.pattern.len()).then_with(|| a.pattern.cmp(&b.pattern)));
        self.polite = file.polite.iter().map(split).collect();
        self.polite.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    }

    fn add_synonyms(&mut self, file: SynonymFile) {
        for (container, things) in &file.containers {
            let things = phrases(things).map(|thing| Alternative::new(thing, 1.0)).collect();
            self.containers.insert(hash(&stem(container)), things);
        }
        for row in file.concepts {
            for say in phrases(&row.say) {
                self.add_expansion(say, &row.same, &row.near, row.idiom);
            }
            for say in phrases(&row.all) {
                self.add_expansion(say, &row.all, &row.near, row.idiom);
            }
        }
    }

    fn add_expansion(&mut self, say: &str, same: &str, near: &str, idiom: bool) {
        let key = own_key(say);
        self.longest_phrase = self.longest_phrase.max(key.split(' ').count());
        self.spellings.extend(words(say).into_iter().map(|word| word.text));
        let expansion = self.synonyms.entry(key.clone()).or_default();
        expansion.idiom |= idiom;
        for (list, weight) in [(same, SAME), (near, NEAR)] {
            for phrase in phrases(list) {
                let target = phrase_key(phrase);
                let terms: Box<[u32]> = target.split(' ').map(hash).collect();
                if target == phrase_key(say) {
                    continue;
                }
                // A phrase may stand in several rows; the stronger bond holds.
                match expansion.alternatives.iter_mut().find(|known| known.terms == terms) {
                    Some(known) => known.weight = known.weight.max(weight),
                    None => expansion.alternatives.push(Alternative::of(terms, weight)),
                }
            }
        }
    }

    /// Class of a verb, given as the hash of its stem.
    pub(super) fn verb(&self, stem: u32) -> Option<Verb> {
        self.verbs.get(&stem).copied()
    }

    /// Tells a word that carries no content.
    pub(super) fn is_stop(&self, word: &str) -> bool {
        self.stop.contains(word)
    }

    /// Tells a word that begins the circumstances of an action.
    pub(super) fn is_preposition(&self, word: &str) -> bool {
        self.prepositions.contains(word)
    }

    /// Tells a word after which the name of an app may follow.
    pub(super) fn is_before_app(&self, word: &str) -> bool {
        self.before_app.contains(word)
    }

    /// Other ways to say a phrase, given as its stems joined by blanks.
    pub(super) fn expansion(&self, key: &str) -> Option<&Expansion> {
        self.synonyms.get(key)
    }

    /// Other ways to say a word: those of its very form, or else those of its stem.
    pub(super) fn expansion_of_word(&self, word: &str) -> Option<&Expansion> {
        self.synonyms.get(&own_key(word)).or_else(|| self.synonyms.get(&*stem(word)))
    }

    /// Things that are put into a container, given as the hash of its stem.
    pub(super) fn contents(&self, stem: u32) -> &[Alternative] {
        self.containers.get(&stem).map_or(&[], Vec::as_slice)
    }

    /// Tells a word that stands in a table in any of its forms.
    pub(super) fn knows(&self, stem: u32) -> bool {
        self.stems.contains(&stem)
    }

    /// Tells a word that stands in a table exactly so.
    pub(super) fn knows_word(&self, word: &str) -> bool {
        self.spellings.binary_search_by(|known| known.as_str().cmp(word)).is_ok()
    }

    /// Tells a word of English that is spelt right, whether or not a tool has it.
    pub(super) fn is_english(&self, word: &str) -> bool {
        self.stop.contains(word) || self.english.contains(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_of_english_is_read() {
        assert!(TABLES.verbs.len() > 150);
        assert!(TABLES.openings.len() > 80);
        assert!(TABLES.synonyms.len() > 300);
        assert!(TABLES.is_stop("the") && TABLES.is_preposition("with") && TABLES.is_before_app("in"));
        assert!(TABLES.is_english("laptop"));
    }

    #[test]
    fn a_verb_is_found_by_any_of_its_forms() {
        let class = |word: &str| TABLES.verb(hash(&stem(word))).map(|verb| verb.class);
        assert_eq!(class("deleting"), Some(Class::Delete));
        assert_eq!(class("created"), Some(Class::Create));
        assert_eq!(class("banana"), None);
    }

    #[test]
    fn a_phrase_is_expanded_but_not_to_itself() {
        let found = TABLES.expansion_of_word("meetings").map(|expansion| &expansion.alternatives);
        let own = hash(&stem("meeting"));
        assert!(found.is_some_and(|ways| !ways.is_empty() && ways.iter().all(|way| *way.terms != [own])));
    }
}

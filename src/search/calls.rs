//! Names by which users call an app, and the apps that a query names.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

use serde::Deserialize;

use super::{
    stem::stem,
    tables::{Alternative, TABLES, parse, phrases},
    text::{hash, squash, words},
};

/// Shortest word of a name that names the app by itself.
const MIN_WORD_CHARS: usize = 4;

/// Most words of a query that name one app together.
pub(super) const MAX_CALL_WORDS: usize = 4;

/// How surely words name an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Certainty {
    /// A word that is seldom used of other apps.
    Hint,
    /// A name that is an everyday word as well.
    Everyday,
    /// A name that means nothing else.
    Name,
}

/// Names of an app, and words that tell what it is for.
#[derive(Debug, Default)]
pub(super) struct Calls {
    names: Box<[(u32, Certainty)]>,
    /// Stems of the words of the app's key, name and category, which count a little for each of its tools.
    about: Box<[(u32, f32)]>,
    /// Things that are usually made or read in the app.
    items: Box<[Alternative]>,
}

/// Weight of a word of the app's own name.
const OWN_WORD: f32 = 1.2;

/// Weight of a word of the app's name that other names and queries have as well: a tool of Invoice Ninja is not therefore one
/// for invoices.
const COMMON_WORD: f32 = 0.5;

/// Weight of a word of the app's category.
const CATEGORY_WORD: f32 = 0.35;

#[derive(Debug, Default, Deserialize)]
struct AppsFile {
    categories: HashMap<String, String>,
    aliases: HashMap<String, String>,
    hints: HashMap<String, String>,
    items: HashMap<String, String>,
    words: NameWords,
}

#[derive(Debug, Default, Deserialize)]
struct NameWords {
    everyday: String,
    shared: String,
}

/// Known apps of the world, by the letters and digits of their names.
#[derive(Debug, Default)]
struct World {
    categories: HashMap<String, Vec<u32>>,
    aliases: HashMap<String, Vec<String>>,
    hints: HashMap<String, Vec<String>>,
    items: HashMap<String, Vec<String>>,
    everyday: HashSet<String>,
    shared: HashSet<String>,
    names: Vec<String>,
}

static WORLD: LazyLock<World> = LazyLock::new(World::load);

/// Names of the apps of the table, as people write them.
pub(super) fn known_apps() -> &'static [String] {
    &WORLD.names
}

impl World {
    fn load() -> Self {
        let file: AppsFile = parse(include_str!("tables/apps.toml"));
        let lists = |table: HashMap<String, String>| -> HashMap<String, Vec<String>> {
            let rows = table.into_iter();
            rows.map(|(app, list)| (squash(&app), phrases(&list).map(str::to_owned).collect())).collect()
        };
        let set = |list: &str| list.split_whitespace().map(str::to_owned).collect();
        let mut categories: HashMap<String, Vec<u32>> = HashMap::new();
        let mut names = Vec::new();
        for (about, apps) in &file.categories {
            for app in phrases(apps) {
                let known = categories.entry(squash(app)).or_default();
                known.extend(about.split_whitespace().map(|word| hash(&stem(word))));
                known.sort_unstable();
                known.dedup();
                names.push(app.to_owned());
            }
        }
        names.sort_unstable();
        names.dedup();
        let mut items: HashMap<String, Vec<String>> = HashMap::new();
        for (item, apps) in file.items {
            for app in phrases(&apps) {
                items.entry(squash(app)).or_default().push(item.clone());
            }
        }
        for items in items.values_mut() {
            items.sort_unstable();
        }
        Self {
            categories,
            items,
            names,
            aliases: lists(file.aliases),
            hints: lists(file.hints),
            everyday: set(&file.words.everyday),
            shared: set(&file.words.shared),
        }
    }

    /// Rows of a table for an app that may be known by its key, by its name, or by the name without its maker's.
    fn rows<'a, T>(
        table: &'a HashMap<String, Vec<T>>,
        key: &str,
        name: &str,
    ) -> impl Iterator<Item = &'a T> + use<'a, T> {
        let (key, name) = (squash(key), squash(name));
        let by_name = (name != key).then(|| table.get(&name)).flatten();
        table.get(&key).into_iter().chain(by_name).flatten()
    }
}

impl Calls {
    /// Collects the names of an app. A single word of a longer name counts only `by_word`, and only where it is no word of
    /// the language.
    pub(super) fn new(key: &str, name: &str, by_word: bool) -> Self {
        let mut names: Vec<(u32, Certainty)> = Vec::new();
        let mut add = |call: &str, certainty: Certainty| {
            let call = squash(call);
            let certainty = if certainty == Certainty::Name && WORLD.everyday.contains(&call) {
                Certainty::Everyday
            } else {
                certainty
            };
            let hash = hash(&call);
            match names.iter_mut().find(|known| known.0 == hash) {
                Some(known) => known.1 = known.1.max(certainty),
                None if !call.is_empty() => names.push((hash, certainty)),
                None => {}
            }
        };
        for call in [key, name].into_iter().chain(World::rows(&WORLD.aliases, key, name).map(String::as_str)) {
            add(call, Certainty::Name);
        }
        for word in words(name).iter().filter(|word| by_word && word.text.len() >= MIN_WORD_CHARS && !word.joined) {
            let text = &word.text;
            if !WORLD.shared.contains(text) && !TABLES.is_english(text) && !TABLES.knows(hash(&stem(text))) {
                add(text, Certainty::Name);
            }
        }
        for hint in World::rows(&WORLD.hints, key, name) {
            add(hint, Certainty::Hint);
        }
        names.sort_unstable();
        let items = World::rows(&WORLD.items, key, name).map(|item| Alternative::new(item, 1.0)).collect();
        Self { names: names.into(), about: about(key, name), items }
    }

    /// Names by the hash of their letters and digits.
    pub(super) fn names(&self) -> &[(u32, Certainty)] {
        &self.names
    }

    /// Weight of a term for each tool of the app; 0 for a word that says nothing about the app.
    pub(super) fn weight(&self, term: u32) -> f32 {
        self.about
            .binary_search_by_key(&term, |known| known.0)
            .ok()
            .and_then(|at| self.about.get(at))
            .map_or(0.0, |known| known.1)
    }

    /// Things that are usually made or read in the app.
    pub(super) fn items(&self) -> &[Alternative] {
        &self.items
    }

    /// Bytes of the blocks that the names take.
    pub(super) fn heap_bytes(&self) -> usize {
        let items = self.items.iter().map(|item| size_of_val(item) + size_of_val(&*item.terms));
        size_of_val(&*self.names) + size_of_val(&*self.about) + items.sum::<usize>()
    }
}

/// Words of an app's names as they are written, for the correction of misspelt ones.
pub(super) fn spelt_names(key: &str, name: &str) -> Vec<String> {
    let aliases = World::rows(&WORLD.aliases, key, name).map(String::as_str);
    let calls = [key, name].into_iter().chain(aliases);
    calls
        .flat_map(|call| call.split(|c: char| !c.is_alphanumeric()).map(squash))
        .filter(|word| !word.is_empty())
        .collect()
}

/// Terms that say which app a tool belongs to, ascending.
fn about(key: &str, name: &str) -> Box<[(u32, f32)]> {
    let mut terms: Vec<(u32, f32)> = Vec::new();
    let weigh = |word: &str| {
        let common = WORLD.shared.contains(word) || TABLES.is_english(word) || TABLES.knows(hash(&stem(word)));
        (hash(&stem(word)), if common { COMMON_WORD } else { OWN_WORD })
    };
    let own = [name, key].map(words).into_iter().flatten().map(|word| weigh(&word.text));
    let category = World::rows(&WORLD.categories, key, name).map(|term| (*term, CATEGORY_WORD));
    for (term, weight) in own.chain([(hash(&stem(&squash(name))), OWN_WORD)]).chain(category) {
        if !terms.iter().any(|known| known.0 == term) {
            terms.push((term, weight));
        }
    }
    terms.sort_unstable_by_key(|known| known.0);
    terms.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certainty(calls: &Calls, call: &str) -> Option<Certainty> {
        calls.names().iter().find(|known| known.0 == hash(&squash(call))).map(|known| known.1)
    }

    #[test]
    fn an_app_is_called_by_key_name_alias_and_telling_word() {
        let calls = Calls::new("google-calendar", "Google Calendar", true);
        assert_eq!(certainty(&calls, "google calendar"), Some(Certainty::Name));
        assert_eq!(certainty(&calls, "gcal"), Some(Certainty::Name));
        assert_eq!(certainty(&calls, "calendar"), None);
        assert_eq!(certainty(&calls, "google"), None);
        assert_eq!(
            certainty(&Calls::new("acuity-scheduling", "Acuity Scheduling", true), "acuity"),
            Some(Certainty::Name)
        );
    }

    #[test]
    fn a_name_that_is_an_everyday_word_is_less_certain_and_a_hint_least() {
        assert_eq!(certainty(&Calls::new("close", "Close", true), "close"), Some(Certainty::Everyday));
        assert_eq!(certainty(&Calls::new("salesforce", "Salesforce", true), "soql"), Some(Certainty::Hint));
    }

    #[test]
    fn a_common_word_of_a_name_counts_less() {
        let calls = Calls::new("invoice-ninja", "Invoice Ninja", true);
        let weight = |word: &str| calls.weight(hash(&stem(word)));
        assert!(weight("invoice") > 0.0 && weight("invoice") < weight("invoiceninja"));
    }

    #[test]
    fn an_app_is_about_its_name_and_category() {
        let calls = Calls::new("pipedrive", "Pipedrive", true);
        assert!(calls.weight(hash(&stem("pipedrive"))) > calls.weight(hash("crm")));
        assert!(calls.weight(hash("crm")) > 0.0);
        assert!(calls.weight(hash("banana")).abs() < f32::EPSILON);
    }

    #[test]
    fn the_table_of_apps_is_read() {
        assert!(known_apps().len() > 600);
        assert!(known_apps().iter().any(|name| name == "Instagram"));
    }
}

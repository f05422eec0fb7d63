//! Action that a query asks for, and how well a tool suits it.
//!
//! Verbs rank and nothing more: they never decide whether a tool may be run as a read.

use super::{
    access::Access,
    stem::stem,
    tables::{Class, TABLES},
    text::{hash, words},
};

/// Most words that a `*` of an opening stands for.
const MAX_WILD_WORDS: usize = 6;

/// Certainty of a word that is a noun as often as a verb.
const UNSURE: f32 = 0.5;

/// Share of a tool's score that a wrong verb leaves.
const FLOOR: f32 = 0.4;

/// Suitability of tools whose class is unknown, and of classes that neither suit nor contradict.
const NEUTRAL: f32 = 0.5;

/// Suitability of a tool that most likely writes, for a query that reads.
const UNLIKELY: f32 = 0.2;

/// Action that a query asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Intent {
    /// Action asked for.
    pub(super) class: Class,
    /// Certainty, at most 1.
    strength: f32,
}

impl Intent {
    /// Makes an intent that is beyond doubt.
    pub(super) const fn sure(class: Class) -> Self {
        Self { class, strength: 1.0 }
    }

    /// Factor of the score of a tool of a class.
    pub(super) fn factor(self, tool: Option<Class>) -> f32 {
        let fit = match tool {
            Some(tool) => suits(self.class, tool),
            // Reads are classed without a verb, so a tool of no class writes.
            None if self.class.reads() => UNLIKELY,
            None => NEUTRAL,
        };
        1.0 - self.strength * (1.0 - FLOOR) * (1.0 - fit)
    }
}

/// How well a tool of one class serves a query for another, from 0 to 1.
fn suits(asked: Class, tool: Class) -> f32 {
    use Class::{Create, Delete, Get, List, Run, Search, Send, Update};
    match (asked, tool) {
        _ if asked == tool => 1.0,
        (List, Search) | (Search, List) | (Send, Create) => 0.9,
        (Create, Send) => 0.85,
        (Search, Get) | (Get, Search) => 0.8,
        (List, Get) | (Get, List) => 0.75,
        (Run, Create | Send) | (Create | Update | Send, Run) => 0.7,
        (Run | Delete, Update) => 0.6,
        (Update, Delete) => 0.4,
        _ if asked.reads() != tool.reads() => 0.0,
        _ => NEUTRAL,
    }
}

/// Class of a tool, by the first verb of its name or else of its key.
pub(super) fn class_of_tool(name: &str, key: &str, access: Access) -> Option<Class> {
    let class = class_of_name(name).or_else(|| class_of_name(key));
    match class {
        // What is known to read does so under any name: Run Report, Check Status.
        Some(class) if access == Access::Read && !class.reads() => Some(Class::Get),
        None if access == Access::Read => Some(Class::Get),
        class => class,
    }
}

fn class_of_name(name: &str) -> Option<Class> {
    let words = words(name);
    let at = |i: usize| words.get(i).map_or("", |word| word.text.as_str());
    let verb = |i: usize| TABLES.verb(hash(&stem(at(i))));
    match verb(0) {
        // Find or Create makes what it does not find.
        Some(first) if at(1) == "or" => Some(verb(2).map_or(first.class, |second| second.class)),
        Some(first) if first.class == Class::Get && matches!(at(1), "many" | "all" | "multiple" | "list" | "page") => {
            Some(Class::List)
        }
        Some(first) => Some(first.class),
        None => (1..words.len()).filter_map(verb).find(|verb| !verb.noun).map(|verb| verb.class),
    }
}

/// Intent of a query, given as its words without the names of apps. A language that puts the verb last may be translated
/// word by word, so there a noun that can be a verb counts wherever it stands.
pub(super) fn intent_of_query(words: &[&str], translated: bool) -> Option<Intent> {
    let words = without_politeness(words);
    if let Some(opening) = TABLES.openings.iter().find(|opening| begins(words, &opening.pattern)) {
        let digits = words.iter().any(|word| word.chars().all(|c| c.is_ascii_digit()));
        let one = opening.class == Class::List && digits && words.first() != Some(&"how");
        // A first word that is a noun as well needs a sign that it is a command: "post a message", but "post comments".
        let noun = opening.pattern.len() == 1
            && words.first().and_then(|word| TABLES.verb(hash(&stem(word)))).is_some_and(|verb| verb.noun);
        let strength = if noun && !commands(words) { UNSURE } else { 1.0 };
        let class = match opening.class {
            // A number tells of one thing, a plural of many.
            Class::List if one => Class::Get,
            Class::Get if many(words) => Class::List,
            class => class,
        };
        return Some(Intent { class, strength });
    }
    let verbs = || words.iter().enumerate().filter_map(|(i, word)| Some((i, TABLES.verb(hash(&stem(word)))?)));
    if let Some((_, verb)) = verbs().find(|(_, verb)| !verb.noun) {
        return Some(Intent { class: verb.class, strength: 1.0 });
    }
    let noun = verbs().find(|(i, _)| *i == 0 || translated)?;
    let strength = if translated || commands(words) { 1.0 } else { UNSURE };
    Some(Intent { class: noun.1.class, strength })
}

/// Tells a command whose object is a plural or a list, by the words before the first circumstance.
fn many(words: &[&str]) -> bool {
    let object = words.iter().skip(1).take_while(|word| **word == "of" || !TABLES.is_preposition(word));
    let plural =
        |word: &str| word.len() > 3 && word.ends_with('s') && !["ss", "us", "is"].iter().any(|end| word.ends_with(end));
    object.into_iter().any(|word| {
        ["all", "list", "every", "recent", "latest"].contains(word) || plural(word) && !TABLES.is_stop(word)
    })
}

/// Signs of a command rather than of a list of keywords: a function word anywhere behind the first word.
fn commands(words: &[&str]) -> bool {
    words.iter().skip(1).any(|word| TABLES.is_stop(word) || *word == "new")
}

fn without_politeness<'a, 'b>(mut words: &'a [&'b str]) -> &'a [&'b str] {
    while let Some(opening) = TABLES.polite.iter().find(|pattern| begins(words, pattern)) {
        let rest = words.get(opening.len()..).unwrap_or_default();
        if rest.is_empty() {
            break;
        }
        words = rest;
    }
    words
}

/// Tells whether words begin as a pattern says, where `*` is one word to six.
fn begins(words: &[&str], pattern: &[String]) -> bool {
    let Some((first, rest)) = pattern.split_first() else { return true };
    if first == "*" {
        return (1..=MAX_WILD_WORDS.min(words.len())).any(|wild| begins(words.get(wild..).unwrap_or_default(), rest));
    }
    words.split_first().is_some_and(|(word, others)| word == first && begins(others, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str) -> Option<Class> {
        intent_of_query(&query.split(' ').collect::<Vec<_>>(), false).map(|intent| intent.class)
    }

    #[test]
    fn a_question_reads_and_a_command_writes() {
        assert_eq!(asked("what meetings do i have"), Some(Class::List));
        assert_eq!(asked("who wrote ticket 12"), Some(Class::Get));
        assert_eq!(asked("please book a table"), Some(Class::Create));
        assert_eq!(asked("how do i delete a file"), Some(Class::Delete));
        assert_eq!(asked("take john out of the group"), Some(Class::Delete));
        assert_eq!(asked("contact update"), Some(Class::Update));
        assert_eq!(asked("weather forecast"), None);
        assert_eq!(asked("get the list of contacts"), Some(Class::List));
        assert_eq!(asked("fetch the contact of acme"), Some(Class::Get));
    }

    #[test]
    fn a_noun_is_a_weaker_sign_than_a_verb() {
        let strength =
            |query: &str| intent_of_query(&query.split(' ').collect::<Vec<_>>(), false).map(|found| found.strength);
        assert_eq!(strength("post comments"), Some(UNSURE));
        assert_eq!(strength("post a comment"), Some(1.0));
    }

    #[test]
    fn a_tool_is_classed_by_its_verb_and_a_read_never_as_a_write() {
        assert_eq!(class_of_tool("Get Many Tickets", "", Access::Read), Some(Class::List));
        assert_eq!(class_of_tool("", "createOrUpdateContact", Access::Write), Some(Class::Update));
        assert_eq!(class_of_tool("Find or Create Contact", "", Access::Write), Some(Class::Create));
        assert_eq!(class_of_tool("Run Report", "", Access::Read), Some(Class::Get));
        assert_eq!(class_of_tool("Bulk Delete Rows", "", Access::Write), Some(Class::Delete));
        assert_eq!(class_of_tool("Quux", "quux", Access::Write), None);
    }

    #[test]
    fn a_read_is_worth_less_to_a_query_that_writes() {
        let create = Intent { class: Class::Create, strength: 1.0 };
        assert!(create.factor(Some(Class::Create)) > create.factor(Some(Class::Send)));
        assert!(create.factor(Some(Class::Update)) > create.factor(Some(Class::List)));
    }
}

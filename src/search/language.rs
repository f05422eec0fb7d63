//! Queries in German, Spanish, French, Portuguese and Japanese: which language it is, and its words in English.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::LazyLock,
};

use serde::Deserialize;

use super::{
    spelling::{Spellings, correct, is_correctable},
    stem::{Language, stem_in},
    tables::{TABLES, parse, phrases},
    text::{Word, fold, is_cjk, words},
};

/// Most words of a phrase in the dictionaries.
const MAX_PHRASE_WORDS: usize = 5;

/// Weight, as a sign of a language, of a word that English has as well.
const AMBIGUOUS: f32 = 0.3;

/// Shortest part of a German compound.
const MIN_PART_CHARS: usize = 3;

/// Letters that German puts between the parts of a compound.
const LINKS: [&str; 5] = ["", "s", "es", "n", "en"];

/// Pronouns that Spanish and Portuguese append to a verb: enviarle, mostrame, enviar-lhe.
const CLITICS: [&str; 8] = ["selo", "los", "las", "les", "me", "le", "lo", "la"];

#[derive(Debug, Default, Deserialize)]
struct LanguageFile {
    #[serde(default)]
    marks: String,
    #[serde(default)]
    questions: HashMap<String, String>,
    words: BTreeMap<String, String>,
}

/// Words of one language.
#[derive(Debug)]
struct Dictionary {
    language: Language,
    /// Function words, which tell the language and are dropped.
    marks: HashSet<String>,
    /// English of a word with which a question begins.
    questions: HashMap<String, String>,
    /// English by the words of a phrase as they are written.
    exact: HashMap<String, String>,
    /// English by the stems of a phrase, joined by blanks.
    english: HashMap<String, String>,
    /// Words as they are written, for the correction of misspelt ones.
    spellings: Spellings,
}

/// Dictionaries of the languages that write blanks between words, in the order of [`Language::ALL`].
static DICTIONARIES: LazyLock<Vec<Dictionary>> =
    LazyLock::new(|| Language::ALL.iter().map(|language| Dictionary::load(*language)).collect());

/// English by the Japanese word, with the characters of the longest one.
static JAPANESE: LazyLock<(HashMap<String, String>, usize)> = LazyLock::new(|| {
    let file: LanguageFile = parse(include_str!("tables/languages/japanese.toml"));
    let pairs = file
        .words
        .iter()
        .flat_map(|(english, list)| list.split_whitespace().map(|word| (fold(word).to_lowercase(), english.clone())));
    let words: HashMap<String, String> = pairs.collect();
    let longest = words.keys().map(|word| word.chars().count()).max().unwrap_or_default();
    (words, longest)
});

impl Dictionary {
    fn load(language: Language) -> Self {
        let file: LanguageFile = parse(match language {
            Language::German => include_str!("tables/languages/german.toml"),
            Language::Spanish => include_str!("tables/languages/spanish.toml"),
            Language::French => include_str!("tables/languages/french.toml"),
            Language::Portuguese => include_str!("tables/languages/portuguese.toml"),
        });
        let (mut exact, mut english, mut spelt) = (HashMap::new(), HashMap::new(), Vec::new());
        for (word, list) in &file.words {
            for phrase in phrases(list) {
                let read = words(phrase);
                let join = |of: &dyn Fn(&Word) -> String| read.iter().map(of).collect::<Vec<_>>().join(" ");
                exact.entry(join(&|word| word.text.clone())).or_insert_with(|| word.clone());
                english.entry(join(&|word| stem_in(language, &word.text))).or_insert_with(|| word.clone());
                spelt.extend(read.into_iter().map(|word| word.text));
            }
        }
        let marks = file.marks.split_whitespace().map(str::to_owned).collect();
        Self {
            language,
            marks,
            questions: file.questions,
            exact,
            english,
            spellings: Spellings::new(spelt.into_iter()),
        }
    }

    fn get(&self, word: &str) -> Option<&str> {
        self.exact.get(word).or_else(|| self.english.get(&stem_in(self.language, word))).map(String::as_str)
    }

    /// Words of a query as the keys of the dictionary have them.
    fn stems(&self, read: &[Word]) -> Vec<String> {
        read.iter().map(|word| stem_in(self.language, &word.text)).collect()
    }

    /// English of the longest phrase of several words at a place, with the number of its words.
    fn phrase(&self, stems: &[String], at: usize) -> Option<(usize, &str)> {
        (2..=MAX_PHRASE_WORDS).rev().find_map(|n| {
            let english = self.english.get(&stems.get(at..at + n)?.join(" "))?;
            Some((n, english.as_str()))
        })
    }

    /// English of one word, taken apart where the language writes several as one.
    fn word(&self, word: &str) -> Option<String> {
        if let Some(english) = self.get(word) {
            return Some(english.to_owned());
        }
        match self.language {
            Language::German => self.compound(word),
            Language::Spanish | Language::Portuguese => CLITICS.iter().find_map(|clitic| {
                let verb = word.strip_suffix(clitic).filter(|verb| verb.len() > MIN_PART_CHARS)?;
                self.get(verb).map(str::to_owned)
            }),
            Language::French => None,
        }
    }

    /// English of a German compound of two words, both known.
    fn compound(&self, word: &str) -> Option<String> {
        let parts =
            (MIN_PART_CHARS..word.len().saturating_sub(MIN_PART_CHARS - 1)).filter(|at| word.is_char_boundary(*at));
        let mut splits = parts.map(|at| word.split_at(at));
        splits.find_map(|(first, last)| {
            let last = self.get(last)?;
            let firsts =
                LINKS.iter().filter_map(|link| first.strip_suffix(link)).filter(|first| first.len() >= MIN_PART_CHARS);
            let first = firsts.into_iter().find_map(|first| {
                // The first part may be English, as in Slackkanal or Ticketstatus, but not any syllable.
                let same = (first.len() > MIN_PART_CHARS && TABLES.knows_word(first)).then_some(first);
                self.get(first).or(same)
            })?;
            Some(format!("{first} {last}"))
        })
    }
}

/// Query in English words.
#[derive(Debug)]
pub(super) struct Translation {
    /// Words, with the signs of those they stand for.
    pub(super) words: Vec<Word>,
    /// Some words were of another language.
    pub(super) foreign: bool,
}

/// Reads a query in whichever language it is. `known` tells the words of the user's tools and apps.
pub(super) fn translate(query: &str, known: impl Fn(&str) -> bool) -> Translation {
    let read = words(query);
    let japanese = read.iter().any(|word| word.text.chars().next().is_some_and(is_cjk));
    if japanese {
        return Translation { words: read.into_iter().flat_map(from_japanese).collect(), foreign: true };
    }
    match detect(&read, &known) {
        Some(dictionary) => Translation { words: from_dictionary(dictionary, &read, &known), foreign: true },
        None => from_any(read, &known),
    }
}

/// Language with the most signs, if these outweigh the signs of English.
fn detect(read: &[Word], known: &impl Fn(&str) -> bool) -> Option<&'static Dictionary> {
    let english = |word: &Word| TABLES.is_english(&word.text) || known(&word.text);
    let is_english: Vec<bool> = read.iter().map(english).collect();
    let mut best: Option<(f32, &Dictionary)> = None;
    for dictionary in DICTIONARIES.iter() {
        let (mut signs, mut against) = (0.0, 0.0);
        let stems = dictionary.stems(read);
        for (i, (word, is_english)) in read.iter().zip(&is_english).enumerate() {
            let is_english = *is_english;
            if dictionary.marks.contains(&word.text) {
                signs += if is_english { AMBIGUOUS } else { 1.0 };
            } else if !is_english && dictionary.word(&word.text).is_some() {
                signs += 1.0;
            } else if TABLES.is_stop(&word.text) && word.text.len() > 1 {
                against += 1.0;
            }
            if dictionary.phrase(&stems, i).is_some() {
                signs += 1.0;
            }
        }
        if signs >= 1.0 && signs > against && best.is_none_or(|(most, _)| signs > most) {
            best = Some((signs, dictionary));
        }
    }
    best.map(|(_, dictionary)| dictionary)
}

/// Words of one language in English: the longest phrase that the dictionary has, function words dropped.
fn from_dictionary(dictionary: &Dictionary, read: &[Word], known: &impl Fn(&str) -> bool) -> Vec<Word> {
    let stems = dictionary.stems(read);
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(word) = read.get(at) {
        let single = || (!dictionary.marks.contains(&word.text)).then(|| dictionary.word(&word.text)).flatten();
        let hit = dictionary.phrase(&stems, at).map(|(n, english)| (n, english.to_owned()));
        let question = || dictionary.questions.get(&word.text).filter(|_| at == 0).cloned();
        let hit = hit.or_else(|| question().or_else(single).map(|english| (1, english)));
        at += hit.as_ref().map_or(1, |hit| hit.0);
        if let Some((_, english)) = hit {
            found.extend(instead(word, &english));
        } else if let Some(english) = connective(&word.text) {
            found.extend(instead(word, english));
        } else if !dictionary.marks.contains(&word.text) {
            match corrected(dictionary, &word.text, known) {
                Some(english) => found.extend(instead(word, english)),
                None => found.push(word.clone()),
            }
        }
    }
    found
}

/// English of the word of the dictionary that a misspelt one stands for.
fn corrected<'a>(dictionary: &'a Dictionary, word: &str, known: &impl Fn(&str) -> bool) -> Option<&'a str> {
    let near = (is_correctable(word) && !known(word)).then(|| correct(word, [&dictionary.spellings].into_iter()))?;
    near.first().and_then(|(meant, _)| dictionary.get(meant))
}

/// Function words that part the steps of a goal, or tell where things go.
fn connective(word: &str) -> Option<&'static str> {
    match word {
        "und" | "y" | "et" | "e" => Some("and"),
        "dann" | "danach" | "ensuite" | "puis" | "depois" => Some("then"),
        _ => None,
    }
}

/// Foreign words among English ones: each that nobody knows otherwise.
fn from_any(read: Vec<Word>, known: &impl Fn(&str) -> bool) -> Translation {
    let mut foreign = false;
    let translated = read.into_iter().flat_map(|word| {
        let unknown = word.text.len() > MIN_PART_CHARS && !TABLES.is_english(&word.text) && !known(&word.text);
        let english = unknown.then(|| DICTIONARIES.iter().find_map(|dictionary| dictionary.word(&word.text))).flatten();
        foreign |= english.is_some();
        english.map_or_else(|| vec![word.clone()], |english| instead(&word, &english).collect())
    });
    Translation { words: translated.collect(), foreign }
}

/// English words in place of one of another language.
fn instead<'a>(word: &'a Word, english: &'a str) -> impl Iterator<Item = Word> + use<'a> {
    let quoted = word.quoted;
    english.split(' ').enumerate().map(move |(i, text)| Word {
        text: text.to_owned(),
        capital: false,
        breaks: i == 0 && word.breaks,
        colon: false,
        quoted,
        joined: false,
    })
}

/// Words of a run of Japanese: the longest of the table at each place, and the runs between that are no endings.
fn from_japanese(word: Word) -> Vec<Word> {
    if !word.text.chars().next().is_some_and(is_cjk) {
        return vec![word];
    }
    let chars: Vec<char> = word.text.chars().collect();
    let (table, longest) = &*JAPANESE;
    let (mut found, mut rest, mut at) = (Vec::new(), String::new(), 0);
    while at < chars.len() {
        let most = (*longest).min(chars.len() - at);
        let hit = (1..=most).rev().find_map(|n| {
            let text: String = chars.get(at..at + n)?.iter().collect();
            table.get(&text).map(|english| (n, english))
        });
        if let Some((n, english)) = hit {
            flush(&word, &mut rest, &mut found);
            found.extend(instead(&word, english));
            at += n;
        } else {
            rest.extend(chars.get(at));
            at += 1;
        }
    }
    flush(&word, &mut rest, &mut found);
    found
}

/// Keeps what no table knows unless it is hiragana, which are particles and endings.
fn flush(word: &Word, rest: &mut String, found: &mut Vec<Word>) {
    let is_ending = rest.chars().all(|c| matches!(c, '\u{3040}'..='\u{309f}'));
    if !is_ending {
        found.push(Word { text: std::mem::take(rest), ..word.clone() });
    }
    rest.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn english(query: &str) -> String {
        let found = translate(query, |word| ["hubspot", "slack", "support", "tickets", "client"].contains(&word));
        found.words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_language_is_told_and_translated() {
        assert_eq!(english("Lege einen neuen Kontakt in HubSpot an"), "create new contact hub spot");
        assert_eq!(english("¿puedes enviar un mensaje al canal?"), "send message channel");
        assert_eq!(english("mettre à jour le client"), "update customer");
        assert_eq!(english("apagar o arquivo"), "delete file");
        assert_eq!(english("請求書を作成してください"), "invoice create");
    }

    #[test]
    fn english_stays_as_it_is() {
        assert_eq!(english("delete the row in the folder"), "delete the row in the folder");
        assert_eq!(english("please archive the row"), "please archive the row");
        assert_eq!(english("die or do"), "die or do");
    }

    #[test]
    fn words_that_a_language_joins_are_taken_apart() {
        assert_eq!(english("Kundenliste anzeigen"), "customer list show");
        assert_eq!(english("enviarle un correo"), "send email");
    }

    #[test]
    fn every_dictionary_is_read() {
        assert!(DICTIONARIES.iter().all(|dictionary| dictionary.english.len() > 300 && dictionary.marks.len() > 80));
        assert!(JAPANESE.0.len() > 250);
    }
}

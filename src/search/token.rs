//! Words of a query, corrected and weighed.

use super::{
    naming::Lexicon,
    spelling::{correct, is_correctable},
    stem::stem,
    tables::{TABLES, Verb},
    text::{Word, hash},
};

/// Weight of a word after a preposition that follows a verb: in `send a message to a customer` the message is sent.
const TAIL: f32 = 0.7;

/// Weight of a verb that nearly every app has, since such verbs rank by their class.
pub(super) const GENERIC_VERB: f32 = 0.55;

/// Weight of a verb that reads, where a command begins with it: list, get and find name the same tools.
const READING_VERB: f32 = 0.2;

/// Weight of a verb that says which tool is meant: deploy, merge, transcribe.
const TELLING_VERB: f32 = 0.9;

/// Weight of a noun that another one follows: in `form responses`, responses are asked for.
const MODIFIER: f32 = 0.85;

/// Weight of a word that names an app, as the app is favoured by its own factor.
const APP_WORD: f32 = 0.5;

/// Weight of a word between quotes, which is a value.
const QUOTED: f32 = 0.4;

/// Words before a title.
const TITLED: [&str; 5] = ["titled", "called", "named", "labelled", "saying"];

/// Stems of units, which measure where a number stands before them.
const UNITS: [&str; 9] = ["hour", "minut", "min", "day", "week", "month", "year", "second", "hr"];

/// Stems of nouns that say little before the thing that they are `of`.
const ABSTRACT: [&str; 16] = [
    "content", "detail", "list", "name", "number", "status", "copi", "bodi", "info", "inform", "data", "set", "amount",
    "valu", "kind", "type",
];

/// A word with its corrections.
#[derive(Debug, Clone)]
pub(super) struct Token {
    /// Word as it was written, or translated.
    pub(super) word: Word,
    /// Words that may be meant, with their certainty; the first is the likeliest.
    pub(super) options: Vec<(String, f32)>,
    /// Stem of the likeliest word.
    pub(super) stem: String,
    /// Part of an app's name.
    pub(super) app: bool,
}

impl Token {
    /// Corrects a word that neither the tools nor the tables know.
    pub(super) fn new(word: Word, foreign: bool, lexicon: &Lexicon<'_>) -> Self {
        let text = &word.text;
        // An unknown word of another language is no misspelt English one, unless it is written as a name.
        let unknown =
            (!foreign || word.capital) && is_correctable(text) && !TABLES.is_english(text) && !lexicon.knows(text);
        let mut options = Vec::new();
        if unknown {
            // Spellings are in the form in which tools write them; of a plural, the singular may be known.
            options = correct(text, lexicon.spellings());
            if options.is_empty()
                && text.len() > 5
                && let Some(singular) = text.strip_suffix('s')
            {
                options = correct(singular, lexicon.spellings());
            }
        }
        if options.is_empty() {
            options.push((text.clone(), 1.0));
        }
        let stem = options.first().map(|option| stem(&option.0).into_owned()).unwrap_or_default();
        Self { word, options, stem, app: false }
    }

    /// Likeliest word that is meant.
    pub(super) fn text(&self) -> &str {
        self.options.first().map_or(self.word.text.as_str(), |option| option.0.as_str())
    }

    /// Verb that the word is, or may be, unless it names an app.
    pub(super) fn verb(&self) -> Option<Verb> {
        (!self.app).then(|| TABLES.verb(hash(&self.stem))).flatten()
    }
}

/// Weight of each word by its place and kind.
pub(super) fn weights(tokens: &[Token]) -> Vec<f32> {
    let (mut content, mut after, mut value, mut titled) = (false, false, false, false);
    let weigh = |(i, token): (usize, &Token)| {
        if token.app {
            return APP_WORD;
        }
        // Of binds the other way: the status of a ticket is found with the ticket.
        after |= content && TABLES.is_preposition(token.text()) && token.text() != "of";
        let before = i.checked_sub(1).and_then(|before| tokens.get(before));
        // Behind a colon stands what to write, unless an app is named before it.
        value |= before.is_some_and(|before| before.word.colon && !before.app);
        // So it does behind such a word, up to the next circumstance.
        titled = (titled && !token.word.breaks && !TABLES.is_preposition(token.text()))
            || before.is_some_and(|before| TITLED.contains(&before.text()));
        let number = before.is_some_and(|before| before.text().chars().all(|c| c.is_ascii_digit()));
        let measure = number && UNITS.contains(&token.stem.as_str());
        let asked_who = before.is_some_and(|before| before.text() == "who");
        let verb = token.verb().filter(|verb| !verb.noun || !content);
        let first = !content && !TABLES.is_stop(token.text());
        content |= first;
        let weight = match verb {
            _ if token.word.quoted || value || titled || measure => QUOTED,
            _ if asked_who => GENERIC_VERB,
            _ if after => TAIL,
            _ if ABSTRACT.contains(&token.stem.as_str())
                && tokens.get(i + 1).is_some_and(|next| next.text() == "of") =>
            {
                TAIL
            }
            Some(verb) if verb.giving && first => 1.0,
            Some(verb) if verb.generic && verb.class.reads() && first => READING_VERB,
            Some(verb) if verb.generic => GENERIC_VERB,
            Some(verb) if !verb.noun => TELLING_VERB,
            _ if tokens.get(i + 1).is_some_and(continues) => MODIFIER,
            _ => 1.0,
        };
        // What follows such a verb is who receives the thing.
        after |= first && verb.is_some_and(|verb| verb.giving) && tokens.len() > 2;
        weight
    };
    tokens.iter().enumerate().map(weigh).collect()
}

/// Tells a noun that goes on with the phrase of the word before it.
fn continues(token: &Token) -> bool {
    !token.app && !token.word.breaks && !TABLES.is_stop(token.text()) && token.verb().is_none()
}

//! Stems: the part of a word that its forms share.

use std::borrow::Cow;

use rust_stemmers::{Algorithm, Stemmer};
use serde::Deserialize;

/// Languages besides English that queries are read in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Language {
    /// German, with compounds written as one word.
    German,
    /// Spanish, with pronouns attached to verbs.
    Spanish,
    /// French, as written with or without accents.
    French,
    /// Portuguese of Brazil and Portugal.
    Portuguese,
}

impl Language {
    /// All languages with a dictionary of words, in the order in which ties between them are settled.
    pub(super) const ALL: [Self; 4] = [Self::German, Self::Spanish, Self::French, Self::Portuguese];
}

/// Words that Snowball would merge with words of another meaning: customer with custom, organization with organ.
const KEPT: [(&str, &str); 25] = [
    ("customer", "customer"),
    ("customers", "customer"),
    ("organization", "organization"),
    ("organizations", "organization"),
    ("organisation", "organization"),
    ("organisations", "organization"),
    ("news", "news"),
    ("important", "important"),
    ("people", "person"),
    ("persons", "person"),
    ("data", "data"),
    ("media", "media"),
    // Snowball keeps the plural of a word without a vowel.
    ("prs", "pr"),
    ("mrs", "mr"),
    ("pdfs", "pdf"),
    ("kpis", "kpi"),
    ("crms", "crm"),
    ("dms", "dm"),
    ("pms", "pm"),
    ("vms", "vm"),
    ("dbs", "db"),
    ("csvs", "csv"),
    ("cvs", "cv"),
    ("pos", "po"),
    ("msgs", "msg"),
];

/// Stem of an English word in lower case.
pub(super) fn stem(word: &str) -> Cow<'_, str> {
    if let Some((_, kept)) = KEPT.iter().find(|(form, _)| *form == word) {
        return Cow::Borrowed(kept);
    }
    if word.len() < 3 || !word.is_ascii() {
        return Cow::Borrowed(word);
    }
    Stemmer::create(Algorithm::English).stem(word)
}

/// Stem of a word of another language, folded to lower case without accents.
pub(super) fn stem_in(language: Language, word: &str) -> String {
    let algorithm = match language {
        Language::German => Algorithm::German,
        Language::Spanish => Algorithm::Spanish,
        Language::French => Algorithm::French,
        Language::Portuguese => Algorithm::Portuguese,
    };
    let mut stem = Stemmer::create(algorithm).stem(word).into_owned();
    // Without accents, the algorithms for Romance languages leave the theme vowel of some forms: envi and envia are one.
    if language != Language::German && stem.len() > 3 {
        while stem.len() > 3 && stem.ends_with(['a', 'e', 'i', 'o']) {
            stem.pop();
        }
    }
    stem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_a_word_share_a_stem() {
        assert_eq!(stem("invoices"), stem("invoice"));
        assert_eq!(stem("creating"), stem("created"));
        assert_eq!(stem_in(Language::German, "rechnungen"), stem_in(Language::German, "rechnung"));
        assert_eq!(stem_in(Language::Spanish, "envia"), stem_in(Language::Spanish, "enviar"));
        assert_eq!(stem_in(Language::French, "factures"), stem_in(Language::French, "facture"));
        assert_eq!(stem_in(Language::Portuguese, "faturas"), stem_in(Language::Portuguese, "fatura"));
    }

    #[test]
    fn words_of_other_meanings_stay_apart() {
        assert_ne!(stem("customer"), stem("custom"));
        assert_ne!(stem("organization"), stem("organ"));
    }
}

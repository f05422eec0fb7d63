//! Building of an app's index from the texts of its tools.

use std::collections::HashMap;

use super::{
    access::Access,
    calls::{Calls, spelt_names},
    index::{AppIndex, Posting, ToolEntry},
    intent::class_of_tool,
    spelling::Spellings,
    stem::stem,
    tables::TABLES,
    text::{each_part, each_word, hash, words},
};

/// Weight of a word in the name or key of a tool.
const NAME: f32 = 3.0;

/// Bonus for the last content word of a name: in `Create Contact Note` a note is made, not a contact.
const HEAD: f32 = 1.15;

/// Weight of a word in the description.
const DESCRIPTION: f32 = 0.7;

/// Weight of a word in a parameter's name.
const PARAMETER: f32 = 0.15;

/// Weight of a word in a parameter's description.
const PARAMETER_TEXT: f32 = 0.1;

/// Words that a field usually has. Constants in place of averages over the user's tools, since an index is shared by users
/// whose other apps differ.
const USUAL_NAME: f32 = 3.5;
const USUAL_DESCRIPTION: f32 = 7.0;
const USUAL_PARAMETERS: f32 = 10.0;
const USUAL_PARAMETER_TEXTS: f32 = 20.0;

/// Words of a description that are indexed, so that one endless text costs no more than a long one.
const MAX_DESCRIPTION_WORDS: usize = 120;

/// Parameters of a tool that are indexed.
const MAX_PARAMETERS: usize = 48;

/// Words of a parameter's description that are indexed.
const MAX_PARAMETER_WORDS: usize = 16;

/// Tools of an app that are indexed: what fits into the bits of a posting.
const MAX_TOOLS: usize = 1 << 20;

/// Texts of one tool, borrowed from the catalog while an index is built.
#[derive(Debug, Clone, Copy)]
pub struct ToolText<'a> {
    /// Key of the action.
    pub key: &'a str,
    /// Name of the action, for people.
    pub name: &'a str,
    /// Description of the action.
    pub description: &'a str,
    /// Names and descriptions of the parameters, nested ones included where wanted.
    pub parameters: &'a [(&'a str, &'a str)],
    /// Whether the tool reads or writes.
    pub access: Access,
}

/// Index under construction: takes one tool after the other.
#[derive(Debug)]
pub struct AppIndexBuilder {
    key: Box<str>,
    name: Box<str>,
    postings: Vec<(u32, Posting)>,
    tools: Vec<ToolEntry>,
    keys: String,
    /// Words met so far, with their term unless they carry no content.
    words: HashMap<String, Option<u32>>,
    /// Terms of the tool at hand, with their weight and whether they stand in its name.
    terms: Vec<(u32, f32, bool)>,
}

impl AppIndexBuilder {
    /// Begins the index of an app.
    #[must_use]
    pub fn new(key: &str, name: &str) -> Self {
        Self {
            key: key.into(),
            name: name.into(),
            postings: Vec::new(),
            tools: Vec::new(),
            keys: String::new(),
            words: HashMap::new(),
            terms: Vec::new(),
        }
    }

    /// Builds the index of an app from all its tools.
    #[must_use]
    pub fn build<'a>(key: &str, name: &str, tools: impl IntoIterator<Item = ToolText<'a>>) -> AppIndex {
        let mut builder = Self::new(key, name);
        for tool in tools {
            builder.add(&tool);
        }
        builder.finish()
    }

    /// Adds a tool, whose position is the number of those added before. Tools past the first million are left out.
    pub fn add(&mut self, tool: &ToolText<'_>) {
        if self.tools.len() >= MAX_TOOLS {
            return;
        }
        self.terms.clear();
        let name_words = self.add_name(tool);
        self.add_field([tool.description], DESCRIPTION, 0.6, USUAL_DESCRIPTION, MAX_DESCRIPTION_WORDS);
        let parameters = tool.parameters.get(..MAX_PARAMETERS).unwrap_or(tool.parameters).iter();
        self.add_field(parameters.clone().map(|known| known.0), PARAMETER, 0.8, USUAL_PARAMETERS, MAX_PARAMETER_WORDS);
        self.add_field(
            parameters.map(|known| known.1),
            PARAMETER_TEXT,
            0.8,
            USUAL_PARAMETER_TEXTS,
            MAX_PARAMETER_WORDS,
        );
        let number = u32::try_from(self.tools.len()).unwrap_or(u32::MAX);
        self.terms.sort_unstable_by_key(|term| term.0);
        for same in self.terms.chunk_by(|a, b| a.0 == b.0) {
            let weight = same.iter().map(|term| term.1).sum();
            let in_name = same.iter().any(|term| term.2);
            self.postings.extend(same.first().map(|term| (term.0, Posting::new(number, weight, in_name))));
        }
        self.keys.push_str(tool.key);
        self.tools.push(ToolEntry {
            key_end: u32::try_from(self.keys.len()).unwrap_or(u32::MAX),
            class: class_of_tool(tool.name, tool.key, tool.access),
            access: tool.access,
            name_words,
        });
    }

    /// Adds the words of name and key, each once, as both mostly say the same. Returns how many there are.
    fn add_name(&mut self, tool: &ToolText<'_>) -> u8 {
        let mut found: Vec<u32> = Vec::new();
        for text in [tool.name, tool.key] {
            each_word(text, |word| {
                if let Some(term) = term(&mut self.words, word)
                    && !found.contains(&term)
                {
                    found.push(term);
                }
            });
        }
        let head = head_of(tool.name);
        let weight = NAME / normalise(0.5, found.len(), USUAL_NAME);
        let weigh = |term: u32| if Some(term) == head { weight * HEAD } else { weight };
        self.terms.extend(found.iter().map(|term| (*term, weigh(*term), true)));
        u8::try_from(found.len()).unwrap_or(u8::MAX)
    }

    /// Adds the words of a field of several texts, of which each is cut at a number of words.
    fn add_field<'a>(
        &mut self,
        texts: impl IntoIterator<Item = &'a str>,
        weight: f32,
        by_length: f32,
        usual: f32,
        most: usize,
    ) {
        let first = self.terms.len();
        for text in texts {
            let mut left = most;
            each_word(text, |word| {
                if left > 0
                    && let Some(term) = term(&mut self.words, word)
                {
                    left -= 1;
                    self.terms.push((term, weight, false));
                }
            });
        }
        let divisor = normalise(by_length, self.terms.len() - first, usual);
        self.terms.iter_mut().skip(first).for_each(|term| term.1 /= divisor);
    }

    /// Completes the index.
    #[must_use]
    pub fn finish(mut self) -> AppIndex {
        let calls = Calls::new(&self.key, &self.name, true);
        let spelt = self.words.into_iter().filter_map(|(word, term)| term.map(|_| word));
        let spellings = Spellings::new(spelt.chain(spelt_names(&self.key, &self.name)));
        self.postings.sort_unstable_by_key(|(term, posting)| (*term, posting.tool()));
        let (mut terms, mut ends, mut end) = (Vec::new(), Vec::new(), 0);
        for same in self.postings.chunk_by(|a, b| a.0 == b.0) {
            end += u32::try_from(same.len()).unwrap_or(u32::MAX);
            terms.extend(same.first().map(|posting| posting.0));
            ends.push(end);
        }
        AppIndex {
            terms: terms.into(),
            ends: ends.into(),
            postings: self.postings.iter().map(|(_, posting)| *posting).collect(),
            key: self.key,
            name: self.name,
            calls,
            tools: self.tools.into(),
            keys: self.keys.into(),
            spellings,
        }
    }
}

/// Term of a word, or none where it carries no content. An app uses few words often, so each is read once.
fn term(words: &mut HashMap<String, Option<u32>>, word: &str) -> Option<u32> {
    if let Some(known) = words.get(word) {
        return *known;
    }
    let term = (!TABLES.is_stop(word)).then(|| hash(&stem(word)));
    words.insert(word.to_owned(), term);
    term
}

/// Divisor by which a field of many words counts less for each.
#[expect(clippy::cast_precision_loss, reason = "fields have far fewer words than a float counts exactly")]
fn normalise(by_length: f32, words: usize, usual: f32) -> f32 {
    1.0 - by_length + by_length * words as f32 / usual
}

/// Last content word of a name before a preposition, as the name of what the tool is about.
fn head_of(name: &str) -> Option<u32> {
    let words = words(name);
    let content = words.iter().skip(1).take_while(|word| !TABLES.is_preposition(&word.text));
    let mut head = None;
    each_part(&content.filter(|word| !TABLES.is_stop(&word.text)).last()?.text, &mut |part| {
        head = Some(hash(&stem(part)));
    });
    head
}

#[cfg(test)]
mod tests {
    use super::{super::tables::Class, *};

    fn gmail() -> AppIndex {
        let parameters = [("to", "Addresses of the recipients"), ("threadId", "")];
        let send = ToolText {
            key: "send-email",
            name: "Send Email",
            description: "Sends an email to recipients",
            parameters: &parameters,
            access: Access::Write,
        };
        let list = ToolText {
            key: "list-messages",
            name: "List Messages",
            description: "",
            parameters: &[],
            access: Access::Read,
        };
        AppIndexBuilder::build("gmail", "Gmail", [send, list])
    }

    #[test]
    fn terms_of_all_fields_are_found_and_a_name_weighs_most() {
        let index = gmail();
        let find = |word: &str| index.postings(hash(&stem(word)));
        let email = find("emails")[0];
        assert!(email.in_name() && email.tool() == 0);
        assert!(email.weight() > find("recipient")[0].weight());
        assert!(find("recipient")[0].weight() > find("thread")[0].weight());
        assert_eq!(find("message")[0].tool(), 1);
        assert!(find("banana").is_empty() && find("the").is_empty());
    }

    #[test]
    fn tools_keep_their_order_keys_and_access() {
        let index = gmail();
        assert_eq!((index.key(), index.name(), index.len()), ("gmail", "Gmail", 2));
        assert_eq!(index.tool_key(0), Some("send-email"));
        assert_eq!(index.tool_key(1), Some("list-messages"));
        assert_eq!(index.tool_key(2), None);
        assert_eq!(index.access(1), Some(Access::Read));
        assert_eq!(index.tools()[0].class, Some(Class::Send));
    }

    #[test]
    fn an_endless_text_is_cut() {
        let text = (0..100_000).map(|i| format!("word{i}")).collect::<Vec<_>>().join(" ");
        let tool = ToolText { key: "k", name: "n", description: &text, parameters: &[], access: Access::Read };
        assert!(AppIndexBuilder::build("a", "A", [tool]).bytes() < 20_000);
    }

    #[test]
    fn the_head_of_a_name_is_its_last_noun() {
        assert_eq!(head_of("Create Contact Note"), Some(hash(&stem("note"))));
        assert_eq!(head_of("Get Members of a Channel"), Some(hash(&stem("member"))));
        assert_eq!(head_of("Run"), None);
    }
}

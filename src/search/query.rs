//! Queries as the ranking sees them: steps of a goal, each with the things it is about, its verb and its apps.

use super::{
    calls::MAX_CALL_WORDS,
    concept::{Concept, PRONOUNS, concepts},
    intent::{Intent, intent_of_query},
    language::translate,
    naming::{Lexicon, Named, Naming},
    tables::Class,
    text::Word,
    token::{GENERIC_VERB, Token},
};

/// Longest query that is read, in words. A chat pasted whole asks for nothing in particular.
const MAX_WORDS: usize = 48;

/// Weight of what an earlier step was about, for a step that only says `it`.
const INHERITED: f32 = 0.5;

/// Fewest words of a step.
const MIN_STEP_WORDS: usize = 3;

/// Words of a part among which the verb stands that makes it a step.
const STEP_VERB_WORDS: usize = 3;

/// Most steps of a goal.
const MAX_STEPS: usize = 5;

/// One step of a goal.
#[derive(Debug, Clone)]
pub(super) struct Step {
    /// Things that the step is about.
    pub(super) concepts: Vec<Concept>,
    /// Action asked for.
    pub(super) intent: Option<Intent>,
    /// Apps that the step names.
    pub(super) named: Named,
}

/// A query, read.
#[derive(Debug)]
pub(super) struct Query {
    /// The query as one step.
    pub(super) whole: Step,
    /// Its steps, where it has several.
    pub(super) steps: Vec<Step>,
    /// Something goes from one place to another.
    pub(super) flows: bool,
}

impl Step {
    /// Intent of the step that reads in the app from which something comes.
    pub(super) const READS: Intent = Intent::sure(Class::List);

    /// Intent of the step that writes in the app to which something goes.
    pub(super) const WRITES: Intent = Intent::sure(Class::Create);
}

/// Reads a query against the words of a user's tools and apps.
pub(super) fn read(query: &str, lexicon: &Lexicon<'_>) -> Query {
    let translation = translate(query, |word| lexicon.knows(word));
    let mut tokens: Vec<Token> = translation
        .words
        .into_iter()
        .take(MAX_WORDS)
        .map(|word| Token::new(word, translation.foreign, lexicon))
        .collect();
    let naming = name_apps(&mut tokens, lexicon);
    let whole = step(&tokens, 0, &naming, translation.foreign, lexicon);
    let parts = parts(&tokens);
    let mut steps: Vec<Step> = Vec::new();
    if parts.len() > 1 {
        for (start, part) in parts.into_iter().take(MAX_STEPS) {
            let mut next = step(part, start, &naming, translation.foreign, lexicon);
            inherit(&mut next, part, &whole, steps.last());
            steps.push(next);
        }
    }
    let flows = tokens.iter().any(|token| matches!(token.text(), "to" | "into"));
    Query { whole, steps, flows }
}

/// Gives a step what it leaves to the steps before: the app, and what `it` stands for.
fn inherit(step: &mut Step, tokens: &[Token], whole: &Step, before: Option<&Step>) {
    if step.named.is_empty() && whole.named.apps.len() == 1 {
        step.named.hinted.clone_from(&whole.named.apps);
    }
    if let Some(before) = before.filter(|_| tokens.iter().any(|token| PRONOUNS.contains(&token.text()))) {
        let verbs = |concept: &&Concept| concept.weight > GENERIC_VERB;
        let things = before.concepts.iter().filter(verbs).cloned();
        step.concepts.extend(things.map(|concept| Concept { weight: concept.weight * INHERITED, ..concept }));
    }
}

/// Finds the apps that the words name and marks those words.
fn name_apps(tokens: &mut [Token], lexicon: &Lexicon<'_>) -> Naming {
    let words: Vec<(&str, &Word)> = tokens.iter().map(|token| (token.text(), &token.word)).collect();
    let naming = lexicon.name(&words, MAX_CALL_WORDS);
    for (i, token) in tokens.iter_mut().enumerate() {
        token.app = naming.covers(i);
    }
    naming
}

/// Parts of a goal: each begins behind `and`, `then` or a comma, and has a verb near its beginning.
fn parts(tokens: &[Token]) -> Vec<(usize, &[Token])> {
    let parts_at = |i: usize| {
        let connects = |i: usize| tokens.get(i).is_some_and(|token| matches!(token.text(), "and" | "then"));
        i > 0 && !connects(i) && (connects(i - 1) || tokens.get(i).is_some_and(|token| token.word.breaks))
    };
    let mut starts = vec![0];
    for i in (1..tokens.len()).filter(|i| parts_at(*i)) {
        let end = (i + 1..tokens.len()).find(|i| parts_at(*i)).unwrap_or(tokens.len());
        let part = tokens.get(i..end).unwrap_or_default();
        let before = i - starts.last().copied().unwrap_or_default();
        let verbs = part.iter().take(STEP_VERB_WORDS).any(|token| token.verb().is_some());
        // Two words are a step where one refers back: refund it.
        let refers = || part.len() > 1 && part.iter().any(|token| PRONOUNS.contains(&token.text()));
        if before > 1 && verbs && (part.len() >= MIN_STEP_WORDS || refers()) {
            starts.push(i);
        }
    }
    let ends = starts.iter().skip(1).copied().chain([tokens.len()]);
    starts.iter().zip(ends).map(|(start, end)| (*start, tokens.get(*start..end).unwrap_or_default())).collect()
}

/// Reads the words of one step.
fn step(tokens: &[Token], start: usize, naming: &Naming, translated: bool, lexicon: &Lexicon<'_>) -> Step {
    let others: Vec<&str> = tokens.iter().filter(|token| !token.app).map(Token::text).collect();
    let intent = intent_of_query(&others, translated);
    let named = naming.within(start, start + tokens.len());
    Step { concepts: concepts(tokens, intent, &named, lexicon), intent, named }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            access::Access,
            build::{AppIndexBuilder, ToolText},
            index::AppIndex,
        },
        *,
    };

    fn app(key: &str, name: &str, tools: &[&str]) -> AppIndex {
        let tool = |name| ToolText { key: name, name, description: "", parameters: &[], access: Access::Write };
        AppIndexBuilder::build(key, name, tools.iter().copied().map(tool))
    }

    fn with_query<T>(query: &str, check: impl FnOnce(Query) -> T) -> T {
        let shop = app("shopify", "Shopify", &["List Customers", "Create Refund"]);
        let mail = app("mailchimp", "Mailchimp", &["Create Member", "Request Time Off"]);
        let apps = [&shop, &mail];
        check(read(query, &Lexicon::new(&apps, None)))
    }

    #[test]
    fn a_goal_is_parted_where_a_verb_begins() {
        let steps = |query: &str| with_query(query, |query| query.steps.len());
        assert_eq!(steps("find the order in Shopify and refund it"), 2);
        assert_eq!(steps("list customers, then create a member"), 2);
        assert_eq!(steps("list customers and companies"), 0);
        assert_eq!(steps("create a refund"), 0);
    }

    #[test]
    fn apps_are_named_also_misspelt_but_not_within_values() {
        let named = |query: &str| with_query(query, |query| query.whole.named.apps);
        assert_eq!(named("shopfy customers"), [0]);
        assert_eq!(named("from Shopify into Mailchimp"), [0, 1]);
        assert_eq!(named("write to bob@shopify.com"), [0; 0]);
        assert_eq!(named("send 'shopify' by mail"), [0; 0]);
    }

    #[test]
    fn the_tail_of_a_query_weighs_less_than_its_head() {
        with_query("create a refund for a customer", |query| {
            let find = |word: &str| query.whole.concepts.iter().find(|known| known.word == word);
            let weight = |word: &str| find(word).map(|known| known.weight);
            assert!(weight("refund") > weight("customer"));
            assert!(weight("refund") > weight("create"));
        });
    }

    #[test]
    fn a_long_query_is_cut() {
        with_query(&"customer refund member ".repeat(100), |query| assert!(query.whole.concepts.len() <= MAX_WORDS));
    }
}

//! Things that a query speaks of, in all the ways in which tools may say them.

use super::{
    intent::Intent,
    naming::{Lexicon, Named},
    stem::stem,
    tables::{Alternative, Class, TABLES},
    text::{each_part, hash, is_cjk},
    token::{GENERIC_VERB, Token, weights},
};

/// Words between a verb and its particle.
const MAX_OBJECT_WORDS: usize = 4;

/// Particles of verbs wherever they stand, and those that are particles only at the end of a step.
const PARTICLES: [&str; 6] = ["up", "out", "off", "back", "down", "away"];
const LAST_PARTICLES: [&str; 3] = ["in", "on", "over"];

/// Share by which a way to say a thing gains from each other word of the query that means it, too.
const AGREEING: f32 = 0.35;

/// Prepositions before a container into which something is put.
const INTO: [&str; 5] = ["to", "into", "in", "on", "onto"];

/// Weight of what is put into a container.
const CONTENTS: f32 = 0.4;

/// Weight of the thing that an app is there for, beside the things that a query names, and where it names none.
const USUAL_THING: f32 = 0.15;
const ONLY_THING: f32 = 0.6;

/// Words that refer to what was spoken of before.
pub(super) const PRONOUNS: [&str; 6] = ["it", "them", "that", "this", "these", "those"];

/// One thing that a query speaks of, in all the ways in which tools may say it.
#[derive(Debug, Clone)]
pub(super) struct Concept {
    /// The user's own words first, where they are looked for at all.
    pub(super) alternatives: Vec<Alternative>,
    /// Weight within the query.
    pub(super) weight: f32,
    /// A verb that nearly every app has, so that none of them counts as rare.
    pub(super) generic: bool,
    /// The user's word, to be told where no tool knows it.
    pub(super) word: String,
}

/// Reads the words of one step as the things that they speak of.
pub(super) fn concepts(tokens: &[Token], intent: Option<Intent>, named: &Named, lexicon: &Lexicon<'_>) -> Vec<Concept> {
    let weights = weights(tokens);
    let mut concepts = Vec::new();
    let mut particles = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if particles.contains(&at) {
            at += 1;
        } else if let Some((particle, concept)) = phrasal_verb(tokens, at, &weights) {
            particles.push(particle);
            concepts.push(concept);
            at += 1;
        } else {
            at += phrase(tokens, at, &weights, lexicon, &mut concepts);
        }
    }
    let things = tokens.iter().zip(&weights).any(|(token, weight)| names_thing(token, *weight));
    concepts.extend(implied(tokens, intent, named, things, lexicon));
    keep_strongest(&mut concepts);
    concepts
}

/// Tells a word that names a thing, rather than an app, an action or what was spoken of before.
fn names_thing(token: &Token, weight: f32) -> bool {
    !token.app && weight > GENERIC_VERB && !TABLES.is_stop(token.text()) && !PRONOUNS.contains(&token.text())
}

/// Things that a step leaves unsaid: what is put into a container that it names, and what an app is there for.
fn implied(
    tokens: &[Token],
    intent: Option<Intent>,
    named: &Named,
    things: bool,
    lexicon: &Lexicon<'_>,
) -> Vec<Concept> {
    let concept =
        |alternatives: Vec<Alternative>, weight| Concept { alternatives, weight, generic: false, word: String::new() };
    let mut found = Vec::new();
    if intent.is_some_and(|intent| matches!(intent.class, Class::Create | Class::Send)) {
        let into = tokens.iter().skip_while(|token| !INTO.contains(&token.text())).filter(|token| !token.app);
        let contents = into.flat_map(|token| TABLES.contents(hash(&token.stem))).cloned();
        found.push(concept(contents.collect(), CONTENTS));
    }
    if let [app] = *named.apps {
        found.push(concept(lexicon.items(app).to_vec(), if things { USUAL_THING } else { ONLY_THING }));
    }
    found.retain(|concept| !concept.alternatives.is_empty());
    found
}

/// Concept of a verb whose particle stands behind its object, as in `push the meeting back`, and the place of the particle.
fn phrasal_verb(tokens: &[Token], at: usize, weights: &[f32]) -> Option<(usize, Concept)> {
    let verb = tokens.get(at).filter(|token| !token.app)?;
    let reach = (at + 2..tokens.len().min(at + 2 + MAX_OBJECT_WORDS))
        .take_while(|i| tokens.get(*i).is_some_and(|token| !token.word.breaks));
    let mut particles = reach.filter_map(|i| Some((i, tokens.get(i)?)));
    particles.find_map(|(i, particle)| {
        let text = particle.text();
        // Before a noun, in and on are prepositions.
        let ends = tokens.get(i + 1).is_none_or(|next| next.word.breaks || next.text() == "and");
        if !(PARTICLES.contains(&text) || ends && LAST_PARTICLES.contains(&text)) {
            return None;
        }
        let key = format!("{} {}", verb.stem, particle.stem);
        let alternatives = TABLES.expansion(&key)?.alternatives.clone();
        Some((i, Concept { alternatives, weight: weights.get(at).copied().unwrap_or(1.0), generic: false, word: key }))
    })
}

/// Leaves each way to say a thing to the concept in which it weighs most: `export as csv` asks for one export, not for two.
fn keep_strongest(concepts: &mut [Concept]) {
    let mut strongest: Vec<(Box<[u32]>, f32, usize, f32)> = Vec::new();
    for (i, concept) in concepts.iter().enumerate() {
        for way in &concept.alternatives {
            let weight = way.weight * concept.weight;
            match strongest.iter_mut().find(|known| known.0 == way.terms) {
                Some(known) => {
                    known.3 += weight;
                    if known.1 < weight {
                        (known.1, known.2) = (weight, i);
                    }
                }
                None => strongest.push((way.terms.clone(), weight, i, weight)),
            }
        }
    }
    for (i, concept) in concepts.iter_mut().enumerate() {
        concept.alternatives.retain_mut(|way| {
            let kept = strongest.iter().find(|known| known.0 == way.terms && known.2 == i);
            if let Some((_, most, _, all)) = kept {
                way.weight *= 1.0 + AGREEING * (all - most) / most;
            }
            kept.is_some()
        });
    }
}

/// Adds the concept of the longest phrase at a place that has synonyms, or of the single word. Returns its words.
fn phrase(tokens: &[Token], at: usize, weights: &[f32], lexicon: &Lexicon<'_>, concepts: &mut Vec<Concept>) -> usize {
    let weight = |n: usize| weights.get(at..at + n).map_or(1.0, |weights| weights.iter().copied().fold(0.0, f32::max));
    for n in (2..=TABLES.longest_phrase.min(tokens.len() - at)).rev() {
        let Some(words) = tokens.get(at..at + n).filter(|words| words.iter().all(|token| !token.app)) else { continue };
        let key = words.iter().map(|token| token.stem.as_str()).collect::<Vec<_>>().join(" ");
        let Some(expansion) = TABLES.expansion(&key) else { continue };
        let content = words.iter().filter(|token| !TABLES.is_stop(token.text()));
        let own: Box<[u32]> = content.map(|token| hash(&token.stem)).collect();
        let mut alternatives = Vec::new();
        if !own.is_empty() {
            alternatives.push(Alternative { whole: expansion.idiom, ..Alternative::of(own, 1.0) });
        }
        alternatives.extend(expansion.alternatives.iter().cloned());
        concepts.push(Concept { alternatives, weight: weight(n), generic: false, word: key });
        return n;
    }
    let Some(token) = tokens.get(at) else { return 1 };
    if TABLES.is_stop(token.text()) && !token.app {
        return 1;
    }
    // Two words of the user may be one of the tools: time off and timeoff.
    if let Some(next) = tokens.get(at + 1).filter(|next| !token.app && !next.app) {
        let joined = format!("{}{}", token.text(), next.text());
        if lexicon.has_term(hash(&stem(&joined))) {
            let pair = Box::from([hash(&token.stem), hash(&next.stem)]);
            let alternatives = [(pair, 1.0), (Box::from([hash(&stem(&joined))]), 1.0)];
            let alternatives = alternatives.into_iter().map(|(terms, weight)| Alternative::of(terms, weight)).collect();
            concepts.push(Concept { alternatives, weight: weight(2), generic: false, word: joined });
            return 2;
        }
    }
    concepts.push(single(token, weight(1), lexicon));
    1
}

/// Concept of one word: its corrections, its parts where tools write two words, and its synonyms.
fn single(token: &Token, weight: f32, lexicon: &Lexicon<'_>) -> Concept {
    let mut alternatives = Vec::new();
    for (word, certainty) in &token.options {
        let mut parts = Vec::new();
        each_part(word, &mut |part| parts.push(hash(&stem(part))));
        alternatives.push(Alternative::of(parts.into(), *certainty));
        if !token.app && !word.contains(is_cjk) && !lexicon.has_term(hash(&stem(word))) {
            alternatives.extend(lexicon.split(word).map(|terms| Alternative::of(terms, *certainty)));
        }
        if !token.app
            && let Some(expansion) = TABLES.expansion_of_word(word)
        {
            let more = expansion.alternatives.iter();
            alternatives.extend(more.map(|other| Alternative::of(other.terms.clone(), other.weight * certainty)));
        }
    }
    let generic = token.verb().is_some_and(|verb| verb.generic);
    Concept { alternatives, weight, generic, word: token.word.text.clone() }
}

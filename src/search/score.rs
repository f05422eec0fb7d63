//! Scores of all tools of a user for one step of a query: BM25 over weighted fields, with factors for what a word model
//! cannot see.

use super::{concept::Concept, index::AppIndex, naming::Named, query::Step, tables::Alternative};

/// Saturation of repeated words (BM25's k1).
const SATURATION: f32 = 1.8;

/// Share of the score that depends on how much of the query a tool covers.
const COVERAGE: f32 = 0.3;

/// Share of the score that depends on how much of the tool's name the query covers.
const NAME_COVERAGE: f32 = 0.2;

/// Strength from which a way to say a thing covers it.
const COVERS: f32 = 0.65;

/// Weight of the other ways to say a thing beside the best one.
const OTHERS: f32 = 0.35;

/// Factors of tools of an app that the query names, of one that it hints at, and of all other tools then.
const NAMED: f32 = 1.6;
const HINTED: f32 = 1.25;
const NOT_NAMED: f32 = 0.5;

/// Rarity at which verbs end that nearly every app has: whether tools are called find or search is chance.
const GENERIC_RARITY: f32 = 1.8;

/// Rarity of a word that no tool has, as a share of the highest there is.
const UNKNOWN_RARITY: f32 = 0.5;

/// Score of a tool for one thing that the query speaks of.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    /// Score by the way at hand, its words that occur, and those of them that occur in the name.
    way: f32,
    words: u8,
    way_in_name: u8,
    /// Best and sum over the ways so far.
    best: f32,
    sum: f32,
    in_name: u8,
    covered: bool,
    touched: bool,
}

/// Score of a tool for a step.
#[derive(Debug, Clone, Copy, Default)]
struct Total {
    score: f32,
    covered: f32,
    in_name: u8,
}

/// Scorer of a user's tools, with scratch space that serves one thing of the query after the other.
#[derive(Debug)]
pub(super) struct Scorer<'a> {
    apps: &'a [&'a AppIndex],
    cells: Vec<Vec<Cell>>,
    touched: Vec<(usize, usize)>,
    tools: usize,
}

/// Scores of one step.
#[derive(Debug)]
pub(super) struct Scores {
    /// Scores of each app's tools; 0 for those that have nothing to do with the step.
    pub(super) apps: Vec<Vec<f32>>,
    /// User's words that neither a tool nor a synonym matches.
    pub(super) unmatched: Vec<String>,
}

impl<'a> Scorer<'a> {
    /// Prepares for the tools of some apps.
    pub(super) fn new(apps: &'a [&'a AppIndex]) -> Self {
        let cells = apps.iter().map(|app| vec![Cell::default(); app.len()]).collect();
        Self { apps, cells, touched: Vec::new(), tools: apps.iter().map(|app| app.len()).sum() }
    }

    /// Scores all tools for a step.
    pub(super) fn score(&mut self, step: &Step) -> Scores {
        let mut totals: Vec<Vec<Total>> = self.apps.iter().map(|app| vec![Total::default(); app.len()]).collect();
        let unknown = self.rarity(0) * UNKNOWN_RARITY;
        let (mut mass, mut unmatched) = (0.0, Vec::new());
        for concept in &step.concepts {
            let rarity = self.add(concept, &mut totals);
            mass += if concept.word.is_empty() { 0.0 } else { concept.weight * rarity.unwrap_or(unknown) };
            if rarity.is_none() && !concept.word.is_empty() {
                unmatched.push(concept.word.clone());
            }
        }
        let apps = self.apps.iter().zip(&totals).enumerate();
        let apps = apps.map(|(at, (app, totals))| {
            let by_app = app_factor(&step.named, at);
            let tools = app.tools().iter().zip(totals);
            let score = tools.map(|(tool, total)| {
                let covers = if mass > 0.0 { (total.covered / mass).min(1.0) } else { 1.0 };
                let named = (f32::from(total.in_name) / f32::from(tool.name_words.max(1))).min(1.0);
                let by_verb = step.intent.map_or(1.0, |intent| intent.factor(tool.class));
                total.score * by_app * by_verb * share(COVERAGE, covers) * share(NAME_COVERAGE, named)
            });
            score.collect()
        });
        Scores { apps: apps.collect(), unmatched }
    }

    /// Inverse document frequency among all tools of the user.
    #[expect(clippy::cast_precision_loss, reason = "a user has far fewer tools than a float counts exactly")]
    fn rarity(&self, tools: usize) -> f32 {
        let others = self.tools.saturating_sub(tools) as f32;
        (1.0 + (others + 0.5) / (tools as f32 + 0.5)).ln()
    }

    /// Number of tools that have a term.
    fn frequency(&self, term: u32) -> usize {
        let tools = self
            .apps
            .iter()
            .map(|app| if app.calls().weight(term) > 0.0 { app.len() } else { app.postings(term).len() });
        tools.sum()
    }

    /// Adds a thing that the query speaks of. Returns its rarity, or none where no tool knows it.
    fn add(&mut self, concept: &Concept, totals: &mut [Vec<Total>]) -> Option<f32> {
        let most = if concept.generic { GENERIC_RARITY } else { f32::MAX };
        // A rare synonym must not outweigh the word that the user chose.
        let mut limit: Option<f32> = None;
        let own = concept.alternatives.first().map_or(1, |own| own.terms.len());
        for way in &concept.alternatives {
            let found = self.add_way(way, own, limit.unwrap_or(most)).map(|found| found.min(most));
            limit = limit.or(found);
        }
        let rarity = limit?;
        for (app, tool) in self.touched.drain(..) {
            let cell =
                self.cells.get_mut(app).and_then(|cells| cells.get_mut(tool)).map(std::mem::take).unwrap_or_default();
            if let Some(total) = totals.get_mut(app).and_then(|totals| totals.get_mut(tool)) {
                total.score += concept.weight * (cell.best + OTHERS * (cell.sum - cell.best).min(cell.best));
                total.in_name = total.in_name.saturating_add(cell.in_name);
                total.covered += if cell.covered { concept.weight * rarity } else { 0.0 };
            }
        }
        Some(rarity)
    }

    /// Adds one way to say a thing, for which the user has a number of words. Returns its rarity, or none where some word of it occurs nowhere.
    fn add_way(&mut self, way: &Alternative, own: usize, limit: f32) -> Option<f32> {
        // A synonym of more words than the user's is not worth more for that.
        let surplus = f32::from(u8::try_from(way.terms.len().saturating_sub(own)).unwrap_or(u8::MAX));
        let weight = way.weight / (1.0 + surplus).sqrt();
        let mut rarest = Some(0.0_f32);
        for term in &way.terms {
            let frequency = self.frequency(*term);
            if frequency == 0 {
                rarest = None;
                continue;
            }
            let rarity = self.rarity(frequency);
            rarest = rarest.map(|rarest| rarest.max(rarity));
            for app in 0..self.apps.len() {
                self.add_term(app, *term, rarity.min(limit));
            }
        }
        let all = u8::try_from(way.terms.len()).unwrap_or(u8::MAX).max(1);
        let mut whole = 0;
        for (app, tool) in &self.touched {
            let Some(cell) = self.cells.get_mut(*app).and_then(|cells| cells.get_mut(*tool)) else { continue };
            if cell.words == 0 {
                continue;
            }
            whole += usize::from(cell.way_in_name == all);
            if way.whole && cell.way_in_name < all {
                (cell.way, cell.words, cell.way_in_name) = (0.0, 0, 0);
                continue;
            }
            // Half of a phrase says less than half of what the phrase says.
            let score = cell.way * weight * f32::from(cell.words) / f32::from(all);
            cell.sum += score;
            cell.best = cell.best.max(score);
            cell.in_name = cell.in_name.max(if way.weight >= COVERS { cell.way_in_name } else { 0 });
            cell.covered |= way.weight >= COVERS && cell.words == all;
            (cell.way, cell.words, cell.way_in_name) = (0.0, 0, 0);
        }
        // Such a phrase is as rare as one word: of its parts nobody spoke.
        if way.whole { (whole > 0).then(|| self.rarity(whole)) } else { rarest }
    }

    /// Adds the occurrences of a term in one app.
    fn add_term(&mut self, app: usize, term: u32, rarity: f32) {
        let (Some(index), Some(cells)) = (self.apps.get(app), self.cells.get_mut(app)) else { return };
        let touched = &mut self.touched;
        let mut add = |tool: usize, cell: &mut Cell, score: f32, word: bool, in_name: bool| {
            if !std::mem::replace(&mut cell.touched, true) {
                touched.push((app, tool));
            }
            cell.way += score;
            cell.words += u8::from(word);
            cell.way_in_name += u8::from(in_name);
        };
        let saturated = |weight: f32| rarity * weight * (SATURATION + 1.0) / (SATURATION + weight);
        // A word of the app's name or category is one of each of its tools.
        let of_app = index.calls().weight(term);
        if of_app > 0.0 {
            for (tool, cell) in cells.iter_mut().enumerate() {
                add(tool, cell, saturated(of_app), true, false);
            }
        }
        for posting in index.postings(term) {
            if let Some(cell) = cells.get_mut(posting.tool()) {
                let score = saturated(of_app + posting.weight()) - saturated(of_app);
                add(posting.tool(), cell, score, of_app <= 0.0, posting.in_name());
            }
        }
    }
}

/// Factor for the apps that a step names.
fn app_factor(named: &Named, app: usize) -> f32 {
    if !named.apps.is_empty() {
        if named.apps.contains(&app) { NAMED } else { NOT_NAMED }
    } else if named.hinted.contains(&app) {
        HINTED
    } else {
        1.0
    }
}

/// Factor of which a share depends on a value from 0 to 1.
fn share(share: f32, value: f32) -> f32 {
    1.0 - share + share * value
}
